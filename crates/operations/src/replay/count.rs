//! Counts what a replay comes to. Pure, and bounded in memory by the number of keys and documents.

use super::known::{Fate, Known, hash_bytes};
use super::{Plan, ReplayError};
use connector::effect::Foreseen;
use schemas::{Decimal, Money, ReplayCounts, ReplaySpan, ReplayTarget};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};

/// Receivers that are told one by one.
const TARGETS_SHOWN: usize = 20;
/// Receivers that are counted one by one.
const TARGETS_MAX: usize = 10_000;
/// Places of newer events that are told.
const EXAMPLES: usize = 5;

/// What a replay of one record comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A room that writes events writes them again.
    Events,
    /// It asks for no effect.
    NoEffect,
    /// Its effect has happened.
    Suppressed(Option<u128>),
    /// Its effect may have happened.
    InDoubt,
    /// Its effect would be made.
    Effect,
}

/// What the body of a record says, as far as a preview needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// It could not be decoded.
    pub unreadable: bool,
    /// Money, and its currency.
    pub amount: Option<(Decimal, String)>,
    /// Who would be told of it.
    pub target: Option<String>,
    /// What it says of its effect.
    pub foreseen: Option<Foreseen>,
    /// Digest of what a correcting replay changes.
    pub says: Option<u128>,
}

impl Facts {
    /// From the record as JSON. The price times the quantity is taken where no amount stands.
    pub fn of(body: &Value, foreseen: Option<Foreseen>) -> Self {
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let number = |name: &str| text(name).and_then(|text| text.parse::<Decimal>().ok());
        let product = || number("unitPrice")?.checked_mul(number("baseQuantity")?);
        let amount = number("amount").or_else(product).zip(text("currency").map(str::to_owned));
        Self { unreadable: false, amount, target: text("supplierId").map(str::to_owned), foreseen, says: None }
    }
}

/// What a record means to a room.
pub(super) fn meaning(has_effects: bool, known: &Known, place: (i32, i64), foreseen: Option<&Foreseen>) -> Meaning {
    if !has_effects {
        return Meaning::Events;
    }
    if foreseen.is_some_and(|foreseen| !foreseen.acts) {
        return Meaning::NoEffect;
    }
    match known.fate(place, foreseen.map(|foreseen| foreseen.identity.as_str())) {
        Some(Fate::Applied(document)) => Meaning::Suppressed(document),
        Some(Fate::InDoubt) => Meaning::InDoubt,
        Some(Fate::None) => Meaning::NoEffect,
        None => Meaning::Effect,
    }
}

/// Counts records, in the order of their partitions and offsets.
pub(super) struct Counter {
    keys_max: usize,
    keys: HashSet<u128>,
    documents: HashSet<u128>,
    targets: BTreeMap<String, (i64, i64)>,
    amounts: BTreeMap<String, Decimal>,
    new_amounts: BTreeMap<String, Decimal>,
    digest: Sha256,
    counts: ReplayCounts,
    spans: Vec<ReplaySpan>,
    /// What a correcting replay changes in the partition that is counted.
    left: Option<u128>,
}

impl Counter {
    /// Holds no more than so many keys.
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            keys: HashSet::new(),
            documents: HashSet::new(),
            targets: BTreeMap::new(),
            amounts: BTreeMap::new(),
            new_amounts: BTreeMap::new(),
            digest: Sha256::new(),
            counts: ReplayCounts::default(),
            spans: Vec::new(),
            left: None,
        }
    }

    /// The next partition begins.
    pub fn span(&mut self, span: ReplaySpan) {
        self.left = None;
        self.spans.push(ReplaySpan { records: 0, handed: 0, left: String::new(), ..span });
    }

    /// One record that would be handed over.
    ///
    /// # Errors
    /// When there are more keys than may be held.
    pub fn take(&mut self, place: (i32, i64), key: &[u8], facts: &Facts, meaning: Meaning) -> Result<(), ReplayError> {
        self.counts.records += 1;
        if let Some(says) = facts.says {
            self.digest.update(says.to_be_bytes());
            self.left = Some(self.left.unwrap_or_default().wrapping_add(piece(place, says)));
        }
        if let Some(span) = self.spans.last_mut() {
            span.records += 1;
            span.left = self.left.map(hex).unwrap_or_default();
        }
        if !key.is_empty() {
            self.keys.insert(hash_bytes(key));
            if self.keys.len() > self.keys_max {
                return Err(ReplayError::TooMuch { what: "keys", key: "keys_max", most: self.keys_max });
            }
        }
        let counts = &mut self.counts;
        let (letter, makes) = match meaning {
            Meaning::Events => (b'e', false),
            Meaning::NoEffect => (b'n', false),
            Meaning::Suppressed(_) => (b's', false),
            Meaning::InDoubt => (b'd', true),
            Meaning::Effect => (b'x', true),
        };
        match meaning {
            Meaning::Events => counts.events += 1,
            Meaning::NoEffect => counts.without_effect += 1,
            Meaning::Suppressed(document) => {
                counts.suppressed += 1;
                self.documents.extend(document);
            }
            Meaning::InDoubt => counts.in_doubt += 1,
            Meaning::Effect => counts.effects += 1,
        }
        counts.unreadable += i64::from(facts.unreadable);
        match &facts.amount {
            None => counts.without_amount += 1,
            Some((amount, currency)) => {
                add(&mut self.amounts, currency, *amount);
                if makes {
                    add(&mut self.new_amounts, currency, *amount);
                }
            }
        }
        if let Some(target) = &facts.target
            && (self.targets.contains_key(target) || self.targets.len() < TARGETS_MAX)
        {
            let (records, effects) = self.targets.entry(target.clone()).or_default();
            *records += 1;
            *effects += i64::from(makes);
        }
        self.digest.update(place.0.to_be_bytes());
        self.digest.update(place.1.to_be_bytes());
        self.digest.update([letter]);
        Ok(())
    }

    /// A record that is left out because it is parked already.
    pub fn waits(&mut self) {
        self.counts.waiting += 1;
    }

    /// A record that is not part of the selection. Told when a record of its key before it is.
    pub fn pass(&mut self, place: impl FnOnce() -> String, key: &[u8]) {
        if !key.is_empty() && self.keys.contains(&hash_bytes(key)) {
            self.counts.newer += 1;
            if self.counts.newer_examples.len() < EXAMPLES {
                self.counts.newer_examples.push(place());
            }
        }
    }

    /// What was counted, into a plan.
    pub fn finish(mut self, plan: &mut Plan) {
        let money = |sums: BTreeMap<String, Decimal>| {
            sums.into_iter().map(|(currency, amount)| Money { amount: amount.round_dp(4), currency }).collect()
        };
        let mut counts = self.counts;
        counts.keys = i64::try_from(self.keys.len()).unwrap_or(i64::MAX);
        counts.documents = i64::try_from(self.documents.len()).unwrap_or(i64::MAX);
        counts.new_documents = counts.effects + counts.in_doubt;
        counts.amounts = money(self.amounts);
        counts.new_amounts = money(self.new_amounts);
        counts.target_count = i64::try_from(self.targets.len()).unwrap_or(i64::MAX);
        let mut targets: Vec<ReplayTarget> = std::mem::take(&mut self.targets)
            .into_iter()
            .map(|(target, (records, effects))| ReplayTarget { target, records, effects })
            .collect();
        targets.sort_by_key(|target| std::cmp::Reverse(target.records));
        targets.truncate(TARGETS_SHOWN);
        counts.targets = targets;
        counts.digest = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        plan.counts = counts;
        plan.spans = self.spans;
    }
}

/// What one record adds to what is left of a correcting replay.
fn piece((partition, offset): (i32, i64), says: u128) -> u128 {
    let mut bytes = [0; 28];
    let parts = partition.to_be_bytes().into_iter().chain(offset.to_be_bytes()).chain(says.to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    hash_bytes(&bytes)
}

fn hex(sum: u128) -> String {
    format!("{sum:032x}")
}

/// What is left of a correcting replay once a record was handed over.
pub(super) fn without(left: &str, place: (i32, i64), says: u128) -> String {
    hex(u128::from_str_radix(left, 16).unwrap_or_default().wrapping_sub(piece(place, says)))
}

fn add(sums: &mut BTreeMap<String, Decimal>, currency: &str, amount: Decimal) {
    let sum = sums.entry(currency.to_owned()).or_default();
    *sum = sum.saturating_add(amount);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::{Effect, EffectState};
    use serde_json::json;

    fn foreseen(identity: &str, acts: bool) -> Option<Foreseen> {
        Some(Foreseen { identity: identity.to_owned(), acts })
    }

    #[test]
    fn the_money_of_a_record_is_its_amount_or_price_times_quantity_or_unknown() {
        let table = [
            (json!({"amount": "850.0000", "currency": "EUR", "unitPrice": "1", "baseQuantity": "1"}), Some("850.0000")),
            (
                json!({"amount": null, "currency": "EUR", "unitPrice": "2.5000", "baseQuantity": "3.000000"}),
                Some("7.5"),
            ),
            (json!({"amount": "850.0000", "currency": null}), None),
            (json!({"currency": "EUR", "unitPrice": "2"}), None),
            (json!({}), None),
        ];
        for (body, expected) in table {
            let amount = Facts::of(&body, None).amount.map(|(amount, _)| amount);
            assert_eq!(amount, expected.map(|text| text.parse().unwrap()), "{body}");
        }
    }

    /// One line for each record: partition, offset, key, letter of its meaning (w waits, - not selected), amount.
    fn count(text: &str, keys_max: usize) -> Result<Plan, ReplayError> {
        let mut counter = Counter::new(keys_max);
        let mut partition = -1;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let place: (i32, i64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            if place.0 != partition {
                partition = place.0;
                counter.span(ReplaySpan { partition, ..ReplaySpan::default() });
            }
            let amount = words.get(4).map(|amount| (amount.parse().unwrap(), "EUR".to_owned()));
            let facts = Facts { amount, target: Some("S".to_owned()), ..Facts::default() };
            let key = words[2].as_bytes();
            match words[3] {
                "w" => counter.waits(),
                "-" => counter.pass(|| format!("t-{}@{}", place.0, place.1), key),
                "e" => counter.take(place, key, &facts, Meaning::Events)?,
                "n" => counter.take(place, key, &facts, Meaning::NoEffect)?,
                "s" => counter.take(place, key, &facts, Meaning::Suppressed(Some(7)))?,
                "d" => counter.take(place, key, &facts, Meaning::InDoubt)?,
                _ => counter.take(place, key, &facts, Meaning::Effect)?,
            }
        }
        let mut plan = Plan::default();
        counter.finish(&mut plan);
        Ok(plan)
    }

    const RANGE: &str = "
        0 1 a s 10
        0 2 b x 20
        0 3 c - 5
        0 4 a s
        0 5 a w
        0 9 a -
        1 1 d d 1.5
        1 2 d n
        1 3 e -
        1 4 d -";

    #[test]
    fn rpl_1_every_record_is_counted_as_what_it_means() {
        let plan = count(RANGE, 10).unwrap();
        let counts = &plan.counts;
        assert_eq!((counts.records, counts.keys, counts.waiting), (5, 3, 1));
        assert_eq!((counts.effects, counts.suppressed, counts.in_doubt, counts.without_effect), (1, 2, 1, 1));
        assert_eq!((counts.documents, counts.new_documents, counts.without_amount), (1, 2, 2));
        assert_eq!((counts.newer, &counts.newer_examples[..]), (2, &["t-0@9".to_owned(), "t-1@4".to_owned()][..]));
        let euros = |sums: &[Money]| sums.iter().map(|sum| sum.amount.normalize().to_string()).collect::<String>();
        assert_eq!((euros(&counts.amounts), euros(&counts.new_amounts)), ("31.5".to_owned(), "21.5".to_owned()));
        assert_eq!((counts.targets[0].records, counts.targets[0].effects), (5, 2));
        assert_eq!(plan.spans.iter().map(|span| span.records).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn rpl_1_the_digest_changes_with_any_place_and_any_meaning() {
        let digest = |text: &str| count(text, 10).unwrap().counts.digest;
        let all = digest(RANGE);
        assert_eq!(digest(RANGE), all);
        assert_ne!(digest(&RANGE.replace("0 2 b x", "0 2 b s")), all);
        assert_ne!(digest(&RANGE.replace("0 4 a s", "0 6 a s")), all);
        assert_eq!(digest(&RANGE.replace("0 9 a -", "0 9 b -")), all, "what is not handed over is not in it");
    }

    #[test]
    fn rpl_1_what_a_correction_changes_is_part_of_the_digest_and_of_what_is_left() {
        let count = |records: &[(i64, u128)]| {
            let (mut counter, mut plan) = (Counter::new(10), Plan::default());
            counter.span(ReplaySpan { left: "of before".to_owned(), ..ReplaySpan::default() });
            for (offset, says) in records {
                let facts = Facts { says: Some(*says), ..Facts::default() };
                counter.take((0, *offset), b"k", &facts, Meaning::Events).unwrap();
            }
            counter.finish(&mut plan);
            (plan.counts.digest, plan.spans[0].left.clone())
        };
        let all = count(&[(1, 7), (2, 8), (5, 9)]);
        let other = count(&[(1, 7), (2, 8), (5, 10)]);
        assert!(all.0 != other.0 && all.1 != other.1, "the same records with another change");
        assert_eq!(without(&without(&all.1, (0, 1), 7), (0, 2), 8), count(&[(5, 9)]).1, "what is handed over is gone");
        assert_eq!(super::tests::count(RANGE, 10).unwrap().spans[0].left, "", "a plain one changes nothing");
        assert_eq!(count(&[]).1, "");
        let end = without(&count(&[(5, 9)]).1, (0, 5), 9);
        assert!(end.chars().all(|digit| digit == '0'), "{end}");
    }

    #[test]
    fn bnd_1_more_keys_than_may_be_held_are_refused() {
        assert!(count(RANGE, 3).is_ok());
        let refused = count(RANGE, 2).unwrap_err().to_string();
        assert!(refused.starts_with("WL-7159: ") && refused.contains("keys_max"), "{refused}");
    }

    #[test]
    fn fx_1_what_a_record_means_follows_from_what_happened() {
        let mut known = Known::default();
        let effect = |key: &str, state| Effect { effect_key: key.to_owned(), state, ..Effect::default() };
        known.take(&effect("a/0/erp", EffectState::Applied), "t");
        known.take(&effect("b/0/erp", EffectState::InDoubt), "t");
        let of = |foreseen: Option<Foreseen>| meaning(true, &known, (0, 1), foreseen.as_ref());
        assert_eq!(of(foreseen("a/0", true)), Meaning::Suppressed(None));
        assert_eq!(of(foreseen("b/0", true)), Meaning::InDoubt);
        assert_eq!(of(foreseen("c/0", true)), Meaning::Effect);
        assert_eq!(of(foreseen("a/0", false)), Meaning::NoEffect);
        assert_eq!(of(None), Meaning::Effect);
        assert_eq!(meaning(false, &known, (0, 1), None), Meaning::Events);
    }
}
