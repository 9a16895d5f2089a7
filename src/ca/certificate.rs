//! Reading back certificates that clients send.

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::Serial;

/// The serial of a certificate (DER), if it is well formed, nothing follows it, and the serial is of this CA's kind.
pub fn serial_of(der: &[u8]) -> Option<Serial> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Serial::from_der(certificate.raw_serial()),
        _ => None,
    }
}
