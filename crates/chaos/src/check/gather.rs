//! Gathers the evidence: everything on the topics, the ERP's books, the suppliers' receiver, logs and metrics.

use super::copies;
use super::evidence::{Asked, Bytes, Effect, Evidence, KeptRecord, RoomAccount, Seen, SentUse, Stage, place};
use super::lake;
use super::read::{self, Decoder, Record};
use crate::load::{GARBAGE_KEY, Load, MARK, millionths};
use crate::sender::Sent;
use crate::supplier::Taken;
use anyhow::{Context, Result};
use processor::laws::Outcome;
use schemas::{
    Audit, AuditKind, Decimal, EnrichedUsage, ErpPosting, EventMeta, Exception, ExceptionKind, ExceptionState,
    NoticeState, Parked, Phi, PostingKind, Receipt, SupplierNotice, SupplyUsage, ValidatedUsage, headers, topics,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What each room reads and writes.
const ROOMS: [(&str, &[&str], Stage); 4] = [
    ("validate", &["clinical.supply-usage.v1"], Stage::Validated),
    ("enrich", &["supply.usage-validated.v1"], Stage::Enriched),
    ("erp-post", &["supply.usage-enriched.v1"], Stage::Posting),
    (
        "supplier-fanout",
        &["supply.usage-enriched.v1", "supply.purchase-order.v1", "supply.goods-receipt.v1"],
        Stage::Notice,
    ),
];
/// Movements in one page of the ERP's books.
const PAGE: usize = 500;

/// Where things are.
pub struct Places<'a> {
    /// Brokers.
    pub bootstrap: &'a str,
    /// Registry.
    pub registry: &'a str,
    /// ERP, past the proxy.
    pub erp: &'a str,
    /// Its key.
    pub erp_key: &'a str,
    /// The folder of the lake.
    pub lake: &'a Path,
}

/// All committed records, by topic.
pub struct Topics(BTreeMap<&'static str, Vec<Record>>);

impl Topics {
    /// Reads everything.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn read(bootstrap: &str) -> Result<Self> {
        let mut all = BTreeMap::new();
        for topic in topics::ALL {
            all.insert(topic.name, read::topic(bootstrap, topic.name)?);
        }
        Ok(Self(all))
    }

    /// What lies on one topic.
    pub(super) fn of(&self, topic: &str) -> &[Record] {
        self.0.get(topic).map_or(&[], Vec::as_slice)
    }

    fn at(&self, topic: &str, partition: i32, offset: i64) -> Option<&Record> {
        let all = self.of(topic);
        let found = all.binary_search_by_key(&(partition, offset), |record| (record.partition, record.offset)).ok()?;
        all.get(found)
    }

    /// Records by topic, for the report.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.iter().map(|(topic, records)| (*topic, records.len())).collect()
    }
}

/// Puts together what the topics, the books and the suppliers tell.
///
/// # Errors
/// When something cannot be read.
pub fn gather(places: &Places<'_>, load: &Load, sent: &[Sent], taken: &[Taken]) -> Result<(Evidence, Topics)> {
    let all = Topics::read(places.bootstrap)?;
    let mut decoder = Decoder::new(places.registry)?;
    let mut evidence = Evidence { sent: sent_uses(load, sent), planted: load.planted.clone(), ..Evidence::default() };
    for stage in Stage::ALL {
        evidence.topics.insert(stage, seen(&all, stage, &mut decoder)?);
    }
    evidence.ids = ids(&all);
    let exceptions = newest_exceptions(&all, &mut decoder)?;
    evidence.sources = copies::sources(&all, &mut decoder)?;
    rooms(&all, &mut decoder, &exceptions, &mut evidence)?;
    evidence.kept = kept(&all, &exceptions);
    (evidence.garbage_sent, evidence.garbage) = (load.garbage.len(), garbage(&all));
    evidence.told = told(&all, &mut decoder)?;
    evidence.receipts = receipts(&all, &mut decoder)?;
    evidence.asked = asked(&all, &exceptions, &evidence);
    let books = books(places)?;
    evidence.ledger = books.iter().filter_map(|line| effect(line, "document")).collect();
    evidence.notices = taken.iter().filter_map(notice).collect();
    let rows = lake::rows(places.lake)?;
    evidence.lake = rows.iter().map(|row| place(&row.topic, row.partition, row.offset)).collect();
    for row in &rows {
        suspect(&mut evidence, "a row of the lake", &row.text);
    }
    look_for_marks(&mut evidence, &all);
    for line in &books {
        suspect(&mut evidence, "the ERP's books", &line.to_string());
    }
    for one in taken {
        suspect(&mut evidence, "a notice to a supplier", &format!("{} {}", one.key, one.body));
    }
    Ok((evidence, all))
}

/// Remembers a text that holds the mark of planted values, and counts every text.
pub fn suspect(evidence: &mut Evidence, place: &str, text: &str) {
    evidence.texts.0 += 1;
    evidence.texts.1 += text.len() as u64;
    if text.contains(MARK) {
        evidence.suspects.push((place.to_owned(), text.to_owned()));
    }
}

fn sent_uses(load: &Load, sent: &[Sent]) -> Vec<SentUse> {
    let begun: BTreeMap<&str, Option<i64>> =
        sent.iter().map(|one| (one.control_id.as_str(), one.accepted_ms)).collect();
    let mut uses = Vec::new();
    for encounter in &load.encounters {
        // What the senders did not come to was not sent.
        for message in &encounter.messages {
            let Some(accepted_ms) = begun.get(message.control_id.as_str()).copied() else { continue };
            uses.extend(message.uses.iter().map(|one| SentUse {
                signature: one.signature(),
                kind: one.kind,
                control_id: message.control_id.clone(),
                fails: encounter.fails,
                accepted_ms,
            }));
        }
    }
    uses
}

/// What every stage says of a use.
struct Said {
    meta: EventMeta,
    quantity: Option<Decimal>,
    acted: bool,
}

fn seen(all: &Topics, stage: Stage, decoder: &mut Decoder) -> Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = Vec::new();
    for record in all.of(stage.topic()) {
        let Some(value) = record.value.as_deref() else { continue };
        let Some(said) = said(stage, value, decoder)? else { continue };
        let signature = said.quantity.and_then(|quantity| millionths(&quantity.abs().normalize().to_string()));
        seen.push(Seen {
            partition: record.partition,
            offset: record.offset,
            at_ms: record.at_ms,
            event_id: said.meta.event_id,
            cause: said.meta.source.message_id,
            signature: signature.filter(|one| crate::load::of_signature(*one).is_some()),
            acted: said.acted,
        });
    }
    Ok(seen)
}

fn said(stage: Stage, value: &[u8], decoder: &mut Decoder) -> Result<Option<Said>> {
    Ok(match stage {
        Stage::Usage => decoder.event::<SupplyUsage>(value)?.map(|one| Said {
            meta: one.meta,
            quantity: Some(one.quantity),
            acted: false,
        }),
        Stage::Validated => decoder.event::<ValidatedUsage>(value)?.map(|one| Said {
            meta: one.meta,
            quantity: Some(one.quantity),
            acted: false,
        }),
        Stage::Enriched => decoder.event::<EnrichedUsage>(value)?.map(|one| Said {
            meta: one.meta,
            quantity: Some(one.quantity),
            acted: false,
        }),
        Stage::Posting => decoder.event::<ErpPosting>(value)?.map(|one| Said {
            meta: one.meta,
            quantity: Some(one.quantity),
            acted: one.kind != PostingKind::NoneNeeded,
        }),
        Stage::Notice => decoder.event::<SupplierNotice>(value)?.map(|one| Said {
            meta: one.meta,
            quantity: one.quantity,
            acted: one.state == NoticeState::Delivered,
        }),
    })
}

/// Event ids of all topics that rooms write and whose records have one.
fn ids(all: &Topics) -> BTreeMap<String, Vec<String>> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (topic, records) in &all.0 {
        // Master data is said again with each change, and what is about operations has no ids of its own.
        if topic.starts_with("master.")
            || topic.starts_with("ops.")
            || topics::find(topic).is_some_and(copies::is_source)
        {
            continue;
        }
        let found = records.iter().filter_map(|record| record.header(headers::ID)).map(str::to_owned);
        ids.entry((*topic).to_owned()).or_default().extend(found);
    }
    ids
}

/// One name for each dead letter, and for each time that an exception was raised anew: what is there twice was written twice.
fn told(all: &Topics, decoder: &mut Decoder) -> Result<Vec<String>> {
    let letters = all.of(topics::OPS_DEAD_LETTER_V1.name()).iter().filter_map(|record| {
        let (room, part) = (record.header("wl_room").unwrap_or_default(), record.header("wl_part").unwrap_or_default());
        Some(format!("the dead letter {part} of {room} about {}", letter_place(record)?))
    });
    let mut told: Vec<String> = letters.collect();
    // Between two that are not the same somebody has decided, or it has resolved itself.
    let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
    for record in all.of(topics::OPS_EXCEPTION_V1.name()) {
        let Some(value) = record.value.as_deref() else { continue };
        let Some(exception) = decoder.event::<Exception>(value)? else { continue };
        let round = rounds.entry(exception.exception_id.clone()).or_default();
        if exception.kind == ExceptionKind::Raised {
            told.push(format!("exception {} of {}, round {round}", exception.exception_id, exception.room));
        } else {
            *round += 1;
        }
    }
    Ok(told)
}

fn newest_exceptions(all: &Topics, decoder: &mut Decoder) -> Result<Vec<Exception>> {
    let mut newest: BTreeMap<String, Exception> = BTreeMap::new();
    for record in all.of(topics::OPS_EXCEPTION_V1.name()) {
        let Some(value) = record.value.as_deref() else { continue };
        if let Some(exception) = decoder.event::<Exception>(value)? {
            newest.insert(exception.exception_id.clone(), exception);
        }
    }
    Ok(newest.into_values().collect())
}

fn origin(topic: &Option<String>, partition: Option<i32>, offset: Option<i64>) -> Option<String> {
    Some(place(topic.as_deref()?, partition?, offset?))
}

/// What each room has made of each record that it reads, and what rooms have left out because it was there before.
fn rooms(all: &Topics, decoder: &mut Decoder, exceptions: &[Exception], evidence: &mut Evidence) -> Result<()> {
    let mut accounts: HashMap<&str, RoomAccount> = HashMap::new();
    for (room, reads, writes) in ROOMS {
        let mut account = RoomAccount { room, ..RoomAccount::default() };
        for topic in reads {
            for record in all.of(topic) {
                let id = record.header(headers::ID).map(str::to_owned);
                account.inputs.insert(place(topic, record.partition, record.offset), id);
            }
        }
        let causes = all.of(writes.topic()).iter().filter_map(|record| record.header(headers::CAUSATION_ID));
        account.causes = causes.map(str::to_owned).collect();
        accounts.insert(room, account);
    }
    let mut note = |room: &str, place: Option<String>, outcome| {
        if let (Some(account), Some(place)) = (accounts.get_mut(room), place) {
            account.others.entry(place).or_default().insert(outcome);
        }
    };
    for one in exceptions {
        let place = origin(&one.origin_topic, one.origin_partition, one.origin_offset);
        match one.state {
            ExceptionState::Resolved => {}
            ExceptionState::Discarded => note(&one.room, place, Outcome::Dropped),
            _ => note(&one.room, place, Outcome::Exception),
        }
    }
    for one in behind_a_person(&newest_parked(all, decoder)?, exceptions) {
        note(&one.room, Some(place(&one.topic, one.partition, one.offset)), Outcome::Exception);
    }
    for record in all.of(topics::OPS_AUDIT_V1.name()) {
        let Some(audit) = record.value.as_deref().map(|value| decoder.event::<Audit>(value)).transpose()?.flatten()
        else {
            continue;
        };
        let place = origin(&audit.origin_topic, audit.origin_partition, audit.origin_offset);
        let (outcome, known) = match audit.kind {
            AuditKind::Dropped => (Outcome::Dropped, None),
            AuditKind::Duplicate => (Outcome::Duplicate, Some(&mut evidence.copies)),
            AuditKind::Suppressed => (Outcome::Duplicate, Some(&mut evidence.suppressed)),
            _ => continue,
        };
        if let (Some(known), Some(place)) = (known, place.clone()) {
            known.insert((audit.room.clone(), place));
        }
        note(&audit.room, place, outcome);
    }
    for record in all.of(topics::OPS_DEAD_LETTER_V1.name()) {
        note(record.header("wl_room").unwrap_or_default(), letter_place(record), Outcome::DeadLetter);
    }
    evidence.rooms = ROOMS.iter().filter_map(|(room, ..)| accounts.remove(room)).collect();
    Ok(())
}

fn letter_place(record: &Record) -> Option<String> {
    let partition = record.header("wl_partition")?.parse().ok()?;
    Some(place(record.header("wl_topic")?, partition, record.header("wl_offset")?.parse().ok()?))
}

fn newest_parked(all: &Topics, decoder: &mut Decoder) -> Result<Vec<Parked>> {
    let mut newest: BTreeMap<(i32, &[u8]), Option<Parked>> = BTreeMap::new();
    for record in all.of(topics::OPS_PARKED_V1.name()) {
        let parked = record.value.as_deref().map(|value| decoder.event::<Parked>(value)).transpose()?.flatten();
        newest.insert((record.partition, record.key.as_deref().unwrap_or_default()), parked);
    }
    Ok(newest.into_values().flatten().collect())
}

/// What is parked in a lane in which a person is asked. Whatever else is parked is still under way and has no outcome.
fn behind_a_person(parked: &[Parked], exceptions: &[Exception]) -> Vec<Parked> {
    let open = exceptions.iter().filter(|one| matches!(one.state, ExceptionState::Open | ExceptionState::Retrying));
    let asked: BTreeSet<(String, String)> = open
        .filter_map(|one| Some((one.room.clone(), origin(&one.origin_topic, one.origin_partition, one.origin_offset)?)))
        .collect();
    let lane = |one: &Parked| (one.room.clone(), one.topic.clone(), one.key.clone());
    let is_asked = |one: &&Parked| asked.contains(&(one.room.clone(), place(&one.topic, one.partition, one.offset)));
    let lanes: BTreeSet<_> = parked.iter().filter(is_asked).map(lane).collect();
    parked.iter().filter(|one| lanes.contains(&lane(one))).cloned().collect()
}

fn kept(all: &Topics, exceptions: &[Exception]) -> Vec<KeptRecord> {
    let bytes = |record: &Record| Bytes {
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    let mut kept = Vec::new();
    for one in exceptions {
        let (Some(topic), Some(partition), Some(offset)) = (&one.origin_topic, one.origin_partition, one.origin_offset)
        else {
            continue;
        };
        let headers = one
            .raw_headers
            .iter()
            .map(|header| (header.key.clone(), header.value.as_ref().map(|value| value.0.to_vec())));
        kept.push(KeptRecord {
            place: place(topic, partition, offset),
            original: all.at(topic, partition, offset).map(bytes),
            kept: Bytes {
                key: one.raw_key.as_ref().map(|key| key.0.to_vec()),
                value: one.raw_value.as_ref().map(|value| value.0.to_vec()),
                headers: headers.collect(),
            },
            told: vec![
                ("room", Some(one.room.clone())),
                ("stage", Some(one.stage.clone())),
                ("code", Some(one.code.clone())),
                ("version", Some(one.version.clone())),
            ],
        });
    }
    for record in all.of(topics::OPS_DEAD_LETTER_V1.name()) {
        let header = |name: &str| record.header(name).map(str::to_owned);
        let Some(place) = letter_place(record) else { continue };
        let number = |name: &str| record.header(name).and_then(|text| text.parse().ok());
        let original = header("wl_topic").zip(number("wl_partition")).zip(number("wl_offset"));
        let original =
            original.and_then(|((topic, partition), offset)| all.at(&topic, i32::try_from(partition).ok()?, offset));
        kept.push(KeptRecord {
            place,
            original: original.map(bytes),
            kept: bytes(record),
            told: vec![
                ("room", header("wl_room")),
                ("stage", header("wl_stage")),
                ("code", header("wl_code")),
                ("version", header("wl_version")),
            ],
        });
    }
    kept
}

/// Records that are no events, where they came: key and place.
fn garbage(all: &Topics) -> Vec<(String, String)> {
    let topic = Stage::Usage.topic();
    let records = all.of(topic).iter().filter(|record| record.key_text().starts_with(GARBAGE_KEY));
    records.map(|record| (record.key_text(), place(topic, record.partition, record.offset))).collect()
}

fn receipts(all: &Topics, decoder: &mut Decoder) -> Result<Vec<(String, Vec<String>)>> {
    let mut receipts = Vec::new();
    for record in all.of(topics::OPS_RECEIPT_V1.name()) {
        let Some(value) = record.value.as_deref() else { continue };
        receipts.extend(decoder.event::<Receipt>(value)?.map(|one| (one.message_id, one.event_ids)));
    }
    Ok(receipts)
}

/// Exceptions that wait for a person, with the use that each is about.
fn asked(all: &Topics, exceptions: &[Exception], evidence: &Evidence) -> Vec<Asked> {
    let open = exceptions.iter().filter(|one| matches!(one.state, ExceptionState::Open | ExceptionState::Retrying));
    let about = |one: &Exception| -> Option<u32> {
        let (topic, partition, offset) = (one.origin_topic.as_deref()?, one.origin_partition?, one.origin_offset?);
        let id = all.at(topic, partition, offset)?.header(headers::ID)?;
        let stage = Stage::ALL.into_iter().find(|stage| stage.topic() == topic)?;
        evidence.stage(stage).iter().find(|seen| seen.event_id == id)?.signature
    };
    let mut asked: Vec<Asked> = open
        .map(|one| Asked {
            room: one.room.clone(),
            code: one.code.clone(),
            signature: about(one),
            message: one.message.clone(),
        })
        .collect();
    asked.sort_by(|one, other| (&one.room, &one.code, one.signature).cmp(&(&other.room, &other.code, other.signature)));
    asked
}

/// All movements of postings in the ERP's books, in their order.
fn books(places: &Places<'_>) -> Result<Vec<Value>> {
    let http = reqwest::blocking::Client::builder().no_proxy().build()?;
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().and_then(|line| line.get("id")).and_then(Value::as_i64).unwrap_or(0);
        let url = format!("{}/api/v1/moves?after={after}&limit={PAGE}", places.erp);
        let answer = http.get(url).bearer_auth(places.erp_key).send()?.error_for_status()?;
        let mut page: Value = serde_json::from_str(&answer.text()?)?;
        let moves = page.get_mut("moves").and_then(Value::as_array_mut).context("a page of movements")?;
        if moves.is_empty() {
            return Ok(all);
        }
        all.append(moves);
    }
}

fn effect(line: &Value, document: &str) -> Option<Effect> {
    let signature = millionths(line.get("quantity")?.as_str()?)?;
    crate::load::of_signature(signature)?;
    Some(Effect { signature, document: line.get(document)?.as_str()?.to_owned() })
}

fn notice(taken: &Taken) -> Option<Effect> {
    let signature = millionths(taken.body.get("quantity")?.as_str()?)?;
    crate::load::of_signature(signature)?;
    Some(Effect { signature, document: taken.key.clone() })
}

/// Keys and headers of all records, and the values of topics that hold nothing that identifies a patient directly.
fn look_for_marks(evidence: &mut Evidence, all: &Topics) {
    for topic in topics::ALL {
        for record in all.of(topic.name) {
            suspect(evidence, &format!("a key of {}", topic.name), &record.key_text());
            for (name, value) in &record.headers {
                let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
                suspect(evidence, &format!("header {name} of {}", topic.name), &text);
            }
            if topic.phi != Phi::Direct {
                let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
                suspect(evidence, &format!("a value of {}", topic.name), &text);
            }
        }
    }
}
