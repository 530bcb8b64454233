//! Record batches: written as a producer writes them, read as a `read_committed` consumer reads them.

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as WireRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use runtime::outgoing::Outgoing;
use runtime::record::{Place, Record};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who writes a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub producer_id: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub transactional: bool,
}

/// One batch.
pub(super) fn encode(records: &[Outgoing], writer: Writer, now_ms: i64) -> Result<Bytes, String> {
    let wire: Vec<WireRecord> = (0_i32..)
        .zip(records)
        .map(|(number, record)| WireRecord {
            transactional: writer.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: writer.producer_id,
            producer_epoch: writer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(number),
            sequence: writer.sequence.wrapping_add(number),
            timestamp: now_ms,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: headers(record),
        })
        .collect();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, wire.iter(), &options).map_err(|error| error.to_string())?;
    Ok(bytes.freeze())
}

fn headers(record: &Outgoing) -> IndexMap<StrBytes, Option<Bytes>> {
    let headers = record.headers.iter();
    headers.map(|(name, value)| (StrBytes::from_string(name.to_string()), value.clone())).collect()
}

/// What a fetch of one partition brought.
pub(super) struct Fetched {
    /// Records that are committed, in order.
    pub records: Vec<Record>,
    /// Where to go on.
    pub next: i64,
    /// Nothing committed is left.
    pub at_end: bool,
}

/// Reads the data of a partition; `from` is the offset that was asked for.
pub(super) fn decode(topic: &Arc<str>, from: i64, data: &PartitionData, committed: bool) -> Result<Fetched, String> {
    let mut aborted: Vec<(i64, i64)> = Vec::new();
    if committed {
        let ranges = data.aborted_transactions.iter().flatten();
        aborted.extend(ranges.map(|range| (range.first_offset, range.producer_id.0)));
    }
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut open: BTreeSet<i64> = BTreeSet::new();
    let (mut records, mut next) = (Vec::new(), from);
    let mut bytes = data.records.clone().unwrap_or_default();
    let sets = if bytes.is_empty() {
        Vec::new()
    } else {
        RecordBatchDecoder::decode_all(&mut bytes).map_err(|error| error.to_string())?
    };
    for wire in sets.into_iter().flat_map(|set| set.records) {
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= wire.offset) {
            open.insert(producer);
        }
        next = next.max(wire.offset + 1);
        if wire.control {
            // The key of a control record says version and kind; kind 0 is an abort.
            if wire.key.as_deref().is_some_and(|key| key.get(2..4) == Some(&[0, 0][..])) {
                open.remove(&wire.producer_id);
            }
        } else if wire.offset >= from && !(wire.transactional && open.contains(&wire.producer_id)) {
            records.push(record(topic, data.partition_index, wire));
        }
    }
    let end = if committed { data.last_stable_offset } else { data.high_watermark };
    Ok(Fetched { at_end: next >= end, records, next })
}

fn record(topic: &Arc<str>, partition: i32, wire: WireRecord) -> Record {
    let headers = wire.headers.into_iter();
    Record {
        place: Place { topic: Arc::clone(topic), partition, offset: wire.offset },
        timestamp_ms: Some(wire.timestamp),
        key: wire.key,
        value: wire.value,
        headers: headers.map(|(name, value)| (Cow::Owned(name.to_string()), value)).collect(),
    }
}
