//! Tests through the front door.

mod client;
mod support;
