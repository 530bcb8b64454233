//! Why a message became an exception or a dead letter, said so that a person can act and no value of the message is repeated.

use crate::mllp::{AckError, Decision, ErrorPlace};
use crate::parser::{ParseError, ParseErrorKind, Segment};

/// A message that was refused. The bytes are kept by whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code; its page is in `docs/errors/`.
    pub code: &'static str,
    /// Stable word for rules and dashboards, for example `encounter.id.missing`.
    pub name: &'static str,
    /// Segment and field.
    pub place: Option<ErrorPlace>,
    /// Byte offset in the message, where a field cannot be named.
    pub offset: Option<usize>,
    /// One sentence, without values of the message.
    pub message: String,
    /// What would make it go away.
    pub suggested_fix: &'static str,
    /// Table 0357, for ERR-3.
    pub ack_code: u16,
    /// What the sender is told.
    pub decision: Decision,
}

impl Refusal {
    /// Something is wrong with a field, or with a segment if `field` is 0.
    pub(crate) fn at(
        segment: &Segment<'_>,
        name: &str,
        field: usize,
        code: &'static str,
        word: &'static str,
    ) -> Box<Self> {
        let sequence = if segment.exists() { segment.sequence() } else { 1 };
        Box::new(Self {
            code,
            name: word,
            place: Some(ErrorPlace::new(name, sequence, field)),
            offset: None,
            message: String::new(),
            suggested_fix: "",
            ack_code: 101,
            decision: Decision::ContentError,
        })
    }

    /// Says what and what to do, with the condition of table 0357.
    pub(crate) fn say(mut self: Box<Self>, ack_code: u16, message: &str, suggested_fix: &'static str) -> Box<Self> {
        self.ack_code = ack_code;
        self.message = message.to_owned();
        self.suggested_fix = suggested_fix;
        self
    }

    pub(crate) fn no_control_id() -> Self {
        Self {
            code: "WL-1003",
            name: "control-id.missing",
            place: Some(ErrorPlace::new("MSH", 1, 10)),
            offset: None,
            message: "the message has no control id (MSH-10), so a resend could not be told from a new message"
                .to_owned(),
            suggested_fix: "let the sender number its messages in MSH-10 and send this one again",
            ack_code: 101,
            decision: Decision::Reject,
        }
    }

    pub(crate) fn no_message_type() -> Self {
        Self {
            code: "WL-1009",
            name: "message-type.missing",
            place: Some(ErrorPlace::new("MSH", 1, 9)),
            offset: None,
            message: "the message has no message type (MSH-9)".to_owned(),
            suggested_fix: "let the sender fill MSH-9 and send the message again",
            ack_code: 101,
            decision: Decision::Reject,
        }
    }

    /// The bytes cannot be read as a message.
    pub fn unreadable(error: &ParseError) -> Self {
        let (name, place, fix, ack_code, decision) = match &error.kind {
            ParseErrorKind::NoHeader => {
                ("message.no-header", None, "send HL7 v2 messages, each beginning with MSH", 100, Decision::Reject)
            }
            ParseErrorKind::Delimiters => (
                "message.no-delimiters",
                Some(ErrorPlace::new("MSH", 1, 2)),
                "let the sender declare its delimiters in MSH-1 and MSH-2, for example |^~\\&",
                102,
                Decision::Reject,
            ),
            ParseErrorKind::Charset(_) => (
                "charset.unreadable",
                Some(ErrorPlace::new("MSH", 1, 18)),
                "let MSH-18 name the character set that the sender really writes, or set fallback_charset for the source",
                102,
                Decision::Error,
            ),
        };
        let message = error.to_string();
        Self {
            code: error.kind.code(),
            name,
            place,
            offset: Some(error.offset),
            message,
            suggested_fix: fix,
            ack_code,
            decision,
        }
    }

    /// A frame that was cut short by a new one or by the end of the connection.
    pub fn cut_frame(bytes: usize) -> Self {
        Self {
            code: "WL-1020",
            name: "frame.cut",
            place: None,
            offset: Some(bytes),
            message: format!("the frame was cut short after {bytes} bytes"),
            suggested_fix: "nothing if the sender repeats the message after connecting again; otherwise send it again",
            ack_code: 207,
            decision: Decision::Error,
        }
    }

    /// A frame beyond the bound; only its start was kept.
    pub fn oversize_frame(bound: usize) -> Self {
        Self {
            code: "WL-1021",
            name: "frame.oversize",
            place: None,
            offset: Some(bound),
            message: format!("the frame has more than {bound} bytes"),
            suggested_fix: "raise max_frame_bytes if such messages are meant to be sent",
            ack_code: 207,
            decision: Decision::Reject,
        }
    }

    /// An event of the message does not fit its topic.
    pub fn unfit(code: &'static str, name: &'static str, message: String) -> Self {
        Self {
            code,
            name,
            place: None,
            offset: None,
            message,
            suggested_fix: "let the sender write less into the field that is so long, or no such number, and send it again",
            ack_code: 102,
            decision: Decision::ContentError,
        }
    }

    /// Text that belongs to no message.
    pub fn stray() -> Self {
        Self {
            code: "WL-1001",
            name: "message.no-header",
            place: None,
            offset: Some(0),
            message: "the text does not start with an MSH segment".to_owned(),
            suggested_fix: "remove it from the file, or repair the header of the message that it was",
            ack_code: 100,
            decision: Decision::Reject,
        }
    }

    /// The ERR segment for it.
    pub fn ack_error(&self) -> AckError {
        AckError {
            code: self.ack_code,
            place: self.place.clone(),
            diagnostic: self.code,
            message: self.message.clone(),
        }
    }

    /// Where: `PV1-19`, `FT1[2]-4`, or `byte 37`.
    pub fn place_text(&self) -> String {
        match (&self.place, self.offset) {
            (Some(place), _) => place.path(),
            (None, Some(offset)) => format!("byte {offset}"),
            (None, None) => String::new(),
        }
    }
}
