//! The one integration test binary.

mod power_cut;
mod store_kv;
mod store_model;
mod store_recovery;
mod store_support;
mod store_transfer;
