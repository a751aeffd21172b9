"""A server that is attacked: with a member of its own who must not notice, and all of it that must stay."""
import contextlib
import hashlib
import json
import os
import sqlite3
import ssl
import types

import adminlib
import meshlib
import trustlib
import wirelib
from lablib import wait_until
from trustlib import Authority, HandshakeNeeded, TrustedAgent

LINK = ("10.77.0.1", 6000)
# Of rows that change while a server and its agents live.
PASSING = {"last_seen_ns", "alive"}
SECRETS = ("pki", "ticket_keys")


def children(pid):
    """{pid: command} of all that a process started, and what these did."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children",
                                                encoding="ascii") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/comm", encoding="ascii") as name:
                    found[int(child)] = name.read().strip()
                found.update(children(int(child)))
    return found


def tree(directory):
    """{path: (mode, digest of what must not change)} of all that is below a directory."""
    found = {}
    for path, directories, files in os.walk(directory):
        for name in directories + files:
            at = os.path.join(path, name)
            below = os.path.relpath(at, directory)
            digest = ""
            if below.split("/")[0] in SECRETS and os.path.isfile(at):
                with open(at, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[below] = oct(os.lstat(at).st_mode), digest
    return found


def changes(before, after):
    """What differs, of dictionaries of dictionaries: {key: (before, after)}."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {} if before == after else {"": (before, after)}
    return {key: difference for key in {**before, **after}
            if (difference := changes(before.get(key), after.get(key)))}


class AttackedServer(adminlib.AdminServer):
    """Serves trusted and plain agents; `client` is where attacks come from, `home` where a good agent
    lives, which is connected all the time."""

    def __init__(self, lab, *flags, member=True, **options):
        self.meta_dir = lab.directory + "/results"
        os.makedirs(self.meta_dir)
        self.contexts, self.opened = {}, []
        super().__init__(lab, "-server.http.plain-tokens", "-server.task.meta.dir", self.meta_dir,
                         *flags, **options)
        lab.add_host("home")
        self.authority = Authority.of_server(self._state("server"))
        self.member = None
        if member:
            self.member = self.agent(self.authority.agent("home"), "home")
            self.opened.clear()
            assert self.member.hello() == (0, "")
            wait_until(self.known, 10, "the member is known")

    def connect(self, host="client", timeout=10):
        self.opened.append(self.lab.connect(host, LINK, timeout))
        return self.opened[-1]

    def hang_up(self):
        """Ends what clients and newcomers opened."""
        for connection in self.opened:
            connection.close()
        self.opened.clear()

    def context(self, credentials):
        """One for each agent, in which its sessions can be resumed."""
        if credentials not in self.contexts:
            self.contexts[credentials] = trustlib.tls_context(credentials, self.authority.pem())
        return self.contexts[credentials]

    def agent(self, credentials, host="client", **options):
        """A connection of an agent, with a session; all of one agent are of one boot."""
        options.setdefault("boot", credentials.agent or bytes(16))
        return TrustedAgent(self.connect(host), credentials, self.lab.hosts[host].ipv4,
                            context=self.context(credentials), **options)

    def greeted(self, agent):
        """The agent when it has said hello, and all know of it."""
        assert agent.hello() == (0, "")
        wait_until(lambda: agent.agent.hex() in {i for i, _, _ in self.known()}, 10, "the agent is known")
        return agent

    def command(self, *words):
        """A command of an operator on the server's host."""
        return self.lab.run("server", [self.lab.path("bin/serverd"), *words, "-server.state.dir",
                                       self._state("server")], timeout=20)

    def token(self, *words):
        made = self.command("join-token", *words)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def rows(self):
        """All that the store holds, but for what changes by itself."""
        with sqlite3.connect(f"file:{self._state('server')}/server.db?mode=ro", uri=True) as db:
            found = {}
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = [c[1] for c in db.execute(f"PRAGMA table_info({table})")
                           if c[1] not in PASSING]
                found[table] = sorted(db.execute(f"SELECT {','.join(columns)} FROM {table}"), key=repr)
            return found

    def known(self):
        """Who is known, as the API tells it."""
        status, text = self.ask("/api/v1/agents", headers=adminlib.bearer("boss"))
        assert status == 200
        return sorted((a["id"], a["region"], sorted(a["addresses"]))
                      for a in json.loads(text)["agents"])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def snapshot(self):
        daemons = [self.server, *self.agents.values()]
        return {"known": self.known(), "rows": self.rows(), "files": tree(self.lab.directory + "/state"),
                "results": tree(self.meta_dir),
                "processes": {d.name: (d.pid, d.alive(), children(d.pid)) for d in daemons},
                "targets": self.targets()}

    def targets(self):
        return self.ask("/-/targets", headers=adminlib.bearer("boss"))

    @contextlib.contextmanager
    def untouched(self):
        """What is done meanwhile leaves nothing behind: no row, file, process or connection, and keeps
        nobody out."""
        self.hang_up()
        wait_until(lambda: len(self.rows()["agents"]) == len(self.known()) and
                   None not in json.loads(self.targets()[1]).values(), 10, "all to know who is there")
        before, descriptors = self.snapshot(), self.settled()
        yield
        difference = changes(before, self.snapshot())
        assert not difference, difference
        if self.member:
            revision, targets = self.member.sync()
            assert revision and targets is not None
        self.agent(self.authority.agent("home"), "home")
        self.hang_up()
        wait_until(lambda: self.descriptors() <= descriptors, 20, lambda:
                   f"{descriptors} descriptors, of {self.descriptors()}")
        assert self.ask("/-/ready")[0] == 200

    def settled(self):
        """Descriptors while nobody but the member is connected."""
        wait_until(lambda: meshlib.total(self.metrics(), "prober_server_link_connections")
                   == (self.member is not None), 20, "the connections to be gone")
        return self.settled_descriptors()

    def metrics(self):
        return meshlib.parse(self.ask("/metrics", headers=adminlib.bearer("boss"))[1])


DROPPED, NEEDED, ALERT, LET_IN = "dropped", "handshake needed", "an alert", "let in"


def answer_to(attack):
    """What becomes of an attack: DROPPED, NEEDED, ('alert', its name), LET_IN with a connection, or
    what the attack returns."""
    try:
        outcome = attack()
        return LET_IN if isinstance(outcome, trustlib.TrustedPeer) else outcome
    except (ConnectionError, BrokenPipeError):
        return DROPPED
    except HandshakeNeeded:
        return NEEDED
    except ssl.SSLError as error:
        return "alert", error.reason


def say(peer, payload):
    """What a frame is answered with: NEEDED, ALERT, or (kind, body)."""
    kind, body = trustlib.TrustedPeer.exchange(peer, payload)
    if kind == trustlib.NEEDED:
        return NEEDED
    if kind == trustlib.HANDSHAKE and last_record(body) == 21:
        return ALERT  # perhaps sealed, or behind the beginning of a flight
    return kind, body


def last_record(flight):
    """The type of the last record of TLS."""
    record = None
    while len(flight) >= 5:
        record, length = flight[0], int.from_bytes(flight[3:5], "big")
        flight = flight[5 + length:]
    return record


@contextlib.contextmanager
def recorded():
    """The frames that trusted peers send and take meanwhile."""
    tape = types.SimpleNamespace(sent=[], taken=[])
    exchange = trustlib.TrustedPeer.exchange

    def taped(peer, payload):
        kind, body = exchange(peer, payload)
        tape.sent.append(payload)
        tape.taken.append(wirelib.frame(body, kind=kind))
        return kind, body
    trustlib.TrustedPeer.exchange = taped
    try:
        yield tape
    finally:
        trustlib.TrustedPeer.exchange = exchange
