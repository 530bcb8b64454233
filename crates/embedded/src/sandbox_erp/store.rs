//! The file below the ledger: SQLite in WAL mode, one connection, every change one transaction.
//!
//! With `synchronous = NORMAL` a commit outlives the end of the process by any means; only a power cut may take the last
//! commits back, and never half of one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::clock::Now;
use super::problem::Problem;
use super::records::Stream;

/// How long another process that still holds the file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept ready.
const STATEMENTS: usize = 64;
/// Records in one page of a list, at most.
pub(super) const PAGE_MAX: u32 = 1_000;
/// Version of the tables.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record (
    stream TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL UNIQUE, revision INTEGER NOT NULL,
    changed_at INTEGER NOT NULL, deleted INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (stream, key)
) WITHOUT ROWID;
CREATE INDEX record_by_stream ON record (stream, seq);
CREATE TABLE lot (item TEXT NOT NULL, number TEXT NOT NULL, expires TEXT, PRIMARY KEY (item, number)) WITHOUT ROWID;
CREATE TABLE stock (
    item TEXT NOT NULL, lot TEXT NOT NULL, location TEXT NOT NULL, quantity INTEGER NOT NULL,
    PRIMARY KEY (item, lot, location)
) WITHOUT ROWID;
CREATE TABLE posting (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, content BLOB NOT NULL, direction TEXT NOT NULL,
    effective_date TEXT NOT NULL, cost_centre TEXT, amount INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE TABLE move (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL, item TEXT NOT NULL, lot TEXT NOT NULL,
    from_location TEXT NOT NULL, to_location TEXT NOT NULL, quantity INTEGER NOT NULL, uom TEXT NOT NULL,
    unit_cost INTEGER, effective_date TEXT NOT NULL
);
CREATE INDEX move_by_document ON move (document);
CREATE TABLE count_document (key TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
";

/// The open file.
pub(super) struct Store {
    connection: Connection,
}

/// A record of the change feed.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    /// Its place in the one sequence of all changes.
    seq: i64,
    stream: String,
    key: String,
    /// How often the record was written, from 1.
    revision: i64,
    /// Microseconds since 1970.
    changed_at: i64,
    deleted: bool,
    body: Box<RawValue>,
}

/// A page of the change feed.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    /// The ledger that the sequence belongs to.
    ledger: String,
    changes: Vec<Change>,
    /// Where the next page begins.
    next: i64,
    /// Whether more is there already.
    more: bool,
}

impl Store {
    /// Opens the file, or a ledger in memory; makes the tables when it is new.
    pub(super) fn open(file: Option<&Path>, new_ledger: &str) -> rusqlite::Result<Self> {
        let mut connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Exclusive: two servers on one folder would each believe to be the only one.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            set_meta(&transaction, "ledger", new_ledger)?;
        } else if version != VERSION {
            return Err(rusqlite::Error::InvalidParameterName(format!("the file has tables of version {version}")));
        }
        transaction.commit()?;
        Ok(Self { connection })
    }

    /// All of `work` or nothing of it.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Reads without changing anything.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Problem>) -> Result<T, Problem> {
        work(&self.connection)
    }
}

/// Name of the fact that says the company's currency.
pub(super) const CURRENCY: &str = "currency";

/// A fact about the ledger as a whole.
pub(super) fn meta(store: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    store.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Writes a fact about the ledger as a whole.
pub(super) fn set_meta(store: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let mut statement = store.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
    statement.execute([name, value]).map(drop)
}

/// A record that is not deleted.
pub(super) fn get<T: DeserializeOwned>(store: &Connection, stream: Stream, key: &str) -> Result<Option<T>, Problem> {
    let mut statement =
        store.prepare_cached("SELECT body FROM record WHERE stream = ?1 AND key = ?2 AND NOT deleted")?;
    let body: Option<String> = statement.query_row([stream.as_str(), key], |row| row.get(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// Writes a record and gives it the next place in the sequence of changes; what is as it was stays where it is. Its stamp
/// never falls, whatever the clock does.
pub(super) fn put(
    store: &Connection,
    stream: Stream,
    key: &str,
    record: &impl Serialize,
    now: Now,
) -> Result<(), Problem> {
    if key.trim().is_empty() {
        return Err(Problem::invalid("the key is empty"));
    }
    let body = serde_json::to_string(record)?;
    let mut statement = store.prepare_cached(
        "INSERT INTO record (stream, key, seq, revision, changed_at, deleted, body)
         VALUES (?1, ?2, (SELECT coalesce(max(seq), 0) + 1 FROM record), 1, ?3, 0, ?4)
         ON CONFLICT (stream, key) DO UPDATE SET seq = excluded.seq, revision = revision + 1,
            changed_at = max(changed_at, excluded.changed_at), deleted = 0, body = excluded.body
         WHERE deleted OR body <> excluded.body",
    )?;
    statement.execute(params![stream.as_str(), key, now.micros(), body])?;
    Ok(())
}

/// Marks a record as deleted, which is a change like any other; what was last in it stays readable in the feed.
pub(super) fn delete(store: &Connection, stream: Stream, key: &str, now: Now) -> Result<(), Problem> {
    let mut statement = store.prepare_cached(
        "UPDATE record SET seq = (SELECT max(seq) + 1 FROM record), revision = revision + 1,
            changed_at = max(changed_at, ?3), deleted = 1
         WHERE stream = ?1 AND key = ?2 AND NOT deleted",
    )?;
    match statement.execute(params![stream.as_str(), key, now.micros()])? {
        0 => Err(Problem::absent(format!("no {stream} {key}"))),
        _ => Ok(()),
    }
}

/// The changes behind `after`, of one stream or of all, oldest first. A record that changed several times shows once, as
/// it is now. Whoever goes on from `next` misses nothing: places are given in the order of the commits.
pub(super) fn changes(
    store: &Connection,
    stream: Option<Stream>,
    after: i64,
    limit: Option<u32>,
) -> Result<Changes, Problem> {
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let read = |row: &rusqlite::Row<'_>| {
        let body: String = row.get(6)?;
        let body = RawValue::from_string(body).map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Change {
            seq: row.get(0)?,
            stream: row.get(1)?,
            key: row.get(2)?,
            revision: row.get(3)?,
            changed_at: row.get(4)?,
            deleted: row.get(5)?,
            body,
        })
    };
    let columns = "SELECT seq, stream, key, revision, changed_at, deleted, body FROM record";
    let wanted = i64::from(limit) + 1;
    let mut changes: Vec<Change> = match stream {
        Some(stream) => store
            .prepare_cached(&format!("{columns} WHERE stream = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"))?
            .query_map(params![stream.as_str(), after, wanted], read)?
            .collect::<Result<_, _>>()?,
        None => store
            .prepare_cached(&format!("{columns} WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?
            .query_map(params![after, wanted], read)?
            .collect::<Result<_, _>>()?,
    };
    let more = changes.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        changes.pop();
    }
    let ledger = meta(store, "ledger")?.unwrap_or_default();
    let next = changes.last().map_or(after, |change| change.seq);
    Ok(Changes { ledger, changes, next, more })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test")]
mod tests {
    use super::{Now, Store, Stream, changes, delete, put};
    use serde_json::json;

    #[test]
    fn a_stamp_never_falls_though_the_clock_does() {
        let mut store = Store::open(None, "ledger").unwrap();
        let mut stamps = Vec::new();
        for (name, micros) in [(Some("One"), 2_000), (Some("Two"), 1_000), (None, 500), (Some("Three"), 3_000)] {
            let write = |transaction: &rusqlite::Transaction<'_>| match name {
                Some(name) => put(transaction, Stream::Suppliers, "V-1", &json!({"name": name}), Now::at(micros)),
                None => delete(transaction, Stream::Suppliers, "V-1", Now::at(micros)),
            };
            store.write(write).unwrap_or_else(|_| panic!("the change at {micros} is refused"));
            let page = store.read(|store| changes(store, None, 0, None)).unwrap_or_else(|_| panic!("no page"));
            stamps.push((page.changes[0].revision, page.changes[0].changed_at));
        }
        assert_eq!(stamps, [(1, 2_000), (2, 2_000), (3, 2_000), (4, 3_000)]);
    }
}
