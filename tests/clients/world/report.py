"""What was checked and how it went: one line per check, and the count at the end."""

import sys
import textwrap
import threading
import traceback


class Failure(Exception):
    """A check that did not hold; its text is what a reader needs to see why."""


class Report:
    """Clients run at the same time, so a line and the output below it are printed in one go."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

    def check(self, client, step, *arguments):
        """Takes a step that raises if something does not hold; its name is the sentence that is reported."""
        what = _sentence(step.__name__)
        try:
            step(*arguments)
        except (Failure, OSError) as failure:
            self.fail(client, what, str(failure))
        except Exception:  # A fault of the step itself must count too, and must not end the others.
            self.fail(client, what, traceback.format_exc())
        else:
            self.ok(client, what)

    def ok(self, client, what):
        with self._lock:
            self.passed += 1
            self._print(f"ok {client}: {what}")

    def fail(self, client, what, why):
        with self._lock:
            self.failed += 1
            self._print(f"FAIL {client}: {what}\n{textwrap.indent(why.rstrip(), '    ')}")

    def summary(self):
        self._print(f"{self.passed} passed, {self.failed} failed")

    def _print(self, text):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _sentence(name):
    """`issues_by_http_01` -> `issues by http-01`."""
    return name.replace("_01", "-01").replace("tls_alpn", "tls-alpn").replace("_", " ")
