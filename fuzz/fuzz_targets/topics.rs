#![no_main]
//! See `fuzz_targets::topics`.

entry::target!(topics);
