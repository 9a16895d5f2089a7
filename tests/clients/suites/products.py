"""The documented products, as certbot and lego meet them: refusals in the rules' words, and what a purchase opens.

Both play on the server with `config/chancery.toml` as it is shipped. The names have no part that the security review looks
for, unlike those of the other suites.
"""

from suites.certbot import Certbot
from suites.lego import Lego

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
