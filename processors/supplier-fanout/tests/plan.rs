//! Who is told what: the two pure functions, without any supplier.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use connector::effect::{Effect, Plan};
use expect_test::{Expect, expect};
use processor::laws::check_phi;
use processor::{Binder, Tables, Verdict};
use schemas::{Action, EnrichedUsage, Event, GoodsReceipt, MasterSupplier, PurchaseOrder, SupplierNotice};
use testkit::drive::event;
use wardline_supplier_fanout::{Answer, FanoutConfig, FanoutInput, FanoutTables, Notice, SupplierFanout};

const PROFILES: &str = r#"{"profiles": {
    "SUP-MEDSTENT": {"url": "https://medstent.example/n", "secret": "0123456789abcdef", "contract": "CONTRACT-2026-07"},
    "4012345000009": {"url": "https://genmed.example/n", "secret": "0123456789abcdef", "kinds": ["vmi-usage", "receipt"]}
}}"#;

fn fanout() -> SupplierFanout {
    SupplierFanout::new(&serde_json::from_str::<FanoutConfig>(PROFILES).unwrap())
}

fn tables() -> FanoutTables {
    let tables = FanoutTables::bind(&mut Binder::new(100));
    for (id, gln) in [("SUP-GENMED", Some("4012345000009")), ("SUP-OTHER", None)] {
        let supplier =
            MasterSupplier { supplier_id: id.to_owned(), gln: gln.map(str::to_owned), ..MasterSupplier::default() };
        tables.suppliers.put(id, Some(supplier)).unwrap();
    }
    tables
}

fn usage(fields: &str) -> FanoutInput {
    FanoutInput::Usage(Box::new(event::<EnrichedUsage>(fields).unwrap()))
}

fn order(fields: &str) -> FanoutInput {
    FanoutInput::Order(Box::new(event::<PurchaseOrder>(fields).unwrap()))
}

fn receipt(fields: &str) -> FanoutInput {
    FanoutInput::Receipt(Box::new(event::<GoodsReceipt>(fields).unwrap()))
}

/// RPL-1: a replay's preview knows an effect by what its key begins with, and says too much rather than too little.
fn is_foreseen(input: &FanoutInput, plan: &Plan<Notice, SupplierNotice>) -> bool {
    let foreseen = SupplierFanout::foresee(input).unwrap();
    let Plan::Act(action) = plan else { return true };
    foreseen.acts && action.effect_key.strip_prefix(&foreseen.identity).is_some_and(|rest| rest.starts_with('>'))
}

fn shown(plan: &Plan<Notice, SupplierNotice>) -> String {
    match plan {
        Plan::Act(action) => format!("{} {}", action.target, action.request.body),
        Plan::Decided(Verdict::Drop(reason) | Verdict::Wait(reason) | Verdict::Reject(reason)) => {
            format!("{} {} {}", reason.code, reason.rule, reason.message)
        }
        Plan::Decided(Verdict::Emit(_)) => "emit".to_owned(),
        Plan::Late { effect_key, .. } => format!("late {effect_key}"),
    }
}

fn delivered(input: &FanoutInput) -> SupplierNotice {
    delivered_after(None, input)
}

/// The notice of an event, with what was told before.
fn delivered_after(prior: Option<&SupplierNotice>, input: &FanoutInput) -> SupplierNotice {
    let Plan::Act(action) = fanout().plan(input, prior, &tables()) else { panic!("no notice is due") };
    let answer = Answer { status: 201, key: "wl-1".to_owned() };
    match fanout().settle(input, &action.request, &answer) {
        Verdict::Emit(mut notices) => notices.remove(0),
        other => panic!("{}", other.name()),
    }
}

/// What is done about an event: the key of its effect and what that does to the fact, or the rule by which nothing is.
fn done(prior: &SupplierNotice, input: &FanoutInput) -> String {
    let plan = fanout().plan(input, Some(prior), &tables());
    assert!(is_foreseen(input, &plan));
    match plan {
        Plan::Act(action) => {
            let (_, key) = action.effect_key.split_once('@').unwrap();
            let body: serde_json::Value = serde_json::from_str(&action.request.body).unwrap();
            format!("{key} {}", body["action"].as_str().unwrap())
        }
        Plan::Decided(Verdict::Drop(reason) | Verdict::Reject(reason)) => reason.rule.to_owned(),
        Plan::Late { effect_key, verdict: Verdict::Drop(reason) } => {
            assert!(effect_key.starts_with(&format!("{}@", input.meta().business_key)), "{effect_key}");
            format!("{} {}", effect_key.split_once('@').unwrap().1, reason.rule)
        }
        Plan::Decided(other) | Plan::Late { verdict: other, .. } => other.name().to_owned(),
    }
}

#[track_caller]
fn check(inputs: &[FanoutInput], expected: Expect) {
    let plans: Vec<_> = inputs.iter().map(|input| fanout().plan(input, None, &tables())).collect();
    assert!(inputs.iter().zip(&plans).all(|(input, plan)| is_foreseen(input, plan)));
    let told: Vec<String> = plans.iter().map(|plan| shown(plan) + "\n").collect();
    expected.assert_eq(&told.concat());
}

#[test]
fn every_example() {
    let usages = schemas::examples::<EnrichedUsage>().into_iter().map(|event| FanoutInput::Usage(Box::new(event)));
    let orders = schemas::examples::<PurchaseOrder>().into_iter().map(|event| FanoutInput::Order(Box::new(event)));
    let receipts = schemas::examples::<GoodsReceipt>().into_iter().map(|event| FanoutInput::Receipt(Box::new(event)));
    let inputs: Vec<FanoutInput> = usages.chain(orders).chain(receipts).collect();
    check(
        &inputs,
        expect![[r#"
        supplier/SUP-MEDSTENT {"type":"consignment-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"CONTRACT-2026-07","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","quantity":"1","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
        supplier/4012345000009 {"type":"vmi-usage","reference":"3961b947-ab1f-5877-95cb-feb803bc54b4","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-GENMED","itemId":"GLOVE-NITRILE-M","supplierItem":"GN-100-M","quantity":"250","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
        supplier/SUP-MEDSTENT {"type":"po-approved","reference":"4b7403b2-c975-5ce6-9ee0-6585ba9dc3e5","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","location":"STORE-CATH","orderRevision":0,"currency":"EUR","total":"4250.0000","terms":"NET30","lines":[{"line":1,"itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","quantity":"5","uom":"EA","unitPrice":"850.0000","needBy":"2026-11-27"}]}
        supplier/SUP-MEDSTENT {"type":"po-changed","reference":"4b7403b2-c975-5ce6-9ee0-6585ba9dc3e5","revision":1,"action":"update","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","location":"STORE-CATH","orderRevision":1,"currency":"EUR","total":"3400.0000","terms":"NET30","lines":[{"line":1,"itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","quantity":"4","uom":"EA","unitPrice":"850.0000","needBy":"2026-11-27"}]}
        supplier/SUP-MEDSTENT {"type":"receipt","reference":"486b80a2-796b-543e-a2f6-7bf9fe6ed035","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","itemId":"STENT-DES-30","lot":"LOT-STENT-DES-30-B","quantity":"3","uom":"EA","location":"STORE-CATH","receiptId":"MOVE-9001","poLine":1,"expiry":"2029-01-31","receivedAt":"2026-11-26T08:10:00Z","condition":"good","sscc":"095060001343000017","finalDelivery":false}
        supplier/SUP-MEDSTENT {"type":"receipt","reference":"6fc5791e-41c2-5b8e-9b78-009bf7fd244c","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","itemId":"STENT-DES-30","lot":"LOT-STENT-DES-30-B","quantity":"1","uom":"EA","location":"STORE-CATH","receiptId":"MOVE-9002","poLine":1,"expiry":"2029-01-31","receivedAt":"2026-11-27T08:12:00Z","condition":"good","finalDelivery":true}
    "#]],
    );
}

#[test]
fn usages() {
    check(
        &[
            usage("{}"),
            usage("{consigned: false}"),
            usage("{consigned: false, supplierId: SUP-GENMED, serial: S1}"),
            usage("{supplierId: SUP-GENMED}"),
            usage("{supplierId: SUP-OTHER}"),
            usage("{supplierId: SUP-NEW}"),
            usage("{supplierId: ~}"),
            usage("{usage: EXPLANTED}"),
            usage("{meta: {action: RETRACT, revision: 1}}"),
        ],
        expect![[r#"
            supplier/SUP-MEDSTENT {"type":"consignment-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"CONTRACT-2026-07","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","quantity":"1","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
            WL-5110 usage.not-consigned the stock belonged to the hospital
            supplier/4012345000009 {"type":"vmi-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-GENMED","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","serial":"S1","quantity":"1","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
            WL-5110 notice.not-wanted supplier SUP-GENMED does not want notices of this kind
            WL-5110 supplier.no-profile supplier SUP-OTHER has no profile in rooms.supplier-fanout.profiles
            WL-5105 supplier.unknown supplier SUP-NEW is not in the supplier master
            WL-5110 supplier.none no supplier is named
            WL-5110 usage.explanted an explanted article takes nothing from the stock
            WL-5110 notice.nothing-told the supplier was never told of it
        "#]],
    );
}

#[test]
fn orders_and_receipts() {
    check(
        &[
            order("{}"),
            order("{kind: CHANGED, orderRevision: 1, lines: []}"),
            order("{kind: CANCELLED, lines: []}"),
            order("{supplierId: SUP-GENMED}"),
            receipt("{}"),
            receipt("{supplierId: SUP-GENMED}"),
        ],
        expect![[r#"
            supplier/SUP-MEDSTENT {"type":"po-approved","reference":"4b7403b2-c975-5ce6-9ee0-6585ba9dc3e5","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","location":"STORE-CATH","orderRevision":0,"currency":"EUR","total":"4250.0000","terms":"NET30","lines":[{"line":1,"itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","quantity":"5","uom":"EA","unitPrice":"850.0000","needBy":"2026-11-27"}]}
            supplier/SUP-MEDSTENT {"type":"po-changed","reference":"4b7403b2-c975-5ce6-9ee0-6585ba9dc3e5","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","location":"STORE-CATH","orderRevision":1,"currency":"EUR","total":"4250.0000","terms":"NET30","lines":[]}
            supplier/SUP-MEDSTENT {"type":"po-cancelled","reference":"4b7403b2-c975-5ce6-9ee0-6585ba9dc3e5","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","location":"STORE-CATH","orderRevision":0,"currency":"EUR","total":"4250.0000","terms":"NET30","lines":[]}
            WL-5110 notice.not-wanted supplier SUP-GENMED does not want notices of this kind
            supplier/SUP-MEDSTENT {"type":"receipt","reference":"486b80a2-796b-543e-a2f6-7bf9fe6ed035","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"PO-2026-0411","itemId":"STENT-DES-30","lot":"LOT-STENT-DES-30-B","quantity":"3","uom":"EA","location":"STORE-CATH","receiptId":"MOVE-9001","poLine":1,"expiry":"2029-01-31","receivedAt":"2026-11-26T08:10:00Z","condition":"good","sscc":"095060001343000017","finalDelivery":false}
            supplier/4012345000009 {"type":"receipt","reference":"486b80a2-796b-543e-a2f6-7bf9fe6ed035","revision":0,"action":"create","facility":"GENERAL","supplierId":"SUP-GENMED","poNumber":"PO-2026-0411","itemId":"STENT-DES-30","lot":"LOT-STENT-DES-30-B","quantity":"3","uom":"EA","location":"STORE-CATH","receiptId":"MOVE-9001","poLine":1,"expiry":"2029-01-31","receivedAt":"2026-11-26T08:10:00Z","condition":"good","sscc":"095060001343000017","finalDelivery":false}
        "#]],
    );
}

#[test]
fn a_correction_and_a_retraction_name_the_notice_that_came_before() {
    let (fanout, tables) = (fanout(), tables());
    let first = usage("{}");
    let prior = delivered(&first);
    let corrected = usage("{baseQuantity: \"2\", meta: {action: UPDATE, revision: 1}}");
    let retracted = usage("{supplierId: ~, itemId: ~, lot: ~, meta: {action: RETRACT, revision: 2}}");
    let own_stock = usage("{consigned: false, meta: {action: UPDATE, revision: 1}}");
    let other = usage("{supplierId: SUP-GENMED, meta: {action: UPDATE, revision: 1}}");
    for (input, needs_prior) in [(&first, false), (&corrected, true), (&retracted, true)] {
        assert_eq!(fanout.prior_key(input).as_deref(), Some(fanout.output_key(&prior).as_str()));
        assert_eq!(fanout.needs_prior(input), needs_prior);
    }
    let told: Vec<String> = [corrected, retracted, own_stock, other]
        .iter()
        .map(|input| shown(&fanout.plan(input, Some(&prior), &tables)) + "\n")
        .collect();
    expect![[r#"
        supplier/SUP-MEDSTENT {"type":"consignment-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":1,"action":"update","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"CONTRACT-2026-07","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","quantity":"2","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
        supplier/SUP-MEDSTENT {"type":"consignment-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":2,"action":"retract","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"CONTRACT-2026-07","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","quantity":"1","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
        supplier/SUP-MEDSTENT {"type":"consignment-usage","reference":"4644a347-9cb0-5436-91e1-bd0f50f060b0","revision":1,"action":"retract","facility":"GENERAL","supplierId":"SUP-MEDSTENT","poNumber":"CONTRACT-2026-07","itemId":"STENT-DES-30","supplierItem":"MS-DES-30-18","gtin":"00950600013439","lot":"LOT-STENT-DES-30-A","quantity":"1","uom":"EA","location":"STORE-CATH","usedAt":"2026-11-23T09:00:00Z"}
        WL-5104 supplier.changed supplier SUP-MEDSTENT was told of a use that, as corrected, concerns supplier SUP-GENMED
    "#]].assert_eq(&told.concat());
}

#[test]
fn phi_1_a_notice_holds_nothing_about_a_patient() {
    let usage = event::<EnrichedUsage>("{serial: ~}").unwrap();
    let input = FanoutInput::Usage(Box::new(usage.clone()));
    let notice = delivered(&input);
    let Plan::Act(action) = fanout().plan(&input, None, &tables()) else { panic!("no notice is due") };
    let event = serde_json::to_string(&notice).unwrap();
    let location = usage.location.clone().unwrap_or_default();
    let secrets = [
        usage.encounter_ref.as_str(),
        usage.patient_ref.as_deref().unwrap_or_default(),
        usage.meta.business_key.as_str(),
        location.unit.as_deref().unwrap_or_default(),
        usage.performer_ref.as_deref().unwrap_or_default(),
        "09:48",
        "TX-88001",
    ];
    let texts = [("the body", action.request.body.as_str()), ("the event", event.as_str())];
    assert_eq!(check_phi(&secrets, texts), []);
    assert_eq!(notice.meta.occurred_at.unwrap().to_string(), "2026-11-23T09:00:00Z");
    assert_eq!(notice.key(), "SUP-MEDSTENT");
}

#[test]
fn the_same_event_gives_the_same_bytes_and_the_same_notice() {
    let input = usage("{}");
    assert_eq!(fanout().plan(&input, None, &tables()), fanout().plan(&input, None, &tables()));
    assert_eq!(delivered(&input), delivered(&input));
}

/// FX-1: a usage made anew is told when the supplier was told something else, and nothing newer.
#[test]
fn a_usage_made_anew_is_told_when_it_differs() {
    let usage = |revision: i32, correction: i32, place: &str| {
        let mut usage = event::<EnrichedUsage>("consigned: true").unwrap();
        (usage.meta.revision, usage.meta.correction) = (revision, correction);
        usage.stock_location_id = Some(place.to_owned());
        FanoutInput::Usage(Box::new(usage))
    };
    let first = usage(0, 0, "STORE-A");
    let told = delivered(&first);
    assert_eq!(done(&told, &usage(0, 1, "STORE-A")), "notice.unchanged");
    assert_eq!(done(&told, &usage(0, 1, "STORE-B")), "0.1>SUP-MEDSTENT create");
    let newer = SupplierNotice { meta: schemas::EventMeta { revision: 1, ..told.meta.clone() }, ..told };
    assert_eq!(done(&newer, &usage(0, 1, "STORE-B")), "0.1>SUP-MEDSTENT notice.overtaken");
}

/// FX-1: what is taken back is void for whoever was told of it, also when the item is another supplier's by now.
#[test]
fn fx_1_a_use_is_taken_back_from_whoever_was_told() {
    let prior = delivered(&usage("{}"));
    for action in ["RETRACT", "CANCEL"] {
        let input = usage(&format!("{{supplierId: SUP-GENMED, meta: {{action: {action}, revision: 1}}}}"));
        assert_eq!(done(&prior, &input), "1>SUP-MEDSTENT retract");
        assert_eq!(delivered_after(Some(&prior), &input).supplier_id, "SUP-MEDSTENT");
    }
}

/// FX-1: a correction that named another supplier was settled by hand, and nothing says who was told of it: what is taken back behind
/// it is for a person as well. Whoever is named still, or nobody, leaves no doubt.
#[test]
fn fx_1_a_use_is_not_taken_back_behind_a_change_of_the_supplier_that_nobody_was_told_of() {
    let prior = delivered(&usage("{}"));
    assert_eq!(
        done(&prior, &usage("{supplierId: SUP-GENMED, meta: {action: UPDATE, revision: 1}}")),
        "supplier.changed"
    );
    let taken_back = |supplier: &str, revision: i32| {
        usage(&format!("{{supplierId: {supplier}, meta: {{action: RETRACT, revision: {revision}}}}}"))
    };
    assert_eq!(done(&prior, &taken_back("SUP-GENMED", 2)), "supplier.changed");
    for supplier in ["SUP-MEDSTENT", "~"] {
        assert_eq!(done(&prior, &taken_back(supplier, 2)), "2>SUP-MEDSTENT retract");
    }
}

/// FX-1: that a use is void differs from what was told before, and so does that it counts again.
#[test]
fn fx_1_a_void_notice_is_told_and_so_is_the_way_back() {
    let usage = |revision: i32, correction: i32, fields: &str| {
        usage(&format!("{{meta: {{action: UPDATE, revision: {revision}, correction: {correction}}}, {fields}}}"))
    };
    let told = delivered(&usage(0, 0, "consigned: true"));
    for (revision, correction) in [(0, 1), (1, 0)] {
        let own_stock = usage(revision, correction, "consigned: false");
        let statement = processor::statement(own_stock.meta());
        assert_eq!(done(&told, &own_stock), format!("{statement}>SUP-MEDSTENT retract"));
        let void = delivered_after(Some(&told), &own_stock);
        assert_eq!(void.meta.action, Action::Retract);
        assert_eq!(SupplierNotice { meta: told.meta.clone(), ..void.clone() }, told, "what it is about stays known");
        assert_eq!(done(&void, &usage(revision, 2, "consigned: false")), "notice.unchanged");
        let again = usage(revision, 2, "consigned: true");
        assert_eq!(done(&void, &again), format!("{revision}.2>SUP-MEDSTENT update"));
        assert_eq!(
            done(&delivered_after(Some(&void), &again), &usage(revision, 3, "consigned: true")),
            "notice.unchanged"
        );
        let elsewhere = usage(2, 0, "consigned: false, supplierId: SUP-GENMED");
        assert_eq!(done(&void, &elsewhere), "2>SUP-GENMED update");
        assert_eq!(done(&told, &elsewhere), "supplier.changed");
    }
}

/// FX-1, ORD-1: what a supplier knows is not replaced by something older that comes late, and a repetition is known as that.
#[test]
fn ord_1_what_comes_late_is_not_told_behind_what_is_newer() {
    let usage = |revision: i32, fields: &str| usage(&format!("{{meta: {{revision: {revision}}}, {fields}}}"));
    let told = delivered_after(Some(&delivered(&usage(0, "lot: L1"))), &usage(2, "lot: L2"));
    for revision in [0, 1, 2] {
        let late = format!("{revision}>SUP-MEDSTENT notice.overtaken");
        assert_eq!(done(&told, &usage(revision, "lot: L1")), late);
    }
    let taken_back = self::usage("{meta: {action: RETRACT, revision: 1}}");
    assert_eq!(done(&told, &taken_back), "1>SUP-MEDSTENT notice.overtaken");
    assert_eq!(done(&told, &usage(3, "lot: L3")), "3>SUP-MEDSTENT create");
}

/// ORD-1: orders and receipts say everything anew, so only their order counts.
#[test]
fn ord_1_an_older_order_or_receipt_is_not_told_behind_a_newer_one() {
    let changed = |revision: i32, fields: &str| {
        order(&format!("{{kind: CHANGED, meta: {{revision: {revision}, action: UPDATE}}, {fields}}}"))
    };
    let told = delivered(&changed(5, "orderRevision: 1"));
    assert!(!fanout().needs_prior(&changed(5, "orderRevision: 1")));
    assert_eq!(done(&told, &order("{meta: {revision: 4}}")), "4>SUP-MEDSTENT notice.overtaken");
    assert_eq!(done(&told, &changed(5, "orderRevision: 1")), "5>SUP-MEDSTENT notice.overtaken");
    assert_eq!(done(&told, &changed(6, "orderRevision: 1")), "6>SUP-MEDSTENT update");
    assert_eq!(done(&told, &changed(6, "supplierId: SUP-GENMED")), "notice.not-wanted");
    let told = delivered(&receipt("{meta: {revision: 5}}"));
    assert_eq!(done(&told, &receipt("{meta: {revision: 4}}")), "4>SUP-MEDSTENT notice.overtaken");
    assert_eq!(done(&told, &receipt("{meta: {revision: 6}, supplierId: SUP-GENMED}")), "6>SUP-GENMED create");
}

/// An event that is dropped: what is remembered of it.
fn dropped(prior: Option<&SupplierNotice>, input: &FanoutInput) -> Option<SupplierNotice> {
    let plan = fanout().plan(input, prior, &tables());
    assert!(matches!(plan, Plan::Decided(Verdict::Drop(_))), "{}", shown(&plan));
    fanout().stated(input, prior)
}

/// A use as an event of its own.
fn said(id: &str, fields: &str) -> FanoutInput {
    let mut usage = event::<EnrichedUsage>(fields).unwrap();
    usage.meta.event_id = id.to_owned();
    FanoutInput::Usage(Box::new(usage))
}

/// FX-1: of what came first and was dropped nobody was told, and what it corrects or takes back is not told when it comes late.
#[test]
fn fx_1_what_comes_behind_a_correction_that_was_dropped_is_not_told() {
    for first in [
        "{meta: {action: RETRACT, revision: 1}}",
        "{meta: {action: CANCEL}}",
        "{meta: {action: UPDATE, revision: 1}, consigned: false}",
        "{meta: {correction: 1}, consigned: false}",
        "{meta: {action: UPDATE, revision: 1}, supplierId: SUP-OTHER}",
    ] {
        let first = said("first", first);
        let known = dropped(None, &first).unwrap();
        assert_eq!(fanout().output_key(&known), fanout().prior_key(&first).unwrap());
        assert_eq!(done(&known, &said("late", "{}")), "0>SUP-MEDSTENT notice.overtaken");
        assert_eq!(done(&known, &said("next", "{meta: {action: UPDATE, revision: 2}}")), "2>SUP-MEDSTENT update");
        let back = said("back", "{meta: {action: RETRACT, revision: 2}}");
        assert_eq!(done(&known, &back), "notice.nothing-told");
        assert!(
            check_phi(&["TX-88001", "09:48"], [("what is kept", &*serde_json::to_string(&known).unwrap())]).is_empty()
        );
    }
}

/// FX-1: what is dropped behind a notice keeps what the supplier was told, for what corrects that or takes it back.
#[test]
fn fx_1_what_was_told_stays_known_behind_what_is_dropped() {
    let told = delivered(&said("first", "{}"));
    let known = dropped(Some(&told), &said("same", "{meta: {action: UPDATE, correction: 2}}")).unwrap();
    let elsewhere = "{meta: {action: UPDATE, correction: 1}, stockLocationId: STORE-B}";
    assert_eq!(done(&known, &said("late", elsewhere)), "0.1>SUP-MEDSTENT notice.overtaken");
    let back = said("back", "{meta: {action: RETRACT, revision: 1}}");
    assert_eq!(done(&known, &back), "1>SUP-MEDSTENT retract");
    assert_eq!(delivered_after(Some(&known), &back), delivered_after(Some(&told), &back));
}

/// RPL-1: what was dropped because nobody wanted it is told by a replay when somebody does.
#[test]
fn rpl_1_what_was_dropped_is_planned_again_when_it_is_said_again() {
    let event = said("first", "{meta: {action: UPDATE, revision: 1}}");
    let nobody = SupplierFanout::new(&FanoutConfig::default());
    let known = nobody.stated(&event, None).unwrap();
    assert_eq!(done(&known, &event), "1>SUP-MEDSTENT update");
    assert_eq!(done(&known, &said("other", "{meta: {revision: 1}}")), "1>SUP-MEDSTENT notice.overtaken");
}

/// What nothing came before leaves nothing behind when it is dropped; of orders the change does.
#[test]
fn a_first_statement_that_is_dropped_costs_nothing() {
    for (first, is_kept) in [
        (usage("{consigned: false}"), false),
        (order("{supplierId: SUP-GENMED, meta: {revision: 5}}"), false),
        (order("{kind: CANCELLED, supplierId: SUP-GENMED, meta: {revision: 6, action: CANCEL}}"), true),
    ] {
        assert_eq!(dropped(None, &first).is_some(), is_kept, "{first:?}");
    }
}
