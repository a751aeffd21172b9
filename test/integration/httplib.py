"""What the tests of HTTP probes share: a world of web servers, one-shot probes, blackbox_exporter."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

import lablib
import meshlib
from httpcerts import Certificates
from httpserver import GOING_AWAY, SETTINGS, STREAM_RESET, Proxy, Rude, Server, after_hello, bound_loopbacks, \
    http2, slow_tls, tls_context

OLD = ssl.TLSVersion.TLSv1_1
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
AT_ONCE = 4
PLACE = re.compile(r"\.yaml:\d+:")
BIG = 10 << 20

NAMES = """
both.test 127.0.0.1 ::1
four.test 127.0.0.1
six.test ::1
many.test 127.0.0.1 127.0.0.2 127.0.0.3
slow.test slow 80 127.0.0.1 ::1
slower.test slow 80 127.0.0.1 ::1
first.test 127.0.0.1
below.first.test 127.0.0.1
notfirst.test 127.0.0.1
under_score.test 127.0.0.1
xn--bcher-kva.test 127.0.0.1
away.test 192.0.2.1
empty.test empty
broken.test servfail
refused.test refused
silent.test silent
garbage.test garbage
"""


# Servers that agree on HTTP/2 and do not keep to it.
HTTP2 = {"h2_garbage": [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "h2_reset": [SETTINGS, STREAM_RESET, "open"],
         "h2_goaway": [SETTINGS, GOING_AWAY], "h2_silent": [SETTINGS, "open"], "h2_close": [SETTINGS]}

# What probes read beneath the directory of secrets, which is the world's.
FILES = {"user": "user\n", "pass": "\n pass \n", "token": "t0ken\n", "body.txt": "of a\nfile\n",
         "hush": "hush\n",
         "text": "no PEM\n"}


def free_ports(count):
    """Different ports that nobody listens on, at both loopbacks."""
    bound = [bound_loopbacks() for _ in range(count)]
    for sock in (sock for sockets in bound for sock in sockets[1:]):
        sock.close()
    ports = [sockets[0].getsockname()[1] for sockets in bound]
    for sockets in bound:
        sockets[0].close()
    return ports


def free_port():
    return free_ports(1)[0]


def is_free(port):
    return not listens(port)(None)


def listens(port):
    def is_listening(_):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0
    return is_listening


class Process:
    """A server that is a program of its own; is_ready(log) tells when it serves."""

    def __init__(self, directory, name, argv, is_ready, env=None):
        log = self.log = os.path.join(directory, name + ".log")
        with open(log, "ab") as out:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdout=out,
                                            stderr=out,
                                            stdin=subprocess.DEVNULL, start_new_session=True, env=env)
        try:
            lablib.wait_until(lambda: self._is_up(is_ready, log), 20, f"{name} to serve", 0.01)
        except BaseException:
            self.close()
            raise

    def _is_up(self, is_ready, log):
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        if self.process.poll() is not None:
            raise lablib.LabError(f"{self.process.args} ended: {lablib.last_lines(text)}")
        return is_ready(text)

    def close(self, seconds=5):
        """Ends it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain; keepalive_timeout 30; server_tokens off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  gzip_types *; gzip_min_length 1; gzip_http_version 1.0; root {dir}/www;
  ssl_certificate {dir}/good.pem; ssl_certificate_key {dir}/good.key; ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen 127.0.0.1:{plain}; listen [::1]:{plain};
    listen 127.0.0.1:{h2} ssl http2; listen [::1]:{h2} ssl http2;
    location /gzip/ {{ gzip on; alias {dir}/www/; }}
    location /host {{ return 200 "$http_host $server_protocol $http_x_probe $request_method\\n"; }}
    location /away {{ return 301 http://localhost:{plain}/host; }}
    location /secure {{ return 301 https://127.0.0.1:{h2}/host; }}
    location /insecure {{ return 302 http://127.0.0.1:{plain}/host; }}
  }}
  server {{
    listen 127.0.0.1:{h1} ssl;
    location / {{ return 200 "$ssl_protocol $ssl_server_name $server_protocol\\n"; }}
  }}
  server {{ listen 127.0.0.1:{tls12} ssl; ssl_protocols TLSv1.2; location / {{ return 200 "$ssl_protocol\\n"; }} }}
  server {{ listen 127.0.0.1:{tls13} ssl; ssl_protocols TLSv1.3; location / {{ return 200 "$ssl_protocol\\n"; }} }}
  server {{
    listen 127.0.0.1:{client} ssl http2; ssl_client_certificate {dir}/ca.pem; ssl_verify_client on;
    location / {{ return 200 "$ssl_client_s_dn\\n"; }}
  }}
}}
"""


class World:
    """Servers of every kind on the loopbacks; urls holds where each is, by name. build is where the
    programs are that are tested, is_slow whether they are instrumented."""

    def __init__(self, build, is_slow=False):
        self.build, self.is_slow = build, is_slow
        self.agentd = self.program("agentd")
        self.closers = contextlib.ExitStack()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.directory = tempfile.mkdtemp(prefix="probermesh-http-")
        reaper = lablib.Reaper()  # also takes it away when this process is killed
        self.closers.callback(reaper.close)
        reaper.add("dir", self.directory)
        self.certificates = certs = Certificates(self.directory)
        self.expiries, self.servers, self.urls = certs.expiries, {}, {}
        ca = certs.path("ca.pem")
        for name in certs.leaves:
            if name not in ("client", "stranger"):
                self._add(name, Server(tls_context(certs, name)))
        self._add("plain", Server())
        self._add("second", Server())
        self._add("tls11", Server(tls_context(certs, "good", OLD, OLD)))
        self._add("wants12", Server(tls_context(certs, "good", V12, V12, ca)))
        self._add("wants13", Server(tls_context(certs, "good", V13, V13, ca)))
        self._add("mute", Rude(lambda conn: conn.wait_for_end()))
        self._add("mute_plain", Rude(lambda conn: conn.wait_for_end(), "http"))
        self._add("closes", Rude(lambda conn: None))
        self._add("resets", Rude(lambda conn: conn.reset()))
        self._add("resets_in_tls", Rude(after_hello("reset")))
        self._add("closes_in_tls", Rude(after_hello()))
        self._add("garbage_in_tls", Rude(after_hello(b"HTTP/1.1 400 Bad Request\r\n\r\n", "open")))
        self._add("alert_in_tls", Rude(after_hello(bytes.fromhex("15030300020228"))))
        self._add("half_hello", Rude(after_hello(bytes.fromhex("160303007a020000760303"), "open")))
        h2 = tls_context(certs, "good", alpn=["h2"])
        for name, steps in HTTP2.items():
            self._add(name, Rude(http2(h2, *steps)))
        self._add("slow_tls", Rude(slow_tls(tls_context(certs, "good"), 0.08)))
        self._add("proxy", Proxy())
        self._add("proxy_deny", Proxy(deny=403))
        self._add("proxy_auth", Proxy(wants=b"Proxy-Authorization: Basic dXNlcjpwYXNz"))
        self._add("proxy_mute", Rude(lambda conn: conn.wait_for_end(), "http"))
        self._add("proxy_header", Proxy(wants=b"X-Way: through", unwanted=("X-Probe", "Authorization")))
        self._nginx()
        self._files()
        self._dns()
        self.urls["refused"] = f"http://127.0.0.1:{free_port()}"
        for name in list(self.urls):
            self.urls[name + "_name"] = self.urls[name].replace("127.0.0.1", "localhost")

    def _add(self, name, server):
        self.servers[name] = server
        self.urls[name] = server.url
        self.closers.callback(server.close)

    def _nginx(self):
        names = "plain", "h2", "h1", "tls12", "tls13", "client"
        ports = dict(zip(names, free_ports(len(names))))
        www = os.path.join(self.directory, "www")
        os.makedirs(www)
        for name, data in (("page", b"a page of nginx\n"), ("big", b"0123456789abcde\n" * (BIG // 16))):
            with open(os.path.join(www, name), "wb") as f:
                f.write(data)
        config = os.path.join(self.directory, "nginx.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(NGINX.format(dir=self.directory, **ports))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.closers.callback(Process(self.directory, "nginx", [nginx, "-c", config, "-e", "stderr"],
                                      listens(ports["client"])).close)
        for name, port in ports.items():
            scheme = "http" if name == "plain" else "https"
            self.urls["nginx" if name == "plain" else "nginx_" + name] = f"{scheme}://127.0.0.1:{port}"

    def program(self, name):
        return os.path.join(self.build, "bin", name)

    def _files(self):
        for name, text in FILES.items():
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as f:
                f.write(text)
        os.symlink("/etc/passwd", os.path.join(self.directory, "escape"))

    def _dns(self):
        table = os.path.join(self.directory, "names")
        with open(table, "w", encoding="ascii") as f:
            f.write(NAMES)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.urls["dns"] = f"dns://127.0.0.1:{port}"
        script = os.path.join(lablib.ROOT, "test", "lab", "dns.py")
        self.closers.callback(Process(self.directory, "dns",
                                      [sys.executable, "-B", script, table, "127.0.0.1", str(port)],
                                      lambda log: "ready" in log).close)

    def fill(self, thing):
        """A URL or block with {name} replaced by that server's URL, {port:name} by its port, and
        {file:name} by the path of a file."""
        if isinstance(thing, dict):
            return {k: self.fill(v) for k, v in thing.items()}
        if isinstance(thing, list):
            return [self.fill(v) for v in thing]
        if not isinstance(thing, str):
            return thing
        for name, url in self.urls.items():
            thing = thing.replace("{" + name + "}", url)
            thing = thing.replace("{port:" + name + "}", url.rpartition(":")[2])
        for name in ("ca", *self.certificates.leaves):
            for kind in ("pem", "key"):
                if f"{{{kind}:{name}}}" in thing:
                    thing = thing.replace(f"{{{kind}:{name}}}", self.certificates.text(f"{name}.{kind}"))
        return thing.replace("{dir}", self.directory)

    def close(self):
        self.closers.close()


# ---- one-shot probes ----

class Outcome:
    """What a one-shot probe came to: its object, exit status and complaints, and how long it took."""

    def __init__(self, status, out, errors, elapsed):
        self.status, self.errors, self.elapsed = status, errors, elapsed
        self.object = json.loads(out) if out.strip() else {}

    def __repr__(self):
        return f"exit status {self.status} after {self.elapsed:.2f} s\n{self.errors}{json.dumps(self.object)}"


def entry(world, block, target="http://127.0.0.1/", **more):
    return {"prober_type": "http", "name": "it", "region": "r", "http": world.fill(block),
            "targets": [target], **more}


def probe_file(world, name, *entries):
    """The path of a probe file with these entries, all called 'it'."""
    path = os.path.join(world.directory, f"{name}.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"prober_configs": entries}, f, indent=1)
    return path


def environment(world, env=None):
    """The system's roots are a certificate that nobody uses: those of the machine are slow to read."""
    return {**os.environ, "SSL_CERT_FILE": world.certificates.path("stranger.pem"), "SSL_CERT_DIR": "/nonexistent",
            **(env or {})}


def probe(world, url, block=None, *words, timeout="2s", name="probe", env=None, run=subprocess.run):
    """agentd probe http URL, under the settings of a block."""
    argv = [world.agentd, "probe", "http", "-timeout", timeout, *words]
    if block is not None:
        argv += ["-config", probe_file(world, name, entry(world, block)), "-prober", "it"]
    began = time.monotonic()
    done = run(argv + [world.fill(url)], capture_output=True, text=True, timeout=60, check=False,
               stdin=subprocess.DEVNULL, env=environment(world, env))
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def probe_all(world, cases):
    """{case: Outcome}. Each has a process of its own, some at a time; slow programs probe many at once."""
    together = [case for case in cases if world.is_slow and may_be_in_a_file(case)]
    def one(numbered):
        number, case = numbered
        words = [world.fill(w) for w in case.words]
        return case, probe(world, case.url, case.block, *words, timeout=case.timeout,
                           name=f"case-{number}", env=world.fill(case.env))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return {**dict(pool.map(one, enumerate(c for c in cases if c not in together))),
                **probe_together(world, together)}


def may_be_in_a_file(case):
    """A target of the file must be well-formed, and be shown as it is."""
    return len(case.url) < 1000 and "@" not in case.url and case.expected["failed_reason"] not in ("bad_url", "unsupported_scheme")


def probe_together(world, cases):
    """{case: Outcome} by one process for each few dozens of cases: the fragment tells whose target it is."""
    groups = {}
    for case in cases:
        groups.setdefault((tuple(case.words), tuple(case.env.items())), []).append(case)
    outcomes = {}
    for (words, env), group in groups.items():
        for few in (group[i:i + 40] for i in range(0, len(group), 40)):
            path = probe_file(world, "together", *(
                entry(world, case.block, world.fill(case.url) + f"#case-{i}", timeout=case.timeout)
                for i, case in enumerate(few)))
            argv = [world.agentd, "probe", "http", *map(world.fill, words), "-config", path, "-prober",
                    "it"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                                  env=environment(world, world.fill(dict(env))))
            assert done.returncode in (0, 1), done.stderr
            for line in done.stdout.splitlines():
                found = json.loads(line)
                outcomes[few[int(found["target"].rpartition("#case-")[2])]] = \
                    Outcome(0 if found["success"] else 1, line, done.stderr, 0)
    return outcomes


def near(measured, expected):
    """A phase is about what the server waited, and what a busy machine shifts or adds."""
    return 0.8 * expected <= measured <= 1.5 * expected + 0.06


def check(found, expected, world):
    """The object of a probe has what is expected of it; of slow programs not in that time."""
    for key, value in expected.items():
        if key == "phases":
            value = {} if world.is_slow else value
            wrong = {p: found[key][p] for p, v in value.items() if not near(found[key][p], v)}
        else:
            value = world.expiries.get(value, value) if isinstance(value, str) else value
            wrong = {} if found[key] == value else {key: found[key]}
        assert not wrong, f"expected {key} {value}, not {wrong}: {json.dumps(found)}"


def verify(outcome, case, world):
    """The outcome is what the case expects."""
    assert outcome.object, outcome
    assert outcome.status == (0 if case.expected["success"] else 1), outcome
    phases = outcome.object["phases"]
    assert set(phases) == {"resolve", "connect", "tls", "processing", "transfer"}
    assert sum(filter(None, phases.values())) <= outcome.object["duration"] + 0.001, outcome
    check(outcome.object, case.expected, world)


# ---- blackbox_exporter ----

class Blackbox:
    """blackbox_exporter with a module for each case."""

    def __init__(self, world, cases):
        self.world = world
        self.modules = {case: f"m{i}" for i, case in enumerate(cases)}
        config = os.path.join(world.directory, "blackbox.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"modules": {m: blackbox_module(world, case.block, case.timeout)
                                   for case, m in self.modules.items()}}, f)
        self.port = free_port()
        env = [f"{k}={v}" for case in cases for k, v in world.fill(case.env).items()]
        self.process = Process(world.directory, "blackbox",
                               ["env", *env, blackbox_program(), f"--config.file={config}",
                               f"--web.listen-address=127.0.0.1:{self.port}"], listens(self.port))

    def probe(self, case):
        """What it found, in the words of our object."""
        query = urllib.parse.urlencode({"module": self.modules[case], "target": self.world.fill(case.url)})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/probe?" + query)
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        metrics = meshlib.parse(text)
        plain = {name: value for (name, labels), value in metrics.items() if not labels}
        version, expiry = plain["probe_http_version"], plain.get("probe_ssl_earliest_cert_expiry")
        return {
            "success": plain["probe_success"] == 1, "redirects": int(plain["probe_http_redirects"]),
            "status_code": int(plain["probe_http_status_code"]) or None,
            "http_version": f"{version:.1f}".replace("2.0", "2") if version else None,
            "ssl_earliest_cert_expiry": expiry and int(expiry),
            "phases": {dict(labels)["phase"]: value for (name, labels), value in metrics.items()
                       if name == "probe_http_duration_seconds"},
        }

    def close(self):
        self.process.close()


def blackbox_program():
    return shutil.which("prometheus-blackbox-exporter") or "/usr/bin/prometheus-blackbox-exporter"


def blackbox_module(world, block, timeout="2s"):
    """Our block as a module of blackbox_exporter 0.23, which takes certificates as files alone."""
    block = world.fill(block)
    for client in filter(None, (block, block.get("oauth2"))):
        inline = dict(client.get("tls_config", {}))
        for key in [k for k in ("ca", "cert", "key") if k in inline and k + "_file" not in inline]:
            path = os.path.join(world.directory, f"inline-{abs(hash(inline[key]))}.pem")
            with open(path, "w", encoding="ascii") as f:
                f.write(inline.pop(key))
            inline[key + "_file"] = path
        if inline:
            client["tls_config"] = inline
    return {"prober": "http", "timeout": timeout, "http": block}
