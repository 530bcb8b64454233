//! The rules of the repository, so that `cargo test` alone holds them. Each rule is tested on bad samples where it stands.

#![allow(clippy::unwrap_used, reason = "test")]

use std::path::Path;

#[test]
fn the_repository_keeps_its_own_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let findings: Vec<String> = xtask::tidy::check(root).unwrap().iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
