//! What was received lately, to recognise resends. Rebuilt from `ops.receipt.v1` at start, bounded in number.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use schemas::{Receipt, ReceiptOutcome, Timestamp};

/// What is remembered about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it became.
    pub outcome: ReceiptOutcome,
    /// When it was received first: the time of its answer.
    pub received_at: Timestamp,
}

/// What the ledger holds about a message that has come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Set if it was settled before.
    pub known: Option<Known>,
    /// Whether the sender has used its control id for other bytes.
    pub is_reused: bool,
    /// Its records that are on their topics although its receipt is not.
    pub published: Vec<String>,
}

/// Remembers messages by receipt id, and which content a control id had last.
#[derive(Debug)]
pub struct Ledger {
    messages_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: HashMap<u128, Known>,
    /// The newest message under each name (sender and control id). Only a warning hangs on it, so a short hash will do.
    names: HashMap<u64, u128>,
    order: VecDeque<(u128, u64)>,
    /// Records that are on their topics although the receipt of their message is not there.
    published: HashMap<u128, Vec<String>>,
}

impl Ledger {
    /// An empty ledger for at most `messages_max` messages.
    pub fn new(messages_max: usize) -> Self {
        Self { messages_max: messages_max.max(1), state: Mutex::default() }
    }

    /// What is known of a message with this receipt id, and of others that its sender named alike. `name` is sender and control
    /// id.
    pub fn look(&self, receipt_id: u128, name: (&str, &str)) -> Look {
        let name = short(name);
        let state = self.lock();
        Look {
            known: state.messages.get(&receipt_id).copied(),
            is_reused: state.names.get(&name).is_some_and(|known| *known != receipt_id),
            // Usually there are none at all.
            published: state.published.get(&receipt_id).cloned().unwrap_or_default(),
        }
    }

    /// Remembers a message that is settled.
    pub fn remember(&self, receipt: &Receipt) {
        let id = number(&receipt.receipt_id);
        let name = short((&receipt.source, &receipt.message_id));
        let known = Known { outcome: receipt.outcome, received_at: receipt.received_at };
        let mut state = self.lock();
        state.published.remove(&id);
        if state.messages.insert(id, known).is_none() {
            state.order.push_back((id, name));
        }
        state.names.insert(name, id);
        while state.order.len() > self.messages_max {
            let Some((oldest, name)) = state.order.pop_front() else { break };
            if state.names.get(&name) == Some(&oldest) {
                state.names.remove(&name);
            }
            state.messages.remove(&oldest);
        }
    }

    /// Remembers that a record of a message is on its topic: an event by its id, a dead letter by its part. Nothing needs to be
    /// remembered when the message has its receipt.
    pub fn published(&self, receipt_id: &str, record: &str) {
        let id = number(receipt_id);
        let mut state = self.lock();
        let room = state.published.len() < self.messages_max || state.published.contains_key(&id);
        if room && !state.messages.contains_key(&id) {
            let records = state.published.entry(id).or_default();
            if !records.iter().any(|known| known == record) {
                records.push(record.to_owned());
            }
        }
    }

    /// How many messages are remembered.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receipt id (a UUID) as a number: a fifth of the memory of its text.
fn number(receipt_id: &str) -> u128 {
    receipt_id.bytes().fold(0, |number, byte| match char::from(byte).to_digit(16) {
        Some(digit) => (number << 4) | u128::from(digit),
        None => number,
    })
}

fn short(name: (&str, &str)) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000000-0000-5000-8000-00000000000a";
    const B: &str = "00000000-0000-5000-8000-00000000000b";

    fn receipt(id: &str, message: &str) -> Receipt {
        Receipt {
            receipt_id: id.to_owned(),
            source: "hl7v2/A|F".to_owned(),
            message_id: message.to_owned(),
            outcome: ReceiptOutcome::Events,
            ..Receipt::default()
        }
    }

    #[test]
    fn knows_resends_and_reused_control_ids() {
        let ledger = Ledger::new(10);
        ledger.remember(&receipt(A, "1"));
        let look = |id, message| ledger.look(number(id), ("hl7v2/A|F", message));
        assert!(look(A, "1").known.is_some() && look(B, "1").known.is_none());
        assert!(look(B, "1").is_reused && !look(A, "1").is_reused && !look(B, "2").is_reused);
    }

    #[test]
    fn knows_the_records_of_a_message_until_it_has_a_receipt() {
        let ledger = Ledger::new(10);
        ledger.published(A, "event 1");
        ledger.published(A, "event 1");
        let found = |id| ledger.look(number(id), ("", "")).published;
        assert_eq!(found(A), ["event 1"]);
        ledger.remember(&receipt(A, "1"));
        ledger.published(A, "event 2");
        assert!(found(A).is_empty() && found(B).is_empty());
    }

    #[test]
    fn forgets_the_oldest_first() {
        let ledger = Ledger::new(2);
        for number in 1..=5 {
            ledger.remember(&receipt(&number.to_string(), &number.to_string()));
        }
        assert_eq!(ledger.len(), 2);
        let look = |id, message| ledger.look(id, ("hl7v2/A|F", message));
        assert!(look(3, "3").known.is_none() && look(5, "5").known.is_some());
        assert!(!look(number(B), "1").is_reused);
    }
}
