//! Names of test files: `parts*` run on parts of the testkit; `real*` on real systems alone, `browser*` with a browser, and
//! `corpus*` on the corpus, which a plain `cargo test` has not.

use toml::{Table, Value};

use super::{Finding, Tree};

/// How a test names the parts it runs on.
const PARTS: [&str; 3] = ["testkit::parts", "testkit::stack", "wardline_tests::hospital"];

/// What only a test of real systems names.
const REAL: [&str; 2] = ["use components::", "use wardline_components::"];

/// How a test names the browser.
const BROWSER: [&str; 1] = ["wardline_tests::browser"];

/// How a test names the corpus.
const CORPUS: [&str; 1] = ["testkit::corpus"];

/// Checks every file of tests that is a target of its own.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let Some((member, name)) = target(path) else { continue };
        let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if ["real", "browser", "corpus"].iter().any(|start| name.starts_with(start)) {
            if !is_left_out(tree, member, name) {
                let rule =
                    format!("needs `[[test]] name = \"{name}\"` with `test = false` in the manifest of its crate");
                findings.push(Finding::new(path, 0, rule));
            }
        } else if names(&BROWSER) {
            findings.push(Finding::new(path, 0, "a test that needs a browser is called `browser*`"));
        } else if names(&CORPUS) {
            findings.push(Finding::new(path, 0, "a test that needs the corpus is called `corpus*`"));
        } else if names(&REAL) {
            findings.push(Finding::new(
                path,
                0,
                "starts real systems by itself: take testkit::parts, or call it `real*`",
            ));
        } else if names(&PARTS) != name.starts_with("parts") {
            findings.push(Finding::new(
                path,
                0,
                "a test is called `parts*` when it runs on parts of the testkit, and only then",
            ));
        }
    }
    findings
}

/// Crate and name of a test target: `tests/NAME.rs` or `tests/NAME/main.rs`.
fn target(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_suffix("/main.rs").unwrap_or(path);
    let (folder, file) = path.rsplit_once('/')?;
    Some((folder.strip_suffix("/tests")?, file.strip_suffix(".rs").unwrap_or(file)))
}

/// Whether a plain `cargo test` leaves the target out.
fn is_left_out(tree: &Tree, member: &str, name: &str) -> bool {
    let manifest = tree.text(&format!("{member}/Cargo.toml")).and_then(|text| text.parse::<Table>().ok());
    let targets = manifest.as_ref().and_then(|manifest| manifest.get("test")).and_then(Value::as_array);
    targets.into_iter().flatten().any(|target| {
        target.get("name").and_then(Value::as_str) == Some(name)
            && target.get("test").and_then(Value::as_bool) == Some(false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn well_named_targets_have_no_finding() {
        let files = [
            ("crates/x/Cargo.toml", "[[test]]\nname = \"real_server\"\ntest = false\n"),
            ("crates/x/tests/real_server.rs", "use components::Kafka;"),
            ("crates/x/tests/parts_day.rs", "use testkit::stack::Stack;"),
            ("crates/x/tests/parts_night/main.rs", "use testkit::stack::Stack;"),
            ("crates/x/tests/plain.rs", "use testkit::drive;"),
            ("crates/x/tests/support/mod.rs", "use components::Kafka;"),
        ];
        assert_eq!(messages(&files), Vec::<String>::new());
    }

    #[test]
    fn a_real_test_that_a_plain_run_takes_is_found() {
        let manifest = "[[test]]\nname = \"real_other\"\ntest = false\n[[test]]\nname = \"real_server\"\n";
        let files = [("crates/x/Cargo.toml", manifest), ("crates/x/tests/real_server.rs", "")];
        assert!(messages(&files)[0].contains("test = false"));
    }

    #[test]
    fn a_test_that_needs_something_under_another_name_is_found() {
        for text in [
            "use components::Kafka;",
            "use testkit::parts;",
            "use wardline_tests::browser::Tab;",
            "let corpus = testkit::corpus();",
        ] {
            assert_eq!(messages(&[("crates/x/tests/room.rs", text)]).len(), 1, "{text}");
        }
        assert_eq!(messages(&[("crates/x/tests/parts.rs", "use testkit::drive;")]).len(), 1);
    }
}
