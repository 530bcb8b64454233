//! Ids of exceptions in few bytes.

use std::sync::Arc;

/// An id: most are UUIDs, which take 16 bytes as numbers; any other is held as its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A UUID in its usual form.
    Number([u8; 16]),
    /// Anything else.
    Text(Arc<str>),
}

impl Id {
    /// The id that is written so.
    pub fn of(text: &str) -> Self {
        number(text).map_or_else(|| Self::Text(Arc::from(text)), Self::Number)
    }

    /// Whether it is written with this at its start; thousands are asked, so no text is made of it.
    pub fn starts_with(&self, start: &str) -> bool {
        match self {
            Self::Text(text) => text.starts_with(start),
            Self::Number(bytes) => {
                let mut buffer = uuid::Uuid::encode_buffer();
                uuid::Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut buffer).starts_with(start)
            }
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(bytes) => write!(formatter, "{}", uuid::Uuid::from_bytes(*bytes)),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// Only the one form in which it comes back as it was.
fn number(text: &str) -> Option<[u8; 16]> {
    let parsed = uuid::Uuid::parse_str(text).ok()?;
    let mut buffer = uuid::Uuid::encode_buffer();
    (parsed.hyphenated().encode_lower(&mut buffer) == text).then(|| parsed.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_as_it_was_written() {
        for text in ["3aa58b87-0000-5000-8000-000000000001", "3AA58B87-0000-5000-8000-000000000001", "exc-1", ""] {
            assert_eq!(Id::of(text).to_string(), text);
            assert!(Id::of(text).starts_with(text) && Id::of(text).starts_with(text.get(..4).unwrap_or_default()));
            assert!(!Id::of(text).starts_with("3aa58b88"));
        }
        assert!(matches!(Id::of("3aa58b87-0000-5000-8000-000000000001"), Id::Number(_)));
        assert!(size_of::<Id>() <= 24);
    }
}
