"""The cases of HTTP probes (httpcases and others) once more, by way of server and agent: from the probe
file over the link to the agent, and its results back into the metrics."""
import os
import urllib.request

import pytest

import httpabuse
import httpcases
import httplib
import httpways
import lablib
import meshlib

CASES = [c for c in httpcases.KEYS + httpabuse.ABUSE + httpways.WAYS
         if httplib.may_be_in_a_file(c) and not c.env and "{port:refused}" not in str(c.words)]


class Daemons:
    """A server and an agent on the loopback."""

    def __init__(self, world, entries):
        rpc, http = self._ports()
        self.url = f"http://127.0.0.1:{http}/metrics"
        state = os.path.join(world.directory, "state-")
        common = ["-log.dir", "", "-log.level", "4"]
        self.server = httplib.Process(world.directory, "serverd", [
            world.program("serverd"), "-server.rpc.listen.addr", f"127.0.0.1:{rpc}", "-server.http.listen.addr",
            f"127.0.0.1:{http}", "-server.probe.file", httplib.probe_file(world, "daemons", *entries),
            "-server.icmp.discovery", "static", "-server.aggregation.interval", "1s", "-server.state.dir",
            state + "server", *common], httplib.listens(http))
        self.agent = None
        try:
            self.agent = httplib.Process(world.directory, "agentd", [
                world.program("agentd"), "-agent.region", "elsewhere", "-agent.rpc.report.addr", f"127.0.0.1:{rpc}",
                "-agent.icmp.address", "192.0.2.1", "-agent.probe.interval", "8s" if world.is_slow else "4s", "-agent.state.dir", state + "agent",
                "-agent.secrets.dir", world.directory, "-agent.dns.servers", world.urls["dns"].partition("//")[2],
                *common], lambda log: "agent started" in log, httplib.environment(world))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _ports():
        """Free ones; hints go to the one after the next of the first."""
        while True:
            rpc, http = httplib.free_port(), httplib.free_port()
            if http not in (rpc, rpc + 2) and rpc + 2 < 65536 and httplib.is_free(rpc + 2):
                return rpc, http

    def metrics(self):
        with urllib.request.urlopen(self.url, timeout=10) as page:
            return meshlib.parse(page.read().decode())

    def close(self):
        """The exit statuses; what they said is printed when the test fails."""
        statuses = [process.close(20) for process in (self.agent, self.server) if process]
        for process in filter(None, (self.agent, self.server)):
            with open(process.log, encoding="utf-8") as log:
                print(f"---- {process.log}\n{log.read()[-4000:]}")
        return statuses


def found(metrics, name):
    """{URL: {label failed_reason or None: value}}"""
    by_url = {}
    for labels, value in meshlib.select(metrics, name).items():
        labels = dict(labels)
        by_url.setdefault(labels["target_addr"], {})[labels.get("failed_reason")] = value
    return by_url


@pytest.mark.address
@pytest.mark.thread
def test_every_case_is_the_same_by_way_of_server_and_agent(world):
    cases = [c for c in CASES if "/big" not in c.url][::3] if world.is_slow else CASES
    urls = {case: world.fill(case.url) + f"#case-{i}" for i, case in enumerate(cases)}
    daemons = Daemons(world, [httplib.entry(world, c.block, url, timeout=c.timeout) for c, url in urls.items()])
    measured = {url for case, url in urls.items() if case.expected["failed_reason"] != "local_error"}
    last = {}

    def missing():
        last["metrics"] = daemons.metrics()
        return measured - set(found(last["metrics"], "prober_http_failed"))
    try:
        lablib.wait_until(lambda: not missing(), 60, lambda: f"results of {missing()}")
    finally:
        ended = daemons.close()
    assert ended == [0, 0]
    assert meshlib.total(last["metrics"], "prober_server_reports_total", outcome="invalid") == 0
    failed, statuses = (found(last["metrics"], f"prober_http_{name}") for name in ("failed", "status_code"))
    wrong = []
    for case, url in urls.items():
        reason, status = case.expected["failed_reason"], case.expected["status_code"]
        expected = ({"success": 0} if not reason else {} if reason == "local_error" else {reason: 1}, status)
        told = (failed.get(url, {}), statuses.get(url, {}).get(None) or None)
        if told != expected:
            wrong.append(f"{case.says}: {told}, not {expected}")
    assert not wrong, "\n".join(wrong)
