"""serverd's trusted links: real handshakes with certificates that its authority issued."""
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


def test_a_server_without_a_place_for_its_keys_says_so(mesh):
    started(mesh, "-server.state.dir", "/proc/nowhere")
    assert wirelib.Agent(link(mesh), "a", "10.0.0.1").hello()[0] == 0
    assert "no trusted links" in mesh.server.log()
