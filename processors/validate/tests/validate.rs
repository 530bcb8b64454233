//! What `validate` makes of usages, over the real codec and tables, without a broker.

use expect_test::{Expect, expect};
use testkit::{drive, drive_examples};
use wardline_validate::{Policy, ValidateConfig, wiring};

/// The item and the place of the first example.
const MASTERS: &str = r#"
    master.location CATHLAB-1 {}
    master.item STENT-DES-30 {}
"#;

#[track_caller]
fn check(records: &str, expected: Expect) {
    expected.assert_eq(&drive(wiring(ValidateConfig::default()), records));
}

#[track_caller]
fn check_known(records: &str, expected: Expect) {
    check(&format!("{MASTERS}{records}"), expected);
}

#[test]
fn every_example() {
    expect![[r#"
        emit    supply.usage-validated enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        emit    supply.usage-validated enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe {itemId: GLOVE-NITRILE-M, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 250.000000, baseUom: EA, checks: [item, location, unit, quantity], masters: [master.item/GLOVE-NITRILE-M@1, master.location/CATHLAB-1@0]}
        emit    supply.usage-validated enc_k5u2y6hq4c7w3mzd2rfx6jtn5vao4bqe {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: -1.000000, baseUom: EA, checks: [item, location, lot, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
    "#]].assert_eq(&drive_examples(wiring(ValidateConfig::default())));
}

#[test]
fn an_item_that_arrives_late_lets_the_usage_go_on_in_order() {
    check(
        r#"master.location CATHLAB-1 {}
           clinical.supply-usage e1 {itemRef: {code: ST-1}, itemRefs: [], udi: ~}
           clinical.supply-usage e1 {itemRef: {code: ST-1}, itemRefs: [], udi: ~, quantity: "2"}
           clinical.supply-usage e2 {itemRef: {code: STENT-DES-30}, itemRefs: [], udi: ~}
           master.item STENT-DES-30 {}
           master.item ST-1 {}"#,
        expect![[r#"
            wait    clinical.supply-usage@0 WL-4002 item.unknown: no item is known as ST-1
                      until master.item/ST-1, master.crosswalk/item/CARDIO/ST-1
                      fix: add the item to the ERP, or map ST-1 to the item that is meant with `wardline exceptions map`
            behind  clinical.supply-usage@1
            wait    clinical.supply-usage@2 WL-4002 item.unknown: no item is known as STENT-DES-30
                      until master.item/STENT-DES-30, master.crosswalk/item/CARDIO/STENT-DES-30
                      fix: add the item to the ERP, or map STENT-DES-30 to the item that is meant with `wardline exceptions map`
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e1 {itemId: ST-1, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/ST-1@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e1 {itemId: ST-1, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 2.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/ST-1@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn a_label_is_enough_at_any_packaging_level() {
    check_known(
        r#"clinical.supply-usage e1 {itemRef: ~, itemRefs: []}
           clinical.supply-usage e2 {itemRef: ~, itemRefs: [], uom: ~, udi: {raw: x, issuer: GS1, di: "10950600013436"}}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: GTIN, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: GTIN, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit WARNED WL-4019, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn crosswalk_codes_are_tried_in_the_order_sent() {
    check_known(
        r#"clinical.supply-usage e1 {udi: ~, itemRef: {code: "4700112", system: CDM}, itemRefs: []}
           clinical.supply-usage e2 {udi: ~, itemRef: {code: x, system: ~, alt: [{code: MS-DES-30-18}]}, itemRefs: []}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: CROSSWALK, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: CROSSWALK, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn a_code_of_two_items_is_not_a_choice() {
    check_known(
        r#"master.item STENT-2 {gtins: [], packs: []}
           clinical.supply-usage e1 {udi: ~, itemRef: {code: "4700112"}, itemRefs: []}
           master.item STENT-2 {gtins: [], packs: [], codes: [], chargeCode: ~}"#,
        expect![[r#"
            reject  clinical.supply-usage@0 WL-4003 item.ambiguous: 4700112 is a code of 2 items: STENT-2, STENT-DES-30
                      until master.item/STENT-2, master.item/STENT-DES-30, master.crosswalk/item/CARDIO/4700112
                      fix: remove the code 4700112 from all of these items but one, in the ERP, or map it to the one that is meant with `wardline exceptions map`
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: CROSSWALK, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn a_mapping_ends_the_waiting_for_a_code_of_two_items_or_places() {
    check_known(
        r#"master.item STENT-2 {gtins: [], packs: []}
           master.location CATHLAB-2 {}
           clinical.supply-usage e1 {udi: ~, itemRef: {code: "4700112"}, itemRefs: []}
           master.crosswalk - {kind: item, sourceSystem: CARDIO, code: "4700112", target: STENT-DES-30}
           master.crosswalk - {kind: location, sourceSystem: CARDIO, code: "CATHLAB^1^^GENERAL", target: CATHLAB-2}"#,
        expect![[r#"
            reject  clinical.supply-usage@0 WL-4003 item.ambiguous: 4700112 is a code of 2 items: STENT-2, STENT-DES-30
                      until master.item/STENT-2, master.item/STENT-DES-30, master.crosswalk/item/CARDIO/4700112
                      fix: remove the code 4700112 from all of these items but one, in the ERP, or map it to the one that is meant with `wardline exceptions map`
            reject  clinical.supply-usage@0 WL-4009 location.ambiguous: CATHLAB^1^^GENERAL is the name of 2 locations: CATHLAB-1, CATHLAB-2
                      until master.location/CATHLAB-1, master.location/CATHLAB-2, master.crosswalk/location/CARDIO/CATHLAB^1^^GENERAL, master.crosswalk/location/CARDIO/CATHLAB^1, master.crosswalk/location/CARDIO/CATHLAB^^^GENERAL, master.crosswalk/location/CARDIO/CATHLAB
                      fix: give the clinical name CATHLAB^1^^GENERAL to one of these locations only, or map it to the one that is meant with `wardline exceptions map`
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: CROSSWALK, locationId: CATHLAB-2, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-2@0, master.crosswalk/location/CARDIO/CATHLAB^1^^GENERAL@0, master.crosswalk/item/CARDIO/4700112@0]}
        "#]],
    );
}

#[test]
fn an_unknown_item_comes_with_what_may_have_been_meant() {
    check_known(
        r#"clinical.supply-usage e1 {udi: {raw: x, issuer: GS1, di: "20950600013433"}, itemRef: ~, itemRefs: []}
           clinical.supply-usage e2 {udi: ~, itemRef: {code: ms_des_30_18, text: ~}, itemRefs: []}
           clinical.supply-usage e3 {udi: ~, itemRef: {code: STENT-DSE-30, text: ~}, itemRefs: []}
           clinical.supply-usage e4 {udi: ~, itemRef: {code: new, text: drug eluting stent}, itemRefs: []}
           clinical.supply-usage e5 {udi: ~, itemRef: {code: new, text: ~}, itemRefs: []}
           clinical.supply-usage e6 {udi: ~, itemRef: ~, itemRefs: []}"#,
        expect![[r#"
            wait    clinical.supply-usage@0 WL-4002 item.unknown: no item is known as 20950600013433
                      until master.item/20950600013433, master.crosswalk/item/CARDIO/20950600013433
                      fix: did the sender mean STENT-DES-30 "Drug-eluting stent 3.0 x 18 mm" (same GTIN but for the packaging level)? then map 20950600013433 to it with `wardline exceptions map`
            wait    clinical.supply-usage@1 WL-4002 item.unknown: no item is known as ms_des_30_18
                      until master.item/ms_des_30_18, master.crosswalk/item/CARDIO/ms_des_30_18
                      fix: did the sender mean STENT-DES-30 "Drug-eluting stent 3.0 x 18 mm" (same catalogue number)? then map ms_des_30_18 to it with `wardline exceptions map`
            wait    clinical.supply-usage@2 WL-4002 item.unknown: no item is known as STENT-DSE-30
                      until master.item/STENT-DSE-30, master.crosswalk/item/CARDIO/STENT-DSE-30
                      fix: did the sender mean STENT-DES-30 "Drug-eluting stent 3.0 x 18 mm" (one character differs)? then map STENT-DSE-30 to it with `wardline exceptions map`
            wait    clinical.supply-usage@3 WL-4002 item.unknown: no item is known as new
                      until master.item/new, master.crosswalk/item/CARDIO/new
                      fix: did the sender mean STENT-DES-30 "Drug-eluting stent 3.0 x 18 mm" (similar description)? then map new to it with `wardline exceptions map`
            wait    clinical.supply-usage@4 WL-4002 item.unknown: no item is known as new
                      until master.item/new, master.crosswalk/item/CARDIO/new
                      fix: add the item to the ERP, or map new to the item that is meant with `wardline exceptions map`
            reject  clinical.supply-usage@5 WL-4004 item.unnamed: the usage has neither an item code nor a device identifier
                      fix: find out which article was used, then correct itemRef with `wardline exceptions correct`, or send it again at the source and discard this one
        "#]],
    );
}

#[test]
fn the_most_specific_known_place_decides_and_an_unknown_one_is_waited_for() {
    check_known(
        r#"clinical.supply-usage e1 {location: {unit: CATHLAB, room: "1", bed: A, facility: GENERAL}}
           clinical.supply-usage e2 {location: {unit: OR1, room: ~, facility: ~}}
           clinical.supply-usage e3 {location: ~, department: CATHLAB-1}
           clinical.supply-usage e4 {location: ~, department: ~}
           master.location OR1 {plCode: ~}
           master.location OR2 {plCode: ~, validFrom: 2027-01-01}
           clinical.supply-usage e5 {location: {unit: OR2, room: ~, facility: ~}}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            wait    clinical.supply-usage@1 WL-4006 location.unknown: no location is known as OR1
                      until master.location/OR1, master.crosswalk/location/CARDIO/OR1
                      fix: add OR1 to the locations in the ERP, or map it to the one that is meant with `wardline exceptions map`
            emit    supply.usage-validated e3 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@3 WL-4007 location.unnamed: the usage names neither a place nor a department
                      fix: find out where the article was used, then correct department with `wardline exceptions correct`, or send it again at the source and discard this one
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: OR1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/OR1@0]}
            emit    supply.usage-validated e5 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: OR2, baseQuantity: 1.000000, baseUom: EA, checks: [item, location WARNED WL-4008, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/OR2@0]}
        "#]],
    );
}

#[test]
fn what_people_have_mapped_comes_before_what_the_master_names() {
    check_known(
        r#"master.location CATHLAB-2 {plCode: "CATHLAB^2^^GENERAL"}
           clinical.supply-usage e1 {itemRef: {code: STENT-DES-30}, itemRefs: [], udi: ~}
           clinical.supply-usage e2 {itemRef: {code: OLD-30}, itemRefs: [], udi: ~}
           master.crosswalk - {kind: item, sourceSystem: CARDIO, code: OLD-30, target: STENT-DES-30, meta: {revision: 4}}
           master.crosswalk - {kind: location, sourceSystem: OTHER, code: "CATHLAB^1^^GENERAL", target: CATHLAB-2}
           clinical.supply-usage e3 {itemRef: {code: STENT-DES-30}, itemRefs: [], udi: ~}
           master.crosswalk - {kind: location, sourceSystem: CARDIO, code: "CATHLAB^1^^GENERAL", target: CATHLAB-2}
           clinical.supply-usage e4 {itemRef: {code: STENT-DES-30}, itemRefs: [], udi: ~}
           master.crosswalk - {kind: location, sourceSystem: CARDIO, code: "CATHLAB^1^^GENERAL", target: GONE}
           clinical.supply-usage e5 {itemRef: {code: STENT-DES-30}, itemRefs: [], udi: ~}
           master.crosswalk - {kind: location, sourceSystem: CARDIO, code: "CATHLAB^1^^GENERAL", target: ~}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            wait    clinical.supply-usage@1 WL-4002 item.unknown: no item is known as OLD-30
                      until master.item/OLD-30, master.crosswalk/item/CARDIO/OLD-30
                      fix: did the sender mean STENT-DES-30 "Drug-eluting stent 3.0 x 18 mm" (similar description)? then map OLD-30 to it with `wardline exceptions map`
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: CROSSWALK, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0, master.crosswalk/item/CARDIO/OLD-30@4]}
            emit    supply.usage-validated e3 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e4 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-2, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-2@0, master.crosswalk/location/CARDIO/CATHLAB^1^^GENERAL@0]}
            wait    clinical.supply-usage@4 WL-7232 crosswalk.target-unknown: CATHLAB^1^^GENERAL is mapped to the location GONE, which is not in the master
                      until master.location/GONE, master.crosswalk/location/CARDIO/CATHLAB^1^^GENERAL, master.crosswalk/location/CARDIO/CATHLAB^1, master.crosswalk/location/CARDIO/CATHLAB^^^GENERAL, master.crosswalk/location/CARDIO/CATHLAB
                      fix: correct the mapping with `wardline crosswalk set`, or add GONE in the ERP
            emit    supply.usage-validated e5 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn what_must_be_traced_is_traced() {
    check_known(
        r#"clinical.supply-usage e1 {lot: ~}
           clinical.supply-usage e2 {lot: ~, usage: EXPLANTED}
           master.item PUMP {lotTracked: false, serialTracked: true, gtins: [], packs: []}
           clinical.supply-usage e3 {itemRef: {code: PUMP}, udi: ~, lot: ~}
           clinical.supply-usage e4 {itemRef: {code: PUMP}, udi: ~, lot: ~, serial: S1, quantity: "2"}"#,
        expect![[r#"
            reject  clinical.supply-usage@0 WL-4010 lot.missing: item STENT-DES-30 requires a lot and none was sent
                      until master.item/STENT-DES-30
                      fix: read the lot from the label or the implant record, then correct lot with `wardline exceptions correct`, or send it again at the source and discard this one
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@2 WL-4011 serial.missing: item PUMP requires a serial number and none was sent
                      until master.item/PUMP
                      fix: read the serial number from the label, then correct serial with `wardline exceptions correct`, or send it again at the source and discard this one
            emit    supply.usage-validated e4 {itemId: PUMP, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 2.000000, baseUom: EA, checks: [item, location, serial WARNED WL-4018, expiry, unit, quantity], masters: [master.item/PUMP@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn expiry_is_judged_by_the_day_of_use_where_it_was_used() {
    check_known(
        r#"clinical.supply-usage e1 {expiry: 2026-11-23}
           clinical.supply-usage e2 {expiry: 2026-11-22}
           clinical.supply-usage e3 {expiry: 2026-11-23, meta: {occurredAt: "2026-11-23T23:30:00Z", occurredOffsetMinutes: 60}}
           clinical.supply-usage e4 {expiry: 2026-11-22, usage: WASTED}
           clinical.supply-usage e5 {expiry: 2026-11-22, quantity: "-1"}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@1 WL-4012 expiry.passed: item STENT-DES-30 was used after its expiry on 2026-11-22
                      until master.item/STENT-DES-30
                      fix: check the label; if the date is wrong, correct expiry with `wardline exceptions correct`, or send it again at the source and discard this one; if the article was expired, report that, and retry with rooms.validate.expired: warn
            reject  clinical.supply-usage@2 WL-4012 expiry.passed: item STENT-DES-30 was used after its expiry on 2026-11-23
                      until master.item/STENT-DES-30
                      fix: check the label; if the date is wrong, correct expiry with `wardline exceptions correct`, or send it again at the source and discard this one; if the article was expired, report that, and retry with rooms.validate.expired: warn
            emit    supply.usage-validated e4 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e5 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: -1.000000, baseUom: EA, checks: [item, location, lot, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn quantities() {
    check_known(
        r#"clinical.supply-usage e1 {quantity: "0"}
           clinical.supply-usage e2 {quantity: "0", meta: {action: UPDATE, revision: 1}}
           clinical.supply-usage e3 {quantity: "501"}
           clinical.supply-usage e4 {quantity: "-2", uom: BX}
           clinical.supply-usage e5 {quantity: "1", uom: CRATE}
           master.item STENT-DES-30 {packs: [{uom: CRATE, quantity: "20"}]}"#,
        expect![[r#"
            drop    clinical.supply-usage@0 WL-4001 quantity.zero: the quantity is zero: nothing moved
            emit    supply.usage-validated e2 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 0.000000, baseUom: EA, checks: [item, location, lot, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@2 WL-4013 quantity.over: 501 EA of item STENT-DES-30 in one usage is more than 500
                      until master.item/STENT-DES-30
                      fix: check quantity and unit; if one is wrong, correct quantity or uom with `wardline exceptions correct`, or send it again at the source and discard this one; if they are right, raise rooms.validate.quantity_max and retry
            emit    supply.usage-validated e4 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: -10.000000, baseUom: EA, checks: [item, location, lot, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@4 WL-4016 unit.unknown: item STENT-DES-30 has no pack CRATE: its base unit is EA, its packs: EA, BOX
                      until master.item/STENT-DES-30
                      fix: add the pack CRATE with its size to item STENT-DES-30 in the ERP; if the unit is wrong, correct uom with `wardline exceptions correct`, or send it again at the source and discard this one
            reject  clinical.supply-usage@2 WL-4013 quantity.over: 501 EA of item STENT-DES-30 in one usage is more than 500
                      until master.item/STENT-DES-30
                      fix: check quantity and unit; if one is wrong, correct quantity or uom with `wardline exceptions correct`, or send it again at the source and discard this one; if they are right, raise rooms.validate.quantity_max and retry
            emit    supply.usage-validated e5 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 20.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn the_label_is_that_of_the_item() {
    check_known(
        r#"clinical.supply-usage e1 {udi: {raw: x, issuer: GS1, di: "00950600019999"}}
           master.item OTHER {gtins: ["00950600019999"], packs: []}
           clinical.supply-usage e2 {udi: {raw: x, issuer: GS1, di: "00950600019999"}}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item WARNED WL-4014, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            reject  clinical.supply-usage@1 WL-4015 udi.other-item: the label (00950600019999) is that of item OTHER, the record says item STENT-DES-30
                      until master.item/STENT-DES-30, master.item/OTHER
                      fix: if OTHER was used, correct itemRef with `wardline exceptions correct`, or send it again at the source and discard this one; if STENT-DES-30 was used, correct the GTINs of both in the ERP
        "#]],
    );
}

#[test]
fn an_inactive_item_waits_for_a_person_or_for_the_master_record() {
    check_known(
        r#"master.item STENT-DES-30 {status: INACTIVE, substitutes: [STENT-2]}
           clinical.supply-usage e1 {}
           master.item STENT-DES-30 {}"#,
        expect![[r#"
            reject  clinical.supply-usage@0 WL-4005 item.inactive: item STENT-DES-30 is inactive in the item master
                      until master.item/STENT-DES-30, master.crosswalk/item/CARDIO/STENT-DES-30, master.crosswalk/item/CARDIO/00950600013439, master.crosswalk/item/CARDIO/4700112
                      fix: activate the item in the ERP; if another one was used, correct itemRef with `wardline exceptions correct`, or send it again at the source and discard this one; it may be replaced by STENT-2
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot, expiry, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
        "#]],
    );
}

#[test]
fn what_is_taken_back_is_never_refused() {
    check_known(
        r#"clinical.supply-usage e1 {meta: {action: RETRACT, revision: 1}, lot: ~, expiry: 2020-01-01}
           clinical.supply-usage e2 {meta: {action: CANCEL, revision: 1}, itemRef: ~, itemRefs: [], udi: ~, location: ~, quantity: "0"}"#,
        expect![[r#"
            emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [location, unit], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
            emit    supply.usage-validated e2 {itemMatch: NONE}
        "#]],
    );
}

#[test]
fn a_policy_turns_a_stop_into_a_finding() {
    let config = ValidateConfig { expired: Policy::Warn, lot_missing: Policy::Warn, ..ValidateConfig::default() };
    let told = drive(wiring(config), &format!("{MASTERS} clinical.supply-usage e1 {{lot: ~, expiry: 2020-01-01}}"));
    expect![[r#"
        emit    supply.usage-validated e1 {itemId: STENT-DES-30, itemMatch: EXACT, locationId: CATHLAB-1, baseQuantity: 1.000000, baseUom: EA, checks: [item, location, lot WARNED WL-4010, expiry WARNED WL-4012, udi-item, unit, quantity], masters: [master.item/STENT-DES-30@3, master.location/CATHLAB-1@0]}
    "#]].assert_eq(&told);
}
