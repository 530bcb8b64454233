//! A simulated ERP: a ledger, and a network between that loses, delays and repeats.
//!
//! It keeps the contract of an ERP adapter and nothing more: one document key is done once, and what was sent long ago has
//! arrived, or never will. What is looked up before can still come. The cost of a document is a second step, which nothing keeps from
//! being done twice: whoever does it looks first, and may not when an earlier one may still come.

use super::task::wait;
use super::variant::Variant;
use super::world::{Actor, Turn, world};
use connector::effect::{BoxFuture, CallError, EffectClient};
use processor::{Code, Reason};
use schemas::{Decimal, Document};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most lines of one document.
pub(crate) const LINES_MAX: usize = 4;
/// Most documents at once.
pub(crate) const CALLS_MAX: usize = 3;
/// How much more often a document of several lines is late.
const MANY_LATE: u64 = 10;
/// After so long what was sent has arrived, or never will.
const LATE_MAX: Duration = Duration::from_secs(9);
/// One in so many costs is late, where requests are.
const COSTS_LATE: u64 = 8;
/// The steps of a document are begun within so long.
const STEPS_MAX: Duration = Duration::from_secs(2);

/// One line of a document.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub effect_key: String,
    pub key: String,
    pub business_key: String,
    /// Id of the first event of the chain.
    pub event: String,
    pub quantity: Decimal,
    /// Refused until this item is allowed.
    pub refused_until: Option<String>,
}

/// Answer to one line.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    document: String,
}

/// The ERP. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Erp(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What happened, in order.
    ledger: Vec<Line>,
    documents: BTreeSet<String>,
    /// Documents whose cost is booked.
    booked: BTreeSet<String>,
    /// Documents whose cost was booked once more, for each time that it was.
    doubled_costs: Vec<String>,
    /// How often somebody set about the cost of each document.
    tries: BTreeMap<String, u64>,
    /// Costs that are still on their way.
    costs_under_way: usize,
    /// When each document was first called for, microseconds since 1970.
    called: BTreeMap<String, i64>,
    /// Requests that are still on their way.
    under_way: BTreeMap<u64, (String, Vec<Line>)>,
    allowed: BTreeSet<String>,
    trouble: Trouble,
    ended: BTreeMap<u64, Refused>,
    lines_seen: usize,
}

/// How often the ERP or the way to it fails, of 10,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    pub lost_request: u64,
    pub lost_answer: u64,
    pub late_request: u64,
    pub error: u64,
    pub busy: u64,
    /// The ERP does not answer at all.
    pub down: bool,
}

impl Erp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    pub fn trouble(&self) -> Trouble {
        self.state().trouble
    }

    /// A person sees to what was refused.
    pub fn allow(&self, item: &str) {
        self.state().allowed.insert(item.to_owned());
    }

    pub fn ledger(&self) -> Vec<Line> {
        self.state().ledger.clone()
    }

    /// Documents whose cost was booked once more, for each time that it was.
    pub fn doubled_costs(&self) -> Vec<String> {
        self.state().doubled_costs.clone()
    }

    /// Nothing is on its way.
    pub fn is_quiet(&self) -> bool {
        let state = self.state();
        state.under_way.is_empty() && state.costs_under_way == 0
    }

    /// Most lines of one document that were ever seen.
    pub fn lines_seen(&self) -> usize {
        self.state().lines_seen
    }

    /// When each document was first called for, microseconds since 1970.
    pub fn called(&self) -> BTreeMap<String, i64> {
        self.state().called.clone()
    }

    /// A request arrives; how it ended, when it has no effect.
    fn arrive(&self, number: u64) -> Result<(), Refused> {
        let mut state = self.state();
        let Some((document_key, lines)) = state.under_way.remove(&number) else {
            // It has arrived before.
            return state.ended.remove(&number).map_or(Ok(()), Err);
        };
        if state.documents.contains(&document_key) {
            return Ok(());
        }
        let allowed = |line: &Line| line.refused_until.as_ref().is_none_or(|item| state.allowed.contains(item));
        if let Some(refused) = lines.iter().position(|line| !allowed(line)) {
            state.ended.insert(number, Refused(refused));
            return Err(Refused(refused));
        }
        world().note("effect", || format!("{document_key} {:?}", keys(&lines)));
        state.documents.insert(document_key);
        state.ledger.extend(lines);
        Ok(())
    }

    fn send(&self, document_key: &str, lines: &[Line]) -> u64 {
        let number = world().number();
        let mut state = self.state();
        state.lines_seen = state.lines_seen.max(lines.len());
        state.called.entry(document_key.to_owned()).or_insert_with(runtime::clock::now_micros);
        state.under_way.insert(number, (document_key.to_owned(), lines.to_vec()));
        number
    }

    fn lose(&self, number: u64) {
        self.state().under_way.remove(&number);
    }

    /// What will become of a call with so many lines. What has several takes longer, and is late more often.
    fn fate(&self, lines: usize) -> Fate {
        let trouble = self.trouble();
        let late = if lines > 1 { MANY_LATE * trouble.late_request } else { trouble.late_request };
        let hit = |times| world().chance(times);
        if trouble.down || hit(trouble.lost_request) {
            Fate::RequestLost
        } else if hit(trouble.busy) {
            Fate::Fails(Some(Duration::from_millis(700)))
        } else if hit(trouble.error) {
            Fate::Fails(None)
        } else if hit(late) {
            Fate::Late
        } else if hit(trouble.lost_answer) {
            Fate::AnswerLost
        } else {
            Fate::Answered
        }
    }

    async fn call(&self, document_key: &str, lines: &[Line]) -> Result<Vec<Answer>, CallError> {
        let (number, began) = (self.send(document_key, lines), world().now());
        let fate = self.fate(lines.len());
        world().note("erp-call", || format!("{document_key} {:?} {fate:?}", keys(lines)));
        match fate {
            Fate::RequestLost => {
                self.lose(number);
                wait(Duration::from_secs(2)).await;
                Err(in_doubt("no answer"))
            }
            Fate::Fails(retry_after) => {
                self.lose(number);
                wait(way()).await;
                Err(CallError::Transient { retry_after, reason: "busy or broken".to_owned() })
            }
            Fate::Late => {
                // It arrives when nobody waits for it any more, whether its sender lives or not.
                let late = world().random(|prng| prng.between(Duration::from_secs(2), LATE_MAX));
                world().spawn(None, "late-request", late, Box::new(Arrival(self.clone(), number)));
                wait(Duration::from_secs(1)).await;
                Err(in_doubt("no answer in time"))
            }
            Fate::AnswerLost | Fate::Answered => {
                let there = way();
                // It arrives even when its sender dies meanwhile.
                world().spawn(None, "request", there, Box::new(Arrival(self.clone(), number)));
                wait(there).await;
                let ended = self.arrive(number).err();
                wait(way()).await;
                match (fate, ended) {
                    (Fate::AnswerLost, _) => Err(in_doubt("the answer was lost")),
                    (_, Some(Refused(request))) => Err(refusal(request)),
                    // Whoever stood still meanwhile leaves the rest to those who settle it.
                    (_, None) if world().now() - began > STEPS_MAX => Err(in_doubt("the cost was not booked")),
                    (_, None) => self.book(document_key, lines).await,
                }
            }
        }
    }

    /// Books the cost of a document. Now and then it comes when nobody waits for it any more.
    async fn book(&self, document_key: &str, lines: &[Line]) -> Result<Vec<Answer>, CallError> {
        let late = {
            let mut state = self.state();
            if state.booked.contains(document_key) {
                return Ok(answers(document_key, lines));
            }
            let tries = state.tries.entry(document_key.to_owned()).or_default();
            *tries += 1;
            // Not by chance: the seeds have other things to decide.
            let number = document_key.bytes().map(u64::from).sum::<u64>() + *tries;
            (state.trouble.late_request > 0 && number.is_multiple_of(COSTS_LATE)).then_some(number)
        };
        let cost = Cost { erp: self.clone(), document_key: document_key.to_owned(), lines: lines.to_vec() };
        let Some(number) = late else {
            cost.arrive();
            return Ok(answers(document_key, lines));
        };
        self.state().costs_under_way += 1;
        world().note("late-cost", || document_key.to_owned());
        world().spawn(None, "late-cost", Duration::from_secs(2 + number % 6), Box::new(cost));
        wait(Duration::from_secs(1)).await;
        Err(in_doubt("no answer about the cost in time"))
    }

    async fn look_up(
        &self,
        document_key: &str,
        lines: &[Line],
        certain: bool,
    ) -> Result<Option<Vec<Answer>>, CallError> {
        let began = world().now();
        wait(way()).await;
        let trouble = self.trouble();
        if trouble.down || world().chance(trouble.lost_request + trouble.error) {
            return Err(in_doubt("no answer to the look-up"));
        }
        let found = self.state().documents.contains(document_key);
        world().note("erp-look-up", || format!("{document_key} {found}"));
        if !found || (!certain && !self.state().booked.contains(document_key)) {
            return Ok(None);
        }
        if world().now() - began > STEPS_MAX {
            return Err(in_doubt("the cost was not booked"));
        }
        self.book(document_key, lines).await.map(Some)
    }
}

/// A request had no effect, because this line of it is refused.
#[derive(Clone, Copy, Debug)]
struct Refused(usize);

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    RequestLost,
    Fails(Option<Duration>),
    Late,
    AnswerLost,
    Answered,
}

fn way() -> Duration {
    world().random(|prng| prng.between(Duration::from_millis(1), Duration::from_millis(60)))
}

fn in_doubt(reason: &str) -> CallError {
    CallError::InDoubt { reason: reason.to_owned() }
}

fn refusal(request: usize) -> CallError {
    let reason = Reason::new(Code::new("WL-4001"), "refused", "the ERP refuses the item");
    // Now and then it does not say which line.
    let request = world().chance(7_000).then_some(request);
    CallError::Refused { reason: Box::new(reason), request }
}

fn answers(document_key: &str, lines: &[Line]) -> Vec<Answer> {
    lines.iter().map(|_| Answer { document: document_key.to_owned() }).collect()
}

fn keys(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.effect_key.as_str()).collect()
}

/// A request on its way.
struct Arrival(Erp, u64);

impl Actor for Arrival {
    fn turn(&mut self) -> Turn {
        // Whoever sent it learns about a refusal by itself, or never.
        let _ = self.0.arrive(self.1);
        Turn::Done
    }
}

/// The cost of a document, on its way.
struct Cost {
    erp: Erp,
    document_key: String,
    lines: Vec<Line>,
}

impl Cost {
    /// A cost that is there already is there twice then, which is told as if the lines were, and by its own name.
    fn arrive(&self) {
        let mut state = self.erp.state();
        if !state.booked.insert(self.document_key.clone()) {
            world().note("doubled-cost", || self.document_key.clone());
            state.ledger.extend(self.lines.iter().cloned());
            state.doubled_costs.push(self.document_key.clone());
        }
    }
}

impl Actor for Cost {
    fn turn(&mut self) -> Turn {
        self.arrive();
        self.erp.state().costs_under_way -= 1;
        Turn::Done
    }
}

/// The ERP as a room reaches it.
pub(crate) struct Client {
    pub erp: Erp,
    pub variant: Variant,
}

impl EffectClient<Line, Answer> for Client {
    fn call<'a>(&'a self, document_key: &'a str, lines: &'a [Line]) -> BoxFuture<'a, Result<Vec<Answer>, CallError>> {
        Box::pin(self.erp.call(document_key, lines))
    }

    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        lines: &'a [Line],
        certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<Answer>>, CallError>> {
        if self.variant == Variant::NoLookUp {
            return Box::pin(std::future::ready(Ok(None)));
        }
        // Whoever is told too early that nothing more can come makes what is still on its way.
        let certain = certain || self.variant == Variant::EarlyMaking;
        Box::pin(self.erp.look_up(document_key, lines, certain))
    }

    fn certain_after(&self) -> Duration {
        if self.variant == Variant::HastyLookUp { Duration::ZERO } else { LATE_MAX }
    }

    fn batch_max(&self) -> usize {
        LINES_MAX
    }

    fn calls_max(&self) -> usize {
        CALLS_MAX
    }

    fn documents(&self, answer: &Answer) -> Vec<Document> {
        vec![Document { id: answer.document.clone(), ..Document::default() }]
    }
}
