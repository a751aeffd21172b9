"""Tasks of real agents through the death of either side: each runs once, and its end is told."""
import json
import os
import time

import pytest

from lablib import Mesh, pids_in, wait_until
from meshlib import parse, total

pytestmark = pytest.mark.address
LONG = "probe icmp -count 60 -interval 1 10.77.0.1"
ADMIN = "http://127.0.0.1:6001"


class TaskMesh(Mesh):
    """A server and joined agents of region ra: `hosts` are {host: policy}."""

    def __init__(self, lab, hosts):
        super().__init__(lab, http_addr="127.0.0.1:6001")
        self.start_server("-server.task")
        wait_until(self.is_ready, 20, "the server")
        for host, policy in hosts.items():
            lab.add_host(host, "ra")
            self.start_agent(host, "-agent.join", self.token(), "-agent.task", policy,
                             "-agent.http.listen.addr", "127.0.0.1:7001")
        wait_until(lambda: len(self.alive()) == len(hosts), 20, "the agents")

    def token(self):
        return self.lab.run("server", [self.lab.path("bin/serverd"), "join-token", "-region", "ra",
                                       "-server.state.dir", self._state("server")],
                            check=True).stdout.strip()

    def alive(self):
        return [a for a in json.loads(self.get("/api/v1/agents")[2])["agents"] if a["alive"]]

    def give(self, command):
        status, _, text = self.lab.http("server", ADMIN + "/-/task", method="POST", body=json.dumps(
            {"region": "ra", "expr": "=", "cmd": command}).encode())
        assert status == 200, text
        return json.loads(text)["task"]

    def row(self, task, index=0):
        return json.loads(self.get(f"/api/v1/tasks/{task}")[2])["agents"][index]

    def wait_for(self, task, state, timeout=15):
        wait_until(lambda: self.row(task)["state"] == state, timeout,
                   lambda: f"the task to be {state}: {self.row(task)}")
        return self.row(task)

    def count(self, host, end):
        metrics = parse(self.lab.http(host, "http://127.0.0.1:7001/metrics")[2])
        return total(metrics, "prober_agent_tasks_total", end=end)

    def ledger(self, host):
        """{task: state} in the agent's file."""
        with open(os.path.join(self._state(host), "tasks"), encoding="ascii") as file:
            lines = file.read().splitlines()[1:-1]
        return dict(line.split()[:2] for line in lines)

    def programs(self, host):
        """Processes of tasks on a host."""
        def words(pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    return file.read().split(b"\0")
            except OSError:
                return []
        return [pid for pid in pids_in({self.lab.hosts[host].netns}) if b"probe" in words(pid)]


@pytest.mark.thread
def test_a_task_whose_agent_dies_is_interrupted_and_never_runs_again(lab):
    mesh = TaskMesh(lab, {"ra-1": "allowlist"})
    agent = mesh.agents["ra-1"]
    task = mesh.give(LONG)
    mesh.wait_for(task, "running")
    wait_until(lambda: mesh.programs("ra-1"), 5, "its program")
    agent.kill()
    wait_until(lambda: not mesh.programs("ra-1"), 5, "its program to end with the agent")
    agent = mesh.agents["ra-1"] = agent.restarted()
    row = mesh.wait_for(task, "interrupted")
    assert row["ended"] and row["text"] == "the agent died while it ran"
    after = mesh.give("probe icmp -count 1 10.77.0.1")
    assert mesh.wait_for(after, "done")["exit_code"] == 0
    assert (mesh.count("ra-1", "ran"), mesh.count("ra-1", "interrupted")) == (1, 1)
    assert not mesh.programs("ra-1")
    wait_until(lambda: mesh.ledger("ra-1") == {task: "told", after: "told"}, 5, "both to be noted")


def test_a_task_outlives_its_server_and_ends_with_its_agent(lab):
    mesh = TaskMesh(lab, {"ra-1": "allowlist"})
    short, long = mesh.give("probe icmp -count 5 -interval 1 10.77.0.1"), mesh.give(LONG)
    mesh.wait_for(short, "running")
    mesh.wait_for(long, "running")
    mesh.server.kill()
    mesh.server = mesh.server.restarted()
    wait_until(mesh.is_ready, 20, "the server")
    row = mesh.wait_for(short, "done", 25)
    assert row["exit_code"] == 0 and row["stdout_bytes"] == row["stdout_written"] > 0
    assert mesh.row(long)["state"] == "running"
    began = time.monotonic()
    assert mesh.agents["ra-1"].stop() == 0
    assert time.monotonic() - began < 5
    assert mesh.wait_for(long, "cancelled")["text"] == "the agent was stopped"
    assert mesh.ledger("ra-1") == {short: "told", long: "told"}


def test_an_agent_that_runs_nothing_says_so_and_a_cancel_ends_what_runs(lab):
    mesh = TaskMesh(lab, {"ra-1": "allowlist", "ra-2": "off"})
    task = mesh.give(LONG)

    def rows():
        return {r["state"]: r for r in json.loads(mesh.get(f"/api/v1/tasks/{task}")[2])["agents"]}
    wait_until(lambda: set(rows()) == {"running", "refused"}, 15, lambda: f"both to answer: {rows()}")
    assert rows()["refused"]["text"] == "this agent runs no tasks"
    assert lab.http("server", f"{ADMIN}/api/v1/tasks/{task}", method="DELETE")[0] in (200, 202, 204)
    wait_until(lambda: set(rows()) == {"cancelled", "refused"}, 10, lambda: f"the cancel: {rows()}")
    wait_until(lambda: not mesh.programs("ra-1"), 5, "its program to end")
