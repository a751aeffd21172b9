"""A server whose admin API is tested, and what must not change of it."""
import json
import os
import sqlite3

import lablib
import meshlib
from lablib import wait_until

TARGETS = "prober_configs:\n- {prober_type: icmp, region: dns, targets: [192.0.2.53]}\n"
PORT = 6001
TOKENS = {"reader": ("read", "reader-0123456789abcdef"), "ops": ("operate", "ops-0123456789abcdef"),
          "boss": ("admin", "boss-0123456789abcdef")}
EXPIRED = "old-0123456789abcdef"


def bearer(name):
    return {"Authorization": f"Bearer {TOKENS[name][1]}"}


class AdminServer(lablib.Mesh):
    """Serves its admin API at every address of its host; `client` is another host."""

    def __init__(self, lab, *flags, tokens=True):
        super().__init__(lab, http_addr=f"127.0.0.1:{PORT}")
        lab.add_host("client")
        self.probe_file = lab.directory + "/probe.yaml"
        self.token_file = lab.directory + "/tokens"
        self.flags = ["-server.http.listen.addr", f"0.0.0.0:{PORT}", "-server.probe.file",
                      self.probe_file, *(["-server.http.tokens", self.token_file] if tokens else []),
                      *flags]
        with open(self.probe_file, "w", encoding="utf-8") as file:
            file.write(TARGETS)
        if tokens:
            self.write_tokens()
        self.start()

    def write_tokens(self, lines=None, mode=0o600):
        usual = [f"{n} {r} {t}" for n, (r, t) in TOKENS.items()] + \
            [f"old admin {EXPIRED} until=2020-01-01"]
        with open(self.token_file, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in (usual if lines is None else lines)))
        os.chmod(self.token_file, mode)

    def start(self):
        self.start_server(*self.flags)
        wait_until(self.is_ready, 20, "the server is ready")

    def ask(self, path, host="server", address="127.0.0.1", **options):
        """(status, text) of a page."""
        status, _, text = self.lab.http(host, f"http://{address}:{PORT}{path}", **options)
        return status, text

    def raw(self, request, host="client", address="10.77.0.1", timeout=8):
        """The status of the answer to these bytes; None when the server only ends the connection."""
        connection = self.lab.connect(host, (address, PORT), timeout)
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while b"\r\n" not in answer:
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
        except ConnectionResetError:
            pass
        finally:
            connection.close()
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else None

    def change_on_disk(self):
        """From now on a reload shows."""
        with open(self.probe_file, "a", encoding="utf-8") as file:
            file.write("- {prober_type: icmp, region: ntp, targets: [192.0.2.123]}\n")

    def crowded(self):
        """How many connections were ended since one peer had too many."""
        try:
            page = self.ask("/metrics", timeout=20)[1]
        except OSError:
            return 0
        return meshlib.total(meshlib.parse(page), "prober_server_http_refused_total", reason="crowd")

    def refused(self):
        """How many requests were answered with a status of 4xx."""
        page = self.ask("/metrics", headers=bearer("boss"))[1]
        return meshlib.total(meshlib.parse(page), "prober_server_http_requests_total", **{"class": "4xx"})

    def rows(self):
        """All that the store holds, but for when agents and servers were last there."""
        with sqlite3.connect(f"file:{self._state('server')}/server.db?mode=ro", uri=True) as db:
            return {table: db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                    for table in ("meta", "agents", "outages", "audit")}

    def audit(self):
        status, text = self.ask("/api/v1/audit", headers=bearer("boss"))
        assert status == 200, text
        return json.loads(text)["records"]

    def snapshot(self):
        """What a caller who may not change anything must leave as it is."""
        children = f"/proc/{self.server.pid}/task/{self.server.pid}/children"
        with open(children, encoding="ascii") as file:
            started = file.read()
        return {"rows": self.rows(), "started": started, "pid": self.server.pid,
                "files": sorted(os.listdir(self._state("server"))),
                "targets": self.ask("/-/targets", headers=bearer("boss")),
                "reloads": self.server.log().count("msg=reloaded"), "alive": self.server.alive(),
                "descriptors": self.settled_descriptors()}

    def settled_descriptors(self):
        """Open files of the server, when no connection of clients is left."""
        def count():
            return len(os.listdir(f"/proc/{self.server.pid}/fd"))

        def stable():
            with open(f"/proc/{self.server.pid}/net/tcp", encoding="ascii") as table:
                held = [line for line in table if f":{PORT:04X} " in line.split("rem_address")[0][:24]
                        and line.split()[3] in ("01", "08") and line.split()[9] != "0"]
            return not held and count()
        return wait_until(stable, 20, "the clients' connections to be gone")
