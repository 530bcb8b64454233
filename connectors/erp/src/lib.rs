//! Follows the ERP: master data, purchase orders and goods receipts become events.
//!
//! ```text
//! change feed of the ERP  ->  master.{item,supplier,location,cost-center,employee}.v1,
//!                             supply.purchase-order.v1, supply.goods-receipt.v1,
//!                             ops.exception.v1 (a record that cannot be an event),
//!                             ops.cursor.v1    (how far it is)
//! ```
//! The events of a page and the cursor behind it are one transaction, so nothing is lost and nothing is published twice by a
//! crash. The ERP shows records more than once; what has not changed in content is not published again, and what was published
//! before the room started is read back from the topics that it writes.

mod config;
pub mod mapping;
mod page;
mod poll;
mod remembered;
mod seen;

pub use config::ErpConfig;

use runtime::{Room, RoomInfo, RoomKind};
use schemas::{TopicInfo, topics};

/// Name of the room.
pub const NAME: &str = "erp";

/// The room, for a process.
#[must_use]
pub fn room() -> Room {
    let info = RoomInfo {
        name: NAME,
        purpose: "Follows the ERP: items, suppliers, locations, cost centres, employees, orders and receipts.",
        kind: RoomKind::Source,
        reads: Vec::new(),
        looks_up: Vec::new(),
        writes: written().iter().map(|topic| topic.name).collect(),
    };
    Room::source(info, poll::run).configured(|own: &ErpConfig, _| {
        own.system.open(&own.tryton, &own.sandbox).map(drop).map_err(|error| error.to_string())
    })
}

/// The topics that the room writes.
fn written() -> Vec<&'static TopicInfo> {
    vec![
        topics::MASTER_COST_CENTER_V1.info(),
        topics::MASTER_EMPLOYEE_V1.info(),
        topics::MASTER_ITEM_V1.info(),
        topics::MASTER_LOCATION_V1.info(),
        topics::MASTER_SUPPLIER_V1.info(),
        topics::OPS_CURSOR_V1.info(),
        topics::OPS_EXCEPTION_V1.info(),
        topics::SUPPLY_GOODS_RECEIPT_V1.info(),
        topics::SUPPLY_PURCHASE_ORDER_V1.info(),
    ]
}
