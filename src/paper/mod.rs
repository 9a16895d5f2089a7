//! Files for people: letters to sign (PDF), what kind a file is by its content, key stores and archives. Values in, octets out.

pub mod archive;
pub mod keystore;
pub mod letter;
mod sheet;
pub mod sniff;
