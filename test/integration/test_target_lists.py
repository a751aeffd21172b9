"""Lists of targets that are kept outside the probe file: refreshed, and kept while they cannot be."""
import http.server
import json
import os
import socket
import threading
import time

import lablib
import meshlib
import pytest
import wirelib
from lablib import wait_until

INSTRUMENTED = (pytest.mark.address, pytest.mark.thread)


def also_instrumented(test):
    for mark in INSTRUMENTED:
        test = mark(test)
    return test


class Inventory:
    """A discovery endpoint on the server's host; what it answers is set from here."""

    def __init__(self, lab, host):
        self.answer, self.asked = (200, "[]"), []
        inventory = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                inventory.asked.append((self.path, dict(self.headers)))
                status, body = inventory.answer
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        listener = lablib.in_namespace(lab.hosts[host].netns,
                                       lambda: socket.create_server(("127.0.0.1", 8080)))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler, False)
        self.server.socket.close()
        self.server.socket = listener
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def lists(self, *targets):
        self.answer = (200, json.dumps([{"targets": list(targets)}]))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mesh(lab):
    mesh = lablib.Mesh(lab, aggregation="300ms", http_addr="127.0.0.1:6001")
    mesh.file = lab.directory + "/probe.yaml"
    return mesh


def write(mesh, name, text):
    """Replaces a file beside the probe file at once."""
    path = os.path.join(mesh.lab.directory, name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def start(mesh, entries):
    write(mesh, "probe.yaml", "prober_configs:\n" + entries)
    mesh.start_server("-server.probe.file", mesh.file)
    wait_until(mesh.is_ready, 20, "the server is ready")


def targets(mesh):
    """{region: the targets of its entries, together}"""
    status, _, text = mesh.get("/-/targets")
    assert status == 200
    return {r: sorted(t for e in entries for t in e["targets"])
            for r, entries in json.loads(text).items() if entries}


def wait_for_targets(mesh, timeout=10, **wanted):
    wait_until(lambda: targets(mesh) == wanted, timeout, lambda: f"targets are {targets(mesh)}")


def metric(mesh, name, **labels):
    return meshlib.total(meshlib.parse(mesh.get("/metrics")[2]), f"prober_server_target_list_{name}", **labels)


@also_instrumented
def test_a_changed_file_is_in_the_plan_within_two_seconds(mesh):
    write(mesh, "web.json", '[{"targets": ["a.test"]}]')
    start(mesh, "- {prober_type: http, region: web, file_sd_configs: [{files: [web.json, 'more_*.yml']}]}\n")
    assert targets(mesh) == {"web": ["a.test"]}, "a file is there from the start"
    agent = wirelib.Agent(mesh.lab.connect(mesh.server_host, ("10.77.0.1", 6000)), "north", "10.0.0.1")
    assert agent.hello() == (0, "")
    revision = agent.sync()[0]
    changed = time.monotonic()
    write(mesh, "web.json", '[{"targets": ["b.test:8080/x"]}]')
    wait_for_targets(mesh, 10, web=["b.test:8080/x"], north=["10.0.0.1"])
    assert time.monotonic() - changed < 2
    new_revision, plan = agent.sync(revision)
    assert (new_revision != revision, plan) == (True, {"web": ["b.test:8080/x"]})
    write(mesh, "more_1.yml", "- targets: [c.test]\n  labels: {region: 华东, env: prod}\n")
    wait_for_targets(mesh, web=["b.test:8080/x"], north=["10.0.0.1"], 华东=["c.test"])
    os.unlink(mesh.lab.directory + "/more_1.yml")
    wait_for_targets(mesh, web=["b.test:8080/x"], north=["10.0.0.1"])


def test_a_bad_file_keeps_what_was_there_and_is_told_once(mesh):
    write(mesh, "web.json", '[{"targets": ["a.test"]}]')
    start(mesh, "- {prober_type: http, region: web, file_sd_configs: [{files: [web.json], refresh_interval: 1s}]}\n"
                "- {prober_type: icmp, region: gone, file_sd_configs: [{files: [gone.yaml]}]}\n")
    write(mesh, "web.json", '[{"targets": ["b.test"]},\n{"targets": ["c d"]}]')
    wait_until(lambda: metric(mesh, "failures_total", list="web.json") >= 2, 10, "it fails again and again")
    assert targets(mesh) == {"web": ["a.test"], "gone": []}
    log = mesh.server.log()
    assert log.count("cannot be refreshed") == 1
    assert "web.json:[1].targets[0]: a target has no blanks" in log
    assert log.count("cannot be loaded") == 1 and "gone.yaml: No such file" in log
    failed = metric(mesh, "last_success_timestamp_seconds", list="web.json")
    write(mesh, "web.json", '[{"targets": ["b.test"]}]')
    wait_for_targets(mesh, web=["b.test"], gone=[])
    assert mesh.server.log().count("can be refreshed again") == 1
    wait_until(lambda: metric(mesh, "last_success_timestamp_seconds", list="web.json") > failed, 10, "success")
    assert metric(mesh, "targets", list="web.json", prober_type="http") == 1


@also_instrumented
def test_what_a_url_lists_stays_while_it_cannot_be_asked_even_over_a_restart(mesh):
    inventory = Inventory(mesh.lab, mesh.server_host)
    inventory.lists("192.0.2.1", "192.0.2.2")
    write(mesh, "token", "hush\n")
    start(mesh, "- prober_type: icmp\n  region: dns\n  http_sd_configs:\n"
                "  - url: http://127.0.0.1:8080/list?key=hush\n    refresh_interval: 1s\n"
                "    authorization: {credentials_file: token}\n")
    both = ["192.0.2.1", "192.0.2.2"]
    wait_for_targets(mesh, dns=both)
    path, headers = inventory.asked[0]
    assert path == "/list?key=hush"
    assert headers["Authorization"] == "Bearer hush"
    assert headers["X-Prometheus-Refresh-Interval-Seconds"] == "1"
    for inventory.answer in ((500, "[]"), (200, '[{"targ')):
        failures = metric(mesh, "failures_total")
        wait_until(lambda: metric(mesh, "failures_total") > failures, 10, "it fails")
        assert targets(mesh) == {"dns": both}
    inventory.close()
    failures = metric(mesh, "failures_total")
    wait_until(lambda: metric(mesh, "failures_total") > failures, 10, "nobody is there")
    assert targets(mesh) == {"dns": both}
    assert mesh.server.log().count("cannot be refreshed") == 1
    assert "hush" not in mesh.server.log() + mesh.get("/metrics")[2]
    assert mesh.server.stop() == 0
    mesh.start_server()
    wait_until(mesh.is_ready, 20, "the server is ready")
    assert targets(mesh) == {"dns": both}
    wait_until(lambda: metric(mesh, "failures_total") > 0, 10, "nobody is there")
    assert targets(mesh) == {"dns": both}


@also_instrumented
def test_reloads_are_all_or_nothing_while_lists_refresh(mesh):
    """At every moment the targets are those of one probe file and of one content of each list."""
    inventory = Inventory(mesh.lab, mesh.server_host)
    inventory.lists("u.test")
    write(mesh, "web.json", '[{"targets": ["f0.test"]}]')
    lists = "file_sd_configs: [{files: [web.json]}], " \
            "http_sd_configs: [{url: 'http://127.0.0.1:8080/', refresh_interval: 1s}]"
    files = [f"- {{prober_type: http, region: web, targets: [p{i}.test], {lists}}}\n"
             f"- {{prober_type: http, region: web, targets: [q{i}.test]}}\n" for i in range(2)]
    bad = files[1].replace("q1", "bad") + "- {prober_type: http, tragets: []}\n"
    start(mesh, files[0])
    wait_for_targets(mesh, web=["f0.test", "p0.test", "q0.test", "u.test"])
    done = threading.Event()

    def rewrite():
        count = 0
        while not done.wait(0.05):
            count += 1
            write(mesh, "web.json", f'[{{"targets": ["f{count}.test"]}}]' if count % 4 else "[")
    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        reload_often(mesh, files, bad)
    finally:
        done.set()
        writer.join()
    write(mesh, "web.json", '[{"targets": ["last.test"]}]')
    wait_for_targets(mesh, web=["last.test", "p0.test", "q0.test", "u.test"])
    inventory.close()


def reload_often(mesh, files, bad):
    in_force = 0
    for i in range(30):
        wanted = i % 2 if i % 3 else None
        write(mesh, "probe.yaml", "prober_configs:\n" + (bad if wanted is None else files[wanted]))
        status, _, text = mesh.get("/-/reload", method="POST")
        assert status == (500 if wanted is None else 200), text
        in_force = in_force if wanted is None else wanted
        web = targets(mesh)["web"]
        assert web[0][0] == "f" and web[1:] == [f"p{in_force}.test", f"q{in_force}.test", "u.test"]
    assert in_force == 1
    write(mesh, "probe.yaml", "prober_configs:\n" + files[0])
    assert mesh.get("/-/reload", method="POST")[0] == 200


def test_agents_probe_what_is_listed(lab):
    mesh = meshlib.TestMesh(lab, {"north": 1}, aggregation="300ms", start=False)
    inventory = Inventory(lab, mesh.server_host)
    mesh.file = lab.directory + "/probe.yaml"
    write(mesh, "web.json", '[{"targets": ["10.77.0.1:6001/-/healthy"], "labels": {"region": "here"}}]')
    start(mesh, "- {prober_type: http, region: web, file_sd_configs: [{files: [web.json]}]}\n")
    mesh.start_agent(mesh.hosts["north"][0], "-agent.sync.interval", "1h")

    def status_of(target):
        return meshlib.select(mesh.metrics(), "prober_http_status_code", source_region="north",
                              target_region="here", target_addr=target)
    wait_until(lambda: 200 in status_of("10.77.0.1:6001/-/healthy").values(), 20, "the target is probed")
    write(mesh, "web.json", '[{"targets": ["10.77.0.1:6001/nowhere"], "labels": {"region": "here"}}]')
    wait_until(lambda: 404 in status_of("10.77.0.1:6001/nowhere").values(), 10, "the hint wakes the agent")
    inventory.close()
