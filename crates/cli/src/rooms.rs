//! All rooms, in the order in which an event meets them.

use runtime::Room;

/// Every room of this version.
pub fn all() -> Vec<Room> {
    vec![
        hl7v2::room(),
        fhir::room(),
        erp::room(),
        validate::room(),
        enrich::room(),
        erp_post::room(),
        supplier_fanout::room(),
        analytics::room(),
    ]
}

/// Names of all rooms.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|room| room.info().name).collect()
}
