//! The laws, named once. Simulation, broker tests, crash tests and reconciliation check them with these functions.
//!
//! Only the standard library is used here, so that a checker shares nothing with what it checks but these definitions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// A law of Wardline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Law {
    /// Every input record ends in exactly one visible outcome.
    Loss1,
    /// Events of one key take effect in order.
    Ord1,
    /// A failing key never delays another key beyond its class's SLA.
    Key1,
    /// Kafka to Kafka: a `read_committed` reader sees no duplicate.
    Eos1,
    /// Effects outside Kafka happen once per business key and revision.
    Fx1,
    /// An exception or dead letter holds the original bytes, the place, the stage, the code and the version.
    Raw1,
    /// A replay cannot repeat an effect that already happened.
    Rpl1,
    /// No directly identifying data in keys, headers, topic names, logs, metrics, traces or de-identified topics.
    Phi1,
    /// Every queue, retry, batch, cache and wait has a bound.
    Bnd1,
}

impl Law {
    /// The id used in tests, reports and documents.
    pub fn id(self) -> &'static str {
        match self {
            Self::Loss1 => "LOSS-1",
            Self::Ord1 => "ORD-1",
            Self::Key1 => "KEY-1",
            Self::Eos1 => "EOS-1",
            Self::Fx1 => "FX-1",
            Self::Raw1 => "RAW-1",
            Self::Rpl1 => "RPL-1",
            Self::Phi1 => "PHI-1",
            Self::Bnd1 => "BND-1",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.id())
    }
}

/// One broken law, with what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// What was seen, in one sentence without values of patients.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.law, self.detail)
    }
}

/// How an input record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// At least one output event.
    Emitted,
    /// Already handled before.
    Duplicate,
    /// Left out by a named rule.
    Dropped,
    /// Waits for a person, or is parked behind one that does.
    Exception,
    /// Undecodable; the bytes are on the dead-letter topic.
    DeadLetter,
}

impl Outcome {
    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Emitted => "emitted",
            Self::Duplicate => "duplicate",
            Self::Dropped => "dropped",
            Self::Exception => "exception",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// LOSS-1: each input has exactly one outcome, and no outcome lacks its input.
pub fn check_loss<'a>(
    inputs: impl IntoIterator<Item = &'a str>,
    outcomes: impl IntoIterator<Item = (&'a str, Outcome)>,
) -> Vec<Violation> {
    let mut by_input: BTreeMap<&str, BTreeSet<Outcome>> = inputs.into_iter().map(|id| (id, BTreeSet::new())).collect();
    let mut violations = Vec::new();
    for (id, outcome) in outcomes {
        match by_input.get_mut(id) {
            Some(seen) => {
                seen.insert(outcome);
            }
            None => violations.push(violation(Law::Loss1, format!("outcome {} of unknown input {id}", outcome.name()))),
        }
    }
    for (id, seen) in by_input {
        if seen.is_empty() {
            violations.push(violation(Law::Loss1, format!("input {id} has no outcome")));
        } else if seen.len() > 1 {
            let names: Vec<_> = seen.into_iter().map(Outcome::name).collect();
            violations.push(violation(Law::Loss1, format!("input {id} has several outcomes: {}", names.join(", "))));
        }
    }
    violations
}

/// ORD-1: the effects of each key are a subsequence of its inputs, each at most once, in input order.
pub fn check_order<'a>(
    inputs: impl IntoIterator<Item = (&'a str, &'a str)>,
    effects: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Violation> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for (key, id) in inputs {
        let place = next.entry(key).or_default();
        places.entry((key, id)).or_insert(*place);
        *place += 1;
    }
    let mut reached: HashMap<&str, usize> = HashMap::new();
    let mut violations = Vec::new();
    for (key, id) in effects {
        let Some(place) = places.get(&(key, id)) else {
            violations.push(violation(Law::Ord1, format!("effect {id} of key {key} has no input")));
            continue;
        };
        let least = reached.entry(key).or_default();
        if *place < *least {
            violations.push(violation(Law::Ord1, format!("effect {id} of key {key} came after a later one")));
        }
        *least = (*least).max(place + 1);
    }
    violations
}

/// EOS-1: no id appears twice among the committed outputs.
pub fn check_once<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<Violation> {
    repeated(ids).map(|(id, times)| violation(Law::Eos1, format!("output {id} is there {times} times"))).collect()
}

/// FX-1: each effect key has exactly one effect in the ledger of the other side; `expected` ones must be there.
pub fn check_effects<'a>(
    expected: impl IntoIterator<Item = &'a str>,
    ledger: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<Violation> {
    let present: BTreeSet<&str> = ledger.clone().into_iter().collect();
    let missing = expected
        .into_iter()
        .filter(|key| !present.contains(key))
        .map(|key| violation(Law::Fx1, format!("effect {key} is missing on the other side")))
        .collect::<Vec<_>>();
    let doubled =
        repeated(ledger).map(|(key, times)| violation(Law::Fx1, format!("effect {key} happened {times} times")));
    missing.into_iter().chain(doubled).collect()
}

/// PHI-1: none of the identifying `values` appears in the texts (keys, headers, logs, labels).
pub fn check_phi<'a>(values: &[&str], texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (place, text) in texts {
        for (number, value) in values.iter().enumerate() {
            if !value.is_empty() && text.contains(value) {
                violations.push(violation(Law::Phi1, format!("identifying value number {number} is in {place}")));
            }
        }
    }
    violations
}

/// One record as it came, and what an exception or a dead letter keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Where the record lies: topic, partition and offset in one text.
    pub place: &'a str,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// RAW-1: what is kept of a record is the record, and stage, code and version of what refused it are told. Further headers
/// may have been added.
pub fn check_raw(original: Option<&Kept<'_>>, kept: &Kept<'_>, told: &[(&str, Option<&str>)]) -> Vec<Violation> {
    let mut found = Vec::new();
    let place = kept.place;
    match original {
        None => found.push(format!("{place} is named, but there is no such record")),
        Some(original) => {
            if original.value != kept.value {
                found.push(format!("the bytes of {place} are not kept"));
            }
            if original.key != kept.key {
                found.push(format!("the key of {place} is not kept"));
            }
            let missing = original.headers.iter().filter(|header| !kept.headers.contains(header)).count();
            if missing > 0 {
                found.push(format!("{missing} headers of {place} are not kept"));
            }
        }
    }
    let untold = told.iter().filter(|(_, text)| text.is_none_or(str::is_empty));
    found.extend(untold.map(|(name, _)| format!("the {name} of what refused {place} is not told")));
    found.into_iter().map(|detail| violation(Law::Raw1, detail)).collect()
}

/// KEY-1: nobody who has nothing to wait for waits longer than allowed. Times are of any one unit.
pub fn check_delays<'a>(delays: impl IntoIterator<Item = (&'a str, u64)>, most: u64) -> Vec<Violation> {
    let late = delays.into_iter().filter(|(_, delay)| *delay > most);
    late.map(|(id, delay)| violation(Law::Key1, format!("{id} took {delay}, more than {most}"))).collect()
}

/// RPL-1: what was replayed has happened once at most on the other side, and each replay is on record.
pub fn check_replays<'a>(
    replayed: impl IntoIterator<Item = &'a str>,
    ledger: impl IntoIterator<Item = &'a str>,
    replays: usize,
    on_record: usize,
) -> Vec<Violation> {
    let replayed: BTreeSet<&str> = replayed.into_iter().collect();
    let again = repeated(ledger.into_iter().filter(|key| replayed.contains(key)));
    let mut violations: Vec<Violation> = again
        .map(|(key, times)| violation(Law::Rpl1, format!("replayed effect {key} happened {times} times")))
        .collect();
    if on_record < replays {
        violations.push(violation(Law::Rpl1, format!("{on_record} of {replays} replays are on record")));
    }
    violations
}

/// BND-1: nothing was ever larger than its bound.
pub fn check_bounds<'a>(seen: impl IntoIterator<Item = (&'a str, usize, usize)>) -> Vec<Violation> {
    let over = seen.into_iter().filter(|(_, seen, most)| seen > most);
    over.map(|(what, seen, most)| violation(Law::Bnd1, format!("{what}: {seen}, more than {most}"))).collect()
}

fn violation(law: Law, detail: String) -> Violation {
    Violation { law, detail }
}

fn repeated<'a>(ids: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, usize)> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        *times.entry(id).or_default() += 1;
    }
    times.into_iter().filter(|(_, count)| *count > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_1_names_the_lost_the_doubled_and_the_unknown() {
        let found = check_loss(
            ["a", "b", "c"],
            [("a", Outcome::Emitted), ("b", Outcome::Emitted), ("b", Outcome::Dropped), ("x", Outcome::Duplicate)],
        );
        let details: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            details,
            [
                "LOSS-1: outcome duplicate of unknown input x",
                "LOSS-1: input b has several outcomes: emitted, dropped",
                "LOSS-1: input c has no outcome",
            ]
        );
    }

    #[test]
    fn ord_1_allows_gaps_but_no_step_back() {
        let inputs = [("k", "1"), ("k", "2"), ("k", "3"), ("l", "1")];
        assert!(check_order(inputs, [("k", "1"), ("l", "1"), ("k", "3")]).is_empty());
        assert_eq!(check_order(inputs, [("k", "2"), ("k", "1")]).len(), 1);
        assert_eq!(check_order(inputs, [("k", "2"), ("k", "2")]).len(), 1);
    }

    #[test]
    fn fx_1_and_eos_1_count() {
        assert!(check_effects(["a"], ["a"]).is_empty());
        assert_eq!(check_effects(["a", "b"], ["a", "a"]).len(), 2);
        assert_eq!(check_once(["a", "b", "a"]).len(), 1);
    }

    #[test]
    fn raw_1_compares_with_the_record_as_it_came() {
        let original = Kept { place: "t-0@1", key: Some(b"k"), value: Some(b"v"), headers: vec![("a", None)] };
        let added = Kept { headers: vec![("a", None), ("b", None)], ..original.clone() };
        assert!(check_raw(Some(&original), &added, &[("code", Some("WL-1"))]).is_empty());
        let bare = Kept { value: None, ..original.clone() };
        assert_eq!(check_raw(Some(&original), &bare, &[("code", None)]).len(), 2);
        assert_eq!(check_raw(None, &original, &[]).len(), 1);
    }

    #[test]
    fn key_1_rpl_1_and_bnd_1_name_what_is_over() {
        assert_eq!(check_delays([("a", 5), ("b", 6)], 5).len(), 1);
        assert!(check_replays(["a"], ["a", "b", "b"], 1, 1).is_empty());
        assert_eq!(check_replays(["a"], ["a", "a"], 2, 1).len(), 2);
        assert_eq!(check_bounds([("queue", 3, 2), ("cache", 1, 2)]).len(), 1);
    }

    #[test]
    fn phi_1_finds_a_value_and_does_not_repeat_it() {
        let found = check_phi(&["MRN-1"], [("a header", "x MRN-1 y"), ("a key", "enc_0")]);
        assert_eq!(found.len(), 1);
        assert!(!found[0].detail.contains("MRN"));
    }
}
