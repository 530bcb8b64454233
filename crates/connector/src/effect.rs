//! Acting outside Kafka: two pure functions around a call that the runtime makes (FX-1).
//!
//! ```text
//! event -> plan -> [effect record, look-up when in doubt, call] -> settle -> verdict
//! ```
//! Kafka cannot make a call outside exactly once. What makes it happen once here is the durable effect record written
//! before the call, the document key carried to the other side, and a look-up there before any retry whose outcome is
//! not known.

use crate::pacing::Pacing;
use processor::{Input, Reason, Tables, Verdict};
use schemas::Event;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future that can be kept behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A room that acts outside Kafka, as two pure functions.
pub trait Effect: Send + Sync + 'static {
    /// What it reads.
    type Input: Input + Clone;
    /// What it says about each effect.
    type Output: Event;
    /// What it looks things up in.
    type Tables: Tables;
    /// What the other side is asked to do.
    type Request: Clone + Send + Sync + 'static;
    /// What the other side answers to one request.
    type Response: Clone + Send + Sync + 'static;

    /// Business key of an earlier effect whose newest output `plan` needs (a correction posts the difference).
    fn prior_key(&self, input: &Self::Input) -> Option<String>;

    /// Whether an event must not be planned without its prior output, so that it is searched for when it is remembered no more. A
    /// first statement need not: what stands behind it is found as long as it is remembered.
    fn needs_prior(&self, _input: &Self::Input) -> bool {
        true
    }

    /// Decides what to do about one event.
    fn plan(
        &self,
        input: &Self::Input,
        prior: Option<&Self::Output>,
        tables: &Self::Tables,
    ) -> Plan<Self::Request, Self::Output>;

    /// What is remembered of an event that [`Effect::plan`] drops: in the place of an output, which nobody reads, it is the prior of
    /// what is said of the same fact later, so that something older is known as that. Nothing where that cannot do harm.
    fn stated(&self, _input: &Self::Input, _prior: Option<&Self::Output>) -> Option<Self::Output> {
        None
    }

    /// Turns the answer into the output.
    fn settle(&self, input: &Self::Input, request: &Self::Request, response: &Self::Response) -> Verdict<Self::Output>;

    /// The outputs of a request as far as the request alone tells them, for a rehearsal that calls nobody. Fields named by
    /// [`Effect::answered`] may hold anything.
    fn rehearse(&self, _input: &Self::Input, _request: &Self::Request) -> Vec<Self::Output> {
        Vec::new()
    }

    /// Fields of the output that the other side decides, by their names in the contract: a rehearsal cannot tell them.
    fn answered() -> &'static [&'static str] {
        &[]
    }

    /// Business key under which an output is found again by [`Effect::prior_key`].
    fn output_key(&self, output: &Self::Output) -> String;

    /// What an event says of its effect by itself, without tables and without what was done before: for the preview of a
    /// replay. Nothing when only [`Effect::plan`] can tell.
    fn foresee(_input: &Self::Input) -> Option<Foreseen> {
        None
    }
}

/// What an event says of its effect by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// What the keys of its effects begin with, before a `/` or `>` and the receiver.
    pub identity: String,
    /// Whether it may ask for an effect at all.
    pub acts: bool,
}

/// What `plan` decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan<Q, O> {
    /// Act outside, then settle.
    Act(Action<Q>),
    /// Nothing to do outside.
    Decided(Verdict<O>),
    /// Nothing to do outside any more, for a later event was there before. Where the effect of this one was done it is a
    /// repetition; else the verdict stands.
    Late {
        /// Identity of the effect that it would have had.
        effect_key: String,
        /// What becomes of it.
        verdict: Verdict<O>,
    },
}

/// One thing to do outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action<Q> {
    /// Identity of the effect: business key and revision, and the receiver where there are several.
    pub effect_key: String,
    /// Endpoint, for the breaker and the metrics; from configuration, never from data of a patient.
    pub target: String,
    /// Actions with the same batch key may share one document; none stays alone.
    pub batch_key: Option<String>,
    /// The request.
    pub request: Q,
}

/// The other side.
pub trait EffectClient<Q, A>: Send + Sync + 'static {
    /// Does all `requests` as one document, or none. `document_key` goes to the other side. One answer per request.
    fn call<'a>(&'a self, document_key: &'a str, requests: &'a [Q]) -> BoxFuture<'a, Result<Vec<A>, CallError>>;

    /// What became of an earlier call with this document key: the answers for `requests` (which may be a part of the
    /// document), or `None` when the other side has not done it. Completes or undoes what is half done.
    ///
    /// `certain` tells that the earlier call cannot be carried out any more ([`EffectClient::certain_after`]). Before, it may
    /// be making what is not there yet, so a look-up makes nothing, or it would be there twice (FX-1): it takes what is there
    /// as far as steps go that may be repeated, and is `None` where something is still to be made. Nobody believes that `None`.
    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Q],
        certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<A>>, CallError>>;

    /// How long after a call was sent the other side may still carry it out, although nobody waits for the answer any more:
    /// the time-out of the call, and what the other side works on beyond it. A look-up that finds nothing before is not
    /// believed.
    fn certain_after(&self) -> Duration;

    /// Most requests in one document.
    fn batch_max(&self) -> usize;

    /// Most calls that one target takes at once.
    fn calls_max(&self) -> usize {
        1_000
    }

    /// How fast and when a target may be called. A call is a document, whatever it takes to bring it there.
    fn pacing(&self, _target: &str) -> Pacing {
        Pacing::default()
    }

    /// Whether any target has a budget of calls, which the instances of the room share.
    fn shares_budget(&self) -> bool {
        false
    }

    /// What the other side calls the documents behind an answer: kind, id, number, state.
    fn documents(&self, answer: &A) -> Vec<schemas::Document>;
}

tokio::task_local! {
    static TRACEPARENT: String;
}

/// Runs a call with the W3C trace context that it should send on.
pub async fn with_traceparent<T>(traceparent: String, call: impl Future<Output = T>) -> T {
    TRACEPARENT.scope(traceparent, call).await
}

/// The W3C `traceparent` that a client should send with its request.
pub fn current_traceparent() -> Option<String> {
    TRACEPARENT.try_with(Clone::clone).ok()
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nothing happened; try again, not before the delay when one is given.
    Transient {
        /// What the other side asked for (`Retry-After`).
        retry_after: Option<Duration>,
        /// One sentence.
        reason: String,
    },
    /// It may have happened: look it up before doing anything else.
    InDoubt {
        /// One sentence.
        reason: String,
    },
    /// The other side understood and said no; nothing happened.
    Refused {
        /// Why, with a code and a suggested fix.
        reason: Box<Reason>,
        /// Which request is at fault; `None` blames all.
        request: Option<usize>,
    },
}
