"""What those who mean harm, or know no better, can do to running daemons: nothing but be counted."""
import signal
import time

import pytest

import lablib
import wirelib
from meshlib import TestMesh, total

# Answers each echo request of a host with replies that are almost right: the token, the sequence, the
# payload or the length is wrong.
FORGER = """
import os, socket, struct, sys
def checksum(data):
    data += b"\\0" * (len(data) % 2)
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
victim, left = sys.argv[1], int(sys.argv[2])
while left:
    packet, (source, _) = raw.recvfrom(2000)
    if source != victim or packet[20] != 8:
        continue
    echo = b"\\0\\0\\0\\0" + packet[24:]
    for forged in (echo[:20] + os.urandom(20) + echo[40:], echo[:6] + os.urandom(2) + echo[8:],
                   echo[:8] + os.urandom(len(echo) - 8), echo + os.urandom(900), echo[:8]):
        raw.sendto(forged[:2] + struct.pack("!H", checksum(forged)) + forged[4:], (victim, 0))
    left -= 1
"""


def test_slow_and_senseless_http_clients_keep_no_scrape_out(lab):
    mesh = TestMesh(lab, {}, start=False)
    mesh.start_server()
    lablib.wait_until(mesh.is_ready, 20, "the server")
    slow = [lab.connect("server", ("10.77.0.1", 6001)) for _ in range(50)]
    for client in slow:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 10.77.0.1\r\nX: ")
    for rubbish in (b"garbage\r\n\r\n", b"\0" * 5000, b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
                    b"POST /-/reload HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
        client = lab.connect("server", ("10.77.0.1", 6001))
        client.sendall(rubbish)
        slow.append(client)
    began = time.monotonic()
    assert mesh.get("/metrics", timeout=4)[0] == 200
    assert time.monotonic() - began < 4, "less than a slow client is given"
    for client in slow:
        client.close()


@pytest.mark.address
def test_idle_and_half_open_connections_keep_no_agent_out(lab):
    mesh = TestMesh(lab, {"ra": 1}, start=False)
    mesh.start_server()
    lablib.wait_until(mesh.is_ready, 20, "the server")
    # All from one host: what one address may hold is bounded, the agent has another.
    opened = [lab.connect("server", ("10.77.0.1", 6000)) for _ in range(400)]
    for number, connection in enumerate(opened):
        if number % 4 == 1:
            connection.sendall(b"\0SP")
        elif number % 4 == 2:
            connection.sendall(b"\0SP\0\0\x30\0\0" + b"\0" * 6 + b"\x10\0" + b"half a message")
        elif number % 4 == 3:
            connection.sendall(b"\0SP\0\0\x30\0\0" + b"\xff" * 8)
    began = time.monotonic()
    agent = wirelib.Agent(lab.connect("ra-1", ("10.77.0.1", 6000)), "a", "10.0.0.1")
    assert agent.hello() == (0, "")
    assert agent.sync()[1] == {}
    assert time.monotonic() - began < 5
    for connection in opened:
        connection.close()
    lablib.wait_until(lambda: total(mesh.metrics(), "prober_server_link_connections") == 1, 20,
                      "the connections to be gone")
    assert agent.sync()[1] == {}


@pytest.mark.address
def test_forged_replies_are_counted_and_change_no_result(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1})
    mesh.wait_until_formed()
    script = lab.directory + "/forger.py"
    with open(script, "w", encoding="utf-8") as file:
        file.write(FORGER)
    lab.run("rb-1", ["/usr/bin/python3", script, lab.hosts["ra-1"].ipv4, 100], check=True)
    mesh.wait_until_settled()
    metrics = mesh.agent_metrics("ra-1")
    odd = total(metrics, "prober_agent_engine_foreign_replies_total") + \
        sum(total(metrics, "prober_agent_odd_replies_total", kind=k) for k in ("bad", "corrupt"))
    assert odd >= 400
    assert total(metrics, "prober_agent_engine_identifier_changes_total") == 1
    for pair, counts in mesh.totals().items():
        assert counts["lost"] == counts["unknown"] == 0, (pair, counts)
        assert counts["received"] == counts["sent"] > 100
    mesh.assert_lawful()


@pytest.mark.thread
def test_an_agent_that_was_stopped_invents_no_loss(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1})
    lab.set_both("ra", "rb", delay="50ms")
    mesh.wait_until_formed()
    stopped = mesh.agents["ra-1"]
    for pause in (0.3, 0.9, 2.5):
        stopped.signal(signal.SIGSTOP)
        time.sleep(pause)
        stopped.signal(signal.SIGCONT)
        mesh.wait_until_settled()
    for pair, counts in mesh.totals().items():
        assert counts["lost"] == counts["unknown"] == 0, (pair, counts)
    assert total(mesh.agent_metrics("ra-1"), "prober_agent_probes_unsent_total", reason="late") > 0
    assert mesh.totals()["ra", "rb"]["unsent"] > 0
    mesh.assert_lawful()


def test_without_the_capability_it_pings_where_the_system_lets_it(lab):
    lab.add_host("a")
    lab.add_host("b")
    lab.sysctl("a", "ipv4.ping_group_range", "0 0")
    bare = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", lab.path("bin/agentd"),
            "probe", "icmp", "-count", "3", "-interval", "20ms"]
    run = lab.run("a", bare + [lab.hosts["b"].ipv4, lab.hosts["b"].ipv6])
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('"received":3,"lost":0') == 2, run.stdout
