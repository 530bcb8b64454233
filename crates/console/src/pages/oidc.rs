//! To sign in at the identity provider of the hospital, and to come back.

use super::sign_in::{carried_through, own_path, signed_in, too_many};
use crate::ask::{Answer, Ask, Elsewhere};
use crate::fields::{Field, Kind};
use crate::people::oidc::{Answered, Oidc, OidcError};
use crate::people::session::{Session, Vouched};
use crate::problem::Problem;
use crate::state::Console;
use crate::trail::Entry;
use axum::http::StatusCode;
use runtime::clock;
use std::sync::PoisonError;

/// What comes back from the provider. What else it sends is not looked at, as RFC 6749 demands.
pub const ANSWER: &[Field] = &[
    Field::optional("code", Kind::Text(4_096), "Code to ask for the token with"),
    Field::optional("state", Kind::Text(512), "Which sign-in it is about"),
    Field::optional("iss", Kind::Text(2_048), "Who answers"),
    Field::optional("error", Kind::Text(512), "Why there is no code"),
];

/// Sends somebody to the provider.
pub async fn begin(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let oidc = provider(console)?;
    check_throttle(&ask)?;
    let then = own_path(ask.query.text("then"));
    let begun =
        oidc.begin(&then, &console.sessions, console.now_s()).await.map_err(|error| problem(console, &error))?;
    Ok(Answer::Elsewhere(Elsewhere::SignIn { to: begun.address, cookie: begun.cookie }))
}

/// Opens a session for whom the provider sends back.
pub async fn answer(ask: Ask) -> Result<Answer, Problem> {
    let oidc = provider(&ask.console)?;
    check_throttle(&ask)?;
    let turn = oidc.turn().await.map_err(|error| problem(&ask.console, &error))?;
    carried_through(async move {
        let finished = finish(&ask).await;
        drop(turn);
        finished
    })
    .await
}

async fn finish(ask: &Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let oidc = provider(console)?;
    // Whoever has waited for a turn is counted by what failed meanwhile.
    check_throttle(ask)?;
    let answered = Answered {
        cookie: ask.ticket.as_deref(),
        code: ask.query.text("code"),
        state: ask.query.text("state"),
        issuer: ask.query.text("iss"),
        error: ask.query.text("error"),
    };
    let now_s = console.now_s();
    let is_taken = |name: &str| console.is_local(name);
    let known = match oidc.finish(answered, &console.sessions, now_s, is_taken).await {
        Ok(known) => known,
        Err(error) => {
            console.throttle.lock().unwrap_or_else(PoisonError::into_inner).failed_from(ask.address, clock::tick());
            let problem = problem(console, &error);
            console.trail.denied(Entry {
                code: problem.code.to_string(),
                detail: format!("denied: sign in by the identity provider, from {}: {}", ask.address, problem.detail),
                ..Entry::default()
            });
            return Err(problem);
        }
    };
    let how = format!("signed in by the identity provider as {}", known.role.name());
    signed_in(ask, &known.name, &how);
    let until_s = now_s.saturating_add(i64::try_from(oidc.config().session_max_s).unwrap_or(i64::MAX));
    let vouched = Some(Vouched { role: known.role, until_s });
    let session = Session { vouched, ..console.sessions.open(&known.name, now_s) };
    Ok(Answer::Elsewhere(Elsewhere::Back { opened: (session, oidc.config().proof()), then: known.then }))
}

fn provider(console: &Console) -> Result<&Oidc, Problem> {
    console.oidc.as_ref().ok_or_else(|| Problem::not_found("no identity provider is configured"))
}

/// Each step makes this console ask the provider, so it is not repeated without end.
fn check_throttle(ask: &Ask) -> Result<(), Problem> {
    let throttle = ask.console.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    throttle.wait_of_address(ask.address, clock::tick()).map_or(Ok(()), |wait| Err(too_many(wait)))
}

fn problem(console: &Console, error: &OidcError) -> Problem {
    if matches!(error, OidcError::Away(_) | OidcError::Unusable(_)) {
        tracing::warn!(%error, "nobody can sign in by the identity provider");
    }
    let (status, next) = match error {
        OidcError::Away(_) | OidcError::Unusable(_) if console.config.users.is_empty() => {
            (StatusCode::SERVICE_UNAVAILABLE, "try again in a minute, or tell who runs the identity provider")
        }
        OidcError::Away(_) | OidcError::Unusable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "try again in a minute; who has a name and a password for this console can sign in with them meanwhile",
        ),
        OidcError::Stray(_) => (StatusCode::BAD_REQUEST, "go to the page to sign in, and begin again"),
        OidcError::Refused(_) => (StatusCode::UNAUTHORIZED, "sign in again, or ask who runs the identity provider"),
        OidcError::Token(_) => (StatusCode::UNAUTHORIZED, "sign in again; when it stays so, tell an administrator"),
        OidcError::NoRole(_) => (StatusCode::FORBIDDEN, "ask an administrator for a group that has a role"),
        OidcError::Name(_) => (StatusCode::FORBIDDEN, "tell an administrator"),
    };
    let mut problem = Problem::said(status, "Not signed in", &error.to_string()).next(next);
    problem.retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(60);
    problem
}
