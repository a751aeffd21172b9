"""agentd probe icmp: what it prints, and how it ends."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import lablib

pytestmark = pytest.mark.address

KEYS = {"target", "address", "sent", "received", "lost", "unknown", "unsent", "late_sent",
        "duplicates", "loss_ratio", "resolve_seconds", "rtt"}
RTT_KEYS = {"min", "mean", "max", "stddev", "p50", "p90", "p99"}
DNS = "127.0.0.1:53"


@pytest.fixture(autouse=True)
def agentd(build):
    """The program."""
    program = os.path.join(build, "bin/agentd")
    if not os.path.exists(program):
        pytest.skip("agentd is not built")
    return program


@pytest.fixture
def pair(lab):
    """A lab with two hosts, a and b, 10 ms apart each way."""
    lab.add_host("a", "ra")
    lab.add_host("b", "rb")
    lab.set_both("ra", "rb", delay="10ms")
    return lab


def probe(lab, *words, status=0, **options):
    """Runs agentd probe icmp on host a; {target: [result, …]}."""
    run = lab.run("a", [lab.path("bin/agentd"), "probe", "icmp", *words], **options)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    results = {}
    for line in run.stdout.splitlines():
        result = json.loads(line)
        check_laws(result)
        results.setdefault(result["target"], []).append(result)
    return results


def check_laws(result):
    assert result["sent"] == result["received"] + result["lost"] + result["unknown"], result
    known = result["received"] + result["lost"]
    if known == 0:
        assert result["loss_ratio"] is None
    elif result["unknown"] == 0:
        assert result["loss_ratio"] == pytest.approx(result["lost"] / known)
    rtt = result["rtt"]
    assert set(rtt) == RTT_KEYS
    if result["received"] == 0:
        assert all(v is None for v in rtt.values())
    else:
        assert 0 <= rtt["min"] <= rtt["p50"] <= rtt["p90"] <= rtt["p99"] <= rtt["max"]
        assert rtt["min"] <= rtt["mean"] <= rtt["max"]


@pytest.fixture
def named(pair):
    """The pair, with a name server on host a that knows some names."""
    table = os.path.join(pair.directory, "names")
    b = pair.hosts["b"]
    with open(table, "w", encoding="ascii") as f:
        f.write(f"b.test {b.ipv4} {b.ipv6}\nsix.test {b.ipv6}\nbroken.test servfail\n"
                "silent.test silent\n")
    script = os.path.join(lablib.ROOT, "test", "lab", "dns.py")
    pair.spawn("a", [sys.executable, "-B", script, table, "127.0.0.1", "53"], "dns")
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\1b\4test\0\0\1\0\1"
    ask = ("import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); "
           "s.settimeout(0.2); s.connect(('127.0.0.1',53)); "
           f"s.send({query!r}); sys.exit(not s.recv(512))")
    lablib.wait_until(lambda: pair.run("a", [sys.executable, "-c", ask]).returncode == 0, 20,
                      "the name server to answer")
    return pair


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_host_that_answers(pair, family):
    address = getattr(pair.hosts["b"], family)
    result, = probe(pair, "-count", "10", "-interval", "20ms", address)[address]
    assert set(result) == KEYS
    assert result["address"] == address
    assert (result["sent"], result["received"], result["unsent"]) == (10, 10, 0)
    assert result["loss_ratio"] == 0 and result["duplicates"] == 0
    assert 0.020 <= result["rtt"]["min"] < 0.025
    assert result["resolve_seconds"] == 0


def test_one_probe_ends_when_it_is_answered(pair):
    began = time.monotonic()
    probe(pair, "-count", "1", "-interval", "30s", "-timeout", "30s", pair.hosts["b"].ipv4)
    assert time.monotonic() - began < 10


def test_loss_is_what_the_path_loses(pair):
    pair.set("ra", "rb", loss="30%")
    address = pair.hosts["b"].ipv4
    result, = probe(pair, "-count", "300", "-interval", "5ms", "-timeout", "300ms",
                    address)[address]
    lost = pair.stats()["a", "b"]["request.lost"]
    assert result["sent"] + result["unsent"] == 300
    assert result["unsent"] <= 30, "a busy machine may keep a probe from being sent, not many"
    assert result["lost"] == lost


def test_a_silent_host_fails_with_nulls(pair):
    pair.set("ra", "rb", blackhole="on")
    good, silent = "127.0.0.1", pair.hosts["b"].ipv4
    results = probe(pair, "-count", "3", "-interval", "100ms", "-timeout", "200ms", good, silent,
                    status=1)
    assert results[good][0]["received"] == 3
    result, = results[silent]
    assert (result["sent"], result["received"], result["lost"]) == (3, 0, 3)
    assert result["loss_ratio"] == 1


def test_a_host_without_a_route_is_unsent_not_lost(pair):
    pair.run("a", ["ip", "route", "add", "unreachable", "192.0.2.0/24"], check=True)
    result, = probe(pair, "-count", "3", "-interval", "100ms", "192.0.2.1", status=1)["192.0.2.1"]
    assert (result["sent"], result["unsent"], result["lost"]) == (0, 3, 0)
    assert "route" in result["error"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_probe_larger_than_the_path_carries_whole_is_answered(pair, address):
    pair.run("a", ["ip", "link", "set", "lo", "mtu", "1500"], check=True)
    for size in (64, 1500, 60000):
        result, = probe(pair, "-count", "3", "-interval", "100ms", "-size", str(size),
                        address)[address]
        assert (result["sent"], result["received"], result["unsent"]) == (3, 3, 0), size


def test_names_are_resolved(named):
    b = named.hosts["b"]
    results = probe(named, "-dns", DNS, "-count", "2", "-interval", "100ms", "b.test", "six.test")
    assert results["b.test"][0]["address"] == b.ipv4
    assert results["b.test"][0]["resolve_seconds"] > 0
    assert results["six.test"][0]["address"] == b.ipv6
    results = probe(named, "-6", "-dns", DNS, "-count", "2", "-interval", "100ms", "b.test")
    assert results["b.test"][0]["address"] == b.ipv6


def test_names_that_do_not_resolve_are_told_with_the_reason(named):
    names = {"nowhere.test": "nxdomain", "broken.test": "servfail", "silent.test": "timeout",
             "no/name": "bad_name"}
    results = probe(named, "-dns", DNS, "-count", "2", "-interval", "100ms", "b.test", *names,
                    status=1)
    assert results["b.test"][0]["received"] == 2
    for name, reason in names.items():
        result, = results[name]
        assert result["address"] is None
        assert (result["sent"], result["unsent"], result["lost"]) == (0, 2, 0)
        assert reason in result["error"]
    result, = probe(named, "-4", "-dns", DNS, "six.test", status=1)["six.test"]
    assert "nodata" in result["error"]


def test_a_file_of_targets_and_a_summary(pair, tmp_path):
    targets = [f"127.0.{i // 250}.{i % 250 + 1}" for i in range(2000)]
    path = tmp_path / "targets"
    path.write_text("# all here\n" + "\n".join(targets) + "\n", encoding="ascii")
    argv = [pair.path("bin/agentd"), "probe", "icmp", "-count", "3", "-interval", "200ms",
            "-summary"]
    for words, stdin in ((["-file", path], None), (["-file", "-"], path)):
        with open(stdin or os.devnull, "rb") as f:
            run = pair.run("a", argv + words, stdin=f)
        assert run.returncode == 0, (run.stdout, run.stderr)
        summary = json.loads(run.stdout)
        check_laws(summary)
        assert summary["targets"] == summary["answered"] == 2000
        assert (summary["sent"], summary["received"], summary["unsent"]) == (6000, 6000, 0)
        assert 0.4 <= summary["elapsed_seconds"] < 20


def test_a_target_given_twice_is_probed_twice(pair):
    results = probe(pair, "-count", "1", "127.0.0.1", "127.0.0.1")
    assert [r["received"] for r in results["127.0.0.1"]] == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_early_with_what_is_known(pair, number):
    address = pair.hosts["b"].ipv4
    argv = pair.hosts["a"].enter + [pair.path("bin/agentd"), "probe", "icmp", "-count", "60000",
                                    "-interval", "100ms", address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        lablib.wait_until(lambda: pair.stats().get(("b", "a"), {}).get("reply.seen", 0) > 20, 30,
                          "some replies")
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    result = json.loads(out)
    check_laws(result)
    assert process.returncode == 0
    assert 20 <= result["received"] == result["sent"] < 60000


@pytest.mark.parametrize("words", [
    [], ["-count", "0", "127.0.0.1"], ["-interval", "fast", "127.0.0.1"], ["-nonsense"],
    ["-4", "-6", "127.0.0.1"], ["-file", "/nonexistent/targets"], ["-size", "1", "127.0.0.1"]])
def test_a_wrong_command_line_is_told_and_probes_nothing(build, words):
    run = subprocess.run([os.path.join(build, "bin/agentd"), "probe", "icmp", *words],
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 2
    assert run.stdout == "" and run.stderr.startswith("agentd probe icmp: ")


def test_help_shows_the_flags_and_their_defaults(build):
    run = subprocess.run([os.path.join(build, "bin/agentd"), "probe", "icmp", "-h"],
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0
    for flag in ("-count", "-interval", "-timeout", "-size", "-4", "-6", "-file", "-summary"):
        assert flag in run.stdout


def test_without_the_capability_it_says_how_to_grant_it(pair):
    run = pair.run("a", ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw",
                         pair.path("bin/agentd"), "probe", "icmp", "127.0.0.1"])
    assert run.returncode == 2
    assert "CAP_NET_RAW" in run.stderr
    assert run.stdout == ""
