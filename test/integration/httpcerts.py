"""Certificates that the tests of HTTP probes make for themselves: good ones, and each kind of bad one."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
HOME = ["localhost", "127.0.0.1", "::1"]  # what servers of the tests are called


def _key(kind="ec"):
    if kind == "rsa1024":
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return ec.generate_private_key(ec.SECP256R1())


def _names(names):
    for name in names:
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            yield x509.DNSName(name)


def unix(moment):
    """Unix seconds of a certificate's time."""
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


class Certificate:
    """A certificate with its key; `issuer` is one too, None when it signs itself."""

    def __init__(self, name, issuer=None, sans=(), days=(-1, 30), is_ca=False, key="ec", digest=None,
                 common_name=None):
        self.issuer, self.key = issuer, _key(key)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or name)])
        self.not_after = NOW + days[1] * DAY
        signer = issuer or self
        builder = (x509.CertificateBuilder().subject_name(self.name).issuer_name(signer.name)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW + days[0] * DAY).not_valid_after(self.not_after)
                   .add_extension(x509.BasicConstraints(is_ca, None), critical=True))
        if not is_ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(_names(sans))), critical=False)
        self.cert = builder.sign(signer.key, digest or hashes.SHA256())

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


class Certificates:
    """All of them, as files NAME.pem (with what else the server sends), NAME.key and ca.pem."""

    def __init__(self, directory):
        self.directory = directory
        ca = self.ca = Certificate("ca", is_ca=True, days=(-2, 400))
        unknown = Certificate("unknown ca", is_ca=True)
        middle = Certificate("intermediate", ca, is_ca=True, days=(-1, 10))
        self.leaves = {
            "good": Certificate("good", ca, HOME + ["first.test", "second.test"]),
            "expired": Certificate("expired", ca, HOME, days=(-9, -3)),
            "not_yet": Certificate("not yet valid", ca, HOME, days=(3, 30)),
            "self_signed": Certificate("self signed", None, HOME),
            "other": Certificate("other", ca, ["other.test"]),
            "unknown": Certificate("unknown", unknown, HOME),
            "weak_key": Certificate("weak key", ca, HOME, key="rsa1024"),
            "weak_digest": Certificate("weak digest", ca, HOME, digest=hashes.SHA1()),
            "by_ip": Certificate("by ip", ca, ["127.0.0.1", "::1"]),
            "no_san": Certificate("no san", ca, common_name="localhost"),
            "wild": Certificate("wild", ca, ["*.wild.test"]),
            "chain": Certificate("chain", middle, HOME),
            "gap": Certificate("gap", middle, HOME),
            "client": Certificate("client", ca),
            "stranger": Certificate("stranger", unknown),
        }
        for name, leaf in self.leaves.items():
            self._write(name + ".pem", leaf.pem() + (middle.pem() if name == "chain" else ""))
            self._write(name + ".key", leaf.key_pem())
        self._write("ca.pem", ca.pem())
        self.expiries = {name: unix(leaf.not_after) for name, leaf in self.leaves.items()}
        self.expiries["chain"] = unix(middle.not_after)

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as f:
            f.write(text)

    def path(self, name):
        return os.path.join(self.directory, name)

    def pair(self, name):
        """(file of the chain, file of the key)"""
        return self.path(name + ".pem"), self.path(name + ".key")

    def text(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()
