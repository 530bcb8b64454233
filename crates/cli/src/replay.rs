//! `wardline replay`: process records again, beside the live flow.
//!
//! The records go to the parking topic with the reason `replay`, in the partition of their origin and in order; the live
//! room takes them up in order per key and suppresses effects that already happened (RPL-1, ORD-1). Only records that the
//! room has passed are taken: the others will come by themselves.

use crate::args::{Globals, Replay};
use crate::output::{self, Output};
use crate::{Failure, context, rooms, run};
use processor::{Code, Reason};
use runtime::codec::Codec;
use runtime::desk::Desk;
use runtime::outgoing::Lineage;
use runtime::parking_store::REPLAY_CODE;
use runtime::publisher::Publisher;
use runtime::reader::{self, From, Range, ReadError, Until};
use runtime::record::Record;
use runtime::{Config, RoomInfo, RoomKind, clock};
use schemas::{Audit, AuditKind, Timestamp, topics};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Records in flight between reading and parking.
const WINDOW: usize = 256;

/// What was, or would be, replayed.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    room: String,
    topic: String,
    records: u64,
    keys: usize,
    by_partition: BTreeMap<i32, u64>,
    applied: bool,
}

/// Executes `wardline replay`.
pub fn execute(globals: &Globals, options: &Replay) -> Result<(), Failure> {
    let config = context::running(globals)?;
    let all = rooms::all();
    let room =
        all.iter().find(|room| room.info().name == options.room).ok_or_else(|| run::unknown_room(&options.room))?;
    let (info, topic) = (room.info().clone(), topic_of(room.info(), options)?);
    let summary = context::block_on(replay(&config, &info, topic, options))??;
    let mut output = Output::stdout();
    if options.json {
        output.json(&summary)?;
    } else {
        let verb = if summary.applied { "handed to" } else { "would be handed to" };
        let (records, keys) = (summary.records, summary.keys);
        output.line(format!("{records} records of {keys} keys of {topic} {verb} {}", info.name))?;
        for (partition, count) in &summary.by_partition {
            output.line(format!("  partition {partition}: {count}"))?;
        }
    }
    output.finish()?;
    if summary.records == 0 {
        output::note(&format!("{} has passed no such record: look at the range and the key", info.name));
    } else if summary.applied {
        output::note("`wardline status` shows how many of them are still parked");
    }
    Ok(())
}

fn topic_of(info: &RoomInfo, options: &Replay) -> Result<&'static str, Failure> {
    if !matches!(info.kind, RoomKind::Processor | RoomKind::Effect) {
        return Err(Failure::usage(
            format!("WL-7065: {} does not take replayed records", info.name),
            "replay into a processor or an effect room; a source is replayed by sending its messages again",
        ));
    }
    match &options.topic {
        Some(wanted) => info.reads.iter().copied().find(|topic| topic == wanted),
        None if info.reads.len() == 1 => info.reads.first().copied(),
        None => None,
    }
    .ok_or_else(|| {
        Failure::usage(
            format!("WL-7065: {} reads {}", info.name, info.reads.join(", ")),
            "name one of these topics with --topic",
        )
    })
}

async fn replay(config: &Config, info: &RoomInfo, topic: &'static str, options: &Replay) -> Result<Summary, Failure> {
    let range = range(topic, options)?;
    let passed = passed(config, info.name, topic).await?;
    let mut summary = Summary {
        room: info.name.to_owned(),
        topic: topic.to_owned(),
        applied: !options.dry_run,
        ..Summary::default()
    };
    let sink = if options.dry_run { None } else { Some(Sink::open(config, info.name, options).await?) };
    if let Some(sink) = &sink {
        sink.audit(topic, "replay.planned", "replay starts").await?;
    }
    let (sender, mut receiver) = mpsc::channel(WINDOW);
    let (kafka, key) = (config.kafka.clone(), options.key.clone());
    let reading = tokio::task::spawn_blocking(move || {
        reader::read_range(&kafka, &range, |record| {
            let done = passed.get(&record.place.partition).is_some_and(|next| record.place.offset < *next);
            let wanted = key.as_ref().is_none_or(|key| record.key_text() == key.as_str());
            if done && wanted && sender.blocking_send(record).is_err() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
    });
    let progress = output::spinner("records");
    let mut keys: HashSet<Vec<u8>> = HashSet::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / options.rate);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    while let Some(record) = receiver.recv().await {
        summary.records += 1;
        *summary.by_partition.entry(record.place.partition).or_default() += 1;
        progress.inc(1);
        keys.insert(record.key.as_deref().unwrap_or_default().to_vec());
        if let Some(sink) = &sink {
            pace.tick().await;
            sink.park(&record).await?;
        }
    }
    progress.finish_and_clear();
    reading.await.map_err(Failure::kafka)?.map_err(Failure::kafka)?;
    summary.keys = keys.len();
    if let Some(sink) = &sink {
        let detail = format!("{} records of {} keys replayed", summary.records, summary.keys);
        sink.audit(topic, "replay.applied", &detail).await?;
    }
    Ok(summary)
}

/// Puts records on the parking topic, and what was done on the audit topic.
struct Sink {
    publisher: Publisher,
    desk: Desk,
    room: &'static str,
    actor: String,
    comment: Option<String>,
}

impl Sink {
    async fn open(config: &Config, room: &'static str, options: &Replay) -> Result<Self, Failure> {
        let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
        let written = [topics::OPS_PARKED_V1.info(), topics::OPS_AUDIT_V1.info()];
        let publisher = Publisher::connect(config, Arc::clone(&codec), &written).await.map_err(Failure::registry)?;
        // The live room takes what another session wrote; the name only has to differ from the room's own.
        let desk = Desk::new(room, config, codec, &format!("replay-{}", clock::now_micros()));
        Ok(Self { publisher, desk, room, actor: options.actor.clone(), comment: options.comment.clone() })
    }

    async fn park(&self, record: &Record) -> Result<(), Failure> {
        let reason = Reason::new(Code::new(REPLAY_CODE), REPLAY_CODE, "replayed on request");
        let parked = self.desk.park(record, &reason, None, 0, clock::now_micros()).map_err(Failure::registry)?;
        self.publisher.publish(&[parked]).await.map_err(Failure::kafka)
    }

    async fn audit(&self, topic: &str, code: &str, detail: &str) -> Result<(), Failure> {
        let comment = self.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let audit = Audit {
            room: self.room.to_owned(),
            kind: AuditKind::Replay,
            code: code.to_owned(),
            origin_topic: Some(topic.to_owned()),
            detail: format!("{detail}{comment}"),
            actor: Some(self.actor.clone()),
            at: Timestamp(clock::now_micros()),
            ..Audit::default()
        };
        let record = self.publisher.event(&audit, &Lineage::default()).map_err(Failure::registry)?;
        self.publisher.publish(&[record]).await.map_err(Failure::kafka)
    }
}

/// Next offset of the room in each partition.
async fn passed(config: &Config, room: &'static str, topic: &'static str) -> Result<BTreeMap<i32, i64>, Failure> {
    let kafka = config.kafka.clone();
    let lags = tokio::task::spawn_blocking(move || reader::group_lag(&kafka, room, &[topic]))
        .await
        .map_err(Failure::kafka)?
        .map_err(|error: ReadError| Failure::kafka(error))?;
    Ok(lags.into_iter().filter_map(|lag| Some((lag.partition, lag.committed?))).collect())
}

fn range(topic: &str, options: &Replay) -> Result<Range, Failure> {
    let from = match (options.from_offset, &options.from_time) {
        (Some(offset), _) => From::Offset(offset),
        (None, Some(time)) => From::TimeMs(milliseconds(time)?),
        (None, None) => {
            return Err(Failure::usage(
                "WL-7066: the start of the range is missing",
                "give --from-time, or --partition with --from-offset",
            ));
        }
    };
    let until = match (options.to_offset, &options.until_time) {
        (Some(last), _) => Until::Offset(last.saturating_add(1)),
        (None, Some(time)) => Until::TimeMs(milliseconds(time)?),
        (None, None) => Until::EndNow,
    };
    Ok(Range { topic: topic.to_owned(), partitions: options.partition.into_iter().collect(), from, until })
}

fn milliseconds(text: &str) -> Result<i64, Failure> {
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|error| {
        Failure::usage(format!("WL-7066: {text} is not a time: {error}"), "write it like 2026-03-01T08:00:00Z")
    })
}
