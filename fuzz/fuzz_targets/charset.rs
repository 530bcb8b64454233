#![no_main]
//! See `fuzz_targets::charset`.

entry::target!(charset);
