//! Amounts of money, in cents: no rounding anywhere.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul};

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What prices are in (PRICE-30).
pub const CURRENCY: &str = "USD";

/// An amount in hundredths of the catalogue's currency (PRICE-30). Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// So many hundredths.
    pub fn from_cents(cents: u64) -> Self {
        Self(cents)
    }

    /// So many of the currency.
    pub const fn from_whole(whole: u64) -> Self {
        Self(whole.saturating_mul(100))
    }

    /// What is left when `other` is taken away; nothing if that is more.
    #[must_use]
    pub fn less(self, other: Money) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many hundredths of it, rounded down to the cent.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        Self(self.0 / 100 * u64::from(percent) + self.0 % 100 * u64::from(percent) / 100)
    }

    /// The amount in hundredths.
    pub fn cents(self) -> u64 {
        self.0
    }

    /// Reads `732`, `732.5` or `732.50`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 {
            return None;
        }
        let part: u64 = part.parse::<u64>().ok()? * if part.len() == 1 { 10 } else { 1 };
        whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part).map(Self)
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Mul<u64> for Money {
    type Output = Money;

    fn mul(self, times: u64) -> Money {
        Money(self.0.saturating_mul(times))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// As text, `732.00`: a JSON number would be a binary fraction.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, or from a whole number of the currency.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Amount;
        impl Visitor<'_> for Amount {
            type Value = Money;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of money: 732 or \"732.50\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Money, E> {
                Money::parse(text).ok_or_else(|| E::custom(format!("\"{text}\" is not an amount such as \"732.50\"")))
            }

            fn visit_u64<E: serde::de::Error>(self, whole: u64) -> Result<Money, E> {
                whole.checked_mul(100).map(Money).ok_or_else(|| E::custom(format!("{whole} is too much money")))
            }

            fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<Money, E> {
                let whole = u64::try_from(whole).map_err(|_| E::custom(format!("{whole} is less than nothing")))?;
                self.visit_u64(whole)
            }
        }
        deserializer.deserialize_any(Amount).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_to_the_cent() {
        for (text, cents) in [("732", 73_200), ("732.5", 73_250), ("0.05", 5), ("5014.00", 501_400)] {
            assert_eq!(Money::parse(text), Some(Money(cents)), "{text}");
        }
        assert_eq!(Money(73_205).to_string(), "732.05");
        for bad in ["", ".", "1.", ".5", "1.234", "-1", "1,00", "1e3", "99999999999999999999"] {
            assert_eq!(Money::parse(bad), None, "{bad}");
        }
    }
}
