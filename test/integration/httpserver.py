"""Web servers that do what a test asks, well or badly: the URL says what.

  /answer?PARAMETERS    a whole answer, see answer()
  /echo                 200, and as body the request as it came
  /redirect?s=302&to=X  Location: X, verbatim to the end of the target
  /chain/N              redirects N times, then answers as /echo; /loop without end
  /token/HOW            a token of OAuth 2, see token()
  /bad/NAME             one of BAD: what no server should say
Each connection has a thread of its own; each server ends all of them when it is closed.
"""
import gzip
import json
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import zlib

LOOPBACKS = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
TEXT = b"The quick brown fox jumps over the lazy dog.\n"


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def brotli(data):
    """RFC 7932 with what it calls uncompressed meta-blocks alone."""
    out, bits, room = bytearray(), 0, 1  # the window: 16 bits, said by a 0
    for at in range(0, len(data), 65536):
        part = data[at:at + 65536]
        bits |= (len(part) - 1) << (room + 3) | 1 << (room + 19)
        length = (room + 20 + 7) // 8
        out += bits.to_bytes(length, "little") + part
        bits, room = 0, 0
    bits |= 3 << room  # the last one, empty
    return bytes(out + bits.to_bytes(1, "little"))


def bomb(megabytes):
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(1 << 20)
    return b"".join([packer.compress(zeros) for _ in range(megabytes)] + [packer.flush()])


def _bad_gzip(data):
    return gzip.compress(data)[:-8] + bytes(8)


CODINGS = {
    "gzip": gzip.compress, "deflate": raw_deflate, "zlib": zlib.compress, "br": brotli,
    "gzips": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "gzip_tail": lambda data: gzip.compress(data) + b"tail",
    "gzip_cut": lambda data: gzip.compress(data)[:-9],
    "gzip_crc": _bad_gzip, "br_cut": lambda data: brotli(data)[:-1], "empty": lambda _: b"",
    "bomb": lambda _: bomb(60),
}


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = (lines[0].split(" ") + ["", ""])[:3]
        self.fields = [tuple(part.strip() for part in line.split(":",
            1)) for line in lines[1:] if ":" in line]
        self.path, _, self.query = self.target.partition("?")

    def field(self, name):
        return next((v for k, v in self.fields if k.lower() == name.lower()), None)

    def parameters(self):
        """{name: [values as bytes]}; "to" takes all that follows it."""
        query, _, to = self.query.partition("to=")
        found = {"to": [to.encode("latin-1")]} if to else {}
        for part in filter(None, query.split("&")):
            name, _, value = part.partition("=")
            found.setdefault(name, []).append(urllib.parse.unquote_to_bytes(value))
        return found


class Connection:
    """A client's connection."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock

    def secure(self, tls):
        """Shakes hands; a client that is refused is heard out, so that it gets to read why."""
        self.sock = tls.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        try:
            self.sock.do_handshake()
        except ssl.SSLError:
            plain = socket.socket(fileno=self.sock.detach())
            self.sock = plain
            plain.settimeout(2)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass
            raise

    def receive(self):
        """The next Request; None when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        request = Request(head, b"")
        if (request.field("Transfer-Encoding") or "").lower() == "chunked":
            request.body = self._chunks(rest)
        else:
            request.body = self._exactly(rest, int(request.field("Content-Length") or 0))
        return request

    def _exactly(self, data, length):
        while len(data) < length:
            more = self.sock.recv(65536)
            if not more:
                break
            data += more
        return data

    def _chunks(self, data):
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self.sock.recv(65536) or b"0\r\n\r\n"
            size, _, data = data.partition(b"\r\n")
            data = self._exactly(data, int(size, 16) + 2)
            if int(size, 16) == 0:
                return body
            body, data = body + data[:int(size, 16)], data[int(size, 16) + 2:]

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def wait(self, seconds):
        """Passes the time; ends the connection's life when the server closes."""
        if self.server.closing.wait(seconds):
            raise ConnectionError("the server closes")

    def wait_for_end(self):
        """Keeps silent until the client goes."""
        while self.sock.recv(65536):
            pass

    def reset(self):
        """The client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock = self.sock.unwrap()
        except (OSError, ValueError):
            pass
        try:
            self.sock.close()
        except OSError:
            pass


def head(status=200, *lines, version=b"1.1", reason=b"Said"):
    return b"HTTP/%s %d %s\r\n" % (version, status, reason) + b"".join(l + b"\r\n" for l in lines) + b"\r\n"


def sized(body, *lines, status=200):
    return head(status, b"Content-Length: %d" % len(body), *lines) + body


# ---- what a URL can ask for ----

def answer(conn, request):
    """s status; h a header line, many times; b body; n a body of so many bytes; z how it is coded; w and
    m: milliseconds to wait before the head and before the body; v version; c in chunks; e ended by the
    end of the connection; k the connection stays open; l what Content-Length says."""
    p = request.parameters()

    def number(name, default=0):
        return int(p[name][0]) if name in p else default
    body = p["b"][0] if "b" in p else b"x" * number("n") if "n" in p else TEXT
    if "z" in p:
        body = CODINGS[p["z"][0].decode()](body)
    lines = list(p.get("h", []))
    if "c" in p:
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                        for i in range(0, len(body), 7)) + b"0\r\n\r\n"
    elif "e" not in p:
        lines.append(b"Content-Length: %d" % number("l", len(body)))
    conn.wait(number("w") / 1000)
    conn.send(head(number("s", 200), *lines, version=p.get("v", [b"1.1"])[0]))
    conn.wait(number("m") / 1000)
    if request.method != "HEAD":
        conn.send(body)
    if "k" in p:
        conn.wait_for_end()


def echo(conn, request):
    """The request, after what TLS said of it."""
    conn.send(sized(conn.server.note(conn) + request.head + b"\r\n\r\n" + request.body))


def redirect(conn, request):
    p = request.parameters()
    conn.wait(int(p.get("w", [b"0"])[0]) / 1000)
    lines = p.get("h", []) + ([b"Location: " + p["to"][0]] if "to" in p else [])
    conn.send(sized(b"moved", *lines, status=int(p.get("s", [b"302"])[0])))


def chain(conn, request):
    left = int(request.path.rsplit("/", 1)[1])
    if left == 0:
        echo(conn, request)
    else:
        conn.send(sized(b"", b"Location: /chain/%d" % (left - 1), status=302))


def loop(conn, request):
    conn.send(sized(b"", b"Location: " + request.target.encode(), status=302))


def _forever(*parts):
    def behave(conn):
        first, again = b"".join(parts[:-1]), parts[-1]
        conn.send(first)
        while True:
            conn.send(again)
    return behave


def _then(*steps):
    """Bytes are sent, numbers waited for; 'open' keeps the connection, 'reset' resets it."""
    def behave(conn):
        for step in steps:
            if step == "open":
                conn.wait_for_end()
            elif step == "reset":
                conn.reset()
            elif isinstance(step, bytes):
                conn.send(step)
            else:
                conn.wait(step)
    return behave


def _drip(before, bytes_, pause=0.05):
    def behave(conn):
        conn.send(before)
        for i in range(len(bytes_)):
            conn.send(bytes_[i:i + 1])
            conn.wait(pause)
    return behave


CHUNKED = b"Transfer-Encoding: chunked"
LINES = b"X-Endless: " + b"x" * 1000 + b"\r\n"
BAD = {
    "silent": _then("open"),
    "close": _then(),
    "reset": _then("reset"),
    "half_status_line": _then(b"HTTP/1.1 20"),
    "half_head": _then(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "silent_in_head": _then(b"HTTP/1.1 200 OK\r\nX-A: b\r\n", "open"),
    "silent_in_body": _then(head(200, b"Content-Length: 100"), b"some", "open"),
    "reset_in_head": _then(b"HTTP/1.1 200 OK\r\nX-A: b\r\n", 0.05, "reset"),
    "reset_in_body": _then(head(200, b"Content-Length: 100"), b"some", 0.05, "reset"),
    "drip_head": _drip(b"", head(200, b"Content-Length: 2") + b"ok"),
    "drip_body": _drip(head(200, b"Content-Length: 100"), b"x" * 100),
    "short": _then(head(200, b"Content-Length: 100"), TEXT),
    "long": _then(head(200, b"Content-Length: 3"), TEXT),
    "endless_head": _forever(b"HTTP/1.1 200 OK\r\n", LINES),
    "endless_line": _forever(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x" * 8192),
    "endless_status_line": _forever(b"HTTP/1.1 200 ", b"x" * 8192),
    "endless_body": _forever(head(200), b"x" * 65536),
    "endless_chunks": _forever(head(200, CHUNKED), b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "endless_chunk_size": _forever(head(200, CHUNKED), b"0" * 8192),
    "endless_trailers": _forever(head(200, CHUNKED), b"0\r\n", LINES),
    "endless_interim": _forever(head(100)),
    "garbage": _then(bytes(range(128, 256)) * 4, b"\r\n\r\n"),
    "ssh": _then(b"SSH-2.0-OpenSSH_9.2p1\r\n", "open"),
    "http09": _then(TEXT),
    "nothing_but_newlines": _then(b"\r\n\r\n\r\n"),
    "early_hints": _then(head(103, b"Link: </a>"), sized(TEXT)),
    "continue": _then(head(100), sized(TEXT)),
    "switching": _then(head(101, b"Upgrade: nonsense", b"Connection: Upgrade"), b"nonsense"),
    "chunk_size": _then(head(200, CHUNKED), b"five\r\nhello\r\n0\r\n\r\n"),
    "chunk_huge": _then(head(200, CHUNKED), b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "chunk_negative": _then(head(200, CHUNKED), b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk_cut": _then(head(200, CHUNKED), b"64\r\nhello"),
    "chunk_no_end": _then(head(200, CHUNKED), b"5\r\nhello\r\n"),
    "chunk_no_newline": _then(head(200, CHUNKED), b"5\r\nhello5\r\nhello\r\n0\r\n\r\n"),
    "two_lengths": _then(head(200, b"Content-Length: 45", b"Content-Length: 5"), TEXT),
    "same_length_twice": _then(head(200, b"Content-Length: 45", b"Content-Length: 45"), TEXT),
    "length_negative": _then(head(200, b"Content-Length: -1"), TEXT),
    "length_huge": _then(head(200, b"Content-Length: 99999999999999999999"), TEXT),
    "length_words": _then(head(200, b"Content-Length: many"), TEXT),
    "length_and_chunks": _then(head(200, b"Content-Length: 3", CHUNKED), b"5\r\nhello\r\n0\r\n\r\n"),
    "unknown_coding": _then(head(200, b"Transfer-Encoding: rot13"), TEXT),
    "no_colon": _then(head(200, b"Nonsense", b"Content-Length: 45"), TEXT),
    "nul_in_head": _then(head(200, b"X-Nul: a\0b", b"Content-Length: 45"), TEXT),
    "no_name": _then(head(200, b": nonsense", b"Content-Length: 45"), TEXT),
    "empty_length": _then(head(200, b"Content-Length:"), TEXT),
    "length_beside_chunks": _then(head(200, b"Content-Length: 5;x", CHUNKED), b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked_twice": _then(head(200, CHUNKED, CHUNKED), b"5\r\nhello\r\n0\r\n\r\n"),
    "folded_length": _then(head(200, b"Content-Length: 4", b" 5"), TEXT),
    "chunk_newlines": _then(head(200, CHUNKED), b"5\nhello\n0\n\n"),
    "two_returns": _then(head(200, b"Content-Length: 45").replace(b"\r", b"\r\r"), TEXT),
    "status_glued": _then(b"HTTP/1.1 200OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "late_head": _then(b"HTTP/1.1 200 OK\r\n", 0.08, b"Content-Length: 45\r\n\r\n", TEXT),
    "folded": _then(head(200, b"X-Folded: a", b" b", b"Content-Length: 45"), TEXT),
    "bare_newlines": _then(b"HTTP/1.1 200 OK\nContent-Length: 45\n\n", TEXT),
    "no_reason": _then(b"HTTP/1.1 200\r\nContent-Length: 45\r\n\r\n", TEXT),
    "status_words": _then(b"HTTP/1.1 fine\r\n\r\n"),
    "status_long": _then(b"HTTP/1.1 2000 OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "status_short": _then(b"HTTP/1.1 20 OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "status_lost": _then(b"HTTP/1.1\r\n\r\n"),
    "small_letters": _then(b"http/1.1 200 OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "version_7": _then(b"HTTP/7.3 200 OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "version_2": _then(b"HTTP/2 200 OK\r\nContent-Length: 45\r\n\r\n", TEXT),
    "empty_with_length": _then(head(204, b"Content-Length: 45"), TEXT),
}


def token(conn, request):
    """Client credentials (RFC 6749, 4.4) of the client "us" with the secret "hush": the token says what was
    asked for. /token/NAME misbehaves."""
    form = urllib.parse.parse_qs(request.body.decode(), keep_blank_values=True)
    by_header = request.field("Authorization") == "Basic dXM6aHVzaA=="
    by_form = form.pop("client_id", None) == ["us"] and form.pop("client_secret", None) == ["hush"]
    how = request.path.rpartition("/")[2]
    said = {"access_token": "", "token_type": "Bearer", "expires_in": 3600}
    if how == "garbage":
        conn.send(sized(b"no JSON"))
    elif how == "none":
        conn.send(sized(json.dumps({"token_type": "Bearer"}).encode(), b"Content-Type: application/json"))
    elif how == "silent":
        conn.wait_for_end()
    elif how == "denied" or (how == "form" and not by_form) or not (by_header or by_form):
        conn.send(sized(b'{"error": "invalid_client"}', b"Content-Type: application/json", status=401))
    else:
        conn.wait(0.08 if how == "slow" else 0)
        said["access_token"] = "-".join(f"{k}.{v}" for k in sorted(form) for v in form[k]).replace(" ", "+")
        conn.send(sized(json.dumps(said).encode(), b"Content-Type: application/json"))


def bad(conn, request):
    BAD[request.path.rsplit("/", 1)[1]](conn)


ROUTES = {"answer": answer, "echo": echo, "redirect": redirect, "chain": chain, "loop": loop,
          "token": token, "bad": bad}


# ---- servers ----

def bound_loopbacks():
    """Listening sockets on a free port of both loopbacks."""
    for _ in range(50):
        sockets, port = [], 0
        try:
            for address, family in LOOPBACKS:
                sock = socket.socket(family)
                sockets.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                port = sock.getsockname()[1]
                sock.listen(512)
            return sockets
        except OSError:
            for sock in sockets:
                sock.close()
    raise OSError("no port is free on both loopbacks")


class Server:
    """Serves on one port of both loopbacks; url is where. tls: an ssl.SSLContext."""

    def __init__(self, tls=None):
        self.tls, self.closing = tls, threading.Event()
        self.lock, self.threads, self.connections = threading.Lock(), [], set()
        self.requests = []  # (method, target) of all that came
        self.sockets = bound_loopbacks()
        self.port = self.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        for sock in self.sockets:
            self._run(self._accept, sock)

    def _run(self, function, *words):
        thread = threading.Thread(target=function, args=words, daemon=True)
        with self.lock:
            self.threads.append(thread)
        thread.start()

    def _accept(self, sock):
        while not self.closing.is_set():
            try:
                client = sock.accept()[0]
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.add(client)
            self._run(self._serve, client)

    def _serve(self, client):
        conn = Connection(self, client)
        try:
            client.settimeout(30)
            if self.tls:
                conn.secure(self.tls)
            self.serve(conn)
        except (OSError, ValueError):
            pass
        finally:
            conn.close()
            with self.lock:
                self.connections.discard(client)
                self.threads.remove(threading.current_thread())

    def serve(self, conn):
        request = conn.receive()
        if request is None:
            return
        self.requests.append((request.method, request.target))
        ROUTES.get(request.path.split("/")[1], echo)(conn, request)

    def note(self, conn):
        """What TLS said, as lines."""
        if not self.tls:
            return b""
        who = conn.sock.getpeercert() or {}
        name = dict(part[0] for part in who.get("subject", ())).get("commonName", "")
        return (f"sni={getattr(conn.sock, 'asked_for', None)}\nversion={conn.sock.version()}\n"
                f"alpn={conn.sock.selected_alpn_protocol()}\nclient={name}\n").encode()

    def asked(self, part):
        """The requests whose target holds a text."""
        return [r for r in list(self.requests) if part in r[1]]

    def close(self):
        self.closing.set()
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        with self.lock:
            open_ones, threads = list(self.connections), list(self.threads)
        for client in open_ones:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join(5)


def tls_context(certificates, name, minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3,
                client_ca=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # weak certificates and old versions too
    context.minimum_version, context.maximum_version = minimum, maximum
    context.load_cert_chain(*certificates.pair(name))
    context.sni_callback = lambda sock, asked_for, _: setattr(sock, "asked_for", asked_for)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Rude(Server):
    """Misbehaves before there is a request: behave(conn) is given each new connection."""

    def __init__(self, behave, scheme="https"):
        self.behave = behave
        super().__init__()
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def serve(self, conn):
        self.behave(conn)


def after_hello(*steps):
    """Reads the client's first bytes, and then does the steps."""
    def behave(conn):
        conn.sock.recv(65536)
        _then(*steps)(conn)
    return behave


SETTINGS = bytes.fromhex("000000040000000000")
STREAM_RESET = bytes.fromhex("00000403000000000100000002")
GOING_AWAY = bytes.fromhex("0000080700000000000000000000000000")


def http2(context, *steps):
    """Agrees on HTTP/2, and then does the steps."""
    def behave(conn):
        conn.secure(context)
        conn.sock.recv(65536)
        _then(*steps)(conn)
    return behave


def slow_tls(context, seconds):
    """A good server whose handshake begins late."""
    def behave(conn):
        conn.wait(seconds)
        conn.secure(context)
        request = conn.receive()
        if request:
            ROUTES.get(request.path.split("/")[1], echo)(conn, request)
    return behave


class Proxy(Server):
    """A forward proxy: plain requests are echoed after the line "by proxy", CONNECT makes a tunnel.
    deny: the status that all are answered with. wants: a header line that must come with each."""

    def __init__(self, deny=None, wants=None, unwanted=()):
        self.deny, self.wants, self.unwanted = deny, wants, unwanted
        self.heads = []
        super().__init__()

    def serve(self, conn):
        request = conn.receive()
        if request is None:
            return
        self.requests.append((request.method, request.target))
        self.heads.append(request.head)
        status = self.deny
        if self.wants and self.wants not in request.head.split(b"\r\n"):
            status = 407
        if any(request.field(name) is not None for name in self.unwanted):
            status = 400
        if status:
            conn.send(sized(b"denied", status=status))
        elif request.method == "CONNECT":
            self._tunnel(conn, request.target)
        else:
            conn.send(sized(b"by proxy\n" + request.head + b"\r\n\r\n" + request.body))

    def _tunnel(self, conn, target):
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        far = socket.create_connection(("127.0.0.1" if host.endswith("test") else host, int(port)), 5)
        with self.lock:
            self.connections.add(far)
        conn.send(head(200))

        def pump(source, sink):
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        back = threading.Thread(target=pump, args=(far, conn.sock), daemon=True)
        back.start()
        pump(conn.sock, far)
        back.join(5)
        with self.lock:
            self.connections.discard(far)
        far.close()
