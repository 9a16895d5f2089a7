"""Free loopback ports."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel picks the local ports of outgoing connections: a port that is free now is
# still free when the process it is meant for comes up.
FIRST, LAST = 20000, 32000


def free_port():
    """A port that neither TCP nor UDP uses on the loopback address."""
    for port in random.sample(range(FIRST, LAST), 200):
        if all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def _is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
