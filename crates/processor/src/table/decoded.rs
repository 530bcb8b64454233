//! The records that a thread has looked up of late, decoded.
//!
//! Each thread has its own, so nothing is shared between threads on the way to a record: no lock, and no count that two cores
//! fight for. What is found is always the row that the table holds now, because it is compared with that row. Who looks up a key
//! that was looked up before does not even go to the table, for as long as nothing in it has changed.

use super::row::Row;
use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

/// Most records kept decoded, per thread and table (BND-1).
pub(super) const DECODED_MAX: usize = 4_096;
/// A row may stand in one of so many places.
const WAYS: usize = 4;
/// Most tables of which a thread keeps records (BND-1).
const TABLES_MAX: usize = 16;

thread_local! {
    static TABLES: RefCell<Vec<(u64, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// A row and its record.
type Known<T> = (Row, Arc<T>);

struct Decoded<T> {
    /// By the address of the row.
    rows: Vec<[Option<Known<T>>; WAYS]>,
    /// By the hash of the key; of these rows, too, no more than [`DECODED_MAX`].
    keys: Vec<[Option<LookedUp<T>>; WAYS]>,
}

/// What a key was found to be.
struct LookedUp<T> {
    hash: u64,
    /// Number of the last change of the table that was seen before.
    change: u64,
    known: Known<T>,
}

/// The record of a row of the table with this number; it is decoded when this thread does not have it.
pub(super) fn decoded<T: Send + Sync + 'static>(
    table: u64,
    row: &Row,
    decode: impl FnOnce(&Row) -> Option<T>,
) -> Option<Arc<T>> {
    TABLES.with(|tables| match tables.try_borrow_mut() {
        Ok(mut tables) => of_table::<T>(&mut tables, table)?.get(row, decode),
        // Decoding does not look anything up; if it did, it would do without.
        Err(_) => decode(row).map(Arc::new),
    })
}

/// The record of a key, given its hash and the number of the table's last change. It is looked up when this thread has not looked
/// it up since that change.
pub(super) fn looked_up<T: Send + Sync + 'static>(
    table: u64,
    (hash, change): (u64, u64),
    key: &str,
    look: impl FnOnce() -> Option<(Row, Arc<T>)>,
) -> Option<Arc<T>> {
    let known = TABLES.with(|tables| {
        let mut tables = tables.try_borrow_mut().ok()?;
        of_table::<T>(&mut tables, table)?.known(hash, change, key)
    });
    if known.is_some() {
        return known;
    }
    let (row, record) = look()?;
    TABLES.with(|tables| {
        if let Ok(mut tables) = tables.try_borrow_mut()
            && let Some(decoded) = of_table::<T>(&mut tables, table)
        {
            decoded.note(LookedUp { hash, change, known: (row, Arc::clone(&record)) });
        }
    });
    Some(record)
}

fn of_table<T: Send + Sync + 'static>(tables: &mut Vec<(u64, Box<dyn Any>)>, table: u64) -> Option<&mut Decoded<T>> {
    let place = match tables.iter().position(|(known, _)| *known == table) {
        Some(place) => place,
        None => {
            if tables.len() >= TABLES_MAX {
                // The oldest is most likely of a room that was started again.
                tables.remove(0);
            }
            tables.push((table, Box::new(Decoded::<T>::new())));
            tables.len() - 1
        }
    };
    tables.get_mut(place)?.1.downcast_mut()
}

impl<T> Decoded<T> {
    fn new() -> Self {
        Self {
            rows: (0..DECODED_MAX / WAYS).map(|_| [const { None }; WAYS]).collect(),
            keys: (0..DECODED_MAX / WAYS).map(|_| [const { None }; WAYS]).collect(),
        }
    }

    fn known(&self, hash: u64, change: u64, key: &str) -> Option<Arc<T>> {
        let ways = self.keys.get(place_of(hash, self.keys.len()))?;
        let found = ways.iter().flatten().find(|looked_up| looked_up.hash == hash)?;
        let (row, record) = &found.known;
        (found.change == change && row.has_key(key)).then(|| Arc::clone(record))
    }

    fn note(&mut self, looked_up: LookedUp<T>) {
        let place = place_of(looked_up.hash, self.keys.len());
        let Some(ways) = self.keys.get_mut(place) else { return };
        // In the place of what was known under this hash, or of the oldest.
        let old = ways.iter().position(|known| known.as_ref().is_some_and(|known| known.hash == looked_up.hash));
        ways[..=old.unwrap_or(WAYS - 1)].rotate_right(1);
        ways[0] = Some(looked_up);
    }

    fn get(&mut self, row: &Row, decode: impl FnOnce(&Row) -> Option<T>) -> Option<Arc<T>> {
        // Rows lie 16 bytes apart at least; the multiplication spreads what is left over the upper bits.
        let spread = (row.address() >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let places = self.rows.len();
        let ways = self.rows.get_mut(spread % places.max(1))?;
        if let Some((_, record)) = ways.iter().flatten().find(|(known, _)| known.is(row)) {
            return Some(Arc::clone(record));
        }
        let record = Arc::new(decode(row)?);
        ways.rotate_right(1);
        if let Some(first) = ways.first_mut() {
            *first = Some((row.clone(), Arc::clone(&record)));
        }
        Some(record)
    }
}

/// One of so many places for a hash.
fn place_of(hash: u64, places: usize) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() % places.max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn row(number: u32) -> Row {
        Row::new(0, &number.to_string(), &[], b"", &mut Vec::new()).unwrap()
    }

    #[test]
    fn bnd_1_a_row_is_decoded_once_and_many_rows_do_not_add_up() {
        let one = row(1);
        let first = decoded(1, &one, |_| Some(1_u32)).unwrap();
        assert!(Arc::ptr_eq(&first, &decoded(1, &one, |_| None).unwrap()));
        assert_eq!(decoded(2, &one, |_| Some("another table")).as_deref(), Some(&"another table"));
        let rows: Vec<Row> = (0..20_000).map(row).collect();
        let records: Vec<Arc<u32>> = rows.iter().map(|row| decoded(1, row, |_| Some(7)).unwrap()).collect();
        let kept = records.iter().filter(|record| Arc::strong_count(record) > 1).count();
        assert!((DECODED_MAX / 2..=DECODED_MAX).contains(&kept), "{kept}");
    }

    #[test]
    fn bnd_1_tables_of_rooms_that_were_started_again_do_not_add_up() {
        let one = row(1);
        for table in 100..200 {
            assert_eq!(decoded(table, &one, |_| Some(table)).as_deref(), Some(&table));
        }
        assert!(TABLES.with_borrow(Vec::len) <= TABLES_MAX);
    }
}
