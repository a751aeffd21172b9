"""The probe file on its way to the agents: who gets what, when, and what is never sent."""
import json
import signal
import sys
import time

import pytest
import trustlib
import meshlib
import wirelib
from lablib import Mesh, wait_until

SECRETS = """prober_configs:
- {prober_type: http, region: web, name: shop, http: {basic_auth: {username: me, password: hunter2}}, targets: [a.test]}
- {prober_type: http, region: web, targets: ['http://me:hunter2@b.test/x', c.test]}
- {prober_type: http, region: web, targets: [d.test]}
"""

# The sample of the original's manual, word for word.
ORIGINAL = """prober_configs:
  - prober_type: http
    region: project-01
    http: # http配置端对标 blackbox_exporter,原生适配其http配置段
      valid_status_codes:
        - 200
        - 201
      method: GET
      headers:
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,image/apng,*/*;q=0.8
      fail_if_body_matches_regexp: text.*
    targets:
      - http://www.baidu.com
      - http://www.taobao.com
      - www.ladjflajfl.ccc
  - prober_type: http
    region: cn-chengdu
    targets:
      - www.baidu.com
      - www.taobao.com

  - prober_type: icmp
    region: cn-hangzhou
    targets:
      - 180.101.49.12
      - 8.8.8.8
  - prober_type: icmp
    region: cn-shanghai
    targets:
      - 8.8.8.8
"""


@pytest.fixture
def mesh(lab):
    """A server that agents of its own host reach over the loopback."""
    mesh = Mesh(lab, http_addr="127.0.0.1:6001")
    mesh.rpc = ":6000"
    mesh.file = lab.directory + "/probe.yaml"
    return mesh


def write(mesh, text):
    with open(mesh.file, "w", encoding="utf-8") as file:
        file.write(text)


def started(mesh, text, *flags):
    write(mesh, text)
    mesh.start_server("-server.probe.file", mesh.file, *flags)
    wait_until(mesh.is_ready, 20, "the server is ready")


def targets(mesh):
    status, _, text = mesh.get("/-/targets")
    assert status == 200
    return json.loads(text)


def metric(mesh, name):
    for line in mesh.get("/metrics")[2].splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


def agent(mesh, region, address, server="10.77.0.1"):
    an_agent = wirelib.Agent(mesh.lab.connect(mesh.server_host, (server, 6000)), region, address)
    assert an_agent.hello() == (0, "")
    return an_agent


def entry(more):
    return "- {prober_type: http, region: web, " + more + "}\n"


def test_the_originals_sample_goes_to_the_agents_as_it_stands(mesh):
    started(mesh, ORIGINAL, "-server.icmp.discovery", "static")
    assert targets(mesh) == {
        "cn-chengdu": [{"prober_type": "http", "targets": ["www.baidu.com", "www.taobao.com"]}],
        "cn-hangzhou": [{"prober_type": "icmp", "targets": ["180.101.49.12", "8.8.8.8"]}],
        "cn-shanghai": [{"prober_type": "icmp", "targets": ["8.8.8.8"]}],
        "project-01": [{"prober_type": "http",
                        "targets": ["http://www.baidu.com", "http://www.taobao.com", "www.ladjflajfl.ccc"]}]}
    shanghai = agent(mesh, "cn-shanghai", "10.0.0.1")
    assert list(shanghai.sync()[1]) == ["cn-chengdu", "cn-hangzhou", "project-01"]
    urls = shanghai.urls()
    assert urls["www.baidu.com"] == ("{}", 0)
    block = json.loads(urls["www.ladjflajfl.ccc"][0])
    assert block["valid_status_codes"] == [200, 201]
    assert block["fail_if_body_matches_regexp"] == ["text.*"]


@pytest.mark.address
@pytest.mark.thread
def test_secrets_reach_agents_on_the_loopback_alone(mesh):
    started(mesh, SECRETS)
    far, near = agent(mesh, "a", "10.0.0.1"), agent(mesh, "a", "127.0.0.5", "127.0.0.1")
    wait_until(lambda: metric(mesh, "prober_server_plan_withheld_entries") == 2, 10, "two entries are withheld")
    assert list(far.urls()) == ["d.test"]
    urls = near.urls()
    assert sorted(urls) == ["a.test", "c.test", "d.test", "http://me:hunter2@b.test/x"]
    assert json.loads(urls["a.test"][0])["basic_auth"]["password"] == "hunter2"
    shown = json.dumps(targets(mesh)) + mesh.get("/metrics")[2] + mesh.server.log()
    assert "hunter2" not in shown
    assert mesh.server.log().count("is not sent to agents whose links are plain") == 2
    assert 'name=shop line=2 agents=1' in mesh.server.log()


def test_secrets_reach_agents_that_joined(mesh):
    mesh.rpc = "10.77.0.1:6000"
    started(mesh, SECRETS)
    ours = trustlib.Authority.of_server(f"{mesh.lab.directory}/state/server")
    joined = trustlib.TrustedAgent(mesh.lab.connect(mesh.server_host, ("10.77.0.1", 6000)), ours.agent("b"), "10.0.0.2")
    assert joined.hello()[0] == 0
    far = agent(mesh, "a", "10.0.0.1")
    wait_until(lambda: metric(mesh, "prober_server_plan_withheld_entries") == 2, 10, "two entries are withheld")
    assert list(far.urls()) == ["d.test"]
    assert sorted(joined.urls()) == ["a.test", "c.test", "d.test", "http://me:hunter2@b.test/x"]


def test_a_plan_that_would_be_too_large_is_refused_and_the_one_before_stays(mesh):
    started(mesh, "prober_configs:\n" + entry("targets: [a.test]"))
    write(mesh, "prober_configs:\n- prober_type: http\n  region: web\n  targets:\n" +
          "".join(f"  - http://{n}.test/{'x' * 1000}\n" for n in range(5000)))
    status, _, text = mesh.get("/-/reload", method="POST")
    assert status == 500 and "at most 4194304 can be" in text
    write(mesh, "prober_configs:\n" + entry("http: {body: " + "x" * 300000 + "}, targets: [a.test]"))
    status, _, text = mesh.get("/-/reload", method="POST")
    assert status == 500 and "prober_configs[0].http: takes 300011 bytes" in text
    assert targets(mesh) == {"web": [{"prober_type": "http", "targets": ["a.test"]}]}


@pytest.mark.parametrize("how", ["SIGHUP", "/-/reload"])
def test_a_new_file_is_with_the_agents_within_a_second(mesh, how):
    started(mesh, "prober_configs:\n" + entry("targets: [a.test]") + entry("targets: [b.test], timeout: 3s"))
    one, other = agent(mesh, "a", "10.0.0.1"), agent(mesh, "b", "10.0.0.2")
    wait_until(lambda: "b" in one.sync()[1], 10, "both are in the plan")
    assert one.urls() == {"a.test": ("{}", 0), "b.test": ("{}", 3 * wirelib.SECOND)}
    hints = wirelib.Peer(mesh.lab.connect(mesh.server_host, ("10.77.0.1", 6002)), wirelib.SUB)
    revision = one.sync()[0]
    write(mesh, "prober_configs:\n" + entry("source_regions: [b], targets: [a.test]") +
          entry("targets: [c.test], http: {method: HEAD}"))
    began = time.monotonic()
    if how == "SIGHUP":
        mesh.server.signal(signal.SIGHUP)
    else:
        assert mesh.get(how, method="POST")[0] == 200
    while one.entries(revision)[1] is None:
        hints.receive()
    assert time.monotonic() - began < 1
    assert one.urls() == {"c.test": ('{"method":"HEAD"}', 0)}
    assert sorted(other.urls()) == ["a.test", "c.test"]
    write(mesh, "prober_configs:\n" + entry("targets: []"))
    assert mesh.get("/-/reload", method="POST")[0] == 500
    assert sorted(other.urls()) == ["a.test", "c.test"]


# Takes whoever is "me" with the right password; at /slow it takes its time.
LOCKED = """
import base64, http.server, sys, time
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.path == "/slow":
            time.sleep(0.5)
        self.send_response(200 if base64.b64decode(said) == b"me:hunter2" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Web)
print("ready", flush=True)
server.serve_forever()
"""


@pytest.mark.address
def test_secrets_are_used_shown_to_nobody_and_changed_by_a_reload(mesh):
    """Real daemons: an agent on the server's host, who gets them, and one elsewhere."""
    locked = mesh.lab.spawn(mesh.server_host, [sys.executable, "-c", LOCKED], "locked")
    wait_until(lambda: "ready" in locked.log(), 10, "the web server is ready")

    def file(password):
        return ("prober_configs:\n" + entry("targets: ['http://127.0.0.1:8080/'], http: {basic_auth: {username: me, "
                                            f"password: {password}" "}}") +
                entry(f"targets: ['http://me:{password}@127.0.0.1:8080/slow']"))
    started(mesh, file("hunter2"))
    far = mesh.add_agents("north")[0]
    mesh.start_agent(mesh.server_host, "-agent.rpc.report.addr", "127.0.0.1:6000", region="near")
    mesh.start_agent(far, "-agent.rpc.report.addr", "10.77.0.1:6000")

    def reasons(path):
        found = meshlib.select(meshlib.parse(mesh.get("/metrics")[2]), "prober_http_failed",
                               target_addr="http://127.0.0.1:8080/" + path)
        return {(dict(ls)["source_region"], dict(ls)["failed_reason"]): v for ls, v in found.items()}
    for path in ("", "slow"):
        wait_until(lambda p=path: reasons(p) == {("near", "success"): 0}, 20, f"/{path} is probed with the password")
    wait_until(lambda: metric(mesh, "prober_server_plan_withheld_entries") == 2, 10, "the other agent is not told")
    write(mesh, file("other-secret"))
    mesh.server.signal(signal.SIGHUP)
    for path in ("", "slow"):
        wait_until(lambda p=path: reasons(p) == {("near", "status_code"): 1}, 10, f"/{path} is probed with another")
    shown = mesh.get("/metrics")[2] + mesh.get("/-/targets")[2] + mesh.server.log() + \
        "".join(daemon.log() for daemon in mesh.agents.values())
    assert "hunter2" not in shown and "other-secret" not in shown
