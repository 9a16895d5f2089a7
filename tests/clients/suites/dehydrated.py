"""dehydrated, a shell script that takes the protocol literally."""

import shlex

from suites.suite import DOMAIN, PROGRAMS, Suite, kept, replaced
from world import certificate
from world.report import Failure
from world.tlsalpn import AlpnResponder


class Dehydrated(Suite):
    name = "dehydrated"
    uses = ("dehydrated", "curl")

    def command(self, home):
        return [self.tools["dehydrated"], "--config", self.config(home)]

    def variables(self, home):
        return {"CURL_CA_BUNDLE": home.stage.server.root}

    def registers_an_account(self):
        self.do("--register", "--accept-terms")

    def changes_the_contact_of_the_account(self):
        self.configure(self.main, CONTACT_EMAIL=f"second@{DOMAIN}")
        self.do("--account")
        (account,) = self.main.directory.glob("accounts/*/registration_info.json")
        if f"second@{DOMAIN}" not in account.read_text():
            raise Failure(f"the account does not show the new contact: {account.read_text()}")

    def issues_two_names_by_http_01(self):
        self.obtain(self.hosts("http"))

    def issues_for_an_rsa_key(self):
        self.obtain([self.host("rsa")], "--algo", "rsa")

    def issues_by_dns_01(self):
        self.obtain(self.hosts("dns"), *self.dns_hook())

    def issues_a_wildcard_by_dns_01(self):
        self.obtain(self.wildcard("wild"), *self.dns_hook())

    def issues_for_a_certificate_signing_request(self):
        names = self.hosts("csr")
        _, request = certificate.key_and_request(self.main.directory, names)
        chain = self.main.directory / "csr-chain.pem"
        chain.write_text(self.do("--signcsr", request, "--full-chain").stdout)
        self.verify(chain, names)

    def leaves_a_fresh_certificate_alone_on_cron(self):
        names = self.hosts("http")
        with kept(self.chain(names[0])):
            self.obtain(names)

    def renews(self):
        names = self.hosts("http")
        with replaced(self.chain(names[0])):
            self.obtain(names, "--force")

    def renews_with_the_same_key(self):
        names = self.hosts("http")
        self.configure(self.main, PRIVATE_KEY_RENEW="no")
        with replaced(self.chain(names[0])):
            self.obtain(names, "--force")

    def shows_why_a_validation_failed(self):
        name = self.host("absent")
        nowhere = self.main.directory / "nowhere"
        nowhere.mkdir()
        self.configure(self.main, WELLKNOWN=nowhere)
        self.refused("--cron", "--domain", name, because="urn:ietf:params:acme:error:incorrectResponse")
        self.configure(self.main)

    def revokes_with_the_account_key(self):
        self.do("--revoke", self.copied(self.host("http")))
        self.verify_revoked(self.chain(self.host("http")))

    def is_told_that_a_certificate_is_revoked_already(self):
        self.refused("--revoke", self.copied(self.host("http")), because="already revoked")

    def binds_an_account_to_a_customer(self):
        bound = self.main.stage.server.external_account(f"{self.name} customer")
        self.configure(self.bound, EAB_KID=bound["kid"], EAB_HMAC_KEY=bound["hmac_key"])
        self.do("--register", "--accept-terms", home=self.bound)
        self.obtain([self.host("bound")], home=self.bound)

    def issues_by_tls_alpn_01(self):
        stage = self.alone.stage
        certificates = self.alone.directory / "alpn"
        certificates.mkdir()
        with stage.turn, AlpnResponder(certificates, stage.tls_port):
            self.do("--register", "--accept-terms", home=self.alone)
            arguments = ["--challenge", "tls-alpn-01", "--alpn", certificates]
            self.obtain(self.hosts("tls"), *arguments, home=self.alone)

    def deactivates_the_account(self):
        self.do("--deactivate")
        self.refused("--cron", "--domain", self.host("late"), because="deactivated")

    steps = (
        registers_an_account,
        changes_the_contact_of_the_account,
        issues_two_names_by_http_01,
        issues_for_an_rsa_key,
        issues_by_dns_01,
        issues_a_wildcard_by_dns_01,
        issues_for_a_certificate_signing_request,
        leaves_a_fresh_certificate_alone_on_cron,
        renews,
        renews_with_the_same_key,
        shows_why_a_validation_failed,
        revokes_with_the_account_key,
        is_told_that_a_certificate_is_revoked_already,
        binds_an_account_to_a_customer,
        issues_by_tls_alpn_01,
        deactivates_the_account,
    )

    def obtain(self, names, *arguments, home=None):
        """Signs what is due and looks at the certificate."""
        home = home or self.main
        self.do("--cron", "--domain", " ".join(names), "--alias", names[0], *arguments, home=home)
        chain = self.chain(names[0], home)
        self.verify(chain, names, chain.with_name("privkey.pem"), home)

    def config(self, home):
        file = home.directory / "config"
        if not file.exists():
            self.configure(home)
        return file

    def configure(self, home, **changes):
        """Writes dehydrated's configuration file, which is a shell script of its own."""
        values = {
            "CA": home.stage.server.directory_url,
            "BASEDIR": home.directory,
            "WELLKNOWN": home.stage.challenges,
            "CONTACT_EMAIL": f"first@{DOMAIN}",
            "KEYSIZE": "2048",
            "KEY_ALGO": "prime256v1",
            **changes,
        }
        lines = (f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())
        (home.directory / "config").write_text("".join(lines))

    def chain(self, name, home=None):
        return (home or self.main).directory / "certs" / name / "fullchain.pem"

    def copied(self, name):
        """A copy of the leaf: dehydrated renames what it has revoked."""
        copy = self.main.directory / "to-revoke.pem"
        copy.write_bytes(self.chain(name).with_name("cert.pem").read_bytes())
        return copy

    def dns_hook(self):
        return ["--challenge", "dns-01", "--hook", PROGRAMS / "dehydrated-hook"]
