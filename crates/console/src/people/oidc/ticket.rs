//! A sign-in that is under way at the provider, in a signed cookie: several consoles share it as they share sessions.

use crate::people::session::Sessions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest cookie that is looked at, bytes.
const COOKIE_MAX: usize = 4_096;

/// What the cookie says. What the provider must not be told in advance, and what must come back from it, is derived from the id
/// with the key of the sessions, so the cookie holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Which sign-in.
    pub id: String,
    /// When it began, seconds since 1970.
    pub since_s: i64,
    /// Path to go on to.
    pub then: String,
}

impl Ticket {
    /// A new one.
    #[must_use]
    pub fn new(then: &str, now_s: i64) -> Self {
        Self { id: crate::people::random_text(), since_s: now_s, then: then.to_owned() }
    }

    /// The value of its cookie.
    #[must_use]
    pub fn cookie(&self, sessions: &Sessions) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default());
        let signature = sessions.derived(&["oidc", &body]);
        format!("{body}.{signature}")
    }

    /// The ticket of a cookie that this console has made, and that is not too old.
    #[must_use]
    pub fn of_cookie(cookie: &str, sessions: &Sessions, now_s: i64, patience_s: i64) -> Option<Self> {
        if cookie.len() > COOKIE_MAX {
            return None;
        }
        let (body, signature) = cookie.split_once('.')?;
        if !sessions.is_derived(&["oidc", body], signature) {
            return None;
        }
        let ticket: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (0..=patience_s).contains(&now_s.saturating_sub(ticket.since_s)).then_some(ticket)
    }

    /// What the provider must send back.
    #[must_use]
    pub fn state(&self, sessions: &Sessions) -> String {
        sessions.derived(&["oidc-state", &self.id])
    }

    /// Whether this is what it must send back; compared in constant time.
    #[must_use]
    pub fn is_state(&self, sessions: &Sessions, state: &str) -> bool {
        sessions.is_derived(&["oidc-state", &self.id], state)
    }

    /// What the token must say.
    #[must_use]
    pub fn nonce(&self, sessions: &Sessions) -> String {
        sessions.derived(&["oidc-nonce", &self.id])
    }

    /// What proves to the provider that who began the sign-in also ends it (RFC 7636).
    #[must_use]
    pub fn verifier(&self, sessions: &Sessions) -> String {
        sessions.derived(&["oidc-verifier", &self.id])
    }

    /// The hash of the verifier, which the provider is told at the beginning.
    #[must_use]
    pub fn challenge(&self, sessions: &Sessions) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(sessions).as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_whoever_has_the_key_and_for_a_while() {
        let sessions = |key| Sessions::new(key, 10, 10).unwrap();
        let (own, replica, foreign) = (sessions("one key"), sessions("one key"), sessions("other key"));
        let ticket = Ticket::new("/exceptions?x=1", 1_000);
        let cookie = ticket.cookie(&own);
        assert_eq!(Ticket::of_cookie(&cookie, &replica, 1_600, 600), Some(ticket.clone()));
        assert_eq!(Ticket::of_cookie(&cookie, &replica, 1_601, 600), None);
        assert_eq!(Ticket::of_cookie(&cookie, &replica, 999, 600), None);
        assert_eq!(Ticket::of_cookie(&cookie, &foreign, 1_000, 600), None);
        for forged in ["", ".", "x.y", &cookie[1..], &cookie[..cookie.len() - 1], &"x".repeat(9_999)] {
            assert_eq!(Ticket::of_cookie(forged, &own, 1_000, 600), None, "{forged}");
        }
        assert!(ticket.is_state(&replica, &ticket.state(&own)) && !ticket.is_state(&own, &ticket.nonce(&own)));
        let other = Ticket::new("/", 1_000);
        assert!(!other.is_state(&own, &ticket.state(&own)));
    }

    #[test]
    fn a_verifier_is_one_and_no_two_words_are_alike() {
        let sessions = Sessions::new("key", 10, 10).unwrap();
        let ticket = Ticket::new("/", 0);
        let words = [ticket.state(&sessions), ticket.nonce(&sessions), ticket.verifier(&sessions)];
        assert!(
            words
                .iter()
                .all(|word| word.len() == 43 && !words.iter().any(|other| other == word && !std::ptr::eq(other, word)))
        );
        assert_eq!(ticket.challenge(&sessions).len(), 43);
    }
}
