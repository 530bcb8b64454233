//! The corpus of messages, which lies outside the repository.

use std::path::PathBuf;

/// Folder of the corpus (the one that holds `hl7v2`, `mllp`, `udi` and `fhir`), as `WARDLINE_CORPUS` names it.
///
/// `None` when nothing names it: the test that asks has nothing to look at and passes. On a build machine, where `CI` is
/// set, that would hide what is not tested.
///
/// # Panics
/// When `CI` is set and `WARDLINE_CORPUS` is not, or it names no folder.
#[must_use]
#[allow(clippy::panic, clippy::print_stderr, reason = "a helper of tests")]
pub fn corpus() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(folder) = set("WARDLINE_CORPUS").map(PathBuf::from) else {
        if set("CI").is_some() {
            panic!("set WARDLINE_CORPUS to the corpus folder (the one that holds hl7v2, mllp, udi and fhir)");
        }
        eprintln!("WARDLINE_CORPUS is not set: the corpus is not looked at");
        return None;
    };
    if !folder.is_dir() {
        panic!("WARDLINE_CORPUS names {}, which is no folder", folder.display());
    }
    Some(folder)
}
