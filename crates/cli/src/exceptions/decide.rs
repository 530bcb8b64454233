//! `wardline exceptions retry|discard|resolve`: one more record about an exception, when the decision makes sense.

use super::causes::subject_text;
use super::{is_open, load, pick};
use crate::Failure;
use crate::args::Decide;
use crate::output::{self, Output};
use runtime::codec::Codec;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use runtime::{Config, clock};
use schemas::{Exception, ExceptionKind, ExceptionState, Timestamp, topics};
use serde_json::json;
use std::sync::Arc;

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Process the event again.
    Retry,
    /// Give the event up.
    Discard,
    /// It was settled elsewhere.
    Resolve,
}

/// Decides one, several, or all of a code; nothing is decided when one of those that are named cannot be.
pub async fn execute(config: &Config, options: &Decide, decision: Decision) -> Result<(), Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let all = load(config, &codec).await?;
    let chosen = match &options.code {
        Some(code) => of_code(&all, code, options.subject.as_deref(), decision)?,
        None => named(&all, &options.ids, decision)?,
    };
    let publisher =
        Publisher::connect(config, codec, &[topics::OPS_EXCEPTION_V1.info()]).await.map_err(Failure::registry)?;
    let (kind, state, verb) = decision.outcome();
    let mut records = Vec::with_capacity(chosen.len());
    for exception in &chosen {
        let decided = Exception {
            kind,
            state,
            actor: Some(options.actor.clone()),
            comment: options.comment.clone(),
            at: Timestamp(clock::now_micros()),
            ..(*exception).clone()
        };
        records.push(publisher.event(&decided, &Lineage::default()).map_err(Failure::registry)?);
    }
    publisher.publish(&records).await.map_err(Failure::kafka)?;
    let mut output = Output::stdout();
    for exception in &chosen {
        if options.json {
            output.json(&json!({"exceptionId": exception.exception_id, "state": state.as_str()}))?;
        } else {
            output.line(format!("{} {verb}", exception.exception_id))?;
        }
    }
    output.finish()
}

impl Decision {
    fn outcome(self) -> (ExceptionKind, ExceptionState, &'static str) {
        match self {
            Self::Retry => (ExceptionKind::RetryRequested, ExceptionState::Retrying, "retry requested"),
            Self::Discard => (ExceptionKind::Discarded, ExceptionState::Discarded, "discarded"),
            Self::Resolve => (ExceptionKind::Resolved, ExceptionState::Resolved, "resolved"),
        }
    }

    /// Whether an exception can be decided so: a settled one has its outcome already, and only a parked event can be
    /// processed again.
    fn check(self, exception: &Exception) -> Result<(), Failure> {
        let refused = |why: &str, next: &str| {
            Err(Failure::usage(format!("WL-7071: exception {} {why}", exception.exception_id), next))
        };
        match exception.state {
            ExceptionState::Discarded => return refused("was discarded", &once_more(exception)),
            ExceptionState::Resolved => return refused("is resolved", "leave it: nothing waits for a decision"),
            ExceptionState::Open | ExceptionState::Retrying | ExceptionState::Unknown => {}
        }
        match (self, exception.parked_key) {
            (Self::Retry, false) => refused(
                &format!("has nothing to retry: {} keeps no event for it", exception.room),
                "let its source send it again, corrected, then `wardline exceptions resolve ID`",
            ),
            (Self::Resolve, true) => refused(
                "has a parked event, which would wait for ever with all later ones of its key",
                "use `wardline exceptions discard ID` when the matter was settled by hand, or `retry ID`",
            ),
            _ => Ok(()),
        }
    }
}

/// How a discarded event is processed after all: its record is still on the topic.
fn once_more(exception: &Exception) -> String {
    match (&exception.origin_topic, exception.origin_partition, exception.origin_offset) {
        (Some(topic), Some(partition), Some(offset)) if exception.parked_key => format!(
            "leave it; should the event be processed after all: `wardline replay {} --topic {topic} --partition {partition} \
             --from-offset {offset} --to-offset {offset}`",
            exception.room
        ),
        _ => "leave it; should it count after all, let its source send it again, corrected".to_owned(),
    }
}

/// Those whose ids are given. All of them must be ready for the decision.
fn named<'a>(all: &'a [Exception], ids: &[String], decision: Decision) -> Result<Vec<&'a Exception>, Failure> {
    let mut chosen: Vec<&Exception> = Vec::with_capacity(ids.len());
    for id in ids {
        let exception = pick(all, id)?;
        decision.check(exception)?;
        // Twice the same id is one decision.
        if !chosen.iter().any(|known| known.exception_id == exception.exception_id) {
            chosen.push(exception);
        }
    }
    Ok(chosen)
}

/// The open ones with a code. Those that cannot be decided so are left out and told.
fn of_code<'a>(
    all: &'a [Exception],
    code: &str,
    subject: Option<&str>,
    decision: Decision,
) -> Result<Vec<&'a Exception>, Failure> {
    let about = |exception: &Exception| exception.subject.as_ref().map(subject_text);
    let meant = |exception: &&Exception| {
        is_open(exception)
            && exception.code == code
            && subject.is_none_or(|subject| about(exception).is_some_and(|about| about == subject))
    };
    let open: Vec<&Exception> = all.iter().filter(meant).collect();
    if open.is_empty() {
        let about = subject.map(|subject| format!(" and is about {subject}")).unwrap_or_default();
        return Err(Failure::usage(
            format!("WL-7063: no open exception has the code {code}{about}"),
            "list codes and subjects with `wardline exceptions causes`",
        ));
    }
    let mut refusals = Vec::new();
    let mut chosen = Vec::with_capacity(open.len());
    for exception in open {
        match decision.check(exception) {
            Ok(()) => chosen.push(exception),
            Err(refusal) => refusals.push(refusal),
        }
    }
    match refusals.pop() {
        Some(last) if chosen.is_empty() => Err(last),
        Some(last) => {
            output::note(&format!("{} left out, for example: {last}", refusals.len() + 1));
            Ok(chosen)
        }
        None => Ok(chosen),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn exception(id: &str, state: ExceptionState, parked_key: bool) -> Exception {
        Exception {
            exception_id: id.to_owned(),
            state,
            parked_key,
            code: "WL-4010".to_owned(),
            room: if parked_key { "validate" } else { "hl7v2" }.to_owned(),
            ..Exception::default()
        }
    }

    fn refusal(decision: Decision, state: ExceptionState, parked_key: bool) -> Option<String> {
        decision.check(&exception("e1", state, parked_key)).err().map(|failure| failure.to_string())
    }

    #[test]
    fn a_settled_exception_cannot_be_decided_again() {
        for decision in [Decision::Retry, Decision::Discard, Decision::Resolve] {
            for (state, word) in [(ExceptionState::Discarded, "discarded"), (ExceptionState::Resolved, "resolved")] {
                for parked in [true, false] {
                    let said = refusal(decision, state, parked).unwrap();
                    assert!(said.contains("WL-7071") && said.contains("e1") && said.contains(word), "{said}");
                }
            }
        }
    }

    #[test]
    fn a_discarded_event_can_be_replayed_from_its_place() {
        let discarded = Exception {
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(2),
            origin_offset: Some(17),
            ..exception("e1", ExceptionState::Discarded, true)
        };
        let said = Decision::Retry.check(&discarded).unwrap_err().to_string();
        assert!(said.contains("replay validate --topic t --partition 2 --from-offset 17 --to-offset 17"), "{said}");
    }

    #[test]
    fn only_a_parked_event_is_retried_and_only_one_that_is_not_parked_is_resolved() {
        for state in [ExceptionState::Open, ExceptionState::Retrying] {
            assert_eq!(refusal(Decision::Retry, state, true), None);
            assert_eq!(refusal(Decision::Discard, state, true), None);
            assert_eq!(refusal(Decision::Discard, state, false), None);
            assert_eq!(refusal(Decision::Resolve, state, false), None);
            let source = refusal(Decision::Retry, state, false).unwrap();
            assert!(source.contains("hl7v2") && source.contains("send it again"), "{source}");
            let parked = refusal(Decision::Resolve, state, true).unwrap();
            assert!(parked.contains("WL-7071") && parked.contains("discard"), "{parked}");
        }
    }

    #[test]
    fn one_refusal_stops_all_that_are_named_and_leaves_itself_out_of_a_code() {
        let all = [
            exception("a1", ExceptionState::Open, true),
            exception("b1", ExceptionState::Open, false),
            exception("c1", ExceptionState::Discarded, true),
        ];
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert!(named(&all, &ids(&["a1", "c1"]), Decision::Retry).is_err());
        assert_eq!(named(&all, &ids(&["a1", "a"]), Decision::Retry).unwrap().len(), 1);
        let of_code = |decision| of_code(&all, "WL-4010", None, decision).unwrap().len();
        assert_eq!((of_code(Decision::Retry), of_code(Decision::Discard)), (1, 2));
    }

    #[test]
    fn of_a_code_only_what_is_about_the_subject_is_decided() {
        let about = |id: &str, item: &str| Exception {
            subject: Some(schemas::Subject { kind: "master.item.v1".to_owned(), key: item.to_owned() }),
            ..exception(id, ExceptionState::Open, true)
        };
        let all = [about("a1", "4711"), about("b1", "4712"), exception("c1", ExceptionState::Open, true)];
        let chosen = of_code(&all, "WL-4010", Some("master.item.v1/4711"), Decision::Retry).unwrap();
        assert_eq!(chosen.iter().map(|one| one.exception_id.as_str()).collect::<Vec<_>>(), ["a1"]);
        let none = of_code(&all, "WL-4010", Some("master.item.v1/9"), Decision::Retry).unwrap_err().to_string();
        assert!(none.contains("WL-7063") && none.contains("master.item.v1/9"), "{none}");
    }

    #[test]
    fn a_code_that_nothing_open_has_is_told() {
        let all = [exception("c1", ExceptionState::Discarded, true)];
        for code in ["WL-4010", "WL-9999"] {
            let said = of_code(&all, code, None, Decision::Retry).unwrap_err().to_string();
            assert!(said.contains("WL-7063") && said.contains(code), "{said}");
        }
        let sources = [exception("b1", ExceptionState::Open, false)];
        assert!(of_code(&sources, "WL-4010", None, Decision::Retry).unwrap_err().to_string().contains("WL-7071"));
    }
}
