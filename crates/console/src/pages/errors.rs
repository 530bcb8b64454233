//! The page of an error code, as it stands in the documents of this version.

use crate::ask::{Answer, Ask};
use crate::html::{Frame, Page};
use crate::problem::Problem;
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, Parser, Tag};
use serde::Serialize;

mod built_in {
    include!(concat!(env!("OUT_DIR"), "/errors.rs"));
}

/// What stands in the documents about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorText {
    /// The code.
    pub code: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Its page: what happened, what Wardline did, what to do.
    pub markdown: &'static str,
}

/// The page of one code.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let found = error_text(ask.part("code"));
    Ok(Answer::view(found.ok_or_else(|| Problem::not_found("this version has no such code"))?, page))
}

/// The text of a code, when it is one of this version.
#[must_use]
pub fn error_text(code: &str) -> Option<ErrorText> {
    error_texts().find(|text| text.code == code)
}

/// The texts of all codes of this version, in order.
pub fn error_texts() -> impl Iterator<Item = ErrorText> {
    built_in::ALL.iter().map(|(code, markdown)| ErrorText { code, title: title(markdown), markdown })
}

/// What a code is called, when it is one of this version.
pub fn title_of(code: &str) -> Option<&'static str> {
    error_text(code).map(|text| text.title)
}

/// What is to be done about a code, as a part of a page.
pub fn advice(code: &str) -> Option<Markup> {
    let (_, advice) = error_text(code)?.markdown.split_once("## What to do")?;
    Some(rendered(advice))
}

fn title(markdown: &'static str) -> &'static str {
    let line = markdown.lines().next().unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, title)| title)
}

fn page(data: &ErrorText, _: &Frame<'_>) -> Page {
    Page::still(format!("{}: {}", data.code, data.title), html! { article { (rendered(data.markdown)) } })
}

/// The documents are our own, and raw HTML in them is shown as text all the same.
fn rendered(markdown: &str) -> Markup {
    let events = Parser::new(markdown).map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: here(&dest_url), title, id })
        }
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    });
    let mut text = String::new();
    pulldown_cmark::html::push_html(&mut text, events);
    PreEscaped(text)
}

/// A link between the pages of codes leads to the page here; other documents are not here.
fn here(target: &str) -> CowStr<'static> {
    match target.strip_suffix(".md") {
        Some(code) if code.starts_with("WL-") => format!("/errors/{code}").into(),
        _ if target.starts_with("https://") => target.to_owned().into(),
        _ => "#".into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_what_to_do_and_runs_nothing() {
        assert!(built_in::ALL.len() > 100);
        for (code, _) in built_in::ALL {
            let advice = advice(code).unwrap().into_string();
            assert!(advice.contains("<p>") || advice.contains("<ul>") || advice.contains("<ol>"), "{code}: {advice}");
            assert!(!title_of(code).unwrap().is_empty(), "{code}");
        }
        assert_eq!(title_of("WL-9999"), None);
        assert!(!rendered("<script>x</script>").into_string().contains("<script"));
        assert!(rendered("[a](WL-6001.md)").into_string().contains("href=\"/errors/WL-6001\""));
    }
}
