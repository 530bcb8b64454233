//! Effect records and postings against the ERP's own documents: there, once, and with the same quantity, place, cost centre
//! and amount.

use super::difference::{Difference, Kind, Part};
use super::fact::{DocumentFact, EffectFact, EffectStanding, FoundFact, FoundLine, Key, PostingFact, Spot, event_id};
use super::money::{self, Sheet};
use super::proposal::Proposal;
use super::scope::{Outside, Scope, Window};
use super::tally::Findings;
use rust_decimal::Decimal;
use schemas::topics;
use std::collections::{BTreeMap, BTreeSet};

/// A document that an effect record names and that was not among the ERP's documents of the time. It may be older: the ERP
/// is asked for the key before it is said to be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Absent {
    /// The idempotency key.
    pub document_key: String,
    /// All that Wardline says about it.
    pub facts: Vec<DocumentFact>,
}

/// All that is known of one document.
#[derive(Default)]
struct Sides<'a> {
    effects: Vec<(&'a EffectFact, Option<Key>, bool)>,
    postings: Vec<Posted<'a>>,
    found: Vec<&'a FoundFact>,
    known: bool,
}

/// A posting of a document.
#[derive(Clone, Copy)]
struct Posted<'a> {
    posting: &'a PostingFact,
    spot: Spot,
    at_ms: i64,
    event: Option<Key>,
    /// What its cause follows from, and the place of the cause.
    cause: Option<(Key, Spot)>,
}

/// Item and lot, and how much of it left which location.
type Sums = BTreeMap<(String, Option<String>), BTreeMap<String, Decimal>>;

/// Compares one document. What the ERP has to be asked for comes back.
pub fn compare(facts: Vec<DocumentFact>, scope: &Scope, findings: &mut Findings) -> Option<Absent> {
    let sides = Sides::of(&facts);
    if sides.found.is_empty() && scope.erp {
        let document_key = sides.wanted(scope).map(|effect| effect.document_key.clone());
        if let Some(document_key) = document_key {
            return Some(Absent { document_key, facts });
        }
    }
    sides.judge(scope, findings);
    None
}

/// Compares what was asked for by its key with what the ERP has answered.
pub fn settle(mut absent: Absent, found: Vec<FoundFact>, scope: &Scope, findings: &mut Findings) {
    absent.facts.extend(found.into_iter().map(|found| DocumentFact::Found(Box::new(found))));
    Sides::of(&absent.facts).judge(scope, findings);
}

/// Documents that nobody asks for, because there are too many.
#[derive(Default)]
pub(super) struct Undecided {
    documents: u64,
    first: Option<(String, i64)>,
}

impl Undecided {
    /// One more. Its postings count in the sums; whether it is in the ERP is not known.
    pub fn take(&mut self, absent: &Absent, scope: &Scope, findings: &mut Findings) {
        let sides = Sides::of(&absent.facts);
        sides.sheet(scope).into_tally(true, findings);
        let at_ms = sides.wanted(scope).map_or(scope.window.from_ms, |effect| effect.at_ms);
        self.documents += 1;
        self.first.get_or_insert_with(|| (absent.document_key.clone(), at_ms));
    }

    /// Says so once, with their number, rather than once for each.
    pub fn tell(self, scope: &Scope, findings: &mut Findings) {
        let Some((key, at_ms)) = self.first else { return };
        let Window { from_ms, until_ms } = scope.window;
        let documents = self.documents;
        let message = format!(
            "{documents} documents, for example {key}, are not among those that the ERP made in this time, and were not asked \
             for one by one: whether they are there is not decided"
        );
        let next = "compare a shorter time; when the ERP lists nothing at all, look at its user and its clock first";
        let subject = format!("undecided/{from_ms}/{until_ms}");
        let difference = Difference::new(Kind::Undecided, Part::Erp, &subject, at_ms, message);
        findings.found(difference.next(next).sides(format!("{documents} documents"), "not asked"));
    }
}

impl<'a> Sides<'a> {
    fn of(facts: &'a [DocumentFact]) -> Self {
        let mut sides = Self::default();
        for fact in facts {
            match fact {
                DocumentFact::Effect { effect, event, waits } => sides.effects.push((effect, *event, *waits)),
                DocumentFact::Posting { posting, spot, at_ms, event, cause } => {
                    sides.postings.push(Posted { posting, spot: *spot, at_ms: *at_ms, event: *event, cause: *cause });
                }
                DocumentFact::Known => sides.known = true,
                DocumentFact::Found(found) => sides.found.push(found),
            }
        }
        sides.found.sort_by_key(|found| (found.at_ms, &found.id));
        sides
    }

    /// An effect of the window that should be in the ERP, or might be.
    fn wanted(&self, scope: &Scope) -> Option<&EffectFact> {
        let wanted = |effect: &&EffectFact| effect.state != EffectStanding::Refused && scope.window.has(effect.at_ms);
        self.effects.iter().map(|(effect, ..)| *effect).find(wanted)
    }

    fn judge(&self, scope: &Scope, findings: &mut Findings) {
        let before = (findings.total(), findings.late);
        self.tell(scope, findings);
        let is_told = before != (findings.total(), findings.late) || self.is_told_elsewhere();
        self.sheet(scope).into_tally(is_told, findings);
    }

    /// Effects without postings are told where records are compared with each other.
    fn is_told_elsewhere(&self) -> bool {
        self.postings.len() < self.applied()
    }

    fn applied(&self) -> usize {
        self.effects.iter().filter(|(effect, ..)| effect.state == EffectStanding::Applied).count()
    }

    fn tell(&self, scope: &Scope, findings: &mut Findings) {
        findings.documents += self.found.len() as u64;
        for (effect, event, waits) in &self.effects {
            let is_open = effect.state == EffectStanding::Open && !waits && scope.window.has(effect.at_ms);
            match is_open {
                true if scope.in_time(effect.spot.topic, effect.at_ms) => findings.late += 1,
                true => findings.found(self.in_doubt(effect, *event, scope)),
                false => {}
            }
        }
        if !scope.erp {
            return;
        }
        match self.found.as_slice() {
            [] => self.absent(scope, findings),
            [_] if self.known && self.postings.is_empty() => {}
            [found] if self.effects.is_empty() && self.postings.is_empty() => unexpected(found, scope, findings),
            [found] => self.same(found, scope, findings),
            [first, .., last] => {
                if scope.window.has(last.at_ms) || self.wanted(scope).is_some() {
                    findings.found(doubled(first, last, self.found.len()));
                }
            }
        }
    }

    /// Money by cost centre, when the document is one of the window: its newest posting is, or the ERP alone knows it. Where
    /// no cost centre is posted to and none bears anything there is nothing to compare.
    fn sheet(&self, scope: &Scope) -> Sheet {
        let mut sheet = Sheet::default();
        let is_ours = !self.effects.is_empty() || !self.postings.is_empty();
        let counts = match self.newest() {
            Some(newest) => scope.window.has(newest.at_ms),
            None => !is_ours && self.found.iter().any(|found| scope.window.has(found.at_ms)),
        };
        if !counts {
            return sheet;
        }
        let costs = || self.found.iter().flat_map(|found| &found.costs);
        let is_borne = costs().next().is_some();
        for Posted { posting, .. } in &self.postings {
            let Some(amount) = posting.amount else { continue };
            if is_borne || posting.cost_centre.is_some() {
                sheet.post(posting.cost_centre.as_deref(), &posting.currency, amount);
            }
        }
        for cost in costs() {
            sheet.book(&cost.cost_centre, self.currency(), cost.amount);
        }
        sheet.round(scope.rounding);
        sheet
    }

    fn newest(&self) -> Option<&Posted<'a>> {
        self.postings.iter().max_by_key(|posted| (posted.at_ms, posted.spot))
    }

    fn absent(&self, scope: &Scope, findings: &mut Findings) {
        let applied = self.effects.iter().filter(|(effect, ..)| effect.state == EffectStanding::Applied);
        let Some((effect, event, _)) = applied.into_iter().find(|(effect, ..)| scope.window.has(effect.at_ms)) else {
            return;
        };
        let key = &effect.document_key;
        let message = format!("the ERP has no document {key}, which was posted for {} (FX-1)", effect.origin);
        let next = "find out who deleted it in the ERP, and book it there by hand: the ERP has confirmed it once, so a replay \
                    would be suppressed";
        let mut difference = Difference::new(Kind::Missing, Part::Erp, key, effect.at_ms, message).money(self.amount());
        difference.document_number = self.postings.iter().find_map(|posted| posted.posting.document_number.clone());
        findings.found(
            difference
                .next(next)
                .event(event.map(event_id))
                .place(effect.origin)
                .effect(&effect.effect_key, key)
                .sides("a document", "none"),
        );
    }

    fn in_doubt(&self, effect: &EffectFact, event: Option<Key>, scope: &Scope) -> Difference {
        let key = &effect.document_key;
        let (said, before) = match (scope.erp, self.found.first()) {
            (false, _) => ("the ERP was not asked".to_owned(), "book nothing by hand"),
            (true, None) => ("the ERP has no such document".to_owned(), "book nothing by hand"),
            (true, Some(found)) if found.finished => {
                let said = format!("the ERP has document {}", found.number.as_deref().unwrap_or(&found.id));
                (said, "do not post it again by hand")
            }
            (true, Some(_)) => ("the ERP has half of the document".to_owned(), "do not finish it by hand"),
        };
        let message = format!("whether document {key} for {} was posted is not known: {said} (FX-1)", effect.origin);
        let subject = format!("doubt/{}", effect.effect_key);
        let mut difference = Difference::new(Kind::InDoubt, Part::Erp, &subject, effect.at_ms, message);
        difference.document_number = self.found.first().and_then(|found| found.number.clone());
        let room = scope.rooms.iter().find(|room| room.outside == Outside::Erp).map_or("erp-post", |room| &room.name);
        difference
            .replay(Proposal::again(room, effect.origin), |command| {
                format!(
                    "{before}: the room looks the key up when it starts again, and does then what is left to do. Without a \
                     restart: {command}"
                )
            })
            .event(event.map(event_id))
            .place(effect.origin)
            .effect(&effect.effect_key, key)
            .sides("an outcome", said)
    }

    /// What it says on both sides. Only whole documents are compared: a posting that is missing is told elsewhere.
    fn same(&self, found: &FoundFact, scope: &Scope, findings: &mut Findings) {
        let Some(newest) = self.newest().filter(|newest| scope.window.has(newest.at_ms)) else { return };
        if self.postings.len() < self.applied() || !found.finished {
            return;
        }
        let (posted, booked) = (self.sums(found), sums(&found.lines));
        let mut tell = |kind: Kind, what: &str, expected: String, other: String, of: Vec<&Posted<'_>>| {
            let message = format!("document {}: {what}: posted {expected}, in the ERP {other}", found.document_key);
            let difference = Difference::new(kind, Part::Erp, &found.document_key, newest.at_ms, message);
            // Where no posting is known to be the one, any of the document may be.
            let of = if of.is_empty() { self.postings.iter().collect() } else { of };
            let shows = of.iter().copied().max_by_key(|posted| (posted.at_ms, posted.spot)).unwrap_or(newest);
            let mut difference = mended(difference, shows, of.len(), scope).money(self.amount()).place(shows.spot);
            difference.document_number.clone_from(&found.number);
            let difference = difference.effect(&shows.posting.effect_key, &found.document_key);
            findings.found(difference.event(shows.event.map(event_id)).sides(expected, other));
        };
        if posted != booked {
            let totals = |sums: &Sums| -> BTreeMap<(String, Option<String>), Decimal> {
                sums.iter().map(|(what, places)| (what.clone(), places.values().copied().sum())).collect()
            };
            let kind = if totals(&posted) == totals(&booked) { Kind::Location } else { Kind::Quantity };
            let (ours, theirs) = differing(&posted, &booked);
            let differs = |posted: &&Posted<'_>| {
                let what = (posted.posting.item.clone(), lot(posted.posting, found));
                ours.contains_key(&what) || theirs.contains_key(&what)
            };
            tell(kind, kind.words(), shown(&ours), shown(&theirs), self.postings.iter().filter(differs).collect());
        }
        let centres: BTreeSet<&str> =
            self.postings.iter().filter_map(|posted| posted.posting.cost_centre.as_deref()).collect();
        let bearing: BTreeSet<&str> = found.costs.iter().map(|cost| cost.cost_centre.as_str()).collect();
        // Who bears nothing is not named.
        if !bearing.is_empty() && centres != bearing {
            let is_other = |posted: &&Posted<'_>| {
                posted.posting.cost_centre.as_deref().is_some_and(|centre| !bearing.contains(centre))
            };
            let of = self.postings.iter().filter(is_other).collect();
            tell(Kind::CostCentre, "the cost centre", listed(&centres), listed(&bearing), of);
        }
        let amounts = self.amounts().filter(|_| !found.costs.is_empty() || !centres.is_empty());
        let Some(amounts) = amounts else { return };
        let borne: Decimal = found.costs.iter().map(|cost| cost.amount).sum();
        let sheet = self.sheet(scope);
        if let [(currency, exact)] = amounts.as_slice() {
            let due = exact + sheet.rounding();
            if due != borne {
                tell(Kind::Amount, "the amount", money::text(due, currency), money::text(borne, currency), Vec::new());
            }
        } else {
            let posted: Vec<String> = amounts.iter().map(|(currency, amount)| money::text(*amount, currency)).collect();
            tell(Kind::Amount, "the amount", posted.join(" and "), money::text(borne, ""), Vec::new());
        }
    }

    /// What was posted, by currency, when every posting has an amount.
    fn amounts(&self) -> Option<Vec<(&'a str, Decimal)>> {
        let mut amounts: BTreeMap<&str, Decimal> = BTreeMap::new();
        for Posted { posting, .. } in &self.postings {
            *amounts.entry(&posting.currency).or_default() += posting.amount?;
        }
        Some(amounts.into_iter().collect()).filter(|amounts: &Vec<_>| !amounts.is_empty())
    }

    /// What was posted, when it is all known and of one currency.
    fn amount(&self) -> Option<(Decimal, String)> {
        match self.amounts()?.as_slice() {
            [(currency, amount)] => Some((*amount, (*currency).to_owned())),
            _ => None,
        }
    }

    /// The currency of the document: an ERP's document says none, so it is that of its postings. Empty when they say none, or
    /// several.
    fn currency(&self) -> &'a str {
        let mut currencies = self.postings.iter().filter(|posted| posted.posting.amount.is_some());
        let Some(first) = currencies.next().map(|posted| posted.posting.currency.as_str()) else { return "" };
        if currencies.all(|posted| posted.posting.currency == first) { first } else { "" }
    }

    /// What was posted, in the ERP's words: it may hold a serial number as the lot.
    fn sums(&self, found: &FoundFact) -> Sums {
        let mut sums = Sums::new();
        for Posted { posting, .. } in &self.postings {
            let places = sums.entry((posting.item.clone(), lot(posting, found))).or_default();
            *places.entry(posting.location.clone()).or_default() += posting.quantity;
        }
        without_zeros(sums)
    }
}

/// The lot of a posting, as the document of the ERP names it.
fn lot(posting: &PostingFact, found: &FoundFact) -> Option<String> {
    let is_lot = |lot: &Option<String>| {
        lot.is_some() && found.lines.iter().any(|line| line.item == posting.item && line.lot == *lot)
    };
    let lot = if is_lot(&posting.serial) { &posting.serial } else { &posting.lot };
    lot.clone().or_else(|| posting.serial.clone())
}

fn unexpected(found: &FoundFact, scope: &Scope, findings: &mut Findings) {
    if !scope.window.has(found.at_ms) {
        return;
    }
    let effects = topics::OPS_EFFECT_V1.name();
    if Spot::new(effects, 0, 0).is_some_and(|spot| scope.in_time(spot.topic, found.at_ms)) {
        findings.late += 1;
        return;
    }
    let key = &found.document_key;
    let message = format!("the ERP has document {key}, and no effect record names it (FX-1)");
    let mut difference = Difference::new(Kind::UnexpectedDocument, Part::Erp, key, found.at_ms, message);
    difference.document_number.clone_from(&found.number);
    difference.money = borne(found);
    let next = "find out who made it: only Wardline uses such keys. Take it back in the ERP when nobody needs it";
    findings.found(difference.next(next).effect("", key).sides("none", shown(&sums(&found.lines))));
}

fn doubled(first: &FoundFact, last: &FoundFact, times: usize) -> Difference {
    let key = &last.document_key;
    let number = |found: &FoundFact| found.number.clone().unwrap_or_else(|| found.id.clone());
    let message = format!("the ERP has document {key} {times} times: {} and {} (FX-1)", number(first), number(last));
    let mut difference = Difference::new(Kind::Doubled, Part::Erp, key, last.at_ms, message);
    difference.document_number.clone_from(&last.number);
    difference.money = borne(last);
    let next = format!("take {} back in the ERP", number(last));
    difference.next(next).effect("", key).sides("1", times.to_string())
}

fn sums(lines: &[FoundLine]) -> Sums {
    let mut sums = Sums::new();
    for line in lines {
        let places = sums.entry((line.item.clone(), line.lot.clone())).or_default();
        *places.entry(line.location.clone()).or_default() += line.quantity;
    }
    without_zeros(sums)
}

fn without_zeros(mut sums: Sums) -> Sums {
    for places in sums.values_mut() {
        places.retain(|_, quantity| !quantity.is_zero());
    }
    sums.retain(|_, places| !places.is_empty());
    sums
}

/// Only what differs.
fn differing(one: &Sums, other: &Sums) -> (Sums, Sums) {
    let rest = |one: &Sums, other: &Sums| {
        one.iter()
            .filter(|(what, places)| other.get(what) != Some(places))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect()
    };
    (rest(one, other), rest(other, one))
}

/// Lots are not shown: with a serial number in their place they could lead to a patient.
fn shown(sums: &Sums) -> String {
    let parts = sums.iter().flat_map(|((item, _), places)| {
        places.iter().map(move |(place, quantity)| format!("{} of {item} from {place}", quantity.normalize()))
    });
    let parts: Vec<String> = parts.take(5).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn listed(names: &BTreeSet<&str>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().copied().collect::<Vec<_>>().join(", ") }
}

/// What cost centres bear of a document, in the currency of the ERP's books; none when the ERP says nothing of it.
fn borne(found: &FoundFact) -> Option<Decimal> {
    (!found.costs.is_empty()).then(|| found.costs.iter().map(|cost| cost.amount).sum())
}

/// What mends a document that says something else than its posting. What has happened is never posted again, so a change that
/// somebody made in the ERP can only be taken back there; what Wardline says itself it can say anew, behind what was posted.
fn mended(difference: Difference, posted: &Posted<'_>, usages: usize, scope: &Scope) -> Difference {
    const THERE: &str = "when somebody has changed the document in the ERP, set it back there by hand, because nothing that was \
                         posted is posted again";
    let correction = match difference.kind {
        Kind::Location | Kind::CostCentre => anew(posted, scope, 1),
        Kind::Quantity => anew(posted, scope, 2),
        _ => None,
    };
    let wrong = if difference.kind == Kind::Quantity { "a unit in the" } else { "a mapping or" };
    let others = match usages {
        0 | 1 => String::new(),
        more => format!(" (the newest of {more} usages that may be meant)"),
    };
    match (difference.kind, correction) {
        (Kind::Location | Kind::CostCentre | Kind::Quantity, Some(correction)) => {
            difference.replay(correction, |command| {
                format!(
                    "{THERE}. When {wrong} master data was wrong and is corrected by now, say it anew{others}: {command}"
                )
            })
        }
        (Kind::Amount, _) => difference
            .next(format!("{THERE}. The amount is the ERP's own cost of the item: no replay says another one")),
        _ => difference.next(format!("{THERE}. No room of these says it anew")),
    }
}

/// The correcting replay of the room that is so many steps before the one that posts: what that posted is made anew from there.
fn anew(posted: &Posted<'_>, scope: &Scope, steps: usize) -> Option<Proposal> {
    let posts = scope.rooms.iter().find(|room| room.outside == Outside::Erp)?;
    let mut topic = topics::ALL.get(usize::from(*posts.reads.first()?))?.name;
    let mut room = None;
    for _ in 0..steps {
        let (maker, read) = scope.maker(Spot::new(topic, 0, 0)?.topic)?;
        (room, topic) = (Some(maker), read);
    }
    let room = room?;
    // The id is known of what the cause follows from; of what lies further back, or before the window, the keys are.
    match posted.cause.filter(|_| steps == 1) {
        Some((event, _)) => Some(Proposal::anew(room, topic, event_id(event))),
        None => {
            let business_key = posted.posting.business_key().filter(|_| !posted.posting.encounter.is_empty())?;
            Some(Proposal::anew_of(room, topic, posted.posting.encounter.clone(), business_key.to_owned()))
        }
    }
}
