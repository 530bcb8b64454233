//! The master data that `validate` looks things up in.

use processor::{Binder, Table, Tables};
use schemas::{MasterCrosswalk, MasterItem, MasterLocation, topics};

/// Item index: crosswalk codes, as `system|code` and as the bare code.
pub(crate) const BY_CODE: &str = "code";
/// Item index: GTINs of the base unit and of every pack, 14 digits.
pub(crate) const BY_GTIN: &str = "gtin";
/// Item index: catalogue number of the manufacturer, letters and digits only.
pub(crate) const BY_CATALOGUE: &str = "catalogue";
/// Location index: the place as clinical messages name it.
pub(crate) const BY_PL: &str = "pl";

/// The tables.
pub struct ValidateTables {
    /// Items, by item id and the indexes above.
    pub items: Table<MasterItem>,
    /// Locations, by location id and clinical name.
    pub locations: Table<MasterLocation>,
    /// What people have decided that codes mean, by kind, source system and code.
    pub crosswalk: Table<MasterCrosswalk>,
}

impl Tables for ValidateTables {
    fn bind(binder: &mut Binder) -> Self {
        Self {
            items: binder.table_with_words(
                topics::MASTER_ITEM_V1,
                &[(BY_CODE, item_codes), (BY_GTIN, item_gtins), (BY_CATALOGUE, item_catalogue)],
                |item| words_of(&item.description),
            ),
            locations: binder.table(topics::MASTER_LOCATION_V1, &[(BY_PL, location_names)]),
            crosswalk: binder.table(topics::MASTER_CROSSWALK_V1, &[]),
        }
    }
}

/// Under what name a code of a system is indexed.
pub(crate) fn system_code(system: &str, code: &str) -> String {
    format!("{system}|{code}")
}

/// Every GTIN of an item, 14 digits, base unit first.
pub(crate) fn item_gtins(item: &MasterItem) -> Vec<String> {
    let packs = item.packs.iter().filter_map(|pack| pack.gtin.as_deref());
    item.gtins.iter().map(String::as_str).chain(packs).filter_map(gtin14).collect()
}

/// A GTIN-8, -12, -13 or -14 as 14 digits (GS1 General Specifications 3.3.2); `None` when the text is no GTIN.
pub(crate) fn gtin14(text: &str) -> Option<String> {
    let digits = text.trim();
    let fits = matches!(digits.len(), 8 | 12 | 13 | 14) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| format!("{digits:0>14}"))
}

/// Letters and digits in upper case: how catalogue numbers are compared, since people and systems differ in dashes.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

/// The words of a text that tell articles apart: three letters or digits at least, in lower case, each once.
pub(crate) fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.chars().count() >= 3);
    let mut words: Vec<String> = words.map(str::to_lowercase).collect();
    words.sort_unstable();
    words.dedup();
    words
}

fn item_codes(item: &MasterItem) -> Vec<String> {
    let mut values = Vec::new();
    for code in &item.codes {
        if let Some(system) = &code.system {
            values.push(system_code(system, &code.code));
        }
        values.push(code.code.clone());
    }
    values.extend(item.charge_code.clone());
    values
}

fn item_catalogue(item: &MasterItem) -> Vec<String> {
    let numbers = [item.mfr_catalogue.as_deref(), item.supplier_item.as_deref()];
    numbers.into_iter().flatten().map(plain).filter(|number| number.len() >= 3).collect()
}

fn location_names(location: &MasterLocation) -> Vec<String> {
    location.pl_code.iter().cloned().collect()
}
