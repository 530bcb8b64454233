//! What goes into a service and what comes out of it.

/// A request, read whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Method, upper case.
    pub(crate) method: String,
    /// Decoded parts of the path.
    pub(crate) path: Vec<String>,
    /// Decoded parameters in their order.
    pub(crate) query: Vec<(String, String)>,
    /// Headers whose values are text; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// First value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter says true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Media type of the body.
    pub(crate) content_type: &'static str,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

/// Decodes `%xx`; `None` when that gives no UTF-8. A lone `%` stays.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decoded("a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(decoded("100%").as_deref(), Some("100%"));
        assert_eq!(decoded("%zz%C3%A9").as_deref(), Some("%zz\u{e9}"));
        assert_eq!(decoded("%ff"), None);
    }

    #[test]
    fn the_first_value_of_a_parameter_counts() {
        let query = vec![("a".to_owned(), "TRUE".to_owned()), ("a".to_owned(), "false".to_owned())];
        let request = Request { query, ..Request::default() };
        assert!(request.flag("a") && !request.flag("b"));
    }
}
