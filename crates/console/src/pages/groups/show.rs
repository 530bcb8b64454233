//! The pages of groups.

use super::{APPROVE, FORCE, List, One, PREVIEW, Preview, REASON, Row};
use crate::fields::Field;
use crate::html::{Act, Frame, Page, ago, chip, facts, form, number, pretty, time};
use crate::people::Right;
use maud::{Markup, html};
use operations::groups::PartitionStanding;
use operations::replay::reset::{Move, Requested, TopicAgain, told};

/// A comment on what is agreed to.
const COMMENT: &[Field] = APPROVE.split_at(1).1;
/// What is asked where records would be passed over.
const WHY_AND_LOSS: &[Field] = &[REASON, FORCE];

pub fn list(data: &List, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Groups" }
        p { "Where the group of each room stands on its topics, on the command line " code { "wardline groups ls" } ". Read " (ago(data.at, frame.now)) " ago." }
        @if let Some(why) = &data.resets_unknown { p.error role="alert" { "Whether resets wait is not known: " (why) "." } }
        (waiting(&data.resets, frame))
        @if data.groups.is_empty() { p { "This installation has no room that reads." } } @else {
            div.scroll {
                table.stack {
                    caption { "Rooms that read, in the order in which an event meets them" }
                    thead { tr { th { "Room" } th { "Group" } th { "Room here" } th.right { "Members" } th.right { "Records behind" } th.right { "Oldest of them" } th { "What it does" } } }
                    tbody { @for row in &data.groups { (list_row(row)) } }
                }
            }
        }
    };
    Page::live("Groups", body)
}

fn list_row(row: &Row) -> Markup {
    let group = &row.group;
    let standing = group.standing.as_ref();
    html! {
        tr data-row=(group.room) tabindex="-1" {
            td data-name="Room" { a href={ "/groups/" (group.room) } { (group.room) } }
            td data-name="Group" { (state(row)) }
            td data-name="Room here" { span.muted { (row.state_here.unwrap_or("runs elsewhere")) } }
            @match standing {
                Some(standing) => {
                    td.right data-name="Members" { span { (standing.members.len()) } }
                    td.right data-name="Behind" { span { (number(i128::from(standing.lag_records))) } }
                    td.right data-name="Oldest" { span { (age(standing.oldest_s)) } }
                },
                None => {
                    td.right data-name="Members" { "-" }
                    td.right data-name="Behind" { span title=[group.unknown.as_deref()] { "not known" } }
                    td.right data-name="Oldest" { "-" }
                },
            }
            td.wide data-name="Does" { span { (group.purpose) } }
        }
    }
}

pub fn one(data: &One, frame: &Frame<'_>) -> Page {
    let group = &data.row.group;
    let body = html! {
        p { a href="/groups" { "Groups" } }
        h1 { "Group of " (group.room) }
        p { (group.purpose) }
        @match &group.standing {
            None => p.error role="alert" { "Where it stands is not known: " (group.unknown.as_deref().unwrap_or_default()) "." },
            Some(standing) => {
                (facts(&[
                    ("Group", state(&data.row)),
                    ("Room here", html! { (data.row.state_here.unwrap_or("runs elsewhere")) }),
                    ("Members", html! { @if standing.members.is_empty() { "none" } @else { (standing.members.join(", ")) } }),
                    ("Records behind", html! { (number(i128::from(standing.lag_records))) }),
                    ("Oldest of them", html! { (age(standing.oldest_s)) }),
                    ("Read", html! { (ago(data.at, frame.now)) " ago" }),
                ]))
                (waiting(&data.resets, frame))
                (partitions(&standing.partitions))
            },
        }
        @if frame.may(Right::Act) {
            h2 { "Set where it goes on" }
            p.muted {
                "A " a href="/replay" { "replay" } " processes records again beside the live flow and is the first choice. A reset is for what a replay cannot do: load files again, or pass over what must never be processed. "
                "The room stands still meanwhile: stop all its instances first. On the command line: " code { "wardline groups reset " (group.room) " --to PLACE" } "."
            }
            (form(frame, &Act {
                action: format!("/groups/{}/preview", group.room),
                label: "Look what it comes to",
                help: "Counts the records that are read again or passed over. Nothing is changed.",
                fields: PREVIEW,
                hidden: Vec::new(),
                is_grave: false,
            }))
        }
    };
    Page::live(format!("Group of {}", group.room), body)
}

pub fn preview(data: &Preview, frame: &Frame<'_>) -> Page {
    let plan = &data.plan;
    let field = |name: &'static str| data.asked.text(name).map(|text| (name, text.to_owned()));
    // The end of a topic moves on by itself: who passes everything over means also what has come since.
    let previewed = (data.asked.text("to") != Some("latest")).then(|| ("previewed", plan.id.clone()));
    let hidden = ["to", "topic", "partitions"].into_iter().filter_map(field).chain(previewed).collect();
    let body = html! {
        p { a href="/groups" { "Groups" } " / " a href={ "/groups/" (plan.room) } { (plan.room) } }
        h1 { "What a reset of " (plan.room) " comes to" }
        p.lead { (told(&plan.moves)) "." }
        p { "Nothing is changed yet." }
        @if let Some(why) = &plan.second_person { p.note { "A second person has to agree: " (why) "." } }
        (moves(&plan.moves))
        @if !plan.topics.is_empty() { (again(&plan.topics)) }
        @if frame.may(Right::Act) {
            (form(frame, &Act {
                action: format!("/groups/{}/reset", plan.room),
                label: if plan.second_person.is_some() { "Ask for this reset" } else { "Reset" },
                help: "It is counted once more. What differs from this page is not done.",
                fields: if plan.skipped > 0 { WHY_AND_LOSS } else { &WHY_AND_LOSS[..1] },
                hidden,
                is_grave: true,
            }))
        }
    };
    Page::still(format!("Reset of {}", plan.room), body)
}

/// What Kafka says of a group, in a word.
fn state(row: &Row) -> Markup {
    let Some(standing) = &row.group.standing else { return chip("not known", "bad") };
    match standing.state.as_deref() {
        None => chip("never read", "plain"),
        Some("Stable") => chip("stable", "good"),
        Some("Empty") => chip("nobody reads", "warn"),
        Some(other) => chip(&other.to_lowercase(), "warn"),
    }
}

fn age(seconds: u64) -> String {
    if seconds == 0 { "-".to_owned() } else { pretty(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)) }
}

fn waiting(resets: &[Requested], frame: &Frame<'_>) -> Markup {
    html! {
        @if !resets.is_empty() {
            h2 { "Resets that wait for a second person" }
            @for reset in resets {
                div.wait data-row=(reset.id) tabindex="-1" {
                    (facts(&[
                        ("Room", html! { a href={ "/groups/" (reset.room) } { (reset.room) } }),
                        ("Asked for by", html! { (reset.actor) ", " (time(reset.at)) }),
                        ("Why", html! { (reset.reason) }),
                        ("What", html! { (told(&reset.moves)) }),
                        ("Id", html! { span.mono { (reset.id) } }),
                        ("By command", html! { code { "wardline groups approve " (reset.id) " --actor NAME" } }),
                    ]))
                    details { summary { "By partition" } (moves(&reset.moves)) }
                    (agree(reset, frame))
                }
            }
        }
    }
}

/// Who asked is told that somebody else has to agree.
fn agree(reset: &Requested, frame: &Frame<'_>) -> Markup {
    let is_own = frame.person.is_some_and(|person| operations::same_person(&person.name, &reset.actor));
    html! {
        @if is_own { p.muted { "You have asked for it: somebody else has to agree." } }
        @else if frame.may(Right::Approve) {
            (form(frame, &Act {
                action: "/groups/approve".to_owned(),
                label: &format!("Agree to {}", reset.id),
                help: "With you as the second person it is done at once, when the room still stands where it stood.",
                fields: COMMENT,
                hidden: vec![("id", reset.id.clone())],
                is_grave: true,
            }))
        }
    }
}

fn partitions(all: &[PartitionStanding]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "By partition. Next: the record that is handled next; end: where the next one that is written will stand; behind: what lies between" }
                thead { tr { th { "Topic" } th.right { "Partition" } th.right { "Next offset" } th.right { "End" } th.right { "Records behind" } th.right { "Oldest of them" } } }
                tbody {
                    @for one in all {
                        @let lag = &one.lag;
                        tr {
                            td data-name="Topic" { span.mono { (lag.topic) } }
                            td.right data-name="Partition" { span { (lag.partition) } }
                            td.right data-name="Next offset" { span { @match lag.committed { Some(next) => (number(i128::from(next))), None => "never read" } } }
                            td.right data-name="End" { span { (number(i128::from(lag.end))) } }
                            td.right data-name="Behind" { span { (number(i128::from(lag.lag))) } }
                            td.right data-name="Oldest" { span { (age(one.oldest_s)) } }
                        }
                    }
                }
            }
        }
    }
}

fn moves(all: &[Move]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "From where to where" }
                thead { tr { th { "Topic" } th.right { "Partition" } th.right { "Stands at" } th.right { "Goes on at" } th.right { "Read again" } th.right { "Passed over" } } }
                tbody {
                    @for one in all {
                        tr {
                            td data-name="Topic" { span.mono { (one.topic) } }
                            td.right data-name="Partition" { span { (one.partition) } }
                            td.right data-name="Stands at" { span { @match one.from { Some(from) => (number(i128::from(from))), None => "nowhere" } } }
                            td.right data-name="Goes on at" { span { (number(i128::from(one.to))) } }
                            td.right data-name="Read again" { span { (number(i128::from(one.again))) } }
                            td.right data-name="Passed over" { span { (number(i128::from(one.skipped))) } }
                        }
                    }
                }
            }
        }
    }
}

fn again(all: &[TopicAgain]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption { "What reading again comes to" }
                thead { tr { th { "Topic" } th.right { "Worked on again" } th.right { "Keys" } th.right { "Cannot be read" } th.right { "Parked already" } } }
                tbody {
                    @for one in all {
                        tr {
                            td data-name="Topic" { span.mono { (one.topic) } }
                            td.right data-name="Again" { span { (number(i128::from(one.records))) } }
                            td.right data-name="Keys" { span { (number(i128::from(one.keys))) } }
                            td.right data-name="Unreadable" { span { (number(i128::from(one.unreadable))) } }
                            td.right data-name="Parked" { span { (number(i128::from(one.waiting))) } }
                        }
                    }
                }
            }
        }
    }
}
