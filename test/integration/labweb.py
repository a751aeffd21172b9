"""A web host of the lab: plain HTTP on port 80, TLS with a certificate nobody trusts on port 443."""
import os

import httpcerts
import lablib

# /status/N answers N; /file answers the status that the file holds; all else 200.
SERVER = """
import http.server, socketserver, ssl, sys, threading
directory, address = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status = 200
        if self.path.startswith("/status/"):
            status = int(self.path[8:])
        elif self.path == "/file":
            with open(directory + "/status") as f:
                status = int(f.read())
        body = b"The quick brown fox\\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without asking DNS for our name
        self.server_name, self.server_port = self.server_address
class Secure(Server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    def finish_request(self, request, client):
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client)
    def handle_error(self, *_):
        pass
Secure.context.load_cert_chain(directory + "/web.pem", directory + "/web.key")
plain, secure = Server((address, 80), Handler), Secure((address, 443), Handler)
threading.Thread(target=secure.serve_forever, daemon=True).start()
plain.serve_forever()
"""


class Web:
    def __init__(self, lab, name="web"):
        self.directory = os.path.join(lab.directory, name)
        os.makedirs(self.directory)
        self.address = lab.add_host(name, name).ipv4
        leaf = httpcerts.Certificate("web", None, [self.address])
        self.expiry = httpcerts.unix(leaf.not_after)
        self._write("web.pem", leaf.pem())
        self._write("web.key", leaf.key_pem())
        self.say(200)
        self.daemon = lab.spawn(name, ["/usr/bin/python3", "-c", SERVER, self.directory, self.address], name)
        lablib.wait_until(lambda: self._answers(lab, name), 20, lambda: "the web host; " + self.daemon.log())

    def _write(self, name, text):
        with open(os.path.join(self.directory, name + ".new"), "w", encoding="ascii") as f:
            f.write(text)
        os.rename(f.name, os.path.join(self.directory, name))

    def _answers(self, lab, name):
        try:
            return lab.http(name, f"http://{self.address}/")[0] == 200
        except OSError:
            return False

    def say(self, status):
        """What /file answers from now on."""
        self._write("status", str(status))

    def plain(self, path=""):
        return f"http://{self.address}{path}"

    def secure(self, path=""):
        return f"https://{self.address}{path}"

    def probe_file(self):
        """One URL that is well, one with a bad status, two over TLS of which one is trusted blindly, one where
        nobody listens, and /file."""
        return f"""prober_configs:
- prober_type: http
  region: web
  targets: ['{self.plain("/")}', '{self.plain("/status/503")}', '{self.secure("/")}',
            '{self.address}:81', '{self.plain("/file")}']
- prober_type: http
  region: web
  http: {{tls_config: {{insecure_skip_verify: true}}}}
  targets: ['{self.secure("/blind")}']
"""
