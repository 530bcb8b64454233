#![no_main]
//! See `fuzz_targets::hl7v2`.

entry::target!(hl7v2);
