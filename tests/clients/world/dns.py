"""A small authoritative DNS server: every name is this machine, and TXT records are files.

A TXT record is an empty file `<zone>/<name>/<value>`, so that the hook script of any client can publish one with
`mkdir` and `touch` and no two hooks ever write the same file. Every other type has no records, CAA among them.
"""

import socket
import socketserver
import struct
import threading

from world.ports import LOOPBACK, free_port

A, SOA, TXT, OPT, INTERNET = 1, 6, 16, 41, 1
HEADER = struct.Struct("!6H")
AUTHORITATIVE_ANSWER = 0x8400
RECURSION_DESIRED = 0x0100
RECURSION_AVAILABLE = 0x0080
QUESTION_NAME = b"\xc0\x0c"  # a pointer to the name of the question, which keeps the letter case it was asked in
UDP_PAYLOAD = 1232


class DnsServer:
    """Answers over UDP and TCP on one loopback port until it is closed."""

    def __init__(self, zone):
        self.port = free_port()
        address = (LOOPBACK, self.port)
        self._servers = [_Udp(address, _UdpQuery), _Tcp(address, _TcpQuery)]
        for server in self._servers:
            server.zone = zone
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"{LOOPBACK}:{self.port}"

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _UdpQuery(socketserver.BaseRequestHandler):
    def handle(self):
        query, reply_on = self.request
        reply_on.sendto(answer(query, self.server.zone), self.client_address)


class _TcpQuery(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            reply = answer(self.rfile.read(int.from_bytes(length, "big")), self.server.zone)
            self.wfile.write(len(reply).to_bytes(2, "big") + reply)


def answer(query, zone):
    """The reply to one query message."""
    identity, flags, _, _, _, additional = HEADER.unpack_from(query)
    name, end = _question_name(query)
    kind, _ = struct.unpack_from("!2H", query, end)
    question = query[HEADER.size : end + 4]
    records = _records(name, kind, zone)
    # Without an SOA record a resolver cannot tell "no such records" from a lame server (RFC 2308 section 2.2).
    authority = [] if records else [_soa()]
    options = [_opt()] if additional else []
    header = HEADER.pack(
        identity,
        AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | flags & RECURSION_DESIRED,
        1,
        len(records),
        len(authority),
        len(options),
    )
    return b"".join([header, question, *records, *authority, *options])


def _question_name(query):
    """The name asked for, in lower case, and the offset behind it."""
    labels, at = [], HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return ".".join(labels), at + 1


def _records(name, kind, zone):
    if kind == A:
        return [_record(QUESTION_NAME, A, socket.inet_aton(LOOPBACK))]
    if kind == TXT and (zone / name).is_dir():
        return [_record(QUESTION_NAME, TXT, _character_string(file.name)) for file in (zone / name).iterdir()]
    return []


def _record(owner, kind, value, ttl=0):
    return owner + struct.pack("!2HIH", kind, INTERNET, ttl, len(value)) + value


def _character_string(text):
    return bytes([len(text)]) + text.encode("ascii")


def _soa():
    root = b"\0"
    return _record(root, SOA, root + root + struct.pack("!5I", 1, 60, 60, 60, 0))


def _opt():
    """Says that EDNS is understood; the class field of an OPT record is the size of a UDP payload (RFC 6891)."""
    return b"\0" + struct.pack("!2HIH", OPT, UDP_PAYLOAD, 0, 0)
