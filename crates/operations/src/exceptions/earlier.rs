//! Where the earlier records of exceptions lie: most have none, so it takes nothing for them.

use super::id::Id;
use super::pool::map_bytes;
use std::collections::HashMap;

/// Most earlier records of one exception whose places are held, the newest ones.
const PLACES_MAX: usize = 1_000;

/// Partition and offset.
type Place = (i32, i64);

/// The places, oldest first, by exception.
#[derive(Debug, Default)]
pub struct Earlier {
    places: HashMap<Id, Vec<Place>>,
}

impl Earlier {
    /// A newer record than this one has come.
    pub fn note(&mut self, id: &Id, place: Place) {
        let places = self.places.entry(id.clone()).or_default();
        if places.len() >= PLACES_MAX {
            places.remove(0);
        }
        // Most have few, and of very many exceptions it counts what each may hold.
        if places.len() == places.capacity() {
            places.reserve_exact(1 + places.len() / 2);
        }
        places.push(place);
    }

    /// Those of one exception.
    pub fn of(&self, id: &Id) -> impl Iterator<Item = Place> {
        self.places.get(id).into_iter().flatten().copied()
    }

    /// An exception is gone.
    pub fn forget(&mut self, id: &Id) {
        self.places.remove(id);
    }

    /// All are gone.
    pub fn clear(&mut self) {
        self.places.clear();
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        let map = map_bytes(self.places.capacity(), size_of::<(Id, Vec<Place>)>());
        map + self.places.values().map(|places| places.capacity() * size_of::<Place>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed;
    use super::super::index::{Bounds, Index};
    use super::*;
    use schemas::{Exception, ExceptionKind};

    const ID: &str = "0f2b7c3e-9d0a-5b7e-8a51-0f3c2f9f1a77";

    fn tell(index: &mut Index, offset: i64, kind: ExceptionKind) {
        let exception = Exception { exception_id: ID.to_owned(), kind, ..Exception::default() };
        index.tell(feed::told(&exception, (2, offset)));
    }

    #[test]
    fn every_record_of_an_exception_has_its_place_until_it_is_gone() {
        let mut index = Index::new(Bounds { exceptions_max: 10, parked_max: 10 });
        tell(&mut index, 3, ExceptionKind::Raised);
        assert_eq!(index.places(ID), [(2, 3)]);
        tell(&mut index, 7, ExceptionKind::Assigned);
        tell(&mut index, 9, ExceptionKind::Resolved);
        assert_eq!(index.places(ID), [(2, 3), (2, 7), (2, 9)]);
        index.forget(ID);
        assert_eq!(index.places(ID), []);
        tell(&mut index, 10, ExceptionKind::Raised);
        assert_eq!(index.places(ID), [(2, 10)], "what was forgotten is not remembered");
        tell(&mut index, 11, ExceptionKind::Assigned);
        index.clear_exceptions();
        tell(&mut index, 3, ExceptionKind::Raised);
        assert_eq!(index.places(ID), [(2, 3)]);
    }

    #[test]
    fn bnd_1_places_are_bounded_and_the_newest_stay() {
        let (mut earlier, id) = (Earlier::default(), Id::of(ID));
        (0..2_000).for_each(|offset| earlier.note(&id, (0, offset)));
        let all: Vec<_> = earlier.of(&id).collect();
        assert_eq!((all.len(), all.first(), all.last()), (PLACES_MAX, Some(&(0, 1_000)), Some(&(0, 1_999))));
    }
}
