"""serverd's trusted links: real handshakes with certificates that its authority issued."""
import json
import os
import ssl

import pytest
import trustlib
import wirelib
from lablib import Mesh, wait_until
from test_serverd import link, metric, started


@pytest.fixture
def mesh(lab):
    return Mesh(lab, http_addr="127.0.0.1:6001")


@pytest.mark.address
@pytest.mark.thread
def test_an_agent_shakes_hands_by_a_certificate_of_the_authority_and_resumes_after_a_restart(mesh):
    started(mesh)
    ours = trustlib.Authority.of_server(os.path.join(mesh.lab.directory, "state", "server"))
    credentials = ours.agent("eu")
    first = trustlib.TrustedAgent(link(mesh), credentials, "10.0.0.1", ca=ours.pem())
    assert first.hello()[0] == 0 and not first.resumed
    session = first.session
    with pytest.raises((ssl.SSLError, ConnectionError)):
        trustlib.TrustedAgent(link(mesh), trustlib.Authority().agent("eu"), "10.0.0.1")
    mesh.server.stop()
    started(mesh)
    again = trustlib.TrustedAgent(link(mesh), credentials, "10.0.0.1", context=first.context, session=session)
    assert again.resumed and again.hello()[0] == 0
    wait_until(lambda: metric(mesh, 'prober_server_handshakes_total{result="resumed"}') == 1, 10, "counted")


@pytest.mark.address
@pytest.mark.thread
def test_what_joined_takes_no_plain_agent_also_after_a_restart_unless_its_region_migrates(mesh):
    """The id, the region and the address of one that proved itself."""
    started(mesh)
    credentials = trustlib.Authority.of_server(os.path.join(mesh.lab.directory, "state", "server")).agent("eu")
    before = wirelib.Agent(link(mesh), "eu", "10.0.0.9")
    assert before.hello()[0] == 0
    joined = trustlib.TrustedAgent(link(mesh), credentials, "198.51.100.7")
    assert joined.hello()[0] == 0
    assert before.call(_11=b"")[3] == [trustlib.HELLO_NEEDED], "its region joined"

    def refusals():
        for region, address, ident in (("eu", "10.0.0.3", None), ("us", "198.51.100.7", None),
                                       ("us", "10.0.0.3", credentials.agent)):
            yield wirelib.Agent(link(mesh), region, address, agent=ident).hello()
    told = list(refusals())
    assert [status for status, _ in told] == [2, 2, 2], told
    assert "eu have joined" in told[0][1] and "-server.plain.migrate" in told[0][1]
    other = wirelib.Agent(link(mesh), "us", "10.0.0.3")
    assert other.hello()[0] == 0
    wait_until(lambda: {a["region"]: a["trust"] for a in
                        json.loads(mesh.get("/api/v1/agents")[2])["agents"]} ==
               {"eu": "joined", "us": "plain"}, 10, "the kind of link is shown")
    wait_until(lambda: metric(mesh, 'prober_server_agents_alive{trust="joined"}') == 1, 10, "and counted")
    mesh.server.stop()
    started(mesh, "-server.plain.migrate", "us")
    assert [status for status, _ in refusals()] == [2, 2, 2]
    mesh.server.stop()
    started(mesh, "-server.plain.migrate", "us,eu")
    assert [status for status, _ in refusals()][0] == 0


def test_a_server_that_refuses_plain_links_asks_for_a_handshake(mesh):
    started(mesh, "-server.plain", "refuse")
    peer = trustlib.TrustedPeer(link(mesh), trustlib.tls_context(), shake=False)
    kind, body = peer.exchange(wirelib.frame(wirelib.message(_1=1, _2=b"1" * 16, _3=b"2" * 16, _11=b"")))
    assert (kind, body) == (trustlib.NEEDED, b"")
    ours = trustlib.Authority.of_server(os.path.join(mesh.lab.directory, "state", "server"))
    assert trustlib.TrustedAgent(link(mesh), ours.agent("eu"), "10.0.0.1").hello()[0] == 0
    wait_until(lambda: metric(mesh, 'prober_server_link_faults_total{reason="plain"}') == 1, 10, "it is counted")


def test_a_server_without_a_place_for_its_keys_says_so(mesh):
    started(mesh, "-server.state.dir", "/proc/nowhere")
    assert wirelib.Agent(link(mesh), "a", "10.0.0.1").hello()[0] == 0
    assert "no trusted links" in mesh.server.log()
