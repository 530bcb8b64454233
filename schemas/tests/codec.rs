//! Framing, exact decimals, evolution by hand, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::str::FromStr;

use wardline_schemas::catalogue::Compatibility;
use wardline_schemas::codec::{
    CodecError, FrameError, WriterSchema, check_compatibility, decode, encode, frame, split_frame, to_json,
};
use wardline_schemas::{
    Bytes, Cancels, Cursor, Date, Decimal, Encounter, Event, GoodsReceipt, Parked, RecordHeader, SupplyUsage,
    Timestamp, UsageKind, examples,
};

#[test]
fn a_frame_is_a_zero_byte_and_the_schema_id() {
    assert_eq!(frame(0x0102_0304), [0, 1, 2, 3, 4]);
    assert_eq!(split_frame(&[0, 0, 0, 0, 9, 42]), Ok((9, &[42][..])));
    assert_eq!(split_frame(&[0, 0, 0, 0, 9]), Ok((9, &[][..])));
    assert_eq!(split_frame(b"{\"a\":1}"), Err(FrameError::Magic(b'{')));
    assert_eq!(split_frame(&[0, 0, 0]), Err(FrameError::TooShort(3)));
    assert_eq!(split_frame(&[]), Err(FrameError::TooShort(0)));
}

#[track_caller]
fn body_of<T: Event>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, 1, &mut bytes).unwrap();
    bytes.split_off(5)
}

#[track_caller]
fn quantity_bytes(text: &str) -> Vec<u8> {
    let receipt = GoodsReceipt { quantity: Decimal::from_str(text).unwrap(), ..GoodsReceipt::default() };
    let body = body_of(&receipt);
    let back: GoodsReceipt = decode(GoodsReceipt::contract().unwrap(), &body).unwrap();
    assert_eq!(back.quantity, receipt.quantity);
    assert_eq!(back.quantity.scale(), 6, "the scale of the contract is kept");
    let zero = body_of(&GoodsReceipt::default());
    // All other fields are empty, so the decimal is where the bodies start to differ: its length, then its digits.
    let common = body.iter().zip(&zero).take_while(|(left, right)| left == right).count();
    if common == zero.len() { vec![0] } else { body[common..body.len() - (zero.len() - common - 2)].to_vec() }
}

#[test]
fn decimals_are_twos_complement_and_exact() {
    assert_eq!(quantity_bytes("0"), [0]);
    // 1.5 is 1500000 = 0x16E360 at scale 6: length 3 as a varint, then the bytes.
    assert_eq!(quantity_bytes("1.5"), [6, 0x16, 0xE3, 0x60]);
    assert_eq!(quantity_bytes("1.500000"), [6, 0x16, 0xE3, 0x60]);
    assert_eq!(quantity_bytes("-1.5"), [6, 0xE9, 0x1C, 0xA0]);
    assert_eq!(quantity_bytes("999999999999.999999").len(), 9);
    assert_eq!(quantity_bytes("-999999999999.999999").len(), 9);
    assert_eq!(quantity_bytes("0.000129"), [4, 0x00, 0x81]);
}

#[test]
fn decimals_are_never_rounded() {
    for text in ["0.0000001", "1.5000005", "1000000000000", "-1000000000000.5"] {
        let receipt = GoodsReceipt { quantity: Decimal::from_str(text).unwrap(), ..GoodsReceipt::default() };
        let mut out = b"before".to_vec();
        let error = encode(&receipt, 1, &mut out).unwrap_err();
        assert!(matches!(error, CodecError::Encode(_)), "{text}: {error}");
        assert_eq!(error.code(), "WL-6008");
        assert_eq!(out, b"before", "nothing half written");
    }
    let many_zeroes = GoodsReceipt { quantity: Decimal::from_str("2.50000000000").unwrap(), ..GoodsReceipt::default() };
    assert_eq!(
        decode::<GoodsReceipt>(GoodsReceipt::contract().unwrap(), &body_of(&many_zeroes)).unwrap().quantity,
        Decimal::new(25, 1)
    );
}

#[test]
fn what_has_more_digits_than_the_contract_is_not_read() {
    // 10^18 - 1 is the largest of 18 digits; its nine bytes hold more.
    let largest = GoodsReceipt { quantity: Decimal::new(999_999_999_999_999_999, 6), ..GoodsReceipt::default() };
    let mut body = body_of(&largest);
    let digits = 999_999_999_999_999_999_i128.to_be_bytes();
    let at = body.windows(8).position(|bytes| bytes == &digits[8..]).unwrap();
    assert_eq!(decode::<GoodsReceipt>(GoodsReceipt::contract().unwrap(), &body).unwrap(), largest);
    body[at] = 0x7F;
    let error = decode::<GoodsReceipt>(GoodsReceipt::contract().unwrap(), &body).unwrap_err();
    assert_eq!(error.code(), "WL-6004");
    assert!(error.to_string().contains("more than 18 digits"), "{error}");
    let amount = |json: &str| serde_json::from_str::<wardline_schemas::Money>(json).map(|money| money.amount);
    assert!(amount(r#"{"amount":"1.00005"}"#).unwrap_err().to_string().contains("more than 4 decimal places"));
    assert!(amount(r#"{"amount":100000000000000}"#).is_err());
    assert!(amount(r#"{"amount":"1.00000"}"#).is_ok(), "nothing is lost with a zero");
}

#[test]
fn json_numbers_and_text_read_as_exact_decimals() {
    let read = |json: &str| serde_json::from_str::<wardline_schemas::Money>(json).map(|money| money.amount);
    assert_eq!(read(r#"{"amount":"1.50"}"#).unwrap().to_string(), "1.50");
    assert_eq!(read(r#"{"amount":0.1}"#).unwrap().to_string(), "0.1");
    assert_eq!(read(r#"{"amount":3}"#).unwrap().to_string(), "3");
    assert!(read(r#"{"amount":"a lot"}"#).is_err());
}

#[test]
fn bytes_and_null_bytes_are_kept() {
    let parked = Parked {
        value: Some(Bytes::from(vec![0, 255, 13])),
        key_bytes: Some(Bytes::from(Vec::new())),
        headers: vec![
            RecordHeader { key: "a".into(), value: None },
            RecordHeader { key: "a".into(), value: Some(Bytes::from(b"b".to_vec())) },
        ],
        ..Parked::default()
    };
    assert_eq!(decode::<Parked>(Parked::contract().unwrap(), &body_of(&parked)).unwrap(), parked);
}

#[test]
fn times_read_and_print() {
    let timestamp = Timestamp::from_str("2026-11-23T09:48:30.000001+01:00").unwrap();
    assert_eq!(timestamp.to_string(), "2026-11-23T08:48:30.000001Z");
    assert_eq!(timestamp.hour().to_string(), "2026-11-23T08:00:00Z");
    assert_eq!(Timestamp(-1).hour(), Timestamp(-3_600_000_000));
    assert_eq!(Timestamp(-1).date(), Date(-1));
    assert_eq!(Timestamp(-1).millis(), -1);
    assert_eq!(Date::from_str("1969-12-31").unwrap(), Date(-1));
    assert_eq!(Date::from_ymd(2028, 2, 29).unwrap().to_string(), "2028-02-29");
    assert_eq!(Date::from_ymd(2027, 2, 29), None);
    assert_eq!(Date(20_000).to_civil().map(Date::from), Some(Date(20_000)));
    assert!(Date::from_str("23.11.2026").is_err());
}

#[test]
fn a_body_that_does_not_fit_is_refused() {
    let contract = Encounter::contract().unwrap();
    let body = body_of(&examples::<Encounter>()[0]);
    for cut in 0..body.len() {
        assert!(decode::<Encounter>(contract, &body[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = body.clone();
    longer.push(0);
    assert_eq!(decode::<Encounter>(contract, &longer), Err(CodecError::Trailing(1)));
    assert_eq!(to_json(contract, &longer), Err(CodecError::Trailing(1)));
    let other = Cursor::contract().unwrap();
    assert!(matches!(decode::<Encounter>(other, &body_of(&Cursor::default())), Err(CodecError::Decode(_))));
}

#[test]
fn a_list_that_claims_to_be_endless_is_refused() {
    let schema = r#"{"type":"record","name":"Cursor","namespace":"org.wardline.ops","fields":[
        {"name":"connector","type":"string"},{"name":"stream","type":"string"},
        {"name":"nothing","type":{"type":"array","items":"null"}}]}"#;
    // Two empty strings, then a block of 2^40 nulls.
    let body = [0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0];
    assert!(decode::<Cursor>(&WriterSchema::parse(schema).unwrap(), &body).is_err());
}

#[test]
fn a_schema_that_is_none_is_refused() {
    let error = WriterSchema::parse("{\"type\":\"recrod\"}").unwrap_err();
    assert_eq!(error.code(), "WL-6003");
}

/// Body of a usage that only has what an early version of the contract had.
#[test]
fn defaults_of_the_contract_fill_what_the_writer_lacked() {
    let contract: serde_json::Value = serde_json::from_str(Encounter::topic().schema).unwrap();
    let mut early = contract.clone();
    early["fields"].as_array_mut().unwrap().truncate(3);
    let early = WriterSchema::parse(&early.to_string()).unwrap();
    let full = body_of(&examples::<Encounter>()[0]);
    let whole: Encounter = decode(Encounter::contract().unwrap(), &full).unwrap();
    let prefix = body_of(&Encounter {
        meta: whole.meta.clone(),
        encounter_ref: whole.encounter_ref.clone(),
        kind: whole.kind,
        ..Encounter::default()
    });
    let lengths = (0..=prefix.len()).find(|end| decode::<Encounter>(&early, &prefix[..*end]).is_ok()).unwrap();
    let read: Encounter = decode(&early, &prefix[..lengths]).unwrap();
    assert_eq!(read.cancels, Cancels::None, "the default of the field, not of the enum");
    assert_eq!(read.encounter_ref, whole.encounter_ref);
}

#[test]
fn a_symbol_we_do_not_know_reads_as_unknown() {
    let schema = SupplyUsage::topic().schema.replace("\"IMPLANTED\"", "\"BORROWED\",\"IMPLANTED\"");
    let writer = WriterSchema::parse(&schema).unwrap();
    // UNKNOWN is the last symbol here, so its index is one more in the writer's schema; IMPLANTED became 1, BORROWED is 0.
    let used = SupplyUsage { usage: UsageKind::Implanted, ..SupplyUsage::default() };
    let read: SupplyUsage = decode(&writer, &body_of(&used)).unwrap();
    assert_eq!(read.usage, UsageKind::Unknown);
}

#[test]
fn compatibility_follows_the_level() {
    use Compatibility::{BackwardTransitive, FullTransitive};
    let old = Encounter::topic().schema;
    let value: serde_json::Value = serde_json::from_str(old).unwrap();
    let with_field = |field: serde_json::Value| {
        let mut new = value.clone();
        new["fields"].as_array_mut().unwrap().push(field);
        new.to_string()
    };
    let added = with_field(serde_json::json!({"name": "extra", "type": ["null", "string"], "default": null}));
    let required = with_field(serde_json::json!({"name": "extra", "type": "string"}));
    let symbol = old.replace("\"ADMITTED\"", "\"ADMITTED\",\"VISITED\"");
    let mut retyped = value.clone();
    retyped["fields"][1]["type"] = serde_json::json!("long");
    let retyped = retyped.to_string();
    for level in [BackwardTransitive, FullTransitive] {
        assert_eq!(check_compatibility(level, old, old), Ok(()));
        assert_eq!(check_compatibility(level, &added, old), Ok(()));
        assert_eq!(check_compatibility(level, &symbol, old), Ok(()));
        assert_eq!(check_compatibility(level, old, &symbol), Ok(()));
        assert_eq!(check_compatibility(level, &required, old).unwrap_err().code(), "WL-7029");
        assert!(check_compatibility(level, &retyped, old).is_err());
    }
    // A removed required field: new readers do not miss it, old readers do.
    assert_eq!(check_compatibility(BackwardTransitive, old, &required), Ok(()));
    assert!(check_compatibility(FullTransitive, old, &required).is_err());
    assert_eq!(check_compatibility(FullTransitive, "{", old).unwrap_err().code(), "WL-6003");
}

/// What a broken producer writes is shown by tools, and what they show is read back.
#[test]
fn times_beyond_the_calendar_are_shown_and_read_back() {
    for micros in [i64::MIN, -4_611_686_018_427_387_904, 0, i64::MAX] {
        let time = Timestamp::from_micros(micros);
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    for days in [i32::MIN, -5_000_000, 0, i32::MAX] {
        assert_eq!(Date(days).to_string().parse(), Ok(Date(days)));
    }
    assert!(
        "us".parse::<Timestamp>().is_err() && "d".parse::<Date>().is_err() && "1.5us".parse::<Timestamp>().is_err()
    );
}
