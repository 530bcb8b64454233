//! Reads effect records back: all of our partitions at an assignment, and what one of them says.

use super::Parts;
use super::index::{EffectIndex, Intention};
use super::key_id::KeyId;
use super::recall::KeyOf;
use super::settled::Settled;
use super::stale::Stale;
use super::stated::STATED;
use super::verdicts::PASSED;
use crate::clock::{now_micros, tick};
use crate::cluster::Cluster;
use crate::codec::WireError;
use crate::desk::Desk;
use crate::parking_store::SETTLED_WITHIN;
use crate::reader::Range;
use crate::record::{Place, Record};
use crate::room::RoomError;
use connector::effect::Effect;
use schemas::{EffectState, Event, topics};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Clocks of two machines are at most so far apart.
const CLOCKS_APART: Duration = Duration::from_secs(300);

/// What is remembered of effects in the partitions of an assignment, which events have `passed` by them, and what is `stale`.
pub(super) fn effects<E: Effect, K: Cluster>(
    parts: &Parts<E, K>,
    partitions: &BTreeSet<i32>,
    passed: &mut Settled,
    stale: &mut Stale,
) -> Result<EffectIndex, RoomError> {
    let mut index = EffectIndex::new(parts.config.limits.effects_max);
    if partitions.is_empty() {
        return Ok(index);
    }
    let topic = topics::OPS_EFFECT_V1.name();
    parts.cluster.settled(topic, partitions, SETTLED_WITHIN)?;
    let range = Range::all(topic).partitions(partitions.iter().copied());
    let mut failed = None;
    let read = parts.cluster.read_range(&range, &mut |record| match effect_of(&parts.desk, &parts.handle, &record) {
        Ok(Some(effect)) => {
            remember(&mut index, &effect, &record, parts.certain_after());
            if let (EffectState::Applied, Some(topic), Some(partition), Some(offset)) =
                (effect.state, &effect.origin_topic, effect.origin_partition, effect.origin_offset)
            {
                passed.insert(topic, partition, offset);
            }
            stale.take(&record, &effect, passed);
            ControlFlow::Continue(())
        }
        Ok(None) => {
            if record.value.is_none() {
                stale.deleted(&record);
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    read.map_err(|error| RoomError::Worker(error.to_string()))?;
    index.align_documents();
    failed.map_or(Ok(index), |error| Err(error.into()))
}

/// What is known of the newest output under a business key.
pub(super) enum Prior<O> {
    /// There was no effect.
    None,
    /// This is it.
    Output(Box<O>),
    /// It is being read back; the lane waits.
    Asked,
    /// There was one, but its record cannot be read yet: a transaction is committed a moment before its markers let
    /// `read_committed` readers past it. To take this for "none" would repeat the whole effect instead of its difference.
    NotYet,
}

/// The output that an effect record keeps.
pub(super) fn output<E: Effect, K: Cluster>(
    parts: &Parts<E, K>,
    record: &Record,
) -> Result<Prior<E::Output>, RoomError> {
    let Some(effect) = effect_of(&parts.desk, &parts.handle, record)? else { return Ok(Prior::None) };
    let Some(output) = effect.output else { return Ok(Prior::None) };
    let output: &[u8] = output.as_ref();
    let (writer, body) = parts.desk.codec().open_on(&parts.handle, output)?;
    let output = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
    Ok(Prior::Output(Box::new(output)))
}

/// Tells under which business key the output that a record keeps is found again.
pub(super) fn key_of(desk: Desk, handle: Handle) -> KeyOf {
    Box::new(move |record| Ok(effect_of(&desk, &handle, record)?.and_then(|effect| output_key(&effect))))
}

fn effect_of(desk: &Desk, handle: &Handle, record: &Record) -> Result<Option<schemas::Effect>, WireError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let (writer, body) = desk.codec().open_on(handle, value)?;
    let effect: schemas::Effect = schemas::codec::decode(&writer, body)?;
    Ok((effect.room == desk.room).then_some(effect))
}

fn output_key(effect: &schemas::Effect) -> Option<KeyId> {
    (effect.state == EffectState::Applied && effect.output.is_some()).then(|| KeyId::of(&effect.business_key))
}

/// The record whose effect it is.
fn origin_of(effect: &schemas::Effect) -> Place {
    let topic = Arc::from(effect.origin_topic.as_deref().unwrap_or_default());
    let (partition, offset) = (effect.origin_partition.unwrap_or(-1), effect.origin_offset.unwrap_or(-1));
    Place { topic, partition, offset }
}

/// The age of an intention counts by the wall clock, which whoever wrote it had as well; their clocks may be apart, so an age of
/// minutes is none.
fn remember(index: &mut EffectIndex, effect: &schemas::Effect, record: &Record, certain_after: Duration) {
    let id = KeyId::of(&effect.effect_key);
    match effect.state {
        EffectState::Applied => {
            if effect.effect_key.starts_with(PASSED) {
                return;
            }
            // What was only stated was not done, and is not in the way of a replay of it.
            if !effect.effect_key.starts_with(STATED) {
                index.apply(id);
            }
            if let Some(key) = output_key(effect) {
                index.place(key, (record.place.partition, record.place.offset));
            }
        }
        EffectState::Intended | EffectState::InDoubt => {
            let age = Duration::from_micros(u64::try_from(now_micros() - effect.at.0).unwrap_or_default());
            let certain_at = tick().after(certain_after.saturating_sub(age.saturating_sub(CLOCKS_APART)));
            let after = effect.after.as_deref().map(KeyId::of);
            let (document_key, origin) = (Arc::from(effect.document_key.as_str()), origin_of(effect));
            index.intend(id, Intention { document_key, certain_at, after, origin });
        }
        EffectState::Refused | EffectState::Withdrawn | EffectState::Unknown => index.void(id),
    }
    debug_assert_eq!(record.place.topic.as_ref(), schemas::Effect::topic().name);
}
