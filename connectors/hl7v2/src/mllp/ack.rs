//! Acknowledgements: original and enhanced mode (standard 2.9), always the same answer for the same message.

use sha2::{Digest, Sha256};

use super::header::Header;
use super::{END, START};

/// MSA-1 (table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Application accept.
    Aa,
    /// Application error: the content cannot be used.
    Ae,
    /// Application reject: this receiver does not take such messages.
    Ar,
    /// Commit accept: stored safely.
    Ca,
    /// Commit error: cannot be stored now.
    Ce,
    /// Commit reject: will not be stored.
    Cr,
}

impl AckCode {
    /// As written in MSA-1.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aa => "AA",
            Self::Ae => "AE",
            Self::Ar => "AR",
            Self::Ca => "CA",
            Self::Ce => "CE",
            Self::Cr => "CR",
        }
    }

    /// Reads MSA-1.
    pub fn read(name: &str) -> Option<Self> {
        [Self::Aa, Self::Ae, Self::Ar, Self::Ca, Self::Ce, Self::Cr].into_iter().find(|code| code.name() == name)
    }

    /// Whether the sender may forget the message.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Aa | Self::Ca)
    }

    fn is_commit(self) -> bool {
        matches!(self, Self::Ca | Self::Ce | Self::Cr)
    }
}

/// What the receiver decided about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Taken.
    Accept,
    /// Stored as an exception, because its content cannot be used.
    ContentError,
    /// Cannot be taken: undecodable (and stored as an exception), or not confirmed by Kafka.
    Error,
    /// Will not be taken: no usable header, or not meant for this receiver.
    Reject,
}

/// The segment and field that an error is about (ERR-2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorPlace {
    /// Segment name.
    pub segment: String,
    /// Which of the segments of that name, from 1.
    pub sequence: usize,
    /// Field, from 1; 0 if the error is about the whole segment.
    pub field: usize,
    /// Component, from 1; 0 if the error is about the whole field.
    pub component: usize,
}

impl ErrorPlace {
    /// A place that names a field; field 0 is the whole segment.
    pub fn new(segment: &str, sequence: usize, field: usize) -> Self {
        Self { segment: segment.to_owned(), sequence, field, component: 0 }
    }

    /// As people write it: `PV1-19`, `FT1[2]-4`.
    pub fn path(&self) -> String {
        let mut path = self.segment.clone();
        if self.sequence > 1 {
            path.push_str(&format!("[{}]", self.sequence));
        }
        if self.field > 0 {
            path.push_str(&format!("-{}", self.field));
        }
        if self.component > 0 {
            path.push_str(&format!(".{}", self.component));
        }
        path
    }
}

/// One ERR segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckError {
    /// Table 0357, for example 101.
    pub code: u16,
    /// Where.
    pub place: Option<ErrorPlace>,
    /// Wardline's code, for ERR-7.
    pub diagnostic: &'static str,
    /// One sentence without values of the message, for ERR-8.
    pub message: String,
}

/// All answers that the sender asked for, in order, unframed. None for a sender that wants none. `hash` identifies the bytes
/// of the message and `time` is the MSH-7 of the answers; with the same arguments the answers are the same bytes.
pub fn acknowledgements(
    message: &[u8],
    decision: Decision,
    errors: &[AckError],
    hash: &str,
    time: &str,
) -> Vec<(AckCode, Vec<u8>)> {
    let header = Header::read(message);
    codes(header.as_ref(), decision).map(|code| (code, write(header.as_ref(), code, errors, hash, time))).collect()
}

/// Reads MSA-1, MSA-2 and the text of the first error of an answer.
pub fn read_ack(answer: &[u8]) -> Option<(AckCode, String, Option<String>)> {
    let header = Header::read(answer)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let separator = header.separator();
    let segments = || answer.split(|byte| matches!(byte, b'\r' | b'\n'));
    let fields: Vec<&[u8]> =
        segments().find(|segment| segment.starts_with(b"MSA"))?.split(|byte| *byte == separator).collect();
    let error = segments().find(|segment| segment.starts_with(b"ERR")).map(|segment| {
        let error: Vec<&[u8]> = segment.split(|byte| *byte == separator).collect();
        let parts = [2, 3, 7, 8].into_iter().filter_map(|index| error.get(index)).filter(|part| !part.is_empty());
        parts.map(|part| text(part)).collect::<Vec<_>>().join(" ")
    });
    let code = AckCode::read(&text(fields.get(1)?))?;
    let stated = fields.get(3).filter(|part| !part.is_empty()).map(|part| text(part));
    Some((code, text(fields.get(2).copied().unwrap_or_default()), error.filter(|error| !error.is_empty()).or(stated)))
}

/// Which codes to send. MSH-15 and MSH-16 both empty is original mode; otherwise MSH-15 governs the commit answer and MSH-16
/// the application answer, and an empty one of the two counts as NE.
fn codes(header: Option<&Header<'_>>, decision: Decision) -> impl Iterator<Item = AckCode> + use<> {
    let (commit_wish, application_wish) =
        header.map_or((&b""[..], &b""[..]), |header| (header.field(15), header.field(16)));
    let application = match decision {
        Decision::Accept => AckCode::Aa,
        Decision::ContentError | Decision::Error => AckCode::Ae,
        Decision::Reject => AckCode::Ar,
    };
    if commit_wish.is_empty() && application_wish.is_empty() {
        return [Some(application), None].into_iter().flatten();
    }
    // A content error is stored, as an exception, so it is committed; the application answer tells of the error.
    let commit = match decision {
        Decision::Accept | Decision::ContentError => AckCode::Ca,
        Decision::Error => AckCode::Ce,
        Decision::Reject => AckCode::Cr,
    };
    let wanted = |wish: &[u8], code: AckCode| match wish {
        b"AL" => Some(code),
        b"ER" => (!code.is_positive()).then_some(code),
        b"SU" => code.is_positive().then_some(code),
        _ => None,
    };
    let first = wanted(commit_wish, commit);
    // After a negative commit answer nothing more follows.
    let second = if first.is_none_or(AckCode::is_positive) { wanted(application_wish, application) } else { None };
    [first, second].into_iter().flatten()
}

fn write(header: Option<&Header<'_>>, code: AckCode, errors: &[AckError], hash: &str, time: &str) -> Vec<u8> {
    let field = |number| header.map(|header| header.field(number)).unwrap_or_default();
    let separator = header.map_or(b'|', Header::separator);
    let usable = !field(2).is_empty() && field(2).iter().all(u8::is_ascii_punctuation);
    let encoding = if usable { field(2) } else { b"^~\\&" };
    let component = char::from(encoding[0]);
    let trigger = String::from_utf8_lossy(header.map(|header| header.component(9, 2)).unwrap_or_default());
    let kind = if trigger.is_empty() { "ACK".to_owned() } else { format!("ACK{component}{trigger}{component}ACK") };
    let version = if header.is_none_or(|header| header.component(12, 1).is_empty()) { b"2.5.1" } else { field(12) };
    let processing = if field(11).is_empty() { b"P" } else { field(11) };
    let control_id = own_control_id(field(10), hash, code);
    let mut answer = Vec::with_capacity(256);
    answer.extend_from_slice(b"MSH");
    let mut msh: Vec<&[u8]> =
        vec![encoding, field(5), field(6), field(3), field(4), time.as_bytes(), b"", kind.as_bytes()];
    msh.extend([control_id.as_bytes(), processing, version]);
    if !field(18).is_empty() {
        msh.extend([&b""[..], b"", b"", b"", b"", field(18)]);
    }
    for part in msh {
        answer.push(separator);
        answer.extend_from_slice(part);
    }
    answer.extend_from_slice(b"\rMSA");
    let modern = is_2_5_or_later(version);
    let text = if modern { "" } else { errors.first().map(|error| error.message.as_str()).unwrap_or_default() };
    let text = plain(text, encoding, separator);
    let mut msa = vec![code.name().as_bytes(), field(10)];
    msa.extend((!text.is_empty()).then_some(text.as_bytes()));
    for part in msa {
        answer.push(separator);
        answer.extend_from_slice(part);
    }
    answer.push(b'\r');
    for error in errors {
        answer.extend_from_slice(error_segment(error, modern, encoding, separator).as_bytes());
    }
    // What is repeated of the message could end the frame of its answer.
    answer.retain(|byte| !matches!(*byte, START | END));
    answer
}

fn error_segment(error: &AckError, modern: bool, encoding: &[u8], separator: u8) -> String {
    let (field, component) = (char::from(separator), char::from(encoding[0]));
    let name = condition(error.code);
    let parts: Vec<String> = error
        .place
        .iter()
        .flat_map(|place| {
            let mut parts = vec![place.segment.clone(), place.sequence.to_string()];
            parts.extend((place.field > 0).then(|| place.field.to_string()));
            parts
        })
        .collect();
    if modern {
        let location = parts.join(&component.to_string());
        let message = plain(&error.message, encoding, separator);
        let code = error.code;
        let diagnostic = error.diagnostic;
        return format!(
            "ERR{field}{field}{location}{field}{code}{component}{name}{component}HL70357{field}E{field}{field}{field}{diagnostic}{field}{message}\r"
        );
    }
    let sub = encoding.get(3).copied().map_or('&', char::from);
    let mut location = parts;
    location.resize(3, String::new());
    format!("ERR{field}{}{component}{}{sub}{name}{sub}HL70357\r", location.join(&component.to_string()), error.code)
}

/// Text of our own without characters that the sender declared as delimiters.
fn plain(text: &str, encoding: &[u8], separator: u8) -> String {
    let delimiter = |found: char| u8::try_from(found).is_ok_and(|byte| byte == separator || encoding.contains(&byte));
    text.chars().map(|found| if delimiter(found) { ' ' } else { found }).collect()
}

fn is_2_5_or_later(version: &[u8]) -> bool {
    let text = String::from_utf8_lossy(version);
    let mut parts =
        text.split(|found: char| !found.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= (2, 5)
}

/// Our MSH-10: twenty characters that depend on the message and the kind of answer alone.
fn own_control_id(control_id: &[u8], hash: &str, code: AckCode) -> String {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut digest = Sha256::new();
    digest.update([u8::from(code.is_commit())]);
    digest.update(control_id);
    digest.update(hash.as_bytes());
    let mut id = String::with_capacity(20);
    id.push_str("WL");
    for byte in digest.finalize().iter().take(9) {
        id.extend([byte >> 4, byte & 15].map(|nibble| char::from(HEX[usize::from(nibble)])));
    }
    id
}

/// Texts of table 0357.
fn condition(code: u16) -> &'static str {
    match code {
        100 => "Segment sequence error",
        101 => "Required field missing",
        102 => "Data type error",
        103 => "Table value not found",
        200 => "Unsupported message type",
        201 => "Unsupported event code",
        202 => "Unsupported processing id",
        203 => "Unsupported version id",
        204 => "Unknown key identifier",
        205 => "Duplicate key identifier",
        206 => "Application record locked",
        _ => "Application internal error",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn message(commit: &str, application: &str) -> String {
        format!("MSH|^~\\&|APP|FAC|ESB|HUB|2026||ADT^A03^ADT_A03|N1|P|2.5.1|||{commit}|{application}\rEVN|A03\r")
    }

    #[track_caller]
    fn check(commit: &str, application: &str, decision: Decision, expected: &[&str]) {
        let answers = acknowledgements(message(commit, application).as_bytes(), decision, &[], "h", "2026");
        let codes: Vec<_> = answers.iter().map(|(code, _)| code.name()).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn answers_in_original_mode() {
        check("", "", Decision::Accept, &["AA"]);
        check("", "", Decision::ContentError, &["AE"]);
        check("", "", Decision::Error, &["AE"]);
        check("", "", Decision::Reject, &["AR"]);
    }

    #[test]
    fn answers_in_enhanced_mode_as_asked() {
        check("AL", "NE", Decision::Accept, &["CA"]);
        check("AL", "AL", Decision::Accept, &["CA", "AA"]);
        check("AL", "AL", Decision::ContentError, &["CA", "AE"]);
        check("AL", "NE", Decision::Error, &["CE"]);
        check("AL", "AL", Decision::Reject, &["CR"]);
        check("ER", "", Decision::Accept, &[]);
        check("ER", "ER", Decision::ContentError, &["AE"]);
        check("SU", "AL", Decision::Reject, &["AR"]);
        check("NE", "AL", Decision::Accept, &["AA"]);
        check("NE", "NE", Decision::Reject, &[]);
    }

    #[test]
    fn writes_the_same_answer_for_the_same_message() {
        let error = AckError {
            code: 101,
            place: Some(ErrorPlace::new("PV1", 1, 19)),
            diagnostic: "WL-1010",
            message: "no visit|number".to_owned(),
        };
        let answer = || {
            acknowledgements(
                message("", "").as_bytes(),
                Decision::ContentError,
                std::slice::from_ref(&error),
                "h",
                "20260101",
            )
            .remove(0)
            .1
        };
        assert_eq!(answer(), answer());
        let text = String::from_utf8(answer()).unwrap();
        let id = &text[text.find("|WL").unwrap() + 1..][..20];
        assert_eq!(
            text,
            format!(
                "MSH|^~\\&|ESB|HUB|APP|FAC|20260101||ACK^A03^ACK|{id}|P|2.5.1\rMSA|AE|N1\rERR||PV1^1^19|101^Required field missing^HL70357|E|||WL-1010|no visit number\r"
            )
        );
        let other =
            acknowledgements(message("", "").as_bytes(), Decision::ContentError, &[], "h2", "20260101").remove(0).1;
        assert!(!String::from_utf8(other).unwrap().contains(id));
    }

    #[test]
    fn follows_version_delimiters_and_character_set_of_the_message() {
        let old = b"MSH#*!\\@#APP#FAC###2026##ADT*A03#N1#P#2.3######8859/1\r";
        let error = AckError { code: 101, place: None, diagnostic: "WL-1010", message: "no visit".to_owned() };
        let answer = acknowledgements(old, Decision::ContentError, &[error], "h", "2026").remove(0).1;
        let text = String::from_utf8(answer.clone()).unwrap();
        assert!(text.contains("#ACK*A03*ACK#"), "{text}");
        assert!(
            text.contains("#2.3######8859/1\rMSA#AE#N1#no visit\rERR#***101@Required field missing@HL70357\r"),
            "{text}"
        );
        assert_eq!(read_ack(&answer).unwrap().0, AckCode::Ae);
    }

    #[test]
    fn answers_what_has_no_header() {
        let answer = acknowledgements(b"garbage", Decision::Reject, &[], "h", "2026").remove(0).1;
        assert!(
            String::from_utf8(answer.clone()).unwrap().contains("MSA|AR|\r"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(read_ack(&answer).unwrap(), (AckCode::Ar, String::new(), None));
    }

    #[test]
    fn an_answer_fits_into_a_frame_and_can_be_read_whatever_it_repeats() {
        for (message, id) in [
            (&b"MSH|^~\\&|A|B|||||ADT^A01|X\x1c|P|2.5\r"[..], "X"),
            (b"MSH|^~\\&|A|B|||||ADT^A01|7|P|2.5||||||8859/1\x1c\rEVN", "7"),
            (b"MSH||A|B|||||ADT^A01|7|P|2.5\r", "7"),
            (b"MSHS^~\\&SASBSSSSSADT^A01S7SPS2.5\r", ""),
        ] {
            let answer = acknowledgements(message, Decision::Reject, &[], "h", "2026").remove(0).1;
            assert!(!answer.contains(&START) && !answer.contains(&END));
            assert_eq!(read_ack(&answer).map(|read| (read.0, read.1)), Some((AckCode::Ar, id.to_owned())));
        }
    }

    #[test]
    fn names_places_as_people_do() {
        assert_eq!(ErrorPlace::new("FT1", 2, 4).path(), "FT1[2]-4");
        assert_eq!(ErrorPlace { component: 3, ..ErrorPlace::new("PID", 1, 3) }.path(), "PID-3.3");
        assert_eq!(ErrorPlace::new("PV1", 1, 0).path(), "PV1");
    }
}
