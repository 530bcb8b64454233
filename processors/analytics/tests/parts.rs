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
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::stack::{Running, Stack};
use testkit::until;
use wardline_analytics::AnalyticsConfig;

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
        let expected: Vec<String> = (0..count).map(|number| id_of(number, &AnalyticsConfig::default())).collect();
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

/// What a row says as the id of the usage with this number.
fn id_of(number: usize, config: &AnalyticsConfig) -> String {
    wardline_analytics::token(config, "eventId", &format!("e{number}")).unwrap()
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

/// Rows of a topic by partition and offset, each with its event id and the token of its visit.
type Rows = BTreeMap<(i32, i64), (String, String)>;

/// The rows of a topic, and how many of them are there more than once.
fn rows(topic: &Path) -> (Rows, usize) {
    let (mut rows, mut twice) = (Rows::new(), 0);
    for path in files(topic) {
        // A file of the room may be renamed between the listing and the reading.
        let Ok(file) = SerializedFileReader::try_from(path.as_path()) else { continue };
        for row in RowIter::from_file_into(Box::new(file)).map(Result::unwrap) {
            let place = (row.get_int(1).unwrap(), row.get_long(2).unwrap());
            let token = row.get_column_iter().find(|(name, _)| *name == "encounter_ref").unwrap().1.to_string();
            twice += usize::from(rows.insert(place, (row.get_string(3).unwrap().clone(), token)).is_some());
        }
    }
    (rows, twice)
}

/// Finished files of a topic.
fn files(topic: &Path) -> Vec<PathBuf> {
    let inside =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let files = inside(topic).into_iter().flat_map(|partition| inside(&partition));
    files.filter(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))).collect()
}

/// FX-1: what is loaded again takes the place of what was there, also from the middle of a file on, and nothing is there twice;
/// a file that a member has left which was thrown out of the group while it wrote is no second row either.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_what_is_loaded_again_replaces_rows_and_doubles_none() {
    let mut lake = Lake::start().await;
    let topic = lake.folder().join("supply.usage-enriched.v1");
    lake.publish(0..60).await;
    let running = lake.run().await;
    lake.until(60).await;
    running.stop().await;
    let (before, twice) = rows(&topic);
    assert_eq!((before.len(), twice), (60, 0));

    // Each partition goes on in its middle.
    let mut wanted: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for (partition, offset) in before.keys().copied() {
        let offsets: Vec<i64> = before.keys().filter(|key| key.0 == partition).map(|key| key.1).collect();
        if offsets.len() > 1 && offsets[offsets.len() / 2] == offset {
            wanted.insert(("supply.usage-enriched.v1".to_owned(), partition), offset);
        }
    }
    assert!(wanted.len() > 1, "{wanted:?}");
    let from = |partition: i32| wanted.get(&("supply.usage-enriched.v1".to_owned(), partition)).copied();
    let kafka = lake.stack.config.kafka.clone();
    let positions = wanted.clone();
    tokio::task::spawn_blocking(move || runtime::groups::set_positions(&kafka, "analytics", &positions).unwrap())
        .await
        .unwrap();
    // The same rows once more, under a name that begins within a file.
    let whole = files(&topic).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let name = whole.file_name().unwrap().to_string_lossy().into_owned();
    let (first, last) = name.trim_end_matches(".parquet").split_once('-').unwrap();
    let (first, last): (i64, i64) = (first.parse().unwrap(), last.parse().unwrap());
    std::fs::copy(&whole, whole.with_file_name(format!("{first:020}-{:020}.parquet", last + 1))).unwrap();

    // Rows that are written anew are told by their tokens.
    let block = json!({"directory": lake.folder(), "file_wait_ms": 200, "purpose": "second"});
    lake.stack.configure("analytics", block);
    let running = lake.run().await;
    let anew = |(place, (_, token)): (&(i32, i64), &(String, String))| {
        (before[place].1 != *token) == from(place.0).is_some_and(|from| place.1 >= from)
    };
    until("new rows from the places on", || {
        let (now, _) = rows(&topic);
        now.len() == before.len() && now.iter().all(anew)
    })
    .await;
    running.stop().await;
    let (after, twice) = rows(&topic);
    assert_eq!(twice, 0, "no row is there twice");
    let second = AnalyticsConfig { purpose: "second".to_owned(), ..AnalyticsConfig::default() };
    let of_first: BTreeMap<String, String> =
        (0..60).map(|number| (id_of(number, &second), id_of(number, &AnalyticsConfig::default()))).collect();
    let ids =
        |rows: &Rows| -> Vec<String> { rows.values().map(|(id, _)| of_first.get(id).unwrap_or(id).clone()).collect() };
    assert_eq!(ids(&after), ids(&before), "the same events at the same places");
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
