//! What is done about a whole cause at once reaches every exception that is meant, leaves out what must be left out, and is agreed
//! to only as it was seen.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Answer, Browser, Place, answer, between, exception};
use reqwest::Method;
use schemas::{Audit, Exception, ExceptionKind, ExceptionState};
use serde_json::{Value, json};
use testkit::until;

/// A flow whose events two people give up, and one where one person does.
const TWO_PEOPLE: &str = "clinical.supply-usage.v1";
const ONE_PERSON: &str = "supply.purchase-order.v1";
const CAUSE: [(&str, &str); 2] = [("code", "WL-4001"), ("room", "validate")];
const TO_APPROVE: &str = "/exceptions?code=WL-4001&room=validate&state=to-approve";

async fn press(browser: &Browser<'_>, act: &str, fields: &[(&str, &str)]) -> Answer {
    browser.post(&format!("/causes/{act}"), &[&CAUSE[..], fields].concat()).await
}

async fn call(place: &Place, act: &str, mut body: Value) -> Answer {
    body["code"] = json!("WL-4001");
    place.call(Method::POST, &format!("/api/v1/causes/{act}"), Some(body)).await
}

/// How far the list of the cause has read that somebody looks at.
async fn seen_until(browser: &Browser<'_>) -> String {
    let page = browser.get("/exceptions?code=WL-4001&room=validate").await.text;
    between(&page, "name=\"seen_until\" value=\"", "\"")
}

/// How many of the exceptions stand so.
fn count(place: &Place, all: &[Exception], state: ExceptionState) -> usize {
    let view = &place.console.exceptions;
    all.iter().filter(|one| view.row(&one.exception_id).is_some_and(|row| row.state == state)).count()
}

fn asked(place: &Place, all: &[Exception]) -> usize {
    let view = &place.console.exceptions;
    all.iter().filter(|one| view.row(&one.exception_id).is_some_and(|row| row.discard_requested_by.is_some())).count()
}

/// What was done and what was left out.
fn sums(answer: &Answer) -> (usize, usize) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told = answer.json();
    let sums = ["done", "leftOut"].map(|what| {
        let all = usize::try_from(told[format!("{what}Total")].as_u64().unwrap()).unwrap();
        assert_eq!(told[what].as_array().unwrap().len(), all.min(1_000), "{what}: the first thousand");
        all
    });
    (sums[0], sums[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_cause_are_given_to_somebody_and_spoken_of() {
    let place = Place::start().await;
    let all: Vec<_> = (1..=60).map(|number| exception(number, TWO_PEOPLE)).collect();
    let other = Exception { code: "WL-4002".to_owned(), ..exception(99, TWO_PEOPLE) };
    place.raise(&all).await;
    place.raise(std::slice::from_ref(&other)).await;
    let olga = place.browser("olga").await;
    let page = olga.get("/exceptions?code=WL-4001&room=validate").await.text;
    for act in ["retry", "assign", "comment", "discard"] {
        assert!(page.contains(&format!("action=\"/causes/{act}\"")), "{act}: {page}");
    }
    assert!(!olga.get("/exceptions").await.text.contains("/causes/"), "only of a cause");
    assert!(!place.browser("vic").await.get("/exceptions?code=WL-4001").await.text.contains("/causes/"));

    let given = press(&olga, "assign", &[("to", "oscar"), ("comment", "yours")]).await;
    assert_eq!(given.header("location"), "/exceptions?code=WL-4001&room=validate", "{}", given.text);
    assert!(given.cookie("wardline-said=").unwrap().contains("60+assigned"), "{:?}", given.headers);
    let row = |one: &Exception| place.console.exceptions.row(&one.exception_id).unwrap();
    assert!(all.iter().all(|one| row(one).assignee.as_deref() == Some("oscar")), "more than one page of the list");
    assert_eq!(row(&other).assignee, None);
    press(&olga, "comment", &[]).await.refused(422, "comment is missing");
    assert_eq!(sums(&call(&place, "comment", json!({"comment": "asked the buyer"})).await), (60, 0));
    assert_eq!(sums(&call(&place, "assign", json!({"room": "validate", "assignee": "oscar"})).await), (60, 0));
    assert!(all.iter().all(|one| row(one).assignee.is_none()), "to nobody");
    call(&place, "assign", json!({"room": "enrich"})).await.refused(404, "WL-7063");
    let audits = place.stack.events::<Audit>().await;
    let of = |code: &str| audits.iter().filter(|audit| audit.code == code && audit.exception_id.is_some()).count();
    assert_eq!((of("exception.assign"), of("exception.comment")), (120, 60), "each is on record");

    // A form needs the token of its session, and a right.
    let fields = [&CAUSE[..], &[("comment", "x")]].concat();
    answer(olga.form("/causes/discard", &fields)).await.refused(403, "WL-7127");
    press(&place.browser("vic").await, "discard", &[("comment", "x")]).await.refused(403, "WL-7125");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_given_up_by_two_people_as_it_was_seen() {
    let place = Place::start().await;
    let grave: Vec<_> = (1..=5).map(|number| exception(number, TWO_PEOPLE)).collect();
    let light: Vec<_> = (6..=9).map(|number| exception(number, ONE_PERSON)).collect();
    place.raise(&[&grave[..], &light].concat()).await;
    let (olga, anna) = (place.browser("olga").await, place.browser("anna").await);
    // One of them is asked for by the approver, for another reason.
    anna.post(&format!("/exceptions/{}/discard", grave[4].exception_id), &[("comment", "a test patient")]).await;
    press(&olga, "discard", &[]).await.refused(422, "comment is missing");
    press(&olga, "discard", &[("comment", "sent twice")]).await.refused(422, "seen_until is missing");
    press(&olga, "discard", &[("comment", "x"), ("seen_until", "now")]).await.refused(422, "seen_until is no list");
    let of_now = seen_until(&olga).await;
    let discard = [("comment", "sent twice"), ("seen_until", of_now.as_str())];
    let said = press(&olga, "discard", &discard).await.cookie("wardline-said=").unwrap();
    for part in ["4+discarded", "4+discard+requested", "1+left+out", "WL-7108"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!((count(&place, &light, ExceptionState::Discarded), asked(&place, &grave)), (4, 5));
    assert_eq!(count(&place, &grave, ExceptionState::Open), 5, "one person gives nothing up there");
    let of_now = seen_until(&olga).await;
    press(&olga, "discard", &[("comment", "again"), ("seen_until", &of_now)]).await.refused(409, "WL-710");

    let page = anna.get(TO_APPROVE).await.text;
    for shown in ["Discards to be approved", "sent twice", "a test patient", "olga", "anna"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let mark = between(&page, "name=\"seen\" value=\"", "\"");
    assert!(!olga.get(TO_APPROVE).await.text.contains("name=\"seen\""), "who asks does not agree");
    let listed = place.call(Method::GET, &format!("/api/v1{TO_APPROVE}"), None).await.json();
    assert_eq!((&listed["discards"]["mark"], &listed["discards"]["exceptions"]), (&json!(mark), &json!(5)));
    assert_eq!(listed["discards"]["requests"][0]["reason"], "sent twice", "{listed}");

    press(&anna, "approve-discard", &[]).await.refused(422, "seen is missing");
    press(&olga, "approve-discard", &[("seen", &mark)]).await.refused(403, "WL-7125");
    press(&anna, "approve-discard", &[("seen", "0")]).await.refused(409, "WL-1451");
    // One more waits by now, then one less: neither is what was seen.
    place.raise(&[exception(10, TWO_PEOPLE)]).await;
    let late = format!("/exceptions/{}", exception(10, "").exception_id);
    olga.post(&format!("{late}/discard"), &[("comment", "sent twice")]).await;
    let refused = press(&anna, "approve-discard", &[("seen", &mark)]).await;
    refused.refused(409, "WL-1451");
    assert!(refused.text.contains("olga for 5"), "{}", refused.text);
    olga.post(&format!("{late}/retry"), &[]).await;
    // The same ones for another reason are not what was seen either.
    let first = format!("/exceptions/{}", grave[0].exception_id);
    olga.post(&format!("{first}/retry"), &[]).await;
    press(&anna, "approve-discard", &[("seen", &mark)]).await.refused(409, "WL-1451");
    olga.post(&format!("{first}/discard"), &[("comment", "sent three times")]).await;
    press(&anna, "approve-discard", &[("seen", &mark)]).await.refused(409, "WL-1451");
    assert_eq!(count(&place, &grave, ExceptionState::Discarded), 0);

    let mark = between(&anna.get(TO_APPROVE).await.text, "name=\"seen\" value=\"", "\"");
    let agreed = press(&anna, "approve-discard", &[("seen", &mark), ("comment", "yes")]).await;
    let said = agreed.cookie("wardline-said=").unwrap();
    assert!(said.contains("4+discarded") && said.contains("WL-7107"), "her own is left out: {said}");
    assert_eq!(count(&place, &grave, ExceptionState::Discarded), 4);
    assert_eq!(asked(&place, &grave[4..]), 1, "her own request stands");
    let audit = place.audited(|audit| audit.code == "exception.approve-discard").await;
    assert_eq!(audit.detail, format!("discarded as seen, {mark}: yes"));
    assert_eq!(audit.actor.as_deref(), Some("anna"));
    let listed = place.call(Method::GET, &format!("/api/v1{TO_APPROVE}"), None).await.json();
    assert_eq!(listed["discards"]["requests"][0]["actor"], "anna", "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_the_list_is_not_given_up_with_it() {
    let place = Place::start().await;
    let seen: Vec<_> = (1..=3).map(|number| exception(number, ONE_PERSON)).collect();
    place.raise(&seen).await;
    let olga = place.browser("olga").await;
    // Raised before for another reason, and tried again since: it fails for this one now.
    let other = Exception { code: "WL-4002".to_owned(), ..exception(4, ONE_PERSON) };
    place.raise(std::slice::from_ref(&other)).await;
    let of_then = seen_until(&olga).await;
    let tried = Exception { kind: ExceptionKind::Retried, code: "WL-4001".to_owned(), ..other };
    let later = [tried, exception(5, ONE_PERSON)];
    place.raise(&later).await;
    let is_told = || place.console.exceptions.row(&later[0].exception_id).is_some_and(|row| row.code == "WL-4001");
    until("the one that was tried again is of this cause", is_told).await;
    let discard = [("comment", "sent twice"), ("seen_until", of_then.as_str())];
    let said = press(&olga, "discard", &discard).await.cookie("wardline-said=").unwrap();
    for part in ["3+discarded", "2+left+out", "WL-7113"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let count = |all| count(&place, all, ExceptionState::Discarded);
    assert_eq!((count(&seen), count(&later)), (3, 0));
    press(&olga, "discard", &discard).await.refused(409, "WL-7113");
    let body = json!({"comment": "sent twice", "seen_until": of_then});
    call(&place, "discard", body).await.refused(409, "WL-7113");
    // A program that does not say of when it means all of them.
    assert_eq!(sums(&call(&place, "discard", json!({"comment": "sent twice"})).await), (2, 0));
    assert_eq!(count(&later), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_of_many_the_first_are_told_one_by_one_and_all_are_counted() {
    let place = Place::start().await;
    let all: Vec<_> = (1..=1_200).map(|number| exception(number, TWO_PEOPLE)).collect();
    place.raise(&all).await;
    assert_eq!(sums(&call(&place, "comment", json!({"comment": "asked the buyer"})).await), (1_200, 0));
}
