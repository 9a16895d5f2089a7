//! The one integration test binary.

mod store_kv;
mod store_model;
mod store_recovery;
mod store_support;
