//! Resets that wait for a second person, as the audit topic tells them.

use super::super::acts::Replays;
use super::plan::Move;
use super::{DONE, REQUESTED, ResetError};
use runtime::codec::WireError;
use runtime::reader::{self, From, Range, Until};
use runtime::{clock, groups};
use schemas::{Audit, AuditKind, topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use tokio::runtime::Handle;

/// How a detail begins.
const BEGIN: &str = "reset ";

/// A reset that somebody has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Its id, whole.
    pub id: String,
    /// The room.
    pub room: String,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// Where each partition is to go on, and what that comes to as it was asked for.
    pub moves: Vec<Move>,
}

/// What the audit topic says of one partition.
pub(super) fn detail(id: &str, one: &Move, why: &str) -> String {
    let from = one.from.map_or_else(|| "nowhere".to_owned(), |from| from.to_string());
    format!("{BEGIN}{id}: from {from} to {}, {} records again, {} passed over: {why}", one.to, one.again, one.skipped)
}

/// The one reset whose id begins so, and that is not done. Blocks.
pub(super) fn find(replays: &Replays, start: &str, handle: &Handle) -> Result<Requested, ResetError> {
    if start.is_empty() {
        return Err(ResetError::Unknown("a reset without an id was not asked for".to_owned()));
    }
    pick(&said(replays, start, handle)?, start)
}

/// All that wait for a second person, oldest first. Blocks.
pub(super) fn all(replays: &Replays, handle: &Handle) -> Result<Vec<Requested>, ResetError> {
    Ok(waiting(&said(replays, "", handle)?))
}

/// What the audit topic says of resets whose id begins so, as far back as a second person may agree. Blocks.
fn said(replays: &Replays, start: &str, handle: &Handle) -> Result<Vec<Audit>, ResetError> {
    let age_ms = i64::try_from(replays.own.plan_age_max_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let since_ms = (clock::now_micros() / 1_000).saturating_sub(age_ms).max(0);
    let topic = topics::OPS_AUDIT_V1.name().to_owned();
    let range = Range { topic, partitions: Vec::new(), from: From::TimeMs(since_ms), until: Until::EndNow };
    let (mut audits, mut failed) = (Vec::new(), None);
    reader::read_range(&replays.config.kafka, &range, |record| {
        match record.value.as_deref().map(|value| decoded(replays, value, handle)) {
            Some(Ok(audit)) if audit.kind == AuditKind::Replay && is_meant(&audit, start) => audits.push(audit),
            Some(Err(error)) if !error.blames_record() => failed = Some(error),
            _ => {}
        }
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(audits), |error| Err(ResetError::from(error)))
}

/// Where the partitions stand now, with the same targets. Fails while the room runs. Blocks.
pub(super) fn as_it_is(replays: &Replays, room: &str, moves: Vec<Move>) -> Result<Vec<Move>, ResetError> {
    let members = groups::members(&replays.config.kafka, room)?;
    if !members.is_empty() {
        return Err(ResetError::Members { room: room.to_owned(), members });
    }
    let mut topics: Vec<&str> = moves.iter().map(|one| one.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let lags = reader::group_lag(&replays.config.kafka, room, &topics)?;
    let stands = |one: &Move| {
        let lag = lags.iter().find(|lag| lag.topic == one.topic && lag.partition == one.partition);
        lag.and_then(|lag| lag.committed)
    };
    Ok(moves.iter().map(|one| Move { from: stands(one), ..one.clone() }).collect())
}

fn decoded(replays: &Replays, value: &[u8], handle: &Handle) -> Result<Audit, WireError> {
    let (writer, body) = handle.block_on(replays.codec.open(value))?;
    Ok(schemas::codec::decode(&writer, body)?)
}

fn is_meant(audit: &Audit, start: &str) -> bool {
    id_of(audit).is_some_and(|id| id.starts_with(start))
}

fn id_of(audit: &Audit) -> Option<&str> {
    audit.detail.strip_prefix(BEGIN)?.split_once(": ").map(|(id, _)| id)
}

/// The requests that are not done, oldest first.
fn waiting(audits: &[Audit]) -> Vec<Requested> {
    let ids: BTreeSet<&str> = audits.iter().filter_map(id_of).collect();
    let of = |id: &str| -> Vec<Audit> { audits.iter().filter(|audit| id_of(audit) == Some(id)).cloned().collect() };
    let mut waiting: Vec<Requested> = ids.into_iter().filter_map(|id| pick(&of(id), id).ok()).collect();
    waiting.sort_by_key(|one| one.at);
    waiting
}

/// What the detail of an audit record says of its partition: from where, and how many records again and passed over.
fn told(detail: &str) -> Option<(Option<i64>, u64, u64)> {
    let mut words = detail.split_once(": from ")?.1.split_whitespace();
    let from = words.next()?.parse().ok();
    let again = words.nth(2)?.parse().ok()?;
    let skipped = words.nth(2)?.parse().ok()?;
    Some((from, again, skipped))
}

/// The newest request among what was said, put together from its partitions.
fn pick(audits: &[Audit], start: &str) -> Result<Requested, ResetError> {
    let unknown = |why: &str| ResetError::Unknown(format!("reset {start} {why}"));
    let asked = || audits.iter().filter(|audit| audit.code == REQUESTED);
    let newest = asked().max_by_key(|audit| audit.at.0).ok_or_else(|| unknown("was not asked for, or too long ago"))?;
    let id = id_of(newest).unwrap_or_default();
    if asked().any(|audit| id_of(audit) != Some(id)) {
        return Err(unknown("is not the only one whose id begins so"));
    }
    if audits.iter().any(|audit| audit.code == DONE && id_of(audit) == Some(id) && audit.at.0 >= newest.at.0) {
        return Err(unknown("is done"));
    }
    let of_it = asked().filter(|audit| audit.at == newest.at);
    let mut moves: Vec<Move> = of_it
        .filter_map(|audit| {
            let (topic, partition) = (audit.origin_topic.clone()?, audit.origin_partition?);
            let (from, again, skipped) = told(&audit.detail).unwrap_or_default();
            Some(Move { topic, partition, from, to: audit.origin_offset?, again, skipped })
        })
        .collect();
    moves.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    let reason = newest.detail.splitn(3, ": ").nth(2).unwrap_or_default().to_owned();
    let actor = newest.actor.clone().unwrap_or_default();
    let (id, room, at) = (id.to_owned(), newest.room.clone(), newest.at.0);
    Ok(Requested { id, room, actor, reason, at, moves })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::Timestamp;

    fn said(code: &str, id: &str, partition: i32, at: i64) -> Audit {
        let topic = "t".to_owned();
        let one = Move { topic: topic.clone(), partition, from: Some(9), to: 4, again: 5, skipped: 0 };
        Audit {
            room: "erp-post".to_owned(),
            code: code.to_owned(),
            origin_topic: Some(topic),
            origin_partition: Some(partition),
            origin_offset: Some(4),
            detail: detail(id, &one, "prices: wrong"),
            actor: Some("ada".to_owned()),
            at: Timestamp(at),
            ..Audit::default()
        }
    }

    #[test]
    fn a_request_is_put_together_from_its_partitions() {
        let audits = [said(REQUESTED, "abc", 1, 7), said(REQUESTED, "abc", 0, 7), said(REQUESTED, "abc", 0, 3)];
        let found = pick(&audits, "ab").unwrap();
        assert_eq!((found.id.as_str(), found.actor.as_str(), found.reason.as_str()), ("abc", "ada", "prices: wrong"));
        let places: Vec<(i32, i64)> = found.moves.iter().map(|one| (one.partition, one.to)).collect();
        assert_eq!(places, [(0, 4), (1, 4)]);
        let one = &found.moves[0];
        assert_eq!((one.from, one.again, one.skipped, found.at), (Some(9), 5, 0, 7));
    }

    #[test]
    fn all_that_wait_are_found_and_what_is_done_is_not() {
        let audits = [
            said(REQUESTED, "b", 0, 9),
            said(REQUESTED, "a", 0, 3),
            said(DONE, "a", 0, 5),
            said(REQUESTED, "c", 1, 6),
            said(REQUESTED, "c", 0, 6),
        ];
        let found: Vec<(String, usize)> = waiting(&audits).into_iter().map(|one| (one.id, one.moves.len())).collect();
        assert_eq!(found, [("c".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(told("reset x: from nowhere to 4, 5 records again, 7 passed over: why"), Some((None, 5, 7)));
    }

    #[test]
    fn what_is_done_or_not_clear_is_not_found() {
        let code = |audits: &[Audit]| pick(audits, "ab").unwrap_err().to_string();
        assert!(code(&[]).starts_with("WL-7258: ") && code(&[]).contains("was not asked for"));
        let done = [said(REQUESTED, "abc", 0, 3), said(DONE, "abc", 0, 5)];
        assert!(code(&done).contains("is done"));
        let again = [said(REQUESTED, "abc", 0, 3), said(DONE, "abc", 0, 5), said(REQUESTED, "abc", 0, 8)];
        assert!(pick(&again, "ab").is_ok(), "the same moves may be asked for again");
        let two = [said(REQUESTED, "abc", 0, 3), said(REQUESTED, "abd", 0, 4)];
        assert!(code(&two).contains("not the only one"));
    }
}
