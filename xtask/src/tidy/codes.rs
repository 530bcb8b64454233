//! Error codes: each code that the program can say has a page under `docs/errors`, and each page is about a code in use.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Tree};

/// Folder of the pages.
const FOLDER: &str = "docs/errors/";

/// The list of all pages, made from their first lines.
pub const INDEX: &str = "docs/errors/README.md";

/// Start of the list: how codes are numbered.
const INDEX_START: &str = "# Error codes

Every code that Wardline says has a page here: what happened, what Wardline did with it, what to do. This list is made from
the pages by `cargo xtask tidy --fix`.

| codes | about |
| --- | --- |
| 10xx | HL7 v2 |
| 14xx | approvals by a second person |
| 15xx | device identifiers |
| 20xx | FHIR |
| 30xx | the ERP |
| 40xx | validating and enriching |
| 50xx to 52xx | effects: posting, notices, analytics |
| 60xx | the runtime: decoding, registry, Kafka, parking |
| 70xx | configuration, topics, the command line, components, embedded parts |
| 71xx to 72xx | exceptions, corrections and mappings, the console and its sign-in, replays, positions of rooms, reconciliation, service levels |

";

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
    if tree.text(INDEX) != Some(index(tree).as_str()) {
        findings.push(Finding::new(INDEX, 0, "is not the list of all pages: run `cargo xtask tidy --fix`"));
    }
    for (path, code, text) in pages(tree) {
        if !used.contains_key(code) {
            findings.push(Finding::new(path, 0, "no source says this code: remove the page, or use the code"));
        }
        check_page(path, code, text, &mut findings);
    }
    findings
}

/// The text of the list of all pages.
#[must_use]
pub fn index(tree: &Tree) -> String {
    let lines = pages(tree).map(|(_, code, text)| {
        let title = text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title);
        format!("- [{code}]({code}.md): {}\n", title.trim())
    });
    INDEX_START.to_owned() + &lines.collect::<String>()
}

/// Path, code and text of every page.
fn pages(tree: &Tree) -> impl Iterator<Item = (&str, &str, &str)> {
    tree.ending(".md").filter_map(|(path, text)| {
        let code = path.strip_prefix(FOLDER)?.strip_suffix(".md").filter(|name| *name != "README")?;
        Some((path, code, text))
    })
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
        let page = ("docs/errors/WL-4001.md", PAGE);
        let list = index(&Tree::of(&[page]));
        assert!(list.ends_with("\n- [WL-4001](WL-4001.md): item unknown\n"));
        assert_eq!(messages(&[source, page, (INDEX, &list)]), Vec::<String>::new());
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_or_place_in_the_list_are_found() {
        let found = messages(&[("a/src/lib.rs", "\"WL-4002\""), ("docs/errors/WL-4001.md", PAGE), (INDEX, "")]);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_page_without_its_parts_is_found() {
        let page = ("docs/errors/WL-4001.md", "# Item unknown\n## What to do\n");
        let list = index(&Tree::of(&[page]));
        let found = messages(&[("a/src/lib.rs", "\"WL-4001\""), page, (INDEX, &list)]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
