//! A resource as text. Only its id and its meta are replaced; every other character stays as it was sent, so that 1.50 is
//! not read back as 1.5.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Members of an object in their order, with their values as written.
#[derive(Debug)]
pub(super) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Reads an object.
    ///
    /// # Errors
    /// When it is none, or a member stands twice.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The value of a member as written.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    /// The value of a member that is text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// Sets a member; a new one goes to place `position`.
    fn set(&mut self, position: usize, name: &str, value: &impl Serialize) -> Result<(), String> {
        let value = to_raw_value(value).map_err(|error| error.to_string())?;
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.insert(position.min(self.0.len()), (name.to_owned(), value)),
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format_args!("the member {key:?} stands twice")));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The text of a resource with the id and the meta of a version. Two texts of the same content without meta are equal.
///
/// # Errors
/// When the resource, or its meta, is no object.
pub(super) fn stamped(resource: &str, id: &str, stamp: Option<(&str, &str)>) -> Result<String, String> {
    let mut members = Members::read(resource)?;
    members.set(1, "id", &id)?;
    let mut meta = match members.raw("meta") {
        Some(raw) => Members::read(raw).map_err(|error| format!("meta: {error}"))?,
        None => Members(Vec::new()),
    };
    meta.remove("versionId");
    meta.remove("lastUpdated");
    if let Some((version, at)) = stamp {
        meta.set(0, "versionId", &version)?;
        meta.set(1, "lastUpdated", &at)?;
    }
    if meta.0.is_empty() {
        members.remove("meta");
    } else {
        members.set(2, "meta", &meta)?;
    }
    let text = serde_json::to_string(&members).map_err(|error| error.to_string())?;
    // Inside text they are escaped, so these are blanks between values. A line of the journal is one line.
    Ok(text.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_order_stay_as_sent() {
        let sent = "{\"resourceType\":\"Observation\",\"z\":1.50,\n \"a\":[1E2, 0.10 ,12.0],\"meta\":{\"tag\":[],\"versionId\":\"9\"}}";
        let text = stamped(sent, "o1", Some(("2", "2026-01-01T00:00:00.000Z"))).unwrap();
        assert_eq!(
            text,
            r#"{"resourceType":"Observation","id":"o1","z":1.50,"a":[1E2, 0.10 ,12.0],"meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00.000Z","tag":[]}}"#
        );
    }

    #[test]
    fn without_a_stamp_only_the_content_counts() {
        let with = stamped(r#"{"resourceType":"A","id":"1","meta":{"versionId":"3","lastUpdated":"x"}}"#, "1", None);
        let without = stamped(r#"{"resourceType":"A"}"#, "1", None);
        assert_eq!(with, without);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "3", r#"{"a":1,"a":2}"#, r#"{"meta":3}"#] {
            assert!(stamped(text, "1", None).is_err(), "{text}");
        }
    }
}
