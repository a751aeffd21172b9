#!/usr/bin/python3 -B
"""A name server for tests: answers from a table that can change while it runs.

  dns.py TABLE [ADDRESS [PORT]]

TABLE is a file, read anew when it changed; a line is one of
  NAME ADDRESS...    A and AAAA records; other types are empty
  NAME nxdomain      there is no such name (so are all names that are not in the table)
  NAME servfail      the server failed
  NAME refused       the server does not answer such questions
  NAME empty         the name has no address
  NAME garbage       what is no answer
  NAME silent        no answer at all
  NAME slow MS ADDRESS...   the answer comes after that many milliseconds
"""
import ipaddress
import os
import socket
import struct
import sys
import threading

TYPE_A, TYPE_AAAA, TTL = 1, 28, 1
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
CODES = {"nxdomain": NXDOMAIN, "servfail": SERVFAIL, "refused": REFUSED}


class Table:
    def __init__(self, path):
        self.path, self.stamp, self.names = path, None, {}

    def look_up(self, name):
        """The words after the name, or None."""
        status = os.stat(self.path)
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self.stamp:
            with open(self.path) as f:
                lines = [line.split() for line in f if line.strip() and line[0] != "#"]
            self.names = {words[0].lower().rstrip("."): words[1:] for words in lines}
            self.stamp = stamp
        return self.names.get(name.lower().rstrip("."))


def parse_question(query):
    """(name, type, end of the question section)"""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    kind, = struct.unpack("!H", query[at + 1:at + 3])
    return ".".join(labels), kind, at + 5


def answer(query, table):
    """(the response or None, the delay in seconds)"""
    name, kind, end = parse_question(query)
    words = table.look_up(name) or ["nxdomain"]
    delay = 0
    if words[0] == "silent":
        return None, 0
    if words[0] == "slow":
        delay, words = int(words[1]) / 1000, words[2:]
    if words[0] == "garbage":
        return query[:2] + b"\xff" * 30, 0
    code = CODES.get(words[0], NOERROR)
    records = []
    for word in words if words[0] not in CODES and words[0] != "empty" else []:
        address = ipaddress.ip_address(word)
        if kind == (TYPE_A if address.version == 4 else TYPE_AAAA):
            records.append(struct.pack("!HHHIH", 0xc00c, kind, 1, TTL, len(address.packed))
                           + address.packed)
    flags = 0x8480 | struct.unpack("!H", query[2:4])[0] & 0x0100 | code
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return header + query[12:end] + b"".join(records), delay


def main():
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    table = Table(sys.argv[1])
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, int(sys.argv[3]) if len(sys.argv) > 3 else 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        try:
            response, delay = answer(query, table)
        except (IndexError, struct.error):
            continue  # not a query: no server answers that
        if response and delay:
            threading.Timer(delay, server.sendto, (response, client)).start()
        elif response:
            server.sendto(response, client)


if __name__ == "__main__":
    main()
