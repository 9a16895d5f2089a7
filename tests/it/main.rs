//! All integration tests, in one binary.

mod acme_orders;
mod ca_crl;
mod ca_csr;
mod ca_issue;
mod ca_keys;
mod ca_lint;
mod ca_pki;
mod ca_tools;
mod client;
mod crash;
mod http_events;
mod http_limits;
mod http_support;
mod http_tls;
mod store_kv;
mod store_model;
mod store_support;
mod support;
mod tidy;
mod va_caa;
mod va_dns01;
mod va_dnssec;
mod va_http01;
mod va_redirects;
mod va_tlsalpn01;
mod va_world;
