//! A made-up day of facts, of any size, with differences planted in it: for tests and for `wardline bench reconcile`.

use super::books::{Books, record_key};
use super::difference::{Kind, Part};
use super::fact::{
    About, EffectFact, EffectStanding, FoundCost, FoundFact, FoundLine, Key, Output, ParkedFact, PostingFact, RoomFact,
    SourceFact, Spot, Told,
};
use super::scope::{Accounted, Outside, Scope, Window};
use super::spill::SpillError;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// When the day begins, milliseconds since 1970.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// Length of the day, milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Lines of one document.
pub const BATCH: u64 = 10;
/// Events that are left out by a rule: one in so many.
pub const DROPPED: u64 = 50;
/// Events that wait: one in so many.
pub const WAITING: u64 = 97;
/// Events that a supplier is told of: one in so many.
pub const NOTIFIED: u64 = 20;

/// A difference that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is what its kind and part say")]
pub enum Plant {
    EventMissing,
    EventUnpromised,
    EventDoubled,
    OutcomeMissing,
    OutcomesContradict,
    PostingDoubled,
    PostingMissing,
    EffectMissing,
    EffectInDoubt,
    NoticeUnanswered,
    NoticeRefused,
    DocumentMissing,
    SecondDocumentMissing,
    DocumentDoubled,
    DocumentUnexpected,
    OtherQuantity,
    OtherLocation,
    OtherCostCentre,
    OtherAmount,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::EventMissing,
        Self::EventUnpromised,
        Self::EventDoubled,
        Self::OutcomeMissing,
        Self::OutcomesContradict,
        Self::PostingDoubled,
        Self::PostingMissing,
        Self::EffectMissing,
        Self::EffectInDoubt,
        Self::NoticeUnanswered,
        Self::NoticeRefused,
        Self::DocumentMissing,
        Self::SecondDocumentMissing,
        Self::DocumentDoubled,
        Self::DocumentUnexpected,
        Self::OtherQuantity,
        Self::OtherLocation,
        Self::OtherCostCentre,
        Self::OtherAmount,
    ];

    /// As what it must be found.
    #[must_use]
    pub const fn expected(self) -> (Part, Kind) {
        match self {
            Self::EventMissing => (Part::Receipts, Kind::Missing),
            Self::EventUnpromised => (Part::Receipts, Kind::Unpromised),
            Self::EventDoubled => (Part::Receipts, Kind::Doubled),
            Self::OutcomeMissing => (Part::Outcomes, Kind::Missing),
            Self::OutcomesContradict => (Part::Outcomes, Kind::Contradiction),
            Self::PostingDoubled => (Part::Outcomes, Kind::Doubled),
            Self::PostingMissing | Self::EffectMissing => (Part::Effects, Kind::Missing),
            Self::EffectInDoubt => (Part::Erp, Kind::InDoubt),
            Self::NoticeUnanswered | Self::NoticeRefused => (Part::Suppliers, Kind::NotAcknowledged),
            Self::DocumentMissing | Self::SecondDocumentMissing => (Part::Erp, Kind::Missing),
            Self::DocumentDoubled => (Part::Erp, Kind::Doubled),
            Self::DocumentUnexpected => (Part::Erp, Kind::UnexpectedDocument),
            Self::OtherQuantity => (Part::Erp, Kind::Quantity),
            Self::OtherLocation => (Part::Erp, Kind::Location),
            Self::OtherCostCentre => (Part::Erp, Kind::CostCentre),
            Self::OtherAmount => (Part::Erp, Kind::Amount),
        }
    }
}

/// A made-up day.
pub struct Day {
    /// Usages of the day.
    pub events: u64,
    /// What is planted, by the number of the usage.
    pub plants: BTreeMap<u64, Plant>,
}

/// Places and rooms of the day.
struct Names {
    usage: u8,
    validated: u8,
    enriched: u8,
    posting: u8,
    notice: u8,
    effect: u8,
    receipt: u8,
}

const VALIDATE: u8 = 0;
const ENRICH: u8 = 1;
const ERP_POST: u8 = 2;
const FANOUT: u8 = 3;

impl Day {
    /// A day of so many usages with these differences, spread over it.
    #[must_use]
    pub fn new(events: u64, plants: &[Plant]) -> Self {
        let step = events / (plants.len() as u64 + 1).max(1);
        let spread = plants.iter().zip(1..).map(|(plant, number)| {
            // Every plant takes a usage that goes the whole way and that a supplier is told of.
            let mut event: u64 = step * number;
            while event.is_multiple_of(DROPPED) || event.is_multiple_of(WAITING) || !event.is_multiple_of(NOTIFIED) {
                event += 1;
            }
            (event, *plant)
        });
        Self { events, plants: spread.collect() }
    }

    /// What is compared: the day, seen an hour after its end.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let names = Names::new();
        let room = |name: &str, reads, writes, outside| Accounted {
            name: name.to_owned(),
            reads: vec![reads],
            writes: vec![writes],
            outside,
        };
        let window = Window { from_ms: BEGIN_MS, until_ms: BEGIN_MS + DAY_MS };
        let mut scope = Scope::new(window, window.until_ms + 3_600_000, &[], &runtime::config::Limits::default());
        scope.rooms = vec![
            room("validate", names.usage, names.validated, Outside::Nothing),
            room("enrich", names.validated, names.enriched, Outside::Nothing),
            room("erp-post", names.enriched, names.posting, Outside::Erp),
            room("supplier-fanout", names.enriched, names.notice, Outside::Suppliers),
        ];
        scope
    }

    /// Puts all facts of the day into books.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn fill(&self, books: &mut Books) -> Result<(), SpillError> {
        let names = Names::new();
        let mut document: Option<FoundFact> = None;
        for number in 0..self.events {
            let usage = Usage { day: self, names: &names, number, plant: self.plants.get(&number).copied() };
            usage.said(books)?;
            if number.is_multiple_of(BATCH)
                && let Some(full) = document.take()
            {
                books.document(full)?;
            }
            if usage.acts() {
                usage.posted(books, &mut document)?;
                usage.told(books)?;
            }
        }
        document.map_or(Ok(()), |last| books.document(last))
    }
}

impl Names {
    fn new() -> Self {
        let number = |name: &str| Spot::new(name, 0, 0).map_or(u8::MAX, |spot| spot.topic);
        Self {
            usage: number("clinical.supply-usage.v1"),
            validated: number("supply.usage-validated.v1"),
            enriched: number("supply.usage-enriched.v1"),
            posting: number("erp.posting.v1"),
            notice: number("partner.supplier-notice.v1"),
            effect: number("ops.effect.v1"),
            receipt: number("ops.receipt.v1"),
        }
    }
}

/// One usage of the day.
struct Usage<'a> {
    day: &'a Day,
    names: &'a Names,
    number: u64,
    plant: Option<Plant>,
}

impl Usage<'_> {
    fn is(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Whether it comes as far as the rooms that act.
    fn acts(&self) -> bool {
        let stops = [Plant::EventMissing, Plant::OutcomeMissing].iter().any(|plant| self.is(*plant));
        !stops && !self.number.is_multiple_of(DROPPED) && !self.number.is_multiple_of(WAITING)
    }

    fn spot(&self, topic: u8) -> Spot {
        let partition = i32::try_from(self.number % 6).unwrap_or_default();
        Spot { topic, partition, offset: i64::try_from(self.number / 6).unwrap_or(i64::MAX) }
    }

    fn at_ms(&self) -> i64 {
        let part = self.number as i128 * i128::from(DAY_MS) / i128::from(self.day.events.max(1));
        BEGIN_MS + i64::try_from(part).unwrap_or_default()
    }

    fn id(&self, stage: u64) -> Key {
        mixed(self.number * 8 + stage)
    }

    fn output(&self, books: &mut Books, room: u8, cause: Key, output: (u8, Key, About)) -> Result<(), SpillError> {
        let (topic, event, about) = output;
        let spot = self.spot(topic);
        let fact = Output { spot, at_ms: self.at_ms(), event, about };
        books.room(room, record_key(room, Some(cause), spot), RoomFact::Output(fact))
    }

    fn input(&self, books: &mut Books, room: u8, topic: u8, event: Key) -> Result<(), SpillError> {
        let spot = self.spot(topic);
        let cause = (room == ERP_POST).then(|| self.id(1));
        let fact = RoomFact::Input { spot, at_ms: self.at_ms(), named: true, cause };
        books.room(room, record_key(room, Some(event), spot), fact)
    }

    fn dropped(&self, books: &mut Books, room: u8, event: Key) -> Result<(), SpillError> {
        let spot = self.spot(self.names.usage);
        let fact = RoomFact::Told { outcome: Told::Dropped, spot, at_ms: self.at_ms() };
        books.room(room, record_key(room, Some(event), spot), fact)
    }

    /// From the message to the enriched usage.
    fn said(&self, books: &mut Books) -> Result<(), SpillError> {
        let names = self.names;
        let (usage, validated, enriched) = (self.id(0), self.id(1), self.id(2));
        let (receipt, spot) = (self.spot(names.receipt), self.spot(names.usage));
        if !self.is(Plant::EventUnpromised) {
            books.source(usage, &SourceFact::Promised { spot: receipt, at_ms: self.at_ms() })?;
        }
        if self.is(Plant::EventMissing) {
            return Ok(());
        }
        let event = SourceFact::Event { spot, at_ms: self.at_ms(), receipted: true };
        books.source(usage, &event)?;
        if self.is(Plant::EventDoubled) {
            self.came_twice(books)?;
        }
        self.input(books, VALIDATE, names.usage, usage)?;
        if self.number.is_multiple_of(DROPPED) {
            return self.dropped(books, VALIDATE, usage);
        }
        self.output(books, VALIDATE, usage, (names.validated, validated, About::Inside))?;
        if self.is(Plant::OutcomesContradict) {
            self.dropped(books, VALIDATE, usage)?;
        }
        self.input(books, ENRICH, names.validated, validated)?;
        if self.number.is_multiple_of(WAITING) {
            let origin = self.spot(names.validated);
            let parked = Some((record_key(ENRICH, Some(validated), origin), origin));
            return books.parked(&origin.to_string(), &ParkedFact { room: ENRICH, offset: 1, parked, worth: None });
        }
        if self.is(Plant::OutcomeMissing) {
            return Ok(());
        }
        self.output(books, ENRICH, validated, (names.enriched, enriched, About::Inside))?;
        self.input(books, ERP_POST, names.enriched, enriched)?;
        self.input(books, FANOUT, names.enriched, enriched)
    }

    /// The message was taken in twice: the first room reads the event twice and says the same twice. That follows, and is no
    /// difference of its own.
    fn came_twice(&self, books: &mut Books) -> Result<(), SpillError> {
        let (usage, at_ms) = (self.id(0), self.at_ms());
        let later = |topic| Spot { offset: i64::MAX, ..self.spot(topic) };
        let (spot, validated) = (later(self.names.usage), later(self.names.validated));
        books.source(usage, &SourceFact::Event { spot, at_ms, receipted: true })?;
        let record = record_key(VALIDATE, Some(usage), spot);
        books.room(VALIDATE, record, RoomFact::Input { spot, at_ms, named: true, cause: None })?;
        let output = Output { spot: validated, at_ms, event: self.id(1), about: About::Inside };
        books.room(VALIDATE, record, RoomFact::Output(output))
    }

    fn effect(&self, books: &mut Books, room: u8, document_key: &str, state: EffectStanding) -> Result<(), SpillError> {
        let origin = self.spot(self.names.enriched);
        let fact = EffectFact {
            spot: self.spot(self.names.effect),
            origin,
            at_ms: self.at_ms(),
            effect_key: format!("usage-{}/0/{room}", self.number),
            document_key: document_key.to_owned(),
            document_id: document_key.to_owned(),
            state,
        };
        books.room(room, record_key(room, Some(self.id(2)), origin), RoomFact::Effect(fact))
    }

    /// What is posted in the ERP: one document for several usages, or one of its own for one with a difference.
    fn posted(&self, books: &mut Books, shared: &mut Option<FoundFact>) -> Result<(), SpillError> {
        let names = self.names;
        let alone = self.plant.is_some();
        let number = if alone { self.number } else { self.number / BATCH };
        let document_key = format!("wl-{}-{number}", if alone { "one" } else { "batch" });
        if !self.is(Plant::EffectMissing) {
            let in_doubt = self.is(Plant::EffectInDoubt);
            let state = if in_doubt { EffectStanding::Open } else { EffectStanding::Applied };
            self.effect(books, ERP_POST, &document_key, state)?;
        }
        let amount = Decimal::new(250, 2);
        let posting = PostingFact {
            effect_key: format!("usage-{}/0/{ERP_POST}", self.number),
            encounter: format!("visit-{}", self.number / BATCH),
            kind: "POSTED".to_owned(),
            item: format!("item-{}", self.number % 50),
            location: "OR1".to_owned(),
            quantity: Decimal::ONE,
            cost_centre: Some("CC-OR".to_owned()),
            amount: Some(amount),
            currency: "EUR".to_owned(),
            document_id: document_key.clone(),
            ..PostingFact::default()
        };
        let line = |quantity, location: &str| FoundLine {
            item: posting.item.clone(),
            lot: None,
            location: location.to_owned(),
            quantity,
        };
        let quantity = if self.is(Plant::OtherQuantity) { Decimal::TWO } else { Decimal::ONE };
        let line = line(quantity, if self.is(Plant::OtherLocation) { "ICU" } else { "OR1" });
        let cost_centre = if self.is(Plant::OtherCostCentre) { "CC-ICU" } else { "CC-OR" };
        let amount = if self.is(Plant::OtherAmount) { Decimal::TEN } else { amount };
        let cost = FoundCost { cost_centre: cost_centre.to_owned(), amount };
        let open = [Plant::EffectInDoubt, Plant::PostingMissing].iter().any(|plant| self.is(*plant));
        if !open {
            let event = self.id(3);
            for _ in 0..=u64::from(self.is(Plant::PostingDoubled)) {
                let about = About::Posting(Box::new(posting.clone()));
                self.output(books, ERP_POST, self.id(2), (names.posting, event, about))?;
            }
            self.brought_back(books, &posting)?;
        }
        if !alone {
            let document = shared.get_or_insert_with(|| found(&document_key, self.at_ms()));
            document.lines.push(line);
            add(&mut document.costs, cost);
            return Ok(());
        }
        if self.is(Plant::DocumentMissing) || self.is(Plant::EffectMissing) {
            return Ok(());
        }
        let document = FoundFact { lines: vec![line], costs: vec![cost], ..found(&document_key, self.at_ms()) };
        if self.is(Plant::DocumentDoubled) {
            books.document(FoundFact { id: "again".to_owned(), ..document.clone() })?;
        }
        if self.is(Plant::DocumentUnexpected) {
            books.document(FoundFact { document_key: "wl-nobody".to_owned(), ..document.clone() })?;
        }
        books.document(document)
    }

    /// What a correction took back from the place where it was before: a posting of its own, and no document there.
    fn brought_back(&self, books: &mut Books, posting: &PostingFact) -> Result<(), SpillError> {
        if !self.is(Plant::SecondDocumentMissing) {
            return Ok(());
        }
        let before = PostingFact {
            location: "ICU".to_owned(),
            quantity: -posting.quantity,
            cost_centre: Some("CC-ICU".to_owned()),
            amount: posting.amount.map(|amount| -amount),
            document_id: format!("{}-1", posting.document_id),
            ..posting.clone()
        };
        let about = About::Posting(Box::new(before));
        self.output(books, ERP_POST, self.id(2), (self.names.posting, self.id(5), about))
    }

    /// What a supplier is told.
    fn told(&self, books: &mut Books) -> Result<(), SpillError> {
        if !self.number.is_multiple_of(NOTIFIED) {
            return self.dropped(books, FANOUT, self.id(2));
        }
        let notice_id = format!("wl-notice-{}", self.number);
        let unanswered = self.is(Plant::NoticeUnanswered);
        let state = if unanswered { EffectStanding::Open } else { EffectStanding::Applied };
        self.effect(books, FANOUT, &notice_id, state)?;
        if unanswered {
            return Ok(());
        }
        let about = About::Notice { notice_id, delivered: !self.is(Plant::NoticeRefused) };
        self.output(books, FANOUT, self.id(2), (self.names.notice, self.id(4), about))
    }
}

fn found(document_key: &str, at_ms: i64) -> FoundFact {
    FoundFact {
        document_key: document_key.to_owned(),
        id: document_key.to_owned(),
        number: Some(document_key.to_owned()),
        at_ms,
        finished: true,
        lines: Vec::new(),
        costs: Vec::new(),
    }
}

fn add(costs: &mut Vec<FoundCost>, cost: FoundCost) {
    match costs.iter_mut().find(|known| known.cost_centre == cost.cost_centre) {
        Some(known) => known.amount += cost.amount,
        None => costs.push(cost),
    }
}

/// A number that looks like the digest that event ids are, the same for the same input.
fn mixed(number: u64) -> Key {
    let half = |seed: u64| {
        let mut value = number.wrapping_add(seed);
        for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
            value = (value ^ (value >> 30)).wrapping_mul(factor);
        }
        value ^ (value >> 31)
    };
    (Key::from(half(0x9e37_79b9_7f4a_7c15)) << 64) | Key::from(half(0x3c6e_f372_fe94_f82b))
}
