"""The web server that every name of the tests leads to: it serves the files that clients put into one web root."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from world.ports import LOOPBACK


class WebServer:
    """Serves `root` on a port of this machine until it is closed."""

    def __init__(self, root, port, address=LOOPBACK):
        self._server = ThreadingHTTPServer((address, port), functools.partial(_SilentFiles, directory=str(root)))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _SilentFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """A line per challenge would drown the report."""
