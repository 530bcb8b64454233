//! What members of a consumer group say about themselves.

/// Protocol type of consumer groups.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// The topics of a consumer's subscription (`ConsumerProtocolSubscription`, any version: the topics come first in all).
/// None when the bytes are something else.
pub(super) fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_be_bytes(*count);
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(std::str::from_utf8(name).ok()?);
        rest = tail;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::topics;

    #[test]
    fn topics_of_a_subscription() {
        let bytes = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff";
        assert_eq!(topics(bytes), Some(vec!["a", "bc"]));
    }

    #[test]
    fn anything_else_is_none() {
        assert_eq!(topics(b""), None);
        assert_eq!(topics(b"\x00\x01\xff\xff\xff\xff"), None);
        assert_eq!(topics(b"\x00\x01\x00\x00\x00\x01\x7f\xffa"), None);
        assert_eq!(topics(b"\x00\x01\x00\x00\x00\x01\x00\x01\xff"), None);
    }
}
