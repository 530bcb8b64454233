//! A record as a table holds it, and where rows are found.

use foldhash::fast::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// Bytes in front of the key: the number of the writer's schema, the length of the key, and the number of words.
const HEAD: usize = 7;
/// Bytes of the hash of a word.
const WORD: usize = 4;
/// Most words of a record that are held.
const WORDS_MAX: usize = 24;

/// A record in its encoding, in one piece of memory: number of the writer's schema, key, hashes of its words, body. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Row(Arc<[u8]>);

/// Rows by the hash of a key or of a value. Reading takes no lock; one thread at a time may write.
#[derive(Debug, Default)]
pub(super) struct Rows {
    hasher: RandomState,
    found: papaya::HashMap<u64, Found, RandomState>,
}

/// The rows under one hash. Whoever looks one up compares: two values may have the same hash.
#[derive(Clone, Debug)]
enum Found {
    One(Row),
    /// In key order.
    Many(Arc<[Row]>),
}

impl Row {
    /// Puts a row together in `scratch`, which is kept for the next one. None when the key is beyond 4 GB.
    pub(super) fn new(writer: u16, key: &str, words: &[String], body: &[u8], scratch: &mut Vec<u8>) -> Option<Self> {
        let words = words.get(..WORDS_MAX).unwrap_or(words);
        scratch.clear();
        scratch.extend_from_slice(&writer.to_le_bytes());
        scratch.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        scratch.push(u8::try_from(words.len()).ok()?);
        scratch.extend_from_slice(key.as_bytes());
        words.iter().for_each(|word| scratch.extend_from_slice(&word_hash(word).to_le_bytes()));
        scratch.extend_from_slice(body);
        Some(Self(Arc::from(scratch.as_slice())))
    }

    /// A row from its bytes; none when they are not those of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let row = Self(Arc::from(bytes));
        let key = row.parts()?.key;
        std::str::from_utf8(key).is_ok().then_some(row)
    }

    /// The row as it is written to a snapshot.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key.
    pub fn key(&self) -> &str {
        // A row is made of text, or was looked at when it was read.
        self.parts().and_then(|parts| std::str::from_utf8(parts.key).ok()).unwrap_or_default()
    }

    /// How many of these words the record has, by their hashes, as of [`word_hash`].
    pub(super) fn words_among(&self, wanted: &[u32]) -> usize {
        let own = self.parts().map_or(&[][..], |parts| parts.words);
        own.iter().filter(|word| wanted.contains(&u32::from_le_bytes(**word))).count()
    }

    /// The encoded record, without its frame.
    pub(super) fn body(&self) -> &[u8] {
        self.parts().map_or(&[], |parts| parts.body)
    }

    /// Number of the schema it was written with.
    pub(super) fn writer(&self) -> u16 {
        self.parts().map_or(0, |parts| parts.writer)
    }

    /// Whether it is the very same row, and not one that looks like it.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number that differs from that of most other rows.
    pub(super) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Whether it is the row of this key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.parts().is_some_and(|parts| parts.key == key.as_bytes())
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let [a, b, c, d, e, f, words] = *head;
        let length = usize::try_from(u32::from_le_bytes([c, d, e, f])).ok()?;
        let (key, rest) = rest.split_at_checked(length)?;
        let (words, body) = rest.split_at_checked(usize::from(words) * WORD)?;
        Some(Parts { writer: u16::from_le_bytes([a, b]), key, words: words.as_chunks().0, body })
    }
}

/// What a row is made of.
struct Parts<'a> {
    writer: u16,
    key: &'a [u8],
    words: &'a [[u8; WORD]],
    body: &'a [u8],
}

/// The hash of a word: FNV-1a, 32 bits (draft-eastlake-fnv).
pub(super) fn word_hash(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Rows {
    /// Shows the row of a key, when there is one.
    pub fn get<R>(&self, key: &str, show: impl FnOnce(&Row) -> R) -> Option<R> {
        self.get_hashed(self.hash(key), key, show)
    }

    /// As [`Rows::get`], for a key whose hash is known.
    pub fn get_hashed<R>(&self, hash: u64, key: &str, show: impl FnOnce(&Row) -> R) -> Option<R> {
        let found = self.found.pin();
        found.get(&hash)?.rows().iter().find(|row| row.has_key(key)).map(show)
    }

    /// The rows that may have a value, in key order.
    pub fn under(&self, value: &str) -> Vec<Row> {
        let found = self.found.pin();
        found.get(&self.hash(value)).map(|found| found.rows().to_vec()).unwrap_or_default()
    }

    /// Puts a row under a key or value, in the place of the one that has its key.
    pub fn put(&self, value: &str, row: Row) {
        let hash = self.hash(value);
        let found = self.found.pin();
        let next = match found.get(&hash) {
            None => Found::One(row),
            Some(Found::One(only)) if only.has_key(row.key()) => Found::One(row),
            Some(known) => {
                let mut rows = known.rows().to_vec();
                match rows.binary_search_by(|known| known.key().cmp(row.key())) {
                    Ok(place) => rows[place] = row,
                    Err(place) => rows.insert(place, row),
                }
                Found::Many(rows.into())
            }
        };
        found.insert(hash, next);
    }

    /// Takes the row with this key away from under a key or value.
    pub fn remove(&self, value: &str, key: &str) {
        let hash = self.hash(value);
        let found = self.found.pin();
        let Some(known) = found.get(&hash) else { return };
        let mut rows: Vec<Row> = known.rows().iter().filter(|row| !row.has_key(key)).cloned().collect();
        match (rows.pop(), rows.is_empty()) {
            (None, _) => drop(found.remove(&hash)),
            (Some(only), true) => drop(found.insert(hash, Found::One(only))),
            (Some(last), false) => {
                rows.push(last);
                found.insert(hash, Found::Many(rows.into()));
            }
        }
    }

    /// Shows every row.
    pub fn each(&self, mut show: impl FnMut(&Row)) {
        for found in self.found.pin().values() {
            found.rows().iter().for_each(&mut show);
        }
    }

    /// Takes all away.
    pub fn clear(&self) {
        self.found.pin().clear();
    }

    /// The hash of a key or value.
    pub fn hash(&self, value: &str) -> u64 {
        self.hasher.hash_one(value)
    }
}

impl Found {
    fn rows(&self) -> &[Row] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn row(key: &str, body: &[u8]) -> Row {
        Row::new(3, key, &["hip".to_owned(), "stem".to_owned()], body, &mut Vec::new()).unwrap()
    }

    #[test]
    fn a_row_is_its_parts_and_its_bytes() {
        let made = row("STENT", b"body");
        assert_eq!((made.writer(), made.key(), made.body()), (3, "STENT", &b"body"[..]));
        let read = Row::from_bytes(made.bytes()).unwrap();
        assert_eq!((read.key(), read.body(), read.is(&made)), ("STENT", &b"body"[..], false));
        assert_eq!(read.words_among(&["stem", "knee"].map(word_hash)), 1);
        for short in 0..HEAD + 5 + 2 * WORD {
            assert!(Row::from_bytes(&made.bytes()[..short]).is_none(), "{short}");
        }
        assert!(Row::from_bytes(&[0, 0, 1, 0, 0, 0, 0, 0xff]).is_none(), "no text");
    }

    #[test]
    fn rows_of_one_value_stand_in_key_order_and_leave_one_by_one() {
        let rows = Rows::default();
        for key in ["b", "c", "a", "b"] {
            rows.put("code", row(key, b""));
        }
        let keys = || rows.under("code").iter().map(|row| row.key().to_owned()).collect::<Vec<_>>();
        assert_eq!(keys(), ["a", "b", "c"]);
        rows.remove("code", "b");
        rows.remove("code", "b");
        assert_eq!(keys(), ["a", "c"]);
        rows.remove("code", "a");
        assert_eq!(keys(), ["c"]);
        rows.remove("code", "c");
        assert!(keys().is_empty() && rows.found.is_empty());
    }
}
