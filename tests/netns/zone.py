"""A DNS server for one view of the world: what a JSON file says now, over UDP and TCP.

    zone.py ADDRESS FILE

The file is `{"name": {"A": "192.0.2.1", "CAA": "issuer"}}`; `*` is every other name. A name that lacks a type has no
such records. The file is read anew for each question, so that a view changes the moment the file does.
"""

import json
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path

A, SOA, OPT, CAA, INTERNET = 1, 6, 41, 257, 1
HEADER = struct.Struct("!6H")
AUTHORITATIVE_RECURSIVE = 0x8480
QUESTION_NAME = b"\xc0\x0c"  # a pointer to the name of the question


def answer(query, zone):
    """The reply to one query message."""
    identity, flags, _, _, _, additional = HEADER.unpack_from(query)
    labels, at = [], HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    view = json.loads(zone.read_text())
    known = view.get(".".join(labels), view.get("*", {}))
    answers = []
    if kind == A and "A" in known:
        answers.append(_record(QUESTION_NAME, A, socket.inet_aton(known["A"])))
    if kind == CAA and "CAA" in known:
        answers.append(_record(QUESTION_NAME, CAA, b"\0\x05issue" + known["CAA"].encode()))
    authority = [] if answers else [_record(b"\0", SOA, b"\0\0" + struct.pack("!5I", 1, 60, 60, 60, 0))]
    options = [b"\0" + struct.pack("!2HIH", OPT, 1232, 0, 0)] if additional else []
    header = HEADER.pack(
        identity, AUTHORITATIVE_RECURSIVE | flags & 0x0100, 1, len(answers), len(authority), len(options)
    )
    return b"".join([header, query[HEADER.size : at + 5], *answers, *authority, *options])


def _record(owner, kind, value):
    return owner + struct.pack("!2HIH", kind, INTERNET, 0, len(value)) + value


class _Udp(socketserver.BaseRequestHandler):
    def handle(self):
        query, reply_on = self.request
        reply_on.sendto(answer(query, self.server.zone), self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            reply = answer(self.rfile.read(int.from_bytes(length, "big")), self.server.zone)
            self.wfile.write(len(reply).to_bytes(2, "big") + reply)


def main():
    address, zone = sys.argv[1], Path(sys.argv[2])
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    udp = socketserver.ThreadingUDPServer((address, 53), _Udp)
    tcp = socketserver.ThreadingTCPServer((address, 53), _Tcp)
    for server in (udp, tcp):
        server.daemon_threads = True
        server.zone = zone
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    print("ready", flush=True)
    udp.serve_forever()


if __name__ == "__main__":
    main()
