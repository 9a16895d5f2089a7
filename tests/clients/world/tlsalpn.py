"""A tls-alpn-01 responder for clients that make the validation certificate and leave serving it to someone else."""

import socketserver
import ssl
import threading

from world.ports import LOOPBACK

PROTOCOL = "acme-tls/1"


class AlpnResponder:
    """Presents `<directory>/<name>.crt.pem` to whoever asks for `<name>`, the way dehydrated lays them out."""

    def __init__(self, directory, port):
        self._server = _Listener((LOOPBACK, port), _Handshake)
        self._server.directory = directory
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handshake(socketserver.BaseRequestHandler):
    def handle(self):
        context = _context()
        context.sni_callback = self._present
        try:
            # The handshake is the whole answer; no byte of the application protocol follows (RFC 8737 section 3).
            context.wrap_socket(self.request, server_side=True).close()
        except OSError:
            pass  # The validating server hangs up as soon as it has seen the certificate.

    def _present(self, connection, name, _):
        directory = self.server.directory
        context = _context()
        context.load_cert_chain(directory / f"{name}.crt.pem", directory / f"{name}.key.pem")
        connection.context = context


def _context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([PROTOCOL])
    return context
