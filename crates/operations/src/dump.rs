//! Bytes as people look at them who have to find out what they were.

use std::fmt::Write as _;

/// Bytes in one line.
const LINE_BYTES: usize = 16;

/// Lines of an offset, 16 bytes in hexadecimal and the same as text.
#[must_use]
pub fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(LINE_BYTES).enumerate() {
        let pairs: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = line
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:08x}  {:<47}  |{shown}|", number * LINE_BYTES, pairs.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::dump;

    #[test]
    fn bytes_are_shown_in_hexadecimal_and_as_text() {
        let expected = "\
            00000000  4d 53 48 7c 5e 7e 5c 26 7c 4c 41 42 0d 00 ff 23  |MSH|^~\\&|LAB...#|\n\
            00000010  21                                               |!|\n";
        assert_eq!(dump(b"MSH|^~\\&|LAB\r\x00\xff#!"), expected);
    }
}
