//! The log that the registry's state is, in the records that Confluent's registry keeps in the topic `_schemas`.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::level::Level;

/// A key and its value; no value deletes what the key stands for.
pub type LogRecord = (Vec<u8>, Option<Vec<u8>>);

/// The log cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogError(pub String);

/// Where the registry keeps what it knows: records in order, of which the newest of each key counts.
///
/// Calls may block. Only one registry writes to a log at a time.
pub trait SchemaLog: Send + Sync {
    /// Appends a record and returns when it is kept.
    ///
    /// # Errors
    /// When it is not known to be kept.
    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError>;

    /// Everything that was appended, oldest first. Records that a newer one of the same key replaced may be gone.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    fn read_all(&self) -> Result<Vec<LogRecord>, LogError>;
}

/// A log in memory, for tests and for a registry that forgets.
#[derive(Debug, Default)]
pub struct MemoryLog {
    records: Mutex<Vec<LogRecord>>,
}

impl SchemaLog for MemoryLog {
    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn read_all(&self) -> Result<Vec<LogRecord>, LogError> {
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keytype", from = "RawKey")]
pub(super) enum Key {
    /// A version of a subject.
    #[serde(rename = "SCHEMA")]
    Schema { subject: String, version: i32, magic: i8 },
    /// A rule: of a subject, or of all.
    #[serde(rename = "CONFIG")]
    Config { subject: Option<String>, magic: i8 },
    /// All versions of a subject up to one are deleted, but kept.
    #[serde(rename = "DELETE_SUBJECT")]
    DeleteSubject { subject: String, magic: i8 },
    /// Nothing to Confluent's registry. Here it keeps the highest id, which would else be given again after the last
    /// schema that has it is gone for good.
    #[serde(rename = "NOOP")]
    Noop { magic: i8 },
    /// Of another registry.
    Other,
}

/// A key as it is read: the tagged form cannot be read back while numbers keep their text.
#[derive(Deserialize)]
struct RawKey {
    keytype: String,
    subject: Option<String>,
    version: Option<i32>,
    #[serde(default)]
    magic: i8,
}

impl From<RawKey> for Key {
    fn from(RawKey { keytype, subject, version, magic }: RawKey) -> Self {
        match (keytype.as_str(), subject, version) {
            ("SCHEMA", Some(subject), Some(version)) => Self::Schema { subject, version, magic },
            ("CONFIG", subject, _) => Self::Config { subject, magic },
            ("DELETE_SUBJECT", Some(subject), _) => Self::DeleteSubject { subject, magic },
            ("NOOP", ..) => Self::Noop { magic },
            _ => Self::Other,
        }
    }
}

impl Key {
    pub(super) fn schema(subject: &str, version: i32) -> Self {
        Self::Schema { subject: subject.to_owned(), version, magic: 1 }
    }

    pub(super) fn config(subject: Option<&str>) -> Self {
        Self::Config { subject: subject.map(str::to_owned), magic: 0 }
    }

    pub(super) fn delete_subject(subject: &str) -> Self {
        Self::DeleteSubject { subject: subject.to_owned(), magic: 0 }
    }
}

/// Value of [`Key::Schema`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaValue {
    pub(super) subject: String,
    pub(super) version: i32,
    pub(super) id: i32,
    /// Left out for Avro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema_type: Option<String>,
    pub(super) schema: String,
    #[serde(default)]
    pub(super) deleted: bool,
}

/// Value of [`Key::Config`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigValue {
    pub(super) compatibility_level: Level,
}

/// Value of [`Key::DeleteSubject`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeleteSubjectValue {
    pub(super) subject: String,
    /// Newest version that is deleted.
    pub(super) version: i32,
}

/// Value of [`Key::Noop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NoopValue {
    pub(super) max_id: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn records_look_as_those_of_confluent() {
        assert_eq!(text(&Key::schema("s", 1)), r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#);
        assert_eq!(text(&Key::config(None)), r#"{"keytype":"CONFIG","subject":null,"magic":0}"#);
        assert_eq!(text(&Key::delete_subject("s")), r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#);
        let value = SchemaValue {
            subject: "s".to_owned(),
            version: 1,
            id: 7,
            schema_type: None,
            schema: "\"int\"".to_owned(),
            deleted: false,
        };
        assert_eq!(text(&value), r#"{"subject":"s","version":1,"id":7,"schema":"\"int\"","deleted":false}"#);
        assert_eq!(text(&ConfigValue { compatibility_level: Level::Full }), r#"{"compatibilityLevel":"FULL"}"#);
    }

    #[test]
    fn keys_come_back() {
        for key in [Key::schema("s", 3), Key::config(Some("s")), Key::config(None), Key::delete_subject("s")] {
            assert_eq!(serde_json::from_str::<Key>(&text(&key)).unwrap(), key);
        }
    }

    #[test]
    fn keys_of_others_are_known_as_such() {
        let key: Key = serde_json::from_str(r#"{"keytype":"MODE","subject":null,"magic":0}"#).unwrap();
        assert_eq!(key, Key::Other);
    }

    #[test]
    fn a_log_in_memory_keeps_the_order() {
        let log = MemoryLog::default();
        log.append(b"a", Some(b"1")).unwrap();
        log.append(b"a", None).unwrap();
        assert_eq!(log.read_all().unwrap(), [(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), None)]);
    }
}
