//! What is decided here over master data takes its place among all that is read, and is not waited for without end (BND-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Place, exception};
use std::sync::Arc;
use testkit::stack::PATIENCE;
use tokio::sync::oneshot;

const FLOW: &str = "clinical.supply-usage.v1";

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_corrections_and_mappings_take_a_place_among_all_that_is_read() {
    let place = Place::with(|config| {
        config.bounds.reads_at_once = 1;
        config.bounds.read_timeout_ms = 500;
    })
    .await;
    place.raise(&[exception(1, FLOW)]).await;
    let id = exception(1, "").exception_id;
    let (olga, anna) = (place.browser("olga").await, place.browser("anna").await);
    let (end, ended) = oneshot::channel::<()>();
    let reads = Arc::clone(&place.console.desk.reads);
    reads.topics(ended).await.unwrap_err();

    let (correct, map) = (format!("/exceptions/{id}/correct"), format!("/exceptions/{id}/map"));
    let correction = [("field", "lot"), ("value", "17"), ("comment", "read from the label")];
    let mapping = [("to", "SUTURE"), ("comment", "old number")];
    for attempt in [olga.post(&correct, &correction).await, olga.post(&map, &mapping).await] {
        attempt.refused(503, "WL-7211");
    }
    anna.post(&format!("{map}/approve"), &[("seen", "m")]).await.refused(503, "WL-7211");

    end.send(()).unwrap();
    // With a place they are decided: this exception has a message of a sender, and no event with fields and codes.
    let decided = async {
        loop {
            let said = olga.post(&correct, &correction).await;
            if said.status.as_u16() != 503 {
                break said;
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, decided).await.expect("its place is not free again");
    said.refused(409, "WL-7242");
    let unclear = olga.post(&map, &mapping).await;
    unclear.refused(409, "WL-7245");
    assert!(unclear.text.contains("on the page of the mappings") && !unclear.text.contains("wardline crosswalk"));
    anna.post(&format!("{map}/approve"), &[("seen", "m")]).await.refused(409, "WL-7245");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_takes_long_says_so_at_once_and_then_shows_what_came_of_it() {
    let place = Place::with(|config| config.bounds.reads_at_once = 1).await;
    let browser = place.browser("olga").await;
    let (end, ended) = oneshot::channel::<()>();
    let reads = Arc::clone(&place.console.desk.reads);
    let held = tokio::spawn(async move { reads.topics(ended).await });
    // The only place is taken, so nothing can be read.
    let is_later = |text: &str| text.contains("id=\"later\"") && text.contains("<body data-live=\"400\">");
    loop {
        let first = browser.first("/audit").await;
        assert_eq!(first.status, 200, "{}", first.text);
        if is_later(&first.text) {
            break;
        }
        // It came before the place was taken.
        tokio::task::yield_now().await;
    }
    let (whole, ()) = tokio::join!(browser.get("/audit"), async { end.send(()).unwrap() });
    assert!(whole.status == 200 && !is_later(&whole.text) && whole.text.contains("Audit"), "{}", whole.text);
    held.await.unwrap().unwrap().unwrap();
}
