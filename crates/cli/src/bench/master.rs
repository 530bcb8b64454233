//! The item master of `bench tables`: its records, the room that holds it, and lookups in it.

use crate::Failure;
use processor::{Binder, Processor, Table, Tables, Verdict};
use runtime::clock::tick;
use runtime::config::KafkaConfig;
use runtime::outgoing::Outgoing;
use runtime::producer::{Delivery, Producer};
use schemas::{EnrichedUsage, Event, MasterItem, ValidatedUsage, topics};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Schema id of the items.
const ITEM_ID: u32 = 101;
/// Records that are confirmed together.
const PART: u64 = 50_000;
/// Longest wait for the confirmation of one part.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Lookups between two looks at the clock.
const BETWEEN_LOOKS: u32 = 1_000;
/// Of ten lookups so many are of the articles that are used most.
const HOT_OF_TEN: u64 = 8;
/// How many articles are used most.
const HOT: u64 = 2_000;

/// The table under measurement: the one that was declared last, for a first one is declared to learn its topic.
static ITEMS: Mutex<Option<Table<MasterItem>>> = Mutex::new(None);
/// Whether it has indexes.
static INDEXED: AtomicBool = AtomicBool::new(false);

/// A processor that holds the table and never gets an event.
#[derive(Clone)]
pub struct Held;

/// Its table.
pub struct Items;

impl Held {
    /// Whether the table has the indexes that `validate` declares, or none, as in `enrich`.
    pub fn new(indexed: bool) -> Self {
        INDEXED.store(indexed, Ordering::Relaxed);
        Self
    }
}

impl Tables for Items {
    fn bind(binder: &mut Binder) -> Self {
        let table = if INDEXED.load(Ordering::Relaxed) {
            binder.table(topics::MASTER_ITEM_V1, &[("code", codes), ("gtin", gtins), ("catalogue", catalogue)])
        } else {
            binder.table(topics::MASTER_ITEM_V1, &[])
        };
        *ITEMS.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
        Self
    }
}

impl Processor for Held {
    type Input = ValidatedUsage;
    type Output = EnrichedUsage;
    type Tables = Items;

    fn process(&self, _: ValidatedUsage, _: &Items) -> Verdict<EnrichedUsage> {
        Verdict::Emit(Vec::new())
    }
}

/// Loads records number 0 to `rows`, and says how long a value is, bytes.
pub fn load(kafka: &KafkaConfig, rows: u64) -> Result<usize, Failure> {
    send(kafka, rows, |number| (number, 0))?;
    Ok(outgoing(rows / 2, 0)?.value.map_or(0, |value| value.len()))
}

/// Changes so many records, spread over all.
pub fn update(kafka: &KafkaConfig, rows: u64, changes: u64) -> Result<(), Failure> {
    send(kafka, changes, |number| (number * 97 % rows, number + 1))
}

/// One record of the topic.
pub fn outgoing(number: u64, revision: u64) -> Result<Outgoing, Failure> {
    let item = item(number, revision);
    let mut value = Vec::with_capacity(512);
    let encoding = schemas::codec::encode(&item, ITEM_ID, &mut value);
    encoding.map_err(|error| Failure::new(error, "report this as a defect"))?;
    Ok(Outgoing {
        topic: Cow::Borrowed(MasterItem::topic().name),
        partition: None,
        key: Some(item.item_id.into()),
        value: Some(value.into()),
        headers: Vec::new(),
        ticket: None,
    })
}

/// Looks articles up for so many seconds, and says how often one was found.
pub fn look_up(rows: u64, secs: u64, seed: u64) -> u64 {
    let Some(items) = ITEMS.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return 0 };
    let (begun, mut found, mut state) = (tick(), 0, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let mut key = String::new();
    while tick().since(begun) < Duration::from_secs(secs) {
        for _ in 0..BETWEEN_LOOKS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = state >> 33;
            let number =
                if draw % 10 < HOT_OF_TEN { draw / 10 % HOT.min(rows) * (rows / HOT.min(rows)) } else { draw % rows };
            name(number, &mut key);
            found += u64::from(items.get(&key).is_some_and(|item| item.item_id == key));
        }
    }
    found
}

fn name(number: u64, name: &mut String) {
    use std::fmt::Write as _;
    name.clear();
    // Writing to a string does not fail.
    let _ = write!(name, "ITM-{number:08}");
}

fn send(kafka: &KafkaConfig, count: u64, which: impl Fn(u64) -> (u64, u64)) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let mut sent = 0;
    while sent < count {
        let part = Delivery::new();
        let end = (sent + PART).min(count);
        for number in sent..end {
            let (number, revision) = which(number);
            producer.send(&outgoing(number, revision)?, &part).map_err(Failure::kafka)?;
        }
        part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        sent = end;
    }
    Ok(())
}

/// An article like the example of the contract, with names of its own.
fn item(number: u64, revision: u64) -> MasterItem {
    let mut item = example().clone();
    item.item_id = format!("ITM-{number:08}");
    item.erp_id = Some(number.to_string());
    item.description = format!("Article {number}, sterile, single use, revision {revision}");
    item.meta.business_key = format!("master.item.v1/{}", item.item_id);
    item.charge_code = Some(format!("CDM-{number}"));
    item.mfr_catalogue = Some(format!("MS-{number:08}"));
    item.supplier_item = Some(format!("MS-{number:08}"));
    item.gtins = vec![format!("{:014}", 9_506_000_000_000 + number)];
    for (place, code) in item.codes.iter_mut().enumerate() {
        code.code = format!("C{place}-{number}");
    }
    for pack in &mut item.packs {
        pack.gtin = Some(format!("{:014}", 9_506_000_000_000 + number));
    }
    item
}

fn example() -> &'static MasterItem {
    static EXAMPLE: OnceLock<MasterItem> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let examples = schemas::examples_of(MasterItem::topic().name);
        let first = examples.into_iter().next().map(|(_, fields)| fields).unwrap_or_default();
        serde_json::from_value(first).unwrap_or_default()
    })
}

fn codes(item: &MasterItem) -> Vec<String> {
    let mut values = Vec::new();
    for code in &item.codes {
        values.extend(code.system.as_ref().map(|system| format!("{system}|{}", code.code)));
        values.push(code.code.clone());
    }
    values.extend(item.charge_code.clone());
    values
}

fn gtins(item: &MasterItem) -> Vec<String> {
    item.gtins.iter().cloned().chain(item.packs.iter().filter_map(|pack| pack.gtin.clone())).collect()
}

fn catalogue(item: &MasterItem) -> Vec<String> {
    [&item.mfr_catalogue, &item.supplier_item].into_iter().flatten().cloned().collect()
}
