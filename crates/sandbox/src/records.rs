//! The JSON of master data, orders and receipts, as the change feed carries it.

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;

/// The body of a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Written<T> {
    /// How often the record was written, from 1.
    pub revision: i32,
    /// Whether it is deleted; the record is as it was last.
    pub deleted: bool,
    /// The record.
    pub record: T,
}

/// What is used and bought.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Item {
    /// What people call it.
    pub name: String,
    /// Base unit.
    pub uom: String,
    /// Units that hold several of the base unit.
    pub packs: Vec<Pack>,
    /// Codes on its label and in catalogues.
    pub identifiers: Vec<Identifier>,
    /// Code of the preferred supplier.
    pub supplier: Option<String>,
    /// The supplier's own number.
    pub supplier_item: Option<String>,
    /// Cost of one base unit in the company's currency.
    pub cost: Option<Decimal>,
    /// Groups that it is in.
    pub categories: Vec<String>,
    /// Whether stock is kept by lot or serial number.
    pub tracking: Tracking,
    /// Whether its lots expire.
    pub expires: bool,
    /// Whether its stock belongs to the supplier until used.
    pub consignment: bool,
    /// Whether it stays in the patient.
    pub implant: bool,
    /// False for what must no longer be used.
    pub active: bool,
}

/// How stock of an item is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// Not at all.
    None,
    /// By lot.
    Lot,
    /// Piece by piece.
    Serial,
}

/// A unit that holds several of the base unit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pack {
    /// Its unit.
    pub uom: String,
    /// How many base units it holds.
    pub quantity: Decimal,
    /// The GTIN printed on it.
    pub gtin: Option<String>,
}

/// A code of an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identifier {
    /// `gtin`, `hibc`, `iccbba`, `mpn` (the maker's part number) or another system.
    pub kind: String,
    /// The code.
    pub code: String,
}

/// Who delivers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Supplier {
    /// What people call it.
    pub name: String,
    /// Global location number.
    pub gln: Option<String>,
    /// Tax number.
    pub tax_id: Option<String>,
    /// Currency of its prices.
    pub currency: Option<String>,
    /// Terms of payment.
    pub terms: Option<String>,
    /// False for one that nothing is bought from any more.
    pub active: bool,
}

/// Where stock is or goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Location {
    /// What people call it.
    pub name: String,
    /// What is kept there.
    pub kind: LocationKind,
    /// Code of the location that it is part of.
    pub parent: Option<String>,
    /// Code of the cost centre that pays for what is used from here.
    pub cost_centre: Option<String>,
    /// False for one that is closed.
    pub active: bool,
}

/// What is kept at a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationKind {
    /// The building.
    Warehouse,
    /// Stock.
    Storage,
    /// What was used.
    Use,
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CostCentre {
    /// What people call it.
    pub name: String,
    /// Code of the cost centre that it is part of.
    pub parent: Option<String>,
    /// Codes of the locations that it pays for.
    pub departments: Vec<String>,
    /// False for one that is closed.
    pub active: bool,
}

/// Who works here.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Employee {
    /// The name.
    pub name: String,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
    /// Whether the person works here now.
    pub active: bool,
}

/// What is ordered from a supplier.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PurchaseOrder {
    /// Code of the supplier.
    pub supplier: String,
    /// Where it stands.
    pub state: OrderState,
    /// How often it was approved anew.
    pub order_revision: i32,
    /// Day of the approval.
    pub approved_on: Option<Date>,
    /// Code of the employee who asked for it.
    pub buyer: Option<String>,
    /// Code of the employee who approved it.
    pub approver: Option<String>,
    /// Currency of its prices.
    pub currency: String,
    /// Terms of payment.
    pub terms: Option<String>,
    /// Code of the location that it goes to.
    pub ship_to: Option<String>,
    /// What is ordered.
    pub lines: Vec<OrderLine>,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OrderLine {
    /// Code of the item.
    pub item: String,
    /// The supplier's own number.
    pub supplier_item: Option<String>,
    /// How much is wanted.
    pub quantity: Decimal,
    /// Unit of the quantity.
    pub uom: String,
    /// Price of one unit.
    pub unit_price: Option<Decimal>,
    /// Day on which it is needed.
    pub need_by: Option<Date>,
}

/// A delivery that came.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Number of the order.
    pub purchase_order: String,
    /// Code of the supplier.
    pub supplier: String,
    /// Code of the location that received it.
    pub location: String,
    /// Day on which it came.
    pub received_on: Date,
    /// Code of the employee who took it.
    pub received_by: Option<String>,
    /// What came.
    pub lines: Vec<ReceiptLine>,
    /// Whether the order is complete with it.
    pub is_final: bool,
}

/// A line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReceiptLine {
    /// Number of the order's line, from 1.
    pub order_line: i32,
    /// Code of the item.
    pub item: String,
    /// Lot or serial number.
    pub lot: Option<String>,
    /// Day on which the lot expires.
    pub expires: Option<Date>,
    /// How much came.
    pub quantity: Decimal,
    /// Unit of the quantity.
    pub uom: String,
}
