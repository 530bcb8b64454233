//! Which items a person may have meant.

use crate::ValidateConfig;
use crate::item::SentCode;
use crate::tables::{BY_CATALOGUE, BY_GTIN, ValidateTables, gtin14, plain, words_of};
use schemas::MasterItem;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// So many words must be common to a text and a description.
const WORDS_LEAST: usize = 2;

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
    by_likeness(codes, tables, config.suggestions_max, &mut close);
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

/// A digit wrong in the code, or words in common with the description. Goes over the keys and words of all items, and decodes
/// only what is suggested.
fn by_likeness(codes: &[SentCode<'_>], tables: &ValidateTables, most: usize, close: &mut Close) {
    let sent: Vec<String> = codes.iter().map(|code| plain(code.code)).filter(|code| code.len() >= 5).collect();
    let words: BTreeSet<String> = codes.iter().filter_map(|code| code.text).flat_map(words_of).collect();
    let words: Vec<String> = words.into_iter().collect();
    if sent.is_empty() && words.len() < WORDS_LEAST {
        return;
    }
    let (mut near, mut alike) = (Best::new(most), Best::new(most));
    tables.items.each_alike(&words, |key, common| {
        if sent.iter().any(|code| is_near(code, key)) {
            near.add(1, key);
        }
        if common >= WORDS_LEAST {
            alike.add(common, key);
        }
    });
    for item in near.keys().filter_map(|key| tables.items.get(key)) {
        close.add(80, &item, "one character differs");
    }
    for item in alike.keys().filter_map(|key| tables.items.get(key)) {
        // Words were compared by their hashes.
        let common = words_of(&item.description).iter().filter(|word| words.contains(word)).count();
        if common >= WORDS_LEAST {
            close.add(u32::try_from(common.min(20)).unwrap_or(20), &item, "similar description");
        }
    }
}

/// Whether a code and an item id are one edit apart, whatever their dashes.
fn is_near(code: &str, key: &str) -> bool {
    let length = key.bytes().filter(u8::is_ascii_alphanumeric).count();
    length.abs_diff(code.len()) <= 1 && one_apart(code, &plain(key))
}

fn with_indicator(gtin: &str, indicator: u8) -> String {
    let body: String = std::iter::once(char::from(b'0' + indicator)).chain(gtin.chars().skip(1).take(12)).collect();
    let weighted =
        body.bytes().zip([3_u32, 1].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight);
    let check = (10 - weighted.sum::<u32>() % 10) % 10;
    format!("{body}{check}")
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

/// The keys with the highest numbers, a few; of equal ones those that come first.
struct Best {
    most: usize,
    kept: BTreeSet<(Reverse<usize>, String)>,
}

impl Best {
    const fn new(most: usize) -> Self {
        Self { most, kept: BTreeSet::new() }
    }

    fn add(&mut self, number: usize, key: &str) {
        let beats = |(Reverse(worst), last): &(Reverse<usize>, String)| (*worst, key) < (number, last.as_str());
        if self.kept.len() < self.most || self.kept.last().is_some_and(beats) {
            self.kept.insert((Reverse(number), key.to_owned()));
            if self.kept.len() > self.most {
                self.kept.pop_last();
            }
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|(_, key)| key.as_str())
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
#[allow(clippy::unwrap_used, clippy::print_stdout, reason = "test")]
mod tests {
    use super::*;
    use processor::{Binder, Tables as _};
    use runtime::clock::tick;
    use std::time::Duration;

    const ITEMS: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
    const WITHIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 500 });

    #[test]
    fn packaging_levels_get_their_own_check_digit() {
        assert_eq!(with_indicator("09520100000010", 0), "09520100000010");
        assert_eq!(with_indicator("09520100000010", 1), "19520100000017");
    }

    /// What is decoded is what is suggested, however many items there are.
    #[test]
    fn among_many_items_the_ones_that_are_alike_are_found_soon() {
        let mut binder = Binder::new(1_000_000);
        let tables = ValidateTables::bind(&mut binder);
        let kinds = ["hip stem", "knee insert", "suture needle", "trauma plate", "drug eluting stent"];
        for number in 0..ITEMS {
            let item_id = format!("71-{number:06}");
            let description = format!("{} size {number} cemented", kinds[number % kinds.len()]);
            let item = MasterItem { item_id: item_id.clone(), description, ..MasterItem::default() };
            tables.items.put(&item_id, Some(item)).unwrap();
        }
        let started = tick();
        let text = Some("Stem, hip, size 4210");
        let codes = [SentCode { code: "71-0012345", system: None, text }];
        let config = ValidateConfig { suggestions_max: 8, ..ValidateConfig::default() };
        let found = suggest(&codes, None, &tables, &config);
        let took = tick().since(started);
        println!("one suggestion among {ITEMS} items took {took:?}");
        assert!(found[0].starts_with("71-001234 ") && found[0].ends_with("(one character differs)"), "{found:?}");
        assert!(found.iter().any(|one| one.starts_with("71-004210 \"hip stem size 4210 cemented\"")), "{found:?}");
        assert!(took < WITHIN, "{took:?}");
    }

    #[test]
    fn the_best_are_kept_and_of_equal_ones_the_first() {
        let mut best = Best::new(2);
        for (number, key) in [(2, "d"), (3, "c"), (2, "b"), (1, "a"), (3, "e"), (3, "a")] {
            best.add(number, key);
        }
        assert_eq!(best.keys().collect::<Vec<_>>(), ["a", "c"]);
        let mut none = Best::new(0);
        none.add(1, "a");
        assert_eq!(none.keys().count(), 0);
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
