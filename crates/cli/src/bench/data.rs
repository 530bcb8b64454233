//! The synthetic data of the enrich benchmark: the same records as those of the rivals' loader, byte for byte.

use super::contracts::{CONSUMED_ID, Consumed, ITEM_ID, Item};
use super::random::JavaRandom;
use crate::Failure;
use runtime::config::KafkaConfig;
use runtime::outgoing::Outgoing;
use runtime::producer::{Delivery, Producer};
use schemas::Event;
use std::borrow::Cow;
use std::time::Duration;

/// Number of items.
pub const ITEMS: u32 = 2_000;
/// Of 100 events so many are drawn to be bad, a third each: item unknown, quantity 0, bytes that do not decode.
const BAD_PERCENT: u32 = 6;
/// Mean size of an event as the rivals have it, bytes.
pub const PLAIN_BYTES: usize = 335;
/// Longest wait for the confirmation of one part of the load.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Records that are confirmed together.
const PART: u64 = 50_000;

/// Draws events in order; the same for the same seed.
pub struct Generator {
    random: JavaRandom,
    number: u64,
    /// Bytes behind each note.
    padding: String,
}

/// An event, and whether its bytes are to be replaced by ones that do not decode.
pub struct Drawn {
    pub event: Consumed,
    pub undecodable: bool,
}

impl Generator {
    pub fn new() -> Self {
        Self { random: JavaRandom::new(42), number: 0, padding: String::new() }
    }

    /// Events of about so many bytes: the note is longer. What it is filled with does not compress well, as text does not.
    pub fn of_bytes(bytes: usize) -> Self {
        let mut filling = JavaRandom::new(7);
        let letters = (0..bytes.saturating_sub(PLAIN_BYTES)).filter_map(|_| char::from_u32(32 + filling.below(64)));
        Self { padding: letters.collect(), ..Self::new() }
    }

    /// The next event. The order of the draws is that of the rivals' loader.
    pub fn draw(&mut self) -> Drawn {
        let number = self.number;
        self.number += 1;
        let random = &mut self.random;
        let roll = random.below(100);
        let bad = |kind: u32| roll < BAD_PERCENT && roll % 3 == kind;
        let facility = format!("FAC-{}", random.below(8));
        let department = format!("OR-{}", random.below(20));
        let item = if bad(0) { ITEMS + 7 } else { random.below(ITEMS) };
        let quantity = if bad(1) { 0 } else { 1 + i32::try_from(random.below(9)).unwrap_or_default() };
        let encounter_id = (random.below(4) != 0).then(|| format!("ENC-{}", random.below(100_000)));
        let gtin = 10_000_000 + u64::from(random.below(ITEMS));
        let udi = format!("(01){gtin:014}(17)281231(10)LOT{:06}(21){number:010}", random.below(1_000_000));
        let lot = format!("LOT{:06}", random.below(1_000_000));
        let serial = (random.below(3) != 0).then(|| format!("{number:010}"));
        let performer = format!("Practitioner/{}", 100_000 + random.below(5_000));
        let procedure_code = format!("http://snomed.info/sct|{}", 10_000_000 + random.below(80_000_000));
        let location = format!("Location/{facility}-OR-{}", random.below(20));
        let (a, b, c) = (random.bits(), random.bits(), random.bits());
        let note = format!(
            "{a:08x}{b:08x} opened in sterile field by the circulating nurse, counted twice before closing, remainder wasted {c:08x}{}",
            self.padding
        );
        let event = Consumed {
            event_id: format!("evt-{number:012}"),
            facility,
            department,
            item_id: format!("ITM-{item}"),
            quantity,
            uom: "EA".to_owned(),
            encounter_id,
            occurred_at: 1_760_000_000_000 + i64::try_from(number).unwrap_or_default(),
            udi,
            lot,
            expiry: "2028-12-31".to_owned(),
            serial,
            performer,
            procedure_code,
            location,
            note,
        };
        Drawn { event, undecodable: bad(2) }
    }
}

impl Drawn {
    /// The record for Kafka.
    pub fn outgoing(&self) -> Result<Outgoing, Failure> {
        if self.undecodable {
            return Ok(raw(Consumed::topic().name, self.event.key(), vec![1, 2, 3, 4, 5, 6]));
        }
        encoded(&self.event, CONSUMED_ID)
    }
}

/// All items; every hundredth is not active.
pub fn items() -> impl Iterator<Item = Item> {
    (0..ITEMS).map(|number| Item {
        item_id: format!("ITM-{number}"),
        gtin: format!("{:014}", 10_000_000 + u64::from(number)),
        description: format!("Item {number} sterile, single use"),
        supplier_id: format!("SUP-{}", number % 50),
        unit_cost_micros: 1_000_000 + i64::from(number),
        active: number % 100 != 99,
    })
}

/// Loads the items; loading them again changes nothing.
pub fn load_items(kafka: &KafkaConfig) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let part = Delivery::new();
    for item in items() {
        producer.send(&encoded(&item, ITEM_ID)?, &part).map_err(Failure::kafka)?;
    }
    part.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)
}

/// Loads the items and `events` events of a generator.
pub fn load(kafka: &KafkaConfig, events: u64, generator: Generator) -> Result<(), Failure> {
    load_items(kafka)?;
    load_from(kafka, generator, |loaded| events.saturating_sub(loaded)).map(drop)
}

/// Loads events in parts as long as more are `wanted` after so many, and says how many were loaded.
pub fn load_while(kafka: &KafkaConfig, wanted: impl Fn(u64) -> u64) -> Result<u64, Failure> {
    load_from(kafka, Generator::new(), wanted)
}

fn load_from(kafka: &KafkaConfig, mut generator: Generator, wanted: impl Fn(u64) -> u64) -> Result<u64, Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let progress = crate::output::spinner("events loaded");
    let mut loaded = 0;
    loop {
        let part = wanted(loaded).min(PART);
        if part == 0 {
            break;
        }
        let delivery = Delivery::new();
        for _ in 0..part {
            producer.send(&generator.draw().outgoing()?, &delivery).map_err(Failure::kafka)?;
        }
        delivery.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        loaded += part;
        progress.set_position(loaded);
    }
    progress.finish_and_clear();
    Ok(loaded)
}

/// A record of an event.
pub fn encoded<T: Event>(event: &T, id: u32) -> Result<Outgoing, Failure> {
    let mut value = Vec::with_capacity(512);
    let encoding = schemas::codec::encode(event, id, &mut value);
    encoding.map_err(|error| Failure::new(error, "report this as a defect"))?;
    Ok(raw(T::topic().name, event.key(), value))
}

fn raw(topic: &'static str, key: String, value: Vec<u8>) -> Outgoing {
    Outgoing {
        topic: Cow::Borrowed(topic),
        partition: None,
        key: Some(key.into()),
        value: Some(value.into()),
        headers: Vec::new(),
        ticket: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_bad_and_the_same_every_time() {
        let (mut one, mut other) = (Generator::new(), Generator::new());
        let mut bad = 0;
        for _ in 0..10_000 {
            let (a, b) = (one.draw(), other.draw());
            assert_eq!(a.event, b.event);
            bad += u32::from(a.undecodable || a.event.quantity == 0 || a.event.item_id == "ITM-2007");
        }
        assert!((500..700).contains(&bad), "{bad}");
    }
}
