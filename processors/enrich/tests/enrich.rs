//! What `enrich` makes of validated usages, over the real codec and tables, without a broker.

use expect_test::{Expect, expect};
use testkit::{drive, drive_examples};
use wardline_enrich::{EnrichConfig, wiring};

/// The master data of the first example.
const MASTERS: &str = r#"
    master.item STENT-DES-30 {}
    master.location CATHLAB-1 {}
    master.cost-center CC-CARDIO {}
    master.supplier SUP-MEDSTENT {}
    master.employee E-1004 {}
"#;

#[track_caller]
fn check(records: &str, expected: Expect) {
    expected.assert_eq(&drive(wiring(EnrichConfig::default()), records));
}

#[track_caller]
fn check_known(records: &str, expected: Expect) {
    check(&format!("{MASTERS}{records}"), expected);
}

#[test]
fn every_example() {
    expect![[r#"
        emit    supply.usage-enriched enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0, master.employee/E-1004@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
        emit    supply.usage-enriched enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe {masters: [master.item/GLOVE-NITRILE-M@1, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-GENMED@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-GENMED, supplierItem: GN-100-M, unitPrice: 0.0625, currency: EUR, amount: 15.6250, consigned: false, erpItemId: 57}
    "#]].assert_eq(&drive_examples(wiring(EnrichConfig::default())));
}

#[test]
fn waits_for_each_master_record_and_goes_on_in_order() {
    check(
        r#"supply.usage-validated e1 {performerRef: ~}
           supply.usage-validated e1 {performerRef: ~, quantity: "2", baseQuantity: "2"}
           master.item STENT-DES-30 {}
           master.location CATHLAB-1 {}
           master.cost-center CC-CARDIO {}
           master.supplier SUP-MEDSTENT {}"#,
        expect![[r#"
            wait    supply.usage-validated@0 WL-4051 item.unknown: item STENT-DES-30 is not in the item master
                      until master.item/STENT-DES-30
                      fix: restore the record in the ERP, or correct what names it
            behind  supply.usage-validated@1
            wait    supply.usage-validated@0 WL-4052 location.unknown: location CATHLAB-1 is not in the location master
                      until master.location/CATHLAB-1
                      fix: restore the record in the ERP, or correct what names it
            wait    supply.usage-validated@0 WL-4054 cost-centre.unknown: cost centre CC-CARDIO of location CATHLAB-1 is not in the cost centre master
                      until master.cost-center/CARD, master.cost-center/CATHLAB-1, master.cost-center/CC-CARDIO, master.location/CATHLAB-1
                      fix: give the department or the location its cost centre in the ERP
            wait    supply.usage-validated@0 WL-4057 supplier.unknown: supplier SUP-MEDSTENT of item STENT-DES-30 is not in the supplier master
                      until master.supplier/SUP-MEDSTENT
                      fix: restore the record in the ERP, or correct what names it
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 1700.0000, consigned: true, erpItemId: 41}
        "#]],
    );
}

#[test]
fn the_cost_centre_is_the_one_of_the_day_of_use() {
    check_known(
        r#"master.cost-center CC-OLD {departments: [CARD], active: false, validFrom: 2018-01-01, validTo: 2023-12-31}
           supply.usage-validated e1 {performerRef: ~}
           supply.usage-validated e2 {performerRef: ~, meta: {occurredAt: "2023-06-01T12:00:00Z"}}
           supply.usage-validated e3 {performerRef: ~, meta: {occurredAt: "2023-12-31T23:30:00Z", occurredOffsetMinutes: 60}}
           supply.usage-validated e4 {performerRef: ~, meta: {occurredAt: "2017-06-01T12:00:00Z"}}
           master.cost-center CC-TWIN {departments: [CARD]}
           supply.usage-validated e5 {performerRef: ~}"#,
        expect![[r#"
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e2 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-OLD@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-OLD, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e3 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            reject  supply.usage-validated@3 WL-4055 cost-centre.not-valid: no cost centre of department CARD is valid on 2017-06-01: CC-CARDIO, CC-OLD
                      until master.cost-center/CC-CARDIO, master.cost-center/CC-OLD
                      fix: correct the validity of the cost centre, or assign the department to its successor
            reject  supply.usage-validated@4 WL-4056 cost-centre.ambiguous: several cost centres of department CARD are valid on 2026-11-23: CC-CARDIO, CC-TWIN
                      until master.cost-center/CC-CARDIO, master.cost-center/CC-TWIN
                      fix: leave the department with one cost centre for each day
        "#]],
    );
}

#[test]
fn without_a_claimed_department_the_place_decides() {
    check_known(
        r#"supply.usage-validated e1 {performerRef: ~, department: ~}
           supply.usage-validated e2 {performerRef: ~, department: NOBODYS}
           master.location ROOM {parent: CATHLAB-1, stockLocationId: ~, costCentreId: ~}
           supply.usage-validated e3 {performerRef: ~, department: ~, locationId: ROOM}
           master.location LOST {parent: NOWHERE, stockLocationId: ~, costCentreId: ~}
           supply.usage-validated e4 {performerRef: ~, department: ~, locationId: LOST}
           master.location NOWHERE {parent: LOST, stockLocationId: S, costCentreId: ~}
           master.cost-center CC-LOST {departments: [NOWHERE]}"#,
        expect![[r#"
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e2 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e3 {masters: [master.item/STENT-DES-30@3, master.location/ROOM@0, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            wait    supply.usage-validated@3 WL-4053 stock-location.missing: neither location LOST nor any above it draws from a stock location
                      until master.location/LOST, master.location/NOWHERE
                      fix: give the location, or the one above it, its stock location in the ERP
            wait    supply.usage-validated@3 WL-4054 cost-centre.missing: location LOST has no cost centre
                      until master.cost-center/LOST, master.cost-center/NOWHERE, master.location/LOST, master.location/NOWHERE
                      fix: give the department or the location its cost centre in the ERP
            emit    supply.usage-enriched e4 {masters: [master.location/CATHLAB-1@0, master.item/STENT-DES-30@3, master.location/LOST@0, master.location/NOWHERE@0, master.cost-center/CC-LOST@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: S, costCentreId: CC-LOST, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
        "#]],
    );
}

/// The record of a place and that of its cost centre are on two topics, in no order.
#[test]
fn the_place_above_does_not_pay_for_one_whose_cost_centre_may_still_come() {
    check_known(
        r#"master.location OR9 {parent: CATHLAB-1, stockLocationId: ~, costCentreId: CC-OR9}
           master.location OR9-A {parent: OR9, stockLocationId: ~, costCentreId: ~}
           supply.usage-validated e1 {performerRef: ~, department: NOBODYS, locationId: OR9-A}
           master.cost-center CC-OR9 {departments: []}
           master.location OR8 {parent: CATHLAB-1, stockLocationId: ~, costCentreId: CC-GONE}
           master.cost-center CC-OR8 {departments: [OR8]}
           supply.usage-validated e2 {performerRef: ~, department: ~, locationId: OR8}
           master.location OR7 {parent: CATHLAB-1, stockLocationId: ~, costCentreId: CC-SHUT}
           master.cost-center CC-SHUT {departments: [], active: false}
           supply.usage-validated e3 {performerRef: ~, department: ~, locationId: OR7}"#,
        expect![[r#"
            wait    supply.usage-validated@0 WL-4054 cost-centre.unknown: cost centre CC-OR9 of location OR9 is not in the cost centre master
                      until master.cost-center/CC-OR9, master.cost-center/NOBODYS, master.cost-center/OR9, master.cost-center/OR9-A, master.location/OR9, master.location/OR9-A
                      fix: give the department or the location its cost centre in the ERP
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/OR9-A@0, master.location/CATHLAB-1@0, master.cost-center/CC-OR9@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-OR9, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e2 {masters: [master.item/STENT-DES-30@3, master.location/OR8@0, master.location/CATHLAB-1@0, master.cost-center/CC-OR8@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-OR8, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            reject  supply.usage-validated@2 WL-4055 cost-centre.not-valid: no cost centre of location OR7 is valid on 2026-11-23: CC-SHUT
                      until master.cost-center/CC-SHUT
                      fix: correct the validity of the cost centre, or assign the department to its successor
        "#]],
    );
}

#[test]
fn amounts_and_consignment() {
    check_known(
        r#"supply.usage-validated e1 {performerRef: ~, consignment: false, baseQuantity: "-2.5"}
           supply.usage-validated e2 {performerRef: E-9999}
           master.item FREE {price: ~, supplierId: ~, consignment: false}
           supply.usage-validated e3 {performerRef: ~, itemId: FREE}
           master.item GOLD {price: {amount: "99999999999999"}}
           supply.usage-validated e4 {performerRef: ~, itemId: GOLD, baseQuantity: "2"}"#,
        expect![[r#"
            emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: -2125.0000, consigned: false, erpItemId: 41}
            emit    supply.usage-enriched e2 {checks: [expiry, lot, udi-item, performer WARNED WL-4060], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
            emit    supply.usage-enriched e3 {checks: [expiry, lot, udi-item, price WARNED WL-4059], masters: [master.item/STENT-DES-30@3, master.item/FREE@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierItem: MS-DES-30-18, consigned: false, erpItemId: 41}
            reject  supply.usage-validated@3 WL-4058 amount.unfit: price times quantity of item GOLD has too many digits
                      until master.item/GOLD
                      fix: correct the price in the ERP; if the quantity is wrong, correct baseQuantity with `wardline exceptions correct`, or send it again at the source and discard this one
        "#]],
    );
}

#[test]
fn a_missing_price_waits_when_the_hospital_says_so() {
    let records = format!(
        "{MASTERS} master.item FREE {{price: ~}}
         supply.usage-validated e1 {{performerRef: ~, itemId: FREE}}
         master.item FREE {{}}"
    );
    expect![[r#"
        wait    supply.usage-validated@0 WL-4059 price.missing: item FREE has no price
                  until master.item/FREE
                  fix: give the item a price in the ERP
        emit    supply.usage-enriched e1 {masters: [master.item/STENT-DES-30@3, master.item/FREE@3, master.location/CATHLAB-1@0, master.cost-center/CC-CARDIO@1, master.supplier/SUP-MEDSTENT@0], stockLocationId: STORE-CATH, costCentreId: CC-CARDIO, supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
    "#]].assert_eq(&drive(wiring(EnrichConfig { price_required: true }), &records));
}

#[test]
fn what_is_taken_back_never_waits() {
    check(
        r#"supply.usage-validated e1 {meta: {action: RETRACT, revision: 1}, itemId: ~, locationId: ~}
           master.item STENT-DES-30 {}
           supply.usage-validated e2 {meta: {action: CANCEL, revision: 1}, masters: []}"#,
        expect![[r#"
            emit    supply.usage-enriched e1 {consigned: false}
            emit    supply.usage-enriched e2 {masters: [master.item/STENT-DES-30@3], supplierId: SUP-MEDSTENT, supplierItem: MS-DES-30-18, unitPrice: 850.0000, currency: EUR, amount: 850.0000, consigned: true, erpItemId: 41}
        "#]],
    );
}
