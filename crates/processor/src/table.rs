//! Tables of master data: the newest record per key of a compacted topic, in memory, bounded.
//!
//! A record is held in its encoding and decoded when it is looked up; each thread keeps a bounded number of records decoded.
//! Looking up takes no lock.

mod decoded;
mod feed;
mod row;

use crate::Subject;
use row::Rows;
use schemas::codec::{CodecError, FRAME_LENGTH, WriterSchema};
use schemas::{Event, Topic, TopicInfo};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use feed::{Body, FeedError, Image, Snapshots, TableFeed};
pub use row::Row;

/// Number of the contract among the schemas that rows were written with.
const CONTRACT: u16 = 0;

/// Values under which an indexed record is also found.
type IndexFn<T> = fn(&T) -> Vec<String>;
/// The words of a record, each once, by which records that are alike are found.
type WordsFn<T> = fn(&T) -> Vec<String>;

/// A read handle on the newest record per key of a compacted topic. Cheap to clone.
#[derive(Debug)]
pub struct Table<T> {
    shared: Arc<Shared<T>>,
}

/// The set of tables that a processor looks things up in.
pub trait Tables: Send + Sync + 'static {
    /// Declares the tables. The runtime fills what was declared before the first record is processed.
    fn bind(binder: &mut Binder) -> Self;
}

/// Collects the tables that a processor declares.
pub struct Binder {
    feeds: Vec<Arc<dyn TableFeed>>,
    rows_max: usize,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Event> Table<T> {
    /// An empty table, indexed as said, that holds at most `rows_max` records.
    pub fn new(indexes: &[(&'static str, IndexFn<T>)], rows_max: usize) -> Self {
        Self::with_words(indexes, None, rows_max)
    }

    /// The same with the words of its records: four bytes more for each of the first 24 of a record.
    pub fn with_words(indexes: &[(&'static str, IndexFn<T>)], words: Option<WordsFn<T>>, rows_max: usize) -> Self {
        static TABLES: AtomicU64 = AtomicU64::new(0);
        let indexes = indexes.iter().map(|(name, values)| Index { name, values: *values, rows: Rows::default() });
        let shared = Shared {
            number: TABLES.fetch_add(1, Ordering::Relaxed),
            by_key: Rows::default(),
            indexes: indexes.collect(),
            words,
            writers: papaya::HashMap::new(),
            count: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            rows_max,
            writing: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The newest record of `key`.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        let shared = &*self.shared;
        // Before it is looked up: a change that comes meanwhile is one that this number does not know.
        let (hash, change) = (shared.by_key.hash(key), shared.changes.load(Ordering::Acquire));
        decoded::looked_up(shared.number, (hash, change), key, || {
            let show = |row: &Row| Some((row.clone(), shared.record(row)?));
            shared.by_key.get_hashed(hash, key, show)?
        })
    }

    /// All records whose index `name` holds `value`, in key order. An undeclared index finds nothing.
    pub fn find(&self, name: &str, value: &str) -> Vec<Arc<T>> {
        let Some(index) = self.shared.indexes.iter().find(|index| index.name == name) else { return Vec::new() };
        let rows = index.rows.under(value);
        let records = rows.iter().filter_map(|row| self.shared.record(row));
        // Rows are found by a hash, which another value may have too.
        records.filter(|record| (index.values)(record).iter().any(|found| found == value)).collect()
    }

    /// Visits the key of every record, with how many of these words it has; for suggestions, not for the hot path. Nothing is
    /// decoded, and words are compared by a hash, which another word may have too.
    pub fn each_alike(&self, words: &[String], mut visit: impl FnMut(&str, usize)) {
        let wanted: Vec<u32> = words.iter().map(|word| row::word_hash(word)).collect();
        self.shared.by_key.each(|row| visit(row.key(), row.words_among(&wanted)));
    }

    /// Puts or removes a record and returns the subjects it answers to.
    ///
    /// # Errors
    /// [`FeedError::Full`] when a new key would exceed the bound; [`FeedError::Codec`] when it does not fit its contract.
    pub fn put(&self, key: &str, record: Option<T>) -> Result<Vec<Subject>, FeedError> {
        let mut writing = self.shared.writing();
        let Some(record) = record else {
            self.shared.remove(key);
            return Ok(Self::subjects(key, Vec::new()));
        };
        let values = self.shared.insert_encoded(&mut writing, key, &record)?;
        Ok(Self::subjects(key, values))
    }

    /// Applies a record and gives the values under which it is indexed now.
    fn take(&self, key: &[u8], body: Option<Body<'_>>) -> Result<Vec<String>, FeedError> {
        let key = std::str::from_utf8(key).map_err(|_| FeedError::Key)?;
        let mut writing = self.shared.writing();
        let Some((writer, body)) = body else {
            self.shared.remove(key);
            return Ok(Vec::new());
        };
        // What cannot be decoded must not take the place of what can.
        let record: T = schemas::codec::decode(writer, body)?;
        match self.shared.number_of(&mut writing, writer) {
            Some(number) => self.shared.insert(&mut writing, key, (number, body), Some(&record)),
            None => self.shared.insert_encoded(&mut writing, key, &record),
        }
    }

    fn subjects(key: &str, values: Vec<String>) -> Vec<Subject> {
        let topic = T::topic().name;
        let mut subjects = vec![Subject::new(topic, key)];
        subjects.extend(values.into_iter().map(|value| Subject::new(topic, value)));
        subjects
    }
}

impl<T: Event> TableFeed for Table<T> {
    fn topic(&self) -> &'static TopicInfo {
        T::topic()
    }

    fn apply(&self, key: &[u8], body: Option<Body<'_>>) -> Result<Vec<Subject>, FeedError> {
        let values = self.take(key, body)?;
        Ok(Self::subjects(std::str::from_utf8(key).map_err(|_| FeedError::Key)?, values))
    }

    fn fill(&self, key: &[u8], body: Option<Body<'_>>) -> Result<(), FeedError> {
        self.take(key, body).map(drop)
    }

    fn rows(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

impl<T: Event> Snapshots for Table<T> {
    fn image(&self) -> Image {
        let writing = self.shared.writing();
        let mut rows = Vec::with_capacity(self.rows());
        self.shared.by_key.each(|row| rows.push(row.clone()));
        Image { writers: writing.writers.iter().map(|writer| writer.json().to_owned()).collect(), rows }
    }

    fn contract(&self) -> Result<&'static str, CodecError> {
        Ok(T::contract()?.json())
    }

    fn begin(&self, writers: &[String]) -> Result<(), CodecError> {
        self.clear();
        let mut writing = self.shared.writing();
        for writer in writers {
            let writer = Arc::new(WriterSchema::parse(writer)?);
            self.shared.number_of(&mut writing, &writer);
        }
        Ok(())
    }

    fn restore(&self, row: &[u8]) -> Result<(), FeedError> {
        let unreadable = || CodecError::Decode("no row of a table".to_owned());
        let row = Row::from_bytes(row).ok_or_else(unreadable)?;
        let record = match self.shared.indexes.is_empty() && self.shared.words.is_none() {
            true => None,
            false => Some(self.shared.decode(&row).ok_or_else(unreadable)?),
        };
        let mut writing = self.shared.writing();
        if usize::from(row.writer()) > writing.writers.len() {
            return Err(unreadable().into());
        }
        let part = (row.writer(), row.body());
        self.shared.insert(&mut writing, row.key(), part, record.as_ref()).map(drop)
    }

    fn clear(&self) {
        let mut writing = self.shared.writing();
        self.shared.by_key.clear();
        self.shared.changed();
        self.shared.indexes.iter().for_each(|index| index.rows.clear());
        self.shared.count.store(0, Ordering::Relaxed);
        self.shared.writers.pin().clear();
        *writing = Writing::default();
    }
}

impl Binder {
    /// A binder whose tables hold at most `rows_max` records each.
    pub fn new(rows_max: usize) -> Self {
        Self { feeds: Vec::new(), rows_max }
    }

    /// Declares a table over a compacted topic, found by key and by the given indexes.
    pub fn table<T: Event>(&mut self, _topic: Topic<T>, indexes: &[(&'static str, IndexFn<T>)]) -> Table<T> {
        self.declared(Table::new(indexes, self.rows_max))
    }

    /// The same, with the words by which records that are alike are found.
    pub fn table_with_words<T: Event>(
        &mut self,
        _topic: Topic<T>,
        indexes: &[(&'static str, IndexFn<T>)],
        words: WordsFn<T>,
    ) -> Table<T> {
        self.declared(Table::with_words(indexes, Some(words), self.rows_max))
    }

    fn declared<T: Event>(&mut self, table: Table<T>) -> Table<T> {
        self.feeds.push(Arc::new(table.clone()));
        table
    }

    /// What was declared.
    pub fn feeds(self) -> Vec<Arc<dyn TableFeed>> {
        self.feeds
    }
}

impl Tables for () {
    fn bind(_binder: &mut Binder) -> Self {}
}

struct Shared<T> {
    /// Tells tables apart.
    number: u64,
    by_key: Rows,
    indexes: Vec<Index<T>>,
    words: Option<WordsFn<T>>,
    /// The schemas that rows were written with, by number, beside the contract.
    writers: papaya::HashMap<u16, Arc<WriterSchema>>,
    count: AtomicUsize,
    /// Counts what was put in and taken out: what was looked up under another number is looked up again.
    changes: AtomicU64,
    rows_max: usize,
    writing: Mutex<Writing>,
}

struct Index<T> {
    name: &'static str,
    values: IndexFn<T>,
    rows: Rows,
}

/// What the one who writes needs, and nobody who reads.
#[derive(Default)]
struct Writing {
    /// In the order of their numbers, which begin after that of the contract.
    writers: Vec<Arc<WriterSchema>>,
    /// For putting rows together.
    scratch: Vec<u8>,
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("number", &self.number)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl<T: Event> Shared<T> {
    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was looked up by key before is not what is there now.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn record(&self, row: &Row) -> Option<Arc<T>> {
        decoded::decoded(self.number, row, |row| self.decode(row))
    }

    /// None for nothing that is in the table: it was decoded before it came in.
    fn decode(&self, row: &Row) -> Option<T> {
        if row.writer() == CONTRACT {
            return schemas::codec::decode(T::contract().ok()?, row.body()).ok();
        }
        schemas::codec::decode(self.writers.pin().get(&row.writer())?, row.body()).ok()
    }

    /// Under which number rows with this writer are held; none when there are too many.
    fn number_of(&self, writing: &mut Writing, writer: &Arc<WriterSchema>) -> Option<u16> {
        let same = |known: &Arc<WriterSchema>| Arc::ptr_eq(known, writer) || known.json() == writer.json();
        let place = writing.writers.iter().rposition(same).unwrap_or(writing.writers.len());
        let number = u16::try_from(place + 1).ok()?;
        if place == writing.writers.len() {
            writing.writers.push(Arc::clone(writer));
            self.writers.pin().insert(number, Arc::clone(writer));
        }
        Some(number)
    }

    /// As [`Shared::insert`], for a record that is not encoded, or was written with one schema too many to remember.
    fn insert_encoded(&self, writing: &mut Writing, key: &str, record: &T) -> Result<Vec<String>, FeedError> {
        let mut value = Vec::new();
        schemas::codec::encode(record, 0, &mut value)?;
        let body = value.get(FRAME_LENGTH..).unwrap_or_default();
        self.insert(writing, key, (CONTRACT, body), Some(record))
    }

    /// Puts a row in and gives the values under which it is indexed. Whoever looks it up meanwhile finds the old one or the
    /// new one.
    fn insert(
        &self,
        writing: &mut Writing,
        key: &str,
        (writer, body): (u16, &[u8]),
        record: Option<&T>,
    ) -> Result<Vec<String>, FeedError> {
        let old = self.by_key.get(key, Row::clone);
        if old.is_none() && self.count.load(Ordering::Relaxed) >= self.rows_max {
            return Err(FeedError::Full { rows_max: self.rows_max });
        }
        let words = self.words.zip(record).map(|(words, record)| words(record)).unwrap_or_default();
        let row = Row::new(writer, key, &words, body, &mut writing.scratch).ok_or(FeedError::Key)?;
        self.by_key.put(key, row.clone());
        self.changed();
        if old.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        let mut values = Vec::new();
        let old = old.filter(|_| !self.indexes.is_empty()).and_then(|old| self.decode(&old));
        for index in &self.indexes {
            let now = record.map(index.values).unwrap_or_default();
            now.iter().for_each(|value| index.rows.put(value, row.clone()));
            let gone = old.as_ref().map(index.values).unwrap_or_default();
            gone.iter().filter(|value| !now.contains(value)).for_each(|value| index.rows.remove(value, key));
            values.extend(now);
        }
        Ok(values)
    }

    fn remove(&self, key: &str) {
        let Some(old) = self.by_key.get(key, Row::clone) else { return };
        self.by_key.remove(key, key);
        self.changed();
        self.count.fetch_sub(1, Ordering::Relaxed);
        if self.indexes.is_empty() {
            return;
        }
        let Some(old) = self.decode(&old) else { return };
        for index in &self.indexes {
            (index.values)(&old).iter().for_each(|value| index.rows.remove(value, key));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::MasterItem;

    fn item(id: &str, codes: &[&str]) -> MasterItem {
        let code = |code: &&str| schemas::Code { code: (*code).to_owned(), ..schemas::Code::default() };
        MasterItem { item_id: id.to_owned(), codes: codes.iter().map(code).collect(), ..MasterItem::default() }
    }

    fn by_code(item: &MasterItem) -> Vec<String> {
        item.codes.iter().map(|code| code.code.clone()).collect()
    }

    fn table(rows_max: usize) -> Table<MasterItem> {
        Table::new(&[("code", by_code)], rows_max)
    }

    fn found(table: &Table<MasterItem>, code: &str) -> Vec<String> {
        table.find("code", code).iter().map(|item| item.item_id.clone()).collect()
    }

    #[test]
    fn a_record_is_found_by_key_and_by_what_it_is_indexed_under_now() {
        let table = table(10);
        let subjects = table.put("b", Some(item("b", &["1", "2"]))).unwrap();
        assert_eq!(subjects.len(), 3);
        table.put("a", Some(item("a", &["2"]))).unwrap();
        assert_eq!(
            (found(&table, "1"), found(&table, "2")),
            (vec!["b".to_owned()], vec!["a".to_owned(), "b".to_owned()])
        );
        table.put("b", Some(item("b", &["3"]))).unwrap();
        assert_eq!(
            (found(&table, "1").len(), found(&table, "2"), found(&table, "3")),
            (0, vec!["a".to_owned()], vec!["b".to_owned()])
        );
        assert_eq!(table.get("b").unwrap().codes[0].code, "3", "what was decoded before is not shown again");
        table.put("b", None).unwrap();
        assert_eq!((table.get("b"), found(&table, "3").len(), table.rows()), (None, 0, 1));
        assert!(table.find("nothing", "1").is_empty());
    }

    #[test]
    fn what_was_looked_up_before_is_not_shown_after_any_change() {
        let table = table(10);
        for key in ["a", "b"] {
            table.put(key, Some(item(key, &["1"]))).unwrap();
        }
        let (a, b) = (table.get("a").unwrap(), table.get("b").unwrap());
        assert!(Arc::ptr_eq(&a, &table.get("a").unwrap()), "it is held");
        table.put("a", Some(item("a", &["2"]))).unwrap();
        assert_eq!(table.get("a").unwrap().codes[0].code, "2");
        assert!(Arc::ptr_eq(&b, &table.get("b").unwrap()), "another key has changed");
        table.put("a", None).unwrap();
        assert_eq!((table.get("a"), table.get("b")), (None, Some(b)));
        table.clear();
        assert_eq!(table.get("b"), None);
    }

    #[test]
    fn bnd_1_a_full_table_takes_newer_versions_and_no_more_keys() {
        let table = table(1);
        table.put("a", Some(item("a", &[]))).unwrap();
        table.put("a", Some(item("a", &["1"]))).unwrap();
        assert!(matches!(table.put("b", Some(item("b", &[]))), Err(FeedError::Full { rows_max: 1 })));
        table.put("a", None).unwrap();
        table.put("b", Some(item("b", &[]))).unwrap();
        assert_eq!(table.rows(), 1);
    }

    #[test]
    fn what_does_not_decode_leaves_the_older_version() {
        let table = table(10);
        table.put("a", Some(item("a", &["1"]))).unwrap();
        let writer = Arc::new(WriterSchema::parse(MasterItem::topic().schema).unwrap());
        assert!(table.apply(b"a", Some((&writer, &[1, 2, 3]))).is_err());
        assert!(table.apply(&[0xff], None).is_err());
        assert_eq!(found(&table, "1"), ["a"]);
    }

    #[test]
    fn an_image_put_back_is_the_same_table() {
        let (one, other) = (table(10), table(10));
        let writer = Arc::new(WriterSchema::parse(MasterItem::topic().schema).unwrap());
        let mut value = Vec::new();
        schemas::codec::encode(&item("x", &["9"]), 7, &mut value).unwrap();
        one.fill(b"x", Some((&writer, &value[FRAME_LENGTH..]))).unwrap();
        one.put("a", Some(item("a", &["1"]))).unwrap();
        let image = one.image();
        assert_eq!((image.writers.len(), image.rows.len()), (1, 2));
        other.put("old", Some(item("old", &["old"]))).unwrap();
        other.begin(&image.writers).unwrap();
        image.rows.iter().for_each(|row| other.restore(row.bytes()).unwrap());
        assert_eq!(
            (other.rows(), found(&other, "9"), found(&other, "1")),
            (2, vec!["x".to_owned()], vec!["a".to_owned()])
        );
        assert_eq!((other.get("x"), other.get("old")), (one.get("x"), None));
        assert!(other.restore(b"short").is_err());
    }

    #[test]
    fn readers_find_a_record_that_is_being_changed_all_the_time() {
        let table = table(10);
        table.put("a", Some(item("a", &["0", "always"]))).unwrap();
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| (0..20_000).all(|_| table.get("a").is_some() && found(&table, "always") == ["a"]));
            for number in 0..5_000 {
                table.put("a", Some(item("a", &[&number.to_string(), "always"]))).unwrap();
            }
            assert!(reader.join().unwrap());
        });
    }
}
