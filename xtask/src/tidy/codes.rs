//! Error codes: each code that the program can say has a page under `docs/errors`, and each page is about a code in use.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Tree};

/// Folder of the pages.
const FOLDER: &str = "docs/errors/";

/// The list of all pages.
const INDEX: &str = "docs/errors/README.md";

/// What every page says, in this order.
const SECTIONS: [&str; 3] = ["## What happened", "## What Wardline did", "## What to do"];

/// Most lines of a page: it is read in the middle of an incident.
const LINES_MAX: usize = 40;

/// Checks codes and pages against each other.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let used = used(tree);
    let mut findings = Vec::new();
    for (code, (path, line)) in &used {
        if tree.text(&page(code)).is_none() {
            findings.push(Finding::new(path, *line, format!("{code} has no page: write {}", page(code))));
        }
    }
    let index = tree.text(INDEX).unwrap_or_default();
    for (path, text) in tree.ending(".md") {
        let Some(code) =
            path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".md")).filter(|name| *name != "README")
        else {
            continue;
        };
        if !used.contains_key(code) {
            findings.push(Finding::new(path, 0, "no source says this code: remove the page, or use the code"));
        }
        if !index.contains(&format!("[{code}]({code}.md)")) {
            findings.push(Finding::new(INDEX, 0, format!("does not list {code}")));
        }
        check_page(path, code, text, &mut findings);
    }
    findings
}

fn page(code: &str) -> String {
    format!("{FOLDER}{code}.md")
}

fn check_page(path: &str, code: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text
        .lines()
        .next()
        .is_some_and(|title| title.len() > code.len() + 4 && title.starts_with(&format!("# {code}: ")))
    {
        findings.push(Finding::new(path, 1, format!("the first line is `# {code}: short name`")));
    }
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).map(str::trim_end).collect();
    if found != SECTIONS {
        findings.push(Finding::new(path, 0, format!("its sections are {}", SECTIONS.join(", "))));
    }
    if text.lines().count() > LINES_MAX {
        findings.push(Finding::new(path, 0, format!("at most {LINES_MAX} lines")));
    }
}

/// Every code in a Rust source outside tests, with the first place that says it.
fn used(tree: &Tree) -> BTreeMap<&str, (&str, usize)> {
    let mut used = BTreeMap::new();
    for (path, text) in tree.ending(".rs") {
        if path.starts_with("xtask/src/tidy/") || path.starts_with("tests/") || path.contains("/tests/") {
            continue;
        }
        // Unit tests stand last in a file and may make codes up.
        let shipped = text.split_once("\n#[cfg(test)]").map_or(text, |(before, _)| before);
        for (number, line) in (1..).zip(shipped.lines()) {
            for code in codes(line) {
                used.entry(code).or_insert((path, number));
            }
        }
    }
    used
}

/// The texts of the form `WL-` and four digits in a line.
fn codes(line: &str) -> BTreeSet<&str> {
    line.match_indices("WL-")
        .filter_map(|(start, _)| {
            let code = line.get(start..start + 7)?;
            let longer = line[start + 7..].starts_with(|next: char| next.is_ascii_digit());
            (code[3..].bytes().all(|byte| byte.is_ascii_digit()) && !longer).then_some(code)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# WL-4001: item unknown\n\n## What happened\nx\n\n## What Wardline did\nx\n\n## What to do\nx\n";

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_code_with_a_listed_page_is_fine() {
        let source =
            ("processors/validate/src/lib.rs", "Code::new(\"WL-4001\")\n/// `WL-nnnn`\n#[cfg(test)]\n\"WL-9999\"");
        let found = messages(&[source, ("docs/errors/WL-4001.md", PAGE), (INDEX, "- [WL-4001](WL-4001.md)\n")]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_found() {
        let found = messages(&[("a/src/lib.rs", "\"WL-4002\""), ("docs/errors/WL-4001.md", PAGE), (INDEX, "")]);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_page_without_its_parts_is_found() {
        let found = messages(&[
            ("a/src/lib.rs", "\"WL-4001\""),
            ("docs/errors/WL-4001.md", "# Item unknown\n## What to do\n"),
            (INDEX, "[WL-4001](WL-4001.md)"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
