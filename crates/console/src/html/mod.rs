//! The frame around every page, and the small parts that pages are made of. Text is escaped where it is put in.

mod parts;
pub mod plot;
pub mod zone;

pub use parts::{Act, ago, chip, code_link, facts, form, form_filled, number, pager, pretty, time, time_milli};

use crate::people::{Person, Right};
use crate::problem::Problem;
use maud::{DOCTYPE, Markup, html};

/// What is known while a page is made.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Who looks.
    pub person: Option<&'a Person>,
    /// Token for the forms of this session.
    pub form_token: &'a str,
    /// Path of the page.
    pub path: &'a str,
    /// What was just done, once.
    pub said: Option<&'a str>,
    /// When the page is made, microseconds since 1970.
    pub now: i64,
    /// When the oldest of what it shows was read.
    pub as_of: i64,
    /// Name of the installation.
    pub tenant: &'a str,
    /// Where the installation has replays and the like.
    pub navigation: &'static [(&'static str, &'static str)],
}

/// A page.
pub struct Page {
    /// Title.
    pub title: String,
    /// What is in it.
    pub body: Markup,
    /// Whether and when a newer version of it is looked for.
    pub update: Update,
}

/// When a newer version of a page is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Not by itself.
    Never,
    /// Every few seconds, by the script.
    Live,
    /// At once: a part of it is still being read. Without the script the browser does it.
    Soon,
}

impl Page {
    /// A page that shows what is there now, and is kept up to date.
    pub fn live(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, update: Update::Live }
    }

    /// A page that does not change by itself.
    pub fn still(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, update: Update::Never }
    }

    /// A page of which a part is still being read.
    #[must_use]
    pub fn soon(self) -> Self {
        Self { update: Update::Soon, ..self }
    }

    /// In the place of a page that is still being read.
    #[must_use]
    pub fn later() -> Self {
        let body = html! { p #later role="status" { "This page is being read. What it shows appears here." } };
        Self::still("Being read", body).soon()
    }

    /// The page of a problem; `back` leads to where it was asked from.
    pub fn problem(problem: &Problem, back: Option<&str>) -> Self {
        let body = html! {
            h1 { (problem.title) }
            p.lead { (problem.detail) "." }
            @if let Some(next) = &problem.next { p { "What to do next: " (next) "." } }
            p.muted { "Code " (code_link(&problem.code)) ", status " (problem.status.as_u16()) "." }
            p {
                @if let Some(back) = back { a href=(back) { "Back to where you were" } ", or to the " a href="/" { "overview" } }
                @else { a href="/" { "Overview" } }
            }
        };
        Self::still(problem.title.clone(), body)
    }
}

impl Update {
    /// Pause before the script looks, milliseconds.
    fn pause_ms(self) -> Option<u32> {
        match self {
            Self::Never => None,
            Self::Live => Some(5_000),
            Self::Soon => Some(400),
        }
    }
}

impl Frame<'_> {
    /// Whether who looks has a right.
    pub fn may(&self, right: Right) -> bool {
        self.person.is_some_and(|person| person.role.has(right))
    }

    /// The whole document.
    pub fn render(&self, page: &Page) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (page.title) " - Wardline" }
                    link rel="stylesheet" href=(asset("console.css"));
                    link rel="icon" type="image/svg+xml" href=(asset("icon.svg"));
                    script src=(asset("console.js")) defer {}
                    @if page.update == Update::Soon { noscript { meta http-equiv="refresh" content="1"; } }
                }
                body data-live=[page.update.pause_ms()] {
                    a.skip href="#main" { "Skip to the content" }
                    (self.header())
                    main #main tabindex="-1" {
                        @if let Some(said) = self.said { p.said role="status" { (said) } }
                        (page.body)
                    }
                    (self.footer(page))
                }
            }
        }
    }

    fn header(&self) -> Markup {
        html! {
            header.top {
                div.site {
                    a.brand href="/" { (mark()) span { "Wardline" } }
                    span.tenant title=(self.tenant) { (self.tenant) }
                }
                @if let Some(person) = self.person {
                    nav aria-label="Pages" {
                        ul {
                            @for (path, name) in self.navigation {
                                li {
                                    a href=(path) aria-current=[is_here(self.path, path).then_some("page")] { (name) }
                                }
                            }
                        }
                    }
                    form.person method="post" action="/sign-out" {
                        input type="hidden" name="form_token" value=(self.form_token);
                        span { (operations::shown_name(&person.name)) " " span.muted { "(" (self.role(person)) ")" } }
                        button.quiet type="submit" { "Sign out" }
                    }
                }
            }
        }
    }

    /// What who looks may do; it leads administrators to what they alone may.
    fn role(&self, person: &Person) -> Markup {
        let name = person.role.name();
        html! { @if self.may(Right::Administer) { a href="/people" title="People, and the end of their sessions" { (name) } } @else { (name) } }
    }

    fn footer(&self, page: &Page) -> Markup {
        html! {
            footer.bottom {
                span {
                    "As of " span #as-of { (time(self.as_of)) }
                    @if page.update != Update::Never { span #live.muted data-text="updates by itself" {} }
                }
                span { "Keys: " kbd { "j" } " " kbd { "k" } " rows, " kbd { "Enter" } " open, " kbd { "?" } " all keys" }
            }
            dialog #keys aria-labelledby="keys-title" {
                h2 #keys-title { "Keys" }
                dl.facts {
                    dt { kbd { "j" } " / " kbd { "k" } } dd { "next, previous row" }
                    dt { kbd { "Enter" } } dd { "open the row" }
                    dt { kbd { "g" } " then a letter" } dd { "g o overview, g e exceptions, g w trace, g s service levels, g h activity, g r replays, g p groups, g c reconciliation, g m mappings, g d dead letters, g a audit, g t topics" }
                    dt { kbd { "/" } } dd { "to the filter or the search" }
                    dt { kbd { "Esc" } } dd { "close this" }
                }
                form method="dialog" { button type="submit" { "Close" } }
            }
        }
    }
}

/// Address of an asset, with its version, so that it can be kept for ever.
#[must_use]
pub fn asset(name: &str) -> String {
    format!("/assets/{}/{name}", crate::assets::version())
}

fn is_here(here: &str, path: &str) -> bool {
    here == path || (path != "/" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

/// The mark of Wardline.
fn mark() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            rect x="1" y="1" width="22" height="22" rx="5" fill="currentColor" opacity="0.15" {}
            path d="M4 13h4l2-7 4 12 2-5h4" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_here_below_its_path_too() {
        assert!(is_here("/exceptions/e1", "/exceptions") && is_here("/", "/"));
        assert!(!is_here("/exceptions", "/") && !is_here("/exceptionsx", "/exceptions"));
    }
}
