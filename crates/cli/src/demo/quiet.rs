//! Waits until nothing is under way any more.

use super::gather::Desk;
use crate::output;
use crate::{Failure, decode, exceptions, status};
use runtime::reader;
use runtime::{RoomInfo, clock};
use schemas::{Exception, Parked, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks in a row must show the same.
const STILL_LOOKS: u32 = 3;
/// Most parked records that are looked at.
const PARKED_MAX: usize = 1_000_000;

/// What is compared from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Records that rooms have still to finish.
    lag: i64,
    /// End of every topic: nothing new may appear.
    ends: BTreeMap<(String, i32), i64>,
}

/// Waits until every room has finished what is on its topics, whatever is parked waits for a person, and nothing new has
/// appeared for a while, or until `bound` is over. Gives the records that are left: 0 when all is quiet.
pub async fn wait(desk: &Desk<'_>, rooms: &[RoomInfo], bound: Duration) -> Result<i64, Failure> {
    let progress = output::spinner("waiting until all is processed; records left:");
    let started = clock::tick();
    let mut before = Look::default();
    let mut still = 0;
    let mut left = 0;
    while clock::tick().since(started) < bound {
        // While a broker is away there is nothing to see, and it is not quiet; the wait is bounded.
        let Ok(now) = look(desk, rooms).await else {
            still = 0;
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        left = now.lag;
        still = if now.lag == 0 && now.ends == before.ends { still + 1 } else { 0 };
        before = now;
        if still >= STILL_LOOKS
            && let Ok(parked) = waiting(desk).await
        {
            left = parked;
            if left == 0 {
                break;
            }
        }
        progress.set_position(u64::try_from(left).unwrap_or_default());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.finish_and_clear();
    Ok(left)
}

async fn look(desk: &Desk<'_>, rooms: &[RoomInfo]) -> Result<Look, Failure> {
    // Cursors move with every poll of a source and say nothing about work left.
    let watched = topics::ALL.iter().map(|topic| topic.name).filter(|name| *name != topics::OPS_CURSOR_V1.name());
    let (readers, watched) = (desk.readers.clone(), watched.collect::<Vec<_>>());
    let ends = tokio::task::spawn_blocking(move || readers.ends(&watched));
    let lags = status::lags(&desk.readers, rooms).await?;
    Ok(Look {
        lag: lags.iter().flatten().map(|partition| partition.lag).sum(),
        ends: ends.await.map_err(Failure::kafka)?.map_err(Failure::kafka)?,
    })
}

/// Parked records of keys for which no person has been asked yet: they are tried again by themselves, or an exception is
/// raised when their budget is used up.
async fn waiting(desk: &Desk<'_>) -> Result<i64, Failure> {
    let kafka = desk.config.kafka.clone();
    let read = move || reader::latest_by_key(&kafka, topics::OPS_PARKED_V1.name(), PARKED_MAX);
    let records = tokio::task::spawn_blocking(read).await.map_err(Failure::kafka)?.map_err(Failure::kafka)?;
    let mut parked: Vec<Parked> = Vec::with_capacity(records.len());
    for record in records.values() {
        parked.extend(decode::typed::<Parked>(&desk.codec, record).await.map_err(Failure::registry)?);
    }
    let exceptions = exceptions::load(desk.config, &desk.codec).await?;
    let without = without_person(&parked, &exceptions);
    Ok(i64::try_from(without).unwrap_or(i64::MAX))
}

fn without_person(parked: &[Parked], exceptions: &[Exception]) -> usize {
    let asked: BTreeSet<_> = exceptions
        .iter()
        .filter(|exception| exceptions::is_open(exception))
        .filter_map(|exception| {
            let place = (exception.origin_topic.as_deref()?, exception.origin_partition?, exception.origin_offset?);
            Some((exception.room.as_str(), place))
        })
        .collect();
    let lane = |one: &Parked| (one.room.clone(), one.topic.clone(), one.key.clone());
    let is_asked =
        |one: &&Parked| asked.contains(&(one.room.as_str(), (one.topic.as_str(), one.partition, one.offset)));
    // Whoever waits behind a record that a person must decide waits for the person as well.
    let behind: BTreeSet<_> = parked.iter().filter(is_asked).map(lane).collect();
    parked.iter().filter(|one| !behind.contains(&lane(one))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(key: &str, offset: i64) -> Parked {
        Parked { room: "r".to_owned(), topic: "t".to_owned(), key: key.to_owned(), offset, ..Parked::default() }
    }

    #[test]
    fn a_key_behind_an_exception_waits_for_a_person_and_others_do_not() {
        let exception = Exception {
            room: "r".to_owned(),
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(0),
            origin_offset: Some(1),
            ..Exception::default()
        };
        let all = [parked("a", 1), parked("a", 2), parked("b", 3)];
        assert_eq!(without_person(&all, std::slice::from_ref(&exception)), 1);
        assert_eq!(without_person(&all[..2], std::slice::from_ref(&exception)), 0);
        assert_eq!(without_person(&all[..2], &[]), 2);
    }
}
