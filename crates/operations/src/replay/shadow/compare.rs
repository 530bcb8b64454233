//! What became of a record against what this version would make of it. Pure.

use runtime::shadow::{Said, SaidEvent};
use schemas::Decimal;
use schemas::catalogue::{Phi, SchemaFacts};
use serde_json::Value;
use std::collections::BTreeMap;

/// What stands for a value that is not shown.
pub const MASKED: &str = "***";

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Became {
    /// The topics do not tell: retention, or the room has not come to it.
    Nothing,
    /// These events, and behind them these effects.
    Emitted {
        /// The newest of each id.
        events: Vec<SaidEvent>,
        /// Keys of effects that happened because of it.
        effects: Vec<String>,
    },
    /// Left out by this rule.
    Dropped(String),
    /// Left out because it was there already.
    Duplicate,
    /// It is parked.
    Waits,
    /// A person is asked, for this code.
    Rejected(String),
    /// A person gave it up.
    Discarded(String),
    /// It could not be read.
    DeadLetter(String),
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Path in the event; entries of lists have no number.
    pub path: String,
    /// As it was written.
    pub before: Value,
    /// As this version would write it.
    pub after: Value,
}

/// How much the fate of a record differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not at all.
    Same,
    /// Other fields, or more or fewer events.
    Fields,
    /// It was accepted and would not be any more.
    NewlyRefused,
    /// It was not accepted and would be.
    NewlyAccepted,
    /// Not accepted before and not now, for another reason.
    OtherReason,
    /// What became of it is not known, or it was left out because it had been there before: nothing to compare with.
    Unknown,
}

/// What differs for a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// How much.
    pub class: Class,
    /// In words, as it was.
    pub before: String,
    /// In words, as it would be.
    pub after: String,
    /// Fields of events that both have.
    pub fields: Vec<FieldChange>,
    /// Events that would not be written any more.
    pub fewer: usize,
    /// Events that would be written besides.
    pub more: usize,
    /// Effects that are on record.
    pub effects_before: usize,
    /// Whether this version asks for an effect.
    pub effect_after: bool,
    /// It asks for an effect that is not on record.
    pub effect_new: bool,
    /// An effect is on record and this version asks for none.
    pub effect_gone: bool,
    /// Money of the events, and its currency, as it was.
    pub money_before: Vec<(String, Decimal)>,
    /// The same as it would be.
    pub money_after: Vec<(String, Decimal)>,
    /// Events of this version whose money only the other side can tell.
    pub money_unknown: usize,
}

/// Compares. Nothing said means that this version cannot read the record. `is_applied` knows keys of effects that happened,
/// also because of other records.
pub fn compare(became: &Became, said: Option<&Said>, answered: &[&str], is_applied: &dyn Fn(&str) -> bool) -> Compared {
    let before: (&[SaidEvent], &[String]) = match became {
        Became::Emitted { events, effects } => (events, effects),
        _ => (&[], &[]),
    };
    let (after, effect) = match said {
        Some(Said::Emits { events, effect }) => (events.as_slice(), effect.as_ref()),
        _ => (&[][..], None),
    };
    let mut compared = Compared {
        class: Class::Same,
        before: words_before(became),
        after: words_after(said),
        fields: Vec::new(),
        fewer: 0,
        more: 0,
        effects_before: before.1.len(),
        effect_after: effect.is_some(),
        effect_new: effect.is_some_and(|effect| !before.1.contains(&effect.key) && !is_applied(&effect.key)),
        effect_gone: !before.1.is_empty() && effect.is_none(),
        money_before: before.0.iter().filter_map(|event| money(&event.body)).collect(),
        money_after: Vec::new(),
        money_unknown: 0,
    };
    // An effect whose events nobody can rehearse is compared by its key alone.
    let untold = effect.is_some() && after.is_empty();
    if !untold {
        compared.events(before.0, after, answered);
    }
    compared.class = class(became, said, &compared);
    compared
}

/// Of what waits behind an event of its key that this version holds up as well.
pub fn behind(became: &Became) -> Compared {
    Compared { class: Class::Same, after: "waits".to_owned(), ..compare(became, None, &[], &|_| false) }
}

impl Compared {
    fn events(&mut self, before: &[SaidEvent], after: &[SaidEvent], answered: &[&str]) {
        let mut open: BTreeMap<&str, &Value> = before.iter().map(|event| (event.id.as_str(), &event.body)).collect();
        for event in after {
            let written = open.remove(event.id.as_str());
            match written {
                None => self.more += 1,
                Some(written) => differing("", written, &event.body, answered, &mut self.fields),
            }
            match money_of_answer(&event.body, written, answered) {
                Some(money) => self.money_after.push(money),
                None if has_money(&event.body, answered) => self.money_unknown += 1,
                None => {}
            }
        }
        self.fewer = open.len();
    }
}

fn class(became: &Became, said: Option<&Said>, compared: &Compared) -> Class {
    let accepts = matches!(said, Some(Said::Emits { .. }));
    match became {
        Became::Nothing | Became::Duplicate => Class::Unknown,
        Became::Emitted { .. } if !accepts => Class::NewlyRefused,
        Became::Emitted { .. } => {
            let same = compared.fields.is_empty() && compared.fewer == 0 && compared.more == 0;
            if same && !compared.effect_new && !compared.effect_gone { Class::Same } else { Class::Fields }
        }
        _ if accepts => Class::NewlyAccepted,
        Became::Dropped(rule) => same_if(matches!(said, Some(Said::Drops(reason)) if reason.rule == rule)),
        // Which code it waits for stands nowhere until a person is asked.
        Became::Waits => same_if(matches!(said, Some(Said::Waits(_) | Said::Rejects(_)))),
        Became::Rejected(code) | Became::Discarded(code) => same_if(match said {
            Some(Said::Waits(reason) | Said::Rejects(reason)) => reason.code.as_str() == code,
            _ => false,
        }),
        Became::DeadLetter(_) => same_if(said.is_none()),
    }
}

fn same_if(same: bool) -> Class {
    if same { Class::Same } else { Class::OtherReason }
}

fn words_before(became: &Became) -> String {
    match became {
        Became::Nothing => "nothing on record".to_owned(),
        Became::Emitted { .. } => "accepted".to_owned(),
        Became::Dropped(rule) => format!("left out: {rule}"),
        Became::Duplicate => "left out: there already".to_owned(),
        Became::Waits => "waits".to_owned(),
        Became::Rejected(code) => format!("a person is asked: {code}"),
        Became::Discarded(code) => format!("given up: {code}"),
        Became::DeadLetter(code) => format!("dead letter: {code}"),
    }
}

fn words_after(said: Option<&Said>) -> String {
    match said {
        None => "cannot be read".to_owned(),
        Some(Said::Emits { .. }) => "accepted".to_owned(),
        Some(Said::Drops(reason)) => format!("left out: {}", reason.rule),
        Some(Said::Waits(reason)) => format!("waits: {}", reason.code),
        Some(Said::Rejects(reason)) => format!("a person is asked: {}", reason.code),
    }
}

/// The leaves that differ, the paths in the contract's words.
fn differing(path: &str, before: &Value, after: &Value, except: &[&str], found: &mut Vec<FieldChange>) {
    if before == after || except.contains(&path) {
        return;
    }
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let side = |side: &serde_json::Map<String, Value>| side.get(name).cloned().unwrap_or(Value::Null);
                differing(&path, &side(one), &side(other), except, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (before, after) in one.iter().zip(other) {
                differing(path, before, after, except, found);
            }
        }
        _ => found.push(FieldChange { path: path.to_owned(), before: before.clone(), after: after.clone() }),
    }
}

/// The money of an event: its amount, or price times quantity where there is no amount.
fn money(body: &Value) -> Option<(String, Decimal)> {
    let number = |name: &str| body.get(name).and_then(Value::as_str)?.parse::<Decimal>().ok();
    let product = || number("unitPrice")?.checked_mul(number("baseQuantity")?);
    let currency = body.get("currency").and_then(Value::as_str).filter(|currency| !currency.is_empty())?;
    Some((currency.to_owned(), number("amount").or_else(product)?))
}

/// Whether an event is about money. Where the other side tells the currency, what moves something is.
fn has_money(body: &Value, answered: &[&str]) -> bool {
    if answered.contains(&"currency") {
        let quantity = body.get("quantity").and_then(Value::as_str).and_then(|text| text.parse::<Decimal>().ok());
        return quantity.is_some_and(|quantity| !quantity.is_zero());
    }
    body.get("currency").and_then(Value::as_str).is_some_and(|currency| !currency.is_empty())
}

/// The money of an event of this version. Where the other side tells the amount, the cost of one piece that it told before is
/// taken for the new quantity of the same article.
fn money_of_answer(after: &Value, before: Option<&Value>, answered: &[&str]) -> Option<(String, Decimal)> {
    if !answered.contains(&"amount") {
        return money(after);
    }
    let before = before.filter(|before| before.get("itemId") == after.get("itemId"))?;
    let (currency, amount) = money(before)?;
    let quantity = |body: &Value| body.get("quantity").and_then(Value::as_str)?.parse::<Decimal>().ok();
    let (old, new) = (quantity(before)?, quantity(after)?);
    let amount = if old == new { amount } else { amount.checked_div(old)?.checked_mul(new)?.round_dp(4) };
    Some((currency, amount))
}

/// A value as it may be shown: what says anything about a patient is not (PHI-1). What no contract classifies is not shown
/// either.
#[must_use]
pub fn masked(facts: Option<&SchemaFacts>, path: &str, value: &Value) -> String {
    let field = facts.and_then(|facts| facts.fields.iter().find(|field| field.path == path));
    match (field, value) {
        (_, Value::Null) => "null".to_owned(),
        (Some(field), Value::String(text)) if field.phi == Phi::None => text.clone(),
        (Some(field), other) if field.phi == Phi::None && !is_nested(other) => other.to_string(),
        _ => MASKED.to_owned(),
    }
}

/// Lists and records may hold fields of a higher class than their own.
fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}
