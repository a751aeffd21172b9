"""What servers, names and URLs can do to HTTP probes, on purpose or not: each has its own reason."""
import json
import os
import subprocess
import time

import pytest

import httpabuse
import httpcases
import httplib

pytestmark = [pytest.mark.address, pytest.mark.seconds(150)]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.says) for c in httpabuse.ABUSE])
def test_a_probe_of(case, outcomes, world):
    httplib.verify(outcomes[case], case, world)
    limit = httplib.lablib.seconds(case.timeout)
    assert outcomes[case].object["duration"] <= limit + (1 if world.is_slow else 0.1)


def probe_many(world, urls, *words, wrap=()):
    """{url: object} of one process that probes all of them."""
    argv = [*wrap, world.agentd, "probe", "http", *words, "-file", "-"]
    done = subprocess.run(argv, input="\n".join(map(world.fill, urls)), capture_output=True, text=True,
                          timeout=60,
                          check=False)
    assert done.returncode == 1, (done.returncode, done.stderr)
    return {o["target"]: o for o in map(json.loads, done.stdout.splitlines())}


def test_what_is_stuck_delays_nobody(world):
    stuck = [url + str(i) for i in range(30) for url in ("{mute_plain}/", "{mute}/",
                                                         "{plain}/bad/drip_body?",
                                                         "{plain}/bad/silent?",
                                                         "{plain}/bad/silent_in_body?")]
    stuck += ["{plain}/bad/endless_body?1", "{plain}/bad/endless_trailers?1"]
    well = [f"{{plain}}/answer?w=20&i={i}" for i in range(60)]
    began = time.monotonic()
    found = probe_many(world, stuck[:75] + well + stuck[75:], "-timeout", "2s")
    assert time.monotonic() - began < 8
    assert len(found) == len(stuck) + len(well)
    for url in well:
        o = found[world.fill(url)]
        assert o["success"] and o["phases"]["processing"] >= 0.02, o
    slowest = sorted(found[world.fill(url)]["duration"] for url in well)[-3]
    assert slowest < 1, slowest
    assert {found[world.fill(url)]["failed_reason"] for url in stuck} <= {"timeout", "truncated"}


@pytest.mark.parametrize("url, block", [("{plain}/answer?z=bomb", {"compression": "gzip"}),
                                        ("{plain}/bad/endless_body",
                                         {"body_size_limit": "8MB", **httpcases.has("y")}),
                                        ("{plain}/bad/endless_head", {}), ("{plain}/bad/endless_line", {})])
def test_memory_is_bounded(world, url, block):
    def run(argv, **_):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        used.append(usage.ru_maxrss)
        process.stdout.close(), process.stderr.close()
        return subprocess.CompletedProcess(argv, process.returncode, out, errors)
    used = []
    httplib.probe(world, "{plain}/answer", {}, run=run, name="memory")
    outcome = httplib.probe(world, url, block, run=run, name="memory", timeout="5s")
    assert outcome.object, outcome
    assert used[1] - used[0] < 40 << 10, used


def test_without_descriptors_nothing_is_said_of_the_target(world):
    urls = [f"{{mute_plain}}/{i}" for i in range(60)]
    found = probe_many(world, urls, "-timeout", "1s", wrap=["prlimit", "--nofile=40"])
    reasons = [o["failed_reason"] for o in found.values()]
    assert len(reasons) == 60 and set(reasons) == {"timeout", "local_error"}, reasons


def test_user_information_is_not_shown(world):
    outcome = httplib.probe(world, "http://user:hush@127.0.0.1:{port:plain}/answer")
    assert outcome.object["success"]
    assert "hush" not in json.dumps(outcome.object) + outcome.errors
