"""URLs that the agents of several regions probe: what the server makes of their results."""
import json
import signal

import pytest

from labweb import Web
from lablib import wait_until
from meshlib import TestMesh, select, total

pytestmark = pytest.mark.seconds(60)

RESULTS = ("success", "failed", "unsent")


class HttpMesh(TestMesh):
    """A mesh with the probe file of a web host."""

    __test__ = False

    def __init__(self, lab, regions, *server_flags):
        self.web = Web(lab)
        self.file = lab.directory + "/probe.yaml"
        self.write(self.web.probe_file())
        super().__init__(lab, regions, server_flags=["-server.probe.file", self.file, *server_flags])

    def write(self, text):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(text)

    def apply(self, text):
        """Has the server read another probe file."""
        self.write(text)
        self.server.signal(signal.SIGHUP)

    def urls(self):
        """{(source, target): the URL as /api/v1/http tells it}"""
        status, _, text = self.get("/api/v1/http")
        assert status == 200
        return {(u["source"], u["target"]): u for u in json.loads(text)["urls"]}

    def wait_for_urls(self, condition, timeout, what):
        last = {}

        def check():
            try:
                last.update(self.urls())
                return condition(last)
            except (OSError, KeyError):
                return False
        return wait_until(check, timeout, lambda: f"{what}; last seen: {json.dumps(list(last.values()))}")

    def wait_until_probed(self, count, agents):
        """Until so many URLs show the probes of so many agents each."""
        self.wait_for_urls(lambda urls: len(urls) == count and all(u["agents"] == agents
                                                                   for u in urls.values()), 30, "probes")


def of(mesh, metrics, name, url, source="cn-east", **labels):
    return select(metrics, name, source_region=source, target_region="web", target_addr=url, **labels)


def reasons(mesh, metrics, url, source="cn-east"):
    return {dict(ls)["failed_reason"]: v for ls,
            v in of(mesh, metrics, "prober_http_failed", url, source).items()}


@pytest.fixture
def mesh(lab):
    mesh = HttpMesh(lab, {"cn-east": 2, "eu-west": 2})
    mesh.wait_until_probed(12, 2)
    return mesh


def test_each_region_shows_what_its_agents_saw(mesh):
    web, m = mesh.web, mesh.metrics()
    for source in mesh.regions:
        assert reasons(mesh, m, web.plain("/"), source) == {"success": 0}
        assert reasons(mesh, m, web.plain("/status/503"), source) == {"status_code": 2}
        assert reasons(mesh, m, web.secure("/"), source) == {"tls_verify_untrusted": 2}
        assert reasons(mesh, m, web.address + ":81", source) == {"connect_refused": 2}
        assert reasons(mesh, m, web.secure("/blind"), source) == {"success": 0}

    def values(name, url):
        return sorted(of(mesh, m, name, url).values())
    assert values("prober_http_status_code", web.plain("/status/503")) == [503]
    assert values("prober_http_status_code", web.address + ":81") == [0]
    assert values("prober_http_ssl_earliest_cert_expiry", web.secure("/")) == [web.expiry]
    assert values("prober_http_ssl_earliest_cert_expiry", web.secure("/blind")) == [web.expiry]
    assert values("prober_http_version", web.plain("/")) == [1.1]
    assert values("prober_http_content_length_bytes", web.plain("/")) == [20]
    assert values("prober_http_agents", web.plain("/")) == [2]
    for url in (web.plain("/status/503"), web.secure("/"), web.address + ":81"):
        assert values("prober_http_duration_seconds", url) == []
    blind = {dict(ls)["phase"]: v for ls, v in of(mesh, m, "prober_http_duration_seconds",
                                                  web.secure("/blind")).items()}
    assert set(blind) == {"resolve", "connect", "tls", "processing", "transfer"}
    assert min(blind["connect"], blind["tls"], blind["processing"]) > 0
    versions = of(mesh, m, "prober_http_tls_version_info", web.secure("/blind"), version="TLS 1.3")
    assert list(versions.values()) == [1]
    assert total(m, "prober_server_receive_points", prober_type="http") >= 24
    told = mesh.urls()["eu-west", web.plain("/status/503")]
    assert told["failed"] == {"status_code": 2} and told["status_code"] == 503
    assert told["phases"]["connect"] is None and told["total"]["failed"] == told["total"]["probes"]


def test_a_reason_comes_and_goes_with_the_fault(mesh):
    url = mesh.web.plain("/file")
    assert reasons(mesh, mesh.metrics(), url) == {"success": 0}
    mesh.web.say(404)
    mesh.wait_for_urls(lambda urls: urls["cn-east", url]["failed"] == {"status_code": 2}, 10, "the fault")
    assert reasons(mesh, mesh.metrics(), url) == {"status_code": 2}
    mesh.web.say(200)
    mesh.wait_for_urls(lambda urls: urls["cn-east", url]["failed"] == {}, 10, "recovery")
    assert reasons(mesh, mesh.metrics(), url) == {"success": 0}
    failures = of(mesh, mesh.metrics(), "prober_http_failures_total", url)
    assert sum(failures.values()) == total(mesh.metrics(), "prober_http_probes_total", result="failed",
                                           source_region="cn-east", target_addr=url) >= 2


def counted(metrics):
    """{result: probes} that a server has taken in, also those that came too late."""
    found = {r: total(metrics, "prober_http_probes_total", result=r) for r in RESULTS[:2]}
    found["unsent"] = total(metrics, "prober_http_probes_unsent_total")
    return {r: n + total(metrics, "prober_server_backfilled_http_probes_total", result=r) for r,
            n in found.items()}


def test_each_boot_of_the_server_counts_what_it_acknowledged_through_an_outage(lab):
    """The laws of probes. What is in the totals stays while the gauges do: for a minute."""
    mesh = HttpMesh(lab, {"cn-east": 2, "eu-west": 2}, "-server.series.cache.ratio", "60")
    mesh.wait_until_probed(12, 2)
    mesh.lab.set_both("cn-east", "server", blackhole=True)
    mesh.wait_for_urls(lambda urls: urls["cn-east", mesh.web.plain("/")]["age"] > 4, 20, "silence")
    mesh.server.kill()
    mesh.lab.reset()
    mesh.start_server()
    mesh.wait_until_probed(12, 2)
    mesh.apply("prober_configs: []\n")
    last = {}

    def settled():
        agents = [mesh.agent_metrics(h) for h in mesh.all_hosts()]
        m = mesh.metrics()
        (boot,) = [dict(ls)["server_boot"] for ls in select(m, "prober_server_boot_info")]
        acked = {r: sum(total(a, f"prober_agent_{how}_http_probes_total", result=r, server_boot=boot)
                        for a in agents for how in ("acked", "backfilled")) for r in RESULTS}
        last.update(metrics=m, acked=acked)
        return not any(total(a, "prober_agent_http_targets") for a in agents) and \
            not any(mesh.spooled(h) for h in mesh.all_hosts()) and \
            sum(acked.values()) == sum(counted(m).values()) > 0
    wait_until(settled, 20, "the server to have all that the agents had")
    m = last["metrics"]
    assert counted(m) == last["acked"]
    assert total(m, "prober_http_probes_total", result="failed") == total(m,
        "prober_http_failures_total") > 0
    assert total(m, "prober_http_probes_total", result="success") == \
        total(m, "prober_http_probe_duration_seconds_count") > 0


def test_a_limit_on_series_holds_for_the_file_and_for_regions_that_come_later(lab):
    mesh = HttpMesh(lab, {"cn-east": 1}, "-server.http.series.max", "300")
    mesh.wait_until_probed(6, 1)
    late = mesh.add_agents("us-west")[0]
    mesh.start_agent(late)
    wait_until(lambda: total(mesh.metrics(), "prober_server_plan_refused_regions") == 1, 10, "the refusal")
    assert "-server.http.series.max" in mesh.server.log() and "region=us-west" in mesh.server.log()
    wait_until(lambda: total(mesh.agent_metrics(late), "prober_agent_targets", state="probed") > 0, 10,
               "the hosts to be probed all the same")
    assert {source for source, _ in mesh.urls()} == {"cn-east"}
    before = mesh.urls()
    mesh.apply(mesh.web.probe_file())
    wait_until(lambda: "6 HTTP targets (source regions: 2) make about 444 series" in mesh.server.log(), 10,
               "the reload to be refused")
    assert set(mesh.urls()) == set(before)
    mesh.apply(f"prober_configs: [{{prober_type: http, region: web, targets: ['{mesh.web.plain('/')}']}}]\n")
    mesh.wait_for_urls(lambda urls: urls["us-west", mesh.web.plain("/")]["agents"] == 1, 10, "the newcomer")
    assert total(mesh.metrics(), "prober_server_plan_refused_regions") == 0
