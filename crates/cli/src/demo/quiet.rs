//! Waits until nothing is under way any more.

use crate::Failure;
use crate::output;
use runtime::reader::{self, PartitionLag, ReadError};
use runtime::{Config, RoomInfo, clock};
use schemas::topics;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);
/// So many looks in a row must show the same.
const STILL_LOOKS: u32 = 4;

/// What is compared from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Records that rooms have still to finish.
    lag: i64,
    /// End of every topic: nothing new may appear.
    ends: BTreeMap<(String, i32), i64>,
}

/// Waits until every room has finished what is on its topics and nothing new has appeared for a while, or until `bound`
/// is over. Gives the lag that is left: 0 when all is quiet.
pub async fn wait(config: &Config, rooms: &[RoomInfo], bound: Duration) -> Result<i64, Failure> {
    let progress = output::spinner("waiting until all is processed; records left:");
    let started = clock::tick();
    let mut before = Look::default();
    let mut still = 0;
    while clock::tick().since(started) < bound {
        let (config, rooms) = (config.clone(), rooms.to_vec());
        let now = tokio::task::spawn_blocking(move || look(&config, &rooms)).await.map_err(Failure::kafka)?;
        // While a broker is away there is nothing to see, and it is not quiet; the wait is bounded.
        let Ok(now) = now else {
            still = 0;
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        progress.set_position(u64::try_from(now.lag).unwrap_or_default());
        still = if now.lag == 0 && now.ends == before.ends { still + 1 } else { 0 };
        before = now;
        if still >= STILL_LOOKS {
            progress.finish_and_clear();
            return Ok(0);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.finish_and_clear();
    Ok(before.lag)
}

fn look(config: &Config, rooms: &[RoomInfo]) -> Result<Look, ReadError> {
    let mut look = Look::default();
    for room in rooms {
        let lags: Vec<PartitionLag> = crate::status::lag(config, room)?;
        look.lag += lags.iter().map(|partition| partition.lag).sum::<i64>();
    }
    // Cursors move with every poll of a source and say nothing about work left.
    let watched = topics::ALL.iter().map(|topic| topic.name).filter(|name| *name != topics::OPS_CURSOR_V1.name());
    look.ends = reader::ends(&config.kafka, &watched.collect::<Vec<_>>())?;
    Ok(look)
}
