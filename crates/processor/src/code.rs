//! Stable error codes.

use std::fmt;

/// A stable code of the form `WL-nnnn`. Each has a page under `docs/errors` that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

impl Code {
    /// Names a code. The page `docs/errors/<code>.md` must exist; a tidy test holds that.
    pub const fn new(code: &'static str) -> Self {
        Self(code)
    }

    /// The code as it appears in events, logs and file names.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}
