//! What somebody may have meant who wrote a name that does not exist.

/// The candidate that is nearest to a word, when one is near enough to be a misspelling.
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = 1 + word.chars().count() / 3;
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= bound).min().map(|(_, candidate)| candidate)
}

/// A refusal of an unknown name, with what was meant behind it. Such a refusal puts the unknown name into back-quotes and lists
/// the known ones, with or without them: "unknown field `bootstap`, expected one of `bootstrap`, `instance`".
pub(crate) fn with_near(reason: String) -> String {
    let Some(start) = reason.find("unknown field `").or_else(|| reason.find("unknown variant `")) else {
        return reason;
    };
    let line = reason.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let unknown = line.split('`').nth(1).unwrap_or_default();
    let (_, known) = line.split_once("expected ").unwrap_or_default();
    let known = known.strip_prefix("one of ").unwrap_or(known);
    let known = known.split_once(" at line ").map_or(known, |(known, _)| known);
    let names = known.split([',', ' ', '`']).filter(|name| !matches!(*name, "" | "or"));
    let meant = near(unknown, names);
    match meant.map(|meant| format!("; did you mean `{meant}`?")) {
        Some(hint) => {
            let end = start + line.len();
            let (before, after) = (reason.get(..end).unwrap_or_default(), reason.get(end..).unwrap_or_default());
            format!("{before}{hint}{after}")
        }
        None => reason,
    }
}

/// Fewest characters to put in, take out or change to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut corner = line;
        let mut last = line + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&other) {
            let next = (corner + usize::from(left != *right)).min(last + 1).min(*cell + 1);
            corner = std::mem::replace(cell, next);
            last = next;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_edits() {
        let found = [("", ""), ("abc", ""), ("", "abc"), ("kitten", "sitting"), ("erp-pst", "erp-post"), ("ab", "ba")];
        assert_eq!(found.map(|(one, other)| distance(one, other)), [0, 3, 3, 3, 1, 2]);
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let rooms = ["hl7v2", "fhir", "erp", "erp-post", "validate"];
        assert_eq!(near("erp-pst", rooms), Some("erp-post"));
        assert_eq!(near("validat", rooms), Some("validate"));
        assert_eq!(near("warehouse", rooms), None);
    }

    #[test]
    fn a_refusal_names_what_was_meant() {
        let said = |text: &str| with_near(text.to_owned());
        assert_eq!(
            said("unknown field `pol_ms`, expected one of `facility`, `poll_ms` at line 3\n more"),
            "unknown field `pol_ms`, expected one of `facility`, `poll_ms` at line 3; did you mean `poll_ms`?\n more"
        );
        assert_eq!(
            said("3:1: unknown field `pol_ms`, expected one of facility, poll_ms at line 3"),
            "3:1: unknown field `pol_ms`, expected one of facility, poll_ms at line 3; did you mean `poll_ms`?"
        );
        assert_eq!(
            said("unknown variant `trytn`, expected `tryton` or `sandbox`"),
            "unknown variant `trytn`, expected `tryton` or `sandbox`; did you mean `tryton`?"
        );
        assert_eq!(said("unknown field `x`, expected `facility`"), "unknown field `x`, expected `facility`");
        assert_eq!(said("invalid type: `x`"), "invalid type: `x`");
    }
}
