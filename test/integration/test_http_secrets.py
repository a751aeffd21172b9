"""Real daemons whose probes need files and tokens: these are used, rotated, and shown to nobody."""
import os
import sys

import meshlib
import pytest
from lablib import Mesh, wait_until

pytestmark = pytest.mark.address

# /file takes who has the token of the file, /token gives tokens to who has the secret, /granted takes these.
WEB = """
import base64, http.server, sys
class Web(http.server.BaseHTTPRequestHandler):
    granted = 0
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        wanted = {"/file": "Bearer hunter2", "/granted": f"Bearer granted-{Web.granted}"}[self.path]
        self.answer(200 if self.headers.get("Authorization") == wanted else 401)
    def do_POST(self):
        said = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic "))
        if said != b"me:hunter2":
            return self.answer(403)
        Web.granted += 1
        print("granted", flush=True)
        self.answer(200, b'{"access_token": "granted-%d", "expires_in": 3600}' % Web.granted)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Web)
print("ready", flush=True)
server.serve_forever()
"""
FILE, GRANTED = "http://127.0.0.1:8080/file", "http://127.0.0.1:8080/granted"
PROBES = f"""prober_configs:
- {{prober_type: http, region: web, targets: ['{FILE}'], http: {{bearer_token_file: token}}}}
- prober_type: http
  region: web
  targets: ['{GRANTED}']
  http: {{oauth2: {{client_id: me, client_secret_file: secret, token_url: 'http://127.0.0.1:8080/token'}}}}
"""


def swap(directory, name, content):
    """As rotation does: at once."""
    with open(f"{directory}/.{name}", "w", encoding="utf-8") as file:
        file.write(content)
    os.rename(f"{directory}/.{name}", f"{directory}/{name}")


def test_files_and_tokens_are_used_rotated_and_shown_to_nobody(lab):
    mesh = Mesh(lab, "300ms", "300ms", http_addr="127.0.0.1:6001")
    mesh.rpc = ":6000"
    secrets, path = lab.directory + "/secrets", lab.directory + "/probe.yaml"
    os.mkdir(secrets)
    with open(path, "w", encoding="utf-8") as file:
        file.write(PROBES)
    web = lab.spawn(mesh.server_host, [sys.executable, "-c", WEB], "web")
    wait_until(lambda: "ready" in web.log(), 10, "the web server is ready")
    mesh.start_server("-server.probe.file", path)
    wait_until(mesh.is_ready, 20, "the server is ready")
    mesh.start_agent(mesh.server_host, "-agent.rpc.report.addr", "127.0.0.1:6000",
                     "-agent.secrets.dir", secrets, region="near")

    def metrics():
        return meshlib.parse(mesh.get("/metrics")[2])

    def total(name, url, **labels):
        return meshlib.total(metrics(), name, source_region="near", target_addr=url, **labels)

    def reason(url):
        found = meshlib.select(metrics(), "prober_http_failed", source_region="near", target_addr=url)
        return [dict(labels)["failed_reason"] for labels in found]
    # without the files nothing is probed, and the log says which
    for url in (FILE, GRANTED):
        wait_until(lambda u=url: total("prober_http_probes_unsent_total", u, reason="local") > 0, 20,
                   f"{url} is unsent")
        assert total("prober_http_probes_total", url) == 0
    agent = mesh.agents[mesh.server_host]
    wait_until(lambda: "'token': there is no such file" in agent.log() and
               "oauth2.client_secret_file: 'secret'" in agent.log(), 10, "the log names both files")
    swap(secrets, "token", "hunter2\n")
    swap(secrets, "secret", "hunter2\n")
    for url in (FILE, GRANTED):
        wait_until(lambda u=url: reason(u) == ["success"], 10, f"{url} is let in")
    probes = total("prober_http_probes_total", GRANTED)
    wait_until(lambda: total("prober_http_probes_total", GRANTED) > probes + 2, 10, "a token is used again")
    assert web.log().count("granted") == 1
    # what is swapped holds, for better or worse
    swap(secrets, "token", "stolen-secret")
    swap(secrets, "secret", "stolen-secret")
    wait_until(lambda: reason(FILE) == ["status_code"], 10, "the wrong token is not let in")
    wait_until(lambda: reason(GRANTED) == ["oauth2"], 10, "the wrong secret gets no token")
    shown = mesh.get("/metrics")[2] + mesh.get("/-/targets")[2] + mesh.server.log() + agent.log()
    assert not [secret for secret in ("hunter2", "stolen-secret", "granted-") if secret in shown]
