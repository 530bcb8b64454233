//! Four eyes on the command line: what is agreed to is what was seen.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, text};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// An item of the sandbox ERP, and another one.
const ITEMS: [&str; 2] = ["71-400101", "71-100234"];
const CODE: [&str; 3] = ["item", "ORIS|GENERAL", "OLD 1"];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mapping_is_agreed_to_with_the_mark_of_what_was_seen() {
    let place = Place::new();
    let (up, variables) = place.up("up");
    let run = |arguments: &[&str]| {
        // Nobody is at a terminal: what is asked would never be answered.
        place.wardline(arguments).envs(variables.iter().cloned()).stdin(Stdio::null()).output().unwrap()
    };
    let set = |target: &str| {
        let options = ["--to", target, "--reason", "old number", "--actor", "ada", "--json"];
        run(&[&["crosswalk", "set"], &CODE[..], &options].concat())
    };
    // The items are on their topic soon after the start.
    let mut proposed = set(ITEMS[0]);
    for _ in 0..600 {
        if proposed.status.success() || !said(&proposed).contains("WL-7236") {
            break;
        }
        proposed = set(ITEMS[0]);
    }
    let proposed: Value = serde_json::from_str(text(&proposed).trim()).unwrap();
    let mark = proposed["mark"].as_str().unwrap().to_owned();
    let listed = text(&run(&["exceptions", "ls", "--to-approve"]));
    assert!(listed.contains(&mark) && listed.contains("OLD 1") && listed.contains(ITEMS[0]), "{listed}");
    let listed = text(&run(&["exceptions", "ls", "--to-approve", "--json"]));
    let listed: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    assert_eq!((&listed["mapping"]["mark"], &listed["mapping"]["target"]), (&mark.as_str().into(), &ITEMS[0].into()));

    let approve = |options: &[&str]| run(&[&["crosswalk", "approve"], &CODE[..], options].concat());
    let refused = approve(&["--actor", "bert"]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("WL-1450"), "{}", said(&refused));
    for shown in ["ada (as ", "old number", "nothing -> 71-400101", &mark] {
        assert!(said(&refused).contains(shown), "{shown}: {}", said(&refused));
    }
    assert!(text(&set(ITEMS[1])).contains("mark"));
    let changed = approve(&["--actor", "bert", "--seen", &mark]);
    assert!(changed.status.code() == Some(2) && said(&changed).contains("WL-1451"), "{}", said(&changed));
    assert!(said(&changed).contains("proposes 71-100234"), "{}", said(&changed));

    // The command that is told is typed as it stands.
    let refused = said(&approve(&["--actor", "bert"]));
    let told = refused.split('`').nth(1).unwrap();
    let arguments = told.strip_prefix("wardline ").unwrap();
    let program = place.wardline(&[]);
    let script = format!("exec \"$0\" {arguments}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program.get_program()).stdin(Stdio::null());
    shell.current_dir(program.get_current_dir().unwrap()).envs(variables.iter().cloned());
    let agreed = text(&shell.output().unwrap());
    assert!(agreed.contains(ITEMS[1]) && !agreed.contains("proposed"), "{agreed}");
    let mapped: Value = serde_json::from_str(text(&run(&["crosswalk", "ls", "--json"])).trim()).unwrap();
    let by = mapped["approvedBy"].as_str().unwrap();
    assert!(by.starts_with("bert (as ") && by.contains(" (seen "), "{by}");
    assert_eq!((&mapped["target"], &mapped["mark"]), (&ITEMS[1].into(), &Value::Null));
    assert!(up.stop("TERM").success());
}
