#![no_main]
//! See `fuzz_targets::avro`.

entry::target!(avro);
