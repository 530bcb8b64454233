//! Runs a processor without a broker: text in, text out.
//!
//! ```text
//! master.item STENT {lotTracked: true}                    ->   wait    clinical.supply-usage@0 e1 WL-4002 ...
//! clinical.supply-usage e1 {itemRef: {code: STENT}}            emit    supply.usage-validated e1 {...}
//! ```
//! A record is `topic key {fields}`: the topic without its version, and fields in YAML flow style, over as many lines as
//! they need. What is not given comes from the topic's first example; `~` takes a field away. Records pass through the real
//! codec, so a fixture that breaks a contract shows. Waiting works as in the runtime: the key is parked, later records of
//! the key wait behind it, and a master record that a reason named lets them go on in order.

use processor::{Binder, Input, Processor, Reason, Subject, TableFeed, Tables, Verdict, Wiring};
use schemas::codec::{FRAME_LENGTH, WriterSchema};
use schemas::{Event, TopicInfo, topics};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most records per table of a drive.
const ROWS_MAX: usize = 10_000;
/// Width of the first column.
const WIDTH: usize = 8;

/// Runs the records through the processor and tells what became of each, one line per outcome.
pub fn drive<P: Processor>(wiring: Wiring<P>, records: &str) -> String {
    let read = fixture(records).and_then(|records| run(wiring, &records));
    read.unwrap_or_else(|error| format!("the fixture is wrong: {error}\n"))
}

/// Runs every example of the topics that the processor looks up and reads, master data first.
pub fn drive_examples<P: Processor>(wiring: Wiring<P>) -> String {
    let info = wiring.info();
    let mut records = Vec::new();
    for topic in info.looks_up.iter().chain(&info.reads).filter_map(|name| topics::find(name)) {
        let examples = schemas::examples_of(topic.name);
        records.extend(examples.into_iter().map(|(name, fields)| Given { topic, key: name.to_owned(), fields }));
    }
    run(wiring, &records).unwrap_or_else(|error| format!("an example is wrong: {error}\n"))
}

/// One event of type `T` from fields in YAML flow style; what is not given comes from the first example.
///
/// # Errors
/// What is wrong with the fields.
pub fn event<T: Event>(fields: &str) -> Result<T, String> {
    let given: Value = serde_saphyr::from_str(fields).map_err(|error| error.to_string())?;
    let mut value = first_example(T::topic());
    merge(&mut value, given);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// A record of a fixture.
struct Given {
    topic: &'static TopicInfo,
    key: String,
    fields: Value,
}

/// A record in its encoding.
struct Encoded {
    key: String,
    body: Vec<u8>,
    fields: Value,
}

/// An input record, with its place.
#[derive(Clone)]
struct Arrived {
    topic: &'static TopicInfo,
    offset: usize,
    record: Arc<Encoded>,
}

/// A parked key.
struct Hold {
    subjects: Vec<Subject>,
    waiting: VecDeque<Arrived>,
}

struct Driver<P: Processor> {
    processor: P,
    tables: P::Tables,
    parked: BTreeMap<String, Hold>,
    told: String,
}

fn run<P: Processor>(wiring: Wiring<P>, records: &[Given]) -> Result<String, String> {
    let mut binder = Binder::new(ROWS_MAX);
    let tables = P::Tables::bind(&mut binder);
    let feeds = binder.feeds();
    let inputs = P::Input::topics();
    let mut driver =
        Driver { processor: wiring.into_processor(), tables, parked: BTreeMap::new(), told: String::new() };
    let mut offsets: BTreeMap<&str, usize> = BTreeMap::new();
    for given in records {
        let record = encode(given.topic, &given.fields)?;
        if let Some(feed) = feeds.iter().find(|feed| feed.topic().name == given.topic.name) {
            driver.learn(feed, &record)?;
        } else if inputs.iter().any(|topic| topic.name == given.topic.name) {
            let offset = offsets.entry(given.topic.name).or_default();
            let arrived = Arrived { topic: given.topic, offset: *offset, record: Arc::new(record) };
            *offset += 1;
            driver.arrive(arrived)?;
        } else {
            return Err(format!("the room neither reads nor looks up {} (record {})", given.topic.name, given.key));
        }
    }
    Ok(driver.told)
}

impl<P: Processor> Driver<P> {
    fn learn(&mut self, feed: &Arc<dyn TableFeed>, record: &Encoded) -> Result<(), String> {
        let writer = writer(feed.topic())?;
        let subjects =
            feed.apply(record.key.as_bytes(), Some((&writer, &record.body))).map_err(|error| error.to_string())?;
        let woken: Vec<String> = self
            .parked
            .iter()
            .filter(|(_, hold)| hold.subjects.iter().any(|subject| subjects.contains(subject)))
            .map(|(key, _)| key.clone())
            .collect();
        woken.into_iter().try_for_each(|key| self.redrive(&key))
    }

    fn arrive(&mut self, arrived: Arrived) -> Result<(), String> {
        let key = arrived.record.key.clone();
        if let Some(hold) = self.parked.get_mut(&key) {
            hold.waiting.push_back(arrived.clone());
            self.tell("behind", &arrived, "");
            return Ok(());
        }
        if let Some(subjects) = self.process(&arrived)? {
            self.parked.insert(key, Hold { subjects, waiting: VecDeque::from([arrived]) });
        }
        Ok(())
    }

    /// Tries the records of a parked key again, in order, until one must go on waiting.
    fn redrive(&mut self, key: &str) -> Result<(), String> {
        while let Some(next) = self.parked.get(key).and_then(|hold| hold.waiting.front().cloned()) {
            if let Some(subjects) = self.process(&next)? {
                if let Some(hold) = self.parked.get_mut(key) {
                    hold.subjects = subjects;
                }
                return Ok(());
            }
            if let Some(hold) = self.parked.get_mut(key) {
                hold.waiting.pop_front();
            }
        }
        self.parked.remove(key);
        Ok(())
    }

    /// What the record waits for; `None` when it is settled.
    fn process(&mut self, arrived: &Arrived) -> Result<Option<Vec<Subject>>, String> {
        let writer = writer(arrived.topic)?;
        let input =
            P::Input::decode(arrived.topic.name, &writer, &arrived.record.body).map_err(|error| error.to_string())?;
        match self.processor.process(input, &self.tables) {
            Verdict::Emit(outputs) => {
                for output in outputs {
                    let output = encode_event(&output)?;
                    let topic = short(P::Output::topic().name);
                    let added = flow(&difference(&output.fields, &arrived.record.fields));
                    self.told.push_str(&format!("{:WIDTH$}{topic} {} {added}\n", "emit", output.key));
                }
                Ok(None)
            }
            Verdict::Drop(reason) => {
                self.tell("drop", arrived, &shown(&reason));
                Ok(None)
            }
            Verdict::Wait(reason) => {
                self.tell("wait", arrived, &shown(&reason));
                Ok(Some(reason.subjects))
            }
            Verdict::Reject(reason) => {
                self.tell("reject", arrived, &shown(&reason));
                Ok(Some(reason.subjects))
            }
        }
    }

    fn tell(&mut self, what: &str, arrived: &Arrived, more: &str) {
        let line = format!("{what:WIDTH$}{}@{} {more}", short(arrived.topic.name), arrived.offset);
        self.told.push_str(line.trim_end());
        self.told.push('\n');
    }
}

fn shown(reason: &Reason) -> String {
    let mut shown = format!("{} {}: {}", reason.code, reason.rule, reason.message);
    if !reason.subjects.is_empty() {
        let subjects: Vec<String> =
            reason.subjects.iter().map(|subject| format!("{}/{}", short(&subject.kind), subject.key)).collect();
        shown.push_str("\n          until ");
        shown.push_str(&subjects.join(", "));
    }
    if let Some(fix) = &reason.suggested_fix {
        shown.push_str("\n          fix: ");
        shown.push_str(fix);
    }
    shown
}

/// Reads the records of a fixture.
fn fixture(text: &str) -> Result<Vec<Given>, String> {
    let mut records = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(char::is_whitespace).ok_or_else(|| format!("no key after {rest}"))?;
        let topic = topics::find(name)
            .or_else(|| topics::find(&format!("{name}.v1")))
            .ok_or_else(|| format!("there is no topic {name}"))?;
        let after = after.trim_start();
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (key, after) = after.split_at(end);
        let after = after.trim_start();
        let length = braces(after).ok_or_else(|| format!("no balanced braces after {name} {key}"))?;
        let (given, after) = after.split_at(length);
        let given: Value = serde_saphyr::from_str(given).map_err(|error| format!("{name} {key}: {error}"))?;
        let mut fields = first_example(topic);
        number_event(&mut fields, topic, records.len());
        if let [field] = topic.key {
            let own = Value::Object(Map::from_iter([((*field).to_owned(), Value::from(key))]));
            merge(&mut fields, own);
        }
        merge(&mut fields, given);
        records.push(Given { topic, key: key.to_owned(), fields });
        rest = after.trim_start();
    }
    Ok(records)
}

/// Length of the text in balanced braces at the start. Braces inside quotes are not used in fixtures.
fn braces(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(place + 1);
        }
    }
    None
}

fn first_example(topic: &TopicInfo) -> Value {
    schemas::examples_of(topic.name).into_iter().next().map_or_else(|| Value::Object(Map::new()), |(_, value)| value)
}

/// Records of one fixture are different events.
fn number_event(fields: &mut Value, topic: &TopicInfo, number: usize) {
    let id = schemas::identity::event_id("drive", topic.name, &number.to_string(), "fixture");
    if let Some(own) = fields.pointer_mut("/meta/eventId") {
        *own = Value::from(id);
    }
}

/// Lays `given` over `base`; null takes a field away.
fn merge(base: &mut Value, given: Value) {
    match (base, given) {
        (Value::Object(base), Value::Object(given)) => {
            for (name, value) in given {
                if value.is_null() {
                    base.remove(&name);
                } else {
                    merge(base.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (base, given) => *base = given,
    }
}

/// The fields of `output` that `input` does not have, or has otherwise; empty ones and the event id left out.
fn difference(output: &Value, input: &Value) -> Value {
    let (Value::Object(output), Value::Object(input)) = (output, input) else { return output.clone() };
    let mut added = Map::new();
    for (name, value) in output {
        let before = input.get(name).unwrap_or(&Value::Null);
        let plain = ["meta", "source"].contains(&name.as_str());
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !empty && !plain && value != before {
            added.insert(name.clone(), value.clone());
        }
    }
    Value::Object(added)
}

/// YAML flow style without quotes, for reading.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
            let fields: Vec<String> = shown.map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(entries) => format!("[{}]", entries.iter().map(entry).collect::<Vec<_>>().join(", ")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Checks and master references in one word each: most outputs end with a dozen of them.
fn entry(value: &Value) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("topic"), text("key"), text("rule"), text("result"), text("code")) {
        (Some(topic), Some(key), ..) => {
            format!("{}/{key}@{}", short(topic), value.get("revision").map_or_else(String::new, flow))
        }
        (_, _, Some(rule), Some("PASSED"), _) => rule.to_owned(),
        (_, _, Some(rule), Some(result), Some(code)) => format!("{rule} {result} {code}"),
        _ => flow(value),
    }
}

fn short(topic: &str) -> &str {
    topic.rsplit_once('.').map_or(topic, |(name, _)| name)
}

fn writer(topic: &TopicInfo) -> Result<Arc<WriterSchema>, String> {
    WriterSchema::parse(topic.schema).map(Arc::new).map_err(|error| error.to_string())
}

fn encode_event<T: Event>(event: &T) -> Result<Encoded, String> {
    let mut framed = Vec::new();
    schemas::codec::encode(event, 1, &mut framed).map_err(|error| format!("{}: {error}", T::topic().name))?;
    let fields = serde_json::to_value(event).map_err(|error| error.to_string())?;
    Ok(Encoded { key: event.key(), body: framed.split_off(FRAME_LENGTH), fields })
}

fn encode(topic: &TopicInfo, fields: &Value) -> Result<Encoded, String> {
    fn of<T: Event>(fields: &Value) -> Result<Encoded, String> {
        let event: T =
            serde_json::from_value(fields.clone()).map_err(|error| format!("{}: {error}", T::topic().name))?;
        encode_event(&event)
    }
    match topic.name {
        "clinical.encounter.v1" => of::<schemas::Encounter>(fields),
        "clinical.supply-usage.v1" => of::<schemas::SupplyUsage>(fields),
        "erp.posting.v1" => of::<schemas::ErpPosting>(fields),
        "master.cost-center.v1" => of::<schemas::MasterCostCenter>(fields),
        "master.crosswalk.v1" => of::<schemas::MasterCrosswalk>(fields),
        "master.employee.v1" => of::<schemas::MasterEmployee>(fields),
        "master.item.v1" => of::<schemas::MasterItem>(fields),
        "master.location.v1" => of::<schemas::MasterLocation>(fields),
        "master.supplier.v1" => of::<schemas::MasterSupplier>(fields),
        "partner.supplier-notice.v1" => of::<schemas::SupplierNotice>(fields),
        "supply.goods-receipt.v1" => of::<schemas::GoodsReceipt>(fields),
        "supply.purchase-order.v1" => of::<schemas::PurchaseOrder>(fields),
        "supply.usage-enriched.v1" => of::<schemas::EnrichedUsage>(fields),
        "supply.usage-validated.v1" => of::<schemas::ValidatedUsage>(fields),
        other => Err(format!("a drive has no records of {other}")),
    }
}
