//! What codes of source systems mean: all mappings, and how one is made, changed and withdrawn without an exception that asks for it.

use super::corrections::{by, seen, through, unmapped};
use super::exception::COMMENT;
use super::proposals::agree;
use super::{PAGE, slice};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Act as Form, Frame, Page, form, number, pager, time};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::crosswalk::{Crosswalk, MappedCode, MappingKind, MappingProposal, told};
use schemas::MasterCrosswalk;
use schemas::approval::agreed;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// What a code names.
const KINDS: Kind = Kind::OneOf(&["item", "location"]);
/// What may be asked for.
pub const QUERY: &[Field] = &[
    Field::optional("kind", KINDS, "What the code names"),
    Field::optional("system", Kind::Line(64), "Source system"),
    Field::optional("code", Kind::Line(200), "Code, or a part of it"),
    Field::optional("state", Kind::OneOf(&["all", "proposed"]), "All, or what waits for a second person"),
    PAGE,
];
/// Which code.
const CODE: [Field; 3] = [
    Field::required("kind", KINDS, "What the code names"),
    Field::required("system", Kind::Line(64), "Source system, as its events name it"),
    Field::required("code", Kind::Line(200), "The code as sent"),
];
const WHY: Field = Field::required("comment", Kind::Text(1_000), "Why, without patient data");
/// What a code is to mean, and why.
pub const SET: &[Field] = &[
    CODE[0],
    CODE[1],
    CODE[2],
    Field::required("to", Kind::Line(80), "Item or location of the ERP that it means"),
    WHY,
];
/// Which mapping is withdrawn, and why.
pub const WITHDRAW: &[Field] = &[CODE[0], CODE[1], CODE[2], WHY];
/// Which proposal is agreed to.
pub const APPROVE: &[Field] = &[
    CODE[0],
    CODE[1],
    CODE[2],
    Field::required("seen", Kind::Line(64), "The mark of the proposal that you saw; agreeing counts for nothing else"),
    COMMENT[0],
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    page: usize,
    rows_per_page: usize,
    total: usize,
    mappings: Vec<Row>,
    #[serde(skip)]
    query: Fields,
    /// The only one that was asked for.
    #[serde(skip)]
    one: Option<Row>,
}

/// One mapping.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: String,
    source_system: String,
    code: String,
    /// What it means; none when it is withdrawn or not agreed to yet.
    target: Option<String>,
    version: i32,
    reason: String,
    actor: String,
    approved_by: Option<String>,
    at: i64,
    proposal: Option<MappingProposal>,
}

impl Row {
    fn of(mapping: &MasterCrosswalk) -> Self {
        Self {
            kind: mapping.kind.clone(),
            source_system: mapping.source_system.clone(),
            code: mapping.code.clone(),
            target: mapping.target.clone(),
            version: mapping.meta.revision,
            reason: mapping.reason.clone(),
            actor: mapping.actor.clone(),
            approved_by: mapping.approved_by.as_deref().map(|who| agreed(who).0.to_owned()),
            at: mapping.meta.recorded_at.0,
            proposal: MappingProposal::of(mapping),
        }
    }

    fn path(&self) -> String {
        address(&self.kind, &self.source_system, &self.code)
    }

    fn hidden(&self) -> Vec<(&'static str, String)> {
        vec![("kind", self.kind.clone()), ("system", self.source_system.clone()), ("code", self.code.clone())]
    }
}

/// All of them, filtered.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let all = ask.console.desk.crosswalk().await?;
    let asked = |name: &str| ask.query.text(name);
    let wanted = |one: &&MasterCrosswalk| {
        asked("kind").is_none_or(|kind| kind == one.kind)
            && asked("system").is_none_or(|system| system == one.source_system)
            && asked("code").is_none_or(|code| one.code.to_lowercase().contains(&code.to_lowercase()))
            && (asked("state") != Some("proposed") || one.proposal.is_some())
    };
    let found: Vec<&MasterCrosswalk> = all.iter().filter(wanted).collect();
    let exact = |one: &&&MasterCrosswalk| {
        (asked("kind"), asked("system"), asked("code"))
            == (Some(one.kind.as_str()), Some(one.source_system.as_str()), Some(one.code.as_str()))
    };
    let one = found.iter().find(exact).map(|one| Row::of(one));
    let (page, rows_per_page, total) = (ask.page(), ask.console.config.bounds.page_rows, found.len());
    let mappings = slice(&found, page, rows_per_page).iter().map(|one| Row::of(one)).collect();
    Ok(Answer::view(Listed { page, rows_per_page, total, mappings, query: ask.query, one }, list_page))
}

/// Says what a code means, or proposes it.
pub async fn set(ask: Ask) -> Result<Answer, Problem> {
    let target = ask.body.text("to").unwrap_or_default().trim().to_owned();
    change(&ask, Some(target)).await
}

/// Withdraws a mapping, or proposes that: what comes with the code waits then, instead of going wrong.
pub async fn withdraw(ask: Ask) -> Result<Answer, Problem> {
    change(&ask, None).await
}

/// Agrees to what somebody else has proposed.
pub async fn approve(ask: Ask) -> Result<Answer, Problem> {
    let (code, mappings) = of(&ask)?;
    let (by, seen) = (by(&ask), seen(&ask));
    let approving = async move { mappings.approve(&code, seen.as_deref(), &by).await };
    let changed = through(&ask, approving).await?;
    answer(&ask, &changed.map_err(|error| unmapped(&error))?)
}

async fn change(ask: &Ask, target: Option<String>) -> Result<Answer, Problem> {
    let (code, mappings) = of(ask)?;
    let by = by(ask);
    let setting = async move { mappings.set(&code, target.as_deref(), None, &by).await };
    let changed = through(ask, setting).await?;
    answer(ask, &changed.map_err(|error| unmapped(&error))?)
}

fn of(ask: &Ask) -> Result<(MappedCode, Crosswalk), Problem> {
    let text = |name: &str| ask.body.text(name).unwrap_or_default().trim().to_owned();
    let kind: MappingKind = text("kind").parse().map_err(|error: String| Problem::not_understood(error))?;
    let code = MappedCode { kind, source_system: text("system"), code: text("code") };
    let (config, codec) = (Arc::clone(&ask.console.site.config), ask.console.desk.codec()?);
    Ok((code, Crosswalk::new(config, codec).map_err(|error| unmapped(&error))?))
}

fn answer(ask: &Ask, mapping: &MasterCrosswalk) -> Result<Answer, Problem> {
    ask.console.desk.mappings_changed();
    let said = match (&mapping.proposal, &mapping.target) {
        (Some(_), _) => "A second person has to agree before it takes effect.",
        (None, Some(_)) => "The code is mapped: whoever waits for it goes on.",
        (None, None) => "The mapping is withdrawn: what comes with the code waits.",
    };
    let then = address(&mapping.kind, &mapping.source_system, &mapping.code);
    Ok(Answer::done(said, then, json!({"mapping": told(mapping)})))
}

fn address(kind: &str, system: &str, code: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("kind", kind)
        .append_pair("system", system)
        .append_pair("code", code)
        .finish();
    format!("/crosswalk?{query}")
}

fn list_page(data: &Listed, frame: &Frame<'_>) -> Page {
    let text = |name: &str| data.query.text(name).unwrap_or_default();
    let body = html! {
        h1 { "Mappings" }
        p.muted { "What the codes of source systems mean here. Whoever waits for a code goes on when it is mapped; without its mapping what comes waits, and nothing goes wrong." }
        form.filter method="get" action="/crosswalk" {
            div { label for="code" { "Code" } input #code name="code" value=(text("code")) autocomplete="off"; }
            div { label for="system" { "Source system" } input #system name="system" value=(text("system")) autocomplete="off"; }
            div {
                label for="state" { "Shown" }
                select #state name="state" {
                    option value="all" { "all" }
                    option value="proposed" selected[text("state") == "proposed"] { "waits for a second person" }
                }
            }
            button type="submit" { "Filter" }
        }
        div.columns {
            section {
                @if data.mappings.is_empty() { p.calm { "No mapping fits." } } @else { (table(data)) }
                (pager("/crosswalk", &data.query, data.page, data.rows_per_page, data.total))
            }
            section { (acts(data, frame)) }
        }
    };
    Page::live("Mappings", body)
}

fn table(data: &Listed) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { (number(data.total as i128)) @if data.total == 1 { " mapping" } @else { " mappings" } }
                thead { tr { th { "Code" } th { "Of" } th { "Means" } th { "Since" } th { "Reason" } } }
                tbody {
                    @for row in &data.mappings {
                        tr data-row=(row.path()) tabindex="-1" {
                            td data-name="Code" { span { a.mono href=(row.path()) { (row.code) } " " span.muted { "(" (row.kind) ")" } } }
                            td data-name="Of" { span.mono { (row.source_system) } }
                            td data-name="Means" {
                                span {
                                    span.mono { (row.target.as_deref().unwrap_or("nothing")) }
                                    @if let Some(change) = &row.proposal {
                                        " " span.muted { "to be " (change.target.as_deref().unwrap_or("nothing")) ", proposed by " (change.actor) }
                                    }
                                }
                            }
                            td data-name="Since" {
                                span {
                                    (time(row.at)) " "
                                    span.muted {
                                        (row.actor)
                                        @if let Some(second) = &row.approved_by { ", " (second) }
                                    }
                                }
                            }
                            td.wide data-name="Reason" {
                                span {
                                    (row.reason)
                                    @if let Some(change) = &row.proposal { @if !row.reason.is_empty() { " " } span.muted { "proposed: " } (change.reason) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn acts(data: &Listed, frame: &Frame<'_>) -> Markup {
    let act = |path: &str, label: &'static str, help: &'static str, fields: &'static [Field], hidden, is_grave| {
        form(frame, &Form { action: format!("/crosswalk/{path}"), label, help, fields, hidden, is_grave })
    };
    html! {
        @if let Some(row) = &data.one {
            h2 { "Code " span.mono { (row.code) } }
            @if let Some(change) = &row.proposal {
                p { (change.actor) " proposes " b { (change.target.as_deref().unwrap_or("nothing")) } ": " (change.reason) }
                (agree_to(row, change, frame))
            }
            @if row.target.is_some() {
                (act("withdraw", "Withdraw", "What comes with the code waits from then on, until it is mapped again. Some flows need a second person.", &[WHY], row.hidden(), true))
            }
        }
        h2 { "Map a code" }
        (act("set", "Map", "Says what a code of a source means, also where it means something already. Some flows need a second person.", SET, Vec::new(), false))
    }
}

fn agree_to(row: &Row, change: &MappingProposal, frame: &Frame<'_>) -> Markup {
    let mut hidden = row.hidden();
    hidden.push(("seen", change.mark.clone()));
    agree(
        frame,
        "/crosswalk/approve".to_owned(),
        &change.actor,
        hidden,
        "Agree",
        "The code means what is shown here, and whoever waits for it goes on.",
    )
}
