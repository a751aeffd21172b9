"""The same URLs under the same settings by us and by blackbox_exporter: what we say, it says too, but
for the differences that docs/http-probes.md tells."""
import concurrent.futures
import json
import os
import re
import subprocess

import pytest

import httpabuse
import httpcases
import httpfaults
import httplib
import httpways
import lablib

TRIES = 12
ALIKE = ("success", "status_code", "http_version", "redirects")
CASES = [c for c in httpcases.KEYS + httpabuse.ABUSE + httpways.WAYS if not c.alone and c.differs != "later-key"]
LARGE = 1 << 20


@pytest.fixture
def blackbox(world):
    exporter = httplib.Blackbox(world, CASES)
    yield exporter
    exporter.close()


@pytest.mark.seconds(240)
def test_what_we_say_of_a_probe_blackbox_exporter_says_too(world, blackbox):
    assert len(CASES) >= 40
    pairs = side_by_side(world, blackbox, CASES)
    wrong = [line for case, pair in pairs.items() for line in disagreements(case, *pair)]
    assert not wrong, "\n".join(wrong)
    check_phases({case: pair for case, pair in pairs.items() if not case.differs}, world, blackbox)


def side_by_side(world, blackbox, cases, at_once=3):
    """{case: (our object, theirs in our words)}"""
    def one(case):
        words = [world.fill(w) for w in case.words]
        ours = httplib.probe(world, case.url, case.block, *words, timeout=case.timeout,
                             name=f"beside-{id(case)}", env=world.fill(case.env))
        assert ours.object, f"{case.says}: {ours}"
        return case, (ours.object, blackbox.probe(case))
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return dict(pool.map(one, cases))


def disagreements(case, ours, theirs):
    found = {key: theirs[key] for key in ALIKE}
    expected = {key: ours[key] for key in ALIKE}
    if case.differs:
        expected.update({key: theirs[key] for key in ("http_version", "redirects")}, **case.theirs)
    if found != expected:
        yield f"{case.says}: they say {found}, not {expected}; told of this: {case.differs}"
    # Without an answer only we tell when the chain expires.
    expiry = ours["ssl_earliest_cert_expiry"] if ours["status_code"] else None
    if theirs["ssl_earliest_cert_expiry"] != expiry and not case.differs:
        yield f"{case.says}: they say that the chain expires at {theirs['ssl_earliest_cert_expiry']}, not {expiry}"


def check_phases(pairs, world, blackbox):
    """Each within 5 ms or 20 %, all of a probe in the same attempt: a busy machine delays some."""
    assert sum(p > 0.04 for ours, _ in pairs.values() for p in ours["phases"].values()) >= 8
    for _ in range(TRIES):
        wrong = {case: apart for case, pair in pairs.items() if (apart := phases_apart(*pair))}
        if not wrong:
            break
        pairs = side_by_side(world, blackbox, list(wrong), 1)
    assert not wrong, "\n".join(f"{case.says}: {apart}" for case, apart in wrong.items())


def phases_apart(ours, theirs):
    """{phase: (ours, theirs)} of those that disagree; none of a large body, which is a matter of speed, nor of
    many hops, which add up what each was delayed by others."""
    if (ours["body_bytes"] or 0) > LARGE or ours["redirects"] > 3:
        return {}
    return {p: (v, other) for p, v in ours["phases"].items()
            if abs(v - (other := theirs["phases"].get(p, 0))) > max(0.005, 0.2 * max(v, other))}


def test_what_we_refuse_at_load_blackbox_exporter_refuses_too(world):
    def loads(block):
        path = os.path.join(world.directory, "blackbox-check.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"modules": {"m": httplib.blackbox_module(world, block)}}, f)
        argv = [httplib.blackbox_program(), "--config.check", f"--config.file={path}"]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    wrong = [what for what, block, _, differs in httpfaults.REFUSED if loads(block) != bool(differs)]
    wrong += [what for what, block in httpfaults.TAKEN if not loads(block)]
    assert not wrong


def test_the_differences_are_told_to_people():
    with open(os.path.join(lablib.ROOT, "docs", "http-probes.md"), encoding="utf-8") as f:
        told = re.findall(r"^\| `([a-z-]+)` \|", f.read().split("## Where we differ")[1], re.M)
    used = {c.differs for c in CASES} | {c[3] for c in httpfaults.REFUSED} | {"later-key"}
    assert set(told) == set(httpcases.DIFFERENCES) == used - {None}
