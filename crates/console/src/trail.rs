//! What goes on record in `ops.audit.v1`: what people were denied, and what they were shown.
//!
//! What people decide goes on record where it is decided, in `operations`.

use crate::problem::Problem;
use runtime::codec::Codec;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use runtime::{Config, clock};
use schemas::{Audit, AuditKind, Timestamp, topics};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Name of the console on record.
pub const ROOM: &str = "console";
/// Denied attempts that are being written at the same time; beyond, they are counted.
const UNDER_WAY_MAX: usize = 64;
/// Longest wait for a record of a denied attempt, so that a broker that is away does not hold them all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes records.
#[derive(Clone)]
pub struct Trail {
    config: Arc<Config>,
    /// Connected by the first record, and again by the next one after it broke.
    publisher: Arc<tokio::sync::Mutex<Option<Publisher>>>,
    denied: Arc<Mutex<Denied>>,
    per_minute: u32,
}

/// What is denied is counted, so that somebody who tries without end does not fill the topic.
#[derive(Debug, Default)]
struct Denied {
    minute: i64,
    written: u32,
    left_out: u64,
    under_way: usize,
}

/// Something that goes on record.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Code or name of what happened.
    pub code: String,
    /// One sentence, without patient data and secrets.
    pub detail: String,
    /// Who did it.
    pub actor: Option<String>,
    /// Event it is about.
    pub event_id: Option<String>,
    /// Exception it is about.
    pub exception_id: Option<String>,
    /// Place of the record it is about.
    pub origin: Option<(String, i32, i64)>,
}

impl Trail {
    /// Connects when the first record is written.
    pub fn new(config: &Arc<Config>, per_minute: u32) -> Self {
        Self { config: Arc::clone(config), publisher: Arc::default(), denied: Arc::default(), per_minute }
    }

    /// Puts something on record, and returns when that is confirmed.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer: then what depends on the record must not be done.
    pub async fn record(&self, entry: Entry) -> Result<(), Problem> {
        let refused = |error: &dyn std::fmt::Display| {
            Problem::unavailable(&format!("WL-7133: this could not be put on record, so it was not done: {error}"))
        };
        let publisher = self.publisher().await.map_err(|error| refused(&error))?;
        let (topic, partition, offset) = entry
            .origin
            .map_or((None, None, None), |(topic, partition, offset)| (Some(topic), Some(partition), Some(offset)));
        let audit = Audit {
            room: ROOM.to_owned(),
            kind: AuditKind::Action,
            code: entry.code,
            origin_topic: topic,
            origin_partition: partition,
            origin_offset: offset,
            event_id: entry.event_id,
            exception_id: entry.exception_id,
            detail: entry.detail,
            actor: entry.actor,
            at: Timestamp(clock::now_micros()),
        };
        let record = publisher.event(&audit, &Lineage::default()).map_err(|error| refused(&error))?;
        publisher.publish(&[record]).await.map_err(|error| refused(&error))
    }

    /// Puts a denied attempt on record, in the background and within the bound per minute.
    pub fn denied(&self, entry: Entry) {
        let minute = clock::now_micros() / 60_000_000;
        let Some(entry) = self.admitted(entry, minute) else { return };
        let trail = self.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(WRITE_TIMEOUT, trail.record(entry)).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => tracing::error!(detail = problem.detail, "a denied attempt is not on record"),
                Err(_) => tracing::error!("a denied attempt is not on record: no answer in time"),
            }
            trail.denied.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
        });
    }

    /// The entry with the number of those before it that were left out, when it is within the bound: the log holds as many as the
    /// record, because whoever tries without end fills no disk either.
    fn admitted(&self, mut entry: Entry, minute: i64) -> Option<Entry> {
        let left_out = self.denied.lock().unwrap_or_else(PoisonError::into_inner).admit(minute, self.per_minute)?;
        if left_out > 0 {
            entry.detail += &format!(" ({left_out} more before it are not listed one by one)");
        }
        tracing::warn!(code = entry.code, actor = entry.actor, detail = entry.detail, "denied");
        Some(entry)
    }

    async fn publisher(&self) -> Result<Publisher, runtime::publisher::PublishError> {
        let mut kept = self.publisher.lock().await;
        if let Some(publisher) = kept.as_ref().filter(|publisher| !publisher.is_broken()) {
            return Ok(publisher.clone());
        }
        // One that is broken would refuse every record for ever.
        *kept = None;
        let codec = Arc::new(Codec::new(&self.config.registry)?);
        let publisher = Publisher::connect(&self.config, codec, &[topics::OPS_AUDIT_V1.info()]).await?;
        *kept = Some(publisher.clone());
        Ok(publisher)
    }
}

impl Denied {
    /// Whether one more is written in this minute, and how many before it were not.
    fn admit(&mut self, minute: i64, per_minute: u32) -> Option<u64> {
        if minute != self.minute {
            (self.minute, self.written) = (minute, 0);
        }
        if self.written >= per_minute || self.under_way >= UNDER_WAY_MAX {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        self.under_way += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts what is logged.
    #[derive(Default)]
    struct Logged(AtomicUsize);

    impl tracing::Subscriber for Logged {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn bnd_1_the_log_holds_as_many_as_the_record() {
        let (trail, logged) = (Trail::new(&Arc::default(), 2), Arc::new(Logged::default()));
        let admitted = |minute| {
            let entry = Entry { detail: "denied".to_owned(), ..Entry::default() };
            trail.admitted(entry, minute).map(|entry| entry.detail)
        };
        let denied =
            tracing::subscriber::with_default(Arc::clone(&logged), || (0..5).filter_map(|_| admitted(1)).count());
        assert_eq!((denied, logged.0.load(Ordering::Relaxed)), (2, 2));
        assert_eq!(admitted(2).as_deref(), Some("denied (3 more before it are not listed one by one)"));
    }

    #[test]
    fn bnd_1_beyond_the_bound_attempts_are_counted() {
        let mut denied = Denied::default();
        assert_eq!((0..5).map(|_| denied.admit(1, 2)).collect::<Vec<_>>(), [Some(0), Some(0), None, None, None]);
        assert_eq!(denied.admit(2, 2), Some(3), "the next one says how many were left out");
        assert_eq!(denied.admit(2, 2), Some(0));
        let mut stuck = Denied { under_way: UNDER_WAY_MAX, ..Denied::default() };
        assert_eq!(stuck.admit(1, 100), None);
    }
}
