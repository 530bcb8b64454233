//! A generated day of facts: what is planted is found, each exactly once, and nothing else is; in bounded memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss, reason = "test")]

use operations::reconcile::documents::{Absent, settle};
use operations::reconcile::fact::{
    About, DocumentFact, EffectFact, EffectStanding, FoundCost, FoundFact, FoundLine, Output, PostingFact, RoomFact,
    Spot,
};
use operations::reconcile::sample::{Day, Plant};
use operations::reconcile::{
    ABSENT_MAX, Books, Cost, Findings, Kind, Part, Room, Rounding, Scope, judge_totals, record_key,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Usages of the large day. `wardline bench reconcile` has ten times as many.
const EVENTS: u64 = 100_000;
/// Bytes of facts that each sorter may hold.
const MEMORY_BYTES: usize = 1024 * 1024;

fn compare(day: &Day, scope: &Scope) -> (Findings, Cost) {
    let mut books = Books::new(&Room { memory_bytes: MEMORY_BYTES, ..Room::default() });
    day.fill(&mut books).unwrap();
    let mut findings = Findings::default();
    let (absent, cost) = books.compare(scope, &mut findings).unwrap();
    for open in absent {
        // An ERP that has no such document either.
        settle(open, Vec::new(), scope, &mut findings);
    }
    judge_totals(scope, &mut findings);
    (findings, cost)
}

fn found(findings: &Findings) -> BTreeMap<(Part, Kind), usize> {
    let mut found = BTreeMap::new();
    for difference in &findings.differences {
        *found.entry((difference.part, difference.kind)).or_default() += 1;
    }
    found
}

fn planted(plants: &[Plant]) -> BTreeMap<(Part, Kind), usize> {
    let mut planted = BTreeMap::new();
    for plant in plants {
        *planted.entry(plant.expected()).or_default() += 1;
    }
    planted
}

/// LOSS-1, FX-1: what is planted is found once, and nothing else is.
#[test]
fn every_planted_difference_is_found_exactly_once() {
    let day = Day::new(EVENTS, &Plant::ALL);
    assert_eq!(day.plants.len(), Plant::ALL.len());
    let (findings, cost) = compare(&day, &day.scope());
    let messages: Vec<&str> = findings.differences.iter().map(|difference| difference.message.as_str()).collect();
    assert_eq!(found(&findings), planted(&Plant::ALL), "{messages:#?}");
    assert_eq!(findings.total(), Plant::ALL.len() as u64);
    // BND-1: four sorters of 1 MiB, whatever the day has; the rest is on disk and is less than 1 kB for each usage.
    assert!(cost.held_bytes <= 4 * MEMORY_BYTES as u64, "{cost:?}");
    let per_event = cost.spilled_bytes as f64 / EVENTS as f64;
    assert!(cost.spilled_bytes > 0 && per_event < 1_024.0, "{per_event} bytes for each usage; {cost:?}");
}

#[test]
fn a_clean_day_has_no_difference_and_its_money_adds_up() {
    let day = Day::new(5_000, &[]);
    let (findings, _) = compare(&day, &day.scope());
    assert_eq!(found(&findings), BTreeMap::new());
    assert_eq!((findings.promised, findings.events, findings.late), (5_000, 5_000, 0));
    let validate = findings.rooms["validate"];
    assert_eq!((validate.read, validate.emitted, validate.dropped, validate.missing), (5_000, 4_900, 100, 0));
    let enrich = findings.rooms["enrich"];
    assert!(enrich.exception > 0 && enrich.read == enrich.emitted + enrich.exception, "{enrich:?}");
    let money = findings.cost_centres[&("CC-OR".to_owned(), "EUR".to_owned())];
    assert!(money.posted == money.booked && !money.posted.is_zero(), "{money:?}");
    assert!(money.difference().is_zero() && money.rounding.is_zero(), "{money:?}");
}

/// The room of the replay that mends a difference, and whether it corrects; none where only people can, and the text says why.
fn mends(plant: Plant) -> Option<(&'static str, bool)> {
    match plant {
        Plant::OutcomeMissing => Some(("enrich", false)),
        Plant::EffectInDoubt => Some(("erp-post", false)),
        Plant::NoticeUnanswered => Some(("supplier-fanout", false)),
        Plant::OtherLocation | Plant::OtherCostCentre => Some(("enrich", true)),
        Plant::OtherQuantity => Some(("validate", true)),
        Plant::EventMissing
        | Plant::EventUnpromised
        | Plant::EventDoubled
        | Plant::OutcomesContradict
        | Plant::PostingDoubled
        | Plant::PostingMissing
        | Plant::EffectMissing
        | Plant::NoticeRefused
        | Plant::DocumentMissing
        | Plant::SecondDocumentMissing
        | Plant::DocumentDoubled
        | Plant::DocumentUnexpected
        | Plant::OtherAmount => None,
    }
}

/// One piece, posted for this amount.
fn posted(scope: &Scope, currency: &str, amount: Decimal) -> DocumentFact {
    DocumentFact::Posting {
        posting: Box::new(PostingFact {
            item: "i".to_owned(),
            location: "OR1".to_owned(),
            quantity: Decimal::ONE,
            cost_centre: Some("CC-OR".to_owned()),
            amount: Some(amount),
            currency: currency.to_owned(),
            ..PostingFact::default()
        }),
        spot: Spot::new("supply.usage-enriched.v1", 0, 1).unwrap(),
        at_ms: scope.window.from_ms,
        event: None,
        cause: None,
    }
}

/// A document of so many pieces, and what the cost centre bears of it.
fn booked(scope: &Scope, pieces: i64, amount: Decimal) -> FoundFact {
    FoundFact {
        document_key: "wl-1".to_owned(),
        id: "1".to_owned(),
        number: None,
        at_ms: scope.window.from_ms,
        finished: true,
        lines: vec![FoundLine {
            item: "i".to_owned(),
            lot: None,
            location: "OR1".to_owned(),
            quantity: Decimal::from(pieces),
        }],
        costs: vec![FoundCost { cost_centre: "CC-OR".to_owned(), amount }],
    }
}

/// An effect that is recorded as done.
fn applied(scope: &Scope, number: i64) -> EffectFact {
    let spot = Spot::new("supply.usage-enriched.v1", 0, number).unwrap();
    EffectFact {
        spot,
        origin: spot,
        at_ms: scope.window.from_ms,
        effect_key: format!("usage/{number}/0/erp"),
        document_key: format!("wl-{number}"),
        document_id: String::new(),
        state: EffectStanding::Applied,
    }
}

/// Ten postings of 1.0055: an ERP that rounds the sum has 10.06 (10.055, half to even), one that rounds each line has 10.10. Any
/// other cent is a difference. Where nobody knows the rule, half a cent for each line is rounding, and stands in the table.
#[test]
fn a_cent_that_is_no_rounding_is_found_and_rounding_is_shown() {
    let document = Rounding::Document { digits: 2 };
    let line = Rounding::Line { digits: 2 };
    for (rounding, cents, added) in [
        (document, 1_006, Some(50)),
        (document, 1_005, None),
        (document, 1_010, None),
        (line, 1_010, Some(450)),
        (line, 1_009, None),
        (line, 1_006, None),
        (Rounding::Unknown, 1_006, Some(50)),
        (Rounding::Unknown, 1_010, Some(450)),
        (Rounding::Unknown, 1_011, None),
        (Rounding::Unknown, 1_000, None),
    ] {
        let scope = Scope { rounding, ..Day::new(1_000, &[]).scope() };
        let effects = (0..10).map(|number| {
            let effect = EffectFact { document_key: "wl-1".to_owned(), ..applied(&scope, number) };
            DocumentFact::Effect { effect, event: None, waits: false }
        });
        let postings = (0..10).map(|_| posted(&scope, "EUR", Decimal::new(10_055, 4)));
        let facts = effects.chain(postings).collect();
        let mut findings = Findings::default();
        let found_there = booked(&scope, 10, Decimal::new(cents, 2));
        settle(Absent { document_key: "wl-1".to_owned(), facts }, vec![found_there], &scope, &mut findings);
        judge_totals(&scope, &mut findings);
        let row = findings.cost_centres[&("CC-OR".to_owned(), "EUR".to_owned())];
        let differs = usize::from(added.is_none());
        let expected: BTreeMap<_, _> =
            std::iter::repeat_n((Part::Erp, Kind::Amount), differs).map(|one| (one, 1)).collect();
        assert_eq!(found(&findings), expected, "{rounding:?} {cents}: {:?}", findings.differences);
        assert_eq!(row.difference().is_zero(), added.is_some(), "{rounding:?} {cents}: {row:?}");
        if let Some(added) = added {
            assert_eq!(row.rounding, Decimal::new(added, 4), "{rounding:?} {cents}");
        }
    }
}

/// What no comparison of a document tells is told of the total: here the ERP has half of a document, with a cost on it.
#[test]
fn a_total_that_no_listed_document_explains_is_a_difference() {
    let scope = Scope { rounding: Rounding::Document { digits: 2 }, ..Day::new(1_000, &[]).scope() };
    let facts = vec![
        DocumentFact::Effect { effect: applied(&scope, 1), event: None, waits: false },
        posted(&scope, "EUR", Decimal::new(250, 2)),
    ];
    let half = FoundFact { finished: false, ..booked(&scope, 1, Decimal::new(249, 2)) };
    let mut findings = Findings::default();
    settle(Absent { document_key: "wl-1".to_owned(), facts }, vec![half], &scope, &mut findings);
    assert_eq!(found(&findings), BTreeMap::new(), "{:?}", findings.differences);
    judge_totals(&scope, &mut findings);
    assert_eq!(found(&findings), BTreeMap::from([((Part::Erp, Kind::Amount), 1)]));
    let told = &findings.differences[0];
    assert_eq!(
        (told.money, told.expected.as_deref(), told.found.as_deref()),
        (Some(Decimal::new(1, 2)), Some("2.5 EUR"), Some("2.49 EUR"))
    );
}

/// Postings in two currencies are added up apart, and a document that is said to hold both is told, not summed.
#[test]
fn money_of_two_currencies_is_kept_apart() {
    let scope = Day::new(1_000, &[]).scope();
    let posting = |currency: &str, cents: i64| posted(&scope, currency, Decimal::new(cents, 2));
    let booked = |cents: i64, lines: i64| booked(&scope, lines, Decimal::new(cents, 2));
    let compared = |facts: Vec<DocumentFact>, found: FoundFact, findings: &mut Findings| {
        settle(Absent { document_key: "wl-1".to_owned(), facts }, vec![found], &scope, findings);
    };
    let mut findings = Findings::default();
    compared(vec![posting("EUR", 250)], booked(250, 1), &mut findings);
    compared(vec![posting("CHF", 900)], booked(900, 1), &mut findings);
    assert_eq!(found(&findings), BTreeMap::new(), "{:#?}", findings.differences);
    let told: Vec<String> = findings
        .cost_centres
        .iter()
        .map(|((_, currency), one)| format!("{currency} {} {}", one.posted, one.booked))
        .collect();
    assert_eq!(told, ["CHF 9.00 9.00", "EUR 2.50 2.50"]);

    compared(vec![posting("EUR", 250), posting("CHF", 250)], booked(500, 2), &mut findings);
    assert_eq!(found(&findings), BTreeMap::from([((Part::Erp, Kind::Amount), 1)]));
    let both = &findings.differences[0];
    assert_eq!((both.expected.as_deref(), both.found.as_deref()), (Some("2.5 CHF and 2.5 EUR"), Some("5")));
    assert_eq!((both.money, both.currency.as_deref()), (None, None));
}

/// One at a time: none hides behind another, and each is found by the comparison that it belongs to.
#[test]
fn each_difference_is_found_when_it_is_the_only_one() {
    for plant in Plant::ALL {
        let day = Day::new(1_000, &[plant]);
        let (findings, _) = compare(&day, &day.scope());
        let messages: Vec<&str> = findings.differences.iter().map(|difference| difference.message.as_str()).collect();
        assert_eq!(found(&findings), planted(&[plant]), "{plant:?}: {messages:#?}");
        let one = &findings.differences[0];
        assert!(!one.next.is_empty() && one.message.len() > 10, "{one:?}");
        let proposed = one.replay.as_ref().map(|replay| (replay.room.as_str(), replay.correct));
        assert_eq!(proposed, mends(plant), "{plant:?}: {}", one.next);
        let names_it = one.replay.as_ref().is_none_or(|replay| one.next.contains(&replay.command()));
        assert!(names_it, "{plant:?}: {}", one.next);
        assert!(one.event_id.is_some() || one.document_key.is_some() || one.effect_key.is_some(), "{one:?}");
    }
}

/// What is still within its time is no false alarm: seen at the moment at which everything has just happened, nothing that is
/// merely missing is told.
#[test]
fn what_is_still_within_its_time_is_late_and_no_difference() {
    let missing = [
        Plant::EventMissing,
        Plant::EventUnpromised,
        Plant::OutcomeMissing,
        Plant::PostingMissing,
        Plant::EffectMissing,
        Plant::EffectInDoubt,
        Plant::NoticeUnanswered,
    ];
    let day = Day::new(1_000, &missing);
    let mut scope = day.scope();
    // The whole day lies within what is allowed.
    scope.allowed_ms.iter_mut().for_each(|allowed| *allowed = 30 * 3_600_000);
    let (findings, _) = compare(&day, &scope);
    assert_eq!(found(&findings), BTreeMap::new());
    assert!(findings.late >= missing.len() as u64, "{}", findings.late);
}

#[test]
fn the_same_day_gives_the_same_differences_with_the_same_ids() {
    let day = Day::new(2_000, &Plant::ALL);
    let ids = |_| -> Vec<String> {
        let (findings, _) = compare(&day, &day.scope());
        let mut ids: Vec<String> = findings.differences.into_iter().map(|difference| difference.id).collect();
        ids.sort();
        ids
    };
    let [first, second] = [1, 2].map(ids);
    assert_eq!(first, second);
    let mut once = first.clone();
    once.dedup();
    assert_eq!(once.len(), first.len(), "an id for each");
}

/// Beyond the bound nobody asks, and then nobody says that something is missing: one difference tells how many are not decided.
#[test]
fn bnd_1_what_is_not_asked_for_is_not_decided() {
    const MORE: u64 = 5;
    let (day, mut findings) = (Day::new(1_000, &[]), Findings::default());
    let scope = day.scope();
    let mut books = Books::new(&Room::default());
    for number in 0..ABSENT_MAX as u64 + MORE {
        let effect = applied(&scope, i64::try_from(number).unwrap());
        let spot = effect.spot;
        let posting = PostingFact { effect_key: effect.effect_key.clone(), ..PostingFact::default() };
        let about = About::Posting(Box::new(posting));
        let output = Output { spot, at_ms: effect.at_ms, event: u128::from(number), about };
        let record = record_key(2, None, spot);
        books.room(2, record, RoomFact::Effect(effect)).unwrap();
        books.room(2, record, RoomFact::Output(output)).unwrap();
    }
    let (absent, _) = books.compare(&scope, &mut findings).unwrap();
    assert_eq!(absent.len(), ABSENT_MAX);
    let of_erp: Vec<_> = findings.differences.iter().filter(|one| one.part == Part::Erp).collect();
    assert_eq!(of_erp.len(), 1, "{of_erp:#?}");
    assert_eq!((of_erp[0].kind, of_erp[0].code.as_str()), (Kind::Undecided, "WL-7260"));
    assert!(of_erp[0].message.starts_with(&format!("{MORE} documents")), "{}", of_erp[0].message);
}
