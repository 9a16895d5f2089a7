#!/usr/bin/env python3
"""Makes the certificate signing requests of testdata/weak-keys: RSA keys of 2048 bits that no CA may certify (Baseline
Requirements 6.1.1.3 and 6.1.6), each in a request for weak.example that is otherwise in order.

    tests/weak_requests.py DIRECTORY

Everything follows from the seeds below, so the files come out the same every time. Never use these keys for anything.
"""
import base64
import hashlib
import math
import random
import sys
from pathlib import Path

EXPONENT = 65537


def is_prime(number, chance):
    if any(number % small == 0 for small in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(24):
        power = pow(chance.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def next_prime(number, chance):
    number |= 1
    while not is_prime(number, chance) or math.gcd(number - 1, EXPONENT) != 1:
        number += 2
    return number


def ordinary(chance):
    """Two primes as they should be."""
    return tuple(next_prime(chance.getrandbits(1024) | 3 << 1022, chance) for _ in range(2))


def close(chance):
    """A prime and the next one (CVE-2022-26320)."""
    first = next_prime(chance.getrandbits(1024) | 3 << 1022, chance)
    return first, next_prime(first + 2, chance)


def small_factor(chance):
    """751, the largest prime below 752, and a large prime."""
    low, high = (1 << 2047) // 751 + 1, (1 << 2048) // 751 - (1 << 64)
    return 751, next_prime(chance.randrange(low, high), chance)


def roca(chance):
    """Primes k * M + (65537^a mod M), M the product of the first 126 primes, as Infineon's RSALib made them for keys of this
    size (CVE-2017-15361)."""
    m, found, number = 1, 0, 2
    while found < 126:
        if all(number % divisor for divisor in range(2, number)):
            m, found = m * number, found + 1
        number += 1
    low, high = (3 << 1022) // m + 1, (1 << 1024) // m

    def prime():
        while True:
            candidate = chance.randrange(low, high) * m + pow(EXPONENT, chance.getrandbits(256), m)
            if math.gcd(candidate - 1, EXPONENT) == 1 and is_prime(candidate, chance):
                return candidate

    return prime(), prime()


def der(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + content


def integer(number):
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def request(p, q):
    """The modulus, and a PKCS#10 request (RFC 2986) signed with sha256WithRSAEncryption (RFC 8017 section 8.2)."""
    modulus = p * q
    assert modulus.bit_length() == 2048
    octets = 256
    rsa_encryption = bytes.fromhex("06092a864886f70d0101010500")
    sha256_with_rsa = bytes.fromhex("06092a864886f70d01010b0500")
    sha256 = bytes.fromhex("0609608648016503040201") + b"\x05\x00"
    key = der(0x30, der(0x30, rsa_encryption), der(0x03, b"\0", der(0x30, integer(modulus), integer(EXPONENT))))
    names = der(0x30, der(0x82, b"weak.example"))
    extension = der(0x30, bytes.fromhex("0603551d11"), der(0x04, names))
    attribute = der(0x30, bytes.fromhex("06092a864886f70d01090e"), der(0x31, der(0x30, extension)))
    information = der(0x30, integer(0), der(0x30), key, der(0xA0, attribute))
    digest = der(0x30, der(0x30, sha256), der(0x04, hashlib.sha256(information).digest()))
    padded = b"\0\1" + b"\xff" * (octets - 3 - len(digest)) + b"\0" + digest
    private = pow(EXPONENT, -1, (p - 1) * (q - 1))
    signature = pow(int.from_bytes(padded, "big"), private, modulus).to_bytes(octets, "big")
    return modulus, der(0x30, information, der(0x30, sha256_with_rsa), der(0x03, b"\0", signature))


def main(directory):
    for name, primes in {"close-primes": close, "listed": ordinary, "roca": roca, "small-factor": small_factor}.items():
        modulus, octets = request(*primes(random.Random(name)))
        text = base64.encodebytes(octets).decode()
        lines = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        (directory / f"{name}.csr").write_text(lines)
        if name == "listed":
            fingerprint = hashlib.sha1(f"Modulus={modulus:X}\n".encode()).hexdigest()[20:]
            comment = "# The key of listed.csr, as Debian's openssl-blacklist would have it."
            (directory / "blacklist.RSA-2048").write_text(f"{comment}\n00000000000000000000\n{fingerprint}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
