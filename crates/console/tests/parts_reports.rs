//! Reports of reconciliation: from one time to another, as files, and still there after a restart of the console.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::Place;
use operations::reconcile::fact::Spot;
use operations::reconcile::{Difference, Kept, Kind, Part, Proposal, Report, items};
use reqwest::Method;
use schemas::{Audit, Timestamp};
use serde_json::{Value, json};
use testkit::stack::Stack;
use testkit::until_found;

/// From one time to another, as a file in each form, and still there when another console looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_downloaded_and_outlives_the_console_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let block = json!({"reports_dir": folder.path()});
    let stack = Stack::with(|config| {
        config.operations.insert("reconcile".to_owned(), block);
    });
    let place = Place::over(stack.await, |_| ()).await;
    let run = |body: Value| place.call(Method::POST, "/api/v1/reconciliation/run", Some(body));
    let (from, until) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    for wrong in [
        json!({"from_time": until, "until_time": from}),
        json!({"from_time": "yesterday"}),
        json!({"until_time": until}),
        json!({"from_time": from, "hours": 2}),
        json!({"from_time": "2025-11-01T00:00:00Z", "until_time": until}),
        json!({"from_time": "2999-01-01T00:00:00Z"}),
    ] {
        run(wrong).await.refused(422, "WL-7131");
    }
    let begun = run(json!({"from_time": from, "until_time": until})).await;
    assert_eq!(begun.json()["begun"], true, "{}", begun.text);
    let seen = until_found("the report is kept", async || {
        let seen = place.call(Method::GET, "/api/v1/reconciliation", None).await.json();
        seen["kept"]["reports"].as_array().is_some_and(|kept| !kept.is_empty()).then_some(seen)
    })
    .await;
    let kept = &seen["kept"]["reports"][0];
    let hours = (kept["window"]["untilMs"].as_i64().unwrap() - kept["window"]["fromMs"].as_i64().unwrap()) / 3_600_000;
    assert_eq!((hours, &kept["actor"], &kept["everyS"]), (24, &json!("token:ci"), &Value::Null), "{kept}");
    let id = kept["id"].as_str().unwrap().to_owned();

    // One that goes on for ever has compared since.
    let reports = Kept::of(&place.stack.config).unwrap().unwrap();
    let first = reports.read(&id).unwrap();
    let later = Report { every_s: Some(900), at_ms: first.at_ms + 1, actor: "steward".to_owned(), ..first };
    let newest = reports.keep(&later).unwrap();

    let Place { stack, .. } = place;
    let place = Place::over(stack, |_| ()).await;
    let viewer = place.browser("vic").await;
    let page = viewer.get("/reconciliation").await.text;
    assert!(page.contains("This process has not compared anything") && page.contains("every 15 min"), "{page}");
    for (form, says) in [("html", "Signature"), ("md", "| Checked by | Date | Signature |"), ("json", "\"actor\"")] {
        for id in [&id, &newest] {
            let file = viewer.get(&format!("/reconciliation/report?id={id}&form={form}")).await;
            assert_eq!(file.status, 200, "{}", file.text);
            let named = file.headers["content-disposition"].to_str().unwrap().to_owned();
            assert_eq!(named, format!("attachment; filename=\"reconcile-{id}.{form}\""));
            assert!(file.text.contains(says), "{}", file.text);
        }
    }
    viewer.get("/reconciliation/report?id=../../secret&form=json").await.refused(404, "WL-7281");
    place.get(&format!("/api/v1/reconciliation/report?id={id}&form=json")).await.refused(401, "WL-7122");
}

/// The page of a work item plans the replay that mends it, for whoever may act.
#[tokio::test(flavor = "multi_thread")]
async fn a_work_item_has_the_form_of_the_replay_that_mends_it() {
    let place = Place::start().await;
    let spot = Spot::new("supply.usage-enriched.v1", 2, 17).unwrap();
    let doubt = Difference::new(Kind::InDoubt, Part::Erp, "wl-1", 5, "nobody knows".to_owned())
        .replay(Proposal::again("erp-post", spot), str::to_owned);
    let gone = Difference::new(Kind::Missing, Part::Erp, "wl-2", 5, "it is gone".to_owned()).next("book it by hand");
    place.raise(&[items::item(&doubt, 1_000), items::item(&gone, 1_000)]).await;
    let (olga, vic) = (place.browser("olga").await, place.browser("vic").await);
    let path = format!("/exceptions/{}", doubt.id);
    let page = olga.get(&path).await.text;
    for hidden in [
        r#"action="/replay/plan""#,
        r#"name="room" value="erp-post""#,
        r#"name="topic" value="supply.usage-enriched.v1""#,
        r#"name="partition" value="2""#,
        r#"name="from_offset" value="17""#,
        r#"name="to_offset" value="17""#,
        "wardline replay plan erp-post",
    ] {
        assert!(page.contains(hidden), "{hidden} is not on {page}");
    }
    assert!(!vic.get(&path).await.text.contains("/replay/plan"), "who only looks plans nothing");
    let by_hand = olga.get(&format!("/exceptions/{}", gone.id)).await.text;
    assert!(by_hand.contains("book it by hand") && !by_hand.contains("/replay/plan"), "{by_hand}");
    // The form is understood; this console knows no such room.
    let mut fields: Vec<(&str, String)> = Proposal::again("erp-post", spot).fields();
    fields.push(("reason", "the answer was lost".to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let planned = olga.post("/replay/plan", &fields).await;
    assert!(planned.text.contains("erp-post") && !planned.text.contains("WL-7131"), "{}", planned.text);
}

/// What comparisons of versions came to is listed from the audit, as text, whoever put it there.
#[tokio::test(flavor = "multi_thread")]
async fn earlier_comparisons_of_versions_are_on_their_page() {
    let place = Place::start().await;
    let audit = |detail: &str| Audit {
        room: console::ROOM.to_owned(),
        code: "replay.shadowed".to_owned(),
        detail: detail.to_owned(),
        actor: Some("olga".to_owned()),
        at: Timestamp(1_000_000),
        ..Audit::default()
    };
    let said = "version 0.0.9 of enrich over 20 records of supply.usage-validated.v1; 16 the same; money 40 EUR -> 44 EUR (+4)";
    let hostile = "comparison 1-3: <script>alert(1)</script>";
    place.stack.publish(&[audit(&format!("comparison 1-2: {said}")), audit(hostile)]).await;
    let vic = place.browser("vic").await;
    let page = until_found("both are listed", async || {
        let page = vic.get("/replay/shadow").await.text;
        (page.contains("data-row=\"1-2\"") && page.contains("data-row=\"1-3\"")).then_some(page)
    })
    .await;
    assert!(page.contains(&said.replace('>', "&gt;")) && page.contains("olga"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
}
