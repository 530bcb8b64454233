#![no_main]
//! See `fuzz_targets::sandbox_erp`.

entry::target!(sandbox_erp);
