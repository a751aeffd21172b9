"""Attacks on tasks: bodies, expressions, headers, browsers, commands, names of files, reports of others."""
import json
import os
import time

import pytest

import trustlib
from adminlib import PORT, bearer
from attacklib import AttackedServer, children
from lablib import wait_until
from trustlib import ENDED, RUNNING, task_end

pytestmark = pytest.mark.address
OPS = bearer("ops")
NONE = "0" * 32


def body(region="home", expr="=", cmd="ping -c 1 10.77.0.1", **more):
    return json.dumps({"region": region, "expr": expr, "cmd": cmd, **more}).encode()


class TaskServer(AttackedServer):
    def __init__(self, lab, *flags, **options):
        super().__init__(lab, "-server.task", *flags, **options)

    def give(self, content, headers=None, path="/-/task", method="POST"):
        try:
            return self.ask(path, method=method, body=content, headers=OPS if headers is None else headers)
        except (ConnectionError, OSError) as error:
            return None, str(error)

    def order(self, **words):
        status, text = self.give(body(**words))
        assert status == 200, text
        return json.loads(text)["task"]

    def results(self):
        """The files of results, but for the one that is being written."""
        return [f for f in os.listdir(self.meta_dir) if f != ".probermesh-result"]

    def task(self, task, query=""):
        status, text = self.ask(f"/api/v1/tasks/{task}{query}", headers=OPS, timeout=40)
        assert status == 200, text
        return json.loads(text)


def without_audit(server):
    """Of changes that were refused there is a record, and of nothing else."""
    rows = server.rows
    server.rows = lambda: {table: content for table, content in rows().items()
                           if table not in ("audit", "sqlite_sequence")}


def test_no_body_but_an_order_is_taken(lab):
    server = TaskServer(lab)
    without_audit(server)
    good = body().decode()
    bodies = {
        "nothing": b"", "no JSON": b"region=home&cmd=reboot", "a list": b"[1]", "a string": b'"ping"',
        "cut short": good[:-4].encode(), "with more behind it": good.encode() + b"{}",
        "two commas": good.replace('"="', '"=",,').encode(),
        "a key that is none": body(shell="yes"), "no region": b'{"expr":"=","cmd":"x"}',
        "no command": b'{"region":"home","expr":"="}', "a command twice": good[:-1].encode() + b',"cmd":"x"}',
        "a number": body(region=7), "a null": body(cmd=None), "a list of words": body(cmd=["ping", "x"]),
        "an operator that is none": body(expr="=="), "an empty command": body(cmd=""),
        "NUL in the command": body(cmd="ping\0 -f x"), "NUL in the region": body(region="ho\0me"),
        "no UTF-8": good.replace("home", "\udcff").encode("utf-8", "surrogateescape"),
        "a lone surrogate": good.replace("home", "\\ud800").encode(),
        "a region of 10 kB": body(region="r" * 10240), "a command of 5 kB": body(cmd="x" * 5000),
        "deep": b'{"region":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "a time that is none": body(timeout="soon"), "a time of a year": body(timeout="8760h"),
    }
    with server.untouched():
        got = {what: server.give(content) for what, content in bodies.items()}
    assert {what: answer for what, answer in got.items() if answer[0] not in (400, 413)} == {}
    assert all("\n" not in json.loads(text)["data"] for status, text in got.values() if status == 400
               and text.startswith("{"))


def test_no_expression_holds_the_server_up(lab):
    server = TaskServer(lab)
    without_audit(server)
    bad = ["[x", "(", "a{2,1}", "*", "\\", "(?=x)", "(?<!x)y", "(a)\\1", "a{1000}{1000}", "(" * 3000,
           "x" * 4000, "(?P<n", "\\pX", "[[:nope:]]", "(((a{100}){100}){100}){100}"]
    slow = ["(a+)+$", "(a|aa)+$", "(.*)*x", "(x+x+)+y", "([a-zA-Z]+)*$z", "(.*a){25}b"]
    began = time.monotonic()
    with server.untouched():
        refused = {e: server.give(body(region=e, expr=op))[0] for e in bad for op in ("=~", "!~")}
        nobody = {e: server.give(body(region=e, expr="=~"))[0] for e in slow if "$" not in e}
    assert {e: s for e, s in refused.items() if s not in (400, 413)} == {}
    assert {e: s for e, s in nobody.items() if s != 404} == {}
    assert time.monotonic() - began < 30


def test_no_header_opens_the_way_to_tasks(lab):
    server = TaskServer(lab)
    without_audit(server)
    content = body()
    line = b"POST /-/task HTTP/1.1\r\n"
    token = b"Authorization: " + OPS["Authorization"].encode() + b"\r\n"
    here = b"Host: 10.77.0.1\r\n"
    length = b"Content-Length: %d\r\n" % len(content)
    raw = {
        "no token": line + here + length + b"\r\n" + content,
        "a role that is too low": line + here + length + b"Authorization: " +
        bearer("reader")["Authorization"].encode() + b"\r\n\r\n" + content,
        "another's name": line + b"Host: rebound.example\r\n" + length + token + b"\r\n" + content,
        "no name": line + length + token + b"\r\n" + content,
        "two names": line + here + b"Host: evil.example\r\n" + length + token + b"\r\n" + content,
        "a whole URL": b"POST http://evil.example/-/task HTTP/1.1\r\n" + here + length + token + b"\r\n" + content,
        "two lengths": line + here + length + b"Content-Length: 4\r\n" + token + b"\r\n" + content,
        "a length and chunks": line + here + length + b"Transfer-Encoding: chunked\r\n" + token +
        b"\r\n0\r\n\r\n" + content,
        "a negative length": line + here + b"Content-Length: -1\r\n" + token + b"\r\n" + content,
        "a length of 4 GB": line + here + b"Content-Length: 4294967296\r\n" + token + b"\r\n" + content,
        "a token in the query": b"POST /-/task?token=" + OPS["Authorization"][7:].encode() + b" HTTP/1.1\r\n" +
        here + length + b"\r\n" + content,
        "Basic": line + here + length + b"Authorization: Basic b3BzOm9wcw==\r\n\r\n" + content,
        "a way round": b"POST /metrics/../-/task HTTP/1.1\r\n" + here + length + b"\r\n" + content,
        "an escaped way": b"POST /%2d/task HTTP/1.1\r\n" + here + length + b"\r\n" + content,
        "GET": b"GET /-/task HTTP/1.1\r\n" + here + length + token + b"\r\n" + content,
        "another method in a header": b"GET /-/task HTTP/1.1\r\nX-HTTP-Method-Override: POST\r\n" + here + length +
        token + b"\r\n" + content,
        "a header of 100 kB": line + here + length + token + b"X: " + b"y" * 100000 + b"\r\n\r\n" + content,
    }
    with server.untouched():
        got = {what: server.raw(request) for what, request in raw.items()}
    assert {what: status for what, status in got.items() if status is not None and not 400 <= status < 500} == {}


def test_no_page_has_a_browser_give_tasks(lab):
    server = TaskServer(lab, tokens=False)
    without_audit(server)
    ways = [("POST", "/-/task"), ("OPTIONS", "/-/task"), ("DELETE", f"/api/v1/tasks/{NONE}")]
    marks = [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{PORT}"},
             {"Referer": "http://evil.example/page"}, {"Sec-Fetch-Site": "cross-site"},
             {"Sec-Fetch-Mode": "no-cors"}, {"Host": "rebound.example"}, {"Host": f"127.0.0.1.nip.io:{PORT}"},
             {"Forwarded": "for=127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 tunnel"}]
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    # Without tokens the server's own eyes are root's on its host.
    server.known = lambda: json.loads(server.ask("/api/v1/agents")[1])["agents"] and None
    server.targets = lambda: server.ask("/-/targets")
    before = server.rows(), children(server.server.pid), os.listdir(server.meta_dir)
    got = {}
    for method, path in ways:
        for mark in marks:
            for kind in kinds if method == "POST" else kinds[:1]:
                status, _ = server.give(body(), {**mark, "Content-Type": kind}, path, method)
                got[method, path, str(mark), kind] = status
    assert {what: status for what, status in got.items() if status not in (401, 403, 405)} == {}
    assert (server.rows(), children(server.server.pid), os.listdir(server.meta_dir)) == before
    assert server.ask("/-/ready")[0] == 200


REFUSED_COMMANDS = {
    "ping": ["-f 10.77.0.1", "-l 100 10.77.0.1", "-b 10.77.0.255", "-R 10.77.0.1", "-c 1 10.77.0.1 10.77.0.2",
             "-s 65507 10.77.0.1", "224.0.0.1", "255.255.255.255", "-p ff 10.77.0.1"],
    "mtr": ["-F /etc/shadow", "--filename /etc/shadow 10.77.0.1", "-l 10.77.0.1", "-r -i 0.0001 -c 99999999999 x y",
            "--curses 10.77.0.1", "-M 1 10.77.0.1"],
    "traceroute": ["-g 10.77.0.9 10.77.0.1", "-M raw 10.77.0.1", "-O ack 10.77.0.1", "-A 10.77.0.1",
                   "--fwmark=1 10.77.0.1", "10.77.0.1 60000"],
    "tracepath": ["-x 10.77.0.1", "--help 10.77.0.1", "10.77.0.1 10.77.0.2", "-m many 10.77.0.1", "-l 9 10.77.0.1"],
    "dig": ["-f /etc/shadow", "-k /etc/key x", "@10.77.0.1 example.com AXFR", "+trace example.com",
            "+nssearch example.com", "-y hmac:x:y example.com"],
    "host": ["-l example.com 10.77.0.1", "-C example.com", "-a -T -U example.com x y z", "-d -v -f x y",
             "-m trace example.com"],
    "nslookup": ["-", "-querytype=axfr x", "example.com -", "-debug -port=x y", "server 10.77.0.1 x"],
    "ss": ["-K dst 10.77.0.1", "-F /etc/shadow", "-D /tmp/dump", "--kill", "-N other"],
    "ip": ["link set lo down", "addr add 10.0.0.1/8 dev lo", "-batch /etc/shadow", "netns exec x sh",
           "route flush table main", "-n x link"],
    "a shell's": ["; reboot", "| tee /tmp/x", "&& id", "$(id)", "`id`", "> /tmp/x", "{a,b}"],
}
OTHERS = ["cat /etc/shadow", "/bin/ping 10.77.0.1", "../../bin/sh", "bash -c id", "sh", "agentd task-exec",
          "env ping 10.77.0.1", "-c id", "ping\t-f\t10.77.0.1", "'ping' \"-f\" 10.77.0.1", "PING -c 1 10.77.0.1",
          "ping -c 1 10.77.0.1 # -f", "ping --flood 10.77.0.1", "http file:///etc/shadow", "probe icmp -file /etc/shadow",
          "probe http -proxy x http://10.77.0.1/", "trace -o /tmp/x 10.77.0.1"]


def test_no_option_of_a_command_does_more_than_look(lab):
    server = TaskServer(lab)
    lab.add_host("eu-1", "eu")
    server.start_agent("eu-1", "-agent.join", server.token("-region", "eu"), "-agent.task.rate", "6000",
                       "-agent.task.running", "8", region="eu")
    agent = server.agents["eu-1"]
    wait_until(lambda: any(region == "eu" for _, region, _ in server.known()), 20, "the agent")
    server.hang_up()
    state = sorted(os.listdir(server._state("eu-1")))
    lines = [f"{command} {options}" if command != "a shell's" else f"ping -c 1 10.77.0.1 {options}"
             for command, all_options in REFUSED_COMMANDS.items() for options in all_options] + OTHERS
    tasks = {line: server.order(region="eu", cmd=line) for line in lines}
    got = {line: server.task(task, "?wait=20s")["agents"][0] for line, task in tasks.items()}
    assert {line: row["state"] for line, row in got.items() if row["state"] != "refused"} == {}
    assert {line for line, row in got.items() if not row["text"]} == set()
    assert children(agent.pid) == {} and agent.alive() and server.server.alive()
    assert {name for name in os.listdir(server._state("eu-1"))} - set(state) <= {"tasks"}


def test_no_name_of_a_region_leads_out_of_the_directory(lab):
    server = TaskServer(lab)
    above = sorted(os.listdir(lab.directory)), sorted(os.listdir("/tmp"))
    names = ["../../escaped", "/etc/passwd", "..", ".", "a/../../../b", "~root", "-rf", "x" * 128, "欧洲/美国",
             "con\\aux:*?", "$(id)", "a b'\"", ".hidden", "%2e%2e%2f"]
    agents = {}
    for name in names:
        credentials = server.authority.agent(name)
        agents[name] = server.agent(credentials)
        assert agents[name].hello()[0] == trustlib.OK, name
    wait_until(lambda: len(server.known()) == len(names) + 1, 10, "all to be known")
    for name, agent in agents.items():
        task = server.order(region=name)
        wait_until(lambda: task in agent.tasks()[0], 10, "its task")  # pylint: disable=cell-var-from-loop
        end = task_end(0, 0, stdout=3)
        assert agent.report_task(task, ENDED, [(1, 0, b"out")], end)[2][0] == trustlib.TAKEN
    wait_until(lambda: len(server.results()) == len(names), 10, "a file for each")
    files = [os.path.join(server.meta_dir, f) for f in server.results()]
    assert all(os.path.isfile(f) and not os.path.islink(f) for f in files)
    assert not [f for f in files if os.path.basename(f).startswith((".", "-"))]
    assert sorted(os.listdir(lab.directory)) == above[0]
    assert not [f for f in os.listdir("/tmp") if f not in above[1] and "escaped" in f]


def test_no_report_but_of_an_agents_own_task_is_kept(lab):
    server = TaskServer(lab)
    own, other = (server.agent(server.authority.agent(r)) for r in ("own", "other"))
    assert own.hello()[0] == other.hello()[0] == trustlib.OK
    wait_until(lambda: len(server.known()) == 3, 10, "both to be known")
    task = server.order(region="own")
    wait_until(lambda: task in own.tasks()[0], 10, "its task")
    attacks = {
        "another's task": (task, ENDED, [(1, 0, b"forged")], task_end(0, 0, stdout=6)),
        "a task that is none": ("20200101T000000-000000000000", ENDED, (), task_end()),
        "a path": ("../../etc/passwd", RUNNING, (), None),
        "no id": ("", RUNNING, (), None),
        "a long id": ("x" * 64, RUNNING, (), None),
        "a state that is none": (task, 77, (), None),
        "an end that has not come": (task, RUNNING, (), task_end()),
        "a stream that is none": (task, RUNNING, [(9, 0, b"x")], None),
        "very far on": (task, RUNNING, [(1, 2 ** 63, b"x")], None),
    }
    got = {what: other.report_task(*attack) for what, attack in attacks.items()}
    assert {what: g for what, g in got.items()
            if g[0] == trustlib.OK and g[2] and g[2][0] == trustlib.TAKEN} == {}
    row = server.task(task)["agents"][0]
    assert row["state"] in ("sent", "queued") and row["stdout_bytes"] == 0
    assert own.report_task(task, ENDED, [(1, 0, b"mine")], task_end(0, 0, stdout=4))[2][0] == trustlib.TAKEN
    assert server.task(task, "?wait=5s")["agents"][0]["state"] == "done"
    # What has ended is not told otherwise, nor does its output grow.
    own.report_task(task, ENDED, [(1, 4, b" and more")], task_end(0, 9, stdout=13))
    row = server.task(task)["agents"][0]
    assert (row["state"], row["exit_code"], row["stdout_bytes"]) == ("done", 0, 4)
