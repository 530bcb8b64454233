//! All laws, checked on what a run has left.

use super::cluster::NAME;
use super::erp::{Erp, LINES_MAX};
use super::evidence::{Evidence, event_of};
use super::instance::IN_FLIGHT_MAX;
use super::story::Story;
use super::toy::{Does, POST, Says, Told, VALIDATE, effect_key};
use super::world::{Handed, Pid};
use processor::laws::{
    Kept, Law, Outcome, Violation, check_bounds, check_delays, check_effects, check_loss, check_once, check_order,
    check_phi, check_raw, check_replays,
};
use runtime::record::Record;
use schemas::{AuditKind, Decimal};
use std::collections::{BTreeMap, BTreeSet};

/// Nobody who has nothing to wait for waits longer in a room, milliseconds: two rebalances, each with the longest drain.
const DELAY_MAX_MS: u64 = 6_000;
/// What an effect room may hold, and what is dropped and read again when partitions go.
const OUTSTANDING_MAX: usize = IN_FLIGHT_MAX + 4;

/// What a run has left.
pub(crate) struct Run<'a> {
    pub story: &'a Story,
    pub evidence: &'a Evidence,
    pub erp: &'a Erp,
    /// Ids of the validated events that were replayed.
    pub replayed: &'a [String],
    pub replays: usize,
    pub handed: &'a [Handed],
    pub log: &'a [String],
}

impl Run<'_> {
    /// Everything that is wrong.
    pub fn violations(&self) -> Vec<Violation> {
        let mut all = self.loss();
        all.extend(self.order());
        all.extend(self.once());
        all.extend(self.effects());
        all.extend(self.raw());
        all.extend(self.replays());
        all.extend(self.delays());
        all.extend(self.bounds());
        all.extend(self.phi());
        all
    }

    /// LOSS-1.
    pub fn loss(&self) -> Vec<Violation> {
        let evidence = self.evidence;
        let sent = self.story.events.iter().map(|(_, told)| told.id.as_str());
        let there: BTreeSet<&str> = evidence.inputs(VALIDATE).into_iter().collect();
        let mut all: Vec<Violation> = sent
            .filter(|id| !there.contains(id))
            .map(|id| Violation { law: Law::Loss1, detail: format!("{id} was confirmed and is not there") })
            .collect();
        let (copies, left_out) = (evidence.copies(), evidence.left_out(VALIDATE));
        let wrong = copies.difference(&left_out).map(|place| format!("the copy at {place} has no outcome"));
        let wrong =
            wrong.chain(left_out.difference(&copies).map(|place| format!("{place} was left out and is no copy")));
        all.extend(wrong.map(|detail| Violation { law: Law::Loss1, detail }));
        for room in [VALIDATE, POST] {
            let outcomes = evidence.outcomes(room);
            all.extend(check_loss(
                evidence.inputs(room),
                outcomes.iter().map(|(id, outcome, _)| (id.as_str(), *outcome)),
            ));
        }
        all
    }

    fn order(&self) -> Vec<Violation> {
        let evidence = self.evidence;
        let key = |record: &Record| record.key_text().into_owned();
        let inputs: Vec<(String, &str)> =
            evidence.usages.iter().map(|record| (key(record), event_of(record))).collect();
        let inputs = || inputs.iter().map(|(key, id)| (key.as_str(), *id));
        let validated = evidence.validated.iter();
        let outputs = validated.map(|(_, usage)| (usage.encounter_ref.as_str(), usage.meta.source.message_id.as_str()));
        let mut all = check_order(inputs(), outputs);
        let ledger = self.erp.ledger();
        // What happened twice is told by FX-1 and not here once more.
        let mut seen = BTreeSet::new();
        let first = ledger.iter().filter(|line| seen.insert(line.effect_key.as_str()));
        all.extend(check_order(inputs(), first.map(|line| (line.key.as_str(), line.event.as_str()))));
        all
    }

    fn once(&self) -> Vec<Violation> {
        let validated = self.evidence.validated.iter().map(|(_, usage)| usage.meta.event_id.as_str());
        let postings = self.evidence.postings.iter().map(|(_, posting)| posting.meta.event_id.as_str());
        let told = self.evidence.told_to_people(!self.replayed.is_empty());
        check_once(validated.chain(postings).chain(told.iter().map(String::as_str)))
    }

    /// Events whose effect must have happened: the rooms let them through, and nobody discarded them.
    fn acted(&self) -> Vec<&Told> {
        let dropped = |room: &str| -> BTreeSet<String> {
            let outcomes = self.evidence.outcomes(room).into_iter();
            outcomes.filter(|(_, outcome, _)| *outcome != Outcome::Emitted).map(|(id, _, _)| id).collect()
        };
        let (not_validated, not_posted) = (dropped(VALIDATE), dropped(POST));
        let origin: BTreeSet<&str> = self
            .evidence
            .validated
            .iter()
            .filter(|(record, _)| not_posted.contains(event_of(record)))
            .map(|(_, usage)| usage.meta.source.message_id.as_str())
            .collect();
        let acts = |told: &&Told| {
            matches!(told.does, Does::Post | Does::PostShared | Does::Refused)
                && !matches!(told.says, Says::Drop | Says::Garbage)
                && !not_validated.contains(&told.id)
                && !origin.contains(told.id.as_str())
        };
        self.story.events.iter().map(|(_, told)| told).filter(acts).collect()
    }

    fn effects(&self) -> Vec<Violation> {
        let key = |told: &Told| format!("{}|{}", told.business_key, told.revision);
        let acted = self.acted();
        let expected: Vec<String> = acted.iter().map(|told| key(told)).collect();
        let ledger = self.erp.ledger();
        let mut all =
            check_effects(expected.iter().map(String::as_str), ledger.iter().map(|line| line.effect_key.as_str()));
        // A correction posts the difference, so the sum is what was said last.
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for told in acted {
            last.insert(&told.business_key, told.quantity);
        }
        for (business_key, quantity) in last {
            let lines = ledger.iter().filter(|line| line.business_key == business_key);
            let sum: Decimal = lines.map(|line| line.quantity).sum();
            if sum != Decimal::from(quantity) {
                let detail = format!("the lines of {business_key} add up to {sum} and not to {quantity}");
                all.push(Violation { law: Law::Fx1, detail });
            }
        }
        all.extend(self.unintended());
        let doubled = self.erp.doubled_costs().into_iter();
        let doubled = doubled.map(|document_key| format!("the cost of document {document_key} was booked once more"));
        all.extend(doubled.map(|detail| Violation { law: Law::Fx1, detail }));
        all
    }

    /// Nothing is called for before that is on record: after a crash nobody would know of it.
    fn unintended(&self) -> Vec<Violation> {
        let called = self.erp.called().into_iter();
        let too_early = called.filter_map(|(document_key, at)| match self.evidence.intended.get(&document_key) {
            None => Some(format!("document {document_key} was called for without an effect record")),
            Some(intended) if *intended > at / 1_000 => {
                Some(format!("document {document_key} was called for before its effect record was written"))
            }
            Some(_) => None,
        });
        too_early.map(|detail| Violation { law: Law::Fx1, detail }).collect()
    }

    fn raw(&self) -> Vec<Violation> {
        let validated = self.evidence.validated.iter().map(|(record, _)| record);
        let originals: BTreeMap<String, &Record> =
            self.evidence.usages.iter().chain(validated).map(|record| (record.place.to_string(), record)).collect();
        let mut all = Vec::new();
        let mut check = |place: &str, kept: Kept<'_>, told: &[(&str, Option<&str>)]| {
            let original = originals.get(place).map(|record| kept_of(place, record));
            all.extend(check_raw(original.as_ref(), &kept, told));
        };
        for letter in &self.evidence.letters {
            let part = |name: &str| letter.header(name).unwrap_or_default();
            let place = format!("{}-{}@{}", part("wl_topic"), part("wl_partition"), part("wl_offset"));
            let told = [("stage", "wl_stage"), ("code", "wl_code"), ("version", "wl_version")];
            check(&place, kept_of(&place, letter), &told.map(|(name, header)| (name, letter.header(header))));
        }
        for exception in self.evidence.raised() {
            let place = format!(
                "{}-{}@{}",
                exception.origin_topic.as_deref().unwrap_or_default(),
                exception.origin_partition.unwrap_or(-1),
                exception.origin_offset.unwrap_or(-1)
            );
            let headers = exception.raw_headers.iter();
            let kept = Kept {
                place: &place,
                key: exception.raw_key.as_ref().map(AsRef::as_ref),
                value: exception.raw_value.as_ref().map(AsRef::as_ref),
                headers: headers
                    .map(|header| (header.key.as_str(), header.value.as_ref().map(AsRef::as_ref)))
                    .collect(),
            };
            let told = [
                ("stage", Some(exception.stage.as_str())),
                ("code", Some(exception.code.as_str())),
                ("version", Some(exception.version.as_str())),
            ];
            check(&place, kept, &told);
        }
        all
    }

    fn replays(&self) -> Vec<Violation> {
        let replayed: BTreeSet<&str> = self.replayed.iter().map(String::as_str).collect();
        let keys: Vec<String> = self
            .evidence
            .validated
            .iter()
            .filter(|(record, _)| replayed.contains(event_of(record)))
            .map(|(_, usage)| effect_key(&usage.meta))
            .collect();
        let ledger = self.erp.ledger();
        let on_record = self.evidence.audits.iter().filter(|(_, audit)| audit.kind == AuditKind::Replay).count();
        check_replays(
            keys.iter().map(String::as_str),
            ledger.iter().map(|line| line.effect_key.as_str()),
            self.replays,
            on_record,
        )
    }

    /// KEY-1, where nothing is wrong but what some events say: keys with an even number have nothing to wait for.
    fn delays(&self) -> Vec<Violation> {
        if !self.story.calm {
            return Vec::new();
        }
        let mut all = Vec::new();
        for room in [VALIDATE, POST] {
            let mut ended: BTreeMap<String, i64> = BTreeMap::new();
            for (id, _, at) in self.evidence.outcomes(room) {
                let first = ended.entry(id).or_insert(at);
                *first = at.min(*first);
            }
            let validated = self.evidence.validated.iter().map(|(record, _)| record);
            let inputs: Vec<&Record> =
                if room == VALIDATE { self.evidence.usages.iter().collect() } else { validated.collect() };
            let free = |record: &&&Record| {
                record
                    .key_text()
                    .rsplit('_')
                    .next()
                    .and_then(|key| key.parse::<u64>().ok())
                    .is_some_and(|key| key % 2 == 0)
            };
            let delays = inputs.iter().filter(free).map(|record| {
                let ended = ended.get(event_of(record)).copied().unwrap_or(i64::MAX);
                let delay = ended.saturating_sub(record.timestamp_ms.unwrap_or_default());
                (event_of(record), u64::try_from(delay).unwrap_or_default())
            });
            all.extend(check_delays(delays, DELAY_MAX_MS));
        }
        all
    }

    fn bounds(&self) -> Vec<Violation> {
        let outstanding = self.outstanding();
        check_bounds([
            ("records that an effect room holds", outstanding, OUTSTANDING_MAX),
            ("lines of one document", self.erp.lines_seen(), LINES_MAX),
        ])
    }

    /// Most records that one process of the effect room had taken and not settled.
    fn outstanding(&self) -> usize {
        let mut ended: BTreeMap<&str, i64> = BTreeMap::new();
        let outcomes = self.evidence.outcomes(POST);
        for (id, _, at) in &outcomes {
            let first = ended.entry(id).or_insert(*at);
            *first = (*first).min(*at);
        }
        let parked: BTreeMap<String, i64> = self.evidence.parked_at(POST);
        let settled = |id: &str| {
            let ended = ended.get(id).copied().unwrap_or(i64::MAX);
            ended.min(parked.get(id).copied().unwrap_or(i64::MAX))
        };
        let mut held: BTreeMap<(Pid, u64), Vec<i64>> = BTreeMap::new();
        let mut most = 0;
        for handed in self.handed {
            match handed {
                Handed::Record { pid, consumer, at_ms, event } => {
                    let held = held.entry((*pid, *consumer)).or_default();
                    held.retain(|until| until > at_ms);
                    held.push(settled(event));
                    most = most.max(held.len());
                }
                Handed::Left { consumer } => held.retain(|(_, holder), _| holder != consumer),
                Handed::Gone { pid } => held.retain(|(holder, _), _| holder != pid),
            }
        }
        most
    }

    fn phi(&self) -> Vec<Violation> {
        let mut texts: Vec<(String, String)> = Vec::new();
        for record in self.evidence.records() {
            let topic = &record.place.topic;
            texts.push((format!("a key of {topic}"), record.key_text().into_owned()));
            for (name, value) in &record.headers {
                let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
                texts.push((format!("header {name} of {topic}"), value));
            }
        }
        let exceptions = self.evidence.exceptions.iter();
        texts.extend(
            exceptions.map(|(_, exception)| ("a message of an exception".to_owned(), exception.message.clone())),
        );
        let audits = self.evidence.audits.iter();
        texts.extend(audits.map(|(_, audit)| ("a detail of an audit".to_owned(), audit.detail.clone())));
        texts.extend(self.log.iter().map(|line| ("the log".to_owned(), line.clone())));
        check_phi(&[NAME], texts.iter().map(|(place, text)| (place.as_str(), text.as_str())))
    }
}

fn kept_of<'a>(place: &'a str, record: &'a Record) -> Kept<'a> {
    Kept {
        place,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_deref())).collect(),
    }
}
