//! Received messages as they came, on `ops.source.v1`: what a person sees beside the event that was made of one.
//!
//! Their key is the digest of their bytes, which every event, receipt and exception behind them names.

use crate::outgoing::Outgoing;
use schemas::{headers, topics};
use std::borrow::Cow;

/// Header that says which part of how many a record is: `1/1` when a message fits into one.
pub const PART: &str = "wl_part";
/// Most bytes of a source in one record, below the 1 MB that brokers accept by default.
pub const BYTES_MAX: usize = 900_000;

/// The records that keep a message. `partition` chooses one for all of them; none leaves it to their key.
pub fn records(
    content_hash: &str,
    bytes: &[u8],
    content_type: &'static str,
    partition: Option<i32>,
) -> impl Iterator<Item = Outgoing> {
    let count = bytes.len().div_ceil(BYTES_MAX);
    let key = content_hash.to_owned();
    bytes.chunks(BYTES_MAX).enumerate().map(move |(index, part)| Outgoing {
        topic: Cow::Borrowed(topics::OPS_SOURCE_V1.name()),
        partition,
        key: Some(key.clone().into()),
        value: Some(part.to_vec().into()),
        headers: vec![
            (Cow::Borrowed(headers::CONTENT_TYPE), Some(content_type.into())),
            (Cow::Borrowed(PART), Some(format!("{}/{count}", index + 1).into())),
        ],
        ticket: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn raw_1_a_long_message_is_kept_in_parts() {
        let bytes = vec![7; BYTES_MAX * 2 + 1];
        let kept: Vec<Outgoing> = records("abc", &bytes, "application/hl7-v2", Some(3)).collect();
        let sizes: Vec<usize> = kept.iter().map(|record| record.value.as_ref().unwrap().len()).collect();
        assert_eq!(sizes, [BYTES_MAX, BYTES_MAX, 1]);
        let part = |record: &Outgoing| record.headers[1].1.clone().unwrap();
        assert_eq!((part(&kept[0]).as_ref(), part(&kept[2]).as_ref()), (b"1/3".as_ref(), b"3/3".as_ref()));
        assert_eq!(records("abc", b"", "x", None).count(), 0, "a deletion has no bytes");
    }
}
