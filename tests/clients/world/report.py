"""What was checked and how it went: one line per check, and the count at the end."""

import sys
import textwrap
import threading


class Failure(Exception):
    """A check that did not hold; its text is what a reader needs to see why."""


class Report:
    """Clients run at the same time, so a line and the output below it are printed in one go."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

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
