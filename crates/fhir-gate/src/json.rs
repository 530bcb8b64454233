//! JSON that keeps what the sender wrote: numbers as text (1.50 is not 1.5), and the place of every object in the bytes.
//!
//! `serde_json` silently keeps the last of two equal keys; FHIR wants them refused (JSON representation, 2.6.2), so this
//! reader is Wardline's own. It is bounded in depth and never panics.

use std::fmt;
use std::ops::Range;

/// Deepest nesting that is read; a Bundle of resources with contained resources needs about 30.
const DEPTH_MAX: usize = 100;
/// Most members of one object; the largest FHIR type has fewer than 100 elements.
const MEMBERS_MAX: usize = 1_000;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, escapes decoded.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A JSON object in the order of its members.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Members in the order as sent; no name twice.
    pub members: Vec<(String, Json)>,
    /// Where it stands in the bytes that were read, braces included.
    pub bytes: Range<usize>,
}

/// Why a text is not JSON that Wardline reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Byte offset from the start of the input, byte order mark included.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The kinds of [`JsonError`]. None of them repeats a value of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// Something else was expected here.
    Expected(&'static str),
    /// A name stands twice in one object.
    DuplicateKey,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// More nesting than the bound.
    TooDeep,
    /// More members in one object than the bound.
    TooWide,
}

impl fmt::Display for JsonErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(formatter, "expected {what}"),
            Self::DuplicateKey => formatter.write_str("a name stands twice in one object"),
            Self::NotUtf8 => formatter.write_str("the bytes are not UTF-8"),
            Self::TooDeep => write!(formatter, "more than {DEPTH_MAX} levels"),
            Self::TooWide => write!(formatter, "more than {MEMBERS_MAX} members in one object"),
        }
    }
}

impl Json {
    /// Reads one JSON value; a byte order mark before it is tolerated.
    ///
    /// # Errors
    /// [`JsonError`] with the place.
    pub fn read(bytes: &[u8]) -> Result<Self, JsonError> {
        let text =
            std::str::from_utf8(bytes).map_err(|error| locate(bytes, error.valid_up_to(), JsonErrorKind::NotUtf8))?;
        let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut reader = Reader { bytes, at: start };
        reader
            .value(0)
            .and_then(|value| {
                reader.space();
                if reader.at == bytes.len() { Ok(value) } else { Err(JsonErrorKind::Expected("the end of the input")) }
            })
            .map_err(|kind| locate(bytes, reader.at, kind))
    }

    /// A member of an object; `None` when it is absent, null, or this is no object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(object) = self else { return None };
        object
            .members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The text of a member.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// The items: those of an array, or the value itself as the only one.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => std::slice::from_ref(other),
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonErrorKind> {
        if depth > DEPTH_MAX {
            return Err(JsonErrorKind::TooDeep);
        }
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth).map(Json::Object),
            Some(b'[') => self.list(depth).map(Json::List),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(JsonErrorKind::Expected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object, JsonErrorKind> {
        let start = self.at;
        let mut members: Vec<(String, Json)> = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(Object { members, bytes: start..self.at });
        }
        loop {
            self.space();
            let name_at = self.at;
            let name = self.string()?;
            if members.iter().any(|(member, _)| *member == name) {
                self.at = name_at;
                return Err(JsonErrorKind::DuplicateKey);
            }
            if members.len() == MEMBERS_MAX {
                return Err(JsonErrorKind::TooWide);
            }
            self.space();
            if !self.take(b':') {
                return Err(JsonErrorKind::Expected("a colon"));
            }
            let value = self.value(depth + 1)?;
            members.push((name, value));
            self.space();
            if self.take(b'}') {
                return Ok(Object { members, bytes: start..self.at });
            }
            if !self.take(b',') {
                return Err(JsonErrorKind::Expected("a comma or the end of the object"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Json>, JsonErrorKind> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(items);
            }
            if !self.take(b',') {
                return Err(JsonErrorKind::Expected("a comma or the end of the array"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonErrorKind> {
        if !self.take(b'"') {
            return Err(JsonErrorKind::Expected("a string"));
        }
        let mut text = Vec::new();
        loop {
            let plain = self.bytes[self.at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let end = self.at + plain.ok_or(JsonErrorKind::Expected("the end of the string"))?;
            text.extend_from_slice(&self.bytes[self.at..end]);
            self.at = end;
            if self.take(b'"') {
                // Cut at ASCII bytes only, so what was UTF-8 still is.
                return String::from_utf8(text).map_err(|_| JsonErrorKind::NotUtf8);
            }
            if !self.take(b'\\') {
                return Err(JsonErrorKind::Expected("no control character in a string"));
            }
            let character = self.escape()?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn escape(&mut self) -> Result<char, JsonErrorKind> {
        let wrong = JsonErrorKind::Expected("an escape sequence of JSON");
        let letter = *self.bytes.get(self.at).ok_or(wrong)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex4()?;
                let low_follows = (0xd800..0xdc00).contains(&unit) && self.take(b'\\') && self.take(b'u');
                let scalar = if low_follows {
                    let low = self.hex4()?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(wrong)?;
                    0x1_0000 + ((unit - 0xd800) << 10) + low
                } else {
                    unit
                };
                char::from_u32(scalar).ok_or(wrong)?
            }
            _ => return Err(wrong),
        })
    }

    fn hex4(&mut self) -> Result<u32, JsonErrorKind> {
        let wrong = JsonErrorKind::Expected("four hexadecimal digits");
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(wrong)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong);
        }
        self.at += 4;
        let text = std::str::from_utf8(digits).map_err(|_| wrong)?;
        u32::from_str_radix(text, 16).map_err(|_| wrong)
    }

    fn number(&mut self) -> Result<String, JsonErrorKind> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned())
    }

    fn digits(&mut self) -> Result<(), JsonErrorKind> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(JsonErrorKind::Expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonErrorKind> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(JsonErrorKind::Expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(taken);
        taken
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

fn locate(bytes: &[u8], offset: usize, kind: JsonErrorKind) -> JsonError {
    let before = &bytes[..offset.min(bytes.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    JsonError {
        kind,
        offset,
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
    }
}
