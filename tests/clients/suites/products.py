"""The documented products, as certbot and lego meet them: refusals in the rules' words, and what a purchase opens.

Both play on the server with `config/chancery.toml` as it is shipped. The names have no part that the security review looks
for, unlike those of the other suites.
"""

from suites.certbot import Certbot
from suites.lego import Lego
from world import certificate
from world.report import Failure

MULTI = "trustasia-dv-multi"
QUOTA = 20


class Buyer:
    """What either client must be refused and granted; a client's own class says how it asks."""

    buys = True
    # The primary domain of all its names.
    zone = ""

    def order(self, names, home):
        """The arguments that order a certificate for these names by http-01."""
        raise NotImplementedError

    def denied(self, names, *because):
        """The order must be refused in these words."""
        for words in because:
            self.refused(*self.order(names, self.main), because=words)

    def named(self, *labels):
        return [f"{label}.{self.zone}" for label in labels]

    def is_refused_a_second_name_on_a_free_product(self):
        self.denied(self.named("a", "b"), "a free certificate covers one ordinary name", MULTI)

    def is_refused_a_wildcard_on_a_free_product(self):
        self.denied([f"*.{self.zone}"], "is a wildcard name. Buy a paid product for wildcard", "trustasia-dv-wildcard")

    def is_refused_a_sensitive_word(self):
        self.denied(self.named("pay"), "Refused by the CA's security check: the name contains")

    def is_refused_a_suffix_that_nobody_sells(self):
        self.denied(["buecher.ru"], ".ru names cannot be bound")

    def gets_twenty_free_certificates_and_not_one_more(self):
        for number in range(QUOTA):
            self.do(*self.order(self.named(f"n{number}"), self.main))
        self.denied(self.named("one-more"), "20 of 20 free certificates")

    def gets_several_names_for_a_purchase(self):
        server = self.bound.stage.server
        customer = server.customer(f"{self.name} customer")
        server.purchase(customer, MULTI, 2)
        self.bind(server.key_of(customer))
        names = [f"shop.{self.other}", f"mail.{self.other}"]
        chain = self.bought(names)
        self.verify(chain, names, home=self.bound)

    def bind(self, key):
        """Registers an account that is bound to a customer by this key."""
        raise NotImplementedError

    def bought(self, names):
        """The chain of the certificate that is ordered with the bound account."""
        raise NotImplementedError

    steps = (
        is_refused_a_second_name_on_a_free_product,
        is_refused_a_wildcard_on_a_free_product,
        is_refused_a_sensitive_word,
        is_refused_a_suffix_that_nobody_sells,
        gets_twenty_free_certificates_and_not_one_more,
        gets_several_names_for_a_purchase,
    )


class CertbotBuys(Buyer, Certbot):
    name = "certbot-products"
    zone = "certbot-zone.cn"
    other = "certbot-goods.cn"

    def registers_an_account(self):
        self.do("register", "--agree-tos", "--register-unsafely-without-email")

    def order(self, names, home):
        domains = [argument for name in names for argument in ("-d", name)]
        # certbot orders wildcards by dns-01 alone, and asks the hooks for it.
        answer = self.dns_hooks() if names[0].startswith("*.") else self.webroot()
        return ["certonly", "--cert-name", names[0].replace("*", "any"), *domains, *answer]

    def bind(self, key):
        binding = [f"--eab-kid={key['kid']}", f"--eab-hmac-key={key['hmac_key']}"]
        self.do("register", "--agree-tos", "--register-unsafely-without-email", *binding, home=self.bound)

    def bought(self, names):
        self.do(*self.order(names, self.bound), home=self.bound)
        return self.bound.directory / "config" / "live" / names[0] / "fullchain.pem"

    steps = (registers_an_account, *Buyer.steps)


class CertbotForAnOrganisation(CertbotBuys):
    """An OV certificate: application, letter, refusal, resubmission, approval, and the next run of the client."""

    name = "certbot-organisation"
    zone = "certbot-harbour.cn"
    product = "trustasia-ov-multi"

    def registers_an_account_of_an_enterprise(self):
        self.server = self.bound.stage.server
        self.customer = self.server.rest("POST", "/customers", {"name": self.name, "kind": "enterprise"})["id"]
        made = {"name": "Owner", "role": "customer", "customer": self.customer}
        self.token = self.server.rest("POST", "/tokens", made)["token"]
        self.reviewer = self.server.rest("POST", "/tokens", {"name": "Rita", "role": "reviewer"})["token"]
        self.purchase = self.server.purchase(self.customer, self.product, 2)["id"]
        self.bind(self.server.key_of(self.customer))

    def is_asked_for_the_application_first(self):
        self.refused(*self.order(self.names(), self.bound), home=self.bound, because="Submit the application data first")

    def is_asked_for_the_letter(self):
        person = {"name": "Li Wei", "position": "CTO", "phone": "+86 21 5555 0101", "email": f"li@{self.zone}"}
        organisation = {
            "name": "Harbour Shipping Ltd", "department": "IT", "address": "1 Harbour Road", "locality": "Shanghai",
            "state": "Shanghai", "country": "CN", "phone": "+86 21 5555 0100",
        }  # fmt: skip
        self.applied({"organisation": organisation, "administrator": person})
        self.refused(*self.order(self.names(), self.bound), home=self.bound, because="Upload the confirmation letter")

    def gets_its_certificate_on_the_run_after_the_approval(self):
        self.sent()
        self.decided("reject", "The seal can't be read.")
        if self.application()["status"] != "review-failed":
            raise Failure(f"the application was refused: {self.application()}")
        form = self.application()
        self.applied({"organisation": form["organisation"]["id"], "administrator": form["administrator"]["id"]})
        self.sent()
        self.decided("approve", "Called back, all is well.")
        chain = self.bought(self.names())
        self.verify(chain, self.names(), home=self.bound)
        if "Harbour Shipping Ltd" not in certificate.subject(chain):
            raise Failure(f"the certificate names {certificate.subject(chain)}")

    def is_led_to_the_form_when_it_revokes(self):
        live = self.bound.directory / "config" / "live" / self.names()[0] / "cert.pem"
        self.refused("revoke", "--cert-path", live, "--no-delete-after-revoke", home=self.bound, because="/revocations")

    def names(self):
        return self.named("shop", "mail")

    def application(self):
        return self.server.rest("GET", f"/purchases/{self.purchase}/application", token=self.token)

    def applied(self, form):
        self.server.rest("PUT", f"/purchases/{self.purchase}/application", form, token=self.token)

    def sent(self):
        path = f"/purchases/{self.purchase}/letter"
        self.server.rest("PUT", path, b"%PDF-1.4 sealed", token=self.token, kind="application/pdf")

    def decided(self, decision, note):
        path = f"/reviews/{self.application()['id']}/decision"
        self.server.rest("POST", path, {"decision": decision, "note": note}, token=self.reviewer)

    steps = (
        registers_an_account_of_an_enterprise,
        is_asked_for_the_application_first,
        is_asked_for_the_letter,
        gets_its_certificate_on_the_run_after_the_approval,
        is_led_to_the_form_when_it_revokes,
    )


class CertbotAsksForAddresses(CertbotBuys):
    """Only the newest certbot knows IP addresses."""

    name = "certbot-newest-products"
    uses = ("newest certbot",)

    def binds_an_account_to_a_customer(self):
        server = self.bound.stage.server
        self.bind(server.key_of(server.customer(self.name)))

    def is_refused_an_ip_address_on_a_free_product(self):
        self.refused(*self.address(), because="is an IP address (IP-05). Buy a paid product")

    def is_refused_an_ip_address_on_a_dv_product(self):
        profile = ["--required-profile", MULTI]
        self.refused(*self.address(), *profile, home=self.bound, because=f'which "{MULTI}" does not take')

    def address(self):
        # Nobody is asked about a name that is refused with the order.
        return ["certonly", "--cert-name", "address", *self.webroot(), "--ip-address", "9.9.9.9"]

    steps = (
        CertbotBuys.registers_an_account,
        is_refused_an_ip_address_on_a_free_product,
        binds_an_account_to_a_customer,
        is_refused_an_ip_address_on_a_dv_product,
    )


class LegoBuys(Buyer, Lego):
    name = "lego-products"
    zone = "lego-zone.cn"
    other = "lego-goods.cn"

    def order(self, names, home):
        domains = [argument for name in names for argument in ("--domains", name)]
        answer = self.dns_hook() if names[0].startswith("*.") else self.webroot()
        return [*domains, *answer, "run"]

    def bind(self, key):
        self.binding = ["--eab", f"--kid={key['kid']}", f"--hmac={key['hmac_key']}"]

    def bought(self, names):
        self.do(*self.binding, *self.order(names, self.bound), home=self.bound)
        return self.chain(names[0], self.bound)
