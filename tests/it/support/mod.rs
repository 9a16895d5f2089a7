//! The world around the server in tests.

pub mod client;
pub mod signer;
