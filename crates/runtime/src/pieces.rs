//! Small pieces of bytes, cut from larger ones.
//!
//! A record on its way to Kafka is a dozen of small values. Each of its own allocation would be made on the thread that decides
//! and freed on the thread that sends, which is what costs an allocator most. Pieces that are written one after the other share
//! one allocation, which is freed with the last of them.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Size of what pieces are cut from. A piece that is kept for long keeps as much.
pub(crate) const CHUNK_BYTES: usize = 32 * 1024;

thread_local! {
    static CHUNK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(CHUNK_BYTES));
    /// Where a value is written whose length is not known before.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A text of the configuration that each record carries, for as long as the process lives: nobody counts who holds it. The same
/// text is kept once, so rooms that start again add nothing.
pub(crate) fn kept(text: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.into());
    kept.insert(text);
    text
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
    fn bnd_1_a_text_is_kept_once() {
        let (one, other) = (kept("tenant of a test"), kept(&String::from("tenant of a test")));
        assert!(std::ptr::eq(one, other));
        assert_eq!((one, kept("another")), ("tenant of a test", "another"));
    }

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
