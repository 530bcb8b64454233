//! Tables of master data: the newest record per key of a compacted topic, in memory, bounded.

use crate::Subject;
use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, Topic, TopicInfo};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Values under which an indexed record is also found.
type IndexFn<T> = fn(&T) -> Vec<String>;

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

/// The side of a table that the runtime writes to.
pub trait TableFeed: Send + Sync {
    /// The compacted topic behind the table.
    fn topic(&self) -> &'static TopicInfo;

    /// Applies one record; no body is a deletion. Returns every subject under which waiting events may look for it.
    ///
    /// # Errors
    /// When the key or body cannot be decoded, or the table is full.
    fn apply(&self, key: &[u8], body: Option<(&WriterSchema, &[u8])>) -> Result<Vec<Subject>, FeedError>;

    /// Number of records held.
    fn rows(&self) -> usize;
}

/// Why a record could not enter a table.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The key is not UTF-8.
    #[error("the key is not UTF-8")]
    Key,
    /// The body does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The bound of the table is reached (BND-1).
    #[error("the table holds its maximum of {rows_max} records: raise tables.rows_max")]
    Full {
        /// The bound.
        rows_max: usize,
    },
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Event> Table<T> {
    /// An empty table, indexed as said, that holds at most `rows_max` records.
    pub fn new(indexes: &[(&'static str, IndexFn<T>)], rows_max: usize) -> Self {
        let rows = Rows { by_key: HashMap::new(), by_index: indexes.iter().map(|_| HashMap::new()).collect() };
        Self { shared: Arc::new(Shared { rows: RwLock::new(rows), indexes: indexes.to_vec(), rows_max }) }
    }

    /// The newest record of `key`.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.read(|rows| rows.by_key.get(key).cloned())
    }

    /// All records whose index `name` holds `value`, in key order. An undeclared index finds nothing.
    pub fn find(&self, name: &str, value: &str) -> Vec<Arc<T>> {
        let Some(position) = self.shared.indexes.iter().position(|(index, _)| *index == name) else {
            return Vec::new();
        };
        self.read(|rows| {
            let keys = rows.by_index.get(position).and_then(|index| index.get(value));
            keys.into_iter().flatten().filter_map(|key| rows.by_key.get(key).cloned()).collect()
        })
    }

    /// Visits every record; for suggestions, not for the hot path.
    pub fn scan(&self, mut visit: impl FnMut(&T)) {
        self.read(|rows| rows.by_key.values().for_each(|row| visit(row)));
    }

    /// Puts or removes a record and returns the subjects it answers to.
    ///
    /// # Errors
    /// [`FeedError::Full`] when a new key would exceed the bound.
    pub fn put(&self, key: &str, row: Option<T>) -> Result<Vec<Subject>, FeedError> {
        let mut rows = self.shared.rows.write().unwrap_or_else(PoisonError::into_inner);
        if row.is_some() && !rows.by_key.contains_key(key) && rows.by_key.len() >= self.shared.rows_max {
            return Err(FeedError::Full { rows_max: self.shared.rows_max });
        }
        let mut subjects = vec![Subject::new(T::topic().name, key)];
        if let Some(old) = rows.by_key.remove(key) {
            rows.unlink(&self.shared.indexes, key, &old);
        }
        if let Some(row) = row {
            for value in rows.link(&self.shared.indexes, key, &row) {
                subjects.push(Subject::new(T::topic().name, value));
            }
            rows.by_key.insert(key.to_owned(), Arc::new(row));
        }
        Ok(subjects)
    }

    fn read<R>(&self, visit: impl FnOnce(&Rows<T>) -> R) -> R {
        visit(&self.shared.rows.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Event> TableFeed for Table<T> {
    fn topic(&self) -> &'static TopicInfo {
        T::topic()
    }

    fn apply(&self, key: &[u8], body: Option<(&WriterSchema, &[u8])>) -> Result<Vec<Subject>, FeedError> {
        let key = std::str::from_utf8(key).map_err(|_| FeedError::Key)?;
        let row = body.map(|(writer, bytes)| schemas::codec::decode(writer, bytes)).transpose()?;
        self.put(key, row)
    }

    fn rows(&self) -> usize {
        self.read(|rows| rows.by_key.len())
    }
}

impl Binder {
    /// A binder whose tables hold at most `rows_max` records each.
    pub fn new(rows_max: usize) -> Self {
        Self { feeds: Vec::new(), rows_max }
    }

    /// Declares a table over a compacted topic, found by key and by the given indexes.
    pub fn table<T: Event>(&mut self, _topic: Topic<T>, indexes: &[(&'static str, IndexFn<T>)]) -> Table<T> {
        let table = Table::new(indexes, self.rows_max);
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

#[derive(Debug)]
struct Shared<T> {
    rows: RwLock<Rows<T>>,
    indexes: Vec<(&'static str, IndexFn<T>)>,
    rows_max: usize,
}

#[derive(Debug)]
struct Rows<T> {
    by_key: HashMap<String, Arc<T>>,
    by_index: Vec<HashMap<String, Vec<String>>>,
}

impl<T> Rows<T> {
    fn link(&mut self, indexes: &[(&'static str, IndexFn<T>)], key: &str, row: &T) -> Vec<String> {
        let mut values = Vec::new();
        for ((_, extract), index) in indexes.iter().zip(&mut self.by_index) {
            for value in extract(row) {
                let keys = index.entry(value.clone()).or_default();
                if let Err(position) = keys.binary_search_by(|present| present.as_str().cmp(key)) {
                    keys.insert(position, key.to_owned());
                }
                values.push(value);
            }
        }
        values
    }

    fn unlink(&mut self, indexes: &[(&'static str, IndexFn<T>)], key: &str, row: &T) {
        for ((_, extract), index) in indexes.iter().zip(&mut self.by_index) {
            for value in extract(row) {
                if let Some(keys) = index.get_mut(&value) {
                    keys.retain(|present| present != key);
                    if keys.is_empty() {
                        index.remove(&value);
                    }
                }
            }
        }
    }
}
