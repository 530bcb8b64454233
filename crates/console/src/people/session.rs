//! Sessions: who has signed in, and until when, in a cookie that is signed and not kept here.
//!
//! Several consoles that have the same key agree about a cookie without asking each other. The signature also covers the hash
//! of the password, so a new password or a removed user ends all sessions of that name at once.

use super::Role;
use super::ended::Ended;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Digits of the digest by which a session is named on record.
const MARK_DIGITS: usize = 32;
/// Longest cookie that is looked at, bytes.
const COOKIE_MAX: usize = 1_024;
/// A cookie is written anew when the session was used so long after it was last written, seconds.
const RENEW_S: i64 = 60;

/// What a cookie says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Who.
    pub user: String,
    /// Which of their sessions.
    pub id: String,
    /// When they signed in, seconds since 1970.
    pub since_s: i64,
    /// When the cookie was last written, seconds since 1970.
    pub seen_s: i64,
    /// What the identity provider said, for people who are no users of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

/// What an identity provider said of somebody when they signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// What they may do.
    pub role: Role,
    /// Until when that is believed, seconds since 1970.
    pub until_s: i64,
}

/// Signs and checks cookies.
pub struct Sessions {
    mac: Hmac<Sha256>,
    idle_s: i64,
    max_s: i64,
    ended: Mutex<Ended>,
}

/// Why a cookie is not a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not signed with this key for this user and password: made up, or of a former key or password.
    Forged,
    /// It is over: too long unused, too old, or ended by its owner.
    Over,
}

impl Sessions {
    /// With a key, and how long sessions last, seconds.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn new(key: &str, idle_s: u64, max_s: u64) -> Result<Self, InvalidLength> {
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mac = Hmac::new_from_slice(key.as_bytes())?;
        Ok(Self { mac, idle_s: seconds(idle_s), max_s: seconds(max_s), ended: Mutex::default() })
    }

    /// A new session.
    #[must_use]
    pub fn open(&self, user: &str, now_s: i64) -> Session {
        Session { user: user.to_owned(), id: super::random_text(), since_s: now_s, seen_s: now_s, vouched: None }
    }

    /// The value of its cookie; `proof` is what the session depends on: the password hash of the user, or what the identity
    /// provider is configured with.
    #[must_use]
    pub fn cookie(&self, session: &Session, proof: &str) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(session).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(self.signature(&["session", &body, proof]).finalize().into_bytes());
        format!("{body}.{signature}")
    }

    /// The session of a cookie; `proof_of` gives what it depends on, while that is there.
    ///
    /// # Errors
    /// When the cookie is made up, or its session is over.
    pub fn of_cookie(
        &self,
        cookie: &str,
        now_s: i64,
        proof_of: impl FnOnce(&Session) -> Option<String>,
    ) -> Result<Session, Refusal> {
        if cookie.len() > COOKIE_MAX {
            return Err(Refusal::Forged);
        }
        let (body, signature) = cookie.split_once('.').ok_or(Refusal::Forged)?;
        let text = URL_SAFE_NO_PAD.decode(body).map_err(|_| Refusal::Forged)?;
        // Read before it is trusted, because the signature depends on who it says it is.
        let session: Session = serde_json::from_slice(&text).map_err(|_| Refusal::Forged)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Forged)?;
        let proof = proof_of(&session).ok_or(Refusal::Forged)?;
        self.signature(&["session", body, &proof]).verify_slice(&signature).map_err(|_| Refusal::Forged)?;
        let unused_s = now_s.saturating_sub(session.seen_s);
        let age_s = now_s.saturating_sub(session.since_s);
        let is_vouched = session.vouched.as_ref().is_none_or(|vouched| now_s <= vouched.until_s);
        if unused_s > self.idle_s || age_s > self.max_s || !is_vouched || self.ended().has(&session, &mark(&session)) {
            return Err(Refusal::Over);
        }
        Ok(session)
    }

    /// The session as it is written into a new cookie, when it is time for one.
    #[must_use]
    pub fn renewed(&self, session: &Session, now_s: i64) -> Option<Session> {
        let due = now_s.saturating_sub(session.seen_s) >= RENEW_S.min(self.idle_s / 2);
        due.then(|| Session { seen_s: now_s, ..session.clone() })
    }

    /// Ends a session before its time, in this process. Others follow that from the record of its mark.
    pub fn end(&self, session: &Session, now_s: i64) {
        self.ended().session(&mark(session), session.since_s.saturating_add(self.max_s), now_s);
    }

    /// The same for a session that ended elsewhere at that time, of which only the mark is known.
    pub fn end_marked(&self, mark: &str, at_s: i64, now_s: i64) {
        self.ended().session(mark, at_s.saturating_add(self.max_s), now_s);
    }

    /// Ends all sessions of somebody that began until that time, in this process. Others follow that from its record.
    pub fn end_of(&self, name: &str, at_s: i64, now_s: i64) {
        self.ended().person(name, at_s, at_s.saturating_add(self.max_s), now_s);
    }

    /// How long a session may last, seconds.
    #[must_use]
    pub fn longest_s(&self) -> i64 {
        self.max_s
    }

    /// The token that every form of a session carries: only pages of this console know it.
    #[must_use]
    pub fn form_token(&self, session: &Session) -> String {
        self.derived(&["form", &session.id])
    }

    /// Whether a form carries the token of its session.
    #[must_use]
    pub fn is_form_token(&self, session: &Session, token: &str) -> bool {
        self.is_derived(&["form", &session.id], token)
    }

    /// A text that only who has the key can make of these parts. The first says what it is for.
    #[must_use]
    pub fn derived(&self, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.signature(parts).finalize().into_bytes())
    }

    /// Whether a text is the one of these parts; compared in constant time.
    #[must_use]
    pub fn is_derived(&self, parts: &[&str], text: &str) -> bool {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        self.signature(parts).verify_slice(&bytes).is_ok()
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each part is preceded by its length, so that no two lists of parts are signed alike.
    fn signature(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// What names a session on record: nobody makes a session of it.
#[must_use]
pub fn mark(session: &Session) -> String {
    super::sha256_hex(session.id.as_bytes()).chars().take(MARK_DIGITS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn read(sessions: &Sessions, cookie: &str, now_s: i64, hash: Option<&str>) -> Result<Session, Refusal> {
        sessions.of_cookie(cookie, now_s, |_| hash.map(str::to_owned))
    }

    #[test]
    fn replicas_with_one_key_agree() {
        let (one, other) = (Sessions::new(KEY, 600, 3_600).unwrap(), Sessions::new(KEY, 600, 3_600).unwrap());
        let session = one.open("ada", 1_000);
        let cookie = one.cookie(&session, "hash");
        assert_eq!(read(&other, &cookie, 1_500, Some("hash")), Ok(session.clone()));
        assert!(other.is_form_token(&session, &one.form_token(&session)));
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_forged() {
        let sessions = Sessions::new(KEY, 600, 3_600).unwrap();
        let session = sessions.open("ada", 1_000);
        let cookie = sessions.cookie(&session, "hash");
        let (body, signature) = cookie.split_once('.').unwrap();
        let other = Session { user: "root".to_owned(), ..session.clone() };
        let other_body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        let foreign = Sessions::new("another key of 32 characters ....", 600, 3_600).unwrap();
        for forged in [
            String::new(),
            "x.y".to_owned(),
            body.to_owned(),
            format!("{body}."),
            format!("{other_body}.{signature}"),
            foreign.cookie(&session, "hash"),
            "x".repeat(10_000),
        ] {
            assert_eq!(read(&sessions, &forged, 1_000, Some("hash")), Err(Refusal::Forged), "{forged}");
        }
        assert_eq!(read(&sessions, &cookie, 1_000, Some("hash of a new password")), Err(Refusal::Forged));
        assert_eq!(read(&sessions, &cookie, 1_000, None), Err(Refusal::Forged), "the user is no more");
    }

    #[test]
    fn a_session_ends_unused_by_age_and_by_its_owner() {
        let sessions = Sessions::new(KEY, 600, 3_600).unwrap();
        let session = sessions.open("ada", 1_000);
        let cookie = sessions.cookie(&session, "hash");
        assert!(read(&sessions, &cookie, 1_600, Some("hash")).is_ok());
        assert_eq!(read(&sessions, &cookie, 1_601, Some("hash")), Err(Refusal::Over));
        let used = sessions.renewed(&session, 4_599).unwrap();
        let cookie = sessions.cookie(&used, "hash");
        assert!(read(&sessions, &cookie, 4_600, Some("hash")).is_ok());
        assert_eq!(read(&sessions, &cookie, 4_601, Some("hash")), Err(Refusal::Over), "however much it is used");
        sessions.end(&used, 4_600);
        assert_eq!(read(&sessions, &cookie, 4_600, Some("hash")), Err(Refusal::Over));
        assert_eq!(sessions.renewed(&session, 1_059), None);
    }

    #[test]
    fn a_session_that_ended_elsewhere_is_over_here() {
        let sessions = Sessions::new(KEY, 600, 3_600).unwrap();
        let (one, other) = (sessions.open("ada", 1_000), sessions.open("ada", 1_000));
        let cookie = |session: &Session| sessions.cookie(session, "hash");
        sessions.end_marked(&mark(&one), 1_100, 1_101);
        assert_eq!(read(&sessions, &cookie(&one), 1_102, Some("hash")), Err(Refusal::Over));
        assert_eq!(read(&sessions, &cookie(&other), 1_102, Some("hash")), Ok(other.clone()));
        sessions.end_of("Ada", 1_200, 1_201);
        assert_eq!(read(&sessions, &cookie(&other), 1_202, Some("hash")), Err(Refusal::Over), "all of hers");
        let later = sessions.open("ada", 1_201);
        assert_eq!(read(&sessions, &cookie(&later), 1_202, Some("hash")), Ok(later), "she signs in anew");
        assert!(!mark(&one).contains(&one.id) && !one.id.contains(&mark(&one)), "it tells nothing of the session");
    }

    #[test]
    fn what_a_provider_said_is_believed_for_its_time_and_cannot_be_changed() {
        let sessions = Sessions::new(KEY, 6_000, 9_000).unwrap();
        let vouched = Some(Vouched { role: Role::Viewer, until_s: 2_000 });
        let session = Session { vouched, ..sessions.open("ada", 1_000) };
        let cookie = sessions.cookie(&session, "proof");
        assert_eq!(read(&sessions, &cookie, 2_000, Some("proof")), Ok(session.clone()));
        assert_eq!(read(&sessions, &cookie, 2_001, Some("proof")), Err(Refusal::Over));
        let raised = Session { vouched: Some(Vouched { role: Role::Administrator, until_s: 9_999 }), ..session };
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&raised).unwrap());
        let forged = format!("{body}.{}", cookie.split_once('.').unwrap().1);
        assert_eq!(read(&sessions, &forged, 1_000, Some("proof")), Err(Refusal::Forged));
    }

    #[test]
    fn a_form_token_is_of_one_session() {
        let sessions = Sessions::new(KEY, 600, 3_600).unwrap();
        let (one, other) = (sessions.open("ada", 1_000), sessions.open("ada", 1_000));
        let token = sessions.form_token(&one);
        assert!(sessions.is_form_token(&one, &token));
        for wrong in ["", "x", &sessions.form_token(&other), &token[1..]] {
            assert!(!sessions.is_form_token(&one, wrong), "{wrong}");
        }
    }
}
