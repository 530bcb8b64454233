//! Small pieces of bytes, cut from larger ones.
//!
//! A record on its way to Kafka is a dozen of small values. Each of its own allocation would be made on the thread that decides
//! and freed on the thread that sends, which is what costs an allocator most. Pieces that are written one after the other share
//! one allocation, which is freed with the last of them.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;

/// Size of what pieces are cut from. A piece that is kept for long keeps as much.
const CHUNK_BYTES: usize = 32 * 1024;

thread_local! {
    static CHUNK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(CHUNK_BYTES));
    /// Where a value is written whose length is not known before.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A text.
pub(crate) fn cut(text: &str) -> Bytes {
    copied(text.as_bytes())
}

/// Bytes.
pub(crate) fn cut_bytes(bytes: &[u8]) -> Bytes {
    copied(bytes)
}

/// What `write` writes.
///
/// # Errors
/// Those of `write`.
pub(crate) fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(scratch)?;
        let piece = copied(scratch);
        // One huge value shall not take its room for ever.
        scratch.shrink_to(CHUNK_BYTES);
        Ok(piece)
    })
}

fn copied(bytes: &[u8]) -> Bytes {
    CHUNK.with_borrow_mut(|chunk| {
        chunk.extend_from_slice(bytes);
        chunk.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_side_by_side_and_hold_what_was_written() {
        let (one, two) = (cut("wardline"), cut(""));
        let three = written(|to| {
            to.extend([7; 10]);
            Ok::<_, ()>(())
        });
        assert_eq!((&*one, &*two, three), (&b"wardline"[..], &b""[..], Ok(Bytes::from_static(&[7; 10]))));
        assert_eq!(written(|_| Err("no")), Err("no"));
        let large = written(|to| {
            to.resize(10 * CHUNK_BYTES, 1);
            Ok::<_, ()>(())
        });
        assert_eq!(large.map(|piece| piece.len()), Ok(10 * CHUNK_BYTES));
        assert_eq!(&*cut("after"), b"after");
    }
}
