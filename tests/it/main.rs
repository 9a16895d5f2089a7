//! The one integration test binary.

mod store_kv;
mod store_support;
