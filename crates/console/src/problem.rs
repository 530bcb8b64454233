//! What went wrong with a request: one value, shown as a page to people and as a problem document (RFC 9457) to programs.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Why a request was not answered as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status of the answer.
    pub status: StatusCode,
    /// Stable code, for example `WL-7130`.
    pub code: Cow<'static, str>,
    /// What it is, the same for each with this code.
    pub title: Cow<'static, str>,
    /// What happened this time, without patient data.
    pub detail: String,
    /// What to do next.
    pub next: Option<String>,
    /// Seconds after which trying again can help.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with a code of the console.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: Cow::Borrowed(code),
            title: Cow::Borrowed(title),
            detail: detail.into(),
            next: None,
            retry_after_s: None,
        }
    }

    /// A refusal of what was asked, in the words of another part of Wardline, which begin with its code.
    pub fn said(status: StatusCode, title: &'static str, what: &str) -> Self {
        let (code, detail) = match what.split_once(": ") {
            Some((code, detail)) if is_code(code) => (code.to_owned(), detail.to_owned()),
            _ => ("WL-7132".to_owned(), what.to_owned()),
        };
        Self { code: Cow::Owned(code), ..Self::new(status, "", title, detail) }
    }

    /// With what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Nobody has signed in.
    pub fn unknown_person() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "WL-7122",
            "Sign in first",
            "nobody has signed in, or the token is not known",
        )
        .next("sign in; a program sends `Authorization: Bearer TOKEN`")
    }

    /// There is no such page.
    pub fn no_page(path: &str) -> Self {
        let detail = format!("there is no page {}", shortened(path));
        Self::new(StatusCode::NOT_FOUND, "WL-7130", "No such page", detail).next("begin at the overview")
    }

    /// There is no such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "WL-7130", "Not found", what).next("look for it in the list")
    }

    /// The method fits no route.
    pub fn method(path: &str) -> Self {
        let detail = format!("{} cannot be asked so", shortened(path));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "WL-7130", "Not that way", detail)
            .next("look at /api/v1/openapi.json for what can be asked")
    }

    /// The body of a request did not come.
    pub fn body_too_slow() -> Self {
        let detail = "the body of the request was not there in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "WL-7140", "Too slow", detail).next("send it again; nothing was done")
    }

    /// A form or a parameter is not understood.
    pub fn not_understood(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "WL-7131", "Not understood", detail)
            .next("go back, correct it and send it again")
    }

    /// Kafka or the registry does not answer.
    pub fn unavailable(what: &str) -> Self {
        let mut problem = Self::said(StatusCode::SERVICE_UNAVAILABLE, "A part does not answer", what)
            .next("look whether the broker and the schema registry run, then try again");
        problem.retry_after_s = Some(10);
        problem
    }

    /// A defect.
    pub fn defect(what: &str) -> Self {
        tracing::error!(what, "a page could not be made");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "WL-7137",
            "Defect",
            "the page could not be made; the log says why",
        )
        .next("report it as a defect, with the time")
    }

    /// The problem document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": format!("/errors/{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "next": self.next,
        })
    }
}

/// The renderer of the frame shows it as the caller needs it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn is_code(text: &str) -> bool {
    text.strip_prefix("WL-").is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A path as it may be said back.
fn shortened(path: &str) -> String {
    path.chars().filter(|character| !character.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_another_part_is_kept() {
        let said = Problem::said(StatusCode::CONFLICT, "Refused", "WL-7071: exception e1 was discarded");
        assert_eq!((said.code.as_ref(), said.detail.as_str()), ("WL-7071", "exception e1 was discarded"));
        let bare = Problem::said(StatusCode::CONFLICT, "Refused", "no answer: none");
        assert_eq!((bare.code.as_ref(), bare.detail.as_str()), ("WL-7132", "no answer: none"));
    }

    #[test]
    fn a_problem_document_has_what_the_rfc_names() {
        let document = Problem::no_page("/x\r\ny").to_json();
        assert_eq!(document["type"], "/errors/WL-7130");
        assert_eq!(document["status"], 404);
        assert_eq!(document["detail"], "there is no page /xy");
    }
}
