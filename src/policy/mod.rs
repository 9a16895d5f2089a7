//! Judgement: pure functions over the catalogue and the values of the domain.

pub mod admission;
mod advice;
pub mod catalog;
pub mod document;
pub mod domains;
pub mod fault;
pub mod form;
pub mod free_names;
pub mod help;
pub mod keys;
pub mod lifecycle;
pub mod names;
pub mod payment;
pub mod price;
pub mod promise;
pub mod quota;
pub mod recommendations;
pub mod refund;
pub mod renewal;
pub mod settings;
pub mod shape;
pub mod status;
pub mod succession;
pub mod validity;
pub mod weak_keys;
pub mod words;
