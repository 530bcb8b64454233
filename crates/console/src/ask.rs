//! One request as handlers see it, and what they answer: the same for a page and for the API.

use crate::fields::Fields;
use crate::html::{Frame, Page};
use crate::people::session::Session;
use crate::people::{By, Person, Right};
use crate::problem::Problem;
use crate::state::Console;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A request that has passed the guard.
pub struct Ask {
    /// The console.
    pub console: Arc<Console>,
    /// Who asks; nobody where a route is open.
    pub person: Option<Person>,
    /// Parts of the path that the route names.
    pub path: BTreeMap<String, String>,
    /// What stands behind `?`.
    pub query: Fields,
    /// Fields of the body.
    pub body: Fields,
    /// Where the request comes from.
    pub address: IpAddr,
    /// Whether a program asks, through the API.
    pub is_api: bool,
    /// The cookie of a sign-in at the identity provider.
    pub ticket: Option<String>,
}

/// What is answered.
pub enum Answer {
    /// A page, or its data as JSON.
    Shown(Box<dyn Shown>),
    /// Something was done: a page says so where the person goes next, a program gets the result.
    Done(Done),
    /// Bytes as they are, for example a style sheet.
    File {
        /// Media type.
        content_type: &'static str,
        /// The bytes.
        bytes: std::borrow::Cow<'static, [u8]>,
        /// Whether they never change under their address.
        is_immutable: bool,
    },
    /// Bytes that a browser keeps as a file.
    Download {
        /// Media type.
        content_type: &'static str,
        /// Name of the file: letters, digits, dots and dashes.
        name: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A session begins (or ends, when it is none), and the person goes on there.
    Session {
        /// The session and the password hash of its user.
        opened: Option<(Session, String)>,
        /// Path of the next page.
        then: String,
    },
    /// The person goes to the identity provider, or has come from there.
    Elsewhere(Elsewhere),
    /// What the page shows is still being read.
    Later,
}

/// What is answered, and as of when it is.
pub struct Dated {
    /// The answer.
    pub answer: Answer,
    /// When the oldest of what it shows was read, microseconds since 1970.
    pub as_of: i64,
}

/// A step between this console and the identity provider.
pub enum Elsewhere {
    /// To the provider, with a cookie that comes back.
    SignIn {
        /// Address at the provider.
        to: String,
        /// The cookie of the sign-in.
        cookie: String,
    },
    /// Back from it, with a session.
    Back {
        /// The session, and what it depends on.
        opened: (Session, String),
        /// Path of the next page.
        then: String,
    },
    /// To the provider to sign out there; the session here has ended.
    SignOut {
        /// Address at the provider.
        to: String,
    },
}

/// What was done.
pub struct Done {
    /// One sentence for a person.
    pub said: String,
    /// Path of the next page.
    pub then: String,
    /// The result for a program.
    pub result: Value,
}

/// Data that is shown as a page or as JSON.
pub trait Shown: Send + Sync {
    /// As JSON.
    fn to_json(&self) -> Result<Value, Problem>;
    /// As a page.
    fn to_page(&self, frame: &Frame<'_>) -> Page;
}

struct View<T> {
    data: T,
    page: fn(&T, &Frame<'_>) -> Page,
}

impl<T: Serialize + Send + Sync> Shown for View<T> {
    fn to_json(&self) -> Result<Value, Problem> {
        serde_json::to_value(&self.data).map_err(|error| Problem::defect(&error.to_string()))
    }

    fn to_page(&self, frame: &Frame<'_>) -> Page {
        (self.page)(&self.data, frame)
    }
}

impl Answer {
    /// Data, and the page that shows them.
    pub fn view<T: Serialize + Send + Sync + 'static>(data: T, page: fn(&T, &Frame<'_>) -> Page) -> Self {
        Self::Shown(Box::new(View { data, page }))
    }

    /// Something was done.
    pub fn done(said: impl Into<String>, then: impl Into<String>, result: Value) -> Self {
        Self::Done(Done { said: said.into(), then: then.into(), result })
    }
}

impl Ask {
    /// A part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// Name of who asks.
    pub fn name(&self) -> &str {
        self.person.as_ref().map_or("", |person| person.name.as_str())
    }

    /// Whether who asks has a right.
    pub fn may(&self, right: Right) -> bool {
        self.person.as_ref().is_some_and(|person| person.role.has(right))
    }

    /// The session of who asks.
    pub fn session(&self) -> Option<&Session> {
        match &self.person.as_ref()?.by {
            By::Session(session) => Some(session),
            By::Token => None,
        }
    }

    /// The number of the page of a list that is asked for, from 1.
    pub fn page(&self) -> usize {
        self.query.number("page").and_then(|page| usize::try_from(page).ok()).unwrap_or(1).clamp(1, 1_000_000)
    }
}
