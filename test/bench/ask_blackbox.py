#!/usr/bin/python3 -B
"""Lets a blackbox_exporter probe URL/0 … URL/999 in turn, over connections that stay, and prints the
CPU that its process took for each probe.

  ask_blackbox.py PORT PID MODULE URL COUNT RATE
"""
import os
import selectors
import socket
import sys
import time

PORT, PID, MODULE, URL, COUNT, RATE = sys.argv[1:]
CONNECTIONS = 64


def cpu_seconds():
    with open(f'/proc/{PID}/stat') as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def body_of(answer):
    """The body once it is there whole, else None."""
    head, _, rest = answer.partition(b'\r\n\r\n')
    head = head.lower()
    if b'content-length:' in head:
        length = int(head.split(b'content-length:')[1].split()[0])
        return rest if len(rest) >= length else None
    body = b''
    while rest:
        size, found, rest = rest.partition(b'\r\n')
        if not found:
            return None
        size = int(size, 16)
        if size == 0:
            return body
        body += rest[:size]
        rest = rest[size + 2:]
    return None


def run(count, rate):
    """(probes that succeeded, seconds)"""
    selector = selectors.DefaultSelector()
    idle, answers = [], {}
    for _ in range(CONNECTIONS):
        idle.append(socket.create_connection(('127.0.0.1', int(PORT))))
        selector.register(idle[-1], selectors.EVENT_READ)
    began = time.monotonic()
    started = ended = succeeded = 0
    while ended < count:
        due = began + started / rate
        now = time.monotonic()
        if started < count and idle and due <= now:
            connection = idle.pop()
            path = f'/probe?module={MODULE}&target={URL}/{started % 1000}'
            connection.sendall(f'GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n'.encode())
            answers[connection] = b''
            started += 1
            continue
        for key, _ in selector.select(due - now if started < count and idle else 1):
            answers[key.fileobj] += key.fileobj.recv(65536)
            body = body_of(answers[key.fileobj])
            if body is not None:
                ended += 1
                succeeded += b'\nprobe_success 1\n' in body
                idle.append(key.fileobj)
    return succeeded, time.monotonic() - began


def main():
    before = cpu_seconds()
    count = int(COUNT)
    succeeded, wall = run(count, float(RATE))
    print(f'cpu_us_per_probe {(cpu_seconds() - before) * 1e6 / count:.1f} succeeded {succeeded} '
          f'failed {count - succeeded} per_s {count / wall:.0f}')


main()
