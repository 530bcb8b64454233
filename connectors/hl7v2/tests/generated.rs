//! Messages generated from a model: what was put in is read out, whatever the delimiters, line ends and cuts.

#![allow(clippy::unwrap_used, reason = "test")]

use hl7v2::mllp::{Decoder, Event, encode};
use hl7v2::parser::{Delimiters, Message, PieceKind, split};
use proptest::collection::vec;
use proptest::prelude::*;

/// What may delimit: ASCII punctuation but the quote, of which the null value is made.
const PUNCTUATION: &[char] = &[
    '|', '^', '~', '\\', '&', '#', '!', '@', '$', '%', '*', '+', ';', ':', '/', '<', '>', '=', '?', '_', '-', '.', ',',
];

/// A value of the lowest level: text, or the null value.
#[derive(Debug, Clone)]
enum Leaf {
    Text(String),
    Null,
}

type Component = Vec<Leaf>;
type Repetition = Vec<Component>;
type Field = Vec<Repetition>;

#[derive(Debug, Clone)]
struct Line {
    name: String,
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Model {
    delimiters: Delimiters,
    line_end: &'static str,
    /// MSH-18. Undeclared text is read as UTF-8, and so are the bytes that its escapes stand for.
    charset: &'static str,
    lines: Vec<Line>,
}

fn delimiters() -> impl Strategy<Value = Delimiters> {
    let custom = Just(PUNCTUATION.to_vec()).prop_shuffle().prop_flat_map(|letters| {
        (2_usize..=5).prop_map(move |declared| Delimiters {
            field: letters[0],
            component: letters[1],
            repetition: letters[2],
            escape: (declared > 2).then_some(letters[3]),
            subcomponent: (declared > 3).then_some(letters[4]),
            truncation: (declared > 4).then_some(letters[5]),
        })
    });
    prop_oneof![Just(Delimiters::STANDARD), custom]
}

/// Text in which delimiters, escapes, control characters and letters beyond ASCII are common.
fn leaf() -> impl Strategy<Value = Leaf> {
    let letter = prop_oneof![
        4 => prop_oneof![proptest::char::range('a', 'z'), proptest::char::range('0', '9')],
        3 => proptest::sample::select(PUNCTUATION),
        1 => proptest::sample::select(&['é', '山', '"', ' ', '\u{7f}', '\r', '\n', '\t', '\0'][..]),
        1 => any::<char>(),
        1 => proptest::char::range('\u{80}', '\u{9f}'),
    ];
    let text = vec(letter, 0..8).prop_map(|letters| Leaf::Text(letters.into_iter().collect()));
    prop_oneof![6 => text, 1 => Just(Leaf::Null)]
}

fn line() -> impl Strategy<Value = Line> {
    let field = vec(vec(vec(leaf(), 1..3), 1..3), 1..3);
    ("[A-Y][A-Z0-9]{2}", vec(field, 0..5))
        .prop_filter("not a header or a batch", |(name, _)| {
            !["MSH", "FHS", "BHS", "BTS", "FTS"].contains(&name.as_str())
        })
        .prop_map(|(name, fields)| Line { name, fields })
}

fn model() -> impl Strategy<Value = Model> {
    let line_end = proptest::sample::select(&["\r", "\n", "\r\n"][..]);
    let charset = proptest::sample::select(&["UNICODE", ""][..]);
    (delimiters(), line_end, charset, vec(line(), 0..5))
        .prop_map(|(delimiters, line_end, charset, lines)| Model { delimiters, line_end, charset, lines }.possible())
}

impl Model {
    /// Takes out what these delimiters cannot say: without an escape character no delimiter stands in a text, and without a
    /// separator there is one subcomponent.
    fn possible(mut self) -> Self {
        let delimiters = self.delimiters;
        let leaves = self.lines.iter_mut().flat_map(|line| &mut line.fields).flatten().flatten();
        for component in leaves {
            if delimiters.subcomponent.is_none() {
                component.truncate(1);
            }
            for leaf in component {
                let Leaf::Text(text) = leaf else { continue };
                if delimiters.escape.is_none() {
                    text.retain(|letter| letter_code(letter, &delimiters).is_none() && !letter.is_control());
                }
                if text == "\"\"" {
                    text.clear();
                }
            }
        }
        self
    }

    fn write(&self) -> String {
        let Delimiters { field, component, .. } = self.delimiters;
        let encoding = self.delimiters.encoding_characters();
        let head = ["A", "B", "C", "D", "2026", "", &format!("ADT{component}A01"), "1", "P", "2.5.1"];
        let mut text = format!("MSH{field}{encoding}");
        for part in head.into_iter().chain(["", "", "", "", "", self.charset]) {
            text.push(field);
            text.push_str(part);
        }
        text.push_str(self.line_end);
        for line in &self.lines {
            text.push_str(&line.name);
            for value in &line.fields {
                text.push(field);
                text.push_str(&self.write_field(value));
            }
            text.push_str(self.line_end);
        }
        // Blanks at the very end of a message belong to no value, so none stands there.
        text + "ZZZ" + self.line_end
    }

    fn write_field(&self, field: &Field) -> String {
        let Delimiters { component, repetition, subcomponent, .. } = self.delimiters;
        let join = |parts: Vec<String>, separator: Option<char>| parts.join(&String::from_iter(separator));
        let leaves = |leaves: &Component| join(leaves.iter().map(|leaf| self.write_leaf(leaf)).collect(), subcomponent);
        let components = |parts: &Repetition| join(parts.iter().map(leaves).collect(), Some(component));
        join(field.iter().map(components).collect(), Some(repetition))
    }

    fn write_leaf(&self, leaf: &Leaf) -> String {
        match leaf {
            Leaf::Null => "\"\"".to_owned(),
            Leaf::Text(text) => escaped(text, &self.delimiters),
        }
    }
}

/// The letter of the escape sequence that stands for a delimiter.
fn letter_code(letter: char, delimiters: &Delimiters) -> Option<char> {
    let codes = [
        (Some(delimiters.field), 'F'),
        (Some(delimiters.component), 'S'),
        (Some(delimiters.repetition), 'R'),
        (delimiters.escape, 'E'),
        (delimiters.subcomponent, 'T'),
    ];
    codes.into_iter().find(|(delimiter, _)| *delimiter == Some(letter)).map(|(_, code)| code)
}

/// A text as a sender writes it (standard 2.7).
fn escaped(text: &str, delimiters: &Delimiters) -> String {
    let Some(escape) = delimiters.escape else { return text.to_owned() };
    let mut written = String::new();
    for letter in text.chars() {
        match letter_code(letter, delimiters) {
            Some(code) => written.extend([escape, code, escape]),
            None if letter.is_control() => {
                let mut bytes = [0; 4];
                let hexadecimal: String =
                    letter.encode_utf8(&mut bytes).bytes().map(|byte| format!("{byte:02X}")).collect();
                written.extend([escape, 'X']);
                written.push_str(&hexadecimal);
                written.push(escape);
            }
            None => written.push(letter),
        }
    }
    written
}

/// Every value of the model, at its place.
fn check_values(model: &Model, message: &Message<'_>) -> Result<(), TestCaseError> {
    let segments: Vec<_> = message.segments().collect();
    prop_assert_eq!(segments.len(), model.lines.len() + 2);
    for (line, segment) in model.lines.iter().zip(&segments[1..]) {
        prop_assert_eq!(segment.name(), &line.name);
        prop_assert_eq!(segment.field_count(), line.fields.len());
        for (field, number) in line.fields.iter().zip(1..) {
            let value = segment.field(number);
            prop_assert_eq!(value.repetitions().count(), field.len());
            for (repetition, found) in field.iter().zip(value.repetitions()) {
                for (component, number) in repetition.iter().zip(1..) {
                    for (leaf, place) in component.iter().zip(1..) {
                        let found = found.component(number).subcomponent(place);
                        match leaf {
                            Leaf::Null => prop_assert!(found.is_null()),
                            Leaf::Text(text) => {
                                let decoded = found.decoded();
                                prop_assert_eq!((decoded.text.as_ref(), decoded.kept_raw), (text.as_str(), false));
                                prop_assert_eq!(found.is_empty(), text.is_empty());
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Cuts bytes at these places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut from = 0;
    places.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_and_printed(model in model()) {
        let text = model.write();
        let message = Message::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(message.delimiters(), &model.delimiters);
        prop_assert_eq!(message.print(), text.as_bytes());
        prop_assert_eq!(message.rebuild(), &text[..]);
        check_values(&model, &message)?;
    }

    #[test]
    fn any_cut_of_a_stream_of_messages_gives_these_messages(
        models in vec(model(), 1..4),
        places in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let texts: Vec<String> = models.iter().map(Model::write).collect();
        let stream: Vec<u8> = texts.iter().flat_map(|text| encode(text.as_bytes())).collect();
        let mut decoder = Decoder::new(1 << 20);
        let mut events = Vec::new();
        for part in cut(&stream, &places) {
            decoder.push(part, &mut events);
        }
        events.extend(decoder.finish());
        let wanted: Vec<Event> = texts.iter().map(|text| Event::Frame(text.clone().into_bytes())).collect();
        prop_assert_eq!(events, wanted);
        prop_assert_eq!(decoder.noise_bytes(), 0);
    }

    #[test]
    fn messages_in_a_row_are_cut_apart(models in vec(model(), 1..4)) {
        let texts: Vec<String> = models.iter().map(Model::write).collect();
        let file = texts.concat();
        let pieces = split(file.as_bytes(), 1 << 20);
        prop_assert!(pieces.iter().all(|piece| piece.kind == PieceKind::Message && piece.warnings.is_empty()));
        // Of a CR LF that ends a message the LF may stand at the start of what follows, where it is a blank line.
        let trimmed = |bytes: &[u8]| bytes.trim_ascii().to_vec();
        let found: Vec<Vec<u8>> = pieces.iter().map(|piece| trimmed(&piece.bytes)).collect();
        prop_assert_eq!(found, texts.iter().map(|text| trimmed(text.as_bytes())).collect::<Vec<_>>());
    }
}
