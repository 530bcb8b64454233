//! What is posted for a usage, given what is posted already: no broker, no ERP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::effect::{Effect, Plan};
use processor::Verdict;
use rust_decimal::Decimal;
use schemas::{Action, EnrichedUsage, ErpPosting, EventMeta, Timestamp, UsageKind};
use wardline_erp_post::{ErpPost, ErpPostConfig, Part, Response};

fn usage(revision: i32, quantity: i64) -> EnrichedUsage {
    let text = |text: &str| Some(text.to_owned());
    EnrichedUsage {
        meta: EventMeta {
            event_id: format!("e{revision}"),
            business_key: "usage/enc_1/TX-1".to_owned(),
            revision,
            action: if revision == 0 { Action::Create } else { Action::Update },
            // 2026-03-01T23:30:00Z, the next day at the place of use.
            occurred_at: Some(Timestamp(1_772_407_800_000_000)),
            occurred_offset_minutes: Some(60),
            ..EventMeta::default()
        },
        encounter_ref: "enc_1".to_owned(),
        item_id: text("HIP-9"),
        lot: text("L1"),
        base_quantity: Some(Decimal::from(quantity)),
        base_uom: text("EA"),
        stock_location_id: text("OR1"),
        cost_centre_id: text("CC-OR"),
        currency: text("EUR"),
        ..EnrichedUsage::default()
    }
}

/// Plans and settles one usage after another, as the runtime does, and writes down what happens.
#[track_caller]
fn check(usages: Vec<EnrichedUsage>, expected: &str) {
    let effect = ErpPost::new(ErpPostConfig::default());
    let mut prior: Option<ErpPosting> = None;
    let mut story = String::new();
    for usage in usages {
        let prior_of = effect.prior_key(&usage).and(prior.as_ref());
        let outputs = match effect.plan(&usage, prior_of, &()) {
            Plan::Act(action) => {
                // A replay's preview knows an effect by what its key begins with.
                let foreseen = ErpPost::foresee(&usage).unwrap();
                assert!(
                    foreseen.acts && action.effect_key.strip_prefix(&foreseen.identity) == Some("/erp"),
                    "{foreseen:?}"
                );
                for part in &action.request.moves {
                    let held = &part.held;
                    let lot = held.lot.as_deref().unwrap_or("-");
                    let (way, from, to) = (part.direction, &held.stock_location, &part.use_location);
                    story += &format!(
                        "  {way:?} {} of {} lot {lot}, {from} with {to}, {}\n",
                        part.quantity, held.item, part.day
                    );
                }
                let (unit_cost, currency) = (Some(Decimal::from(100)), Some("CHF".to_owned()));
                let part = Part { unit_cost, currency, ..Part::default() };
                let parts = vec![part; action.request.moves.len()];
                effect.settle(&usage, &action.request, &Response { parts })
            }
            Plan::Decided(verdict) | Plan::Late { verdict, .. } => verdict,
        };
        match outputs {
            Verdict::Emit(postings) => {
                for posting in postings {
                    story += &format!(
                        "{} {} {} amount {} total {}\n",
                        posting.kind.as_str(),
                        posting.item_id.as_deref().unwrap_or("-"),
                        posting.quantity,
                        posting.amount.unwrap_or_default(),
                        posting.total_quantity
                    );
                    prior = Some(posting);
                }
            }
            Verdict::Drop(reason) => story += &format!("dropped {}\n", reason.code),
            Verdict::Reject(reason) => story += &format!("rejected {} at {:?}\n", reason.code, reason.field_paths),
            Verdict::Wait(reason) => story += &format!("waits {}\n", reason.code),
        }
    }
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let story: Vec<&str> = story.lines().map(str::trim).collect();
    assert_eq!(story, expected);
}

/// A usage that was recorded at this moment.
fn at(micros: i64, mut usage: EnrichedUsage) -> EnrichedUsage {
    usage.meta.recorded_at = Timestamp(micros);
    usage
}

fn taken_back(revision: i32) -> EnrichedUsage {
    let mut usage = usage(revision, 0);
    usage.meta.action = Action::Retract;
    // A retraction often says no more than what it takes back.
    EnrichedUsage {
        item_id: None,
        stock_location_id: None,
        base_quantity: None,
        cost_centre_id: None,
        lot: None,
        ..usage
    }
}

#[test]
fn corrections_post_the_difference_and_a_retraction_the_opposite_of_all() {
    check(
        vec![usage(0, 2), usage(1, 5), usage(2, 1), taken_back(3)],
        "Consume 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 2 amount 200 total 2
         Consume 3 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 3 amount 300 total 5
         Return 4 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 -4 amount -400 total 1
         Return 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         RETRACTED HIP-9 -1 amount -100 total 0",
    );
}

#[test]
fn another_article_goes_out_before_the_wrong_one_comes_back() {
    let mut other = usage(1, 1);
    other.item_id = Some("HIP-10".to_owned());
    let mut elsewhere = other.clone();
    elsewhere.meta.revision = 2;
    elsewhere.stock_location_id = Some("OR2".to_owned());
    check(
        vec![usage(0, 2), other, elsewhere],
        "Consume 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 2 amount 200 total 2
         Consume 1 of HIP-10 lot L1, OR1 with USE-OR1, 2026-03-02
         Return 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 -2 amount -200 total 0
         CORRECTED HIP-10 1 amount 100 total 1
         Consume 1 of HIP-10 lot L1, OR2 with USE-OR2, 2026-03-02
         Return 1 of HIP-10 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-10 -1 amount -100 total 0
         CORRECTED HIP-10 1 amount 100 total 1",
    );
}

#[test]
fn a_correction_that_changes_nothing_in_the_erp_posts_nothing() {
    check(
        vec![usage(0, 2), usage(1, 2), usage(2, 3)],
        "Consume 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 2 amount 200 total 2
         NONE_NEEDED HIP-9 0 amount 0 total 2
         Consume 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 1 amount 100 total 3",
    );
}

#[test]
fn what_belongs_to_the_supplier_or_comes_out_of_the_patient_moves_no_stock_of_ours() {
    let consigned = EnrichedUsage { consigned: true, ..usage(0, 1) };
    let explanted = EnrichedUsage { usage: UsageKind::Explanted, ..usage(0, 1) };
    let explanted_after_all = EnrichedUsage { usage: UsageKind::Explanted, ..usage(1, 1) };
    check(vec![consigned], "NONE_NEEDED HIP-9 0 amount 0 total 0");
    check(vec![explanted], "NONE_NEEDED HIP-9 0 amount 0 total 0");
    check(
        vec![usage(0, 1), explanted_after_all],
        "Consume 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 1 amount 100 total 1
         Return 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 -1 amount -100 total 0",
    );
}

#[test]
fn a_credit_without_a_charge_returns_stock_and_nothing_is_returned_twice() {
    check(
        vec![usage(0, -2), taken_back(1), taken_back(2)],
        "Return 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 -2 amount -200 total -2
         Consume 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         RETRACTED HIP-9 2 amount 200 total 0
         NONE_NEEDED HIP-9 0 amount 0 total 0",
    );
    check(vec![taken_back(1)], "NONE_NEEDED - 0 amount 0 total 0");
}

#[test]
fn what_is_overtaken_or_incomplete_posts_nothing() {
    check(
        vec![usage(0, 1), usage(2, 2), usage(1, 9), usage(2, 2)],
        "Consume 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 1 amount 100 total 1
         Consume 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 1 amount 100 total 2
         dropped WL-5012
         dropped WL-5012",
    );
    check(vec![EnrichedUsage { stock_location_id: None, ..usage(0, 1) }], r#"rejected WL-5011 at ["stockLocationId"]"#);
    check(vec![EnrichedUsage { base_quantity: None, ..usage(0, 1) }], r#"rejected WL-5011 at ["baseQuantity"]"#);
}

/// The prior of a first statement counts as well: a dead letter that is replayed behind its correction, say.
#[test]
fn fx_1_a_first_statement_that_comes_behind_its_correction_posts_nothing() {
    check(
        vec![usage(1, 3), usage(0, 2), at(1, taken_back(2)), usage(0, 2)],
        "Consume 3 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 3 amount 300 total 3
         dropped WL-5012
         Return 3 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         RETRACTED HIP-9 -3 amount -300 total 0
         dropped WL-5012",
    );
    let effect = ErpPost::new(ErpPostConfig::default());
    assert!(
        effect.needs_prior(&usage(1, 3)) && effect.needs_prior(&taken_back(0)) && !effect.needs_prior(&usage(0, 2))
    );
}

/// HL7 v2 has no number for it: charged, credited, and charged again, also by one message. It is no repetition of the first charge.
#[test]
fn loss_1_a_use_that_is_stated_again_after_it_was_taken_back_is_for_a_person() {
    check(
        vec![at(1, usage(0, 1)), at(2, taken_back(1)), at(1, usage(0, 1)), at(2, taken_back(1)), at(2, usage(0, 1))],
        r#"Consume 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 1 amount 100 total 1
         Return 1 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         RETRACTED HIP-9 -1 amount -100 total 0
         dropped WL-5012
         dropped WL-5012
         rejected WL-5013 at ["meta.revision"]"#,
    );
    // Nothing of it is posted when it is the supplier's, and still somebody has to tell them.
    let consigned = |usage: EnrichedUsage| EnrichedUsage { consigned: true, ..usage };
    check(
        vec![at(1, consigned(usage(0, 1))), at(2, taken_back(1)), at(3, consigned(usage(0, 1)))],
        r#"NONE_NEEDED HIP-9 0 amount 0 total 0
         NONE_NEEDED HIP-9 0 amount 0 total 0
         rejected WL-5013 at ["meta.revision"]"#,
    );
}

/// What is taken back before it is stated was never posted, and is not when its first statement comes.
#[test]
fn fx_1_a_retraction_that_comes_first_keeps_its_statement_out() {
    check(
        vec![at(2, taken_back(1)), at(1, usage(0, 1))],
        "NONE_NEEDED - 0 amount 0 total 0
         dropped WL-5012",
    );
}

#[test]
fn lines_share_a_document_only_when_all_that_the_document_says_is_the_same() {
    let effect = ErpPost::new(ErpPostConfig::default());
    let key = |usage: &EnrichedUsage| match effect.plan(usage, None, &()) {
        Plan::Act(action) => action.batch_key,
        Plan::Decided(_) | Plan::Late { .. } => None,
    };
    let first = usage(0, 1);
    assert!(key(&first).is_some());
    let same = EnrichedUsage { item_id: Some("HIP-10".to_owned()), lot: None, ..first.clone() };
    assert_eq!(key(&first), key(&same));
    let mut next_day = first.clone();
    next_day.meta.occurred_offset_minutes = None;
    for other in [
        EnrichedUsage { stock_location_id: Some("OR2".to_owned()), ..first.clone() },
        EnrichedUsage { cost_centre_id: Some("CC-ICU".to_owned()), ..first.clone() },
        EnrichedUsage { base_quantity: Some(Decimal::NEGATIVE_ONE), ..first.clone() },
        next_day,
    ] {
        assert_ne!(key(&first), key(&other));
    }
}

/// The price of the usages is in EUR.
#[test]
fn the_cost_is_in_the_currency_of_the_erp_and_without_one_there_is_no_money() {
    let posted = |configured: Option<&str>, cost: Option<i64>, said: Option<&str>| {
        let text = |text: &str| text.to_owned();
        let effect = ErpPost::new(ErpPostConfig { currency: configured.map(text), ..ErpPostConfig::default() });
        let usage = usage(0, 2);
        let Plan::Act(action) = effect.plan(&usage, None, &()) else { panic!("it acts") };
        let part = Part { unit_cost: cost.map(Decimal::from), currency: said.map(text), ..Part::default() };
        let Verdict::Emit(postings) = effect.settle(&usage, &action.request, &Response { parts: vec![part] }) else {
            panic!("it is posted")
        };
        (postings[0].amount.map(|amount| amount.to_string()), postings[0].currency.clone())
    };
    let money = |amount: &str, currency: &str| (Some(amount.to_owned()), Some(currency.to_owned()));
    assert_eq!(posted(None, Some(100), Some("CHF")), money("200", "CHF"));
    assert_eq!(posted(Some("GBP"), Some(100), Some("CHF")), money("200", "CHF"), "the ERP knows best");
    assert_eq!(posted(Some("GBP"), Some(100), None), money("200", "GBP"));
    assert_eq!(posted(None, Some(100), None), (None, None), "no money rather than wrong money");
    assert_eq!(posted(Some("GBP"), None, Some("CHF")), (None, None));
}

/// RPL-1: what a preview says without the ERP: too much rather than too little.
#[test]
fn what_can_leave_nothing_in_the_erp_is_foreseen_as_no_effect() {
    let acts = |usage: &EnrichedUsage| ErpPost::foresee(usage).unwrap().acts;
    assert!(acts(&usage(0, 2)) && acts(&taken_back(1)));
    let consigned = EnrichedUsage { consigned: true, ..usage(0, 2) };
    let explanted = EnrichedUsage { usage: UsageKind::Explanted, ..usage(0, 2) };
    let incomplete = EnrichedUsage { stock_location_id: None, ..usage(0, 2) };
    for none in [consigned, explanted, incomplete, usage(0, 0)] {
        assert!(!acts(&none), "{none:?}");
    }
    let later = EnrichedUsage { consigned: true, ..usage(1, 2) };
    assert!(acts(&later), "what was posted before may have to be taken back");
}

/// FX-1, ORD-1: a statement made anew comes behind what it corrects and in front of the source's next word, whenever it arrives.
#[test]
fn a_usage_made_anew_moves_what_was_posted_and_never_overtakes_the_source() {
    let made_anew = |revision, correction, place: &str| {
        let mut usage = usage(revision, 2);
        usage.meta.correction = correction;
        usage.stock_location_id = Some(place.to_owned());
        usage
    };
    check(
        vec![
            made_anew(0, 0, "OR1"),
            made_anew(0, 1, "OR2"),
            made_anew(0, 2, "OR2"),
            made_anew(0, 1, "OR3"),
            made_anew(1, 0, "OR2"),
            made_anew(0, 3, "OR1"),
            taken_back(2),
        ],
        "Consume 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         POSTED HIP-9 2 amount 200 total 2
         Consume 2 of HIP-9 lot L1, OR2 with USE-OR2, 2026-03-02
         Return 2 of HIP-9 lot L1, OR1 with USE-OR1, 2026-03-02
         CORRECTED HIP-9 -2 amount -200 total 0
         CORRECTED HIP-9 2 amount 200 total 2
         NONE_NEEDED HIP-9 0 amount 0 total 2
         dropped WL-5012
         NONE_NEEDED HIP-9 0 amount 0 total 2
         dropped WL-5012
         Return 2 of HIP-9 lot L1, OR2 with USE-OR2, 2026-03-02
         RETRACTED HIP-9 -2 amount -200 total 0",
    );
}
