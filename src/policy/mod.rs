//! Judgement: pure functions over the catalogue and the values of the domain.

pub mod admission;
mod advice;
pub mod catalog;
pub mod document;
pub mod domains;
pub mod fault;
pub mod free_names;
pub mod keys;
pub mod lifecycle;
pub mod names;
pub mod price;
pub mod quota;
pub mod reminder;
pub mod renewal;
pub mod settings;
pub mod shape;
pub mod status;
pub mod validity;
pub mod weak_keys;
pub mod words;
