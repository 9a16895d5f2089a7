//! Weak RSA keys: moduli that give their private keys away (Baseline Requirements 6.1.1.3 and 6.1.6).

use std::fmt;

use aws_lc_rs::digest;
use num_bigint::BigUint;

/// All primes below 752 (Baseline Requirements 6.1.6, from NIST SP 800-89 section 5.3.3).
const PRIMES: [u32; 133] = {
    let mut primes = [0; 133];
    let (mut count, mut number) = (0, 2);
    while count < primes.len() {
        let mut divisor = 2;
        while number % divisor != 0 {
            divisor += 1;
        }
        if divisor == number {
            primes[count] = number;
            count += 1;
        }
        number += 1;
    }
    primes
};

/// ROCA shows in the residues modulo the odd primes up to this one (the same as of the detector that Baseline Requirements
/// 6.1.1.3 names).
const LAST_ROCA_PRIME: u32 = 167;

/// Rounds of Fermat's method that a modulus must withstand (Baseline Requirements 6.1.1.3).
const FERMAT_ROUNDS: u32 = 100;

/// The odd primes below 128, each with its squares: bit `s` is set if some number's square leaves the rest `s`.
const SQUARES: [(u32, u128); 30] = {
    let mut squares = [(0, 0); 30];
    let mut place = 0;
    while place < squares.len() {
        let prime = PRIMES[place + 1];
        let (mut mask, mut root) = (0, 0);
        while root < prime {
            mask |= 1 << (root * root % prime);
            root += 1;
        }
        squares[place] = (prime, mask);
        place += 1;
    }
    squares
};

/// Why an RSA key is weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakness {
    /// This prime divides the modulus.
    SmallFactor(u32),
    /// The modulus has the form that Infineon's RSALib gave to all of its own (CVE-2017-15361; Nemec, Sys, Svenda,
    /// Klinec, Matyas: The Return of Coppersmith's Attack, 2017).
    Roca,
    /// The primes lie so close together that Fermat's method finds them (CVE-2022-26320).
    ClosePrimes,
}

/// What follows "The key of the CSR is".
impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallFactor(prime) => write!(
                f,
                "weak: its RSA modulus is divisible by {prime}, so that anybody can compute the private key. Make a new \
                 key pair with a current version of OpenSSL or of your ACME client. (Baseline Requirements 6.1.6)"
            ),
            Self::Roca => f.write_str(
                "weak: its RSA modulus has the mark of ROCA (CVE-2017-15361), a flaw of chips and smart cards with \
                 Infineon's RSALib, so that others can compute the private key. Make a new key pair with a current \
                 version of OpenSSL or of your ACME client, not on that chip. (Baseline Requirements 6.1.1.3)",
            ),
            Self::ClosePrimes => write!(
                f,
                "weak: the two primes of its RSA modulus are so close that Fermat's method finds them within \
                 {FERMAT_ROUNDS} rounds (CVE-2022-26320), so that anybody can compute the private key. Make a new key \
                 pair with a current version of OpenSSL or of your ACME client. (Baseline Requirements 6.1.1.3)"
            ),
        }
    }
}

/// What is weak about a modulus (big-endian), if it shows.
pub(super) fn weakness(modulus: &[u8]) -> Option<Weakness> {
    let modulus = BigUint::from_bytes_be(modulus);
    let residues = residues(&modulus);
    if let Some((prime, _)) = residues.iter().find(|(_, residue)| *residue == 0) {
        return Some(Weakness::SmallFactor(*prime));
    }
    if has_roca_mark(&residues) {
        return Some(Weakness::Roca);
    }
    has_close_primes(&modulus).then_some(Weakness::ClosePrimes)
}

/// How Debian's openssl-blacklist names an RSA key: the last ten octets of SHA-1 over the line that
/// `openssl rsa -noout -modulus` prints (openssl-vulnkey(1)).
pub(super) fn debian_fingerprint(modulus: &[u8]) -> [u8; 10] {
    let line = format!("Modulus={:X}\n", BigUint::from_bytes_be(modulus));
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, line.as_bytes());
    let mut last = [0; 10];
    last.copy_from_slice(&hash.as_ref()[10..]);
    last
}

/// What a number leaves when divided by each of the primes below 752.
fn residues(number: &BigUint) -> Vec<(u32, u32)> {
    // Three of the primes multiply to less than 2^32, so that one pass of long division serves three of them.
    let of_three = |primes: &[u32]| {
        let rest = number % primes.iter().product::<u32>();
        let rest = rest.iter_u32_digits().next().unwrap_or(0);
        primes.iter().map(move |prime| (*prime, rest % prime)).collect::<Vec<_>>()
    };
    PRIMES.chunks(3).flat_map(of_three).collect()
}

/// Primes of RSALib are `k * M + (65537^a mod M)`, with `M` the product of the first primes, so the modulus is a power of
/// 65537 modulo each of these primes. One random modulus in 240 million is so by chance.
fn has_roca_mark(residues: &[(u32, u32)]) -> bool {
    let is_power = |prime: u32, residue: u32| {
        let next = |power: &u32| Some(power * (65_537 % prime) % prime).filter(|next| *next != 1);
        std::iter::successors(Some(1), next).any(|power| power == residue)
    };
    let mut marked = residues.iter().filter(|(prime, _)| (3..=LAST_ROCA_PRIME).contains(prime));
    marked.all(|(prime, residue)| is_power(*prime, *residue))
}

/// Fermat's method: the modulus is `a² - b²`, with `a` the mean of its primes. If they are close, `a` is little above the
/// root of the modulus. Nearly every `a² - n` is no square modulo some small prime, so that the long numbers themselves
/// are seldom looked at.
fn has_close_primes(modulus: &BigUint) -> bool {
    let root = modulus.sqrt();
    let first = if &root * &root == *modulus { root } else { root + 1u32 };
    let first_residues = residues(&first);
    let residues = residues(modulus);
    let sieve: Vec<(u32, u128, u32, u32)> = SQUARES
        .iter()
        .zip(first_residues.iter().zip(&residues).skip(1))
        .map(|((prime, squares), ((_, first), (_, modulus)))| (*prime, *squares, *first, *modulus))
        .collect();
    (0..FERMAT_ROUNDS).any(|round| {
        let may_be_square = |(prime, squares, first, modulus): &(u32, u128, u32, u32)| {
            let a = (first + round) % prime;
            squares >> ((a * a + prime - modulus) % prime) & 1 == 1
        };
        sieve.iter().all(may_be_square) && {
            let a = &first + round;
            let square = &a * &a - modulus;
            let b = square.sqrt();
            &b * &b == square
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(number: &BigUint) -> Vec<u8> {
        number.to_bytes_be()
    }

    /// 2^1024 - 105, the largest prime of 1024 bits.
    fn large_prime() -> BigUint {
        (BigUint::from(1u32) << 1024) - 105u32
    }

    /// 2^521 - 1 and 2^607 - 1: primes that lie far apart.
    fn mersenne() -> [BigUint; 2] {
        [521, 607].map(|exponent| (BigUint::from(1u32) << exponent) - 1u32)
    }

    #[test]
    fn factors_below_752_are_found_and_larger_ones_are_not() {
        assert_eq!((PRIMES[0], PRIMES[1], PRIMES[132]), (2, 3, 751));
        for prime in PRIMES {
            let modulus = octets(&(large_prime() * prime));
            assert_eq!(weakness(&modulus), Some(Weakness::SmallFactor(prime)), "CABF-KEY-03: {prime}");
        }
        assert_eq!(weakness(&[0xff; 256]), Some(Weakness::SmallFactor(3)));
        assert_eq!(weakness(&octets(&(large_prime() * 757u32))), None);
        let [p, q] = mersenne();
        assert_eq!(weakness(&octets(&(p * q))), None);
    }

    /// A number of the form that RSALib gives to its primes of 1024 bits: `M` is the product of the first 126 primes.
    fn of_rsalib(k: u64, a: u32) -> BigUint {
        let m: BigUint = PRIMES[..126].iter().product();
        BigUint::from(k) * &m + BigUint::from(65_537u32).modpow(&a.into(), &m)
    }

    #[test]
    fn products_of_rsalib_numbers_have_the_mark_of_roca() {
        for (k, a, l, b) in [(1 << 52, 1, 3 << 51, 2), (0x1f_ffff_ffff_fff1, 987_654_321, 0x1c_1234_5678_9abc, 31)] {
            let modulus = of_rsalib(k, a) * of_rsalib(l, b);
            let residues = residues(&modulus);
            assert!(has_roca_mark(&residues), "CVE-2017-15361");
            assert_eq!(weakness(&octets(&modulus)), Some(Weakness::Roca));
            // What is no power of 65537 modulo a single one of the primes is none of RSALib's: modulo 11
            // there are the powers 1 and 10.
            let other = residues.iter().map(|(prime, residue)| (*prime, if *prime == 11 { 2 } else { *residue }));
            assert!(!has_roca_mark(&other.collect::<Vec<_>>()));
        }
        assert!(!has_roca_mark(&residues(&large_prime())));
    }

    /// The product of `2^1100 - gap` and `2^1100 + gap`, of which Fermat's method needs the given round to find them.
    fn with_gap(gap: &BigUint) -> (BigUint, u32) {
        let mean = BigUint::from(1u32) << 1100;
        let modulus: BigUint = (&mean - gap) * (&mean + gap);
        let root = modulus.sqrt();
        let first = if &root * &root == modulus { root } else { root + 1u32 };
        let rounds = u32::try_from(mean - first + 1u32).unwrap();
        (modulus, rounds)
    }

    #[test]
    fn primes_are_close_up_to_the_hundredth_round_of_fermat() {
        // With the mean m, n is m² - gap², and its root lies gap² / 2m below m: a gap of the root of 2m·r takes r rounds.
        let gap_for = |rounds: u32| -> BigUint {
            let square: BigUint = (BigUint::from(1u32) << 1101) * rounds - 1u32;
            square.sqrt()
        };
        let (last, first) = (with_gap(&gap_for(100)), with_gap(&(gap_for(100) + 1u32)));
        assert_eq!((last.1, first.1), (100, 101));
        assert!(has_close_primes(&last.0), "CABF-KEY-06: the hundredth round");
        assert!(!has_close_primes(&first.0), "the next");
        for gap in [1u32, 2, 3, 0xffff_ffff] {
            assert!(has_close_primes(&with_gap(&gap.into()).0), "{gap}");
        }
        assert!(has_close_primes(&large_prime().pow(2)), "a square");
        assert_eq!(weakness(&octets(&large_prime().pow(2))), Some(Weakness::ClosePrimes));
        let [p, q] = mersenne();
        assert!(!has_close_primes(&(p * q)));
    }

    #[test]
    fn squares_pass_the_sieve_and_little_else_does() {
        for (prime, squares) in SQUARES {
            assert_eq!(squares.count_ones(), prime.div_ceil(2));
            assert!((0..prime).all(|root| squares >> (root * root % prime) & 1 == 1));
        }
    }

    #[test]
    fn every_weakness_names_its_remedy_and_its_source() {
        for weakness in [Weakness::SmallFactor(7), Weakness::Roca, Weakness::ClosePrimes] {
            let told = weakness.to_string();
            assert!(told.contains("Make a new key pair with a current version"), "{told}");
            assert!(told.contains("(Baseline Requirements 6.1."), "{told}");
        }
    }

    #[test]
    fn debian_fingerprints_are_those_of_openssl_vulnkey() {
        // printf 'Modulus=C0FFEE\n' | sha1sum | cut -c21-40
        let expected = [0x61, 0x49, 0xed, 0x99, 0x47, 0x57, 0x22, 0xf1, 0x3e, 0x18];
        assert_eq!(debian_fingerprint(&[0xc0, 0xff, 0xee]), expected);
    }
}
