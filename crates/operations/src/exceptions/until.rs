//! How far a list had read: whoever decides about all of a list decides about what it could show.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The last record that was read of each partition of the topic of exceptions. As text `0:41,2:7`: partition and offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadUntil(BTreeMap<i32, i64>);

impl ReadUntil {
    /// A record was read.
    pub fn note(&mut self, (partition, offset): (i32, i64)) {
        let last = self.0.entry(partition).or_insert(offset);
        *last = offset.max(*last);
    }

    /// Whether a record had been read by then.
    #[must_use]
    pub fn covers(&self, (partition, offset): (i32, i64)) -> bool {
        self.0.get(&partition).is_some_and(|last| offset <= *last)
    }
}

impl fmt::Display for ReadUntil {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(number, (partition, offset))| {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{partition}:{offset}")
        })
    }
}

impl FromStr for ReadUntil {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |part: &str| {
            let (partition, offset) = part.split_once(':')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        };
        let all: Option<BTreeMap<i32, i64>> = text.split(',').filter(|part| !part.is_empty()).map(read).collect();
        all.map(Self).ok_or_else(|| "is no list of partitions and offsets, for example 0:41,2:7".to_owned())
    }
}

impl Serialize for ReadUntil {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_covered_and_what_came_later_is_not() {
        let mut until = ReadUntil::default();
        assert_eq!((until.to_string().as_str(), until.covers((0, 0))), ("", false));
        for place in [(2, 7), (0, 41), (2, 5)] {
            until.note(place);
        }
        assert_eq!(until.to_string(), "0:41,2:7");
        assert_eq!("0:41,2:7".parse(), Ok(until.clone()));
        let covered = [(0, 41), (0, 42), (1, 0), (2, 7), (2, 8)].map(|place| until.covers(place));
        assert_eq!(covered, [true, false, false, true, false]);
        for wrong in ["0", "0:", "a:1", "0:1;2:3", "0:1 ,2:3", "0:1:2"] {
            assert!(wrong.parse::<ReadUntil>().is_err(), "{wrong}");
        }
    }
}
