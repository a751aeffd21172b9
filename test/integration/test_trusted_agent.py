"""Agents on trusted links: joined by two commands, through restarts of either side, and never plain."""
import json
import signal
import time

import pytest

from lablib import wait_until
from meshlib import TestMesh, total
from test_mesh import conserve, is_reporting

pytestmark = pytest.mark.address
MANY_WINDOWS = ("-server.series.cache.ratio", "30")


def token(mesh, region, state="server"):
    """serverd join-token, the first of the two commands; the second is the agent's own."""
    ended = mesh.lab.run("server", [mesh.lab.path("bin/serverd"), "join-token", "-region", region,
                                    "-server.state.dir", mesh._state(state)], check=True)
    return ended.stdout.strip()


def started(lab, regions, *server_flags, join=True):
    """A mesh whose server runs, and whose agents have joined (join=False: are not there yet)."""
    mesh = TestMesh(lab, regions, server_flags=server_flags, start=False)
    mesh.start_server(*server_flags)
    wait_until(mesh.is_ready, 20, "the server")
    for host in mesh.all_hosts() if join else ():
        mesh.start_agent(host, "-agent.join", token(mesh, lab.hosts[host].region))
    return mesh


def trust(mesh):
    """{agent id: how its link is}"""
    return {a["id"]: a["trust"] for a in json.loads(mesh.get("/api/v1/agents")[2])["agents"]}


def handshakes(mesh, host):
    metrics = mesh.agent_metrics(host)
    return {name: int(total(metrics, f"prober_agent_link_handshakes_{name}total"))
            for name in ("", "resumed_", "failed_")}


@pytest.mark.thread
def test_joined_agents_lose_and_double_nothing_through_restarts_of_either_side(lab):
    mesh = started(lab, {"ra": 1, "rb": 1}, *MANY_WINDOWS)
    mesh.wait_until_formed()
    known = trust(mesh)
    assert list(known.values()) == ["joined", "joined"]
    # The word of the token is needed once: this start has none.
    mesh.agents["ra-1"].stop()
    argv = mesh.agents["ra-1"].argv
    at = argv.index("-agent.join")
    mesh.agents["ra-1"] = lab.spawn("ra-1", argv[:at] + argv[at + 2:], "agentd-ra-1")
    wait_until(lambda: is_reporting(mesh, "ra-1"), 30, "the agent to report again")
    mesh.server.kill()
    mesh.server = mesh.server.restarted()
    mesh.wait_until_formed(60)
    assert conserve(mesh, {})["sent"] > 0
    assert trust(mesh) == known, "the same agents"
    for host in mesh.all_hosts():
        done = handshakes(mesh, host)
        assert done["resumed_"] >= 1 and done["failed_"] == 0, done
    mesh.assert_lawful()


def test_a_server_that_refuses_plain_links_tells_an_agent_what_to_do(lab):
    mesh = started(lab, {"ra": 1}, "-server.plain", "refuse", join=False)
    agent = mesh.start_agent("ra-1")
    wait_until(lambda: "join-token" in agent.log(), 10, lambda: f"a word of what to do: {agent.log()}")
    assert agent.alive() and trust(mesh) == {}
    agent.stop()
    agent = mesh.start_agent("ra-1", "-agent.join", token(mesh, "ra"))
    wait_until(lambda: list(trust(mesh).values()) == ["joined"], 10, "it to be taken")


def test_an_agent_calls_no_server_of_another_authority_and_none_plainly(lab):
    mesh = started(lab, {"ra": 1})
    agent = mesh.agents["ra-1"]
    wait_until(lambda: list(trust(mesh).values()) == ["joined"], 10, "it to join")
    mesh.server.stop()
    argv = list(mesh.server.argv)
    argv[argv.index("-server.state.dir") + 1] = mesh._state("other")
    mesh.server = lab.spawn("server", argv, "serverd-other")
    wait_until(mesh.is_ready, 20, "the other server")
    wait_until(lambda: handshakes(mesh, "ra-1")["failed_"] >= 1, 20, "a handshake that fails")
    wait_until(lambda: "authority" in agent.log(), 10, lambda: f"a word of it: {agent.log()}")
    assert trust(mesh) == {}
    # A token of the one server is worth nothing at the other.
    agent.stop()
    refused = lab.run("ra-1", [lab.path("bin/agentd"), "-agent.region", "ra", "-agent.rpc.report.addr",
                               mesh.rpc, "-agent.state.dir", mesh._state("fresh"), "-agent.join",
                               agent.argv[agent.argv.index("-agent.join") + 1]], timeout=20)
    assert refused.returncode == 1 and "cannot join at" in refused.stderr, refused.stderr
    assert trust(mesh) == {}


def test_who_waits_to_join_stops_at_once(lab):
    mesh = started(lab, {"ra": 1}, join=False)
    word = token(mesh, "ra")
    mesh.server.stop()
    agent = mesh.start_agent("ra-1", "-agent.join", word)
    wait_until(lambda: "cannot join yet" in agent.log(), 10, "it to wait")
    began = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait(10) == 0
    assert time.monotonic() - began < 3
    assert word not in agent.log()
    # Nothing is lost by it: the same token is good at the next start.
    mesh.server = mesh.server.restarted()
    agent = mesh.agents["ra-1"] = agent.restarted()
    wait_until(lambda: mesh.server.alive() and mesh.try_pairs() == {} and mesh.is_ready(), 20, "the server")
    wait_until(lambda: list(trust(mesh).values()) == ["joined"], 15, "it to join")
