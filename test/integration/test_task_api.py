"""Tasks of a real server: who may give them, and their way to agents and back as operators see it."""
import json
import os
import subprocess

import pytest

import trustlib
from adminlib import PORT, TOKENS, AdminServer, bearer
from lablib import wait_until
from trustlib import ENDED, RUNNING, TASK_REFUSED, Authority, TrustedAgent, task_end

pytestmark = pytest.mark.address
BODY = '{\n"region": "eu|us",\n"expr": "=~",\n"cmd": "mtr -r www.baidu.com -c 20 -i0.1",\n}\n'
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NONE = "0" * 32


class TaskServer(AdminServer):
    def __init__(self, lab, *flags, **options):
        self.results = lab.directory + "/results"
        super().__init__(lab, "-server.task", "-server.task.meta.dir", self.results, *flags, **options)

    def agent(self, region, address):
        """One that has joined, and does as it is told by the test."""
        credentials = Authority.of_server(self._state("server")).agent(region)
        agent = TrustedAgent(self.lab.connect("server", ("10.77.0.1", 6000)), credentials, address)
        agent.hello()
        wait_until(lambda: credentials.agent.hex() in self.ask("/api/v1/agents")[1], 10, "the agent is known")
        return agent

    def next_task(self, agent, task=None):
        """(id, line) of the task that waits for the agent."""
        tasks = wait_until(lambda: {i: t for i, t in agent.tasks()[0].items() if task in (None, i)}, 10,
                           "a task for the agent")
        return next((i, line.decode()) for i, (line, _) in tasks.items())

    def give(self, body=BODY, query="", **options):
        status, text = self.ask("/-/task" + query, method="POST", body=body.encode(), **options)
        return status, json.loads(text) if text.startswith("{") else text

    def task(self, task, query="", **options):
        status, text = self.ask(f"/api/v1/tasks/{task}{query}", **options)
        assert status == 200, text
        return json.loads(text)

    def tasks(self):
        status, text = self.ask("/api/v1/tasks")
        assert status == 200, text
        return json.loads(text)["tasks"]


@pytest.mark.thread
def test_tasks_are_given_at_the_host_and_from_nowhere_else(lab):
    server = TaskServer(lab, tokens=False)
    agent = server.agent("eu", "10.77.0.1")
    url = f"http://localhost:{PORT}"
    ways = [("POST", "/-/task"), ("GET", "/api/v1/tasks"), ("GET", f"/api/v1/tasks/{NONE}"),
            ("DELETE", f"/api/v1/tasks/{NONE}"), ("GET", f"/api/v1/tasks/{NONE}/events"),
            ("GET", f"/api/v1/tasks/{NONE}/output/{NONE}")]
    for method, path in ways:
        for header in ("Origin: http://evil.example", "Origin: null", "Referer: http://localhost/",
                       "Sec-Fetch-Site: same-origin", "Host: rebound.example", "X-Forwarded-For: 127.0.0.1"):
            name, value = header.split(": ")
            more = {name: value, "Content-Type": "text/plain"}
            assert server.ask(path, method=method, body=BODY.encode(), headers=more)[0] == 403, (path, header)
        assert server.ask(path, "client", "10.77.0.1", method=method, body=BODY.encode())[0] == 403
        done = lab.run("server", [*NOBODY, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method,
                                  "-d", BODY, url + path])
        assert done.stdout == "403", path
    assert server.tasks() == [] and agent.tasks()[0] == {} and not os.path.exists(server.results + "/x")
    done = lab.run("server", ["curl", "-s", "-d", BODY, url + "/-/task"])
    assert json.loads(done.stdout).items() >= {"code": 200, "msg": "success", "data": "success",
                                               "agents": 1}.items()
    assert server.next_task(agent)[1] == "mtr -r www.baidu.com -c 20 -i0.1"
    [record] = [r for r in json.loads(server.ask("/api/v1/audit")[1])["records"]]
    assert (record["who"], record["target"], record["status"]) == ("uid:0", "/-/task", 200)
    assert "mtr -r www.baidu.com" in record["body"]


def test_tasks_need_an_operators_token(lab):
    server = TaskServer(lab)
    for name, status in ((None, 401), ("reader", 403), ("ops", 404), ("boss", 404)):
        headers = bearer(name) if name else {}
        assert server.give(headers=headers)[0] == status
        assert server.ask(f"/api/v1/tasks/{NONE}", headers=headers)[0] == status
        assert server.ask(f"/api/v1/tasks/{NONE}", headers=headers, method="DELETE")[0] == status
        assert server.ask(f"/api/v1/tasks/{NONE}/events", headers=headers)[0] == status
    status, said = server.give('{"region": "[x", "expr": "=~", "cmd": "x"}', headers=bearer("ops"))
    assert status == 400 and said["msg"] == "task refused" and said["data"].startswith("the region is no regular")


def test_without_the_option_there_are_no_tasks(lab):
    server = AdminServer(lab, tokens=False)
    status, text = server.ask("/-/task", method="POST", body=BODY.encode())
    assert (status, json.loads(text)) == (503, {
        "code": -1, "msg": "error", "data": "Interface not open, use -server.task to open func"})


@pytest.mark.thread
def test_the_command_line_follows_a_task_to_its_agents_and_back(lab):
    server = TaskServer(lab)
    eu, us = server.agent("eu", "10.77.0.1"), server.agent("us", "10.77.0.1")
    token = lab.directory + "/token"
    with open(token, "w", encoding="ascii") as file:
        file.write(TOKENS["ops"][1])
    client = subprocess.Popen([*lab.hosts["server"].enter, f"{lab.path('bin/probermesh')}", "task", "-token",
                               "@" + token, "-region", "eu|us", "-timeout", "50s", "--", "ping", "a b"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    task, line = server.next_task(eu)
    assert line == "ping 'a b'" and server.next_task(us, task)[1] == line
    events = lab.spawn("server", ["curl", "-sN", "-H", f"Authorization: Bearer {TOKENS['ops'][1]}",
                                  f"http://localhost:{PORT}/api/v1/tasks/{task}/events"], "events")
    assert eu.report_task(task, RUNNING, [(1, 0, b"one\n\xff")])[2] == (trustlib.TAKEN, 5, 0)
    wait_until(lambda: '"text":"one\\n"' in events.log() and '"state":"running"' in events.log(), 10,
               "the output as it comes")
    assert eu.report_task(task, ENDED, [(2, 0, b"oh")], task_end(0, 7, stdout=5, stderr=2))[2][0] == \
        trustlib.TAKEN
    assert us.report_task(task, TASK_REFUSED, (), task_end(5, 0, text="not here"))[2][0] == trustlib.TAKEN
    out, err = client.communicate(timeout=20)
    assert client.returncode == 4, err
    assert out.startswith(b"eu  10.77.0.1  exit 7, ") and b"\none\n\xff\nstderr:\noh\n\n" in out
    assert b"us  10.77.0.1  refused" in out and b"not here" in out
    wait_until(lambda: "event: end" in events.log() and not events.alive(), 10, "the end of what is followed")
    shown = server.task(task, headers=bearer("ops"))
    assert shown["ended"] and [a["state"] for a in shown["agents"]] == ["done", "refused"]
    assert shown["agents"][0]["stdout"] == "one\n\ufffd" and shown["agents"][0]["exit_code"] == 7


def test_waiting_and_cancelling(lab):
    server = TaskServer(lab, tokens=False)
    agent = server.agent("eu", "10.77.0.1")
    status, said = server.give(query="?wait=100ms")
    assert status == 200 and not said["result"]["ended"]
    task, _ = server.next_task(agent)
    agent.report_task(task, RUNNING)
    assert json.loads(server.ask(f"/api/v1/tasks/{task}", method="DELETE")[1]) == {"task": task, "cancelled": 1}
    wait_until(lambda: agent.tasks()[1] == [task], 10, "the agent is told")
    agent.report_task(task, ENDED, (), task_end(3))
    shown = server.task(task, "?wait=10s")
    assert shown["ended"] and shown["agents"][0]["state"] == "cancelled"


@pytest.mark.thread
def test_who_follows_keeps_no_scrape_out_nor_the_server_from_stopping(lab):
    server = TaskServer(lab, "-server.http.connections.max", "8", tokens=False)
    server.agent("eu", "10.77.0.1")
    url = f"http://localhost:{PORT}/api/v1/tasks/{server.give()[1]['task']}/events"
    followers = [lab.spawn("server", ["curl", "-sN", url], f"follower-{n}") for n in range(7)]
    wait_until(lambda: sum(f.alive() for f in followers) == 2 and
               sum("event: state" in f.log() for f in followers) == 2, 20, "two to follow, and no more")
    assert sum("too many clients follow" in f.log() for f in followers) == 5
    for _ in range(20):
        assert server.ask("/metrics")[0] == 200
    status, said = server.give(query="?wait=5m")
    assert status == 200 and not said["result"]["ended"], "who may not wait is answered at once"
    server.server.stop()
    wait_until(lambda: not any(f.alive() for f in followers), 10, "they are let go")
