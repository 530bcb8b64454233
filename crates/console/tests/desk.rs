//! What operators see and do, over the wire: pages and the API are the same acts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{MESSAGE, Place, exception};
use console::routes::{API, Method as Way, ROUTES};
use reqwest::Method;
use runtime::outgoing::Outgoing;
use schemas::{Audit, AuditKind, ExceptionState, Timestamp, topics};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A flow whose events two people give up, and one where one person does.
const TWO_PEOPLE: &str = "clinical.supply-usage.v1";
const ONE_PERSON: &str = "supply.purchase-order.v1";

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_found_by_its_cause_and_retried() {
    let place = Place::start().await;
    let all: Vec<_> = (1..=3).map(|number| exception(number, ONE_PERSON)).collect();
    place.raise(&all).await;
    let id = &all[0].exception_id;
    let browser = place.browser("olga").await;
    let overview = browser.get("/").await;
    assert_eq!(overview.status, 200, "{}", overview.text);
    assert!(overview.text.contains("WL-4001") && overview.text.contains("master.item.v1/4711"), "{}", overview.text);
    let listed = browser.get("/exceptions?code=WL-4001&room=validate&subject=master.item.v1%2F4711").await;
    assert!(listed.text.contains("3</span>") || listed.text.contains("3 exceptions fit"), "{}", listed.text);
    assert!(listed.text.contains("Retry all"), "{}", listed.text);
    assert!(browser.get("/exceptions?room=enrich").await.text.contains("No exception fits."));

    let retried = browser.post(&format!("/exceptions/{id}/retry"), &[("comment", "the item is there now")]).await;
    assert_eq!(retried.status, 303, "{}", retried.text);
    assert_eq!(retried.header("location"), format!("/exceptions/{id}"));
    assert!(retried.cookie("wardline-said=").is_some(), "the next page says what was done");
    assert_eq!(place.console.exceptions.row(id).unwrap().state, ExceptionState::Retrying);
    let page = browser.get(&format!("/exceptions/{id}")).await;
    assert!(page.text.contains("the item is there now") && page.text.contains("retry requested"), "{}", page.text);
    let audit = place.audited(|audit| audit.code == "exception.retry").await;
    assert_eq!((audit.actor.as_deref(), audit.exception_id.as_ref()), (Some("olga"), Some(id)));

    let bulk =
        place.call(Method::POST, "/api/v1/causes/retry", Some(json!({"code": "WL-4001", "room": "validate"}))).await;
    assert_eq!(bulk.status, 200, "{}", bulk.text);
    assert_eq!(bulk.json()["done"].as_array().unwrap().len(), 3);
    place.audited(|audit| audit.actor.as_deref() == Some("token:ci")).await;
    let none = place.call(Method::POST, "/api/v1/causes/retry", Some(json!({"code": "WL-9999"}))).await;
    none.refused(404, "WL-7063");
}

/// What is retried at once is what the list shows, no more: also where it is narrowed to what one person has.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_person_is_retried_alone() {
    let place = Place::start().await;
    let all: Vec<_> = (1..=3).map(|number| exception(number, ONE_PERSON)).collect();
    place.raise(&all).await;
    let browser = place.browser("olga").await;
    browser.post(&format!("/exceptions/{}/assign", all[1].exception_id), &[("to", "oscar")]).await;
    let narrow = "code=WL-4001&room=validate&subject=master.item.v1%2F4711&assignee=oscar";
    let listed = browser.get(&format!("/exceptions?{narrow}")).await.text;
    assert!(listed.contains("<input type=\"hidden\" name=\"assignee\" value=\"oscar\">"), "{listed}");
    let fields = [
        ("code", "WL-4001"),
        ("room", "validate"),
        ("subject", "master.item.v1/4711"),
        ("assignee", "oscar"),
        ("comment", "mended"),
    ];
    let retried = browser.post("/causes/retry", &fields).await;
    assert_eq!(retried.header("location"), format!("/exceptions?{narrow}"), "the list is as narrow as before");
    let state = |number: usize| place.console.exceptions.row(&all[number].exception_id).unwrap().state;
    let states = [state(0), state(1), state(2)];
    assert_eq!(states, [ExceptionState::Open, ExceptionState::Retrying, ExceptionState::Open]);
    let nobody = json!({"code": "WL-4001", "assignee": "-"});
    let rest = place.call(Method::POST, "/api/v1/causes/retry", Some(nobody)).await;
    assert_eq!(rest.json()["done"].as_array().unwrap().len(), 2, "{}", rest.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_says_what_was_refused_and_leads_to_its_way() {
    let place = Place::start().await;
    let named = schemas::Exception { field_paths: vec!["PID[1]-3.1".to_owned()], ..exception(1, ONE_PERSON) };
    place.raise(std::slice::from_ref(&named)).await;
    let id = &named.exception_id;
    let browser = place.browser("olga").await;
    let page = browser.whole(&format!("/exceptions/{id}")).await.text;
    for said in [
        &format!("href=\"/trace?id={id}&amp;as=exception\"") as &str,
        "Add the item to the item master.",
        "PID[1]-3.1</span> Patient identifier list",
        "Master records used",
        "href=\"/topics/master.item.v1\"",
        "PID-5</span> Patient name",
        "<body data-live=\"5000\">",
    ] {
        assert!(page.contains(said), "{said} is not in {page}");
    }
    assert!(!page.contains("M1^^^"), "PHI-1: the value of a field that is blamed is masked too");
    let shown = browser.post(&format!("/exceptions/{id}/original"), &[("reason", "wrong patient at OR 3")]).await.text;
    assert!(shown.contains("M1^^^GENERAL^MR") && !shown.contains("data-live"), "shown once: {shown}");
    let call = place.call(Method::GET, &format!("/api/v1/exceptions/{id}"), None).await.json();
    assert_eq!(call["masters"][0]["topic"], "master.item.v1", "{call}");
    let (refused, terminal) =
        (browser.post(&format!("/exceptions/{id}/resolve"), &[("comment", "x")]).await, "wardline ");
    assert!(refused.text.contains("press Discard") && !refused.text.contains(terminal), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_narrowed_in_the_form_and_in_the_api() {
    let place = Place::start().await;
    place.raise(&[exception(1, ONE_PERSON)]).await;
    let id = exception(1, "").exception_id;
    let browser = place.browser("vic").await;
    let page = browser.whole(&format!("/trace?id={id}&as=exception&since=1h")).await.text;
    assert!(page.contains("<option value=\"exception\" selected>") && page.contains("value=\"1h\""), "{page}");
    assert!(page.contains("Found as exception"), "{page}");
    let as_lot = place.call(Method::GET, &format!("/api/v1/trace?id={id}&as=lot&since=1h"), None).await;
    assert_eq!(as_lot.json()["trace"]["steps"], json!([]), "an exception is no lot: {}", as_lot.text);
    for wrong in ["as=person", "since=yesterday"] {
        let call = place.call(Method::GET, &format!("/api/v1/trace?id={id}&{wrong}"), None).await;
        call.refused(422, "WL-7131");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_needs_a_second_person_where_the_flow_demands_it() {
    let place = Place::start().await;
    place.raise(&[exception(1, TWO_PEOPLE), exception(2, ONE_PERSON)]).await;
    let (grave, light) = (exception(1, "").exception_id, exception(2, "").exception_id);
    let (operator, approver) = (place.browser("olga").await, place.browser("anna").await);
    let state = |id: &str| place.console.exceptions.row(id).unwrap().state;

    let alone = operator.post(&format!("/exceptions/{light}/discard"), &[("comment", "sent twice")]).await;
    assert_eq!((alone.status.as_u16(), state(&light)), (303, ExceptionState::Discarded), "{}", alone.text);

    let asked = operator.post(&format!("/exceptions/{grave}/discard"), &[("comment", "sent twice")]).await;
    assert_eq!((asked.status.as_u16(), state(&grave)), (303, ExceptionState::Open), "{}", asked.text);
    let page = operator.get(&format!("/exceptions/{grave}")).await.text;
    assert!(page.contains("discard asked for") && !page.contains("approve-discard"), "{page}");
    let page = approver.get(&format!("/exceptions/{grave}")).await.text;
    assert!(page.contains("approve-discard"), "{page}");
    let agreed = approver.post(&format!("/exceptions/{grave}/approve-discard"), &[]).await;
    assert_eq!((agreed.status.as_u16(), state(&grave)), (303, ExceptionState::Discarded), "{}", agreed.text);

    let again = approver.post(&format!("/exceptions/{grave}/retry"), &[]).await;
    again.refused(409, "WL-7071");
    // One who asks does not agree with themselves, whatever the role.
    place.raise(&[exception(3, TWO_PEOPLE)]).await;
    let third = exception(3, "").exception_id;
    approver.post(&format!("/exceptions/{third}/discard"), &[("comment", "sent twice")]).await;
    let own = approver.post(&format!("/exceptions/{third}/approve-discard"), &[]).await;
    assert_eq!((own.status.as_u16(), state(&third)), (409, ExceptionState::Open), "{}", own.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn assigning_and_commenting_show_who_is_at_it() {
    let place = Place::start().await;
    place.raise(&[exception(1, ONE_PERSON)]).await;
    let id = exception(1, "").exception_id;
    let browser = place.browser("olga").await;
    browser.post(&format!("/exceptions/{id}/assign"), &[("to", "oscar")]).await;
    browser.post(&format!("/exceptions/{id}/comment"), &[("comment", "<b>asked</b> the buyer")]).await;
    assert_eq!(place.console.exceptions.row(&id).unwrap().assignee.as_deref(), Some("oscar"));
    let page = browser.get(&format!("/exceptions/{id}")).await.text;
    assert!(page.contains("&lt;b&gt;asked&lt;/b&gt; the buyer") && page.contains("oscar"), "{page}");
    assert!(browser.get("/exceptions?assignee=oscar").await.text.contains(&id));
    assert!(!browser.get("/exceptions?assignee=-").await.text.contains(&id));
    let call = place.call(Method::GET, &format!("/api/v1/exceptions/{id}"), None).await.json();
    assert_eq!(call["assignee"], "oscar");
    assert_eq!(call["source"]["is_masked"].as_bool().or(call["source"]["isMasked"].as_bool()), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn phi_1_a_source_is_masked_until_it_is_asked_for_with_a_reason_that_is_on_record() {
    let place = Place::start().await;
    place.raise(&[exception(1, ONE_PERSON)]).await;
    let id = exception(1, "").exception_id;
    let browser = place.browser("olga").await;
    let masked = browser.get(&format!("/exceptions/{id}")).await.text;
    assert!(masked.contains("PID-5") && !masked.contains("Abel"), "{masked}");
    let call = place.call(Method::GET, &format!("/api/v1/exceptions/{id}"), None).await.text;
    assert!(!call.contains("Abel") && call.contains("PID"), "{call}");
    browser.post(&format!("/exceptions/{id}/original"), &[]).await.refused(422, "WL-7131");
    browser.post(&format!("/exceptions/{id}/original"), &[("reason", "...")]).await.refused(422, "WL-7131");
    let shown = browser.post(&format!("/exceptions/{id}/original"), &[("reason", "wrong patient at OR 3")]).await;
    assert_eq!(shown.status, 200);
    assert!(shown.text.contains("Abel^Ada") && shown.text.contains("&lt;script&gt;alert(1)"), "{}", shown.text);
    assert!(!shown.text.contains("<script>alert"), "{}", shown.text);
    let audit = place.audited(|audit| audit.code == "show-original").await;
    assert_eq!((audit.actor.as_deref(), audit.exception_id.as_deref()), (Some("olga"), Some(id.as_str())));
    assert!(audit.detail.contains("wrong patient at OR 3") && !audit.detail.contains("Abel"), "{audit:?}");
    assert!(!browser.get(&format!("/exceptions/{id}")).await.text.contains("Abel"), "once is once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_and_shown() {
    let place = Place::start().await;
    let facts = [
        ("wl_room", "hl7v2"),
        ("wl_stage", "read"),
        ("wl_code", "WL-1001"),
        ("wl_reason", "no <header>"),
        ("wl_origin", "mllp 10.0.0.1"),
    ];
    let letter = Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(bytes::Bytes::from_static(MESSAGE)),
        headers: facts
            .map(|(name, text)| (Cow::Borrowed(name), Some(text.as_bytes().to_vec().into())))
            .into_iter()
            .collect(),
        ticket: None,
    };
    place.stack.publish_raw(&[letter]).await;
    let browser = place.browser("olga").await;
    let list = browser.get("/dead-letters").await.text;
    assert!(list.contains("no &lt;header&gt;") && list.contains("WL-1001"), "{list}");
    let id = common::between(&list, "href=\"/dead-letters/", "\"");
    let one = browser.get(&format!("/dead-letters/{id}")).await.text;
    assert!(one.contains("mllp 10.0.0.1") && !one.contains("Abel"), "{one}");
    let whole = browser.post(&format!("/dead-letters/{id}/original"), &[("reason", "the sender asks")]).await.text;
    assert!(whole.contains("Abel^Ada"), "{whole}");
    place.audited(|audit| audit.code == "show-original" && audit.origin_topic.is_some()).await;
    browser.get("/dead-letters/0@999").await.refused(404, "WL-7130");
    let audit = browser.get("/audit?actor=olga").await.text;
    assert!(audit.contains("the sender asks"), "{audit}");
}

/// A record of a topic that its room could not read.
fn unreadable(number: i64) -> Outgoing {
    let facts = [
        ("wl_room", "validate".to_owned()),
        ("wl_stage", "decode".to_owned()),
        ("wl_code", "WL-6001".to_owned()),
        ("wl_reason", format!("not read, {number}")),
        ("wl_topic", "clinical.supply-usage.v1".to_owned()),
        ("wl_partition", "1".to_owned()),
        ("wl_offset", number.to_string()),
    ];
    Outgoing {
        topic: Cow::Borrowed(topics::OPS_DEAD_LETTER_V1.name()),
        partition: Some(0),
        key: None,
        value: Some(bytes::Bytes::from_static(b"?")),
        headers: facts.map(|(name, text)| (Cow::Borrowed(name), Some(text.into_bytes().into()))).into_iter().collect(),
        ticket: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_leads_to_a_replay_and_is_settled_once() {
    let place = Place::start().await;
    place.stack.publish_raw(&[unreadable(7), unreadable(8)]).await;
    let browser = place.browser("olga").await;
    let page = browser.get("/dead-letters/0@0").await.text;
    let link = common::between(&page, "href=\"/replay?", "\"").replace("&amp;", "&");
    let form = browser.get(&format!("/replay?{link}")).await.text;
    for filled in [
        "name=\"room\" type=\"text\" maxlength=\"64\" value=\"validate\"",
        "value=\"clinical.supply-usage.v1\"",
        "name=\"partition\" type=\"number\" value=\"1\"",
        "name=\"from_offset\" type=\"number\" value=\"7\"",
        "name=\"to_offset\" type=\"number\" value=\"7\"",
        ">dead letter 0@0, WL-6001</textarea>",
    ] {
        assert!(form.contains(filled), "{filled}: {form}");
    }
    let one = place.call(Method::GET, "/api/v1/dead-letters/0@0", None).await.json();
    assert_eq!((&one["again"]["room"], &one["again"]["offset"]), (&"validate".into(), &7.into()), "{one}");

    browser.post("/dead-letters/0@0/settle", &[]).await.refused(422, "WL-7131");
    browser.post("/dead-letters/0@0/settle", &[("reason", "...")]).await.refused(422, "WL-1470");
    browser.post("/dead-letters/0@99/settle", &[("reason", "sent again")]).await.refused(404, "WL-7130");
    // Next to the patient two people settle it, and the second one may approve.
    assert_eq!(browser.post("/dead-letters/0@0/settle", &[("reason", "sent again")]).await.status, 303);
    let asked = place.audited(|audit| audit.code == "dead-letter.settle-request").await;
    assert_eq!((asked.actor.as_deref(), asked.detail.as_str()), (Some("olga"), "to be settled: sent again"));
    let (oscar, anna) = (place.browser("oscar").await, place.browser("anna").await);
    for who in [&browser, &oscar] {
        who.post("/dead-letters/0@0/settle", &[("reason", "it was")]).await.refused(409, "WL-1473");
        let page = who.get("/dead-letters/0@0").await.text;
        assert!(page.contains("asked to be settled by olga") && !page.contains("/settle\""), "{page}");
    }
    assert!(anna.get("/dead-letters/0@0").await.text.contains("/settle\""));
    assert_eq!(anna.post("/dead-letters/0@0/settle", &[("reason", "it was")]).await.status, 303);
    let audit = place.audited(|audit| audit.code == "dead-letter.settle").await;
    assert_eq!((audit.actor.as_deref(), audit.detail.as_str()), (Some("anna"), "settled: it was"));
    assert_eq!((audit.origin_partition, audit.origin_offset), (Some(0), Some(0)));
    browser.post("/dead-letters/0@0/settle", &[("reason", "me too")]).await.refused(409, "WL-1471");

    let reasons = |listed: serde_json::Value| {
        let letters = listed["letters"].as_array().unwrap().clone();
        letters.iter().map(|letter| letter["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let open = place.call(Method::GET, "/api/v1/dead-letters", None).await.json();
    assert_eq!((reasons(open.clone()), &open["settledKnown"]), (vec!["not read, 8".to_owned()], &true.into()));
    let all = place.call(Method::GET, "/api/v1/dead-letters?state=all", None).await.json();
    assert_eq!(reasons(all.clone()).len(), 2);
    let settled = all["letters"].as_array().unwrap().iter().find(|letter| letter["id"] == "0@0").unwrap();
    assert_eq!((&settled["settled"]["by"], &settled["asked"]["reason"]), (&"anna".into(), &"sent again".into()));
    let page = browser.get("/dead-letters/0@0").await.text;
    assert!(page.contains("sent again") && !page.contains("/settle\""), "nothing is offered twice: {page}");
    // Whoever starts later finds it on the topic.
    let config = &place.console.site.config;
    let codec = std::sync::Arc::new(runtime::codec::Codec::new(&config.registry).unwrap());
    let later = operations::dead_letters::Settlements::new(runtime::readers::Readers::new(&config.kafka), codec);
    let settled = later.look(std::time::Duration::from_secs(30)).await.unwrap();
    assert_eq!((settled.of((0, 0)).unwrap().by.as_str(), settled.of((0, 1)), settled.is_whole), ("anna", None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_did_is_found_behind_what_was_left_out() {
    const LEFT_OUT: i64 = 6_000;
    let place = Place::with(|config| config.bounds.page_rows = 2).await;
    let audit = |number: i64, kind: AuditKind, code: &str| Audit {
        room: "console".to_owned(),
        kind,
        code: code.to_owned(),
        at: Timestamp(1_772_323_200_000_000 + number),
        ..Audit::default()
    };
    let by_ada = |number: i64| Audit {
        actor: Some("Ada (as deploy)".to_owned()),
        exception_id: Some(format!("e{number}")),
        detail: format!("retry {number}"),
        ..audit(number, AuditKind::Action, "exception.retry")
    };
    let mut all: Vec<Audit> = (0..3).map(by_ada).collect();
    all.extend((3..LEFT_OUT).map(|number| audit(number, AuditKind::Dropped, "WL-3001")));
    place.stack.publish(&all).await;
    let browser = place.browser("olga").await;
    let page = browser.get("/audit?actor=ada&kind=ACTION").await.text;
    assert!(page.contains("retry 2") && page.contains("retry 1") && !page.contains("retry 0"), "{page}");
    assert!(page.contains("href=\"/exceptions/e2\""), "{page}");
    let older = common::between(&page, "rel=\"next\" href=\"", "\"").replace("&amp;", "&");
    let page = browser.get(&older).await.text;
    assert!(page.contains("retry 0") && !page.contains("retry 1") && page.contains("all that is on record"), "{page}");

    let call = |query: &str| format!("/api/v1/audit?{query}");
    let found = place.call(Method::GET, &call("actor=DEPLOY&exception=e1&from=2026-03-01"), None).await.json();
    assert_eq!((&found["records"][0]["detail"], &found["older"]), (&json!("retry 1"), &Value::Null));
    assert_eq!(found["records"].as_array().unwrap().len(), 1);
    for nothing in ["actor=ad", "until=2026-02-28", "code=discard&actor=ada", "room=cli"] {
        let found = place.call(Method::GET, &call(nothing), None).await.json();
        assert_eq!(found["records"], json!([]), "{nothing}");
    }
    let newest = place.call(Method::GET, &call("kind=DROPPED&code=3001"), None).await.json();
    assert_eq!(newest["records"][0]["at"], json!(1_772_323_200_000_000 + LEFT_OUT - 1));
    assert!(newest["older"].is_string() && newest["backToMs"].is_i64(), "{newest}");
    for wrong in ["from=yesterday", "older=x"] {
        place.call(Method::GET, &call(wrong), None).await.refused(422, "WL-7272");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_a_look_at_the_audit_ends_and_goes_on() {
    let place = Place::with(|config| config.bounds.audit_records_max = 50).await;
    let audit = |number: i64| Audit {
        room: "console".to_owned(),
        kind: if number == 0 { AuditKind::Action } else { AuditKind::Dropped },
        at: Timestamp(1_772_323_200_000_000 + number),
        ..Audit::default()
    };
    place.stack.publish(&(0..120).map(audit).collect::<Vec<_>>()).await;
    let (mut looks, mut query) = (0, "kind=ACTION".to_owned());
    loop {
        let found = place.call(Method::GET, &format!("/api/v1/audit?{query}"), None).await.json();
        looks += 1;
        assert!(found["lookedAt"].as_i64().is_some_and(|looked_at| looked_at <= 100) && looks < 10, "{found}");
        if found["records"].as_array().is_some_and(|records| !records.is_empty()) {
            break;
        }
        query = format!("kind=ACTION&older={}", found["older"].as_str().unwrap());
    }
    assert!(looks > 1, "the bound ended the first look");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_call_and_every_call_answers() {
    let place = Place::start().await;
    let document = place.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let asked = path.replace("{id}", "x").replace("{name}", "x").replace("{code}", "x");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let status = common::answer(place.request(method.clone(), &asked)).await.status.as_u16();
            let is_open = path.ends_with("openapi.json");
            assert_eq!(status, if is_open { 200 } else { 401 }, "{method} {path} is not routed");
        }
    }
    let routed = ROUTES.iter().filter(|route| route.api.is_some());
    for route in routed {
        let method = if route.method == Way::Get { "get" } else { "post" };
        let path = format!("{API}{}", route.api.unwrap());
        assert!(
            paths.get(&path).and_then(|methods| methods.get(method)).is_some(),
            "{method} {path} is not in the document"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_answer_within_100_ms_beside_many_exceptions() {
    const MANY: usize = 2_000;
    let place = Place::start().await;
    let all: Vec<_> = (1..=MANY).map(|number| exception(number, ONE_PERSON)).collect();
    place.raise(&all).await;
    let browser = place.browser("olga").await;
    for path in
        ["/", "/exceptions", "/exceptions?order=newest&page=40", "/topics", "/audit", "/dead-letters", "/api/v1/causes"]
    {
        // The first look may have to read from Kafka.
        let page =
            if path.starts_with("/api") { place.call(Method::GET, path, None).await } else { browser.get(path).await };
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            let page = if path.starts_with("/api") {
                place.call(Method::GET, path, None).await
            } else {
                browser.get(path).await
            };
            assert_eq!(page.status, 200);
            best = best.min(started.elapsed());
        }
        assert!(best < Duration::from_millis(100), "{path} takes {best:?}");
    }
    let total: Value = place.call(Method::GET, "/api/v1/exceptions", None).await.json();
    assert_eq!((total["total"].as_u64(), total["rows"].as_array().unwrap().len()), (Some(2_000), 50));
}
