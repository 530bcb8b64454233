//! From the records of the ERP to events: pure functions, a record goes in, events or the reason why not come out.
//!
//! ```text
//! product.product {code: 71-100234, identifiers: [ean 00844588003288], ...}
//!     -> MasterItem {itemId: 71-100234, gtins: [00844588003288], ...}
//! ```
//!
//! The same record always gives the same events with the same ids. The revision is the moment of the newest change in
//! the record or in what belongs to it, in seconds since 2020, and on top how often the ERP wrote the record, where it says
//! so. It rises with every change: what a supplier is told counts once per revision (FX-1).

mod envelope;
mod item;
mod ledger;
mod party;
mod place;
mod purchase;

use connector::erp::{Change, Stream};
use erp_systems::System;
use schemas::{
    EventMeta, GoodsReceipt, MasterCostCenter, MasterEmployee, MasterItem, MasterLocation, MasterSupplier,
    PurchaseOrder, Timestamp,
};
use serde::Serialize;

use crate::ErpConfig;
use envelope::Envelope;

/// An event of any stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Mapped {
    /// An item.
    Item(Box<MasterItem>),
    /// A supplier.
    Supplier(MasterSupplier),
    /// A location.
    Location(MasterLocation),
    /// A cost centre.
    CostCentre(MasterCostCenter),
    /// An employee.
    Employee(MasterEmployee),
    /// A purchase order.
    PurchaseOrder(PurchaseOrder),
    /// A line of a goods receipt.
    GoodsReceipt(GoodsReceipt),
}

/// Why a record of the ERP is no event. It stays visible in the ERP, and mending it there brings it back as a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A field without which the event says nothing.
    #[error("WL-3020: {stream} {key}: {field} is missing")]
    Missing {
        /// The stream.
        stream: Stream,
        /// Natural key of the record.
        key: String,
        /// Path of the field in the ERP.
        field: &'static str,
    },
    /// A number that the contract cannot hold without changing it.
    #[error("WL-3021: {stream} {key}: {field} has too many digits")]
    Digits {
        /// The stream.
        stream: Stream,
        /// Natural key of the record.
        key: String,
        /// Path of the field in the ERP.
        field: &'static str,
    },
    /// A record that is not as the adapter of this version knows it.
    #[error("WL-3022: {stream} {key}: the record is not understood: {reason}")]
    Shape {
        /// The stream.
        stream: Stream,
        /// Natural key of the record.
        key: String,
        /// What was not as expected.
        reason: String,
    },
    /// A record whose event the contract of its topic refuses.
    #[error("WL-6008: {stream} {key}: the event does not fit the contract of its topic")]
    Unfit {
        /// The stream.
        stream: Stream,
        /// Natural key of the record.
        key: String,
    },
}

/// The events of one record. `now` is only for `publishedAt`. A record may give none (an order that was cancelled before
/// it was approved) or several (a receipt with many lines).
///
/// # Errors
/// [`MapError`] when the record lacks what the event must have.
pub fn events(config: &ErpConfig, stream: Stream, change: &Change, now: Timestamp) -> Result<Vec<Mapped>, MapError> {
    let envelope = Envelope::new(config, stream, change, now);
    match config.system {
        System::Tryton => of_tryton(config, stream, &envelope),
        System::Sandbox => ledger::events(config, stream, &envelope),
    }
}

fn of_tryton(config: &ErpConfig, stream: Stream, envelope: &Envelope<'_>) -> Result<Vec<Mapped>, MapError> {
    Ok(match stream {
        Stream::Items => vec![Mapped::Item(Box::new(item::item(config, envelope)?))],
        Stream::Suppliers => vec![Mapped::Supplier(party::supplier(envelope)?)],
        Stream::Locations => vec![Mapped::Location(place::location(config, envelope))],
        Stream::CostCentres => vec![Mapped::CostCentre(place::cost_centre(config, envelope))],
        Stream::Employees => vec![Mapped::Employee(party::employee(envelope))],
        Stream::PurchaseOrders => purchase::order(config, envelope)?.into_iter().map(Mapped::PurchaseOrder).collect(),
        Stream::Receipts => purchase::receipts(config, envelope)?.into_iter().map(Mapped::GoodsReceipt).collect(),
    })
}

impl Mapped {
    /// The envelope.
    #[must_use]
    pub fn meta(&self) -> &EventMeta {
        match self {
            Self::Item(event) => &event.meta,
            Self::Supplier(event) => &event.meta,
            Self::Location(event) => &event.meta,
            Self::CostCentre(event) => &event.meta,
            Self::Employee(event) => &event.meta,
            Self::PurchaseOrder(event) => &event.meta,
            Self::GoodsReceipt(event) => &event.meta,
        }
    }

    /// The envelope, to change it.
    pub fn meta_mut(&mut self) -> &mut EventMeta {
        match self {
            Self::Item(event) => &mut event.meta,
            Self::Supplier(event) => &mut event.meta,
            Self::Location(event) => &mut event.meta,
            Self::CostCentre(event) => &mut event.meta,
            Self::Employee(event) => &mut event.meta,
            Self::PurchaseOrder(event) => &mut event.meta,
            Self::GoodsReceipt(event) => &mut event.meta,
        }
    }
}

impl MapError {
    /// The stable code with a page under `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "WL-3020",
            Self::Digits { .. } => "WL-3021",
            Self::Shape { .. } => "WL-3022",
            Self::Unfit { .. } => "WL-6008",
        }
    }

    /// Path of the field in the ERP.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Missing { field, .. } | Self::Digits { field, .. } => field,
            Self::Shape { .. } | Self::Unfit { .. } => "record",
        }
    }
}
