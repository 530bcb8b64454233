//! Properties that hold for any input, not only for the examples.

#![allow(clippy::unwrap_used, reason = "test")]

use hl7v2::mllp::{Decoder, Event};
use hl7v2::parser::{Charset, Message, PieceKind, split};
use proptest::prelude::*;

fn events(parts: &[&[u8]]) -> (Vec<Event>, u64) {
    let mut decoder = Decoder::new(64);
    let mut events = Vec::new();
    for part in parts {
        decoder.push(part, &mut events);
    }
    events.extend(decoder.finish());
    (events, decoder.noise_bytes())
}

/// Bytes in which the interesting ones are common.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(0x0b_u8),
        3 => Just(0x1c_u8),
        3 => Just(b'\r'),
        1 => Just(b'\n'),
        6 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..300)
}

/// Text of which messages are made, delimiters and line ends included.
fn body() -> impl Strategy<Value = String> {
    proptest::string::string_regex(
        "([A-Z]{3}[|]|[|^~\\\\&]|\\r|\\n|\\r\\n|[ a-zA-Z0-9.]|é|山|\"\"|\\\\[FSTRE]\\\\|\\x00){0,80}",
    )
    .unwrap()
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_frames(bytes in stream(), cuts in proptest::collection::vec(0_usize..300, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(&bytes[from..cut]);
            from = cut;
        }
        parts.push(&bytes[from..]);
        prop_assert_eq!(events(&parts), events(&[&bytes]));
    }

    #[test]
    fn printing_what_was_parsed_gives_the_bytes_back(body in body(), mark in any::<bool>()) {
        let text = format!("{}MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5||||||UNICODE UTF-8\r{body}", if mark { "\u{feff}" } else { "" });
        let message = Message::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(message.rebuild(), message.text());
        prop_assert_eq!(message.print(), text.as_bytes());
    }

    #[test]
    fn every_byte_that_is_not_a_batch_segment_is_in_one_piece(body in body()) {
        let file = format!("{body}\rMSH|^~\\&|A\r{body}");
        let pieces = split(file.as_bytes(), 1_000);
        let kept: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
        let blank = |bytes: &[u8]| bytes.iter().filter(|byte| byte.is_ascii_whitespace() || **byte == 0).count();
        let solid: usize = pieces.iter().map(|piece| piece.bytes.len() - blank(&piece.bytes)).sum();
        prop_assert!(kept <= file.len());
        let batch = ["FHS|", "BHS|", "BTS|", "FTS|"].iter().any(|name| file.contains(name));
        prop_assert!(batch || solid == file.len() - blank(file.as_bytes()), "{pieces:?}");
        prop_assert!(pieces.iter().any(|piece| piece.kind == PieceKind::Message));
    }

    #[test]
    fn no_bytes_make_the_parser_fail_otherwise_than_by_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "[ -~]{0,12}") {
        let _ = Message::parse(&bytes);
        let mut message = format!("MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5||||||{name}\rPID|1||").into_bytes();
        message.extend_from_slice(&bytes);
        if let Ok(message) = Message::parse(&message) {
            prop_assert_eq!(message.rebuild(), message.text());
            for segment in message.segments() {
                for number in 0..4 {
                    let _ = segment.field(number).first();
                }
            }
        }
        if let Some(charset) = Charset::named(&name) {
            let _ = charset.decode(&bytes);
        }
        let _ = udi::parse(&String::from_utf8_lossy(&bytes), 2026);
    }
}
