//! What is on record: read backwards from the newest, by what is asked for; and put on record before somebody is shown what may
//! identify a patient.
//!
//! A busy installation puts far more on record than people do (drops, duplicates). So the topic is read a few thousand records at a
//! time until enough is found, a bound is reached, or there is no more; the answer says how far back that was and goes on from there.

mod filter;
mod shown;
mod walk;

pub use filter::{AuditFilter, moment, older};
pub use shown::{SHOW_ORIGINAL, Shown, is_reason};

use crate::offsets::Offsets;
use runtime::clock;
use runtime::codec::{Codec, WireError};
use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{Audit, topics};
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::Duration;
use walk::{Lane, Walk};

/// Records of one partition that are read in one go.
const STEP: i64 = 2_000;
/// By so much the clock of who did something may be away from the brokers', milliseconds.
const SKEW_MS: i64 = 3_600_000;

/// What bounds one look.
#[derive(Clone, Copy, Debug)]
pub struct AuditBounds {
    /// Most records in an answer.
    pub wanted: usize,
    /// Most records that are looked at, whatever is found.
    pub looked_at_max: u64,
    /// No further step is begun after so long; the first step in each partition is always made.
    pub time: Duration,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Where it lies on `ops.audit.v1`: partition and offset, for example `2@17`.
    pub place: String,
    /// What is on record.
    #[serde(flatten)]
    pub audit: Audit,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFound {
    /// Newest first.
    pub records: Vec<AuditEntry>,
    /// Records that were looked at.
    pub looked_at: u64,
    /// Everything since then was looked at, milliseconds since 1970; none when it was everything that is asked for.
    pub back_to_ms: Option<i64>,
    /// Where older ones are looked for: in each partition before this offset. None when there are none.
    pub older: Option<Offsets>,
}

/// Why nothing could be found.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Kafka does not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The registry does not answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The reading thread ended early.
    #[error("WL-7191: a reader of topics stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
    /// What is asked for is not understood.
    #[error("WL-7272: {0}")]
    Question(String),
}

/// Looks for records, from the newest back, or on from where an earlier look ended.
///
/// # Errors
/// When Kafka or the registry does not answer.
pub async fn look(
    readers: &Readers,
    codec: &Codec,
    filter: &AuditFilter,
    older: Option<&Offsets>,
    bounds: AuditBounds,
) -> Result<AuditFound, AuditError> {
    let started = clock::tick();
    let mut walk = Walk::new(lanes(readers, filter, older).await?, bounds.wanted);
    let most =
        i64::try_from(bounds.looked_at_max).unwrap_or(i64::MAX) / i64::try_from(walk.lanes()).unwrap_or(1).max(1);
    let step = STEP.min(most).max(1);
    while let Some((partition, start, end)) = walk.next_step(step) {
        let over = walk.looked_at() >= bounds.looked_at_max || clock::tick().since(started) >= bounds.time;
        if walk.is_enough() || (over && walk.has_begun_everywhere()) {
            break;
        }
        let records = read(readers.clone(), partition, start, end).await?;
        for record in records.iter().rev() {
            let audit = decoded(codec, record).await?;
            let at_ms = record.timestamp_ms.or(audit.as_ref().map(|audit| audit.at.0 / 1_000));
            walk.take(partition, record.place.offset, at_ms, audit.filter(|audit| filter.matches(audit)));
        }
        walk.has_read(partition, start);
    }
    Ok(walk.found())
}

/// The partitions, narrowed to the time that is asked for and to what is older than an earlier look.
async fn lanes(readers: &Readers, filter: &AuditFilter, older: Option<&Offsets>) -> Result<Vec<Lane>, AuditError> {
    let ms = |micros: i64| micros.div_euclid(1_000);
    let range = Range {
        from: filter.from.map_or(From::Earliest, |from| From::TimeMs(ms(from).saturating_sub(SKEW_MS))),
        until: filter.until.map_or(Until::EndNow, |until| Until::TimeMs(ms(until).saturating_add(SKEW_MS))),
        ..Range::all(topics::OPS_AUDIT_V1.name())
    };
    let readers = readers.clone();
    let spans = tokio::task::spawn_blocking(move || readers.spans(&range)).await??;
    let lane = |(partition, span): (i32, runtime::reader::Span)| {
        // A partition that came later holds newer records only.
        let end = older.map_or(span.end, |older| older.of(partition).unwrap_or(span.start).min(span.end));
        Lane::new(partition, span.start, end)
    };
    Ok(spans.into_iter().map(lane).collect())
}

async fn read(readers: Readers, partition: i32, start: i64, end: i64) -> Result<Vec<Record>, AuditError> {
    let range = Range {
        partitions: vec![partition],
        from: From::Offset(start),
        until: Until::Offset(end),
        ..Range::all(topics::OPS_AUDIT_V1.name())
    };
    let reading = tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        readers.read_range(&range, |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok::<_, ReadError>(records)
    });
    Ok(reading.await??)
}

/// A record that cannot be read must not hide the others.
pub(crate) async fn decoded(codec: &Codec, record: &Record) -> Result<Option<Audit>, WireError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let read = async {
        let (writer, body) = codec.open(value).await?;
        Ok::<_, WireError>(schemas::codec::decode(&writer, body)?)
    };
    match read.await {
        Ok(audit) => Ok(Some(audit)),
        Err(error) if error.blames_record() => {
            tracing::warn!(place = %record.place, error = error.without_values(), "an audit record cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
