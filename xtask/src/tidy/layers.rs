//! Layering: dependencies point one way, rooms never import rooms, and every manifest takes its facts from the workspace.

use toml::{Table, Value};

use super::{Finding, Tree};

/// Tables of a manifest that name dependencies, and whether they are for tests alone.
const DEPENDENCY_TABLES: [(&str, bool); 3] =
    [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];

/// What the package table of every member takes from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// What only these may know: the Kafka client is the runtime's. Tests, the testkit and the chaos harness look past it at what
/// really is on a topic.
const KAFKA_CLIENT: &str = "rdkafka";
const KAFKA_CLIENT_USERS: [&str; 4] = ["runtime", "testkit", "chaos", "tests"];

/// What rooms may use of the workspace.
const ROOM_USES: [&str; 9] =
    ["schemas", "processor", "connector", "runtime", "udi", "fhir-gate", "tryton", "sandbox", "erp-systems"];

/// Checks every manifest of the workspace.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rooms = rooms(tree);
    for (path, text) in tree.ending("Cargo.toml") {
        let Some(member) = path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        match text.parse::<Table>() {
            Ok(manifest) => {
                check_inheritance(path, member, &manifest, &mut findings);
                check_dependencies(path, member, &manifest, &rooms, &mut findings);
            }
            Err(error) => findings.push(Finding::new(path, 0, format!("is no manifest: {}", error.message()))),
        }
    }
    findings
}

/// Names of all rooms.
pub(super) fn rooms(tree: &Tree) -> Vec<&str> {
    [tree.crates_below("connectors"), tree.crates_below("processors")].concat()
}

/// What a member may use in what it ships; `None` for a folder that the map does not know.
fn allowed<'a>(member: &str, rooms: &[&'a str]) -> Option<Vec<&'a str>> {
    let small: &[&str] = match member {
        "schemas" | "crates/udi" | "crates/fhir-gate" | "crates/components" => &[],
        "crates/embedded" => &["schemas"],
        "crates/processor" => &["schemas"],
        "crates/connector" => &["schemas", "processor"],
        "crates/runtime" | "crates/tryton" | "crates/sandbox" => &["schemas", "processor", "connector"],
        "crates/erp-systems" => &["connector", "tryton", "sandbox"],
        // What people do, for the command line and the console alike. Which rooms there are it is told.
        "crates/operations" => &["schemas", "processor", "connector", "runtime", "erp-systems"],
        "crates/console" => &["schemas", "processor", "connector", "runtime", "erp-systems", "operations"],
        "crates/testkit" => &["schemas", "processor", "connector", "runtime", "embedded", "components"],
        // It decides the laws from outside, so it knows them and the contracts, and nothing that it judges.
        "crates/chaos" => &["schemas", "processor", "components"],
        "xtask" => &["schemas", "components"],
        // What stands at the edge of the system, without the Kafka client behind it.
        "crates/fuzz-targets" => &["schemas", "udi", "hl7v2", "fhir", "embedded"],
        "fuzz" => &["fuzz-targets"],
        // The demo plays a day of the hospital that `components` describes, and a supplier of the testkit answers.
        "crates/cli" => {
            return Some(
                [&ROOM_USES[..], rooms, &["operations", "console", "testkit", "embedded", "components"]].concat(),
            );
        }
        "tests" => {
            return Some(
                [
                    &ROOM_USES[..],
                    rooms,
                    &["operations", "console", "testkit", "embedded", "cli", "components", "xtask", "chaos"],
                ]
                .concat(),
            );
        }
        _ if member.starts_with("connectors/") || member.starts_with("processors/") => &ROOM_USES,
        _ => return None,
    };
    Some(small.to_vec())
}

fn check_inheritance(path: &str, member: &str, manifest: &Table, findings: &mut Vec<Finding>) {
    let package = manifest.get("package").and_then(Value::as_table);
    for key in INHERITED {
        let inherited = package.and_then(|table| table.get(key)).is_some_and(from_workspace);
        if !inherited {
            findings.push(Finding::new(path, 0, format!("say `{key}.workspace = true`")));
        }
    }
    let name = member.rsplit('/').next().unwrap_or(member);
    let expected = format!("wardline-{name}");
    if package.and_then(|table| table.get("name")).and_then(Value::as_str) != Some(expected.as_str()) {
        findings.push(Finding::new(path, 0, format!("a package is named after its folder: {expected}")));
    }
    if !manifest.get("lints").is_some_and(from_workspace) {
        findings.push(Finding::new(path, 0, "take the lint table of the workspace: `[lints] workspace = true`"));
    }
}

fn check_dependencies(path: &str, member: &str, manifest: &Table, rooms: &[&str], findings: &mut Vec<Finding>) {
    let Some(shipped) = allowed(member, rooms) else {
        findings.push(Finding::new(
            path,
            0,
            "is not on the map: give it a place in xtask/src/tidy/layers.rs and ARCHITECTURE.md",
        ));
        return;
    };
    let further = [
        "operations",
        "console",
        "testkit",
        "fuzz-targets",
        "embedded",
        "chaos",
        "cli",
        "components",
        "xtask",
        "tests",
    ];
    let workspace: Vec<&str> = [&ROOM_USES[..], rooms, &further].concat();
    let short = member.rsplit('/').next().unwrap_or(member);
    for (table, tests_only) in DEPENDENCY_TABLES {
        let Some(dependencies) = manifest.get(table).and_then(Value::as_table) else {
            continue;
        };
        for (name, value) in dependencies {
            if !from_workspace(value) {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("`{name}`: versions and features stand in the root manifest alone"),
                ));
            }
            if name == KAFKA_CLIENT && !KAFKA_CLIENT_USERS.contains(&short) {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("`{short}` must not know {KAFKA_CLIENT}: the runtime does"),
                ));
            }
            // Tests of any crate may drive it with the testkit, on embedded parts or real components, and compare
            // generated code.
            let for_tests = tests_only && ["testkit", "embedded", "components", "xtask"].contains(&name.as_str());
            if workspace.contains(&name.as_str()) && !shipped.contains(&name.as_str()) && !for_tests {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("`{short}` must not depend on `{name}`: dependencies point one way"),
                ));
            }
        }
    }
}

/// Whether a value is `{ workspace = true, .. }`.
fn from_workspace(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        let inherited: String = INHERITED.iter().map(|key| format!("{key}.workspace = true\n")).collect();
        format!("[package]\nname = \"wardline-{name}\"\n{inherited}[lints]\nworkspace = true\n{rest}")
    }

    fn messages(files: &[(&str, String)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        check(&Tree::of(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_good_room_has_no_finding() {
        let text = manifest(
            "enrich",
            "[dependencies]\nruntime.workspace = true\n[dev-dependencies]\ntestkit.workspace = true\n",
        );
        assert_eq!(messages(&[("processors/enrich/Cargo.toml", text)]), Vec::<String>::new());
    }

    #[test]
    fn a_room_that_imports_a_room_is_found() {
        let enrich = manifest("enrich", "[dependencies]\nvalidate.workspace = true\n");
        let validate = manifest("validate", "");
        let found = messages(&[("processors/enrich/Cargo.toml", enrich), ("processors/validate/Cargo.toml", validate)]);
        assert_eq!(found, ["`enrich` must not depend on `validate`: dependencies point one way"]);
    }

    #[test]
    fn a_step_back_is_found_also_for_tests() {
        let text = manifest("processor", "[dev-dependencies]\nruntime = { workspace = true }\n");
        assert_eq!(messages(&[("crates/processor/Cargo.toml", text)]).len(), 1);
    }

    #[test]
    fn embedded_parts_are_for_tests_of_any_crate_and_for_nothing_that_it_ships() {
        let tests = manifest("sandbox", "[dev-dependencies]\nembedded.workspace = true\n");
        assert_eq!(messages(&[("crates/sandbox/Cargo.toml", tests)]), Vec::<String>::new());
        let shipped = manifest("sandbox", "[dependencies]\nembedded.workspace = true\n");
        assert_eq!(messages(&[("crates/sandbox/Cargo.toml", shipped)]).len(), 1);
    }

    #[test]
    fn what_judges_from_outside_does_not_know_what_it_judges() {
        let chaos = |name: &str| manifest("chaos", &format!("[dependencies]\n{name}.workspace = true\n"));
        assert_eq!(messages(&[("crates/chaos/Cargo.toml", chaos("processor"))]), Vec::<String>::new());
        for judged in ["runtime", "connector", "testkit", "cli"] {
            assert_eq!(messages(&[("crates/chaos/Cargo.toml", chaos(judged))]).len(), 1, "{judged}");
        }
    }

    #[test]
    fn the_kafka_client_is_the_runtimes() {
        let text = manifest("connector", "[dependencies]\nrdkafka.workspace = true\n");
        assert_eq!(
            messages(&[("crates/connector/Cargo.toml", text)]),
            ["`connector` must not know rdkafka: the runtime does"]
        );
    }

    #[test]
    fn what_does_not_come_from_the_workspace_is_found() {
        let text =
            "[package]\nname = \"wardline-cdi\"\nversion = \"0.2.0\"\nedition.workspace = true\nlicense = \"MIT\"\n\
                    [dependencies]\nserde = \"1\"\n"
                .to_owned();
        let found = messages(&[("crates/udi/Cargo.toml", text)]);
        for part in ["version.workspace", "rust-version", "license.workspace", "wardline-udi", "lint table", "`serde`"]
        {
            assert!(found.iter().any(|message| message.contains(part)), "{part}: {found:?}");
        }
    }

    #[test]
    fn a_crate_beside_the_map_is_found() {
        assert!(messages(&[("crates/utils/Cargo.toml", manifest("utils", ""))])[0].contains("not on the map"));
    }
}
