//! The catalogue of topics.

use crate::ask::{Answer, Ask};
use crate::html::{Frame, Page, chip, facts, pretty};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::topics::TopicView;
use schemas::{Criticality, Phi};
use serde::Serialize;

#[derive(Serialize)]
struct Topics {
    topics: Vec<TopicView>,
}

/// All topics.
pub async fn list(_: Ask) -> Result<Answer, Problem> {
    Ok(Answer::view(Topics { topics: TopicView::all() }, page))
}

/// One topic.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let found = TopicView::find(ask.part("name"));
    Ok(Answer::view(found.ok_or_else(|| Problem::not_found("the catalogue has no such topic"))?, topic_page))
}

/// What a class is called.
pub fn class_name(class: Criticality) -> &'static str {
    match class {
        Criticality::PatientAdjacent => "patient-adjacent",
        Criticality::Operational => "operational",
        Criticality::Analytical => "analytical",
    }
}

fn phi_chip(phi: &str) -> Markup {
    let kind = if phi == Phi::Direct.as_str() {
        "bad"
    } else if phi == Phi::Indirect.as_str() {
        "warn"
    } else {
        "plain"
    };
    chip(phi, kind)
}

fn page(data: &Topics, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Topics" }
        div.scroll {
            table.stack {
                caption { (data.topics.len()) " topics of this version of the catalogue" }
                thead { tr { th { "Topic" } th { "What it carries" } th { "Owner" } th { "Class" } th { "Patient data" } th { "Read by" } } }
                tbody {
                    @for topic in &data.topics {
                        tr data-row=(topic.name) tabindex="-1" {
                            td data-name="Topic" { a.mono href={ "/topics/" (topic.name) } { (topic.name) } }
                            td.wide data-name="Carries" { span { (topic.description) } }
                            td data-name="Owner" { span { (topic.owner) } }
                            td data-name="Class" { span.nowrap { (class_name(topic.class)) } }
                            td data-name="Patient data" { (phi_chip(topic.phi)) }
                            td data-name="Read by" { span { (topic.consumers.iter().map(|one| one.room).collect::<Vec<_>>().join(", ")) } }
                        }
                    }
                }
            }
        }
    };
    Page::still("Topics", body)
}

fn topic_page(data: &TopicView, _: &Frame<'_>) -> Page {
    let schema = data.schema.as_ref().and_then(|schema| serde_json::to_string_pretty(schema).ok());
    let body = html! {
        p { a href="/topics" { "Topics" } }
        h1.mono { (data.name) }
        p.lead { (data.description) }
        (facts(&[
            ("Owner", html! { (data.owner) }),
            ("Class", html! { (class_name(data.class)) }),
            ("Patient data", phi_chip(data.phi)),
            ("Key", html! { (data.key.join(" / ")) }),
            ("Partitions", html! { (data.partitions) }),
            ("Kept", html! { (data.storage) }),
            ("Promise", html! { "99 of 100 within " (pretty(i64::try_from(data.latency_p99_ms).unwrap_or(i64::MAX))) }),
            ("Written by", html! { (data.producers.join(", ")) }),
        ]))
        h2 { "Read by" }
        (facts(&data.consumers.iter().map(|one| (one.room, html! { (one.purpose) })).collect::<Vec<_>>()))
        @if let Some(schema) = schema {
            h2 { "Schema" }
            details #schema { summary { "Avro, as it is registered" } pre tabindex="0" { (schema) } }
        }
    };
    Page::still(data.name, body)
}
