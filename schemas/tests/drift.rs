//! The committed code is what the contracts say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

#[path = "../../xtask/src/codegen/mod.rs"]
#[allow(dead_code, reason = "the test only compares")]
mod codegen;

// The generator is part of xtask, which knows this crate by its short name.
extern crate wardline_schemas as schemas;

use std::path::Path;

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let stale = codegen::drift(root).unwrap();
    assert!(stale.is_empty(), "run `cargo xtask codegen`: {stale:?}");
}

#[test]
fn generated_files_are_small_and_marked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (path, text) in codegen::generate(root).unwrap() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            assert!(text.starts_with(codegen::MARK), "{path:?} is not marked");
            assert!(text.lines().count() < 500, "{path:?} has {} lines", text.lines().count());
        }
    }
}
