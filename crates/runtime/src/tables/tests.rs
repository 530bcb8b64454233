//! Snapshots against what breaks them: the table is always that of the topic.

use super::*;
use crate::clock::now_micros;
use crate::config::Config;
use crate::record::Place;
use crate::shutdown::{ShutdownTrigger, shutdown};
use processor::Table;
use schemas::{Event as _, MasterItem};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

const PARTITIONS: i32 = 2;

/// A compacted topic. What is not there any more is left out.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Record>>>);

struct LogReader {
    log: Log,
    next: Mutex<BTreeMap<i32, i64>>,
    told: Mutex<HashSet<i32>>,
}

/// A room with its table.
struct Started {
    table: Table<MasterItem>,
    reader: TableReader<LogReader>,
    trigger: ShutdownTrigger,
    _runtime: tokio::runtime::Runtime,
}

impl Log {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap()
    }

    fn put(&self, key: &str, revision: Option<&str>) {
        self.put_as(1, key, revision);
    }

    /// With a schema of this id.
    fn put_as(&self, id: u32, key: &str, revision: Option<&str>) {
        let partition = i32::from(key.as_bytes()[0] % 2);
        let offset = self.records().iter().filter(|record| record.place.partition == partition).count();
        let value = revision.map(|revision| {
            let mut value = Vec::new();
            schemas::codec::encode(&item(key, revision), id, &mut value).unwrap();
            value
        });
        let place =
            Place { topic: Arc::from(MasterItem::topic().name), partition, offset: i64::try_from(offset).unwrap() };
        let key = Some(key.as_bytes().to_vec());
        self.records().push(Record {
            place,
            timestamp_ms: Some(7),
            key: key.map(Into::into),
            value: value.map(Into::into),
            headers: Vec::new(),
        });
    }
}

impl LogReader {
    fn new(log: &Log) -> Self {
        Self { log: log.clone(), next: Mutex::default(), told: Mutex::default() }
    }
}

impl PartitionReader for LogReader {
    type Message<'a> = Record;

    fn partitions(&self, _: &str) -> Result<Vec<i32>, ClientError> {
        Ok((0..PARTITIONS).collect())
    }

    fn assign(&self, _: &str, partitions: &[(i32, Option<i64>)]) -> Result<(), ClientError> {
        *self.next.lock().unwrap() =
            partitions.iter().map(|(partition, from)| (*partition, from.unwrap_or(0))).collect();
        self.told.lock().unwrap().clear();
        Ok(())
    }

    fn poll(&self, _: Duration) -> Polled<Record> {
        for (partition, next) in &mut *self.next.lock().unwrap() {
            let records = self.log.records();
            let ahead = |record: &&Record| record.place.partition == *partition && record.place.offset >= *next;
            if let Some(record) = records.iter().find(ahead) {
                *next = record.place.offset + 1;
                return Polled::Record(record.clone());
            }
            if self.told.lock().unwrap().insert(*partition) {
                return Polled::End(*partition);
            }
        }
        Polled::Nothing
    }
}

impl Started {
    fn new(log: &Log, keeping: Option<Keeping>, rows_max: usize) -> Self {
        let table = Table::new(&[("description", |item: &MasterItem| vec![item.description.clone()])], rows_max);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (trigger, stop) = shutdown();
        let reader = LogReader::new(log);
        let filler = Filler {
            feed: Arc::new(table.clone()),
            codec: Arc::new(Codec::fixed(&[(MasterItem::topic(), 1)]).unwrap()),
            listeners: vec![WakeInbox::default()],
            handle: runtime.handle().clone(),
            behind: HashSet::new(),
            unproved: BTreeMap::new(),
            keeper: None,
            caught_up: None,
        };
        let (log, partitions, next) = (log.clone(), (0..PARTITIONS).collect(), BTreeMap::new());
        let settling: Option<Opening<LogReader>> = Some(Box::new(move || Ok(LogReader::new(&log))));
        let mut reader = TableReader { reader, partitions, filler, stop, waiting: None, next, settling };
        reader.assign().unwrap();
        if let Some(keeping) = keeping {
            reader.keep(keeping).unwrap();
        }
        let mut started = Self { table, reader, trigger, _runtime: runtime };
        started.read_on();
        started
    }

    fn read_on(&mut self) {
        // Until nothing has come twice: what starts over has more to read.
        let mut quiet = 0;
        while quiet < 2 || !self.reader.is_caught_up() {
            match self.reader.turn(Duration::ZERO).unwrap() {
                Next::Within(Duration::ZERO) => quiet = 0,
                _ => quiet += 1,
            }
        }
    }

    fn stop(mut self) {
        self.trigger.stop();
        assert_eq!(self.reader.turn(Duration::ZERO).unwrap(), Next::Ended);
    }

    fn rows(&self) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        let mut keys = Vec::new();
        self.table.each_alike(&[], |key, _| keys.push(key.to_owned()));
        for item in keys.iter().filter_map(|key| self.table.get(key)) {
            rows.insert(item.item_id.clone(), item.description.clone());
        }
        assert_eq!(rows.len(), self.table.rows());
        for (key, description) in &rows {
            assert!(self.table.find("description", description).iter().any(|item| item.item_id == *key));
        }
        rows
    }
}

fn item(key: &str, revision: &str) -> MasterItem {
    MasterItem { item_id: key.to_owned(), description: revision.to_owned(), ..MasterItem::default() }
}

fn keeping(dir: &Path) -> Keeping {
    let mut config = Config::default();
    config.tables.snapshot_dir = Some(dir.to_owned());
    Keeping::of(&config, "room").unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wardline-tables-{}-{name}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn snapshot(dir: &Path) -> PathBuf {
    dir.join(format!("room.{}.table", MasterItem::topic().name))
}

/// A topic, and a snapshot of its beginning.
fn with_snapshot(name: &str) -> (Log, PathBuf) {
    let (log, dir) = (Log::default(), folder(name));
    for (key, revision) in [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("a", "2")] {
        log.put(key, Some(revision));
    }
    log.put("b", None);
    Started::new(&log, Some(keeping(&dir)), 100).stop();
    assert!(snapshot(&dir).is_file());
    (log, dir)
}

/// A start with the snapshots of the folder gives what a start without gives. Says how many rows the snapshot alone gave.
#[track_caller]
fn same_as_topic(log: &Log, dir: &Path) -> usize {
    let truth = Started::new(log, None, 100).rows();
    let mut keeper = Keeper::new(keeping(dir), MasterItem::topic().name);
    let table = Table::<MasterItem>::new(&[], 100);
    let proofs = keeper.load(&table, &[0, 1]);
    assert_eq!(proofs.is_empty(), table.rows() == 0);
    assert_eq!(Started::new(log, Some(keeping(dir)), 100).rows(), truth);
    table.rows()
}

#[test]
fn loss_1_the_reader_for_what_is_to_come_goes_on_where_the_first_one_stood() {
    let log = Log::default();
    log.put("a", Some("1"));
    log.put("a", Some("2"));
    let mut started = Started::new(&log, None, 100);
    assert!(started.reader.settling.is_none());
    // Of a partition that had nothing it reads everything.
    assert_eq!(*started.reader.reader.next.lock().unwrap(), BTreeMap::from([(0, 0), (1, 2)]));
    log.put("a", Some("3"));
    log.put("b", Some("1"));
    started.read_on();
    let rows = [("a", "3"), ("b", "1")].map(|(key, revision)| (key.to_owned(), revision.to_owned()));
    assert_eq!(started.rows(), BTreeMap::from(rows));
}

#[test]
fn a_table_whose_second_reader_cannot_be_opened_keeps_the_first() {
    let log = Log::default();
    log.put("a", Some("1"));
    let mut started = Started::new(&log, None, 100);
    started.reader.settling = Some(Box::new(|| Err(ClientError::Delivery("no more threads".to_owned()))));
    log.put("a", Some("2"));
    started.read_on();
    assert!(started.reader.settling.is_none());
    assert_eq!(started.rows(), BTreeMap::from([("a".to_owned(), "2".to_owned())]));
}

#[test]
fn a_snapshot_and_the_tail_are_the_topic() {
    let (log, dir) = with_snapshot("tail");
    log.put("c", Some("9"));
    log.put("d", None);
    log.put("e", Some("9"));
    assert_eq!(same_as_topic(&log, &dir), 3);
    let rows = Started::new(&log, Some(keeping(&dir)), 100).rows();
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["a", "c", "e"]);
}

#[test]
fn every_flipped_bit_and_every_cut_leaves_the_table_that_of_the_topic() {
    let (log, dir) = with_snapshot("flips");
    log.put("c", Some("9"));
    let whole = std::fs::read(snapshot(&dir)).unwrap();
    let refused =
        |bytes: &[u8]| file::read_from(bytes, u64::try_from(bytes.len()).unwrap(), |_| Ok(()), |_| Ok(())).is_err();
    assert!(!refused(&whole));
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(refused(&flipped), "bit {} of byte {place}", place % 8);
        assert!(refused(&whole[..place]), "cut after {place} bytes");
    }
    assert!(refused(&[&whole[..], &[0]].concat()));
    // A whole start with what is damaged in a row, the last thing to be read.
    let mut flipped = whole.clone();
    flipped[whole.len() - 20] ^= 4;
    std::fs::write(snapshot(&dir), &flipped).unwrap();
    assert_eq!(same_as_topic(&log, &dir), 0);
}

#[test]
fn a_topic_that_was_made_anew_disproves_the_snapshot() {
    let (_, dir) = with_snapshot("anew");
    let saved = std::fs::read(snapshot(&dir)).unwrap();
    let again = |fill: &dyn Fn(&Log)| {
        std::fs::write(snapshot(&dir), &saved).unwrap();
        let log = Log::default();
        fill(&log);
        same_as_topic(&log, &dir);
    };
    again(&|_| {});
    again(&|log| log.put("x", Some("1")));
    again(&|log| (0..50).for_each(|number| log.put(&format!("{}{number}", ["a", "b"][number % 2]), Some("other"))));
}

#[test]
fn what_was_compacted_away_behind_the_snapshot_is_not_believed_to_be_there() {
    let (log, dir) = with_snapshot("compacted");
    // The last record of a partition is gone because a newer one of its key came: nothing proves the snapshot any more.
    log.put("a", Some("3"));
    log.records().retain(|record| record.key.as_deref() != Some(b"a") || record.place.offset > 2);
    same_as_topic(&log, &dir);
}

#[test]
fn a_snapshot_beyond_its_age_or_of_another_contract_is_not_used() {
    let (log, dir) = with_snapshot("age");
    let header = file::read(&snapshot(&dir), |_| Ok(()), |_| Ok(())).unwrap();
    let now = now_micros();
    let hours = |hours: i64| hours * 3_600_000_000;
    let written = |change: &dyn Fn(&mut file::Header)| {
        let mut header = header.clone();
        header.rows = 0;
        change(&mut header);
        file::write(&snapshot(&dir), &dir.join("new"), &header, &[]).unwrap();
        let mut keeper = Keeper::new(keeping(&dir), MasterItem::topic().name);
        !keeper.load(&Table::<MasterItem>::new(&[], 100), &[0, 1]).is_empty()
    };
    assert!(written(&|_| {}));
    assert!(written(&|header| header.taken_at_micros = now - hours(11)));
    assert!(!written(&|header| header.taken_at_micros = now - hours(13)), "a deletion may be gone from the topic");
    assert!(!written(&|header| header.taken_at_micros = now + hours(1)), "the clock was set");
    assert!(!written(&|header| header.contract.push(' ')));
    assert!(!written(&|header| header.release = "0".to_owned()));
    assert!(!written(&|header| header.topic = "other".to_owned()));
    assert!(!written(&|header| header.witnesses[0].partition = 7));
    assert!(!written(&|header| header.rows = 1));
    same_as_topic(&log, &dir);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_the_old_snapshot_and_the_room_goes_on() {
    let (log, dir) = with_snapshot("full");
    let before = std::fs::read(snapshot(&dir)).unwrap();
    let beside = dir.join(format!("room.{}.0.new", MasterItem::topic().name));
    // Whatever is written there finds no space left on the device.
    std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
    let mut started = Started::new(&log, Some(keeping(&dir)), 100);
    log.put("c", Some("9"));
    started.read_on();
    let rows = started.rows();
    started.stop();
    assert_eq!(rows["c"], "9");
    assert_eq!(std::fs::read(snapshot(&dir)).unwrap(), before);
    assert!(!beside.exists(), "what is left takes no space");
    same_as_topic(&log, &dir);
}

#[test]
fn a_folder_that_is_a_file_costs_the_snapshot_alone() {
    let (log, dir) = (Log::default(), folder("file").join("file"));
    std::fs::write(&dir, b"").unwrap();
    log.put("a", Some("1"));
    let started = Started::new(&log, Some(keeping(&dir)), 100);
    assert_eq!(started.rows().len(), 1);
    started.stop();
}

#[test]
fn bnd_1_a_table_that_had_no_room_for_a_record_leaves_no_snapshot() {
    let (log, dir) = (Log::default(), folder("room"));
    ["a", "b", "c"].into_iter().for_each(|key| log.put(key, Some("1")));
    Started::new(&log, Some(keeping(&dir)), 2).stop();
    assert!(!snapshot(&dir).exists());
    assert_eq!(Started::new(&log, Some(keeping(&dir)), 100).rows().len(), 3);
}

/// LOSS-1: a registry that was set back does not know a schema. When it does again, the record is read, and no snapshot has passed it.
#[test]
fn loss_1_a_record_whose_schema_nobody_knows_leaves_no_snapshot() {
    let (log, dir) = (Log::default(), folder("schema"));
    log.put("a", Some("1"));
    log.put_as(9, "c", Some("1"));
    let started = Started::new(&log, Some(keeping(&dir)), 100);
    assert_eq!(started.rows().len(), 1, "the others are there");
    started.stop();
    assert!(!snapshot(&dir).exists());
}

/// LOSS-1: a table whose reader is gone stands still, and nobody would notice.
#[tokio::test]
async fn loss_1_a_reader_that_panics_is_told_and_one_that_ends_is_not() {
    let start = |panics: bool| {
        let (gone, lost) = mpsc::channel(1);
        let read = move || assert!(!panics, "a test");
        let thread = start_thread("table".to_owned(), MasterItem::topic().name, gone, read).unwrap();
        Readers { threads: vec![thread], lost }
    };
    let mut readers = start(true);
    assert!(readers.lost().await.to_string().contains(MasterItem::topic().name));
    readers.ended().await;
    let mut readers = start(false);
    let told = tokio::time::timeout(Duration::from_millis(50), readers.lost()).await;
    assert!(told.is_err(), "it ended as it should");
    readers.ended().await;
}
