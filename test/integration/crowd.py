"""A load generator: many agents of one process, each with a certificate and a connection of its own.

  crowd.py STATE COUNT ADDRESS... < commands

STATE is the server's state directory, with whose authority's key the certificates are made. The agents
come from the addresses in turn. Commands, each answered by one line of JSON:

  connect   every agent shakes hands (resuming its session when it has one) and says hello
  ask       every agent sends a call, and does not wait for the answer
  cut       all connections are ended at once, every other by a reset
"""
import json
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import trustlib  # noqa: E402
import wirelib  # noqa: E402

LINK = ("10.77.0.1", 6000)


class Member:
    """An agent that comes back."""

    def __init__(self, credentials, context, address):
        self.credentials, self.context, self.address = credentials, context, address
        self.session = self.peer = None

    def connect(self):
        sock = socket.create_connection(LINK, 20, (self.address, 0))
        self.peer = trustlib.TrustedAgent(sock, self.credentials, self.address, context=self.context,
                                          session=self.session, boot=self.credentials.agent)
        self.session = self.peer.session
        status, text = self.peer.hello()
        assert status == trustlib.OK, text

    def ask(self):
        body = wirelib.message(_1=1, _2=self.peer.agent, _3=self.peer.boot, _11=b"")
        self.peer.send(wirelib.frame(self.peer.tls.seal(body), kind=trustlib.DATA))

    def cut(self, reset):
        if reset:
            self.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.sock.close()


class Crowd:
    def __init__(self, state, count, addresses):
        authority, key = trustlib.Authority.of_server(state), trustlib.new_key()
        self.members = []
        for i in range(count):
            credentials = authority.agent(f"region-{i % 10}", key=key)
            context = trustlib.tls_context(credentials, authority.pem())
            self.members.append(Member(credentials, context, addresses[i % len(addresses)]))

    def connect(self):
        for member in self.members:
            member.connect()
        return {"resumed": sum(m.peer.resumed for m in self.members)}

    def ask(self):
        for member in self.members:
            member.ask()
        return {}

    def cut(self):
        for i, member in enumerate(self.members):
            member.cut(i % 2)
        return {}


def main(state, count, *addresses):
    crowd = Crowd(state, int(count), addresses)
    print(json.dumps({"members": len(crowd.members)}), flush=True)
    for line in sys.stdin:
        began = time.monotonic()
        done = getattr(crowd, line.strip())()
        print(json.dumps({**done, "seconds": round(time.monotonic() - began, 3)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
