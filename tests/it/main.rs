//! All integration tests, in one binary.

mod ca_csr;
mod ca_issue;
mod ca_keys;
mod ca_tools;
mod http_events;
mod http_limits;
mod http_support;
mod http_tls;
mod store_kv;
mod store_support;
