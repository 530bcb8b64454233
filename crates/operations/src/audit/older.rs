//! Where a look at the audit topic ended: what is older is looked for from there.

use super::AuditError;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Most partitions in one text.
const PARTITIONS_MAX: usize = 256;

/// An offset in each partition; what lies before it was not looked at. As text: `0.17-1.4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Older(BTreeMap<i32, i64>);

impl Older {
    /// Partitions with their offsets.
    pub fn new(before: impl IntoIterator<Item = (i32, i64)>) -> Self {
        Self(before.into_iter().collect())
    }

    /// The offset of a partition.
    #[must_use]
    pub fn before(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition).copied()
    }
}

impl Display for Older {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, (partition, offset)) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "-" };
            write!(formatter, "{between}{partition}.{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Older {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || AuditError::Question("this is no place to go on from; take it as the answer before gives it".to_owned());
        let mut before = BTreeMap::new();
        for pair in text.split('-') {
            let (partition, offset) = pair.split_once('.').ok_or_else(wrong)?;
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number(partition) || !is_number(offset) || before.len() >= PARTITIONS_MAX {
                return Err(wrong());
            }
            before.insert(partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
        }
        Ok(Self(before))
    }
}

impl Serialize for Older {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let older = Older::new([(1, 4), (0, 17)]);
        assert_eq!(older.to_string(), "0.17-1.4");
        assert_eq!("0.17-1.4".parse::<Older>().unwrap(), older);
        let many = (0..300).map(|number| format!("{number}.1")).collect::<Vec<_>>().join("-");
        for wrong in ["", "0", "0.", ".1", "0.1-", "0.-1", "+0.1", "0.99999999999999999999", "a.b", &many] {
            assert!(wrong.parse::<Older>().unwrap_err().to_string().starts_with("WL-7272: "), "{wrong}");
        }
    }
}
