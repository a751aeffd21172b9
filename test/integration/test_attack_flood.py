"""Attacks by number: handshakes that are never ended, connections that say nothing, calls without end."""
import socket
import time

import pytest
import wirelib
from attacklib import LINK, NEEDED, AttackedServer, answer_to, say
from lablib import in_namespace, wait_until
from meshlib import total
from trustlib import HANDSHAKE, Joiner, Tls, certificate_request, new_key
from wirelib import frame

pytestmark = pytest.mark.address
PER_ADDRESS, IN_ALL = 16, 256


def from_address(server, address):
    """A connection from one of the client's many addresses."""
    netns = server.lab.hosts["client"].netns
    connection = in_namespace(netns, lambda: socket.create_connection(LINK, 10, (address, 0)))
    server.opened.append(connection)
    return connection


def half_open(server, context, connection):
    """What a handshake that goes no further is answered with: NEEDED, or its flight."""
    answer = answer_to(lambda: say(wirelib.Peer(connection), frame(Tls(context).step(), kind=HANDSHAKE)))
    return answer if answer == NEEDED else answer[0]


def test_half_open_handshakes_are_few_of_an_address_and_keep_no_other_out(lab):
    server = AttackedServer(lab)
    context = server.context(server.authority.agent("elsewhere"))
    with server.untouched():
        got = [half_open(server, context, server.connect()) for _ in range(PER_ADDRESS + 8)]
        assert got == [HANDSHAKE] * PER_ADDRESS + [NEEDED] * 8
        assert answer_to(lambda: Joiner(server.connect())) == NEEDED
        began = time.monotonic()
        server.agent(server.authority.agent("home"), "home")
        assert server.member.hello() == (0, "")
        assert time.monotonic() - began < 3


def test_half_open_handshakes_of_many_addresses_are_over_in_time(lab):
    server = AttackedServer(lab)
    lab.add_prefix("client", "10.78.0.0/24")
    context = server.context(server.authority.agent("elsewhere"))
    with server.untouched():
        began = time.monotonic()
        got = [half_open(server, context, from_address(server, f"10.78.0.{1 + i // PER_ADDRESS}"))
               for i in range(IN_ALL + 16)]
        took = time.monotonic() - began
        assert got.count(HANDSHAKE) >= IN_ALL
        if took < 4:  # none of the first has timed out yet
            assert got == [HANDSHAKE] * IN_ALL + [NEEDED] * 16
        assert server.member.hello() == (0, ""), "who has a session needs no place"
        newcomer = server.authority.agent("home")
        wait_until(lambda: answer_to(lambda: server.agent(newcomer, "home")) != NEEDED, 10,
                   "a newcomer's turn", pause=0.2)


def test_floods_keep_no_member_out(lab):
    server = AttackedServer(lab)
    own = server.authority.agent("elsewhere")
    server.greeted(server.agent(own))
    limit = 2 * 64 + 16
    request = certificate_request(new_key())

    def silent():
        server.connect()

    def greeted():
        wirelib.Peer(server.connect())

    def greeted_halfway():
        server.connect().sendall(b"\0SP\0\0\x30")

    def promised():
        peer = wirelib.Peer(server.connect())
        peer.send(b"", 4 << 20)

    def many_calls():
        peer = server.agent(own)
        for _ in range(200):
            peer.send(frame(b"x" * 100, kind=2))

    def many_joins():
        peer = Joiner(server.connect())
        for _ in range(20):
            peer.join(b"x" * 16, request)

    def many_plain_calls():
        peer = wirelib.Agent(server.connect(), "plain", "10.77.1.1")
        for _ in range(50):
            peer.call(_11=b"")
    floods = ((silent, limit), (greeted, 60), (greeted_halfway, 60), (promised, 40), (many_calls, 10),
              (many_joins, 3), (many_plain_calls, 5))
    with server.untouched():
        for flood, times in floods:
            for _ in range(times):
                answer_to(flood)
            began = time.monotonic()
            assert server.member.hello() == (0, ""), flood
            assert time.monotonic() - began < 2, flood
            server.hang_up()
        wait_until(lambda: total(server.metrics(), "prober_server_joins_total", result="refused") == 60,
                   10, "60 joins to be counted as refused")
