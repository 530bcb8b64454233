//! Sign-in with the identity provider of the hospital: OpenID Connect, authorization code with PKCE.
//!
//! [`begin`](Oidc::begin) sends somebody to the provider, [`finish`](Oidc::finish) makes of what comes back a name and a role. What
//! is under way stands in a signed cookie, so several consoles can share it. Users of the configuration stay beside it, for a
//! laptop and for the day on which the provider is away.

pub mod config;
mod provider;
mod ticket;
mod token;

pub use config::OidcConfig;

use crate::config::ConfigError;
use crate::people::Role;
use crate::people::session::Sessions;
use provider::Provider;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use ticket::Ticket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Path to which the provider sends people back.
pub const BACK: &str = "/sign-in/oidc/answer";
/// Most answers of the provider that are followed up at the same time.
const AT_ONCE: usize = 8;
/// Most sign-ins whose end is remembered, so that none ends twice.
const ENDED_MAX: usize = 10_000;

/// Hexadecimal digits of an identity.
const IDENTITY_DIGITS: usize = 16;

/// Sign-in with one provider.
pub struct Oidc {
    config: OidcConfig,
    /// Where the provider sends people back.
    redirect: String,
    /// Where it sends people who signed out.
    signed_out: String,
    provider: Provider,
    turns: Arc<Semaphore>,
    ended: Mutex<VecDeque<(String, i64)>>,
}

/// A sign-in that begins.
pub struct Begun {
    /// Where the person goes now.
    pub address: String,
    /// Value of the cookie that comes back with them.
    pub cookie: String,
}

/// What comes back from the provider with a person.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered<'a> {
    /// The cookie of the sign-in.
    pub cookie: Option<&'a str>,
    /// The code to ask for the token with.
    pub code: Option<&'a str>,
    /// Which sign-in it is about.
    pub state: Option<&'a str>,
    /// Who answers (RFC 9207), where the provider says so.
    pub issuer: Option<&'a str>,
    /// Why there is no code.
    pub error: Option<&'a str>,
}

/// Somebody whom the provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name that goes on record.
    pub name: String,
    /// What their groups let them do.
    pub role: Role,
    /// Path to go on to.
    pub then: String,
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer.
    #[error("WL-7220: the identity provider does not answer: {0}")]
    Away(String),
    /// The provider answers what cannot be used.
    #[error("WL-7221: the identity provider cannot be used: {0}")]
    Unusable(String),
    /// What came back belongs to no sign-in that began here.
    #[error("WL-7222: this answer belongs to no sign-in that is under way here: {0}")]
    Stray(&'static str),
    /// The provider said no.
    #[error("WL-7223: the identity provider refused the sign-in: {0}")]
    Refused(String),
    /// The token must not be believed.
    #[error("WL-7224: the ID token must not be believed: {0}")]
    Token(String),
    /// No group of the person gives a role.
    #[error("WL-7225: no group of {0} gives a role here")]
    NoRole(String),
    /// The name cannot go on record.
    #[error("WL-7226: the name of the identity provider cannot be used: {0}")]
    Name(&'static str),
}

impl From<token::Fault> for OidcError {
    fn from(fault: token::Fault) -> Self {
        match fault {
            token::Fault::UnknownKey => Self::Token("the provider does not publish the key that signed it".to_owned()),
            token::Fault::Invalid(reason) => Self::Token(reason),
        }
    }
}

impl Oidc {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When authorities cannot be read.
    pub fn new(config: &OidcConfig, origin: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            redirect: format!("{origin}{BACK}"),
            signed_out: format!("{origin}/sign-in"),
            provider: Provider::new(config)?,
            config: config.clone(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            ended: Mutex::default(),
        })
    }

    /// Its block of the configuration.
    #[must_use]
    pub const fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Begins a sign-in that goes on to a path of this console.
    ///
    /// # Errors
    /// When the provider does not answer, or cannot be used.
    pub async fn begin(&self, then: &str, sessions: &Sessions, now_s: i64) -> Result<Begun, OidcError> {
        let metadata = self.provider.metadata().await?;
        let ticket = Ticket::new(then, now_s);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &ticket.state(sessions))
            .append_pair("nonce", &ticket.nonce(sessions))
            .append_pair("code_challenge", &ticket.challenge(sessions))
            .append_pair("code_challenge_method", "S256")
            .finish();
        Ok(Begun { address: with_query(&metadata.authorization_endpoint, &query), cookie: ticket.cookie(sessions) })
    }

    /// Ends a sign-in with what came back; `is_taken` tells the names of local users.
    ///
    /// # Errors
    /// See [`OidcError`].
    pub async fn finish(
        &self,
        answered: Answered<'_>,
        sessions: &Sessions,
        now_s: i64,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<Known, OidcError> {
        let patience_s = seconds(self.config.patience_s);
        let cookie = answered.cookie.ok_or(OidcError::Stray("the browser began none, or took too long"))?;
        let ticket = Ticket::of_cookie(cookie, sessions, now_s, patience_s)
            .ok_or(OidcError::Stray("it began too long ago, or elsewhere"))?;
        let is_own = answered.state.is_some_and(|state| ticket.is_state(sessions, state));
        if !is_own || answered.issuer.is_some_and(|issuer| issuer != self.config.issuer) {
            return Err(OidcError::Stray("it is about another sign-in"));
        }
        if !self.end(&ticket, now_s, patience_s) {
            return Err(OidcError::Stray("it came before"));
        }
        let Some(code) = answered.code else { return Err(OidcError::Refused(word(answered.error))) };
        let id_token = self.provider.exchange(code, &ticket.verifier(sessions), &self.redirect).await?;
        let nonce = ticket.nonce(sessions);
        let expected = token::Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &nonce,
            now_s,
            skew_s: seconds(self.config.clock_skew_s),
        };
        let claims = self.provider.verified(&id_token, &expected).await?;
        let name = token::texts(&claims, &self.config.name_claim).first().copied().unwrap_or_default().to_owned();
        if !super::is_name(&name) {
            return Err(OidcError::Name("it is missing, or has other signs than letters, digits and .-_@"));
        }
        if is_taken(&name) {
            return Err(OidcError::Name("a user of the configuration has it, and the record must tell them apart"));
        }
        let groups = token::texts(&claims, &self.config.roles_claim);
        let role = self.config.role(groups).ok_or_else(|| OidcError::NoRole(name.clone()))?;
        // People may change their names at many providers. Who agrees as the second person is told by what never changes.
        let subject = token::texts(&claims, "sub").first().copied().unwrap_or_default();
        let name = operations::identified(&name, &identity(&self.config.issuer, subject));
        Ok(Known { name, role, then: ticket.then })
    }

    /// A turn to follow an answer up: each may make this console ask the provider.
    ///
    /// # Errors
    /// Not as long as this lives.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, OidcError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|error| OidcError::Unusable(error.to_string()))
    }

    /// Where people who sign out here sign out at the provider too, where it offers that.
    pub async fn sign_out(&self) -> Option<String> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", &self.signed_out)
            .finish();
        self.provider.end_session().await.map(|address| with_query(&address, &query))
    }

    /// Whether a sign-in had not ended before.
    fn end(&self, ticket: &Ticket, now_s: i64, patience_s: i64) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|(_, until_s)| *until_s >= now_s);
        if ended.iter().any(|(id, _)| *id == ticket.id) {
            return false;
        }
        if ended.len() >= ENDED_MAX {
            ended.pop_front();
        }
        ended.push_back((ticket.id.clone(), ticket.since_s.saturating_add(patience_s)));
        true
    }
}

/// What stays of a person whatever name they give themselves, short enough to stand on record.
fn identity(issuer: &str, subject: &str) -> String {
    let mut digest = super::sha256_hex(format!("{issuer}\n{subject}").as_bytes());
    digest.truncate(IDENTITY_DIGITS);
    digest
}

/// A word of the protocol as it may be said back; anything else, which anybody may have written, is not.
fn word(text: Option<&str>) -> String {
    let is_word = |text: &&str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    text.filter(is_word).filter(|text| !text.is_empty()).unwrap_or("it does not say why").to_owned()
}

fn with_query(address: &str, query: &str) -> String {
    let sign = if address.contains('?') { '&' } else { '?' };
    format!("{address}{sign}{query}")
}

fn seconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_protocol_are_said_back() {
        assert_eq!(word(Some("access_denied")), "access_denied");
        for other in [None, Some(""), Some("<b>"), Some("call 555 now")] {
            assert_eq!(word(other), "it does not say why");
        }
    }

    #[test]
    fn an_address_keeps_its_own_query() {
        assert_eq!(with_query("https://a/b", "x=1"), "https://a/b?x=1");
        assert_eq!(with_query("https://a/b?p=q", "x=1"), "https://a/b?p=q&x=1");
    }
}
