//! What people decided about exceptions, for the rooms that must act on it.

use crate::desk::{Raised, contract_subject};
use processor::{Body, FeedError, Subject, TableFeed};
use schemas::approval::{Stands, stands};
use schemas::{Correction, DiscardRequest, Exception, ExceptionKind, ExceptionState, Timestamp};
use schemas::{Event, TopicInfo};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Most exceptions of a room that are kept in mind.
const OPEN_MAX: usize = 1_000_000;

/// A decision that a room has not acted on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Process the event again.
    Retry,
    /// Leave the event out, on record.
    Discard,
}

/// The open exceptions of one room, and what people decided about them, read from the exception topic.
#[derive(Debug)]
pub struct Decisions {
    room: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<Uuid, Open>,
    /// What is said of many exceptions is held once.
    said: HashSet<Arc<Said>>,
}

/// A decision, who made it, and what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What is to be done.
    pub decision: Decision,
    /// Who decided.
    pub actor: Option<String>,
    /// What they said.
    pub comment: Option<String>,
    /// When: tells one decision from the next.
    pub at: Timestamp,
}

/// What is read of an exception first.
#[derive(Deserialize)]
struct Heading<'a> {
    room: &'a str,
}

/// What is read of an exception of this room: not the original bytes, which are most of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Word {
    kind: ExceptionKind,
    state: ExceptionState,
    code: String,
    message: String,
    subject: Option<schemas::Subject>,
    field_paths: Vec<String>,
    suggested_fix: Option<String>,
    raised_at: Timestamp,
    at: Timestamp,
    actor: Option<String>,
    comment: Option<String>,
    assignee: Option<String>,
    discard_request: Option<DiscardRequest>,
    correction: Option<Correction>,
}

/// An exception that is open.
#[derive(Debug)]
struct Open {
    said: Arc<Said>,
    raised_at: Timestamp,
    decided: Option<Box<Decided>>,
    /// What people have made of it; few have anything.
    kept: Option<Box<Kept>>,
}

/// What the next record about an exception has to repeat, because it takes the place of this one.
#[derive(Debug)]
struct Kept {
    assignee: Option<String>,
    discard_request: Option<DiscardRequest>,
    correction: Option<Arc<Correction>>,
}

/// What was said when it was raised.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Said {
    code: String,
    message: String,
    subject: Option<Subject>,
    field_paths: Vec<String>,
    suggested_fix: Option<String>,
}

impl Decisions {
    /// No exception yet.
    pub fn new(room: &'static str) -> Self {
        Self { room, state: Mutex::default() }
    }

    /// The decision about an exception. It stands until the topic says what came of it: what is done about it now may be
    /// aborted, and done again.
    pub fn about(&self, exception_id: &Uuid) -> Option<Decided> {
        self.state().open.get(exception_id)?.decided.as_deref().cloned()
    }

    /// What was said when an exception was raised that is open.
    pub fn raised(&self, exception_id: &Uuid) -> Option<Raised> {
        self.state().open.get(exception_id).map(Open::raised)
    }

    /// What a person has corrected in the event of an open exception, once all who have to agree have.
    pub fn correction(&self, exception_id: &Uuid) -> Option<Arc<Correction>> {
        let state = self.state();
        let correction = state.open.get(exception_id)?.kept.as_ref()?.correction.as_ref()?;
        stands(&exception_id.to_string(), correction).is_in_force().then(|| Arc::clone(correction))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableFeed for Decisions {
    fn topic(&self) -> &'static TopicInfo {
        Exception::topic()
    }

    fn apply(&self, key: &[u8], body: Option<Body<'_>>) -> Result<Vec<Subject>, FeedError> {
        let id = std::str::from_utf8(key).map_err(|_| FeedError::Key)?;
        let Some((writer, bytes)) = body else { return Ok(Vec::new()) };
        // Most are of other rooms: of those no more is read than whose they are.
        let heading: Heading<'_> = schemas::codec::decode_part(writer, bytes)?;
        if heading.room != self.room {
            return Ok(Vec::new());
        }
        let word: Word = schemas::codec::decode_part(writer, bytes)?;
        // The state says what is asked for, whatever was done last: who assigns or comments it, or asks for a discard that a
        // second person has to approve, takes no retry back. Only the approval says discarded.
        let decision = match (word.kind, word.state) {
            (ExceptionKind::Discarded, _) => Some(Decision::Discard),
            (ExceptionKind::Resolved, _) => None,
            (_, ExceptionState::Retrying) => Some(Decision::Retry),
            _ => None,
        };
        let is_over = matches!(word.state, ExceptionState::Resolved | ExceptionState::Discarded);
        // Ids of this room are such numbers.
        let number = Uuid::parse_str(id).map_err(|_| FeedError::Key)?;
        let mut state = self.state();
        // An approval of something else than what waits is none, and what waits still waits.
        let is_void = word.kind == ExceptionKind::Corrected && state.is_void(id, &number, word.correction.as_ref());
        if is_void && state.open.contains_key(&number) {
            return Ok(Vec::new());
        }
        let decision = decision.filter(|_| !is_void);
        let (word, standing) = match state.open.get(&number) {
            Some(open) if !is_over => open.before(id, word),
            _ => (word, None),
        };
        if decision.is_none() && is_over {
            state.close(&number);
            return Ok(Vec::new());
        }
        if state.open.len() >= OPEN_MAX && !state.open.contains_key(&number) {
            return Err(FeedError::Full { rows_max: OPEN_MAX });
        }
        state.close(&number);
        state.open(number, word, decision, standing);
        let is_decided = state.open.get(&number).is_some_and(|open| open.decided.is_some());
        Ok(is_decided.then(|| Subject::new(Exception::topic().name, id)).into_iter().collect())
    }

    fn rows(&self) -> usize {
        self.state().open.len()
    }
}

impl State {
    /// Whether an approval does not count after what is known of its exception.
    fn is_void(&self, id: &str, number: &Uuid, approved: Option<&Correction>) -> bool {
        let Some(approved) = approved else { return false };
        let kept = self.open.get(number).and_then(|open| open.kept.as_ref()?.correction.as_deref());
        let before: Option<Stands> = kept.map(|correction| stands(id, correction));
        stands(id, approved).is_void_after(before.as_ref())
    }

    fn open(&mut self, id: Uuid, word: Word, decision: Option<Decision>, standing: Option<Box<Decided>>) {
        let Word { code, message, subject, field_paths, suggested_fix, raised_at, at, actor, comment, .. } = word;
        let (assignee, discard_request) = (word.assignee, word.discard_request);
        let correction = word.correction.map(Arc::new);
        let has_kept = assignee.is_some() || discard_request.is_some() || correction.is_some();
        let kept = has_kept.then(|| Box::new(Kept { assignee, discard_request, correction }));
        let subject = subject.map(|subject| Subject::new(subject.kind, subject.key));
        let said = Said { code, message, subject, field_paths, suggested_fix };
        let said = self.said.get(&said).cloned().unwrap_or_else(|| {
            let said = Arc::new(said);
            self.said.insert(Arc::clone(&said));
            said
        });
        let decided = standing.or_else(|| decision.map(|decision| Box::new(Decided { decision, actor, comment, at })));
        self.open.insert(id, Open { said, raised_at, decided, kept });
    }

    fn close(&mut self, id: &Uuid) {
        let Some(Open { said, .. }) = self.open.remove(id) else { return };
        // Held here and in the set: nothing else says it.
        if Arc::strong_count(&said) == 2 {
            self.said.remove(&said);
        }
    }
}

impl Open {
    /// What a record behind this one leaves as it is, and the decision that stands on. Who assigns or comments, or asks for
    /// something, may have seen an older record than this one: that takes nothing back that was decided meanwhile. Nor does a room
    /// that tells of a try: had it known of a discard or a correction, it would have carried that out.
    fn before(&self, id: &str, word: Word) -> (Word, Option<Box<Decided>>) {
        let kept = || {
            let kept = self.kept.as_deref();
            let correction = kept.and_then(|kept| kept.correction.as_deref().cloned());
            (kept.and_then(|kept| kept.discard_request.clone()), correction)
        };
        match word.kind {
            ExceptionKind::Assigned | ExceptionKind::Commented => {
                let (discard_request, correction) = kept();
                (Word { discard_request, correction, ..word }, self.decided.clone())
            }
            ExceptionKind::DiscardRequested => (Word { correction: kept().1, ..word }, self.decided.clone()),
            ExceptionKind::CorrectionRequested => {
                let is_corrected = kept().1.is_some_and(|before| stands(id, &before).is_in_force());
                // What is proposed takes the place of what was corrected: the event is not processed without either.
                let standing = self.decided.clone().filter(|it| it.decision == Decision::Discard || !is_corrected);
                (word, standing)
            }
            ExceptionKind::Retried => {
                let (discard_request, correction) = kept();
                // A room repeats the correction that it tried. What it does not repeat it had not read.
                let is_known = correction == word.correction;
                let standing = self.decided.clone().filter(|it| it.decision == Decision::Discard || !is_known);
                (Word { discard_request, correction, ..word }, standing)
            }
            _ => (word, None),
        }
    }

    fn raised(&self) -> Raised {
        let Said { code, message, subject, field_paths, suggested_fix } = &*self.said;
        Raised {
            code: code.clone(),
            message: message.clone(),
            subject: subject.as_ref().map(contract_subject),
            field_paths: field_paths.clone(),
            suggested_fix: suggested_fix.clone(),
            at: self.raised_at,
            assignee: self.kept.as_ref().and_then(|kept| kept.assignee.clone()),
            discard_request: self.kept.as_ref().and_then(|kept| kept.discard_request.clone()),
            correction: self.kept.as_ref().and_then(|kept| kept.correction.as_deref().cloned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn tell(decisions: &Decisions, number: u128, change: impl FnOnce(&mut Exception)) -> Vec<Subject> {
        let mut exception = Exception {
            exception_id: Uuid::from_u128(number).to_string(),
            room: "enrich".to_owned(),
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            message: "the item is not known".to_owned(),
            raw_value: Some(b"bytes"[..].into()),
            ..Exception::default()
        };
        change(&mut exception);
        let mut value = Vec::new();
        schemas::codec::encode(&exception, 1, &mut value).unwrap();
        let writer = Arc::new(schemas::codec::WriterSchema::parse(Exception::topic().schema).unwrap());
        let (_, body) = schemas::codec::split_frame(&value).unwrap();
        decisions.apply(exception.exception_id.as_bytes(), Some((&writer, body))).unwrap()
    }

    #[test]
    fn bnd_1_what_is_said_of_many_exceptions_is_held_once_and_as_long_as_one_is_open() {
        let decisions = Decisions::new("enrich");
        for number in 0..100 {
            assert_eq!(tell(&decisions, number, |_| {}), []);
        }
        tell(&decisions, 7, |exception| exception.room = "validate".to_owned());
        assert_eq!((decisions.rows(), decisions.state().said.len()), (100, 1));
        assert_eq!(decisions.raised(&Uuid::from_u128(7)).unwrap().message, "the item is not known");
        for number in 0..100 {
            tell(&decisions, number, |exception| exception.state = ExceptionState::Resolved);
        }
        assert_eq!((decisions.rows(), decisions.state().said.len()), (0, 0));
    }

    #[test]
    fn a_decision_stands_until_the_room_says_what_came_of_it() {
        let (decisions, id) = (Decisions::new("enrich"), Uuid::from_u128(1));
        tell(&decisions, 1, |_| {});
        let woken = tell(&decisions, 1, |exception| {
            (exception.kind, exception.state) = (ExceptionKind::RetryRequested, ExceptionState::Retrying);
            exception.actor = Some("ada".to_owned());
        });
        assert_eq!(woken, [Subject::new(Exception::topic().name, id.to_string())]);
        let decided = decisions.about(&id).unwrap();
        assert_eq!((decided.decision, decided.actor.as_deref()), (Decision::Retry, Some("ada")));
        tell(&decisions, 1, |exception| exception.kind = ExceptionKind::Retried);
        assert_eq!(decisions.about(&id), None);
        assert!(decisions.raised(&id).is_some());
    }

    fn correction(lot: &str) -> Correction {
        let field = schemas::CorrectedField { path: "lot".to_owned(), before: None, after: lot.to_owned() };
        Correction { fields: vec![field], actor: "ada".to_owned(), ..Correction::default() }
    }

    /// What a person does about a correction: the mark that they saw, if they agree.
    fn corrects(decisions: &Decisions, kind: ExceptionKind, correction: &Correction, seen: Option<&str>) -> bool {
        let woken = tell(decisions, 1, |exception| {
            let retries = kind == ExceptionKind::Corrected;
            exception.kind = kind;
            exception.state = if retries { ExceptionState::Retrying } else { ExceptionState::Open };
            let approved_by = seen.map(str::to_owned);
            exception.correction = Some(Correction { approved_by, ..correction.clone() });
        });
        !woken.is_empty()
    }

    #[test]
    fn an_approval_counts_for_what_waits_when_it_comes() {
        let (decisions, id) = (Decisions::new("enrich"), Uuid::from_u128(1));
        let (one, other) = (correction("1"), correction("2"));
        let seen = |correction: &Correction| {
            let mark = schemas::approval::correction_mark(&id.to_string(), correction);
            schemas::approval::agreed_by("bert", &mark)
        };
        let lot = || decisions.correction(&id).map(|correction| correction.fields[0].after.clone());
        tell(&decisions, 1, |_| {});
        corrects(&decisions, ExceptionKind::CorrectionRequested, &one, None);
        corrects(&decisions, ExceptionKind::CorrectionRequested, &other, None);
        let late = corrects(&decisions, ExceptionKind::Corrected, &one, Some(&seen(&one)));
        assert!(!late && lot().is_none(), "bert has not seen what waits");
        assert_eq!(decisions.about(&id), None, "and nothing is processed for it");
        let forged = corrects(&decisions, ExceptionKind::Corrected, &other, Some(&seen(&one)));
        assert!(!forged && lot().is_none(), "a mark of something else");
        assert!(corrects(&decisions, ExceptionKind::Corrected, &other, Some(&seen(&other))));
        assert_eq!(lot().as_deref(), Some("2"));
        corrects(&decisions, ExceptionKind::CorrectionRequested, &one, None);
        assert_eq!(lot(), None, "proposed anew behind the approval");
    }

    #[test]
    fn an_approval_from_before_there_were_marks_counts_and_a_compacted_topic_says_the_same() {
        let id = Uuid::from_u128(1);
        let old = Decisions::new("enrich");
        corrects(&old, ExceptionKind::CorrectionRequested, &correction("1"), None);
        assert!(corrects(&old, ExceptionKind::Corrected, &correction("1"), Some("bert")));
        assert!(old.correction(&id).is_some());
        let (compacted, one) = (Decisions::new("enrich"), correction("1"));
        let mark = schemas::approval::correction_mark(&id.to_string(), &one);
        let seen = schemas::approval::agreed_by("bert", &mark);
        assert!(!corrects(&compacted, ExceptionKind::Corrected, &correction("2"), Some(&seen)), "by its own record");
        assert!(compacted.correction(&id).is_none());
        let compacted = Decisions::new("enrich");
        assert!(corrects(&compacted, ExceptionKind::Corrected, &one, Some(&seen)));
        assert!(compacted.correction(&id).is_some());
    }

    #[test]
    fn a_note_takes_no_retry_back_and_a_request_to_discard_is_no_decision() {
        let (decisions, id) = (Decisions::new("enrich"), Uuid::from_u128(1));
        let about = |kind, state| {
            tell(&decisions, 1, |exception| {
                (exception.kind, exception.state) = (kind, state);
                exception.assignee = Some("ada".to_owned());
            });
            decisions.about(&id).map(|decided| decided.decision)
        };
        assert_eq!(about(ExceptionKind::Assigned, ExceptionState::Open), None);
        assert_eq!(about(ExceptionKind::DiscardRequested, ExceptionState::Open), None);
        assert_eq!(about(ExceptionKind::RetryRequested, ExceptionState::Retrying), Some(Decision::Retry));
        for note in [ExceptionKind::Commented, ExceptionKind::Assigned, ExceptionKind::DiscardRequested] {
            assert_eq!(about(note, ExceptionState::Retrying), Some(Decision::Retry), "{note:?}");
        }
        assert_eq!(decisions.raised(&id).unwrap().assignee.as_deref(), Some("ada"));
        assert_eq!(about(ExceptionKind::Discarded, ExceptionState::Discarded), Some(Decision::Discard));
        assert_eq!(about(ExceptionKind::Resolved, ExceptionState::Discarded), None);
        assert_eq!(decisions.rows(), 0);
    }

    #[test]
    fn who_has_seen_an_older_record_takes_no_decision_back() {
        let id = Uuid::from_u128(1);
        let notes = [
            ExceptionKind::Assigned,
            ExceptionKind::Commented,
            ExceptionKind::DiscardRequested,
            ExceptionKind::CorrectionRequested,
        ];
        let decisions = [
            (ExceptionKind::Discarded, ExceptionState::Discarded, Decision::Discard),
            (ExceptionKind::RetryRequested, ExceptionState::Retrying, Decision::Retry),
            (ExceptionKind::Corrected, ExceptionState::Retrying, Decision::Retry),
        ];
        for (note, (kind, state, decision)) in notes.iter().flat_map(|note| decisions.map(|decided| (*note, decided))) {
            let of = Decisions::new("enrich");
            tell(&of, 1, |_| {});
            tell(&of, 1, |exception| {
                (exception.kind, exception.state, exception.at) = (kind, state, Timestamp(7));
                exception.actor = Some("ada".to_owned());
                let alone = Correction { needs_approval: false, ..correction("1") };
                exception.correction = Some(alone).filter(|_| kind == ExceptionKind::Corrected);
            });
            // Written over what was raised.
            tell(&of, 1, |exception| {
                (exception.kind, exception.actor, exception.at) = (note, Some("bob".to_owned()), Timestamp(8));
            });
            let decided = of.about(&id).map(|decided| (decided.decision, decided.actor, decided.at));
            let is_corrected = kind == ExceptionKind::Corrected;
            if is_corrected && note == ExceptionKind::CorrectionRequested {
                assert_eq!(decided, None, "it is not processed without its correction");
                continue;
            }
            assert_eq!(decided, Some((decision, Some("ada".to_owned()), Timestamp(7))), "{note:?} behind {kind:?}");
            assert_eq!(of.correction(&id).is_some(), is_corrected, "{note:?} behind {kind:?}");
        }
    }

    #[test]
    fn a_room_that_tells_of_a_try_takes_no_discard_back_that_it_had_not_read() {
        let (decisions, id) = (Decisions::new("enrich"), Uuid::from_u128(1));
        let about = |kind, state| {
            tell(&decisions, 1, |exception| (exception.kind, exception.state) = (kind, state));
            decisions.about(&id).map(|decided| decided.decision)
        };
        assert_eq!(about(ExceptionKind::RetryRequested, ExceptionState::Retrying), Some(Decision::Retry));
        assert_eq!(about(ExceptionKind::Discarded, ExceptionState::Discarded), Some(Decision::Discard));
        assert_eq!(about(ExceptionKind::Retried, ExceptionState::Open), Some(Decision::Discard));
        assert_eq!(about(ExceptionKind::Resolved, ExceptionState::Discarded), None);
        // Processed after all, in a replay: what was decided of it once is over.
        assert_eq!(about(ExceptionKind::Raised, ExceptionState::Open), None);
        assert_eq!(about(ExceptionKind::Retried, ExceptionState::Open), None);
    }

    #[test]
    fn a_room_that_tells_of_a_try_takes_no_correction_and_no_request_back_that_it_had_not_read() {
        let (decisions, id) = (Decisions::new("enrich"), Uuid::from_u128(1));
        tell(&decisions, 1, |_| {});
        let alone = Correction { needs_approval: false, ..correction("1") };
        tell(&decisions, 1, |exception| {
            (exception.kind, exception.state) = (ExceptionKind::Corrected, ExceptionState::Retrying);
            exception.correction = Some(alone.clone());
        });
        let retry = |decisions: &Decisions| decisions.about(&id).map(|decided| decided.decision);
        tell(&decisions, 1, |exception| exception.kind = ExceptionKind::Retried);
        assert_eq!(retry(&decisions), Some(Decision::Retry), "the try was without the correction");
        assert_eq!(decisions.correction(&id).as_deref(), Some(&alone));
        tell(&decisions, 1, |exception| {
            exception.kind = ExceptionKind::Retried;
            exception.correction = Some(alone.clone());
        });
        assert_eq!((retry(&decisions), decisions.correction(&id).is_some()), (None, true), "this one was with it");
        let request = DiscardRequest { actor: "ada".to_owned(), ..DiscardRequest::default() };
        tell(&decisions, 1, |exception| {
            (exception.kind, exception.discard_request) = (ExceptionKind::DiscardRequested, Some(request.clone()));
        });
        tell(&decisions, 1, |exception| exception.kind = ExceptionKind::Retried);
        assert_eq!(decisions.raised(&id).unwrap().discard_request, Some(request));
    }
}
