//! What is counted of messages and answers, looked up once instead of with each message.

use runtime::metrics::{Counter, RoomMetrics};
use schemas::ReceiptOutcome;

use super::intake::Taken;
use crate::mllp::AckCode;

/// Counters of messages, and of answers by their code.
pub(super) struct Counters {
    metrics: RoomMetrics,
    codes: [(AckCode, Counter); 6],
    none: Counter,
}

impl Counters {
    pub(super) fn new(metrics: &RoomMetrics) -> Self {
        let codes = [AckCode::Aa, AckCode::Ae, AckCode::Ar, AckCode::Ca, AckCode::Ce, AckCode::Cr];
        let codes = codes.map(|code| (code, metrics.mllp_messages(code.name())));
        Self { codes, none: metrics.mllp_messages("none"), metrics: metrics.clone() }
    }

    /// Counts the answers to one frame.
    pub(super) fn count_answers(&self, answers: impl Iterator<Item = AckCode>) {
        let mut answered = false;
        for answer in answers {
            answered = true;
            if let Some((_, counter)) = self.codes.iter().find(|(code, _)| *code == answer) {
                counter.inc();
            }
        }
        if !answered {
            self.none.inc();
        }
    }

    /// Counts what became of one message.
    pub(super) fn count(&self, taken: &Taken) {
        if !taken.confirmed {
            return;
        }
        let metrics = &self.metrics;
        let (counter, count) = match taken.outcome {
            _ if taken.duplicate => (&metrics.duplicate, 1),
            ReceiptOutcome::Events => (&metrics.emitted, u64::try_from(taken.events).unwrap_or_default()),
            ReceiptOutcome::Dropped => (&metrics.dropped, 1),
            ReceiptOutcome::Exception => (&metrics.rejected, 1),
            _ => (&metrics.dead_letter, 1),
        };
        counter.inc_by(count);
    }
}
