#![allow(clippy::unwrap_used, reason = "test")]

use super::*;

const ADMIT: &str = "MSH|^~\\&|APP|FAC|ESB|HUB|20260915080000||ADT^A01^ADT_A01|C1|P|2.5.1\rPID|1||7^^^F&1.2&ISO^MR~8^^^G^NI||D\\T\\oe^J||\"\"\rPV1|1|I\r";

#[test]
fn finds_values_by_position() {
    let message = Message::parse(ADMIT.as_bytes()).unwrap();
    let header = message.header();
    assert_eq!((header.field(1).raw(), header.field(2).raw(), header.field(3).raw()), ("|", "^~\\&", "APP"));
    assert_eq!(header.field(9).component(2).raw(), "A01");
    let patient = message.segment("PID");
    assert_eq!(patient.field(3).component(4).subcomponent(2).raw(), "1.2");
    assert_eq!(patient.field(3).repetitions().map(|one| one.component(1).raw()).collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(patient.field(5).first().unwrap(), "D&oe");
    assert_eq!(patient.field(7).presence(), Presence::Null);
    assert_eq!(patient.field(6).presence(), Presence::Empty);
    assert_eq!(patient.field(99).presence(), Presence::Empty);
    assert_eq!(patient.field(0).presence(), Presence::Empty);
    assert!(!message.segment("ZZZ").exists());
    assert_eq!(message.segment("ZZZ").field(1).first(), None);
    assert_eq!(message.tolerances(), []);
}

#[test]
fn a_further_header_may_be_its_name_alone() {
    let raw = format!("{ADMIT}MSH\r");
    let message = Message::parse(raw.as_bytes()).unwrap();
    let bare = message.segments().last().unwrap();
    assert_eq!((bare.name(), bare.field(1).raw(), bare.field(2).raw()), ("MSH", "", ""));
    assert_eq!(message.rebuild(), message.text());
}

#[test]
fn reads_declared_delimiters() {
    let raw = b"MSH#*!\\@#APP#FAC###20260915##ADT*A03#N8#P#2.5\rPID#1##7***F@1.2@ISO*MR##Do\\F\\e*J\\S\\n\r";
    let message = Message::parse(raw).unwrap();
    assert_eq!(message.segment("PID").field(5).first().unwrap(), "Do#e");
    assert_eq!(message.segment("PID").field(5).component(2).first().unwrap(), "J*n");
    assert_eq!(message.segment("PID").field(3).component(4).subcomponent(3).raw(), "ISO");
}

#[track_caller]
fn check_lossless(raw: &[u8], segments: usize, tolerances: &[Tolerance]) {
    let message = Message::parse(raw).unwrap();
    assert_eq!(message.rebuild(), message.text());
    assert_eq!(message.print(), raw);
    assert_eq!(
        message.segments().count(),
        segments,
        "{:?}",
        message.segments().map(|one| one.text()).collect::<Vec<_>>()
    );
    assert_eq!(message.tolerances(), tolerances);
}

#[test]
fn tolerates_what_senders_do_and_keeps_the_bytes() {
    let header = "MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5";
    check_lossless(format!("{header}\rPID|1").as_bytes(), 2, &[]);
    check_lossless(format!("{header}\nPID|1\n").as_bytes(), 2, &[Tolerance::LineFeed]);
    check_lossless(format!("{header}\r\nPID|1\r\n").as_bytes(), 2, &[Tolerance::CarriageReturnLineFeed]);
    check_lossless(
        format!("\u{feff}{header}\r\r\rPID|1\r").as_bytes(),
        2,
        &[Tolerance::ByteOrderMark, Tolerance::BlankLine],
    );
    check_lossless(format!("{header}\rPID|1\r\0\u{1a}").as_bytes(), 2, &[Tolerance::Trailer]);
    check_lossless(
        format!("{header}\rpid|1\rPV|1\r").as_bytes(),
        3,
        &[Tolerance::LowerCaseName, Tolerance::MalformedName],
    );
    check_lossless(
        format!("{header}\rNTE|1||first\nsecond line\nthird\rPID|1\r").as_bytes(),
        3,
        &[Tolerance::LineFeed, Tolerance::LineBreakInField],
    );
    check_lossless(b"MSH|^~\\\\&|A\rPID|1||a^b&c~d\r", 2, &[Tolerance::RepeatedDelimiter]);
}

#[test]
fn decodes_before_splitting() {
    // The second byte of the first kanji of the family name is 0x5e, the component separator of the message.
    let raw = b"MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5||||||~ISO IR87\rPID|1||7||\x1b$B7^\x1b(B^X\r";
    let message = Message::parse(raw).unwrap();
    assert_eq!(message.segment("PID").field(5).component(1).raw().chars().count(), 1);
    assert_eq!(message.segment("PID").field(5).component(2).raw(), "X");
    assert_eq!(message.print(), raw);
}

#[test]
fn refuses_what_it_cannot_read() {
    let kind = |raw: &[u8]| Message::parse(raw).unwrap_err();
    assert_eq!(kind(b"PID|1").kind, ParseErrorKind::NoHeader);
    assert_eq!(kind(b"").kind, ParseErrorKind::NoHeader);
    assert_eq!(kind(b"MSH|^~").kind.code(), "WL-1002");
    let contradicted = kind(b"MSH|^~\\&||||||||||||||||UTF-8|\rPID|1||\xfc\r");
    assert_eq!((contradicted.kind.code(), contradicted.offset), ("WL-1005", 38));
    assert_eq!(kind(b"MSH|^~\\&||||||||||||||||NO SUCH|\rPID|1||\xfc\r").kind.code(), "WL-1004");
    assert_eq!(kind(b"MSH|^~\\&|\rPID|1||\xfc\r").kind.code(), "WL-1006");
}

#[test]
fn reads_undeclared_text_as_utf_8_or_as_the_fallback() {
    let utf8 = Message::parse("MSH|^~\\&|\rPID|1||ü\r".as_bytes()).unwrap();
    assert_eq!((utf8.charset(), utf8.tolerances()), (&Charset::UTF_8, &[Tolerance::UndeclaredCharset][..]));
    let options = ParseOptions { fallback_charset: Charset::named("8859/1") };
    let latin = Message::parse_with(b"MSH|^~\\&|\rPID|1||\xfc\r", options).unwrap();
    assert_eq!(latin.segment("PID").field(3).first().unwrap(), "ü");
}

#[test]
fn reads_escaped_bytes_of_undeclared_text_as_the_text_itself_would_be_read() {
    let name = |raw: &[u8], fallback: Option<&str>| {
        let options = ParseOptions { fallback_charset: fallback.and_then(Charset::named) };
        let message = Message::parse_with(raw, options).unwrap();
        let decoded = message.segment("PID").field(3).decoded();
        (decoded.text.into_owned(), decoded.kept_raw)
    };
    let read = |text: &str| (text.to_owned(), false);
    let kept = |text: &str| (text.to_owned(), true);
    assert_eq!(name(b"MSH|^~\\&|\rPID|1||M\\XC3BC\\ller\r", None), read("Müller"));
    assert_eq!(name(b"MSH|^~\\&|\rPID|1||M\\XFC\\ller\r", Some("8859/1")), read("Müller"));
    assert_eq!(name(b"MSH|^~\\&|\rPID|1||M\\XFC\\ller\r", None), kept("M\\XFC\\ller"));
    // What is declared holds: these are not bytes of the set that the sender names.
    let declared = b"MSH|^~\\&||||||||||||||||ASCII|\rPID|1||M\\XC3BC\\ller\r";
    assert_eq!(name(declared, Some("8859/1")), kept("M\\XC3BC\\ller"));
}
