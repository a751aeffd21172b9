"""Attacks on joining: tokens that are none, requests of another kind, regions that are no names."""
import os

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import trustlib
import wirelib
from adminlib import bearer
from attacklib import DROPPED, NEEDED, AttackedServer, answer_to
from trustlib import MALFORMED, OK, REFUSED, Joiner, Token, certificate_request, new_key
from wirelib import message

pytestmark = pytest.mark.address


def join(server, secret, request, region=""):
    return answer_to(lambda: Joiner(server.connect()).join(secret, request, region))


def refused(answer):
    """(status, words) of an answer that is a refusal with a sentence; None of another."""
    if len(answer) == 3 and answer[0] in (REFUSED, MALFORMED) and answer[1] and not answer[2]:
        return answer[:2]
    return None


def test_no_token_but_one_of_this_server_that_is_left_joins(lab):
    server = AttackedServer(lab)
    good, used, bound = server.token(), server.token(), server.token("-region", "home")
    request = certificate_request(new_key())
    assert join(server, Token(used).secret, request, "x")[0] == OK
    revoked = server.token()
    name = [line.split()[0] for line in server.command("join-token", "-list").stdout.splitlines()][-1]
    assert server.command("join-token", "-revoke", name).returncode == 0
    secret = Token(good).secret
    other = certificate_request(new_key())
    attacks = {
        "a used one": (Token(used).secret, other, "x"),
        "a revoked one": (Token(revoked).secret, other, "x"),
        "one of another region": (Token(bound).secret, other, "elsewhere"),
        "a guess": (os.urandom(16), other, "x"),
        "nothing but zeros": (bytes(16), other, "x"),
        "a bit changed": (secret[:-1] + bytes([secret[-1] ^ 1]), other, "x"),
        "turned round": (secret[::-1], other, "x"),
        "the fingerprint": (Token(good).fingerprint[:16], other, "x"),
        "its text": (good.encode()[:16], other, "x"),
        "the name that is shown of it": (bytes.fromhex(name[:32].ljust(32, "0")), other, "x"),
        "too short": (secret[:15], other, "x"),
        "too long": (secret + b"\0", other, "x"),
        "none": (b"", other, "x"),
        "an admin's": (bearer("boss")["Authorization"].encode()[-16:], other, "x"),
    }
    with server.untouched():
        got = {what: join(server, *attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if not refused(a)} == {}
    assert "used already" in got["a used one"][1] and "another region" in got["one of another region"][1]
    log = server.server.log()
    assert not [w for w in (good, used, revoked) if w in log or Token(w).secret.hex() in log]
    assert join(server, secret, other, "x")[0] == OK, "what is left still joins"


def test_no_request_but_one_of_its_own_key_is_certified(lab):
    server = AttackedServer(lab)
    secret = Token(server.token("-region", "a")).secret
    good = certificate_request(new_key())

    def of(key):
        return certificate_request(key)
    p256 = new_key().public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)
    stolen = good.replace(good[good.index(p256[:26]):][:91], p256)
    attacks = {
        "none": b"", "rubbish": os.urandom(300), "text": b"-----BEGIN CERTIFICATE REQUEST-----\n",
        "cut short": good[:-1], "more behind it": good + b"\0", "too long": good + bytes(4096),
        "a changed name": good.replace(b"\x0c\x01x", b"\x0c\x01y"),
        "a changed signature": good[:-1] + bytes([good[-1] ^ 1]),
        "another's public key": stolen,
        "a certificate": server.authority.certificate.public_bytes(serialization.Encoding.DER),
        "RSA": of(rsa.generate_private_key(65537, 2048)),
        "P-384": of(ec.generate_private_key(ec.SECP384R1())),
        "P-192": of(ec.generate_private_key(ec.SECP192R1())),
        "secp256k1": of(ec.generate_private_key(ec.SECP256K1())),
        "a length that lies": b"\x30\x84\xff\xff\xff\xff" + good[2:],
        "nested without end": b"\x30\x80" * 1500,
    }
    with server.untouched():
        got = {what: join(server, secret, request, "a") for what, request in attacks.items()}
        renewed = {what: answer_to(lambda r=request: server.member.renew(r))
                   for what, request in attacks.items()}
    assert {w: a for w, a in {**got, **renewed}.items() if not refused(a)} == {}
    # What a request asks for beside its key is not given.
    key = new_key()
    wanted = certificate_request(key, "server.probermesh.internal",
                                 [trustlib.agent_name(server.member.agent, "home")])
    status, _, certificate = join(server, secret, wanted, "")
    assert status == OK
    given = trustlib.Credentials.issued(key, certificate)
    assert given.agent != server.member.agent and given.region == "a"
    assert given.parsed.fingerprint(hashes.SHA256()) and "server.probermesh" not in \
        given.parsed.subject.rfc4514_string()


BAD_REGIONS = {
    "none": b"", "a line": b"a\nb", "a carriage return": b"a\rb", "a bell": b"\x07",
    "an escape": b"\x1b[31m", "delete": b"a\x7f", "half a letter": b"\xe6\xac", "no UTF-8": b"\xff\xfe",
    "an overlong slash": b"\xc0\xaf", "a surrogate": b"\xed\xa0\x80", "beyond Unicode": b"\xf4\x90\x80\x80",
    "too long": b"r" * 129, "10 kB": b"r" * 10240, "a C1 control": b"a\xc2\x85b",
}


def test_no_region_that_is_no_name_is_joined_or_said(lab):
    server = AttackedServer(lab)
    secret = Token(server.token()).secret
    request = certificate_request(new_key())
    hello = {"_2": "1", "_3": "linux", "_4": "x86_64", "_5": 2, "_6": ["10.77.1.1"],
             "_7": wirelib.SECOND, "_8": wirelib.SECOND // 2}

    def plain(region):
        peer = wirelib.Agent(server.connect(), "", "10.77.1.1")
        return (*trustlib.status_of(peer.call(_10=message(_1=region, **hello))), None)
    own = server.authority.agent("elsewhere")

    def trusted(region):
        peer = server.agent(own)
        return (*trustlib.status_of(peer.call(_10=message(_1=region, **hello))), None)
    with server.untouched():
        for what, region in BAD_REGIONS.items():
            for way in (plain, trusted):
                answer = answer_to(lambda r=region, w=way: w(r))
                assert answer in (DROPPED, NEEDED) or refused(answer), (way.__name__, what, answer)
            assert refused(join(server, secret, request, region)), what
    for region in (b"../../etc", b"a/b", b".", "欧洲 1".encode()):
        assert join(server, Token(server.token()).secret, certificate_request(new_key()), region)[0] == OK
    assert not [b for b in ("\x1b", "\x07", "\x7f") if b in server.server.log()]
