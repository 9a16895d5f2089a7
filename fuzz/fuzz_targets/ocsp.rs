//! `chancery::fuzzing::ocsp` says what it reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| chancery::fuzzing::ocsp(octets));
