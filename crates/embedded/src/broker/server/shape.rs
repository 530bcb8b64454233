//! How requests are laid out, to find the ones that say that more follows than does.
//!
//! The codec reserves memory for as many elements as an array says it has. A few broken bytes could so ask for hundreds of
//! gigabytes, and a process that is refused memory ends. So the lengths of a request are walked through before it is decoded.

use kafka_protocol::messages::ApiKey;

/// A part of a request. The names in the tables stand in the message definitions of Apache Kafka.
#[derive(Clone, Copy)]
enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A string, or null.
    Text,
    /// Bytes with their length, or null.
    Blob,
    /// An array of structures, or null.
    List(&'static [Shape]),
    /// An array of values, or null.
    Values(&'static Shape),
    /// A structure, or null.
    Maybe(&'static [Shape]),
    /// Only from this version on.
    Since(i16, &'static Shape),
    /// Only up to this version.
    Until(i16, &'static Shape),
}

use Shape::{Blob, Fixed, List, Maybe, Since, Text, Until, Values};

const NAMES: Shape = Values(&Text);
const PARTITIONS: Shape = Values(&Fixed(4));
const TOPIC_PARTITIONS: Shape = List(&[Text, PARTITIONS]);
const UUID: Shape = Fixed(16);

const PRODUCE: &[Shape] = &[Text, Fixed(6), List(&[Text, List(&[Fixed(4), Blob])])];
const FETCH: &[Shape] = &[
    Until(14, &Fixed(4)),
    Fixed(13),
    Since(7, &Fixed(8)),
    List(&[
        Until(12, &Text),
        Since(13, &UUID),
        List(&[Fixed(4), Since(9, &Fixed(4)), Fixed(8), Since(12, &Fixed(4)), Since(5, &Fixed(8)), Fixed(4)]),
    ]),
    Since(7, &List(&[Until(12, &Text), Since(13, &UUID), PARTITIONS])),
    Since(11, &Text),
];
const LIST_OFFSETS: &[Shape] =
    &[Fixed(4), Since(2, &Fixed(1)), List(&[Text, List(&[Fixed(4), Since(4, &Fixed(4)), Fixed(8)])])];
const METADATA: &[Shape] =
    &[List(&[Since(10, &UUID), Text]), Since(4, &Fixed(1)), Until(10, &Since(8, &Fixed(1))), Since(8, &Fixed(1))];
const OFFSET_COMMIT: &[Shape] = &[
    Text,
    Fixed(4),
    Text,
    Since(7, &Text),
    Until(4, &Fixed(8)),
    List(&[Text, List(&[Fixed(12), Since(6, &Fixed(4)), Text])]),
];
const OFFSET_FETCH: &[Shape] = &[
    Until(7, &Text),
    Until(7, &TOPIC_PARTITIONS),
    Since(8, &List(&[Text, Since(9, &Text), Since(9, &Fixed(4)), TOPIC_PARTITIONS])),
    Since(7, &Fixed(1)),
];
const FIND_COORDINATOR: &[Shape] = &[Until(3, &Text), Since(1, &Fixed(1)), Since(4, &NAMES)];
const JOIN_GROUP: &[Shape] =
    &[Text, Fixed(4), Since(1, &Fixed(4)), Text, Since(5, &Text), Text, List(&[Text, Blob]), Since(8, &Text)];
const HEARTBEAT: &[Shape] = &[Text, Fixed(4), Text, Since(3, &Text)];
const LEAVE_GROUP: &[Shape] = &[Text, Until(2, &Text), Since(3, &List(&[Text, Text, Since(5, &Text)]))];
const SYNC_GROUP: &[Shape] =
    &[Text, Fixed(4), Text, Since(3, &Text), Since(5, &Text), Since(5, &Text), List(&[Text, Blob])];
const DESCRIBE_GROUPS: &[Shape] = &[NAMES, Since(3, &Fixed(1))];
const LIST_GROUPS: &[Shape] = &[Since(4, &NAMES), Since(5, &NAMES)];
const API_VERSIONS: &[Shape] = &[Since(3, &Text), Since(3, &Text)];
const CREATE_TOPICS: &[Shape] =
    &[List(&[Text, Fixed(6), List(&[Fixed(4), PARTITIONS]), List(&[Text, Text])]), Fixed(4), Since(1, &Fixed(1))];
const DELETE_TOPICS: &[Shape] = &[Since(6, &List(&[Text, UUID])), Until(5, &NAMES), Fixed(4)];
const DELETE_RECORDS: &[Shape] = &[List(&[Text, List(&[Fixed(12)])]), Fixed(4)];
const INIT_PRODUCER_ID: &[Shape] = &[Text, Fixed(4), Since(3, &Fixed(10))];
const OFFSET_FOR_LEADER_EPOCH: &[Shape] =
    &[Since(3, &Fixed(4)), List(&[Text, List(&[Fixed(4), Since(2, &Fixed(4)), Fixed(4)])])];
const ADD_PARTITIONS_TO_TXN: &[Shape] = &[Text, Fixed(10), TOPIC_PARTITIONS];
const ADD_OFFSETS_TO_TXN: &[Shape] = &[Text, Fixed(10), Text];
const END_TXN: &[Shape] = &[Text, Fixed(11)];
const TXN_OFFSET_COMMIT: &[Shape] = &[
    Text,
    Text,
    Fixed(10),
    Since(3, &Fixed(4)),
    Since(3, &Text),
    Since(3, &Text),
    List(&[Text, List(&[Fixed(12), Since(2, &Fixed(4)), Text])]),
];
const DESCRIBE_CONFIGS: &[Shape] = &[List(&[Fixed(1), Text, NAMES]), Since(1, &Fixed(1)), Since(3, &Fixed(1))];
const ALTER_CONFIGS: &[Shape] = &[List(&[Fixed(1), Text, List(&[Text, Text])]), Fixed(1)];
const CREATE_PARTITIONS: &[Shape] = &[List(&[Text, Fixed(4), List(&[PARTITIONS])]), Fixed(5)];
const DELETE_GROUPS: &[Shape] = &[NAMES];
const INCREMENTAL_ALTER_CONFIGS: &[Shape] = &[List(&[Fixed(1), Text, List(&[Text, Fixed(1), Text])]), Fixed(1)];
const OFFSET_DELETE: &[Shape] = &[Text, List(&[Text, List(&[Fixed(4)])])];
const DESCRIBE_CLUSTER: &[Shape] = &[Fixed(1), Since(1, &Fixed(1))];
const DESCRIBE_PRODUCERS: &[Shape] = &[TOPIC_PARTITIONS];
const DESCRIBE_TRANSACTIONS: &[Shape] = &[NAMES];
const DESCRIBE_LOG_DIRS: &[Shape] = &[TOPIC_PARTITIONS];
const DESCRIBE_TOPIC_PARTITIONS: &[Shape] = &[List(&[Text]), Fixed(4), Maybe(&[Text, Fixed(4)])];
const LIST_TRANSACTIONS: &[Shape] = &[NAMES, Values(&Fixed(8)), Since(1, &Fixed(8))];

/// The layout of a request that is served.
fn shape(api: ApiKey) -> Option<&'static [Shape]> {
    Some(match api {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::OffsetCommit => OFFSET_COMMIT,
        ApiKey::OffsetFetch => OFFSET_FETCH,
        ApiKey::FindCoordinator => FIND_COORDINATOR,
        ApiKey::JoinGroup => JOIN_GROUP,
        ApiKey::Heartbeat => HEARTBEAT,
        ApiKey::LeaveGroup => LEAVE_GROUP,
        ApiKey::SyncGroup => SYNC_GROUP,
        ApiKey::DescribeGroups => DESCRIBE_GROUPS,
        ApiKey::ListGroups => LIST_GROUPS,
        ApiKey::ApiVersions => API_VERSIONS,
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::DeleteRecords => DELETE_RECORDS,
        ApiKey::InitProducerId => INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
        ApiKey::AddPartitionsToTxn => ADD_PARTITIONS_TO_TXN,
        ApiKey::AddOffsetsToTxn => ADD_OFFSETS_TO_TXN,
        ApiKey::EndTxn => END_TXN,
        ApiKey::TxnOffsetCommit => TXN_OFFSET_COMMIT,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => ALTER_CONFIGS,
        ApiKey::DescribeLogDirs => DESCRIBE_LOG_DIRS,
        ApiKey::DescribeTopicPartitions => DESCRIBE_TOPIC_PARTITIONS,
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::DeleteGroups => DELETE_GROUPS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        ApiKey::OffsetDelete => OFFSET_DELETE,
        ApiKey::DescribeCluster => DESCRIBE_CLUSTER,
        ApiKey::DescribeProducers => DESCRIBE_PRODUCERS,
        ApiKey::DescribeTransactions => DESCRIBE_TRANSACTIONS,
        ApiKey::ListTransactions => LIST_TRANSACTIONS,
        _ => return None,
    })
}

/// Checks that everything that a body says it has is there.
pub(super) fn check(api: ApiKey, version: i16, body: &[u8]) -> Result<(), ()> {
    let shape = shape(api).ok_or(())?;
    // Headers of version 2 came with the compact encodings.
    let mut walk = Walk { rest: body, version, compact: api.request_header_version(version) >= 2 };
    // More may follow, as in Kafka: librdkafka asks for the metadata of all topics with three bytes too many.
    walk.structure(shape)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    compact: bool,
}

impl Walk<'_> {
    fn structure(&mut self, parts: &[Shape]) -> Result<(), ()> {
        for part in parts {
            self.part(part)?;
        }
        if self.compact { self.tagged_fields() } else { Ok(()) }
    }

    fn part(&mut self, part: &Shape) -> Result<(), ()> {
        match part {
            Fixed(len) => self.skip(*len),
            Text => {
                let len = if self.compact { self.compact_len()? } else { self.short_len()? };
                self.skip(len)
            }
            Blob => {
                let len = self.len()?;
                self.skip(len)
            }
            List(parts) => (0..self.len()?).try_for_each(|_| self.structure(parts)),
            Values(part) => (0..self.len()?).try_for_each(|_| self.part(part)),
            Maybe(parts) => {
                let (present, rest) = self.rest.split_first().ok_or(())?;
                self.rest = rest;
                // A negative number stands for null.
                if *present < 0x80 { self.structure(parts) } else { Ok(()) }
            }
            Since(first, part) if self.version >= *first => self.part(part),
            Until(last, part) if self.version <= *last => self.part(part),
            Since(..) | Until(..) => Ok(()),
        }
    }

    fn tagged_fields(&mut self) -> Result<(), ()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let len = self.varint()?;
            self.skip(len)?;
        }
        Ok(())
    }

    /// Length of an array or of bytes; null has none.
    fn len(&mut self) -> Result<usize, ()> {
        if self.compact {
            return self.compact_len();
        }
        let (len, rest) = self.rest.split_first_chunk().ok_or(())?;
        self.rest = rest;
        Self::not_null(i32::from_be_bytes(*len))
    }

    fn short_len(&mut self) -> Result<usize, ()> {
        let (len, rest) = self.rest.split_first_chunk().ok_or(())?;
        self.rest = rest;
        Self::not_null(i32::from(i16::from_be_bytes(*len)))
    }

    fn not_null(len: i32) -> Result<usize, ()> {
        if len == -1 { Ok(0) } else { usize::try_from(len).map_err(drop) }
    }

    /// One more than the length; null is zero.
    fn compact_len(&mut self) -> Result<usize, ()> {
        Ok(self.varint()?.saturating_sub(1))
    }

    fn varint(&mut self) -> Result<usize, ()> {
        let mut value: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self.rest.split_first().ok_or(())?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(drop);
            }
        }
        Err(())
    }

    fn skip(&mut self, len: usize) -> Result<(), ()> {
        self.rest = self.rest.get(len..).ok_or(())?;
        Ok(())
    }
}
