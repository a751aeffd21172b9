"""The emulator does to packets what it was told to, and counts it exactly."""
import re
import socket
import subprocess
import sys
import time

import pytest

import lablib

pytestmark = pytest.mark.address


@pytest.fixture
def pair(lab):
    """A lab with two hosts, a and b, in regions ra and rb."""
    lab.add_host("a", "ra")
    lab.add_host("b", "rb")
    return lab


def ping(lab, count, address, *flags, interval="0.002"):
    """What iputils' ping found: {'sent', 'received', 'rtt': (min, avg, max), 'text'}."""
    run = lab.run("a", ["ping", "-n", "-c", count, "-i", interval, "-W", "1", *flags, address])
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", run.stdout)
    rtt = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", run.stdout)
    return {"sent": int(counts[1]), "received": int(counts[2]), "text": run.stdout,
            "rtt": tuple(float(x) for x in rtt.groups()) if rtt else None}


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_delay_of_both_directions_adds_up(pair, family):
    pair.set("ra", "rb", delay="30ms")
    pair.set("rb", "ra", delay="12ms")
    seen = ping(pair, 20, getattr(pair.hosts["b"], family), interval="0.02")
    assert seen["received"] == 20
    assert 42 <= seen["rtt"][0] < 43.5


def test_what_ping_misses_is_what_the_emulator_dropped(pair):
    pair.set("ra", "rb", loss="20%")
    pair.set("rb", "ra", loss="5%")
    seen = ping(pair, 1000, pair.hosts["b"].ipv4)
    stats = pair.stats()
    dropped = stats["a", "b"]["request.lost"] + stats["b", "a"]["reply.lost"]
    assert seen["sent"] - seen["received"] == dropped
    assert stats["a", "b"]["request.seen"] == 1000
    assert 150 <= stats["a", "b"]["request.lost"] <= 250
    assert pair.device_drops() == 0


def test_the_same_seed_drops_the_same_packets(build):
    def lost():
        with lablib.Lab(build, seed=3) as lab:
            lab.add_host("a", "ra")
            lab.add_host("b", "rb")
            lab.set("ra", "rb", loss="30%")
            text = ping(lab, 60, lab.hosts["b"].ipv4)["text"]
            return re.findall(r"icmp_seq=(\d+)", text)
    assert lost() == lost()


def test_a_blackhole_for_icmp_leaves_tcp_alone(pair):
    pair.set("*", "*", blackhole=True, only="icmp")
    assert ping(pair, 3, pair.hosts["b"].ipv4, interval="0.05")["received"] == 0
    listener = lablib.in_namespace(pair.hosts["b"].netns, lambda: socket.create_server(("", 80)))
    with listener, pair.connect("a", (pair.hosts["b"].ipv4, 80)):
        assert listener.accept()[1][0] == pair.hosts["a"].ipv4
    assert pair.stats()["a", "b"]["request.blackholed"] == 3


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_an_unreachable_route_is_told_by_its_router_at_a_limited_rate(pair, family):
    pair.set("ra", "rb", unreachable=True, hops=2, error_rate=1)
    seen = ping(pair, 20, getattr(pair.hosts["b"], family), interval="0.02")
    assert seen["received"] == 0
    told = [line for line in seen["text"].splitlines() if "nreachable" in line]
    assert 1 <= len(told) <= 3
    assert "10.78.0.2" in told[0] or "fd78::2" in told[0]


def test_routers_on_the_way_answer_a_ttl_that_runs_out(pair):
    pair.set_both("ra", "rb", hops=3)
    for ttl in (1, 2, 3):
        text = ping(pair, 1, pair.hosts["b"].ipv4, "-t", ttl)["text"]
        assert f"From 10.78.0.{ttl}" in text
    assert ping(pair, 1, pair.hosts["b"].ipv4, "-t", "4")["received"] == 1


def test_duplicates_and_reordering_reach_the_other_side(pair):
    pair.set("ra", "rb", duplicate="100%")
    text = ping(pair, 5, pair.hosts["b"].ipv4, interval="0.02")["text"]
    assert re.search(r"\+[45] duplicates", text)  # ping does not wait for the last one's
    pair.reset("*", "*")
    pair.set("ra", "rb", reorder="30%", reorder_by="15ms")
    numbers = re.findall(r"icmp_seq=(\d+)", ping(pair, 60, pair.hosts["b"].ipv4)["text"])
    assert len(numbers) == 60 and numbers != sorted(numbers, key=int)


def test_corruption_is_caught_by_checksums_and_damage_is_not(pair):
    pair.set("ra", "rb", corrupt="100%", only="request")
    assert ping(pair, 10, pair.hosts["b"].ipv4, interval="0.02")["received"] == 0
    pair.reset()
    pair.set("rb", "ra", damage="100%", only="reply")
    seen = ping(pair, 5, pair.hosts["b"].ipv4, "-p", "aa", interval="0.02")
    assert seen["received"] == 5 and "wrong data byte" in seen["text"]


def test_settings_change_while_packets_flow(pair):
    flow = pair.spawn("a", ["ping", "-n", "-q", "-i", "0.002", "-w", "60", pair.hosts["b"].ipv4], "flow")

    def counted(counter, above):
        return lambda: pair.stats().get(("a", "b"), {}).get(counter, 0) > above
    lablib.wait_until(counted("request.delivered", 50), 10, "packets")
    pair.set("ra", "rb", loss="100%")
    lablib.wait_until(counted("request.lost", 50), 10, "loss")
    pair.set("ra", "rb", loss="0%")
    before = pair.stats()["a", "b"]["request.delivered"]
    lablib.wait_until(counted("request.delivered", before + 50), 10, "recovery")
    flow.kill()


def test_fifty_thousand_packets_a_second_pass_without_loss(pair):
    """A flood of 20,000 echoes as fast as they come back: no drop, at an RTT well below a
    millisecond."""
    run = pair.run("a", ["ping", "-f", "-q", "-c", "20000", pair.hosts["b"].ipv4])
    assert "20000 packets transmitted, 20000 received" in run.stdout
    assert pair.device_drops() == 0


def test_a_bad_command_is_refused_with_the_reason(pair):
    with pytest.raises(lablib.LabError, match="loss: expected a percentage"):
        pair.set("ra", "rb", loss="much")
    with pytest.raises(lablib.LabError, match="no host or region is called 'rx'"):
        pair.set("ra", "rx", loss="1%")
    with pytest.raises(lablib.LabError, match="cannot enter namespace"):
        pair.control.ask("host", "x", "rx", "no-such-namespace", "lab0")


def test_nothing_is_left_after_kill_9(build):
    """Namespaces, processes and files go although the lab had no chance to clean up."""
    script = (f"import sys, time; sys.path.insert(0, {lablib.HERE!r})\n"
              "import lablib\n"
              f"lab = lablib.Lab({build!r})\n"
              "lab.add_host('a', 'ra'); d = lab.spawn('a', ['sleep', '600'])\n"
              "print(lab.hosts['a'].netns, lab.directory, d.pid, lab.forwarder.pid, flush=True)\n"
              "time.sleep(600)")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    netns, directory, *pids = process.stdout.readline().split()
    assert netns in lablib.ip("netns list")
    process.kill()
    process.wait()

    def gone():
        return netns not in lablib.ip("netns list") and not any(map(lablib.start_time, pids)) \
            and subprocess.run(["test", "-e", directory], check=False).returncode
    lablib.wait_until(gone, 10, "the reaper")


def test_names_are_answered_from_a_table_that_can_change(pair):
    table = pair.directory + "/names"
    with open(table, "w") as f:
        f.write("b.test 10.77.2.1 fd77::2:1\n")
    dns = pair.spawn("b", ["/usr/bin/python3", lablib.HERE + "/dns.py", table, "10.77.2.1"], "dns")
    lablib.wait_until(lambda: "ready" in dns.log(), 10, "the name server")

    def ask(name, kind):
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"".join(
            bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\x00" + bytes([0, kind, 0, 1])
        s = lablib.in_namespace(pair.hosts["a"].netns,
                                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        s.settimeout(5)
        s.sendto(query, ("10.77.2.1", 53))
        answer = s.recv(512)
        s.close()
        return answer[3] & 15, answer[7], answer[-4:]
    assert ask("b.test", 1) == (0, 1, bytes([10, 77, 2, 1]))
    assert ask("b.test", 28)[:2] == (0, 1)
    assert ask("c.test", 1)[:2] == (3, 0)
    with open(table, "w") as f:
        f.write("c.test 10.77.9.9\n")
    assert ask("c.test", 1) == (0, 1, bytes([10, 77, 9, 9]))


def test_a_lab_of_two_hundred_hosts_comes_up_within_seconds(lab):
    began = time.monotonic()
    for i in range(200):
        lab.add_host(f"h{i}", f"r{i % 10}")
    assert time.monotonic() - began < 20
    assert lab.run("h0", ["ping", "-c", "1", lab.hosts["h199"].ipv4]).returncode == 0
