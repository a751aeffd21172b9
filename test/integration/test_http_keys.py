"""Each key of the http block, and each behaviour of HTTP probes, against real servers (httpcases)."""
import pytest

import httpcases
import httpfaults
import httplib

pytestmark = [pytest.mark.address, pytest.mark.seconds(150)]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.says) for c in httpcases.KEYS])
def test_a_probe_where(case, outcomes, world):
    httplib.verify(outcomes[case], case, world)


@pytest.mark.parametrize("path, times", [("/answer?s=401&h=WWW-Authenticate:%20Basic&once", 1),
                                         ("/bad/close?once", 1), ("/loop?once", 11)])
def test_each_hop_asks_once(path, times, world):
    httplib.probe(world, "{plain}" + path, {"basic_auth": {"username": "user"}})
    assert len(world.servers["plain"].asked(path)) == times


@pytest.mark.parametrize("block, told", [pytest.param(*c[1:3], id=c[0]) for c in httpfaults.REFUSED])
def test_what_is_refused_at_load(block, told, world):
    outcome = httplib.probe(world, "{plain}/answer", block, name="refused")
    assert outcome.status == 2 and not outcome.object, outcome
    first = outcome.errors.splitlines()[0]
    assert httplib.PLACE.search(first), first
    assert told in outcome.errors


@pytest.mark.parametrize("block", [pytest.param(c[1], id=c[0]) for c in httpfaults.TAKEN])
def test_what_is_taken_at_load(block, world):
    outcome = httplib.probe(world, "{plain}/answer", block, name="taken")
    assert outcome.status in (0, 1), outcome
