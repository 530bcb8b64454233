//! What a look at a range says, in bounded size.

use super::compare::{Class, Compared, masked};
use schemas::catalogue::SchemaFacts;
use schemas::{Decimal, TopicInfo};
use serde::Serialize;
use std::collections::BTreeMap;

/// Examples of each kind of difference.
const EXAMPLES: usize = 3;
/// Kinds of differences told one by one; further ones are counted in one row.
const ROWS_MAX: usize = 200;
/// The row for what is beyond.
const OTHER: &str = "(others)";

/// What another version would do differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowReport {
    /// The room.
    pub room: String,
    /// The topic that it reads.
    pub topic: String,
    /// The topic that it writes.
    pub writes: String,
    /// Version that was asked.
    pub version: String,
    /// Versions of what it is compared with, where they are known: exceptions and dead letters of the range say theirs, events and
    /// effects do not.
    pub compared_with: Vec<String>,
    /// Records looked at.
    pub records: u64,
    /// With the same fate.
    pub same: u64,
    /// With other fields, events or effects.
    pub fields_differ: u64,
    /// Accepted before, not any more.
    pub newly_refused: u64,
    /// Not accepted before, accepted now.
    pub newly_accepted: u64,
    /// Not accepted either way, for another reason.
    pub other_reason: u64,
    /// Not compared: nothing is on record about them, or they were left out because they had been there before.
    pub not_compared: u64,
    /// Other fates, largest first.
    pub changes: Vec<Change>,
    /// Fields that differ, most frequent first.
    pub fields: Vec<FieldReport>,
    /// Events that would not be written any more.
    pub events_fewer: u64,
    /// Events that would be written besides.
    pub events_more: u64,
    /// Effects.
    pub effects: EffectCounts,
    /// Money by currency.
    pub money: Vec<MoneyReport>,
    /// Events of this version whose money only the other side can tell.
    pub money_unknown: u64,
}

/// Records whose fate would change in the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// As it was.
    pub before: String,
    /// As it would be.
    pub after: String,
    /// How many.
    pub records: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// Where it stands.
    pub place: String,
    /// Its event id.
    pub event_id: String,
    /// What differs, as it was; only of a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What differs, as it would be; only of a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A field that differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldReport {
    /// Path in the event.
    pub path: String,
    /// In how many places.
    pub times: u64,
    /// Some of them. What says anything about a patient is masked.
    pub examples: Vec<Example>,
}

/// What would be done outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectCounts {
    /// Effects on record.
    pub before: u64,
    /// Records for which this version asks for an effect.
    pub after: u64,
    /// Of these, not on record: a replay would make them.
    pub new: u64,
    /// On record, and this version asks for none.
    pub gone: u64,
}

/// The money of a currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoneyReport {
    /// Currency.
    pub currency: String,
    /// As it was.
    pub before: Decimal,
    /// As it would be, where it is known.
    pub after: Decimal,
    /// The one less the other.
    pub difference: Decimal,
}

/// Adds up.
pub(super) struct Tally {
    report: ShadowReport,
    facts: Option<SchemaFacts>,
    changes: BTreeMap<(String, String), Change>,
    fields: BTreeMap<String, FieldReport>,
    money: BTreeMap<String, (Decimal, Decimal)>,
}

impl ShadowReport {
    /// Whether anything differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.fields_differ + self.newly_refused + self.newly_accepted + self.other_reason > 0
    }

    /// Its figures in one sentence, as they go on record. No value of a field, and nothing of a patient.
    #[must_use]
    pub fn said(&self) -> String {
        let Self { version, room, records, topic, .. } = self;
        let with = match self.compared_with.as_slice() {
            [] => String::new(),
            known => format!(", compared with version {}", known.join(", ")),
        };
        let mut said = vec![format!("version {version} of {room} over {records} records of {topic}{with}")];
        let verdicts = [
            (self.same, "the same"),
            (self.fields_differ, "with other fields, events or effects"),
            (self.newly_refused, "newly refused"),
            (self.newly_accepted, "newly accepted"),
            (self.other_reason, "for another reason"),
            (self.not_compared, "not compared"),
        ];
        let verdicts: Vec<String> = verdicts.iter().map(|(count, text)| format!("{count} {text}")).collect();
        said.push(verdicts.join(", "));
        said.push(format!("events {} fewer, {} more", self.events_fewer, self.events_more));
        let EffectCounts { before, after, new, gone } = self.effects;
        said.push(format!("effects {before} on record, {after} asked for, {new} new, {gone} no more"));
        for MoneyReport { currency, before, after, difference } in &self.money {
            said.push(format!("money {before} {currency} -> {after} {currency} ({difference:+})"));
        }
        if self.money_unknown > 0 {
            said.push(format!("money of {} events unknown", self.money_unknown));
        }
        said.join("; ")
    }
}

impl Tally {
    /// For a room that reads and writes these topics.
    pub fn new(room: &str, topic: &str, writes: &TopicInfo) -> Self {
        let facts = SchemaFacts::built_in().into_iter().find(|facts| facts.file == writes.schema_file);
        let report = ShadowReport {
            room: room.to_owned(),
            topic: topic.to_owned(),
            writes: writes.name.to_owned(),
            version: super::VERSION.to_owned(),
            ..ShadowReport::default()
        };
        Self { report, facts, changes: BTreeMap::new(), fields: BTreeMap::new(), money: BTreeMap::new() }
    }

    /// One record.
    pub fn take(&mut self, place: &str, event_id: &str, compared: &Compared) {
        let report = &mut self.report;
        report.records += 1;
        match compared.class {
            Class::Same => report.same += 1,
            Class::Fields => report.fields_differ += 1,
            Class::NewlyRefused => report.newly_refused += 1,
            Class::NewlyAccepted => report.newly_accepted += 1,
            Class::OtherReason => report.other_reason += 1,
            Class::Unknown => report.not_compared += 1,
        }
        let example = Example { place: place.to_owned(), event_id: event_id.to_owned(), ..Example::default() };
        if compared.class == Class::Unknown {
            return;
        }
        report.events_fewer += compared.fewer as u64;
        report.events_more += compared.more as u64;
        report.effects.before += compared.effects_before as u64;
        report.effects.after += u64::from(compared.effect_after);
        report.effects.new += u64::from(compared.effect_new);
        report.effects.gone += u64::from(compared.effect_gone);
        report.money_unknown += compared.money_unknown as u64;
        for (currency, amount) in &compared.money_before {
            self.money.entry(currency.clone()).or_default().0 += *amount;
        }
        for (currency, amount) in &compared.money_after {
            self.money.entry(currency.clone()).or_default().1 += *amount;
        }
        if matches!(compared.class, Class::NewlyRefused | Class::NewlyAccepted | Class::OtherReason) {
            self.changed(compared, example);
        } else {
            self.differ(compared, &example);
        }
    }

    /// The report.
    pub fn finish(self) -> ShadowReport {
        let Self { mut report, changes, fields, money, .. } = self;
        report.changes = changes.into_values().collect();
        report.changes.sort_by_key(|change| std::cmp::Reverse(change.records));
        report.fields = fields.into_values().collect();
        report.fields.sort_by_key(|field| std::cmp::Reverse(field.times));
        let row = |(currency, (before, after)): (String, (Decimal, Decimal))| MoneyReport {
            currency,
            before,
            after,
            difference: after - before,
        };
        report.money = money.into_iter().map(row).collect();
        report
    }

    fn changed(&mut self, compared: &Compared, example: Example) {
        let mut key = (compared.before.clone(), compared.after.clone());
        if self.changes.len() >= ROWS_MAX && !self.changes.contains_key(&key) {
            key = (OTHER.to_owned(), OTHER.to_owned());
        }
        let change = self.changes.entry(key.clone()).or_insert_with(|| Change {
            before: key.0,
            after: key.1,
            ..Change::default()
        });
        change.records += 1;
        if change.examples.len() < EXAMPLES {
            change.examples.push(example);
        }
    }

    fn differ(&mut self, compared: &Compared, example: &Example) {
        for field in &compared.fields {
            let known = self.fields.len() < ROWS_MAX || self.fields.contains_key(&field.path);
            let path = if known { field.path.clone() } else { OTHER.to_owned() };
            let row = self.fields.entry(path.clone()).or_insert_with(|| FieldReport { path, ..FieldReport::default() });
            row.times += 1;
            if row.examples.len() < EXAMPLES {
                let shown = |value| Some(masked(self.facts.as_ref(), &field.path, value));
                row.examples.push(Example {
                    before: shown(&field.before),
                    after: shown(&field.after),
                    ..example.clone()
                });
            }
        }
    }
}
