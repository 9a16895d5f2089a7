"""Looks at issued certificates with OpenSSL, which shares no code with the server."""

import re
import tempfile
import urllib.request
from pathlib import Path

from world.process import run, succeed
from world.report import Failure

PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
DISTRIBUTION_POINT = re.compile(r"URI:(http://\S+)")
ALTERNATIVE_NAME = re.compile(r"(?:DNS|IP Address):([^,\s]+)")

# Kinds of keys, in the words of `openssl genpkey`.
P256 = ("EC", "ec_paramgen_curve:P-256")
RSA_2048 = ("RSA", "rsa_keygen_bits:2048")


def verify(chain, names, root, key=None):
    """Demands that `chain` leads to `root`, is not revoked, names exactly `names`, and is for the private `key`."""
    judgement = _judge(chain, root)
    if judgement.code != 0:
        raise judgement.explained("the chain does not lead to the root")
    _verify_names(chain, names)
    if key:
        _verify_key(chain, key)


def verify_revoked(chain, root):
    """Demands that the CRL which the leaf of `chain` points to holds the leaf."""
    judgement = _judge(chain, root)
    if "certificate revoked" not in judgement.output:
        raise judgement.explained("the CRL does not hold the revoked certificate")


def certificates(chain):
    """The PEM blocks of a chain file, leaf first."""
    if not chain.is_file():
        raise Failure(f"there is no certificate in {chain}")
    found = PEM_CERTIFICATE.findall(chain.read_text())
    if len(found) < 2:
        raise Failure(f"a leaf and at least one intermediate were expected, not {len(found)} certificates: {chain}")
    return found


def serial(chain):
    """The serial number of the leaf, in hexadecimal."""
    return succeed("openssl", "x509", "-in", chain, "-noout", "-serial").stdout.strip()


def subject(chain):
    """Whom the leaf names."""
    return succeed("openssl", "x509", "-in", chain, "-noout", "-subject").stdout.strip()


def key_and_request(directory, names, algorithm=P256, subject="/"):
    """A new private key and a certificate signing request for `names` and `subject`, both as PEM files."""
    kind, option = algorithm
    key, request = directory / "request.key", directory / "request.pem"
    succeed("openssl", "genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", key)
    alternatives = ",".join(f"DNS:{name}" for name in names)
    extensions = ["-addext", f"subjectAltName={alternatives}"] if names else []
    succeed("openssl", "req", "-new", "-key", key, "-subj", subject, *extensions, "-out", request)
    return key, request


def _judge(chain, root):
    """What `openssl verify` says of the leaf, given the other certificates of the chain and the leaf's CRL."""
    leaf, *intermediates = certificates(chain)
    with tempfile.TemporaryDirectory() as directory:
        leaf_file, untrusted, crl = (Path(directory) / name for name in ("leaf.pem", "intermediates.pem", "crl.pem"))
        leaf_file.write_text(leaf)
        untrusted.write_text("".join(intermediates))
        _fetch_crl(leaf_file, crl)
        strict = ["-purpose", "sslserver", "-x509_strict", "-crl_check", "-CRLfile", crl]
        return run("openssl", "verify", *strict, "-CAfile", root, "-untrusted", untrusted, leaf_file)


def _fetch_crl(leaf, crl):
    """Writes the CRL of the leaf's first distribution point to the file `crl`."""
    text = succeed("openssl", "x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints").stdout
    point = DISTRIBUTION_POINT.search(text)
    if not point:
        raise Failure("the certificate does not say where its CRL is")
    with urllib.request.urlopen(point[1], timeout=10) as answer:
        der = crl.with_suffix(".der")
        der.write_bytes(answer.read())
    succeed("openssl", "crl", "-inform", "DER", "-in", der, "-out", crl)


def _verify_names(leaf, names):
    text = succeed("openssl", "x509", "-in", leaf, "-noout", "-ext", "subjectAltName").stdout
    found = sorted(ALTERNATIVE_NAME.findall(text))
    if found != sorted(names):
        raise Failure(f"the certificate is for {found}, not for {sorted(names)}")


def _verify_key(leaf, key):
    certified = succeed("openssl", "x509", "-in", leaf, "-noout", "-pubkey").stdout
    owned = succeed("openssl", "pkey", "-in", key, "-pubout").stdout
    if certified != owned:
        raise Failure(f"the certificate is not for the key in {key}")
