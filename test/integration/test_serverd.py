"""serverd as a process: what it says, what it keeps, how it ends."""
import json
import signal
import time

import pytest
from lablib import Mesh, wait_until

PROBE_FILE = """prober_configs:
- {prober_type: icmp, region: dns, targets: [192.0.2.53]}
- {prober_type: http, region: web, targets: ['http://example.org']}
"""


@pytest.fixture
def mesh(lab):
    return Mesh(lab, http_addr="127.0.0.1:6001")


def ask(mesh, path, **options):
    status, _, text = mesh.get(path, **options)
    assert status == 200, text
    return json.loads(text)


def metric(mesh, series):
    """The value of a series, or None."""
    for line in mesh.get("/metrics")[2].splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


def serverd(mesh, *flags):
    """Runs serverd to its end: what is in order would not end."""
    return mesh.lab.run(mesh.server_host, [mesh.lab.path("bin/serverd"), *flags], timeout=20)


def started(mesh, *flags):
    mesh.start_server(*flags)
    wait_until(mesh.is_ready, 20, "the server is ready")


def test_it_ends_within_five_seconds_of_sigterm(mesh):
    started(mesh)
    began = time.monotonic()
    mesh.server.signal(signal.SIGTERM)
    assert mesh.server.wait(10) == 0
    assert time.monotonic() - began < 5


def test_a_port_in_use_is_told_with_its_option(mesh):
    started(mesh)
    other = ["-server.state.dir", mesh.lab.directory + "/other"]
    for option, address in (("rpc", mesh.rpc), ("hint", mesh.rpc), ("http", mesh.http_addr)):
        flags = {"rpc": "127.0.0.1:7000", "hint": "127.0.0.1:7002", "http": "127.0.0.1:7001"}
        flags[option] = address
        ended = serverd(mesh, *other, *[w for k, v in flags.items()
                                        for w in (f"-server.{k}.listen.addr", v)])
        assert ended.returncode == 1
        assert f"-server.{option}.listen.addr" in ended.stderr
        assert address in ended.stderr


def test_a_second_server_on_the_same_state_is_kept_out(mesh):
    started(mesh)
    ended = serverd(mesh, "-server.state.dir", mesh._state("server"), "-server.rpc.listen.addr",
                    "127.0.0.1:7000", "-server.http.listen.addr", "127.0.0.1:7001")
    assert ended.returncode == 1
    assert "another server uses the state directory" in ended.stderr


@pytest.mark.parametrize("flags, status, says", [
    (["-server.icmp.discovery", "static"], 1, "-server.probe.file"),
    (["-server.icmp.discovery", "sometimes"], 2, "server.icmp.discovery"),
    (["-server.aggregation.interval", "soon"], 2, "server.aggregation.interval"),
    (["-no.such.flag"], 2, "no.such.flag"),
    (["-server.probe.file", "/nowhere/probe.yaml"], 1, "/nowhere/probe.yaml"),
    (["-v"], 0, "version="),
    (["-help"], 0, "-server.rpc.listen.addr"),
])
def test_its_exit_status_tells_what_was_wrong(mesh, flags, status, says):
    ended = serverd(mesh, *flags)
    assert ended.returncode == status
    assert says in ended.stderr


def test_a_reload_takes_effect_at_once_or_not_at_all(mesh):
    targets = mesh.lab.directory + "/probe.yaml"
    with open(targets, "w", encoding="utf-8") as file:
        file.write(PROBE_FILE)
    started(mesh, "-server.probe.file", targets)
    assert list(ask(mesh, "/-/targets")) == ["dns", "web"]
    with open(targets, "a", encoding="utf-8") as file:
        file.write("- {prober_type: icmp, region: ntp, targets: [192.0.2.123]}\n")
    assert mesh.get("/-/reload", method="POST")[::2] == (200, "ok")
    assert list(ask(mesh, "/-/targets")) == ["dns", "ntp", "web"]
    with open(targets, "a", encoding="utf-8") as file:
        file.write("- {prober_type: icmp, tragets: []}\n")
    status, _, text = mesh.get("/-/reload")
    assert status == 500
    assert f"{targets}:5" in text
    assert list(ask(mesh, "/-/targets")) == ["dns", "ntp", "web"]
    mesh.server.signal(signal.SIGHUP)
    wait_until(lambda: mesh.server.log().count("reload failed") == 2, 10, "SIGHUP reloads too")
    assert mesh.get("/-/reload", headers={"Origin": "http://evil.example"})[0] == 403
    assert "does not probe the http entries" in mesh.server.log()


def test_without_a_usable_state_directory_it_serves_on_and_says_so(mesh):
    with open(mesh.lab.directory + "/file", "w", encoding="utf-8") as file:
        file.write("in the way")
    started(mesh, "-server.state.dir", mesh.lab.directory + "/file/state")
    assert "going on without a store" in mesh.server.log()
    wait_until(lambda: metric(mesh, "prober_server_store_works") == 0, 10, "the metric says so")
