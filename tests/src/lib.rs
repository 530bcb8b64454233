//! What the end-to-end tests share: a stack of parts, processes to kill, toy rooms with scripted behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "this crate only serves tests"
)]

pub mod browser;
pub mod desk;
pub mod events;
pub mod hospital;
pub mod lake;
pub mod processes;
pub mod recovery;
pub mod toys;
