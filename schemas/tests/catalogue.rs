//! `topics.yaml`: the registry as it is, and every way to get it wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use wardline_schemas::catalogue::{FieldFacts, SchemaFacts, Storage, parse, parse_against};
use wardline_schemas::{OnReject, Phi, topics};

/// A small registry in which each case breaks one thing.
const GOOD: &str = "\
topics:
  - name: clinical.encounter.v1
    description: Stays.
    owner: clinical
    schema: clinical/encounter.avsc
    key: [encounterRef]
    partitions: 6
    retention: 90d
    criticality: patient-adjacent
    phi: direct
    compatibility: BACKWARD_TRANSITIVE
    producers: [hl7v2]
    consumers:
      - {room: analytics, purpose: Counts.}
    sla: {latency_p99_ms: 2000}
    on_reject: park
  - name: master.item.v1
    description: Items.
    owner: erp
    schema: master/item.avsc
    key: [itemId]
    partitions: 3
    compaction: true
    criticality: operational
    phi: none
    compatibility: FULL_TRANSITIVE
    producers: [erp]
    consumers: []
    sla: {latency_p99_ms: 2000}
    on_reject: continue
  - name: ops.dead-letter.v1
    description: Bytes.
    owner: platform
    schema: raw
    partitions: 6
    retention: forever
    criticality: operational
    phi: direct
    producers: [hl7v2]
    consumers: []
    sla: {latency_p99_ms: 2000}
    on_reject: continue
  - name: ops.parked.v1
    description: Waiting.
    owner: platform
    schema: ops/parked.avsc
    key: [key]
    partitions: 6
    retention: 12h
    criticality: operational
    phi: direct
    compatibility: BACKWARD_TRANSITIVE
    producers: [validate]
    consumers: []
    sla: {latency_p99_ms: 2000}
    on_reject: continue
";

#[test]
fn the_registry_of_this_project_is_right() {
    let text = include_str!("../../topics.yaml");
    let catalogue = parse(text).unwrap();
    assert_eq!(catalogue.topics.len(), topics::ALL.len());
    for (topic, info) in catalogue.topics.iter().zip(topics::ALL) {
        assert_eq!(topic.name, info.name);
        assert_eq!((topic.phi, topic.storage, topic.partitions), (info.phi, info.storage, info.partitions));
        assert_eq!(topic.consumers, info.consumer_list());
        assert!(text.lines().nth(usize::try_from(topic.line).unwrap() - 1).unwrap().contains(info.name));
    }
}

#[test]
fn storage_and_laws_are_read() {
    let catalogue = parse(GOOD).unwrap();
    let encounter = catalogue.get("clinical.encounter.v1").unwrap();
    assert_eq!(encounter.storage, Storage::RetentionMs(7_776_000_000));
    assert_eq!((encounter.phi, encounter.on_reject), (Phi::Direct, OnReject::Park));
    assert_eq!(catalogue.get("master.item.v1").unwrap().storage, Storage::Compacted);
    assert_eq!(catalogue.get("ops.dead-letter.v1").unwrap().storage, Storage::Forever);
    assert_eq!(catalogue.get("ops.parked.v1").unwrap().storage, Storage::RetentionMs(43_200_000));
}

/// Replaces text in the good registry and shows the problems.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from} is not in the registry");
    let problems = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.join("\n").replace("topics.yaml:", ""), expected);
}

#[test]
fn syntax() {
    check("    owner: erp\n", "", "17:5: missing field `owner` (WL-7021)");
    check(
        "owner: erp",
        "ownr: erp",
        "17:5: unknown field `ownr`, expected one of name, description, owner, schema, key, partitions, retention, compaction, criticality, phi, compatibility, producers, consumers, sla, on_reject (WL-7021)",
    );
    check(
        "phi: none",
        "phi: some",
        "25:10: unknown variant `some`, expected one of `none`, `indirect`, `direct` (WL-7021)",
    );
    check("partitions: 3", "partitions: many", "22:17: not a whole number from 1 to 65535 (WL-7021)");
    check("partitions: 3", "partitions: 70000", "22:17: not a whole number from 1 to 65535 (WL-7021)");
    check("topics:\n", "topics: [\n", "2:3: \"-\" is only valid inside a block (WL-7021)");
    check(
        "{room: analytics, purpose: Counts.}",
        "{room: analytics, why: Counts.}",
        "14:10: unknown field `why`, expected one of room, purpose (WL-7021)",
    );
}

#[test]
fn names_and_order() {
    check(
        "master.item.v1",
        "master.Item.v1",
        "17:11: master.Item.v1 is not <domain>.<entity>[-<fact>].v<major> in lower case (WL-7022)",
    );
    check(
        "master.item.v1",
        "master.item",
        "17:11: master.item is not <domain>.<entity>[-<fact>].v<major> in lower case (WL-7022)",
    );
    check(
        "master.item.v1",
        "master.item.v0",
        "17:11: master.item.v0 is not <domain>.<entity>[-<fact>].v<major> in lower case (WL-7022)",
    );
    check(
        "master.item.v1",
        "master.item_master.v1",
        "17:11: master.item_master.v1 is not <domain>.<entity>[-<fact>].v<major> in lower case (WL-7022)",
    );
    check(
        "ops.dead-letter.v1",
        "ops.sent-letter.v1",
        "43:11: ops.parked.v1 must stand before ops.sent-letter.v1: topics are sorted by name (WL-7023)",
    );
    check("ops.dead-letter.v1", "ops.parked.v1", "43:11: ops.parked.v1 stands twice (WL-7023)");
}

#[test]
fn schemas() {
    check("master/item.avsc", "master/items.avsc", "20:13: master/items.avsc is no file under schemas/avro (WL-7024)");
    check(
        "master/item.avsc",
        "supply/purchase-order.avsc",
        "20:13: supply/purchase-order.avsc belongs to another domain than master.item.v1 (WL-7024)\n21:11: supply/purchase-order.avsc has no field itemId (WL-7025)",
    );
    check("    compatibility: FULL_TRANSITIVE\n", "", "20:13: master.item.v1 needs a compatibility (WL-7024)");
    check(
        "FULL_TRANSITIVE",
        "BACKWARD_TRANSITIVE",
        "26:20: master data is FULL_TRANSITIVE: tables outlive versions (WL-7024)",
    );
    check(
        "FULL_TRANSITIVE",
        "NONE",
        "26:20: unknown variant `NONE`, expected `BACKWARD_TRANSITIVE` or `FULL_TRANSITIVE` (WL-7021)",
    );
    check(
        "    schema: raw\n",
        "    schema: raw\n    key: [id]\n    compatibility: FULL_TRANSITIVE\n",
        "35:11: raw bytes have no key field: they keep the key they came with (WL-7025)\n36:20: raw bytes have no schema, so no compatibility (WL-7024)",
    );
}

#[test]
fn keys() {
    check("key: [itemId]", "key: [itemNumber]", "21:11: master/item.avsc has no field itemNumber (WL-7025)");
    check(
        "key: [itemId]",
        "key: [erpId]",
        "21:11: erpId is not a text that is always there, so it cannot be a key (WL-7025)",
    );
    check("    key: [itemId]\n", "", "17:11: master.item.v1 needs a key (WL-7025)");
    check(
        "key: [encounterRef]",
        "key: [encounterRef, phi.visitNumber]",
        "6:25: phi.visitNumber is not a text that is always there, so it cannot be a key (WL-7025)",
    );
}

#[test]
fn a_key_never_identifies_a_patient_directly() {
    let mut schemas = SchemaFacts::built_in();
    let encounter = schemas.iter_mut().find(|schema| schema.file == "clinical/encounter.avsc").unwrap();
    encounter.fields.push(FieldFacts { path: "mrn".to_owned(), is_required_text: true, phi: Phi::Direct });
    let problems = parse_against(&GOOD.replace("key: [encounterRef]", "key: [mrn]"), &schemas).unwrap_err();
    assert_eq!(problems[0].reason, "mrn identifies a patient directly and must not be a key");
}

#[test]
fn partitions_and_retention() {
    check("partitions: 3", "partitions: 0", "22:17: a topic needs at least 1 partition (WL-7026)");
    check(
        "partitions: 3",
        "partitions: 12",
        "48:17: ops.parked.v1 needs at least the 12 partitions of master.item.v1: parking keeps the partition number (WL-7026)",
    );
    check(
        "    compaction: true\n",
        "    compaction: true\n    retention: 90d\n",
        "24:16: a compacted topic has no retention: the newest record of each key stays (WL-7026)",
    );
    check("    compaction: true\n", "    retention: 90d\n", "17:11: master data is compacted: it is a table (WL-7026)");
    check("    retention: 90d\n", "", "2:11: clinical.encounter.v1 needs retention or compaction: true (WL-7026)");
    check(
        "retention: 90d",
        "retention: 3 months",
        "8:16: 3 months is not a retention: write days (90d), hours (12h) or forever (WL-7026)",
    );
    check(
        "retention: 90d",
        "retention: 0d",
        "8:16: 0d is not a retention: write days (90d), hours (12h) or forever (WL-7026)",
    );
}

#[test]
fn people_and_patients() {
    check(
        "purpose: Counts.",
        "purpose: ''",
        "14:9: analytics does not say what it reads clinical.encounter.v1 for (WL-7028)",
    );
    check(
        "{room: analytics, purpose: Counts.}",
        "{room: analytics}",
        "14:9: analytics does not say what it reads clinical.encounter.v1 for (WL-7028)",
    );
    check(
        "      - {room: analytics, purpose: Counts.}\n",
        "      - {room: analytics, purpose: Counts.}\n      - {room: analytics, purpose: More.}\n",
        "15:9: analytics stands twice (WL-7028)",
    );
    check("owner: erp", "owner: ''", "19:12: owner is empty (WL-7028)");
    check("producers: [erp]", "producers: []", "17:11: master.item.v1 has no producer (WL-7028)");
    check(
        "phi: direct\n    compatibility",
        "phi: indirect\n    compatibility",
        "10:10: clinical/encounter.avsc has direct fields: phi must say so (WL-7027)",
    );
    check(
        "phi: direct\n    producers",
        "phi: none\n    producers",
        "38:10: raw bytes may hold anything: phi must be direct (WL-7027)",
    );
}

#[test]
fn all_problems_are_reported_in_the_order_of_lines() {
    let text = GOOD.replace("partitions: 6", "partitions: 0").replace("owner: erp", "owner: ''");
    let lines: Vec<u64> = parse(&text).unwrap_err().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [7, 19, 35, 48, 48]);
}
