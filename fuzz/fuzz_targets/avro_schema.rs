#![no_main]
//! See `fuzz_targets::avro_schema`.

entry::target!(avro_schema);
