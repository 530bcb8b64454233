//! What happened to one exception, from the exception topic and from the audit topic.

use super::records::{self, RecordsError, typed};
use memchr::memmem;
use runtime::codec::Codec;
use runtime::reader::{From, Range, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{Audit, Exception, ExceptionKind, ExceptionState, topics};
use serde::Serialize;
use std::ops::ControlFlow;

/// Most audit records about one exception that are told.
const STEPS_MAX: usize = 10_000;
/// So many places before the end of each partition of the audit topic are looked at: it also holds every effect that was
/// suppressed, and a page of an old exception must not take longer for each of them. `wardline audit ls --exception` reads on.
const AUDIT_PLACES: i64 = 5_000;

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

/// Reads what the topics still tell: the records of the exception, which lie at these places, and of the newest audit records
/// those about it.
pub async fn read(
    readers: &Readers,
    codec: &Codec,
    id: &str,
    places: &[(i32, i64)],
) -> Result<Vec<Step>, RecordsError> {
    let (exceptions, audits) = tokio::try_join!(told(readers, id, places), audited(readers, id))?;
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
        steps.insert(place, step_of(audit));
    }
    Ok(steps)
}

async fn told(readers: &Readers, id: &str, places: &[(i32, i64)]) -> Result<Vec<Record>, RecordsError> {
    let (mut records, reading) = records::many(readers, places);
    let mut found = Vec::with_capacity(places.len());
    while let Some(record) = records.recv().await {
        // The topic may have been made anew since.
        if record.key_text() == id {
            found.push(record);
        }
    }
    reading.await??;
    Ok(found)
}

async fn audited(readers: &Readers, id: &str) -> Result<Vec<Record>, RecordsError> {
    let range = Range {
        topic: topics::OPS_AUDIT_V1.name().to_owned(),
        partitions: Vec::new(),
        from: From::Newest(AUDIT_PLACES),
        until: Until::EndNow,
    };
    let (readers, id) = (readers.clone(), memmem::Finder::new(id).into_owned());
    let read = move || {
        let mut found = Vec::new();
        readers.read_range(&range, |record| {
            if id.find(record.value.as_deref().unwrap_or_default()).is_some() {
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

fn step_of(audit: Audit) -> Step {
    Step {
        at: audit.at.0,
        what: audit.code,
        state: None,
        actor: audit.actor,
        comment: Some(audit.detail),
        assignee: None,
    }
}
