//! The hospital that the ERP's database is filled with, for those who make events that fit it.

use serde::Deserialize;

/// The file that this module, the loader of the database and the sandbox ERP read.
pub const HOSPITAL_JSON: &str = include_str!("../assets/tryton/hospital.json");

/// All master data of the hospital.
#[derive(Clone, Debug, Deserialize)]
pub struct Hospital {
    /// The company's name.
    pub company: String,
    /// The company's currency, three letters.
    pub currency: String,
    /// Who pays.
    pub cost_centers: Vec<CostCenter>,
    /// Where stock is, departments first, the central store last.
    pub locations: Vec<Location>,
    /// Who delivers.
    pub suppliers: Vec<Supplier>,
    /// The pack units beside the single unit `u`.
    pub units: Vec<Unit>,
    /// What lies at each location, per lot or per item without lots.
    pub opening_stock: OpeningStock,
    /// The people.
    pub employees: Vec<Employee>,
    /// The orders that already exist.
    pub purchase_orders: Vec<PurchaseOrder>,
    /// What is used.
    pub items: Vec<Item>,
}

impl Hospital {
    /// Reads the embedded master data.
    ///
    /// # Errors
    /// Never in a build that passed its tests: the data is part of the program.
    pub fn load() -> Result<Self, serde_json::Error> {
        serde_json::from_str(HOSPITAL_JSON)
    }
}

/// A cost centre: an analytic account of the ERP.
#[derive(Clone, Debug, Deserialize)]
pub struct CostCenter {
    /// For example `CC-OR`.
    pub code: String,
    /// What people call it.
    pub name: String,
}

/// A department with its own stock.
#[derive(Clone, Debug, Deserialize)]
pub struct Location {
    /// The stock location's code, for example `OR1`.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// The code of the cost centre that pays for what is used here.
    pub cost_center: String,
    /// The code of the location that consumption moves stock to.
    #[serde(rename = "use")]
    pub use_code: String,
}

/// A supplier.
#[derive(Clone, Debug, Deserialize)]
pub struct Supplier {
    /// The party's code, for example `V-300`.
    pub code: String,
    /// What people call it.
    pub name: String,
}

/// A pack unit.
#[derive(Clone, Debug, Deserialize)]
pub struct Unit {
    /// The unit's symbol in the ERP, for example `BX100`.
    pub symbol: String,
    /// What people call it.
    pub name: String,
    /// How many single units it holds.
    pub quantity: u32,
}

/// What lies at each location at the beginning, in single units.
#[derive(Clone, Debug, Deserialize)]
pub struct OpeningStock {
    /// Of each lot.
    pub with_lot: u32,
    /// Of each item that has no lots.
    pub without_lot: u32,
}

/// A person who works here.
#[derive(Clone, Debug, Deserialize)]
pub struct Employee {
    /// The party's code, for example `E001`.
    pub code: String,
    /// The invented name.
    pub name: String,
}

/// An order to a supplier that exists from the beginning.
#[derive(Clone, Debug, Deserialize)]
pub struct PurchaseOrder {
    /// The hospital's own reference.
    pub reference: String,
    /// The supplier's code.
    pub supplier: String,
    /// `quotation`, `processing` or `received`.
    pub state: String,
    /// What is ordered.
    pub lines: Vec<PurchaseOrderLine>,
}

/// One line of an order.
#[derive(Clone, Debug, Deserialize)]
pub struct PurchaseOrderLine {
    /// The item's code.
    pub item: String,
    /// How many, in the unit the item is bought in.
    pub quantity: u32,
}

/// Something that is used on or in a patient.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// The item number.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// The GTIN of the single unit, 14 digits.
    pub gtin: String,
    /// The device identifier of the same item under HIBCC, when it has one.
    pub hibc: Option<String>,
    /// The maker's part number.
    pub mpn: String,
    /// The pack it is bought in, when that is not the single unit.
    pub pack: Option<Pack>,
    /// The supplier's code.
    pub supplier: String,
    /// The supplier's own number for it.
    pub supplier_code: String,
    /// The cost of the single unit, as decimal text.
    pub cost: String,
    /// Among others `Implant`, `Consignment` and `VMI`.
    pub categories: Vec<String>,
    /// False for what must no longer be used.
    pub active: bool,
    /// Its lots; empty when the item is not tracked by lot.
    pub lots: Vec<Lot>,
}

/// How an item is packed.
#[derive(Clone, Debug, Deserialize)]
pub struct Pack {
    /// The pack unit's symbol.
    pub unit: String,
    /// How many single units it holds.
    pub quantity: u32,
    /// The GTIN printed on the pack, 14 digits.
    pub gtin: String,
}

/// A lot of an item.
#[derive(Clone, Debug, Deserialize)]
pub struct Lot {
    /// The lot number on the label.
    pub number: String,
    /// The day it expires, `YYYY-MM-DD`.
    pub expires: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test")]
    use super::Hospital;
    use std::collections::HashSet;

    fn check_digit_fits(gtin: &str) -> bool {
        let digits: Vec<u32> = gtin.chars().filter_map(|digit| digit.to_digit(10)).collect();
        let sum: u32 = digits.iter().enumerate().map(|(at, digit)| if at % 2 == 0 { digit * 3 } else { *digit }).sum();
        digits.len() == 14 && sum.is_multiple_of(10)
    }

    #[test]
    fn every_gtin_is_valid_and_unique() {
        let hospital = Hospital::load().unwrap();
        let mut seen = HashSet::new();
        for item in &hospital.items {
            for gtin in std::iter::once(&item.gtin).chain(item.pack.iter().map(|pack| &pack.gtin)) {
                assert!(check_digit_fits(gtin), "{}: {gtin}", item.code);
                assert!(seen.insert(gtin.clone()), "{}: {gtin} twice", item.code);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let hospital = Hospital::load().unwrap();
        let centers: HashSet<_> = hospital.cost_centers.iter().map(|center| &center.code).collect();
        let suppliers: HashSet<_> = hospital.suppliers.iter().map(|supplier| &supplier.code).collect();
        let units: HashSet<_> = hospital.units.iter().map(|unit| &unit.symbol).collect();
        let items: HashSet<_> = hospital.items.iter().map(|item| &item.code).collect();
        assert!(hospital.locations.iter().all(|location| centers.contains(&location.cost_center)));
        assert!(hospital.items.iter().all(|item| suppliers.contains(&item.supplier)));
        assert!(hospital.items.iter().filter_map(|item| item.pack.as_ref()).all(|pack| units.contains(&pack.unit)));
        assert!(hospital.purchase_orders.iter().flat_map(|order| &order.lines).all(|line| items.contains(&line.item)));
        assert!(hospital.items.len() >= 40);
    }
}
