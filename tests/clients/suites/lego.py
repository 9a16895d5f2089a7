"""lego, the client of the Go world: alone, and inside Traefik and many others."""

from suites.suite import DOMAIN, PROGRAMS, Suite, kept, replaced
from world import certificate


class Lego(Suite):
    name = "lego"
    uses = ("lego",)

    def command(self, home):
        account = ["--accept-tos", "--email", f"lego@{DOMAIN}", "--path", home.directory]
        return [self.tools["lego"], *account, "--server", home.stage.server.directory_url]

    def variables(self, home):
        trust = {"LEGO_CA_CERTIFICATES": home.stage.server.root}
        # By default lego waits a minute between two records.
        return {**trust, "EXEC_PATH": PROGRAMS / "lego-hook", "EXEC_SEQUENCE_INTERVAL": 0}

    def issues_two_names_by_http_01(self):
        self.obtain(self.hosts("http"), *self.webroot())

    def issues_for_an_rsa_key(self):
        self.obtain([self.host("rsa")], *self.webroot(), "--key-type", "rsa2048")

    def issues_for_a_p384_key(self):
        self.obtain([self.host("p384")], *self.webroot(), "--key-type", "ec384")

    def issues_by_dns_01(self):
        self.obtain(self.hosts("dns"), *self.dns_hook())

    def issues_a_wildcard_by_dns_01(self):
        self.obtain(self.wildcard("wild"), *self.dns_hook())

    def issues_for_an_internationalised_name(self):
        self.do("--domains", f"bücher.{DOMAIN}", *self.webroot(), "run")
        name = f"xn--bcher-kva.{DOMAIN}"
        self.verify(self.chain(name), [name])

    def is_refused_an_ip_address_that_it_sends_as_a_dns_name(self):
        because = "urn:ietf:params:acme:error:"
        self.refused(*self.webroot(), "--domains", "127.0.0.1", "run", because=because)

    def issues_for_a_certificate_signing_request(self):
        names = self.hosts("csr")
        _, request = certificate.key_and_request(self.main.directory, names)
        self.do(*self.webroot(), "--csr", request, "run")
        self.verify(self.chain(names[0]), names)

    def leaves_a_fresh_certificate_alone_on_renew(self):
        name = self.host("http")
        with kept(self.chain(name)):
            self.do("--domains", name, *self.webroot(), "renew", "--no-random-sleep")

    def renews(self):
        self.renew(self.hosts("http"), *self.webroot())

    def renews_with_the_same_key(self):
        self.renew(self.hosts("http"), *self.webroot(), reuse_key=True)

    def shows_why_a_validation_failed(self):
        name = self.host("absent")
        nowhere = self.main.directory / "nowhere"
        nowhere.mkdir()
        arguments = ["--http", "--http.webroot", nowhere, "--domains", name, "run"]
        self.refused(*arguments, because="urn:ietf:params:acme:error:incorrectResponse")

    def revokes(self):
        self.do("--domains", self.host("http"), "revoke", "--keep", "--reason", "4")
        self.verify_revoked(self.chain(self.host("http")))

    def is_told_that_a_certificate_is_revoked_already(self):
        self.refused("--domains", self.host("http"), "revoke", "--keep", because="already revoked")

    def binds_an_account_to_a_customer(self):
        bound = self.main.stage.server.external_account(f"{self.name} customer")
        binding = ["--eab", f"--kid={bound['kid']}", f"--hmac={bound['hmac_key']}"]
        self.obtain([self.host("bound")], *self.webroot(), *binding, home=self.bound)

    def issues_standalone_by_http_01(self):
        port = f"127.0.0.1:{self.alone.stage.http_port}"
        with self.alone.stage.turn:
            self.obtain(self.hosts("alone"), "--http", "--http.port", port, home=self.alone)

    def issues_by_tls_alpn_01(self):
        port = f"127.0.0.1:{self.alone.stage.tls_port}"
        with self.alone.stage.turn:
            self.obtain(self.hosts("tls"), "--tls", "--tls.port", port, home=self.alone)

    def renews_after_the_server_crashed(self):
        stage = self.alone.stage
        with stage.turn:
            stage.server.crash()
            answer = ["--tls", "--tls.port", f"127.0.0.1:{stage.tls_port}"]
            self.renew(self.hosts("tls"), *answer, home=self.alone)

    steps = (
        issues_two_names_by_http_01,
        issues_for_an_rsa_key,
        issues_for_a_p384_key,
        issues_by_dns_01,
        issues_a_wildcard_by_dns_01,
        issues_for_an_internationalised_name,
        is_refused_an_ip_address_that_it_sends_as_a_dns_name,
        issues_for_a_certificate_signing_request,
        leaves_a_fresh_certificate_alone_on_renew,
        renews,
        renews_with_the_same_key,
        shows_why_a_validation_failed,
        revokes,
        is_told_that_a_certificate_is_revoked_already,
        binds_an_account_to_a_customer,
        issues_standalone_by_http_01,
        issues_by_tls_alpn_01,
        renews_after_the_server_crashed,
    )

    def obtain(self, names, *arguments, home=None):
        """Runs lego for a first certificate and looks at it."""
        domains = [argument for name in names for argument in ("--domains", name)]
        self.do(*domains, *arguments, "run", home=home)
        chain = self.chain(names[0], home)
        self.verify(chain, names, chain.with_suffix(".key"), home)

    def renew(self, names, *arguments, home=None, reuse_key=False):
        """Renews at once, whatever the certificate's age, and looks at the new one."""
        domains = [argument for name in names for argument in ("--domains", name)]
        options = ["--days", "9999", "--no-random-sleep", *(["--reuse-key"] if reuse_key else [])]
        chain = self.chain(names[0], home)
        with replaced(chain):
            self.do(*domains, *arguments, "renew", *options, home=home)
        self.verify(chain, names, chain.with_suffix(".key"), home)

    def chain(self, name, home=None):
        return (home or self.main).directory / "certificates" / f"{name}.crt"

    def webroot(self):
        return ["--http", "--http.webroot", self.main.stage.webroot]

    def dns_hook(self):
        # The check that the record has spread asks the name servers of the zone, and no NS record leads to them here.
        return ["--dns", "exec", "--dns.resolvers", self.main.stage.resolver, "--dns.disable-cp"]
