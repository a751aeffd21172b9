"""Tasks from end to end: the original's curl line and who may give it, and tasks that need no tool."""
import json
import os
import re
import shutil
import sys

import pytest

import lablib
from adminlib import PORT, TOKENS, AdminServer
from lablib import wait_until
from test_admin import NOBODY, TUNNEL

# As the original's documentation prints it, with its comma behind the last member.
LINE = "mtr -r www.baidu.com -c 20 -i0.1"
BODY = """{
"region": "欧洲-美国-*",
"expr": "=~",
"cmd": "%s",
}"""
EUROPE, ASIA = "欧洲-美国-1", "亚洲"
# Start a program on a host that asks the lab's name server (the file is $0); and without any tool.
NAMES = 'mount --bind "$0" /etc/resolv.conf'
BARE = NAMES + " && mount -t tmpfs none /usr/sbin && mount -t tmpfs none /usr/bin"
TASK = f"http://localhost:{PORT}/-/task"


class TaskServer(AdminServer):
    """A server that takes tasks, an agent that has joined in each of two regions, the one in Asia on a
    host without tools, and paths from both to www.baidu.com that have four routers."""

    def __init__(self, lab):
        self.results = lab.directory + "/task_meta/"
        super().__init__(lab, "-server.task", "-server.task.meta.dir", self.results, tokens=False)
        self.hosts = {EUROPE: self.add_agents("eu")[0], ASIA: self.add_agents("asia")[0]}
        lab.add_host("web")
        for region in ("eu", "asia"):
            lab.set_both(region, "web", delay="10ms", hops=4, error_rate=100000)
        settings = self._start_dns()
        for region, host in self.hosts.items():
            token = lab.run("server", [lab.path("bin/serverd"), "join-token", "-region", region,
                                       "-server.state.dir", self._state("server")], check=True)
            mounts = BARE if region == ASIA else NAMES
            self.start_agent(host, "-agent.join", token.stdout.strip(), region=region,
                             wrapper=["unshare", "-m", "sh", "-c", mounts + ' && exec "$@"', settings])
        wait_until(lambda: self.regions() == set(self.hosts), 30,
                   lambda: f"both agents to have joined: {self.regions()}")

    def _start_dns(self):
        table = self.lab.directory + "/names"
        with open(table, "w", encoding="ascii") as file:
            file.write(f"www.baidu.com {self.lab.hosts['web'].ipv4}\n")
        dns = self.lab.spawn("web", [sys.executable, "-B", lablib.HERE + "/dns.py", table,
                                     self.lab.hosts["web"].ipv4], "dns")
        wait_until(lambda: "ready" in dns.log(), 10, "the name server")
        settings = self.lab.directory + "/resolv.conf"
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"nameserver {self.lab.hosts['web'].ipv4}\n")
        return settings

    def json(self, path):
        status, text = self.ask(path, timeout=40)
        assert status == 200, (path, text)
        return json.loads(text)

    def regions(self):
        return {a["region"] for a in self.json("/api/v1/agents")["agents"] if a["trust"] == "joined"}

    def curl(self, *arguments, host="server", user=(), url=TASK, body=None):
        """(status, reply) of the original's command line with some more arguments."""
        ended = self.lab.run(host, [*user, "curl", "-s", "-w", "\n%{http_code}", "-d", body or BODY % "ip link",
                                    *arguments, url], timeout=60)
        assert ended.returncode == 0, ended.stderr
        text, _, status = ended.stdout.rpartition("\n")
        return int(status), text

    def give(self, line):
        """The agent of a task of this line, in Asia, when it has ended, as /api/v1/tasks tells it."""
        status, text = self.curl(body=json.dumps({"region": ASIA, "expr": "=", "cmd": line}))
        assert status == 200, text
        return self.the_agent(json.loads(text)["task"], ASIA)

    def the_agent(self, task, region):
        """The only agent of a task, when it has ended."""
        task = self.json(f"/api/v1/tasks/{task}?wait=30s&output=65536")
        assert task["ended"] and task["agent_count"] == 1, task
        agent, = task["agents"]
        assert agent["region"] == region, task
        return agent

    def untouched(self):
        """What nobody without a right may change. (When an agent was there last changes by itself.)"""
        rows = self.rows()
        rows["agents"] = [row[:3] for row in rows["agents"]]
        return {"tasks": self.json("/api/v1/tasks")["tasks"], "rows": rows,
                "results": os.path.isdir(self.results) and sorted(os.listdir(self.results))}


@pytest.fixture
def server(lab):
    return TaskServer(lab)


@pytest.mark.address
@pytest.mark.skipif(not shutil.which("mtr"), reason="mtr is not installed")
def test_the_originals_curl_line_runs_at_the_host_and_from_nowhere_else(server):
    lab = server.lab
    outside = f"http://10.77.0.1:{PORT}/-/task"
    before = server.untouched()
    assert before["tasks"] == []
    assert server.curl(host="client", url=outside)[0] == 403
    for header in ("Host: localhost", "X-Forwarded-For: 127.0.0.1", "Authorization: Bearer guessed"):
        assert server.curl("-H", header, host="client", url=outside)[0] in (401, 403), header
    assert server.curl(url=outside)[0] == 403, "not over loopback"
    assert server.curl(user=NOBODY)[0] == 403, "another user of this host"
    for header in ("Origin: http://evil.example", "Referer: http://localhost/", "Sec-Fetch-Mode: cors",
                   "Host: rebound.example", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy",
                   "X-Forwarded-For: 127.0.0.1"):
        assert server.curl("-H", header)[0] == 403, header
    script = lab.directory + "/tunnel.py"
    with open(script, "w", encoding="utf-8") as file:
        file.write(TUNNEL)
    os.chmod(lab.directory, 0o755)
    tunnel = lab.spawn("server", [*NOBODY, "/usr/bin/python3", script], "tunnel")
    wait_until(lambda: lab.run("server", ["curl", "-s", "http://127.0.0.1:7001/-/ready"]).stdout, 10,
               "the tunnel")
    assert server.curl(url="http://127.0.0.1:7001/-/task")[0] == 403
    tunnel.kill()
    assert server.untouched() == before

    status, text = server.curl(body=BODY % LINE)
    reply = json.loads(text)
    assert (status, reply["code"], reply["msg"], reply["data"]) == (200, 200, "success", "success")
    agent = server.the_agent(reply["task"], EUROPE)
    web = lab.hosts["web"].ipv4
    assert (agent["state"], agent["exit_code"]) == ("done", 0), agent
    assert f"mtr: www.baidu.com is {web}" in agent["notes"]
    hops = re.findall(r"(\d+)\.\|-- +(\S+) +([\d.]+)% +(\d+)", agent["stdout"])
    number = list(lab.hosts).index(server.hosts[EUROPE])
    assert [h[1] for h in hops] == [*(f"10.78.{number}.{n}" for n in range(1, 5)), web], agent["stdout"]
    assert all(h[3] == "20" for h in hops), agent["stdout"]
    name, = wait_until(lambda: os.listdir(server.results), 5, "the result file")
    address = lab.hosts[server.hosts[EUROPE]].ipv4
    assert re.fullmatch(re.escape(f"{EUROPE}_{address}_") + r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", name), name
    expected = f"commond:\n{LINE} \n\noutput:\n{agent['stdout']}"
    with open(server.results + name, encoding="utf-8") as file:
        wait_until(lambda: file.seek(0) or file.read() == expected, 5, lambda: f"the result in {name}")
    assert len(server.json("/api/v1/tasks")["tasks"]) == 1


def test_with_tokens_a_task_needs_one_that_may(server):
    before = server.untouched()
    server.server.stop()
    server.write_tokens()
    server.flags += ["-server.http.tokens", server.token_file]
    server.start()

    def ask(token=None, **more):
        headers = ["-H", f"Authorization: Bearer {token}"] if token else []
        return server.curl(*headers, **more)[0]
    assert ask() == 401, "at the host too"
    assert ask("guessed") == 401
    assert ask(TOKENS["reader"][1]) == 403
    assert ask(TOKENS["ops"][1], host="client", url=f"http://10.77.0.1:{PORT}/-/task") == 403, \
        "a token needs HTTPS"
    assert before["results"] == (os.path.isdir(server.results) and sorted(os.listdir(server.results)))
    headers = {"Authorization": f"Bearer {TOKENS['ops'][1]}"}
    assert json.loads(server.ask("/api/v1/tasks", headers=headers)[1])["tasks"] == []


@pytest.mark.address
def test_built_in_tasks_tell_of_path_host_and_url_without_a_tool(server):
    lab, web = server.lab, server.lab.hosts["web"].ipv4
    lab.set("asia", "web", loss_hop=2, loss="50%", mute_hop=3)
    agent = server.give("trace -json -c 15 -i 0.2 -timeout 500ms www.baidu.com")
    assert agent["state"] == "done" and f"trace: www.baidu.com is {web}" in agent["notes"], agent
    hops = json.loads(agent["stdout"])["hops"]
    number = list(lab.hosts).index(server.hosts[ASIA])
    assert [h["address"] for h in hops] == [f"10.78.{number}.1", f"10.78.{number}.2", None,
                                            f"10.78.{number}.4", web]
    assert hops[0]["lost"] == 0 < hops[1]["lost"] and hops[2]["remark"] == "never_answers"
    lab.set("asia", "web", loss_hop=0, loss="0%", mute_hop=0)
    text = server.give("ping -c 3 -i 0.2 www.baidu.com")["stdout"]
    rtt = re.match(re.escape(web) + r": 3 sent, 3 received, 0\.0 % loss; RTT min ([\d.]+) avg", text)
    assert rtt and 20 <= float(rtt[1]) < 40, text
    text = server.give(f"http 10.77.0.1:{PORT}/-/healthy")["stdout"]
    assert text.startswith(f"http://10.77.0.1:{PORT}/-/healthy: 200 HTTP/1.1, success, "), text
    agent = server.give("mtr -r www.baidu.com")
    assert agent["state"] == "refused" and "mtr is not installed" in agent["text"], agent
    agent = server.give("http -file /etc/hosts 10.77.0.1")
    assert agent["state"] == "refused" and "option '-file' is not allowed" in agent["text"], agent
