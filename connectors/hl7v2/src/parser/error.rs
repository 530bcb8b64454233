//! Why a message cannot be read at all. Everything else is tolerated and recorded, or found wanting later by the mapping.

use super::charset::CharsetError;

/// A message that cannot be read. The caller keeps the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    #[source]
    pub kind: ParseErrorKind,
    /// Where, in bytes from the start of the message.
    pub offset: usize,
}

/// The kinds of [`ParseError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The bytes do not start with `MSH`.
    #[error("the message does not start with an MSH segment")]
    NoHeader,
    /// MSH ends before its delimiters, or declares the same character twice.
    #[error("MSH-1 and MSH-2 do not declare usable delimiters")]
    Delimiters,
    /// The bytes are not text of the declared character set, or the set is not known and the text is not plain ASCII.
    #[error(transparent)]
    Charset(#[from] CharsetError),
}

impl ParseErrorKind {
    /// The code of the page that explains it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoHeader => "WL-1001",
            Self::Delimiters => "WL-1002",
            Self::Charset(error) => error.code(),
        }
    }
}
