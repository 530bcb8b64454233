//! Links between documents: what a relative link names must exist, headings included.

use super::{Finding, Tree};

/// Checks every relative link of every Markdown file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (number, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let Some(named) = resolve(path, file) else {
                findings.push(Finding::new(path, number, format!("`{target}` leaves the repository")));
                continue;
            };
            if !tree.has(&named) {
                findings.push(Finding::new(path, number, format!("`{target}` names nothing")));
            } else if !heading.is_empty()
                && !tree.text(&named).is_some_and(|text| headings(text).any(|slug| slug == heading))
            {
                findings.push(Finding::new(path, number, format!("`{target}`: no such heading")));
            }
        }
    }
    findings
}

/// Targets of the inline links and images of a Markdown text outside code, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        line.match_indices("](").filter_map(move |(start, _)| {
            let inside_code = line[..start].matches('`').count() % 2 == 1;
            let rest = &line[start + 2..];
            let target = rest.split_once(')')?.0.split_whitespace().next()?;
            (!inside_code).then_some((number, target))
        })
    })
}

/// Lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Headings in the form that links use: lower case, spaces as hyphens, punctuation left out.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line.trim_start_matches('#').trim()))
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// The path that a link in `from` names; `None` when it leaves the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    if link.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_fine() {
        let tree = Tree::of(&[
            (
                "README.md",
                "[a](docs/a.md) [b](docs/a.md#two-words) [c](docs) [d](https://example.org/x) [e](#here)\n# Here\n",
            ),
            ("docs/a.md", "## Two words!\n[up](../README.md)\n```\n[x](nothing.md)\n```\n`[y](nothing.md)`\n"),
        ]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn what_is_missing_is_found() {
        let text = "[a](b.md)\n[b](#nowhere)\n[c](../../up.md)\n[d](/abs.md)\n![e](picture.svg)\n";
        let lines: Vec<_> = check(&Tree::of(&[("docs/a.md", text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
    }
}
