"""What a network between agents and a web server does to the phases; and the original's own probe file."""
import json
import os
import sys

import pytest

import lablib
from meshlib import select, total
from test_http_mesh import HttpMesh
from test_plan import ORIGINAL

pytestmark = pytest.mark.seconds(90)
RTTS_MS = (10, 50, 200)
PHASES = ("resolve", "connect", "tls", "processing", "transfer")


def phases(metrics, source, url):
    """{phase: seconds}"""
    found = select(metrics, "prober_http_duration_seconds", source_region=source, target_addr=url)
    return {dict(labels)["phase"]: value for labels, value in found.items()}


class PathMesh(HttpMesh):
    __test__ = False

    def __init__(self, lab):
        super().__init__(lab, {f"r{ms}": 1 for ms in RTTS_MS})

    def write(self, text):
        super().write(f"""prober_configs:
- {{prober_type: http, region: web, targets: ['{self.web.address}']}}
- prober_type: http
  timeout: 3s
  region: web
  http: {{tls_config: {{insecure_skip_verify: true}}}}
  targets: ['{self.web.secure("/13")}']
- prober_type: http
  timeout: 3s
  region: web
  http: {{tls_config: {{insecure_skip_verify: true, max_version: TLS12}}}}
  targets: ['{self.web.secure("/12")}']
""")


def test_connect_is_one_round_trip_and_tls_one_more_on_paths_of_10_50_and_200_ms(lab):
    mesh = PathMesh(lab)
    for ms in RTTS_MS:
        lab.set_both(f"r{ms}", "web", delay=f"{ms / 2}ms")
    plain, tls13, tls12 = mesh.web.address, mesh.web.secure("/13"), mesh.web.secure("/12")
    wanted = {plain: {"connect": 1, "tls": 0, "processing": 1},
              tls13: {"connect": 1, "tls": 1, "processing": 1},
              tls12: {"connect": 1, "tls": 2, "processing": 1}}

    lablib.wait_until(mesh.is_ready, 20, "the server")

    def wrong():
        metrics, found = mesh.metrics(), []
        for ms in RTTS_MS:
            for url, rtts in wanted.items():
                measured = phases(metrics, f"r{ms}", url)
                found += [(ms, url, phase, measured.get(phase)) for phase, n in rtts.items()
                          if not n * ms / 1000 <= measured.get(phase, -1) < n * ms / 1000 * 1.2 + 0.006]
        last[:] = found
        return found
    last = []
    lablib.wait_until(lambda: not wrong(), 45, lambda: f"phases as the paths are: {last}")
    for ms in RTTS_MS:
        assert select(mesh.metrics(), "prober_http_tls_version_info", source_region=f"r{ms}",
                      version="TLS 1.2")


class OriginalMesh(HttpMesh):
    """The original's sample of a probe file, and a network in which its names and addresses are."""

    __test__ = False

    def __init__(self, lab):
        names = os.path.join(lab.directory, "names")
        lab.add_host("world", "world", ["8.8.8.8", "180.101.49.12"])
        super().__init__(lab, {"cn-shanghai": 1, "cn-beijing": 1})
        with open(names, "w", encoding="ascii") as f:
            f.write("".join(f"www.{name}.com {self.web.address}\n" for name in ("baidu", "taobao")))
        script = os.path.join(lablib.ROOT, "test", "lab", "dns.py")
        lab.spawn("web", [sys.executable, "-B", script, names, self.web.address, "53"], "dns")

    def write(self, text):
        super().write(ORIGINAL)

    def start_server(self, *flags):
        return super().start_server(*flags, "-server.icmp.discovery", "static")

    def start_agent(self, host, *flags, **options):
        return super().start_agent(host, "-agent.dns.servers", self.web.address, *flags, **options)


def test_the_originals_sample_gives_its_metrics(lab):
    mesh = OriginalMesh(lab)
    project, chengdu = "project-01", "cn-chengdu"
    urls = {(project, "http://www.baidu.com"): "success", (project, "http://www.taobao.com"): "success",
            (project, "www.ladjflajfl.ccc"): "dns_nxdomain", (chengdu, "www.baidu.com"): "success",
            (chengdu, "www.taobao.com"): "success"}

    def told(metrics, source):
        found = select(metrics, "prober_http_failed", source_region=source)
        return {(d["target_region"], d["target_addr"]): (d["failed_reason"], v)
                for labels, v in found.items() for d in [dict(labels)]}
    expected = {url: (reason, 0 if reason == "success" else 1) for url, reason in urls.items()}
    lablib.wait_until(mesh.is_ready, 20, "the server")
    last = {}

    def complete():
        last.update(metrics=mesh.metrics())
        m = last["metrics"]
        return all(told(m, source) == expected for source in mesh.regions) and \
            total(m, "prober_icmp_packets_received_total", source_region="cn-beijing",
                  target_region="cn-shanghai") > 0 \
            and total(m, "prober_icmp_packets_received_total", source_region="cn-shanghai",
                      target_region="cn-hangzhou") > 0
    lablib.wait_until(complete, 45, lambda: f"the sample's metrics: {told(last['metrics'], 'cn-beijing')}")
    m = last["metrics"]
    for source in mesh.regions:
        for (region, url), reason in urls.items():
            which = {"source_region": source, "target_region": region, "target_addr": url}
            status = list(select(m, "prober_http_status_code", **which).values())
            durations = {dict(labels)["phase"] for labels in select(m, "prober_http_duration_seconds",
                **which)}
            assert status == ([200] if reason == "success" else [0])
            assert durations == (set(PHASES) if reason == "success" else set())
    assert not select(m, "prober_icmp_duration_seconds", source_region="cn-shanghai",
                      target_region="cn-shanghai")
    assert total(m, "prober_agent_is_alive") == 2


def test_what_keeps_a_probe_from_its_target_has_its_reason(lab):
    for name in ("a", "b"):
        lab.add_host(name, "r" + name)
    lab.run("a", ["ip", "route", "add", "unreachable", "192.0.2.0/24"], check=True)
    b = lab.hosts["b"]
    lab.set("ra", "rb", blackhole=True)
    urls = {f"http://{b.ipv4}/": "connect_timeout", f"https://[{b.ipv6}]/": "connect_timeout",
            "http://192.0.2.1/": "connect_unreachable"}
    argv = [lab.path("bin/agentd"), "probe", "http", "-timeout", "500ms", *urls]
    found = [json.loads(line) for line in lab.run("a", argv).stdout.splitlines()]
    assert {o["target"]: o["failed_reason"] for o in found} == urls
    assert all(o["phases"]["connect"] == 0 and o["duration"] < 1 for o in found)
    lab.reset()
    argv[-1:] = [f"{b.ipv4}:81"]
    found = [json.loads(line) for line in lab.run("a", argv).stdout.splitlines()]
    assert {o["failed_reason"] for o in found} == {"connect_refused"}
