//! Somebody is shown what may identify a patient: that is on record before it is shown.

use runtime::clock;
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::outgoing::Lineage;
use runtime::publisher::{PublishError, Publisher};
use schemas::{Audit, AuditKind, Timestamp, topics};
use std::sync::Arc;

/// Code of these records.
pub const SHOW_ORIGINAL: &str = "show-original";
/// Letters and digits that a reason has at least.
const REASON_MIN: usize = 5;

/// What somebody is shown, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The command they use.
    pub via: &'static str,
    /// What it is, without patient data, for example `the source of an exception`.
    pub what: &'static str,
    /// Who.
    pub actor: String,
    /// Why they must see it.
    pub reason: String,
    /// Event it is about.
    pub event_id: Option<String>,
    /// Exception it is about.
    pub exception_id: Option<String>,
    /// Place of the record it is about.
    pub origin: Option<(String, i32, i64)>,
}

/// Whether a reason says something.
#[must_use]
pub fn is_reason(text: &str) -> bool {
    text.chars().filter(|character| character.is_alphanumeric()).count() >= REASON_MIN
}

impl Shown {
    /// Puts it on record, and returns when that is confirmed.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer: then nothing may be shown.
    pub async fn record(self, config: &Config) -> Result<(), PublishError> {
        let codec = Arc::new(Codec::new(&config.registry)?);
        let publisher = Publisher::connect(config, codec, &[topics::OPS_AUDIT_V1.info()]).await?;
        let record = publisher.event(&self.audit(clock::now_micros()), &Lineage::default())?;
        publisher.publish(&[record]).await
    }

    fn audit(self, now: i64) -> Audit {
        let place = self.origin.map(|(topic, partition, offset)| (Some(topic), Some(partition), Some(offset)));
        let (origin_topic, origin_partition, origin_offset) = place.unwrap_or_default();
        Audit {
            room: self.via.to_owned(),
            kind: AuditKind::Action,
            code: SHOW_ORIGINAL.to_owned(),
            origin_topic,
            origin_partition,
            origin_offset,
            event_id: self.event_id,
            exception_id: self.exception_id,
            detail: format!("was shown {}: {}", self.what, self.reason),
            actor: Some(self.actor),
            at: Timestamp(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_who_was_shown_what_and_why() {
        let shown = Shown {
            via: "cli",
            what: "the bytes of a dead letter",
            actor: "ada (as deploy)".to_owned(),
            reason: "the sender asks".to_owned(),
            origin: Some(("ops.dead-letter.v1".to_owned(), 2, 17)),
            ..Shown::default()
        };
        let audit = shown.audit(7);
        assert_eq!((audit.code.as_str(), audit.at, audit.kind), (SHOW_ORIGINAL, Timestamp(7), AuditKind::Action));
        assert_eq!(audit.detail, "was shown the bytes of a dead letter: the sender asks");
        assert_eq!((audit.origin_partition, audit.origin_offset), (Some(2), Some(17)));
        assert_eq!(audit.actor.as_deref(), Some("ada (as deploy)"));
    }

    #[test]
    fn a_reason_says_something() {
        assert!(is_reason("wrong patient at OR 3"));
        for nothing in ["", "....    ", "abc"] {
            assert!(!is_reason(nothing), "{nothing}");
        }
    }
}
