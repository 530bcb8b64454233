//! An offset in each partition of a topic, as a text that is handed back as it was given.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Most partitions in one text (BND-1): as many as go into a field of 4,000 characters.
const PARTITIONS_MAX: usize = 1_000;

/// The text of an offset in no partition at all.
const NONE: &str = "none";

/// An offset in each of some partitions of one topic. Whether it is that of the last record that was read, or of the first one
/// that was looked at, says whoever keeps it. As text `0:41,2:7`: partition and offset, or `none`: an empty text would be left out
/// of what a client hands back, and would then stand for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<i32, i64>);

impl Offsets {
    /// Partitions with their offsets.
    pub fn new(offsets: impl IntoIterator<Item = (i32, i64)>) -> Self {
        Self(offsets.into_iter().collect())
    }

    /// The offset of a partition; none when it is not among these.
    #[must_use]
    pub fn of(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition).copied()
    }

    /// A record was read: the offset of its partition is this one, when it was not beyond that already.
    pub fn note(&mut self, (partition, offset): (i32, i64)) {
        let last = self.0.entry(partition).or_insert(offset);
        *last = offset.max(*last);
    }

    /// Whether a record lies at the offset of its partition or before it; nothing does in a partition that is not among these.
    #[must_use]
    pub fn covers(&self, (partition, offset): (i32, i64)) -> bool {
        self.of(partition).is_some_and(|last| offset <= last)
    }
}

impl Display for Offsets {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str(NONE);
        }
        self.0.iter().enumerate().try_for_each(|(number, (partition, offset))| {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{partition}:{offset}")
        })
    }
}

impl FromStr for Offsets {
    /// What is wrong with the text, to stand behind the name of what it was given for.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut offsets = BTreeMap::<i32, i64>::new();
        if text == NONE {
            return Ok(Self(offsets));
        }
        for part in text.split(',') {
            let fits = |partition: i32| offsets.len() < PARTITIONS_MAX && !offsets.contains_key(&partition);
            let (partition, offset) = pair(part)
                .filter(|(partition, _)| fits(*partition))
                .ok_or_else(|| "is no list of partitions and offsets, for example 0:41,2:7".to_owned())?;
            offsets.insert(partition, offset);
        }
        Ok(Self(offsets))
    }
}

impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn pair(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    // A number with a sign would be read, too.
    let is_unsigned = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_unsigned(partition) || !is_unsigned(offset) {
        return None;
    }
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written_and_nothing_else_is() {
        let offsets = Offsets::new([(2, 7), (0, 41)]);
        assert_eq!((offsets.to_string().as_str(), offsets.of(2), offsets.of(1)), ("0:41,2:7", Some(7), None));
        assert_eq!(serde_json::to_value(&offsets).unwrap(), "0:41,2:7");
        let text = |number: i32| (0..number).map(|number| format!("{number}:1")).collect::<Vec<_>>().join(",");
        assert_eq!(Offsets::default().to_string(), "none");
        for written in [offsets, Offsets::default(), Offsets::new([(0, 0)]), Offsets::new([(i32::MAX, i64::MAX)])] {
            assert_eq!(written.to_string().parse(), Ok(written));
        }
        assert_eq!(text(1_000).parse::<Offsets>().unwrap().to_string(), text(1_000));
        let many = text(1_001);
        for wrong in
            ["", "0", "0:", ":1", ":", "a:1", "0:1,", ",0:1", "0:1;2:3", "0:1 ,2:3", "0:1:2", "0.17-1.4", "none,0:1"]
        {
            assert!(wrong.parse::<Offsets>().unwrap_err().starts_with("is no list"), "{wrong}");
        }
        for wrong in ["+0:1", "0:-1", "-1:0", "0:1,0:2", "2147483648:1", "0:99999999999999999999", &many] {
            assert!(wrong.parse::<Offsets>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_read_is_covered_and_what_came_later_is_not() {
        let mut read = Offsets::default();
        assert!(!read.covers((0, 0)));
        for place in [(2, 7), (0, 41), (2, 5)] {
            read.note(place);
        }
        assert_eq!(read, Offsets::new([(0, 41), (2, 7)]));
        let covered = [(0, 41), (0, 42), (1, 0), (2, 7), (2, 8)].map(|place| read.covers(place));
        assert_eq!(covered, [true, false, false, true, false]);
    }
}
