//! References to a visit or patient as tokens: joinable within one purpose, not across purposes, not reversible.

use connector::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Shortest key, bytes.
const KEY_LENGTH_MIN: usize = 16;
/// Bytes of the HMAC that a token keeps: 128 bits.
const TOKEN_BYTES: usize = 16;

/// Makes tokens.
#[derive(Clone)]
pub struct Tokens {
    keyed: Hmac<Sha256>,
}

impl Tokens {
    /// Tokens of one purpose.
    pub(crate) fn new(key: &Secret, purpose: &str) -> Result<Self, String> {
        let bytes = key.expose().as_bytes();
        if bytes.len() < KEY_LENGTH_MIN {
            return Err(format!("token_key has {} bytes: must have at least {KEY_LENGTH_MIN}", bytes.len()));
        }
        let mut keyed = Hmac::<Sha256>::new_from_slice(bytes).map_err(|error| error.to_string())?;
        part(&mut keyed, purpose);
        Ok(Self { keyed })
    }

    /// The token of `value` as a reference named `reference`.
    pub(crate) fn token(&self, reference: &str, value: &str) -> String {
        let mut mac = self.keyed.clone();
        part(&mut mac, reference);
        part(&mut mac, value);
        let mut token = String::from("tok_");
        for byte in &mac.finalize().into_bytes()[..TOKEN_BYTES] {
            token.push_str(&format!("{byte:02x}"));
        }
        token
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens(***)")
    }
}

/// Lengths keep ("a", "bc") apart from ("ab", "c").
fn part(mac: &mut Hmac<Sha256>, text: &str) {
    mac.update(text.len().to_string().as_bytes());
    mac.update(b":");
    mac.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_depend_on_key_purpose_reference_and_value() {
        let tokens = |key: &str, purpose: &str| Tokens::new(&Secret::new(key), purpose).unwrap();
        let own = tokens("0123456789abcdef", "costs").token("encounterRef", "enc_1");
        assert_eq!(own, tokens("0123456789abcdef", "costs").token("encounterRef", "enc_1"));
        assert_eq!(own.len(), 36);
        for other in [
            tokens("fedcba9876543210", "costs").token("encounterRef", "enc_1"),
            tokens("0123456789abcdef", "quality").token("encounterRef", "enc_1"),
            tokens("0123456789abcdef", "costs").token("patientRef", "enc_1"),
            tokens("0123456789abcdef", "costs").token("encounterRef", "enc_2"),
        ] {
            assert_ne!(own, other);
        }
        assert!(Tokens::new(&Secret::new("short"), "costs").is_err());
    }
}
