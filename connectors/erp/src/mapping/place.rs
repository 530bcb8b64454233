//! Locations and cost centres.

use schemas::{Action, LocationType, MasterCostCenter, MasterLocation};
use serde_json::Value;
use tryton::{boolean, text};

use super::envelope::Envelope;
use crate::ErpConfig;

/// A stock location is both the place that clinical messages name and the stock that it draws from.
pub(super) fn location(config: &ErpConfig, envelope: &Envelope<'_>) -> MasterLocation {
    let body = envelope.body();
    let code = envelope.key();
    let clinical = config.clinical_names.get(code).map_or(code, String::as_str);
    let pays = body["department"]["analytic_accounts"].as_array().into_iter().flatten();
    let pays = pays.filter_map(|entry| text(entry, "account.code")).next();
    MasterLocation {
        meta: envelope.meta::<MasterLocation>(code, 0, Action::Snapshot, None),
        location_id: code.to_owned(),
        pl_code: Some(clinical.to_owned()),
        name: envelope.text("name").unwrap_or_default(),
        location_type: location_type(body, pays.is_some()),
        parent: envelope.text("parent.code"),
        stock_location_id: (text(body, "type") == Some("storage")).then(|| code.to_owned()),
        cost_centre_id: pays.map(str::to_owned),
        active: boolean(body, "active").unwrap_or(true),
        ..MasterLocation::default()
    }
}

/// What somebody pays for is a department, the rest is store.
fn location_type(body: &Value, has_cost_centre: bool) -> LocationType {
    match text(body, "type") {
        Some("warehouse") => LocationType::Warehouse,
        _ if has_cost_centre => LocationType::Department,
        _ => LocationType::Store,
    }
}

pub(super) fn cost_centre(config: &ErpConfig, envelope: &Envelope<'_>) -> MasterCostCenter {
    let body = envelope.body();
    let rules = body["departments"].as_array().into_iter().flatten();
    let mut departments: Vec<String> = rules.filter_map(|rule| text(rule, "party.code")).map(str::to_owned).collect();
    let aliases = config.departments.iter().filter(|(_, location)| departments.contains(location));
    let aliases: Vec<String> = aliases.map(|(alias, _)| alias.clone()).collect();
    departments.extend(aliases);
    departments.sort();
    departments.dedup();
    MasterCostCenter {
        meta: envelope.meta::<MasterCostCenter>(envelope.key(), 0, Action::Snapshot, None),
        cost_centre_id: envelope.key().to_owned(),
        erp_id: envelope.erp_id(),
        name: envelope.text("name").unwrap_or_default(),
        parent: envelope.text("parent.code"),
        departments,
        active: boolean(body, "active").unwrap_or(true),
        ..MasterCostCenter::default()
    }
}
