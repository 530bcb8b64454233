//! MSH as bytes: enough to answer a message, also one whose text cannot be decoded.

/// The header of a message, split by its own delimiters and not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    fields: Vec<&'a [u8]>,
    separator: u8,
    component: u8,
}

impl<'a> Header<'a> {
    /// Reads the header of a message, behind a byte order mark or blank lines. None if the bytes do not start with MSH and a
    /// field separator: with a letter for one, an answer could not be read.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
        let message = message.trim_ascii_start();
        let line = &message[..memchr::memchr2(b'\r', b'\n', message).unwrap_or(message.len())];
        if !line.starts_with(b"MSH") || line.len() < 5 {
            return None;
        }
        let separator = line[3];
        if !separator.is_ascii_punctuation() {
            return None;
        }
        // Without encoding characters those of the standard hold.
        let component = if line[4] != separator && line[4].is_ascii_punctuation() { line[4] } else { b'^' };
        Some(Self { fields: split(line, separator), separator, component })
    }

    /// MSH field `number` as sent, empty if not there. Number 2 is the encoding characters; number 1 is not a field here.
    pub fn field(&self, number: usize) -> &'a [u8] {
        number
            .checked_sub(1)
            .filter(|index| *index > 0)
            .and_then(|index| self.fields.get(index))
            .copied()
            .unwrap_or_default()
    }

    /// Component `number`, from 1, of a field.
    pub fn component(&self, field: usize, number: usize) -> &'a [u8] {
        let component = self.component;
        let mut parts = self.field(field).split(|byte| *byte == component);
        number.checked_sub(1).and_then(|index| parts.nth(index)).unwrap_or_default()
    }

    /// The field separator, MSH-1.
    pub fn separator(&self) -> u8 {
        self.separator
    }
}

fn split(line: &[u8], separator: u8) -> Vec<&[u8]> {
    // A header has some twenty fields; a list that grows on the way would be moved four times.
    let mut fields = Vec::with_capacity(24);
    fields.extend(line.split(|byte| *byte == separator));
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_as_bytes() {
        let header = Header::read(b"\xef\xbb\xbf\r\nMSH|^~\\&|A|B\xfc|C^1|D|2026||ADT^A01|X1\rPID|1").unwrap();
        assert_eq!(
            (header.field(2), header.field(4), header.field(10), header.field(99)),
            (&b"^~\\&"[..], &b"B\xfc"[..], &b"X1"[..], &b""[..])
        );
        assert_eq!(header.component(9, 2), b"A01");
        assert_eq!(Header::read(b"PID|1"), None);
        assert_eq!(Header::read(b"MSH|"), None);
        assert_eq!(Header::read(b"MSHA^~\\&A"), None);
        assert_eq!(Header::read(b"MSH||A^B").unwrap().component(3, 2), b"B");
    }
}
