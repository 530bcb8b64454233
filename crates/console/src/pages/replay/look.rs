//! What a plan comes to, for people.

use crate::html::{facts, number, pretty, time};
use maud::{Markup, html};
use operations::replay::{Overtaken, Plan, Preview, Status, events_mean};
use schemas::{Money, ReplayCounts};

/// What a plan comes to, and how far it is.
pub fn numbers(status: &Status) -> Markup {
    let Preview { plan, takes_at_least_s, takes_at_rate, .. } = &status.plan;
    let counts = &plan.counts;
    let takes = pretty(i64::try_from(*takes_at_least_s).unwrap_or(i64::MAX).saturating_mul(1_000));
    facts(&[
        ("Topic", html! { span.mono { (plan.topic) } }),
        ("Records", count(counts.records)),
        ("Where", places(plan)),
        ("Keys", count(counts.keys)),
        ("Takes at least", html! { (takes) " at " (takes_at_rate) " records in a second" }),
        ("Parked already", told(counts.waiting, "left out: they wait for something")),
        ("Not readable", told(counts.unreadable, "cannot be decoded here and are handed over as they are")),
        ("Left out, the same", told(counts.unchanged, "nothing would come out otherwise")),
        ("Left out, refused", told(counts.refused, "the room would refuse them now, or a person has corrected them")),
        ("Of these posted", told(counts.posted, "what was posted is taken back and posted anew")),
        ("Handed over", count(status.handed)),
        ("Of these parked", count(status.still_parked)),
        ("Events", told(counts.events, events_mean(plan))),
        ("Effects at most", count(counts.effects)),
        ("Suppressed", html! { (number(i128::from(counts.suppressed))) span.muted { " (have had their effect)" } }),
        ("In doubt", count(counts.in_doubt)),
        ("Without effect", told(counts.without_effect, "ask for none")),
        ("Documents there", count(counts.documents)),
        ("New documents", count(counts.new_documents)),
        ("Money in all", money(&counts.amounts)),
        ("Not posted yet", money(&counts.new_amounts)),
        ("Money unknown", told(counts.without_amount, "records say nothing of it")),
        ("Suppliers", suppliers(counts)),
        ("Newer events", newer(counts)),
        ("Planned", html! { (time(plan.planned_at.0)) " by " (plan.planned_by) }),
        ("Approved by", html! { @if let Some(who) = &plan.approved_by { (who) } }),
        ("Last word", html! { @if let Some(comment) = &plan.comment { (comment) " (" (plan.actor) ")" } }),
        ("Id", html! { span.mono { (plan.replay_id) } }),
    ])
}

/// What would take effect behind newer events of its key.
pub fn overtaken(late: &Overtaken) -> Markup {
    let keys = number(i128::from(late.keys));
    let rest = late.keys - i64::try_from(late.examples.len()).unwrap_or_default();
    html! {
        p.note {
            "Out of order: newer events of " (keys) " of the keys took effect or wait already, and records of this replay would take effect behind "
            "them. It is not applied (WL-7261) unless somebody says why it must be."
        }
        div.scroll {
            table.stack {
                caption { "Keys of which something newer took effect" @if rest > 0 { ", some of " (keys) } }
                thead { tr { th { "Key" } th { "Would come late" } th { "Newest that took effect" } th.right { "Newer" } } }
                tbody {
                    @for one in &late.examples {
                        tr {
                            td data-name="Key" { span.mono { (one.key) } }
                            td data-name="Would come late" { span.mono { (one.record) } }
                            td data-name="Newest that took effect" { span.mono { (one.newest) } }
                            td.right data-name="Newer" { span { (number(i128::from(one.newer))) } }
                        }
                    }
                }
            }
        }
    }
}

/// What a correcting replay changes: the fields before and after.
pub fn corrects(plan: &Plan) -> Markup {
    let changes = &plan.counts.changes;
    html! {
        p.note {
            "This replay corrects: it makes the events anew whose fields would come out otherwise with the master data at the time of the plan. "
            "What was written stays on record, and the corrections come behind it."
        }
        @if changes.is_empty() { p { "Nothing would come out otherwise." } } @else {
            div.scroll {
                table.stack {
                    caption { "What comes out otherwise, the most frequent first" }
                    thead { tr { th { "Field" } th { "As it was written" } th { "As it would be now" } th.right { "Records" } } }
                    tbody {
                        @for change in changes {
                            tr {
                                td data-name="Field" { span.mono { (change.path) } }
                                td data-name="Was" { span { (change.before) } }
                                td data-name="Would be" { span { (change.after) } }
                                td.right data-name="Records" { span { (number(i128::from(change.records))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn count(value: i64) -> Markup {
    html! { (number(i128::from(value))) }
}

/// A number that is only worth telling when there are any, with what it means.
fn told(count: i64, why: &str) -> Markup {
    html! { @if count > 0 { (number(i128::from(count))) span.muted { " (" (why) ")" } } }
}

/// Partitions and offsets.
fn places(plan: &Plan) -> Markup {
    let spans = plan.spans.iter().filter(|span| span.records > 0);
    html! {
        ul {
            @for span in spans {
                li { "partition " (span.partition) ", offsets " (span.start) " to " (span.end - 1) ": " (count(span.records)) }
            }
        }
    }
}

fn suppliers(counts: &ReplayCounts) -> Markup {
    let rest = counts.target_count - i64::try_from(counts.targets.len()).unwrap_or_default();
    html! {
        @if !counts.targets.is_empty() {
            ul {
                @for target in &counts.targets {
                    li { (target.target) ": " (count(target.records)) " records, " (count(target.effects)) " effects" }
                }
                @if rest > 0 { li { "and " (count(rest)) " more" } }
            }
        }
    }
}

fn newer(counts: &ReplayCounts) -> Markup {
    html! {
        (count(counts.newer))
        @if !counts.newer_examples.is_empty() {
            span.muted { " of these keys are behind the range, for example " }
            span.mono { (counts.newer_examples.join(", ")) }
        }
    }
}

fn money(amounts: &[Money]) -> Markup {
    let all: Vec<String> = amounts.iter().map(|one| format!("{} {}", one.amount, one.currency)).collect();
    html! { (all.join(", ")) }
}
