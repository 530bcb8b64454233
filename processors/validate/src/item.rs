//! Which item of the master is meant.
//!
//! The first of these that finds something decides: what people have mapped a code of the source to, the item id itself, the
//! device identifier of the label (any packaging level), the crosswalk codes in the order sent. Two items for one code are a mistake in the master data, not a choice.

use crate::ValidateConfig;
use crate::checks::amend;
use crate::crosswalk::{self, ITEM, broken, mapped};
use crate::findings::{ITEM_AMBIGUOUS, ITEM_UNKNOWN, ITEM_UNNAMED, Refusal};
use crate::suggest::suggest;
use crate::tables::{BY_CODE, BY_GTIN, ValidateTables, gtin14, system_code};
use processor::{Reason, Subject};
use schemas::{ItemMatch, MasterCrosswalk, MasterItem, RecordStatus, SupplyUsage, topics};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most codes of one usage that are tried.
const CODES_MAX: usize = 32;

/// The item, and what it was recognised by.
pub(crate) struct Recognised {
    /// The item.
    pub(crate) item: Arc<MasterItem>,
    /// By what.
    pub(crate) how: ItemMatch,
    /// What people have decided, where that was it.
    pub(crate) mapping: Option<Arc<MasterCrosswalk>>,
}

/// A code as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentCode<'a> {
    /// The code.
    pub(crate) code: &'a str,
    /// Its coding system.
    pub(crate) system: Option<&'a str>,
    /// Its display text.
    pub(crate) text: Option<&'a str>,
}

/// Finds the item of a usage. What people have mapped is looked at first, so a refusal ends with a mapping of any name that was sent.
pub(crate) fn recognise(
    usage: &SupplyUsage,
    tables: &ValidateTables,
    config: &ValidateConfig,
) -> Result<Recognised, Box<Refusal>> {
    find(usage, tables, config).map_err(|refusal| or_mapped(*refusal, usage))
}

/// A refusal that also ends when somebody maps a name of the article to an item.
pub(crate) fn or_mapped(refusal: Refusal, usage: &SupplyUsage) -> Box<Refusal> {
    let (codes, label) = (sent_codes(usage), device_identifier(usage));
    let mut names: Vec<&str> = Vec::new();
    for name in codes.iter().map(|code| code.code).chain(label) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mappings = names.into_iter().map(|name| crosswalk::subject(ITEM, usage, name));
    Box::new(mappings.fold(refusal, Refusal::until))
}

fn find(usage: &SupplyUsage, tables: &ValidateTables, config: &ValidateConfig) -> Result<Recognised, Box<Refusal>> {
    let codes = sent_codes(usage);
    let label = device_identifier(usage);
    if codes.is_empty() && label.is_none() {
        return Err(Box::new(Refusal::Reject(unnamed())));
    }
    let mut names = codes.iter().map(|code| code.code).chain(label);
    if let Some((mapping, target)) = names.find_map(|code| mapped(ITEM, usage, code, tables)) {
        let Some(item) = tables.items.get(&target) else {
            return Err(broken(&mapping, &target, "itemRef", topics::MASTER_ITEM_V1.name()));
        };
        return Ok(Recognised { item, how: ItemMatch::Crosswalk, mapping: Some(mapping) });
    }
    if let Some(item) = codes.iter().find_map(|code| tables.items.get(code.code)) {
        return Ok(Recognised { item, how: ItemMatch::Exact, mapping: None });
    }
    let gtins = label.and_then(gtin14).into_iter().chain(codes.iter().filter_map(|code| gtin14(code.code)));
    for gtin in gtins {
        if let Some(item) = only(tables.items.find(BY_GTIN, &gtin), &gtin)? {
            return Ok(Recognised { item, how: ItemMatch::Gtin, mapping: None });
        }
    }
    let named = codes.iter().copied();
    for code in label.map(|code| SentCode { code, system: None, text: None }).into_iter().chain(named) {
        let of_system = code.system.map(|system| tables.items.find(BY_CODE, &system_code(system, code.code)));
        let found = of_system.filter(|found| !found.is_empty());
        let found = found.unwrap_or_else(|| tables.items.find(BY_CODE, code.code));
        if let Some(item) = only(found, code.code)? {
            return Ok(Recognised { item, how: ItemMatch::Crosswalk, mapping: None });
        }
    }
    Err(Box::new(Refusal::Wait(unknown(&codes, label, tables, config))))
}

/// The device identifier of the label.
pub(crate) fn device_identifier(usage: &SupplyUsage) -> Option<&str> {
    usage.udi.as_ref().and_then(|udi| udi.di.as_deref()).map(str::trim).filter(|di| !di.is_empty())
}

/// Every code that may name the article, in the order in which to try them, each once.
pub(crate) fn sent_codes(usage: &SupplyUsage) -> Vec<SentCode<'_>> {
    let mut codes: Vec<SentCode<'_>> = Vec::new();
    for sent in usage.item_ref.iter().chain(&usage.item_refs) {
        let own = SentCode { code: &sent.code, system: sent.system.as_deref(), text: sent.text.as_deref() };
        let alternatives = sent.alt.iter().map(|alt| SentCode {
            code: &alt.code,
            system: alt.system.as_deref(),
            text: alt.text.as_deref(),
        });
        for code in std::iter::once(own).chain(alternatives) {
            let code = SentCode { code: code.code.trim(), ..code };
            if !code.code.is_empty() && codes.len() < CODES_MAX && !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    codes
}

/// The only item; the only active one when inactive ones share the code.
fn only(found: Vec<Arc<MasterItem>>, code: &str) -> Result<Option<Arc<MasterItem>>, Box<Refusal>> {
    if found.len() < 2 {
        return Ok(found.into_iter().next());
    }
    let mut active = found.iter().filter(|item| item.status == RecordStatus::Active);
    match (active.next(), active.next()) {
        (Some(item), None) => Ok(Some(Arc::clone(item))),
        _ => Err(Box::new(Refusal::Reject(ambiguous(&found, code)))),
    }
}

fn ambiguous(found: &[Arc<MasterItem>], code: &str) -> Reason {
    let ids: Vec<&str> = found.iter().map(|item| item.item_id.as_str()).take(5).collect();
    let message = format!("{code} is a code of {} items: {}", found.len(), ids.join(", "));
    let reason = Reason::new(ITEM_AMBIGUOUS, "item.ambiguous", message)
        .at("itemRef")
        .fix(format!(
            "remove the code {code} from all of these items but one, in the ERP, or map it to the one that is meant with `wardline exceptions map`"
        ));
    found
        .iter()
        .take(5)
        .fold(reason, |reason, item| reason.until(Subject::new(topics::MASTER_ITEM_V1.name(), item.item_id.as_str())))
}

fn unnamed() -> Reason {
    Reason::new(ITEM_UNNAMED, "item.unnamed", "the usage has neither an item code nor a device identifier")
        .at("itemRef")
        .at("udi")
        .fix(format!("find out which article was used, then {}", amend("itemRef")))
}

fn unknown(codes: &[SentCode<'_>], label: Option<&str>, tables: &ValidateTables, config: &ValidateConfig) -> Reason {
    let named = codes.first().map(|code| code.code).or(label).unwrap_or_default();
    let mut reason = Reason::new(ITEM_UNKNOWN, "item.unknown", format!("no item is known as {named}"))
        .at(if codes.is_empty() { "udi" } else { "itemRef" });
    let gtins = label.and_then(gtin14).into_iter().chain(codes.iter().filter_map(|code| gtin14(code.code)));
    let names = codes.iter().map(|code| code.code).chain(label).map(str::to_owned);
    let keys: BTreeSet<String> = names.chain(gtins).collect();
    for key in keys {
        reason = reason.until(Subject::new(topics::MASTER_ITEM_V1.name(), key));
    }
    let close = suggest(codes, label, tables, config);
    reason.fix(match close.as_slice() {
        [] => {
            format!("add the item to the ERP, or map {named} to the item that is meant with `wardline exceptions map`")
        }
        close => {
            format!("did the sender mean {}? then map {named} to it with `wardline exceptions map`", close.join(" or "))
        }
    })
}
