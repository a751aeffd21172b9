"""Agents join, renew, and are thrown out: the server's side, and the commands that an operator gives."""
import base64
import json
import os
import signal
import socket
import sqlite3
import stat
import struct
import time

import pytest
import trustlib
import wirelib
from lablib import Mesh, wait_until
from trustlib import OK, REFUSED, Joiner, Token, TrustedAgent


class JoinMesh(Mesh):
    """A server, the commands of its host, and peers that speak to it."""

    def __init__(self, lab):
        super().__init__(lab, http_addr="127.0.0.1:6001")
        self.start_server()
        wait_until(self.is_ready, 20, "the server is ready")

    def command(self, *words, user=None):
        argv = [self.lab.path("bin/serverd"), *words, "-server.state.dir", self._state("server")]
        if user is not None:
            argv = ["setpriv", f"--reuid={user}", "--clear-groups", *argv]
        return self.lab.run(self.server_host, argv, timeout=20)

    def done(self, *words):
        ended = self.command(*words)
        assert ended.returncode == 0, ended.stderr
        return ended

    def token(self, *words):
        return self.done("join-token", *words).stdout.strip()

    def link(self):
        return self.lab.connect(self.server_host, ("10.77.0.1", 6000))

    def ca(self):
        with open(self._state("server") + "/pki/ca.crt", encoding="ascii") as file:
            return file.read()

    def join(self, word, key=None, region=""):
        """(status, message, Credentials or None)"""
        key = key or trustlib.new_key()
        joiner = Joiner(self.link(), self.ca())
        status, text, certificate = joiner.join(Token(word).secret,
                                                trustlib.certificate_request(key, "x"), region)
        joiner.close()
        return status, text, certificate and trustlib.Credentials.issued(key, certificate)

    def joined(self, region, key=None):
        status, text, credentials = self.join(self.token("-region", region), key)
        assert status == OK, text
        return credentials

    def agent(self, credentials, address="10.77.0.1"):
        return TrustedAgent(self.link(), credentials, address)

    def spends(self):
        with sqlite3.connect(f"file:{self._state('server')}/server.db?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM join_spends").fetchone()[0]

    def listed(self):
        return {a["id"]: a for a in json.loads(self.done("agents", "list", "-json").stdout)}


@pytest.fixture
def mesh(lab):
    return JoinMesh(lab)


@pytest.mark.address
@pytest.mark.thread
def test_a_token_joins_one_agent_and_every_other_use_is_refused(mesh):
    made = mesh.done("join-token", "-region", "欧洲 1")
    word = made.stdout.strip()
    assert made.stdout == word + "\n"
    assert f"agentd -agent.rpc.report.addr 10.77.0.1:6000 -agent.region '欧洲 1' -agent.join {word}" in \
        made.stderr
    Token(word)
    key = trustlib.new_key()
    status, text, credentials = mesh.join(word, key)
    assert status == OK, text
    assert credentials.region == "欧洲 1"
    again = mesh.join(word, key)[2]  # its answer got lost
    assert again.agent == credentials.agent and mesh.spends() == 1
    status, text, _ = mesh.join(word)
    assert status == REFUSED and "used already" in text
    name = mesh.done("join-token", "-list").stdout.split("\n")[1].split()[0]
    mesh.done("join-token", "-revoke", name)
    status, text, _ = mesh.join(word)
    assert status == REFUSED and "revoked" in text
    status, text, _ = mesh.join(mesh.token("-region", "a"), region="b")
    assert status == REFUSED and "another region" in text
    assert mesh.agent(credentials).hello() == (OK, "")
    assert word not in mesh.server.log() and Token(word).secret.hex() not in mesh.server.log()
    assert mesh.get("/metrics")[2].count("prober_server_joins_total{") == 4


def test_who_comes_to_join_can_do_nothing_else_and_who_has_joined_cannot(mesh):
    credentials = mesh.joined("a")
    joiner = Joiner(mesh.link(), mesh.ca())
    body = wirelib.message(_1=1, _2=credentials.agent, _3=b"b" * 16, _11=wirelib.message(_1=0))
    status, text = trustlib.status_of(joiner.ask(body))
    assert status == REFUSED and "join, and nothing else" in text
    agent = mesh.agent(credentials)
    secret = Token(mesh.token()).secret
    request = trustlib.certificate_request(trustlib.new_key(), "x")
    reply = agent.call(_13=wirelib.message(_1=secret, _2=request, _3="a", _4="1"))
    assert trustlib.status_of(reply)[0] == REFUSED
    plain = wirelib.Agent(mesh.link(), "b", "10.77.0.1")
    for call in ({"_13": wirelib.message(_1=secret, _2=request, _3="b", _4="1")},
                 {"_14": wirelib.message(_1=request)}):
        assert trustlib.status_of(plain.call(**call))[0] == REFUSED
    assert mesh.spends() == 1


def test_a_renewal_is_of_the_same_agent(mesh):
    credentials = mesh.joined("a")
    key = trustlib.new_key()
    request = trustlib.certificate_request(key, "someone else",
                                           [trustlib.agent_name(os.urandom(16), "b")])
    status, text, certificate = mesh.agent(credentials).renew(request)
    assert status == OK, text
    renewed = trustlib.Credentials.issued(key, certificate)
    assert (renewed.agent, renewed.region) == (credentials.agent, "a")
    assert mesh.agent(renewed).hello() == (OK, "")


@pytest.mark.address
@pytest.mark.thread
def test_a_revoked_agent_is_out_within_two_seconds(mesh):
    one, other = mesh.joined("a"), mesh.joined("b")
    gone, stays = mesh.agent(one), mesh.agent(other, "10.77.0.2")
    assert gone.hello() == stays.hello() == (OK, "")
    wait_until(lambda: (stays.sync()[1] or {}).get("a"), 10, "the one is in the other's plan")
    began = time.monotonic()
    mesh.done("agents", "revoke", one.agent.hex())
    with pytest.raises((trustlib.HandshakeNeeded, ConnectionError)):
        gone.sync()
    wait_until(lambda: not (stays.sync()[1] or {}).get("a"), 5, "it is out of the plan")
    assert time.monotonic() - began < 2
    with pytest.raises((trustlib.HandshakeNeeded, ConnectionError)):
        mesh.agent(one).hello()
    status, text, _ = mesh.join(mesh.token("-region", "a"), one.key)
    assert status == REFUSED and "is revoked" in text
    assert "revoked_s" in mesh.listed()[one.agent.hex()]
    mesh.server.kill()
    mesh.start_server()
    wait_until(mesh.is_ready, 20, "the server is ready again")
    with pytest.raises((trustlib.HandshakeNeeded, ConnectionError)):
        mesh.agent(one).hello()
    assert mesh.agent(other, "10.77.0.2").hello() == (OK, "")
    mesh.done("agents", "unrevoke", one.agent.hex())
    assert mesh.agent(one).hello() == (OK, "")


def test_a_kill_between_spend_and_answer_costs_no_use(mesh):
    """The server stops where the answer would be sent, is killed there, and is asked again."""
    word, key = mesh.token("-region", "a"), trustlib.new_key()
    for _ in range(5):
        joiner = Joiner(mesh.link(), mesh.ca())
        request = trustlib.certificate_request(key, "x")
        body = wirelib.message(_1=1, _2=b"a" * 16, _3=b"b" * 16, _13=wirelib.message(
            _1=Token(word).secret, _2=request, _3="", _4="1"))
        joiner.send(wirelib.frame(joiner.tls.seal(body), kind=trustlib.DATA))
        wait_until(lambda: mesh.spends() == 1, 5, "the use is spent", pause=0.0005)
        mesh.server.kill()
        joiner.close()
        mesh.start_server()
        wait_until(mesh.is_ready, 20, "the server is ready again")
    ids = {mesh.join(word, key)[2].agent for _ in range(2)}
    assert len(ids) == 1 and mesh.spends() == 1
    assert mesh.join(word)[0] == REFUSED


@pytest.mark.address
def test_the_socket_is_for_root_and_the_servers_user_alone(mesh):
    path = mesh._state("server") + "/server.sock"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for directory in (mesh._state("server"), os.path.dirname(mesh._state("server"))):
        os.chmod(directory, 0o755)
    os.chmod(path, 0o666)
    ended = mesh.command("join-token", user=65534)
    assert ended.returncode == 1 and ended.stdout == ""
    assert "root and the server's own user" in ended.stderr
    assert mesh.command("join-token", "-list").stdout.count("\n") == 1
    os.chmod(path, 0o600)
    ended = mesh.command("join-token", user=65534)
    assert ended.returncode == 1 and "run this as one of them" in ended.stderr


def test_the_socket_of_a_killed_server_is_replaced(mesh):
    mesh.server.kill()
    ended = mesh.command("join-token")
    assert ended.returncode == 1 and "is serverd running" in ended.stderr
    mesh.start_server()
    wait_until(mesh.is_ready, 20, "the server is ready again")
    mesh.token()
    mesh.server.signal(signal.SIGTERM)
    assert mesh.server.wait(10) == 0
    assert not os.path.exists(mesh._state("server") + "/server.sock")


def test_commands_are_on_record_and_what_is_none_harms_nothing(mesh):
    word = mesh.token("-region", "a", "-uses", "2")
    assert mesh.command("join-token", "-uses", "0").returncode == 2
    assert mesh.command("agents", "unrevoke", "ab" * 16).returncode == 1
    status, _, text = mesh.get("/api/v1/audit")
    assert status == 200
    rows = json.loads(text)["records"]
    assert [(r["who"], r["target"], r["status"]) for r in rows] == \
        [("uid:0", "agents unrevoke", 404), ("uid:0", "join-token make", 200)]
    assert word not in text
    directory = os.open(mesh._state("server"), os.O_PATH)
    for text in (b"\n", b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"\0" * 100 + b"\n", b"x" * 10000,
                 b'{"command":"join-token make","region":"' + b"r" * 3000 + b'"}\n'):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(f"/proc/self/fd/{directory}/server.sock")
            sock.sendall(text)
            assert "error" in json.loads(sock.makefile().readline()), text[:20]
    os.close(directory)
    mesh.token()


# ---- with real agents ----

def joined_agents(mesh, region):
    return [i for i, a in mesh.listed().items() if a["region"] == region and "joined_s" in a]


@pytest.mark.address
@pytest.mark.thread
def test_two_commands_join_an_agent_which_then_needs_no_token(mesh):
    host, other = mesh.add_agents("eu", 2)
    word = mesh.token("-region", "eu")
    agent = mesh.start_agent(host, "-agent.join", word)
    wait_until(lambda: [a for a in mesh.listed().values() if a["alive"]], 20, "the agent is there")
    one, = joined_agents(mesh, "eu")
    agent.stop()
    mesh.start_agent(host)
    wait_until(lambda: "says hello" in mesh.server.log().split(one)[-1] or
               mesh.server.log().count("says hello") > 1, 20, "it is there again")
    assert joined_agents(mesh, "eu") == [one]
    second = mesh.start_agent(other, "-agent.join", word)
    assert second.wait(20) == 1
    assert "used already" in second.log() and word not in second.log()
    mesh.done("agents", "revoke", one)
    began = time.monotonic()
    wait_until(lambda: mesh.get("/api/v1/agents")[2].count(one) == 0, 5, "it is out")
    assert time.monotonic() - began < 2
    assert word not in mesh.server.log()


def word_of(secret, fingerprint):
    """A token as the server would write it."""
    raw = secret + fingerprint
    raw += struct.pack(">I", wirelib.crc32c(raw))
    return "pmj1" + base64.b32encode(raw).decode().lower().rstrip("=")


def test_a_token_that_is_no_good_ends_an_agent_with_the_reason(mesh):
    hosts = mesh.add_agents("eu", 4)
    good = Token(mesh.token("-region", "eu"))
    agents = {
        "another region": mesh.start_agent(hosts[0], "-agent.join", mesh.token("-region", "us")),
        "not known": mesh.start_agent(hosts[1], "-agent.join",
                                      word_of(os.urandom(16), good.fingerprint)),
        "authority": mesh.start_agent(hosts[2], "-agent.join",
                                      word_of(good.secret, trustlib.Authority().fingerprint())),
        "mistyped": mesh.start_agent(hosts[3], "-agent.join",
                                     word_of(good.secret, good.fingerprint)[:-3] + "aaa"),
    }
    ended = {reason: agent.wait(20) for reason, agent in agents.items()}
    assert {r: (ended[r], a.log()) for r, a in agents.items()
            if ended[r] not in (1, 2) or r not in a.log()} == {}
    assert mesh.spends() == 0 and mesh.listed() == {}


def test_an_agent_whose_server_is_killed_as_it_joins_becomes_one_agent(mesh):
    host, = mesh.add_agents("eu")
    word = mesh.token()
    agent = mesh.start_agent(host, "-agent.join", word)
    wait_until(lambda: mesh.spends() == 1, 20, "the use is spent", pause=0.0005)
    mesh.server.kill()
    mesh.start_server()
    wait_until(mesh.is_ready, 20, "the server is ready again")
    wait_until(lambda: [a for a in mesh.listed().values() if a["alive"]], 30, "the agent is there")
    assert agent.alive() and mesh.spends() == 1
    assert len(joined_agents(mesh, "eu")) == 1
