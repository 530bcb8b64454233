//! The records of the ledger: what they hold and how they look in JSON. Field names are those of the API.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// A kind of record, and a stream of the change feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// [`Item`].
    Items,
    /// [`Supplier`].
    Suppliers,
    /// [`Location`].
    Locations,
    /// [`CostCentre`].
    CostCentres,
    /// [`Employee`].
    Employees,
    /// [`PurchaseOrder`].
    PurchaseOrders,
    /// [`Receipt`].
    Receipts,
}

impl Stream {
    /// Its name in addresses and in the store.
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

impl FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map_err(|_| format!("there is no stream {text}"))
    }
}

/// What is used and bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What people call it.
    pub name: String,
    /// Base unit, for example `EA`.
    pub uom: String,
    /// Units that hold several of the base unit.
    #[serde(default)]
    pub packs: Vec<Pack>,
    /// Codes on its label and in catalogues.
    #[serde(default)]
    pub identifiers: Vec<Identifier>,
    /// Code of the preferred supplier.
    #[serde(default)]
    pub supplier: Option<String>,
    /// The supplier's own number.
    #[serde(default)]
    pub supplier_item: Option<String>,
    /// Cost of one base unit in the company's currency.
    #[serde(default)]
    pub cost: Option<Amount>,
    /// Groups that it is in.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Whether stock is kept by lot or serial number.
    #[serde(default)]
    pub tracking: Tracking,
    /// Whether its lots expire.
    #[serde(default)]
    pub expires: bool,
    /// Whether its stock belongs to the supplier until used.
    #[serde(default)]
    pub consignment: bool,
    /// Whether it stays in the patient.
    #[serde(default)]
    pub implant: bool,
    /// False for what must no longer be used.
    #[serde(default = "yes")]
    pub active: bool,
}

/// How stock of an item is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// Not at all.
    #[default]
    None,
    /// By lot.
    Lot,
    /// Piece by piece.
    Serial,
}

/// A unit that holds several of the base unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its unit, for example `BX100`.
    pub uom: String,
    /// How many base units it holds.
    pub quantity: Amount,
    /// The GTIN printed on it.
    #[serde(default)]
    pub gtin: Option<String>,
}

/// A code of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identifier {
    /// `gtin`, `hibc`, `iccbba`, `mpn` (the maker's part number) or another system.
    pub kind: String,
    /// The code.
    pub code: String,
}

/// Who delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplier {
    /// What people call it.
    pub name: String,
    /// Global location number.
    #[serde(default)]
    pub gln: Option<String>,
    /// Tax number.
    #[serde(default)]
    pub tax_id: Option<String>,
    /// Currency of its prices.
    #[serde(default)]
    pub currency: Option<String>,
    /// Terms of payment.
    #[serde(default)]
    pub terms: Option<String>,
    /// False for one that nothing is bought from any more.
    #[serde(default = "yes")]
    pub active: bool,
}

/// Where stock is or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// What people call it.
    pub name: String,
    /// What is kept there.
    pub kind: LocationKind,
    /// Code of the location that it is part of.
    #[serde(default)]
    pub parent: Option<String>,
    /// Code of the cost centre that pays for what is used from here; makes it a department.
    #[serde(default)]
    pub cost_centre: Option<String>,
    /// False for one that is closed.
    #[serde(default = "yes")]
    pub active: bool,
}

/// What is kept at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationKind {
    /// The building; no stock of its own.
    Warehouse,
    /// Stock, never less than nothing.
    Storage,
    /// What was used; may give back more than it got.
    Use,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostCentre {
    /// What people call it.
    pub name: String,
    /// Code of the cost centre that it is part of.
    #[serde(default)]
    pub parent: Option<String>,
    /// Codes of the locations that it pays for.
    #[serde(default)]
    pub departments: Vec<String>,
    /// False for one that is closed: nothing is posted to it.
    #[serde(default = "yes")]
    pub active: bool,
}

/// Who works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Employee {
    /// The name.
    pub name: String,
    /// First day.
    #[serde(default)]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default)]
    pub to: Option<Date>,
    /// Whether the person works here now.
    #[serde(default = "yes")]
    pub active: bool,
}

/// What is ordered from a supplier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurchaseOrder {
    /// The hospital's own reference.
    #[serde(default)]
    pub reference: Option<String>,
    /// Code of the supplier.
    pub supplier: String,
    /// Where it stands.
    pub state: OrderState,
    /// How often it was approved anew.
    #[serde(default)]
    pub order_revision: u32,
    /// Day of the approval.
    #[serde(default)]
    pub approved_on: Option<Date>,
    /// Code of the employee who asked for it.
    #[serde(default)]
    pub buyer: Option<String>,
    /// Code of the employee who approved it.
    #[serde(default)]
    pub approver: Option<String>,
    /// Currency of its prices.
    pub currency: String,
    /// Terms of payment.
    #[serde(default)]
    pub terms: Option<String>,
    /// Code of the location that it goes to.
    #[serde(default)]
    pub ship_to: Option<String>,
    /// What is ordered.
    pub lines: Vec<OrderLine>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Not approved yet.
    Draft,
    /// Approved and sent.
    Approved,
    /// All of it is here.
    Received,
    /// Not wanted any more.
    Cancelled,
}

/// A line of an order; its number is its place, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// Code of the item.
    pub item: String,
    /// The supplier's own number.
    #[serde(default)]
    pub supplier_item: Option<String>,
    /// How much is wanted.
    pub quantity: Amount,
    /// Unit of the quantity.
    pub uom: String,
    /// Price of one unit.
    #[serde(default)]
    pub unit_price: Option<Amount>,
    /// Day on which it is needed.
    #[serde(default)]
    pub need_by: Option<Date>,
    /// How much has come; kept by the ledger.
    #[serde(default)]
    pub received: Amount,
}

/// A delivery that came. It is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Number of the order.
    pub purchase_order: String,
    /// Number of the supplier's delivery note.
    #[serde(default)]
    pub reference: Option<String>,
    /// Code of the supplier; kept by the ledger.
    #[serde(default)]
    pub supplier: String,
    /// Code of the location that received it.
    pub location: String,
    /// Day on which it came.
    pub received_on: Date,
    /// Code of the employee who took it.
    #[serde(default)]
    pub received_by: Option<String>,
    /// What came.
    pub lines: Vec<ReceiptLine>,
    /// Whether the order is complete with it; kept by the ledger.
    #[serde(default)]
    pub is_final: bool,
}

/// A line of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptLine {
    /// Number of the order's line, from 1.
    pub order_line: usize,
    /// Code of the item; kept by the ledger.
    #[serde(default)]
    pub item: String,
    /// Lot or serial number, when the item has them. A new one is created.
    #[serde(default)]
    pub lot: Option<String>,
    /// Day on which the lot expires.
    #[serde(default)]
    pub expires: Option<Date>,
    /// How much came, in the unit of the order's line.
    pub quantity: Amount,
    /// Unit of the quantity; kept by the ledger.
    #[serde(default)]
    pub uom: String,
}

impl Item {
    /// How many base units one of `uom` holds; `None` when the item does not know the unit.
    #[must_use]
    pub fn factor(&self, uom: &str) -> Option<Amount> {
        let pack = || self.packs.iter().find(|pack| pack.uom == uom).map(|pack| pack.quantity);
        if self.uom == uom { Some(Amount::ONE) } else { pack() }
    }
}

const fn yes() -> bool {
    true
}
