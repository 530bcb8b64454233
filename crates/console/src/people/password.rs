//! Passwords: hashed with Argon2id, compared by the library.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use std::sync::LazyLock;

/// Fewest characters of a password that is hashed.
pub const LENGTH_MIN: usize = 12;
/// Most bytes of a password: hashing more is work for nothing.
pub const BYTES_MAX: usize = 1_024;

/// Why no hash was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("WL-7136: a password has {LENGTH_MIN} characters or more, and at most {BYTES_MAX} bytes")]
    Length,
    /// The library or the randomness of the system failed.
    #[error("WL-7136: the password could not be hashed: {0}")]
    Hash(String),
}

/// The hash of a password, with a salt of its own, as it is configured: `$argon2id$..`.
///
/// # Errors
/// When the password is too short or too long, or the system gives no randomness.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < LENGTH_MIN || password.len() > BYTES_MAX {
        return Err(PasswordError::Length);
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| PasswordError::Hash(error.to_string()))
}

/// Whether a text is a hash that passwords can be compared with.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some())
}

/// Whether the password is the one of the hash. Takes as long when there is no such user. It blocks: tens of milliseconds.
#[must_use]
pub fn verify(password: &str, hash: Option<&str>) -> bool {
    if password.len() > BYTES_MAX {
        return false;
    }
    let (text, known) = hash.map_or_else(|| (NOBODY.as_str(), false), |hash| (hash, true));
    let matches =
        PasswordHash::new(text).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    matches && known
}

/// What the password of somebody who does not exist is compared with, so that the time does not tell who exists.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_alone() {
        let made = hash("correct horse battery").unwrap();
        assert!(made.starts_with("$argon2id$v=19$") && is_hash(&made), "{made}");
        assert_ne!(made, hash("correct horse battery").unwrap(), "each has a salt of its own");
        assert!(verify("correct horse battery", Some(&made)));
        assert!(!verify("correct horse batterx", Some(&made)));
        assert!(!verify("nobody has this password", None));
    }

    #[test]
    fn what_is_no_hash_is_told() {
        for wrong in ["", "plain", "$argon2id$", "$2b$10$abcdefghijklmnopqrstuv"] {
            assert!(!is_hash(wrong), "{wrong}");
            assert!(!verify("", Some(wrong)), "{wrong}");
        }
    }

    #[test]
    fn bnd_1_short_and_endless_passwords_are_refused() {
        assert_eq!(hash("short"), Err(PasswordError::Length));
        assert_eq!(hash(&"x".repeat(BYTES_MAX + 1)), Err(PasswordError::Length));
    }
}
