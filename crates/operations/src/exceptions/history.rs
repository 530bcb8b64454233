//! What happened to one exception, from the exception topic and from the audit topic.

use super::records::{RecordsError, typed};
use runtime::codec::Codec;
use runtime::reader::{From, Range, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{Audit, Exception, ExceptionKind, ExceptionState, topics};
use serde::Serialize;
use std::ops::ControlFlow;

/// Most records of one exception that are told.
const STEPS_MAX: usize = 10_000;
/// So many places before the end of each partition of the audit topic are looked at: it also holds every effect that was
/// suppressed, and a page of an old exception must not take longer for each of them. `wardline audit ls --exception` reads on.
const AUDIT_PLACES: i64 = 5_000;
/// By so much the clock of who raised it may be ahead of the brokers', milliseconds.
const SKEW_MS: i64 = 3_600_000;

/// One thing that happened to an exception.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When, microseconds since 1970.
    pub at: i64,
    /// What: a kind of exception record, or the code of an audit record whose exception record was compacted away.
    pub what: String,
    /// Where it stood after that; none where only the audit topic tells it.
    pub state: Option<ExceptionState>,
    /// Who; none for Wardline itself.
    pub actor: Option<String>,
    /// What they said.
    pub comment: Option<String>,
    /// Who had it after that.
    pub assignee: Option<String>,
}

/// Reads what the topics still tell: all records of the exception, and of the newest audit records those about it.
pub async fn read(
    readers: &Readers,
    codec: &Codec,
    id: &str,
    partition: i32,
    raised_at: i64,
) -> Result<Vec<Step>, RecordsError> {
    let raised = From::TimeMs((raised_at / 1_000).saturating_sub(SKEW_MS));
    let range = |topic: &str, partitions: Vec<i32>, from: From| Range {
        topic: topic.to_owned(),
        partitions,
        from,
        until: Until::EndNow,
    };
    // All records of an exception are in the partition of its newest one: that is where its key leads.
    let key = id.to_owned();
    let exceptions = range(topics::OPS_EXCEPTION_V1.name(), vec![partition], raised);
    let exceptions = matching(readers, exceptions, move |record| record.key_text() == key);
    let text = id.as_bytes().to_vec();
    let holds = move |record: &Record| {
        let value = record.value.as_deref().unwrap_or_default();
        !text.is_empty() && value.windows(text.len()).any(|part| part == text)
    };
    let audits = range(topics::OPS_AUDIT_V1.name(), Vec::new(), From::Newest(AUDIT_PLACES));
    let audits = matching(readers, audits, holds);
    let (exceptions, audits) = tokio::try_join!(exceptions, audits)?;
    let mut steps = Vec::with_capacity(exceptions.len());
    for record in &exceptions {
        steps.extend(typed::<Exception>(codec, record).await?.map(step));
    }
    for record in &audits {
        let audit = typed::<Audit>(codec, record).await?;
        let audit = audit.filter(|audit| audit.exception_id.as_deref() == Some(id));
        // What is told by an exception record is not told twice: both say the same time.
        let Some(audit) = audit.filter(|audit| !steps.iter().any(|step| step.at == audit.at.0)) else { continue };
        // The topic says what came first: the clock of a room and that of who decides are two.
        let place = steps.iter().position(|step| step.at > audit.at.0).unwrap_or(steps.len());
        steps.insert(place, audited(audit));
    }
    Ok(steps)
}

async fn matching(
    readers: &Readers,
    range: Range,
    wanted: impl Fn(&Record) -> bool + Send + 'static,
) -> Result<Vec<Record>, RecordsError> {
    let readers = readers.clone();
    let read = move || {
        let mut found = Vec::new();
        readers.read_range(&range, |record| {
            if wanted(&record) {
                found.push(record);
            }
            if found.len() < STEPS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    };
    tokio::task::spawn_blocking(read).await?
}

fn step(exception: Exception) -> Step {
    // A word of the room repeats who decided and what they said; it is the room's all the same.
    let is_of_room = matches!(exception.kind, ExceptionKind::Raised | ExceptionKind::Retried);
    Step {
        at: exception.at.0,
        what: exception.kind.as_str().to_owned(),
        state: Some(exception.state),
        actor: exception.actor.filter(|_| !is_of_room),
        comment: exception.comment,
        assignee: exception.assignee,
    }
}

fn audited(audit: Audit) -> Step {
    Step {
        at: audit.at.0,
        what: audit.code,
        state: None,
        actor: audit.actor,
        comment: Some(audit.detail),
        assignee: None,
    }
}
