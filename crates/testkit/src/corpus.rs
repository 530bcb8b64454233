//! The corpus of messages, which lies outside the repository.

use std::path::PathBuf;

/// Folder of the corpus (the one that holds `hl7v2`, `mllp`, `udi` and `fhir`), as `WARDLINE_CORPUS` names it.
///
/// # Panics
/// When `WARDLINE_CORPUS` is not set or names no folder.
#[must_use]
#[allow(clippy::panic, reason = "a helper of tests")]
pub fn corpus() -> PathBuf {
    let Some(folder) = std::env::var_os("WARDLINE_CORPUS").filter(|value| !value.is_empty()).map(PathBuf::from) else {
        panic!("set WARDLINE_CORPUS to the corpus folder (the one that holds hl7v2, mllp, udi and fhir)");
    };
    if !folder.is_dir() {
        panic!("WARDLINE_CORPUS names {}, which is no folder", folder.display());
    }
    folder
}
