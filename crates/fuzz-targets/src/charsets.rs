//! Character sets of MSH-18.

use hl7v2::parser::{Charset, CharsetError};

/// Sets with one code for two characters: half-width katakana and full-width katakana, two minus signs and so on.
const HAS_TWINS: [&str; 6] = ["ISO-2022", "Shift_JIS", "EUC-JP", "EUC-KR", "gb18030", "Big5"];

/// The input is MSH-18, a `|`, and bytes. Decoding never replaces, its refusals name a byte, and what is written in a set is
/// read from it again: each character as itself, or as `?` when the set lacks it.
pub fn charset(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'|') else { return };
    let (name, bytes) = (String::from_utf8_lossy(&input[..end]), &input[end + 1..]);
    let Some(charset) = Charset::declared(name.split('~')) else { return };
    match charset.decode(bytes) {
        Ok(text) => {
            // Latin sets and UTF-8 agree with ASCII; the escape sequences of ISO 2022 are no text.
            assert!(
                !bytes.is_ascii() || bytes.contains(&0x1b) || charset.name() == "ISO-2022" || text.as_bytes() == bytes
            );
            check_written(charset, &text);
        }
        Err(CharsetError::Contradicted { offset, .. }) => {
            assert!(offset < bytes.len(), "byte {offset} of {}", bytes.len());
            // The bytes before the wrong one are text, or the start of the character that it broke.
            let before = &bytes[..offset];
            assert!((0..=4).any(|less| charset.decode(&before[..before.len().saturating_sub(less)]).is_ok()));
        }
        Err(other) => assert_eq!(other.code(), "WL-1004"),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_written(charset, text);
    }
}

fn check_written(charset: Charset, text: &str) {
    let written = charset.encode(text);
    let read = charset.decode(&written);
    assert!(read.is_ok(), "{read:?}: {text:?} as {written:?}");
    let Ok(read) = read else { return };
    let pairs: Vec<(char, char)> = text.chars().zip(read.chars()).collect();
    assert_eq!(text.chars().count(), read.chars().count(), "{text:?} came back as {read:?}");
    for (wrote, read) in pairs {
        let twin = HAS_TWINS.contains(&charset.name()) && !wrote.is_ascii() && !read.is_ascii();
        assert!(wrote == read || read == '?' || twin, "{wrote:?} came back as {read:?}");
    }
    assert_eq!(charset.encode(&read), charset.encode(text), "{text:?} and {read:?} are written differently");
}
