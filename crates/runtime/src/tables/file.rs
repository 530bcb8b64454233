//! The file of a snapshot: written whole or not at all, and believed only when every bit is as it was written.
//!
//! ```text
//! WLTABLE2  block*  end
//! block     length (4 bytes)  crc32c of length and content (4 bytes)  content
//! end       a block of length 0, and nothing behind it
//! ```
//! The first block is the header, as JSON. Each further one is rows: length (4 bytes) and bytes. Numbers are little-endian.

use processor::Row;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const MAGIC: [u8; 8] = *b"WLTABLE2";
/// A block is closed when it has so many bytes.
const BLOCK_BYTES: usize = 256 * 1024;
/// No block has more: a record has 16 MB at most, and a longer length is a lie.
const BLOCK_MAX: usize = 64 * 1024 * 1024;
/// Length and checksum.
const BLOCK_HEAD: usize = 8;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Version of Wardline that wrote it.
    pub release: String,
    /// The topic.
    pub topic: String,
    /// The contract that the rows were looked at with, as JSON.
    pub contract: String,
    /// When the rows were as they are here, wall clock, microseconds since 1970.
    pub taken_at_micros: i64,
    /// The last record of each partition that is in it.
    pub witnesses: Vec<Witness>,
    /// The schemas that rows were written with.
    pub writers: Vec<String>,
    /// Number of rows.
    pub rows: u64,
}

/// The last record that was read from a partition. When it is still in its place, the topic is the one that was read; a topic
/// that was made anew, or cut, has another one there or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witness {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// crc32c of key, value and time.
    pub crc: u32,
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// There is none.
    #[error("there is none")]
    Absent,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] Error),
    /// It is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is of something else, or too old.
    #[error("{0}")]
    Refused(String),
}

/// Writes a snapshot beside the old one, and puts it in its place when it is on the disk. Returns its length in bytes.
///
/// # Errors
/// When the disk is full or the folder cannot be written to; the old snapshot is as it was.
pub(super) fn write(path: &Path, beside: &Path, header: &Header, rows: &[Row]) -> Result<u64, Error> {
    let written = write_to(beside, header, rows).and_then(|bytes| {
        std::fs::rename(beside, path)?;
        // The new name is as lasting as the file.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        Ok(bytes)
    });
    if written.is_err() {
        // What is left of it takes space, and nothing reads it.
        drop(std::fs::remove_file(beside));
    }
    written
}

/// Reads a snapshot: the header first, which may be refused, then every row.
///
/// # Errors
/// See [`Unusable`]. Rows may have been handed out by then; they must not be used.
pub(super) fn read(
    path: &Path,
    accept: impl FnOnce(&Header) -> Result<(), String>,
    row: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Header, Unusable> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unusable::Absent,
        _ => Unusable::Io(error),
    })?;
    let length = file.metadata()?.len();
    read_from(file, length, accept, row)
}

/// As [`read`], of so many bytes from anywhere.
///
/// # Errors
/// As [`read`].
pub(super) fn read_from(
    source: impl Read,
    length: u64,
    accept: impl FnOnce(&Header) -> Result<(), String>,
    mut row: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Header, Unusable> {
    let mut blocks = Blocks { source, left: length, content: Vec::new() };
    blocks.magic()?;
    let header = blocks.next()?.ok_or(Unusable::Damaged("it has no header"))?;
    let header: Header = serde_json::from_slice(header).map_err(|_| Unusable::Damaged("its header is none"))?;
    accept(&header).map_err(Unusable::Refused)?;
    let mut rows = 0;
    while let Some(mut block) = blocks.next()? {
        while let Some((length, rest)) = block.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (bytes, rest) = rest.split_at_checked(length).ok_or(Unusable::Damaged("a row is cut"))?;
            row(bytes).map_err(Unusable::Refused)?;
            rows += 1;
            block = rest;
        }
        if !block.is_empty() {
            return Err(Unusable::Damaged("bytes are left in a block"));
        }
    }
    if rows != header.rows || blocks.left != 0 {
        return Err(Unusable::Damaged("it does not end where it must"));
    }
    Ok(header)
}

fn write_to(path: &Path, header: &Header, rows: &[Row]) -> Result<u64, Error> {
    // The rows are as confidential as the topic.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&MAGIC)?;
    let mut total = MAGIC.len();
    let mut block = vec![0; BLOCK_HEAD];
    block.extend(serde_json::to_vec(header)?);
    total += close(&mut file, &mut block)?;
    for row in rows {
        let bytes = row.bytes();
        let length = u32::try_from(bytes.len()).map_err(Error::other)?;
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(bytes);
        if block.len() >= BLOCK_BYTES {
            total += close(&mut file, &mut block)?;
        }
    }
    if block.len() > BLOCK_HEAD {
        total += close(&mut file, &mut block)?;
    }
    total += close(&mut file, &mut block)?;
    file.sync_all()?;
    u64::try_from(total).map_err(Error::other)
}

/// Writes a block and begins the next one. Returns how many bytes it took.
fn close(file: &mut File, block: &mut Vec<u8>) -> Result<usize, Error> {
    let content = block.len() - BLOCK_HEAD;
    if content > BLOCK_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "a record is too long"));
    }
    let length = u32::try_from(content).map_err(Error::other)?.to_le_bytes();
    let crc = checksum(length, block.get(BLOCK_HEAD..).unwrap_or_default());
    for (place, byte) in block.iter_mut().zip(length.into_iter().chain(crc.to_le_bytes())) {
        *place = byte;
    }
    file.write_all(block)?;
    let written = block.len();
    block.truncate(BLOCK_HEAD);
    Ok(written)
}

fn checksum(length: [u8; 4], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), content)
}

/// The blocks of a file, one after the other.
struct Blocks<R> {
    source: R,
    /// Bytes of the file that were not read yet.
    left: u64,
    content: Vec<u8>,
}

impl<R: Read> Blocks<R> {
    fn magic(&mut self) -> Result<(), Unusable> {
        let mut magic = MAGIC;
        self.take(&mut magic)?;
        if magic == MAGIC { Ok(()) } else { Err(Unusable::Damaged("it is no snapshot of this format")) }
    }

    /// The next block; none at the end.
    fn next(&mut self) -> Result<Option<&[u8]>, Unusable> {
        let (mut length, mut crc) = ([0; 4], [0; 4]);
        self.take(&mut length)?;
        self.take(&mut crc)?;
        let content = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if content > BLOCK_MAX || u64::try_from(content).is_ok_and(|content| content > self.left) {
            return Err(Unusable::Damaged("it is cut, or a length is wrong"));
        }
        let mut block = std::mem::take(&mut self.content);
        block.resize(content, 0);
        self.take(&mut block)?;
        self.content = block;
        if checksum(length, &self.content) != u32::from_le_bytes(crc) {
            return Err(Unusable::Damaged("a checksum is wrong"));
        }
        Ok((content > 0).then_some(self.content.as_slice()))
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Unusable> {
        let asked = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(asked).ok_or(Unusable::Damaged("it is cut"))?;
        Ok(self.source.read_exact(bytes)?)
    }
}
