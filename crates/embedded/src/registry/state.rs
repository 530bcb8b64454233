//! What the registry knows: subjects with their versions, schemas by id, rules. Only records of the log change it, so a
//! restart comes to the same state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::level::Level;
use super::log::{ConfigValue, DeleteSubjectValue, Key, NoopValue, SchemaValue};
use super::schema::Schema;

/// A schema with its id.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) id: i32,
    /// As it was first registered.
    pub(super) text: String,
    /// [`digest`] of its canonical text.
    digest: [u8; 32],
}

/// A version of a subject.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) number: i32,
    pub(super) schema: Arc<Registered>,
    /// Deleted, but kept.
    pub(super) deleted: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    subjects: BTreeMap<String, BTreeMap<i32, Version>>,
    by_id: HashMap<i32, Arc<Registered>>,
    by_digest: HashMap<[u8; 32], i32>,
    rules: HashMap<Option<String>, Level>,
    max_id: i32,
}

impl State {
    /// Takes a record of the log in.
    ///
    /// # Errors
    /// Why the record cannot be understood, one sentence.
    pub(super) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        match read(key)? {
            Key::Schema { subject, version, .. } => match value {
                Some(value) => self.put(read(value)?)?,
                None => self.forget(&subject, version),
            },
            Key::Config { subject, .. } => match value {
                Some(value) => {
                    self.rules.insert(subject, read::<ConfigValue>(value)?.compatibility_level);
                }
                None => {
                    self.rules.remove(&subject);
                }
            },
            Key::DeleteSubject { subject, .. } => {
                if let Some(value) = value {
                    let DeleteSubjectValue { version, .. } = read(value)?;
                    let versions = self.subjects.get_mut(&subject).into_iter();
                    versions.flat_map(|all| all.range_mut(..=version)).for_each(|(_, version)| version.deleted = true);
                }
            }
            Key::Noop { .. } => {
                if let Some(NoopValue { max_id }) = value.and_then(|value| read(value).ok()) {
                    self.max_id = self.max_id.max(max_id);
                }
            }
            Key::Other => {}
        }
        Ok(())
    }

    /// Every subject that has a version; `deleted` counts deleted versions too.
    pub(super) fn subjects(&self, deleted: bool) -> impl Iterator<Item = &str> {
        let known = self.subjects.iter();
        known
            .filter(move |(_, versions)| versions.values().any(|version| deleted || !version.deleted))
            .map(|(subject, _)| subject.as_str())
    }

    /// Versions of a subject, oldest first.
    pub(super) fn versions(&self, subject: &str, deleted: bool) -> impl DoubleEndedIterator<Item = &Version> {
        let known = self.subjects.get(subject).into_iter().flat_map(BTreeMap::values);
        known.filter(move |version| deleted || !version.deleted)
    }

    /// The schema with this id.
    pub(super) fn schema(&self, id: i32) -> Option<&Arc<Registered>> {
        self.by_id.get(&id)
    }

    /// The id that a schema has, whichever subject holds it.
    pub(super) fn id_of(&self, schema: &Schema) -> Option<i32> {
        self.by_digest.get(&digest(schema)).copied()
    }

    /// The id that a new schema gets.
    pub(super) fn next_id(&self) -> Option<i32> {
        self.max_id.checked_add(1)
    }

    /// The highest id that was given.
    pub(super) const fn max_id(&self) -> i32 {
        self.max_id
    }

    /// The version of a subject that holds a schema.
    pub(super) fn find(&self, subject: &str, schema: &Schema, deleted: bool) -> Option<&Version> {
        let digest = digest(schema);
        self.versions(subject, deleted).rev().find(|version| version.schema.digest == digest)
    }

    /// The number of the next version of a subject; deleted ones keep theirs.
    pub(super) fn next_version(&self, subject: &str) -> i32 {
        let newest = self.subjects.get(subject).and_then(|versions| versions.keys().next_back());
        newest.map_or(1, |newest| newest.saturating_add(1))
    }

    /// Number of versions in all.
    pub(super) fn version_count(&self) -> usize {
        self.subjects.values().map(BTreeMap::len).sum()
    }

    /// The rule that was set, for a subject or for all.
    pub(super) fn rule(&self, subject: Option<&str>) -> Option<Level> {
        self.rules.get(&subject.map(str::to_owned)).copied()
    }

    /// The rule that counts for a subject.
    pub(super) fn level(&self, subject: &str) -> Level {
        self.rule(Some(subject)).or_else(|| self.rule(None)).unwrap_or_default()
    }

    fn put(&mut self, value: SchemaValue) -> Result<(), String> {
        let SchemaValue { subject, version, id, schema_type, schema, deleted } = value;
        if let Some(kind) = schema_type.filter(|kind| kind != "AVRO") {
            return Err(format!("subject {subject} holds a {kind} schema; only Avro is known here"));
        }
        let parsed = Schema::read(&schema).map_err(|error| format!("subject {subject}, version {version}: {error}"))?;
        let digest = digest(&parsed);
        // The newest record of a key counts: what it replaces holds no id any more.
        self.forget(&subject, version);
        let registered = match self.by_id.get(&id) {
            Some(known) if known.digest == digest => Arc::clone(known),
            Some(_) => return Err(format!("two schemas have the id {id}")),
            None => Arc::new(Registered { id, text: schema, digest }),
        };
        self.by_id.insert(id, Arc::clone(&registered));
        self.by_digest.entry(digest).or_insert(id);
        self.max_id = self.max_id.max(id);
        let before = self.subjects.entry(subject).or_default();
        before.insert(version, Version { number: version, schema: registered, deleted });
        Ok(())
    }

    fn forget(&mut self, subject: &str, version: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        let gone = versions.remove(&version);
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(Version { schema, .. }) = gone else { return };
        let used = self.subjects.values().flat_map(BTreeMap::values).any(|version| version.schema.id == schema.id);
        if !used {
            self.by_id.remove(&schema.id);
            self.by_digest.remove(&schema.digest);
        }
    }
}

fn digest(schema: &Schema) -> [u8; 32] {
    Sha256::digest(schema.canonical.as_bytes()).into()
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(state: &mut State, subject: &str, version: i32, id: i32, schema: &str, deleted: bool) {
        let key = serde_json::to_vec(&Key::schema(subject, version)).unwrap();
        let value = SchemaValue {
            subject: subject.to_owned(),
            version,
            id,
            schema_type: None,
            schema: schema.to_owned(),
            deleted,
        };
        state.apply(&key, Some(&serde_json::to_vec(&value).unwrap())).unwrap();
    }

    #[test]
    fn a_schema_is_gone_when_nobody_holds_it_and_its_id_stays_taken() {
        let mut state = State::default();
        put(&mut state, "a", 1, 1, "\"int\"", false);
        put(&mut state, "b", 1, 1, "\"int\"", false);
        let key = |subject: &str| serde_json::to_vec(&Key::schema(subject, 1)).unwrap();
        state.apply(&key("a"), None).unwrap();
        assert!(state.schema(1).is_some());
        state.apply(&key("b"), None).unwrap();
        assert!(state.schema(1).is_none());
        assert_eq!((state.next_id(), state.subjects(true).count()), (Some(2), 0));
    }

    #[test]
    fn deleted_versions_are_seen_only_when_asked_for() {
        let mut state = State::default();
        put(&mut state, "a", 1, 1, "\"int\"", false);
        put(&mut state, "a", 2, 2, "\"long\"", false);
        let delete = serde_json::to_vec(&Key::delete_subject("a")).unwrap();
        state.apply(&delete, Some(br#"{"subject":"a","version":1}"#)).unwrap();
        assert_eq!((state.versions("a", false).count(), state.versions("a", true).count()), (1, 2));
        assert_eq!(state.next_version("a"), 3);
        assert_eq!(state.subjects(false).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_highest_id_outlives_its_schema() {
        let mut state = State::default();
        let key = serde_json::to_vec(&Key::Noop { magic: 0 }).unwrap();
        state.apply(&key, Some(br#"{"maxId":9}"#)).unwrap();
        state.apply(&key, None).unwrap();
        assert_eq!(state.next_id(), Some(10));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let mut state = State::default();
        assert!(state.apply(b"nonsense", None).is_err());
        let key = serde_json::to_vec(&Key::schema("a", 1)).unwrap();
        let other = br#"{"subject":"a","version":1,"id":1,"schemaType":"PROTOBUF","schema":"x"}"#;
        assert!(state.apply(&key, Some(other)).unwrap_err().contains("PROTOBUF"));
        put(&mut state, "a", 1, 1, "\"int\"", false);
        let twice = br#"{"subject":"b","version":1,"id":1,"schema":"\"long\""}"#;
        assert!(state.apply(&key, Some(twice)).unwrap_err().contains("id 1"));
        // Of one key the newest record counts.
        put(&mut state, "a", 1, 1, "\"long\"", false);
        assert_eq!(state.schema(1).unwrap().text, "\"long\"");
    }
}
