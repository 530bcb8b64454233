//! Builds the pages of the error codes into the console, so that it shows them without a network.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::fmt::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../docs/errors").canonicalize()?;
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.retain(|name| name.starts_with("WL-") && name.ends_with(".md"));
    names.sort_unstable();
    let mut code = String::from("pub(super) static ALL: &[(&str, &str)] = &[\n");
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name))?;
        writeln!(code, "    ({:?}, {text:?}),", name.trim_end_matches(".md"))?;
    }
    code.push_str("];\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("errors.rs"), code)?;
    Ok(())
}
