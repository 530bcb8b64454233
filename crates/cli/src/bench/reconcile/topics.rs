//! The made-up day on topics, and `wardline reconcile` over it: read, decoded and compared as in production.

use super::erp::{MadeUp, acts, amount, document_key, item};
use super::{BenchReconcile, check, plants, whole};
use crate::args::Globals;
use crate::bench::usage::{Conditions, Usage, rounded};
use crate::bench::{blocking, length, output, setup};
use crate::{Failure, context, rooms};
use operations::reconcile::sample::{DROPPED, Day, NOTIFIED, Plant, WAITING};
use operations::reconcile::{Options, Room, Unwatched, Window, reconcile};
use runtime::clock::{now_micros, tick};
use runtime::codec::Codec;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::producer::{Delivery, Producer};
use runtime::{Config, admin};
use schemas::{
    Audit, AuditKind, Decimal, Document, Effect, EffectState, EnrichedUsage, ErpPosting, Event, EventMeta, NoticeState,
    Parked, PostingKind, Receipt, ReceiptOutcome, SupplierNotice, SupplyUsage, Timestamp, TopicInfo, ValidatedUsage,
    topics,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Partitions of the topics that rooms read.
const PARTITIONS: usize = 6;
/// Keys: stays of patients.
const KEYS: u64 = 100_000;
/// Usages that are confirmed together.
const PART: u64 = 20_000;
/// Longest wait for the confirmation of one part.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);

/// Loads what is not there, compares, and fails when something else is found than what was planted.
pub fn execute(globals: &Globals, options: &BenchReconcile, day: Day) -> Result<(), Failure> {
    let config = Arc::new(setup(globals)?);
    context::block_on(measure(&config, options, day))?
}

async fn measure(config: &Arc<Config>, options: &BenchReconcile, day: Day) -> Result<(), Failure> {
    let all: Vec<&'static TopicInfo> = topics::ALL.to_vec();
    admin::ensure_topics(&config.kafka, &all).await.map_err(Failure::kafka)?;
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    codec.prepare(&all).await.map_err(Failure::registry)?;
    let is_empty = length(&config.kafka, SupplyUsage::topic().name).await? == 0;
    let day = Arc::new(day);
    let started = tick();
    if is_empty {
        let (config, codec, day) = (Arc::clone(config), Arc::clone(&codec), Arc::clone(&day));
        blocking(move || Load::new(&config, &codec, &day)?.run()).await??;
    }
    let loading = tick().since(started).as_secs_f64();
    if options.load_only {
        return output(&json!({"bench": "reconcile", "loaded": options.events, "seconds": rounded(loading, 1)}));
    }
    compare(config, codec, options, &day).await
}

async fn compare(config: &Config, codec: Arc<Codec>, options: &BenchReconcile, day: &Day) -> Result<(), Failure> {
    let made_at = jiff::Timestamp::from_microsecond(now_micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let erp = MadeUp { day: Day { events: day.events, plants: day.plants.clone() }, made_at };
    let room = options.scratch.clone().map_or_else(Room::default, |folder| Room { folder, ..Room::default() });
    let asked = Options {
        window: Window { from_ms: 0, until_ms: now_micros() / 1_000 + 1 },
        rooms: rooms::all().iter().map(|room| room.info().clone()).collect(),
        erp: Some(Arc::new(erp)),
        actor: "bench".to_owned(),
        room,
        settled: true,
    };
    let (before, started) = (Usage::now(), tick());
    let report = reconcile(config, codec, &asked, Arc::new(Unwatched)).await;
    let report = report.map_err(|error| Failure::new(error, "look whether broker and registry are there"))?;
    let seconds = tick().since(started).as_secs_f64();
    let after = Usage::now();
    let records: u64 = report.positions.iter().map(|position| position.records).sum();
    let said: Value = json!({
        "bench": "reconcile",
        "from": "topics",
        "events": options.events,
        "records": records,
        "documents": report.documents,
        "facts": report.cost.facts,
        "planted": plants(options).len(),
        "found": report.total(),
        "seconds": rounded(seconds, 1),
        "records_per_second": rounded(whole(records) / seconds, 0),
        "cpu_seconds": rounded(after.cpu_seconds - before.cpu_seconds, 1),
        "peak_rss_mb": rounded(after.peak_rss_mb, 1),
        "held_bytes": report.cost.held_bytes,
        "spilled_bytes": report.cost.spilled_bytes,
        "conditions": Conditions::now(&config.kafka.bootstrap, SupplyUsage::topic().partitions, "read committed"),
    });
    output(&said)?;
    check(&report.differences, options)
}

/// Puts the day on topics.
struct Load<'a> {
    codec: &'a Codec,
    producer: Producer,
    day: &'a Day,
    /// Next offset in each partition, of the topics of usages, validated and enriched usages.
    next: [[i64; PARTITIONS]; 3],
    delivery: Arc<Delivery>,
}

/// The topics whose records others are about.
#[derive(Clone, Copy)]
enum Stage {
    Usage,
    Validated,
    Enriched,
}

impl<'a> Load<'a> {
    fn new(config: &Config, codec: &'a Codec, day: &'a Day) -> Result<Self, Failure> {
        let producer = Producer::new(&config.kafka, None).map_err(Failure::kafka)?;
        Ok(Self { codec, producer, day, next: [[0; PARTITIONS]; 3], delivery: Delivery::new() })
    }

    fn run(mut self) -> Result<(), Failure> {
        let progress = crate::output::spinner("usages loaded");
        let mut loaded = 0;
        while loaded < self.day.events {
            let until = self.day.events.min(loaded + PART);
            for number in loaded..until {
                self.one(number)?;
            }
            self.delivery.wait(CONFIRM_TIMEOUT, || self.producer.last_error()).map_err(Failure::kafka)?;
            self.delivery = Delivery::new();
            loaded = until;
            progress.set_position(loaded);
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// The whole way of one usage.
    fn one(&mut self, number: u64) -> Result<(), Failure> {
        let plant = self.day.plants.get(&number).copied();
        let is = |wanted: Plant| plant == Some(wanted);
        if !is(Plant::EventUnpromised) {
            let receipt = Receipt {
                receipt_id: format!("receipt-{number}"),
                outcome: ReceiptOutcome::Events,
                event_ids: vec![id(0, number)],
                ..Receipt::default()
            };
            self.plain(&receipt, &Lineage::default())?;
        }
        if is(Plant::EventMissing) {
            return Ok(());
        }
        let usage = SupplyUsage { meta: meta(0, number), encounter_ref: visit(number), ..SupplyUsage::default() };
        let read = self.placed(Stage::Usage, number, &usage, &Lineage::default())?;
        if is(Plant::EventDoubled) {
            self.placed(Stage::Usage, number, &usage, &Lineage::default())?;
        }
        if number.is_multiple_of(DROPPED) {
            return self.dropped("validate", number, (Stage::Usage, 0, read));
        }
        let validated =
            ValidatedUsage { meta: meta(1, number), encounter_ref: visit(number), ..ValidatedUsage::default() };
        let stands = self.placed(Stage::Validated, number, &validated, &because(0, number))?;
        if is(Plant::OutcomesContradict) {
            self.dropped("validate", number, (Stage::Usage, 0, read))?;
        }
        if number.is_multiple_of(WAITING) {
            return self.parked(number, stands);
        }
        if is(Plant::OutcomeMissing) {
            return Ok(());
        }
        let enriched =
            EnrichedUsage { meta: meta(2, number), encounter_ref: visit(number), ..EnrichedUsage::default() };
        let stands = self.placed(Stage::Enriched, number, &enriched, &because(1, number))?;
        if acts(self.day, number) {
            self.posted(number, plant, stands)?;
            self.told(number, plant, stands)?;
        }
        Ok(())
    }

    fn posted(&mut self, number: u64, plant: Option<Plant>, stands: i64) -> Result<(), Failure> {
        let document_key = document_key(self.day, number);
        let effect_key = format!("usage-{number}/0/erp");
        if plant != Some(Plant::EffectMissing) {
            let in_doubt = plant == Some(Plant::EffectInDoubt);
            let state = if in_doubt { EffectState::InDoubt } else { EffectState::Applied };
            self.effect("erp-post", number, (&effect_key, &document_key, state), stands)?;
        }
        if matches!(plant, Some(Plant::EffectInDoubt | Plant::PostingMissing)) {
            return Ok(());
        }
        let posting = ErpPosting {
            meta: meta(3, number),
            effect_key,
            encounter_ref: visit(number),
            kind: PostingKind::Posted,
            item_id: Some(item(number)),
            from_location: Some("OR1".to_owned()),
            quantity: Decimal::ONE,
            total_quantity: Decimal::ONE,
            cost_centre_id: Some("CC-OR".to_owned()),
            amount: Some(amount()),
            currency: Some("EUR".to_owned()),
            documents: vec![document(&document_key)],
            ..ErpPosting::default()
        };
        for _ in 0..=u64::from(plant == Some(Plant::PostingDoubled)) {
            self.plain(&posting, &because(2, number))?;
        }
        if plant == Some(Plant::SecondDocumentMissing) {
            self.plain(&brought_back(number, &document_key, posting), &because(2, number))?;
        }
        Ok(())
    }

    fn told(&mut self, number: u64, plant: Option<Plant>, stands: i64) -> Result<(), Failure> {
        if !number.is_multiple_of(NOTIFIED) {
            return self.dropped("supplier-fanout", number, (Stage::Enriched, 2, stands));
        }
        let notice_id = format!("wl-notice-{number}");
        let unanswered = plant == Some(Plant::NoticeUnanswered);
        let state = if unanswered { EffectState::Intended } else { EffectState::Applied };
        self.effect("supplier-fanout", number, (&format!("usage-{number}@0>SUP"), &notice_id, state), stands)?;
        if unanswered {
            return Ok(());
        }
        let refused = plant == Some(Plant::NoticeRefused);
        let notice = SupplierNotice {
            meta: meta(4, number),
            supplier_id: "SUP".to_owned(),
            notice_id,
            state: if refused { NoticeState::Refused } else { NoticeState::Delivered },
            ..SupplierNotice::default()
        };
        self.plain(&notice, &because(2, number))
    }

    fn dropped(&mut self, room: &str, number: u64, (stage, event, stands): (Stage, u64, i64)) -> Result<(), Failure> {
        let audit = Audit {
            room: room.to_owned(),
            kind: AuditKind::Dropped,
            code: "made-up".to_owned(),
            origin_topic: Some(stage.topic().to_owned()),
            origin_partition: Some(partition(number)),
            origin_offset: Some(stands),
            event_id: Some(id(event, number)),
            at: Timestamp(now_micros()),
            ..Audit::default()
        };
        self.plain(&audit, &Lineage::default())
    }

    fn parked(&mut self, number: u64, stands: i64) -> Result<(), Failure> {
        let (topic, partition) = (Stage::Validated.topic().to_owned(), partition(number));
        let headers = vec![schemas::RecordHeader {
            key: schemas::headers::ID.to_owned(),
            value: Some(schemas::Bytes::from(id(1, number).into_bytes())),
        }];
        let parked = Parked {
            room: "enrich".to_owned(),
            key: format!("enrich|{topic}|{partition}|{stands}"),
            topic,
            partition,
            offset: stands,
            headers,
            reason_code: "WL-4051".to_owned(),
            ..Parked::default()
        };
        self.plain(&parked, &Lineage::default())
    }

    fn effect(
        &mut self,
        room: &str,
        number: u64,
        (effect_key, document_key, state): (&str, &str, EffectState),
        stands: i64,
    ) -> Result<(), Failure> {
        let effect = Effect {
            effect_key: effect_key.to_owned(),
            room: room.to_owned(),
            state,
            document_key: document_key.to_owned(),
            documents: vec![document(document_key)],
            origin_topic: Some(Stage::Enriched.topic().to_owned()),
            origin_partition: Some(partition(number)),
            origin_offset: Some(stands),
            at: Timestamp(now_micros()),
            ..Effect::default()
        };
        self.plain(&effect, &because(2, number))
    }

    /// A record that others are about: where it stands is known beforehand, because nobody else writes.
    fn placed<T: Event>(&mut self, stage: Stage, number: u64, event: &T, lineage: &Lineage) -> Result<i64, Failure> {
        let partition = partition(number);
        let next = self.next.get_mut(stage as usize).and_then(|next| next.get_mut(usize::try_from(partition).ok()?));
        let Some(next) = next else { return Err(Failure::new("no such partition", "report this as a defect")) };
        let stands = *next;
        *next += 1;
        let value = self.codec.encode(event).map_err(Failure::registry)?;
        let record = Outgoing { partition: Some(partition), ..Outgoing::event(event, value, lineage, "bench") };
        self.producer.send(&record, &self.delivery).map_err(Failure::kafka)?;
        Ok(stands)
    }

    fn plain<T: Event>(&mut self, event: &T, lineage: &Lineage) -> Result<(), Failure> {
        let value = self.codec.encode(event).map_err(Failure::registry)?;
        let record = Outgoing::event(event, value, lineage, "bench");
        self.producer.send(&record, &self.delivery).map_err(Failure::kafka)
    }
}

impl Stage {
    fn topic(self) -> &'static str {
        match self {
            Self::Usage => SupplyUsage::topic().name,
            Self::Validated => ValidatedUsage::topic().name,
            Self::Enriched => EnrichedUsage::topic().name,
        }
    }
}

/// What a correction took back from the place where it was before.
fn brought_back(number: u64, document_key: &str, posting: ErpPosting) -> ErpPosting {
    ErpPosting {
        meta: meta(5, number),
        from_location: Some("ICU".to_owned()),
        quantity: -posting.quantity,
        total_quantity: Decimal::ZERO,
        cost_centre_id: Some("CC-ICU".to_owned()),
        amount: posting.amount.map(|amount| -amount),
        documents: vec![document(&format!("{document_key}-1"))],
        ..posting
    }
}

fn partition(number: u64) -> i32 {
    i32::try_from(number % PARTITIONS as u64).unwrap_or_default()
}

fn visit(number: u64) -> String {
    format!("enc_{:032}", number % KEYS)
}

/// Ids of the events of one usage: what was said, recognised, enriched, posted, told.
fn id(event: u64, number: u64) -> String {
    format!("00000000-0000-5000-8{event:03x}-{number:012x}")
}

fn meta(event: u64, number: u64) -> EventMeta {
    EventMeta { event_id: id(event, number), business_key: format!("usage-{number}"), ..EventMeta::default() }
}

fn because(event: u64, number: u64) -> Lineage {
    Lineage { causation_id: Some(id(event, number).into()), ..Lineage::default() }
}

fn document(key: &str) -> Document {
    Document { id: key.to_owned(), number: Some(key.to_owned()), ..Document::default() }
}
