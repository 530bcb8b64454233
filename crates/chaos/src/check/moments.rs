//! What the times say. They are those of the brokers and of the harness, by the one clock of the machine; the clocks that jump are
//! in none of them.

use super::decide::name;
use super::evidence::{Evidence, STEPS, Stage};
use processor::laws::{Law, Violation};

/// So much may the clock of the machine be set back, milliseconds.
const SET_BACK_MS: i64 = 1_000;
/// The same between an answer and the record that it is about, which a sender that is answered too early beats by little.
const ANSWER_MS: i64 = 10;

/// LOSS-1: a positive answer that came before the brokers had what it is about.
pub(super) fn answered_early(evidence: &Evidence) -> Vec<Violation> {
    let taken = evidence.first_seen(Stage::Usage);
    let early = evidence.sent.iter().filter_map(|sent| {
        let (taken, accepted) = (*taken.get(&sent.signature)?, sent.accepted_ms?);
        (taken > accepted + ANSWER_MS).then(|| {
            let detail =
                format!("{} was accepted {} ms before the brokers had it", name(sent.signature), taken - accepted);
            Violation { law: Law::Loss1, detail }
        })
    });
    early.collect()
}

/// KEY-1: what is behind a room before it is in front of it, so that no wait can be believed.
pub(super) fn backwards(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (room, from, to) in STEPS {
        let (from, to) = (evidence.first_seen(from), evidence.first_seen(to));
        let both = from.iter().filter_map(|(one, from)| Some((*one, *from, *to.get(one)?)));
        violations.extend(both.filter(|(_, from, to)| to + SET_BACK_MS < *from).map(|(one, from, to)| {
            let detail = format!("{} is behind {room} {} ms before it is in front of it", name(one), from - to);
            Violation { law: Law::Key1, detail }
        }));
    }
    violations
}
