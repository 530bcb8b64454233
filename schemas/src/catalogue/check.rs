//! The rules of `topics.yaml` that go beyond its syntax.

use serde_saphyr::Spanned;

use super::{
    CODE_KEY, CODE_NAME, CODE_ORDER, CODE_PEOPLE, CODE_PHI, CODE_SCHEMA, CODE_STORAGE, Compatibility, Consumer, Phi,
    Problem, RawCatalogue, RawTopic, SchemaFacts, Storage, TopicSpec, problem,
};

/// Kafka's own limit for a topic name.
const NAME_LENGTH_MAX: usize = 249;
/// Parking keeps the partition number, so this topic needs as many partitions as any topic that is parked from.
const PARKING_TOPIC: &str = "ops.parked.v1";
/// An effect record lies in the partition with the number of its event, so this topic needs as many partitions as any topic whose
/// events have effects.
const EFFECT_TOPIC: &str = "ops.effect.v1";

/// Checks all topics and returns them; problems are added to the list.
pub(super) fn topics(raw: &RawCatalogue, schemas: &[SchemaFacts], problems: &mut Vec<Problem>) -> Vec<TopicSpec> {
    order(raw, problems);
    by_number(raw, problems);
    one_topic_per_schema(raw, problems);
    raw.topics.iter().map(|topic| one_topic(topic, schemas, problems)).collect()
}

fn one_topic(topic: &RawTopic, schemas: &[SchemaFacts], problems: &mut Vec<Problem>) -> TopicSpec {
    name(&topic.name, problems);
    people(topic, problems);
    let storage = storage(topic, problems);
    if topic.schema.value == "raw" {
        raw_bytes(topic, problems);
    } else {
        contract(topic, schemas, storage, problems);
    }
    TopicSpec {
        name: topic.name.value.clone(),
        description: topic.description.value.clone(),
        owner: topic.owner.value.clone(),
        schema: (topic.schema.value != "raw").then(|| topic.schema.value.clone()),
        key: topic.key.iter().map(|path| path.value.clone()).collect(),
        partitions: topic.partitions.value,
        storage,
        criticality: topic.criticality,
        phi: topic.phi.value,
        compatibility: topic.compatibility.as_ref().map(|level| level.value),
        producers: topic.producers.iter().map(|room| room.value.clone()).collect(),
        consumers: topic
            .consumers
            .iter()
            .map(|consumer| Consumer { room: consumer.value.room.clone(), purpose: consumer.value.purpose.clone() })
            .collect(),
        sla: topic.sla,
        on_reject: topic.on_reject,
        line: topic.name.referenced.line(),
    }
}

fn order(raw: &RawCatalogue, problems: &mut Vec<Problem>) {
    for pair in raw.topics.windows(2) {
        let [before, after] = pair else { continue };
        let (before, after) = (&before.name.value, &after.name);
        let at = &after.referenced;
        if *before == after.value {
            problems.push(problem(at, CODE_ORDER, format!("{before} stands twice")));
        } else if *before > after.value {
            let reason = format!("{} must stand before {before}: topics are sorted by name", after.value);
            problems.push(problem(at, CODE_ORDER, reason));
        }
    }
}

/// Topics whose records lie in the partition with the number of their event have a partition for each of those numbers.
fn by_number(raw: &RawCatalogue, problems: &mut Vec<Problem>) {
    let topic = |name: &str| raw.topics.iter().find(|topic| topic.name.value == name);
    if let Some(effect) = topic(EFFECT_TOPIC) {
        let has_effects = |room: &str| effect.producers.iter().any(|producer| producer.value == room);
        // What is compacted is a table, which a room reads as a whole.
        let events = raw.topics.iter().filter(|topic| {
            !is_compacted(topic) && topic.consumers.iter().any(|consumer| has_effects(&consumer.value.room))
        });
        wide_enough(effect, events, "an effect keeps the partition number of its event", problems);
    }
    if let Some(parked) = topic(PARKING_TOPIC) {
        wide_enough(parked, raw.topics.iter(), "parking keeps the partition number", problems);
    }
}

fn wide_enough<'a>(
    topic: &RawTopic,
    origins: impl Iterator<Item = &'a RawTopic>,
    why: &str,
    problems: &mut Vec<Problem>,
) {
    let widest = origins.max_by_key(|origin| origin.partitions.value);
    if let Some(widest) = widest.filter(|widest| widest.partitions.value > topic.partitions.value) {
        let (name, number, origin) = (&topic.name.value, widest.partitions.value, &widest.name.value);
        let reason = format!("{name} needs at least the {number} partitions of {origin}: {why}");
        problems.push(problem(&topic.partitions.referenced, CODE_STORAGE, reason));
    }
}

fn is_compacted(topic: &RawTopic) -> bool {
    topic.compaction.as_ref().is_some_and(|compaction| compaction.value)
}

fn one_topic_per_schema(raw: &RawCatalogue, problems: &mut Vec<Problem>) {
    for (index, topic) in raw.topics.iter().enumerate() {
        let twin = raw.topics[..index]
            .iter()
            .find(|other| other.schema.value == topic.schema.value && other.name.value != topic.name.value);
        if let Some(twin) = twin.filter(|_| topic.schema.value != "raw") {
            let reason = format!("{} is already the schema of {}", topic.schema.value, twin.name.value);
            problems.push(problem(&topic.schema.referenced, CODE_SCHEMA, reason));
        }
    }
}

fn name(name: &Spanned<String>, problems: &mut Vec<Problem>) {
    let parts: Vec<&str> = name.value.split('.').collect();
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
            && !word.ends_with('-')
            && !word.contains("--")
    };
    let is_version = |word: &str| {
        word.strip_prefix('v')
            .is_some_and(|major| !major.starts_with('0') && major.parse::<u16>().is_ok_and(|major| major > 0))
    };
    let is_good = matches!(parts.as_slice(), [domain, entity, version]
        if is_word(domain) && is_word(entity) && is_version(version));
    if !is_good || name.value.len() > NAME_LENGTH_MAX {
        let reason = format!("{} is not <domain>.<entity>[-<fact>].v<major> in lower case", name.value);
        problems.push(problem(&name.referenced, CODE_NAME, reason));
    }
}

fn people(topic: &RawTopic, problems: &mut Vec<Problem>) {
    let mut need = |text: &Spanned<String>, what: &str| {
        if text.value.trim().is_empty() {
            problems.push(problem(&text.referenced, CODE_PEOPLE, format!("{what} is empty")));
        }
    };
    need(&topic.description, "description");
    need(&topic.owner, "owner");
    for room in &topic.producers {
        need(room, "producer");
    }
    if topic.producers.is_empty() {
        let reason = format!("{} has no producer", topic.name.value);
        problems.push(problem(&topic.name.referenced, CODE_PEOPLE, reason));
    }
    for (index, consumer) in topic.consumers.iter().enumerate() {
        let at = &consumer.referenced;
        let room = &consumer.value.room;
        if room.trim().is_empty() {
            problems.push(problem(at, CODE_PEOPLE, "consumer without a room"));
        } else if consumer.value.purpose.trim().is_empty() {
            let reason = format!("{room} does not say what it reads {} for", topic.name.value);
            problems.push(problem(at, CODE_PEOPLE, reason));
        }
        if topic.consumers[..index].iter().any(|other| other.value.room == *room) {
            problems.push(problem(at, CODE_PEOPLE, format!("{room} stands twice")));
        }
    }
}

fn storage(topic: &RawTopic, problems: &mut Vec<Problem>) -> Storage {
    if topic.partitions.value == 0 {
        problems.push(problem(&topic.partitions.referenced, CODE_STORAGE, "a topic needs at least 1 partition"));
    }
    match (&topic.retention, is_compacted(topic)) {
        (None, true) => Storage::Compacted,
        (Some(retention), true) => {
            let reason = "a compacted topic has no retention: the newest record of each key stays";
            problems.push(problem(&retention.referenced, CODE_STORAGE, reason));
            Storage::Compacted
        }
        (Some(retention), false) => retention_of(&retention.value).unwrap_or_else(|| {
            let reason = format!("{} is not a retention: write days (90d), hours (12h) or forever", retention.value);
            problems.push(problem(&retention.referenced, CODE_STORAGE, reason));
            Storage::Forever
        }),
        (None, false) => {
            let reason = format!("{} needs retention or compaction: true", topic.name.value);
            problems.push(problem(&topic.name.referenced, CODE_STORAGE, reason));
            Storage::Forever
        }
    }
}

fn retention_of(text: &str) -> Option<Storage> {
    const HOUR_MS: i64 = 3_600_000;
    if text == "forever" {
        return Some(Storage::Forever);
    }
    let (number, unit_ms) = match text.strip_suffix('d') {
        Some(number) => (number, 24 * HOUR_MS),
        None => (text.strip_suffix('h')?, HOUR_MS),
    };
    let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(unit_ms).map(Storage::RetentionMs)
}

fn raw_bytes(topic: &RawTopic, problems: &mut Vec<Problem>) {
    if let Some(path) = topic.key.first() {
        problems.push(problem(
            &path.referenced,
            CODE_KEY,
            "raw bytes have no key field: they keep the key they came with",
        ));
    }
    if let Some(level) = &topic.compatibility {
        problems.push(problem(&level.referenced, CODE_SCHEMA, "raw bytes have no schema, so no compatibility"));
    }
    if topic.phi.value != Phi::Direct {
        problems.push(problem(&topic.phi.referenced, CODE_PHI, "raw bytes may hold anything: phi must be direct"));
    }
}

fn contract(topic: &RawTopic, schemas: &[SchemaFacts], storage: Storage, problems: &mut Vec<Problem>) {
    let at = &topic.schema.referenced;
    let Some(schema) = schemas.iter().find(|schema| schema.file == topic.schema.value) else {
        let reason = format!("{} is no file under schemas/avro", topic.schema.value);
        problems.push(problem(at, CODE_SCHEMA, reason));
        return;
    };
    let domain = topic.name.value.split('.').next().unwrap_or_default();
    if !schema.file.starts_with(&format!("{domain}/")) {
        let reason = format!("{} belongs to another domain than {}", schema.file, topic.name.value);
        problems.push(problem(at, CODE_SCHEMA, reason));
    }
    match &topic.compatibility {
        None => problems.push(problem(at, CODE_SCHEMA, format!("{} needs a compatibility", topic.name.value))),
        Some(level) if domain == "master" && level.value != Compatibility::FullTransitive => {
            problems.push(problem(
                &level.referenced,
                CODE_SCHEMA,
                "master data is FULL_TRANSITIVE: tables outlive versions",
            ));
        }
        Some(_) => {}
    }
    if domain == "master" && storage != Storage::Compacted {
        problems.push(problem(&topic.name.referenced, CODE_STORAGE, "master data is compacted: it is a table"));
    }
    key(topic, schema, problems);
    if topic.phi.value < schema.phi {
        let reason = format!("{} has {} fields: phi must say so", schema.file, schema.phi.as_str());
        problems.push(problem(&topic.phi.referenced, CODE_PHI, reason));
    }
}

fn key(topic: &RawTopic, schema: &SchemaFacts, problems: &mut Vec<Problem>) {
    if topic.key.is_empty() {
        let reason = format!("{} needs a key", topic.name.value);
        problems.push(problem(&topic.name.referenced, CODE_KEY, reason));
    }
    for path in &topic.key {
        let reason = match schema.field(&path.value) {
            None => format!("{} has no field {}", schema.file, path.value),
            Some(field) if !field.is_required_text => {
                format!("{} is not a text that is always there, so it cannot be a key", path.value)
            }
            Some(field) if field.phi == Phi::Direct => {
                format!("{} identifies a patient directly and must not be a key", path.value)
            }
            Some(_) => continue,
        };
        problems.push(problem(&path.referenced, CODE_KEY, reason));
    }
}
