//! Writes the topic handles and the `Event` implementations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemas::catalogue::{self, LevelSpec, SchemaFacts, Storage, TopicSpec};
use serde_json::Value;

use super::avro::{self, Shape, Type, Types};
use super::rust::identifier;
use super::{Error, MARK};

/// Line length of rustfmt.
pub(super) const LINE_LENGTH_MAX: usize = 120;

/// Writes one module per domain, the list of all topics and the self-contained schemas; `sources` are the rooms that bring
/// events in. Returns the module names.
pub fn emit(
    types: &Types,
    topics_text: &str,
    sources: &BTreeSet<String>,
    generated: &mut BTreeMap<PathBuf, String>,
) -> Result<Vec<String>, Error> {
    let mut facts = Vec::new();
    let mut schemas = BTreeMap::new();
    for named in types.values().filter(|named| matches!(named.shape, Shape::Record { .. }) && named.domain != "common")
    {
        let schema = avro::self_contained(types, &named.fullname)?;
        facts.push(SchemaFacts::of(&named.file, &schema));
        schemas.insert(named.file.clone(), sorted(&schema));
    }
    let catalogue =
        catalogue::parse_against(topics_text, &facts).map_err(|problems| Error::new("topics.yaml", join(&problems)))?;
    let mut domains: BTreeMap<&str, String> = BTreeMap::new();
    for topic in &catalogue.topics {
        let domain = topic.name.split('.').next().unwrap_or_default();
        domains.entry(domain).or_default().push_str(&one_topic(types, topic, sources)?);
        if let Some(file) = &topic.schema {
            let path = format!("avro/{}.avsc", topic.name);
            generated.insert(PathBuf::from(path), schemas[file].clone() + "\n");
        }
    }
    let mut modules = vec!["topics".to_owned()];
    for (domain, code) in &domains {
        let module = format!("topics_{domain}");
        let text = format!(
            "{MARK}\nuse std::sync::OnceLock;\n\n#[allow(unused_imports, reason = \"one list of imports for all generated files\")]\nuse super::prelude::*;\nuse crate::catalogue::{{Compatibility, Criticality, OnReject, Phi, Storage}};\nuse crate::codec::{{CodecError, WriterSchema}};\nuse crate::topic::{{Event, Topic, TopicInfo}};\n{code}"
        );
        generated.insert(PathBuf::from(format!("{module}.rs")), text);
        modules.push(module);
    }
    generated.insert(PathBuf::from("topics_service_levels.rs"), service_levels(&catalogue.service_levels));
    modules.push("topics_service_levels".to_owned());
    let parts: BTreeSet<&str> = domains.keys().copied().chain(["service_levels"]).collect();
    let mut all = all_topics(&catalogue.topics, parts.into_iter());
    all.push_str(&for_each_event(types, &catalogue.topics));
    generated.insert(PathBuf::from("topics.rs"), all);
    Ok(modules)
}

fn join(problems: &[catalogue::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn all_topics<'a>(topics: &[TopicSpec], domains: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{MARK}\n//! A typed handle for every topic.\n\n");
    for domain in domains {
        text.push_str(&format!("pub use super::topics_{domain}::*;\n"));
    }
    text.push_str(
        "use crate::topic::TopicInfo;\n\n/// Every topic, sorted by name.\npub const ALL: &[&TopicInfo] = &[\n",
    );
    for topic in topics {
        text.push_str(&format!("    {}.info(),\n", constant(&topic.name)));
    }
    text.push_str("];\n\n/// The topic with this name.\n#[must_use]\npub fn find(name: &str) -> Option<&'static TopicInfo> {\n    ALL.iter().copied().find(|topic| topic.name == name)\n}\n");
    text
}

/// The service levels, with handles for names of topics.
fn service_levels(levels: &[LevelSpec]) -> String {
    let handle = |topic: &String| format!("topics::{}.info()", constant(topic));
    let mut text = format!(
        "{MARK}\n//! What the hospital is promised.\n\nuse super::topics;\nuse crate::catalogue::{{Criticality, MeasuredFrom}};\nuse crate::topic::ServiceLevel;\n\n/// Every service level, sorted by name.\n#[rustfmt::skip]\npub const SERVICE_LEVELS: &[ServiceLevel] = &[\n"
    );
    for level in levels {
        let through: Vec<String> = level.through.iter().map(handle).collect();
        text.push_str("    ServiceLevel {\n");
        let mut line = |name: &str, value: String| text.push_str(&format!("        {name}: {value},\n"));
        line("name", format!("{:?}", level.name));
        line("description", format!("{:?}", level.description));
        line("from", handle(&level.from));
        line("to", handle(&level.to));
        line("measured_from", format!("MeasuredFrom::{:?}", level.measured_from));
        line("within_ms", grouped(i64::try_from(level.within_ms).unwrap_or(i64::MAX)));
        line("target_basis_points", grouped(i64::from(level.target_basis_points)));
        line("class", format!("Criticality::{:?}", level.class));
        line("rooms", format!("&{:?}", level.rooms));
        line("through", format!("&[{}]", through.join(", ")));
        text.push_str("    },\n");
    }
    text.push_str("];\n");
    text
}

/// A macro that visits every record type, since Rust cannot loop over types.
fn for_each_event(types: &Types, topics: &[TopicSpec]) -> String {
    let mut text = String::from(
        "\n/// Calls a generic function once for every record type, in the order of topic names.\n///\n/// `for_each_event!(check, 1)` is `check::<Encounter>(1); check::<SupplyUsage>(1); ...`.\n#[macro_export]\nmacro_rules! for_each_event {\n    ($function:ident $(, $argument:expr)* $(,)?) => {{\n",
    );
    for file in topics.iter().filter_map(|topic| topic.schema.as_ref()) {
        if let Some(named) = types.values().find(|named| named.file == *file) {
            text.push_str(&format!("        $function::<$crate::{}>($($argument),*);\n", named.name));
        }
    }
    text.push_str("    }};\n}\n");
    text
}

fn one_topic(types: &Types, topic: &TopicSpec, sources: &BTreeSet<String>) -> Result<String, Error> {
    let constant = constant(&topic.name);
    let record = topic.schema.as_ref().and_then(|file| types.values().find(|named| named.file == *file));
    let record_name = record.map_or("crate::topic::RawBytes", |named| named.name.as_str());
    let mut code = format!("\n/// `{}`: {}\n", topic.name, topic.description);
    let left = format!("pub const {constant}: Topic<{record_name}> =");
    let right = format!("Topic::new(&{constant}_INFO);");
    let is_short = left.len() + 1 + right.len() <= LINE_LENGTH_MAX;
    let gap = if is_short { " " } else { "\n    " };
    code.push_str(&format!("{left}{gap}{right}\n"));
    code.push_str(&info(topic, sources, &constant));
    if let Some(named) = record {
        code.push_str(&event(topic, named, &constant)?);
    }
    Ok(code)
}

fn info(topic: &TopicSpec, sources: &BTreeSet<String>, constant: &str) -> String {
    let schema = match &topic.schema {
        Some(_) => format!("include_str!(\"avro/{}.avsc\").trim_ascii_end()", topic.name),
        None => "\"\"".to_owned(),
    };
    let storage = match topic.storage {
        Storage::RetentionMs(milliseconds) => format!("RetentionMs({})", grouped(milliseconds)),
        other => format!("{other:?}"),
    };
    let compatibility = match topic.compatibility {
        Some(level) => format!("Some(Compatibility::{level:?})"),
        None => "None".to_owned(),
    };
    let mut code = format!("\n#[rustfmt::skip]\nstatic {constant}_INFO: TopicInfo = TopicInfo {{\n");
    let mut line = |name: &str, value: String| code.push_str(&format!("    {name}: {value},\n"));
    line("name", format!("{:?}", topic.name));
    line("subject", format!("\"{}-value\"", topic.name));
    line("data_schema", format!("\"urn:wardline:schema:{}-value\"", topic.name));
    line("event_type", format!("\"org.wardline.{}\"", topic.name));
    line("description", format!("{:?}", topic.description));
    line("owner", format!("{:?}", topic.owner));
    line("schema_file", format!("{:?}", topic.schema.as_deref().unwrap_or_default()));
    line("schema", schema);
    line("key", format!("&{:?}", topic.key));
    line("partitions", topic.partitions.to_string());
    line("compacted", (topic.storage == Storage::Compacted).to_string());
    line("storage", format!("Storage::{storage}"));
    line("class", format!("Criticality::{:?}", topic.criticality));
    line("phi", format!("Phi::{:?}", topic.phi));
    line("compatibility", compatibility);
    line("producers", format!("&{:?}", topic.producers));
    let sources: Vec<&String> = topic.producers.iter().filter(|room| sources.contains(*room)).collect();
    line("sources", format!("&{sources:?}"));
    let consumers: Vec<_> = topic.consumers.iter().map(|consumer| (&consumer.room, &consumer.purpose)).collect();
    line("consumers", format!("&{consumers:?}"));
    line("latency_p99_ms", grouped(i64::try_from(topic.sla.latency_p99_ms).unwrap_or(i64::MAX)));
    line("on_reject", format!("OnReject::{:?}", topic.on_reject));
    code.push_str("};\n");
    code
}

fn event(topic: &TopicSpec, named: &avro::Named, constant: &str) -> Result<String, Error> {
    let Shape::Record { fields, .. } = &named.shape else {
        return Err(Error::new(&named.file, "a topic carries records".to_owned()));
    };
    let paths: Vec<String> = topic
        .key
        .iter()
        .map(|path| format!("self.{}", path.split('.').map(identifier).collect::<Vec<_>>().join(".")))
        .collect();
    let key = match paths.as_slice() {
        [one] => format!("{one}.clone()"),
        several => format!(
            "[{}].join(\"/\")",
            several.iter().map(|path| format!("{path}.as_str()")).collect::<Vec<_>>().join(", ")
        ),
    };
    let has = |name: &str| fields.iter().any(|field| field.name == name && matches!(field.ty, Type::Named(_)));
    let meta = if has("meta") { "Some(&self.meta)" } else { "None" };
    let kind = if has("kind") { "Some(self.kind.as_str())" } else { "None" };
    Ok(format!(
        "\nimpl Event for {} {{\n    fn contract() -> Result<&'static WriterSchema, CodecError> {{\n        static CONTRACT: OnceLock<Result<WriterSchema, CodecError>> = OnceLock::new();\n        let compiled = CONTRACT.get_or_init(|| WriterSchema::parse(Self::topic().schema));\n        compiled.as_ref().map_err(Clone::clone)\n    }}\n\n    fn topic() -> &'static TopicInfo {{\n        &{constant}_INFO\n    }}\n\n    fn key(&self) -> String {{\n        {key}\n    }}\n\n    fn meta(&self) -> Option<&EventMeta> {{\n        {meta}\n    }}\n\n    fn kind(&self) -> Option<&'static str> {{\n        {kind}\n    }}\n}}\n",
        named.name
    ))
}

/// JSON with sorted keys, so that the text does not depend on how serde_json was built.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let members: BTreeMap<&String, String> = object.iter().map(|(key, child)| (key, sorted(child))).collect();
            let members: Vec<String> =
                members.iter().map(|(key, child)| format!("{}:{child}", Value::from(key.as_str()))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

fn constant(topic: &str) -> String {
    topic.replace(['.', '-'], "_").to_uppercase()
}

/// A number with underscores between groups of three digits.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut result = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            result.push('_');
        }
        result.push(digit);
    }
    result
}
