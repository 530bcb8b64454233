//! The change feed: master data and purchasing documents as the ERP has them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Items with identifiers, packs, supplier and cost.
    Items,
    /// Suppliers.
    Suppliers,
    /// Stock locations.
    Locations,
    /// Cost centres.
    CostCentres,
    /// Employees.
    Employees,
    /// Purchase orders from approval on.
    PurchaseOrders,
    /// Goods receipts.
    Receipts,
}

impl Stream {
    /// All streams, in an order in which what is referred to comes first.
    pub const ALL: [Self; 7] = [
        Self::CostCentres,
        Self::Suppliers,
        Self::Employees,
        Self::Locations,
        Self::Items,
        Self::PurchaseOrders,
        Self::Receipts,
    ];

    /// The name used in configuration, cursors and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Suppliers => "suppliers",
            Self::Locations => "locations",
            Self::CostCentres => "cost-centres",
            Self::Employees => "employees",
            Self::PurchaseOrders => "purchase-orders",
            Self::Receipts => "receipts",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A position in a stream. Its text is the adapter's own; keep it and hand it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// A record that is new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The natural key: item code, PO number, and so on.
    pub key: String,
    /// When the ERP last changed the record itself. Changes of what belongs to it may be later.
    pub changed_at: Option<Timestamp>,
    /// The record in the ERP's own shape, numbers exact.
    pub body: Value,
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// The records, at most one page of them.
    pub changes: Vec<Change>,
    /// The position behind this page. Store it after the changes are safe (law LOSS-1).
    pub next: Cursor,
    /// Whether more is there already; if not, wait for the polling interval.
    pub more: bool,
}
