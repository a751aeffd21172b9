"""HTTP probes through proxies, and with tokens (httpways)."""
import pytest

import httplib
import httpways

pytestmark = [pytest.mark.address, pytest.mark.seconds(90)]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.says) for c in httpways.WAYS])
def test_a_probe_where(case, outcomes, world):
    httplib.verify(outcomes[case], case, world)
