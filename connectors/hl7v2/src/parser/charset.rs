//! Character sets of MSH-18 (HL7 table 0211), decoded before splitting: in several of them a byte of a character may look
//! like a delimiter.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, EncoderResult, Encoding, GB18030, ISO_2022_JP, ISO_8859_2, ISO_8859_3, ISO_8859_4,
    ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_10, ISO_8859_13, ISO_8859_14, ISO_8859_15, ISO_8859_16,
    SHIFT_JIS, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

/// A character set that Wardline can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ascii,
    Utf8,
    /// A single-byte or multi-byte set without switching.
    Table(&'static Encoding),
    /// Sets that are switched with ISO 2022 escape sequences.
    Iso2022,
}

/// Why bytes are not text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharsetError {
    /// The declared set is not one of table 0211 that Wardline knows, and the message is not plain ASCII.
    #[error("MSH-18 declares a character set that is not supported")]
    Unknown,
    /// The bytes are not text of the declared set.
    #[error("byte {offset} is not text of the character set {charset}")]
    Contradicted {
        /// The set that was declared.
        charset: &'static str,
        /// Where the first wrong byte is.
        offset: usize,
    },
    /// No set is declared, the bytes are neither ASCII nor UTF-8, and the source has no fallback.
    #[error("no character set is declared and the source has no fallback; byte {offset} is not UTF-8")]
    Undeclared {
        /// Where the first byte is that is not UTF-8.
        offset: usize,
    },
}

impl CharsetError {
    /// The code of the page that explains it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "WL-1004",
            Self::Contradicted { .. } => "WL-1005",
            Self::Undeclared { .. } => "WL-1006",
        }
    }
}

impl Charset {
    /// ASCII, the default of the standard.
    pub const ASCII: Self = Self(Kind::Ascii);
    /// UTF-8.
    pub const UTF_8: Self = Self(Kind::Utf8);

    /// The set that MSH-18 declares, from its repetitions in order. None if a name is not known; ASCII if nothing is declared.
    pub fn declared<'a>(repetitions: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut names = repetitions.into_iter().map(str::trim);
        let first = Self::named(names.next().unwrap_or_default())?;
        let mut further = names.filter(|name| !name.is_empty()).peekable();
        // Further sets are reached by escape sequences, whatever they are.
        let switched = further.peek().is_some();
        if further.any(|name| Self::named(name).is_none()) {
            return None;
        }
        Some(if switched { Self(Kind::Iso2022) } else { first })
    }

    /// A set by its name in table 0211, or by one of the names that senders use instead.
    pub fn named(name: &str) -> Option<Self> {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|found| found.to_ascii_uppercase()).collect();
        let kind = match plain.as_str() {
            "" | "ASCII" | "USASCII" | "ISOIR6" | "7BIT" => Kind::Ascii,
            "UNICODEUTF8" | "UTF8" | "UNICODE" | "ISOIR192" => Kind::Utf8,
            "ISOIR14" | "ISOIR13" => Kind::Table(SHIFT_JIS),
            "ISOIR87" | "ISOIR159" | "ISO2022JP" | "JIS" => Kind::Iso2022,
            "GB180302000" | "GB18030" | "GB2312" | "GBK" => Kind::Table(GB18030),
            "BIG5" => Kind::Table(BIG5),
            "KSX1001" | "KSC5601" | "EUCKR" => Kind::Table(EUC_KR),
            "SHIFTJIS" | "SJIS" | "WINDOWS31J" => Kind::Table(SHIFT_JIS),
            "EUCJP" => Kind::Table(EUC_JP),
            "WINDOWS1252" | "CP1252" | "LATIN1" | "ISOIR100" => Kind::Table(WINDOWS_1252),
            part => Kind::Table(iso_8859(part.strip_prefix("ISO").unwrap_or(part).strip_prefix("8859")?)?),
        };
        Some(Self(kind))
    }

    /// The name of the set, as the standard for it says it.
    pub fn name(&self) -> &'static str {
        match self.0 {
            Kind::Ascii => "US-ASCII",
            Kind::Utf8 => "UTF-8",
            Kind::Table(encoding) => encoding.name(),
            Kind::Iso2022 => "ISO-2022",
        }
    }

    /// The bytes as text, borrowed where they are UTF-8 already. Never replaces anything.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, str>, CharsetError> {
        match self.0 {
            Kind::Ascii | Kind::Utf8 => self.borrow(bytes).map(Cow::Borrowed),
            Kind::Table(_) if bytes.is_ascii() => self.borrow(bytes).map(Cow::Borrowed),
            Kind::Table(encoding) => match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
                Some(text) => Ok(text),
                None => Err(CharsetError::Contradicted { charset: self.name(), offset: first_wrong(encoding, bytes) }),
            },
            Kind::Iso2022 => iso_2022(bytes)
                .map(Cow::Owned)
                .map_err(|offset| CharsetError::Contradicted { charset: self.name(), offset }),
        }
    }

    /// The text as bytes of this set; characters that it lacks become `?`. Used for what we write ourselves.
    pub fn encode<'a>(&self, text: &'a str) -> Cow<'a, [u8]> {
        let encoding = match self.0 {
            Kind::Utf8 => return Cow::Borrowed(text.as_bytes()),
            // In ISO 2022 an escape character is never text.
            kind if text.is_ascii() && !(kind == Kind::Iso2022 && text.contains('\u{1b}')) => {
                return Cow::Borrowed(text.as_bytes());
            }
            Kind::Ascii => {
                return Cow::Owned(
                    text.chars()
                        .map(|found| if found.is_ascii() { found } else { '?' })
                        .collect::<String>()
                        .into_bytes(),
                );
            }
            Kind::Table(encoding) => encoding,
            Kind::Iso2022 => ISO_2022_JP,
        };
        Cow::Owned(encode_lines(encoding, text))
    }

    fn borrow<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, CharsetError> {
        let wrong = |offset| CharsetError::Contradicted { charset: self.name(), offset };
        // Asked of all bytes at once first: looking for the one takes longer than everything else about a long message.
        if self.0 != Kind::Utf8
            && !bytes.is_ascii()
            && let Some(offset) = bytes.iter().position(|byte| !byte.is_ascii())
        {
            return Err(wrong(offset));
        }
        std::str::from_utf8(bytes).map_err(|error| wrong(error.valid_up_to()))
    }
}

/// The parts of ISO 8859. Part 1 is read as Windows-1252, which agrees with it in every printable character and is what
/// senders that declare 8859/1 really use for the others.
fn iso_8859(part: &str) -> Option<&'static Encoding> {
    Some(match part {
        "1" => WINDOWS_1252,
        "2" => ISO_8859_2,
        "3" => ISO_8859_3,
        "4" => ISO_8859_4,
        "5" => ISO_8859_5,
        "6" => ISO_8859_6,
        "7" => ISO_8859_7,
        "8" => ISO_8859_8,
        "9" => WINDOWS_1254,
        "10" => ISO_8859_10,
        "11" => WINDOWS_874,
        "13" => ISO_8859_13,
        "14" => ISO_8859_14,
        "15" => ISO_8859_15,
        "16" => ISO_8859_16,
        _ => return None,
    })
}

/// Line by line, because a line end returns to ASCII: what was switched before it must be switched again behind it.
fn encode_lines(encoding: &'static Encoding, text: &str) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len());
    for line in text.split_inclusive(['\r', '\n']) {
        let content = line.trim_end_matches(['\r', '\n']);
        encode_line(encoding, content, &mut written);
        written.extend_from_slice(&line.as_bytes()[content.len()..]);
    }
    written
}

/// The replacement of `encoding_rs` is a numeric reference of HTML, whose `&` and `#` are delimiters in HL7.
fn encode_line(encoding: &'static Encoding, line: &str, written: &mut Vec<u8>) {
    let mut encoder = encoding.new_encoder();
    let mut rest = line;
    loop {
        written.reserve(encoder.max_buffer_length_from_utf8_without_replacement(rest.len()).unwrap_or(rest.len()));
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, written, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => written.reserve(64),
            // Through the encoder, which may have to switch back to ASCII first.
            EncoderResult::Unmappable(_) => {
                written.reserve(16);
                let _ascii_fits = encoder.encode_from_utf8_to_vec_without_replacement("?", written, false);
            }
        }
    }
}

/// Where decoding stops. Only for the error message, so it may cost a second pass.
fn first_wrong(encoding: &'static Encoding, bytes: &[u8]) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut buffer = String::with_capacity(bytes.len() * 3 + 16);
    decoder.decode_to_string_without_replacement(bytes, &mut buffer, true).1.saturating_sub(1)
}

/// What the 94 or 94x94 positions of one half of the code space mean at a point of an ISO 2022 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Ascii,
    JisRoman,
    Katakana,
    Kanji,
    KanjiSupplement,
    Table(&'static Encoding, usize),
}

/// ISO 2022 as MSH-18 uses it: kanji and katakana in the lower half, Korean, Chinese and Latin sets in the upper half. Line
/// ends return to ASCII. The error is the offset of the first byte that has no meaning.
fn iso_2022(bytes: &[u8]) -> Result<String, usize> {
    let mut text = String::with_capacity(bytes.len() * 2);
    let (mut lower, mut upper) = (Half::Ascii, None);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == 0x1b {
            at += switch(&bytes[at..], &mut lower, &mut upper).ok_or(at)?;
            continue;
        }
        let half = if byte >= 0x80 {
            // Without a designation the upper half is JIS X 0201, which is what senders of ISO IR14 mean.
            upper.unwrap_or(Half::Katakana)
        } else if byte <= 0x20 || byte == 0x7f {
            if matches!(byte, b'\r' | b'\n') {
                lower = Half::Ascii;
            }
            Half::Ascii
        } else {
            lower
        };
        at += character(half, &bytes[at..], &mut text).ok_or(at)?;
    }
    Ok(text)
}

/// Obeys an escape sequence; gives its length, or none if it is not known.
fn switch(bytes: &[u8], lower: &mut Half, upper: &mut Option<Half>) -> Option<usize> {
    Some(match bytes {
        [_, b'$', b'(', b'D', ..] => {
            *lower = Half::KanjiSupplement;
            4
        }
        [_, b'$', b')', set @ (b'A' | b'C'), ..] => {
            *upper = Some(Half::Table(if *set == b'A' { GB18030 } else { EUC_KR }, 2));
            4
        }
        [_, b'$', b'@' | b'B', ..] => {
            *lower = Half::Kanji;
            3
        }
        [_, b'(', set @ (b'B' | b'J' | b'I'), ..] => {
            *lower = match set {
                b'B' => Half::Ascii,
                b'J' => Half::JisRoman,
                _ => Half::Katakana,
            };
            3
        }
        [_, b')', b'I', ..] => {
            *upper = Some(Half::Katakana);
            3
        }
        [_, b'-', set, ..] => {
            let part = ["1", "2", "3", "4", "", "7", "6", "8"].get(usize::from(set.checked_sub(b'A')?)).copied();
            let part = part.unwrap_or(if *set == b'L' { "5" } else { "9" });
            *upper = Some(Half::Table(iso_8859(part)?, 1));
            3
        }
        _ => return None,
    })
}

/// Decodes one character; gives the number of bytes it took.
fn character(half: Half, bytes: &[u8], text: &mut String) -> Option<usize> {
    let high = |index: usize| bytes.get(index).filter(|byte| **byte & 0x7f > 0x20).map(|byte| byte | 0x80);
    let (encoding, code): (_, &[u8]) = match half {
        Half::Ascii | Half::JisRoman if bytes[0] < 0x80 => {
            text.push(match (half, bytes[0]) {
                (Half::JisRoman, 0x5c) => '¥',
                (Half::JisRoman, 0x7e) => '‾',
                (_, byte) => char::from(byte),
            });
            return Some(1);
        }
        Half::Ascii | Half::JisRoman => return None,
        Half::Katakana => (EUC_JP, &[0x8e, high(0)?]),
        Half::Kanji => (EUC_JP, &[high(0)?, high(1)?]),
        Half::KanjiSupplement => (EUC_JP, &[0x8f, high(0)?, high(1)?]),
        Half::Table(encoding, length) => (encoding, bytes.get(..length)?),
    };
    text.push_str(&encoding.decode_without_bom_handling_and_without_replacement(code)?);
    Some(match half {
        Half::Katakana => 1,
        Half::Table(_, length) => length,
        _ => 2,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, bytes: &[u8], expected: &str) {
        assert_eq!(Charset::declared(name.split('~')).unwrap().decode(bytes).unwrap(), expected);
    }

    #[test]
    fn decodes_the_sets_of_table_0211() {
        check("8859/1", b"M\xfcller", "Müller");
        check("8859/15", b"\xa4", "€");
        check("ISO8859-15", b"\xa4", "€");
        check("UNICODE UTF-8", "Müller".as_bytes(), "Müller");
        check("GB 18030-2000", b"\xc4\xe3|", "你|");
        check("BIG-5", b"\xa7\x41", "你");
        check("KS X 1001", b"\xb1\xe8", "김");
        check("", b"plain", "plain");
    }

    #[test]
    fn follows_iso_2022() {
        check("~ISO IR87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎");
        check("ISO IR14~ISO IR87", b"\xd4\xcf\xc0\xde^\x1b$B;3ED\x1b(J", "ﾔﾏﾀﾞ^山田");
        check("~ISO IR159", b"\x1b$(D0!\x1b(B", "丂");
        check("~KS X 1001", b"\x1b$)C\xb1\xe8^A", "김^A");
        check("8859/1~8859/2", b"\x1b-B\xb1", "ą");
    }

    #[test]
    fn refuses_bytes_that_contradict_the_set() {
        let wrong = |name: &str, bytes: &[u8]| Charset::named(name).unwrap().decode(bytes).unwrap_err();
        assert_eq!(wrong("UTF-8", b"ab\xfc"), CharsetError::Contradicted { charset: "UTF-8", offset: 2 });
        assert_eq!(wrong("ASCII", b"a\xfc"), CharsetError::Contradicted { charset: "US-ASCII", offset: 1 });
        assert_eq!(wrong("ISO IR87", b"a\x1b$Z"), CharsetError::Contradicted { charset: "ISO-2022", offset: 1 });
        assert!(matches!(wrong("GB 18030-2000", b"ab\xff"), CharsetError::Contradicted { offset: 2, .. }));
        assert_eq!(Charset::named("ISO IR 999"), None);
    }

    #[test]
    fn encodes_what_we_write() {
        assert_eq!(Charset::named("8859/1").unwrap().encode("Müller").as_ref(), b"M\xfcller");
        assert_eq!(Charset::ASCII.encode("Müller").as_ref(), b"M?ller");
    }

    #[test]
    fn writes_a_question_mark_for_what_the_set_lacks() {
        let encode = |name: &str, text: &str| Charset::declared(name.split('~')).unwrap().encode(text).into_owned();
        assert_eq!(encode("8859/1", "M\u{fc}ller \u{5c71}|"), b"M\xfcller ?|");
        assert_eq!(encode("~ISO IR87", "\u{5c71}\u{ae40}\u{5c71}"), b"\x1b$B;3\x1b(B?\x1b$B;3\x1b(B");
        assert_eq!(encode("~ISO IR87", "a\u{1b}$B"), b"a?$B");
    }

    #[test]
    fn switches_anew_on_every_line() {
        let charset = Charset::declared(["", "ISO IR87"]).unwrap();
        let written = charset.encode("\u{203e}\r\u{203e}\u{5c71}\r\n~");
        assert_eq!(written.as_ref(), b"\x1b(J~\x1b(B\r\x1b(J~\x1b$B;3\x1b(B\r\n~");
        assert_eq!(charset.decode(&written).unwrap(), "\u{203e}\r\u{203e}\u{5c71}\r\n~");
    }
}
