//! In which order the parking topic is read when lanes are to be tried again: in sweeps.
//!
//! One place after the other, with what lies between them, costs a little; a place far away costs a new beginning. So the reading
//! goes on in one direction through a partition and then through the next, and serves each lane when it comes by its head. A
//! lane that becomes due behind it is served in the next sweep. So is one whose head cannot be read yet, because it stands behind
//! a transaction of somebody else that is open: it holds nobody up (KEY-1).

use super::Lane;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// So many records further on it is cheaper to read on than to start anew.
const NEAR: i64 = 1_000;

/// A place on the parking topic: partition and offset.
pub type At = (i32, i64);

/// The lanes that are to be tried, and where the reading stands.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Lanes by the place of their head.
    heads: BTreeMap<At, Arc<Lane>>,
    /// Lanes whose head is not held, by the place from which it is looked for.
    seekers: BTreeSet<(i32, i64, Arc<Lane>)>,
    /// Those of them that the reading has come by: it goes on until their heads are found.
    starving: HashSet<Arc<Lane>>,
    /// Lanes whose next events are taken note of on the way.
    topping: HashSet<Arc<Lane>>,
    /// What is read next.
    at: At,
    /// The partition had no more: the reading goes on in the next one, whatever is still wanted of this one.
    has_ended: bool,
}

/// What a record is that was come by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The head of a lane that is to be tried.
    Head(Arc<Lane>),
    /// Perhaps one of those that are looked for.
    Perhaps,
    /// Nothing that is wanted.
    Nothing,
    /// The record at this offset should have come before it.
    Missing(i64),
}

impl Sweep {
    /// A lane is to be tried, whose head lies here.
    pub fn add(&mut self, lane: &Arc<Lane>, place: At) {
        self.heads.insert(place, Arc::clone(lane));
    }

    /// A lane is to be tried, whose head is to be looked for from here on. While its events are taken note of on the way, it
    /// goes on from where the reading stands.
    pub fn seek(&mut self, lane: &Arc<Lane>, (partition, from): At) {
        if self.topping.remove(lane) {
            self.starving.insert(Arc::clone(lane));
        } else if !self.starving.contains(lane) {
            self.seekers.insert((partition, from, Arc::clone(lane)));
        }
    }

    /// A lane is not to be tried for now; `place` is that of its head, `from` where it is looked for. Says whether everything
    /// before the reading was looked at for it.
    pub fn remove(&mut self, lane: &Arc<Lane>, place: Option<At>, from: At) -> bool {
        match place {
            Some(place) => {
                self.heads.remove(&place);
            }
            None => {
                self.seekers.remove(&(from.0, from.1, Arc::clone(lane)));
            }
        }
        self.starving.remove(lane)
    }

    /// Its events are not taken note of any more.
    pub fn forget(&mut self, lane: &Lane) {
        self.topping.remove(lane);
        self.starving.remove(lane);
    }

    /// Whether any lane is to be tried.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.seekers.is_empty() && self.starving.is_empty()
    }

    /// Where to read next; and the lanes that are passed by when the reading jumps there.
    pub fn aim(&mut self) -> Option<(At, Vec<Arc<Lane>>)> {
        if !self.starving.is_empty() {
            return Some((self.at, Vec::new()));
        }
        let from = if std::mem::take(&mut self.has_ended) { (self.at.0, i64::MAX) } else { self.at };
        let target = self.first_from(from).or_else(|| self.first_from((i32::MIN, i64::MIN)))?;
        let is_near = target.0 == self.at.0 && (0..NEAR).contains(&(target.1 - self.at.1));
        if is_near {
            return Some((self.at, Vec::new()));
        }
        self.at = target;
        Some((target, self.topping.drain().collect()))
    }

    /// Whether the reading stands so that nothing but places is wanted.
    pub fn is_looking(&self) -> bool {
        !self.starving.is_empty() || !self.topping.is_empty()
    }

    /// Offset that is read next, and its partition.
    pub fn at(&self) -> At {
        self.at
    }

    /// The reading comes by a record.
    pub fn meet(&mut self, partition: i32, offset: i64) -> Met {
        let (before, here) = (self.at, (partition, offset));
        self.at = (partition, offset + 1);
        if before.0 == partition && before.1 < offset {
            let missing = self.heads.range(before..here).next().map(|((_, offset), _)| *offset);
            if let Some(missing) = missing {
                return Met::Missing(missing);
            }
        }
        self.join(before, offset);
        match self.heads.remove(&here) {
            Some(lane) => Met::Head(lane),
            None if self.is_looking() => Met::Perhaps,
            None => Met::Nothing,
        }
    }

    /// Whether events of a lane are looked for: with `true` its head is.
    pub fn looks_for(&self, lane: &Lane) -> Option<(Arc<Lane>, bool)> {
        let starving = self.starving.get(lane).map(|lane| (Arc::clone(lane), true));
        starving.or_else(|| self.topping.get(lane).map(|lane| (Arc::clone(lane), false)))
    }

    /// The head of a lane was found: the next events are taken note of when `goes_on`.
    pub fn fed(&mut self, lane: &Arc<Lane>, goes_on: bool) {
        self.starving.remove(lane);
        if goes_on {
            self.topping.insert(Arc::clone(lane));
        } else {
            self.topping.remove(lane);
        }
    }

    /// The partition has no more: says who has found nothing, and whose events were taken note of. Heads that lie further on are
    /// come by in the next sweep.
    pub fn ended(&mut self) -> (Vec<Arc<Lane>>, Vec<Arc<Lane>>) {
        self.join(self.at, self.at.1);
        self.has_ended = true;
        (self.starving.drain().collect(), self.topping.drain().collect())
    }

    fn join(&mut self, before: At, offset: i64) {
        let (partition, from) = before;
        while let Some(first) = self.first_seeker((partition, from)).filter(|at| at.0 == partition && at.1 <= offset) {
            let lanes = self.seekers.range(lowest(first)..);
            let Some(seeker) = lanes.into_iter().next().cloned() else { return };
            self.seekers.remove(&seeker);
            self.starving.insert(seeker.2);
        }
    }

    fn first_from(&self, at: At) -> Option<At> {
        let head = self.heads.range(at..).next().map(|(place, _)| *place);
        head.into_iter().chain(self.first_seeker(at)).min()
    }

    fn first_seeker(&self, at: At) -> Option<At> {
        if self.seekers.is_empty() {
            return None;
        }
        self.seekers.range(lowest(at)..).next().map(|(partition, from, _)| (*partition, *from))
    }
}

/// What sorts before every lane that is looked for from a place on.
fn lowest((partition, from): At) -> (i32, i64, Arc<Lane>) {
    let lane = Lane { topic: Arc::from(""), partition: i32::MIN, key: Arc::from(&[][..]), alone: None };
    (partition, from, Arc::new(lane))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn lane(key: &str) -> Arc<Lane> {
        Arc::new(Lane { topic: Arc::from("t"), partition: 0, key: Arc::from(key.as_bytes()), alone: None })
    }

    #[test]
    fn heads_are_met_in_one_direction_and_a_far_one_is_jumped_to() {
        let mut sweep = Sweep::default();
        for (key, place) in [("a", (0, 5)), ("b", (0, 9)), ("c", (1, 3)), ("d", (0, 90_000))] {
            sweep.add(&lane(key), place);
        }
        assert_eq!(sweep.aim().unwrap().0, (0, 0), "near");
        assert_eq!((sweep.meet(0, 4), sweep.meet(0, 5)), (Met::Nothing, Met::Head(lane("a"))));
        sweep.add(&lane("a"), (0, 2));
        assert_eq!(sweep.aim().unwrap().0, (0, 6), "it goes on, what is behind it waits");
        assert_eq!(sweep.meet(0, 9), Met::Head(lane("b")));
        assert_eq!(sweep.aim().unwrap().0, (0, 90_000));
        assert_eq!(sweep.meet(0, 90_000), Met::Head(lane("d")));
        assert_eq!(sweep.aim().unwrap().0, (1, 3));
        assert_eq!(sweep.meet(1, 3), Met::Head(lane("c")));
        assert_eq!(sweep.aim().unwrap().0, (0, 2), "around");
        assert_eq!(sweep.meet(0, 3), Met::Missing(2));
    }

    #[test]
    fn whose_head_is_not_held_is_looked_for_until_it_is_found_and_its_next_ones_noted() {
        let mut sweep = Sweep::default();
        let (a, b) = (lane("a"), lane("b"));
        sweep.seek(&a, (0, 5_000));
        sweep.seek(&b, (0, 5_003));
        assert_eq!(sweep.aim().unwrap().0, (0, 5_000));
        assert_eq!(sweep.meet(0, 5_001), Met::Perhaps);
        assert_eq!((sweep.looks_for(&a), sweep.looks_for(&b)), (Some((Arc::clone(&a), true)), None));
        sweep.add(&lane("c"), (0, 90_000));
        assert_eq!(sweep.aim().unwrap().0, (0, 5_002), "nothing is jumped over");
        assert_eq!(sweep.meet(0, 5_004), Met::Perhaps, "the broker leaves places out");
        sweep.fed(&a, true);
        sweep.fed(&b, false);
        assert_eq!((sweep.looks_for(&a), sweep.looks_for(&b)), (Some((Arc::clone(&a), false)), None));
        sweep.seek(&a, (0, 5_005));
        assert_eq!(sweep.looks_for(&a), Some((Arc::clone(&a), true)), "its head is wanted again");
        sweep.fed(&a, true);
        assert_eq!(sweep.aim().unwrap(), ((0, 90_000), vec![a]), "passed by");
        assert!(!sweep.is_looking());
    }

    #[test]
    fn at_the_end_of_a_partition_it_is_said_who_found_nothing() {
        let mut sweep = Sweep::default();
        let (a, b) = (lane("a"), lane("b"));
        sweep.seek(&a, (3, 10));
        sweep.aim();
        sweep.meet(3, 10);
        sweep.seek(&b, (3, 11));
        assert_eq!(sweep.ended().0.len(), 2);
        assert!(sweep.is_empty() && sweep.aim().is_none());
    }

    #[test]
    fn key_1_a_head_that_cannot_be_read_yet_holds_no_other_partition_up() {
        let mut sweep = Sweep::default();
        for (key, place) in [("a", (0, 5)), ("b", (1, 90_000)), ("c", (2, 3))] {
            sweep.add(&lane(key), place);
        }
        assert_eq!(sweep.aim().unwrap().0, (0, 0), "near");
        sweep.ended();
        assert_eq!(sweep.aim().unwrap().0, (1, 90_000));
        assert_eq!(sweep.aim().unwrap().0, (1, 90_000), "as long as it is not said that there is none");
        sweep.ended();
        assert_eq!(sweep.aim().unwrap().0, (2, 3));
        assert_eq!(sweep.meet(2, 3), Met::Head(lane("c")));
        assert_eq!(sweep.aim().unwrap().0, (0, 5), "around");
        sweep.ended();
        assert_eq!(sweep.aim().unwrap().0, (1, 90_000));
        assert_eq!(sweep.meet(1, 90_000), Met::Head(lane("b")));
        assert_eq!(sweep.aim().unwrap().0, (0, 5));
        sweep.ended();
        assert_eq!(sweep.aim().unwrap().0, (0, 5), "the only one is waited for where it lies");
        assert_eq!(sweep.meet(0, 5), Met::Head(lane("a")));
        assert!(sweep.is_empty());
    }
}
