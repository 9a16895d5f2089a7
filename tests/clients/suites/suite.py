"""What the suites of all clients share."""

from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from world import certificate
from world.process import environment, run
from world.report import Failure
from world.stage import Stage

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
DOMAIN = "clients.test"


@dataclass
class Home:
    """A client's account and certificates on disk, and the stage it works on."""

    directory: Path
    stage: Stage

    def __post_init__(self):
        self.directory.mkdir(parents=True, exist_ok=True)


class Suite:
    """A client's checks. Each is a method named as the sentence it proves; `steps` lists them in their order."""

    name = ""
    # The tools of `world.tools` that the suite runs.
    uses = ()
    steps = ()
    # Whether it plays with the documented products instead of those that take everything.
    buys = False

    def __init__(self, served, bare, directory, tools):
        self.tools = tools
        self.main = Home(directory / "main", served)
        # Another server, whose validation ports are free for a client that answers challenges itself.
        self.alone = Home(directory / "alone", bare)
        # A second account with the first server.
        self.bound = Home(directory / "bound", served)

    def play(self, report):
        """Takes every step, also after one has failed: they say more together than the first alone."""
        for step in self.steps:
            report.check(self.name, step, self)

    def command(self, home):
        """The program and the arguments that every call of it has."""
        raise NotImplementedError

    def variables(self, home):
        """The environment variables by which the client trusts the server, and others it needs."""
        raise NotImplementedError

    def log(self, home):
        """The file to which the client appends its log, if it keeps one."""
        return None

    def do(self, *arguments, home=None, expected=0, **variables):
        """The finished client, which must end with the `expected` exit code."""
        finished = self._run(arguments, home or self.main, variables)
        if finished.code != expected:
            raise finished.explained(f"exit code {finished.code}, not {expected}")
        return finished

    def refused(self, *arguments, because, home=None, **variables):
        """The client must fail, and say why, on the terminal or in its log, in the server's words."""
        finished = self._run(arguments, home or self.main, variables)
        if finished.code == 0:
            raise finished.explained("this was expected to be refused")
        if because.lower() not in (finished.output + finished.log).lower():
            raise finished.explained(f"the refusal does not say {because!r}")

    def host(self, label):
        """A name of this client's own, so that no two clients share an authorization."""
        return f"{self.name}-{label}.{DOMAIN}"

    def hosts(self, label):
        return [self.host(label), f"www.{self.host(label)}"]

    def wildcard(self, label):
        return [self.host(label), f"*.{self.host(label)}"]

    def verify(self, chain, names, key=None, home=None):
        certificate.verify(chain, names, (home or self.main).stage.server.root, key)

    def verify_revoked(self, chain):
        certificate.verify_revoked(chain, self.main.stage.server.root)

    def _run(self, arguments, home, variables):
        hooks = {"ZONE": home.stage.zone, "WEBROOT": home.stage.webroot, "CHALLENGES": home.stage.challenges}
        env = environment(**{"HOME": home.directory, **hooks, **self.variables(home), **variables})
        with appended(self.log(home)) as written:
            finished = run(*self.command(home), *arguments, env=env, cwd=home.directory)
        finished.log = written.getvalue()
        return finished


@contextmanager
def appended(file):
    """Yields a text buffer that in the end holds what was appended to `file` meanwhile."""
    before = file.stat().st_size if file and file.exists() else 0
    written = StringIO()
    yield written
    if file:
        written.write(file.read_bytes()[before:].decode())


@contextmanager
def replaced(chain):
    """Demands that the work done inside puts another certificate in the place of the one in `chain`."""
    before = certificate.serial(chain)
    yield
    if certificate.serial(chain) == before:
        raise Failure(f"{chain} still holds the certificate it held before")


@contextmanager
def kept(chain):
    """Demands that the work done inside leaves the certificate in `chain` alone."""
    before = certificate.serial(chain)
    yield
    if certificate.serial(chain) != before:
        raise Failure(f"{chain} holds another certificate, though the one before was fresh")
