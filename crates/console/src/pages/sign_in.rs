//! To sign in and out.

use crate::ask::{Answer, Ask, Elsewhere};
use crate::ends;
use crate::fields::{Field, Kind};
use crate::html::{Frame, Page};
use crate::people::{password, session};
use crate::problem::Problem;
use crate::trail::{Entry, Trail};
use axum::http::StatusCode;
use maud::html;
use runtime::clock;
use serde::Serialize;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const THEN: Field = Field::optional("then", Kind::Line(2_000), "Path to go on to");

/// What the form takes behind `?`.
pub const QUERY: &[Field] = &[THEN];
/// What is sent.
pub const BODY: &[Field] = &[
    Field::required("user", Kind::Line(64), "Name"),
    Field::required("password", Kind::Text(password::BYTES_MAX), "Password"),
    THEN,
];

#[derive(Serialize)]
struct SignIn {
    then: String,
    /// What stands on the button that leads to the identity provider.
    provider: Option<String>,
    /// Whether anybody has a name and a password here.
    has_users: bool,
}

/// The form.
pub async fn form(ask: Ask) -> Result<Answer, Problem> {
    let then = own_path(ask.query.text("then"));
    if ask.person.is_some() {
        return Ok(Answer::done("You are signed in already.", then, serde_json::Value::Null));
    }
    let config = &ask.console.config;
    let provider = config.oidc.as_ref().map(|oidc| oidc.label.clone());
    Ok(Answer::view(SignIn { then, provider, has_users: !config.users.is_empty() }, page))
}

/// Checks name and password, and opens a session.
pub async fn sign_in(ask: Ask) -> Result<Answer, Problem> {
    // Hashing is dear on purpose: a few at a time, away from the threads that answer.
    let turn = Arc::clone(&ask.console.hashing).acquire_owned().await;
    let turn = turn.map_err(|error| Problem::defect(&error.to_string()))?;
    carried_through(async move {
        let checked = check(&ask).await;
        drop(turn);
        checked
    })
    .await
}

/// Goes on to the end also when whoever asked has hung up: what was tried is counted and on record, and keeps its turn until then.
pub async fn carried_through(
    trying: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Answer, Problem> {
    tokio::spawn(trying).await.unwrap_or_else(|error| Err(Problem::defect(&error.to_string())))
}

async fn check(ask: &Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let user = ask.body.text("user").unwrap_or_default().to_owned();
    let hash = console.hash_of(&user).map(str::to_owned);
    let throttle = || console.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever has waited for a turn is counted by what failed meanwhile.
    if let Some(wait) = throttle().wait(&user, hash.is_some(), ask.address, clock::tick()) {
        return Err(denied(ask, too_many(wait), hash.is_some()));
    }
    let secret = ask.body.raw("password").unwrap_or_default().to_owned();
    let matches = {
        let hash = hash.clone();
        let checking = tokio::task::spawn_blocking(move || password::verify(&secret, hash.as_deref()));
        checking.await.map_err(|error| Problem::defect(&error.to_string()))?
    };
    let Some(hash) = hash.filter(|_| matches) else {
        throttle().failed(&user, console.hash_of(&user).is_some(), ask.address, clock::tick());
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "WL-7123", "Not signed in", "name and password do not fit")
                .next("go back and try again, or ask an administrator for a new password");
        return Err(denied(ask, problem, console.hash_of(&user).is_some()));
    };
    throttle().succeeded(&user, ask.address);
    signed_in(ask, &user, "signed in");
    let session = console.sessions.open(&user, console.now_s());
    Ok(Answer::Session { opened: Some((session, hash)), then: own_path(ask.body.text("then")) })
}

/// Ends the session, and the one at the identity provider where that began it.
pub async fn sign_out(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    if let Some(session) = ask.session() {
        console.sessions.end(session, console.now_s());
        let mark = session::mark(session);
        tracing::info!(user = session.user, session = mark, address = %ask.address, "signed out");
        on_record(console.trail.clone(), ends::signed_out(ask.name(), &mark, ask.address));
        if let (Some(oidc), Some(_)) = (&console.oidc, &session.vouched)
            && let Some(to) = oidc.sign_out().await
        {
            return Ok(Answer::Elsewhere(Elsewhere::SignOut { to }));
        }
    }
    Ok(Answer::Session { opened: None, then: "/sign-in".to_owned() })
}

/// Puts on record that somebody signed in, and how.
pub fn signed_in(ask: &Ask, user: &str, how: &str) {
    let entry = Entry {
        code: "sign-in".to_owned(),
        detail: format!("{how}, from {}", ask.address),
        actor: Some(user.to_owned()),
        ..Entry::default()
    };
    // Nobody is kept out at night because the record of it cannot be written: it is in the log all the same.
    tracing::info!(user, address = %ask.address, "{how}");
    on_record(ask.console.trail.clone(), entry);
}

/// Nobody waits for the record.
fn on_record(trail: Trail, entry: Entry) {
    tokio::spawn(async move {
        let code = entry.code.clone();
        if let Err(problem) = trail.record(entry).await {
            tracing::error!(code, detail = problem.detail, "a sign-in or a sign-out is not on record");
        }
    });
}

/// Somebody must wait before they try again.
pub fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs().max(1);
    let mut problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "WL-7124",
        "Too many attempts",
        "too many attempts to sign in have failed",
    )
    .next(format!("wait {seconds} s; others can sign in meanwhile"));
    problem.retry_after_s = Some(seconds);
    problem
}

/// A name that nobody has is not repeated: people type passwords into the wrong field.
fn denied(ask: &Ask, problem: Problem, is_known: bool) -> Problem {
    let user = if is_known { ask.body.text("user").unwrap_or_default() } else { "somebody unknown" };
    ask.console.trail.denied(Entry {
        code: problem.code.to_string(),
        detail: format!("denied: sign in as {user}, from {}", ask.address),
        actor: is_known.then(|| user.to_owned()),
        ..Entry::default()
    });
    problem
}

/// A path of this console; anything else leads to the overview.
pub fn own_path(then: Option<&str>) -> String {
    let is_own = |path: &&str| {
        path.starts_with('/')
            && !path[1..].starts_with(['/', '\\'])
            && !path.starts_with("/sign-")
            && path.bytes().all(|byte| byte.is_ascii_graphic())
    };
    then.filter(is_own).unwrap_or("/").to_owned()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn page(data: &SignIn, frame: &Frame<'_>) -> Page {
    let body = html! {
        form.sign-in method="post" action="/sign-in" {
            h1 { "Sign in" }
            p.muted { "Wardline of " (frame.tenant) }
            @if let Some(label) = &data.provider {
                p { a.button href={ "/sign-in/oidc?then=" (encoded(&data.then)) } { (label) } }
            }
            @if data.has_users || data.provider.is_none() {
                input type="hidden" name="then" value=(data.then);
                label for="user" { "Name" }
                input #user name="user" type="text" maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus[data.provider.is_none()];
                label for="password" { "Password" }
                input #password name="password" type="password" maxlength=(password::BYTES_MAX) autocomplete="current-password" required;
                button type="submit" { "Sign in" }
            }
        }
    };
    Page::still("Sign in", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_one_stays_here() {
        for (then, path) in [
            (Some("/exceptions/e1?x=1"), "/exceptions/e1?x=1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/sign-in?then=/"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(own_path(then), path, "{then:?}");
        }
    }
}
