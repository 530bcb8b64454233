//! Events that lie several times on a topic that a source writes: allowed where they are the same, and each reader has said of
//! every one but the first that it is one.

use super::evidence::{Evidence, Lying, SourceTopic, place};
use super::gather::Topics;
use super::read::{Decoder, Record};
use anyhow::Result;
use processor::laws::{Law, Violation};
use schemas::{Encounter, EventMeta, GoodsReceipt, PurchaseOrder, SupplyUsage, TopicInfo, headers, topics};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Who reads topics and is no room: they show what they find.
const SHOWS: [&str; 2] = ["cli", "console"];

/// EOS-1: what is wrong with the copies.
pub(super) fn check(evidence: &Evidence) -> Vec<Violation> {
    let rows: BTreeSet<&str> = evidence.lake.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for topic in &evidence.sources {
        for (id, lying) in &topic.events {
            let [first, copies @ ..] = lying.as_slice() else { continue };
            for copy in copies {
                found
                    .extend(differences(first, copy).map(|what| format!("{}: {id} is there with {what}", topic.topic)));
                let silent = topic.readers.iter().filter(|room| !is_noted(evidence, room, &copy.place));
                found.extend(silent.map(|room| format!("{room} does not say that {} is a copy", copy.place)));
                if rows.contains(copy.place.as_str()) {
                    found.push(format!("the lake has a row of {}, which is a copy", copy.place));
                }
            }
        }
    }
    found.into_iter().map(|detail| Violation { law: Law::Eos1, detail }).collect()
}

/// LOSS-1: what was left out as a copy although nothing of its id lies before it.
pub(super) fn of_nothing(evidence: &Evidence) -> Vec<Violation> {
    let copies: BTreeSet<&str> = evidence
        .sources
        .iter()
        .flat_map(|topic| topic.events.values())
        .flat_map(|lying| lying.iter().skip(1))
        .map(|copy| copy.place.as_str())
        .collect();
    let wrong = evidence.copies.iter().filter(|(_, place)| !copies.contains(place.as_str()));
    let told = |(room, place): &(String, String)| format!("{room} left {place} out as a copy, and it is none");
    wrong.map(told).map(|detail| Violation { law: Law::Loss1, detail }).collect()
}

/// Copies, and events, for the report.
pub(super) fn counts(evidence: &Evidence) -> (usize, usize) {
    let events = evidence.sources.iter().flat_map(|topic| topic.events.values());
    let lying: Vec<usize> = events.map(Vec::len).collect();
    (lying.iter().map(|count| count.saturating_sub(1)).sum(), lying.len())
}

fn is_noted(evidence: &Evidence, room: &str, place: &str) -> bool {
    let noted = (room.to_owned(), place.to_owned());
    evidence.copies.contains(&noted) || evidence.suppressed.contains(&noted)
}

fn differences(first: &Lying, copy: &Lying) -> impl Iterator<Item = &'static str> {
    let compared = [
        (first.partition == copy.partition, "another partition"),
        (first.key == copy.key, "another key"),
        (first.body == copy.body, "another content"),
    ];
    compared.into_iter().filter(|(same, _)| !same).map(|(_, what)| what)
}

/// What lies on the topics that sources write.
///
/// # Errors
/// When the registry does not answer.
pub(super) fn sources(all: &Topics, decoder: &mut Decoder) -> Result<Vec<SourceTopic>> {
    let mut sources = Vec::new();
    for info in topics::ALL.iter().filter(|info| is_source(info)) {
        let mut by_id: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in all.of(info.name) {
            by_id.entry(record.header(headers::ID).unwrap_or_default()).or_default().push(record);
        }
        // Records without an id are no events.
        by_id.remove("");
        let mut events = BTreeMap::new();
        for (id, records) in by_id {
            let several = records.len() > 1;
            let lying =
                records.into_iter().map(|record| lying(info, record, several, decoder)).collect::<Result<_>>()?;
            events.insert(id.to_owned(), lying);
        }
        let rooms = info.consumers.iter().map(|(room, _)| *room).filter(|room| !SHOWS.contains(room));
        sources.push(SourceTopic { topic: info.name, readers: rooms.collect(), events });
    }
    Ok(sources)
}

/// Whether a topic of business events is written by a source.
pub(super) fn is_source(info: &TopicInfo) -> bool {
    info.may_repeat() && !info.name.starts_with("ops.")
}

fn lying(info: &TopicInfo, record: &Record, several: bool, decoder: &mut Decoder) -> Result<Lying> {
    let value = record.value.as_deref().unwrap_or_default();
    // Most are there once, and have nothing to be compared with.
    let body = if several { body(info.name, value, decoder)? } else { String::new() };
    let place = place(info.name, record.partition, record.offset);
    Ok(Lying { place, partition: record.partition, key: record.key.clone(), body })
}

/// The content without the time at which Wardline published it, which is that of each copy; the bytes of what is no event.
fn body(topic: &str, value: &[u8], decoder: &mut Decoder) -> Result<String> {
    let text = match topic {
        "clinical.supply-usage.v1" => decoder.event::<SupplyUsage>(value)?.map(|one| text(one, |one| &mut one.meta)),
        "clinical.encounter.v1" => decoder.event::<Encounter>(value)?.map(|one| text(one, |one| &mut one.meta)),
        "supply.purchase-order.v1" => decoder.event::<PurchaseOrder>(value)?.map(|one| text(one, |one| &mut one.meta)),
        "supply.goods-receipt.v1" => decoder.event::<GoodsReceipt>(value)?.map(|one| text(one, |one| &mut one.meta)),
        _ => None,
    };
    Ok(text.unwrap_or_else(|| format!("{value:?}")))
}

fn text<T: Serialize>(mut event: T, meta: impl FnOnce(&mut T) -> &mut EventMeta) -> String {
    meta(&mut event).published_at = schemas::Timestamp::default();
    serde_json::to_string(&event).unwrap_or_default()
}
