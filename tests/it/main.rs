//! The integration tests: one binary, one module for each subject.

mod support;

mod va_caa;
mod va_dns01;
mod va_dnssec;
mod va_http01;
mod va_redirects;
mod va_tlsalpn01;
mod va_world;
