//! What a row may hold, and what a restart leaves behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use connector::Secret;
use connector::sink::{BatchSink, SinkRecord};
use expect_test::expect;
use processor::laws::check_phi;
use std::collections::BTreeSet;
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
    use parquet::record::reader::RowIter;
    let file = parquet::file::reader::SerializedFileReader::try_from(path).unwrap();
    RowIter::from_file_into(Box::new(file)).map(|row| row.unwrap().to_string()).collect()
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
        meta_source_message_id Text Plain
        meta_source_position Whole Plain
        meta_source_content_hash Text Plain
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
    let contract: serde_json::Value = serde_json::from_str(info.schema).unwrap();
    let (mut sensitive, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (_, event) in schemas::examples_of(topic) {
        for field in contract["fields"].as_array().unwrap() {
            let name = field["name"].as_str().unwrap();
            if name == "meta" {
                collect(&event["meta"]["facilityId"], &mut open);
                collect(&event["meta"]["source"], &mut open);
                if field["phi"] != "none" {
                    sensitive.extend(event["meta"]["businessKey"].as_str().map(str::to_owned));
                    sensitive.extend(event["meta"]["occurredAt"].as_str().map(|time| time[..19].replace('T', " ")));
                }
                continue;
            }
            let into = if field["phi"] == "none" { &mut open } else { &mut sensitive };
            collect(&event[name], into);
        }
    }
    // A time on the full hour is its own hour.
    sensitive.retain(|text| !text.ends_with(":00:00"));
    sensitive
        .into_iter()
        .filter(|text| text.len() > 3 && !open.iter().any(|open| open.contains(text.as_str())))
        .collect()
}

fn collect(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => drop(into.insert(text.clone())),
        serde_json::Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, into)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
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
