//! The report for people: Markdown, and one HTML file that prints and needs nothing else.

use super::difference::Difference;
use super::run::Report;
use super::tally::Compared;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use rust_decimal::Decimal;

/// How the report looks on paper and on a screen.
const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#1b1b1b}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse;width:100%;margin:.5em 0}\
th,td{border:1px solid #bbb;padding:.25em .5em;text-align:left;vertical-align:top}th{background:#f1f1f1}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em;overflow-wrap:anywhere}\
.good{border-left:6px solid #2e7d32;padding-left:.8em}.bad{border-left:6px solid #b3261e;padding-left:.8em}\
.sign td{height:3em}@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}";

/// A table: its title, the heads of its columns, its rows. Columns from `numbers` on hold numbers.
struct Table {
    title: &'static str,
    heads: &'static [&'static str],
    numbers: usize,
    rows: Vec<Vec<String>>,
}

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# Reconciliation\n\n{}\n\n", verdict(report));
    for (name, value) in facts(report) {
        text += &format!("- {name}: {}\n", cell(&value));
    }
    for table in tables(report) {
        text += &format!("\n## {}\n\n", table.title);
        if table.rows.is_empty() {
            text += "None.\n";
            continue;
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text += &line(table.heads.iter().map(|head| (*head).to_owned()).collect());
        let rule = (0..table.heads.len()).map(|column| if column >= table.numbers { "---:" } else { "---" }.to_owned());
        text += &line(rule.collect());
        for row in table.rows {
            text += &line(row.iter().map(|value| cell(value)).collect());
        }
    }
    text += "\n## Signature\n\n| Checked by | Date | Signature |\n| --- | --- | --- |\n| | | |\n";
    text
}

/// The report as one HTML page. Every value is escaped.
#[must_use]
pub fn page(report: &Report) -> String {
    let class = if report.total() == 0 { "good" } else { "bad" };
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Reconciliation " (moment(report.window.from_ms)) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "Reconciliation" }
                p class=(class) { (verdict(report)) }
                table { @for (name, value) in facts(report) { tr { th { (name) } td { (value) } } } }
                @for table in tables(report) { (section(&table)) }
                h2 { "Signature" }
                table class="sign" {
                    tr { th { "Checked by" } th { "Date" } th { "Signature" } }
                    tr { td {} td {} td {} }
                }
            }
        }
    };
    page.into_string()
}

fn section(table: &Table) -> Markup {
    let class = |column: usize| if column >= table.numbers { "n" } else { "" };
    html! {
        h2 { (table.title) }
        @if table.rows.is_empty() { p { "None." } } @else {
            table {
                thead { tr { @for (column, head) in table.heads.iter().enumerate() { th class=(class(column)) { (head) } } } }
                tbody {
                    @for row in &table.rows {
                        tr { @for (column, value) in row.iter().enumerate() { td class=(class(column)) { (value) } } }
                    }
                }
            }
        }
    }
}

/// The result in one sentence.
#[must_use]
pub fn verdict(report: &Report) -> String {
    let late = match report.late {
        0 => String::new(),
        late => format!(" {late} facts are still within their time and count as no difference."),
    };
    let late = late + &not_compared(report);
    match report.total() {
        0 => format!("No differences.{late}"),
        1 => format!("1 difference.{late}"),
        total if report.truncated => {
            format!("{total} differences, of which {} are listed (WL-7184).{late}", report.differences.len())
        }
        total => format!("{total} differences.{late}"),
    }
}

/// What could not be compared, because it is gone; empty when all of the window is there.
fn not_compared(report: &Report) -> String {
    let begins = report.reaches.iter().map(|reach| format!("{} begins at {}", reach.topic, moment(reach.from_ms)));
    let begins: Vec<String> = begins.collect();
    match begins.is_empty() {
        true => String::new(),
        false => format!(" What needs older records could not be compared: {}.", begins.join(", ")),
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let erp = if report.erp { format!("{} documents compared", report.documents) } else { "not asked".to_owned() };
    vec![
        ("Window", format!("{} to {}", moment(report.window.from_ms), moment(report.window.until_ms))),
        ("Made", format!("{} by {}, Wardline {}", moment(report.at_ms), report.actor, report.made_by)),
        ("Repeated", report.every_s.map_or_else(|| "no".to_owned(), |every| format!("every {every} s"))),
        ("Took", format!("{} ms, {} facts", report.took_ms, report.cost.facts)),
        ("Events promised by receipts", report.promised.to_string()),
        ("Events of these sources", report.events.to_string()),
        ("Supplier notices taken", report.notices.to_string()),
        ("ERP", erp),
        ("Records that cannot be read", report.unreadable.to_string()),
    ]
}

fn tables(report: &Report) -> Vec<Table> {
    let by_kind = report.by_kind.iter();
    let by_kind = by_kind.map(|(kind, count)| vec![kind.words().to_owned(), kind.code().to_owned(), count.to_string()]);
    let mut tables = vec![
        Table { title: "Differences by kind", heads: &["Kind", "Code", "Count"], numbers: 2, rows: by_kind.collect() },
        Table {
            title: "Differences",
            heads: &["Code", "What", "Evidence", "Wardline", "Other side", "Money", "Next"],
            numbers: 7,
            rows: report.differences.iter().map(row).collect(),
        },
        records(report),
        waiting(report),
    ];
    tables.extend(money(report));
    tables.push(positions(report));
    tables
}

fn records(report: &Report) -> Table {
    let rows = report.rooms.iter().map(|(room, counts)| {
        let numbers = [
            counts.read,
            counts.emitted,
            counts.duplicate,
            counts.dropped,
            counts.exception,
            counts.dead_letter,
            counts.late,
            counts.missing,
        ];
        std::iter::once(room.clone()).chain(numbers.map(|number| number.to_string())).collect()
    });
    Table {
        title: "Records by process",
        heads: &["Process", "Read", "Emitted", "Duplicate", "Dropped", "Exception", "Dead letter", "Late", "Missing"],
        numbers: 1,
        rows: rows.collect(),
    }
}

fn waiting(report: &Report) -> Table {
    let rows = report.waiting.iter().map(|row| {
        let money = &row.money;
        let numbers = [money.count.to_string(), shown_whole(money.amount), money.without_amount.to_string()];
        [&row.room, &row.currency].into_iter().cloned().chain(numbers).collect()
    });
    Table {
        title: "Waiting by process",
        heads: &["Process", "Currency", "Events", "Worth", "Without amount"],
        numbers: 2,
        rows: rows.collect(),
    }
}

fn money(report: &Report) -> [Table; 2] {
    let postings = report.postings.iter().map(|row| {
        let money = &row.money;
        let numbers = [money.count.to_string(), shown_whole(money.amount), money.without_amount.to_string()];
        [&row.kind, &row.cost_centre, &row.name, &row.currency].into_iter().cloned().chain(numbers).collect()
    });
    let centres = report.cost_centres.iter().map(|row| {
        let Compared { posted, rounding, booked, .. } = row.compared;
        let numbers = [shown_whole(posted), shown_whole(rounding), shown(booked), shown(row.compared.difference())];
        let departments = row.departments.join(", ");
        let names = [&row.cost_centre, &row.name, &departments, &row.currency].into_iter().cloned();
        names.chain(numbers).collect()
    });
    [
        Table {
            title: "Postings by kind and cost centre",
            heads: &["Posting", "Cost centre", "Name", "Currency", "Count", "Amount", "Without amount"],
            numbers: 4,
            rows: postings.collect(),
        },
        Table {
            title: "Money by cost centre",
            heads: &[
                "Cost centre",
                "Name",
                "Departments",
                "Currency",
                "Posted by Wardline",
                "Rounding",
                "Booked in the ERP",
                "Difference",
            ],
            numbers: 4,
            rows: centres.collect(),
        },
    ]
}

fn positions(report: &Report) -> Table {
    let rows = report.positions.iter().map(|position| {
        let numbers = [i64::from(position.partition), position.first, position.last];
        let numbers = numbers.map(|number| number.to_string()).into_iter().chain([position.records.to_string()]);
        std::iter::once(position.topic.clone()).chain(numbers).collect()
    });
    Table {
        title: "What was read",
        heads: &["Topic", "Partition", "First offset", "Last offset", "Records"],
        numbers: 1,
        rows: rows.collect(),
    }
}

fn row(difference: &Difference) -> Vec<String> {
    let mut evidence = vec![moment(difference.at_ms)];
    let mut add = |name: &str, value: Option<String>| evidence.extend(value.map(|value| format!("{name} {value}")));
    add("event", difference.event_id.clone());
    add("at", difference.place.as_ref().map(|place| format!("{}-{}@{}", place.topic, place.partition, place.offset)));
    add("effect", difference.effect_key.clone());
    add("key", difference.document_key.clone());
    add("document", difference.document_number.clone());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        difference.code.clone(),
        format!("{}: {}", difference.kind.words(), difference.message),
        evidence.join("; "),
        text(&difference.expected),
        text(&difference.found),
        stake(difference),
        difference.next.clone(),
    ]
}

fn moment(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |time| time.to_string())
}

/// The money that is at stake, with its currency where it is known; empty when nobody knows it.
#[must_use]
pub fn stake(difference: &Difference) -> String {
    let Some(money) = difference.money else { return String::new() };
    [Some(shown(money)), difference.currency.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// An amount of money for people, in hundredths; what is less than half of one is nothing.
#[must_use]
pub fn shown(amount: Decimal) -> String {
    let rounded = amount.round_dp(2);
    if rounded.is_zero() { "0.00".to_owned() } else { format!("{rounded:.2}") }
}

/// An amount with all its digits, two at least: beside its rounding it adds up by hand.
#[must_use]
pub fn shown_whole(amount: Decimal) -> String {
    let amount = amount.normalize();
    if amount.scale() <= 2 { shown(amount) } else { amount.to_string() }
}

/// A value that cannot break out of its cell, or mean something in Markdown.
fn cell(value: &str) -> String {
    let mut safe = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\n' | '\r' => safe.push(' '),
            '|' | '\\' | '*' | '_' | '[' | ']' | '#' => {
                safe.push('\\');
                safe.push(character);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::difference::{Kind, Part};
    use super::super::reach::Reach;
    use super::super::run::tests::report;
    use super::super::run::{CostRow, WaitingRow};
    use super::super::tally::Money;
    use super::*;

    #[test]
    fn what_a_report_says_is_in_both_forms_and_escaped() {
        let mut difference = Difference::new(Kind::Amount, Part::Erp, "wl-1", 5, "posted <b>5|0</b>".to_owned())
            .next("compare")
            .sides("5.00", "6.00");
        difference.document_number = Some("P-000007".to_owned());
        let difference = difference.money(Some((Decimal::new(77_125, 2), "CHF".to_owned())));
        let mut found = report(vec![difference]);
        for (currency, cents) in [("CHF", 4_200), ("EUR", 1_700)] {
            let compared = Compared { posted: Decimal::new(cents, 2), ..Compared::default() };
            found.cost_centres.push(CostRow {
                cost_centre: "CC-OR".to_owned(),
                name: "Theatres".to_owned(),
                departments: vec!["OR".to_owned(), "AOR".to_owned()],
                currency: currency.to_owned(),
                compared,
            });
        }
        let money = Money { count: 214, amount: Decimal::new(4_821_000, 2), without_amount: 3 };
        found.waiting.push(WaitingRow { room: "enrich".to_owned(), currency: "EUR".to_owned(), money });
        let (text, page) = (markdown(&found), page(&found));
        for said in ["1 difference.", "P-000007", "WL-7175", "controller", "5.00", "6.00", "771.25 CHF", "Signature"] {
            assert!(text.contains(said), "{said} is not in\n{text}");
            assert!(page.contains(said), "{said} is not in\n{page}");
        }
        for row in [
            "| CC-OR | Theatres | OR, AOR | CHF | 42.00 | 0.00 | 0.00 | 42.00 |",
            "| CC-OR | Theatres | OR, AOR | EUR | 17.00 | 0.00 | 0.00 | 17.00 |",
            "| enrich | EUR | 214 | 48210.00 | 3 |",
        ] {
            assert!(text.contains(row), "{row} is not in\n{text}");
        }
        assert!(!text.contains("<b>") && text.contains("&lt;b&gt;5\\|0"), "{text}");
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;5|0"), "{page}");
        assert!(!page.contains("http") && !page.contains("<script"), "self-contained");
    }

    #[test]
    fn a_clean_run_says_so() {
        let clean = report(Vec::new());
        assert_eq!(verdict(&clean), "No differences.");
        let reaches = vec![Reach { topic: "ops.receipt.v1".to_owned(), from_ms: 500 }];
        assert_eq!(
            verdict(&Report { reaches, ..clean }),
            "No differences. What needs older records could not be compared: ops.receipt.v1 begins at 1970-01-01T00:00:00.5Z."
        );
        let amounts = [(-44, "0.00"), (-1_255, "-0.13"), (100_000, "10.00")];
        assert_eq!(amounts.map(|(amount, _)| shown(Decimal::new(amount, 4))), amounts.map(|(_, text)| text));
    }
}
