#![no_main]
//! See `fuzz_targets::udi`.

entry::target!(udi);
