#![no_main]
//! See `fuzz_targets::fhir`.

entry::target!(fhir);
