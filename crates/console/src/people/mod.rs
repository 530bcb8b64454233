//! Who may do what: users, programs, sessions and the bound on attempts to sign in.

pub mod ended;
pub mod oidc;
pub mod password;
mod role;
pub mod session;
pub mod throttle;

pub use role::{Right, Role};

use crate::config::ConsoleConfig;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Somebody who is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name that goes on record. A program is `token:NAME`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they are known.
    pub by: By,
}

/// How somebody is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// By the cookie of a session.
    Session(session::Session),
    /// By a token with each request.
    Token,
}

/// The program that has a token, when one has.
#[must_use]
pub fn of_token(config: &ConsoleConfig, token: &str) -> Option<Person> {
    let digest = sha256_hex(token.as_bytes());
    // A hash is compared, so the time of the comparison tells nothing about the token.
    let known = config.tokens.iter().find(|(_, known)| known.sha256.expose().eq_ignore_ascii_case(&digest));
    known.map(|(name, token)| Person { name: format!("token:{name}"), role: token.role, by: By::Token })
}

/// A new random text of 64 hexadecimal digits, for tokens, keys and passwords that nobody chooses.
#[must_use]
pub fn random_text() -> String {
    // Two random numbers of 122 bits each, from the system.
    sha256_hex(&[uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat())
}

/// Whether a name may go on record and into cookies.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || ".-_@".contains(character);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

/// SHA-256 as lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenConfig;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let token = random_text();
        let known = TokenConfig { role: Role::Operator, sha256: sha256_hex(token.as_bytes()).into() };
        let config = ConsoleConfig { tokens: [("ci".to_owned(), known)].into(), ..ConsoleConfig::default() };
        let found = of_token(&config, &token);
        assert_eq!(found.map(|person| (person.name, person.role)), Some(("token:ci".to_owned(), Role::Operator)));
        for wrong in ["", "x", &random_text(), &sha256_hex(token.as_bytes())] {
            assert_eq!(of_token(&config, wrong), None);
        }
        assert_eq!(random_text().len(), 64);
    }
}
