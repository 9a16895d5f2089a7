//! `chancery::fuzzing::tls_alpn` says what it reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| chancery::fuzzing::tls_alpn(octets));
