"""A freshly started Chancery with a data directory of its own."""

import json
import queue
import ssl
import subprocess
import threading
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from world import toml
from world.ports import LOOPBACK, free_port
from world.process import environment, succeed
from world.report import Failure

REPOSITORY = Path(__file__).resolve().parents[3]
PEBBLE = REPOSITORY / "config" / "pebble.toml"
SHIPPED = REPOSITORY / "config" / "chancery.toml"

START_SECONDS = 60
STOP_SECONDS = 20


class Server:
    """Runs `chancery serve` with a shipped preset, moved to free ports, until it is stopped."""

    def __init__(self, binary, directory, resolver, http_port, tls_port, preset=PEBBLE):
        self.binary = binary
        self.data = directory / "data"
        self.log = directory / "server.log"
        port = free_port()
        self.listen = f"{LOOPBACK}:{port}"
        self.public_url = f"https://localhost:{port}"
        config = self._config(preset, resolver, http_port, tls_port)
        self.default_product = config["acme"]["default_product"]
        self._config_file = directory / "chancery.toml"
        self._config_file.write_text(toml.dumps(config))
        self._process = self._start()
        self.directory_url = self._ready_url()

    @property
    def root(self):
        """The trust anchor, both of the certificates issued and of the server's own HTTPS."""
        return self.data / "root.pem"

    def external_account(self, customer):
        """A fresh external account key: its `kid` and its `hmac_key` in base64url."""
        return self.key_of(self.customer(customer))

    def customer(self, name):
        """A new customer's id."""
        return self._command("customer", "create", "--name", name, "--kind", "individual")["id"]

    def key_of(self, customer):
        """A fresh external account key of a customer."""
        return self._command("eab", "create", f"--customer={customer}")

    def purchase(self, customer, product, names):
        """Has a customer buy certificates of so many names for a year."""
        return self._command("purchase", "create", f"--customer={customer}", "--product", product, "--names", names)

    def rest(self, method, path, body=None, token=None, kind="application/json"):
        """What the REST API answers: as the operator, unless a token says otherwise."""
        token = token or (self.data / "operator.token").read_text().strip()
        content = json.dumps(body).encode() if kind == "application/json" else body
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        request = urllib.request.Request(f"{self.public_url}/api/v1{path}", content, headers, method=method)
        trust = ssl.create_default_context(cafile=str(self.root))
        try:
            with urllib.request.urlopen(request, timeout=60, context=trust) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            raise Failure(f"{method} {path}: {refusal.code} {refusal.read().decode()}") from refusal

    def stops_when_told(self):
        """Demands a graceful end."""
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"the server still runs {STOP_SECONDS} s after it was told to stop") from late
        if code != 0:
            raise Failure(f"the server ended with exit code {code}\n{self.log.read_text()}")

    def crash(self):
        """Kills the server without warning and starts it again with what it left on disk."""
        self.kill()
        self._process = self._start()
        self._ready_url()

    def kill(self):
        """Ends the server in any case."""
        self._process.kill()
        self._process.wait()

    def logs_requests(self):
        """Demands an event for each request; without them the absence of faults says nothing."""
        if not any("status" in event for event in self._events()):
            raise Failure(f"there is no event of a request in the log\n{self.log.read_text()}")

    def has_no_faults_in_its_log(self):
        """Demands that nothing went wrong that is the server's own fault."""
        if faults := [str(event) for event in self._events() if _is_fault(event)]:
            raise Failure("\n".join(faults))

    def _events(self):
        return [_event(line) for line in self.log.read_text().split("\n") if line]

    def _config(self, preset, resolver, http_port, tls_port):
        config = tomllib.loads(preset.read_text())
        pki = f"{LOOPBACK}:{free_port()}"
        config.setdefault("server", {}).update(listen=self.listen, public_url=self.public_url)
        self.pki = f"http://{pki}"
        # A preset that names another host than this machine keeps it, and what is published there is fetched here.
        named = config.get("pki", {}).get("public_url", "http://localhost")
        config.setdefault("pki", {}).update(listen=pki, public_url=self.pki if "//localhost" in named else named)
        config.setdefault("monitor", {}).update(listen=f"{LOOPBACK}:{free_port()}")
        config.setdefault("validation", {}).update(
            resolvers=[resolver], http_port=http_port, tls_port=tls_port, allow_private_addresses=True
        )
        config["log"] = {"format": "json"}
        # The preset names its files relative to the repository; the copy lives elsewhere.
        config["catalog"] = {
            key: [str(REPOSITORY / each) for each in file] if isinstance(file, list) else str(REPOSITORY / file)
            for key, file in config.get("catalog", {}).items()
        }
        return config

    def _start(self):
        return subprocess.Popen(
            [self.binary, "serve", "--config", self._config_file, "--data-dir", self.data, "--listen", self.listen],
            env=environment(),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
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
            self.kill()
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
        remote = ["--server", self.public_url, "--data-dir", self.data, "--json"]
        finished = succeed(self.binary, *arguments, *remote, cwd=self.data, env=environment())
        return json.loads(finished.stdout)


def _event(line):
    """One line of the log; what is not JSON is the text of a panic."""
    try:
        return json.loads(line)
    except ValueError:
        return {"level": "ERROR", "message": line}


def _is_fault(event):
    """Whether the server is to blame: some clients give up at the first badNonce, so it counts too."""
    return event["level"] == "ERROR" or event.get("status", 0) >= 500 or event.get("error") == "badNonce"
