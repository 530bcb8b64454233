//! The room on a broker and a registry: each record is one row or one dead letter, across restarts, leftovers of a
//! crash and a disk that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use parquet::file::reader::SerializedFileReader;
use parquet::record::RowAccessor;
use parquet::record::reader::RowIter;
use processor::laws::check_effects;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use schemas::{EnrichedUsage, EventMeta, MasterItem, topics};
use serde_json::json;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::stack::{Running, Stack};
use testkit::until;

/// A stack with a folder for rows and one publisher for everything.
struct Lake {
    stack: Stack,
    publisher: Publisher,
}

impl Lake {
    async fn start() -> Self {
        let mut stack = Stack::with(|config| config.limits.workers = 2).await;
        let folder = stack.dir.path().join("lake");
        stack.configure("analytics", json!({"directory": folder, "file_wait_ms": 200}));
        let written = [topics::SUPPLY_USAGE_ENRICHED_V1.info(), topics::MASTER_ITEM_V1.info()];
        let publisher = Publisher::connect(&stack.config, Arc::clone(&stack.codec), &written).await.unwrap();
        Self { stack, publisher }
    }

    async fn run(&self) -> Running {
        self.stack.run(vec![wardline_analytics::room()]).await
    }

    async fn publish(&self, numbers: std::ops::Range<usize>) {
        let records: Vec<Outgoing> = numbers
            .map(|number| {
                let meta = EventMeta { event_id: format!("e{number}"), ..EventMeta::default() };
                let usage =
                    EnrichedUsage { meta, encounter_ref: format!("enc_{}", number % 17), ..EnrichedUsage::default() };
                self.publisher.event(&usage, &Lineage::default()).unwrap()
            })
            .collect();
        self.publisher.publish(&records).await.unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.stack.dir.path().join("lake")
    }

    /// Waits until the lake holds exactly the usages with these numbers, each once.
    async fn until(&self, count: usize) {
        let expected: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
        let complete = || {
            let ids = ids(&self.folder().join("supply.usage-enriched.v1"));
            assert!(ids.len() <= count, "{} rows of {count} usages", ids.len());
            check_effects(expected.iter().map(String::as_str), ids.iter().map(String::as_str)).is_empty()
        };
        until("one row of each usage", complete).await;
    }

    async fn count(&self, topic: &str) -> usize {
        self.stack.records(topic).await.len()
    }
}

/// Event ids of all rows of a topic.
fn ids(topic: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    let Ok(partitions) = std::fs::read_dir(topic) else { return ids };
    for partition in partitions {
        for file in std::fs::read_dir(partition.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                continue;
            }
            // A file of the room may be renamed between the listing and the reading.
            let Ok(file) = SerializedFileReader::try_from(path.as_path()) else { continue };
            ids.extend(RowIter::from_file_into(Box::new(file)).map(|row| row.unwrap().get_string(3).unwrap().clone()));
        }
    }
    ids
}

/// LOSS-1, FX-1, RAW-1.
#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_one_row_or_one_dead_letter() {
    let lake = Lake::start().await;
    lake.publish(0..40).await;
    let bad = Outgoing {
        topic: Cow::Borrowed("supply.usage-enriched.v1"),
        partition: None,
        key: Some(b"enc_0".to_vec().into()),
        value: Some(vec![0xff].into()),
        headers: Vec::new(),
        ticket: None,
    };
    let deletion = Outgoing::tombstone("master.item.v1", None, b"GONE".to_vec());
    lake.publisher.publish(&[bad, deletion]).await.unwrap();
    let item = MasterItem { item_id: "I1".to_owned(), ..MasterItem::default() };
    let item = lake.publisher.event(&item, &Lineage::default()).unwrap();
    lake.publisher.publish(&[item]).await.unwrap();

    let running = lake.run().await;
    lake.until(40).await;
    lake.publish(40..60).await;
    lake.until(60).await;
    running.stop().await;
    assert_eq!(ids(&lake.folder().join("master.item.v1")).len(), 1);
    assert_eq!(lake.count("ops.dead-letter.v1").await, 1);

    // A process died after it had written a file and before it committed: the file goes, its records come again.
    let partition = lake.folder().join("supply.usage-enriched.v1/p0");
    let written = std::fs::read_dir(&partition).unwrap().next().unwrap().unwrap().path();
    let leftover = partition.join("00000000000000001000-00000000000000001001.parquet");
    std::fs::copy(&written, &leftover).unwrap();
    std::fs::write(partition.join(".unfinished-x.parquet"), b"half").unwrap();
    let running = lake.run().await;
    lake.publish(60..80).await;
    lake.until(80).await;
    assert!(!leftover.exists());

    // The disk goes away and comes back.
    let away = lake.stack.dir.path().join("away");
    std::fs::rename(lake.folder(), &away).unwrap();
    std::fs::write(lake.folder(), b"in the way").unwrap();
    lake.publish(80..100).await;
    until("a room that cannot write is not ready", || !running.health.is_ready()).await;
    std::fs::remove_file(lake.folder()).unwrap();
    std::fs::rename(&away, lake.folder()).unwrap();
    lake.until(100).await;
    assert_eq!(lake.count("ops.dead-letter.v1").await, 1);
    running.stop().await;
}
