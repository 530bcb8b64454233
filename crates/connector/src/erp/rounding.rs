//! How an ERP makes amounts of its books from the exact costs of the lines of a document.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Half of a hundredth: most that rounding to a currency can change an amount.
const HALF_CENT: Decimal = Decimal::from_parts(5, 0, 0, false, 3);

/// The rule by which an ERP rounds. Both known ones round half to even.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// Each line by itself; then they are added up.
    Line {
        /// Digits of the currency behind the point.
        digits: u32,
    },
    /// The sum of all lines of a document.
    Document {
        /// Digits of the currency behind the point.
        digits: u32,
    },
    /// Nobody knows.
    #[default]
    Unknown,
}

impl Rounding {
    /// What rounding adds to the exact amounts of the lines of a document, of one cost centre, that the ERP has booked as
    /// `booked`. Where the rule is known it does not depend on what was booked; where it is not, what is within half a cent for
    /// each line is rounding, and of more nothing is.
    #[must_use]
    pub fn of(self, lines: &[Decimal], booked: Decimal) -> Decimal {
        let half_even = |amount: Decimal, digits| {
            amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointNearestEven) - amount
        };
        let sum: Decimal = lines.iter().copied().sum();
        match self {
            Self::Line { digits } => lines.iter().map(|amount| half_even(*amount, digits)).sum(),
            Self::Document { digits } => half_even(sum, digits),
            Self::Unknown => {
                let added = booked - sum;
                if added.abs() <= HALF_CENT * Decimal::from(lines.len()) { added } else { Decimal::ZERO }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_rule_does_not_look_at_what_was_booked_and_an_unknown_one_has_a_bound() {
        let money = |units| Decimal::new(units, 4);
        let lines = [money(10_050), money(10_050), money(-30_150)];
        for (rule, booked, added) in [
            (Rounding::Line { digits: 2 }, money(-10_200), money(-150)),
            (Rounding::Line { digits: 2 }, money(0), money(-150)),
            (Rounding::Document { digits: 2 }, money(0), money(50)),
            (Rounding::Document { digits: 0 }, money(0), money(50)),
            (Rounding::Unknown, money(-10_200), money(-150)),
            (Rounding::Unknown, money(-9_900), money(150)),
            (Rounding::Unknown, money(-9_899), money(0)),
        ] {
            assert_eq!(rule.of(&lines, booked), added, "{rule:?} {booked}");
        }
        assert_eq!(Rounding::Unknown.of(&[], money(1)), Decimal::ZERO);
    }
}
