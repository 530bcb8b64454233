//! What a new ledger begins with: the description of a hospital becomes master data, opening stock, orders and receipts.
//!
//! The format is that of the hospital which fills the real ERP of the demo, so that one file fills both.

use jiff::civil::{Date, date};
use rusqlite::Transaction;
use serde::Deserialize;

use super::amount::Amount;
use super::books;
use super::clock::Now;
use super::problem::Problem;
use super::records::{
    CostCentre, Employee, Identifier, Item, Location, LocationKind, OrderLine, OrderState, Pack, PurchaseOrder,
    Receipt, ReceiptLine, Stream, Supplier, Tracking,
};
use super::stock::{self, Count, CountLine};
use super::store;

/// The base unit of all items.
const BASE_UNIT: &str = "EA";
/// Code of the building.
const WAREHOUSE: &str = "WH";
/// Terms of payment of all suppliers.
const TERMS: &str = "Direct";

/// A hospital. The default is an empty one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Seed {
    currency: String,
    cost_centers: Vec<Named>,
    locations: Vec<Department>,
    suppliers: Vec<Named>,
    opening_stock: OpeningStock,
    employees: Vec<Named>,
    purchase_orders: Vec<Order>,
    items: Vec<Article>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    code: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Department {
    code: String,
    name: String,
    cost_center: String,
    #[serde(rename = "use")]
    use_code: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct OpeningStock {
    with_lot: u32,
    without_lot: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Order {
    reference: String,
    supplier: String,
    state: String,
    lines: Vec<Wanted>,
}

#[derive(Clone, Debug, Deserialize)]
struct Wanted {
    item: String,
    quantity: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Article {
    code: String,
    name: String,
    gtin: String,
    hibc: Option<String>,
    mpn: String,
    pack: Option<Package>,
    supplier: String,
    supplier_code: String,
    cost: Amount,
    categories: Vec<String>,
    active: bool,
    lots: Vec<Lot>,
}

#[derive(Clone, Debug, Deserialize)]
struct Package {
    unit: String,
    quantity: u32,
    gtin: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Lot {
    number: String,
    expires: Date,
}

impl Seed {
    /// Reads a hospital from its JSON.
    ///
    /// # Errors
    /// When it is no such description.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes everything, in an order in which what is referred to comes first. Seeding a ledger again changes what
    /// differs and counts nothing twice.
    pub(super) fn write(&self, ledger: &Transaction<'_>, now: Now) -> Result<(), Problem> {
        if !self.currency.is_empty() {
            store::set_meta(ledger, store::CURRENCY, &self.currency)?;
        }
        for centre in &self.cost_centers {
            store::put(ledger, Stream::CostCentres, &centre.code, &self.cost_centre(centre), now)?;
        }
        for supplier in &self.suppliers {
            let record = Supplier {
                name: supplier.name.clone(),
                gln: None,
                tax_id: None,
                currency: Some(self.currency.clone()),
                terms: Some(TERMS.to_owned()),
                active: true,
            };
            store::put(ledger, Stream::Suppliers, &supplier.code, &record, now)?;
        }
        let since = date(now.day().year().saturating_sub(1), 1, 1);
        for person in &self.employees {
            let record = Employee { name: person.name.clone(), from: Some(since), to: None, active: true };
            store::put(ledger, Stream::Employees, &person.code, &record, now)?;
        }
        self.write_locations(ledger, now)?;
        for article in &self.items {
            books::put_item(ledger, &article.code, &article.item(), now)?;
            for lot in &article.lots {
                stock::add_lot(ledger, &article.code, &lot.number, Some(lot.expires))?;
            }
        }
        if !self.locations.is_empty() && store::meta(ledger, "seeded")?.is_none() {
            stock::count(ledger, &self.opening(), now)?;
            self.write_orders(ledger, now)?;
            store::set_meta(ledger, "seeded", "yes")?;
        }
        Ok(())
    }

    fn write_locations(&self, ledger: &Transaction<'_>, now: Now) -> Result<(), Problem> {
        if self.locations.is_empty() {
            return Ok(());
        }
        let place = |name: &str, kind, parent: Option<&str>, cost_centre: Option<&str>| Location {
            name: name.to_owned(),
            kind,
            parent: parent.map(str::to_owned),
            cost_centre: cost_centre.map(str::to_owned),
            active: true,
        };
        let building = place("Hospital warehouse", LocationKind::Warehouse, None, None);
        books::put_location(ledger, WAREHOUSE, &building, now)?;
        for department in &self.locations {
            let Department { code, name, cost_center, use_code } = department;
            let stock = place(name, LocationKind::Storage, Some(WAREHOUSE), Some(cost_center));
            books::put_location(ledger, code, &stock, now)?;
            let used = place(&format!("Patient use {name}"), LocationKind::Use, None, None);
            books::put_location(ledger, use_code, &used, now)?;
        }
        Ok(())
    }

    fn cost_centre(&self, centre: &Named) -> CostCentre {
        let paid = self.locations.iter().filter(|place| place.cost_center == centre.code);
        CostCentre {
            name: centre.name.clone(),
            parent: None,
            departments: paid.map(|place| place.code.clone()).collect(),
            active: true,
        }
    }

    fn opening(&self) -> Count {
        let mut lines = Vec::new();
        for place in &self.locations {
            for article in self.items.iter().filter(|article| article.active) {
                let line = |lot: Option<&Lot>, quantity: u32| CountLine {
                    item: article.code.clone(),
                    lot: lot.map(|lot| lot.number.clone()),
                    expires: lot.map(|lot| lot.expires),
                    location: place.code.clone(),
                    quantity: Amount::from(quantity),
                };
                if article.lots.is_empty() {
                    lines.push(line(None, self.opening_stock.without_lot));
                }
                lines.extend(article.lots.iter().map(|lot| line(Some(lot), self.opening_stock.with_lot)));
            }
        }
        Count { key: "opening stock".to_owned(), lines }
    }

    /// An order that was received has a receipt of everything, into the last location: the central store.
    fn write_orders(&self, ledger: &Transaction<'_>, now: Now) -> Result<(), Problem> {
        for (index, wanted) in self.purchase_orders.iter().enumerate() {
            let number = format!("PO-{:04}", index + 1);
            books::put_order(ledger, &number, self.order(wanted, now), now)?;
            if wanted.state != "received" {
                continue;
            }
            let line = |(index, line): (usize, &Wanted)| ReceiptLine {
                order_line: index + 1,
                item: String::new(),
                lot: self.article(&line.item).and_then(|article| article.lots.first()).map(|lot| lot.number.clone()),
                expires: None,
                quantity: Amount::from(line.quantity),
                uom: String::new(),
            };
            let receipt = Receipt {
                purchase_order: number,
                reference: Some(format!("DN-{}", wanted.reference.trim_start_matches("REQ-"))),
                supplier: String::new(),
                location: self.locations.last().map(|place| place.code.clone()).unwrap_or_default(),
                received_on: now.day(),
                received_by: None,
                lines: wanted.lines.iter().enumerate().map(line).collect(),
                is_final: false,
            };
            books::receive(ledger, &format!("GR-{:04}", index + 1), receipt, now)?;
        }
        Ok(())
    }

    fn order(&self, wanted: &Order, now: Now) -> PurchaseOrder {
        let line = |line: &Wanted| {
            let article = self.article(&line.item);
            let pack = article.and_then(|article| article.pack.as_ref());
            let quantity = pack.map_or(Amount::ONE, |pack| Amount::from(pack.quantity));
            OrderLine {
                item: line.item.clone(),
                supplier_item: article.map(|article| article.supplier_code.clone()),
                quantity: Amount::from(line.quantity),
                uom: pack.map_or(BASE_UNIT, |pack| &pack.unit).to_owned(),
                unit_price: article.and_then(|article| article.cost.times(quantity)),
                need_by: None,
                received: Amount::ZERO,
            }
        };
        let is_draft = wanted.state == "quotation";
        PurchaseOrder {
            reference: Some(wanted.reference.clone()),
            supplier: wanted.supplier.clone(),
            state: if is_draft { OrderState::Draft } else { OrderState::Approved },
            order_revision: 0,
            approved_on: (!is_draft).then(|| now.day()),
            buyer: None,
            approver: None,
            currency: self.currency.clone(),
            terms: Some(TERMS.to_owned()),
            ship_to: Some(WAREHOUSE.to_owned()),
            lines: wanted.lines.iter().map(line).collect(),
        }
    }

    fn article(&self, code: &str) -> Option<&Article> {
        self.items.iter().find(|article| article.code == code)
    }
}

impl Article {
    fn item(&self) -> Item {
        let is_in = |group: &str| self.categories.iter().any(|category| category == group);
        let identifier = |kind: &str, code: &str| Identifier { kind: kind.to_owned(), code: code.to_owned() };
        let mut identifiers = vec![identifier("gtin", &self.gtin)];
        identifiers.extend(self.hibc.as_deref().map(|code| identifier("hibc", code)));
        identifiers.push(identifier("mpn", &self.mpn));
        let pack = |pack: &Package| Pack {
            uom: pack.unit.clone(),
            quantity: Amount::from(pack.quantity),
            gtin: Some(pack.gtin.clone()),
        };
        Item {
            name: self.name.clone(),
            uom: BASE_UNIT.to_owned(),
            packs: self.pack.iter().map(pack).collect(),
            identifiers,
            supplier: Some(self.supplier.clone()),
            supplier_item: Some(self.supplier_code.clone()),
            cost: Some(self.cost),
            categories: self.categories.clone(),
            tracking: if self.lots.is_empty() { Tracking::None } else { Tracking::Lot },
            expires: !self.lots.is_empty(),
            consignment: is_in("Consignment"),
            implant: is_in("Implant"),
            active: self.active,
        }
    }
}
