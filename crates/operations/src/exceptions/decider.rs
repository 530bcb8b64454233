//! Carries decisions out: reads the whole records, writes what was decided, and waits until the view shows it.

mod cause;
mod error;
mod turn;

pub use self::cause::CauseRefusal;
pub use self::error::DecideError;
pub(crate) use self::turn::WRITER;

use self::cause::{later, none_of, parted, sifted};
use self::turn::Turn;
use super::act::{Act, By, CHANGED, Facts, Refusal};
use super::records::{self, RecordsError, typed};
use super::types::{Filter, Found, Page};
use super::view::ExceptionsView;
use crate::offsets::Offsets;
use runtime::outgoing::Outgoing;
use runtime::publisher::PublishError;
use runtime::record::Record;
use runtime::{Config, clock};
use schemas::approval::discard_mark;
use schemas::{Criticality, Exception, ExceptionKind, ExceptionState, Timestamp, topics};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Exceptions that are decided in one write: so many whole records are held at once.
const CHUNK: usize = 200;
/// How often those are looked for whose records moved meanwhile.
const ROUNDS: usize = 3;
/// How often somebody else may take over while a chunk is written.
const TURNS: usize = 20;
/// Longest wait for a view that is still reading.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Longest wait for the view to show what was decided.
const SHOWN: Duration = Duration::from_secs(10);

/// Carries out what people decide.
#[derive(Clone)]
pub struct Decider {
    view: ExceptionsView,
    config: Arc<Config>,
    /// Of one process one writes at a time; how many turns there were.
    turns: Arc<Mutex<u64>>,
}

/// Which exceptions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These, by id or by the start of one that is unique. All of them or none is decided.
    Ids(Vec<String>),
    /// The open ones of a cause. Those that cannot be decided so are left out and told.
    Cause {
        /// Code.
        code: String,
        /// Room; any when left out.
        room: Option<String>,
        /// Subject, `kind/key`; any when left out.
        subject: Option<String>,
        /// Who has them; an empty text means nobody, any when left out.
        assignee: Option<String>,
        /// Only those of which nothing was said behind these last records that a list had read: who decides has not seen what
        /// came later.
        seen_until: Option<Offsets>,
    },
}

/// What is decided, by whom, and how far the list had read that they looked at, where that bounds what is meant.
#[derive(Clone, Copy)]
struct Asked<'a> {
    act: &'a Act,
    by: &'a By,
    seen_until: Option<&'a Offsets>,
}

/// Exceptions that are to be decided, by id; with the mark of the request that was seen of each, where that has to be the same.
type Chosen = HashMap<String, Option<String>>;

/// One exception that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Its id.
    pub exception_id: String,
    /// What happened.
    pub kind: ExceptionKind,
    /// Where it stands now.
    pub state: ExceptionState,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// What is written about some of them, and what is not.
#[derive(Default)]
struct Written {
    taken: Vec<String>,
    outgoing: Vec<Outgoing>,
    done: Vec<Done>,
    left_out: Vec<Refusal>,
}

/// What came of a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was decided.
    pub done: Vec<Done>,
    /// What was not, and why.
    pub left_out: Vec<Refusal>,
}

impl Decider {
    /// Connects.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn connect(config: &Config, view: &ExceptionsView) -> Result<Self, DecideError> {
        let written = [topics::OPS_EXCEPTION_V1.info(), topics::OPS_AUDIT_V1.info()];
        view.codec().prepare(&written).await.map_err(PublishError::from)?;
        Ok(Self { view: view.clone(), config: Arc::new(config.clone()), turns: Arc::default() })
    }

    /// Gives an exception to somebody, or to nobody.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn assign(&self, id: &str, to: Option<String>, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::Assign { to }, by).await
    }

    /// Says something about an exception.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn comment(&self, id: &str, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::Comment, by).await
    }

    /// Has the event of an exception processed again.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn retry(&self, id: &str, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::Retry, by).await
    }

    /// Has all events of a cause processed again.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn retry_cause(
        &self,
        code: &str,
        room: Option<&str>,
        subject: Option<&str>,
        by: &By,
    ) -> Result<Outcome, DecideError> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (code, room, subject) = (code.to_owned(), text(room), text(subject));
        let choice = Choice::Cause { code, room, subject, assignee: None, seen_until: None };
        self.decide(&choice, &Act::Retry, by).await
    }

    /// Gives an event up, or asks for it where two people are demanded: then the kind of what was done says so.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn discard(&self, id: &str, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::Discard, by).await
    }

    /// Agrees that an event is given up.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn approve_discard(&self, id: &str, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::ApproveDiscard { seen: None }, by).await
    }

    /// Marks an exception as settled elsewhere.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn resolve(&self, id: &str, by: &By) -> Result<Outcome, DecideError> {
        self.decide(&one(id), &Act::Resolve { may_agree: true }, by).await
    }

    /// Decides about one, several or all of a cause, and puts it on the audit topic. Returns when the view shows it, or soon
    /// after everything is confirmed.
    ///
    /// # Errors
    /// See [`DecideError`]. Where Kafka fails in the middle of many, some of it is decided.
    pub async fn decide(&self, choice: &Choice, act: &Act, by: &By) -> Result<Outcome, DecideError> {
        self.view.until_caught_up(CATCH_UP).await?;
        let (mut open, left_out) = self.chosen(choice, act, by)?;
        let seen_until = match choice {
            Choice::Cause { seen_until, .. } => seen_until.as_ref(),
            Choice::Ids(_) => None,
        };
        let asked = Asked { act, by, seen_until };
        let mut outcome = Outcome { done: Vec::with_capacity(open.len()), left_out };
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            self.round(&mut open, asked, &mut outcome).await?;
        }
        let moving = |exception_id: String| Refusal {
            exception_id,
            code: "WL-7111",
            why: "changes faster than it can be decided".to_owned(),
            next: "look at it again and decide then".to_owned(),
            on_page: "look at it again and decide then".to_owned(),
        };
        outcome.left_out.extend(open.into_keys().map(moving));
        match outcome.left_out.pop() {
            Some(last) if outcome.done.is_empty() => return Err(last.into()),
            last => outcome.left_out.extend(last),
        }
        self.shown(&outcome.done).await;
        // What was decided is on record, also when this fails.
        let mended = self.mend().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "exceptions that their rooms have settled meanwhile are not settled again");
            Vec::new()
        });
        let mended: HashSet<String> = mended.into_iter().collect();
        let undone: Vec<Done> = outcome.done.extract_if(.., |done| mended.contains(&done.exception_id)).collect();
        outcome.left_out.extend(undone.into_iter().map(|done| self.undone(done)));
        match outcome.left_out.pop_if(|last| outcome.done.is_empty() && last.code == CHANGED) {
            Some(changed) => Err(changed.into()),
            None => Ok(outcome),
        }
    }

    /// Why something does not count that is on record.
    fn undone(&self, done: Done) -> Refusal {
        let row = self.view.row(&done.exception_id).filter(|_| done.kind == ExceptionKind::Corrected);
        match row.filter(|row| row.correction_mark.is_some()) {
            Some(row) => Facts::of_row(&row).changed(),
            None => Refusal {
                exception_id: done.exception_id,
                code: "WL-7112",
                why: "was settled by its room in the same moment".to_owned(),
                next: "leave it: nothing waits for a decision".to_owned(),
                on_page: "leave it: nothing waits for a decision".to_owned(),
            },
        }
    }

    /// Repeats the last words of rooms that a decision has come behind in the same moment: nothing waits for that decision, and
    /// without this the exception would be open for ever. Repeats proposals as well that an approval of another one has come
    /// behind, so that a compacted topic says what still waits. Says which they were. Done after each decision.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn mend(&self) -> Result<Vec<String>, DecideError> {
        let mut mended = Vec::new();
        let reopened = self.view.reopened();
        if reopened.is_empty() {
            return Ok(mended);
        }
        let mut turns = self.turns.lock().await;
        let chosen: Chosen = reopened.iter().map(|(id, _)| (id.clone(), None)).collect();
        let mut turn = self.turn(None, &mut turns, &chosen).await?;
        for (id, place) in reopened {
            let Some(last) = records::one(self.view.readers(), self.view.codec(), place).await? else { continue };
            // The room may have raised it again since.
            if turn.moved.contains_key(&id) || !self.view.reopened().iter().any(|(reopened, _)| *reopened == id) {
                continue;
            }
            let last = Exception { at: Timestamp(clock::now_micros()), ..last };
            let record = turn.event(&last)?;
            if !turn.commit(vec![record]).await? {
                // Whoever has taken over decides something, and does this after it.
                break;
            }
            let Exception { exception_id, kind, state, at, .. } = last;
            self.shown(&[Done { exception_id, kind, state, at: at.0 }]).await;
            mended.push(id);
        }
        Ok(mended)
    }

    /// Reads the records of what is open, and decides what was found.
    async fn round(&self, open: &mut Chosen, asked: Asked<'_>, outcome: &mut Outcome) -> Result<(), DecideError> {
        let places = self.view.places(open.keys().map(String::as_str));
        let (mut records, reading) = records::many(self.view.readers(), &places);
        let mut chunk: Vec<Record> = Vec::with_capacity(CHUNK);
        let mut turn = None;
        while records.recv_many(&mut chunk, CHUNK).await > 0 {
            turn = self.write(turn, &chunk, open, asked, outcome).await?;
            chunk.clear();
        }
        reading.await.map_err(RecordsError::from)?.map_err(RecordsError::from)?;
        if let Some(turn) = turn {
            self.read_on(&turn.moved).await;
        }
        Ok(())
    }

    /// Waits, within a bound, until the view has read these records: the next round starts from them.
    async fn read_on(&self, moved: &HashMap<String, (i32, i64)>) {
        let mut changes = self.view.changes();
        let is_read =
            |(partition, offset): &(i32, i64)| self.view.read_to(*partition).is_some_and(|read| read > *offset);
        let waiting = async { while !moved.values().all(is_read) && changes.changed().await.is_ok() {} };
        if tokio::time::timeout(SHOWN, waiting).await.is_err() {
            tracing::warn!("what others have decided meanwhile is not read yet");
        }
    }

    /// Decides about those whose records these are, where they still are the newest ones. The rest stays open.
    async fn write(
        &self,
        mut turn: Option<Turn>,
        chunk: &[Record],
        open: &mut Chosen,
        asked: Asked<'_>,
        outcome: &mut Outcome,
    ) -> Result<Option<Turn>, DecideError> {
        for _ in 0..TURNS {
            let mut turns = self.turns.lock().await;
            let mut mine = self.turn(turn, &mut turns, open).await?;
            let Written { taken, outgoing, done, left_out } = self.judged(&mine, chunk, open, asked).await?;
            if outgoing.is_empty() || mine.commit(outgoing).await? {
                taken.iter().for_each(|id| drop(open.remove(id)));
                outcome.done.extend(done);
                outcome.left_out.extend(left_out);
                return Ok(Some(mine));
            }
            // Somebody else decides just now: what they have written is looked at first.
            turn = None;
        }
        Ok(None)
    }

    /// What is to be written about a chunk.
    async fn judged(
        &self,
        turn: &Turn,
        chunk: &[Record],
        open: &Chosen,
        Asked { act, by, seen_until }: Asked<'_>,
    ) -> Result<Written, DecideError> {
        let mut written = Written::default();
        for record in chunk {
            let Some(exception) = typed::<Exception>(self.view.codec(), record).await? else { continue };
            let (id, place) = (&exception.exception_id, (record.place.partition, record.place.offset));
            // What has a newer record by now is read again in the next round.
            if !self.view.is_newest(id, place) || turn.moved.contains_key(id) {
                continue;
            }
            let Some(seen) = open.get(id) else { continue };
            written.taken.push(id.clone());
            if seen_until.is_some_and(|until| !until.covers(place)) {
                written.left_out.push(later(id.clone()));
                continue;
            }
            // It may have changed since it was chosen.
            let facts = Facts::of(&exception);
            let checked = act.check(&facts, by, self.two_people());
            if let Err(refusal) = checked.and_then(|()| as_seen(&exception, &facts, seen.as_deref())) {
                written.left_out.push(refusal);
                continue;
            }
            let decided = act.record(exception, by, self.two_people(), clock::now_micros());
            written.outgoing.push(turn.event(&decided)?);
            written.outgoing.push(turn.event(&act.audit(&decided, by))?);
            let Exception { exception_id, kind, state, at, .. } = decided;
            written.done.push(Done { exception_id, kind, state, at: at.0 });
        }
        Ok(written)
    }

    /// What is meant, and what is left out of a cause.
    fn chosen(&self, choice: &Choice, act: &Act, by: &By) -> Result<(Chosen, Vec<Refusal>), DecideError> {
        let unseen = |ids: Vec<String>| ids.into_iter().map(|id| (id, None)).collect();
        match choice {
            Choice::Ids(starts) => Ok((unseen(self.named(starts, act, by)?), Vec::new())),
            Choice::Cause { code, room, subject, assignee, seen_until } => {
                let filter = Filter {
                    code: Some(code.clone()),
                    room: room.clone(),
                    subject: subject.clone(),
                    assignee: assignee.clone(),
                    ..Filter::default()
                };
                let rows = self.view.list(&filter, Page::all()).rows;
                if rows.is_empty() {
                    return Err(DecideError::Unknown(none_of(code, &filter)));
                }
                if let Act::ApproveDiscard { seen } = act {
                    return self.asked_for(&filter, act, seen.as_deref(), by);
                }
                let (seen, mut later) = parted(rows, seen_until.as_ref());
                if let Some(last) = later.pop_if(|_| seen.is_empty()) {
                    return Err(last.into());
                }
                let (ids, left_out) = sifted(seen, act, by, self.two_people())?;
                Ok((unseen(ids), [later, left_out].concat()))
            }
        }
    }

    /// Those whose ids are given. All of them must be ready for the decision.
    fn named(&self, starts: &[String], act: &Act, by: &By) -> Result<Vec<String>, DecideError> {
        let mut chosen: Vec<String> = Vec::with_capacity(starts.len());
        for start in starts {
            let id = match self.view.find(start) {
                Found::One(id) => id,
                Found::None => {
                    return Err(DecideError::Unknown(format!("no exception has an id that starts with {start}")));
                }
                Found::Several => {
                    return Err(DecideError::Unknown(format!(
                        "several exceptions have an id that starts with {start}"
                    )));
                }
            };
            if let Some(row) = self.view.row(&id) {
                act.check(&Facts::of_row(&row), by, self.two_people())?;
            }
            // Twice the same id is one decision.
            if !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        Ok(chosen)
    }

    /// Waits until the view shows what was decided, within a bound: it is confirmed either way.
    async fn shown(&self, done: &[Done]) {
        let mut changes = self.view.changes();
        let is_shown = |done: &Done| {
            let row = self.view.row(&done.exception_id);
            row.is_none_or(|row| row.at >= done.at) || self.view.is_overtaken(&done.exception_id)
        };
        let waiting = async {
            for done in done {
                while !is_shown(done) && changes.changed().await.is_ok() {}
            }
        };
        if tokio::time::timeout(SHOWN, waiting).await.is_err() {
            tracing::warn!("what was decided is not shown yet");
        }
    }

    fn two_people(&self) -> &[Criticality] {
        &self.view.config().two_people
    }
}

/// Whether the request to give an event up is the one that was seen.
fn as_seen(exception: &Exception, facts: &Facts<'_>, seen: Option<&str>) -> Result<(), Refusal> {
    let is_seen = |seen: &str| exception.discard_request.as_ref().is_some_and(|now| discard_mark(now) == seen);
    if seen.is_none_or(is_seen) { Ok(()) } else { Err(facts.asked_anew()) }
}

fn one(id: &str) -> Choice {
    Choice::Ids(vec![id.to_owned()])
}

#[cfg(test)]
mod tests;
