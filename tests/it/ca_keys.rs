//! The key directory.
