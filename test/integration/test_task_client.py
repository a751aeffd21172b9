"""`probermesh task` against a server whose answers the test tells: what it prints, and how it ends."""
import fcntl
import http.server
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import urllib.parse

import pytest

from lablib import wait_until

pytestmark = [pytest.mark.address, pytest.mark.seconds(60)]
ID = "task-1"
ESCAPE = b"\x1b]0;evil\x07"


class Task:
    """Two regions, of which the second has two agents; tests let them end."""

    def __init__(self):
        self.changed = threading.Condition()
        self.version, self.order, self.broken, self.asked = 1, None, 0, []
        self.outputs = {}
        self.rows = [{"agent": f"{i:032x}", "number": i, "region": region, "address": f"192.0.2.{i}",
                      "state": "queued", "ended": False, "exit_code": None, "signal": None,
                      "duration": None, "text": "", "notes": ""}
                     for i, region in enumerate(("eu", "us", "us"), 1)]

    def set(self, number, state, exit_code=None, out=b"", err=b"", **more):
        with self.changed:
            ended = state not in ("queued", "sent", "running")
            self.rows[number - 1].update(state=state, ended=ended, exit_code=exit_code,
                                         duration=1.5 if exit_code is not None else None, **more)
            self.outputs[f"{number:032x}"] = {"stdout": out, "stderr": err}
            self.version += 1
            self.changed.notify_all()

    def json(self):
        return {"id": ID, "cmd": "ping x", "who": "uid:0", "version": self.version,
                "agents": self.rows, "counts": {}, "agent_count": 3, "ended_count": 0}

    def answer(self, method, path, query, body):
        """(status, bytes)"""
        parts = path.strip("/").split("/")
        self.asked.append((method, path))
        if path == "/-/task":
            self.order = json.loads(body)
            if self.order["cmd"] == "bad":
                return 400, b'{"code":400,"data":"\\"cmd\\": is \\u001b[2J no good"}'
            return 200, json.dumps({"code": 200, "task": ID, "agents": 3}).encode()
        if method == "DELETE":
            for number in (1, 2, 3):
                if not self.rows[number - 1]["ended"]:
                    self.set(number, "cancelled")
            return 200, b'{"task":"task-1","cancelled":2}'
        if "output" in parts:
            return 200, self.outputs[parts[-1]][query["stream"][0]]
        if path == "/api/v1/tasks":
            return 200, json.dumps({"tasks": [self.json()]}).encode()
        if parts[-1] != ID:
            return 404, b"there is no task of this id\n"
        with self.changed:
            if self.broken:
                self.broken -= 1
                return 503, b"away\n"
            self.changed.wait_for(lambda: str(self.version) != query.get("seen", [""])[0],
                                  float(query.get("wait", ["0ms"])[0].removesuffix("ms")) / 1000)
            return 200, json.dumps(self.json()).encode()


@pytest.fixture
def task():
    task = Task()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            url = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = task.answer(self.command, url.path, urllib.parse.parse_qs(url.query), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        do_GET = do_POST = do_DELETE = serve

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    task.url = f"http://127.0.0.1:{server.server_port}"
    yield task
    with task.changed:
        task.version = "over"
        task.changed.notify_all()
    server.shutdown()
    thread.join()
    server.server_close()


def begin(build, task, *words, **more):
    return subprocess.Popen([f"{build}/bin/probermesh", "task", *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "PROBERMESH_SERVER": task.url}, **more)


def run(build, task, *words):
    process = begin(build, task, *words)
    out, err = process.communicate(timeout=30)
    assert b"Sanitizer" not in err and b"runtime error" not in err, err
    return process.returncode, out, err.decode()


def wait_for_question(task):
    wait_until(lambda: any(path.endswith(ID) for _, path in task.asked), 20, "news are asked for")


def test_results_come_by_region_and_as_they_are(build, task):
    process = begin(build, task, "-region", "e|u", "-timeout", "90s", "--", "ping", "a b", "it's")
    task.set(3, "done", 0, ESCAPE + b"three\n")
    task.set(1, "done", 0, b"one", b"oh\n")
    first = b"".join(process.stdout.readline() for _ in range(5))
    assert first == b"eu  192.0.2.1  exit 0, 1.50 s\none\nstderr:\noh\n\n"
    task.set(2, "done", 7, b"two\n", notes="ping: -i was made 1")
    out, err = process.communicate(timeout=20)
    assert out == b"us  192.0.2.2  exit 7, 1.50 s\nping: -i was made 1\ntwo\n\n" \
                  b"us  192.0.2.3  exit 0, 1.50 s\n" + ESCAPE + b"three\n\n"
    assert process.returncode == 3
    assert err.decode() == f"probermesh: task {ID} goes to 3 agents\n"
    assert task.order == {"region": "e|u", "expr": "=~", "cmd": "ping 'a b' 'it'\"'\"'s'", "timeout": "1m30s"}


def test_a_terminal_gets_panels_side_by_side_that_cannot_command_it(build, task):
    for number in (1, 2, 3):
        task.set(number, "done", 0, ESCAPE + b"out\n")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with subprocess.Popen([f"{build}/bin/probermesh", "task", "-server", task.url, "-region", ".", "--", "x"],
                          stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                more = os.read(master, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        assert process.wait(20) == 0
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;]*[mK]", "", seen.decode()).replace("\r", "")
    assert "\x1b" not in text and "\x07" not in text
    assert "exit 0, 1.50 s │ us  192.0.2.2  exit 0, 1.50 s │ us  192.0.2.3  exit 0, 1.50 s\n" in text
    assert "\\x1b]0;evil\\x07out" in text


def test_an_interrupt_cancels(build, task):
    process = begin(build, task, "-region", ".", "--", "x")
    wait_for_question(task)
    task.set(1, "done", 0, b"one\n")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert ("DELETE", f"/api/v1/tasks/{ID}") in task.asked
    assert b"cancelling the task" in err and out.count(b"cancelled") == 2


def test_what_did_not_run_is_told_by_the_exit_status(build, task):
    task.set(1, "refused", text="no such\x1b command")
    task.set(2, "done", 1)
    task.set(3, "timed_out")
    status, out, _ = run(build, task, "-region", ".", "--", "x")
    assert status == 4 and b"refused: no such\\x1b command" in out


def test_a_server_that_is_away_is_waited_for(build, task):
    for number in (1, 2, 3):
        task.set(number, "done", 0)
    task.broken = 1
    status, _, err = run(build, task, "-region", ".", "--", "x")
    assert status == 0 and err.count("503") == 1


def test_a_task_need_not_be_waited_for(build, task):
    assert run(build, task, "-region", ".", "-detach", "--", "x")[:2] == (0, ID.encode() + b"\n")
    status, _, err = run(build, task, "-region", ".", "-wait", "10ms", "--", "x")
    assert status == 5 and "the task goes on" in err


def test_a_refusal_is_told_in_the_servers_words(build, task):
    status, out, err = run(build, task, "-region", ".", "-expr", "!=", "-cmd", "bad")
    assert (status, out) == (1, b"")
    assert err == 'probermesh: the server answered with status 400: "cmd": is \\x1b[2J no good\n'
    assert task.order == {"region": ".", "expr": "!=", "cmd": "bad"}


def test_tasks_are_looked_at_and_cancelled(build, task):
    task.set(1, "done", 0, ESCAPE, b"err")
    assert ID.encode() in run(build, task, "list")[1]
    assert b"1 of 3 have ended" in run(build, task, "show", ID)[1]
    assert json.loads(run(build, task, "show", "-json", ID)[1])["id"] == ID
    assert run(build, task, "output", ID, f"{1:032x}")[:2] == (0, ESCAPE)
    assert run(build, task, "output", "-stderr", ID, f"{1:032x}")[:2] == (0, b"err")
    assert run(build, task, "cancel", ID)[:2] == (0, b"the task ends with 2 agents\n")
    status, out, err = run(build, task, "show", "none")
    assert (status, out) == (1, b"") and "there is no task" in err


@pytest.mark.parametrize("words", [[], ["-region", "a"], ["--", "x"], ["-region", "a", "x"],
                                   ["-region", "a", "-cmd", "x", "--", "y"], ["show"], ["show", "a/b"],
                                   ["output", "a"], ["cancel", "a", "b"], ["look"],
                                   ["-region", "a", "-expr", "==", "--", "x"]])
def test_usage_is_checked_before_anybody_is_asked(build, task, words):
    status, out, err = run(build, task, *words)
    assert (status, out) == (2, b"") and err
    assert task.asked == []
