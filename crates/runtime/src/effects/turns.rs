//! Whose turn it is at a target: who yields, and how often those who yield call all the same.
//!
//! After an outage more waits for an endpoint than it takes at once. The most urgent class that waits there goes first. A less
//! urgent one has a turn now and then, so that it never starves: one call in ten while somebody more urgent is late; while nobody
//! is, an even part: one in two where two classes wait, one in three where three do. A turn counts by what the target takes (how long calls are, how many go at once, its budget), and not by the
//! calls of others, so that it means the same for a class of another room.

use crate::clock::Tick;
use schemas::TopicInfo;
use schemas::catalogue::Criticality;
use std::sync::Arc;
use std::time::Duration;

/// Classes of urgency, the most urgent first.
pub(super) const CLASSES: usize = 3;
/// Of so many calls one is for a class that yields to a late one.
const LATE: u32 = 10;
/// How long a call is thought to take before one has ended.
const TOOK_FIRST: Duration = Duration::from_millis(100);

/// By how many classes the events of each topic of a room are less urgent than its most urgent ones; 0 for those and for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes(Arc<[(&'static str, usize)]>);

impl Classes {
    /// The topics that are less urgent than others.
    pub fn new(below: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        Self(below.into_iter().collect())
    }

    /// Those of the topics that a room reads.
    pub fn of(topics: &[&'static TopicInfo]) -> Self {
        let most = most_urgent(topics);
        Self::new(topics.iter().map(|topic| (topic.name, rank(topic.class) - most)))
    }

    /// By how many classes the events of a topic are less urgent.
    pub fn below(&self, topic: &str) -> usize {
        self.0.iter().find(|(known, _)| *known == topic).map_or(0, |(_, below)| *below)
    }
}

/// How a class stands to more urgent ones at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nobody more urgent waits.
    #[default]
    Free,
    /// Somebody more urgent waits.
    Behind,
    /// Somebody more urgent waits and is late.
    BehindLate,
}

/// When those that yield call next.
pub(super) struct Turns {
    next: [Tick; CLASSES],
    /// What a call takes of the target: its time over the number that go at once.
    pace: Duration,
    /// How long the last call took.
    took: Duration,
}

impl Turns {
    /// Whether the turn of a class has come.
    pub fn has_come(&self, class: usize, now: Tick) -> bool {
        self.next.get(class).is_some_and(|next| *next <= now)
    }

    /// When the next turn of a class comes.
    pub fn next(&self, class: usize) -> Tick {
        self.next.get(class).copied().unwrap_or_default()
    }

    /// A class has had its turn, where so many classes wait. `gap` is how far apart calls are by the budget of the target.
    pub fn taken(&mut self, class: usize, standing: Standing, waiting: usize, now: Tick, gap: Duration) {
        // An even part for each: with one call in two for each of two classes the most urgent one would have none.
        let even = u32::try_from(waiting.max(2)).unwrap_or(LATE);
        let one_of = if standing == Standing::BehindLate { LATE } else { even };
        let every = self.pace.max(gap).saturating_mul(one_of);
        if let Some(next) = self.next.get_mut(class) {
            // What came due while no call was free is made up for, as far as a call takes.
            let missed = now.since(*next).min(self.took);
            *next = now.after(every.saturating_sub(missed));
        }
    }

    /// A call took so long, of `calls_max` at once.
    pub fn took(&mut self, took: Duration, calls_max: usize) {
        self.took = took;
        self.pace = took / u32::try_from(calls_max.max(1)).unwrap_or(u32::MAX);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { next: [Tick::default(); CLASSES], pace: TOOK_FIRST, took: TOOK_FIRST }
    }
}

/// How urgent a class is; 0 is the most urgent.
pub(super) fn rank(class: Criticality) -> usize {
    match class {
        Criticality::PatientAdjacent => 0,
        Criticality::Operational => 1,
        Criticality::Analytical => 2,
    }
}

/// How urgent the most urgent of these topics is.
pub(super) fn most_urgent(topics: &[&'static TopicInfo]) -> usize {
    topics.iter().map(|topic| rank(topic.class)).min().unwrap_or_default()
}

/// For each class, from the most urgent of these topics on, the age beyond which an event is late: what its topic promises
/// (`sla` in `topics.yaml`).
pub(super) fn late_after(topics: &[&'static TopicInfo]) -> [Duration; CLASSES] {
    let most = most_urgent(topics);
    let mut late_after = [Duration::MAX; CLASSES];
    for topic in topics {
        if let Some(least) = late_after.get_mut(rank(topic.class) - most) {
            *least = (*least).min(Duration::from_millis(topic.latency_p99_ms));
        }
    }
    late_after
}

/// The names of the topics by class, from the most urgent one of them on.
pub(super) fn by_class(topics: &[&'static TopicInfo]) -> [Vec<&'static str>; CLASSES] {
    let most = most_urgent(topics);
    let of = |class: usize| topics.iter().filter(move |topic| rank(topic.class) == most + class);
    std::array::from_fn(|class| of(class).map(|topic| topic.name).collect())
}
