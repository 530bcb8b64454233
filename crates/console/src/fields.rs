//! What comes with a request: parameters of the address, of a form or of a JSON body, as the route declares them.

use crate::problem::Problem;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most fields of one request.
const FIELDS_MAX: usize = 64;

/// A field that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// What it means.
    pub what: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be there and not be empty.
    pub required: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One line, of so many characters at most.
    Line(usize),
    /// Several lines, of so many characters at most.
    Text(usize),
    /// A whole number.
    Number,
    /// Yes (`true`) or no.
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
}

impl Field {
    /// A field that may be left out.
    pub const fn optional(name: &'static str, kind: Kind, what: &'static str) -> Self {
        Self { name, what, kind, required: false }
    }

    /// A field that must be there.
    pub const fn required(name: &'static str, kind: Kind, what: &'static str) -> Self {
        Self { name, what, kind, required: true }
    }
}

/// The fields of a request, as text, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Reads what a form or the part of an address behind `?` says.
    ///
    /// # Errors
    /// When there are too many fields, or one stands twice.
    pub fn of_form(bytes: &[u8]) -> Result<Self, Problem> {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(bytes).take(FIELDS_MAX + 1) {
            if fields.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::not_understood(format!("the field {} stands twice", shown(&name))));
            }
        }
        if fields.len() > FIELDS_MAX {
            return Err(Problem::not_understood(format!("more than {FIELDS_MAX} fields")));
        }
        Ok(Self(fields))
    }

    /// Reads a JSON object of texts, numbers and flags.
    ///
    /// # Errors
    /// When it is no such object.
    pub fn of_json(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| Problem::not_understood(format!("no JSON: {error}")))?;
        let Value::Object(object) = value else {
            return Err(Problem::not_understood("the body must be a JSON object"));
        };
        if object.len() > FIELDS_MAX {
            return Err(Problem::not_understood(format!("more than {FIELDS_MAX} fields")));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in object {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(Problem::not_understood(format!("{} must be one value", shown(&name))));
                }
            };
            fields.insert(name, text);
        }
        Ok(Self(fields))
    }

    /// Takes a field out, whatever the route declares.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Leaves out what a route does not take, where it passes over that.
    pub fn keep(&mut self, declared: &[Field]) {
        self.0.retain(|name, _| declared.iter().any(|field| field.name == name));
    }

    /// Checks the fields against what the route takes: none is unknown, none that is needed is missing, each holds what it
    /// must. Empty ones are as if they were left out.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&mut self, declared: &[Field]) -> Result<(), Problem> {
        self.0.retain(|_, value| !value.trim().is_empty());
        if let Some(unknown) = self.0.keys().find(|name| !declared.iter().any(|field| field.name == name.as_str())) {
            return Err(Problem::not_understood(format!("there is no field {}", shown(unknown))));
        }
        for field in declared {
            match self.0.get(field.name) {
                None if field.required => {
                    return Err(Problem::not_understood(format!("{} is missing: {}", field.name, field.what)));
                }
                None => {}
                Some(value) => {
                    field.kind.check(value).map_err(|rule| Problem::not_understood(format!("{} {rule}", field.name)))?
                }
            }
        }
        Ok(())
    }

    /// The text of a field, without blanks around it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// A field exactly as it was sent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number of a field.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Whether a field says yes.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text == "true")
    }

    /// The address part behind `?` of these fields with one of them changed; empty when nothing is left.
    #[must_use]
    pub fn query_with(&self, name: &str, value: Option<&str>) -> String {
        let mut fields = self.0.clone();
        match value {
            Some(value) => fields.insert(name.to_owned(), value.to_owned()),
            None => fields.remove(name),
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&fields);
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

impl Kind {
    fn check(self, value: &str) -> Result<(), String> {
        let length = |most: usize| match value.chars().count() > most {
            true => Err(format!("has more than {most} characters")),
            false => Ok(()),
        };
        match self {
            Self::Line(_) if value.chars().any(char::is_control) => Err("must be one line".to_owned()),
            Self::Line(most) => length(most),
            Self::Text(_) if value.chars().any(|one| one.is_control() && !matches!(one, '\n' | '\r' | '\t')) => {
                Err("holds control characters".to_owned())
            }
            Self::Text(most) => length(most),
            Self::Number => value.trim().parse::<i64>().map(drop).map_err(|_| "must be a whole number".to_owned()),
            Self::Flag if ["true", "false"].contains(&value.trim()) => Ok(()),
            Self::Flag => Err("must be true or false".to_owned()),
            Self::OneOf(all) if all.contains(&value.trim()) => Ok(()),
            Self::OneOf(all) => Err(format!("must be one of {}", all.join(", "))),
        }
    }
}

/// A name as it may be said back.
fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(40).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    const DECLARED: [Field; 4] = [
        Field::required("comment", Kind::Text(10), "why"),
        Field::optional("code", Kind::Line(7), "code"),
        Field::optional("page", Kind::Number, "page"),
        Field::optional("state", Kind::OneOf(&["open", "all"]), "state"),
    ];

    fn refusal(form: &str) -> Option<String> {
        let read = Fields::of_form(form.as_bytes());
        read.and_then(|mut fields| fields.check(&DECLARED)).err().map(|problem| problem.detail)
    }

    #[test]
    fn a_form_and_a_json_object_say_the_same() {
        let mut form = Fields::of_form(b"comment=was+mended&page=2&code=").unwrap();
        let mut json = Fields::of_json(br#"{"comment": "was mended", "page": 2, "code": null}"#).unwrap();
        for fields in [&mut form, &mut json] {
            fields.check(&DECLARED).unwrap();
        }
        assert_eq!(form, json);
        assert_eq!((form.text("comment"), form.number("page"), form.text("code")), (Some("was mended"), Some(2), None));
    }

    #[test]
    fn what_a_route_does_not_take_is_refused_by_name() {
        for (form, said) in [
            ("", "comment is missing: why"),
            ("comment=+", "comment is missing: why"),
            ("comment=a&comment=b", "the field comment stands twice"),
            ("comment=a&x=1", "there is no field x"),
            ("comment=12345678901", "comment has more than 10 characters"),
            ("comment=a%00", "comment holds control characters"),
            ("comment=a&code=a%0ab", "code must be one line"),
            ("comment=a&page=x", "page must be a whole number"),
            ("comment=a&state=x", "state must be one of open, all"),
        ] {
            assert_eq!(refusal(form).as_deref(), Some(said), "{form}");
        }
        let many: String = (0..100).map(|number| format!("f{number}=1&")).collect();
        assert!(refusal(&many).is_some_and(|said| said.contains("more than 64")));
        assert!(Fields::of_json(b"[1]").is_err() && Fields::of_json(br#"{"a": [1]}"#).is_err());
    }

    #[test]
    fn an_address_keeps_its_other_fields() {
        let fields = Fields::of_form(b"code=WL-4010&page=2").unwrap();
        assert_eq!(fields.query_with("page", Some("3")), "?code=WL-4010&page=3");
        assert_eq!(fields.query_with("code", None), "?page=2");
        assert_eq!(Fields::default().query_with("code", None), "");
    }
}
