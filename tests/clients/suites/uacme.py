"""uacme, a client in C that checks every answer of the server closely."""

import subprocess
import time
from contextlib import contextmanager

from suites.suite import DOMAIN, PROGRAMS, Suite, kept, replaced
from world import certificate
from world.process import environment
from world.report import Failure

# uacme's exit code for a certificate that needs no renewal yet.
STILL_CURRENT = 1

SYSTEM_TRUST = "/etc/ssl/certs/ca-certificates.crt"


class Uacme(Suite):
    name = "uacme"
    uses = ("uacme", "ualpn", "unshare")

    def command(self, home):
        # Debian's uacme trusts the system's certificates and nothing else. In a mount namespace of its own, that file
        # is the server's root.
        trust = f'mount --bind "$0" {SYSTEM_TRUST} && exec "$@"'
        namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", trust, home.stage.server.root]
        account = ["--acme-url", home.stage.server.directory_url, "--confdir", home.directory, "--yes", "--verbose"]
        return [*namespace, self.tools["uacme"], *account, "--type", "EC", "--hook", PROGRAMS / "uacme-hook"]

    def variables(self, home):
        return {"CHALLENGE": "http-01"}

    def registers_an_account(self):
        self.do("new", f"first@{DOMAIN}")

    def changes_the_contact_of_the_account(self):
        self.do("update", f"second@{DOMAIN}")

    def issues_two_names_by_http_01(self):
        self.obtain(self.hosts("http"))

    def issues_for_an_rsa_key(self):
        self.obtain([self.host("rsa")], "--type", "RSA", "--bits", "2048")

    def issues_by_dns_01(self):
        self.obtain(self.hosts("dns"), CHALLENGE="dns-01")

    def issues_a_wildcard_by_dns_01(self):
        self.obtain(self.wildcard("wild"), CHALLENGE="dns-01")

    def issues_for_an_ip_address(self):
        self.obtain(["127.0.0.1"])

    def issues_for_a_certificate_signing_request(self):
        names = self.hosts("csr")
        _, request = certificate.key_and_request(self.main.directory, names)
        self.do("issue", request)
        self.verify(request.with_name("request-cert.pem"), names)

    def leaves_a_fresh_certificate_alone(self):
        names = self.hosts("http")
        with kept(self.chain(names[0])):
            self.do("issue", *names, expected=STILL_CURRENT)

    def renews_with_the_same_key(self):
        names = self.hosts("http")
        with replaced(self.chain(names[0])):
            self.obtain(names, "--force")

    def changes_the_key_of_the_account(self):
        self.do("newkey")
        self.obtain([self.host("newkey")])

    def shows_why_a_validation_failed(self):
        nowhere = self.main.directory / "nowhere"
        nowhere.mkdir()
        because = "urn:ietf:params:acme:error:incorrectResponse"
        self.refused("issue", self.host("absent"), because=because, CHALLENGES=nowhere)

    def revokes_with_the_account_key(self):
        self.do("--reason", "4", "revoke", self.copied(self.host("http")))
        self.verify_revoked(self.chain(self.host("http")))

    def is_told_that_a_certificate_is_revoked_already(self):
        self.refused("revoke", self.copied(self.host("http")), because="already revoked")

    def revokes_with_the_certificate_key(self):
        name = self.host("dns")
        key = self.main.directory / "private" / name / "key.pem"
        self.do("revoke", self.copied(name), key)
        self.verify_revoked(self.chain(name))

    def binds_an_account_to_a_customer(self):
        bound = self.main.stage.server.external_account(f"{self.name} customer")
        self.do("--eab", f"{bound['kid']}:{bound['hmac_key']}", "new", home=self.bound)
        self.obtain([self.host("bound")], home=self.bound)

    def issues_by_tls_alpn_01(self):
        with self.alone.stage.turn, self.ualpn() as socket:
            self.do("new", home=self.alone)
            self.obtain(self.hosts("tls"), home=self.alone, CHALLENGE="tls-alpn-01", UALPN=socket)

    def deactivates_the_account(self):
        self.do("deactivate")
        self.refused("issue", self.host("late"), because="deactivated")

    steps = (
        registers_an_account,
        changes_the_contact_of_the_account,
        issues_two_names_by_http_01,
        issues_for_an_rsa_key,
        issues_by_dns_01,
        issues_a_wildcard_by_dns_01,
        issues_for_an_ip_address,
        issues_for_a_certificate_signing_request,
        leaves_a_fresh_certificate_alone,
        renews_with_the_same_key,
        changes_the_key_of_the_account,
        shows_why_a_validation_failed,
        revokes_with_the_account_key,
        is_told_that_a_certificate_is_revoked_already,
        revokes_with_the_certificate_key,
        binds_an_account_to_a_customer,
        issues_by_tls_alpn_01,
        deactivates_the_account,
    )

    def obtain(self, names, *options, home=None, **variables):
        """Issues and looks at the certificate."""
        home = home or self.main
        self.do(*options, "issue", *names, home=home, **variables)
        key = home.directory / "private" / names[0] / "key.pem"
        self.verify(self.chain(names[0], home), names, key, home)

    def chain(self, name, home=None):
        return (home or self.main).directory / name / "cert.pem"

    def copied(self, name):
        """A copy of the certificate: uacme renames what it has revoked."""
        copy = self.main.directory / "to-revoke.pem"
        copy.write_bytes(self.chain(name).read_bytes())
        return copy

    @contextmanager
    def ualpn(self):
        """uacme's own tls-alpn-01 responder, listening on the validation port; yields its control socket."""
        socket = self.alone.directory / "ualpn.sock"
        listen = f"127.0.0.1@{self.alone.stage.tls_port}"
        # Other connections would be passed on to a web server; there are none, so any address will do.
        passed_on = "127.0.0.1@9"
        files = ["--sock", socket, "--pidfile", self.alone.directory / "ualpn.pid"]
        server = subprocess.Popen(
            [self.tools["ualpn"], "--bind", listen, "--connect", passed_on, *files],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await(socket)
            yield socket
        finally:
            server.terminate()
            server.wait()


def _await(socket, seconds=10):
    """Returns once the socket exists, which is when ualpn listens."""
    deadline = time.monotonic() + seconds
    while not socket.exists():
        if time.monotonic() > deadline:
            raise Failure(f"ualpn did not create {socket} within {seconds} s")
        time.sleep(0.02)
