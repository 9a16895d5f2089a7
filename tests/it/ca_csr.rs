//! Requests made by openssl: the ones that are taken, and the ones that are refused with their reason.
