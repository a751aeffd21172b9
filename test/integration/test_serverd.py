"""serverd as a process: what it says, what it keeps, how it ends."""
import json
import signal
import struct
import time

import pytest
import wirelib
from lablib import Mesh, wait_until

PROBE_FILE = """prober_configs:
- {prober_type: icmp, region: dns, targets: [192.0.2.53]}
- {prober_type: http, region: web, targets: ['http://example.org']}
"""


INSTRUMENTED = (pytest.mark.address, pytest.mark.thread)


def also_instrumented(test):
    for mark in INSTRUMENTED:
        test = mark(test)
    return test


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


@also_instrumented
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


def test_without_a_usable_state_directory_it_serves_on_and_says_so(mesh):
    with open(mesh.lab.directory + "/file", "w", encoding="utf-8") as file:
        file.write("in the way")
    started(mesh, "-server.state.dir", mesh.lab.directory + "/file/state")
    assert "going on without a store" in mesh.server.log()
    wait_until(lambda: metric(mesh, "prober_server_store_works") == 0, 10, "the metric says so")


def link(mesh, port=6000):
    return mesh.lab.connect(mesh.server_host, ("10.77.0.1", port))


def agent(mesh, region, address, **identity):
    """An agent on the server's host that was taken."""
    an_agent = wirelib.Agent(link(mesh), region, address, **identity)
    assert an_agent.hello() == (0, "")
    return an_agent


def alive(mesh):
    return {a["number"]: a["alive"] for a in ask(mesh, "/api/v1/agents")["agents"]}


@also_instrumented
def test_agents_survive_a_kill_without_a_flap(mesh):
    started(mesh)
    agents = [agent(mesh, "a", "10.0.0.1"), agent(mesh, "b", "10.0.0.2")]
    wait_until(lambda: alive(mesh) == {1: True, 2: True}, 10, "both are alive")
    wait_until(lambda: metric(mesh, "prober_server_store_writes_total") == 2, 10, "both are stored")
    mesh.server.kill()
    for an_agent in agents:
        an_agent.close()
    started(mesh)  # nobody calls the new server: it knows them from its store
    assert alive(mesh) == {1: True, 2: True}
    assert ask(mesh, "/-/targets") == {
        "a": [{"prober_type": "icmp", "targets": ["10.0.0.1"]}],
        "b": [{"prober_type": "icmp", "targets": ["10.0.0.2"]}]}
    wait_until(lambda: alive(mesh) == {1: False, 2: False}, 20, "who does not call is not alive")
    wait_until(lambda: ask(mesh, "/-/targets") == {"a": None, "b": None}, 10, "the plan is empty")
    another = agent(mesh, "c", "10.0.0.3")
    wait_until(lambda: len(alive(mesh)) == 3, 10, "the third agent is there")
    assert max(alive(mesh)) > 3, "a number is never given twice, not even after a kill"
    another.close()


@also_instrumented
def test_a_new_agent_is_in_everybodys_plan_after_one_hint(mesh):
    started(mesh)
    first = agent(mesh, "a", "10.0.0.1")
    revision, plan = first.sync()
    assert plan == {}
    hints = wirelib.Peer(link(mesh, 6002), wirelib.SUB)
    agent(mesh, "b", "10.0.0.2")
    began = time.monotonic()
    while first.sync(revision)[1] != {"b": ["10.0.0.2"]}:
        hints.receive()
        assert time.monotonic() - began < 2
    revision, _ = first.sync()
    assert first.sync(revision) == (revision, None)


def test_a_server_that_stood_still_does_not_take_its_agents_for_dead(mesh):
    started(mesh, "-server.series.cache.ratio", "5")
    first, second = agent(mesh, "a", "10.0.0.1"), agent(mesh, "b", "10.0.0.2")
    wait_until(lambda: first.sync()[1] == {"b": ["10.0.0.2"]}, 10, "the plan")
    mesh.server.signal(signal.SIGSTOP)
    time.sleep(6)  # longer than an agent may be silent
    mesh.server.signal(signal.SIGCONT)
    wait_until(lambda: "the server stood still" in mesh.server.log(), 10, "the server goes on")
    assert first.sync()[1] == {"b": ["10.0.0.2"]}
    second.sync()
    assert "is not heard from any more" not in mesh.server.log()


def test_a_copy_of_a_state_directory_is_refused(mesh):
    started(mesh)
    first = agent(mesh, "a", "10.0.0.1")
    copy = wirelib.Agent(link(mesh), "a", "10.0.0.9", agent=first.agent)
    status, why = copy.hello()
    assert status == 2 and "state directory copied" in why
    first.close()  # a restart, though, is taken at once
    assert copy.hello() == (0, "")


@also_instrumented
def test_a_peer_that_breaks_the_rules_is_told_or_dropped_and_counted(mesh):
    started(mesh)
    good = agent(mesh, "a", "10.0.0.1")

    def dropped(send):
        """True when the server ends the connection on which `send` sent something."""
        peer = wirelib.Peer(link(mesh))
        send(peer)
        try:
            peer.receive()
        except ConnectionError:
            return True
        return False
    body = wirelib.message(_1=1)
    assert dropped(lambda p: p.send(b"garbage"))
    assert dropped(lambda p: p.send(b""))
    assert dropped(lambda p: p.send(wirelib.frame(body, magic=b"HTTP")))
    assert dropped(lambda p: p.send(wirelib.frame(body, crc=1)))
    assert dropped(lambda p: p.send(wirelib.frame(body, length=1 << 30)))
    assert dropped(lambda p: p.send(wirelib.frame(body)[:-1]))
    assert dropped(lambda p: p.send(wirelib.frame(body, version=9)))
    assert dropped(lambda p: p.send(b"", length=1 << 40))
    link(mesh).sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert wirelib.Peer(link(mesh)).ask(b"\xff\xff\xff")[3] == [3], "malformed"
    absurd = wirelib.field(12, wirelib.message(_1=1, _3=1, _6=struct.pack("5000B", *[1] * 5000)))
    assert good.ask(wirelib.message(_1=1, _2=good.agent, _3=good.boot) + absurd)[3] == [3]
    assert good.call(_99=b"a call of a later version")[3] == [5], "not known"
    stranger = wirelib.Agent(link(mesh), "a", "10.0.0.1")
    assert stranger.call(_11=b"")[3] == [1], "hello needed"
    assert good.sync()[1] == {}
    for reason, at_least in (("frame", 6), ("version", 1), ("message", 2), ("call", 1)):
        series = f'prober_server_link_faults_total{{reason="{reason}"}}'
        wait_until(lambda s=series, n=at_least: (metric(mesh, s) or 0) >= n, 10, series)


@pytest.mark.parametrize("region, address, says", [
    ("a", "127.0.0.1", "loopback"), ("a", "224.0.0.1", "multicast"), ("a", "0.0.0.0", "unspecified"),
    ("a", "8.8.8.8", "-server.plain.networks"), ("a", "no address", "no address"),
])
def test_an_agent_that_cannot_be_taken_is_told_why(mesh, region, address, says):
    started(mesh)
    status, why = wirelib.Agent(link(mesh), region, address).hello()
    assert status == 2
    assert says in why


def test_more_agents_than_allowed_are_told_which_limit(mesh):
    started(mesh, "-server.plain.agents.per.source", "2")
    keep = [agent(mesh, "a", "10.0.0.1"), agent(mesh, "a", "10.0.0.2")]
    status, why = wirelib.Agent(link(mesh), "a", "10.0.0.3").hello()
    assert status == 2 and "-server.plain.agents.per.source" in why
    wait_until(lambda: len(alive(mesh)) == len(keep), 10, "the two that were taken are shown")
