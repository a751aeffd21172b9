"""A peer of the server that says what a test wants it to: nng's framing, our frame, protobuf by hand."""
import os
import struct

REQ, SUB = 0x30, 0x21
SECOND = 10**9


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(body, magic=b"PMSH", version=1, length=None, crc=None, kind=0):
    return magic + struct.pack(">BBHII", version, kind, 0, len(body) if length is None else length,
                               crc32c(body) if crc is None else crc) + body


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """One field of a message: an int, text, bytes (of a message too), or a list of such."""
    if isinstance(value, list):
        return b"".join(field(number, v) for v in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(**fields):
    """message(_1=…, _10=…): the fields by number."""
    return b"".join(field(int(k[1:]), v) for k, v in fields.items())


def parsed(data):
    """{field number: [values]} of a message; what is itself a message stays bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        fields.setdefault(key >> 3, []).append(value)
    return fields


class Peer:
    """A connection to the server's link, as nng would make it."""

    def __init__(self, sock, protocol=REQ):
        self.sock, self.calls = sock, 0
        sock.sendall(b"\0SP\0" + struct.pack(">HH", protocol, 0))
        assert self._read(8)[:4] == b"\0SP\0"

    def _read(self, length):
        data = b""
        while len(data) < length:
            more = self.sock.recv(length - len(data))
            if not more:
                raise ConnectionError("the server ended the connection")
            data += more
        return data

    def receive(self):
        return self._read(struct.unpack(">Q", self._read(8))[0])

    def send(self, payload, length=None):
        self.calls += 1
        payload = struct.pack(">I", 0x80000000 | self.calls) + payload
        self.sock.sendall(struct.pack(">Q", len(payload) if length is None else length) + payload)

    def ask(self, body):
        """The answer to a request: the fields of a Reply."""
        self.send(frame(body))
        return parsed(self.receive()[4 + 16:])

    def close(self):
        self.sock.close()


class Agent(Peer):
    """An agent that does nothing by itself."""

    def __init__(self, sock, region, address, agent=None, boot=None):
        super().__init__(sock)
        self.region, self.address = region, address
        self.agent, self.boot = agent or os.urandom(16), boot or os.urandom(16)

    def call(self, **fields):
        return self.ask(message(_1=1, _2=self.agent, _3=self.boot, **fields))

    def hello(self):
        """(status, message)"""
        reply = self.call(_10=message(_1=self.region, _2="1", _3="linux", _4="x86_64", _5=2,
                                      _6=[self.address], _7=SECOND, _8=SECOND // 2))
        return reply.get(3, [0])[0], reply.get(4, [b""])[0].decode()

    def entries(self, revision=0):
        """(revision, the fields of each entry of the plan, or None)"""
        reply = parsed(self.call(_11=message(_1=revision))[11][0])
        if 2 not in reply:
            return reply[1][0], None
        return reply[1][0], [parsed(e) for e in parsed(reply[2][0]).get(1, [])]

    def sync(self, revision=0):
        """(revision, {region: [targets]} or None)"""
        revision, entries = self.entries(revision)
        if entries is None:
            return revision, None
        return revision, {e[2][0].decode(): [t.decode() for t in e.get(3, [])] for e in entries}

    def urls(self):
        """{target: (the http block, the timeout in ns)} of the plan."""
        found = {}
        for e in self.entries()[1]:
            if e[1] == [2]:
                how = parsed(e[11][0])
                found.update({t.decode(): (how[1][0].decode(), how.get(2, [0])[0]) for t in e[3]})
        return found
