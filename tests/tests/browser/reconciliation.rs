//! A comparison is asked for, given up, made, read, and what it finds becomes work.

use super::looks::seen;
use super::sign_in;
use connector::erp::{
    Allocation, Booked, BookedLine, BookedPage, BookedQuery, ChangePage, Cursor, Document, Erp, ErpFuture, Lookup,
    Movement, MovementQuery, Posted, Posting, Stream,
};
use jiff::{SignedDuration, Timestamp};
use schemas::{Decimal, Exception};
use serde_json::json;
use std::sync::Arc;
use testkit::stack::Stack;
use tokio::sync::Semaphore;
use wardline_tests::browser::Browser;
use wardline_tests::desk::Desk;

/// Nobody at Wardline has made it.
const DOCUMENT: &str = "wl-made-by-hand";

/// An ERP with one document that nobody here has asked for. It answers so often as it is let.
struct SlowErp {
    answers: Arc<Semaphore>,
}

impl Erp for SlowErp {
    fn booked<'a>(&'a self, query: &'a BookedQuery, _: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
        Box::pin(async move {
            self.answers.acquire().await.unwrap().forget();
            let of_window = matches!(query, BookedQuery::Made { .. });
            Ok(BookedPage { documents: of_window.then(document).into_iter().collect(), next: None })
        })
    }

    fn post<'a>(&'a self, _: &'a Posting) -> ErpFuture<'a, Posted> {
        panic!("a comparison posts nothing")
    }

    fn find<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Lookup> {
        panic!("a comparison looks nothing up")
    }

    fn resume<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: bool) -> ErpFuture<'a, Lookup> {
        panic!("a comparison resumes nothing")
    }

    fn stock_movements<'a>(&'a self, _: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
        panic!("a comparison asks for documents")
    }

    fn allocations<'a>(&'a self, _: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
        panic!("a comparison asks for documents")
    }

    fn changes<'a>(&'a self, _: Stream, _: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
        panic!("a comparison reads no master data")
    }
}

fn document() -> Booked {
    Booked {
        document_key: DOCUMENT.to_owned(),
        document: Document {
            kind: "stock.shipment.internal".to_owned(),
            id: "17".to_owned(),
            number: Some("SH-17".to_owned()),
            state: "done".to_owned(),
        },
        made_at: Timestamp::now() - SignedDuration::from_mins(30),
        finished: true,
        lines: vec![BookedLine {
            item: "71-400101".to_owned(),
            lot: None,
            stock_location: "OR1".to_owned(),
            quantity: Decimal::from(2),
        }],
        costs: vec![Allocation { cost_centre: "CC-OR".to_owned(), amount: Decimal::new(470, 2) }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_is_given_up_and_made_and_its_differences_become_work() {
    // What waits longer than a moment is told at once.
    let stack = Stack::with(|config| {
        let budget = &mut config.limits.wait_budget_ms;
        (budget.patient_adjacent, budget.operational, budget.analytical) = (0, 0, 0);
    })
    .await;
    let answers = Arc::new(Semaphore::new(0));
    let erp = SlowErp { answers: Arc::clone(&answers) };
    let desk = Desk::over(stack, Ok(Arc::new(erp)), |_| ()).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    sign_in(&desk, &tab, "olga").await;
    tab.open(&format!("{}/reconciliation", desk.url)).await;
    tab.reads("This process has not compared anything").await;
    tab.fill("form[action$='/reconciliation/run'] [name=hours]", "200").await;
    tab.click("form[action$='/reconciliation/run'] button").await;
    tab.reads("hours must be 1 to 168").await;
    tab.click("main a[href='/reconciliation']").await;

    tab.click("form[action$='/reconciliation/run'] button").await;
    tab.reads("A comparison is under way").await;
    let shown = desk.until_api("/reconciliation", |shown| shown["underWay"]["by"] == "olga").await;
    assert_eq!(shown["reports"], json!([]));
    let mut bad = seen(&tab, "a comparison under way").await;
    tab.click("form[action$='/reconciliation/give-up'] button").await;
    tab.reads("It ends as soon as it can.").await;
    answers.add_permits(1);
    tab.reads("has no report").await;
    let shown = desk.until_api("/reconciliation", |shown| shown["underWay"].is_null()).await;
    assert_eq!((&shown["failed"]["by"], &shown["reports"]), (&json!("olga"), &json!([])), "{shown:#}");
    assert!(desk.stack.events::<Exception>().await.is_empty(), "what was given up makes no work");
    bad.extend(seen(&tab, "a comparison that was given up").await);

    answers.add_permits(100);
    tab.fill("form[action$='/reconciliation/run'] [name=hours]", "2").await;
    tab.tick("form[action$='/reconciliation/run'] [name=raise]").await;
    tab.click("form[action$='/reconciliation/run'] button").await;
    tab.reads("The newest report").await;
    tab.reads(DOCUMENT).await;
    let shown = desk.until_api("/reconciliation", |shown| shown["reports"][0]["raised"]["raised"] == 1).await;
    let report = &shown["reports"][0]["report"];
    let (difference, window) = (&report["differences"][0], &report["window"]);
    assert_eq!((&difference["code"], &report["documents"]), (&json!("WL-7178"), &json!(1)), "{report:#}");
    let hours = (window["untilMs"].as_i64().unwrap() - window["fromMs"].as_i64().unwrap()) / 3_600_000;
    assert_eq!((hours, &report["actor"]), (2, &json!("olga")));
    desk.audited("the comparison is on record", |audit| {
        audit.code == "reconcile.compared" && audit.actor.as_deref() == Some("olga")
    })
    .await;
    let items = desk.stack.until::<Exception>("a work item", |items| !items.is_empty()).await;
    let item = items.iter().find(|item| item.code == "WL-7178").unwrap();
    assert_eq!((item.room.as_str(), Some(item.exception_id.as_str())), ("reconcile", difference["id"].as_str()));
    bad.extend(seen(&tab, "a comparison with a report").await);
    tab.until(&format!("document.querySelector('main a[href=\"/exceptions/{}\"]')", item.exception_id)).await;
    tab.click(&format!("main a[href='/exceptions/{}']", item.exception_id)).await;
    tab.reads("Mark as settled").await;
    assert_eq!(bad, Vec::<String>::new());
    tab.close().await;
    browser.end().await;
}
