//! How a second person says what they saw: by its mark, or by a yes to what is shown to them.

use crate::{Failure, output};
use std::io::{BufRead as _, IsTerminal as _, stdin};

/// Stands for characters that a terminal acts on instead of showing them.
const NOT_SHOWN: char = '\u{fffd}';
/// What is typed to agree.
const YES: &str = "yes";

/// The mark of what a person agrees to. What waits is shown when no mark was given: somebody at a terminal is asked, anybody else
/// is told how to say it.
///
/// # Errors
/// When there is nobody to ask, or they do not agree.
pub fn seen(given: Option<&str>, shown: &[String], mark: &str) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    for line in shown {
        output::note(&plain(line));
    }
    if !stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let typed: Vec<String> = std::env::args().skip(1).collect();
        return Err(Failure::usage(
            "WL-1450: what is agreed to is what was seen, and that was not said",
            format!("read it above, then run `{}`", again(&typed, mark)),
        ));
    }
    output::note(&format!("type {YES} to agree to this, anything else to leave it:"));
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).map_err(|error| Failure::new(error, "say what you saw with --seen MARK"))?;
    answered(&answer, mark)
}

fn answered(answer: &str, mark: &str) -> Result<String, Failure> {
    match answer.trim() == YES {
        true => Ok(mark.to_owned()),
        false => {
            Err(Failure::new("WL-1452: not agreed to, so nothing was changed", "propose something else, or leave it"))
        }
    }
}

/// The command once more, with the mark.
fn again(typed: &[String], mark: &str) -> String {
    let words = typed.iter().map(|word| quoted(word));
    format!("wardline {} --seen {mark}", words.collect::<Vec<_>>().join(" "))
}

pub use operations::shell::quoted;

/// A text without what would move the cursor, hide or turn round what somebody has to read.
pub fn plain(text: &str) -> String {
    let acts = |one: char| {
        one.is_control()
            || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|one| if acts(one) { NOT_SHOWN } else { one }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_told_as_a_shell_takes_it() {
        let typed = ["crosswalk", "approve", "item", "ORIS|GENERAL", "it's", "--actor=Bert"].map(str::to_owned);
        let expected = r"wardline crosswalk approve item 'ORIS|GENERAL' 'it'\''s' --actor=Bert --seen m1";
        assert_eq!(again(&typed, "m1"), expected);
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn only_a_yes_agrees_and_a_mark_needs_no_question() {
        assert_eq!(answered("yes\n", "m1").unwrap(), "m1");
        for no in ["", "y", "no", "yes please"] {
            assert!(answered(no, "m1").unwrap_err().to_string().starts_with("WL-1452: "), "{no}");
        }
        assert_eq!(seen(Some("m2"), &[], "m1").unwrap(), "m2", "the record decides whether it is that");
    }

    #[test]
    fn nothing_is_hidden_from_who_reads_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Kb\rc\u{202e}d\u{200b}"), "a\u{fffd}[2Kb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(plain("Größe \"17\" -> é"), "Größe \"17\" -> é");
    }
}
