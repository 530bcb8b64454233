//! Other rooms that call the same endpoints and are more urgent: whether what waits for them is late.
//!
//! They may run anywhere, so Kafka is asked: where the group of a room stands says how old the oldest event is that it has not
//! settled. What is parked has been settled in that sense, so a key that waits for a person holds nobody back.

use super::turns::rank;
use crate::clock::now_micros;
use crate::cluster::Cluster;
use crate::metrics::RoomMetrics;
use crate::reader::ReadError;
use crate::room::RoomError;
use crate::shutdown::Shutdown;
use crate::turn::{Loop, Next};
use schemas::topics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// The rooms that are watched, and how urgent the most urgent class is that is late in each.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<BTreeMap<String, Option<usize>>>);

/// Looks after them, in turns.
pub(super) struct Watch<K: Cluster> {
    pub cluster: K,
    pub beside: Arc<Beside>,
    pub metrics: RoomMetrics,
    pub stop: Shutdown,
}

impl Beside {
    /// Has a room watched from now on.
    pub fn watch(&self, room: &str) {
        self.rooms().entry(room.to_owned()).or_default();
    }

    /// How urgent the most urgent class is that is late in any of these rooms.
    pub fn late(&self, rooms: &[String]) -> Option<usize> {
        let known = self.rooms();
        rooms.iter().filter_map(|room| known.get(room).copied().flatten()).min()
    }

    /// Takes note of what was seen of a room.
    pub fn note(&self, room: &str, late: Option<usize>) {
        self.rooms().insert(room.to_owned(), late);
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Option<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Cluster> Loop for Watch<K> {
    fn turn(&mut self, _patience: Duration) -> Result<Next, RoomError> {
        if self.stop.requested() {
            return Ok(Next::Ended);
        }
        let rooms: Vec<String> = self.beside.rooms().keys().cloned().collect();
        for room in rooms {
            match late_class(&self.cluster, &room, now_micros() / 1_000) {
                Ok(late) => {
                    self.metrics.makes_way(&room, late.is_some());
                    self.beside.note(&room, late);
                }
                // What was known stands until it can be asked again.
                Err(error) => tracing::warn!(code = "WL-6061", room, %error, "cannot tell whether a room is late"),
            }
        }
        Ok(Next::After(LOOK))
    }
}

/// How urgent the most urgent class of a room is of which an event waits for longer than its topic promises.
fn late_class(cluster: &impl Cluster, room: &str, now_ms: i64) -> Result<Option<usize>, ReadError> {
    let mut late = None;
    for topic in topics::ALL.iter().filter(|topic| !topic.compacted && !topic.name.starts_with("ops.")) {
        let rank = rank(topic.class);
        if !topic.consumers.iter().any(|(consumer, _)| *consumer == room) || late.is_some_and(|late| late <= rank) {
            continue;
        }
        let promised_ms = i64::try_from(topic.latency_p99_ms).unwrap_or(i64::MAX);
        if cluster.is_late(room, topic.name, now_ms.saturating_sub(promised_ms))? {
            late = Some(rank);
        }
    }
    Ok(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_class_that_is_late_in_any_of_the_rooms_counts() {
        let beside = Beside::default();
        let (erp, partners) = ("erp-post".to_owned(), "supplier-fanout".to_owned());
        beside.watch(&erp);
        assert_eq!(beside.late(&[erp.clone(), partners.clone()]), None, "nothing is known yet");
        beside.note(&erp, Some(1));
        beside.note(&partners, Some(0));
        assert_eq!(
            (beside.late(std::slice::from_ref(&erp)), beside.late(&[erp.clone(), partners])),
            (Some(1), Some(0))
        );
        beside.watch(&erp);
        assert_eq!(beside.late(std::slice::from_ref(&erp)), Some(1), "watching it again forgets nothing");
        beside.note(&erp, None);
        assert_eq!(beside.late(&[erp]), None);
    }
}
