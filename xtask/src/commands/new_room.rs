//! `cargo xtask new-room`: a connector or a processor that compiles, has a test, and is known everywhere.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use schemas::{TopicInfo, topics};
use serde_json::Value;

/// Start a connector or a processor that compiles.
///
/// It has a README, a configuration and a test, and is known to the workspace, the command line, the chart and the map. Its
/// logic is yours.
#[derive(clap::Args)]
pub struct Arguments {
    /// Name of the room: lower case, digits and hyphens, for example `bed-board`.
    name: String,
    /// What it does: processor (Kafka to Kafka), effect (Kafka to the outside), source (from outside to Kafka).
    #[arg(long, value_enum)]
    kind: Kind,
    /// Topic it reads; a source reads none.
    #[arg(long, default_value = "supply.usage-enriched.v1")]
    reads: String,
    /// Topic it writes. It must be in topics.yaml already: describe it and run `cargo xtask codegen` first.
    #[arg(long, default_value = "partner.supplier-notice.v1")]
    writes: String,
}

/// How a room works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Processor,
    Effect,
    Source,
}

const MANIFEST: &str = include_str!("../../templates/manifest.toml.tpl");
const MAIN: &str = include_str!("../../templates/main.rs.tpl");
const CONFIG: &str = include_str!("../../templates/config.rs.tpl");
const README: &str = include_str!("../../templates/readme.md.tpl");
const PROCESSOR: [(&str, &str); 2] = [
    ("src/lib.rs", include_str!("../../templates/processor.lib.rs.tpl")),
    ("tests/", include_str!("../../templates/processor.test.rs.tpl")),
];
const EFFECT: [(&str, &str); 3] = [
    ("src/lib.rs", include_str!("../../templates/effect.lib.rs.tpl")),
    ("src/client.rs", include_str!("../../templates/effect.client.rs.tpl")),
    ("tests/", include_str!("../../templates/effect.test.rs.tpl")),
];
const SOURCE: [(&str, &str); 3] = [
    ("src/lib.rs", include_str!("../../templates/source.lib.rs.tpl")),
    ("src/poll.rs", include_str!("../../templates/source.poll.rs.tpl")),
    ("tests/", include_str!("../../templates/source.test.rs.tpl")),
];

impl Kind {
    /// Folder of rooms of this kind; also their image family.
    fn family(self) -> &'static str {
        if self == Self::Source { "connectors" } else { "processors" }
    }

    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Processor => &PROCESSOR,
            Self::Effect => &EFFECT,
            Self::Source => &SOURCE,
        }
    }

    fn dependencies(self) -> &'static [&'static str] {
        match self {
            Self::Processor => &["schemas", "processor", "runtime", "serde"],
            Self::Effect => &["schemas", "processor", "connector", "runtime", "reqwest", "serde", "serde_json"],
            Self::Source => &["schemas", "runtime", "serde", "tokio"],
        }
    }

    fn dev_dependencies(self) -> &'static [&'static str] {
        match self {
            Self::Processor => &["testkit", "serde_json"],
            Self::Effect => &[],
            Self::Source => &["serde_json"],
        }
    }

    /// Fields of the configuration and their defaults.
    fn config(self) -> (&'static str, &'static str) {
        match self {
            Self::Processor => (
                "    /// Facility of events that name none. Default `MAIN`.\n    pub facility: String,",
                "facility: \"MAIN\".to_owned()",
            ),
            Self::Effect => (
                "    /// Address of the service.\n    pub url: String,\n    /// Longest wait for one answer, milliseconds. Default 10000.\n    pub timeout_ms: u64,",
                "url: \"http://127.0.0.1:8080/notices\".to_owned(), timeout_ms: 10_000",
            ),
            Self::Source => (
                "    /// Folder that is looked at. Default `inbox`.\n    pub folder: std::path::PathBuf,\n    /// Wait between two looks, milliseconds. Default 1000.\n    pub poll_ms: u64,",
                "folder: \"inbox\".into(), poll_ms: 1_000",
            ),
        }
    }

    /// One sentence, and a row of what becomes of an input.
    fn summary(self) -> [&'static str; 3] {
        match self {
            Self::Processor => [
                "Reads `@reads@`, writes `@writes@`.",
                "every event of `@reads@`",
                "one `@Output@` with the envelope of the input",
            ],
            Self::Effect => [
                "Reads `@reads@`, tells a service outside, writes `@writes@`. The call happens once per business key and revision.",
                "every event of `@reads@`",
                "`POST` with an `Idempotency-Key`, then one `@Output@`",
            ],
            Self::Source => [
                "Writes `@writes@`.",
                "every line of a `.txt` file in `folder`",
                "one `@Output@`; the file is then named `.done`",
            ],
        }
    }
}

/// Writes the room and makes it known.
pub fn run(arguments: &Arguments) -> Result<()> {
    let root = super::root()?;
    let (name, kind) = (arguments.name.as_str(), arguments.kind);
    check_name(&root, name)?;
    let fill = Filling::new(arguments)?;
    let folder = root.join(kind.family()).join(name);
    for (path, template) in files(kind, name) {
        let path = folder.join(path);
        let text = fill.apply(template);
        ensure!(!text.contains('@'), "{} keeps a placeholder", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&folder)).context("make the folders of the room")?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    for (path, edit) in announcements(kind, name) {
        let path = root.join(path);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let edited = edit.apply(&text, &fill).with_context(|| format!("make {name} known in {}", path.display()))?;
        fs::write(&path, edited).with_context(|| format!("write {}", path.display()))?;
    }
    // How lines break depends on the length of the names.
    super::cargo(&root, &["fmt", "--package", &format!("wardline-{name}")], &[])?;
    let mut out = std::io::stdout();
    writeln!(out, "{}/{name} is there. Next:", kind.family())?;
    writeln!(out, "  cargo test -p wardline-{name}")?;
    writeln!(
        out,
        "  topics.yaml: add {name} to the producers of {} and the consumers of what it reads",
        arguments.writes
    )?;
    writeln!(out, "  cargo xtask codegen && cargo xtask tidy")?;
    Ok(())
}

fn check_name(root: &Path, name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let letter_first = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !plain || !letter_first || name.ends_with('-') || name.len() > 30 {
        bail!("`{name}` is no name of a room: lower-case letters, digits and hyphens, at most 30, a letter first");
    }
    for folder in ["connectors", "processors", "crates"] {
        ensure!(!root.join(folder).join(name).exists(), "{folder}/{name} is there already");
    }
    Ok(())
}

/// Path below the room and template of each file.
fn files(kind: Kind, name: &str) -> Vec<(String, &'static str)> {
    let common = [("Cargo.toml", MANIFEST), ("README.md", README), ("src/main.rs", MAIN), ("src/config.rs", CONFIG)];
    let all = common.iter().chain(kind.files());
    all.map(|(path, template)| {
        let path = if *path == "tests/" { format!("tests/{}.rs", name.replace('-', "_")) } else { (*path).to_owned() };
        (path, *template)
    })
    .collect()
}

/// What stands for what in the templates.
struct Filling(Vec<(&'static str, String)>);

impl Filling {
    fn new(arguments: &Arguments) -> Result<Self> {
        let (room, kind) = (arguments.name.as_str(), arguments.kind);
        let writes = topic(&arguments.writes)?;
        let output = record_of(writes)?;
        let (reads, input) = match kind {
            Kind::Source => (writes, output.clone()),
            Kind::Processor | Kind::Effect => {
                let reads = topic(&arguments.reads)?;
                (reads, record_of(reads)?)
            }
        };
        let mut imports = vec![input.clone(), output.clone()];
        imports.sort();
        imports.dedup();
        let lines = |names: &[&str]| names.iter().map(|name| format!("{name}.workspace = true\n")).collect::<String>();
        let (fields, defaults) = kind.config();
        let [summary, input_row, output_row] = kind.summary();
        // Sentences that hold further placeholders come first.
        Ok(Self(vec![
            ("@summary@", summary.to_owned()),
            ("@input_row@", input_row.to_owned()),
            ("@output_row@", output_row.to_owned()),
            ("@room@", room.to_owned()),
            ("@snake@", room.replace('-', "_")),
            ("@Type@", camel(room)),
            ("@reads@", reads.name.to_owned()),
            ("@writes@", writes.name.to_owned()),
            ("@WRITES@", writes.name.replace(['.', '-'], "_").to_uppercase()),
            ("@Input@", input),
            ("@Output@", output),
            ("@imports@", imports.join(", ")),
            ("@dependencies@\n", lines(kind.dependencies())),
            ("@dev_dependencies@\n", lines(kind.dev_dependencies())),
            ("@config_fields@", fields.to_owned()),
            ("@config_defaults@", defaults.to_owned()),
        ]))
    }

    fn apply(&self, template: &str) -> String {
        let filled = self.0.iter().fold(template.to_owned(), |text, (from, to)| text.replace(from, to));
        // A room without further dependencies for its tests needs no table for them.
        filled.trim_end().trim_end_matches("[dev-dependencies]").trim_end().to_owned() + "\n"
    }
}

/// A change to a file that names all rooms.
enum Edit {
    /// A line right behind the first line that is this one.
    Behind(&'static str, String),
    /// A line right before the first line that is this one.
    Before(&'static str, String),
    /// A line behind the last line that begins so.
    BehindLast(&'static str, String),
    /// Text at the end.
    AtEnd(String),
}

impl Edit {
    fn apply(&self, text: &str, fill: &Filling) -> Result<String> {
        let mut lines: Vec<&str> = text.lines().collect();
        let place = |found: Option<usize>, wanted: &str| found.with_context(|| format!("there is no line `{wanted}`"));
        let (at, added) = match self {
            Self::Behind(wanted, added) => (place(lines.iter().position(|line| line == wanted), wanted)? + 1, added),
            Self::Before(wanted, added) => (place(lines.iter().position(|line| line == wanted), wanted)?, added),
            Self::BehindLast(start, added) => {
                (place(lines.iter().rposition(|line| line.starts_with(start)), start)? + 1, added)
            }
            Self::AtEnd(added) => (lines.len(), added),
        };
        let added = fill.0.iter().fold(added.clone(), |text, (from, to)| text.replace(from, to));
        lines.insert(at, &added);
        Ok(lines.join("\n") + "\n")
    }
}

/// Every file that names all rooms, and how it comes to name this one.
fn announcements(kind: Kind, name: &str) -> Vec<(&'static str, Edit)> {
    let family = kind.family();
    let dependency = format!("{name} = {{ path = \"{family}/{name}\", package = \"wardline-{name}\" }}");
    let [summary, ..] = kind.summary();
    let workload = format!(
        "\n  # {summary}\n  {name}:\n    enabled: true\n    family: {family}\n    replicas: 1\n    strategy: Recreate\n    resources:\n      \
         requests: {{cpu: 100m, memory: 128Mi}}\n      limits: {{memory: 512Mi}}"
    );
    vec![
        ("Cargo.toml", Edit::Behind("[workspace.dependencies]", dependency)),
        ("crates/cli/Cargo.toml", Edit::Behind("[dependencies]", format!("{name}.workspace = true"))),
        ("crates/cli/src/rooms.rs", Edit::Before("    ]", format!("        {}::room(),", name.replace('-', "_")))),
        ("helm/wardline/values.yaml", Edit::AtEnd(workload)),
        ("docs/ARCHITECTURE.md", Edit::BehindLast("| `processors/", format!("| `{family}/{name}` | {summary} |"))),
    ]
}

fn topic(name: &str) -> Result<&'static TopicInfo> {
    topics::find(name)
        .with_context(|| format!("there is no topic {name}: describe it in topics.yaml and run `cargo xtask codegen`"))
}

/// Name of the Rust type that a topic carries.
fn record_of(topic: &TopicInfo) -> Result<String> {
    let schema: Value =
        serde_json::from_str(topic.schema).with_context(|| format!("{} carries raw bytes", topic.name))?;
    let has_envelope =
        schema["fields"].as_array().is_some_and(|fields| fields.iter().any(|field| field["name"] == "meta"));
    ensure!(has_envelope, "{} carries no domain events: they have an envelope `meta`", topic.name);
    schema["name"].as_str().map(str::to_owned).with_context(|| format!("the record of {} has no name", topic.name))
}

/// `bed-board` is `BedBoard`.
fn camel(name: &str) -> String {
    name.split('-')
        .map(|part| {
            let mut letters = part.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(kind: Kind) -> Arguments {
        Arguments {
            name: "bed-board".to_owned(),
            kind,
            reads: "supply.usage-enriched.v1".to_owned(),
            writes: "partner.supplier-notice.v1".to_owned(),
        }
    }

    #[test]
    fn no_placeholder_is_left_in_any_file() {
        for kind in [Kind::Processor, Kind::Effect, Kind::Source] {
            let fill = Filling::new(&arguments(kind)).unwrap();
            for (path, template) in files(kind, "bed-board") {
                let text = fill.apply(template);
                assert!(!text.contains('@'), "{path}: {text}");
            }
        }
    }

    #[test]
    fn bad_names_and_taken_names_are_refused() {
        let root = super::super::root().unwrap();
        for name in ["Bed", "bed_board", "-bed", "bed-", "1bed", "", "processor"] {
            assert!(check_name(&root, name).is_err(), "{name}");
        }
        assert!(check_name(&root, "bed-board-2").is_ok());
    }

    #[test]
    fn a_room_reads_and_writes_events_of_the_catalogue() {
        for (reads, writes) in
            [("no.such.v1", "partner.supplier-notice.v1"), ("supply.usage-enriched.v1", "ops.audit.v1")]
        {
            let wrong = Arguments { reads: reads.to_owned(), writes: writes.to_owned(), ..arguments(Kind::Processor) };
            assert!(Filling::new(&wrong).is_err(), "{reads} {writes}");
        }
    }

    #[test]
    fn every_file_that_names_all_rooms_has_a_place_for_another() {
        let root = super::super::root().unwrap();
        for kind in [Kind::Processor, Kind::Effect, Kind::Source] {
            let fill = Filling::new(&arguments(kind)).unwrap();
            for (path, edit) in announcements(kind, "bed-board") {
                let text = fs::read_to_string(root.join(path)).unwrap();
                assert_ne!(edit.apply(&text, &fill).unwrap(), text, "{path}");
            }
        }
    }
}
