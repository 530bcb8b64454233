//! Reading across versions of a contract gives what Avro's schema resolution gives.
//!
//! `serde_avro_fast` has no reader schema: it reads with the writer's schema into our types, whose serde defaults stand in
//! for it. Here random records of random other versions are read both ways, by us and by `apache-avro`, and compared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod versions;

use std::fmt::Debug;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::Value;
use versions::{Choices, Version, random_value};
use wardline_schemas::catalogue::Compatibility;
use wardline_schemas::codec::{WriterSchema, check_compatibility, decode, encode, to_json};
use wardline_schemas::{Event, for_each_event};

/// What a change does to the version we have.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// The writer is older: it lacks fields and symbols that we have.
    Older,
    /// The writer is newer: it has fields and symbols that we lack.
    Newer,
}

fn round<T: Event + PartialEq + Debug>(change: Option<Change>, choices: &[u8]) {
    let mut choices = Choices::new(choices);
    let ours = T::topic().schema;
    let mut version = Version::of(ours);
    match change {
        Some(Change::Older) => version.remove_some(&mut choices),
        Some(Change::Newer) => version.add_some(&mut choices),
        None => {}
    }
    compare::<T>(&version, &mut choices);
    let compatible = check_compatibility(Compatibility::FullTransitive, &version.json(), ours);
    assert_eq!(compatible, Ok(()), "{change:?} {}", version.json());
}

/// Writes a random record with another version, reads it with both libraries, and compares.
fn compare<T: Event + PartialEq + Debug>(version: &Version, choices: &mut Choices<'_>) {
    let theirs = version.json();
    let writer_schema = Schema::parse_str(&theirs).unwrap_or_else(|error| panic!("{error}: {theirs}"));
    let writer = GenericDatumWriter::builder(&writer_schema).build().unwrap();
    let body = writer.write_value_to_vec(random_value(&writer_schema, choices)).unwrap();

    let record: T =
        decode(&WriterSchema::parse(&theirs).unwrap(), &body).unwrap_or_else(|error| panic!("{error}: {theirs}"));
    let mut ours_again = Vec::new();
    encode(&record, 0, &mut ours_again).unwrap();
    assert_eq!(decode::<T>(T::contract().unwrap(), &ours_again[5..]).as_ref(), Ok(&record), "what we write we read");
    let read_by_us = to_json(T::contract().unwrap(), &ours_again[5..]).unwrap();
    assert_eq!(read_by_us, read_by_avro::<T>(&writer_schema, &body), "{} written with {theirs}", T::topic().name);
}

/// What Avro's schema resolution makes of the body, as JSON.
fn read_by_avro<T: Event>(writer_schema: &Schema, mut body: &[u8]) -> Value {
    let reader_schema = Schema::parse_str(T::topic().schema).unwrap();
    let resolved = GenericDatumReader::builder(writer_schema)
        .reader_schema(&reader_schema)
        .build()
        .and_then(|reader| reader.read_value(&mut body))
        .unwrap();
    let writer = GenericDatumWriter::builder(&reader_schema).build().unwrap();
    to_json(T::contract().unwrap(), &writer.write_value_to_vec(resolved).unwrap()).unwrap()
}

/// Every single field with a default may be the one that an older writer lacks.
#[test]
fn each_field_with_a_default_may_be_missing() {
    fn check<T: Event + PartialEq + Debug>() {
        let ours = Version::of(T::topic().schema);
        for (record, field) in ours.removable_fields() {
            let mut older = ours.clone();
            older.remove_field(&record, &field);
            compare::<T>(&older, &mut Choices::new(&[1, 7, 3, 255, 9, 4, 200, 31, 5, 64]));
            let backward = check_compatibility(Compatibility::FullTransitive, T::topic().schema, &older.json());
            assert_eq!(backward, Ok(()), "{record}.{field}");
        }
    }
    for_each_event!(check);
}

/// Every single symbol may be one that an older reader does not know.
#[test]
fn each_enum_may_have_more_symbols() {
    fn check<T: Event + PartialEq + Debug>() {
        let ours = Version::of(T::topic().schema);
        for name in ours.enums() {
            for position in [0, 1, 100] {
                let mut newer = ours.clone();
                newer.add_symbol(&name, position, "NOT_YET_KNOWN");
                for choice in 0..8 {
                    compare::<T>(&newer, &mut Choices::new(&[choice; 64]));
                }
                let full = check_compatibility(Compatibility::FullTransitive, &newer.json(), T::topic().schema);
                assert_eq!(full, Ok(()), "{name}");
            }
        }
    }
    for_each_event!(check);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_version_reads_the_same(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        for_each_event!(round, None, &choices);
    }

    #[test]
    fn an_older_writer_reads_as_avro_says(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        for_each_event!(round, Some(Change::Older), &choices);
    }

    #[test]
    fn a_newer_writer_reads_as_avro_says(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        for_each_event!(round, Some(Change::Newer), &choices);
    }
}
