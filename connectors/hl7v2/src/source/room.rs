//! The room: how the runtime starts it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use runtime::config::ConfigError;
use runtime::health::RoomHealth;
use runtime::kafka::ClientError;
use runtime::{Config, Room, RoomContext, RoomError, RoomInfo, RoomKind, ShutdownTrigger, clock};
use schemas::topics;

use super::directory::Directory;
use super::intake::Intake;
use super::kafka::{KafkaSink, find_published};
use super::ledger::Ledger;
use super::listener::{Listener, SourceError};
use super::receipts::{Loaded, Receipts, receipt_topic};
use super::siblings::Siblings;
use crate::config::Hl7v2Config;
use crate::mapping::Mapper;

/// Name of the room.
pub const NAME: &str = "hl7v2";

/// The records of one message reach Kafka within the delivery time-out of the client, a minute; this is several times that.
const BEFORE_CRASH_MS: i64 = 600_000;

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let info = RoomInfo {
        name: NAME,
        purpose: "Takes HL7 v2 messages from MLLP connections and files and publishes what happened.",
        kind: RoomKind::Source,
        reads: vec![receipt_topic()],
        looks_up: Vec::new(),
        writes: vec![
            topics::CLINICAL_ENCOUNTER_V1.name(),
            topics::CLINICAL_SUPPLY_USAGE_V1.name(),
            topics::OPS_RECEIPT_V1.name(),
            topics::OPS_EXCEPTION_V1.name(),
            topics::OPS_DEAD_LETTER_V1.name(),
            topics::OPS_SOURCE_V1.name(),
        ],
    };
    Room::source(info, run).configured(check)
}

/// What can be said of the block before anything starts.
fn check(own: &Hl7v2Config, config: &Config) -> Result<(), String> {
    own.validate()?;
    let key = config.identity.pseudonym_key.expose().as_bytes();
    Mapper::new(own.mapping.clone(), key).map(drop).map_err(|error| error.to_string())
}

async fn run(context: RoomContext) -> Result<(), RoomError> {
    let config: Hl7v2Config = context.config.room(NAME)?;
    config.validate().map_err(|reason| refused(&reason))?;
    let key = context.config.pseudonym_key()?.expose().as_bytes();
    let mapper = Mapper::new(config.mapping.clone(), key).map_err(|error| refused(&error))?;
    let ledger = Arc::new(Ledger::new(config.receipts.messages_max));
    let sink = KafkaSink::connect(&context, Duration::from_millis(config.limits.gather_ms)).await?;
    let broken = sink.broken();
    let window_ms = i64::try_from(config.receipts.window_hours.saturating_mul(3_600_000)).unwrap_or(i64::MAX);
    let since_ms = now_ms().saturating_sub(window_ms);
    let (receipts, loaded) = Receipts::load(&ledger, &context, since_ms).await?;
    tracing::info!(receipts = loaded.count, remembered = ledger.len(), "receipts read");
    without_receipt(&ledger, &context, loaded, since_ms).await?;
    let patience = Duration::from_millis(config.limits.confirm_ms);
    let shared = config.receipts.shared;
    let siblings = shared.then(|| Arc::new(Siblings::new(Duration::from_millis(config.receipts.catch_up_ms))));
    let intake = Intake::new(mapper, Arc::clone(&ledger), Arc::new(sink), patience).beside(siblings.clone());
    let intake = Arc::new(intake.keeping_sources(config.keep_sources));
    let directory = match config.directory.clone() {
        Some(directory) => {
            let opened = Directory::open(directory, Arc::clone(&intake), config.limits.frame_bytes_max);
            Some(opened.map_err(|error| refused(&error))?)
        }
        None => None,
    };
    let listener = if config.listen.is_empty() {
        None
    } else {
        Some(Listener::bind(&config, intake, context.metrics.clone()).await.map_err(start_error)?)
    };
    if let Some(address) = listener.as_ref().and_then(|listener| listener.address().ok()) {
        tracing::info!(%address, tls = config.tls.is_some(), "listening for MLLP");
    }
    context.health.ready();
    let drain = Duration::from_millis(context.config.limits.drain_ms);
    let (trigger, stop) = context.shutdown.child();
    let listening = async {
        match listener {
            Some(listener) => listener.serve(stop.clone(), drain).await,
            None => stop.wait().await,
        }
    };
    let reading = async {
        if let Some(directory) = directory {
            directory.run(stop.clone()).await;
        }
    };
    let sharing = async {
        if let Some(siblings) = siblings {
            receipts.follow(siblings, stop.clone()).await;
        }
    };
    let parts = Box::pin(async {
        tokio::join!(listening, reading, sharing);
    });
    unless_broken(parts, broken, &trigger, &context.health).await
}

/// Lets the parts work until they end. A producer that is broken takes no record any more: then nothing new is let in, what is
/// under way is answered, so that its sender repeats it, and the error has the runtime start the room again with a new producer.
async fn unless_broken(
    mut parts: BoxFuture<'_, ()>,
    broken: impl Future<Output = ClientError>,
    trigger: &ShutdownTrigger,
    health: &RoomHealth,
) -> Result<(), RoomError> {
    let error = tokio::select! {
        () = &mut parts => return Ok(()),
        error = broken => error,
    };
    tracing::warn!("nothing can be published any more; what is under way is answered, then the room starts again");
    health.draining();
    trigger.stop();
    parts.await;
    Err(error.into())
}

/// A crash between the confirmation of an event and that of the receipt leaves events without a receipt near the newest one.
/// They are remembered, so that the resend publishes only what is missing.
async fn without_receipt(
    ledger: &Arc<Ledger>,
    context: &RoomContext,
    loaded: Loaded,
    since_ms: i64,
) -> Result<(), RoomError> {
    let from_ms = loaded.newest_ms.map_or(since_ms, |newest| newest.saturating_sub(BEFORE_CRASH_MS).max(since_ms));
    let (kafka, ledger) = (context.config.kafka.clone(), Arc::clone(ledger));
    let read = tokio::task::spawn_blocking(move || find_published(&kafka, from_ms, &ledger));
    let read = read.await.map_err(|stopped| RoomError::Worker(stopped.to_string()))?;
    read.map_err(|error| RoomError::Room(error.to_string()))
}

fn now_ms() -> i64 {
    clock::now_micros() / 1_000
}

/// An address may be free again soon; a certificate that cannot be read stays so.
fn start_error(error: SourceError) -> RoomError {
    match error {
        SourceError::Listen { .. } => RoomError::Room(error.to_string()),
        SourceError::Tls { .. } | SourceError::Directory { .. } => refused(&error),
    }
}

fn refused(error: &dyn std::fmt::Display) -> RoomError {
    RoomError::Config(ConfigError::Room { room: NAME.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::health::{Health, RoomState};
    use runtime::shutdown;

    #[tokio::test]
    async fn loss_1_a_broken_producer_ends_the_room_when_what_is_under_way_is_answered() {
        let (trigger, stop) = shutdown();
        let health = Health::new();
        let room = health.room(NAME);
        room.ready();
        let (mut asked, mut state) = (false, None);
        let parts = Box::pin(async {
            stop.wait().await;
            asked = true;
            state = health.states().remove(NAME);
        });
        let broken = std::future::ready(ClientError::Fenced("the sequence is lost".to_owned()));
        let ended = unless_broken(parts, broken, &trigger, &room).await;
        let told = ended.map_err(|error| error.to_string());
        assert!(told.as_ref().is_err_and(|told| told.contains("the sequence is lost")), "{told:?}");
        assert!(asked, "the parts have drained");
        assert_eq!(state, Some(RoomState::Draining), "it takes nothing new, so it is not ready");
    }

    #[tokio::test]
    async fn a_room_whose_parts_have_ended_ends_well() {
        let (trigger, stop) = shutdown();
        trigger.stop();
        let room = Health::new().room(NAME);
        let ended = unless_broken(Box::pin(stop.wait()), std::future::pending(), &trigger, &room).await;
        assert!(ended.is_ok());
    }
}
