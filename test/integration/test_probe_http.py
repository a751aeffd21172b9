"""agentd probe http: its flags, what it prints, and how it ends."""
import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

KEYS = {"target", "success", "failed_reason", "status_code", "http_version", "phases", "duration",
        "ssl_earliest_cert_expiry", "last_chain_expiry", "redirects", "tls_version", "address",
        "dns_answers", "content_length", "body_bytes", "received_bytes"}
PHASES = ["resolve", "connect", "tls", "processing", "transfer"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.asked.append((self.command, self.path))
        if self.path == "/silent":
            self.server.is_asked.set()
            self.server.over.wait(60)
            return
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "/")
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"good day")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server on loopback; `url` and `asked` tell of it."""
    a_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    a_server.daemon_threads = True
    a_server.asked, a_server.over, a_server.is_asked = [], threading.Event(), threading.Event()
    a_server.url = f"http://127.0.0.1:{a_server.server_port}"
    thread = threading.Thread(target=a_server.serve_forever, args=(0.01,))
    thread.start()
    yield a_server
    a_server.over.set()
    a_server.shutdown()
    a_server.server_close()
    thread.join()


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
