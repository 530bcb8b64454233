//! Escape sequences (standard 2.7), decoded once and after splitting.

use std::borrow::Cow;

use super::charset::Charset;
use super::delimiters::Delimiters;

/// A decoded value, and whether some escape in it was unknown or unterminated and therefore kept as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// True if an escape could not be interpreted.
    pub kept_raw: bool,
}

/// Decodes the escapes in a value that is already split off. Borrows unless there is something to decode. The bytes of
/// `\Xhh\` are read in the first of the sets of which they are text.
pub(crate) fn decode<'a>(value: &'a str, delimiters: &Delimiters, sets: &[Option<Charset>]) -> Decoded<'a> {
    let Some(escape) = delimiters.escape else {
        return Decoded { text: Cow::Borrowed(value), kept_raw: false };
    };
    if !value.contains(escape) {
        return Decoded { text: Cow::Borrowed(value), kept_raw: false };
    }
    let mut text = String::with_capacity(value.len());
    let mut kept_raw = false;
    let mut rest = value;
    while let Some(open) = rest.find(escape) {
        text.push_str(&rest[..open]);
        let after = &rest[open + escape.len_utf8()..];
        let sequence = after.find(escape).map(|close| &after[..close]);
        let replaced =
            sequence.and_then(|sequence| interpret(sequence, delimiters, sets, &mut text).then_some(sequence));
        if let Some(sequence) = replaced {
            rest = &after[sequence.len() + escape.len_utf8()..];
        } else {
            // Not an escape after all: keep this one character and go on behind it, so that a later escape is still found.
            text.push(escape);
            kept_raw = true;
            rest = after;
        }
    }
    text.push_str(rest);
    Decoded { text: Cow::Owned(text), kept_raw }
}

/// Writes what a sequence stands for. False, with nothing written, if it is not known.
fn interpret(sequence: &str, delimiters: &Delimiters, sets: &[Option<Charset>], text: &mut String) -> bool {
    let character = match sequence {
        "F" => Some(delimiters.field),
        "S" => Some(delimiters.component),
        "R" => Some(delimiters.repetition),
        "E" => delimiters.escape,
        "T" => Some(delimiters.subcomponent.unwrap_or('&')),
        "P" => Some(delimiters.truncation.unwrap_or('#')),
        // Highlighting on and off carries no text.
        "H" | "N" => return true,
        _ => None,
    };
    if let Some(character) = character {
        text.push(character);
        return true;
    }
    match sequence.as_bytes().first() {
        Some(b'X') => hexadecimal(&sequence[1..], sets, text),
        Some(b'.') => formatted(&sequence[1..], text),
        _ => false,
    }
}

/// `Xhh…`: bytes in the character set of the message.
fn hexadecimal(digits: &str, sets: &[Option<Charset>], text: &mut String) -> bool {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return false;
    }
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect();
    let read = |bytes: Vec<u8>| sets.iter().flatten().find_map(|set| set.decode(&bytes).ok().map(Cow::into_owned));
    match bytes.and_then(read) {
        Some(decoded) => {
            text.push_str(&decoded);
            true
        }
        None => false,
    }
}

/// Formatting commands of the FT type: line breaks become line breaks, spaces spaces, layout is dropped.
fn formatted(command: &str, text: &mut String) -> bool {
    let name = command.get(..2).unwrap_or(command);
    let argument = command.get(2..).unwrap_or_default().trim();
    // A report never asks for more; the bound keeps a hostile count from growing the text.
    let count =
        || if argument.is_empty() { Some(1) } else { argument.parse::<usize>().ok().filter(|count| *count <= 1_000) };
    let (filler, count) = match name {
        "br" if argument.is_empty() => ('\n', Some(1)),
        "sp" => ('\n', count()),
        "ce" if argument.is_empty() => ('\n', Some(1)),
        "sk" => (' ', count()),
        "fi" | "nf" if argument.is_empty() => (' ', Some(0)),
        "in" | "ti" if argument.trim_start_matches(['+', '-']).bytes().all(|digit| digit.is_ascii_digit()) => {
            (' ', Some(0))
        }
        _ => return false,
    };
    match count {
        Some(count) => {
            text.extend(std::iter::repeat_n(filler, count));
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str, kept_raw: bool) {
        let decoded = decode(value, &Delimiters::STANDARD, &[Some(Charset::UTF_8)]);
        assert_eq!((decoded.text.as_ref(), decoded.kept_raw), (expected, kept_raw));
    }

    #[test]
    fn decodes_every_class() {
        check(r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f", false);
        check(r"a\.br\b\.sp2\c\.sk3\d\.in+4\e", "a\nb\n\nc   de", false);
        check(r"\H\bold\N\ \X41C3BC\ \P\", "bold Aü #", false);
        check(r"\E\T\E\", r"\T\", false);
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        check(r"\Q\ and \F\", r"\Q\ and |", true);
        check(r"unterminated \F here", r"unterminated \F here", true);
        check(r"\X4\ \XZZ\ \XFF\ \.sp99999\ \C2842\", r"\X4\ \XZZ\ \XFF\ \.sp99999\ \C2842\", true);
        check("\\", "\\", true);
    }

    #[test]
    fn borrows_when_there_is_nothing_to_decode() {
        assert!(matches!(decode("plain", &Delimiters::STANDARD, &[]).text, Cow::Borrowed("plain")));
    }
}
