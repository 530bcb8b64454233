//! Many callers at once.

use crate::support::{Caller, SUTURE, line, posting, start};
use futures_of::all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

mod futures_of {
    /// Runs all at the same time.
    pub async fn all<T: Send + 'static>(works: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
        let running: Vec<_> = works.into_iter().map(tokio::spawn).collect();
        let mut done = Vec::new();
        for work in running {
            done.push(work.await.unwrap());
        }
        done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fx_1_the_same_key_from_many_at_once_is_one_document() {
    let server = start(None);
    for round in 0..20 {
        let asked = posting(&format!("k{round}"), vec![line("a", SUTURE, None, "1")]);
        let works = (0..8).map(|_| {
            let (caller, asked) = (Caller::new(&server.url()), asked.clone());
            async move { caller.posted(&asked).await }
        });
        let answers = all(works.collect()).await;
        assert!(answers.iter().all(|answer| answer["documents"] == answers[0]["documents"]));
        assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1);
    }
    let caller = Caller::new(&server.url());
    assert_eq!(caller.moves("k").await.len(), 20);
    assert_eq!(caller.level(SUTURE, "OR1").await, 49_980.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_piece_goes_to_one() {
    let server = start(None);
    let caller = Caller::new(&server.url());
    let count = json!({"key": "c", "lines": [{"item": SUTURE, "location": "OR1", "quantity": "3"}]});
    assert_eq!(caller.call(reqwest::Method::POST, "counts", count).await.0, 204);
    let works = (0..12).map(|index| {
        let caller = caller.clone();
        async move { caller.post(&posting(&format!("k{index}"), vec![line("a", SUTURE, None, "1")])).await.0.as_u16() }
    });
    let mut statuses = all(works.collect()).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[201; 3].as_slice(), [422; 9].as_slice()].concat());
    assert_eq!(caller.level(SUTURE, "OR1").await, 0.0);
}

/// Whoever follows the feed while others write ends with what is in the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_misses_nothing_under_concurrent_writes() {
    const WRITERS: usize = 4;
    const WRITES: usize = 60;
    let server = start(None);
    let writers = (0..WRITERS).map(|writer| {
        let caller = Caller::new(&server.url());
        async move {
            for write in 0..WRITES {
                // Half of the keys are shared by all writers.
                let owner = if write % 2 == 0 { "all".to_owned() } else { writer.to_string() };
                let name = format!("{writer} wrote {write}");
                caller.put(&format!("items/F-{owner}-{}", write % 10), json!({"name": name, "uom": "EA"})).await;
            }
        }
    });
    let writing = tokio::spawn(all(writers.collect()));
    let caller = Caller::new(&server.url());
    let (mut known, mut after, mut last) = (BTreeMap::new(), 0, false);
    let followed = async {
        loop {
            let page = caller.get(&format!("changes?stream=items&after={after}&limit=3")).await;
            for change in page["changes"].as_array().unwrap() {
                assert!(change["seq"].as_i64().unwrap() > after);
                after = change["seq"].as_i64().unwrap();
                known.insert(change["key"].as_str().unwrap().to_owned(), change["body"]["name"].clone());
            }
            if page["more"] == false && last {
                return;
            }
            last = page["more"] == false && writing.is_finished();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), followed).await.unwrap();
    let written: Vec<&String> = known.keys().filter(|key| key.starts_with("F-")).collect();
    assert_eq!(written.len(), 5 + WRITERS * 5);
    for key in written {
        let body: Value = caller.get(&format!("items/{key}")).await;
        assert_eq!(body["name"], known[key], "{key}");
    }
}
