//! `wardline trace ID`: one event from the source message to the ERP document and the supplier's answer.
//!
//! Every record that Wardline writes carries the id of the first event of its chain, so two passes over the topics find
//! the whole chain: the first learns the chains that the id belongs to, the second collects their records.

use crate::args::{Globals, Trace};
use crate::output::{self, Output};
use crate::{Failure, context, decode, exceptions};
use runtime::Config;
use runtime::codec::Codec;
use runtime::reader::{self, Range, ReadError};
use runtime::record::Record;
use schemas::{headers, topics};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Most records of one chain.
const STEPS_MAX: usize = 10_000;
/// Fields of a decoded record that may hold the id asked for.
const ID_FIELDS: [&str; 9] = [
    "/messageId",
    "/receiptId",
    "/exceptionId",
    "/effectKey",
    "/documentKey",
    "/noticeId",
    "/meta/businessKey",
    "/meta/source/messageId",
    "/originEventId",
];

/// Executes `wardline trace`.
pub fn execute(globals: &Globals, options: &Trace) -> Result<(), Failure> {
    let config = context::running(globals)?;
    let steps = context::block_on(steps(&config, options))??;
    if steps.is_empty() {
        return Err(Failure::new(
            format!("WL-7064: nothing on the topics has the id {}", options.id),
            "give an event id, a message control id, an exception id or a Kafka key; retention may have removed it",
        ));
    }
    let mut output = Output::stdout();
    if options.json {
        for step in &steps {
            output.json(step)?;
        }
        return output.finish();
    }
    let text = |step: &Value, name: &str| step.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| vec![text(step, "time"), text(step, "place"), text(step, "type"), text(step, "summary")])
        .collect();
    output.table(&["TIME", "PLACE", "TYPE", "WHAT"], &rows)?;
    output.finish()
}

/// What the id asked for leads to; when it leads nowhere, what the exception does whose id starts so.
async fn steps(config: &Config, options: &Trace) -> Result<Vec<Value>, Failure> {
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let steps = follow(config, &codec, &options.id, options.with_phi).await?;
    if !steps.is_empty() {
        return Ok(steps);
    }
    match exceptions::starting(&exceptions::load(config, &codec).await?, &options.id)? {
        Some(exception) => follow(config, &codec, &exception.exception_id, options.with_phi).await,
        None => Ok(steps),
    }
}

async fn follow(config: &Config, codec: &Codec, id: &str, with_phi: bool) -> Result<Vec<Value>, Failure> {
    let chains = chains(config, codec, id).await?;
    if chains.is_empty() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for topic in topics::ALL.iter().filter(|topic| !topic.compacted || is_chained(topic.name)) {
        let wanted = chains.clone();
        let found = collect(config, topic.name, move |record| belongs(record, &wanted)).await?;
        for record in found {
            let mut value =
                decode::to_json(codec, &record).await.unwrap_or_else(|error| json!({"error": error.to_string()}));
            if !with_phi {
                decode::without_phi(&mut value);
            }
            steps.push((record.timestamp_ms.unwrap_or_default(), step(&record, value)));
        }
    }
    steps.sort_by_key(|(time, _)| *time);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// Ids of the chains that the id asked for belongs to.
async fn chains(config: &Config, codec: &Codec, id: &str) -> Result<BTreeSet<String>, Failure> {
    let progress = output::spinner("looking for the id in");
    let mut chains = BTreeSet::new();
    for topic in topics::ALL {
        progress.set_message(format!("looking for the id in {}", topic.name));
        let (wanted, decodable) = (id.to_owned(), is_chained(topic.name));
        let candidates = collect(config, topic.name, move |record| {
            let named = [headers::ID, headers::CORRELATION_ID, headers::CAUSATION_ID, headers::PARTITION_KEY];
            let in_header = named.iter().any(|name| record.header(name) == Some(wanted.as_str()));
            let in_trace = record.header(headers::TRACEPARENT).is_some_and(|trace| trace.contains(wanted.as_str()));
            let in_value = decodable && record.value.as_deref().is_some_and(|value| contains(value, wanted.as_bytes()));
            in_header || in_trace || in_value || record.key_text() == wanted
        })
        .await?;
        for record in candidates {
            let chain =
                record.header(headers::CORRELATION_ID).or_else(|| record.header(headers::ID)).map(str::to_owned);
            let value = decode::to_json(codec, &record).await.unwrap_or_default();
            let named = record.key_text() == id
                || chain.as_deref() == Some(id)
                || record.header(headers::ID) == Some(id)
                || record.header(headers::CAUSATION_ID) == Some(id)
                || record.header(headers::TRACEPARENT).is_some_and(|trace| trace.contains(id))
                || ID_FIELDS.iter().any(|path| value.pointer(path).and_then(Value::as_str) == Some(id))
                || listed(&value, "eventIds").any(|event| event == id);
            if named {
                chains.extend(chain);
                chains.extend(listed(&value, "eventIds").map(str::to_owned));
                chains.extend(value.get("originEventId").and_then(Value::as_str).map(str::to_owned));
                chains.insert(id.to_owned());
            }
        }
    }
    progress.finish_and_clear();
    Ok(chains)
}

/// Whether the record is part of one of the chains.
fn belongs(record: &Record, chains: &BTreeSet<String>) -> bool {
    let named = [headers::ID, headers::CORRELATION_ID, headers::CAUSATION_ID];
    named.iter().any(|name| record.header(name).is_some_and(|id| chains.contains(id)))
        || chains.contains(record.key_text().as_ref())
        || (&*record.place.topic == topics::OPS_RECEIPT_V1.name()
            && record.value.as_deref().is_some_and(|value| chains.iter().any(|id| contains(value, id.as_bytes()))))
}

/// Topics that are compacted and yet hold steps of chains.
fn is_chained(topic: &str) -> bool {
    topic.starts_with("ops.") || !topic.starts_with("master.")
}

async fn collect(
    config: &Config,
    topic: &'static str,
    wanted: impl Fn(&Record) -> bool + Send + 'static,
) -> Result<Vec<Record>, Failure> {
    let kafka = config.kafka.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        reader::read_range(&kafka, &Range::all(topic), |record| {
            if wanted(&record) {
                found.push(record);
            }
            if found.len() < STEPS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok::<_, ReadError>(found)
    });
    match read.await.map_err(Failure::kafka)? {
        Ok(found) => Ok(found),
        // A cluster with a part of the topics is still worth looking at.
        Err(ReadError::NoTopic(_)) => Ok(Vec::new()),
        Err(error) => Err(Failure::kafka(error)),
    }
}

fn step(record: &Record, value: Value) -> Value {
    json!({
        "time": record.timestamp_ms.map(output::time_text),
        "place": record.place.to_string(),
        "type": record.header(headers::TYPE),
        "eventId": record.header(headers::ID),
        "causationId": record.header(headers::CAUSATION_ID),
        "traceparent": record.header(headers::TRACEPARENT),
        "summary": summary(&value),
        "value": value,
    })
}

/// The few fields that tell a person what happened.
fn summary(value: &Value) -> String {
    let paths = [
        ("/outcome", ""),
        ("/ackCode", "ack "),
        ("/messageType", ""),
        ("/state", ""),
        ("/code", ""),
        ("/itemId", "item "),
        ("/lot", "lot "),
        ("/quantity", "quantity "),
        ("/documents/0/number", "document "),
        ("/documents/0/id", "id "),
        ("/responseStatus", "answer "),
        ("/message", ""),
        ("/detail", ""),
    ];
    let parts = paths.iter().filter_map(|(path, title)| {
        let text = match value.pointer(path)? {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(format!("{title}{text}"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn listed<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}
