//! Reads whole records of exceptions back, few or many.

use runtime::codec::{Codec, WireError};
use runtime::config::KafkaConfig;
use runtime::reader::{self, From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{Event, Exception, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use tokio::sync::mpsc;

/// Places that lie so near are read in one go.
const NEAR: i64 = 2_000;
/// Records that wait between the reader and who takes them.
const AHEAD: usize = 200;

/// Why records could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] ReadError),
    /// The registry does not answer, or a record cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The reading thread ended early.
    #[error("WL-7104: reading exceptions was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// The record at a place of the exception topic; none when a newer one has taken its place.
pub async fn one(readers: &Readers, codec: &Codec, place: (i32, i64)) -> Result<Option<Exception>, RecordsError> {
    let readers = readers.clone();
    let read = move || readers.read_one(topics::OPS_EXCEPTION_V1.name(), place.0, place.1);
    match tokio::task::spawn_blocking(read).await?? {
        Some(record) => typed(codec, &record).await,
        None => Ok(None),
    }
}

/// Hands over the records at many places of the exception topic, a few at a time: each part of the topic that holds some is
/// read once. Places whose record gave way to a newer one are left out.
pub fn many(
    readers: &Readers,
    places: &[(i32, i64)],
) -> (mpsc::Receiver<Record>, tokio::task::JoinHandle<Result<(), ReadError>>) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (readers, runs) = (readers.clone(), runs(places));
    let reading = tokio::task::spawn_blocking(move || {
        for ((partition, first), wanted) in runs {
            let last = wanted.last().copied().unwrap_or(first);
            let range = Range {
                topic: topics::OPS_EXCEPTION_V1.name().to_owned(),
                partitions: vec![partition],
                from: From::Offset(first),
                until: Until::Offset(last.saturating_add(1)),
            };
            let mut gone = false;
            readers.read_range(&range, |record| {
                gone = wanted.contains(&record.place.offset) && sender.blocking_send(record).is_err();
                if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if gone {
                break;
            }
        }
        Ok(())
    });
    (receiver, reading)
}

/// Decodes a record; none for a deletion mark.
pub async fn typed<T: Event>(codec: &Codec, record: &Record) -> Result<Option<T>, RecordsError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let (writer, body) = codec.open(value).await?;
    Ok(Some(schemas::codec::decode(&writer, body).map_err(WireError::from)?))
}

/// The newest record of every exception, oldest first, with all bytes: for reports about few. A view holds many.
///
/// # Errors
/// When Kafka or the registry does not answer, or there are more than `most`.
pub async fn newest(kafka: &KafkaConfig, codec: &Codec, most: usize) -> Result<Vec<Exception>, RecordsError> {
    let kafka = kafka.clone();
    let topic = topics::OPS_EXCEPTION_V1.name();
    let records = tokio::task::spawn_blocking(move || reader::latest_by_key(&kafka, topic, most)).await??;
    let mut exceptions = Vec::with_capacity(records.len());
    for record in records.values() {
        exceptions.extend(typed::<Exception>(codec, record).await?);
    }
    exceptions
        .sort_by(|one, other| (one.raised_at.0, &one.exception_id).cmp(&(other.raised_at.0, &other.exception_id)));
    Ok(exceptions)
}

/// Places in runs that are read in one go: partition and first offset of each, and all its offsets.
fn runs(places: &[(i32, i64)]) -> BTreeMap<(i32, i64), BTreeSet<i64>> {
    let sorted: BTreeSet<(i32, i64)> = places.iter().copied().collect();
    let mut runs: BTreeMap<(i32, i64), BTreeSet<i64>> = BTreeMap::new();
    for (partition, offset) in sorted {
        match runs.last_entry() {
            Some(mut run) if run.key().0 == partition && run.get().last().is_some_and(|last| offset - last <= NEAR) => {
                run.get_mut().insert(offset);
            }
            _ => {
                runs.insert((partition, offset), BTreeSet::from([offset]));
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_near_each_other_are_one_run() {
        let found = runs(&[(1, 5), (0, 9), (0, 1), (0, 9 + NEAR + 1), (0, 9)]);
        let found: Vec<_> = found.into_iter().map(|(key, wanted)| (key, wanted.len())).collect();
        assert_eq!(found, [((0, 1), 2), ((0, 9 + NEAR + 1), 1), ((1, 5), 1)]);
    }
}
