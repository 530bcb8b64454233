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

/// The registry of this project with other numbers of partitions; what is wrong with it.
fn problems_with(partitions: &[(&str, u16)]) -> Vec<String> {
    let mut text = include_str!("../../topics.yaml").to_owned();
    for (topic, number) in partitions {
        let block = text.find(&format!("- name: {topic}\n")).unwrap();
        let from = block + text[block..].find("partitions: ").unwrap();
        let to = from + text[from..].find('\n').unwrap();
        text.replace_range(from..to, &format!("partitions: {number}"));
    }
    let problems = parse(&text).err().unwrap_or_default();
    problems.into_iter().map(|problem| format!("{} ({})", problem.reason, problem.code)).collect()
}

/// FX-1: an effect record lies in the partition with the number of its event; a room that is given one without it cannot start.
#[test]
fn fx_1_effects_have_a_partition_for_each_number_of_an_event_that_has_some() {
    let (usages, parked, effects) = ("supply.usage-enriched.v1", "ops.parked.v1", "ops.effect.v1");
    let expected = "ops.effect.v1 needs at least the 12 partitions of supply.usage-enriched.v1: an effect keeps the \
                    partition number of its event (WL-7026)";
    assert_eq!(problems_with(&[(usages, 12), (parked, 12)]), [expected]);
    assert_eq!(problems_with(&[(usages, 12), (parked, 12), (effects, 12)]), [""; 0]);
    // Neither what has no effects nor a table that is looked up in is read by the number of a partition of effects.
    for other in ["clinical.encounter.v1", "master.supplier.v1"] {
        assert_eq!(problems_with(&[(other, 12), (parked, 12)]), [""; 0], "{other}");
    }
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

/// The good registry with a second topic of events that a room makes of the first one, and a service level between them.
fn with_level(level: &str) -> String {
    let usage = "  - name: supply.usage-validated.v1
    description: Checked.
    owner: supply
    schema: supply/validated-usage.avsc
    key: [encounterRef]
    partitions: 6
    retention: 90d
    criticality: operational
    phi: indirect
    compatibility: BACKWARD_TRANSITIVE
    producers: [analytics]
    consumers: []
    sla: {latency_p99_ms: 2000}
    on_reject: park
";
    format!("{GOOD}{usage}service_levels:\n{level}")
}

const LEVEL: &str = "  - name: counted
    description: Stay told, to stay counted.
    from: clinical.encounter.v1
    to: supply.usage-validated.v1
    within_ms: 5000
    target_percent: 99.25
    class: operational
";

#[test]
fn a_service_level_knows_the_rooms_on_its_way() {
    let catalogue = parse(&with_level(LEVEL)).unwrap();
    let level = &catalogue.service_levels[0];
    assert_eq!((level.rooms.as_slice(), level.through.len()), (&["analytics".to_owned()][..], 0));
    assert_eq!((level.target_basis_points, level.within_ms), (9_925, 5_000));
    let posted = topics::SERVICE_LEVELS.iter().find(|level| level.name == "usage-posted").unwrap();
    assert_eq!(posted.rooms, ["enrich", "erp-post", "validate"]);
    let through: Vec<&str> = posted.through.iter().map(|topic| topic.name).collect();
    assert_eq!(through, ["supply.usage-enriched.v1", "supply.usage-validated.v1"]);
}

#[test]
fn a_service_level_that_cannot_be_measured_is_refused() {
    let refused = |from: &str, to: &str| {
        assert!(LEVEL.contains(from), "{from} is not in the level");
        let problems = parse(&with_level(&LEVEL.replacen(from, to, 1))).unwrap_err();
        problems.iter().map(|problem| format!("{} ({})", problem.reason, problem.code)).collect::<Vec<_>>().join("\n")
    };
    let cases = [
        ("from: clinical.encounter.v1", "from: clinical.stay.v1", "there is no topic clinical.stay.v1"),
        (
            "to: supply.usage-validated.v1",
            "to: ops.parked.v1",
            "ops.parked.v1 carries no events, so the way of one cannot be timed",
        ),
        (
            "to: supply.usage-validated.v1",
            "to: master.item.v1",
            "master.item.v1 carries no events, so the way of one cannot be timed",
        ),
        (
            "from: clinical.encounter.v1",
            "from: supply.usage-validated.v1",
            "no room leads from supply.usage-validated.v1 to supply.usage-validated.v1",
        ),
        ("within_ms: 5000", "within_ms: 0", "counted promises what nothing can keep: within_ms is at least 1"),
        ("99.25", "100.5", "counted needs a target above 0 and up to 100 percent, with two decimals at most"),
        ("99.25", "99.255", "counted needs a target above 0 and up to 100 percent, with two decimals at most"),
        ("99.25", "0", "counted needs a target above 0 and up to 100 percent, with two decimals at most"),
        ("name: counted", "name: Counted", "Counted is not words in lower case, joined with hyphens"),
        ("description: Stay told, to stay counted.", "description: ''", "counted does not say what people wait for"),
    ];
    for (from, to, reason) in cases {
        assert_eq!(refused(from, to), format!("{reason} (WL-7190)"), "{to}");
    }
    let twice = parse(&with_level(&format!("{LEVEL}{LEVEL}"))).unwrap_err();
    assert_eq!(twice[0].reason, "the service level counted stands twice");
}
