#![no_main]
//! See `fuzz_targets::registry`.

entry::target!(registry);
