//! Suppliers and employees.

use schemas::{Action, MasterEmployee, MasterSupplier, RecordStatus};
use serde_json::Value;
use tryton::{boolean, text};

use super::MapError;
use super::envelope::{Envelope, day};

pub(super) fn supplier(envelope: &Envelope<'_>) -> Result<MasterSupplier, MapError> {
    let body = envelope.body();
    let name = envelope.text("party.name").ok_or_else(|| envelope.missing("party.name"))?;
    let identifier = |kind: &str| {
        let identifiers = body["party"]["identifiers"].as_array().into_iter().flatten();
        let found = identifiers
            .filter(|identifier| text(identifier, "type") == Some(kind))
            .find_map(|found| text(found, "code"));
        found.map(str::to_owned)
    };
    Ok(MasterSupplier {
        meta: envelope.meta::<MasterSupplier>(envelope.key(), 0, Action::Snapshot, None),
        supplier_id: envelope.key().to_owned(),
        erp_id: body["party"]["id"].as_i64().map(|id| id.to_string()),
        name,
        status: status(body, "party.active"),
        gln: identifier("gln"),
        duns: identifier("duns"),
        hin: identifier("hin"),
        tax_id: envelope.text("party.tax_identifier.code"),
        // Each row has the currency of its own prices, and all rows of a supplier must say the same.
        currency: envelope.text("party.supplier_currency.code"),
        terms: envelope.text("party.supplier_payment_term.name"),
        ..MasterSupplier::default()
    })
}

/// Staff data only: who, since when, still here. No birth date, home address or pay.
pub(super) fn employee(envelope: &Envelope<'_>) -> MasterEmployee {
    let body = envelope.body();
    MasterEmployee {
        meta: envelope.meta::<MasterEmployee>(envelope.key(), 0, Action::Snapshot, None),
        employee_id: envelope.key().to_owned(),
        display_name: envelope.text("party.name"),
        status: status(body, "active"),
        active_from: day(body, "start_date"),
        active_to: day(body, "end_date"),
        ..MasterEmployee::default()
    }
}

fn status(body: &Value, path: &str) -> RecordStatus {
    if boolean(body, path).unwrap_or(true) { RecordStatus::Active } else { RecordStatus::Inactive }
}
