//! What must not stand in a file: unfinished work, sleeps in tests, places of one machine, and too many lines.

use super::{Finding, Tree};

/// Most lines of a Rust file. Generated code is exempt.
const LINES_MAX: usize = 500;

/// Folder of generated code.
const GENERATED: &str = "schemas/src/generated/";

/// These rules name what they look for.
const OWN_FOLDER: &str = "xtask/src/tidy/";

/// Words of unfinished work, in any text.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Unfinished or skipped work in Rust.
const UNFINISHED_RUST: [&str; 3] = ["todo!(", "unimplemented!(", "#[ignore"];

/// Starts of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 5] = ["/root/", "/work/", "/farm/", "/home/", "/Users/"];

/// Endings of files in which words are looked for.
const TEXTS: [&str; 12] =
    [".rs", ".toml", ".yaml", ".yml", ".md", ".avsc", ".tpl", ".sh", ".py", ".txt", "run", "Containerfile"];

/// Checks the words and length of every file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending("") {
        if path.starts_with(OWN_FOLDER) || path == "LICENSE" || !TEXTS.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        check_words(path, text, &mut findings);
        if path.ends_with(".rs") && !path.starts_with(GENERATED) {
            let lines = text.lines().count();
            if lines > LINES_MAX {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("{lines} lines; at most {LINES_MAX}: one file is one idea"),
                ));
            }
        }
    }
    findings
}

fn check_words(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_rust = path.ends_with(".rs");
    // Helpers that wait for a condition, with a bound, are in the libraries of `testkit` and `tests`.
    let is_test = is_rust && (path.contains("/tests/") || path.ends_with("/tests.rs"));
    for (number, line) in (1..).zip(text.lines()) {
        for word in UNFINISHED {
            if has_word(line, word) {
                findings.push(Finding::new(path, number, format!("`{word}`: finish it, or write an issue")));
            }
        }
        if is_rust {
            for word in UNFINISHED_RUST.iter().filter(|word| line.contains(**word)) {
                findings.push(Finding::new(path, number, format!("`{word}`: nothing is left out or skipped")));
            }
        }
        if is_test && line.contains("sleep(") {
            findings.push(Finding::new(
                path,
                number,
                "a test waits for a condition with a bound, not for time to pass",
            ));
        }
        for start in MACHINE_PATHS.iter().filter(|start| names_place(line, start)) {
            findings.push(Finding::new(path, number, format!("`{start}`: a path of one machine")));
        }
    }
}

/// Whether `word` stands alone in `line`.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|neighbour| neighbour.is_alphanumeric() || neighbour == '_')
    })
}

/// Whether a path begins with `start`, and not merely contains it, as a URL or a longer path does.
fn names_place(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|neighbour| neighbour.is_alphanumeric() || "./_-}$".contains(neighbour))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(found("a/src/lib.rs", "// TODO: later\nfn f() { todo!() }\n#[ignore]\n"), 3);
        assert_eq!(found("docs/a.md", "FIXME\n"), 1);
        assert_eq!(found("a/src/lib.rs", "let segment = \"PXXXL\";\n"), 0);
    }

    #[test]
    fn a_sleep_is_found_in_tests_alone() {
        assert_eq!(found("a/tests/b.rs", "std::thread::sleep(d);\n"), 1);
        assert_eq!(found("tests/tests/b.rs", "tokio::time::sleep(d).await;\n"), 1);
        assert_eq!(found("tests/src/b.rs", "tokio::time::sleep(d).await;\n"), 0);
        assert_eq!(found("a/src/b.rs", "tokio::time::sleep(d).await;\n"), 0);
    }

    #[test]
    fn machine_paths_are_found_and_urls_are_not() {
        assert_eq!(found("a.md", "see /root/x and `/home/me/y`\n"), 2);
        assert_eq!(found("a.md", "https://example.org/home/x and ./work/y and {work}/work/x\n"), 0);
    }

    #[test]
    fn a_long_file_is_found_unless_generated() {
        let text = "//\n".repeat(501);
        assert_eq!(found("a/src/lib.rs", &text), 1);
        assert_eq!(found("schemas/src/generated/a.rs", &text), 0);
        assert_eq!(found("a/src/lib.rs", &"//\n".repeat(500)), 0);
    }
}
