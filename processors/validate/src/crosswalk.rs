//! What people have decided that the codes of a source mean. It is looked at before the codes that the ERP knows.

use crate::findings::{MAPPED_TO_NOTHING, Refusal};
use crate::tables::ValidateTables;
use processor::{Reason, Subject, TableFeed};
use schemas::approval::target_in_force;
use schemas::{MasterCrosswalk, SupplyUsage, topics};
use std::sync::Arc;

/// Kind of a mapping to an item.
pub(crate) const ITEM: &str = "item";
/// Kind of a mapping to a location.
pub(crate) const LOCATION: &str = "location";

/// The mapping in force of a code of the usage's source, with the id that is meant.
pub(crate) fn mapped(
    kind: &str,
    usage: &SupplyUsage,
    code: &str,
    tables: &ValidateTables,
) -> Option<(Arc<MasterCrosswalk>, String)> {
    // Most hospitals have few mappings or none, and this is asked for each name of each usage.
    if tables.crosswalk.rows() == 0 {
        return None;
    }
    let mapping = tables.crosswalk.get(&key(kind, usage, code))?;
    let target = target_in_force(&mapping)?.to_owned();
    Some((mapping, target))
}

/// What ends the waiting of a usage whose code nobody knows: somebody maps it.
pub(crate) fn subject(kind: &str, usage: &SupplyUsage, code: &str) -> Subject {
    Subject::new(topics::MASTER_CROSSWALK_V1.name(), key(kind, usage, code))
}

/// A mapping to something that is not in the master. It may still come, or the mapping be corrected.
pub(crate) fn broken(mapping: &MasterCrosswalk, target: &str, path: &str, topic: &'static str) -> Box<Refusal> {
    let message = format!("{} is mapped to the {} {target}, which is not in the master", mapping.code, mapping.kind);
    let reason = Reason::new(MAPPED_TO_NOTHING, "crosswalk.target-unknown", message)
        .at(path)
        .until(Subject::new(topic, target))
        .fix(format!("correct the mapping with `wardline crosswalk set`, or add {target} in the ERP"));
    Box::new(Refusal::Wait(reason))
}

fn key(kind: &str, usage: &SupplyUsage, code: &str) -> String {
    format!("{kind}/{}/{code}", usage.meta.source.system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Event as _;

    #[test]
    fn a_usage_asks_for_the_key_that_a_mapping_has() {
        let mapping = MasterCrosswalk {
            kind: LOCATION.to_owned(),
            source_system: "ADT|GH".to_owned(),
            code: "4N^401".to_owned(),
            ..MasterCrosswalk::default()
        };
        let mut usage = SupplyUsage::default();
        usage.meta.source.system = "ADT|GH".to_owned();
        assert_eq!(mapping.key(), key(LOCATION, &usage, "4N^401"));
    }
}
