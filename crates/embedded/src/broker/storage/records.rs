//! The records inside a batch: for finding a time in it, for compaction, and for checking keys.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::compression::{Compressor, Decompressor, Gzip, Lz4, Snappy, Zstd};

use super::batch::DELETE_HORIZON;
use super::{BatchError, BatchHeader, HEADER_LEN};

/// A record, as slices of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// No bit has a meaning yet.
    pub attributes: u8,
    /// Timestamp, less the base timestamp of the batch, milliseconds.
    pub timestamp_delta: i64,
    /// Offset, less the base offset of the batch.
    pub offset_delta: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none for a tombstone.
    pub value: Option<Bytes>,
    /// Everything from the length of the key on, as it stands in the batch.
    pub rest: Bytes,
}

/// Opens a batch, whatever its codec.
///
/// # Errors
/// [`BatchError::Malformed`].
pub fn records(header: &BatchHeader, batch: &Bytes) -> Result<Vec<RawRecord>, BatchError> {
    let packed = batch.get(HEADER_LEN..header.size).map(|_| batch.slice(HEADER_LEN..header.size));
    let mut packed = packed.ok_or(BatchError::Short)?;
    let unpack = |buf: &mut Bytes| Ok(buf.copy_to_bytes(buf.remaining()));
    let unpacked = match header.compression() {
        0 => Ok(packed),
        1 => Gzip::decompress(&mut packed, unpack),
        2 => Snappy::decompress(&mut packed, unpack),
        3 => Lz4::decompress(&mut packed, unpack),
        4 => Zstd::decompress(&mut packed, unpack),
        _ => return Err(BatchError::Malformed),
    };
    let mut unpacked = unpacked.map_err(|_| BatchError::Malformed)?;
    let mut found = Vec::new();
    for _ in 0..header.count {
        found.push(take_record(&mut unpacked).ok_or(BatchError::Malformed)?);
    }
    if unpacked.is_empty() { Ok(found) } else { Err(BatchError::Malformed) }
}

/// Encodes records of a batch as the batch that is left of it, with the codec that it had. A `horizon` says from when on
/// compaction may remove its tombstones; it takes the place of the base timestamp, which the records then count from.
///
/// # Errors
/// [`BatchError::Malformed`].
pub fn encode(
    header: &BatchHeader,
    kept: &[RawRecord],
    horizon: Option<i64>,
) -> Result<(BatchHeader, Bytes), BatchError> {
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let mut plain = BytesMut::new();
    let mut newest = i64::MIN;
    for record in kept {
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        newest = newest.max(timestamp);
        let mut encoded = BytesMut::with_capacity(record.rest.len() + 24);
        encoded.put_u8(record.attributes);
        put_varint(&mut encoded, timestamp.wrapping_sub(base_timestamp));
        put_varint(&mut encoded, record.offset_delta);
        encoded.put_slice(&record.rest);
        put_varint(&mut plain, i64::try_from(encoded.len()).map_err(|_| BatchError::Malformed)?);
        plain.put_slice(&encoded);
    }
    let mut packed = BytesMut::new();
    let fill = |buf: &mut BytesMut| {
        buf.put_slice(&plain);
        Ok(())
    };
    let done = match header.compression() {
        0 => fill(&mut packed),
        1 => Gzip::compress(&mut packed, fill),
        2 => Snappy::compress(&mut packed, fill),
        3 => Lz4::compress(&mut packed, fill),
        4 => Zstd::compress(&mut packed, fill),
        _ => return Err(BatchError::Malformed),
    };
    done.map_err(|_| BatchError::Malformed)?;
    let count = i32::try_from(kept.len()).map_err(|_| BatchError::Malformed)?;
    let attributes = header.attributes | if horizon.is_some() { DELETE_HORIZON } else { 0 };
    let max_timestamp = if header.is_log_append_time() { header.max_timestamp } else { newest };
    let left = BatchHeader { attributes, base_timestamp, max_timestamp, count, ..*header };
    let batch = left.encode(&packed);
    BatchHeader::parse(&batch).map(|left| (left, batch))
}

fn take_record(bytes: &mut Bytes) -> Option<RawRecord> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    if len > bytes.len() {
        return None;
    }
    let mut record = bytes.split_to(len);
    let attributes = take_byte(&mut record)?;
    let timestamp_delta = take_varint(&mut record)?;
    let offset_delta = take_varint(&mut record)?;
    let rest = record.clone();
    let key = take_field(&mut record)?;
    let value = take_field(&mut record)?;
    Some(RawRecord { attributes, timestamp_delta, offset_delta, key, value, rest })
}

fn take_field(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    let len = take_varint(bytes)?;
    if len < 0 {
        return Some(None);
    }
    let len = usize::try_from(len).ok()?;
    (len <= bytes.len()).then(|| Some(bytes.split_to(len)))
}

fn take_byte(bytes: &mut Bytes) -> Option<u8> {
    bytes.try_get_u8().ok()
}

/// A number in zigzag encoding, seven bits to a byte.
fn take_varint(bytes: &mut Bytes) -> Option<i64> {
    let mut raw: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let half = i64::try_from(raw >> 1).ok()?;
            return Some(if raw & 1 == 0 { half } else { -half - 1 });
        }
    }
    None
}

fn put_varint(buf: &mut BytesMut, value: i64) {
    let mut raw = (value.unsigned_abs() << 1) - u64::from(value < 0);
    while raw > 0x7f {
        buf.put_u8(u8::try_from(raw & 0x7f).unwrap_or(0) | 0x80);
        raw >>= 7;
    }
    buf.put_u8(u8::try_from(raw).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::TimestampType;
    use kafka_protocol::records::{Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
    use proptest::prelude::*;

    type Pair = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

    fn batch(values: &[Pair], compression: Compression) -> Bytes {
        let records = (0..).zip(values).map(|(offset, (key, value, timestamp))| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset,
            // The encoder begins another batch where sequences do not follow each other.
            sequence: i32::try_from(offset).unwrap() - 1,
            timestamp: *timestamp,
            key: key.clone().map(Bytes::from),
            value: value.clone().map(Bytes::from),
            headers: [("h".to_owned().into(), Some(Bytes::from_static(b"v")))].into_iter().collect(),
        });
        let mut encoded = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression };
        RecordBatchEncoder::encode(&mut encoded, &records.collect::<Vec<_>>(), &options).unwrap();
        encoded.freeze()
    }

    fn codec(n: usize) -> Compression {
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd][n]
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: i64) {
            let mut buf = BytesMut::new();
            put_varint(&mut buf, value);
            prop_assert_eq!(take_varint(&mut buf.freeze()), Some(value));
        }

        #[test]
        fn what_is_left_of_a_batch_is_read_by_another_decoder(
            values in proptest::collection::vec(
                (any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(), 0..4_000_000_000_000_i64), 1..20),
            keep: u32, horizon: Option<u32>, n in 0..5_usize,
        ) {
            let whole = batch(&values, codec(n));
            let header = BatchHeader::parse_checked(&whole).unwrap();
            let all = records(&header, &whole).unwrap();
            prop_assert_eq!(all.len(), values.len());
            let stays = |index: i64| keep >> (index % 32) & 1 == 1;
            let kept: Vec<RawRecord> = all.into_iter().filter(|record| stays(record.offset_delta)).collect();
            let (left, encoded) = encode(&header, &kept, horizon.map(i64::from)).unwrap();
            prop_assert_eq!(BatchHeader::parse_checked(&encoded).unwrap(), left);
            prop_assert_eq!(left.last_offset(), header.last_offset());
            let seen = RecordBatchDecoder::decode(&mut encoded.clone()).unwrap().records;
            let before = RecordBatchDecoder::decode(&mut whole.clone()).unwrap().records;
            let expected: Vec<Record> = before
                .into_iter()
                .filter(|record| stays(record.offset))
                .map(|record| Record { delete_horizon: horizon.is_some(), ..record })
                .collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn damaged_records_are_refused_not_believed(bytes: Vec<u8>, count in 0..i32::MAX, n in 0..5_i16) {
            let header = BatchHeader::parse(&batch(&[(None, None, 0)], Compression::None)).unwrap();
            let made = BatchHeader { count, attributes: n, ..header }.encode(&bytes);
            let header = BatchHeader::parse(&made).unwrap();
            if let Ok(found) = records(&header, &made) {
                prop_assert_eq!(found.len(), usize::try_from(count).unwrap());
            }
        }
    }
}
