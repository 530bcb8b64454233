//! What was seen, as plain values, so that the decisions can be tried on invented evidence.

use crate::load::Kind;
use crate::proxy::Doubts;
use processor::laws::Outcome;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The five topics that a use passes, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// `clinical.supply-usage.v1`.
    Usage,
    /// `supply.usage-validated.v1`.
    Validated,
    /// `supply.usage-enriched.v1`.
    Enriched,
    /// `erp.posting.v1`.
    Posting,
    /// `partner.supplier-notice.v1`.
    Notice,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Usage, Self::Validated, Self::Enriched, Self::Posting, Self::Notice];

    /// The topic.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Usage => "clinical.supply-usage.v1",
            Self::Validated => "supply.usage-validated.v1",
            Self::Enriched => "supply.usage-enriched.v1",
            Self::Posting => "erp.posting.v1",
            Self::Notice => "partner.supplier-notice.v1",
        }
    }
}

/// The rooms that a use passes, with the topics before and behind each.
pub const STEPS: [(&str, Stage, Stage); 4] = [
    ("validate", Stage::Usage, Stage::Validated),
    ("enrich", Stage::Validated, Stage::Enriched),
    ("erp-post", Stage::Enriched, Stage::Posting),
    ("supplier-fanout", Stage::Enriched, Stage::Notice),
];

/// A use that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentUse {
    /// The number that it is known by.
    pub signature: u32,
    /// What is to become of it.
    pub kind: Kind,
    /// Whether one of its encounter's uses cannot go through.
    pub fails: bool,
    /// MSH-10 of its message.
    pub control_id: String,
    /// When the sender had a positive answer, milliseconds since 1970; none when it never had one.
    pub accepted_ms: Option<i64>,
}

/// An event on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// When the broker took it, milliseconds since 1970.
    pub at_ms: i64,
    /// Its id.
    pub event_id: String,
    /// The event that it was made of.
    pub cause: String,
    /// The use that it is about; none for what the load did not send.
    pub signature: Option<u32>,
    /// Whether the event says that something was done outside: stock moved, a supplier told.
    pub acted: bool,
}

/// What lies on a topic that sources write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTopic {
    /// Topic.
    pub topic: &'static str,
    /// Rooms that read it.
    pub readers: Vec<&'static str>,
    /// Where each event lies, by its id, in the order of partition and offset.
    pub events: BTreeMap<String, Vec<Lying>>,
}

/// An event where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lying {
    /// Place.
    pub place: String,
    /// Partition.
    pub partition: i32,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// What it says, but for the time of its publication, where it lies several times.
    pub body: String,
}

/// What was seen of one room: every record that it reads, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomAccount {
    /// Room.
    pub room: &'static str,
    /// Records that it reads: place, and event id when there is one.
    pub inputs: BTreeMap<String, Option<String>>,
    /// Event ids that its outputs name as their cause.
    pub causes: BTreeSet<String>,
    /// Outcomes that are no output, by place.
    pub others: BTreeMap<String, BTreeSet<Outcome>>,
}

/// An original and what is kept of it, as texts for a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRecord {
    /// Where the original lies.
    pub place: String,
    /// The original key, value and headers; none when there is no such record.
    pub original: Option<Bytes>,
    /// What is kept.
    pub kept: Bytes,
    /// Room, stage, code and version of what refused it.
    pub told: Vec<(&'static str, Option<String>)>,
}

/// Key, value and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Something done on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The use that it is about.
    pub signature: u32,
    /// Document or idempotency key on the other side.
    pub document: String,
}

/// An open exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Room.
    pub room: String,
    /// Code.
    pub code: String,
    /// The use that it is about, when it is about one.
    pub signature: Option<u32>,
    /// One sentence.
    pub message: String,
}

/// A wait: milliseconds, its begin in milliseconds since 1970, and the use that waited.
pub type Wait = (u64, i64, u32);

/// Names a place.
#[must_use]
pub fn place(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}-{partition}@{offset}")
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What was sent.
    pub sent: Vec<SentUse>,
    /// What lies on the topics, in the order of partition and offset.
    pub topics: BTreeMap<Stage, Vec<Seen>>,
    /// Ids of all events on all topics with ids that rooms write, by topic.
    pub ids: BTreeMap<String, Vec<String>>,
    /// The topics that sources write.
    pub sources: Vec<SourceTopic>,
    /// What rooms have left out as a copy: room and place.
    pub copies: BTreeSet<(String, String)>,
    /// What rooms have not repeated, because its effect had happened: room and place.
    pub suppressed: BTreeSet<(String, String)>,
    /// The rooms.
    pub rooms: Vec<RoomAccount>,
    /// What the receivers of messages say: control id, and ids of the events made of it.
    pub receipts: Vec<(String, Vec<String>)>,
    /// Places of records that have a row in the lake, once for each row.
    pub lake: Vec<String>,
    /// The ERP's books, in their order.
    pub ledger: Vec<Effect>,
    /// What the suppliers took, in the order in which it came.
    pub notices: Vec<Effect>,
    /// Posts to the ERP and to the suppliers whose callers could not know whether they were carried out.
    pub doubts: [Doubts; 2],
    /// One name for each dead letter, and for each time that an exception was raised anew.
    pub told: Vec<String>,
    /// Exceptions and dead letters.
    pub kept: Vec<KeptRecord>,
    /// How many records that are no events were to be sent.
    pub garbage_sent: usize,
    /// Those that came: key and place. One may lie there twice, because whoever sends it repeats what nobody confirmed.
    pub garbage: Vec<(String, String)>,
    /// Exceptions that wait for a person.
    pub asked: Vec<Asked>,
    /// Identifying values.
    pub planted: Vec<String>,
    /// Where identifying values must not be: place and text. Only texts that hold the mark of planted values.
    pub suspects: Vec<(String, String)>,
    /// How many texts were looked through, and their bytes.
    pub texts: (u64, u64),
    /// When faults were: begin and end, milliseconds since 1970.
    pub faults: Vec<(i64, i64)>,
    /// Records that had no outcome, long after everything was healed, until all rooms were killed and started anew.
    pub stood_still: usize,
    /// Partitions that still moved when everything had to be quiet.
    pub restless: Vec<String>,
    /// Processes that did not end when they were told to.
    pub overstayed: Vec<String>,
    /// Processes that ended when nobody had told them to.
    pub ended: Vec<String>,
    /// Highest resident memory by process, MB.
    pub peaks_mb: BTreeMap<String, u64>,
}

impl Evidence {
    /// Places of the records of which the lake must have a row.
    pub fn for_the_lake(&self) -> impl Iterator<Item = String> {
        let stages = [Stage::Enriched, Stage::Posting, Stage::Notice].into_iter();
        stages.flat_map(|stage| {
            self.stage(stage).iter().map(move |seen| place(stage.topic(), seen.partition, seen.offset))
        })
    }

    /// When each use was seen first on a topic, milliseconds since 1970.
    #[must_use]
    pub fn first_seen(&self, stage: Stage) -> BTreeMap<u32, i64> {
        let mut first: BTreeMap<u32, i64> = BTreeMap::new();
        for seen in self.stage(stage) {
            if let Some(signature) = seen.signature {
                first.entry(signature).or_insert(seen.at_ms);
            }
        }
        first
    }

    /// For each room how long uses of healthy keys waited for it, shortest first: milliseconds, begin of the wait, use.
    #[must_use]
    pub fn waits(&self) -> Vec<(&'static str, Vec<Wait>)> {
        let healthy: Vec<u32> = self.sent.iter().filter(|one| !one.fails).map(|one| one.signature).collect();
        let step = |(room, from, to): (&'static str, Stage, Stage)| {
            let (from, to) = (self.first_seen(from), self.first_seen(to));
            let both = healthy.iter().filter_map(|one| Some((*from.get(one)?, *to.get(one)?, *one)));
            let mut waits: Vec<Wait> =
                both.map(|(from, to, one)| (u64::try_from(to - from).unwrap_or_default(), from, one)).collect();
            waits.sort_unstable();
            (room, waits)
        };
        STEPS.into_iter().map(step).collect()
    }

    /// What lies on one topic.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &[Seen] {
        self.topics.get(&stage).map_or(&[], Vec::as_slice)
    }
}
