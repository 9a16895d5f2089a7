"""Runs one command to its end and keeps what it said."""

import os
import shlex
import subprocess
from dataclasses import dataclass

from world.report import Failure

# A client that has not finished by now is polling for something that will not come.
PATIENCE_SECONDS = 90

PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"}


@dataclass
class Finished:
    """A command that ran: its exit code, its output, and what it wrote to a log file meanwhile."""

    command: list
    code: int
    stdout: str
    stderr: str
    log: str = ""

    @property
    def output(self):
        return self.stdout + self.stderr

    def explained(self, why):
        """A failure that shows the command and all it printed."""
        return Failure(f"{why}\n$ {shlex.join(self.command)}\n{self.output}")


def environment(**variables):
    """This process's environment with the given variables, without proxies: the only traffic is over loopback."""
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in PROXY_VARIABLES}
    return {**inherited, "LC_ALL": "C.UTF-8", **{name: str(value) for name, value in variables.items()}}


def run(*command, env=None, cwd=None, stdin=None, timeout=PATIENCE_SECONDS):
    """The finished command, whatever its exit code."""
    command = [str(argument) for argument in command]
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as late:
        said = b"".join(stream or b"" for stream in (late.stdout, late.stderr)).decode(errors="replace")
        raise Failure(f"not finished after {timeout} s\n$ {shlex.join(command)}\n{said}") from late
    return Finished(command, done.returncode, done.stdout, done.stderr)


def succeed(*command, **options):
    """The finished command, which must have exited with 0."""
    finished = run(*command, **options)
    if finished.code != 0:
        raise finished.explained(f"exit code {finished.code}")
    return finished
