"""agentd probe http: its flags, what it prints, and how it ends."""
import contextlib
import datetime
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest

pytestmark = pytest.mark.address

KEYS = {"target", "success", "failed_reason", "status_code", "http_version", "phases", "duration",
        "ssl_earliest_cert_expiry", "last_chain_expiry", "redirects", "tls_version", "address",
        "dns_answers", "content_length", "body_bytes", "received_bytes", "error"}
MOVED = {"/moved": "/", "/away": "http://user:url-secret@127.0.0.1:1/", "/to-echo": "/echo"}
PHASES = ["resolve", "connect", "tls", "processing", "transfer"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.asked.append((self.command, self.path))
        if self.path == "/silent":
            self.server.is_asked.set()
            self.server.over.wait(60)
            return
        body = b"good day" if self.path != "/echo" else str(self.headers).encode()
        self.send_response(302 if self.path in MOVED else 200)
        if self.path in MOVED:
            self.send_header("Location", MOVED[self.path])
            self.send_header("Set-Cookie", "sid=cookie-secret; Path=/")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Asked-By", self.headers.get("Authorization", "nobody"))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(context=None):
    """A server on loopback, with TLS when there is an SSLContext; `url` and `asked` tell of it."""
    a_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    a_server.daemon_threads = True
    a_server.asked, a_server.over, a_server.is_asked = [], threading.Event(), threading.Event()
    a_server.url = f"http{'s' if context else ''}://127.0.0.1:{a_server.server_port}"
    if context:
        a_server.socket = context.wrap_socket(a_server.socket, server_side=True,
                                              do_handshake_on_connect=False)
        a_server.handle_error = lambda *_: None  # a client that refuses the certificate
    thread = threading.Thread(target=a_server.serve_forever, args=(0.01,))
    thread.start()
    yield a_server
    a_server.over.set()
    a_server.shutdown()
    a_server.server_close()
    thread.join()


@pytest.fixture
def server():
    with serving() as a_server:
        yield a_server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A directory with certificate and key of an authority (ca) and of a server (leaf)."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "9")
    openssl(*new, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf")
    (directory / "names").write_text("subjectAltName=DNS:a.test,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "names", "-out", "leaf.pem", "-days", "3")
    return directory


@pytest.fixture
def secure_server(certificates):
    """A server with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
    context.set_alpn_protocols(["http/1.1"])
    with serving(context) as a_server:
        yield a_server


@pytest.fixture
def probe(build):
    """Runs agentd probe http; the objects that it printed, or with status 2 what it complained of."""
    def run(*words, status=0, stdin=None):
        done = subprocess.run([os.path.join(build, "bin/agentd"), "probe", "http", *words], check=False,
                              capture_output=True, text=True, input=stdin)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        if status == 2:
            assert done.stdout == "" and done.stderr.startswith("agentd probe http: ")
            return done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]
    return run


@pytest.fixture
def write(tmp_path):
    """Writes a probe file with these lines of entries."""
    def write_file(*entries):
        path = tmp_path / "probes.yaml"
        path.write_text("prober_configs:\n" + "".join(f"- {{prober_type: http, region: r, {e}}}\n"
                                                      for e in entries), encoding="utf-8")
        return str(path)
    return write_file


def test_a_url_that_answers(probe, server):
    result, = probe(server.url)
    assert set(result) == KEYS and list(result["phases"]) == PHASES
    assert (result["success"], result["failed_reason"]) == (True, None)
    assert (result["status_code"], result["http_version"], result["redirects"]) == (200, "1.1", 0)
    assert (result["content_length"], result["body_bytes"], result["received_bytes"]) == (8, 8, 8)
    assert (result["address"], result["dns_answers"]) == ("127.0.0.1", 1)
    assert result["tls_version"] is result["ssl_earliest_cert_expiry"] is None
    assert all(result["phases"][p] > 0 for p in ("connect", "processing"))
    assert result["phases"]["tls"] == 0
    assert sum(result["phases"].values()) <= result["duration"] < 5


def test_a_url_without_a_scheme_and_one_of_another(probe, server):
    results = probe(server.url[len("http://"):], "ftp://a/", status=1)
    assert {r["failed_reason"] for r in results} == {None, "unsupported_scheme"}


def test_a_redirect_is_followed_and_counted(probe, server):
    result, = probe(server.url + "/moved")
    assert (result["status_code"], result["redirects"]) == (200, 1)


def test_a_port_that_nobody_listens_on(probe):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        result, = probe(f"http://127.0.0.1:{s.getsockname()[1]}", status=1)
    assert (result["success"], result["failed_reason"]) == (False, "connect_refused")
    assert result["status_code"] is result["http_version"] is result["content_length"] is None


def test_the_timeout_is_that_of_the_flag_else_of_the_entry(probe, server, write):
    url = server.url + "/silent"
    path = write("name: a, timeout: 100ms, targets: [x]", "name: b, timeout: 60s, targets: [x]")
    for words in (["-prober", "a"], ["-prober", "b", "-timeout", "100ms"]):
        result, = probe("-config", path, *words, url, status=1)
        assert result["failed_reason"] == "timeout"
        assert 0.1 <= result["duration"] < 5


def test_an_entry_is_found_by_its_name(probe, server, write):
    path = write(f"name: get, targets: ['{server.url}/own']",
                 "name: post, targets: [x], http: {method: POST, valid_status_codes: [404]}")
    result, = probe("-config", path, "-prober", "get")
    assert result["target"] == f"{server.url}/own"
    result, = probe("-config", path, "-prober", "post", f"{server.url}/given", status=1)
    assert (result["status_code"], result["failed_reason"]) == (200, "status_code")
    assert server.asked == [("GET", "/own"), ("POST", "/given")]


def test_the_family_can_be_forced(probe, server):
    result, = probe("-4", server.url)
    assert result["success"]
    result, = probe("-6", server.url, status=1)
    assert result["failed_reason"] == "dns_no_address"


def test_further_urls_come_from_stdin(probe, server):
    results = probe("-file", "-", server.url, stdin=f"# two\n{server.url}/a\n  {server.url}/b # c\n")
    assert sorted(r["target"] for r in results) == [server.url + p for p in ("", "/a", "/b")]


@pytest.mark.parametrize("words, complaint", [
    ([], "no targets"),
    (["-prober", "a", "b"], "-prober needs -config"),
    (["-timeout", "soon", "a"], "-timeout: expected a duration"),
    (["-4", "-6", "a"], "exclude each other"),
    (["-unknown", "a"], "-unknown"),
    (["-dns", "nowhere", "a"], "nowhere"),
])
def test_a_wrong_command_line_is_refused(probe, words, complaint):
    assert complaint in probe(*words, status=2)


def test_a_fault_in_the_probe_file_has_its_place(probe, write):
    path = write("name: a, targets: [x], http: {methud: GET, valid_status_codes: all}")
    said = probe("-config", path, "-prober", "a", status=2)
    assert f"{path}:2:prober_configs[0].http.methud: " in said
    assert f"{path}:2:prober_configs[0].http.valid_status_codes: " in said


def test_a_name_that_no_entry_has_brings_those_that_there_are(probe, write):
    path = write("name: one, targets: [x]", "name: two, targets: [x]")
    assert "there are: one, two" in probe("-config", path, "-prober", "three", status=2)
    assert "there are: one, two" in probe("-config", path, status=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_what_is_known_is_printed(build, server, number):
    words = [f"{server.url}/", f"{server.url}/silent"]
    with subprocess.Popen([os.path.join(build, "bin/agentd"), "probe", "http", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = json.loads(process.stdout.readline())
        assert server.is_asked.wait(10)
        process.send_signal(number)
        rest, said = process.communicate(timeout=10)
    assert first["success"] and rest == ""
    assert process.returncode == 1
    assert "1 of 2 probes have no result" in said


def test_output_that_nobody_reads_is_told(build, server):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([os.path.join(build, "bin/agentd"), "probe", "http", server.url],
                              check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "cannot write the results" in done.stderr


def verbose(probe, *words, status=0):
    result, = probe("-v", *words, status=status)
    assert set(result) == KEYS | {"failed_check", "hops"}
    return result


def test_each_hop_is_shown(probe, server):
    result = verbose(probe, server.url + "/moved")
    first, second = result["hops"]
    assert (first["url"], second["url"]) == (server.url + "/moved", server.url + "/")
    assert (first["address"], first["addresses"]) == ("127.0.0.1", ["127.0.0.1"])
    assert first["local_address"].startswith("127.0.0.1:")
    assert first["began"] == 0 < second["began"] <= result["duration"]
    assert first["tls"] is first["failure"] is first["error"] is first["phases"]["tls"] is None
    assert first["requests"][0]["line"] == "GET /moved HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.server_port}" in first["requests"][0]["headers"]
    assert first["responses"][0]["line"] == "HTTP/1.1 302 Found"
    assert {"Location: /", "Set-Cookie: sid=<secret>; Path=/"} <= set(first["responses"][0]["headers"])
    assert (second["body"], second["body_bytes"]) == ("good day", 8)
    for phase in ("connect", "processing"):
        assert sum(hop["phases"][phase] for hop in result["hops"]) == \
            pytest.approx(result["phases"][phase], abs=2e-6)
    assert result["failed_check"] is None


def test_secrets_are_never_shown(build, server, write):
    path = write("name: basic, targets: [x], http: {basic_auth: {username: u, password: basic-secret}}",
                 "name: bearer, targets: [x], http: {bearer_token: bearer-secret, "
                 "headers: {Cookie: a=cookie-header-secret}, "
                 "http_headers: {X-Key: {secrets: [header-secret]}}}")
    host = server.url[len("http://"):]
    runs = [[*entry, server.url + page] for entry in ([], ["-prober", "basic"], ["-prober", "bearer"])
            for page in ("/echo", "/to-echo", "/away")]
    runs += [["-prober", "basic", f"http://user:url-secret@{host}{page}"] for page in ("/echo", "/to-echo")]
    for words in runs:
        words = ["-config", path, *words] if "-prober" in words else words
        done = subprocess.run([os.path.join(build, "bin/agentd"), "probe", "http", "-v", *words],
                              check=False, capture_output=True, text=True)
        assert '"hops":[{' in done.stdout
        assert "-secret" not in done.stdout + done.stderr, words
    assert len(server.asked) == 3 * (1 + 2 + 1) + (1 + 2)


def test_the_check_that_failed_is_named(probe, server, write):
    path = write("name: body, targets: [x], http: {fail_if_body_matches_regexp: [bad, 'g..d']}",
                 "name: header, targets: [x], http: {fail_if_header_not_matches: "
                 "[{header: X-None, regexp: a}]}",
                 "name: status, targets: [x], http: {valid_status_codes: [201, 404]}")

    def failed_check(name):
        return verbose(probe, "-config", path, "-prober", name, server.url, status=1)["failed_check"]
    assert failed_check("body") == {"key": "fail_if_body_matches_regexp", "index": 1, "regexp": "g..d"}
    assert failed_check("header") == {"key": "fail_if_header_not_matches", "header": "X-None",
                                      "is_missing": True, "index": 0, "regexp": "a"}
    assert failed_check("status") == {"key": "valid_status_codes", "wanted": [201, 404]}


def test_a_hop_that_fails_says_why(probe, server):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        hop, = verbose(probe, f"http://127.0.0.1:{s.getsockname()[1]}", status=1)["hops"]
    assert (hop["failure"], hop["error"]) == ("connect_refused", "Connection refused")
    assert hop["requests"] == [] and hop["phases"]["connect"] is None
    hop, = verbose(probe, "-timeout", "200ms", server.url + "/silent", status=1)["hops"]
    assert hop["failure"] == "timeout" and hop["responses"] == []
    assert hop["requests"][0]["line"] == "GET /silent HTTP/1.1"
    result = verbose(probe, "http://a:b:c/", status=1)
    assert result["hops"] == [] and result["error"]


def test_tls_is_shown_with_its_certificates(probe, secure_server, certificates, write):
    ca = json.dumps((certificates / "ca.pem").read_text())
    path = write(f"name: a, targets: [x], http: {{tls_config: {{ca: {ca}}}}}")
    result = verbose(probe, "-config", path, "-prober", "a", secure_server.url)
    hop, = result["hops"]
    tls = hop["tls"]
    assert tls["version"] == result["tls_version"] == "TLS 1.3"
    assert tls["cipher"].startswith("TLS_") and tls["alpn"] == "http/1.1"
    assert (tls["server_name"], tls["is_verified"], tls["verify_error"]) == ("127.0.0.1", True, None)
    certificate, = tls["certificates"]
    assert (certificate["subject"], certificate["issuer"]) == ("CN=leaf", "CN=authority")
    assert certificate["names"] == ["a.test", "127.0.0.1"]
    assert certificate["key"] == "EC 256" and len(certificate["sha256"]) == 64
    expiry = datetime.datetime.fromisoformat(certificate["not_after"].replace("Z", "+00:00"))
    assert expiry.timestamp() == result["ssl_earliest_cert_expiry"]
    assert hop["phases"]["tls"] > 0


def test_a_certificate_that_is_refused_is_shown_with_the_reason(probe, secure_server):
    result = verbose(probe, secure_server.url, status=1)
    hop, = result["hops"]
    assert result["failed_reason"] == hop["failure"] == "tls_verify_untrusted"
    assert hop["tls"]["is_verified"] is False
    assert "issuer certificate" in hop["tls"]["verify_error"]
    assert hop["tls"]["certificates"][0]["subject"] == "CN=leaf"
    assert hop["tls"]["version"] is None and hop["requests"] == []
    assert result["ssl_earliest_cert_expiry"]


def test_files_are_read_beneath_the_directory_of_secrets_alone(probe, server, write, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("file-secret\n")
    words = ["-config", write("name: a, targets: [x], http: {bearer_token_file: token}",
                              "name: none, targets: [x], http: {bearer_token_file: nothing}"),
             "-prober", "a", server.url + "/echo"]
    said = probe(*words, status=2)
    assert f"{words[1]}:2:prober_configs[0].http: " in said
    words += ["-agent.secrets.dir", str(tmp_path / "secrets")]
    result = verbose(probe, *words)
    assert "Authorization: Bearer <secret>" in result["hops"][0]["requests"][0]["headers"]
    assert "Authorization: Bearer <secret>" in result["hops"][0]["body"]
    words[3] = "none"
    result = verbose(probe, *words, status=1)
    assert result["failed_reason"] == "local_error" and "nothing" in result["error"]
    assert result["hops"] == []
