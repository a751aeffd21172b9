"""Attacks on the trusted link: another's certificate, another's frames, a weaker channel, broken sessions."""
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import trustlib
import wirelib
from attacklib import ALERT, DROPPED, NEEDED, AttackedServer, answer_to, recorded, say
from lablib import wait_until
from trustlib import DATA, HANDSHAKE, Authority, Credentials, TrustedPeer, tls_context
from trustlib import HELLO_NEEDED, MALFORMED, REFUSED, UNSUPPORTED
from wirelib import frame, message

pytestmark = pytest.mark.address
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
SECOND = 1 / 86400  # of certificates, in days
SECOND_NS = wirelib.SECOND


def uri(text):
    return x509.UniformResourceIdentifier(text)


def bad_certificates(server):
    """{what is wrong: credentials}"""
    ca, other = server.authority, Authority()
    me, you = bytes(range(16)), server.member.agent
    member = ca.agent("home", you)
    below = Authority(member.key, member.parsed)
    below.name = member.parsed.subject
    below_named = Authority(member.key, member.parsed)
    below_named.name = ca.name
    alone = Authority()
    name = trustlib.agent_name
    return {
        "another authority": other.agent("home", you),
        "an authority of the same name": _same_name(ca).agent("home", you),
        "self-signed": alone.agent("home", you, key=alone.key),
        "issued by an agent": below.agent("home", you),
        "issued by an agent in the authority's name": below_named.agent("home", you),
        "a server's use": ca.agent("home", you, uses=[SERVER]),
        "an agent's and a server's": ca.agent("home", uses=[CLIENT, SERVER], names=[
            uri(name(you, "home")), x509.DNSName(trustlib.SERVER_NAME)]),
        "no use": ca.agent("home", you, uses=()),
        "any use": ca.agent("home", you, uses=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        "a server's": ca.server(),
        "an authority's": Credentials(other.key, other.pem()),
        "an agent that is an authority": ca.agent("home", you, is_ca=True),
        "expired": ca.agent("home", you, days=(-9, -1)),
        "expired just now": ca.agent("home", you, days=(-9, -2 * SECOND)),
        "not valid yet": ca.agent("home", you, days=(1, 9)),
        "a weak curve": ca.agent("home", you, key=trustlib.new_key(trustlib.ec.SECP192R1)),
        "no name": ca.agent("home", names=[x509.DNSName("agent.example")]),
        "two names": ca.agent("home", names=[uri(name(me, "a")), uri(name(you, "home"))]),
        "the name in capitals": ca.agent("home", names=[uri(name(me, "a").upper())]),
        "an id that is too short": ca.agent("home", names=[uri("probermesh:agent/0123/home")]),
        "no region": ca.agent("home", names=[uri(name(me, ""))]),
        "a region that is not coded": ca.agent("home", names=[uri(name(me, "") + "a b")]),
        "a region with an end": ca.agent("home", names=[uri(name(me, b"a\0b"))]),
        "a region with a line": ca.agent("home", names=[uri(name(me, "a\nb"))]),
        "a region that is no UTF-8": ca.agent("home", names=[uri(name(me, b"\xff\xfe"))]),
        "a region that is too long": ca.agent("home", names=[uri(name(me, "r" * 129))]),
    }


def _same_name(ca):
    other = Authority()
    other.name = ca.name
    return other


def test_no_certificate_but_an_agents_of_this_authority_is_taken(lab):
    server = AttackedServer(lab)
    bad = bad_certificates(server)
    with server.untouched():
        got = {what: answer_to(lambda c=c: server.agent(c)) for what, c in bad.items()}
        nobody = answer_to(lambda: TrustedPeer(server.connect(), tls_context()))
    assert {what: answer for what, answer in got.items() if answer[:1] != ("alert",)} == {}, got
    assert nobody == DROPPED


def test_a_certificate_that_expires_ends_its_session_and_its_tickets(lab):
    server = AttackedServer(lab)
    short = server.authority.agent("elsewhere", days=(-1, 3 * SECOND))
    server.greeted(server.agent(short))
    with server.untouched():
        agent = server.agent(short)
        session = agent.session
        again = server.agent(short, session=session)
        assert again.resumed and not agent.resumed
        wait_until(lambda: answer_to(agent.hello) == NEEDED, 10, "the certificate to expire")
        assert answer_to(again.hello) == NEEDED
        assert answer_to(lambda: server.agent(short, session=session))[0] == "alert"
        assert answer_to(lambda: server.agent(short))[0] == "alert"


# ---- somebody else's name ----

def test_an_agent_speaks_for_nobody_but_itself(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    you = server.member

    def hello(**lies):
        return lambda: server.agent(own, **lies).hello()

    attacks = {
        "its id": hello(agent=you.agent),
        "its region": hello(region="home"),
        "its id and region": hello(agent=you.agent, region="home"),
        "its id, boot and region": hello(agent=you.agent, boot=you.boot, region="home"),
        "an id of nobody": hello(agent=bytes(16)),
        "a region of nobody": hello(region="Elsewhere"),
    }
    with server.untouched():
        got = {what: answer_to(attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if a[0] != trustlib.REFUSED} == {}, got


def test_no_call_after_hello_is_taken_in_another_name(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    server.greeted(server.agent(own))
    window = message(_1=1, _2=1, _3=SECOND_NS, _4=1)
    with server.untouched():
        for call in ({"_11": message(_1=0)}, {"_12": window}, {"_14": message(_1=b"x")},
                     {"_15": message(_1="a-task", _2=2)}, {"_10": b""}):
            for name in (server.member.agent, bytes(16), own.agent[::-1]):
                agent = server.agent(own)
                assert agent.hello() == (0, "")
                agent.agent = name
                got = answer_to(lambda a=agent, c=call: trustlib.status_of(a.call(**c)))
                assert got == DROPPED or got[0] in (HELLO_NEEDED, REFUSED, MALFORMED, UNSUPPORTED), got


# ---- recorded frames ----

def test_recorded_frames_are_worth_nothing_elsewhere_nor_twice(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    with recorded() as full:
        agent = server.agent(own)
        server.greeted(agent)
        session = agent.session
    with recorded() as resumed:
        agent = server.agent(own, session=session)
        assert agent.hello() == (0, "") and agent.resumed

    def on_new_connection(*frames):
        peer = wirelib.Peer(server.connect())
        return [say(peer, f) for f in frames][-1]

    def in_session(*frames):
        peer = server.agent(own)
        return [say(peer, f) for f in frames][-1]

    def twice():
        with recorded() as now:
            peer = server.agent(own)
            assert peer.hello() == (0, "")
        return say(peer, now.sent[-1])

    def reflected():
        with recorded() as now:
            peer = server.agent(own)
            assert peer.hello() == (0, "")
        return say(peer, now.taken[-1])

    def out_of_order():
        peer = server.agent(own)
        peer.tls.seal(b"lost")
        return answer_to(peer.hello)

    def after_another():
        peer = server.agent(own)
        assert say(peer, full.sent[-1]) == NEEDED
        return answer_to(peer.hello)
    attacks = {
        "a handshake": lambda: on_new_connection(*full.sent[:-1]),
        "a handshake and its call": lambda: on_new_connection(*full.sent),
        "a resumed handshake": lambda: on_new_connection(*resumed.sent[:-1]),
        "a resumed handshake and its call": lambda: on_new_connection(*resumed.sent),
        "a call without its handshake": lambda: on_new_connection(full.sent[-1]),
        "a call in another session": lambda: in_session(full.sent[-1]),
        "a call of a resumed session in another": lambda: in_session(resumed.sent[-1]),
        "a call after one that was refused": after_another,
        "a call twice": twice,
        "a call without the one before": out_of_order,
        "an answer": reflected,
        "a handshake in a session": lambda: in_session(full.sent[0]),
        "its end in a session": lambda: in_session(full.sent[1]),
    }
    with server.untouched():
        got = {what: answer_to(attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if a not in (NEEDED, DROPPED, ALERT)} == {}
    assert got["a call twice"] == got["a call in another session"] == NEEDED


# ---- weaker channels ----

@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_no_weaker_channel_is_had(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    old, one, new = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_3
    weak = ":@SECLEVEL=0"

    def tls(**how):
        return lambda: TrustedPeer(server.connect(), tls_context(own, server.authority.pem(), **how))

    def plain_in_session():
        return say(server.agent(own), frame(b"\x08\x01"))

    def session_after_plain():
        peer = wirelib.Agent(server.connect(), "plain", "10.77.1.1")
        assert peer.call(_11=b"")[3] == [HELLO_NEEDED]
        return say(peer, frame(trustlib.Tls(tls_context(own)).step(), kind=HANDSHAKE))
    attacks = {
        "TLS 1.0": tls(version=old, ciphers="ECDHE+AES" + weak),
        "TLS 1.1": tls(version=one, ciphers="ECDHE+AES" + weak),
        "TLS 1.3 alone": tls(version=new),
        "CBC": tls(ciphers="ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384" + weak),
        "no forward secrecy": tls(ciphers="AES128-GCM-SHA256:AES256-GCM-SHA384"),
        "anonymous": tls(ciphers="AECDH-AES128-SHA:ADH-AES128-GCM-SHA256" + weak),
        "no encryption": tls(ciphers="ECDHE-ECDSA-NULL-SHA:NULL-SHA256" + weak),
        "DHE": tls(ciphers="DHE-RSA-AES128-GCM-SHA256"),
        "no protocol": tls(alpn=None),
        "another protocol": tls(alpn="h2"),
        "a later protocol": tls(alpn="probermesh/2"),
        "a plain call in a session": plain_in_session,
        "a session after a plain call": session_after_plain,
    }
    with server.untouched():
        got = {what: answer_to(attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if a != DROPPED and a[0] != "alert"} == {}, got


def test_who_comes_to_join_can_do_nothing_else(lab):
    server = AttackedServer(lab)
    you = server.member
    calls = {"hello": {"_10": message(_1="home", _2="1", _3="linux", _4="x86_64", _5=2,
                                      _6=["10.77.1.1"], _7=SECOND_NS, _8=SECOND_NS // 2)},
             "sync": {"_11": message(_1=0)}, "report": {"_12": message(_1=1, _2=1, _3=SECOND_NS)},
             "renew": {"_14": message(_1=b"x")}, "a task": {"_15": message(_1="t", _2=2)},
             "nothing": {}}
    with server.untouched():
        for what, call in calls.items():
            for agent in (you.agent, bytes(16)):
                peer = trustlib.Joiner(server.connect())
                got = answer_to(lambda p=peer, a=agent, c=call: trustlib.status_of(
                    p.ask(message(_1=1, _2=a, _3=you.boot, **c))))
                assert got in (DROPPED, NEEDED) or got[0] in (REFUSED, MALFORMED, UNSUPPORTED), (what, got)


# ---- broken sessions ----

def test_a_broken_session_is_ended_and_nothing_of_it_taken(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    first = server.agent(own)
    server.greeted(first)
    body = message(_1=1, _2=own.agent, _3=first.boot, _11=message(_1=0))

    def data(records):
        """A frame with what records(tls) gives, in a session."""
        def attack():
            peer = server.agent(own)
            return say(peer, frame(records(peer.tls), kind=DATA))
        return attack

    def bare(tls):
        tls.ssl.write(body)
        return tls.outgoing.read()

    def flipped(tls):
        records = bytearray(tls.seal(body))
        records[-1] ^= 1
        return bytes(records)

    def farewell(tls):
        try:
            tls.ssl.unwrap()
        except ssl.SSLError:
            pass
        return tls.outgoing.read()

    def raw(payload):
        return lambda: say(server.agent(own), payload)
    attacks = {
        "no length": data(bare),
        "a length too small": data(lambda t: t.seal(body, len(body) - 1)),
        "a length too large": data(lambda t: t.seal(body, len(body) + 1)),
        "a length beyond all": data(lambda t: t.seal(body, 0xFFFFFFFF)),
        "no record": data(lambda t: b""),
        "a length alone": data(lambda t: t.seal(body)[:33]),
        "a record cut short": data(lambda t: t.seal(body)[:-1]),
        "a record and a half": data(lambda t: t.seal(body) + b"\x17\x03\x03\0\x20"),
        "two messages": data(lambda t: t.seal(body) + t.seal(body)),
        "a bit": data(flipped),
        "a farewell": data(farewell),
        "a farewell behind a message": data(lambda t: t.seal(body) + farewell(t)),
        "a handshake": data(lambda t: trustlib.Tls(tls_context()).step()),
        "what is no record": data(lambda t: b"GET / HTTP/1.1\r\n\r\n"),
        "a wrong checksum": raw(frame(b"x" * 64, kind=DATA, crc=1)),
        "a wrong length of the frame": raw(frame(b"x" * 64, kind=DATA, length=63)),
        "another kind": raw(frame(b"", kind=9)),
        "what only servers say": raw(frame(b"", kind=trustlib.NEEDED)),
        "a later version": raw(frame(b"x", kind=DATA, version=2)),
        "too much": raw(frame(b"\x17\x03\x03\x40\0" * 900000, kind=DATA, crc=0)),
        "not ours": raw(b"HTTP/1.1 200 OK\r\n\r\n"),
    }
    with server.untouched():
        got = {what: answer_to(attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if a not in (NEEDED, DROPPED)} == {}, got
    assert got["a bit"] == got["two messages"] == NEEDED


def test_a_handshake_of_another_form_is_refused(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    with recorded() as full:
        server.agent(own)

    def hello():
        return trustlib.Tls(server.context(own)).step()

    def shaken(*flights):
        def attack():
            peer = wirelib.Peer(server.connect())
            return [say(peer, frame(f() if callable(f) else f, kind=HANDSHAKE)) for f in flights][-1]
        return attack
    cut = hello()
    attacks = {
        "nothing": shaken(b""),
        "half of it": shaken(cut[:100]),
        "its halves": shaken(cut[:100], cut[100:]),
        "a byte of it": shaken(cut[:1]),
        "more than it": shaken(lambda: hello() + b"x"),
        "two of them": shaken(lambda: hello() + hello()),
        "one after the other": shaken(hello, hello),
        "its end first": shaken(full.sent[1][16:]),
        "nothing behind it": shaken(hello, b""),
        "an alert": shaken(b"\x15\x03\x03\0\x02\x02\x28"),
        "an alert behind it": shaken(hello, b"\x15\x03\x03\0\x02\x01\0"),
        "a heartbeat": shaken(hello, b"\x18\x03\x03\0\x03\x01\x40\0"),
        "SSL 2": shaken(b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10" + b"x" * 37),
        "rubbish": shaken(b"x" * 16384),
        "more than fits": shaken(b"\x16\x03\x01\x40\0" * 4000),
        "data": shaken(hello, b"\x17\x03\x03\0\x10" + b"x" * 16),
        "records of nothing": shaken(b"\x16\x03\x03\0\0" * 3000),
    }
    with server.untouched():
        got = {what: answer_to(attack) for what, attack in attacks.items()}
    assert {w: a for w, a in got.items() if a not in (NEEDED, DROPPED, ALERT)} == {}
