//! Writes the list of example files, so that they are part of the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, MARK};

/// Writes the list and returns its module name.
pub fn emit(folder: &Path, generated: &mut BTreeMap<PathBuf, String>) -> Result<String, Error> {
    let mut text = format!(
        "{MARK}\n/// Topic, file name without extension, and text of every example.\n#[rustfmt::skip]\npub const FILES: &[(&str, &str, &str)] = &[\n"
    );
    for path in super::files(folder, "json")? {
        let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let (topic, file) = relative
            .split_once('/')
            .ok_or_else(|| Error::new(&relative, "an example lies in the folder of its topic".to_owned()))?;
        let name = file.trim_end_matches(".json");
        text.push_str(&format!("    ({topic:?}, {name:?}, include_str!(\"../../examples/{relative}\")),\n"));
    }
    text.push_str("];\n");
    generated.insert(PathBuf::from("example_files.rs"), text);
    Ok("example_files".to_owned())
}
