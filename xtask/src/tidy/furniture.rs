//! Furniture: every crate says what it is for, every room has the same parts, and the documents name what there is.

use super::{Finding, Tree};

/// The map of the repository.
const MAP: &str = "docs/ARCHITECTURE.md";

/// The list of decisions.
const DECISIONS: &str = "docs/adr/README.md";

/// A `main.rs` is one call; start-up, signals and drain are the runtime's.
const MAIN_LINES_MAX: usize = 20;

/// A room's README is read in one look, and long enough to be of use.
const README_LINES: std::ops::RangeInclusive<usize> = 10..=60;

/// Checks crates, rooms and the documents that name them.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.ending("/Cargo.toml") {
        let folder = path.trim_end_matches("/Cargo.toml");
        let library = format!("{folder}/src/lib.rs");
        if !tree
            .text(&library)
            .is_some_and(|text| text.starts_with("//!") && text.lines().next().is_some_and(|line| line.len() > 20))
        {
            findings.push(Finding::new(&library, 1, "a library begins with `//!` and what it is for"));
        }
        if !tree.text(MAP).is_some_and(|map| map.contains(&format!("`{folder}`"))) {
            findings.push(Finding::new(MAP, 0, format!("does not say what `{folder}` is for")));
        }
    }
    for folder in ["connectors", "processors"] {
        for room in tree.crates_below(folder) {
            check_room(tree, &format!("{folder}/{room}"), &mut findings);
        }
    }
    check_decisions(tree, &mut findings);
    findings
}

fn check_room(tree: &Tree, folder: &str, findings: &mut Vec<Finding>) {
    let readme_path = format!("{folder}/README.md");
    let readme = tree.text(&readme_path).unwrap_or_default();
    if !README_LINES.contains(&readme.lines().count()) {
        let rule = format!("a room has a README of {} to {} lines", README_LINES.start(), README_LINES.end());
        findings.push(Finding::new(&readme_path, 0, rule));
    }
    let main_path = format!("{folder}/src/main.rs");
    let main_lines = tree.text(&main_path).map_or(0, |text| text.lines().count());
    if !(1..=MAIN_LINES_MAX).contains(&main_lines) {
        findings.push(Finding::new(
            &main_path,
            0,
            format!("a room has a main.rs of one call, at most {MAIN_LINES_MAX} lines"),
        ));
    }
    if !tree.has(&format!("{folder}/tests")) {
        findings.push(Finding::new(folder, 0, "a room has tests of its public face in tests/"));
    }
    // The keys themselves are documented where they stand; the compiler refuses a key without a sentence.
    let configured = tree.text(&format!("{folder}/src/config.rs")).is_some_and(|text| text.contains("Deserialize"));
    if configured && !readme.contains("src/config.rs") {
        findings.push(Finding::new(
            &readme_path,
            0,
            "does not say where its configuration is documented: `src/config.rs`",
        ));
    }
}

/// Decisions are numbered without gaps, dated, have a status and are listed.
fn check_decisions(tree: &Tree, findings: &mut Vec<Finding>) {
    let index = tree.text(DECISIONS).unwrap_or_default();
    let names = tree
        .ending(".md")
        .filter_map(|(path, text)| Some((path, path.strip_prefix("docs/adr/")?, text)))
        .filter(|(_, name, _)| *name != "README.md");
    for (number, (path, name, text)) in names.enumerate() {
        if !name.starts_with(&format!("{number:04}-")) {
            findings.push(Finding::new(path, 0, format!("decisions are numbered without gaps: expected {number:04}")));
        }
        for part in ["\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"] {
            if !text.contains(part) {
                findings.push(Finding::new(path, 0, format!("lacks `{}`", part.trim())));
            }
        }
        if !index.contains(&format!("({name})")) {
            findings.push(Finding::new(DECISIONS, 0, format!("does not list {name}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "#[derive(Debug, Deserialize)]\npub struct Config {\n    /// x\n    pub listen: String,\n}\n";

    fn room(readme: &str) -> Vec<(&'static str, String)> {
        vec![
            ("connectors/a/Cargo.toml", String::new()),
            ("connectors/a/README.md", readme.to_owned()),
            ("connectors/a/src/config.rs", CONFIG.to_owned()),
            ("connectors/a/src/lib.rs", "//! Listens to somebody.\n".to_owned()),
            ("connectors/a/src/main.rs", "fn main() {}\n".to_owned()),
            ("connectors/a/tests/a.rs", String::new()),
            ("docs/ARCHITECTURE.md", "`connectors/a`\n".to_owned()),
        ]
    }

    fn messages(files: &[(&str, String)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        check(&Tree::of(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_furnished_room_is_fine() {
        assert_eq!(messages(&room(&"see `src/config.rs`\n".repeat(10))), Vec::<String>::new());
    }

    #[test]
    fn a_configuration_that_is_not_named_is_found() {
        assert_eq!(
            messages(&room(&"words\n".repeat(10))),
            ["does not say where its configuration is documented: `src/config.rs`"]
        );
    }

    #[test]
    fn each_missing_part_is_found() {
        let files = room(&"`src/config.rs`\n".repeat(10));
        for missing in [
            "connectors/a/README.md",
            "connectors/a/src/lib.rs",
            "connectors/a/src/main.rs",
            "connectors/a/tests/a.rs",
            MAP,
        ] {
            let rest: Vec<_> = files.iter().filter(|(path, _)| *path != missing).cloned().collect();
            assert!(!messages(&rest).is_empty(), "{missing}");
        }
    }

    #[test]
    fn a_decision_out_of_number_without_parts_is_found() {
        let mut files = room(&"`src/config.rs`\n".repeat(10));
        files.push(("docs/adr/0002-x.md", "# 2: x\n".to_owned()));
        assert_eq!(messages(&files).len(), 6);
    }
}
