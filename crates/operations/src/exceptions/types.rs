//! What the views answer.

use crate::offsets::Offsets;
use schemas::{Criticality, Decimal, ExceptionKind, ExceptionState};
use serde::Serialize;
use std::fmt;

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// ISO 4217.
    pub currency: String,
    /// The amount with its sign; credits and returns are negative.
    pub amount: Decimal,
}

impl fmt::Display for Money {
    /// With two decimal places at least, and narrow spaces between the thousands: `48 210.00 EUR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.amount;
        amount.rescale(amount.scale().max(2));
        let text = amount.abs().to_string();
        let (whole, part) = text.split_once('.').unwrap_or((&text, "00"));
        if amount.is_sign_negative() && !amount.is_zero() {
            f.write_str("-")?;
        }
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                f.write_str("\u{202f}")?;
            }
            write!(f, "{digit}")?;
        }
        write!(f, ".{part} {}", self.currency)
    }
}

/// Amounts as people read them, one after the other.
#[must_use]
pub fn money_text(money: &[Money]) -> String {
    money.iter().map(Money::to_string).collect::<Vec<_>>().join(", ")
}

/// What one cause holds up. What has one cause is mended once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Code under which the exceptions were raised.
    pub code: String,
    /// Room that raised them.
    pub room: String,
    /// What it is about, `kind/key`; none where the events themselves are at fault.
    pub subject: Option<String>,
    /// Open exceptions.
    pub exceptions: usize,
    /// Keys that wait, those behind the exceptions included.
    pub keys: usize,
    /// Events that wait, the later ones of these keys included.
    pub events: usize,
    /// When the first was raised, microseconds since 1970.
    pub since: i64,
    /// One sentence of an exception.
    pub message: String,
    /// What would make it go away.
    pub suggested_fix: Option<String>,
    /// Open exceptions that should have been settled by now.
    pub overdue: usize,
    /// When the first of them is due, microseconds since 1970.
    pub due: i64,
    /// What the waiting events are worth, by the price of the item or else by what the sender charges, where they say it.
    pub money: Vec<Money>,
    /// Waiting events that do not say what they are worth: neither a price of the item nor what the sender charges is known.
    pub events_without_price: usize,
}

/// The causes with most waiting events, and what all of them come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Causes {
    /// The one with most waiting events first.
    pub causes: Vec<Cause>,
    /// Causes in all.
    pub total: usize,
    /// Open exceptions of all causes that should have been settled by now.
    pub overdue: usize,
}

/// The oldest open exception of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Oldest {
    /// The class.
    pub class: Criticality,
    /// When it was raised, microseconds since 1970.
    pub raised_at: i64,
    /// Its id.
    pub exception_id: String,
    /// Whether it should have been settled by now.
    pub is_overdue: bool,
    /// Open exceptions of the class.
    pub open: usize,
}

/// What was raised in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When it begins, microseconds since 1970.
    pub start: i64,
    /// Exceptions that were raised in it and are settled.
    pub settled: usize,
    /// Those that are still open.
    pub open: usize,
}

/// What waits in one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// Room.
    pub room: String,
    /// Events that are parked.
    pub events: usize,
    /// What they are worth, where they say it.
    pub money: Vec<Money>,
    /// Events that do not say what they are worth.
    pub events_without_price: usize,
}

/// One exception in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its id.
    pub exception_id: String,
    /// What happened last.
    pub kind: ExceptionKind,
    /// Where it stands.
    pub state: ExceptionState,
    /// Room that raised it.
    pub room: String,
    /// Code.
    pub code: String,
    /// One sentence, without patient data.
    pub message: String,
    /// What it is about, `kind/key`.
    pub subject: Option<String>,
    /// What would make it go away.
    pub suggested_fix: Option<String>,
    /// How urgent its flow is.
    pub class: Criticality,
    /// Topic of the record it is about.
    pub origin_topic: Option<String>,
    /// Its partition.
    pub origin_partition: Option<i32>,
    /// Its offset.
    pub origin_offset: Option<i64>,
    /// When it was raised, microseconds since 1970.
    pub raised_at: i64,
    /// When the last thing happened, microseconds since 1970.
    pub at: i64,
    /// When it should be settled, microseconds since 1970.
    pub due_at: i64,
    /// It is open and that time has passed.
    pub is_overdue: bool,
    /// Who has it.
    pub assignee: Option<String>,
    /// Who asked to discard it, where a second person has to agree.
    pub discard_requested_by: Option<String>,
    /// Who has corrected its event, where a second person has to agree.
    pub correction_requested_by: Option<String>,
    /// The mark of that correction: an approval says it, so that it counts for nothing else.
    pub correction_mark: Option<String>,
    /// Whether later events of its key wait behind it.
    pub parked_key: bool,
    /// Events of its key that wait now, its own included.
    pub events: usize,
    /// Partition and offset of its last record.
    #[serde(skip)]
    pub place: (i32, i64),
}

impl Row {
    /// Whether somebody still has to do something about it.
    pub fn is_open(&self) -> bool {
        is_open(self.state)
    }
}

/// Whether somebody still has to do something about an exception that stands so.
pub fn is_open(state: ExceptionState) -> bool {
    !matches!(state, ExceptionState::Resolved | ExceptionState::Discarded)
}

/// Which exceptions are wanted. Everything that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Also those that are resolved or discarded.
    pub settled: bool,
    /// Only this code.
    pub code: Option<String>,
    /// Only this room.
    pub room: Option<String>,
    /// Only those about this subject, `kind/key`; an empty text means those about none.
    pub subject: Option<String>,
    /// Only what this person has; an empty text means what nobody has.
    pub assignee: Option<String>,
    /// Only what should have been settled by now.
    pub overdue: bool,
    /// Only what waits for a second person to agree that it is discarded or corrected.
    pub to_approve: bool,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows that are left out before it.
    pub skip: usize,
    /// Most rows.
    pub most: usize,
    /// Newest first instead of oldest first.
    pub newest_first: bool,
}

impl Page {
    /// The first rows, oldest first.
    pub fn first(most: usize) -> Self {
        Self { skip: 0, most, newest_first: false }
    }

    /// Everything there is.
    pub fn all() -> Self {
        Self::first(usize::MAX)
    }
}

/// A part of a list, and how long the whole is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The rows of the page.
    pub rows: Vec<Row>,
    /// Exceptions that match, on all pages.
    pub total: usize,
    /// How far the view had read, the last record of each partition: what is decided about all that are listed is about these.
    pub seen_until: Offsets,
}

/// What an id that was typed means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No exception has an id that starts so.
    None,
    /// This one.
    One(String),
    /// Several ids start so.
    Several,
}

/// How a view stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Everything that was written when the view started has been read.
    pub caught_up: bool,
    /// Why it does not get on at the moment; what it shows may be old.
    pub trouble: Option<String>,
    /// What is missing in it, one sentence with a code each; empty when it is complete.
    pub incomplete: Vec<String>,
    /// Exceptions it knows.
    pub exceptions: usize,
    /// Of these the open ones.
    pub open: usize,
    /// Events that are parked.
    pub parked: usize,
    /// Keys that wait.
    pub keys: usize,
    /// Bytes of memory it holds, about.
    pub bytes: usize,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_people_read_it() {
        let money = |amount: &str| Money { currency: "EUR".to_owned(), amount: amount.parse().unwrap() };
        for (amount, text) in [
            ("48210", "48 210.00 EUR"),
            ("1234567.8912", "1 234 567.8912 EUR"),
            ("-1000.5", "-1 000.50 EUR"),
            ("-0.00", "0.00 EUR"),
            ("999.999", "999.999 EUR"),
            ("7", "7.00 EUR"),
        ] {
            assert_eq!(money(amount).to_string().replace('\u{202f}', " "), text);
        }
        assert_eq!(money_text(&[money("1"), money("2")]), "1.00 EUR, 2.00 EUR");
        assert_eq!(money_text(&[]), "");
    }
}
