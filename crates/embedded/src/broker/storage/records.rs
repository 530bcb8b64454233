//! The records inside a batch: for finding a time in it, for compaction, and for checking keys.

use bytes::{Buf, Bytes};
use kafka_protocol::compression::{Decompressor, Gzip, Lz4, Snappy, Zstd};

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
