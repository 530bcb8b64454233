//! The embedded registry beside Apicurio Registry: the same requests, the same answers. Where they differ, the difference is
//! in a table with its reason, and a difference that is gone is a failure too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod evolutions;
mod scenarios;
mod side;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use components::{Installation, Part, Progress, Registry, RegistryOptions};
use embedded::registry::MemoryLog;
use side::Side;

/// Requests in their order, on subjects of their own.
pub struct Scenario {
    /// What it is about.
    pub name: String,
    /// The requests.
    pub steps: Vec<Step>,
}

/// A request.
pub struct Step {
    /// Method.
    pub method: &'static str,
    /// Path below the base; `{id:N}` is the N-th id that the scenario has seen.
    pub path: String,
    /// Body; empty for none.
    pub body: String,
}

/// A known difference.
struct Difference {
    /// Scenario and number of the step, from 1.
    step: (&'static str, usize),
    /// What the embedded registry answers.
    embedded: &'static str,
    /// What Apicurio answers.
    apicurio: &'static str,
    /// Why that is right.
    reason: &'static str,
}

const AS_CONFLUENT: &str = "Confluent's registry answers so, and its clients are written for that";
const NOT_THERE: &str = "Apicurio does not serve this address";

/// Members in which Apicurio's answers have another form throughout. The first two hold what a client takes when they are
/// missing; the third is what a level that was set comes back as, where Confluent says `compatibility`.
const FORMS: [&str; 3] = ["compatibilityLevel", "references", "schemaType"];

/// Longest mean time of an answer of the embedded registry.
const ANSWER_MAX: Duration = Duration::from_millis(20);

/// Every other known difference. Texts of errors are not compared.
#[rustfmt::skip]
const DIFFERENCES: &[Difference] = &[
    Difference { step: ("asking", 15), embedded: r#"200 ["ask-a","ask-b"]"#, apicurio: "404 without JSON", reason: NOT_THERE },
    Difference { step: ("asking", 16), embedded: r#"200 ["AVRO"]"#, apicurio: r#"200 ["AVRO","JSON","PROTOBUF"]"#, reason: "only Avro is used in the house, and other types are refused" },
    Difference { step: ("refusals", 3), embedded: "422 42202", apicurio: "404 40402", reason: AS_CONFLUENT },
    Difference { step: ("refusals", 4), embedded: "422 42202", apicurio: "404 40402", reason: AS_CONFLUENT },
    Difference { step: ("bodies", 1), embedded: "400 400", apicurio: "400 without JSON", reason: AS_CONFLUENT },
    Difference { step: ("bodies", 2), embedded: "400 400", apicurio: "400 without JSON", reason: AS_CONFLUENT },
    Difference { step: ("bodies", 3), embedded: "422 42201", apicurio: "500 0", reason: AS_CONFLUENT },
    Difference { step: ("empty text", 1), embedded: "422 42201", apicurio: r#"200 {"id":1}"#, reason: "an empty text is no Avro schema" },
    Difference { step: ("bodies", 5), embedded: "422 42201", apicurio: "500 0", reason: AS_CONFLUENT },
    Difference { step: ("checking", 12), embedded: r#"200 {"is_compatible":true}"#, apicurio: "404 40401", reason: AS_CONFLUENT },
    Difference { step: ("checking", 14), embedded: r#"200 {"is_compatible":false,"messages":true}"#, apicurio: r#"200 {"is_compatible":false}"#, reason: "who asks for the reasons gets them, as Confluent gives them" },
    Difference { step: ("rules", 3), embedded: "404 40408", apicurio: r#"200 {"compatibilityLevel":"NONE"}"#, reason: "NONE is not the level that counts: the global one is; Confluent says that there is none of its own" },
    Difference { step: ("rules", 7), embedded: "422 42203", apicurio: "500 0", reason: AS_CONFLUENT },
    Difference { step: ("rules", 10), embedded: "404 40408", apicurio: "404 40401", reason: AS_CONFLUENT },
    Difference { step: ("subject rule NONE", 4), embedded: r#"200 {"id":2}"#, apicurio: "409 409", reason: "the level of a subject overrides the global one; Apicurio takes NONE for no level" },
    Difference { step: ("deleting", 5), embedded: "404 40406", apicurio: "409 40406", reason: AS_CONFLUENT },
    Difference { step: ("erasing", 4), embedded: "404 40407", apicurio: "409 40407", reason: AS_CONFLUENT },
    Difference { step: ("erasing", 9), embedded: "404 40405", apicurio: "409 40405", reason: AS_CONFLUENT },
    Difference { step: ("spelling", 2), embedded: r#"200 {"id":1}"#, apicurio: r#"200 {"id":2}"#, reason: "two ways of writing one schema are one schema; Apicurio compares the text" },
    Difference { step: ("spelling", 3), embedded: "200 [1]", apicurio: "200 [1,2]", reason: "follows from the step before" },
    Difference { step: ("others", 1), embedded: "404 404", apicurio: "404 without JSON", reason: AS_CONFLUENT },
    Difference { step: ("others", 2), embedded: "405 405", apicurio: "405 without JSON", reason: AS_CONFLUENT },
    Difference { step: ("others", 3), embedded: r#"200 {"mode":"READWRITE"}"#, apicurio: "404 without JSON", reason: NOT_THERE },
    Difference { step: ("others", 4), embedded: "404 404", apicurio: "404 without JSON", reason: AS_CONFLUENT },
];

#[test]
fn the_same_requests_have_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let installation = Installation::ensure(&[Part::Registry], &Progress::stderr()).unwrap();
    let apicurio = Registry::start(&installation, RegistryOptions::in_dir(dir.path())).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = embedded::registry::RegistryOptions { listen, log: Arc::new(MemoryLog::default()) };
    let embedded = embedded::registry::Registry::start(options).unwrap();
    // Both under the same path, so that one shape of address fits both.
    let mut ours = Side::new(format!("{}/apis/ccompat/v7", embedded.url()));
    let mut theirs = Side::new(apicurio.url());

    let mut scenarios = scenarios::all();
    scenarios.extend(evolutions::small());
    scenarios.extend(evolutions::contracts());
    let (mut compared, mut met, mut wrong) = (0_u32, BTreeSet::new(), Vec::new());
    for scenario in &scenarios {
        ours.forget_ids();
        theirs.forget_ids();
        for (number, step) in (1..).zip(&scenario.steps) {
            let (our, their) = (ours.ask(step), theirs.ask(step));
            compared += 1;
            let known = DIFFERENCES.iter().position(|known| known.step == (scenario.name.as_str(), number));
            let told = format!("{} {number}: {} {} {}", scenario.name, step.method, step.path, shortened(&step.body));
            match known {
                Some(known) => {
                    met.insert(known);
                    let Difference { embedded, apicurio, reason, .. } = &DIFFERENCES[known];
                    if (our.as_str(), their.as_str()) != (*embedded, *apicurio) {
                        wrong.push(format!("{told}\n  embedded {our}\n  expected {embedded}\n  apicurio {their}\n  expected {apicurio}\n  ({reason})"));
                    }
                }
                None if our == their => {}
                None => wrong.push(format!("{told}\n  embedded {our}\n  apicurio {their}")),
            }
        }
    }
    let unmet = DIFFERENCES.iter().enumerate().filter(|(number, _)| !met.contains(number));
    wrong.extend(unmet.map(|(_, known)| format!("{:?} is in the table, but there is no such step", known.step)));
    assert_eq!(theirs.forms.iter().copied().collect::<Vec<_>>(), FORMS, "a form is Apicurio's no more");
    assert!(
        ours.forms.is_empty(),
        "the embedded registry has taken over forms that are not Confluent's: {:?}",
        ours.forms
    );
    assert!(wrong.is_empty(), "{} of {compared} answers:\n{}", wrong.len(), wrong.join("\n"));
    let mean = ours.taken / compared;
    println!("{compared} requests: {mean:?} each, Apicurio {:?}", theirs.taken / compared);
    assert!(mean < ANSWER_MAX, "an answer takes {mean:?}");
    assert!(compared > 1_000, "only {compared} requests were compared");
    assert!(DIFFERENCES.iter().all(|known| known.embedded != known.apicurio), "a difference that is none");
}

fn shortened(body: &str) -> String {
    body.chars().take(300).collect()
}
