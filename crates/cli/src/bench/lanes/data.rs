//! The events of the lanes benchmark.

use super::contracts::{Asked, key_text};
use crate::Failure;
use crate::bench::random::JavaRandom;
use runtime::config::KafkaConfig;
use runtime::outgoing::Outgoing;
use runtime::producer::{Delivery, Producer};
use schemas::Event;
use std::borrow::Cow;
use std::time::Duration;

/// Schema id of [`Asked`].
pub const ASKED_ID: u32 = 1;
/// Longest wait for the confirmation of one part of the load.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Records that are confirmed together.
const PART: u64 = 10_000;

/// Draws events in order; the same for the same number of keys. Each key comes once in every round, in an order drawn anew.
pub struct Generator {
    random: JavaRandom,
    round: Vec<i32>,
    first_key: i32,
    keys: i32,
    number: i64,
    sequences: Vec<i64>,
}

impl Generator {
    /// Events of `keys` keys, numbered from `first_key` on.
    pub fn new(first_key: i32, keys: u32) -> Self {
        let keys = i32::try_from(keys).unwrap_or(i32::MAX);
        let sequences = vec![0; usize::try_from(keys).unwrap_or_default()];
        Self { random: JavaRandom::new(42), round: Vec::new(), first_key, keys, number: 0, sequences }
    }

    /// The next event; its number says whether it is bad.
    pub fn draw(&mut self, created: i64, bad: impl Fn(i64) -> bool) -> Asked {
        if self.round.is_empty() {
            self.round = (0..self.keys).collect();
            for end in (1..self.round.len()).rev() {
                let other = self.random.below(u32::try_from(end + 1).unwrap_or(u32::MAX));
                self.round.swap(end, usize::try_from(other).unwrap_or_default());
            }
        }
        let key = self.round.pop().unwrap_or_default();
        let sequence = self.sequences.get_mut(usize::try_from(key).unwrap_or_default()).map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        let number = self.number;
        self.number += 1;
        let (a, b) = (self.random.bits(), self.random.bits());
        Asked {
            key: self.first_key + key,
            sequence,
            number,
            created,
            bad: bad(number),
            item: format!("ITM-{}", self.random.below(2_000)),
            quantity: 1,
            note: format!(
                "{a:08x}{b:08x} opened in sterile field by the circulating nurse, counted twice before closing"
            ),
        }
    }
}

/// The record for Kafka.
pub fn outgoing(asked: &Asked) -> Result<Outgoing, Failure> {
    let mut value = Vec::with_capacity(256);
    schemas::codec::encode(asked, ASKED_ID, &mut value)
        .map_err(|error| Failure::new(error, "report this as a defect"))?;
    Ok(Outgoing {
        topic: Cow::Borrowed(Asked::topic().name),
        partition: None,
        key: Some(key_text(asked.key).into()),
        value: Some(value.into()),
        headers: Vec::new(),
        ticket: None,
    })
}

/// Loads `events` events.
pub fn load(kafka: &KafkaConfig, events: u64, keys: u32) -> Result<(), Failure> {
    let producer = Producer::new(kafka, None).map_err(Failure::kafka)?;
    let mut generator = Generator::new(0, keys);
    let mut loaded = 0;
    while loaded < events {
        let part = (events - loaded).min(PART);
        let delivery = Delivery::new();
        for _ in 0..part {
            producer.send(&outgoing(&generator.draw(0, |_| false))?, &delivery).map_err(Failure::kafka)?;
        }
        delivery.wait(CONFIRM_TIMEOUT, || producer.last_error()).map_err(Failure::kafka)?;
        loaded += part;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_comes_once_in_a_round_and_in_order() {
        let mut generator = Generator::new(100, 50);
        for round in 0..3 {
            let mut keys: Vec<i32> = (0..50)
                .map(|_| {
                    let asked = generator.draw(0, |_| false);
                    assert_eq!(asked.sequence, round);
                    asked.key
                })
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, (100..150).collect::<Vec<_>>());
        }
    }
}
