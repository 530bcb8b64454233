//! From bytes to lines: the character set, the segments, and what had to be tolerated on the way.

use std::borrow::Cow;

use super::charset::{Charset, CharsetError};
use super::message::ParseOptions;

/// Something outside the standard that was accepted. It changes nothing about the bytes kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tolerance {
    /// A UTF-8 byte order mark before MSH.
    ByteOrderMark,
    /// Blank lines or spaces before MSH or between segments.
    BlankLine,
    /// Segments end with LF.
    LineFeed,
    /// Segments end with CR LF.
    CarriageReturnLineFeed,
    /// A line that is no segment was kept as part of the field before it.
    LineBreakInField,
    /// NUL, Ctrl-Z or FS at the end.
    Trailer,
    /// MSH-2 writes a delimiter twice.
    RepeatedDelimiter,
    /// A segment name in lower case.
    LowerCaseName,
    /// A segment name that has not three characters.
    MalformedName,
    /// Non-ASCII text without MSH-18, read as UTF-8 or as the fallback of the source.
    UndeclaredCharset,
    /// MSH-18 names a set that is not known, but the text is plain ASCII.
    UnknownCharset,
}

impl Tolerance {
    /// The stable word under which it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte-order-mark",
            Self::BlankLine => "blank-line",
            Self::LineFeed => "line-end.lf",
            Self::CarriageReturnLineFeed => "line-end.crlf",
            Self::LineBreakInField => "line-break.in-field",
            Self::Trailer => "trailer",
            Self::RepeatedDelimiter => "delimiter.repeated",
            Self::LowerCaseName => "segment-name.lower-case",
            Self::MalformedName => "segment-name.malformed",
            Self::UndeclaredCharset => "charset.undeclared",
            Self::UnknownCharset => "charset.unknown",
        }
    }
}

/// The character sets of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets {
    /// That of its bytes.
    pub(super) text: Charset,
    /// Those of the bytes that `\Xhh\` escapes stand for, in the order in which they are tried. Where no set is declared and
    /// no byte told one, these are the ones in which other text would have been read.
    pub(super) escaped: [Option<Charset>; 2],
}

impl Sets {
    fn of(text: Charset) -> Self {
        Self { text, escaped: [Some(text), None] }
    }
}

/// Finds out the character sets and decodes.
pub(super) fn decode<'a>(
    body: &'a [u8],
    header: &[u8],
    options: ParseOptions,
    tolerances: &mut Vec<Tolerance>,
) -> Result<(Sets, Cow<'a, str>), CharsetError> {
    let declared = declared_charset(header);
    let charset = match Charset::declared(declared.iter().map(AsRef::as_ref)) {
        Some(charset) => charset,
        None if body.is_ascii() && !body.contains(&0x1b) => {
            tolerances.push(Tolerance::UnknownCharset);
            Charset::ASCII
        }
        None => return Err(CharsetError::Unknown),
    };
    if declared.iter().any(|name| !name.trim().is_empty()) {
        return charset.decode(body).map(|text| (Sets::of(charset), text));
    }
    if body.is_ascii() {
        let sets = Sets { text: charset, escaped: [Some(Charset::UTF_8), options.fallback_charset] };
        return charset.decode(body).map(|text| (sets, text));
    }
    tolerances.push(Tolerance::UndeclaredCharset);
    match (Charset::UTF_8.decode(body), options.fallback_charset) {
        (Ok(text), _) => Ok((Sets::of(Charset::UTF_8), text)),
        (Err(_), Some(fallback)) => fallback.decode(body).map(|text| (Sets::of(fallback), text)),
        (Err(error), None) => Err(CharsetError::Undeclared { offset: offset_of(&error).unwrap_or_default() }),
    }
}

/// The repetitions of MSH-18. Everything before it and the names themselves are ASCII in practice, so bytes are enough here.
fn declared_charset(header: &[u8]) -> Vec<Cow<'_, str>> {
    let line = &header[..memchr::memchr2(b'\r', b'\n', header).unwrap_or(header.len())];
    let Some(separator) = line.get(3) else { return Vec::new() };
    let repetition = line.get(5).copied().unwrap_or(b'~');
    let field = line.split(|byte| byte == separator).nth(17).unwrap_or_default();
    field.split(|byte| *byte == repetition).map(String::from_utf8_lossy).collect()
}

pub(super) fn offset_of(error: &CharsetError) -> Option<usize> {
    match error {
        CharsetError::Contradicted { offset, .. } | CharsetError::Undeclared { offset } => Some(*offset),
        CharsetError::Unknown => None,
    }
}

/// Cuts the text into segments at CR, LF and CR LF. Lines that are no segment belong to the field before them.
pub(super) fn segments(
    text: &str,
    start: usize,
    separator: char,
    tolerances: &mut Vec<Tolerance>,
) -> Vec<(usize, usize)> {
    let trimmed = text.trim_end_matches(['\0', '\u{1a}', '\u{1c}', '\r', '\n', ' ']).len().max(start);
    if text[trimmed..].contains(['\0', '\u{1a}', '\u{1c}']) {
        tolerances.push(Tolerance::Trailer);
    }
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut from = start;
    while from < text.len() {
        let end = memchr::memchr2(b'\r', b'\n', &text.as_bytes()[from..]).map_or(text.len(), |at| from + at);
        let line = &text[from..end.min(trimmed.max(from))];
        match classify(line, separator) {
            _ if from > trimmed => {}
            Line::Blank => tolerances.push(Tolerance::BlankLine),
            Line::Segment(tolerance) => {
                tolerances.extend(tolerance);
                found.push((from, from + line.len()));
            }
            Line::Continuation => {
                tolerances.push(Tolerance::LineBreakInField);
                if let Some(last) = found.last_mut() {
                    last.1 = from + line.len();
                }
            }
        }
        let ending = &text.as_bytes()[end..];
        from = end
            + match ending {
                [b'\r', b'\n', ..] => {
                    tolerances.push(Tolerance::CarriageReturnLineFeed);
                    2
                }
                [b'\n', ..] => {
                    tolerances.push(Tolerance::LineFeed);
                    1
                }
                _ => 1,
            };
        tolerances.dedup();
    }
    found
}

enum Line {
    Blank,
    Segment(Option<Tolerance>),
    Continuation,
}

fn classify(line: &str, separator: char) -> Line {
    // No name is longer; a longer one is no segment, as would be one with a character of several bytes.
    let begin = line.get(..line.len().min(8)).unwrap_or(line);
    let name = begin.split(separator).next().unwrap_or_default();
    let alphanumeric = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.as_bytes()[0].is_ascii_alphabetic();
    if line.trim().is_empty() {
        Line::Blank
    } else if alphanumeric && name.len() == 3 {
        Line::Segment(name.bytes().any(|byte| byte.is_ascii_lowercase()).then_some(Tolerance::LowerCaseName))
    } else if alphanumeric && name.len() <= 5 && name.len() < line.len() {
        Line::Segment(Some(Tolerance::MalformedName))
    } else {
        Line::Continuation
    }
}
