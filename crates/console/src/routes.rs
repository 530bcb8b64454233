//! The one table of routes: router, rights, checks and the document of the API are made from it.

mod table;

pub use self::table::{NAVIGATION, ROUTES};

use crate::ask::{Answer, Ask};
use crate::fields::Field;
use crate::people::Right;
use crate::problem::Problem;
use std::future::Future;
use std::pin::Pin;

/// What a handler gives.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// Whether a route changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Looks.
    Get,
    /// Does something.
    Post,
}

/// One thing that can be asked, as a page, through the API, or both.
pub struct Route {
    /// How.
    pub method: Method,
    /// Path of the page; parts in braces are named.
    pub page: Option<&'static str>,
    /// Path below `/api/v1`.
    pub api: Option<&'static str>,
    /// What one must be allowed.
    pub right: Right,
    /// Schema of what a call answers with, by its name in the document of the API; empty for what is a page alone.
    pub answer: &'static str,
    /// Media types in which a call can be answered besides JSON.
    pub also: &'static [&'static str],
    /// One sentence of what it gives or does.
    pub what: &'static str,
    /// What may stand behind `?`.
    pub query: &'static [Field],
    /// Whether anything else behind `?` is passed over; otherwise it is refused.
    pub is_lenient: bool,
    /// What a form or a body holds.
    pub body: &'static [Field],
    /// What answers.
    pub handler: fn(Ask) -> Answering,
}

impl Route {
    const fn get(
        page: &'static str,
        api: &'static str,
        answer: &'static str,
        what: &'static str,
        handler: fn(Ask) -> Answering,
    ) -> Self {
        let (method, page, api, right) = (Method::Get, Some(page), Some(api), Right::Look);
        Self { method, page, api, right, answer, also: &[], what, query: &[], is_lenient: false, body: &[], handler }
    }

    const fn act(
        page: &'static str,
        api: &'static str,
        answer: &'static str,
        what: &'static str,
        handler: fn(Ask) -> Answering,
    ) -> Self {
        Self { method: Method::Post, right: Right::Act, ..Self::get(page, api, answer, what, handler) }
    }

    const fn open(method: Method, page: &'static str, what: &'static str, handler: fn(Ask) -> Answering) -> Self {
        Self { method, right: Right::Open, api: None, ..Self::get(page, "", "", what, handler) }
    }

    const fn taking(self, query: &'static [Field], body: &'static [Field]) -> Self {
        Self { query, body, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    const fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    const fn with(self, right: Right) -> Self {
        Self { right, ..self }
    }
}

/// Begins every path of the API.
pub const API: &str = "/api/v1";

/// The page that an act is offered on, for whoever it is refused: `/exceptions/e1` of `/exceptions/e1/map`. None for what is a
/// page itself.
#[must_use]
pub fn offered_on(path: &str) -> Option<&str> {
    let is_page = |path: &str| {
        let pages = ROUTES.iter().filter(|route| route.method == Method::Get).filter_map(|route| route.page);
        pages.into_iter().any(|page| fits(page, path))
    };
    let acts = ROUTES.iter().filter(|route| route.method == Method::Post && route.right != Right::Open);
    if !acts.filter_map(|route| route.page).any(|page| fits(page, path)) {
        return None;
    }
    let ends = path.rmatch_indices('/').map(|(end, _)| &path[..end]);
    ends.into_iter().find(|above| !above.is_empty() && is_page(above))
}

fn fits(page: &str, path: &str) -> bool {
    let (named, said) = (page.split('/'), path.split('/'));
    named.clone().count() == said.clone().count()
        && named.zip(said).all(|(named, said)| if named.starts_with('{') { !said.is_empty() } else { named == said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_finds_back() {
        for (path, page) in [
            ("/exceptions/e1/map", Some("/exceptions/e1")),
            ("/exceptions/e1/correction/approve", Some("/exceptions/e1")),
            ("/dead-letters/0@1/original", Some("/dead-letters/0@1")),
            ("/replay/plan", Some("/replay")),
            ("/replay/shadow/run", Some("/replay/shadow")),
            ("/groups/enrich/reset", Some("/groups/enrich")),
            ("/groups/approve", Some("/groups")),
            ("/reconciliation/run", Some("/reconciliation")),
            ("/causes/retry", None),
            ("/exceptions/e1", None),
            ("/sign-in", None),
            ("//elsewhere.example/map", None),
            ("/nowhere", None),
        ] {
            assert_eq!(offered_on(path), page, "{path}");
        }
    }
}
