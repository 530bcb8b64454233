//! The connector: polls the server and puts what it learns on Kafka.
//!
//! One page is one transaction: events, receipts, what changed in the state, and the position behind the page. A crash at
//! any point repeats nothing and loses nothing. A server that does not answer stops nothing but the polling.

mod http;
mod memory;
mod page;
mod poll;
mod position;
mod records;
mod salvage;
mod shelf;

use crate::NAME;
use crate::config::FhirConfig;
use poll::Poll;
use runtime::publisher::TransactionalPublisher;
use runtime::{ConfigError, Room, RoomContext, RoomError, RoomInfo, RoomKind};
use schemas::{TopicInfo, topics};
use std::time::Duration;

pub use http::{Answer, FhirServer, ServerError};

/// Prefix of the streams of resource types.
const POLL: &str = "poll/";
/// Prefix of the streams of the deletions of a resource type; alone, that of all types, which earlier versions wrote.
const DELETIONS: &str = "deletions";

/// The room, for a process.
pub fn room() -> Room {
    let info = RoomInfo {
        name: NAME,
        purpose: "Polls a FHIR server: stays and the articles used in them.",
        kind: RoomKind::Source,
        reads: Vec::new(),
        looks_up: Vec::new(),
        writes: written().iter().map(|topic| topic.name).chain(bytes_as_they_came()).collect(),
    };
    Room::source(info, run).configured(|own: &FhirConfig, config| {
        own.validate()?;
        own.profile(&config.identity.pseudonym_key).map(drop).map_err(|error| error.to_string())
    })
}

/// The topics with a contract that the room writes.
fn written() -> Vec<&'static TopicInfo> {
    vec![
        topics::CLINICAL_ENCOUNTER_V1.info(),
        topics::CLINICAL_SUPPLY_USAGE_V1.info(),
        topics::OPS_CURSOR_V1.info(),
        topics::OPS_EXCEPTION_V1.info(),
        topics::OPS_RECEIPT_V1.info(),
    ]
}

/// The topics without a contract that the room writes.
fn bytes_as_they_came() -> [&'static str; 2] {
    [topics::OPS_DEAD_LETTER_V1.name(), topics::OPS_SOURCE_V1.name()]
}

/// Runs until the stop is asked for.
async fn run(context: RoomContext) -> Result<(), RoomError> {
    let config: FhirConfig = context.config.room(NAME)?;
    let refused = |reason: String| RoomError::Config(ConfigError::Room { room: NAME.to_owned(), reason });
    config.validate().map_err(refused)?;
    let key = context.config.pseudonym_key()?;
    let profile = config.profile(key).map_err(|error| refused(error.to_string()))?;
    let server = FhirServer::new(&config).map_err(|error| refused(error.to_string()))?;
    // Fences whoever polls this server, wherever it runs, so that what is read back is complete and nothing is added to it: one that
    // stood still with a page in hand must not publish it behind newer ones.
    let id = format!("wardline.{NAME}.{}", config.system);
    let publisher = TransactionalPublisher::take_over(&context.config, context.codec.clone(), id, &written()).await?;
    let memory = memory::recall(&context, &config).await?;
    let interval = Duration::from_millis(config.poll_interval_ms);
    let mut poll = Poll::new(config, context, profile, server, publisher, memory);
    poll.context.health.ready();
    let shutdown = poll.context.shutdown.clone();
    while !shutdown.requested() {
        // What fails sits out some rounds by itself; only what the server asks for holds up all.
        let asked = poll.round().await?.err().and_then(|error| error.retry_after());
        let wait = interval.max(asked.unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => {}
        }
    }
    Ok(())
}
