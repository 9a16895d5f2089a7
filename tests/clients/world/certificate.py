"""Looks at issued certificates with OpenSSL, which shares no code with the server."""

import re
import tempfile
from pathlib import Path

from world.process import run, succeed
from world.report import Failure

PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
ALTERNATIVE_NAME = re.compile(r"(?:DNS|IP Address):([^,\s]+)")

# Kinds of keys, in the words of `openssl genpkey`.
P256 = ("EC", "ec_paramgen_curve:P-256")
RSA_2048 = ("RSA", "rsa_keygen_bits:2048")


def verify(chain, names, root, key=None):
    """Demands that `chain` leads to `root`, names exactly `names`, and belongs to the private `key`."""
    leaf, *intermediates = certificates(chain)
    with tempfile.TemporaryDirectory() as directory:
        leaf_file = _write(Path(directory) / "leaf.pem", leaf)
        untrusted = _write(Path(directory) / "intermediates.pem", "".join(intermediates))
        _verify_path(leaf_file, untrusted, root)
        _verify_names(leaf_file, names)
        if key:
            _verify_key(leaf_file, key)


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


def key_and_request(directory, names, algorithm=P256):
    """A new private key and a certificate signing request for `names`, both as PEM files."""
    kind, option = algorithm
    key, request = directory / "request.key", directory / "request.pem"
    succeed("openssl", "genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", key)
    extension = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    succeed("openssl", "req", "-new", "-key", key, "-subj", "/", "-addext", extension, "-out", request)
    return key, request


def _write(file, text):
    file.write_text(text)
    return file


def _verify_path(leaf, untrusted, root):
    arguments = ["-purpose", "sslserver", "-x509_strict", "-CAfile", root, "-untrusted", untrusted]
    finished = run("openssl", "verify", *arguments, leaf)
    if finished.code != 0:
        raise finished.explained("the chain does not lead to the root")


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
