//! The adapter of Tryton (8.0) behind the ERP contract, over its REST interface.
//!
//! One consumption becomes one `stock.shipment.internal` whose reference is the document key, and one posted
//! `account.move` that carries its cost from where the ERP's analytic rules put it to the cost centre of the department:
//!
//! ```text
//! look the key up -> create -> wait -> assign_try -> do -> create the allocation -> post it
//! ```
//!
//! Seven calls, each a transaction of its own in Tryton. A posting that broke off is finished from whatever state its
//! documents are in. `assign_try` answers 200 also when stock is short; the state tells, and the shipment is removed again.

mod allocation;
mod booked;
mod cache;
mod config;
mod erp;
mod feed;
mod json;
mod locks;
mod names;
mod rest;
mod shipment;
mod sources;

pub use config::TrytonConfig;
pub use erp::Tryton;
pub use json::{boolean, date, decimal, newest, text, timestamp};
