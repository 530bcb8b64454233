//! HL7 v2: the parser, the cutting of files, the mapping and the answers.

use std::sync::OnceLock;

use hl7v2::config::MappingConfig;
use hl7v2::input::{Part, is_answered, parse_to_json, read_file, read_frame};
use hl7v2::mapping::{MappedEvent, Mapper, Outcome};
use hl7v2::mllp::{Event, acknowledgements, read_ack};
use hl7v2::parser::{Message, PieceKind, Segment, Value, split_plain};

use crate::frames::frames;
use crate::{NOW, PSEUDONYM_KEY, events};

const BOUND: usize = 1 << 24;

/// Segments and fields that are read one by one; more would only cost time.
const READ_MAX: usize = 40;

/// Headers and trailers of batches, which belong to no message.
const BATCH: [&[u8]; 4] = [b"FHS", b"BHS", b"BTS", b"FTS"];

/// What is parsed prints as the same bytes; no byte of a file is lost; every part of an input ends in one outcome, always the
/// same, whose events can be written; and every answer fits into a frame and can be read.
pub fn hl7v2(input: &[u8]) {
    check_message(input);
    check_pieces(input);
    check_outcomes(input);
}

fn check_message(input: &[u8]) {
    let Ok(message) = Message::parse(input) else { return };
    assert_eq!(message.rebuild(), message.text());
    let printed = message.print();
    assert_eq!(printed, input);
    for segment in message.segments().take(READ_MAX) {
        check_segment(&segment);
    }
    let texts = |message: &Message<'_>| message.segments().map(|segment| segment.text().to_owned()).collect::<Vec<_>>();
    assert_eq!(Message::parse(&printed).map(|again| texts(&again)).ok(), Some(texts(&message)));
}

fn check_segment(segment: &Segment<'_>) {
    assert!(segment.exists() && segment.is(segment.name()) && segment.sequence() >= 1);
    for number in 0..=segment.field_count().min(READ_MAX) {
        let field = segment.field(number);
        check_value(&field);
        for repetition in field.repetitions().take(READ_MAX) {
            check_value(&repetition);
            for number in 0..4 {
                check_value(&repetition.component(number));
                check_value(&repetition.component(number).subcomponent(number));
            }
        }
    }
    assert_eq!(segment.field(segment.field_count() + 1).raw(), "", "a field that is not there is empty");
}

fn check_value(value: &Value<'_>) {
    let decoded = value.decoded();
    assert!(!value.raw().is_empty() || decoded.text.is_empty());
    assert!(!value.is_null() || value.raw() == "\"\"");
    if let Some(first) = value.first() {
        assert!(!first.is_empty() && first.trim() == first, "{first:?}");
    }
}

/// Between two pieces there is nothing but blanks and segments of batches.
fn check_pieces(input: &[u8]) {
    let mut end = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let pieces = split_plain(input);
    assert!(!pieces.is_empty());
    for piece in pieces.iter().filter(|piece| !piece.bytes.is_empty()) {
        let start = piece.bytes.as_ptr().addr() - input.as_ptr().addr();
        check_gap(input.get(end..start).unwrap_or_default());
        assert!(start >= end || start == 0, "two pieces share bytes");
        end = start + piece.bytes.len();
        let content = piece.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&piece.bytes);
        assert!(piece.kind != PieceKind::Message || content.starts_with(b"MSH"));
    }
    check_gap(&input[end..]);
}

fn check_gap(gap: &[u8]) {
    for line in gap.split(|byte| matches!(byte, b'\r' | b'\n')) {
        let blank = line.iter().all(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1a | 0x1c));
        let batch = line.get(..3).is_some_and(|name| BATCH.contains(&name));
        assert!(blank || batch, "lost: {:?}", String::from_utf8_lossy(line));
    }
}

fn check_outcomes(input: &[u8]) {
    let Some(mapper) = mapper() else { return };
    let parts = read_file(input, mapper, BOUND, NOW);
    assert!(!parts.is_empty(), "an input without an outcome");
    for part in &parts {
        check_part(part, mapper);
    }
    for part in read_frame(input.to_vec(), mapper, NOW) {
        check_answers(&part);
    }
    let shown = parse_to_json(input, mapper, NOW);
    assert_eq!(shown.len(), parts.len());
    for (part, line) in parts.iter().zip(shown) {
        let place = |name: &str| line.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
        let (start, end) = (place("byte_start"), place("byte_end"));
        assert!(start <= end && usize::try_from(end).is_ok_and(|end| end <= part.bytes.len()), "{line}");
    }
}

fn check_part(part: &Part, mapper: &Mapper) {
    match &part.reading.outcome {
        Outcome::Events(found) => {
            assert!(!found.is_empty(), "events without an event");
            for event in found {
                match event {
                    MappedEvent::Encounter(encounter) => events::check(encounter.as_ref()),
                    MappedEvent::SupplyUsage(usage) => events::check(usage.as_ref()),
                }
            }
            assert_eq!(mapper.read(&part.bytes, NOW), part.reading, "the same bytes, another outcome");
        }
        Outcome::Dropped { rule, .. } => assert!(!rule.is_empty()),
        Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => {
            assert!(!part.bytes.is_empty() && !refusal.message.is_empty() && !refusal.suggested_fix.is_empty());
        }
    }
    assert_eq!(part.reading.identity.hash.len(), 64);
}

/// An answer goes through a frame unharmed, and names the message and the code.
fn check_answers(part: &Part) {
    if !is_answered(&part.reading) {
        return;
    }
    let errors = part.reading.errors();
    let answer =
        || acknowledgements(&part.bytes, part.reading.decision(), &errors, &part.reading.identity.hash, "20270115");
    let answers = answer();
    assert_eq!(answers, answer(), "the same message, another answer");
    for (code, answer) in answers {
        let framed = hl7v2::mllp::encode(&answer);
        let shown = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(frames([framed.as_slice()], BOUND), (vec![Event::Frame(answer.clone())], 0), "{shown:?}");
        let read = read_ack(&answer);
        assert_eq!(read.as_ref().map(|read| read.0), Some(code), "{shown:?}");
    }
}

fn mapper() -> Option<&'static Mapper> {
    static MAPPER: OnceLock<Option<Mapper>> = OnceLock::new();
    let made = MAPPER.get_or_init(|| Mapper::new(MappingConfig::default(), PSEUDONYM_KEY).ok());
    assert!(made.is_some(), "the default configuration is refused");
    made.as_ref()
}
