#![no_main]
//! See `fuzz_targets::mllp`.

entry::target!(mllp);
