//! What happens in a run, as a seed decides it: the events and what becomes of them, and how much goes wrong.

use super::erp::Trouble;
use super::prng::Prng;
use super::toy::{Does, Says, Told};
use super::world::Faults;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long events come and things go wrong; after that everything heals.
pub(crate) const STORM: Duration = Duration::from_secs(25);

/// A sender that hears nothing goes over to another listener within so long.
const COPY_WITHIN: Duration = Duration::from_secs(6);

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// Events in the order in which they are sent, and when.
    pub events: Vec<(Duration, Told)>,
    /// Events that another listener of the source publishes as well, and when.
    pub copies: Vec<(Duration, Told)>,
    /// When each item that an event waits for arrives.
    pub items: BTreeMap<String, Duration>,
    /// What goes wrong inside the processes.
    pub faults: Faults,
    /// What goes wrong on the way to the ERP.
    pub trouble: Trouble,
    /// Nothing goes wrong but what the events say: then nobody may be slow.
    pub calm: bool,
    /// The ERP does not answer for a long time while events pile up.
    pub flood: bool,
    pub validators: usize,
    pub posters: usize,
    pub replays: u64,
}

impl Story {
    /// The story of a seed.
    pub fn of(prng: &mut Prng) -> Self {
        let calm = prng.chance(1_500);
        let flood = !calm && prng.chance(1_000);
        let keys = 3 + prng.below(6);
        let count = if flood { 140 } else { 12 + prng.below(45) };
        let span = if flood { Duration::from_secs(4) } else { STORM.mul_f64(0.8) };
        let mut at: Vec<Duration> = (0..count).map(|_| prng.between(Duration::ZERO, span)).collect();
        at.sort_unstable();
        let mut last: BTreeMap<u64, Told> = BTreeMap::new();
        let mut items = BTreeMap::new();
        let mut events = Vec::new();
        for (number, at) in at.into_iter().enumerate() {
            let key = prng.below(keys);
            let told = told(prng, number, key, last.get(&key), calm, flood);
            last.insert(key, told.clone());
            if told.says == Says::Wait {
                items.insert(told.item.clone(), prng.between(Duration::from_secs(8), STORM));
            }
            events.push((at, told));
        }
        let wild = prng.below(4);
        let repeated = events.iter().filter(|_| prng.chance(1_000)).cloned().collect::<Vec<_>>();
        let later = |(at, told)| (prng.between(at, STORM.min(at + COPY_WITHIN)), told);
        let copies = repeated.into_iter().map(later).collect();
        Self {
            events,
            copies,
            items,
            faults: if calm { Faults::default() } else { faults(prng, wild) },
            trouble: if calm { Trouble::default() } else { trouble(prng, wild) },
            calm,
            flood,
            validators: 1 + prng.index(3),
            posters: 1 + prng.index(3),
            replays: prng.below(3),
        }
    }
}

fn told(prng: &mut Prng, number: usize, key: u64, last: Option<&Told>, calm: bool, flood: bool) -> Told {
    let says = Says::ALL[weighted(prng, &if flood { [97, 1, 1, 0, 1] } else { [68, 8, 10, 7, 7] })];
    let mut does = Does::ALL[weighted(prng, &[34, 34, 10, 10, 7, 5])];
    if calm && key.is_multiple_of(2) {
        // These keys have nothing to wait for.
        does = if does == Does::Refused || does == Does::Reject { Does::Post } else { does };
    }
    let says =
        if calm && key.is_multiple_of(2) && matches!(says, Says::Wait | Says::Reject) { Says::Emit } else { says };
    let correction = last.filter(|_| prng.chance(2_500));
    let (business_key, revision) =
        correction.map_or_else(|| (format!("bk-{number}"), 0), |last| (last.business_key.clone(), last.revision + 1));
    Told {
        id: format!("event-{number}"),
        key: format!("enc_{key}"),
        business_key,
        revision,
        quantity: i64::try_from(1 + prng.below(20)).unwrap_or(1),
        item: format!("item-{number}"),
        says,
        does,
    }
}

fn weighted<const N: usize>(prng: &mut Prng, weights: &[u64; N]) -> usize {
    let mut left = prng.below(weights.iter().sum());
    for (number, weight) in weights.iter().enumerate() {
        if left < *weight {
            return number;
        }
        left -= weight;
    }
    0
}

fn faults(prng: &mut Prng, wild: u64) -> Faults {
    Faults { kill: prng.below(1 + 8 * wild), stall: prng.below(1 + 60 * wild), lose: prng.below(1 + 80 * wild) }
}

fn trouble(prng: &mut Prng, wild: u64) -> Trouble {
    let mut some = || prng.below(1 + 400 * wild);
    Trouble {
        lost_request: some(),
        lost_answer: some(),
        late_request: some(),
        error: some(),
        busy: some(),
        down: false,
    }
}
