//! What a person does about what went wrong, on a running system.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, text};
use serde_json::Value;
use std::process::Output;

/// Bytes that say UTF-8 and are not: an exception of the source. Then text that is no message: a dead letter.
const UNREADABLE: &[u8] =
    b"MSH|^~\\&|EPIC|GENERAL|WL|GENERAL|20260302080000||ADT^A01|DESK-1|P|2.5.1||||||UNICODE UTF-8\r\
    EVN|A01|20260302080000\rPID|1||M1^^^GENERAL^MR||Ab\xffel^Ada||19700101|F\rPV1|1|I|OR1\r";
const NO_MESSAGE: &[u8] = b"PID|1||no header\r";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn decisions_dead_letters_and_short_ids_on_a_running_system() {
    let place = Place::new();
    let (up, variables) = place.up("up");
    let run = |arguments: &[&str]| place.wardline(arguments).envs(variables.iter().cloned()).output().unwrap();
    for (name, bytes) in [("unreadable.hl7", UNREADABLE), ("no-message.hl7", NO_MESSAGE)] {
        std::fs::write(place.path(name), bytes).unwrap();
        let refused = run(&["send", "hl7v2", name]);
        assert!(!refused.status.success() && said(&refused).contains("WL-7068"), "{}", said(&refused));
    }

    let listed = text(&run(&["exceptions", "ls", "--json"]));
    let exception: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let id = exception["exceptionId"].as_str().unwrap();
    let causes = text(&run(&["exceptions", "causes", "--json"]));
    let cause: Value = serde_json::from_str(causes.lines().next().unwrap()).unwrap();
    assert_eq!((&cause["code"], &cause["room"]), (&exception["code"], &exception["room"]));
    assert_eq!((&cause["exceptions"], &cause["events"]), (&Value::from(1), &Value::from(0)), "a source parks nothing");
    let short = &id[..8];
    let room = cause["room"].as_str().unwrap();
    let told = said(&run(&["exceptions", "causes"]));
    assert!(told.contains(&format!("--room {room} --subject -`")), "only this cause is retried: {told}");
    let none = run(&["exceptions", "ls", "--limit", "0"]);
    assert!(said(&none).contains("the newest 0 of 1"), "{}", said(&none));
    let other = run(&["exceptions", "ls", "--subject", "master.item.v1/none"]);
    assert!(said(&other).contains("about master.item.v1/none"), "{}", said(&other));
    assert!(text(&run(&["exceptions", "ls", "--subject", "-"])).contains(short));
    let refused = run(&["exceptions", "retry", short]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("WL-7071") && said(&refused).contains("nothing to retry"), "{}", said(&refused));
    assert!(text(&run(&["trace", short])).contains("ops.exception.v1"));
    two_people(&run, short);
    let settled = run(&["exceptions", "causes"]);
    assert!(settled.status.success() && said(&settled).contains("no exception is open"), "{}", said(&settled));
    for decision in ["retry", "discard", "resolve"] {
        let refused = run(&["exceptions", decision, id]);
        assert_eq!(refused.status.code(), Some(2), "{decision}");
        assert!(said(&refused).contains("was discarded"), "{}", said(&refused));
    }

    let letters = text(&run(&["dead-letters", "ls", "--room", "hl7v2", "--json"]));
    let letter: Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    assert_eq!((&letter["code"], &letter["stage"]), (&Value::from("WL-1001"), &Value::from("read")), "RAW-1");
    let letter_id = letter["id"].as_str().unwrap();
    unmasking(&run, letter_id, id);
    unrecorded(&place, &run, letter_id, id);
    settling(&run, letter_id);
    let activity = text(&run(&["activity", "--hours", "1"]));
    assert!(activity.contains("supply: 0 events are parked") && activity.contains(":00 UTC"), "{activity}");
    let activity = text(&run(&["activity", "--json"]));
    let domain: Value = serde_json::from_str(activity.lines().next().unwrap()).unwrap();
    assert_eq!((&domain["domain"], &domain["parked"]["events"]), (&Value::from("clinical"), &Value::from(0)));
    let nothing = run(&["dead-letters", "ls", "--code", "WL-9999"]);
    assert!(nothing.status.success() && said(&nothing).contains("no open dead letter with code WL-9999"));
    assert!(up.stop("TERM").success());
}

/// PHI-1: bytes are shown for a reason that is on record before, and the record is found by who looked.
fn unmasking(run: &impl Fn(&[&str]) -> Output, letter: &str, exception: &str) {
    let masked = run(&["dead-letters", "show", letter]);
    assert!(!text(&masked).contains("no header") && said(&masked).contains("--with-phi"), "{masked:?}");
    assert!(!text(&run(&["dead-letters", "show", letter, "--json"])).contains("no header"));
    for (arguments, code) in [
        (&["dead-letters", "show", letter, "--with-phi"][..], "WL-7075"),
        (&["dead-letters", "show", letter, "--bytes", "-"], "WL-7075"),
        (&["dead-letters", "show", letter, "--with-phi", "--reason", "..."], "WL-7270"),
        (&["exceptions", "show", exception, "--raw"], "WL-7075"),
        (&["exceptions", "show", exception, "--raw", "--reason", "why", "--actor", "unknown"], "WL-7270"),
        (&["trace", exception, "--with-phi"], "WL-7075"),
        (&["trace", exception, "--with-phi", "--reason", "-"], "WL-7270"),
    ] {
        let refused = run(arguments);
        assert!(refused.status.code() == Some(2) && said(&refused).contains(code), "{}", said(&refused));
        assert!(refused.stdout.is_empty(), "{arguments:?} shows nothing");
    }
    let nothing = run(&["audit", "ls", "--code", "show-original"]);
    assert!(text(&nothing).is_empty() && said(&nothing).contains("nothing on record fits"), "{}", said(&nothing));

    let why = ["--reason", "the sender asks", "--actor", "Ada"];
    let show = |arguments: &[&str]| run(&[arguments, &why].concat());
    let shown = text(&show(&["dead-letters", "show", letter, "--with-phi"]));
    assert!(shown.contains("wl_room: hl7v2") && shown.contains("|PID|1||no header|"), "{shown}");
    let bytes = show(&["dead-letters", "show", letter, "--with-phi", "--bytes", "-"]).stdout;
    assert_eq!(bytes, NO_MESSAGE, "RAW-1");
    assert_eq!(show(&["exceptions", "show", exception, "--raw"]).stdout, UNREADABLE, "RAW-1");
    text(&show(&["trace", exception, "--with-phi"]));

    let listed = text(&run(&["audit", "ls", "--who", "ada", "--code", "SHOW-original", "--kind", "action", "--json"]));
    let records: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (standing, records) = records.split_last().unwrap();
    let details: Vec<&str> = records.iter().map(|record| record["detail"].as_str().unwrap()).collect();
    let expected = [
        "was shown patient data on the way of an event: the sender asks",
        "was shown the source of an exception: the sender asks",
        "was shown the bytes of a dead letter: the sender asks",
        "was shown the bytes of a dead letter: the sender asks",
    ];
    assert_eq!(details, expected);
    assert!(records.iter().all(|record| record["actor"].as_str().unwrap().starts_with("Ada (as ")), "{listed}");
    assert_eq!((&records[0]["exceptionId"], &records[1]["exceptionId"]), (&exception.into(), &exception.into()));
    assert_eq!(records[2]["originTopic"], "ops.dead-letter.v1");
    assert!(standing["lookedAt"].as_u64().unwrap() >= 4 && standing["older"].is_null(), "{standing}");

    // A short list says how to go on, and the next one does.
    let first = text(&run(&["audit", "ls", "--who", "ada", "--code", "show", "--limit", "1", "--json"]));
    let lines: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let older = lines[1]["older"].as_str().unwrap();
    let rest = run(&["audit", "ls", "--who", "ada", "--code", "show", "--older", older]);
    let rows = text(&rest).lines().skip(1).count();
    assert!(rows == 3 && said(&rest).contains("wardline exceptions history"), "{}", text(&rest));
    let refused = run(&["audit", "ls", "--from", "yesterday"]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("WL-7272"), "{}", said(&refused));
}

/// PHI-1: what cannot be put on record is not shown, by no command.
fn unrecorded(place: &Place, run: &impl Fn(&[&str]) -> Output, letter: &str, exception: &str) {
    // A client that reads everything and may write nothing that is as long as this reason.
    std::fs::write(place.path("short.yaml"), "kafka: {properties: {message.max.bytes: \"1000\"}}\n").unwrap();
    let (long, config) = ("\u{10437}".repeat(200), ["--actor", "Ada", "--config", "short.yaml"]);
    for arguments in [
        &["dead-letters", "show", letter, "--with-phi"][..],
        &["dead-letters", "show", letter, "--with-phi", "--bytes", "-"],
        &["exceptions", "show", exception, "--raw"],
        &["trace", exception, "--with-phi"],
    ] {
        let refused = run(&[arguments, &config, &["--reason", &long]].concat());
        assert!(refused.status.code() == Some(1) && said(&refused).contains("WL-7271"), "{}", said(&refused));
        assert!(refused.stdout.is_empty(), "{arguments:?} shows nothing");
        let shown = run(&[arguments, &config, &["--reason", "the sender asks"]].concat());
        assert!(shown.status.success() && !shown.stdout.is_empty(), "{arguments:?}: {}", said(&shown));
    }
}

/// A dead letter that somebody has settled is not open any more, once and on record.
fn settling(run: &impl Fn(&[&str]) -> Output, letter: &str) {
    let shown = said(&run(&["dead-letters", "show", letter]));
    assert!(shown.contains("let its sender send it again"), "{shown}");
    assert!(shown.contains(&format!("wardline dead-letters settle {letter} --reason")), "{shown}");
    let settle_as = |id: &str, reason: &str, actor: &str| {
        run(&["dead-letters", "settle", id, "--reason", reason, "--actor", actor])
    };
    let settle = |id: &str, reason: &str| settle_as(id, reason, "ada");
    for (id, reason, code) in [(letter, "...", "WL-1470"), ("0@999", "sent again", "WL-7072")] {
        let refused = settle(id, reason);
        assert!(refused.status.code() == Some(2) && said(&refused).contains(code), "{}", said(&refused));
    }
    // Next to the patient two people settle it.
    assert!(text(&settle(letter, "sent again")).contains("a second person has to agree"));
    let alone = settle(letter, "sent again");
    assert!(alone.status.code() == Some(2) && said(&alone).contains("WL-1473"), "{}", said(&alone));
    assert!(text(&run(&["dead-letters", "show", letter])).contains("asked      by ada"));
    assert!(text(&settle_as(letter, "sent again", "bob")).contains("is settled"));
    let refused = settle(letter, "once more");
    assert!(said(&refused).contains("WL-1471") && said(&refused).contains("sent again"), "{}", said(&refused));
    let id = format!("\"{letter}\"");
    let open = text(&run(&["dead-letters", "ls", "--json"]));
    let all = text(&run(&["dead-letters", "ls", "--all", "--json"]));
    assert!(!open.contains(&id) && all.contains(&id) && all.contains("sent again"), "{all}");
    assert!(text(&run(&["dead-letters", "show", letter])).contains(": sent again"));
    let record = text(&run(&["audit", "ls", "--code", "dead-letter.settle", "--json"]));
    assert!(record.contains("settled: sent again") && record.contains("bob"), "{record}");
}

/// A source next to the patient: one person asks, another one approves, and the history names both.
fn two_people(run: &impl Fn(&[&str]) -> Output, id: &str) {
    let refused = |arguments: &[&str], code: &str| {
        let output = run(&[&["exceptions"], arguments].concat());
        assert!(output.status.code() == Some(2) && said(&output).contains(code), "{}", said(&output));
    };
    refused(&["discard", id, "--actor", "unknown", "--comment", "sent twice"], "WL-7110");
    refused(&["discard", id, "--actor", "ada"], "WL-1440");
    refused(&["resolve", id, "--actor", "ada"], "WL-1440");
    refused(&["comment", id], "WL-7106");
    text(&run(&["exceptions", "assign", id, "--to", "ada", "--actor", "eve"]));
    text(&run(&["exceptions", "comment", id, "--comment", "asked the sender", "--actor", "ada"]));
    let asked = run(&["exceptions", "discard", id, "--actor", "ada", "--comment", "sent twice", "--json"]);
    assert!(text(&asked).contains("DISCARD_REQUESTED") && said(&asked).contains("--approve"), "{}", said(&asked));
    refused(&["discard", id, "--approve", "--actor", "ada"], "WL-7107");
    let waiting = text(&run(&["exceptions", "ls", "--to-approve", "--assignee", "ada"]));
    assert!(waiting.contains("ada (as ") && waiting.contains("wants to discard it"), "{waiting}");
    let sheet = text(&run(&["exceptions", "show", &id[..8]]));
    for said in ["verdict\n", "PID-5 Patient name", "asked the sender", "--approve", "history, newest first\n"] {
        assert!(sheet.contains(said), "{said}: {sheet}");
    }
    assert!(!sheet.contains("1970") && !sheet.contains("fieldPaths"), "PHI-1, and no raw record: {sheet}");
    text(&run(&["exceptions", "discard", id, "--approve", "--actor", "bob"]));
    let history = text(&run(&["exceptions", "history", id, "--json"]));
    let steps: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Each name is on record with the user of the operating system behind it.
    let name = |step: &Value| step["actor"].as_str().map(|who| who.split_once(" (as ").unwrap().0.to_owned());
    let steps: Vec<_> = steps.iter().map(|step| (step["what"].as_str().unwrap(), name(step))).collect();
    let steps: Vec<_> = steps.iter().map(|(what, who)| (*what, who.as_deref())).collect();
    let expected = [
        ("RAISED", None),
        ("ASSIGNED", Some("eve")),
        ("COMMENTED", Some("ada")),
        ("DISCARD_REQUESTED", Some("ada")),
        ("DISCARDED", Some("bob")),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn the_catalogue_and_the_codes_are_told_without_a_broker() {
    let place = Place::new();
    let listed = text(&place.run(&["topics", "ls"]));
    assert!(listed.contains("ops.audit.v1") && listed.contains("patient-adjacent"), "{listed}");
    let lines = text(&place.run(&["topics", "ls", "--json"]));
    let all: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len() + 1, listed.lines().count());
    let one: Value = serde_json::from_str(&text(&place.run(&["topics", "show", "ops.audit.v1", "--json"]))).unwrap();
    assert_eq!((&one["key"][0], &one["schema"]["name"]), (&"room".into(), &"Audit".into()));
    let shown = text(&place.run(&["topics", "show", "ops.audit.v1"]));
    for part in ["key            room", "kept           1825 days", "read by        cli: ", "\"name\": \"Audit\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let code = text(&place.run(&["explain", "wl-4001"]));
    assert!(code.starts_with("# WL-4001: ") && code.contains("## What to do"), "{code}");
    let json: Value = serde_json::from_str(&text(&place.run(&["explain", "WL-4001", "--json"]))).unwrap();
    assert_eq!(json["code"], "WL-4001");
    assert!(text(&place.run(&["explain"])).lines().any(|line| line.starts_with("WL-4001  ")));
    for (arguments, code) in
        [(&["topics", "show", "ops.nothing.v1"], "WL-7274"), (&["explain", "WL-0000", "--json"], "WL-7273")]
    {
        let refused = place.run(arguments);
        assert!(refused.status.code() == Some(2) && said(&refused).contains(code), "{}", said(&refused));
    }
}

#[test]
fn what_can_never_work_ends_at_once_with_its_code_and_starts_nothing() {
    let place = Place::new();
    std::fs::write(place.path("room.yaml"), "rooms: {erp-pst: {}}\n").unwrap();
    std::fs::write(place.path("act.yaml"), "operations: {repaly: {}}\n").unwrap();
    std::fs::write(place.path("replay.yaml"), "operations: {replay: {plan_age: 1}}\n").unwrap();
    std::fs::write(place.path("http.yaml"), "http: {listen: nowhere}\n").unwrap();
    for (arguments, code) in [
        (&["up", "--mllp", "foo"][..], "WL-7073"),
        (&["up", "--mllp", "127.0.0.1:0", "--config", "http.yaml"], "WL-7073"),
        (&["run", "validate", "--config", "http.yaml"], "WL-7073"),
        (&["up", "--mllp", "127.0.0.1:0", "--config", "room.yaml"], "did you mean erp-post?"),
        (&["up", "--mllp", "127.0.0.1:0", "--config", "act.yaml"], "did you mean replay?"),
        (&["up", "--mllp", "127.0.0.1:0", "--config", "replay.yaml"], "WL-7001"),
        (&["up", "--no-such-flag"], "WL-7075"),
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(code), "{arguments:?}: {}", said(&output));
    }
    assert!(!place.path("wardline-data").exists());
}

#[test]
fn phi_1_rooms_refuse_the_keys_of_a_first_run_where_others_reach_kafka() {
    let place = Place::new();
    std::fs::write(place.path("room.yaml"), "http: {listen: \"127.0.0.1:0\"}\n").unwrap();
    for (room, key) in [
        ("hl7v2", "identity.pseudonym_key"),
        ("fhir", "identity.pseudonym_key"),
        ("analytics", "rooms.analytics.token_key"),
    ] {
        let output = place.run(&["run", room, "--config", "room.yaml", "--kafka", "kafka.invalid:9092"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{room}: {said}");
        assert!(said.contains(&format!("WL-7003: {key} ")) && said.contains("kafka.invalid:9092"), "{room}: {said}");
    }
}
