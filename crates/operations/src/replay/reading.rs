//! Reads what is left of a plan, on a thread of its own, and says what becomes of each record.
//!
//! ```text
//! agreed to, and comes out so still         -> handed over
//! agreed to, and nothing changes by it now  -> left out: it was taken back or corrected since, or waits already
//! agreed to, and comes out in another way   -> nobody has agreed to that: reading ends
//! not agreed to                             -> passed over
//! ```
//! The recount that a correcting replay is agreed to by takes minutes, and time passes behind it. So the tables are filled and the
//! past is read anew before the first record is handed over, and each record is compared with what the recount said of it.

use super::acts::Replays;
use super::differences::Difference;
use super::plan::{Agreed, Count, Handed, parking_lot, waiting};
use super::store::blocking;
use super::{Plan, ReplayError};
use runtime::reader::{self, From, Range, Until};
use runtime::record::Record;
use schemas::ReplaySpan;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

/// Records in flight between reading and handing over.
const WINDOW: usize = 256;
/// Longest wait for the next record before it is looked around.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// What the reading thread tells.
pub(super) enum Read {
    /// It is handed over.
    Record(Box<Record>, Handed),
    /// What was agreed to of this place changes nothing any more; the digest of what it would have changed.
    LeftOut((i32, i64), u128),
    /// A partition is read to the end of its range.
    Through(i32),
}

/// What is left of a plan, ready to be read.
pub(super) struct Left {
    plan: Plan,
    count: Count,
    /// Places that wait for their turn already, perhaps behind an exception that a person must decide.
    parked: HashSet<(i32, i64)>,
    agreed: Agreed,
}

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    HandOver(Handed),
    LeaveOut(u128),
    PassOver,
    Refuse,
}

impl Left {
    /// Fills the tables and reads the past once more, as they are now.
    pub async fn prepare(replays: &Arc<Replays>, plan: &Plan, agreed: Agreed) -> Result<Self, ReplayError> {
        let count = Count::of_plan(replays, plan).await?;
        let (of, asked) = (Arc::clone(replays), plan.clone());
        let parked =
            blocking(move || waiting(&of.config.kafka, &parking_lot(), (&asked.room, &asked.topic), of.own.parked_max))
                .await?;
        Ok(Self { plan: plan.clone(), count, parked, agreed })
    }

    /// Begins to read. The thread ends when nobody takes what it tells.
    pub fn read(self) -> (Receiver<Read>, JoinHandle<Result<(), ReplayError>>) {
        let (sender, receiver) = channel(WINDOW);
        let reading = tokio::task::spawn_blocking(move || {
            let send = |read: Read| sender.blocking_send(read).is_ok();
            for span in self.plan.spans.iter().filter(|span| span.next < span.end) {
                if !self.span(span, &send)? {
                    break;
                }
            }
            Ok(())
        });
        (receiver, reading)
    }

    /// Reads one partition from where the plan has got to. False when nobody takes what is read any more.
    fn span(&self, span: &ReplaySpan, send: &impl Fn(Read) -> bool) -> Result<bool, ReplayError> {
        let range = Range {
            topic: self.count.topic.name.to_owned(),
            partitions: vec![span.partition],
            from: From::Offset(span.next),
            until: Until::Offset(span.end),
        };
        let (mut failed, mut heard) = (None, true);
        reader::read_range(self.count.kafka(), &range, |record| {
            match self.one(record, send) {
                Ok(taken) => heard = taken,
                Err(error) => failed = Some(error),
            }
            if heard && failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(heard && send(Read::Through(span.partition))),
        }
    }

    fn one(&self, record: Record, send: &impl Fn(Read) -> bool) -> Result<bool, ReplayError> {
        if !self.count.takes(&record)? {
            return Ok(true);
        }
        let place = (record.place.partition, record.place.offset);
        let now = match self.parked.contains(&place) {
            true => Handed::Not,
            false => self.count.hands_over(&record)?,
        };
        match turn(now, self.agreed.get(&place).copied()) {
            Turn::HandOver(handed) => Ok(send(Read::Record(Box::new(record), handed))),
            Turn::LeaveOut(says) => Ok(send(Read::LeftOut(place, says))),
            Turn::PassOver => Ok(true),
            Turn::Refuse => Err(self.otherwise(place)),
        }
    }

    fn otherwise(&self, (partition, offset): (i32, i64)) -> ReplayError {
        let first = format!("the first at offset {offset} of partition {partition}");
        let what = format!("records that would be corrected otherwise than was agreed to, {first}");
        let differences = vec![Difference { what, planned: 0, now: 1 }];
        ReplayError::ChangedLeft { id: self.plan.replay_id.clone(), differences }
    }
}

/// What becomes of a record, by what is made of it `now` and what the recount said of it.
fn turn(now: Handed, agreed: Option<u128>) -> Turn {
    match (now, agreed) {
        (Handed::Plain, _) => Turn::HandOver(now),
        (Handed::Corrected(says), Some(agreed)) if says == agreed => Turn::HandOver(now),
        (Handed::Corrected(_), Some(_)) => Turn::Refuse,
        (Handed::Not, Some(says)) => Turn::LeaveOut(says),
        (Handed::Corrected(_) | Handed::Not, None) => Turn::PassOver,
    }
}

/// Takes up to `most` of what was read, and whether that was the last of it. Waits for the first, not for the others.
pub(super) async fn gather(records: &mut Receiver<Read>, most: u32) -> (Vec<Read>, bool) {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut read = Vec::with_capacity(most);
    let Ok(first) = tokio::time::timeout(LOOK, records.recv()).await else { return (read, false) };
    let Some(first) = first else { return (read, true) };
    read.push(first);
    while read.len() < most {
        match records.try_recv() {
            Ok(next) => read.push(next),
            Err(_) => break,
        }
    }
    (read, false)
}

/// How reading has ended.
pub(super) fn joined(ended: Result<Result<(), ReplayError>, tokio::task::JoinError>) -> Result<(), ReplayError> {
    match ended {
        Ok(read) => read,
        Err(stopped) => Err(ReplayError::Kafka(runtime::kafka::ClientError::Delivery(stopped.to_string()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_is_gathered_without_waiting_for_more() {
        let (sender, mut receiver) = channel(8);
        for partition in 0..3 {
            sender.send(Read::Through(partition)).await.unwrap();
        }
        assert_eq!(gather(&mut receiver, 2).await.0.len(), 2);
        let (rest, ended) = gather(&mut receiver, 2).await;
        assert_eq!((rest.len(), ended), (1, false));
        drop(sender);
        assert!(gather(&mut receiver, 2).await.1);
    }

    #[test]
    fn rpl_1_only_what_was_agreed_to_is_handed_over() {
        let (same, other) = (Handed::Corrected(7), Handed::Corrected(8));
        for (now, agreed, expected) in [
            (Handed::Plain, None, Turn::HandOver(Handed::Plain)),
            (same, Some(7), Turn::HandOver(same)),
            (other, Some(7), Turn::Refuse),
            (Handed::Not, Some(7), Turn::LeaveOut(7)),
            (same, None, Turn::PassOver),
            (Handed::Not, None, Turn::PassOver),
        ] {
            assert_eq!(turn(now, agreed), expected, "{now:?}, agreed to: {agreed:?}");
        }
    }
}
