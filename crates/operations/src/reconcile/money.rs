//! Money of documents, to the cent: the postings rounded as the ERP rounds, against what cost centres bear there; and the
//! totals of all documents, which must be the same as well.

use super::difference::{Difference, Kind, Part};
use super::scope::{Scope, Window};
use super::tally::{Compared, Findings};
use connector::erp::Rounding;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Money of one document by cost centre and currency.
#[derive(Default)]
pub(super) struct Sheet {
    rows: BTreeMap<(Option<String>, String), Row>,
}

#[derive(Default)]
struct Row {
    lines: Vec<Decimal>,
    compared: Compared,
}

impl Sheet {
    /// An amount that a posting says.
    pub fn post(&mut self, cost_centre: Option<&str>, currency: &str, amount: Decimal) {
        let row = self.row(cost_centre, currency);
        row.lines.push(amount);
        row.compared.posted += amount;
    }

    /// An amount that a cost centre bears.
    pub fn book(&mut self, cost_centre: &str, currency: &str, amount: Decimal) {
        self.row(Some(cost_centre), currency).compared.booked += amount;
    }

    fn row(&mut self, cost_centre: Option<&str>, currency: &str) -> &mut Row {
        self.rows.entry((cost_centre.map(str::to_owned), currency.to_owned())).or_default()
    }

    /// Adds what rounding makes of the postings.
    pub fn round(&mut self, rule: Rounding) {
        for row in self.rows.values_mut() {
            row.compared.rounding = rule.of(&row.lines, row.compared.booked);
        }
    }

    /// What rounding adds in all rows.
    #[must_use]
    pub fn rounding(&self) -> Decimal {
        self.rows.values().map(|row| row.compared.rounding).sum()
    }

    /// Adds the rows to those of all documents. `is_told` says that a difference of this document is listed, or counted as late.
    pub fn into_tally(self, is_told: bool, findings: &mut Findings) {
        for ((cost_centre, currency), Row { mut compared, .. }) in self.rows {
            compared.told = if is_told { compared.difference() } else { Decimal::ZERO };
            *findings.cost(cost_centre.as_deref(), &currency) += compared;
        }
    }
}

/// Judges the totals: what the sums of a cost centre differ by is the sum of what is told of documents, or it is a difference.
pub fn judge(scope: &Scope, findings: &mut Findings) {
    if !scope.erp {
        return;
    }
    let Window { from_ms, until_ms } = scope.window;
    let open: Vec<_> = findings
        .cost_centres
        .iter()
        .filter(|(_, compared)| compared.difference() != compared.told)
        .map(|(row, compared)| (row.clone(), *compared))
        .collect();
    for ((cost_centre, currency), compared) in open {
        let (due, booked) = (text(compared.posted + compared.rounding, &currency), text(compared.booked, &currency));
        let rest = compared.difference() - compared.told;
        let message = format!(
            "the total of cost centre {cost_centre}: posted {due}, in the ERP {booked}; {} of that is of no document that is \
             listed",
            text(rest, &currency)
        );
        let subject = format!("total/{cost_centre}/{currency}/{from_ms}/{until_ms}");
        let next = "look in the ERP for documents of this time that are not finished, and for costs that somebody booked on a \
                    document of Wardline by hand";
        let difference = Difference::new(Kind::Amount, Part::Erp, &subject, from_ms, message).next(next);
        findings.found(difference.money(Some((rest, currency))).sides(due, booked));
    }
}

/// An amount with its currency, where that is known.
pub(super) fn text(amount: Decimal, currency: &str) -> String {
    let amount = amount.normalize();
    if currency.is_empty() { amount.to_string() } else { format!("{amount} {currency}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let limits = runtime::config::Limits::default();
        Scope::new(Window { from_ms: 0, until_ms: 9 }, 9, &[], &limits)
    }

    #[test]
    fn a_total_is_judged_by_what_no_listed_document_says() {
        let cents = |cents| Decimal::new(cents, 2);
        for (is_told, booked, expected) in [(false, 250, 0), (true, 249, 0), (false, 249, 1)] {
            let mut sheet = Sheet::default();
            sheet.post(Some("CC-OR"), "EUR", cents(250));
            sheet.book("CC-OR", "EUR", cents(booked));
            sheet.round(Rounding::Document { digits: 2 });
            let mut findings = Findings::default();
            sheet.into_tally(is_told, &mut findings);
            judge(&scope(), &mut findings);
            assert_eq!(findings.total(), expected, "{is_told} {booked}: {:?}", findings.differences);
            if let [found] = findings.differences.as_slice() {
                assert_eq!(
                    (found.kind, found.money, found.currency.as_deref()),
                    (Kind::Amount, Some(cents(1)), Some("EUR"))
                );
            }
        }
    }
}
