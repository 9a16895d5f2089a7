//! What requests take of the limits before a use case begins (RFC 8555 section 6.6).

use std::net::IpAddr;

use super::Ra;
use crate::domain::{CustomerId, Result};

impl Ra {
    /// Counts an ACME request from an address, or refuses it.
    pub fn admit_request(&self, from: IpAddr) -> Result<()> {
        self.limits.take(self.limits.request(from), self.now()).map(super::limits::Taken::keep)
    }

    /// Counts a request to the REST API by a caller, or refuses it.
    pub fn admit_api_request(&self, caller: &str, customer: Option<&CustomerId>) -> Result<()> {
        let wants = self.limits.api_request(caller, customer);
        self.limits.take(wants, self.now()).map(super::limits::Taken::keep)
    }

    /// Counts a diagnosis of a caller, or refuses it.
    pub(super) fn admit_diagnosis(&self, caller: &str) -> Result<()> {
        self.limits.take(self.limits.diagnosis(caller), self.now()).map(super::limits::Taken::keep)
    }
}
