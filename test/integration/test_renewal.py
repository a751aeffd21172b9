"""Certificates of agents at the end of their life: renewed in time, or too late. Their age is made with the
server's own authority."""
import pathlib

import pytest

from lablib import wait_until
from meshlib import total
from test_trusted_agent import handshakes, started, token, trust
from trustlib import Authority, key_pem

pytestmark = pytest.mark.address


def given_certificate(mesh, host, region, days, agent=None):
    """Puts a certificate into the agent's state, valid from and to `days` from now."""
    authority = Authority.of_server(mesh._state("server"))
    made = authority.agent(region, agent=agent, days=days)
    directory = pathlib.Path(mesh._state(host), "credentials")
    directory.mkdir(mode=0o700, parents=True)
    file = directory / "agent.pem"
    file.write_text(key_pem(made.key) + made.certificate + authority.pem(), encoding="utf-8")
    file.chmod(0o600)
    return file, made


def test_an_agent_renews_its_certificate_and_goes_on_by_the_new_one(lab):
    mesh = started(lab, {"ra": 1}, join=False)
    file, old = given_certificate(mesh, "ra-1", "ra", (-80, 10))
    agent = mesh.start_agent("ra-1")
    wait_until(lambda: "was renewed" in agent.log(), 15, lambda: f"a renewal: {agent.log()}")
    # A session by the new certificate. Nobody was dropped for it, and nothing failed.
    wait_until(lambda: handshakes(mesh, "ra-1")[""] == 2, 10, "another handshake")
    assert handshakes(mesh, "ra-1") == {"": 2, "resumed_": 0, "failed_": 0}
    assert list(trust(mesh)) == [old.agent.hex()]
    assert old.certificate not in file.read_text(encoding="utf-8")
    assert not (file.parent / "next.key").exists()
    assert "does not answer" not in agent.log()
    assert total(mesh.metrics(), "prober_server_link_connections_total", result="dropped") == 0
    # What is on disk is good for the next start.
    agent.stop()
    agent = mesh.agents["ra-1"] = agent.restarted()
    wait_until(lambda: "server accepted" in agent.log().rpartition("agent started")[2], 10, "the next start")
    assert agent.log().count("was renewed") == 1


def test_an_agent_whose_certificate_expired_says_so_and_joins_with_a_new_token(lab):
    mesh = started(lab, {"ra": 1}, join=False)
    _, old = given_certificate(mesh, "ra-1", "ra", (-90, -1))
    agent = mesh.start_agent("ra-1")
    wait_until(lambda: "our certificate has expired" in agent.log(), 10,
               lambda: f"a word of it: {agent.log()}")
    assert "join again with a new token" in agent.log()
    assert trust(mesh) == {}, "it does not fall back to a plain link"
    agent.stop()
    mesh.start_agent("ra-1", "-agent.join", token(mesh, "ra"))
    wait_until(lambda: list(trust(mesh).values()) == ["joined"], 10, "it to join")
    assert list(trust(mesh)) != [old.agent.hex()], "a new key is another agent"
