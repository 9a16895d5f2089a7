//! Chancery: an ACME (RFC 8555) certificate authority server with a product catalogue.
//!
//! `app` puts everything together; requests walk from `http` through `acme` to `ra`, the only conductor, which asks
//! `policy`, `va`, `ca`, `paper`, `post` and `store`; all of them speak in the values of `domain`. ARCHITECTURE.md is the map.

pub mod domain;

pub mod ca;
pub mod paper;
pub mod policy;
pub mod post;
pub mod store;
pub mod va;

pub mod ra;

pub mod acme;
pub mod api;
pub mod http;
pub mod perspective;
pub mod pki;

pub mod app;
pub mod cli;

pub mod actor;
pub mod clock;
pub mod config;
pub mod telemetry;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
