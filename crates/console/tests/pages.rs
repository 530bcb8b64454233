//! Pages of numbers and of comparisons, and what a page shows while Kafka is away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{HASH, Place, TOKEN, exception};
use console::people::sha256_hex;
use console::{Console, ConsoleConfig, Listening, Role, Site, TokenConfig, UserConfig};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::until_found;

#[tokio::test(flavor = "multi_thread")]
async fn service_levels_and_activity_are_shown_to_whoever_may_look() {
    let place = Place::with(|config| config.service_levels = true).await;
    place.raise(&[exception(1, "supply.usage-enriched.v1")]).await;
    let viewer = place.browser("vic").await;
    let page = viewer.get("/service-levels").await;
    assert_eq!(page.status, 200, "{}", page.text);
    for level in schemas::topics::SERVICE_LEVELS {
        assert!(page.text.contains(level.name), "{}: {}", level.name, page.text);
    }
    let levels = place.call(Method::GET, "/api/v1/service-levels", None).await.json();
    assert_eq!(levels["alerts"], json!([]), "{levels}");
    assert!(levels["levels"].as_array().is_some_and(|all| all.len() == schemas::topics::SERVICE_LEVELS.len()));

    let page = viewer.get("/activity").await;
    assert!(page.text.contains("<polyline") && page.text.contains("waits in money"), "{}", page.text);
    let activity = place.call(Method::GET, "/api/v1/activity", None).await.json();
    let domains: Vec<&str> =
        activity["domains"].as_array().unwrap().iter().filter_map(|one| one["domain"].as_str()).collect();
    assert_eq!(domains, ["clinical", "supply", "erp", "partner"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_follows_no_service_levels_says_so() {
    let place = Place::with(|config| config.service_levels = false).await;
    let browser = place.browser("vic").await;
    for path in ["/service-levels", "/activity"] {
        browser.get(path).await.refused(404, "WL-7215");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_is_begun_by_an_operator_and_its_report_is_there_for_everybody() {
    let place = Place::start().await;
    let viewer = place.browser("vic").await;
    viewer.post("/reconciliation/run", &[]).await.refused(403, "WL-7125");
    let run = |body: Value| place.call(Method::POST, "/api/v1/reconciliation/run", Some(body));
    run(json!({"hours": 0})).await.refused(422, "WL-7131");
    run(json!({"hours": 169})).await.refused(422, "WL-7131");
    let begun = run(json!({"hours": 1, "raise": true})).await;
    assert_eq!(begun.json()["begun"], true, "{}", begun.text);
    let seen = until_found("the report of the comparison", async || {
        let seen = place.call(Method::GET, "/api/v1/reconciliation", None).await.json();
        assert_eq!(seen["failed"], Value::Null, "{seen}");
        seen["reports"].as_array().is_some_and(|reports| !reports.is_empty()).then_some(seen)
    })
    .await;
    assert_eq!(seen["underWay"], Value::Null);
    assert_eq!(seen["withoutErp"], "there is none");
    let report = &seen["reports"][0]["report"];
    assert_eq!((report["erp"].as_bool(), report["actor"].as_str()), (Some(false), Some("token:ci")), "{report}");
    let page = viewer.get("/reconciliation").await.text;
    assert!(page.contains("No differences") && page.contains("The ERP is not asked"), "{page}");
    assert!(!page.contains("/reconciliation/run"), "what one may not do is not offered");
    let audit = place.audited(|audit| audit.code == "reconcile.compared").await;
    assert_eq!(audit.actor.as_deref(), Some("token:ci"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_not_there_is_not_begun() {
    let place = Place::start().await;
    for step in ["apply", "resume", "pause", "abort"] {
        let path = format!("/api/v1/replay/none/{step}");
        place.call(Method::POST, &path, Some(json!({"comment": "c"}))).await.refused(404, "WL-7150");
    }
    let rate = place.call(Method::POST, "/api/v1/replay/none/apply", Some(json!({"rate": 0}))).await;
    rate.refused(422, "WL-7131");
}

#[test]
fn what_is_known_is_shown_soon_while_kafka_is_away() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(while_kafka_is_away());
    // Readings that wait for Kafka are not waited for here.
    runtime.shutdown_background();
}

async fn while_kafka_is_away() {
    let mut config = runtime::Config::default();
    // A port that nothing listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.kafka.bootstrap = free.to_string();
    config.registry.url = format!("http://{free}");
    config.operations.insert("sight".to_owned(), json!({"time_zone": "Asia/Kolkata"}));
    let token = TokenConfig { role: Role::Operator, sha256: sha256_hex(TOKEN.as_bytes()).into() };
    let user = UserConfig { role: Role::Viewer, password_hash: HASH.as_str().into() };
    let mut settings = ConsoleConfig {
        listen: "127.0.0.1:0".to_owned(),
        tokens: [("ci".to_owned(), token)].into(),
        users: [("vic".to_owned(), user)].into(),
        ..ConsoleConfig::default()
    };
    settings.bounds.part_timeout_ms = 300;
    settings.bounds.read_timeout_ms = 500;
    let (_trigger, stop) = runtime::shutdown();
    let site = Site { config: Arc::new(config), rooms: Vec::new(), health: None, erp: Err("there is none".to_owned()) };
    let console = Console::start(settings, site, &stop).unwrap();
    let listening = Listening::bind(Arc::clone(&console)).await.unwrap();
    let url = format!("http://{}/api/v1", listening.address());
    tokio::spawn(listening.serve(stop));
    let one = exception(1, "supply.usage-validated.v1");
    console.exceptions.preload([one.clone()], []);

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str| {
        let started = Instant::now();
        let answer = common::answer(client.get(format!("{url}{path}")).bearer_auth(TOKEN)).await;
        let (status, body) = (answer.status.as_u16(), answer.json());
        assert!(started.elapsed() < Duration::from_secs(5), "{path} took {:?}", started.elapsed());
        (status, body)
    };
    let (status, shown) = ask(&format!("/exceptions/{}", one.exception_id)).await;
    assert_eq!((status, shown["code"].as_str()), (200, Some("WL-4001")), "{shown}");
    // A page tells times where the installation stands, and what a program reads stays UTC.
    assert!(shown["raisedAt"].is_i64(), "{shown}");
    let page = format!("{}/exceptions/{}", url.trim_end_matches("/api/v1"), one.exception_id);
    let page = client.get(page).bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("\u{a0}+05:30</time>") && !page.contains("\u{a0}UTC</time>"), "{page}");
    let missing: Vec<&str> = shown["notRead"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(missing.len(), 2, "{shown}");
    assert!(missing[0].starts_with("its source: ") && missing[1].starts_with("its history: "), "{missing:?}");
    let (status, overview) = ask("/overview").await;
    assert_eq!((status, overview["causesInAll"].as_u64()), (200, Some(1)), "{overview}");
    let (status, problem) = ask("/trace?id=4711").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("WL-7210")), "{problem}");
}
