//! Decides every law from outside: from what was sent, what lies on the topics, what is in the ERP's books, what the suppliers
//! took, what the processes logged. It uses the definitions of the laws and the contracts, and nothing of the runtime.

mod account;
mod asked;
mod copies;
pub mod decide;
pub mod evidence;
pub mod gather;
mod lake;
mod moments;
pub mod read;

#[cfg(test)]
mod mutations;

pub use decide::{Decided, Verdict, decide};
pub use evidence::Evidence;
