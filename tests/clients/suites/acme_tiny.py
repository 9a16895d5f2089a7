"""acme-tiny, two hundred lines of Python that know http-01 and nothing more."""

from suites.suite import DOMAIN, Suite, replaced
from world import certificate
from world.process import succeed


class AcmeTiny(Suite):
    name = "acme-tiny"
    uses = ("acme-tiny",)

    def command(self, home):
        server = ["--directory-url", home.stage.server.directory_url]
        # Its own look at the challenge file would need the names in this machine's DNS.
        files = ["--account-key", self.account_key(home), "--disable-check"]
        return [self.tools["acme-tiny"], *server, *files]

    def variables(self, home):
        return {"SSL_CERT_FILE": home.stage.server.root}

    def issues_two_names_by_http_01(self):
        self.obtain(self.hosts("http"))

    def issues_for_an_rsa_key(self):
        self.obtain([self.host("rsa")], algorithm=certificate.RSA_2048)

    def issues_for_a_request_with_a_common_name_alone(self):
        name = self.host("common")
        self.prepare(name, [], subject=f"/CN={name}")
        self.sign([name])

    def issues_for_a_name_in_capitals(self):
        name = self.host("capitals")
        self.prepare(name, [name.upper()])
        self.sign([name])

    def renews_with_the_same_request(self):
        names = self.hosts("http")
        with replaced(self.chain(names[0])):
            self.sign(names)

    def registers_a_contact(self):
        request = self.request(self.host("http"))
        said = self.do(*self.challenge(), "--csr", request, "--contact", f"mailto:tiny@{DOMAIN}")
        if f"Updated contact details:\nmailto:tiny@{DOMAIN}" not in said.output:
            raise said.explained("the account does not show the contact")

    def shows_why_a_validation_failed(self):
        name = self.host("absent")
        nowhere = self.main.directory / "nowhere"
        nowhere.mkdir()
        self.prepare(name, [name])
        arguments = ["--acme-dir", nowhere, "--csr", self.request(name)]
        self.refused(*arguments, because="urn:ietf:params:acme:error:incorrectResponse")

    steps = (
        issues_two_names_by_http_01,
        issues_for_an_rsa_key,
        issues_for_a_request_with_a_common_name_alone,
        issues_for_a_name_in_capitals,
        renews_with_the_same_request,
        registers_a_contact,
        shows_why_a_validation_failed,
    )

    def obtain(self, names, **algorithm):
        """Makes a key and a request, has it signed, and looks at the certificate."""
        self.prepare(names[0], names, **algorithm)
        self.sign(names)

    def prepare(self, label, names, **contents):
        """Makes a key and a request in the directory `label`."""
        directory = self.main.directory / label
        directory.mkdir()
        certificate.key_and_request(directory, names, **contents)

    def sign(self, names):
        signed = self.do(*self.challenge(), "--csr", self.request(names[0]))
        chain = self.chain(names[0])
        chain.write_text(signed.stdout)
        self.verify(chain, names, chain.with_name("request.key"))

    def challenge(self):
        return ["--acme-dir", self.main.stage.challenges]

    def request(self, name):
        return self.main.directory / name / "request.pem"

    def chain(self, name):
        return self.main.directory / name / "chain.pem"

    def account_key(self, home):
        key = home.directory / "account.key"
        if not key.exists():
            succeed("openssl", "genrsa", "-out", key, "2048")
        return key
