//! The master data that `enrich` looks things up in.

use processor::{Binder, Table, Tables};
use schemas::{MasterCostCenter, MasterEmployee, MasterItem, MasterLocation, MasterSupplier, topics};

/// Cost centre index: the departments it pays for.
pub(crate) const BY_DEPARTMENT: &str = "department";
/// Employee index: national provider number.
pub(crate) const BY_NPI: &str = "npi";

/// The tables.
pub struct EnrichTables {
    /// Items, by item id.
    pub items: Table<MasterItem>,
    /// Locations, by location id.
    pub locations: Table<MasterLocation>,
    /// Cost centres, by id and by department.
    pub cost_centres: Table<MasterCostCenter>,
    /// Suppliers, by supplier id.
    pub suppliers: Table<MasterSupplier>,
    /// Employees, by employee id and national provider number.
    pub employees: Table<MasterEmployee>,
}

impl Tables for EnrichTables {
    fn bind(binder: &mut Binder) -> Self {
        Self {
            items: binder.table(topics::MASTER_ITEM_V1, &[]),
            locations: binder.table(topics::MASTER_LOCATION_V1, &[]),
            cost_centres: binder
                .table(topics::MASTER_COST_CENTER_V1, &[(BY_DEPARTMENT, |row| row.departments.clone())]),
            suppliers: binder.table(topics::MASTER_SUPPLIER_V1, &[]),
            employees: binder.table(topics::MASTER_EMPLOYEE_V1, &[(BY_NPI, |row| row.npi.iter().cloned().collect())]),
        }
    }
}
