//! What an HTTP answer means for somebody who must do a thing exactly once.
//!
//! - [`classify`](classify::classify): status and headers -> done, transient, in doubt, refused;
//! - [`retry_after`](retry_after::retry_after): the `Retry-After` header, bounded;
//! - [`Breaker`](breaker::Breaker): stops calling a side that keeps failing;
//! - [`read_bounded`](body::read_bounded): an answer's body, up to a limit.
//!
//! All but the last are pure: time is passed in.

pub mod body;
pub mod breaker;
pub mod classify;
pub mod retry_after;
