//! RFC 8555 on the wire.

pub mod json;
pub mod jws;
pub mod nonce;
