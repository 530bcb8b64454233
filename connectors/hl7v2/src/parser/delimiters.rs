//! The characters that separate things, declared by each message in MSH-1 and MSH-2.

/// The delimiters of one message (standard 2.5.4). They are read from MSH, never assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields: MSH-1, `|` by custom.
    pub field: char,
    /// Between components: first character of MSH-2, `^` by custom.
    pub component: char,
    /// Between repetitions: second character of MSH-2, `~` by custom.
    pub repetition: char,
    /// Opens and closes an escape: third character of MSH-2, `\` by custom. None if the message declares none.
    pub escape: Option<char>,
    /// Between subcomponents: fourth character of MSH-2, `&` by custom. None if the message declares none.
    pub subcomponent: Option<char>,
    /// Marks truncated text: fifth character of MSH-2 from version 2.7, `#` by custom.
    pub truncation: Option<char>,
}

impl Delimiters {
    /// What the standard recommends: `|^~\&`.
    pub const STANDARD: Self = Self {
        field: '|',
        component: '^',
        repetition: '~',
        escape: Some('\\'),
        subcomponent: Some('&'),
        truncation: None,
    };

    /// Reads MSH-1 and MSH-2 of a segment that starts with a three-letter name (MSH, FHS or BHS). None if the segment ends
    /// before the repetition character, or if two delimiters are the same character. A character that is written twice in a
    /// row (`^~\\\\&`, from senders that escape the escape) counts once.
    pub fn read(segment: &str) -> Option<Self> {
        let mut rest = segment.get(3..)?.chars();
        let field = rest.next().filter(|found| is_delimiter(*found))?;
        let mut declared: Vec<char> = rest.as_str().split_once(field)?.0.chars().collect();
        declared.dedup();
        if declared.len() < 2 || declared.len() > 5 || !declared.iter().all(|found| is_delimiter(*found)) {
            return None;
        }
        let distinct =
            declared.iter().enumerate().all(|(at, found)| *found != field && !declared[..at].contains(found));
        distinct.then_some(Self {
            field,
            component: declared[0],
            repetition: declared[1],
            escape: declared.get(2).copied(),
            subcomponent: declared.get(3).copied(),
            truncation: declared.get(4).copied(),
        })
    }

    /// MSH-2 as this message writes it.
    pub fn encoding_characters(&self) -> String {
        let mut text = String::with_capacity(5);
        text.push(self.component);
        text.push(self.repetition);
        text.extend(self.escape);
        text.extend(self.subcomponent);
        text.extend(self.truncation);
        text
    }
}

fn is_delimiter(character: char) -> bool {
    character.is_ascii() && !character.is_ascii_alphanumeric() && !character.is_ascii_control() && character != ' '
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_message_declares() {
        assert_eq!(Delimiters::read("MSH|^~\\&|A"), Some(Delimiters::STANDARD));
        let custom = Delimiters::read("MSH#*!\\@#APP").unwrap();
        assert_eq!((custom.field, custom.component, custom.subcomponent), ('#', '*', Some('@')));
        assert_eq!(Delimiters::read("MSH|^~\\&#|A").unwrap().truncation, Some('#'));
        assert_eq!(Delimiters::read("MSH|^~|A").unwrap().escape, None);
        assert_eq!(custom.encoding_characters(), "*!\\@");
    }

    #[test]
    fn refuses_headers_without_usable_delimiters() {
        for header in [
            "MSH",
            "MSH|",
            "MSH|^~",
            "MSH|^~\\&\rPID|1",
            "MSH|^",
            "MSHA^~\\&|",
            "MSH|^~^&|",
            "MSH|ab\\&|",
            "MSH|^~\\&#!|",
        ] {
            assert_eq!(Delimiters::read(header), None, "{header}");
        }
    }
}
