//! Cuts a stream of bytes into frames, however the network cut it.

use super::{END, START};

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The content of a complete frame.
    Frame(Vec<u8>),
    /// The content so far of a frame that another frame or the end of the stream cut short.
    Cut(Vec<u8>),
    /// The start of a frame that is larger than the bound; the rest of it is skipped.
    Oversize(Vec<u8>),
    /// A frame with nothing but blanks in it, complete or cut short.
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames.
    Outside,
    /// In a frame.
    Inside,
    /// In a frame, behind FS: CR ends the frame.
    Ending,
    /// In a frame that became too large.
    Skipping,
    /// As before, behind FS.
    SkippingEnd,
}

/// A framing decoder. It holds at most one frame, and never more than its bound.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    frame: Vec<u8>,
    max_frame_bytes: usize,
    noise_bytes: u64,
}

impl Decoder {
    /// A decoder that refuses frames with more than `max_frame_bytes` of content.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { state: State::Outside, frame: Vec::new(), max_frame_bytes, noise_bytes: 0 }
    }

    /// Takes what was read and adds what it completes to `events`.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) {
        while let Some(first) = bytes.first().copied() {
            let taken = match self.state {
                State::Outside => self.skip_to_start(bytes),
                State::Inside | State::Skipping => self.take_content(bytes, events),
                State::Ending | State::SkippingEnd => self.after_end(first, events),
            };
            bytes = &bytes[taken..];
        }
    }

    /// Whether the sender may have finished its frame without the final CR. Senders that do so then wait for the answer, so
    /// the caller should call [`Decoder::release`] after a short silence.
    pub fn awaits_final_cr(&self) -> bool {
        matches!(self.state, State::Ending | State::SkippingEnd)
    }

    /// Whether a frame is open.
    pub fn is_inside_frame(&self) -> bool {
        self.state != State::Outside
    }

    /// Completes a frame whose final CR does not come.
    pub fn release(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.state, State::Outside) {
            State::Ending => Some(self.complete()),
            State::SkippingEnd => None,
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The stream has ended. An open frame was cut, unless only its final CR is missing.
    pub fn finish(&mut self) -> Option<Event> {
        if let Some(event) = self.release() {
            return Some(event);
        }
        let was = std::mem::replace(&mut self.state, State::Outside);
        (was == State::Inside).then(|| self.cut())
    }

    /// How many bytes stood outside frames, line ends not counted (senders use them to keep a connection alive).
    pub fn noise_bytes(&self) -> u64 {
        self.noise_bytes
    }

    fn skip_to_start(&mut self, bytes: &[u8]) -> usize {
        let start = memchr::memchr(START, bytes);
        let noise = &bytes[..start.unwrap_or(bytes.len())];
        self.noise_bytes += noise.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).fold(0, |count, _| count + 1);
        match start {
            Some(at) => {
                self.open();
                at + 1
            }
            None => bytes.len(),
        }
    }

    fn take_content(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> usize {
        let end = memchr::memchr2(START, END, bytes).unwrap_or(bytes.len());
        self.append(&bytes[..end], events);
        match bytes.get(end) {
            Some(&END) => {
                self.state = if self.state == State::Inside { State::Ending } else { State::SkippingEnd };
                end + 1
            }
            Some(_) => {
                if self.state == State::Inside {
                    let event = self.cut();
                    events.push(event);
                }
                self.open();
                end + 1
            }
            None => end,
        }
    }

    fn after_end(&mut self, next: u8, events: &mut Vec<Event>) -> usize {
        match next {
            b'\r' => {
                events.extend(self.release());
                1
            }
            // The sender leaves out the final CR: this is the start of its next frame.
            START => {
                events.extend(self.release());
                self.open();
                1
            }
            // FS in the text. The byte behind it is read again as content.
            _ => {
                self.state = if self.state == State::Ending { State::Inside } else { State::Skipping };
                self.append(&[END], events);
                0
            }
        }
    }

    fn append(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        if self.state != State::Inside {
            return;
        }
        let room = self.max_frame_bytes - self.frame.len();
        if bytes.len() > room {
            self.frame.extend_from_slice(&bytes[..room]);
            events.push(Event::Oversize(std::mem::take(&mut self.frame)));
            self.state = State::Skipping;
        } else {
            self.frame.extend_from_slice(bytes);
        }
    }

    fn open(&mut self) {
        self.frame.clear();
        self.state = State::Inside;
    }

    /// What is left of a frame that was cut short. One that had not begun tells nothing: a line that repeats VT would otherwise
    /// make a dead letter without content of each.
    fn cut(&mut self) -> Event {
        let frame = std::mem::take(&mut self.frame);
        if frame.iter().all(u8::is_ascii_whitespace) { Event::Empty } else { Event::Cut(frame) }
    }

    fn complete(&mut self) -> Event {
        let frame = std::mem::take(&mut self.frame);
        if frame.iter().all(u8::is_ascii_whitespace) { Event::Empty } else { Event::Frame(frame) }
    }
}

/// Puts a message into a frame.
pub fn encode(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 3);
    encode_into(message, &mut frame);
    frame
}

/// Puts a message into a frame, behind what is in `bytes` already.
pub fn encode_into(message: &[u8], bytes: &mut Vec<u8>) {
    bytes.reserve(message.len() + 3);
    bytes.push(START);
    bytes.extend_from_slice(message);
    bytes.extend_from_slice(&[END, b'\r']);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stream: &[u8]) -> Vec<Event> {
        let mut decoder = Decoder::new(8);
        let mut events = Vec::new();
        decoder.push(stream, &mut events);
        events.extend(decoder.finish());
        events
    }

    fn frame(content: &str) -> Event {
        Event::Frame(content.as_bytes().to_vec())
    }

    #[test]
    fn finds_frames_and_skips_noise() {
        assert_eq!(decode(b"\x0bab\x1c\r\x0bcd\x1c\r"), [frame("ab"), frame("cd")]);
        assert_eq!(decode(b"\r\nnoise\x0bab\x1c\rmore"), [frame("ab")]);
        assert_eq!(decode(b"\x0b\x1c\r\x0b\r\x1c\r"), [Event::Empty, Event::Empty]);
    }

    #[test]
    fn tolerates_a_missing_final_cr() {
        assert_eq!(decode(b"\x0bab\x1c"), [frame("ab")]);
        assert_eq!(decode(b"\x0bab\x1c\x0bcd\x1c\r"), [frame("ab"), frame("cd")]);
        let mut decoder = Decoder::new(8);
        decoder.push(b"\x0bab\x1c", &mut Vec::new());
        assert!(decoder.awaits_final_cr());
        assert_eq!(decoder.release(), Some(frame("ab")));
        let mut events = Vec::new();
        decoder.push(b"\r\x0bcd\x1c\r", &mut events);
        assert_eq!(events, [frame("cd")]);
        assert_eq!(decoder.noise_bytes(), 0);
    }

    #[test]
    fn reports_cut_and_oversize_frames_and_goes_on() {
        assert_eq!(decode(b"\x0bab\x0bcd\x1c\r"), [Event::Cut(b"ab".to_vec()), frame("cd")]);
        assert_eq!(decode(b"\x0bab"), [Event::Cut(b"ab".to_vec())]);
        assert_eq!(decode(b"\x0b123456789abc\x1c\r\x0bcd\x1c\r"), [Event::Oversize(b"12345678".to_vec()), frame("cd")]);
        assert_eq!(decode(b"\x0b12345678\x1c\r"), [frame("12345678")]);
    }

    #[test]
    fn a_frame_that_has_not_begun_is_not_cut() {
        assert_eq!(decode(b"\x0b\x0b\x0bab\x1c\r\x0b"), [Event::Empty, Event::Empty, frame("ab"), Event::Empty]);
    }

    #[test]
    fn keeps_fs_inside_the_text() {
        assert_eq!(decode(b"\x0ba\x1cb\x1c\x1c\r"), [frame("a\x1cb\x1c")]);
    }
}
