//! Labels generated from facts: what was printed or scanned is read, and nothing else.

#![allow(clippy::unwrap_used, reason = "test")]

use proptest::prelude::*;
use udi::{Udi, gs1_check_digit, hibc_check_character, parse};

/// The year in which labels are read.
const YEAR: i16 = 2026;

/// What a label says.
#[derive(Debug, Clone)]
struct Facts {
    /// Without its last digit.
    gtin: String,
    /// Year within the century, month, day; day 0 is the last of the month.
    expiry: (i16, u8, u8),
    lot: String,
    serial: String,
}

fn facts() -> impl Strategy<Value = Facts> {
    // Letters that are no digits at the start, so that no other reading of a label without separators is as good.
    ("[0-9]{13}", (0_i16..70, 1_u8..=12, 0_u8..=28), "[A-Z][A-Z0-9./-]{0,17}", "[A-Z][A-Za-z0-9_+-]{0,17}")
        .prop_map(|(gtin, expiry, lot, serial)| Facts { gtin, expiry, lot, serial })
}

impl Facts {
    fn gtin(&self) -> String {
        format!("{}{}", self.gtin, gs1_check_digit(&self.gtin).unwrap())
    }

    fn yymmdd(&self) -> String {
        let (year, month, day) = self.expiry;
        format!("{year:02}{month:02}{day:02}")
    }

    #[track_caller]
    fn check(&self, read: &Udi) -> Result<(), TestCaseError> {
        prop_assert_eq!(&read.errors, &Vec::<String>::new());
        prop_assert_eq!(read.lot.as_deref(), Some(self.lot.as_str()));
        prop_assert_eq!(read.serial.as_deref(), Some(self.serial.as_str()));
        let expiry = read.expiry.unwrap();
        let (year, month, day) = self.expiry;
        prop_assert_eq!((expiry.year, expiry.month, expiry.day_given), (2000 + year, month, day > 0));
        prop_assert!(day == 0 || expiry.day == day);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gs1_is_read_as_printed_and_as_scanned(facts in facts()) {
        let (gtin, expiry) = (facts.gtin(), facts.yymmdd());
        let Facts { lot, serial, .. } = &facts;
        for label in [
            format!("(01){gtin}(17){expiry}(10){lot}(21){serial}"),
            format!("(01) {gtin} (10) {lot} (21) {serial} (17) {expiry}"),
            format!("]d201{gtin}17{expiry}10{lot}\u{1d}21{serial}"),
            format!("01{gtin}21{serial}<GS>17{expiry}10{lot}"),
        ] {
            let read = parse(&label, YEAR);
            facts.check(&read)?;
            prop_assert_eq!(read.device_identifier.as_deref(), Some(gtin.as_str()));
            prop_assert!(read.warnings.is_empty() && read.other.is_empty(), "{:?}", read);
        }
    }

    #[test]
    fn hibc_is_read_whole(facts in facts(), product in "[A-Z][A-Z0-9]{4,12}[0-9]") {
        let (lot, serial) = (facts.lot.replace('/', "-"), facts.serial.to_ascii_uppercase().replace(['_', '+'], "-"));
        let facts = Facts { lot, serial, ..facts };
        let body = format!("+{product}/$$3{}{}/S{}", facts.yymmdd(), facts.lot, facts.serial);
        let read = parse(&format!("{body}{}", hibc_check_character(&body).unwrap()), YEAR);
        facts.check(&read)?;
        prop_assert_eq!(read.device_identifier.as_deref(), Some(product.as_str()));
    }

    #[test]
    fn a_wrong_check_digit_hides_nothing(facts in facts(), wrong in 1_u32..10) {
        let right = facts.gtin();
        let digit = right.chars().next_back().and_then(|last| last.to_digit(10)).unwrap();
        let gtin = format!("{}{}", facts.gtin, (digit + wrong) % 10);
        let read = parse(&format!("(01){gtin}(17){}(10){}(21){}", facts.yymmdd(), facts.lot, facts.serial), YEAR);
        prop_assert_eq!(&read.errors, &["check_digit_01"]);
        prop_assert_eq!(read.device_identifier.as_deref(), Some(gtin.as_str()));
        prop_assert_eq!((read.lot, read.serial), (Some(facts.lot), Some(facts.serial)));
    }
}
