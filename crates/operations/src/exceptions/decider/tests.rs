//! What a decision is written over: only the record that is the newest one.

#![allow(clippy::unwrap_used, reason = "test")]

use super::*;
use runtime::shutdown;
use schemas::DiscardRequest;
use testkit::stack::Stack;
use testkit::until;

const ID: &str = "00000000-0000-5000-8000-000000000001";

/// How the room says the exception, the second time with another message.
fn said(message: &str, at: i64) -> Exception {
    Exception {
        exception_id: ID.to_owned(),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        // Not next to the patient: one person decides.
        room: "erp".to_owned(),
        code: "WL-1009".to_owned(),
        message: message.to_owned(),
        raised_at: Timestamp(1),
        at: Timestamp(at),
        ..Exception::default()
    }
}

async fn records(stack: &Stack) -> Vec<Record> {
    stack.records(topics::OPS_EXCEPTION_V1.name()).await
}

/// Somebody else has said something between the reading of a record and the writing of a decision about it: the decision is not
/// written over that, nor is it lost. It stays open for the next round, which reads the newer record.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_not_written_over_a_newer_record() {
    let stack = Stack::start().await;
    stack.publish(&[said("first", 1)]).await;
    let older = records(&stack).await;
    stack.publish(&[said("second", 2)]).await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    view.until_caught_up(CATCH_UP).await.unwrap();
    until("the newer record in the view", || view.row(ID).is_some_and(|row| row.message == "second")).await;

    let decider = Decider::connect(&stack.config, &view).await.unwrap();
    let by = By { actor: "ada".to_owned(), comment: Some("seen to".to_owned()), via: "cli" };
    let mut open = Chosen::from([(ID.to_owned(), None)]);
    let mut outcome = Outcome::default();
    decider.write(&older, &mut open, &Act::Resolve { may_agree: true }, &by, &mut outcome).await.unwrap();
    assert_eq!((outcome.done.len(), outcome.left_out.len(), open.len()), (0, 0, 1));
    assert_eq!(records(&stack).await.len(), 2, "nothing was written over the newer record");

    let newest: Vec<Record> = records(&stack).await.into_iter().skip(1).collect();
    decider.write(&newest, &mut open, &Act::Resolve { may_agree: true }, &by, &mut outcome).await.unwrap();
    assert_eq!((outcome.done.len(), open.len()), (1, 0));
    let written = stack.events::<Exception>().await;
    let last = written.last().unwrap();
    assert_eq!((last.state, last.message.as_str()), (ExceptionState::Resolved, "second"), "what was said last is kept");
}

/// Between the look at a cause and the reading of its records a request is taken back and made anew, for another reason: who
/// agreed has not seen that one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_anew_is_not_agreed_to_with_what_was_seen() {
    let stack = Stack::start().await;
    let request = |reason: &str| {
        let comment = Some(reason.to_owned());
        DiscardRequest { actor: "ada".to_owned(), comment, at: Timestamp(1) }
    };
    let asked = Exception { discard_request: Some(request("a test patient")), ..said("asked", 1) };
    stack.publish(&[asked]).await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    view.until_caught_up(CATCH_UP).await.unwrap();
    let decider = Decider::connect(&stack.config, &view).await.unwrap();
    let by = By { actor: "bob".to_owned(), comment: None, via: "cli" };
    let act = Act::ApproveDiscard { seen: Some("of the cause".to_owned()) };
    let records = records(&stack).await;
    for (seen, done) in [("sent twice", 0), ("a test patient", 1)] {
        let mut open = Chosen::from([(ID.to_owned(), Some(discard_mark(&request(seen))))]);
        let mut outcome = Outcome::default();
        decider.write(&records, &mut open, &act, &by, &mut outcome).await.unwrap();
        let codes: Vec<_> = outcome.left_out.iter().map(|refusal| refusal.code).collect();
        let refused: &[&str] = if done == 0 { &["WL-1451"] } else { &[] };
        assert_eq!((outcome.done.len(), codes.as_slice(), open.len()), (done, refused, 0), "{seen}");
    }
}
