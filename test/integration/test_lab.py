"""The lab and the quickstart as a person uses them."""
import fcntl
import os
import pty
import re
import select
import socket
import subprocess
import time

import pytest

import lablib

pytestmark = pytest.mark.seconds(150)

LAB = lablib.HERE + "/lab"
REGIONS = ["ap-singapore", "cn-shanghai", "eu-frankfurt", "us-west"]


def run(*argv, timeout=90):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False)


def left_behind(name):
    """What a lab of that name would leave: namespaces, devices, its directory, processes."""
    found = [n for n in lablib.ip("netns list").split() if n.startswith(f"lab-{name}-")]
    found += re.findall(rf"lab-{name}\b", lablib.ip("link show"))
    if os.path.exists(f"/run/probermesh-lab/{name}"):
        found.append("/run/probermesh-lab/" + name)
    listing = run("ps", "-eo", "args").stdout
    return found + [l for l in listing.splitlines() if f"probermesh-lab/{name}/" in l]


def is_served(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def running(build):
    """The name of a lab of two regions that is up."""
    name = f"t{os.getpid()}"
    up = run(LAB, "up", "-detach", "-name", name, "-regions", 2, "-agents", 1, "-interval", "1s",
             "-aggregation", "1s", "-build", build)
    assert up.returncode == 0, up.stderr + up.stdout
    yield name
    if os.path.exists(f"/run/probermesh-lab/{name}"):
        run(LAB, "down", "-name", name)
    assert left_behind(name) == []


def test_a_person_can_change_and_watch_a_running_lab(running):
    def lab(*words):
        done = run(LAB, words[0], "-name", running, *words[1:])
        assert done.returncode == 0, done.stderr
        return done.stdout
    hosts = lab("hosts")
    assert "cn-shanghai-1" in hosts and "us-west-1" in hosts and "server" in hosts
    lab("set", "cn-shanghai", "us-west", "loss", "100%", "only", "icmp")
    assert "loss 100%" in lab("get", "cn-shanghai", "us-west")
    ping = run(LAB, "-name", running, "exec", "cn-shanghai-1", "ping", "-c", 1, "-W", 1, "us-west-1")
    assert "1 packets transmitted, 0 received" in ping.stdout
    assert re.search(r"cn-shanghai-1 us-west-1 .*request.lost=", lab("stats"))
    lab("reset", "cn-shanghai", "us-west")
    ping = run(LAB, "-name", running, "exec", "cn-shanghai-1", "ping", "-c", 1, "-W", 1, "us-west-1")
    assert "1 packets transmitted, 1 received" in ping.stdout
    lab("kill", "us-west-1")
    assert "(ended)" in lab("hosts")
    lab("start", "us-west-1")
    assert "(ended)" not in lab("hosts")
    assert lab("logs", "us-west-1")
    lab("down")
    assert left_behind(running) == []


def test_mistakes_are_told_and_harm_nothing(running):
    for words, told in ((["set", "cn-shanghai", "nowhere", "loss", "1%"], "no host or region is called"),
                        (["set", "cn-shanghai", "us-west", "loss", "lots"], "expected a percentage"),
                        (["kill", "nobody"], "there is no host 'nobody'"),
                        (["frobnicate"], "is no command"),
                        (["start", "us-west-1"], "runs already")):
        done = run(LAB, words[0], "-name", running, *words[1:])
        assert done.returncode == 1 and told in done.stderr, (words, done)
    again = run(LAB, "up", "-name", running)
    assert again.returncode == 1 and "runs already" in again.stderr
    assert "no lab called 'nolab' runs" in run(LAB, "down", "-name", "nolab").stderr


def test_a_plan_happens_when_it_says(build, tmp_path):
    name = f"p{os.getpid()}"
    plan = tmp_path / "plan"
    plan.write_text("# a bad minute, shortened\nat 200ms set cn-shanghai us-west loss 30%\n"
                    "at 500ms kill us-west-1\nat 1s start us-west-1\nat 1.5s down\n")
    done = run(LAB, "up", "-name", name, "-regions", 2, "-agents", 1, "-interval", "1s", "-plan", plan,
               "-build", build)
    assert done.returncode == 0, done.stderr
    assert [l.split(" ", 2)[2] for l in done.stdout.splitlines() if l.startswith("at ")] == [
        "set cn-shanghai us-west loss 30%: ok", "kill us-west-1: ok", "start us-west-1: ok", "down: ok"]
    assert left_behind(name) == []
    plan.write_text("at noon set a b loss 30%\n")
    done = run(LAB, "up", "-name", name, "-plan", plan, "-build", build)
    assert done.returncode == 1 and f"{plan}:1: 'noon' is no duration" in done.stderr
    assert left_behind(name) == []


@pytest.fixture
def quickstart(build):
    """The script, and nobody else who runs it now: it uses the host's own port."""
    if build != os.path.join(lablib.ROOT, "build"):
        pytest.skip("the quickstart builds and runs the release")
    with open(lablib.ROOT + "/deploy/quickstart") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        yield script.name


def test_the_quickstart_prints_the_matrix_when_nobody_watches_and_leaves_nothing(quickstart):
    done = run(quickstart, "-seconds", "8", timeout=140)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "http://127.0.0.1:6001/metrics" in done.stdout
    last = done.stdout[done.stdout.rindex("from"):]
    for region in REGIONS:
        assert re.search(rf"^{region} ", last, re.M), last
    assert len(re.findall(r"\d+(?:\.\d+)? ms", last)) == 12, last
    assert left_behind("quickstart") == [] and not is_served(6001)


def test_the_quickstart_shows_the_matrix_live_until_ctrl_c_and_leaves_nothing(quickstart):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(quickstart, [quickstart], {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"})
    screen, deadline, served = "", time.monotonic() + 60, False
    while time.monotonic() < deadline and not served:
        if select.select([terminal], [], [], 1)[0]:
            screen += os.read(terminal, 65536).decode(errors="replace")
        page = screen[screen.rfind("\x1b[H"):] if "\x1b[H" in screen else ""
        served = len(re.findall(r"\d+(?:\.\d+)? ms", page)) >= 12 and is_served(6001)
    assert served, screen[-3000:]
    assert "127.0.0.1:6001/metrics" in screen
    os.write(terminal, b"\x03")
    ended, deadline = 0, time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        try:
            if select.select([terminal], [], [], 0.2)[0]:
                os.read(terminal, 65536)
        except OSError:
            pass  # the terminal has no writer any more
        ended, status = os.waitpid(pid, os.WNOHANG)
    os.close(terminal)
    assert ended and os.waitstatus_to_exitcode(status) == 0
    assert left_behind("quickstart") == [] and not is_served(6001)
