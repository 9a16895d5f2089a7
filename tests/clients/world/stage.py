"""One server with the DNS and the web around it, for clients to play on."""

import threading

from world.dns import DnsServer
from world.ports import free_port
from world.server import PEBBLE, Server
from world.web import WebServer


class Stage:
    """`served` stages have a web server on the validation port; on the others the clients listen there themselves."""

    def __init__(self, name, binary, workplace, served, preset=PEBBLE):
        self.name = name
        directory = workplace / name
        self.zone = directory / "zone"
        self.webroot = directory / "webroot"
        self.challenges = self.webroot / ".well-known" / "acme-challenge"
        for each in (self.zone, self.challenges):
            each.mkdir(parents=True)
        self.http_port = free_port()
        self.tls_port = free_port()
        # A server looks at one port, so clients that answer there themselves take turns at it and at the server.
        self.turn = threading.Lock()
        self._dns = DnsServer(self.zone)
        self._web = WebServer(self.webroot, self.http_port) if served else None
        self.server = Server(binary, directory, self._dns.address, self.http_port, self.tls_port, preset)

    @property
    def resolver(self):
        return self._dns.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()
        self._dns.close()
        if self._web:
            self._web.close()
