//! Words of a command that people copy.

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_./=:@,+%".contains(one);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (word, typed) in [("A-1", "A-1"), ("a b", "'a b'"), ("I'7", r"'I'\''7'"), ("", "''"), ("$x", "'$x'")] {
            assert_eq!(quoted(word), typed);
        }
    }
}
