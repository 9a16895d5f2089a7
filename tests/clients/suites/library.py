"""ACME libraries without a command line: each has a small program here, and the programs take the same commands."""

from suites.suite import DOMAIN, PROGRAMS, Suite, replaced


class Library(Suite):
    def registers_an_account(self):
        self.do("register", f"first@{DOMAIN}")

    def changes_the_contact_of_the_account(self):
        self.do("contact", f"second@{DOMAIN}")

    def issues_two_names_by_http_01(self):
        self.obtain("http", self.hosts("http"))

    def issues_by_dns_01(self):
        self.obtain("dns", self.hosts("dns"), "--challenge", "dns-01")

    def issues_a_wildcard_by_dns_01(self):
        self.obtain("wild", self.wildcard("wild"), "--challenge", "dns-01")

    def issues_for_an_ip_address(self):
        self.obtain("address", ["127.0.0.1"])

    def issues_for_an_rsa_key(self):
        self.obtain("rsa", [self.host("rsa")], "--rsa")

    def renews(self):
        with replaced(self.chain("http")):
            self.obtain("http", self.hosts("http"))

    def changes_the_key_of_the_account(self):
        self.do("rollover")
        self.obtain("rollover", [self.host("rollover")])

    def shows_why_a_validation_failed(self):
        nowhere = self.main.directory / "nowhere"
        nowhere.mkdir()
        arguments = ["issue", "--output", nowhere, self.host("absent")]
        # acme-client passes on the detail of the problem without its type.
        self.refused(*arguments, because=self.host("absent"), CHALLENGES=nowhere)

    def revokes(self):
        self.do("revoke", self.chain("http"))
        self.verify_revoked(self.chain("http"))

    def is_told_that_a_certificate_is_revoked_already(self):
        self.refused("revoke", self.chain("http"), because="already revoked")

    def binds_an_account_to_a_customer(self):
        bound = self.main.stage.server.external_account(f"{self.name} customer")
        binding = [f"--kid={bound['kid']}", f"--hmac-key={bound['hmac_key']}"]
        self.do("register", f"bound@{DOMAIN}", *binding, home=self.bound)
        self.obtain("bound", [self.host("bound")], home=self.bound)

    def issues_by_tls_alpn_01(self):
        with self.alone.stage.turn:
            self.do("register", f"alone@{DOMAIN}", home=self.alone)
            self.obtain("tls", [self.host("tls")], "--challenge", "tls-alpn-01", home=self.alone)

    def deactivates_the_account(self):
        self.do("deactivate")
        arguments = ["issue", "--output", self.main.directory, self.host("late")]
        self.refused(*arguments, because="deactivated")

    def variables(self, home):
        return {"DIRECTORY_URL": home.stage.server.directory_url, "TLS_PORT": home.stage.tls_port}

    def obtain(self, label, names, *options, home=None):
        """Issues and looks at the certificate."""
        chain = self.chain(label, home)
        self.do("issue", "--output", chain.parent, *options, *names, home=home)
        self.verify(chain, names, chain.with_name("key.pem"), home)

    def chain(self, label, home=None):
        return (home or self.main).directory / label / "chain.pem"


class AcmeClient(Library):
    """acme-client, the library of Node.js."""

    name = "acme-client"
    uses = ("node", "npm", "acme-client")

    def command(self, home):
        return [self.tools["node"], PROGRAMS / "acme_client.cjs"]

    def variables(self, home):
        trust = {"NODE_EXTRA_CA_CERTS": home.stage.server.root}
        return {**super().variables(home), **trust, "NODE_PATH": self.tools["acme-client"]}

    steps = (
        Library.registers_an_account,
        Library.changes_the_contact_of_the_account,
        Library.issues_two_names_by_http_01,
        Library.issues_for_an_rsa_key,
        Library.issues_by_dns_01,
        Library.issues_a_wildcard_by_dns_01,
        Library.issues_for_an_ip_address,
        Library.renews,
        Library.changes_the_key_of_the_account,
        Library.shows_why_a_validation_failed,
        Library.revokes,
        Library.is_told_that_a_certificate_is_revoked_already,
        Library.binds_an_account_to_a_customer,
        Library.issues_by_tls_alpn_01,
        Library.deactivates_the_account,
    )


class InstantAcme(Library):
    """instant-acme, the library of Rust."""

    name = "instant-acme"
    uses = ("instant-acme",)

    def command(self, home):
        return [self.tools["instant-acme"]]

    def variables(self, home):
        return {**super().variables(home), "ROOT": home.stage.server.root}

    def issues_from_a_profile(self):
        profile = ["--profile", self.main.stage.server.default_product]
        self.obtain("profile", [self.host("profile")], *profile)

    def is_told_that_a_profile_is_unknown(self):
        arguments = ["--output", self.main.directory, "--profile", "no-such-profile", self.host("profile")]
        self.refused("issue", *arguments, because="invalidProfile")

    def replaces_a_certificate_when_the_server_suggests(self):
        said = self.do("renewal", self.chain("profile"))
        if "renew between" not in said.output:
            raise said.explained("there is no suggested window")
        with replaced(self.chain("profile")):
            self.obtain("profile", [self.host("profile")], "--replaces", self.chain("profile"))

    steps = (
        Library.registers_an_account,
        Library.changes_the_contact_of_the_account,
        Library.issues_two_names_by_http_01,
        Library.issues_by_dns_01,
        Library.issues_a_wildcard_by_dns_01,
        Library.issues_for_an_ip_address,
        Library.renews,
        issues_from_a_profile,
        is_told_that_a_profile_is_unknown,
        replaces_a_certificate_when_the_server_suggests,
        Library.changes_the_key_of_the_account,
        Library.shows_why_a_validation_failed,
        Library.revokes,
        Library.is_told_that_a_certificate_is_revoked_already,
        Library.binds_an_account_to_a_customer,
        Library.issues_by_tls_alpn_01,
        Library.deactivates_the_account,
    )
