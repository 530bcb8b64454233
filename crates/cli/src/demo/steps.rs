//! The steps of a hospital day that wait for the rooms.

use super::gather::{self, Desk};
use crate::Failure;
use crate::output;
use jiff::civil::Date;
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::outgoing::Outgoing;
use runtime::publisher::Publisher;
use runtime::reader::{self, Range};
use runtime::{Config, clock};
use schemas::topics as names;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the rooms to be ready and for the master data.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// How often something is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Marks the undecodable record of the day.
const DEMO_HEADER: &str = "wl_demo";

/// Waits until every room does its work.
pub async fn ready(health: &Health) -> Result<(), Failure> {
    let next = "see the log lines above; `--log info` shows more";
    match tokio::time::timeout(START_TIMEOUT, health.wait_ready()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(Failure::new(format!("WL-7069: a room cannot start: {reason}"), next)),
        Err(_) => Err(Failure::new(format!("WL-7069: not all rooms are ready: {}", health.to_json()), next)),
    }
}

/// Waits until the items of the ERP are on their topic, so that the day does not start by waiting for them.
pub async fn master_data(config: &Config, items: usize) -> Result<(), Failure> {
    let progress = output::spinner("items loaded from the ERP:");
    let started = clock::tick();
    let mut last = 0;
    while clock::tick().since(started) < START_TIMEOUT {
        let kafka = config.kafka.clone();
        let topic = names::MASTER_ITEM_V1.name();
        let found = tokio::task::spawn_blocking(move || reader::latest_by_key(&kafka, topic, 1_000_000))
            .await
            .map_err(Failure::kafka)?
            .map_err(Failure::kafka)?;
        progress.set_position(u64::try_from(found.len()).unwrap_or_default());
        // Inactive items may be left out by the ERP's feed.
        if found.len() >= items.saturating_sub(2) && found.len() == last {
            progress.finish_and_clear();
            return Ok(());
        }
        last = found.len();
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.finish_and_clear();
    Err(Failure::new(
        format!("WL-7069: {last} of {items} items came from the ERP in {} s", START_TIMEOUT.as_secs()),
        "check --erp and --erp-key, and the log of the erp room",
    ))
}

/// Puts one record that nobody can decode on a topic, once a day: its bytes must come out as a dead letter.
pub async fn bad_record(config: &Config, date: Date) -> Result<(), Failure> {
    let (kafka, mark) = (config.kafka.clone(), date.to_string());
    let present = tokio::task::spawn_blocking(move || {
        let mut present = false;
        reader::read_range(&kafka, &Range::all(names::OPS_DEAD_LETTER_V1.name()), |record| {
            present = record.header(DEMO_HEADER) == Some(mark.as_str());
            if present { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map(|_| present)
    })
    .await
    .map_err(Failure::kafka)?
    .map_err(Failure::kafka)?;
    if present {
        return Ok(());
    }
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let publisher = Publisher::connect(config, codec, &[]).await.map_err(Failure::registry)?;
    let record = Outgoing {
        topic: Cow::Borrowed(names::CLINICAL_SUPPLY_USAGE_V1.name()),
        partition: None,
        key: Some(format!("undecodable-{date}").into()),
        value: Some(b"these bytes are no event".to_vec().into()),
        headers: vec![(Cow::Borrowed(DEMO_HEADER), Some(date.to_string().into()))],
        ticket: None,
    };
    publisher.publish(&[record]).await.map_err(Failure::kafka)
}

/// Waits until the FHIR connector has seen every resource that it follows.
pub async fn followed(desk: &Desk<'_>, wanted: &BTreeSet<String>, bound: Duration) -> Result<(), Failure> {
    let progress = output::spinner("FHIR resources not yet polled:");
    let started = clock::tick();
    while clock::tick().since(started) < bound {
        // While a broker is away nothing is seen; the wait is bounded.
        let Ok(receipts) = gather::receipts(desk).await else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        let missing =
            wanted.iter().filter(|name| !receipts.iter().any(|receipt| receipt.message_id.contains(*name))).count();
        progress.set_position(u64::try_from(missing).unwrap_or_default());
        if missing == 0 {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.finish_and_clear();
    // What is missing now is counted as unaccounted for.
    Ok(())
}
