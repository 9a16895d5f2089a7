"""A freshly started Chancery with a data directory of its own."""

import json
import queue
import subprocess
import threading
import tomllib
from pathlib import Path

from world import toml
from world.ports import LOOPBACK, free_port
from world.process import environment, succeed
from world.report import Failure

REPOSITORY = Path(__file__).resolve().parents[3]
PRESET = REPOSITORY / "config" / "pebble.toml"

START_SECONDS = 60
STOP_SECONDS = 20


class Server:
    """Runs `chancery serve` with the shipped test preset, moved to free ports, until it is stopped."""

    def __init__(self, binary, directory, resolver, http_port, tls_port):
        self.binary = binary
        self.data = directory / "data"
        self.log = directory / "server.log"
        self.listen = f"{LOOPBACK}:{free_port()}"
        config = self._config(resolver, http_port, tls_port)
        self.default_product = config["acme"]["default_product"]
        file = directory / "chancery.toml"
        file.write_text(toml.dumps(config))
        self._process = self._start(file)
        self.directory_url = self._ready_url()

    @property
    def root(self):
        """The trust anchor, both of the certificates issued and of the server's own HTTPS."""
        return self.data / "root.pem"

    def external_account(self, customer):
        """A fresh external account key: its `kid` and its `hmac_key` in base64url."""
        made = self._command("customer", "create", "--name", customer, "--kind", "individual")
        return self._command("eab", "create", "--customer", made["id"])

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _config(self, resolver, http_port, tls_port):
        config = tomllib.loads(PRESET.read_text())
        port = self.listen.rpartition(":")[2]
        pki = f"{LOOPBACK}:{free_port()}"
        config.setdefault("server", {}).update(listen=self.listen, public_url=f"https://localhost:{port}")
        config.setdefault("pki", {}).update(listen=pki, public_url=f"http://{pki}")
        config.setdefault("monitor", {}).update(listen=f"{LOOPBACK}:{free_port()}")
        config.setdefault("validation", {}).update(
            resolvers=[resolver], http_port=http_port, tls_port=tls_port, allow_private_addresses=True
        )
        # The preset names its files relative to the repository; the copy lives elsewhere.
        config["catalog"] = {key: str(REPOSITORY / file) for key, file in config.get("catalog", {}).items()}
        return config

    def _start(self, config):
        return subprocess.Popen(
            [self.binary, "serve", "--config", config, "--data-dir", self.data, "--listen", self.listen],
            env=environment(),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
        )

    def _ready_url(self):
        """The directory URL, as soon as the server says that it accepts connections."""
        said = queue.Queue()
        threading.Thread(target=self._drain, args=(said,), daemon=True).start()
        try:
            url = said.get(timeout=START_SECONDS)
        except queue.Empty:
            url = None
        if url is None:
            self.stop()
            raise Failure(f"the server did not become ready\n{self.log.read_text()}")
        return url

    def _drain(self, said):
        """Reads standard output to its end, so that the server never waits for a reader."""
        for line in self._process.stdout:
            word, _, url = line.strip().partition(" ")
            if word == "ready":
                said.put(url)
        said.put(None)

    def _command(self, *arguments):
        """The record that one of the server's administration commands prints."""
        server = f"https://localhost:{self.listen.rpartition(':')[2]}"
        finished = succeed(self.binary, *arguments, "--json", "--server", server, cwd=self.data, env=environment())
        return json.loads(finished.stdout)
