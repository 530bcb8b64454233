//! What a refusal of the ERP is about, so that what has one cause is one cause: a lot that is missing is another matter than the
//! next one, and each has somebody who mends it.
//!
//! A subject here never names a record of a topic: nothing that comes wakes an event for it. It waits for a person, because only
//! the ERP knows when its own no would be a yes.

use connector::erp::{Line, Posting, Refusal, RefusalCode};
use processor::{Code, Reason, Subject};

/// An item of the ERP.
const ITEM: &str = "erp.item";
/// A lot of an item, `ITEM/LOT`.
const LOT: &str = "erp.lot";
/// What a location holds of an item or a lot, `LOCATION/ITEM` or `LOCATION/ITEM/LOT`.
const STOCK: &str = "erp.stock";
/// A stock location of the ERP.
const LOCATION: &str = "erp.location";
/// A cost centre of the ERP.
const COST_CENTRE: &str = "erp.cost-centre";
/// A document of the ERP, by its key.
const DOCUMENT: &str = "erp.document";

/// Why the ERP does not take a posting, with the thing it speaks of and the fields that name it.
pub(crate) fn reason(refusal: Refusal, posting: &Posting) -> Reason {
    let at_fault = refusal.lines.first();
    let line = at_fault.and_then(|key| posting.lines.iter().find(|line| line.line_key == *key));
    let (subject, paths) = about(refusal.code, posting, line);
    let reason =
        Reason::new(Code::new(refusal.code.as_str()), refusal.code.rule(), refusal.reason).fix(refusal.suggested_fix);
    let reason = subject.into_iter().fold(reason, Reason::until);
    paths.iter().fold(reason, |reason, path| reason.at(*path))
}

fn about(code: RefusalCode, posting: &Posting, line: Option<&Line>) -> (Option<Subject>, &'static [&'static str]) {
    let item = || line.map(|line| Subject::new(ITEM, line.item.as_str()));
    let document = || Subject::new(DOCUMENT, posting.document_key.as_str());
    match code {
        RefusalCode::InsufficientStock => {
            let place = &posting.stock_location;
            (line.map(|line| Subject::new(STOCK, format!("{place}/{}", thing(line)))), &["baseQuantity"])
        }
        RefusalCode::MissingLot => (item(), &["lot", "serial"]),
        RefusalCode::UnknownItem => (item(), &["itemId"]),
        // A serial number may lead to a person, so it is no subject that lists show.
        RefusalCode::UnknownLot if line.is_some_and(|line| line.lot.is_none()) => (item(), &["serial"]),
        RefusalCode::UnknownLot => (line.map(|line| Subject::new(LOT, thing(line))), &["lot"]),
        // The place of use follows from the stock location, so this names either.
        RefusalCode::UnknownLocation => {
            (Some(Subject::new(LOCATION, posting.stock_location.as_str())), &["stockLocationId"])
        }
        RefusalCode::UnknownCostCentre => {
            (posting.cost_centre.as_deref().map(|code| Subject::new(COST_CENTRE, code)), &["costCentreId"])
        }
        RefusalCode::InvalidPosting if line.is_some() => (item(), &["baseQuantity", "baseUom"]),
        RefusalCode::InvalidPosting => (Some(document()), &[]),
        RefusalCode::KeyReused => (Some(document()), &[]),
        // In words of its own: what it says of no line, a period that is closed perhaps, holds for all alike.
        RefusalCode::RefusedByErp => (item(), &[]),
    }
}

/// An item, or its lot.
fn thing(line: &Line) -> String {
    line.lot.as_ref().map_or_else(|| line.item.clone(), |lot| format!("{}/{lot}", line.item))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use connector::erp::Direction;
    use rust_decimal::Decimal;
    use schemas::{EnrichedUsage, Event, catalogue::SchemaFacts, topics};

    fn line(key: &str, item: &str, lot: Option<&str>, serial: Option<&str>) -> Line {
        Line {
            line_key: key.to_owned(),
            item: item.to_owned(),
            lot: lot.map(str::to_owned),
            serial: serial.map(str::to_owned),
            quantity: Decimal::ONE,
            uom: "EA".to_owned(),
        }
    }

    fn posting() -> Posting {
        Posting {
            document_key: "wl-7".to_owned(),
            direction: Direction::Consume,
            stock_location: "OR2".to_owned(),
            use_location: "USE-OR2".to_owned(),
            effective_date: Some("2026-03-01".parse().unwrap()),
            cost_centre: Some("CC-OR".to_owned()),
            lines: vec![
                line("0", "71-1", Some("LOT-A"), None),
                line("1", "71-1", Some("LOT-B"), None),
                line("2", "71-2", None, Some("SN-9")),
                line("3", "71-3", None, None),
            ],
        }
    }

    /// What is said of a refusal: its subject, and the fields.
    fn said(code: RefusalCode, at_fault: Option<&str>) -> (String, String) {
        let reason = reason(Refusal::new(code, "no", at_fault.map(str::to_owned)), &posting());
        assert_eq!((reason.code.as_str(), reason.rule), (code.as_str(), code.rule()));
        let subjects: Vec<String> = reason.subjects.iter().map(|one| format!("{}/{}", one.kind, one.key)).collect();
        (subjects.join(" "), reason.field_paths.join(" "))
    }

    #[test]
    fn each_refusal_is_about_what_somebody_has_to_mend() {
        use RefusalCode::{
            InsufficientStock, InvalidPosting, KeyReused, MissingLot, RefusedByErp, UnknownCostCentre, UnknownItem,
            UnknownLocation, UnknownLot,
        };
        for (code, at_fault, subject, paths) in [
            (UnknownLot, Some("0"), "erp.lot/71-1/LOT-A", "lot"),
            (UnknownLot, Some("1"), "erp.lot/71-1/LOT-B", "lot"),
            (UnknownLot, Some("2"), "erp.item/71-2", "serial"),
            (MissingLot, Some("3"), "erp.item/71-3", "lot serial"),
            (UnknownItem, Some("3"), "erp.item/71-3", "itemId"),
            (InsufficientStock, Some("1"), "erp.stock/OR2/71-1/LOT-B", "baseQuantity"),
            (InsufficientStock, Some("2"), "erp.stock/OR2/71-2", "baseQuantity"),
            (UnknownLocation, None, "erp.location/OR2", "stockLocationId"),
            (UnknownCostCentre, None, "erp.cost-centre/CC-OR", "costCentreId"),
            (InvalidPosting, Some("3"), "erp.item/71-3", "baseQuantity baseUom"),
            (InvalidPosting, None, "erp.document/wl-7", ""),
            (KeyReused, None, "erp.document/wl-7", ""),
            (RefusedByErp, Some("0"), "erp.item/71-1", ""),
            (RefusedByErp, None, "", ""),
            (UnknownLot, Some("of no line"), "", "lot"),
        ] {
            assert_eq!(said(code, at_fault), (subject.to_owned(), paths.to_owned()), "{code} {at_fault:?}");
        }
    }

    /// PHI-1, and no event waits for a record that never comes: what a room could be woken by is a topic of master data.
    #[test]
    fn phi_1_no_subject_is_a_topic_or_holds_a_serial_number() {
        for code in ALL {
            for at_fault in [None, Some("0"), Some("1"), Some("2"), Some("3")] {
                let reason = reason(Refusal::new(code, "no", at_fault.map(str::to_owned)), &posting());
                assert!(reason.subjects.iter().all(|one| topics::find(&one.kind).is_none()), "{reason:?}");
                assert!(reason.subjects.iter().all(|one| !one.key.contains("SN-9")), "{reason:?}");
            }
        }
    }

    #[test]
    fn the_fields_are_those_of_the_event() {
        let info = EnrichedUsage::topic();
        let facts = SchemaFacts::of(info.schema_file, &serde_json::from_str(info.schema).unwrap());
        for code in ALL {
            for at_fault in [None, Some("0"), Some("2")] {
                let reason = reason(Refusal::new(code, "no", at_fault.map(str::to_owned)), &posting());
                let unknown = reason.field_paths.iter().find(|path| facts.field(path).is_none());
                assert_eq!(unknown, None, "{code}");
            }
        }
    }

    const ALL: [RefusalCode; 9] = [
        RefusalCode::InsufficientStock,
        RefusalCode::MissingLot,
        RefusalCode::UnknownItem,
        RefusalCode::UnknownLot,
        RefusalCode::UnknownLocation,
        RefusalCode::UnknownCostCentre,
        RefusalCode::InvalidPosting,
        RefusalCode::KeyReused,
        RefusalCode::RefusedByErp,
    ];
}
