//! Sorts any number of facts in bounded memory: what does not fit is written, sorted, to a file without a name, and the
//! sorted pieces are merged while they are read (BND-1).

use super::fact::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of facts that one sorter holds in memory, when nothing else is said.
pub const MEMORY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one sorted piece that are held while pieces are merged.
const WINDOW_BYTES: usize = 32 * 1024;
/// Facts of one key that are compared; more say nothing new.
const GROUP_MAX: usize = 10_000;
/// What stands before a fact in a file: its key and its length.
const HEAD_BYTES: usize = 20;

/// Facts could not be put aside or read back.
#[derive(Debug, thiserror::Error)]
#[error("WL-7186: the comparison cannot use its temporary file in {folder}: {reason}")]
pub struct SpillError {
    folder: String,
    reason: String,
}

/// Where facts are put aside and how much is held.
#[derive(Clone, Debug)]
pub struct Room {
    /// Folder of the temporary files; they have no name in it and go with the process.
    pub folder: PathBuf,
    /// Bytes of facts that each sorter holds in memory.
    pub memory_bytes: usize,
}

/// Facts on their way into order.
pub struct Sorter<F> {
    room: Room,
    /// Encoded facts, one after the other.
    bytes: Vec<u8>,
    /// Where each of them is: key, start, length.
    index: Vec<(Key, u32, u32)>,
    file: Option<File>,
    /// Start and end of each sorted piece in the file.
    pieces: Vec<(u64, u64)>,
    /// Facts put in.
    count: u64,
    fact: PhantomData<F>,
}

/// Facts in order, those of one key together.
pub struct Groups<F> {
    folder: PathBuf,
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    file: Option<File>,
    fact: PhantomData<F>,
}

/// One sorted piece: its last one is still in memory.
struct Source {
    /// Bytes of the file that are not in `window` yet.
    rest: (u64, u64),
    window: Vec<u8>,
    at: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { folder: std::env::temp_dir(), memory_bytes: MEMORY_BYTES }
    }
}

impl<F: Serialize + DeserializeOwned> Sorter<F> {
    /// An empty one.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let (bytes, index, pieces) = (Vec::new(), Vec::new(), Vec::new());
        Self { room, bytes, index, file: None, pieces, count: 0, fact: PhantomData }
    }

    /// Puts a fact in.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn push(&mut self, key: Key, fact: &F) -> Result<(), SpillError> {
        let start = self.bytes.len();
        // A Vec takes every byte, and facts are plain data.
        self.bytes = postcard::to_extend(fact, std::mem::take(&mut self.bytes)).map_err(|error| self.failed(&error))?;
        let entry = (u32::try_from(start), u32::try_from(self.bytes.len() - start));
        let (Ok(start), Ok(length)) = entry else { return Err(self.failed(&"a fact is too large")) };
        self.index.push((key, start, length));
        self.count += 1;
        if self.held_bytes() >= self.room.memory_bytes {
            self.put_aside()?;
        }
        Ok(())
    }

    /// Facts put in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of facts in memory now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.len() + self.index.len() * size_of::<(Key, u32, u32)>()
    }

    /// Bytes in the temporary file.
    #[must_use]
    pub fn spilled_bytes(&self) -> u64 {
        self.pieces.last().map_or(0, |(_, end)| *end)
    }

    /// Brings the facts in order. Those of one key come in the order in which they were put in.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn sorted(mut self) -> Result<Groups<F>, SpillError> {
        let window = self.encoded();
        let mut sources: Vec<Source> =
            self.pieces.iter().map(|rest| Source { rest: *rest, window: Vec::new(), at: 0 }).collect();
        sources.push(Source { rest: (0, 0), window, at: 0 });
        let (folder, file) = (self.room.folder, self.file);
        let mut groups = Groups { folder, sources, heads: BinaryHeap::new(), file, fact: PhantomData };
        for number in 0..groups.sources.len() {
            groups.look(number)?;
        }
        Ok(groups)
    }

    /// The facts in memory, sorted, as they stand in the file.
    fn encoded(&mut self) -> Vec<u8> {
        self.index.sort_by_key(|(key, start, _)| (*key, *start));
        let mut sorted = Vec::with_capacity(self.bytes.len() + self.index.len() * HEAD_BYTES);
        for (key, start, length) in &self.index {
            sorted.extend_from_slice(&key.to_be_bytes());
            sorted.extend_from_slice(&length.to_be_bytes());
            let (start, length) = (*start as usize, *length as usize);
            sorted.extend_from_slice(self.bytes.get(start..start + length).unwrap_or_default());
        }
        self.bytes = Vec::new();
        self.index = Vec::new();
        sorted
    }

    fn put_aside(&mut self) -> Result<(), SpillError> {
        let sorted = self.encoded();
        let start = self.spilled_bytes();
        let written = self.write(&sorted);
        written.map_err(|error| self.failed(&error))?;
        self.pieces.push((start, start + sorted.len() as u64));
        Ok(())
    }

    fn write(&mut self, sorted: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.room.folder)?),
        };
        let mut writer = BufWriter::new(file);
        writer.write_all(sorted)?;
        writer.flush()
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> SpillError {
        failed(&self.room.folder, reason)
    }
}

impl<F: DeserializeOwned> Iterator for Groups<F> {
    type Item = Result<(Key, Vec<F>), SpillError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((key, _)) = *self.heads.peek()?;
        let mut facts = Vec::new();
        while let Some(Reverse((next, number))) = self.heads.peek().copied() {
            if next != key {
                break;
            }
            self.heads.pop();
            match self.take(number) {
                Ok(fact) if facts.len() < GROUP_MAX => facts.push(fact),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok((key, facts)))
    }
}

impl<F: DeserializeOwned> Groups<F> {
    /// The fact at the head of a piece; looks at the next one.
    fn take(&mut self, number: usize) -> Result<F, SpillError> {
        let broken = || failed(&self.folder, &"a piece ends in the middle of a fact");
        let source = self.sources.get_mut(number).ok_or_else(broken)?;
        let length = source.length().ok_or_else(broken)?;
        let start = source.at + HEAD_BYTES;
        let body = source.window.get(start..start + length).ok_or_else(broken)?;
        let fact = postcard::from_bytes(body).map_err(|error| failed(&self.folder, &error))?;
        source.at = start + length;
        self.look(number)?;
        Ok(fact)
    }

    /// Makes sure that the next fact of a piece is whole in memory, and remembers its key.
    fn look(&mut self, number: usize) -> Result<(), SpillError> {
        let Some(source) = self.sources.get_mut(number) else { return Ok(()) };
        source.fill(self.file.as_ref()).map_err(|error| failed(&self.folder, &error))?;
        let head = source.window.get(source.at..source.at + 16).and_then(|head| <[u8; 16]>::try_from(head).ok());
        if let Some(head) = head {
            self.heads.push(Reverse((Key::from_be_bytes(head), number)));
        }
        Ok(())
    }
}

impl Source {
    fn length(&self) -> Option<usize> {
        let head = self.window.get(self.at + 16..self.at + HEAD_BYTES)?;
        Some(u32::from_be_bytes(head.try_into().ok()?) as usize)
    }

    fn fill(&mut self, file: Option<&File>) -> io::Result<()> {
        let Some(file) = file else { return Ok(()) };
        loop {
            let left = self.window.len() - self.at;
            let wanted = self.length().map_or(HEAD_BYTES, |length| HEAD_BYTES + length);
            if left >= wanted || self.rest.0 >= self.rest.1 {
                return Ok(());
            }
            self.window.drain(..self.at);
            self.at = 0;
            let more = usize::try_from(self.rest.1 - self.rest.0).unwrap_or(usize::MAX);
            let more = more.min(WINDOW_BYTES.max(wanted));
            let old = self.window.len();
            self.window.resize(old + more, 0);
            let target = self.window.get_mut(old..).unwrap_or_default();
            file.read_exact_at(target, self.rest.0)?;
            self.rest.0 += more as u64;
        }
    }
}

fn failed(folder: &Path, reason: &dyn std::fmt::Display) -> SpillError {
    SpillError { folder: folder.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "test")]
mod tests {
    use super::*;

    fn sorted(facts: &[(Key, String)], memory_bytes: usize) -> (Vec<(Key, Vec<String>)>, u64) {
        let mut sorter = Sorter::new(Room { memory_bytes, ..Room::default() });
        for (key, fact) in facts {
            sorter.push(*key, fact).unwrap();
            assert!(sorter.held_bytes() < memory_bytes.max(200), "BND-1");
        }
        let spilled = sorter.spilled_bytes();
        (sorter.sorted().unwrap().collect::<Result<_, _>>().unwrap(), spilled)
    }

    #[test]
    fn bnd_1_the_order_is_the_same_in_little_memory_and_in_much() {
        // Keys that repeat, in no order; some facts are longer than a window.
        let facts: Vec<(Key, String)> = (0..5_000_u128)
            .map(|number| (number * 7_919 % 1_009, format!("{number}-{}", "x".repeat((number % 90) as usize))))
            .chain([(3, "y".repeat(2 * WINDOW_BYTES))])
            .collect();
        let (in_memory, nothing) = sorted(&facts, 1 << 30);
        let (on_disk, spilled) = sorted(&facts, 10_000);
        assert_eq!(nothing, 0);
        assert!(spilled > 100_000, "{spilled}");
        assert_eq!(in_memory.len(), 1_009);
        assert_eq!(in_memory, on_disk);
        assert!(in_memory.is_sorted_by_key(|(key, _)| *key));
        let three: Vec<&str> = on_disk[3].1.iter().map(|fact| &fact[..1]).collect();
        assert_eq!(three.last(), Some(&"y"), "facts of one key stay in the order in which they came");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let room = Room { folder: "/no/such/folder".into(), memory_bytes: 1 };
        let error = Sorter::new(room).push(1, &1_u8).unwrap_err();
        assert!(error.to_string().starts_with("WL-7186: "), "{error}");
    }
}
