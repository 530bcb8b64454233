//! MLLP framing.

use hl7v2::mllp::{Decoder, Event, encode};

/// A small bound, so that frames above it are common, and one that nothing here reaches.
const BOUNDS: [usize; 2] = [16, 1 << 24];

/// How the network may cut a stream.
const CUTS: [usize; 5] = [1, 2, 3, 7, 64];

/// However a stream is cut, it gives the same frames within the bound, and a frame that is framed again is the same frame.
pub fn mllp(stream: &[u8]) {
    for bound in BOUNDS {
        let whole = frames([stream], bound);
        for cut in CUTS {
            assert_eq!(frames(stream.chunks(cut), bound), whole, "cut every {cut} bytes, bound {bound}");
        }
        let mut kept = usize::try_from(whole.1).unwrap_or(usize::MAX);
        for event in &whole.0 {
            kept += check_event(event, bound);
        }
        assert!(kept <= stream.len(), "{kept} bytes out of {}", stream.len());
    }
}

/// Bytes of the content.
fn check_event(event: &Event, bound: usize) -> usize {
    match event {
        Event::Frame(content) => {
            assert!(content.len() <= bound);
            assert_eq!(frames([encode(content).as_slice()], bound), (vec![event.clone()], 0));
            content.len()
        }
        Event::Cut(content) => {
            assert!(content.len() <= bound && !content.trim_ascii().is_empty());
            content.len()
        }
        Event::Oversize(content) => {
            assert_eq!(content.len(), bound);
            content.len()
        }
        Event::Empty => 0,
    }
}

/// What a stream that arrives in these parts gives, and how much noise there was.
pub(crate) fn frames<'a>(parts: impl IntoIterator<Item = &'a [u8]>, bound: usize) -> (Vec<Event>, u64) {
    let mut decoder = Decoder::new(bound);
    let mut events = Vec::new();
    for part in parts {
        decoder.push(part, &mut events);
    }
    events.extend(decoder.finish());
    (events, decoder.noise_bytes())
}
