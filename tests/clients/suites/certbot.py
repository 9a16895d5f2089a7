"""certbot, by far the most used client: the version of Debian and the newest one of PyPI."""

import shutil

from suites.suite import DOMAIN, PROGRAMS, Suite, kept, replaced
from world import certificate


class Certbot(Suite):
    name = "certbot"
    uses = ("certbot",)

    def command(self, home):
        files = [f"--{kind}-dir={home.directory / kind}" for kind in ("config", "work", "logs")]
        server = home.stage.server.directory_url
        return [self.tools[self.uses[0]], *files, "--server", server, "--non-interactive", "--no-random-sleep-on-renew"]

    def variables(self, home):
        return {"REQUESTS_CA_BUNDLE": home.stage.server.root}

    def log(self, home):
        return home.directory / "logs" / "letsencrypt.log"

    def registers_an_account(self):
        self.do("register", "--agree-tos", "--no-eff-email", "--email", f"first@{DOMAIN}")

    def changes_the_contact_of_the_account(self):
        self.do("update_account", "--no-eff-email", "--email", f"second@{DOMAIN}")
        shown = self.do("show_account")
        if f"second@{DOMAIN}" not in shown.output:
            raise shown.explained("the account does not show the new contact")

    def issues_two_names_by_http_01(self):
        self.certonly("http", self.hosts("http"), *self.webroot())

    def issues_for_an_rsa_key(self):
        self.certonly("rsa", [self.host("rsa")], *self.webroot(), "--key-type", "rsa", "--rsa-key-size", "2048")

    def issues_a_wildcard_by_dns_01(self):
        self.certonly("dns", self.wildcard("dns"), *self.dns_hooks())

    def adds_a_name_to_a_certificate(self):
        self.certonly("http", [*self.hosts("http"), self.host("added")], *self.webroot(), "--expand")

    def issues_for_a_certificate_signing_request(self):
        names = self.hosts("csr")
        _, request = certificate.key_and_request(self.main.directory, names)
        chain = self.main.directory / "csr-chain.pem"
        self.do("certonly", "--csr", request, "--fullchain-path", chain, *self.webroot())
        self.verify(chain, names)

    def leaves_a_fresh_certificate_alone_on_renew(self):
        with kept(self.live("http")):
            self.do("renew")

    def renews(self):
        with replaced(self.live("http")):
            self.do("renew", "--cert-name", self.host("http"), "--force-renewal")
        self.verify(self.live("http"), [*self.hosts("http"), self.host("added")])

    def renews_with_the_same_key(self):
        with replaced(self.live("rsa")):
            self.do("renew", "--cert-name", self.host("rsa"), "--force-renewal", "--reuse-key")

    def shows_why_a_validation_failed(self):
        elsewhere = self.main.directory / "elsewhere"
        elsewhere.mkdir()
        name = self.host("absent")
        self.refused("certonly", "--webroot", "-w", elsewhere, "-d", name, because="Type:   incorrectResponse")

    def revokes_with_the_account_key(self):
        self.do(*self.revoke("http"), "--reason", "superseded")
        self.verify_revoked(self.live("http"))

    def is_told_that_a_certificate_is_revoked_already(self):
        self.refused(*self.revoke("http"), because="already revoked")

    def revokes_with_the_certificate_key(self):
        key = self.live("dns").with_name("privkey.pem")
        self.do(*self.revoke("dns"), "--key-path", key, "--reason", "keycompromise")
        self.verify_revoked(self.live("dns"))

    def binds_an_account_to_a_customer(self):
        bound = self.main.stage.server.external_account(f"{self.name} customer")
        binding = [f"--eab-kid={bound['kid']}", f"--eab-hmac-key={bound['hmac_key']}"]
        self.do("register", "--agree-tos", "--register-unsafely-without-email", *binding, home=self.bound)
        self.certonly("bound", [self.host("bound")], *self.webroot(), home=self.bound)

    def issues_standalone_by_http_01(self):
        stage = self.alone.stage
        answer = ["--standalone", "--http-01-address", "127.0.0.1", "--http-01-port", stage.http_port]
        account = ["--agree-tos", "--register-unsafely-without-email"]
        with stage.turn:
            self.certonly("alone", self.hosts("alone"), *answer, *account, home=self.alone)

    def deactivates_the_account(self):
        accounts = self.main.directory / "config" / "accounts"
        kept = shutil.copytree(accounts, self.main.directory / "accounts-before")
        self.do("unregister")
        shutil.copytree(kept, accounts, dirs_exist_ok=True)
        self.refused("certonly", *self.webroot(), "-d", self.host("late"), because="deactivated")

    steps = (
        registers_an_account,
        changes_the_contact_of_the_account,
        issues_two_names_by_http_01,
        issues_for_an_rsa_key,
        issues_a_wildcard_by_dns_01,
        adds_a_name_to_a_certificate,
        issues_for_a_certificate_signing_request,
        leaves_a_fresh_certificate_alone_on_renew,
        renews,
        renews_with_the_same_key,
        shows_why_a_validation_failed,
        revokes_with_the_account_key,
        is_told_that_a_certificate_is_revoked_already,
        revokes_with_the_certificate_key,
        binds_an_account_to_a_customer,
        issues_standalone_by_http_01,
        deactivates_the_account,
    )

    def certonly(self, label, names, *arguments, home=None):
        """Obtains the certificate of the lineage `label` and looks at it."""
        domains = [argument for name in names for argument in ("-d", name)]
        self.do("certonly", "--cert-name", self.host(label), *domains, *arguments, home=home)
        chain = self.live(label, home)
        self.verify(chain, names, chain.with_name("privkey.pem"), home)

    def live(self, label, home=None):
        return (home or self.main).directory / "config" / "live" / self.host(label) / "fullchain.pem"

    def webroot(self):
        return ["--webroot", "-w", self.main.stage.webroot]

    def dns_hooks(self):
        hook = PROGRAMS / "certbot-hook"
        hooks = ["--manual-auth-hook", f"{hook} publish", "--manual-cleanup-hook", f"{hook} withdraw"]
        return ["--manual", "--preferred-challenges", "dns", *hooks]

    def revoke(self, label):
        return ["revoke", "--cert-path", self.live(label).with_name("cert.pem"), "--no-delete-after-revoke"]


class NewestCertbot(Certbot):
    """The newest release also knows profiles, IP addresses and renewal information (RFC 9773)."""

    name = "certbot-newest"
    uses = ("newest certbot",)

    def issues_from_a_required_profile(self):
        profile = ["--required-profile", self.main.stage.server.default_product]
        self.certonly("profile", [self.host("profile")], *self.webroot(), *profile)

    def is_told_that_a_profile_is_unknown(self):
        arguments = [*self.webroot(), "--required-profile", "no-such-profile", "-d", self.host("profile")]
        self.refused("certonly", "--force-renewal", *arguments, because="invalidProfile")

    def issues_for_an_ip_address(self):
        self.do("certonly", "--cert-name", "address", *self.webroot(), "--ip-address", "127.0.0.1")
        chain = self.live("http").parents[1] / "address" / "fullchain.pem"
        self.verify(chain, ["127.0.0.1"], chain.with_name("privkey.pem"))

    def asks_when_to_renew(self):
        asked = self.do("renew", "--cert-name", self.host("profile"))
        if "suggestedWindow" not in asked.log:
            raise asked.explained("certbot did not obtain renewal information")

    steps = (
        *Certbot.steps[:-1],
        issues_from_a_required_profile,
        is_told_that_a_profile_is_unknown,
        asks_when_to_renew,
        issues_for_an_ip_address,
        Certbot.steps[-1],
    )
