//! Replay nonces (RFC 8555 section 6.5) that cost no write: an authenticated counter, and a window of used ones.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use crate::domain::id::random_bytes;
use crate::domain::{Error, Kind, Result};

/// How many of the latest nonces are good. At 10,000 requests a second a nonce lives 100 seconds.
const WINDOW: u64 = 1 << 20;

const NODE: usize = size_of::<u16>();
const COUNTER: usize = size_of::<u64>();
const TAG: usize = 16;

/// The nonces of one node since it started.
///
/// A nonce is base64url(node || counter || MAC): the counter makes it unique, the MAC unpredictable to anybody else
/// (RFC 8555 section 6.5.1). The MAC key lives as long as the process; a nonce from before a restart is refused once,
/// with a fresh one beside the refusal.
pub struct Nonces {
    node: u16,
    key: hmac::Key,
    window: Mutex<Window>,
}

impl Nonces {
    /// Nonces of the node with this number, none issued yet.
    pub fn new(node: u16) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>());
        Self { node, key, window: Mutex::new(Window::new()) }
    }

    /// A fresh nonce.
    pub fn issue(&self) -> String {
        let counter = self.window.lock().open();
        let mut nonce = [0; NODE + COUNTER + TAG];
        nonce[..NODE].copy_from_slice(&self.node.to_be_bytes());
        nonce[NODE..NODE + COUNTER].copy_from_slice(&counter.to_be_bytes());
        let (signed, tag) = nonce.split_at_mut(NODE + COUNTER);
        tag.copy_from_slice(&self.tag(signed));
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Uses a nonce up: the same one is refused ever after, and of two requests at once with one nonce only one passes.
    ///
    /// What is not base64url is `malformed` (RFC 8555 section 6.5.2); every other nonce that this node did not issue
    /// lately, or that was used, is `badNonce`.
    pub fn redeem(&self, nonce: &str) -> Result<()> {
        let octets = URL_SAFE_NO_PAD.decode(nonce).ok().filter(|octets| !octets.is_empty()).ok_or_else(|| {
            Error::malformed("The \"nonce\" is not base64url without padding (RFC 8555 section 6.5.2).")
        })?;
        let Some((node, counter, tag)) = parts(&octets) else {
            return Err(invalid("it is not one of this server's"));
        };
        let signed = &octets[..NODE + COUNTER];
        let genuine = aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(signed), tag).is_ok();
        if node != self.node || !genuine {
            return Err(invalid("it was not issued by this server since it started"));
        }
        // RFC 8555 section 6.5: a nonce is good once. Looking and marking happen under one lock.
        self.window.lock().close(counter)
    }

    fn tag(&self, signed: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hmac::sign(&self.key, signed).as_ref()[..TAG]);
        tag
    }
}

/// Refuses a nonce, or its absence. acme.sh decides by the first words of the detail whether to try again.
pub(super) fn invalid(why: &str) -> Error {
    let detail = format!(
        "JWS has an invalid anti-replay nonce: {why}. Send the request again with the nonce in this answer's \
         Replay-Nonce header."
    );
    Error::new(Kind::BadNonce, detail)
}

fn parts(octets: &[u8]) -> Option<(u16, u64, &[u8; TAG])> {
    let (node, rest) = octets.split_first_chunk::<NODE>()?;
    let (counter, tag) = rest.split_first_chunk::<COUNTER>()?;
    Some((u16::from_be_bytes(*node), u64::from_be_bytes(*counter), tag.try_into().ok()?))
}

/// Which of the latest `WINDOW` counters were used: a ring of bits, 128 kB.
struct Window {
    /// The counter that the next nonce gets.
    next: u64,
    used: Box<[u64]>,
}

impl Window {
    fn new() -> Self {
        Self { next: 0, used: vec![0; (WINDOW / 64) as usize].into_boxed_slice() }
    }

    /// Takes the next counter. Its place in the ring was that of a counter that is now too old.
    fn open(&mut self) -> u64 {
        let counter = self.next;
        self.next += 1;
        let (word, bit) = place(counter);
        self.used[word] &= !bit;
        counter
    }

    fn close(&mut self, counter: u64) -> Result<()> {
        if counter >= self.next || self.next - counter > WINDOW {
            return Err(invalid("it is too old"));
        }
        let (word, bit) = place(counter);
        if self.used[word] & bit != 0 {
            return Err(invalid("it was used before"));
        }
        self.used[word] |= bit;
        Ok(())
    }
}

fn place(counter: u64) -> (usize, u64) {
    let slot = counter % WINDOW;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests;
