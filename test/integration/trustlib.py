"""A peer of the trusted channel: TLS 1.2 inside the frames of the link (docs/protocol.md), the calls of
agents over it, and certificates of every kind, good ones and others."""
import base64
import datetime
import os
import ssl
import struct
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import wirelib
from wirelib import field, message, parsed

PLAIN, HANDSHAKE, DATA, NEEDED = range(4)
ALPN, ALPN_JOIN = "probermesh/1", "probermesh-join/1"
SERVER_NAME = "server.probermesh.internal"
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
DAY = datetime.timedelta(days=1)
OK, HELLO_NEEDED, REFUSED, MALFORMED, BUSY, UNSUPPORTED = range(6)
TAKEN, UNKNOWN, AGAIN = range(3)
RUNNING, ENDED, TASK_REFUSED, INTERRUPTED, RAN_BEFORE = range(1, 6)
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


# ---- keys and certificates ----

def new_key(curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def agent_name(agent, region):
    """The URI in the certificate of an agent."""
    region = region if isinstance(region, bytes) else region.encode()
    coded = "".join(chr(b) if b in UNRESERVED else f"%{b:02X}" for b in region)
    return f"probermesh:agent/{agent.hex()}/{coded}"


def certificate_request(key, subject="x", names=()):
    """PKCS #10, DER. mbedtls reads none without a subject."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if names:
        uris = [x509.UniformResourceIdentifier(n) for n in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


class Credentials:
    """A key, its certificate (PEM, with what else is shown), and whom they name."""

    def __init__(self, key, certificate, agent=None, region=None):
        self.key, self.certificate, self.agent, self.region = key, certificate, agent, region

    @classmethod
    def issued(cls, key, certificate):
        """Of a certificate that the server issued."""
        cert = x509.load_pem_x509_certificate(certificate.encode())
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        _, agent, region = names.get_values_for_type(x509.UniformResourceIdentifier)[0].split("/")
        region = bytes(int(p[:2], 16) if len(p) == 2 else ord(p) for p in _escapes(region)).decode()
        return cls(key, certificate, bytes.fromhex(agent), region)

    @property
    def parsed(self):
        return x509.load_pem_x509_certificate(self.certificate.encode())


def _escapes(text):
    at = 0
    while at < len(text):
        step = 3 if text[at] == "%" else 1
        yield text[at:at + step].lstrip("%")
        at += step


class Authority:
    """Issues certificates as the server does, or as it never would."""

    def __init__(self, key=None, certificate=None):
        self.key = key or new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ProberMesh")])
        self.certificate = certificate or self.issue(self.key.public_key(), (), (), is_ca=True)

    @classmethod
    def of_server(cls, state):
        """With the key that only the server holds: for certificates that could not be had otherwise."""
        with open(f"{state}/pki/ca.key", "rb") as key, open(f"{state}/pki/ca.crt", "rb") as crt:
            authority = cls(serialization.load_pem_private_key(key.read(), None),
                            x509.load_pem_x509_certificate(crt.read()))
        authority.name = authority.certificate.subject
        return authority

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def fingerprint(self):
        return self.certificate.fingerprint(hashes.SHA256())

    def issue(self, public_key, names, uses, days=(-1, 30), is_ca=False, subject=None):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().issuer_name(self.name).public_key(public_key)
                   .subject_name(self.name if subject is None else subject)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
                   .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
                   .add_extension(_key_usage(is_ca), critical=True))
        if uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
        return builder.sign(self.key, hashes.SHA256())

    def agent(self, region, agent=None, uses=(ExtendedKeyUsageOID.CLIENT_AUTH,), names=None, key=None,
              **how):
        """Credentials of an agent."""
        agent, key = agent or os.urandom(16), key or new_key()
        names = names or [x509.UniformResourceIdentifier(agent_name(agent, region))]
        cert = self.issue(key.public_key(), names, uses, subject=x509.Name([]), **how)
        return Credentials(key, cert.public_bytes(serialization.Encoding.PEM).decode(), agent, region)

    def server(self, name=SERVER_NAME, uses=(ExtendedKeyUsageOID.SERVER_AUTH,), **how):
        key = new_key()
        cert = self.issue(key.public_key(), [x509.DNSName(name)], uses, subject=x509.Name([]), **how)
        return Credentials(key, cert.public_bytes(serialization.Encoding.PEM).decode() + self.pem())


def _key_usage(is_ca):
    return x509.KeyUsage(digital_signature=not is_ca, content_commitment=False, key_encipherment=False,
                         data_encipherment=False, key_agreement=False, key_cert_sign=is_ca,
                         crl_sign=is_ca, encipher_only=False, decipher_only=False)


class Token:
    """The word of 'serverd join-token'."""

    def __init__(self, word):
        assert word.startswith("pmj1") and len(word) == 88, word
        raw = base64.b32decode(word[4:].upper() + "=" * (-len(word[4:]) % 8))
        self.secret, self.fingerprint = raw[:16], raw[16:48]
        assert struct.unpack(">I", raw[48:])[0] == wirelib.crc32c(raw[:48])


# ---- TLS ----

def tls_context(credentials=None, ca=None, alpn=ALPN, ciphers=CIPHERS, version=ssl.TLSVersion.TLSv1_2,
                server_side=False):
    """What channels are made from, and sessions resumed in. Without `ca` any peer is fine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols([alpn])
    if not ca and not server_side:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        context.load_verify_locations(cadata=ca)
    if credentials:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(key_pem(credentials.key) + credentials.certificate)
            file.flush()
            context.load_cert_chain(file.name)
    return context


class Tls:
    """One end of a session, in memory."""

    def __init__(self, context, session=None, server_side=False):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.done = False
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_side,
                                    None if server_side else SERVER_NAME, session)

    def step(self, flight=b""):
        """Goes on with the handshake; returns the next flight. Raises ssl.SSLError on an alert."""
        self.incoming.write(flight)
        try:
            self.ssl.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def seal(self, body, length=None):
        """The records of a message: its length, then itself."""
        self.ssl.write(struct.pack(">I", len(body) if length is None else length))
        if body:
            self.ssl.write(body)
        return self.outgoing.read()

    def open(self, records):
        self.incoming.write(records)
        data = b""
        try:
            while True:
                more = self.ssl.read(65536)
                if not more:
                    break
                data += more
        except ssl.SSLWantReadError:
            pass
        assert len(data) >= 4 and struct.unpack(">I", data[:4])[0] == len(data) - 4
        return data[4:]


class HandshakeNeeded(Exception):
    """The server answered that it needs a handshake."""


class TrustedPeer(wirelib.Peer):
    """A connection with a session. `shake=False` leaves the handshake to the caller."""

    def __init__(self, sock, context, session=None, shake=True):
        wirelib.Peer.__init__(self, sock)
        self.tls = Tls(context, session)
        if shake:
            self.shake()

    def exchange(self, payload):
        """Sends a frame; (kind, body) of the answer."""
        self.send(payload)
        answer = self.receive()[4:]
        magic, _, kind, _, length, crc = struct.unpack(">4sBBHII", answer[:16])
        body = answer[16:]
        assert magic == b"PMSH" and length == len(body) and crc == wirelib.crc32c(body)
        return kind, body

    def shake(self):
        flight = self.tls.step()
        while flight:
            kind, body = self.exchange(wirelib.frame(flight, kind=HANDSHAKE))
            if kind == NEEDED:
                raise HandshakeNeeded
            assert kind == HANDSHAKE
            flight = self.tls.step(body)
        assert self.tls.done

    @property
    def resumed(self):
        return self.tls.ssl.session_reused

    @property
    def session(self):
        """With the ticket; to be given to another peer of the same context."""
        return self.tls.ssl.session

    def ask(self, body):
        kind, answer = self.exchange(wirelib.frame(self.tls.seal(body), kind=DATA))
        if kind == NEEDED:
            raise HandshakeNeeded
        assert kind == DATA
        return parsed(self.tls.open(answer))


class Joiner(TrustedPeer):
    """Comes for a certificate."""

    def __init__(self, sock, ca=None, **options):
        super().__init__(sock, tls_context(ca=ca, alpn=ALPN_JOIN), **options)

    def join(self, secret, request, region="", version="1"):
        """(status, message, certificate or None)"""
        reply = self.ask(message(_1=1, _2=os.urandom(16), _3=os.urandom(16), _13=message(
            _1=secret, _2=request, _3=region, _4=version)))
        return *status_of(reply), certificate_in(reply, 13)


def status_of(reply):
    """(status, message)"""
    return reply.get(3, [0])[0], reply.get(4, [b""])[0].decode()


def certificate_in(reply, number):
    return parsed(reply[number][0])[1][0].decode() if number in reply else None


class TrustedAgent(TrustedPeer, wirelib.Agent):
    """An agent with a certificate that does nothing by itself. What it calls itself is what the
    certificate says, unless it is told to lie."""

    def __init__(self, sock, credentials, address, context=None, session=None, agent=None, region=None,
                 boot=None, shake=True, ca=None):
        self.context = context or tls_context(credentials, ca)
        TrustedPeer.__init__(self, sock, self.context, session, shake)
        self.region, self.address = region or credentials.region, address
        self.agent, self.boot = agent or credentials.agent, boot or os.urandom(16)

    def renew(self, request):
        """(status, message, certificate or None)"""
        reply = self.call(_14=message(_1=request))
        return *status_of(reply), certificate_in(reply, 14)

    def tasks(self, revision=0):
        """({id: (line, deadline in ns)}, [ids to cancel]) of a sync."""
        reply = parsed(self.call(_11=message(_1=revision))[11][0])
        tasks = [parsed(t) for t in reply.get(3, [])]
        return ({t[1][0].decode(): (t[2][0], t[3][0]) for t in tasks},
                [c.decode() for c in reply.get(4, [])])

    def report_task(self, task, state, chunks=(), end=None):
        """chunks: (stream, offset, bytes); end: see task_end. (status, message, (outcome, have of stdout,
        of stderr))"""
        body = message(_1=task, _2=state, _3=[message(_1=s, _2=o, _3=b) for s, o, b in chunks])
        reply = self.call(_15=body + (field(4, end) if end is not None else b""))
        told = parsed(reply[15][0]) if 15 in reply else {}
        return *status_of(reply), tuple(told.get(n, [0])[0] for n in (1, 2, 3))


def task_end(end=0, value=0, duration=1000000, stdout=0, stderr=0, text="", notes=""):
    """How a task ended; value is of a sint32."""
    return message(_1=end, _2=value << 1 if value >= 0 else (-value << 1) - 1, _3=duration, _5=stdout,
                   _6=stderr, _7=stdout, _8=stderr, _9=text, _10=notes)
