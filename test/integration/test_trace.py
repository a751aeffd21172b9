"""agentd probe trace: what it finds of a path, in the emulator and over the kernel's own routers."""
import json
import os
import signal
import shutil
import subprocess

import pytest

import lablib

pytestmark = pytest.mark.address

HOP_KEYS = {"hop", "address", "responders", "is_target", "sent", "received", "lost", "unknown",
            "unsent", "duplicates", "late", "loss_ratio", "rtt"}
FAST = ("-interval", "1ms", "-rate", "1000", "-timeout", "500ms")


@pytest.fixture(autouse=True)
def agentd(build):
    """The program."""
    program = os.path.join(build, "bin/agentd")
    if not os.path.exists(program):
        pytest.skip("agentd is not built")
    return program


@pytest.fixture
def path(lab):
    """A lab with two hosts and five routers between them, 60 ms away each way."""
    lab.add_host("a", "ra")
    lab.add_host("b", "rb")
    lab.set_both("ra", "rb", delay="60ms", hops=5, error_rate=100000)
    # or the kernel of the target sends no more than one "port unreachable" a second
    lab.sysctl("b", "ipv4.icmp_ratemask", 0)
    lab.sysctl("b", "ipv6.icmp.ratelimit", 0)
    return lab


def routers(lab, family, count=5):
    """The emulator's routers from host a, the first of the lab."""
    number = list(lab.hosts).index("a")
    form = "10.78.{}.{}" if family == "ipv4" else "fd78::{:x}:{:x}"
    return [form.format(number, hop).replace("::0:", "::") for hop in range(1, count + 1)]


def trace(lab, *words, status=0, host="a"):
    """Runs agentd probe trace -json; {target: result}."""
    run = lab.run(host, [lab.path("bin/agentd"), "probe", "trace", "-json", *words])
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    results = {}
    for line in run.stdout.splitlines():
        result = json.loads(line)
        for number, hop in enumerate(result["hops"], 1):
            check_laws(hop, number)
        results[result["target"]] = result
    return results


def check_laws(hop, number):
    assert HOP_KEYS <= set(hop) and hop["hop"] == number, hop
    assert hop["sent"] == hop["received"] + hop["lost"] + hop["unknown"], hop
    rtt = hop["rtt"]
    if hop["received"] == 0:
        assert all(v is None for v in rtt.values()), hop
    else:
        assert 0 <= rtt["min"] <= rtt["p50"] <= rtt["p90"] <= rtt["p99"] <= rtt["max"], hop
        assert rtt["min"] <= rtt["mean"] <= rtt["max"] and rtt["min"] <= rtt["last"], hop


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_every_hop_is_named_with_its_loss_and_rtt(path, protocol, family):
    path.set("ra", "rb", loss="20%", loss_hop=3, mute_hop=2)
    target = getattr(path.hosts["b"], family)
    result = trace(path, "-protocol", protocol, "-count", "1000", *FAST, "-timeout", "2s",
                   target)[target]
    stats = path.stats()["a", "b"]
    hops = result["hops"]
    expected = [*routers(path, family), target]
    expected[1] = None
    assert [h["address"] for h in hops] == expected
    assert result["reached"] and result["end"] == "target" and hops[5]["is_target"]
    for hop in hops:
        assert hop["sent"] >= 998, "sent anew until the end of the path was known"
    assert [h["lost"] for h in hops[:2]] == [0, hops[1]["sent"]]
    assert hops[1]["remark"] == "never_answers"
    behind = hops[2:]
    lost = stats["request.lost" if protocol == "icmp" else "rest.lost"]
    assert sum(h["sent"] for h in behind) * 0.18 <= sum(h["lost"] for h in behind) \
        <= sum(h["sent"] for h in behind) * 0.22
    missed = sum(h["lost"] + h["unknown"] - h["late"] for h in behind)
    assert missed <= lost <= missed + 10, "the first probes go beyond the end, and are not shown"
    assert all("remark" not in h for h in behind), "each loses what the path loses"
    for number in (1, 3, 4, 5, 6):
        hop = hops[number - 1]
        assert hop["rtt"]["p50"] == pytest.approx(0.120 * number / 6, rel=0.1), hop
        if number >= 3:
            assert 0.14 <= hop["loss_ratio"] <= 0.26, hop


def test_a_router_that_limits_its_answers_is_not_blamed_on_the_path(path):
    path.set("ra", "rb", mute_hop=4, mute="60%")
    target = path.hosts["b"].ipv4
    hops = trace(path, "-count", "100", *FAST, target)[target]["hops"]
    assert hops[3]["remark"] == "limits_answers" and 0.4 < hops[3]["loss_ratio"] < 0.8
    assert hops[5]["lost"] == 0


def test_an_unreachable_target_ends_the_trace_with_the_reason(path):
    path.set("ra", "rb", unreachable="on")
    target = path.hosts["b"].ipv4
    result = trace(path, "-count", "5", *FAST, target, status=1)[target]
    assert (result["reached"], result["end"]) == (False, "unreachable")
    assert result["unreachable"] == "host unreachable"
    assert result["hops"][-1]["address"] == routers(path, "ipv4")[4]
    assert result["hops"][-1]["unreachable"] == "host unreachable"


def test_a_target_that_never_answers_ends_after_some_silent_hops(path):
    path.set("rb", "ra", blackhole="on")
    target = path.hosts["b"].ipv4
    result = trace(path, "-count", "3", "-silent", "2", *FAST, target, status=1)[target]
    assert (result["reached"], result["end"]) == (False, "silent")
    assert [h["received"] > 0 for h in result["hops"]] == [True] * 5 + [False] * 2
    result = trace(path, "-count", "3", "-max-hops", "4", *FAST, target, status=1)[target]
    assert result["end"] == "too_far" and len(result["hops"]) == 4


def test_few_bytes_quoted_are_enough(path):
    path.set("ra", "rb", error_quote=8)
    target = path.hosts["b"].ipv4
    for protocol in ("icmp", "udp"):
        result = trace(path, "-protocol", protocol, "-count", "3", *FAST, target)[target]
        assert [h["address"] for h in result["hops"]] == [*routers(path, "ipv4"), target]


@pytest.mark.skipif(not shutil.which("mtr"), reason="mtr is not installed")
def test_other_tracers_beside_disturb_nothing(path):
    target = path.hosts["b"].ipv4
    flags = [["-c", "20", "-i", "0.1"], ["-u", "-c", "20", "-i", "0.1"]]
    others = [subprocess.Popen(path.hosts["a"].enter + ["mtr", "-n", "-r", *f, target],
                               stdout=subprocess.PIPE, text=True) for f in flags]
    results = [trace(path, "-protocol", p, "-count", "100", "-interval", "20ms", "-rate", "500",
                     target)[target] for p in ("icmp", "udp")]
    for result in results:
        assert [h["address"] for h in result["hops"]] == [*routers(path, "ipv4"), target]
        assert all(h["lost"] == 0 and h["duplicates"] == 0 for h in result["hops"]), result
    for other in others:
        report = other.communicate(timeout=60)[0]
        assert routers(path, "ipv4")[0] in report, report
        assert all(line.split()[2] == "0.0%" for line in report.splitlines()[2:]), report


def test_several_targets_at_once_and_one_that_does_not_exist(path):
    path.add_host("c", "rc")
    path.set_both("ra", "rc", delay="5ms", hops=2, error_rate=100000)
    path.run("a", ["true"], check=True)
    b, c = path.hosts["b"].ipv4, path.hosts["c"].ipv6
    results = trace(path, "-count", "5", *FAST, b, c, "300.1.1.1", "224.0.0.1", status=1)
    assert len(results[b]["hops"]) == 6 and len(results[c]["hops"]) == 3
    assert "neither an address" in results["300.1.1.1"]["error"]
    assert "single host" in results["224.0.0.1"]["error"]


def test_the_table_names_hops_and_remarks(path):
    path.set("ra", "rb", mute_hop=2)
    target = path.hosts["b"].ipv4
    run = path.run("a", [path.path("bin/agentd"), "probe", "trace", "-count", "5", *FAST, target])
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and lines[0].startswith(f"{target} ({target}) by icmp from "), lines
    assert lines[1].split() == ["hop", "address", "loss", "sent", "last", "avg", "best", "worst",
                                "stdev"]
    assert lines[2].split()[:4] == ["1", routers(path, "ipv4")[0], "0.0%", "5"]
    assert lines[3].split()[:4] == ["2", "???", "100.0%", "5"]
    assert lines[3].endswith("never answers; the path goes on")
    assert lines[7].split()[:2] == ["6", target] and len(lines) == 8


def test_an_interrupt_prints_what_is_known(path):
    target = path.hosts["b"].ipv4
    process = subprocess.Popen(path.hosts["a"].enter + [
        path.path("bin/agentd"), "probe", "trace", "-json", "-count", "1000", target],
        stdout=subprocess.PIPE, text=True)
    try:
        lablib.wait_until(
            lambda: path.stats().get(("a", "b"), {}).get("request.seen", 0) >= 8, 20, "probes")
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=20)[0]
    finally:
        process.kill()
    result = json.loads(out)
    assert process.returncode == 0 and result["error"] == "interrupted" and result["reached"]
    assert len(result["hops"]) == 6


@pytest.fixture
def chain(lab):
    """Four namespaces in a row, joined by veth pairs: a host, two routers of the kernel's, a host."""
    names = [f"lab-{lab.name}-{n}" for n in ("n0", "n1", "n2", "n3")]
    for name in names:
        lab.reaper.add("netns", name)
        lablib.ip(f"netns add {name}")
        lab.hosts[name] = lablib.Host(name, name, name, "behind", [])
    for i, (left, right) in enumerate(zip(names, names[1:])):
        lablib.ip(f"link add behind netns {left} type veth peer name before netns {right}")
        for name, device, end in ((left, "behind", 1), (right, "before", 2)):
            lablib.ip_batch(name, ["link set lo up", f"addr add 10.9.{i}.{end}/24 dev {device}",
                                   f"-6 addr add fd09:{i}::{end}/64 dev {device} nodad",
                                   f"link set {device} up"])
    for i, name in enumerate(names):
        lines = [f"route add 10.9.{n}.0/24 via 10.9.{i}.2" for n in range(i + 1, 3)]
        lines += [f"route add 10.9.{n}.0/24 via 10.9.{i - 1}.1" for n in range(i - 1)]
        lines += [f"-6 route add fd09:{n}::/64 via fd09:{i}::2" for n in range(i + 1, 3)]
        lines += [f"-6 route add fd09:{n}::/64 via fd09:{i - 1}::1" for n in range(i - 1)]
        lablib.ip_batch(name, [line for line in lines if line])
        for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            lab.sysctl(name, key, 1)
    ping = [lab.path("bin/agentd"), "probe", "icmp", "-count", "1", "10.9.2.2", "fd09:2::2"]
    lablib.wait_until(lambda: lab.run(names[0], ping).returncode == 0, 30, "the way to the end")
    yield lab, names
    for name in names:
        lab.hosts.pop(name)
        lablib.ip(f"netns del {name}")
        lab.reaper.forget("netns", name)


@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_the_kernels_routers_are_traced_and_their_limit_is_told(chain, protocol):
    lab, names = chain
    for target, hops in (("10.9.2.2", ["10.9.0.2", "10.9.1.2", "10.9.2.2"]),
                         ("fd09:2::2", ["fd09:0::2", "fd09:1::2", "fd09:2::2"])):
        hops = [h.replace("fd09:0::", "fd09::") if h == "fd09:0::2" else h for h in hops]
        result = trace(lab, "-protocol", protocol, "-count", "3", "-interval", "10ms",
                       target, host=names[0])[target]
        assert [h["address"] for h in result["hops"]] == hops
        assert result["reached"] and result["hops"][2]["received"] == 3, result["hops"]
    lab.sysctl(names[1], "ipv4.icmp_ratelimit", 1000)
    lab.sysctl(names[1], "ipv4.icmp_ratemask", 1 << 11)
    for name in names[2:]:
        lab.sysctl(name, "ipv4.icmp_ratemask", 0)
    result = trace(lab, "-protocol", protocol, "-count", "50", "-interval", "10ms", "10.9.2.2",
                   host=names[0])["10.9.2.2"]
    assert result["hops"][0]["remark"] == "limits_answers", result["hops"][0]
    assert [h["lost"] for h in result["hops"][1:]] == [0, 0]
