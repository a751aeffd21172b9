"""Many joined agents that are cut off at once leave nothing behind on the server.

PROBERMESH_CROWD says how many; 1000 is the number that is promised."""
import json
import os
import signal
import subprocess
import time

import pytest
from attacklib import AttackedServer
from lablib import wait_until
from meshlib import total

CROWD = int(os.environ.get("PROBERMESH_CROWD", 150))
HERE = os.path.dirname(os.path.abspath(__file__))


class Generator:
    """The process of the crowd, in the client's network."""

    def __init__(self, server, count):
        addresses = [f"10.78.0.{i + 1}" for i in range(-(-count // 100))]
        argv = ["/usr/bin/python3", f"{HERE}/crowd.py", server._state("server"), count, *addresses]
        self.process = subprocess.Popen([*server.lab.hosts["client"].enter, *map(str, argv)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        server.lab.reaper.add("pid", self.process.pid)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the generator ended"
        return json.loads(line)

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def memory(pid):
    """Resident memory of its own, in kB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0])


@pytest.mark.address
@pytest.mark.seconds(90 + CROWD // 2)
def test_a_crowd_that_is_cut_off_five_times_leaves_nothing_behind(lab):
    server = AttackedServer(lab, "-server.plain.agents.per.source", "100", "-server.plain.agents.max",
                            "2000", member=False)
    lab.add_prefix("client", "10.78.0.0/24")
    crowd = Generator(server, CROWD)
    before, used, figures = server.settled(), [], []

    def connections():
        return total(server.metrics(), "prober_server_link_connections")
    for cut in range(5):
        figures.append(crowd.do("connect"))
        wait_until(lambda: connections() == CROWD, 30, "all to be connected")
        crowd.do("ask")
        if cut < 4:
            crowd.do("cut")
        else:
            crowd.kill()
        began = time.monotonic()
        assert server.settled() == before
        figures[-1]["gone"] = round(time.monotonic() - began, 2)
        assert total(server.metrics(), "prober_server_handshakes_open") == 0
        used.append(memory(server.server.pid))
    print("crowd", CROWD, figures, "memory kB", used)
    assert [f["resumed"] for f in figures] == [0] + 4 * [CROWD]
    assert used[4] - used[1] < 4096 + used[1] // 20, used
    began = time.monotonic()
    server.server.signal(signal.SIGTERM)
    assert server.server.wait(10) == 0
    assert time.monotonic() - began < 5 and "took too long" not in server.server.log()
