//! What was received lately, to recognise resends. Rebuilt from `ops.receipt.v1` at start, bounded in number.

use std::collections::{HashMap, VecDeque};
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

/// Remembers messages by receipt id, and which content a control id had last.
#[derive(Debug)]
pub struct Ledger {
    messages_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: HashMap<String, Known>,
    /// Receipt id of the newest message under each name (sender and control id).
    names: HashMap<String, String>,
    order: VecDeque<(String, String)>,
}

impl Ledger {
    /// An empty ledger for at most `messages_max` messages.
    pub fn new(messages_max: usize) -> Self {
        Self { messages_max: messages_max.max(1), state: Mutex::default() }
    }

    /// What is known of a message.
    pub fn find(&self, receipt_id: &str) -> Option<Known> {
        self.lock().messages.get(receipt_id).copied()
    }

    /// Whether the sender has used this control id for other bytes.
    pub fn is_reused(&self, name: &str, receipt_id: &str) -> bool {
        self.lock().names.get(name).is_some_and(|known| known != receipt_id)
    }

    /// Remembers a message that is settled.
    pub fn remember(&self, receipt: &Receipt) {
        let name = name_of(receipt);
        let known = Known { outcome: receipt.outcome, received_at: receipt.received_at };
        let mut state = self.lock();
        if state.messages.insert(receipt.receipt_id.clone(), known).is_none() {
            state.order.push_back((receipt.receipt_id.clone(), name.clone()));
        }
        state.names.insert(name, receipt.receipt_id.clone());
        while state.order.len() > self.messages_max {
            let Some((oldest, name)) = state.order.pop_front() else { break };
            if state.names.get(&name) == Some(&oldest) {
                state.names.remove(&name);
            }
            state.messages.remove(&oldest);
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

/// Sender and control id, as in a receipt.
fn name_of(receipt: &Receipt) -> String {
    format!("{}|{}", receipt.source, receipt.message_id)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ledger.remember(&receipt("r1", "1"));
        assert!(ledger.find("r1").is_some() && ledger.find("r2").is_none());
        assert!(ledger.is_reused("hl7v2/A|F|1", "r2"));
        assert!(!ledger.is_reused("hl7v2/A|F|1", "r1"));
        assert!(!ledger.is_reused("hl7v2/A|F|2", "r2"));
    }

    #[test]
    fn forgets_the_oldest_first() {
        let ledger = Ledger::new(2);
        for number in 1..=5 {
            ledger.remember(&receipt(&format!("r{number}"), &number.to_string()));
        }
        assert_eq!(ledger.len(), 2);
        assert!(ledger.find("r3").is_none() && ledger.find("r5").is_some());
        assert!(!ledger.is_reused("hl7v2/A|F|1", "x"));
    }
}
