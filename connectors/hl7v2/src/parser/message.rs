//! A message as segments, fields, repetitions, components and subcomponents, each found when asked for.

use std::borrow::Cow;

use super::charset::Charset;
use super::delimiters::Delimiters;
use super::error::{ParseError, ParseErrorKind};
use super::escape::{self, Decoded};
use super::layout::{Sets, Tolerance, decode, offset_of, segments};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a parse may assume about its source.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParseOptions {
    /// The set for bytes that are neither ASCII nor UTF-8 when MSH-18 declares none. Without it such a message is refused.
    pub fallback_charset: Option<Charset>,
}

/// A parsed message. It borrows the bytes; its text is borrowed too unless decoding had to change it.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    raw: &'a [u8],
    text: Cow<'a, str>,
    delimiters: Delimiters,
    sets: Sets,
    /// Each segment, without its terminator.
    segments: Vec<Span>,
    /// Where the field separators are in the text, in order.
    separators: Vec<usize>,
    tolerances: Vec<Tolerance>,
}

/// A segment in the text: start, end, and which separators lie in it.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    separators: (usize, usize),
}

impl<'a> Message<'a> {
    /// Parses one message with default options.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_with(raw, ParseOptions::default())
    }

    /// Parses one message. Fails only if it does not begin with a usable MSH or is not text of its character set.
    pub fn parse_with(raw: &'a [u8], options: ParseOptions) -> Result<Self, ParseError> {
        let mut tolerances = Vec::new();
        let body = match raw.strip_prefix(BYTE_ORDER_MARK) {
            Some(body) => {
                tolerances.push(Tolerance::ByteOrderMark);
                body
            }
            None => raw,
        };
        let start = body.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(body.len());
        if start > 0 {
            tolerances.push(Tolerance::BlankLine);
        }
        let offset = raw.len() - body.len() + start;
        if !body[start..].starts_with(b"MSH") {
            return Err(ParseError { kind: ParseErrorKind::NoHeader, offset });
        }
        let (sets, text) = decode(body, &body[start..], options, &mut tolerances).map_err(|error| ParseError {
            offset: offset_of(&error).map_or(offset, |at| raw.len() - body.len() + at),
            kind: error.into(),
        })?;
        // Leading blanks are ASCII, so the header starts at the same place in the text.
        let Some(delimiters) = Delimiters::read(&text[start..]) else {
            return Err(ParseError { kind: ParseErrorKind::Delimiters, offset });
        };
        if !text[start + 4..].starts_with(&delimiters.encoding_characters()) {
            tolerances.push(Tolerance::RepeatedDelimiter);
        }
        let segments = segments(&text, start, delimiters.field, &mut tolerances);
        tolerances.sort_unstable();
        tolerances.dedup();
        let (segments, separators) = with_separators(&text, &segments, delimiters.field);
        Ok(Self { raw, text, delimiters, sets, segments, separators, tolerances })
    }

    /// The bytes that were parsed.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The decoded text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What MSH-1 and MSH-2 declare.
    pub fn delimiters(&self) -> &Delimiters {
        &self.delimiters
    }

    /// The character set in which the message was read.
    pub fn charset(&self) -> &Charset {
        &self.sets.text
    }

    /// What was accepted although it is outside the standard.
    pub fn tolerances(&self) -> &[Tolerance] {
        &self.tolerances
    }

    /// All segments in order.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> {
        self.segments.iter().enumerate().map(|(index, span)| self.at(index, *span))
    }

    /// The first segment of that name; an empty one if there is none.
    pub fn segment(&self, name: &str) -> Segment<'_> {
        let none = Segment { message: self, text: "", start: 0, separators: &[], index: self.segments.len() };
        self.find(name).unwrap_or(none)
    }

    /// The first segment of that name.
    pub fn find(&self, name: &str) -> Option<Segment<'_>> {
        let text = self.text.as_bytes();
        let like = |span: &Span| {
            text[span.start..span.end]
                .get(..name.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut candidates = self.segments.iter().enumerate().filter(|(_, span)| like(span));
        candidates.find_map(|(index, span)| Some(self.at(index, *span)).filter(|segment| segment.is(name)))
    }

    /// MSH, which every message has.
    pub fn header(&self) -> Segment<'_> {
        self.segment("MSH")
    }

    /// Writes the message from its parts. Gives back the bytes that were parsed.
    pub fn print(&self) -> Vec<u8> {
        let text = self.rebuild();
        match self.sets.text.decode(&self.raw[self.raw.len() - self.body_length()..]) {
            // Several byte sequences may mean the same text (ISO 2022), so the bytes kept are the ones given back.
            Ok(decoded) if decoded == text => self.raw.to_vec(),
            _ => self.sets.text.encode(&text).into_owned(),
        }
    }

    /// Writes the text from segments, fields, repetitions, components and subcomponents.
    pub fn rebuild(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        let mut end = 0;
        for (segment, span) in self.segments().zip(&self.segments) {
            text.push_str(&self.text[end..span.start]);
            segment.rebuild(&mut text);
            end = span.end;
        }
        text.push_str(&self.text[end..]);
        text
    }

    fn body_length(&self) -> usize {
        self.raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(self.raw).len()
    }

    fn at(&self, index: usize, span: Span) -> Segment<'_> {
        let separators = &self.separators[span.separators.0..span.separators.1];
        Segment { message: self, text: &self.text[span.start..span.end], start: span.start, separators, index }
    }
}

/// Finds the field separators of all segments in one pass: fields are asked for often and in any order.
fn with_separators(text: &str, segments: &[(usize, usize)], separator: char) -> (Vec<Span>, Vec<usize>) {
    let mut separators = Vec::with_capacity(segments.len() * 16);
    // Delimiters are ASCII.
    let byte = u8::try_from(separator).unwrap_or(b'|');
    let spans = segments.iter().map(|(start, end)| {
        let first = separators.len();
        separators.extend(memchr::memchr_iter(byte, &text.as_bytes()[*start..*end]).map(|at| start + at));
        Span { start: *start, end: *end, separators: (first, separators.len()) }
    });
    (spans.collect(), separators)
}

/// One segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'m> {
    message: &'m Message<'m>,
    text: &'m str,
    /// Where it begins in the text of the message.
    start: usize,
    /// Where its field separators are in the text of the message.
    separators: &'m [usize],
    index: usize,
}

impl<'m> Segment<'m> {
    /// The name as written, empty for a segment that is not there.
    pub fn name(&self) -> &'m str {
        self.between(0)
    }

    /// Whether it has that name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.text.len() >= name.len()
            && self.text.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes())
            && self.text[name.len()..].chars().next().is_none_or(|next| next == self.message.delimiters.field)
    }

    /// Whether the message has it.
    pub fn exists(&self) -> bool {
        !self.text.is_empty()
    }

    /// Its position among the segments of the message, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its position among the segments of the same name, from 1 (the sequence of ERR-2).
    pub fn sequence(&self) -> usize {
        self.message.segments().take(self.index).filter(|earlier| earlier.is(self.name())).count() + 1
    }

    /// The whole segment as written.
    pub fn text(&self) -> &'m str {
        self.text
    }

    /// Field `number`, from 1; MSH-1 is the field separator and MSH-2 the encoding characters. Empty if not there.
    pub fn field(&self, number: usize) -> Value<'m> {
        let separator = self.message.delimiters.field;
        let level = if self.has_delimiters() { number.checked_sub(1) } else { Some(number) };
        let text = match level {
            // A further header may be its name alone.
            Some(0) if self.has_delimiters() => self.text.get(3..3 + separator.len_utf8()).unwrap_or_default(),
            Some(index) if index > 0 => self.between(index),
            _ => "",
        };
        let literal = self.has_delimiters() && number <= 2;
        Value { message: self.message, text, level: if literal { Level::Literal } else { Level::Field } }
    }

    /// How many fields are written, empty ones included.
    pub fn field_count(&self) -> usize {
        self.separators.len() + usize::from(self.has_delimiters())
    }

    /// What is written between separators: part 0 is the name. Empty if not there.
    fn between(&self, part: usize) -> &'m str {
        let wide = self.message.delimiters.field.len_utf8();
        let from = match part.checked_sub(1) {
            None => 0,
            Some(before) => match self.separators.get(before) {
                Some(at) => at - self.start + wide,
                None => return "",
            },
        };
        let to = self.separators.get(part).map_or(self.text.len(), |at| at - self.start);
        &self.text[from..to]
    }

    fn has_delimiters(&self) -> bool {
        // The second letter is the cheapest way to tell most of the others.
        matches!(self.text.as_bytes().get(1), Some(b'S' | b's' | b'H' | b'h'))
            && (self.is("MSH") || self.is("FHS") || self.is("BHS"))
    }

    fn rebuild(&self, text: &mut String) {
        text.push_str(self.name());
        let first = if self.has_delimiters() { 2 } else { 1 };
        for number in first..=self.field_count() {
            text.push(self.message.delimiters.field);
            self.field(number).rebuild(text);
        }
    }
}

/// Whether a value was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Not sent: what the receiver knows stays as it is.
    Empty,
    /// Sent as `""`: what the receiver knows is to be deleted.
    Null,
    /// Sent with a value.
    Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// MSH-1, MSH-2: delimiters, not separated by themselves.
    Literal,
    Field,
    Repetition,
    Component,
    Subcomponent,
}

/// A field, repetition, component or subcomponent.
#[derive(Debug, Clone, Copy)]
pub struct Value<'m> {
    message: &'m Message<'m>,
    text: &'m str,
    level: Level,
}

impl<'m> Value<'m> {
    /// As written, escapes included.
    pub fn raw(&self) -> &'m str {
        self.text
    }

    /// Empty, null or given. A component of nothing but separators counts as empty.
    pub fn presence(&self) -> Presence {
        let delimiters = &self.message.delimiters;
        let separator = |found: char| {
            found == delimiters.component || found == delimiters.repetition || Some(found) == delimiters.subcomponent
        };
        match self.text {
            "\"\"" => Presence::Null,
            text if self.level != Level::Literal && text.chars().all(separator) => Presence::Empty,
            _ => Presence::Given,
        }
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.presence() == Presence::Empty
    }

    /// Whether `""` was sent.
    pub fn is_null(&self) -> bool {
        self.presence() == Presence::Null
    }

    /// The repetitions of a field; one at least.
    pub fn repetitions(&self) -> impl Iterator<Item = Value<'m>> + use<'m> {
        self.parts(Level::Repetition)
    }

    /// Component `number`, from 1, of the first repetition.
    pub fn component(&self, number: usize) -> Value<'m> {
        let repetition = if self.level == Level::Field { self.part(Level::Repetition, 1) } else { *self };
        repetition.part(Level::Component, number)
    }

    /// Subcomponent `number`, from 1, of the first component.
    pub fn subcomponent(&self, number: usize) -> Value<'m> {
        let component = if matches!(self.level, Level::Field | Level::Repetition) { self.component(1) } else { *self };
        component.part(Level::Subcomponent, number)
    }

    /// The decoded text, whatever separators it holds.
    pub fn decoded(&self) -> Decoded<'m> {
        if self.level == Level::Literal {
            return Decoded { text: Cow::Borrowed(self.text), kept_raw: false };
        }
        escape::decode(self.text, &self.message.delimiters, &self.message.sets.escaped)
    }

    /// The decoded text of the first subcomponent of the first component of the first repetition, without surrounding blanks;
    /// none if it is empty or null. This is what a receiver takes that expects a simple value (standard 2.8).
    pub fn first(&self) -> Option<Cow<'m, str>> {
        let value = if self.level == Level::Literal { *self } else { self.subcomponent(1) };
        if value.presence() != Presence::Given {
            return None;
        }
        let trimmed = match value.decoded().text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        (!trimmed.is_empty()).then_some(trimmed)
    }

    fn separator(&self, level: Level) -> Option<char> {
        let delimiters = &self.message.delimiters;
        match level {
            Level::Repetition => Some(delimiters.repetition),
            Level::Component => Some(delimiters.component),
            Level::Subcomponent => delimiters.subcomponent,
            Level::Literal | Level::Field => None,
        }
    }

    fn parts(&self, level: Level) -> impl Iterator<Item = Value<'m>> + use<'m> {
        let (message, text) = (self.message, self.text);
        let separator = if self.level == Level::Literal { None } else { self.separator(level) };
        let mut split = separator.map(|separator| text.split(separator));
        let mut whole = separator.is_none().then_some(text);
        std::iter::from_fn(move || match &mut split {
            Some(split) => split.next(),
            None => whole.take(),
        })
        .map(move |text| Value { message, text, level })
    }

    fn part(&self, level: Level, number: usize) -> Value<'m> {
        let separator = if self.level == Level::Literal { None } else { self.separator(level) };
        let text = match (number.checked_sub(1), separator) {
            (Some(index), Some(separator)) => nth(self.text, separator, index),
            (Some(0), None) => self.text,
            _ => "",
        };
        Value { message: self.message, text, level }
    }

    fn rebuild(&self, text: &mut String) {
        let below = match self.level {
            Level::Field => Level::Repetition,
            Level::Repetition => Level::Component,
            Level::Component => Level::Subcomponent,
            Level::Literal | Level::Subcomponent => return text.push_str(self.text),
        };
        for (index, part) in self.parts(below).enumerate() {
            if index > 0 {
                text.extend(self.separator(below));
            }
            part.rebuild(text);
        }
    }
}

/// Part `index`, from 0, of a text; empty if there are not so many. Delimiters are ASCII, so bytes will do.
fn nth(text: &str, separator: char, index: usize) -> &str {
    let Ok(separator) = u8::try_from(separator) else { return "" };
    let (mut start, mut left) = (0, index);
    loop {
        let end = memchr::memchr(separator, &text.as_bytes()[start..]).map(|at| start + at);
        match end {
            _ if left == 0 => return &text[start..end.unwrap_or(text.len())],
            Some(end) => start = end + 1,
            None => return "",
        }
        left -= 1;
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
