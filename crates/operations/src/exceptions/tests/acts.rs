//! What may be decided, and the record that says it.

use super::super::act::{Act, By, Facts, FieldChange, Refusal};
use super::USAGE;
use schemas::approval::{agreed_by, correction_mark};
use schemas::{Criticality, Exception, ExceptionKind, ExceptionState};

const TWO_PEOPLE: [Criticality; 1] = [Criticality::PatientAdjacent];

fn exception(state: ExceptionState, parked_key: bool) -> Exception {
    let (room, topic) = if parked_key { ("erp-post", Some("supply.usage-enriched.v1")) } else { ("erp", None) };
    Exception {
        exception_id: "e1".to_owned(),
        state,
        parked_key,
        code: "WL-4010".to_owned(),
        room: room.to_owned(),
        origin_topic: topic.map(str::to_owned),
        ..Exception::default()
    }
}

fn by(actor: &str) -> By {
    By { actor: actor.to_owned(), comment: Some("seen to".to_owned()), via: "cli" }
}

fn refused(act: &Act, exception: &Exception, by: &By) -> Option<Refusal> {
    act.check(&Facts::of(exception), by, &TWO_PEOPLE).err()
}

fn decided(act: &Act, exception: Exception, actor: &str) -> Result<Exception, Refusal> {
    let by = by(actor);
    act.check(&Facts::of(&exception), &by, &TWO_PEOPLE)?;
    Ok(act.record(exception, &by, &TWO_PEOPLE, 7))
}

#[test]
fn a_settled_exception_cannot_be_decided_again() {
    let assign = Act::Assign { to: Some("ada".to_owned()) };
    for act in [
        Act::Retry,
        Act::Discard,
        Act::ApproveDiscard { seen: None },
        Act::Resolve { may_agree: true },
        Act::Comment,
        assign,
    ] {
        for (state, word) in [(ExceptionState::Discarded, "discarded"), (ExceptionState::Resolved, "resolved")] {
            for parked in [true, false] {
                let said = refused(&act, &exception(state, parked), &by("ada")).unwrap().to_string();
                assert!(said.contains("WL-7071") && said.contains("e1") && said.contains(word), "{said}");
            }
        }
    }
}

#[test]
fn a_discarded_event_can_be_replayed_from_its_place() {
    let discarded = Exception {
        room: "validate".to_owned(),
        origin_topic: Some("t".to_owned()),
        origin_partition: Some(2),
        origin_offset: Some(17),
        ..exception(ExceptionState::Discarded, true)
    };
    let next = refused(&Act::Retry, &discarded, &by("ada")).unwrap().next;
    assert!(next.contains("replay plan validate --topic t --partition 2 --from-offset 17 --to-offset 17"), "{next}");
}

#[test]
fn only_a_parked_event_is_retried_and_only_one_that_is_not_parked_is_resolved() {
    let refusal = |act: Act, state, parked| refused(&act, &exception(state, parked), &by("ada"));
    for state in [ExceptionState::Open, ExceptionState::Retrying] {
        assert_eq!(refusal(Act::Retry, state, true), None);
        assert_eq!(refusal(Act::Discard, state, true), None, "an operational flow needs one person");
        assert_eq!(refusal(Act::Discard, state, false), None);
        assert_eq!(refusal(Act::Resolve { may_agree: true }, state, false), None);
        let source = refusal(Act::Retry, state, false).unwrap();
        assert!(source.to_string().contains("erp keeps no event") && source.next.contains("send it again"), "{source}");
        let parked = refusal(Act::Resolve { may_agree: true }, state, true).unwrap();
        assert!(parked.code == "WL-7071" && parked.next.contains("discard"), "{parked}");
    }
}

#[test]
fn two_people_discard_what_is_next_to_the_patient() {
    let open = Exception {
        room: "validate".to_owned(),
        origin_topic: Some(USAGE.to_owned()),
        ..exception(ExceptionState::Open, true)
    };
    let code = |act: &Act, exception: &Exception, actor: &str| {
        decided(act, exception.clone(), actor).map_err(|refusal| refusal.code).map(|record| record.kind)
    };
    for nobody in ["", " ", "unknown"] {
        assert_eq!(code(&Act::Discard, &open, nobody), Err("WL-7110"));
    }
    assert_eq!(code(&Act::ApproveDiscard { seen: None }, &open, "ada"), Err("WL-7109"));

    let asked = decided(&Act::Discard, open, "ada").unwrap();
    assert_eq!((asked.kind, asked.state), (ExceptionKind::DiscardRequested, ExceptionState::Open));
    assert_eq!(asked.discard_request.as_ref().unwrap().actor, "ada");
    assert_eq!(Act::Discard.audit(&asked, &by("ada")).detail, "discard requested: seen to");
    assert_eq!(code(&Act::Discard, &asked, "ada"), Err("WL-7107"));
    assert_eq!(code(&Act::ApproveDiscard { seen: None }, &asked, "ada"), Err("WL-7107"));
    assert_eq!(code(&Act::Discard, &asked, "bob"), Err("WL-7108"));

    let noted = decided(&Act::Comment, asked.clone(), "eve").unwrap();
    let given = decided(&Act::Assign { to: Some("bob".to_owned()) }, noted, "eve").unwrap();
    assert_eq!(given.discard_request, asked.discard_request, "a note does not take the request back");
    let gone = decided(&Act::ApproveDiscard { seen: None }, given, "bob").unwrap();
    assert_eq!((gone.kind, gone.state), (ExceptionKind::Discarded, ExceptionState::Discarded));
    assert_eq!((gone.actor.as_deref(), gone.assignee.as_deref(), gone.at.0), (Some("bob"), Some("bob"), 7));

    let again = decided(&Act::Retry, asked, "bob").unwrap();
    assert_eq!((again.state, again.discard_request), (ExceptionState::Retrying, None));
}

#[test]
fn next_to_the_patient_nobody_settles_alone_what_was_not_processed() {
    let open = Exception {
        room: "validate".to_owned(),
        origin_topic: Some(USAGE.to_owned()),
        ..exception(ExceptionState::Open, false)
    };
    let settle = Act::Resolve { may_agree: true };
    let asked = decided(&settle, open.clone(), "ada").unwrap();
    assert_eq!((asked.kind, asked.state), (ExceptionKind::DiscardRequested, ExceptionState::Open));
    assert_eq!(settle.audit(&asked, &by("ada")).detail, "settling requested: seen to");
    assert_eq!(decided(&settle, open.clone(), "unknown").unwrap_err().code, "WL-7110");
    for asked in [asked, decided(&Act::Discard, open, "ada").unwrap()] {
        assert_eq!(decided(&settle, asked.clone(), "Ada").unwrap_err().code, "WL-7107");
        let operator = Act::Resolve { may_agree: false };
        assert_eq!(decided(&operator, asked.clone(), "bob").unwrap_err().code, "WL-7107");
        let settled = decided(&settle, asked, "bob").unwrap();
        assert_eq!((settled.kind, settled.state), (ExceptionKind::Resolved, ExceptionState::Resolved));
    }
}

#[test]
fn nothing_is_given_up_or_settled_without_a_reason() {
    let open = |parked| exception(ExceptionState::Open, parked);
    for comment in [None, Some(""), Some(" \n")] {
        let silent = By { comment: comment.map(str::to_owned), ..by("ada") };
        for (act, parked) in [(Act::Discard, true), (Act::Discard, false), (Act::Resolve { may_agree: true }, false)] {
            let refusal = refused(&act, &open(parked), &silent).unwrap();
            assert_eq!((refusal.code, refusal.next.contains("--comment")), ("WL-1440", true), "{refusal}");
        }
        // Who asked has said why; who agrees, tries again or takes it on need not.
        for act in [Act::Retry, Act::Assign { to: Some("ada".to_owned()) }] {
            assert_eq!(refused(&act, &open(true), &silent), None);
        }
        let asked = Exception { room: "validate".to_owned(), origin_topic: Some(USAGE.to_owned()), ..open(true) };
        let asked = decided(&Act::Discard, asked, "bob").unwrap();
        assert_eq!(refused(&Act::ApproveDiscard { seen: None }, &asked, &silent), None);
    }
}

/// Whoever is at a page has no command line, and whoever is at a terminal has no buttons.
#[test]
fn what_to_do_instead_is_said_where_the_person_is() {
    let (open, settled) = (exception(ExceptionState::Open, true), exception(ExceptionState::Discarded, true));
    let placed = Exception { origin_partition: Some(2), origin_offset: Some(17), ..settled.clone() };
    let source = exception(ExceptionState::Open, false);
    let two = Exception { room: "validate".to_owned(), origin_topic: Some(USAGE.to_owned()), ..open.clone() };
    let asked = decided(&Act::Discard, two.clone(), "ada").unwrap();
    let change = FieldChange { path: "lot".to_owned(), before: None, after: "\"A\"".to_owned() };
    let proposed = decided(&Act::Correct(vec![change.clone()]), two.clone(), "ada").unwrap();
    let agree = |seen: Option<&str>| Act::ApproveCorrection { seen: seen.map(str::to_owned) };
    let silent = By { comment: None, ..by("ada") };
    let cases = [
        (Act::Retry, &settled, by("ada")),
        (Act::Retry, &placed, by("ada")),
        (Act::Retry, &source, by("ada")),
        (Act::Resolve { may_agree: true }, &open, by("ada")),
        (Act::Resolve { may_agree: true }, &source, silent.clone()),
        (Act::Discard, &open, silent.clone()),
        (Act::Comment, &open, silent.clone()),
        (Act::Correct(vec![change]), &open, silent),
        (Act::Discard, &two, by("unknown")),
        (Act::Discard, &asked, by("ada")),
        (Act::Discard, &asked, by("bob")),
        (Act::ApproveDiscard { seen: None }, &two, by("bob")),
        (Act::ApproveDiscard { seen: None }, &asked, by("ada")),
        (agree(None), &two, by("bob")),
        (agree(None), &proposed, by("ada")),
        (agree(None), &proposed, by("bob")),
        (agree(Some("m0")), &proposed, by("bob")),
    ];
    for (act, exception, by) in &cases {
        let refusal = refused(act, exception, by).unwrap();
        let (page, terminal) = (&refusal.on_page, &refusal.next);
        assert!(!page.contains("wardline ") && !page.contains("--") && !page.contains('`'), "{act:?}: {page}");
        assert!(!terminal.contains("press") && !terminal.contains(" ID"), "{act:?}: {terminal}");
        assert!(!page.is_empty() && !terminal.is_empty(), "{act:?}");
    }
}

#[test]
fn a_note_changes_neither_state_nor_who_has_it() {
    let retrying = Exception { assignee: Some("ada".to_owned()), ..exception(ExceptionState::Retrying, true) };
    let noted = decided(&Act::Comment, retrying, "bob").unwrap();
    assert_eq!((noted.kind, noted.state), (ExceptionKind::Commented, ExceptionState::Retrying));
    assert_eq!((noted.assignee.as_deref(), noted.comment.as_deref()), (Some("ada"), Some("seen to")));
    let silent = By { comment: Some("  ".to_owned()), ..by("bob") };
    assert_eq!(refused(&Act::Comment, &noted, &silent).unwrap().code, "WL-7106");
    let free = decided(&Act::Assign { to: None }, noted, "bob").unwrap();
    assert_eq!(free.assignee, None);
}

#[test]
fn the_audit_names_who_did_what_to_which_event() {
    let placed = Exception {
        origin_partition: Some(2),
        origin_offset: Some(17),
        origin_event_id: Some("event".to_owned()),
        ..exception(ExceptionState::Open, true)
    };
    let given = decided(&Act::Assign { to: Some("bob".to_owned()) }, placed, "ada").unwrap();
    let audit = Act::Assign { to: Some("bob".to_owned()) }.audit(&given, &by("ada"));
    assert_eq!((audit.code.as_str(), audit.detail.as_str()), ("exception.assign", "assigned to bob: seen to"));
    assert_eq!((audit.actor.as_deref(), audit.room.as_str(), audit.at), (Some("ada"), "cli", given.at));
    assert_eq!((audit.exception_id.as_deref(), audit.event_id.as_deref()), (Some("e1"), Some("event")));
    assert_eq!((audit.origin_partition, audit.origin_offset), (Some(2), Some(17)));
}

/// Nobody's correction takes effect alone next to the patient, and the fields stay as they were proposed.
#[test]
fn a_correction_is_decided_by_two_people_where_they_are_demanded() {
    let change = FieldChange { path: "lot".to_owned(), before: Some("null".to_owned()), after: "\"A\"".to_owned() };
    let correct = Act::Correct(vec![change]);
    let open = exception(ExceptionState::Open, true);
    let code = |act: &Act, exception: &Exception, actor: &str| refused(act, exception, &by(actor)).unwrap().code;
    let agree = |seen: Option<&str>| Act::ApproveCorrection { seen: seen.map(str::to_owned) };
    assert_eq!(code(&agree(None), &open, "bert"), "WL-7244");
    assert_eq!(code(&correct, &exception(ExceptionState::Open, false), "ada"), "WL-7071");
    assert_eq!(code(&correct, &open, "unknown"), "WL-7110");
    let silent = By { comment: None, ..by("ada") };
    assert_eq!(refused(&correct, &open, &silent).unwrap().code, "WL-7243");
    let asked = decided(&correct, open, "ada").unwrap();
    assert_eq!((asked.kind, asked.state), (ExceptionKind::CorrectionRequested, ExceptionState::Open));
    let mark = correction_mark("e1", asked.correction.as_ref().unwrap());
    assert_eq!(code(&agree(Some(&mark)), &asked, " ADA "), "WL-7107");
    assert_eq!(code(&agree(None), &asked, "bert"), "WL-1450");
    let anew = Act::Correct(vec![FieldChange { path: "lot".to_owned(), before: None, after: "\"B\"".to_owned() }]);
    let anew = decided(&anew, asked.clone(), "ada").unwrap();
    assert_eq!(code(&agree(Some(&mark)), &anew, "bert"), "WL-1451", "not what he saw");
    let changed = refused(&agree(Some(&mark)), &anew, &by("bert")).unwrap().to_string();
    assert!(
        changed.contains("ada has proposed") && changed.contains("lot: nothing -> \"B\"") && !changed.contains(&mark),
        "{changed}"
    );
    let next = refused(&agree(Some(&mark)), &anew, &by("bert")).unwrap();
    assert!(
        !next.next.contains("retry") && !next.on_page.contains("Retry"),
        "a retry takes no proposal back: {next:?}"
    );
    let retried = decided(&Act::Retry, asked.clone(), "eve").unwrap();
    assert_eq!((retried.state, &retried.correction), (ExceptionState::Retrying, &asked.correction));
    let agreed = decided(&agree(Some(&mark)), asked.clone(), "bert").unwrap();
    assert_eq!(agree(Some(&mark)).audit(&agreed, &by("bert")).detail, format!("corrected as seen, {mark}: seen to"));
    assert_eq!((agreed.kind, agreed.state), (ExceptionKind::Corrected, ExceptionState::Retrying));
    let correction = agreed.correction.clone().unwrap();
    assert_eq!(
        (&correction.fields, correction.approved_by.as_deref()),
        (&asked.correction.unwrap().fields, Some(agreed_by("bert", &mark).as_str()))
    );
    assert_eq!(code(&agree(Some(&mark)), &agreed, "cleo"), "WL-7244", "once");
    let alone = correct.record(agreed, &by("ada"), &[], 8);
    assert_eq!((alone.kind, alone.correction.unwrap().needs_approval), (ExceptionKind::Corrected, false));
    let told = correct.audit(&alone_record(), &by("ada"));
    assert!(!told.detail.contains('A') && told.detail.contains("lot"), "no value on the audit topic: {}", told.detail);
}

fn alone_record() -> Exception {
    Exception { kind: ExceptionKind::Corrected, ..exception(ExceptionState::Retrying, true) }
}
