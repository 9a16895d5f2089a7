//! Judgement: pure functions over the catalogue and the values of the domain.

pub mod admission;
pub mod catalog;
pub mod fault;
pub mod keys;
pub mod names;
pub mod renewal;
pub mod validity;
pub mod weak_keys;
