//! All integration tests, in one binary.

mod http_events;
mod http_limits;
mod http_support;
mod http_tls;
mod tidy;
