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
    let resolve = Act::Resolve { may_agree: true };
    let turn = decider
        .write(None, &older, &mut open, Asked { act: &resolve, by: &by, seen_until: None }, &mut outcome)
        .await
        .unwrap();
    assert_eq!((outcome.done.len(), outcome.left_out.len(), open.len()), (0, 0, 1));
    assert_eq!(records(&stack).await.len(), 2, "nothing was written over the newer record");

    let newest: Vec<Record> = records(&stack).await.into_iter().skip(1).collect();
    decider
        .write(turn, &newest, &mut open, Asked { act: &resolve, by: &by, seen_until: None }, &mut outcome)
        .await
        .unwrap();
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
        decider
            .write(None, &records, &mut open, Asked { act: &act, by: &by, seen_until: None }, &mut outcome)
            .await
            .unwrap();
        let codes: Vec<_> = outcome.left_out.iter().map(|refusal| refusal.code).collect();
        let refused: &[&str] = if done == 0 { &["WL-1451"] } else { &[] };
        assert_eq!((outcome.done.len(), codes.as_slice(), open.len()), (done, refused, 0), "{seen}");
    }
}

/// Ada gives an event up; Bob's console has not read that yet when he assigns it. Whoever writes second looks at what the first one
/// wrote, so that it is not taken back; and each decision has its record.
#[tokio::test(flavor = "multi_thread")]
async fn who_writes_second_sees_what_the_first_one_decided() {
    let stack = Stack::start().await;
    let ids = [ID, "00000000-0000-5000-8000-000000000002"];
    stack.publish(&ids.map(|id| Exception { exception_id: id.to_owned(), ..said("raised", 1) })).await;
    let before = records(&stack).await;
    let of = |id: &str| -> Vec<Record> { before.iter().filter(|one| one.key_text() == id).cloned().collect() };
    let (_trigger, stop) = shutdown();
    let (behind, stand_still) = shutdown();
    let views = [&stop, &stand_still].map(|stop| ExceptionsView::start(&stack.config, stop).unwrap());
    for view in &views {
        view.until_caught_up(CATCH_UP).await.unwrap();
    }
    // Bob's view reads no further.
    behind.stop();
    let ada = Decider::connect(&stack.config, &views[0]).await.unwrap();
    let bob = Decider::connect(&stack.config, &views[1]).await.unwrap();
    let by = |actor: &str| By { actor: actor.to_owned(), comment: Some("seen to".to_owned()), via: "cli" };
    let (assign, of_bob) = (Act::Assign { to: Some("bob".to_owned()) }, by("bob"));
    let mut open: Chosen = ids.iter().map(|id| ((*id).to_owned(), None)).collect();
    let mut outcome = Outcome::default();
    let turn = bob
        .write(None, &of(ids[0]), &mut open, Asked { act: &assign, by: &of_bob, seen_until: None }, &mut outcome)
        .await
        .unwrap();
    assert_eq!((outcome.done.len(), open.len()), (1, 1));

    ada.discard(ids[1], &by("ada")).await.unwrap();
    assert!(views[1].is_newest(ids[1], views[1].places([ids[1]])[0]), "Bob sees what was raised");
    bob.write(turn, &of(ids[1]), &mut open, Asked { act: &assign, by: &of_bob, seen_until: None }, &mut outcome)
        .await
        .unwrap();
    assert_eq!((outcome.done.len(), outcome.left_out.len(), open.len()), (1, 0, 1), "it is left to the next round");
    let written = stack.events::<Exception>().await;
    let last = written.iter().rfind(|written| written.exception_id == ids[1]).unwrap();
    assert_eq!(last.kind, ExceptionKind::Discarded, "nothing is written over it");
    let audits = stack.events::<schemas::Audit>().await;
    let told: HashSet<_> = audits.iter().filter_map(|audit| audit.exception_id.as_deref()).collect();
    assert_eq!((audits.len(), told), (2, HashSet::from(ids)));
}

/// A list did not know yet what the room has said since: nobody has seen that who decides about all that it shows.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_behind_the_list_is_left_out_in_every_round() {
    let stack = Stack::start().await;
    stack.publish(&[said("first", 1)]).await;
    let mut seen_until = Offsets::default();
    records(&stack).await.iter().for_each(|record| seen_until.note((record.place.partition, record.place.offset)));
    stack.publish(&[Exception { kind: ExceptionKind::Retried, ..said("second", 2) }]).await;
    let (_trigger, stop) = shutdown();
    let view = ExceptionsView::start(&stack.config, &stop).unwrap();
    until("the newer record in the view", || view.row(ID).is_some_and(|row| row.message == "second")).await;
    let decider = Decider::connect(&stack.config, &view).await.unwrap();
    let by = By { actor: "ada".to_owned(), comment: Some("sent twice".to_owned()), via: "cli" };
    let newest: Vec<Record> = records(&stack).await.into_iter().skip(1).collect();
    for (seen_until, expected) in [(Some(&seen_until), (0, vec!["WL-7113"])), (None, (1, Vec::new()))] {
        let (mut open, mut outcome) = (Chosen::from([(ID.to_owned(), None)]), Outcome::default());
        let asked = Asked { act: &Act::Discard, by: &by, seen_until };
        decider.write(None, &newest, &mut open, asked, &mut outcome).await.unwrap();
        let codes: Vec<_> = outcome.left_out.iter().map(|refusal| refusal.code).collect();
        assert_eq!((outcome.done.len(), codes), expected);
    }
}
