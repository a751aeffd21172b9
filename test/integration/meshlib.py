"""What the tests of the mesh ask of metrics and pairs."""
import json
import re

import lablib
from lablib import seconds, wait_until

RESULTS = ("sent", "received", "lost", "unknown", "unsent")
SAMPLE = re.compile(r'^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """{(name, frozenset of (label, value)): value} of a page of metrics."""
    found = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else SAMPLE.match(line)
        if match:
            labels = frozenset(LABEL.findall(match[2] or ""))
            assert (match[1], labels) not in found, f"twice: {line}"
            found[match[1], labels] = float(match[3])
    return found


def select(metrics, metric, **labels):
    """{labels as a dict's items: value} of the series of a name that have these labels."""
    wanted = set(labels.items())
    return {ls: v for (name, ls), v in metrics.items() if name == metric and wanted <= ls}


def total(metrics, metric, **labels):
    return sum(select(metrics, metric, **labels).values())


class TestMesh(lablib.Mesh):
    """A mesh whose regions each have some agents, and what its server says of it."""

    __test__ = False

    def __init__(self, lab, regions, interval="1s", aggregation="1s", server_flags=(), agent_flags=(),
                 start=True):
        super().__init__(lab, interval, aggregation)
        self.regions = list(regions)
        self.hosts = {r: self.add_agents(r, n) for r, n in regions.items()}
        self.agent_flags = agent_flags
        if start:
            self.start_server(*server_flags)
            for host in self.all_hosts():
                self.start_agent(host, *agent_flags)

    def all_hosts(self):
        return [h for hosts in self.hosts.values() for h in hosts]

    def start_agent(self, host, *flags, **options):
        address = self.lab.hosts[host].ipv4
        return super().start_agent(host, "-agent.http.listen.addr", f"{address}:7000", *flags, **options)

    def ordered_pairs(self):
        return [(a, b) for a in self.regions for b in self.regions if a != b]

    def in_time(self):
        """Within how many seconds a change on the network must show."""
        interval = seconds(self.interval)
        return 2 * interval + min(3, 0.8 * interval) + seconds(self.aggregation)

    def metrics(self):
        status, _, text = self.get("/metrics")
        assert status == 200
        return parse(text)

    def agent_metrics(self, host):
        status, _, text = self.lab.http(host, f"http://{self.lab.hosts[host].ipv4}:7000/metrics")
        assert status == 200
        return parse(text)

    def pairs(self):
        """{(source, target): the pair as /api/v1/mesh tells it}"""
        status, _, text = self.get("/api/v1/mesh")
        assert status == 200
        return {(p["source"], p["target"]): p for p in json.loads(text)["pairs"]}

    def totals(self, metrics=None):
        """{(source, target): {result: count}} since the server's start."""
        metrics = metrics or self.metrics()
        return {(a, b): {r: int(total(metrics, f"prober_icmp_packets_{r}_total", source_region=a,
                                      target_region=b)) for r in RESULTS}
                for a, b in self.ordered_pairs()}

    def try_pairs(self):
        """pairs(), or {} while the server does not answer."""
        try:
            self.is_ready()
            return self.pairs()
        except OSError:
            return {}

    def wait_for(self, condition, timeout, what):
        """Until condition(pairs) holds; the failure shows the pairs as they were last."""
        last = {}

        def check():
            last.clear()
            last.update(self.try_pairs())
            return last and condition(last)
        return wait_until(check, timeout, lambda: f"{what}; last seen: {summary(last)}")

    def wait_until_formed(self, timeout=30):
        """Every ordered pair shows replies."""
        self.wait_for(lambda pairs: all(pairs.get(p, {}).get("received") for p in self.ordered_pairs()),
                      timeout, "every region to hear of every other")

    def wait_for_sent(self, count, timeout=60):
        """Until each ordered pair has so many probes in its totals, from now on."""
        before = self.totals()
        self.wait_for(lambda pairs: all(pairs[p]["total"]["sent"] - before[p]["sent"] >= count
                                        for p in self.ordered_pairs()), timeout, f"{count} probes")
        return before

    def wait_until_settled(self, timeout=20):
        """Until what was sent before this call has ended and is in the server's totals: three windows
        more of every agent are. One may be running and one waiting for its last replies, and an
        agent's page is a little old."""
        before = {h: self.windows(h) for h in self.agents if self.agents[h].alive()}

        def settled():
            return all(self.windows(h) >= before[h] + 3 and self.spooled(h) == 0 for h in before)
        wait_until(settled, timeout, "three windows of every agent")
        aggregations = self.aggregations()
        wait_until(lambda: self.aggregations() >= aggregations + 2, timeout, "two aggregations")

    def windows(self, host):
        return total(self.agent_metrics(host), "prober_agent_windows_total")

    def spooled(self, host):
        return total(self.agent_metrics(host), "prober_agent_spool_reports")

    def aggregations(self):
        return total(self.metrics(), "prober_server_aggregations_total")

    def assert_lawful(self):
        """Both laws, at every agent and at the server, for every pair."""
        for host in self.agents:
            if not self.agents[host].alive():
                continue
            m = self.agent_metrics(host)

            def count(name, of=m):
                return total(of, f"prober_agent_probes_{name}_total")
            assert count("scheduled") == count("sent") + count("unsent")
            assert count("sent") == count("received") + count("lost") + count("unknown")
        for pair, t in self.totals().items():
            assert t["sent"] == t["received"] + t["lost"] + t["unknown"], (pair, t)


def assert_hardly_disturbed(counts, pair):
    """A busy machine may keep an agent from sending or from seeing a few: no more than 1 %."""
    assert counts["unknown"] + counts["unsent"] <= counts["sent"] / 100, (pair, counts)


def summary(pairs):
    return ", ".join(f"{a}>{b}: sent {p['sent']} received {p['received']} lost {p['lost']} "
                     f"unknown {p['unknown']} mean {p['mean']}" for (a, b), p in pairs.items()) or "nothing"


def rtt_series(metrics, source, target):
    """Every series of a pair that tells an RTT now; the histogram and its like are history."""
    names = ("prober_icmp_rtt_min_seconds", "prober_icmp_rtt_max_seconds",
             "prober_icmp_rtt_quantile_seconds", "prober_icmp_jitter_stddev_seconds",
             "prober_icmp_jitter_rfc3550_seconds")
    found = [n for n in names if select(metrics, n, source_region=source, target_region=target)]
    if select(metrics, "prober_icmp_duration_seconds", phase="rtt", source_region=source,
              target_region=target):
        found.append("prober_icmp_duration_seconds")
    return found
