"""A real Prometheus reads what the server serves, in both formats, and the dashboards work on it."""
import glob
import json
import re
import urllib.parse

import pytest

import lablib
from labweb import Web
from meshlib import TestMesh

pytestmark = pytest.mark.seconds(120)

# Names of the original that break naming rules, and stay.
KNOWN_LINT = ("prober_icmp_duration_seconds_total", "prober_server_receive_points")

# Serves the metrics as to a client that knows the text format only.
TEXT_ONLY = """
import http.server, socketserver, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen("http://10.77.0.1:6001/metrics") as page:
            body, kind = page.read(), page.headers["Content-Type"]
        assert kind.startswith("text/plain"), kind
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without asking DNS for our name
        self.server_name, self.server_port = self.server_address
Server(("10.77.0.1", 6101), Handler).serve_forever()
"""


class Prometheus:
    """Prometheus on the server's host, with the scrape configuration that is shipped."""

    def __init__(self, lab):
        self.lab = lab
        with open(lablib.ROOT + "/deploy/prometheus/probermesh-scrape.yml") as f:
            shipped = f.read()
        job = shipped.replace("127.0.0.1:6001", "10.77.0.1:6001").replace("15s", "1s")
        assert job != shipped
        _, _, body = job.partition("scrape_configs:\n")
        other = body.replace('"probermesh"', '"text"').replace("10.77.0.1:6001", "10.77.0.1:6101")
        path = lab.directory + "/prometheus.yml"
        with open(path, "w") as f:
            f.write(job + other)
        lab.spawn("server", ["/usr/bin/python3", "-c", TEXT_ONLY], "text-only")
        self.daemon = lab.spawn("server", [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={lab.directory}/tsdb",
            "--web.listen-address=10.77.0.1:9090", "--log.level=warn"])

    def get(self, path):
        status, _, text = self.lab.http("server", "http://10.77.0.1:9090" + path, timeout=20)
        return status, text

    def query(self, expression):
        """The result list of an instant query."""
        status, text = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        answer = json.loads(text)
        assert status == 200 and answer["status"] == "success", f"{expression}: {text}"
        return answer["data"]["result"]

    def value(self, expression):
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0

    def wait_for_scrapes(self, count):
        counted = 'min(count_over_time(up{job=~"probermesh|text"}[5m]))'

        def scraped():
            try:
                return self.get("/-/ready")[0] == 200 and self.value(counted) >= count
            except OSError:
                return False
        lablib.wait_until(scraped, 60, lambda: f"{count} scrapes; " + lablib.last_lines(self.daemon.log()))


def web_flags(lab):
    """Flags of a server whose agents probe a web host, well and ill."""
    path = lab.directory + "/probe.yaml"
    with open(path, "w") as f:
        f.write(Web(lab).probe_file())
    return "-server.probe.file", path


@pytest.fixture
def scraped(lab):
    """(mesh, Prometheus) with some loss and some URLs that fail, scraped a few times."""
    mesh = TestMesh(lab, {"cn-east": 1, "eu-west": 1, "us-west": 1}, server_flags=web_flags(lab))
    lab.set_both("cn-east", "eu-west", delay="20ms", jitter="2ms")
    lab.set("cn-east", "us-west", loss="10%")
    prometheus = Prometheus(lab)
    mesh.wait_until_formed()
    mesh.wait_for(lambda pairs: pairs["cn-east", "us-west"]["total"]["lost"] > 0, 20, "a loss")
    prometheus.wait_for_scrapes(6)
    for job in ("probermesh", "text"):
        seen = f'count(prober_http_failures_total{{job="{job}"}} >= 2)'
        lablib.wait_until(lambda: prometheus.value(seen) == 9, 20, "probes of the URLs")
    return mesh, prometheus


def panels(dashboard):
    for panel in dashboard.get("panels", []):
        yield panel
        yield from panels(panel)


def expressions(dashboard):
    """Every query of a dashboard, with its variables filled in."""
    found = [t["expr"] for p in panels(dashboard) for t in p.get("targets", []) if t.get("expr")]
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable["type"] != "query":
            continue
        text = variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
        found.append(f"count by ({match[2]}) ({match[1]})" if match else text)
    known = {"__rate_interval": "10s", "__interval": "5s", "__range": "1m"}
    return [re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda m: known.get(m[1], ".*"), e) for e in found]


def test_prometheus_scrapes_the_mesh_in_both_formats_with_the_same_series(scraped):
    _, prometheus = scraped
    assert prometheus.value("prober_server_pairs{job='probermesh'}") == 6
    assert prometheus.value("min(up)") == 1
    names = {}
    for job in ("probermesh", "text"):
        # The two scrapes are not of the same instant: compare what each saw over its time.
        status, text = prometheus.get("/api/v1/series?" + urllib.parse.urlencode(
            {"match[]": f'{{job="{job}",__name__=~"prober.*"}}'}))
        assert status == 200
        series = [dict(s) for s in json.loads(text)["data"]]
        names[job] = {tuple(sorted((k, v) for k, v in s.items() if k not in ("job", "instance")))
                      for s in series}
    assert len(names["text"]) > 200
    assert names["text"] == names["probermesh"]
    ratio = 'prober_icmp_packets_sent_total{source_region="cn-east",target_region="us-west"}'
    assert prometheus.value(f"rate({ratio}[10s])") > 30
    # Openmetrics types of the names that break its rules survive.
    assert prometheus.value('count(prober_icmp_duration_seconds_total_bucket{job="probermesh"})') == 6 * 20
    assert prometheus.value('prober_server_receive_points{job="probermesh",prober_type="icmp"}') > 0
    assert prometheus.value('prober_server_receive_points{job="probermesh",prober_type="http"}') > 0
    assert prometheus.value('count(prober_http_probe_duration_seconds_bucket{job="probermesh"})') == 18 * 13


def test_every_query_of_the_dashboards_finds_data(scraped):
    _, prometheus = scraped
    dashboards = glob.glob(lablib.ROOT + "/dashboards/*.json")
    assert dashboards
    empty = []
    for path in dashboards:
        with open(path) as f:
            found = expressions(json.load(f))
        assert found, path
        empty += [e for e in found if not prometheus.query(e)]
    assert empty == []


def test_promtool_complains_of_nothing_but_the_two_names_of_the_original(lab):
    mesh = TestMesh(lab, {"cn-east": 1, "eu-west": 1}, server_flags=web_flags(lab))
    mesh.wait_until_formed()
    lablib.wait_until(lambda: "prober_http_ssl_earliest_cert_expiry{" in mesh.get("/metrics")[2], 20, "URLs")
    _, headers, text = mesh.get("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    agent = f"http://{lab.hosts['cn-east-1'].ipv4}:7000/metrics"
    pages = {"server": text, "agent": lab.http("cn-east-1", agent)[2]}
    for page in pages.values():
        path = lab.directory + "/page"
        with open(path, "w") as f:
            f.write(page)
        with open(path) as f:
            run = lab.run("server", ["promtool", "check", "metrics"], stdin=f)
        lint = [l for l in (run.stdout + run.stderr).splitlines() if l.strip()]
        assert [l for l in lint if l.split()[0] not in KNOWN_LINT] == [], lint
        assert run.returncode in (0, 3)
