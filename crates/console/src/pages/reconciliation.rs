//! Reconciliation: what differs between the senders, Wardline, the ERP and the suppliers, compared when somebody asks.

use super::exceptions::standing_note;
use crate::ask::{Answer, Ask};
use crate::compare::{Asked, Failed, Made, UnderWay};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Act, Frame, Page, code_link, facts, form, number, pretty, time};
use crate::kept::{KeptReport, KeptSeen};
use crate::people::Right;
use crate::problem::Problem;
use maud::{Markup, html};
use operations::exceptions::{self, Filter, Listed, Standing};
use operations::reconcile::difference::ROOM;
use operations::reconcile::items::difference_of;
use operations::reconcile::report::{shown, shown_whole, stake, verdict};
use operations::reconcile::{self, Difference, Proposal, WaitingRow, Window, report_id};
use runtime::clock;
use schemas::Exception;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Hours that are compared when nothing is said.
const USUAL_H: i64 = 24;
/// Most hours of the last time that is compared.
const HOURS_MAX: i64 = 168;
/// Most days of one comparison from here; the command line takes more.
const DAYS_MAX: i64 = 31;
const HOUR_MS: i64 = 3_600_000;
/// Differences and work items that are shown on the page; the API has all that are held.
const SHOWN: usize = 50;

/// What is compared.
pub const RUN: &[Field] = &[
    Field::optional("hours", Kind::Number, "The last so many hours, 1 to 168; 24 when left out"),
    Field::optional("from_time", Kind::Line(40), "Or from this time on, for example 2026-03-01T00:00:00Z"),
    Field::optional("until_time", Kind::Line(40), "Before this time; until now when left out"),
    Field::optional("raise", Kind::Flag, "Make a work item of each difference, and resolve what is not found any more"),
];

/// Which report, and as what.
pub const REPORT: &[Field] = &[
    Field::required("id", Kind::Line(40), "Id of the report"),
    Field::required("form", Kind::OneOf(&["html", "md", "json"]), "As what it is written"),
];
/// Why a replay is planned.
const WHY: &[Field] = &[Field::required("reason", Kind::Text(1_000), "Why, without patient data; it goes on record")];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reconciliation {
    standing: Standing,
    under_way: Option<UnderWay>,
    /// Why there is no report of the last one.
    failed: Option<Failed>,
    /// Reports that this process has made, newest first.
    reports: Vec<Arc<Made>>,
    /// Reports that are kept, whoever made them.
    kept: KeptSeen,
    /// Open work items of all comparisons, oldest first.
    work_items: Listed,
    /// Differences of the newest report whose work item is known.
    items_known: Vec<String>,
    /// Why the ERP is not asked.
    without_erp: Option<String>,
}

/// What was compared, and what is to be done.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let (view, seen) = (console.exceptions.clone(), console.comparisons.seen());
    let kept = console.comparisons.kept.clone();
    let without_erp = console.site.erp.as_ref().err().cloned();
    let look = move || {
        let of_reconcile = Filter { room: Some(ROOM.to_owned()), ..Filter::default() };
        let newest = seen.made.first();
        let shown = newest.iter().flat_map(|made| made.report.differences.iter().take(SHOWN));
        let items_known = shown.filter(|one| view.row(&one.id).is_some()).map(|one| one.id.clone()).collect();
        Reconciliation {
            standing: view.standing(),
            work_items: view.list(&of_reconcile, exceptions::Page::first(SHOWN)),
            items_known,
            under_way: seen.under_way,
            failed: seen.failed,
            reports: seen.made,
            kept: kept.seen(),
            without_erp,
        }
    };
    Ok(Answer::view(console.desk.reads.memory(look).await?, page))
}

/// Begins a comparison.
pub async fn run(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let window = window(&ask.body, clock::now_micros() / 1_000)?;
    let asked = Asked {
        config: Arc::clone(&console.site.config),
        codec: console.desk.codec()?,
        rooms: console.site.rooms.iter().map(|room| room.info.clone()).collect(),
        erp: console.site.erp.as_ref().ok().cloned(),
        window,
        raise: ask.body.text("raise") == Some("true"),
        by: ask.name().to_owned(),
    };
    console.comparisons.begin(asked, &console.trail)?;
    Ok(Answer::done(
        "The comparison has begun; the page tells how far it is.",
        "/reconciliation",
        json!({"begun": true}),
    ))
}

/// What is compared: from one time to another, or the last hours. What lies ahead is not there yet.
fn window(body: &Fields, now_ms: i64) -> Result<Window, Problem> {
    let moment = |name: &str| {
        let Some(text) = body.text(name) else { return Ok(None) };
        let read = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        read.map(Some).map_err(|_| Problem::not_understood(format!("{name} must be a time like 2026-03-01T08:00:00Z")))
    };
    let (from_ms, until_ms, hours) = (moment("from_time")?, moment("until_time")?, body.number("hours"));
    let (from_ms, until_ms) = match (from_ms, until_ms, hours) {
        (Some(from_ms), until_ms, None) => (from_ms, until_ms.unwrap_or(now_ms).min(now_ms)),
        (None, None, hours) => {
            let hours = hours.unwrap_or(USUAL_H);
            if !(1..=HOURS_MAX).contains(&hours) {
                return Err(Problem::not_understood(format!("hours must be 1 to {HOURS_MAX}")));
            }
            (now_ms - hours * HOUR_MS, now_ms)
        }
        (Some(_), _, Some(_)) => return Err(Problem::not_understood("either hours or from_time, not both")),
        (None, Some(_), _) => return Err(Problem::not_understood("until_time needs from_time")),
    };
    if from_ms >= until_ms {
        return Err(Problem::not_understood("from_time must lie before until_time, and in the past"));
    }
    if until_ms - from_ms > DAYS_MAX * 24 * HOUR_MS {
        return Err(Problem::not_understood(format!("one comparison from here is of {DAYS_MAX} days at most")));
    }
    Ok(Window { from_ms, until_ms })
}

/// A report as a file. Those that are kept are there whole; of others this process holds the first differences.
pub async fn download(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let id = ask.query.text("id").unwrap_or_default().to_owned();
    let form = ask.query.text("form").unwrap_or_default().to_owned();
    let (kept, held) = (console.comparisons.kept.clone(), console.comparisons.seen().made);
    let write = move || {
        let of_here = held.iter().find(|made| report_id(&made.report) == id);
        let report = match (kept.read(&id), of_here) {
            (Ok(report), _) => report,
            (Err(_), Some(made)) => made.report.clone(),
            (Err(problem), None) => return Err(problem),
        };
        let (content_type, text) = match form.as_str() {
            "html" => ("text/html; charset=utf-8", reconcile::report::page(&report)),
            "md" => ("text/markdown; charset=utf-8", reconcile::report::markdown(&report)),
            _ => {
                let text = serde_json::to_string_pretty(&report);
                ("application/json", text.map_err(|error| Problem::defect(&error.to_string()))?)
            }
        };
        let name = format!("reconcile-{}.{form}", report_id(&report));
        Ok(Answer::Download { content_type, name, bytes: text.into_bytes() })
    };
    console.desk.reads.memory(write).await?
}

/// Gives up the comparison that is under way.
pub async fn give_up(ask: Ask) -> Result<Answer, Problem> {
    let was_under_way = ask.console.comparisons.give_up();
    let said = if was_under_way { "It ends as soon as it can." } else { "No comparison is under way." };
    Ok(Answer::done(said, "/reconciliation", json!({"wasUnderWay": was_under_way})))
}

fn page(data: &Reconciliation, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Reconciliation" }
        (standing_note(&data.standing))
        @if let Some(why) = &data.without_erp { p.note { "The ERP is not asked: " (why) ". Postings are compared with effect records alone." } }
        (state(data, frame))
        h2 { "Work items" }
        (work_items(&data.work_items, frame))
        @match data.reports.first() {
            None => p.muted { "This process has not compared anything since it started. Work items of other processes, for example of " code { "wardline reconcile --every" } ", are above; that a comparison was made from a console is in the " a href="/audit?room=console" { "audit" } "." },
            Some(made) => (report(made, &data.items_known)),
        }
        @if data.reports.len() > 1 { (earlier(&data.reports[1..])) }
        (kept(&data.kept))
    };
    Page::live("Reconciliation", body)
}

fn state(data: &Reconciliation, frame: &Frame<'_>) -> Markup {
    html! {
        @if let Some(under_way) = &data.under_way {
            div.progress role="status" {
                p {
                    b { "A comparison is under way" } ", begun by " (under_way.by) " " (pretty((frame.now / 1_000 - under_way.started_ms).max(0))) " ago: "
                    @match &under_way.topic {
                        Some(topic) => { (number(under_way.records)) " records of " span.mono { (topic) } " read" },
                        None => "it begins",
                    }
                    "."
                }
                progress aria-label="Comparing" {}
            }
            @if frame.may(Right::Act) {
                (form(frame, &Act {
                    action: "/reconciliation/give-up".to_owned(),
                    label: "Give up",
                    help: "Ends the comparison without a report.",
                    fields: &[],
                    hidden: Vec::new(),
                    is_grave: false,
                }))
            }
        } @else {
            @if let Some(failed) = &data.failed {
                p.error role="alert" { "The comparison that " (failed.by) " asked for has no report: " (failed.why) ". Ended " (time(failed.at_ms * 1_000)) "." }
            }
            @if frame.may(Right::Act) {
                (form(frame, &Act {
                    action: "/reconciliation/run".to_owned(),
                    label: "Compare",
                    help: "Reads the topics and asks the ERP, beside the live flow, and changes nothing but its own work items.",
                    fields: RUN,
                    hidden: Vec::new(),
                    is_grave: false,
                }))
            }
        }
    }
}

fn work_items(items: &Listed, frame: &Frame<'_>) -> Markup {
    html! {
        @if items.rows.is_empty() { p.calm { "No difference is open." } } @else {
            div.scroll {
                table.stack {
                    caption { (number(items.total as i128)) " open, oldest first" }
                    thead { tr { th { "Raised" } th { "Code" } th { "What differs" } th { "About" } th { "Who has it" } } }
                    tbody {
                        @for row in &items.rows {
                            tr data-row=(row.exception_id) tabindex="-1" {
                                td.nowrap data-name="Raised" { a href={ "/exceptions/" (row.exception_id) } { (crate::html::ago(row.raised_at, frame.now)) " ago" } }
                                td data-name="Code" { (code_link(&row.code)) }
                                td.wide data-name="Differs" { span { (row.message) } }
                                td data-name="About" { span.mono { (row.subject.as_deref().unwrap_or("-")) } }
                                td data-name="Who has it" { span { (row.assignee.as_deref().unwrap_or("-")) } }
                            }
                        }
                    }
                }
            }
            @if items.total > items.rows.len() { p { a href={ "/exceptions?room=" (ROOM) } { "All open differences" } } }
        }
    }
}

fn report(made: &Made, items_known: &[String]) -> Markup {
    let report = &made.report;
    html! {
        h2 { "The newest report" }
        p.lead { (verdict(report)) }
        (downloads(&report_id(report)))
        @if let Some(why) = &made.not_kept { p.error role="alert" { "The report goes with this process: " (why) "." } }
        @if let Some(why) = &made.not_raised { p.error role="alert" { "Work items were not written: " (why) "." } }
        (facts(&[
            ("Asked for by", html! { (report.actor) }),
            ("Made", html! { (time(report.at_ms * 1_000)) ", in " (super::levels::short(report.took_ms)) }),
            ("Compared", html! { (time(report.window.from_ms * 1_000)) " to " (time(report.window.until_ms * 1_000)) }),
            ("ERP", html! { @if report.erp { "asked, " (number(report.documents)) " documents" } @else { "not asked" } }),
            ("Events", html! { (number(report.events)) ", promised " (number(report.promised)) }),
            ("Work items", html! { @if let Some(raised) = &made.raised {
                (number(raised.raised)) " raised, " (number(raised.open)) " open already, " (number(raised.resolved)) " resolved, " (number(raised.left)) " left discarded"
            } }),
        ]))
        @if !report.differences.is_empty() {
            div.scroll {
                table.stack {
                    caption { "The first " (report.differences.len().min(SHOWN)) " of " (number(report.total())) " differences" }
                    thead { tr { th { "Code" } th { "What differs" } th { "Expected" } th { "Found" } th.right { "Money" } th { "What to do" } } }
                    tbody {
                        @for difference in report.differences.iter().take(SHOWN) { (difference_row(difference, items_known)) }
                    }
                }
            }
        }
        @if !report.waiting.is_empty() { (waiting_table(&report.waiting)) }
        @if !report.cost_centres.is_empty() {
            div.scroll {
                table.stack {
                    caption { "Money by cost centre" }
                    thead { tr { th { "Cost centre" } th { "Name" } th { "Departments" } th { "Currency" } th.right { "Posted by Wardline" } th.right { "Rounding" } th.right { "Booked in the ERP" } th.right { "Difference" } } }
                    tbody {
                        @for row in &report.cost_centres {
                            @let money = row.compared;
                            tr {
                                td data-name="Cost centre" { span { (row.cost_centre) } }
                                td data-name="Name" { span { (row.name) } }
                                td data-name="Departments" { span { (row.departments.join(", ")) } }
                                td data-name="Currency" { span { (row.currency) } }
                                td.right data-name="Posted" { span { (shown_whole(money.posted)) } }
                                td.right data-name="Rounding" { span { (shown_whole(money.rounding)) } }
                                td.right data-name="Booked" { span { (shown(money.booked)) } }
                                td.right data-name="Difference" { span { (shown(money.difference())) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn waiting_table(rows: &[WaitingRow]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "Waiting by process" }
                thead { tr { th { "Process" } th { "Currency" } th.right { "Events" } th.right { "Worth" } th.right { "Without amount" } } }
                tbody {
                    @for row in rows {
                        tr {
                            td data-name="Process" { span { (row.room) } }
                            td data-name="Currency" { span { (row.currency) } }
                            td.right data-name="Events" { span { (number(i128::from(row.money.count))) } }
                            td.right data-name="Worth" { span { (shown_whole(row.money.amount)) } }
                            td.right data-name="Without amount" { span { (number(i128::from(row.money.without_amount))) } }
                        }
                    }
                }
            }
        }
    }
}

/// The replay that a work item of reconciliation proposes.
pub fn proposed(item: &Exception) -> Option<Proposal> {
    (item.room == ROOM).then(|| difference_of(item)).flatten()?.replay
}

/// Plans the replay that is proposed; who plans says why, and nothing is done before the plan is applied.
pub fn replay_form(proposal: &Proposal, frame: &Frame<'_>) -> Markup {
    let help = match proposal.correct {
        true => {
            "Counts which of the events would come out otherwise with the master data of now, and puts that on record as a plan. Nothing is posted before the plan is applied."
        }
        false => {
            "Counts what it comes to that the room processes the record again, and puts that on record as a plan. Nothing is handed over before the plan is applied."
        }
    };
    form(
        frame,
        &Act {
            action: "/replay/plan".to_owned(),
            label: "Plan this replay",
            help,
            fields: WHY,
            hidden: proposal.fields(),
            is_grave: false,
        },
    )
}

fn difference_row(difference: &Difference, items_known: &[String]) -> Markup {
    let text = |text: &Option<String>| html! { span { (text.as_deref().unwrap_or("-")) } };
    html! {
        tr data-row=(difference.id) tabindex="-1" {
            td data-name="Code" { (code_link(&difference.code)) }
            td.wide data-name="Differs" {
                span {
                    @if items_known.contains(&difference.id) { a href={ "/exceptions/" (difference.id) } { (difference.message) } } @else { (difference.message) }
                    br;
                    span.muted { (difference.kind.words()) ", " (difference.part.as_str()) ", " (time(difference.at_ms * 1_000)) }
                }
            }
            td data-name="Expected" { (text(&difference.expected)) }
            td data-name="Found" { (text(&difference.found)) }
            td.right data-name="Money" { span { (stake(difference)) } }
            td.wide data-name="To do" { span { (difference.next) } }
        }
    }
}

fn downloads(id: &str) -> Markup {
    html! { p { "As a file, to print and to sign: " (links(id)) } }
}

fn links(id: &str) -> Markup {
    let to = |form: &str| format!("/reconciliation/report?id={id}&form={form}");
    html! {
        span.nowrap {
            @for (form, name) in [("html", "HTML"), ("md", "Markdown"), ("json", "JSON")] {
                a href=(to(form)) aria-label=(format!("The report {id} as {name}")) download { (name) } " "
            }
        }
    }
}

/// What is kept, whoever made it; that of the comparison that goes on for ever comes first.
fn kept(seen: &KeptSeen) -> Markup {
    let repeated = seen.reports.iter().find(|report| report.every_s.is_some());
    html! {
        h2 { "Kept reports" }
        @if let Some(why) = &seen.problem { p.error role="alert" { "Not all are shown: " (why) "." } }
        @if !seen.is_kept {
            p.muted { "None are kept: with " code { "operations.reconcile.reports_dir" } " in the configuration reports outlive the process that made them." }
        } @else {
            @match repeated {
                Some(report) => p { "The last comparison of those that go on for ever, every " (pretty(i64::try_from(report.every_s.unwrap_or_default()).unwrap_or(i64::MAX).saturating_mul(1_000))) ": " (time(report.at_ms * 1_000)) ", " (report.verdict) " " (links(&report.id)) },
                None => p.muted { "None is of a comparison that goes on for ever (" code { "wardline reconcile --every" } ")." },
            }
            @if !seen.reports.is_empty() { (kept_table(&seen.reports)) }
        }
    }
}

fn kept_table(reports: &[KeptReport]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "The newest " (reports.len()) ", newest first" }
                thead { tr { th { "Made" } th { "Compared" } th { "Asked for by" } th { "Result" } th { "As a file" } } }
                tbody {
                    @for report in reports {
                        tr data-row=(report.id) tabindex="-1" {
                            td.nowrap data-name="Made" { (time(report.at_ms * 1_000)) }
                            td data-name="Compared" { span { (time(report.window.from_ms * 1_000)) " to " (time(report.window.until_ms * 1_000)) } }
                            td data-name="By" { span { (report.actor) @if report.every_s.is_some() { " (for ever)" } } }
                            td.wide data-name="Result" { span { (report.verdict) } }
                            td data-name="File" { (links(&report.id)) }
                        }
                    }
                }
            }
        }
    }
}

fn earlier(reports: &[Arc<Made>]) -> Markup {
    html! {
        h2 { "Earlier reports of this process" }
        ul {
            @for made in reports {
                li { (time(made.report.at_ms * 1_000)) ", " (made.report.actor) ": " (verdict(&made.report)) " " (links(&report_id(&made.report))) }
            }
        }
    }
}
