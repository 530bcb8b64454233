//! `wardline status`: rooms, lag, parked keys, open exceptions.

use crate::args::{Globals, Status};
use crate::output::{self, Output};
use crate::{Failure, context, exceptions, rooms, sight};
use operations::sight::lag::{self, TopicLag};
use runtime::reader::{self, PartitionLag, ReadError};
use runtime::readers::Readers;
use runtime::{Config, RoomInfo, RoomKind};
use schemas::topics;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

/// Where everything stands.
#[derive(Debug, Serialize)]
pub struct Report {
    rooms: Vec<RoomReport>,
    parked: BTreeMap<String, usize>,
    exceptions: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct RoomReport {
    room: &'static str,
    state: String,
    lag_records: Option<i64>,
    /// Age of the oldest record not finished, seconds; 0 when there is none.
    oldest_s: Option<u64>,
    topics: Vec<TopicLag>,
    partitions: Vec<PartitionLag>,
}

/// Executes `wardline status`.
pub fn execute(globals: &Globals, options: &Status) -> Result<(), Failure> {
    let config = context::running(globals)?;
    let report = context::block_on(report(&config, &options.health))??;
    let mut output = Output::stdout();
    if options.json {
        output.json(&report)?;
        return output.finish();
    }
    let rows: Vec<Vec<String>> = report.rooms.iter().map(RoomReport::row).collect();
    output.table(&["ROOM", "STATE", "LAG", "OLDEST", "PARKED"], &add_parked(rows, &report.parked))?;
    output.line("")?;
    if report.exceptions.is_empty() {
        output.line("no open exceptions")?;
    }
    for (code, count) in &report.exceptions {
        output.line(format!("{count} open exceptions with code {code}"))?;
    }
    output.finish()
}

/// How many records each room has not finished. Sources have no group: what they read, they only remember.
pub async fn lags(readers: &Readers, rooms: &[RoomInfo]) -> Result<Vec<Vec<PartitionLag>>, Failure> {
    // At the same time, because a client waits a while until it knows who keeps the positions of a group.
    let ask = |room: &RoomInfo| {
        let (readers, room) = (readers.clone(), room.clone());
        tokio::task::spawn_blocking(move || match room.kind {
            RoomKind::Source => Ok(Vec::new()),
            _ => readers.group_lag(room.name, &room.reads),
        })
    };
    let mut lags = Vec::with_capacity(rooms.len());
    for asked in rooms.iter().map(ask).collect::<Vec<_>>() {
        lags.push(asked.await.map_err(Failure::kafka)?.map_err(Failure::kafka)?);
    }
    Ok(lags)
}

/// Keys of the records that lie in the parking lot now.
pub fn parked_keys(config: &Config) -> Result<HashSet<String>, ReadError> {
    let mut parked = HashSet::new();
    reader::read_range(&config.kafka, &reader::Range::all(topics::OPS_PARKED_V1.name()), |record| {
        let key = record.key_text().into_owned();
        if record.value.is_some() {
            parked.insert(key);
        } else {
            parked.remove(&key);
        }
        ControlFlow::Continue(())
    })?;
    Ok(parked)
}

impl RoomReport {
    fn row(&self) -> Vec<String> {
        let lag = self.lag_records.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        let oldest = self.oldest_s.map_or_else(|| "-".to_owned(), |oldest| format!("{oldest} s"));
        vec![self.room.to_owned(), self.state.clone(), lag, oldest]
    }
}

fn add_parked(mut rows: Vec<Vec<String>>, parked: &BTreeMap<String, usize>) -> Vec<Vec<String>> {
    for row in &mut rows {
        let count = row.first().and_then(|room| parked.get(room)).copied().unwrap_or_default();
        row.push(count.to_string());
    }
    rows
}

async fn report(config: &Config, health: &str) -> Result<Report, Failure> {
    let states = states(health).await;
    if let Err(reason) = &states {
        output::note(&format!(
            "no process answers at {health}, so the states of the rooms are not known: name it with --health ({reason})"
        ));
    }
    let infos: Vec<RoomInfo> = rooms::all().iter().map(|room| room.info().clone()).collect();
    let blocking = config.clone();
    let parked = tokio::task::spawn_blocking(move || parked_keys(&blocking));
    let lags = infos.iter().zip(lags(&Readers::new(&config.kafka), &infos).await?);
    let parked = parked.await.map_err(Failure::kafka)?.map_err(Failure::kafka)?;
    let mut by_room = BTreeMap::new();
    for key in parked {
        *by_room.entry(key.split('|').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let (view, _running) = exceptions::view(config).await?;
    let mut by_code = BTreeMap::new();
    for cause in view.causes().iter() {
        *by_code.entry(cause.code.clone()).or_default() += cause.exceptions;
    }
    let mut rooms = Vec::new();
    for (info, partitions) in lags {
        let topics = lag::by_topic(config, partitions.clone()).await.map_err(sight::failure)?;
        let has_group = info.kind != RoomKind::Source;
        rooms.push(RoomReport {
            room: info.name,
            state: state_of(info.name, states.as_ref().ok()).to_owned(),
            lag_records: has_group.then(|| partitions.iter().map(|partition| partition.lag).sum()),
            oldest_s: has_group.then(|| topics.iter().map(|topic| topic.oldest_s).max().unwrap_or_default()),
            topics,
            partitions,
        });
    }
    Ok(Report { rooms, parked: by_room, exceptions: by_code })
}

/// What is known of a room when its process was asked, or when none answered.
fn state_of<'a>(room: &str, states: Option<&'a BTreeMap<String, String>>) -> &'a str {
    states.map_or("not known", |states| states.get(room).map_or("not running here", String::as_str))
}

/// State of each room of a process, or why there is none to ask.
async fn states(health: &str) -> Result<BTreeMap<String, String>, reqwest::Error> {
    let url = format!("{}/ready", health.trim_end_matches('/'));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let body: Value = client.get(url).send().await?.json().await?;
    let rooms = body.get("rooms").and_then(Value::as_object).cloned().unwrap_or_default();
    let state = |room: &Value| room.get("state").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    Ok(rooms.iter().map(|(name, room)| (name.clone(), state(room))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use runtime::health::Health;

    #[test]
    fn an_address_where_nobody_answers_is_told_apart_from_rooms_that_do_not_run() {
        let nobody = context::block_on(states("http://127.0.0.1:1")).unwrap();
        assert!(nobody.is_err());
        let somebody = context::block_on(async {
            let server = Health::new().serve("127.0.0.1:0").await.unwrap();
            states(&format!("http://{}", server.address())).await
        });
        let states = somebody.unwrap().unwrap();
        assert_eq!(state_of("validate", Some(&states)), "not running here");
        assert_eq!(state_of("validate", None), "not known");
    }
}
