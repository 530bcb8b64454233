//! Cuts a file into messages: one message, several in a row, a batch (FHS, BHS, BTS, FTS) or MLLP frames.

use std::borrow::Cow;

use crate::mllp::{Decoder, Event};

/// What a piece of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// Starts with MSH.
    Message,
    /// Text that belongs to no message.
    Stray,
    /// An MLLP frame that a new frame or the end of the file cut short.
    CutFrame,
    /// An MLLP frame larger than the bound; only its start is here.
    OversizeFrame,
    /// A frame, batch or file with nothing in it.
    Empty,
}

/// One piece of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What it is.
    pub kind: PieceKind,
    /// Its bytes, without the framing or batch segments around it.
    pub bytes: Cow<'a, [u8]>,
    /// What is wrong with the batch around it: `batch.count-mismatch`, `batch.trailer-missing`. No reason to drop it.
    pub warnings: Vec<&'static str>,
}

/// Cuts a file. Every byte that is not framing, a batch segment or blank is in exactly one piece.
pub fn split(bytes: &[u8], max_frame_bytes: usize) -> Vec<Piece<'_>> {
    let blank = bytes.iter().position(|byte| !byte.is_ascii_whitespace() || *byte == 0x0b).unwrap_or(bytes.len());
    if bytes.get(blank) == Some(&0x0b) {
        return split_frames(bytes, max_frame_bytes);
    }
    split_plain(bytes)
}

/// Cuts what one frame or an unframed file holds.
pub fn split_plain(bytes: &[u8]) -> Vec<Piece<'_>> {
    let mut cutter = Cutter { bytes, pieces: Vec::new(), open: None, batch: None, batches: 0, file_open: false };
    let mut from = bytes.strip_prefix(b"\xef\xbb\xbf").map_or(0, <[u8]>::len);
    from = if from == 0 { 0 } else { bytes.len() - from };
    // The byte order mark belongs to the first message, so that its bytes stay as they came.
    let mut start = 0;
    while from < bytes.len() {
        let end = memchr::memchr2(b'\r', b'\n', &bytes[from..]).map_or(bytes.len(), |at| from + at);
        cutter.line(start, &bytes[from..end]);
        from = end + 1;
        start = from;
    }
    cutter.finish()
}

/// Whether all of it is one message, as nearly every frame is: then there is nothing to cut, and nothing to copy. False may also
/// mean that it takes a closer look.
pub fn is_one_message(bytes: &[u8]) -> bool {
    let mut ends = memchr::memchr2_iter(b'\r', b'\n', bytes);
    let first = ends.next().unwrap_or(bytes.len());
    if !bytes.starts_with(b"MSH") || !is_header(&bytes[..first]) {
        return false;
    }
    let begins = |start: usize| {
        let name = bytes.get(start..start + 3).unwrap_or_default();
        matches!(name, b"MSH" | b"FHS" | b"BHS" | b"BTS" | b"FTS")
    };
    !begins(first + 1) && !ends.any(|end| begins(end + 1))
}

fn split_frames(bytes: &[u8], max_frame_bytes: usize) -> Vec<Piece<'static>> {
    let mut decoder = Decoder::new(max_frame_bytes);
    let mut events = Vec::new();
    decoder.push(bytes, &mut events);
    events.extend(decoder.finish());
    let mut pieces = Vec::new();
    for event in events {
        match event {
            Event::Frame(frame) => pieces.extend(split_plain(&frame).into_iter().map(owned)),
            Event::Cut(frame) => pieces.push(piece(PieceKind::CutFrame, Cow::Owned(frame))),
            Event::Oversize(frame) => pieces.push(piece(PieceKind::OversizeFrame, Cow::Owned(frame))),
            Event::Empty => pieces.push(piece(PieceKind::Empty, Cow::Borrowed(&[]))),
        }
    }
    pieces
}

fn owned(piece: Piece<'_>) -> Piece<'static> {
    Piece { kind: piece.kind, bytes: Cow::Owned(piece.bytes.into_owned()), warnings: piece.warnings }
}

fn piece(kind: PieceKind, bytes: Cow<'_, [u8]>) -> Piece<'_> {
    Piece { kind, bytes, warnings: Vec::new() }
}

/// What is between a header and its trailer.
struct Batch {
    /// Index of the first piece of the batch.
    first: usize,
}

struct Cutter<'a> {
    bytes: &'a [u8],
    pieces: Vec<Piece<'a>>,
    open: Option<(PieceKind, usize)>,
    batch: Option<Batch>,
    batches: usize,
    file_open: bool,
}

impl<'a> Cutter<'a> {
    fn line(&mut self, start: usize, line: &[u8]) {
        match line.get(..3) {
            Some(b"MSH") if is_header(line) => {
                self.close(start);
                self.open = Some((PieceKind::Message, start));
            }
            Some(b"FHS") if is_header(line) => {
                self.close(start);
                self.file_open = true;
            }
            Some(b"BHS") if is_header(line) => {
                self.close(start);
                self.end_batch(None, true);
                self.batches += 1;
                self.batch = Some(Batch { first: self.pieces.len() });
            }
            Some(b"BTS") if is_header(line) || line.len() == 3 => {
                self.close(start);
                self.end_batch(count(line), false);
            }
            Some(b"FTS") if is_header(line) || line.len() == 3 => {
                self.close(start);
                self.end_batch(None, true);
                let batches = self.batches;
                let wrong = count(line).is_some_and(|counted| counted != batches && batches > 0);
                self.warn(if wrong { Some("batch.count-mismatch") } else { None });
                self.file_open = false;
            }
            _ if self.open.is_none() && !is_blank(line) => self.open = Some((PieceKind::Stray, start)),
            _ => {}
        }
    }

    /// Ends the piece that is open, if any, before `end`.
    fn close(&mut self, end: usize) {
        if let Some((kind, start)) = self.open.take() {
            self.pieces.push(piece(kind, Cow::Borrowed(&self.bytes[start..end])));
        }
    }

    fn end_batch(&mut self, counted: Option<usize>, trailer_missing: bool) {
        let Some(batch) = self.batch.take() else { return };
        let messages = self.pieces[batch.first..].iter().filter(|piece| piece.kind == PieceKind::Message).count();
        if self.pieces.len() == batch.first {
            self.pieces.push(piece(PieceKind::Empty, Cow::Borrowed(&[])));
        }
        self.warn(counted.filter(|counted| *counted != messages).map(|_| "batch.count-mismatch"));
        self.warn(trailer_missing.then_some("batch.trailer-missing"));
    }

    fn warn(&mut self, warning: Option<&'static str>) {
        if let (Some(last), Some(warning)) = (self.pieces.last_mut(), warning) {
            last.warnings.push(warning);
        }
    }

    fn finish(mut self) -> Vec<Piece<'a>> {
        self.close(self.bytes.len());
        let unfinished = self.batch.is_some();
        self.end_batch(None, true);
        self.warn((self.file_open && !unfinished).then_some("batch.trailer-missing"));
        if self.pieces.is_empty() {
            self.pieces.push(piece(PieceKind::Empty, Cow::Borrowed(&[])));
        }
        self.pieces
    }
}

/// Whether a line that starts with a header's name goes on with a delimiter.
fn is_header(line: &[u8]) -> bool {
    line.get(3).is_some_and(|next| !next.is_ascii_alphanumeric() && !next.is_ascii_whitespace())
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1a | 0x1c))
}

/// BTS-1 or FTS-1, if it is a number.
fn count(line: &[u8]) -> Option<usize> {
    let separator = line.get(3)?;
    let field = line[4..].split(|byte| byte == separator).next()?;
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use PieceKind::*;

    const A: &str = "MSH|^~\\&|A\rEVN|A01\r";
    const B: &str = "MSH|^~\\&|B\r";

    #[track_caller]
    fn check(file: &str, expected: &[(PieceKind, &str, &[&str])]) {
        let pieces = split(file.as_bytes(), 1_000);
        let found: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.kind, String::from_utf8_lossy(&piece.bytes).into_owned(), piece.warnings.clone()))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(kind, bytes, warnings)| (*kind, (*bytes).to_owned(), warnings.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn cuts_messages_in_a_row() {
        check(A, &[(Message, A, &[])]);
        check(&format!("{A}{B}"), &[(Message, A, &[]), (Message, B, &[])]);
        check(
            "\u{feff}MSH|^~\\&|A\n\nMSH|^~\\&|B",
            &[(Message, "\u{feff}MSH|^~\\&|A\n\n", &[]), (Message, "MSH|^~\\&|B", &[])],
        );
    }

    #[test]
    fn cuts_batches_and_checks_their_counts() {
        let file = format!("FHS|^~\\&|\rBHS|^~\\&|\r{A}{B}BTS|2\rBHS|^~\\&|\r{B}BTS|1\rFTS|2\r");
        check(&file, &[(Message, A, &[]), (Message, B, &[]), (Message, B, &[])]);
        check(&format!("BHS|^~\\&|\r{A}BTS|7\r"), &[(Message, A, &["batch.count-mismatch"])]);
        check(&format!("BHS|^~\\&|\r{A}"), &[(Message, A, &["batch.trailer-missing"])]);
        check(&format!("FHS|^~\\&|\r{A}FTS|3\r"), &[(Message, A, &[])]);
        check("FHS|^~\\&|\rBHS|^~\\&|\rBTS|0\rFTS|1\r", &[(Empty, "", &[])]);
    }

    #[test]
    fn sees_at_once_that_a_frame_is_one_message() {
        for one in [A, B, "MSH|^~\\&|A", "MSH|^~\\&|A\r\nPID|MSH|\r\n\r\n  ", "MSH|\rEV"] {
            assert!(is_one_message(one.as_bytes()), "{one}");
            check(one, &[(Message, one, &[])]);
        }
        let several = [&format!("{A}{B}"), &format!("{A}BTS|1\r"), &format!("BHS|^~\\&|\r{A}"), &format!("{A}FTS")];
        for other in several.into_iter().map(String::as_str).chain(["", "MSH", "MSHA|", "\rMSH|^~\\&|A", "garbage\r"]) {
            assert!(!is_one_message(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn keeps_what_belongs_to_no_message() {
        check("garbage\rmore\r", &[(Stray, "garbage\rmore\r", &[])]);
        check(&format!("/* note */\r{A}"), &[(Stray, "/* note */\r", &[]), (Message, A, &[])]);
        check("", &[(Empty, "", &[])]);
        check("BHS|^~\\&|\rEVN|A04\rBTS|1\r", &[(Stray, "EVN|A04\r", &["batch.count-mismatch"])]);
    }

    #[test]
    fn opens_frames() {
        check(&format!("\x0b{A}\x1c\r\x0b{B}\x1c\r"), &[(Message, A, &[]), (Message, B, &[])]);
        check(&format!("\r\n\x0b{A}\x0b{B}\x1c"), &[(CutFrame, A, &[]), (Message, B, &[])]);
        check("\x0b\x1c\r", &[(Empty, "", &[])]);
    }
}
