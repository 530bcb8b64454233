//! The sandbox ERP as its callers see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod books;
mod concurrency;
mod crash;
mod faults;
mod rules;
mod support;
