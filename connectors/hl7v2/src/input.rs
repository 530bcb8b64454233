//! Reads a whole file (one message, several, a batch or MLLP frames) and says what each part of it becomes. The command line
//! prints it, the directory source publishes it.

use schemas::{Event, Timestamp};
use serde_json::{Value, json};

use crate::mapping::{Identity, MappedEvent, Mapper, Outcome, Reading, Refusal, content_hash, read_stray, rules};
use crate::mllp::{AckError, Decision, acknowledgements};
use crate::parser::{Piece, PieceKind, is_one_message, split, split_plain};

/// One part of an input and what became of it.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub reading: Reading,
    /// What is wrong with the batch around it.
    pub warnings: Vec<&'static str>,
}

/// Reads a file.
pub fn read_file(bytes: &[u8], mapper: &Mapper, max_frame_bytes: usize, now: Timestamp) -> Vec<Part> {
    split(bytes, max_frame_bytes).into_iter().map(|piece| read_piece(piece, mapper, max_frame_bytes, now)).collect()
}

/// Reads the content of one frame: one message, or all that a sender put into it.
pub fn read_frame(bytes: Vec<u8>, mapper: &Mapper, now: Timestamp) -> Vec<Part> {
    if is_one_message(&bytes) {
        let reading = mapper.read(&bytes, now);
        return vec![Part { bytes, reading, warnings: Vec::new() }];
    }
    split_plain(&bytes).into_iter().map(|piece| read_piece(piece, mapper, bytes.len(), now)).collect()
}

/// Reads a file for people and tools: one object per message, with `outcome` (`events`, `dropped`, `exception` or
/// `dead-letter`) and what belongs to it.
pub fn parse_to_json(bytes: &[u8], mapper: &Mapper, now: Timestamp) -> Vec<Value> {
    read_file(bytes, mapper, crate::mllp::MAX_FRAME_BYTES, now)
        .iter()
        .enumerate()
        .map(|(index, part)| to_json(index, part))
        .collect()
}

fn read_piece(piece: Piece<'_>, mapper: &Mapper, max_frame_bytes: usize, now: Timestamp) -> Part {
    let bytes = piece.bytes.into_owned();
    let reading = match piece.kind {
        PieceKind::Message => mapper.read(&bytes, now),
        PieceKind::Stray => read_stray(&bytes, Refusal::stray()),
        PieceKind::CutFrame => read_stray(&bytes, Refusal::cut_frame(bytes.len())),
        PieceKind::OversizeFrame => read_stray(&bytes, Refusal::oversize_frame(max_frame_bytes)),
        PieceKind::Empty => Reading {
            identity: Identity { hash: content_hash(&bytes), ..Identity::default() },
            outcome: Outcome::Dropped { rule: rules::NOTHING_IN_IT, error: None },
            tolerances: Vec::new(),
            patient_keys: Vec::new(),
        },
    };
    Part { bytes, reading, warnings: piece.warnings }
}

fn to_json(index: usize, part: &Part) -> Value {
    let reading = &part.reading;
    let identity = &reading.identity;
    let mut value = json!({
        "index": index,
        "message_type": identity.message_type,
        "control_id": identity.control_id,
        "content_hash": identity.hash,
        "bytes": part.bytes.len(),
        "ack": answers(part),
    });
    let mut say = |name: &str, said: Value| {
        value[name] = said;
    };
    match &reading.outcome {
        Outcome::Events(events) => {
            say("outcome", "events".into());
            say("events", events.iter().map(event_json).collect());
        }
        Outcome::Dropped { rule, error } => {
            say("outcome", "dropped".into());
            say("rule", (*rule).into());
            if let Some(error) = error {
                say("code", error.diagnostic.into());
                say("place", error.place.as_ref().map(crate::mllp::ErrorPlace::path).unwrap_or_default().into());
                say("detail", error.message.clone().into());
            }
        }
        Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => {
            let exception = matches!(reading.outcome, Outcome::Exception(_));
            say("outcome", if exception { "exception" } else { "dead-letter" }.into());
            say("code", refusal.code.into());
            say("name", refusal.name.into());
            say("place", refusal.place_text().into());
            if let Some(place) = &refusal.place {
                say("segment", place.segment.clone().into());
                say("sequence", place.sequence.into());
                say("field", place.field.into());
            }
            let span = place_bytes(part, refusal);
            say("byte_start", span.map(|span| span.0).into());
            say("byte_end", span.map(|span| span.1).into());
            say("detail", refusal.message.clone().into());
            say("suggested_fix", refusal.suggested_fix.into());
        }
    }
    say("tolerances", reading.tolerances.clone().into());
    say("warnings", part.warnings.clone().into());
    value
}

/// The codes that the sender would get.
fn answers(part: &Part) -> Value {
    let reading = &part.reading;
    if !is_answered(reading) {
        return Value::Array(Vec::new());
    }
    let errors: Vec<AckError> = reading.errors();
    let answers = acknowledgements(&part.bytes, reading.decision(), &errors, &reading.identity.hash, "");
    answers.iter().map(|(code, _)| Value::from(code.name())).collect()
}

/// Whether a part is answered at all: acknowledgements and frames that were cut short are not.
pub fn is_answered(reading: &Reading) -> bool {
    match &reading.outcome {
        Outcome::Dropped { rule, .. } => *rule != rules::ACKNOWLEDGEMENT && *rule != rules::NOTHING_IN_IT,
        Outcome::DeadLetter(refusal) => refusal.decision == Decision::Reject,
        Outcome::Events(_) | Outcome::Exception(_) => true,
    }
}

fn event_json(event: &MappedEvent) -> Value {
    let (key, kind, value) = match event {
        MappedEvent::Encounter(event) => (event.key(), event.event_type(), serde_json::to_value(event)),
        MappedEvent::SupplyUsage(event) => (event.key(), event.event_type(), serde_json::to_value(event)),
    };
    json!({"topic": event.topic(), "key": key, "type": kind, "event": value.unwrap_or_default()})
}

/// Where in the bytes the place of a refusal is. Counted with the delimiters of the message, on its bytes: in the rare
/// character sets in which a byte of a character looks like a delimiter, the end may be off.
fn place_bytes(part: &Part, refusal: &Refusal) -> Option<(usize, usize)> {
    let Some(place) = &refusal.place else {
        return refusal.offset.map(|offset| (offset, offset));
    };
    if let Some(offset) = refusal.offset {
        return Some((offset, offset + 1));
    }
    let separator = crate::mllp::Header::read(&part.bytes)?.separator();
    let is_end = |byte: &u8| matches!(*byte, b'\r' | b'\n');
    let mut start = 0;
    let mut seen = 0;
    for line in part.bytes.split(is_end) {
        let indent = if line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        if line[indent..].len() >= 3 && line[indent..][..3].eq_ignore_ascii_case(place.segment.as_bytes()) {
            seen += 1;
            if seen == place.sequence {
                return Some(field_bytes(line, start, separator, place));
            }
        }
        start += line.len() + 1;
    }
    None
}

fn field_bytes(line: &[u8], start: usize, separator: u8, place: &crate::mllp::ErrorPlace) -> (usize, usize) {
    if place.field == 0 {
        return (start, start + line.len());
    }
    // MSH-1 is the separator itself, so its fields are one to the left.
    let index = place.field - usize::from(place.segment == "MSH");
    let mut from = 0;
    for (number, field) in line.split(|byte| *byte == separator).enumerate() {
        if number == index {
            return (start + from, start + from + field.len());
        }
        from += field.len() + 1;
    }
    (start + line.len(), start + line.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::config::MappingConfig;

    fn parse(text: &str) -> Vec<Value> {
        let mapper = Mapper::new(MappingConfig::default(), b"synthetic-data-only").unwrap();
        parse_to_json(text.as_bytes(), &mapper, Timestamp::from_micros(0))
    }

    #[test]
    fn points_at_the_field_and_its_bytes() {
        let text = "MSH|^~\\&|A|F|||20260915||DFT^P03|1|P|2.5\rPID|1||7\rPV1|1|I|W||||||||||||||||V1\rFT1|1|T||20260230||CG|A|||1\r";
        let line = &parse(text)[0];
        assert_eq!(
            (&line["outcome"], &line["code"], &line["place"]),
            (&json!("exception"), &json!("WL-1012"), &json!("FT1-4"))
        );
        let at = |name: &str| usize::try_from(line[name].as_u64().unwrap()).unwrap();
        let span = at("byte_start")..at("byte_end");
        assert_eq!(&text[span], "20260230");
        assert_eq!(line["ack"], json!(["AE"]));
    }

    #[test]
    fn gives_one_line_per_message() {
        let header = |id: &str| format!("MSH|^~\\&|A|F|||20260915||ORU^R01|{id}|P|2.5\r");
        let lines = parse(&format!("{}{}garbage", header("1"), header("2")));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["rule"], "observation.no-device");
        assert_eq!(parse("garbage")[0]["outcome"], "dead-letter");
        assert_eq!(parse("")[0]["rule"], "input.empty");
    }
}
