"""URLs of the plan: an agent probes them, the server shows what became of it, and nothing gets lost."""
import re
import signal
import sys
import time

import meshlib
import pytest
from lablib import wait_until

pytestmark = [pytest.mark.address, pytest.mark.thread]

WEB = """
import http.server, socketserver, threading
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/silent":
            threading.Event().wait(60)
        self.send_response(503 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"good")
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64
    def server_bind(self):  # without asking for its own name
        socketserver.TCPServer.server_bind(self)
server = Server(("0.0.0.0", 8080), Web)
print("ready", flush=True)
server.serve_forever()
"""
GOOD, BROKEN, SILENT = (f"http://127.0.0.1:8080/{path}" for path in ("", "broken", "silent"))
DENIED, REFUSED = "http://127.9.0.1:8080/", "127.0.0.1:8081"


def probe_file(mesh, *targets):
    mesh.file = mesh.lab.directory + "/probe.yaml"
    with open(mesh.file, "w", encoding="utf-8") as file:
        file.write("prober_configs:\n- prober_type: http\n  region: web\n  targets:\n" +
                   "".join(f"  - {target}\n" for target in targets))


def start_agent(mesh, host, *flags):
    mesh.start_agent(host, *flags)

    def is_up():
        try:
            return mesh.agent_metrics(host)
        except OSError:
            return False
    wait_until(is_up, 20, "the agent is up")


def given_mesh(lab, interval, *targets, agent_flags=()):
    """A region of one agent, whose host has the web server too."""
    mesh = meshlib.TestMesh(lab, {"north": 1}, interval, "300ms", start=False)
    host = mesh.hosts["north"][0]
    web = lab.spawn(host, [sys.executable, "-c", WEB], "web")
    probe_file(mesh, *targets)
    mesh.start_server("-server.probe.file", mesh.file, "-server.series.cache.ratio", "40")
    wait_until(lambda: "ready" in web.log(), 10, "the web server is ready")
    start_agent(mesh, host, *agent_flags)
    return mesh, host, web


def url_total(metrics, name, target=None, **labels):
    if target:
        labels["target_addr"] = target
    return meshlib.total(metrics, name, source_region="north", target_region="web", **labels)


def agent_counts(mesh, host):
    """What became of the agent's probes; the laws hold in it."""
    m = mesh.agent_metrics(host)
    counts = {result: meshlib.total(m, "prober_agent_http_probes_total", result=result)
              for result in ("success", "failed")}
    counts["unsent"] = meshlib.total(m, "prober_agent_http_probes_unsent_total")
    assert counts["failed"] == meshlib.total(m, "prober_agent_http_failures_total")
    assert sum(counts.values()) == meshlib.total(m, "prober_agent_http_probes_scheduled_total")
    return counts


def test_urls_are_probed_and_shown_by_what_became_of_them(lab):
    mesh, host, web = given_mesh(lab, "1s", GOOD, BROKEN, SILENT, DENIED, REFUSED,
                                 agent_flags=("-agent.probe.deny", "127.9.0.0/16"))

    def shown(target, reason):
        return meshlib.select(mesh.metrics(), "prober_http_failed", source_region="north",
                              target_region="web", target_addr=target, failed_reason=reason)
    for target, reason, value in ((GOOD, "success", 0), (BROKEN, "status_code", 1),
                                  (SILENT, "timeout", 1), (REFUSED, "connect_refused", 1)):
        wait_until(lambda: list(shown(target, reason).values()) == [value], 10, f"{target}: {reason}")
    m = mesh.metrics()
    assert url_total(m, "prober_http_status_code", GOOD) == 200
    assert url_total(m, "prober_http_status_code", BROKEN) == 503
    assert 0 < url_total(m, "prober_http_duration_seconds", GOOD, phase="connect") < 1
    wait_until(lambda: url_total(mesh.metrics(), "prober_http_probes_unsent_total", DENIED,
                                 reason="local") > 0, 10, "what is denied is unsent")
    assert url_total(mesh.metrics(), "prober_http_probes_total", DENIED) == 0
    m = mesh.agent_metrics(host)
    assert meshlib.total(m, "prober_agent_http_probes_unsent_total", reason="denied") > 0
    assert meshlib.total(m, "prober_agent_http_targets", state="probed") == 5
    wait_until(lambda: "forbids" in mesh.agents[host].log(), 10, "the log says so")
    assert mesh.agents[host].log().count("forbids") == 1
    web.kill()
    wait_until(lambda: shown(GOOD, "connect_refused"), 10, "the end of the web server is seen")
    counts = agent_counts(mesh, host)
    assert counts["success"] > 0 and counts["failed"] > 0


def test_a_new_probe_file_is_probed_at_once_and_what_runs_is_still_counted(lab):
    mesh, host, _ = given_mesh(lab, "3s", SILENT)

    def planned():
        return meshlib.total(mesh.agent_metrics(host), "prober_agent_http_targets", state="probed")
    wait_until(lambda: meshlib.total(mesh.agent_metrics(host), "prober_agent_http_probes_in_flight") == 1,
               15, "the silent one is being probed")
    probe_file(mesh, GOOD, BROKEN)
    mesh.server.signal(signal.SIGHUP)
    begun = time.monotonic()
    wait_until(lambda: planned() == 2, 5, "the agent has the new plan")
    # A hint within the second, and a page of metrics that is a little old.
    assert time.monotonic() - begun < 2.5
    wait_until(lambda: agent_counts(mesh, host)["failed"] >= 1, 10, "the probe that ran is counted")
    wait_until(lambda: agent_counts(mesh, host)["success"] >= 1, 10, "the new URL is probed")


def test_stopping_reports_what_ran_without_an_end_as_unsent(lab):
    mesh, host, _ = given_mesh(lab, "4s", SILENT)
    wait_until(lambda: meshlib.total(mesh.agent_metrics(host), "prober_agent_http_probes_in_flight") == 1,
               15, "the silent one is being probed")
    before = url_total(mesh.metrics(), "prober_http_probes_unsent_total")
    mesh.agents[host].signal(signal.SIGTERM)
    begun = time.monotonic()
    assert mesh.agents[host].wait(10) == 0
    assert time.monotonic() - begun < 5
    wait_until(lambda: url_total(mesh.metrics(), "prober_http_probes_unsent_total", reason="local")
               == before + 1, 10, "the server counts it as unsent")


def server_boot(mesh):
    return re.search(r'server_boot="(\w+)"', mesh.get("/metrics")[2]).group(1)


def agree(mesh, host):
    """What the agent had acknowledged by this server boot is what the server counts."""
    def acked(boot):
        m = mesh.agent_metrics(host)
        return {result: meshlib.total(m, "prober_agent_acked_http_probes_total", result=result,
                                      server_boot=boot) for result in ("success", "failed", "unsent")}
    if mesh.spooled(host):
        return False
    boot = server_boot(mesh)
    before = acked(boot)
    m = mesh.metrics()
    counted = {result: url_total(m, "prober_http_probes_total", result=result)
               for result in ("success", "failed")}
    counted["unsent"] = url_total(m, "prober_http_probes_unsent_total")
    return before == counted and counted["success"] > 0 and before == acked(boot)


@pytest.mark.seconds(120)
def test_what_a_server_boot_acknowledged_of_urls_is_what_it_counts_through_kill(lab):
    mesh, host, _ = given_mesh(lab, "2s", GOOD, BROKEN)
    for kill in (None, "server", "agent"):
        if kill:
            mesh.server.kill()
        if kill == "agent":
            # The boots of an agent are counted apart by the server's side of the law: start anew.
            mesh.agents[host].kill()
        if kill:
            mesh.start_server()
        if kill == "agent":
            start_agent(mesh, host)
        wait_until(mesh.is_ready, 20, "the server is ready")
        wait_until(lambda: agree(mesh, host), 30, "the agent and the server agree", 0.1)
        agent_counts(mesh, host)
