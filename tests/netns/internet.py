"""A small internet: hosts that are network namespaces on one wire, and the processes that run on them.

Namespaces have names that no other run has. Everything that was started is ended by its process id, and every namespace
deleted, however the run ends.
"""

import os
import secrets
import subprocess
import sys
import threading
from contextlib import ExitStack
from queue import Empty, Queue

from world.process import environment, run, succeed
from world.report import Failure

PREFIX = "10.77.0."
START_SECONDS = 60
STOP_SECONDS = 20


def obstacle():
    """Why root can make no namespaces here; none if it can."""
    name = _unique("try")
    made = run("ip", "netns", "add", name)
    if made.code != 0:
        return f"network namespaces can't be made here: {made.output.strip()}"
    try:
        # A host runs commands and needs a wire, which not every machine that has namespaces gives.
        entered = run("ip", "netns", "exec", name, "true")
        wired = run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        bridged = run("ip", "-n", name, "link", "add", "bridge", "type", "bridge")
    finally:
        run("ip", "netns", "del", name)
    missing = [tried.output.strip() for tried in (entered, wired, bridged) if tried.code != 0]
    return f"there are namespaces, but no use of them: {' '.join(missing)}" if missing else None


class Internet(ExitStack):
    """The wire, and the hosts on it by name."""

    def __init__(self, workplace):
        super().__init__()
        self.workplace = workplace
        self.wire = None

    def __enter__(self):
        super().__enter__()
        self.wire = self._namespace("wire")
        self._ip("link", "add", "bridge", "type", "bridge")
        self._ip("link", "set", "bridge", "up")
        return self

    def host(self, name, number):
        """A new host at 10.77.0.`number`."""
        namespace = self._namespace(name)
        end = f"to-{name}"
        peer = ["type", "veth", "peer", "name", "eth0", "netns", namespace]
        self._ip("link", "add", end, *peer)
        self._ip("link", "set", end, "master", "bridge", "up")
        host = Host(self, name, namespace, f"{PREFIX}{number}")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            host.ip("link", "set", link, "up")
        return host

    def _ip(self, *arguments):
        succeed("ip", "-n", self.wire, *arguments)

    def _namespace(self, name):
        namespace = _unique(name)
        succeed("ip", "netns", "add", namespace)
        self.callback(run, "ip", "netns", "del", namespace)
        return namespace


class Host:
    """A network namespace with one address."""

    def __init__(self, internet, name, namespace, address):
        self.internet = internet
        self.name = name
        self.namespace = namespace
        self.address = address
        self.directory = internet.workplace / name
        self.directory.mkdir()

    def ip(self, *arguments):
        """`ip` as on this host."""
        return succeed("ip", "-n", self.namespace, *arguments)

    def command(self, *command):
        """What runs a command on this host; the process keeps its id."""
        return ["ip", "netns", "exec", self.namespace, *(str(word) for word in command)]

    def run(self, *command, **options):
        """The finished command."""
        return run(*self.command(*command), **options)

    def start(self, name, *command, **options):
        """A process that says `ready` when it is."""
        process = Process(self.directory / f"{name}.log", self.command(*command), **options)
        self.internet.callback(process.kill)
        process.wait_until_ready()
        return process

    @property
    def link_address(self):
        """Its MAC address."""
        said = self.ip("-brief", "link", "show", "dev", "eth0").stdout
        return said.split()[2]


class Process:
    """A process on a host; its standard error is its log."""

    def __init__(self, log, command, cwd=None):
        self.log = log
        self._said = Queue()
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                command,
                env=environment(),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_until_ready(self):
        """What it says behind `ready`."""
        try:
            line = self._said.get(timeout=START_SECONDS)
        except Empty:
            line = None
        if line is None:
            self.kill()
            raise Failure(f"not ready: {self.log}\n{self.log.read_text()}")
        return line

    def stop(self):
        """Demands a graceful end."""
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"it runs on after it was told to stop: {self.log}") from late
        if code != 0:
            raise Failure(f"exit code {code}: {self.log}\n{self.log.read_text()}")

    def kill(self):
        """Its end in any case."""
        self._process.kill()
        self._process.wait()

    def _listen(self):
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "ready":
                self._said.put(rest)
        self._said.put(None)


def _unique(name):
    return f"chancery-{name}-{os.getpid()}-{secrets.token_hex(3)}"
