//! An ERP in this process that has booked the made-up day: documents are made when they are asked for, so that it needs no memory.

use connector::erp::answer::refused;
use connector::erp::{
    Allocation, Booked, BookedLine, BookedPage, BookedQuery, ChangePage, Cursor, Document, Erp, ErpFuture, Lookup,
    Movement, MovementQuery, Posted, Posting, Rounding, Stream,
};
use jiff::Timestamp;
use operations::reconcile::sample::{BATCH, DROPPED, Day, Plant, WAITING};
use rust_decimal::Decimal;

/// Batches of usages in one page of the list.
const PAGE: u64 = 500;

/// The documents of a day.
pub struct MadeUp {
    /// The day.
    pub day: Day,
    /// When all of them were made.
    pub made_at: Timestamp,
}

/// Key of the document that a usage is posted under: one for several, or one of its own for one with a difference.
pub fn document_key(day: &Day, number: u64) -> String {
    match day.plants.get(&number) {
        Some(_) => format!("wl-one-{number}"),
        None => format!("wl-batch-{}", number / BATCH),
    }
}

/// Whether a usage comes as far as the rooms that act.
pub fn acts(day: &Day, number: u64) -> bool {
    let stops = matches!(day.plants.get(&number), Some(Plant::EventMissing | Plant::OutcomeMissing));
    !stops && !number.is_multiple_of(DROPPED) && !number.is_multiple_of(WAITING)
}

/// The article of a usage.
pub fn item(number: u64) -> String {
    format!("item-{}", number % 50)
}

/// What one piece costs.
pub fn amount() -> Decimal {
    Decimal::new(250, 2)
}

impl MadeUp {
    fn batch(&self, batch: u64) -> Vec<Booked> {
        let numbers = batch * BATCH..((batch + 1) * BATCH).min(self.day.events);
        let (mut shared, mut found): (Option<Booked>, Vec<Booked>) = (None, Vec::new());
        for number in numbers.filter(|number| acts(&self.day, *number)) {
            let document = self.document(number);
            match self.day.plants.get(&number) {
                Some(Plant::DocumentMissing | Plant::EffectMissing) => {}
                Some(Plant::DocumentDoubled) => {
                    let mut again = document.clone();
                    "again".clone_into(&mut again.document.id);
                    found.extend([document, again]);
                }
                Some(Plant::DocumentUnexpected) => {
                    let nobodys = Booked { document_key: "wl-nobody".to_owned(), ..document.clone() };
                    found.extend([document, nobodys]);
                }
                Some(_) => found.push(document),
                None => match &mut shared {
                    None => shared = Some(document),
                    Some(known) => {
                        known.lines.extend(document.lines);
                        if let (Some(known), Some(more)) = (known.costs.first_mut(), document.costs.first()) {
                            known.amount += more.amount;
                        }
                    }
                },
            }
        }
        found.extend(shared);
        found
    }

    fn document(&self, number: u64) -> Booked {
        let is = |plant: Plant| self.day.plants.get(&number) == Some(&plant);
        let key = document_key(&self.day, number);
        let quantity = if is(Plant::OtherQuantity) { Decimal::TWO } else { Decimal::ONE };
        let stock_location = if is(Plant::OtherLocation) { "ICU" } else { "OR1" }.to_owned();
        let cost_centre = if is(Plant::OtherCostCentre) { "CC-ICU" } else { "CC-OR" }.to_owned();
        let amount = if is(Plant::OtherAmount) { Decimal::TEN } else { amount() };
        Booked {
            document: Document {
                kind: "shipment".to_owned(),
                id: key.clone(),
                number: Some(key.clone()),
                state: "done".to_owned(),
            },
            document_key: key,
            made_at: self.made_at,
            finished: true,
            lines: vec![BookedLine { item: item(number), lot: None, stock_location, quantity }],
            costs: vec![Allocation { cost_centre, amount }],
        }
    }

    fn page(&self, query: &BookedQuery, after: Option<&Cursor>) -> BookedPage {
        if matches!(query, BookedQuery::Keys(_)) {
            return BookedPage { documents: Vec::new(), next: None };
        }
        let first: u64 = after.and_then(|cursor| cursor.0.parse().ok()).unwrap_or_default();
        let batches = self.day.events.div_ceil(BATCH);
        let until = (first + PAGE).min(batches);
        let documents = (first..until).flat_map(|batch| self.batch(batch)).collect();
        BookedPage { documents, next: (until < batches).then(|| Cursor(until.to_string())) }
    }
}

impl Erp for MadeUp {
    fn booked<'a>(&'a self, query: &'a BookedQuery, after: Option<&'a Cursor>) -> ErpFuture<'a, BookedPage> {
        Box::pin(std::future::ready(Ok(self.page(query, after))))
    }

    fn post<'a>(&'a self, _posting: &'a Posting) -> ErpFuture<'a, Posted> {
        only_read()
    }

    fn find<'a>(&'a self, _document_key: &'a str) -> ErpFuture<'a, Lookup> {
        only_read()
    }

    fn resume<'a>(&'a self, _key: &'a str, _cost_centre: Option<&'a str>, _certain: bool) -> ErpFuture<'a, Lookup> {
        only_read()
    }

    fn stock_movements<'a>(&'a self, _query: &'a MovementQuery) -> ErpFuture<'a, Vec<Movement>> {
        only_read()
    }

    fn allocations<'a>(&'a self, _document_key: &'a str) -> ErpFuture<'a, Vec<Allocation>> {
        only_read()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Document { digits: 2 }
    }

    fn changes<'a>(&'a self, _stream: Stream, _cursor: Option<&'a Cursor>) -> ErpFuture<'a, ChangePage> {
        only_read()
    }
}

fn only_read<'a, T: Send + 'a>() -> ErpFuture<'a, T> {
    Box::pin(std::future::ready(Err(refused("this ERP only lists documents".to_owned()))))
}
