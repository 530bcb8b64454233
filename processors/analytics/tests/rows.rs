//! What a row may hold, and what a restart leaves behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use connector::Secret;
use connector::sink::{BatchSink, SinkRecord};
use expect_test::expect;
use parquet::record::Row;
use processor::laws::check_phi;
use schemas::identity::event_id;
use schemas::{Encounter, EnrichedUsage, EventMeta, Source, SourceFormat, SupplierNotice, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wardline_analytics::{Analytics, AnalyticsConfig, AnalyticsInput, PatientTimes, columns, row_topics, token};

fn config(directory: &Path) -> AnalyticsConfig {
    AnalyticsConfig { directory: directory.to_owned(), ..AnalyticsConfig::default() }
}

fn examples_of(topic: &str) -> Vec<AnalyticsInput> {
    AnalyticsInput::examples().into_iter().filter(|(of, _)| *of == topic).map(|(_, event)| event).collect()
}

fn records(topic: &str, from: i64) -> Vec<SinkRecord<AnalyticsInput>> {
    examples_of(topic).into_iter().zip(from..).map(|(input, offset)| SinkRecord { offset, input }).collect()
}

/// Every value of every row of a file, as text.
fn texts(path: &Path) -> Vec<String> {
    read(path).iter().map(Row::to_string).collect()
}

fn read(path: &Path) -> Vec<Row> {
    use parquet::record::reader::RowIter;
    let file = parquet::file::reader::SerializedFileReader::try_from(path).unwrap();
    RowIter::from_file_into(Box::new(file)).map(Result::unwrap).collect()
}

fn files(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names.sort();
    names
}

#[test]
fn columns_of_usage() {
    let usage = schemas::topics::SUPPLY_USAGE_ENRICHED_V1.info();
    let names: Vec<String> = columns(usage, &AnalyticsConfig::default())
        .into_iter()
        .map(|column| format!("{} {:?} {:?}\n", column.name, column.kind, column.treatment))
        .collect();
    expect![[r#"
        event_id Text Token
        meta_business_key Text Token
        meta_revision Whole Plain
        meta_correction Whole Plain
        meta_action Text Plain
        meta_occurred_at Moment CutToDay
        meta_recorded_at Moment CutToDay
        meta_published_at Moment CutToDay
        meta_occurred_precision Text Plain
        meta_occurred_offset_minutes Whole Plain
        meta_facility_id Text Plain
        meta_source_system Text Plain
        meta_source_facility Text Plain
        meta_source_format Text Plain
        meta_source_message_type Text Plain
        meta_source_position Whole Plain
        meta_nulled_fields List(Plain) Plain
        meta_warnings List(Fields([("code", Plain), ("path", Plain), ("detail", Plain)])) Plain
        encounter_ref Text Token
        patient_ref Text Token
        item_ref_code Text Plain
        item_ref_system Text Plain
        item_ref_text Text Plain
        item_ref_alt List(Fields([("code", Plain), ("system", Plain), ("text", Plain)])) Plain
        item_refs List(Fields([("code", Plain), ("system", Plain), ("text", Plain), ("alt", Elements(Fields([("code", Plain), ("system", Plain), ("text", Plain)])))])) Plain
        lot Text Plain
        expiry Day Plain
        expiry_precision Text Plain
        quantity Decimal { precision: 18, scale: 6 } Plain
        uom Text Plain
        department Text Plain
        performer_ref Text Plain
        usage Text Plain
        consignment Truth Plain
        order_refs List(Plain) Plain
        stated_amount_amount Decimal { precision: 18, scale: 4 } Plain
        stated_amount_currency Text Plain
        item_id Text Plain
        item_match Text Plain
        location_id Text Plain
        base_quantity Decimal { precision: 18, scale: 6 } Plain
        base_uom Text Plain
        checks List(Fields([("rule", Plain), ("result", Plain), ("code", Plain), ("detail", Plain)])) Plain
        masters List(Fields([("topic", Plain), ("key", Plain), ("revision", Plain)])) Plain
        stock_location_id Text Plain
        cost_centre_id Text Plain
        supplier_id Text Plain
        supplier_item Text Plain
        unit_price Decimal { precision: 18, scale: 4 } Plain
        currency Text Plain
        amount Decimal { precision: 18, scale: 4 } Plain
        consigned Truth Plain
        erp_item_id Text Plain
    "#]].assert_eq(&names.concat());
}

#[test]
fn phi_1_no_value_that_says_something_about_a_patient_is_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    for times in [PatientTimes::Day, PatientTimes::Hour, PatientTimes::None] {
        let sink = Analytics::new(AnalyticsConfig { patient_times: times, ..config(directory.path()) }).unwrap();
        for topic in row_topics() {
            sink.write(topic, 0, &records(topic, 0)).unwrap();
            let place = directory.path().join(topic).join("p0");
            let names = files(&place);
            let rows = texts(&place.join(&names[0]));
            assert_eq!(rows.len(), examples_of(topic).len());
            let sensitive = sensitive_values(topic);
            let sensitive: Vec<&str> = sensitive.iter().map(String::as_str).collect();
            let found = check_phi(&sensitive, rows.iter().map(|row| (topic, row.as_str())));
            assert!(found.is_empty(), "{found:?}");
        }
    }
}

/// Texts of the examples that stand in a field whose contract says direct or indirect, envelope fields one by one. Texts
/// that also stand in a permitted field (an item code repeated in the raw label) are no evidence.
fn sensitive_values(topic: &str) -> BTreeSet<String> {
    let info = schemas::topics::find(topic).unwrap();
    let contract: Value = serde_json::from_str(info.schema).unwrap();
    let mut texts = Texts::default();
    for (_, event) in schemas::examples_of(topic) {
        for field in contract["fields"].as_array().unwrap() {
            let value = &event[field["name"].as_str().unwrap()];
            let is_open = field["phi"] == "none";
            match field["name"] == "meta" && !is_open {
                true => texts.envelope(&field["type"], value),
                false => texts.collect(value, is_open),
            }
        }
    }
    // A time on the full hour is its own hour.
    texts.sensitive.retain(|text| !text.ends_with(":00:00"));
    let Texts { sensitive, open } = texts;
    sensitive
        .into_iter()
        .filter(|text| text.len() > 3 && !open.iter().any(|open| open.contains(text.as_str())))
        .collect()
}

/// Texts of examples, by what their contract says of them.
#[derive(Default)]
struct Texts {
    sensitive: BTreeSet<String>,
    open: BTreeSet<String>,
}

impl Texts {
    /// Each field by its own class, also in the records of the envelope.
    fn envelope(&mut self, record: &Value, value: &Value) {
        for field in record["fields"].as_array().unwrap() {
            let value = &value[field["name"].as_str().unwrap()];
            match field["type"]["type"] == "record" {
                true => self.envelope(&field["type"], value),
                false => self.collect(value, field["phi"] == "none"),
            }
        }
    }

    fn collect(&mut self, value: &Value, is_open: bool) {
        match value {
            Value::String(text) => {
                let into = if is_open { &mut self.open } else { &mut self.sensitive };
                // A row tells a time in another way than an example.
                if text.as_bytes().get(10) == Some(&b'T')
                    && let Some(time) = text.get(..19)
                {
                    into.insert(time.replace('T', " "));
                }
                into.insert(text.clone());
            }
            Value::Array(entries) => entries.iter().for_each(|entry| self.collect(entry, is_open)),
            Value::Object(fields) => fields.values().for_each(|field| self.collect(field, is_open)),
            _ => {}
        }
    }
}

#[test]
fn phi_1_what_names_the_message_of_an_event_counts_as_what_must_stay_out() {
    let first = &schemas::examples_of("clinical.encounter.v1")[0].1;
    let sensitive = sensitive_values("clinical.encounter.v1");
    for text in
        [&first["meta"]["eventId"], &first["meta"]["source"]["messageId"], &first["meta"]["source"]["contentHash"]]
    {
        assert!(sensitive.contains(text.as_str().unwrap()), "{text}");
    }
    let first = &schemas::examples_of("partner.supplier-notice.v1")[0].1;
    assert!(sensitive_values("partner.supplier-notice.v1").contains(first["meta"]["eventId"].as_str().unwrap()));
    assert!(sensitive_values("master.item.v1").is_empty(), "nothing there says something about a patient");
}

/// The rows that are made of one event of each topic.
fn row_of(sink: &Analytics, directory: &Path, topic: &str, input: AnalyticsInput) -> String {
    sink.write(topic, 9, &[SinkRecord { offset: 7, input }]).unwrap();
    let place = directory.join(topic).join("p9");
    texts(&place.join(&files(&place)[0])).remove(0)
}

/// Without a visit number the name of the resource is what the pseudonym of the visit is made of; the id of the event is made
/// of it without a key, so that a guess of the name could be tested with it.
#[test]
fn phi_1_an_encounter_of_fhir_does_not_name_its_resource() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let sink = Analytics::new(config.clone()).unwrap();
    let message = "Encounter/4711/_history/1";
    let source = Source {
        system: "EHR".to_owned(),
        format: SourceFormat::FhirR4,
        message_type: "Encounter".to_owned(),
        message_id: message.to_owned(),
        content_hash: "e25779".repeat(10),
        ..Source::default()
    };
    let event_id = event_id("EHR|GENERAL", message, "0", "org.wardline.clinical.encounter.admitted.v1");
    let meta = EventMeta { event_id: event_id.clone(), source, ..EventMeta::default() };
    let encounter = Encounter { meta, encounter_ref: "enc_k5u2".to_owned(), ..Encounter::default() };
    let topic = "clinical.encounter.v1";
    let row = row_of(&sink, directory.path(), topic, AnalyticsInput::Encounter(Box::new(encounter)));
    let found = check_phi(&["4711", "_history", &event_id, "e25779", "enc_k5u2"], [(topic, row.as_str())]);
    assert!(found.is_empty(), "{found:?}");
    for part in ["meta_source_system: \"EHR\"", &token(&config, "eventId", &event_id).unwrap()] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
}

#[test]
fn phi_1_a_notice_holds_neither_the_serial_nor_the_way_to_its_use() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let sink = Analytics::new(config.clone()).unwrap();
    // 2026-11-23T09:00:00Z.
    let hour = Timestamp(1_795_424_400_000_000);
    let meta = EventMeta {
        event_id: "1f0a5f0e-0000-5000-8000-000000000001".to_owned(),
        business_key: "usage/enc_k5u2/1".to_owned(),
        occurred_at: Some(hour),
        recorded_at: hour,
        published_at: hour,
        ..EventMeta::default()
    };
    let serial = Some("SN-0042".to_owned());
    let usage = EnrichedUsage { meta, serial: serial.clone(), ..EnrichedUsage::default() };
    let meta = processor::derived::<SupplierNotice>(&usage, "supplier-fanout");
    let told = meta.event_id.clone();
    let notice = SupplierNotice { meta, serial, used_at_hour: Some(hour), ..SupplierNotice::default() };
    let used =
        row_of(&sink, directory.path(), "supply.usage-enriched.v1", AnalyticsInput::Usage(Box::new(usage.clone())));
    let row = row_of(&sink, directory.path(), "partner.supplier-notice.v1", AnalyticsInput::Notice(Box::new(notice)));
    // What is made of the id of the use can be made again by whoever knows it.
    let token = token(&config, "eventId", &usage.meta.event_id).unwrap();
    assert!(used.contains(&token), "{used}");
    let secrets = ["SN-0042", "09:00:00", &usage.meta.event_id, &told, &token];
    let found = check_phi(&secrets, [("notice", row.as_str())]);
    assert!(found.is_empty(), "{found:?}");
    assert!(row.contains("used_at_hour: 2026-11-23 00:00:00"), "{row}");
}

/// A replay of `validate` or `enrich` writes its events again under the same ids, by the master data of then, and a correction
/// comes beside what it corrects: what is read is the newest row of each fact.
#[test]
fn rpl_1_of_rows_that_are_there_more_than_once_the_newest_can_be_told() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Analytics::new(config(directory.path())).unwrap();
    let topic = "supply.usage-enriched.v1";
    let usage = |fact: &str, correction: i32, amount: &str| {
        let business_key = format!("usage/enc_k5u2/{fact}");
        let event_id = format!("{fact}-{correction}");
        let meta = EventMeta { event_id, business_key, correction, ..EventMeta::default() };
        let amount = Some(amount.parse().unwrap());
        AnalyticsInput::Usage(Box::new(EnrichedUsage { meta, amount, ..EnrichedUsage::default() }))
    };
    let retracted = |fact: &str, amount: &str| {
        let AnalyticsInput::Usage(mut usage) = usage(fact, 0, amount) else { panic!("a usage") };
        (usage.meta.revision, usage.meta.action) = (1, schemas::Action::Retract);
        usage.meta.event_id = format!("{fact}-retracted");
        AnalyticsInput::Usage(usage)
    };
    let said = [
        usage("a", 0, "850"),
        usage("b", 0, "20"),
        usage("c", 0, "7"),
        // Corrected, and then the day is replayed: prices of today.
        usage("c", 1, "8"),
        usage("a", 0, "851"),
        usage("b", 0, "20"),
        usage("c", 0, "9"),
        // Taken back, with either sign.
        usage("d", 0, "5"),
        retracted("d", "-5"),
        usage("e", 0, "6"),
        retracted("e", "6"),
    ];
    let said: Vec<_> = said.into_iter().zip(40..).map(|(input, offset)| SinkRecord { offset, input }).collect();
    let (before, again) = said.split_at(4);
    sink.write(topic, 0, before).unwrap();
    sink.write(topic, 0, again).unwrap();
    let place = directory.path().join(topic).join("p0");
    let rows: Vec<Row> = files(&place).iter().flat_map(|name| read(&place.join(name))).collect();
    assert_eq!(rows.len(), 11, "each record is a row");
    let column = |row: &Row, wanted: &str| {
        row.get_column_iter().find(|(name, _)| *name == wanted).map(|(_, field)| field.to_string()).unwrap()
    };
    let number = |row: &Row, name: &str| column(row, name).parse::<i64>().unwrap();
    let mut newest = BTreeMap::new();
    for row in &rows {
        let rank = (number(row, "meta_revision"), number(row, "meta_correction"), number(row, "offset"));
        let known = newest.entry(column(row, "meta_business_key")).or_insert((rank, row));
        if rank > known.0 {
            *known = (rank, row);
        }
    }
    let happened = newest.values().filter(|(_, row)| !column(row, "meta_action").contains("RETRACT"));
    let mut amounts: Vec<String> = happened.map(|(_, row)| column(row, "amount")).collect();
    amounts.sort();
    assert_eq!(amounts, ["20.0000", "8.0000", "851.0000"]);
    let ids: BTreeSet<String> = rows.iter().map(|row| column(row, "event_id")).collect();
    assert_eq!(ids.len(), 8, "an event that is written again keeps its id, a correction has one of its own");
}

#[test]
fn a_row_holds_exact_amounts_whole_days_and_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let sink = Analytics::new(config.clone()).unwrap();
    let topic = "supply.usage-enriched.v1";
    sink.write(topic, 3, &records(topic, 41)).unwrap();
    let place = directory.path().join(topic).join("p3");
    assert_eq!(files(&place), ["00000000000000000041-00000000000000000042.parquet"]);
    let rows = texts(&place.join(&files(&place)[0]));
    let visit = token(&config, "encounterRef", "enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe").unwrap();
    for part in [
        "topic: \"supply.usage-enriched.v1\"",
        "partition: 3",
        "offset: 41",
        "amount: 850.0000",
        "meta_occurred_at: 2026-11-23 00:00:00",
        &format!("encounter_ref: \"{visit}\""),
    ] {
        assert!(rows[0].contains(part), "{part} is not in {}", rows[0]);
    }
    let elsewhere = AnalyticsConfig { purpose: "quality".to_owned(), ..config };
    assert_ne!(visit, token(&elsewhere, "encounterRef", "enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe").unwrap());
}

#[test]
fn fx_1_a_re_load_neither_loses_nor_doubles_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Analytics::new(config(directory.path())).unwrap();
    let topic = "erp.posting.v1";
    let place = directory.path().join(topic).join("p0");
    assert_eq!(sink.begin(topic, 0, 0).unwrap(), 0);
    sink.write(topic, 0, &records(topic, 0)).unwrap();
    sink.write(topic, 0, &records(topic, 3)).unwrap();
    std::fs::write(place.join(".unfinished-x.parquet"), b"half").unwrap();
    std::fs::write(place.join("note.txt"), b"of somebody else").unwrap();
    // The process died before the second offset was committed.
    assert_eq!(sink.begin(topic, 0, 3).unwrap(), 3);
    assert_eq!(files(&place), ["00000000000000000000-00000000000000000002.parquet", "note.txt"]);
    sink.write(topic, 0, &records(topic, 3)).unwrap();
    // Somebody set the offset back into the middle of a file: the rows that come again are cut off it.
    assert_eq!(sink.begin(topic, 0, 1).unwrap(), 1);
    assert_eq!(files(&place), ["00000000000000000000-00000000000000000000.parquet", "note.txt"]);
    sink.write(topic, 0, &records(topic, 1)).unwrap();
    assert_eq!(sink.begin(topic, 0, 4).unwrap(), 4);
    let rows =
        files(&place).into_iter().filter(|name| name.ends_with(".parquet")).map(|name| texts(&place.join(name)).len());
    assert_eq!(rows.sum::<usize>(), 4);
    assert_eq!(sink.begin(topic, 0, 0).unwrap(), 0);
    assert_eq!(files(&place), ["note.txt"]);
}

#[test]
fn a_place_that_takes_no_files_is_an_error_with_its_code() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("file");
    std::fs::write(&blocked, b"no directory").unwrap();
    let sink = Analytics::new(config(&blocked)).unwrap();
    let error = sink.begin("erp.posting.v1", 0, 0).unwrap_err();
    assert!(error.to_string().starts_with("WL-5201"), "{error}");
    let error = sink.write("erp.posting.v1", 0, &records("erp.posting.v1", 0)).unwrap_err();
    assert!(error.to_string().starts_with("WL-5201"), "{error}");
}

#[test]
fn a_short_key_is_refused_at_start() {
    let config = AnalyticsConfig { token_key: Secret::new("short"), ..AnalyticsConfig::default() };
    assert!(Analytics::new(config).err().unwrap().to_string().contains("token_key"));
}
