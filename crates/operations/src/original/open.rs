//! Which fields of an HL7 v2 message identify nobody, so that they are shown to whoever may look at all.
//!
//! The measure is the list of identifiers of the HIPAA safe harbour, 45 CFR 164.514(b)(2)(i): names (A), places below a state (B), all
//! dates about a person but the year (C), numbers of every kind that stand for a person, a visit, an account, a device or a licence
//! (D to R). A field is shown only when it is listed here, which means that the standard puts none of these there, and only when its
//! value has the form that the standard gives the field: what a sender has put into the wrong field stays hidden.
//!
//! - Of PID, PD1, NK1, GT1, IN1, MRG, AL1, DG1, NTE and every segment of a site nothing is shown; of a visit only its class.
//! - Of dates only the time at which the message was made (MSH-7, BHS-7): it is not about a person. When something was used, ordered,
//!   recorded or done is, and stays hidden.
//! - Control ids stay hidden, since senders make them of visit numbers; so do names of applications and facilities (B), free
//!   text, results, lots and serial numbers.
//! - Of a coded value the code and the system are shown, never the text beside them.

use super::MASK;

/// What a value of a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The encoding characters: no letter and no digit.
    Encoding,
    /// A time of up to fractions of a second, with its offset from UTC.
    Time,
    /// `DFT^P03^DFT_P03`.
    MessageType,
    /// A value of a short table of the standard: up to three capitals or digits.
    Table,
    /// A version of the standard.
    Version,
    /// A character set.
    Charset,
    /// A quantity or a number in a row: fewer digits than numbers of people have.
    Quantity,
    /// The code of a thing or a charge with its system; a code has a digit, so that it is no name.
    Code,
    /// A unit of measure: a short word.
    Unit,
}

/// Segment, field, form.
const OPEN: [(&str, usize, Form); 56] = [
    ("MSH", 2, Form::Encoding),
    ("MSH", 7, Form::Time),
    ("MSH", 9, Form::MessageType),
    ("MSH", 11, Form::Table),
    ("MSH", 12, Form::Version),
    ("MSH", 15, Form::Table),
    ("MSH", 16, Form::Table),
    ("MSH", 17, Form::Table),
    ("MSH", 18, Form::Charset),
    ("BHS", 2, Form::Encoding),
    ("BHS", 7, Form::Time),
    ("FHS", 2, Form::Encoding),
    ("FHS", 7, Form::Time),
    ("EVN", 1, Form::Table),
    ("PV1", 2, Form::Table),
    ("ORC", 1, Form::Table),
    ("ORC", 5, Form::Table),
    ("FT1", 1, Form::Quantity),
    ("FT1", 6, Form::Table),
    ("FT1", 7, Form::Code),
    ("FT1", 10, Form::Quantity),
    ("FT1", 29, Form::Code),
    ("OBR", 1, Form::Quantity),
    ("OBR", 4, Form::Code),
    ("OBR", 25, Form::Table),
    ("OBX", 1, Form::Quantity),
    ("OBX", 2, Form::Table),
    ("OBX", 3, Form::Code),
    ("OBX", 6, Form::Unit),
    ("OBX", 11, Form::Table),
    ("RXA", 5, Form::Code),
    ("RXA", 6, Form::Quantity),
    ("RXA", 7, Form::Unit),
    ("RXA", 20, Form::Table),
    ("RXA", 21, Form::Table),
    ("RXD", 2, Form::Code),
    ("RXD", 4, Form::Quantity),
    ("RXD", 5, Form::Unit),
    ("RXE", 2, Form::Code),
    ("RXE", 3, Form::Quantity),
    ("RXE", 5, Form::Unit),
    ("RXG", 4, Form::Code),
    ("RXG", 5, Form::Quantity),
    ("RXG", 7, Form::Unit),
    ("RXO", 1, Form::Code),
    ("RXO", 2, Form::Quantity),
    ("RXO", 4, Form::Unit),
    ("RQD", 1, Form::Quantity),
    ("RQD", 2, Form::Code),
    ("RQD", 3, Form::Code),
    ("RQD", 4, Form::Code),
    ("RQD", 5, Form::Quantity),
    ("RQD", 6, Form::Unit),
    ("IIM", 2, Form::Code),
    ("ITM", 1, Form::Code),
    ("MSA", 1, Form::Table),
];

/// What is shown of a field without a reason.
pub(super) fn shown(segment: &str, number: usize, text: &str) -> String {
    let listed = OPEN.iter().find(|(name, field, _)| *name == segment && *field == number);
    listed.and_then(|(.., form)| form.of(text)).unwrap_or_else(|| MASK.to_owned())
}

impl Form {
    /// The value, as far as it has this form; none where it has not.
    fn of(self, text: &str) -> Option<String> {
        let all = |fits: fn(char) -> bool| !text.is_empty() && text.chars().all(fits);
        let fits = match self {
            Self::Encoding => text.len() <= 5 && all(|one| one.is_ascii_punctuation()),
            Self::Time => is_time(text),
            Self::MessageType => text.len() <= 15 && text.split('^').count() <= 3 && text.split('^').all(is_of_type),
            Self::Table => text.len() <= 3 && all(is_capital),
            Self::Version => text.len() <= 8 && text.starts_with('2') && all(|one| one.is_ascii_digit() || one == '.'),
            Self::Charset => text.len() <= 40 && all(|one| one.is_ascii_alphanumeric() || " /-_.~".contains(one)),
            Self::Quantity => is_quantity(text),
            Self::Unit => text.len() <= 8 && is_unit(text),
            Self::Code => return code(text),
        };
        fits.then(|| text.to_owned())
    }
}

fn is_capital(one: char) -> bool {
    one.is_ascii_uppercase() || one.is_ascii_digit()
}

/// A part of a message type: `DFT`, `P03`, `DFT_P03`.
fn is_of_type(part: &str) -> bool {
    let is_short = |part: &str| part.len() == 3 && part.chars().all(is_capital);
    is_short(part) || part.split_once('_').is_some_and(|(message, event)| is_short(message) && is_short(event))
}

/// From the day on: `20260914`, `20260914083000.123+0100`.
fn is_time(text: &str) -> bool {
    let (time, zone) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (8..=14).contains(&whole.len())
        && are_digits(whole)
        && (1..=4).contains(&fraction.len())
        && are_digits(fraction)
        && (zone.is_empty() || (zone.len() == 5 && are_digits(zone.get(1..).unwrap_or_default())))
}

/// A number with up to four digits before the point and after it. Numbers of people, visits and accounts have more, and one with a
/// leading zero is none that somebody counts with.
fn is_quantity(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_part = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_part(whole) && is_part(part) && (whole == "0" || !whole.starts_with('0'))
}

/// A word of up to eight letters in small, or three in capitals, as units are: `EA`, `mL`, `mm[Hg]`, `10*3/uL`.
fn is_unit(text: &str) -> bool {
    let is_of_unit = |one: char| one.is_ascii_alphanumeric() || "[]/%*.".contains(one);
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    let word = text.split(|one: char| !one.is_ascii_alphabetic()).map(str::len).max().unwrap_or_default();
    !text.is_empty() && text.chars().all(is_of_unit) && word <= 3 && letters > 0
}

/// The code and its system; the text between them is left out, as is everything behind.
fn code(text: &str) -> Option<String> {
    let mut parts = text.split('^');
    let (code, name, system) = (parts.next()?, parts.next(), parts.next());
    let is_of_code = |one: char| one.is_ascii_alphanumeric() || "-_./".contains(one);
    let is_code = code.len() <= 30 && code.chars().all(is_of_code) && code.bytes().any(|byte| byte.is_ascii_digit());
    if !is_code {
        return None;
    }
    let system = system.filter(|system| !system.is_empty() && system.len() <= 8 && system.chars().all(is_capital));
    let name = name.map(|name| if name.is_empty() { "" } else { MASK });
    Some(match (name, system) {
        (Some(name), Some(system)) => format!("{code}^{name}^{system}"),
        (Some(MASK), None) => format!("{code}^{MASK}"),
        _ => code.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_nobody_is_shown() {
        for (segment, number, text) in [
            ("MSH", 2, "^~\\&"),
            ("MSH", 7, "20260914083000.12+0100"),
            ("MSH", 9, "DFT^P03^DFT_P03"),
            ("MSH", 11, "P"),
            ("MSH", 12, "2.5.1"),
            ("MSH", 18, "UNICODE UTF-8"),
            ("MSH", 18, "KLINGON"),
            ("PV1", 2, "I"),
            ("FT1", 6, "CG"),
            ("FT1", 7, "71-100234"),
            ("FT1", 10, "-2"),
            ("OBX", 6, "mm[Hg]"),
            ("RXA", 6, "0.5"),
            ("RQD", 6, "EA"),
        ] {
            assert_eq!(shown(segment, number, text), text, "{segment}-{number}");
        }
        assert_eq!(shown("FT1", 7, "71-1^Stent of Abel^HOSP^x^y"), format!("71-1^{MASK}^HOSP"));
        assert_eq!(shown("FT1", 7, "71-1^Stent"), format!("71-1^{MASK}"));
        assert_eq!(shown("FT1", 7, "71-1^^HOSP"), "71-1^^HOSP");
    }

    /// PHI-1: neither a field that is not listed, nor a value that is not what the standard puts there.
    #[test]
    fn phi_1_everything_else_stays_hidden() {
        for (segment, number, text) in [
            ("PID", 5, "Abel^Ada"),
            ("PID", 8, "F"),
            ("MSH", 3, "EPIC"),
            ("MSH", 10, "4711"),
            ("PV1", 19, "4711"),
            ("FT1", 4, "20260914"),
            ("OBX", 5, "7"),
            ("EVN", 2, "20260914"),
            ("ZXA", 1, "1"),
            // In a wrong field.
            ("MSH", 7, "1958"),
            ("MSH", 9, "Abel^Ada"),
            ("MSH", 12, "Abel"),
            ("MSH", 18, "Abel^Ada"),
            ("PV1", 2, "Abel"),
            ("FT1", 6, "ABEL"),
            ("FT1", 7, "Abel^Ada"),
            ("FT1", 7, "ABEL"),
            ("FT1", 7, "4711 Abel"),
            ("FT1", 10, "4711001"),
            ("FT1", 10, "0047"),
            ("FT1", 10, "19580312"),
            ("OBX", 3, "Abel"),
            ("RQD", 6, "Abel"),
            ("RXA", 7, "7"),
        ] {
            assert_eq!(shown(segment, number, text), MASK, "{segment}-{number} {text}");
        }
    }

    #[test]
    fn of_people_and_of_sites_nothing_is_listed() {
        let closed = ["PID", "PD1", "NK1", "GT1", "IN1", "IN2", "IN3", "MRG", "AL1", "DG1", "NTE", "ROL", "STF", "ACC"];
        assert!(OPEN.iter().all(|(segment, ..)| !closed.contains(segment) && !segment.starts_with('Z')));
        let dates: Vec<_> = OPEN.iter().filter(|(.., form)| *form == Form::Time).map(|(name, ..)| *name).collect();
        assert_eq!(dates, ["MSH", "BHS", "FHS"], "only when a message was made");
    }
}
