//! A room while a benchmark measures it: the very loops of production, with a registry that knows a few topics.

use super::blocking;
use crate::Failure;
use runtime::clock::now_micros;
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::metrics::RoomMetrics;
use runtime::{Config, Room, reader, run_rooms_with, shutdown};
use schemas::TopicInfo;
use std::sync::Arc;

/// First schema id of the topics that every room writes; those of a benchmark are below.
const OPS_ID: u32 = 101;

/// The room of a benchmark while it runs.
pub struct Running {
    /// Room and consumer group: new for each run, so that it starts at the beginning.
    pub name: &'static str,
    /// Its counters.
    pub metrics: RoomMetrics,
    /// Where it stands.
    pub health: Health,
    task: tokio::task::JoinHandle<Result<(), runtime::RoomError>>,
    trigger: runtime::ShutdownTrigger,
}

impl Running {
    /// Starts the room that `room` makes of a name; `own` are the topics of the benchmark with their schema ids.
    pub fn start(
        config: &Arc<Config>,
        what: &str,
        own: &[(&'static TopicInfo, u32)],
        room: impl FnOnce(&'static str) -> Room,
    ) -> Result<Self, Failure> {
        let name: &'static str = Box::leak(format!("{what}-{}", now_micros()).into_boxed_str());
        Self::start_as(config, name, own, room)
    }

    /// Starts the room under a name that it had before.
    pub fn start_as(
        config: &Arc<Config>,
        name: &'static str,
        own: &[(&'static TopicInfo, u32)],
        room: impl FnOnce(&'static str) -> Room,
    ) -> Result<Self, Failure> {
        let known: Vec<_> = own.iter().copied().chain(ops().into_iter().zip(OPS_ID..)).collect();
        let codec = Codec::fixed(&known).map_err(|error| Failure::new(error, "report this as a defect"))?;
        let room = room(name);
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let (config, known_health) = (Arc::clone(config), health.clone());
        let task =
            tokio::spawn(async move { run_rooms_with(Arc::new(codec), config, vec![room], &known_health, stop).await });
        Ok(Self { name, metrics: RoomMetrics::new(name), health, task, trigger })
    }

    /// Whether it has ended, which it does not by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Drains and waits for the end.
    pub async fn stop(self) -> Result<(), Failure> {
        self.trigger.stop();
        match self.task.await {
            Ok(ended) => ended.map_err(|error| crate::run::stopped(&error)),
            Err(error) => Err(Failure::new(error, "report this as a defect")),
        }
    }
}

/// Topics that the rooms of benchmarks write beside their own.
pub fn ops() -> Vec<&'static TopicInfo> {
    use schemas::topics::{OPS_AUDIT_V1, OPS_EFFECT_V1, OPS_EXCEPTION_V1, OPS_PARKED_V1};
    vec![OPS_EXCEPTION_V1.info(), OPS_PARKED_V1.info(), OPS_AUDIT_V1.info(), OPS_EFFECT_V1.info()]
}

/// Every input record must be behind the committed position of the group: what counts is what was committed.
pub async fn check_committed(
    config: &Config,
    group: &'static str,
    topic: &'static str,
    expected: u64,
) -> Result<(), Failure> {
    let lag = uncommitted(config, group, topic).await?;
    if lag == 0 {
        return Ok(());
    }
    let what = format!("{lag} of {expected} records are not committed");
    Err(Failure::new(what, "run it again; if it stays, the room's log lines on stderr say why"))
}

/// Records of a topic that a group has not committed.
pub async fn uncommitted(config: &Config, group: &'static str, topic: &'static str) -> Result<i64, Failure> {
    let kafka = config.kafka.clone();
    let lags = blocking(move || reader::group_lag(&kafka, group, &[topic])).await?.map_err(Failure::kafka)?;
    Ok(lags.iter().map(|partition| partition.lag).sum())
}
