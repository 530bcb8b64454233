//! Small parts of pages.

use super::{Frame, zone};
use crate::fields::{Field, Fields, Kind};
use maud::{Markup, html};
use operations::Zone;

/// A form that does something.
pub struct Act<'a> {
    /// Where it is sent.
    pub action: String,
    /// What the button says.
    pub label: &'a str,
    /// What it does, in one sentence.
    pub help: &'a str,
    /// What it takes.
    pub fields: &'a [Field],
    /// Values that are sent along.
    pub hidden: Vec<(&'a str, String)>,
    /// Whether it cannot be taken back.
    pub is_grave: bool,
}

/// A link to the page of a code.
pub fn code_link(code: &str) -> Markup {
    html! { a.code href={ "/errors/" (code) } { (code) } }
}

/// A word in a frame; `kind` gives its colour.
pub fn chip(text: &str, kind: &str) -> Markup {
    html! { span.chip.(kind) { (text) } }
}

/// Microseconds since 1970 as a time that people read, in the time zone of the page.
pub fn time(micros: i64) -> Markup {
    moment(micros, |zone| zone.text(micros))
}

/// The same with its milliseconds.
pub fn time_milli(micros: i64) -> Markup {
    moment(micros, |zone| zone.milli(micros))
}

fn moment(micros: i64, tell: impl FnOnce(&Zone) -> String) -> Markup {
    let Ok(time) = jiff::Timestamp::from_microsecond(micros) else { return html! { "-" } };
    if micros == 0 {
        return html! { "-" };
    }
    let exact = time.to_string();
    let told = zone::told(tell);
    // What belongs together is not broken apart.
    let told = told.rsplit_once(' ').map_or(told.clone(), |(time, mark)| format!("{time}\u{a0}{mark}"));
    html! { time datetime=(exact) title=(exact) { (told) } }
}

/// How long ago that was.
pub fn ago(micros: i64, now: i64) -> String {
    if micros <= 0 {
        return "-".to_owned();
    }
    pretty(now.saturating_sub(micros).max(0) / 1_000)
}

/// A duration in milliseconds, as people say it.
pub fn pretty(milliseconds: i64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number with thin spaces between its thousands.
pub fn number(value: impl Into<i128>) -> String {
    let value = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Names and what they are; what is empty is left out.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows.iter().filter(|(_, value)| !value.0.is_empty()) {
                dt { (name) }
                dd { (value) }
            }
        }
    }
}

/// Links to the pages of a list.
pub fn pager(path: &str, query: &Fields, page: usize, rows: usize, total: usize) -> Markup {
    let last = total.div_ceil(rows.max(1)).max(1);
    let to = |page: usize| format!("{path}{}", query.query_with("page", Some(&page.to_string())));
    html! {
        @if last > 1 {
            nav.pager aria-label="Pages of the list" {
                @if page > 1 { a rel="prev" href=(to(page - 1)) { "Previous" } }
                span { "Page " (page) " of " (last) ", " (number(total as i128)) " in all" }
                @if page < last { a rel="next" href=(to(page + 1)) { "Next" } }
            }
        }
    }
}

/// A form that does something, with the token of the session.
pub fn form(frame: &Frame<'_>, act: &Act<'_>) -> Markup {
    form_filled(frame, act, &Fields::default())
}

/// The same with values in its fields: people look at them, change them and send them.
pub fn form_filled(frame: &Frame<'_>, act: &Act<'_>, values: &Fields) -> Markup {
    let id = |name: &str| format!("f-{}-{name}", act.label.to_lowercase().replace(' ', "-"));
    html! {
        form.act.grave[act.is_grave] method="post" action=(act.action) {
            input type="hidden" name="form_token" value=(frame.form_token);
            @for (name, value) in &act.hidden { input type="hidden" name=(name) value=(value); }
            p.help { (act.help) }
            @for field in act.fields {
                @let id = id(field.name);
                label for=(id) {
                    (field.what) @if !field.required { span.muted { " (optional)" } }
                }
                @match field.kind {
                    Kind::Text(most) => textarea id=(id) name=(field.name) rows="2" maxlength=(most) required[field.required] { (values.text(field.name).unwrap_or_default()) },
                    Kind::Line(most) => input id=(id) name=(field.name) type="text" maxlength=(most) value=[values.text(field.name)] required[field.required] autocomplete="off";,
                    Kind::Number => input id=(id) name=(field.name) type="number" value=[values.text(field.name)] required[field.required];,
                    Kind::Flag => input id=(id) name=(field.name) type="checkbox" value="true";,
                    Kind::OneOf(all) => select id=(id) name=(field.name) {
                        @if !field.required { option value="" { "any" } }
                        @for one in all { option value=(one) { (one) } }
                    },
                }
            }
            button type="submit" { (act.label) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_as_people_say_them() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (-1_234_567, "-1\u{202f}234\u{202f}567")]
        {
            assert_eq!(number(value), text);
        }
        for (milliseconds, text) in
            [(12, "12 ms"), (61_000, "61 s"), (600_000, "10 min"), (7_200_000, "2 h"), (999_999_999, "11 days")]
        {
            assert_eq!(pretty(milliseconds), text);
        }
        assert_eq!(ago(0, 5), "-");
        assert_eq!(
            time(1_000_000).0,
            "<time datetime=\"1970-01-01T00:00:01Z\" title=\"1970-01-01T00:00:01Z\">1970-01-01 00:00:01\u{a0}UTC</time>"
        );
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let shown = facts(&[("message", html! { ("<script>alert(1)</script>") }), ("empty", html! {})]).0;
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
        assert!(!shown.contains("empty"));
    }
}
