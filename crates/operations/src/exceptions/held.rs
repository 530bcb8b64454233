//! One exception as the index holds it: numbers for texts, and places instead of bytes.

use super::id::Id;
use schemas::{ExceptionKind, ExceptionState};

/// Most earlier records of one exception whose places are held, the newest ones.
const PLACES_MAX: usize = 1_000;

/// An exception as the index holds it.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub id: Id,
    /// Number of its cause.
    pub cause: u32,
    /// Number of what was said.
    pub said: u32,
    /// Number of its lane; [`NONE`] when nothing of it is parked or it is settled.
    pub lane: u32,
    /// Number of who has it.
    pub assignee: u32,
    /// Number of who asked to discard it.
    pub requested_by: u32,
    /// Number of who proposed the correction that waits; [`NONE`] when none waits.
    pub corrected_by: u32,
    /// Number of the mark of that correction.
    pub mark: u32,
    /// Number of the topic it is about.
    pub topic: u32,
    /// Partition of that.
    pub origin_partition: i32,
    /// Offset there.
    pub origin_offset: i64,
    /// Partition of the exception topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// When it was raised.
    pub raised_at: i64,
    /// When the last thing happened.
    pub at: i64,
    /// What that was.
    pub kind: ExceptionKind,
    /// Where it stands.
    pub state: ExceptionState,
    /// Place of its class in [`CLASSES`].
    pub class: u8,
    /// Whether events of its key are parked.
    pub parked_key: bool,
    /// Places of its earlier records, oldest first; none for most.
    pub earlier: Vec<(i32, i64)>,
}

impl Held {
    /// Places of all its records that are known, oldest first.
    pub fn places(&self) -> Vec<(i32, i64)> {
        self.earlier.iter().copied().chain([(self.partition, self.offset)]).collect()
    }

    /// One more record of it has come that is not the one it stands by.
    pub fn note(&mut self, place: (i32, i64)) {
        if self.earlier.len() >= PLACES_MAX {
            self.earlier.remove(0);
        }
        self.earlier.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::{Bounds, Index};
    use super::super::told::Told;
    use super::*;

    fn told(offset: i64, kind: ExceptionKind) -> Told {
        let exception = schemas::Exception {
            exception_id: "0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77".to_owned(),
            kind,
            ..schemas::Exception::default()
        };
        super::super::feed::told(&exception, (2, offset))
    }

    #[test]
    fn every_record_of_an_exception_has_its_place_and_they_are_bounded() {
        let mut index = Index::new(Bounds { exceptions_max: 10, parked_max: 10 });
        let places = |index: &Index| {
            let held = index.held("0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77");
            held.map(Held::places).unwrap_or_default()
        };
        index.tell(told(3, ExceptionKind::Raised));
        assert_eq!(places(&index), [(2, 3)]);
        index.tell(told(7, ExceptionKind::Assigned));
        index.tell(told(9, ExceptionKind::Resolved));
        assert_eq!(places(&index), [(2, 3), (2, 7), (2, 9)]);
        for offset in 10..2_000 {
            index.tell(told(offset, ExceptionKind::Commented));
        }
        let all = places(&index);
        assert_eq!((all.len(), all.last()), (PLACES_MAX + 1, Some(&(2, 1_999))));
        index.forget("0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77");
        index.tell(told(2_000, ExceptionKind::Raised));
        assert_eq!(places(&index), [(2, 2_000)], "what was forgotten is not remembered");
    }
}
