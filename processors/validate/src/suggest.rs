//! Which items a person may have meant.

use crate::ValidateConfig;
use crate::item::SentCode;
use crate::tables::{BY_CATALOGUE, BY_GTIN, ValidateTables, gtin14, plain};
use processor::TableFeed;
use schemas::MasterItem;
use std::collections::{BTreeMap, BTreeSet};

/// Best first: `71-100234 "Hip stem 12/14" (same GTIN but for the packaging)`. Bounded, and the same for the same tables.
pub(crate) fn suggest(
    codes: &[SentCode<'_>],
    label: Option<&str>,
    tables: &ValidateTables,
    config: &ValidateConfig,
) -> Vec<String> {
    let mut close = Close::default();
    by_gtin(codes, label, tables, &mut close);
    for code in codes.iter().filter(|code| code.code.len() >= 3) {
        for item in tables.items.find(BY_CATALOGUE, &plain(code.code)) {
            close.add(90, &item, "same catalogue number");
        }
    }
    if tables.items.rows() <= config.suggestion_scan_max {
        by_likeness(codes, tables, &mut close);
    }
    close.best(config.suggestions_max)
}

/// The other packaging levels of a GTIN differ only in the indicator digit and the check digit.
fn by_gtin(codes: &[SentCode<'_>], label: Option<&str>, tables: &ValidateTables, close: &mut Close) {
    let gtins = label.into_iter().chain(codes.iter().map(|code| code.code)).filter_map(gtin14);
    for gtin in gtins {
        for indicator in 0..=9_u8 {
            let level = with_indicator(&gtin, indicator);
            for item in tables.items.find(BY_GTIN, &level) {
                close.add(100, &item, "same GTIN but for the packaging level");
            }
        }
    }
}

/// A digit wrong in the code, or words in common with the description.
fn by_likeness(codes: &[SentCode<'_>], tables: &ValidateTables, close: &mut Close) {
    let sent: Vec<String> = codes.iter().map(|code| plain(code.code)).filter(|code| code.len() >= 5).collect();
    let words: BTreeSet<String> = codes.iter().filter_map(|code| code.text).flat_map(words_of).collect();
    tables.items.scan(|item| {
        let own = plain(&item.item_id);
        if sent.iter().any(|code| one_apart(code, &own)) {
            close.add(80, item, "one character differs");
        }
        let common = words_of(&item.description).iter().filter(|word| words.contains(*word)).count();
        if common >= 2 {
            close.add(u32::try_from(common.min(20)).unwrap_or(20), item, "similar description");
        }
    });
}

fn with_indicator(gtin: &str, indicator: u8) -> String {
    let body: String = std::iter::once(char::from(b'0' + indicator)).chain(gtin.chars().skip(1).take(12)).collect();
    let weighted =
        body.bytes().zip([3_u32, 1].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight);
    let check = (10 - weighted.sum::<u32>() % 10) % 10;
    format!("{body}{check}")
}

fn words_of(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= 3).map(str::to_lowercase).collect()
}

/// Whether one inserted, missing or changed character, or two swapped neighbours, make one text the other.
fn one_apart(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same_start = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same_start..], &other[same_start..]);
    match (one, other) {
        ([], []) => false,
        ([a, b, one @ ..], [c, d, other @ ..]) if a == d && b == c && one == other => true,
        _ if one.len() == other.len() => one[1..] == other[1..],
        _ if one.len() == other.len() + 1 => one[1..] == *other,
        _ if one.len() + 1 == other.len() => *one == other[1..],
        _ => false,
    }
}

/// Items with their score and why.
#[derive(Default)]
struct Close {
    items: BTreeMap<String, (u32, String)>,
}

impl Close {
    fn add(&mut self, score: u32, item: &MasterItem, why: &str) {
        let shown = format!("{} \"{}\" ({why})", item.item_id, item.description);
        let entry = self.items.entry(item.item_id.clone()).or_insert((0, String::new()));
        if score > entry.0 {
            *entry = (score, shown);
        }
    }

    fn best(self, most: usize) -> Vec<String> {
        let mut ranked: Vec<(u32, String)> = self.items.into_values().collect();
        // The sort is stable and the map is in id order, so equal scores stay in id order.
        ranked.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        ranked.into_iter().take(most).map(|(_, shown)| shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packaging_levels_get_their_own_check_digit() {
        assert_eq!(with_indicator("09520100000010", 0), "09520100000010");
        assert_eq!(with_indicator("09520100000010", 1), "19520100000017");
    }

    #[test]
    fn one_apart_is_one_edit() {
        for (one, other, expected) in [
            ("71100234", "71100234", false),
            ("71100234", "71100235", true),
            ("71100234", "7110234", true),
            ("71100234", "711002345", true),
            ("71100234", "71100243", true),
            ("71100234", "71109934", false),
            ("", "", false),
        ] {
            assert_eq!(one_apart(one, other), expected, "{one} {other}");
        }
    }
}
