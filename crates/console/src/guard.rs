//! What stands between a request and its handler: who asks, whether they may, and whether the request is their own.

use crate::config::ConsoleConfig;
use crate::fields::Fields;
use crate::people::session::Refusal;
use crate::people::{By, Person, Right, of_token};
use crate::problem::Problem;
use crate::state::Console;
use crate::trail::Entry;
use axum::http::{HeaderMap, StatusCode, header};
use std::net::IpAddr;

/// Field of a form, and header of a call, that carries the token of the session.
pub const FORM_TOKEN: &str = "form_token";
const FORM_TOKEN_HEADER: &str = "x-form-token";

/// Who asks, as far as the request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who is known.
    Known(Person),
    /// Nobody says who they are.
    Nobody,
    /// A session that is over.
    Over,
    /// A cookie or a token that is none.
    Forged,
}

/// Name of the cookie of a session. The prefix makes browsers refuse one that was not set by this very host over TLS.
#[must_use]
pub fn cookie_name(config: &ConsoleConfig) -> &'static str {
    if config.is_secure() { "__Host-wardline" } else { "wardline" }
}

/// Name of the cookie of a sign-in at the identity provider.
#[must_use]
pub fn ticket_name(config: &ConsoleConfig) -> &'static str {
    if config.is_secure() { "__Host-wardline-oidc" } else { "wardline-oidc" }
}

/// Finds out who asks.
pub fn caller(console: &Console, headers: &HeaderMap) -> Caller {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        return match token.and_then(|token| of_token(&console.config, token.trim())) {
            Some(person) => Caller::Known(person),
            None => Caller::Forged,
        };
    }
    let Some(value) = cookie(headers, cookie_name(&console.config)) else { return Caller::Nobody };
    match console.sessions.of_cookie(value, console.now_s(), |session| console.proof_of(session)) {
        Ok(session) => match console.role_of(&session) {
            Some(role) => Caller::Known(Person { name: session.user.clone(), role, by: By::Session(session) }),
            None => Caller::Forged,
        },
        Err(Refusal::Over) => Caller::Over,
        Err(Refusal::Forged) => Caller::Forged,
    }
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Whether somebody may use a route. What is denied goes on record.
///
/// # Errors
/// When nobody has signed in, or the role lacks the right.
pub fn admit(
    console: &Console,
    caller: Caller,
    right: Right,
    what: &str,
    address: IpAddr,
) -> Result<Option<Person>, Problem> {
    match caller {
        Caller::Known(person) if person.role.has(right) => Ok(Some(person)),
        Caller::Known(person) => {
            let problem = Problem::new(
                StatusCode::FORBIDDEN,
                "WL-7125",
                "Not allowed",
                format!("the role {} may not {}", person.role.name(), right.text()),
            )
            .next(format!("ask somebody with the role {} or higher", right.least().name()));
            deny(console, &problem, Some(&person), what, address);
            Err(problem)
        }
        Caller::Forged => {
            deny(
                console,
                &Problem::unknown_person(),
                None,
                &format!("{what}, with a cookie or token that is none"),
                address,
            );
            if right == Right::Open { Ok(None) } else { Err(Problem::unknown_person()) }
        }
        Caller::Nobody | Caller::Over if right == Right::Open => Ok(None),
        Caller::Over => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "WL-7138",
            "The session is over",
            "the session was not used for a while, is too old, or was ended",
        )
        .next("sign in again")),
        Caller::Nobody => Err(Problem::unknown_person()),
    }
}

/// Whether a request that changes something was sent by a page of this console. A token is not sent by a browser by itself, so
/// what carries one needs no such proof.
///
/// # Errors
/// When it comes from another site, or without the token of its session.
pub fn check_origin(
    console: &Console,
    person: Option<&Person>,
    headers: &HeaderMap,
    fields: &mut Fields,
) -> Result<(), Problem> {
    let sent = fields.take(FORM_TOKEN);
    if matches!(person.map(|person| &person.by), Some(By::Token)) {
        return Ok(());
    }
    if !is_own(&console.config, headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "WL-7126",
            "From another site",
            "the form was not sent by a page of this console",
        )
        .next("open the console at its own address, and do it there"));
    }
    let Some(By::Session(session)) = person.map(|person| &person.by) else { return Ok(()) };
    let header = headers.get(FORM_TOKEN_HEADER).and_then(|value| value.to_str().ok());
    let token = sent.as_deref().or(header).unwrap_or_default();
    if console.sessions.is_form_token(session, token) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "WL-7127",
        "Not a form of this session",
        "the form does not carry the token of this session",
    )
    .next("load the page again, and send its form"))
}

/// Puts on record what somebody was denied.
pub fn deny(console: &Console, problem: &Problem, person: Option<&Person>, what: &str, address: IpAddr) {
    console.trail.denied(Entry {
        code: problem.code.to_string(),
        detail: format!("denied: {what}, from {address}"),
        actor: person.map(|person| person.name.clone()),
        ..Entry::default()
    });
}

/// Where a request comes from: past the proxies that are trusted, the last address that they were told.
#[must_use]
pub fn address(proxies: usize, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if proxies == 0 {
        return peer;
    }
    let all = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let told: Vec<&str> = all.flat_map(|value| value.split(',')).map(str::trim).collect();
    let place = told.len().checked_sub(proxies);
    place.and_then(|place| told.get(place)).and_then(|text| text.parse().ok()).unwrap_or(peer)
}

/// What a browser says of where the form was: both words of it must fit, and at least one must be there.
fn is_own(config: &ConsoleConfig, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site").map(|site| site == "same-origin");
    let origin = text("origin").map(|origin| match &config.origin {
        Some(own) => origin == own,
        None => {
            let scheme = if config.is_secure() { "https://" } else { "http://" };
            origin.strip_prefix(scheme).is_some_and(|host| Some(host) == text("host"))
        }
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_form_of_another_site_is_told_by_either_word_of_the_browser() {
        let plain = ConsoleConfig::default();
        let named = ConsoleConfig { origin: Some("https://wl.example".to_owned()), ..ConsoleConfig::default() };
        let proxied = ConsoleConfig { behind_tls: true, ..ConsoleConfig::default() };
        for (config, pairs, own) in [
            (&plain, &[("host", "127.0.0.1:1"), ("origin", "http://127.0.0.1:1")][..], true),
            (&plain, &[("host", "127.0.0.1:1"), ("sec-fetch-site", "same-origin")], true),
            (&plain, &[("host", "127.0.0.1:1"), ("origin", "http://127.0.0.1:2")], false),
            (&plain, &[("host", "127.0.0.1:1"), ("origin", "https://127.0.0.1:1")], false),
            (&plain, &[("host", "127.0.0.1:1"), ("origin", "null")], false),
            (&plain, &[("host", "h"), ("origin", "http://h"), ("sec-fetch-site", "cross-site")], false),
            (&plain, &[("host", "h"), ("sec-fetch-site", "same-site")], false),
            (&plain, &[("host", "h")], false),
            (&named, &[("host", "inside"), ("origin", "https://wl.example")], true),
            (&named, &[("host", "inside"), ("origin", "http://inside")], false),
            (&proxied, &[("host", "h"), ("origin", "https://h")], true),
            (&proxied, &[("host", "h"), ("origin", "http://h")], false),
        ] {
            assert_eq!(is_own(config, &headers(pairs)), own, "{pairs:?}");
        }
    }

    #[test]
    fn the_address_is_read_past_the_trusted_proxies_and_no_further() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let told = headers(&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2")]);
        let read = |proxies, headers: &HeaderMap| address(proxies, peer, headers).to_string();
        assert_eq!(read(0, &told), "10.0.0.1", "nobody is trusted");
        assert_eq!(read(1, &told), "10.0.0.2");
        assert_eq!(read(2, &told), "192.0.2.7");
        assert_eq!(read(9, &told), "10.0.0.1");
        assert_eq!(read(1, &headers(&[("x-forwarded-for", "<script>")])), "10.0.0.1");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let found = headers(&[("cookie", "a=1; wardline=x.y=; b")]);
        assert_eq!(cookie(&found, "wardline"), Some("x.y="));
        assert_eq!(cookie(&found, "b"), None);
    }
}
