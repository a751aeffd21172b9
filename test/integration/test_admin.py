"""The admin API: who may change things, and that nobody else can."""
import json
import os
import signal
import subprocess
import time

import pytest

import lablib
from adminlib import EXPIRED, PORT, TOKENS, AdminServer, bearer
from lablib import wait_until

pytestmark = pytest.mark.address
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
CURL = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
RELOAD = "/-/reload"

# Passes what comes to a port on to the server, as a tunnel does.
TUNNEL = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 7001))
def pump(a, b):
    try:
        while True:
            data = a.recv(4096)
            if not data:
                break
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", 6001))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


def curl(server, *arguments, host="server", user=()):
    """The status that curl was answered with."""
    done = server.lab.run(host, [*user, *CURL, *arguments], timeout=30)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# ---- without tokens ----

def test_the_originals_curl_line_works_at_the_host_and_from_nowhere_else(lab):
    server = AdminServer(lab, tokens=False)
    server.change_on_disk()
    before = server.snapshot()
    local, url = f"http://localhost:{PORT}{RELOAD}", f"http://10.77.0.1:{PORT}{RELOAD}"
    assert curl(server, url, host="client") == 403
    assert curl(server, "-H", "Host: localhost", url, host="client") == 403
    assert curl(server, "-X", "POST", "-H", "X-Forwarded-For: 127.0.0.1", url, host="client") == 403
    assert curl(server, url) == 403, "not over loopback"
    assert curl(server, local, user=NOBODY) == 403
    for header in ("Origin: http://evil.example", "Referer: http://localhost/", "Sec-Fetch-Mode: cors",
                   "Host: rebound.example", "Forwarded: for=127.0.0.1", "X-Forwarded-Proto: https"):
        assert curl(server, "-H", header, local) == 403
    script = lab.directory + "/tunnel.py"
    with open(script, "w", encoding="utf-8") as file:
        file.write(TUNNEL)
    os.chmod(lab.directory, 0o755)
    tunnel = lab.spawn("server", [*NOBODY, "/usr/bin/python3", script], "tunnel")
    wait_until(lambda: lab.run("server", ["curl", "-s", "http://127.0.0.1:7001/-/ready"]).stdout, 10,
               "the tunnel")
    assert curl(server, "http://127.0.0.1:7001" + RELOAD) == 403
    tunnel.kill()
    assert server.snapshot() == before
    assert curl(server, local) == 200
    assert curl(server, "-X", "POST", "-d", "", local) == 200
    after = server.snapshot()
    assert list(json.loads(after["targets"][1])) == ["dns", "ntp"]
    assert [(who, client, method, target, status) for _, _, who, client, method, target, _, status
            in after["rows"]["audit"]] == [("uid:0", "127.0.0.1", "GET", RELOAD, 200),
                                           ("uid:0", "127.0.0.1", "POST", RELOAD, 200)]
    # Who may change everything may also see what was changed, and nobody else.
    assert curl(server, f"http://localhost:{PORT}/api/v1/audit") == 200
    assert curl(server, f"http://10.77.0.1:{PORT}/api/v1/audit", host="client") == 403


# ---- with tokens ----

@pytest.mark.thread
def test_the_role_of_a_token_says_how_far_it_goes(lab):
    server = AdminServer(lab, "-server.http.read", "token")
    needs = {"/-/healthy": None, "/-/ready": None, "/metrics": "scrape", "/-/targets": "read",
             "/api/v1/mesh": "read", "/api/v1/agents": "read", "/api/v1/http": "read",
             RELOAD: "operate", "/api/v1/audit": "admin"}
    roles = [None, "scrape", "read", "operate", "admin"]
    for path, needed in needs.items():
        assert server.ask(path)[0] == (401 if needed else 200), path
        for name, (role, _) in TOKENS.items():
            enough = roles.index(role) >= roles.index(needed)
            assert server.ask(path, headers=bearer(name))[0] == (200 if enough else 403), (path, name)
    assert [r["who"] for r in server.audit()] == ["token:boss", "token:ops"]
    assert TOKENS["ops"][1] not in server.server.log()


def test_what_is_no_token_is_refused_and_changes_nothing(lab):
    server = AdminServer(lab)
    server.change_on_disk()
    before = server.snapshot()
    ops = TOKENS["ops"][1]
    for value in ("Bearer", "Bearer ", "Bearer wrong", f"Bearer {ops}x", f"Bearer {ops[:-1]}",
                  f"Bearer {EXPIRED}", f"Bearer {ops} {ops}", f"Bearer {ops.upper()}", f"Basic {ops}",
                  ops, "Bearer " + "a" * 8000, f"Bearer,{ops}", "Bearer ops"):
        status, text = server.ask(RELOAD, method="POST", headers={"Authorization": value})
        assert status == 401, value
        assert ops not in text
    assert server.ask(RELOAD, headers=bearer("reader"))[0] == 403
    assert server.ask(RELOAD + "?token=" + ops)[0] == 401
    assert server.ask(RELOAD)[0] == 401, "with tokens, a change needs one at the host too"
    assert server.snapshot() == before
    assert ops not in server.server.log() and EXPIRED not in server.server.log()
    assert server.ask(RELOAD, headers=bearer("ops"))[0] == 200


def test_a_token_from_another_host_needs_https_or_leave(lab):
    server = AdminServer(lab)
    before = server.snapshot()

    def ask_from_client(**more):
        return server.ask(RELOAD, "client", "10.77.0.1", headers={**bearer("ops"), **more})
    status, text = ask_from_client()
    assert status == 403 and "HTTPS" in text
    assert ask_from_client(**{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"})[0] == 403
    assert server.snapshot() == before
    assert server.ask(RELOAD, "server", "10.77.0.1", headers=bearer("ops"))[0] == 200, "the same host"
    server.server.stop()
    server.flags.append("-server.http.plain-tokens")
    server.start()
    assert ask_from_client()[0] == 200
    assert server.audit()[0]["client"] == lab.hosts["client"].ipv4


def test_tokens_are_read_again_at_a_reload_or_stay_as_they_are(lab):
    server = AdminServer(lab)
    new = "new-0123456789abcdef"

    def hang_up(count):
        server.server.signal(signal.SIGHUP)
        wait_until(lambda: server.server.log().count("msg=reloaded") +
                   server.server.log().count("reload failed") == count, 10, "the reload")
    server.write_tokens([f"new admin {new}"], mode=0o644)
    hang_up(1)
    assert "chmod 600" in server.server.log()
    assert server.ask(RELOAD, headers=bearer("ops"))[0] == 500, "and the same by the API"
    os.chmod(server.token_file, 0o600)
    hang_up(3)
    assert server.ask(RELOAD, headers=bearer("ops"))[0] == 401
    assert server.ask(RELOAD, headers={"Authorization": f"Bearer {new}"})[0] == 200
    assert new not in server.server.log()


@pytest.mark.parametrize("lines, mode, says", [
    (["a admin 0123456789abcdef"], 0o644, "has mode 0644: other users could read"),
    (["a admin 0123456789abcdef"], 0o620, "chmod 600"),
    (["a root 0123456789abcdef"], 0o600, "tokens:1: the role must be scrape, read, operate or admin"),
    (["# none", "a admin short"], 0o600, "tokens:2: a token has 16 to 256"),
    (["a admin 0123456789abcdef until=never"], 0o600, "expected until="),
])
def test_a_faulty_token_file_keeps_the_server_from_starting(lab, lines, mode, says):
    server = AdminServer(lab)
    server.server.stop()
    server.write_tokens(lines, mode)
    ended = server.start_server(*server.flags)
    assert ended.wait(20) == 1
    assert says in ended.log()
    assert "0123456789abcdef" not in ended.log()
    settings = lab.directory + "/serverd.yaml"
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f"server.http.tokens: {server.token_file}\n")
    checked = lab.run("server", [lab.path("bin/serverd"), "check-config", settings])
    assert checked.returncode == 1 and says in checked.stderr


def test_a_change_outlives_the_server_that_made_it(lab):
    server = AdminServer(lab)
    body = json.dumps({"reason": "欧洲", "more": "x" * 10000})
    assert server.ask(RELOAD, method="POST", headers=bearer("ops"), body=body.encode())[0] == 200
    server.server.kill()
    server.start()
    (record,) = server.audit()
    assert (record["who"], record["client"], record["method"], record["target"], record["status"]) == \
        ("token:ops", "127.0.0.1", "POST", RELOAD, 200)
    assert 4096 <= len(record["body"].encode()) < 4200
    assert abs(record["time"] - time.time()) < 60
    server.ask(RELOAD, headers=bearer("boss"))
    assert [r["who"] for r in server.audit()] == ["token:boss", "token:ops"]
    status, text = server.ask(f"/api/v1/audit?limit=1&before={record['id'] + 1}", headers=bearer("boss"))
    assert status == 200 and json.loads(text)["records"] == [record]
    for query in ("limit=0", "limit=1001", "limit=x", "before=-1"):
        assert server.ask("/api/v1/audit?" + query, headers=bearer("boss"))[0] == 400


def test_metrics_have_an_address_of_their_own(lab):
    server = AdminServer(lab, "-server.http.metrics.addr", "10.77.0.1:6003")

    def ask(path, **options):
        return lab.http("client", "http://10.77.0.1:6003" + path, **options)[0]
    assert [ask(p) for p in ("/metrics", "/-/healthy", "/-/ready")] == [200, 200, 200]
    for path in (RELOAD, "/api/v1/agents", "/api/v1/mesh", "/-/targets", "/"):
        assert ask(path) == 404
    assert ask("/metrics", method="POST") == 405
    assert ask("/metrics", headers={"Host": "a-name-of-ours.example"}) == 200
    # What holds the admin API up does not hold up the metrics.
    held = [lab.connect("client", ("10.77.0.1", PORT)) for _ in range(300)]
    for connection in held:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 10.77.0.1\r\nX-")
    began = time.monotonic()
    assert ask("/metrics") == 200
    assert time.monotonic() - began < 2
    for connection in held:
        connection.close()
    began = time.monotonic()
    server.server.signal(signal.SIGTERM)
    assert server.server.wait(10) == 0
    assert time.monotonic() - began < 5 and "took too long" not in server.server.log()


# ---- attacks ----

def head(*lines, target=RELOAD, method="POST", version="HTTP/1.1"):
    return ("\r\n".join([f"{method} {target} {version}", *lines]) + "\r\n\r\n").encode()


HOST = "Host: 10.77.0.1"
LOCAL = "Host: localhost"
AUTHORITY = "Authorization: Bearer " + TOKENS["ops"][1]
EMPTY = "Content-Length: 0"
ATTACKS = {
    # A page of another site that a browser at the server's host shows.
    "csrf": ("server", "127.0.0.1", [
        head(LOCAL, "Origin: http://evil.example", EMPTY),
        head(LOCAL, "Origin: null", "Content-Type: text/plain", EMPTY),
        head(LOCAL, "Referer: http://evil.example/x", method="GET"),
        head(LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", method="GET"),
        head(LOCAL, "Cookie: token=" + TOKENS["ops"][1], EMPTY),
        head(LOCAL, "Origin: http://evil.example", "Access-Control-Request-Method: POST",
             "Access-Control-Request-Headers: authorization", method="OPTIONS"),
    ]),
    # A name of the attacker's that leads here.
    "rebinding": ("server", "127.0.0.1", [
        head("Host: rebound.example", AUTHORITY, EMPTY),
        head("Host: localhost.evil.example", AUTHORITY, EMPTY),
        head("Host: 127.0.0.1.evil.example:6001", AUTHORITY, EMPTY),
        head(LOCAL, "Host: rebound.example", AUTHORITY, EMPTY),
        head("Host: rebound.example", AUTHORITY, EMPTY, target="http://localhost/-/reload"),
        head(AUTHORITY, EMPTY),
        head("Host:", AUTHORITY, EMPTY),
        head("Host: rebound.example", method="GET", target="/-/targets"),
    ]),
    "spoofed proxy": ("client", "10.77.0.1", [
        head(HOST, AUTHORITY, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", EMPTY),
        head(HOST, AUTHORITY, "Forwarded: for=127.0.0.1;proto=https", EMPTY),
        head(LOCAL, AUTHORITY, "X-Real-IP: 127.0.0.1", EMPTY),
        head(HOST, AUTHORITY, "X-Forwarded-Host: localhost", "X-Forwarded-Ssl: on", EMPTY),
        head(LOCAL, AUTHORITY, EMPTY, target="/%2d/reload"),
    ]),
    "headers": ("client", "10.77.0.1", [
        head(HOST, *[f"X-{i}: y" for i in range(2000)], EMPTY),
        head(HOST, "X: " + "a" * 100000, EMPTY),
        head(HOST, target="/" + "a" * 100000),
        head(HOST, "Authorization: Bearer " + "a" * 15000, EMPTY),
        head(HOST, "Bad header", EMPTY),
        b"POST /-/reload HTTP/1.1\nHost: 10.77.0.1\n\n\0\0\0",
        head(HOST, "Authorization: Bearer \0" + TOKENS["ops"][1], EMPTY),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    ]),
    "bodies": ("client", "10.77.0.1", [
        head(HOST, "Content-Length: 99999999999") + b"x" * 100000,
        head(HOST, "Content-Length: -1"),
        head(HOST, "Content-Length: 1", "Content-Length: 100000") + b"x",
        head(HOST, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n" + b"x" * 5000,
        head(HOST, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nPOST /-/reload",
        head(HOST, "Expect: 100-continue", "Content-Length: 1000"),
    ]),
    "methods": ("client", "10.77.0.1", [
        head(HOST, method="TRACE"), head(HOST, method="CONNECT", target="10.77.0.1:6000"),
        head(HOST, method="PUT"), head(HOST, method="DELETE"), head(HOST, method="PRI", target="*"),
        head(HOST, method="RELOAD"), head(HOST, "X-HTTP-Method-Override: GET", EMPTY),
        head(HOST, version="HTTP/9.9"), head(HOST, target="/-/../-/reload"),
    ]),
}


@pytest.mark.parametrize("kind", sorted(ATTACKS))
def test_an_attack_is_refused_and_changes_nothing(lab, kind):
    server = AdminServer(lab)
    server.change_on_disk()
    before = server.snapshot()
    host, address, requests = ATTACKS[kind]
    refused = server.refused()
    statuses = [server.raw(request, host, address) for request in requests]
    for request, status in zip(requests, statuses):
        assert status is None or 400 <= status < 500 or status in (501, 505), request[:200]
    assert server.snapshot() == before
    told = sum(status is not None and status < 500 for status in statuses)
    wait_until(lambda: server.refused() >= refused + told, 10, "what was refused to be counted")
    assert server.ask(RELOAD, headers=bearer("ops"))[0] == 200


@pytest.mark.seconds(150)
def test_slow_and_half_open_clients_end_and_leave_nothing(lab):
    server = AdminServer(lab, "-server.http.timeout", "2s")
    server.change_on_disk()
    before = server.snapshot()
    held = [lab.connect("client", ("10.77.0.1", PORT)) for _ in range(120)]
    pieces = [b"", b"GET /-/reload HTTP/1.1\r\nHost: 10.77.0.1\r\nX-", head(HOST, "Content-Length: 100")]
    began = time.monotonic()
    for i, connection in enumerate(held):
        connection.setblocking(False)
        connection.sendall(pieces[i % 3])
    left = list(held)
    while left and time.monotonic() - began < 60:  # a byte from time to time from each
        for connection in list(left):
            try:
                if not connection.recv(4096):
                    raise ConnectionResetError
                connection.send(b"a")
            except BlockingIOError:
                try:
                    connection.send(b"a")
                except OSError:
                    left.remove(connection)
            except OSError:
                left.remove(connection)
        time.sleep(0.5)
    assert not left, f"{len(left)} are still served"
    for connection in held:
        connection.close()
    assert server.ask("/metrics")[0] == 200
    assert server.snapshot() == before


# Opens connections without end, and sends a head that has none.
HOLDER = """
import select, socket, sys
held = []
while True:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("10.77.0.1", 6001))
    held.append(connection)
    select.select([], [], [], 0.001)
    for one in (held[-1], *held[:20]):
        try:
            one.send(b"GET /-/reload HTTP/1.1\\r\\nHost: 10.77.0.1\\r\\nX-")
        except OSError:
            pass
    if len(held) > 900:
        for one in held[:20]:
            one.close()
        del held[:20]
"""


@pytest.mark.thread
def test_one_peer_cannot_hold_all_connections(lab):
    server = AdminServer(lab)
    before = server.snapshot()
    script = lab.directory + "/holder.py"
    with open(script, "w", encoding="utf-8") as file:
        file.write(HOLDER)
    holder = lab.spawn("client", ["/usr/bin/python3", script], "holder")
    wait_until(server.crowded, 30, "the crowd to be thinned")
    waited = []
    for _ in range(20):
        began = time.monotonic()
        assert server.ask("/metrics", timeout=20)[0] == 200
        waited.append(time.monotonic() - began)
    assert holder.alive()
    holder.kill()
    assert sorted(waited)[15] < 3, waited
    assert server.snapshot() == before


# ---- behind nginx ----

def make_certificate(directory):
    """A certificate that is its own authority, for the server's name and address."""
    paths = [f"{directory}/{name}.pem" for name in ("certificate", "key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=mesh.example.com", "-addext",
                    "subjectAltName=DNS:mesh.example.com,IP:10.77.0.1", "-out", paths[0], "-keyout",
                    paths[1]], check=True, capture_output=True)
    return paths


def start_nginx(lab):
    """nginx on the server's host with the sample as it is, but for the certificate's paths."""
    with open(f"{lablib.ROOT}/deploy/nginx/probermesh.conf", encoding="utf-8") as file:
        sample = file.read()
    certificate, key = make_certificate(lab.directory)
    for path, real in (("/etc/ssl/certs/mesh.example.com.pem", certificate),
                       ("/etc/ssl/private/mesh.example.com.key", key)):
        assert path in sample
        sample = sample.replace(path, real)
    configuration = lab.directory + "/nginx.conf"
    temporary = "".join(f"{kind}_temp_path {lab.directory}/nginx-{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(f"daemon off;\nworker_processes 1;\npid {lab.directory}/nginx.pid;\n"
                   f"error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{sample}}}\n")
    os.chmod(lab.directory, 0o755)
    nginx = lab.spawn("server", ["nginx", "-c", configuration, "-e", "stderr"], "nginx")

    def answers():
        assert nginx.alive(), nginx.log()
        try:
            lab.connect("client", ("10.77.0.1", 443), 2).close()
            return True
        except OSError:
            return False
    wait_until(answers, 20, "nginx")
    return certificate


def test_https_by_nginx_with_a_token_works_and_without_it_does_not(lab):
    server = AdminServer(lab, "-server.http.listen.addr", f"localhost:{PORT}", "-server.http.hosts",
                         "mesh.example.com", "-server.http.trusted-proxies", "127.0.0.1",
                         "-server.http.read", "token")
    ca = start_nginx(lab)
    server.change_on_disk()
    before = server.snapshot()
    url = "https://mesh.example.com" + RELOAD
    to = ["--cacert", ca, "--resolve", "mesh.example.com:443:10.77.0.1", "--resolve",
          "mesh.example.com:80:10.77.0.1"]
    token = ["-H", "Authorization: Bearer " + TOKENS["ops"][1]]
    assert curl(server, *to, url, host="client") == 401
    assert curl(server, *to, url) == 401, "nor from the server's own host"
    assert curl(server, *to, "-H", "Authorization: Bearer wrong", url, host="client") == 401
    assert curl(server, *to, *token, "-H", "Host: rebound.example", url, host="client") == 403
    assert curl(server, *to, "http://mesh.example.com" + RELOAD, host="client") == 301
    with open(lab.directory + "/large", "w", encoding="ascii") as file:
        file.write("x" * 2000000)
    assert curl(server, *to, "-d", f"@{file.name}", *token, url, host="client") == 413
    assert server.snapshot() == before
    # Nor does it help to say what only the proxy may say.
    assert curl(server, *to, *token, "-X", "POST", "-H", "X-Forwarded-For: 127.0.0.1", "-H",
                "Forwarded: for=127.0.0.1;proto=http", "-H", "X-Forwarded-Proto: http", url,
                host="client") == 200
    client = lab.hosts["client"].ipv4
    assert [(r["who"], r["client"]) for r in server.audit()] == [("token:ops", client)]
    assert server.ask(RELOAD, headers={**bearer("ops"), "X-Forwarded-For": "203.0.113.7",
                                       "X-Forwarded-Proto": "https"})[0] == 200
    assert server.audit()[0]["client"] == "203.0.113.7", "who runs a trusted proxy is believed"
    assert server.ask(RELOAD, headers={**bearer("ops"), "X-Forwarded-For": "203.0.113.7"})[0] == 403
    # The command-line client: the token is in no process's arguments.
    secret = lab.directory + "/reader"
    with open(secret, "w", encoding="utf-8") as file:
        file.write(TOKENS["reader"][1] + "\n")
    show = [lab.path("bin/probermesh"), "agents", "-server", "https://10.77.0.1", "-ca", ca]
    assert lab.run("client", [*show, "-token", "@" + secret]).returncode == 0
    assert lab.run("client", show, env={**os.environ, "PROBERMESH_TOKEN": "@" + secret}).returncode == 0
    with open(secret, encoding="utf-8") as file:
        assert lab.run("client", [*show, "-token", "-"], stdin=file).returncode == 0
    denied = lab.run("client", show)
    assert denied.returncode == 1 and "status 401: this needs a token" in denied.stderr
    listed = lab.run("server", [lab.path("bin/probermesh"), "audit"],
                     env={**os.environ, "PROBERMESH_TOKEN": TOKENS["boss"][1]})
    assert listed.returncode == 0 and listed.stdout.count(RELOAD) == 2 and client in listed.stdout
    plain = lab.run("client", [*show[:3], "http://10.77.0.1", "-token", "@" + secret])
    assert plain.returncode == 1 and "not sent over plain HTTP" in plain.stderr
