//! Deterministic event ids and pseudonyms.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Namespace of all event ids: UUIDv5 of the URL namespace and `https://wardline.org/event`.
const EVENT_NAMESPACE: Uuid = Uuid::from_u128(0xdb62_2cf5_8b32_52ed_b41d_51e4_1627_ec35);
/// Shortest key a pseudonym may be made with, bytes.
pub const KEY_LENGTH_MIN: usize = 16;
/// Bytes of the HMAC that a pseudonym keeps: 160 bits.
const PSEUDONYM_BYTES: usize = 20;

/// The id of an event: the same source, message, position and type always give the same id, so a resend or a replay can be
/// recognised.
///
/// ```
/// use wardline_schemas::identity::event_id;
/// let id = event_id("ADT1|GENERAL", "MSG00001", "0", "org.wardline.clinical.encounter.discharged.v1");
/// assert_eq!(id, event_id("ADT1|GENERAL", "MSG00001", "0", "org.wardline.clinical.encounter.discharged.v1"));
/// assert_ne!(id, event_id("ADT1|GENERAL", "MSG00001", "1", "org.wardline.clinical.encounter.discharged.v1"));
/// ```
#[must_use]
pub fn event_id(source: &str, message_identity: &str, position: &str, event_type: &str) -> String {
    event_uuid(source, message_identity, position, event_type).to_string()
}

/// [`event_id`] as the number it is.
#[must_use]
pub fn event_uuid(source: &str, message_identity: &str, position: &str, event_type: &str) -> Uuid {
    let mut name = String::with_capacity(64 + message_identity.len() + event_type.len());
    for part in [source, message_identity, position, event_type] {
        // Lengths keep ("a", "bc") apart from ("ab", "c").
        name.push_str(&part.len().to_string());
        name.push(':');
        name.push_str(part);
    }
    Uuid::new_v5(&EVENT_NAMESPACE, name.as_bytes())
}

/// What a pseudonym stands for; its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PseudonymKind {
    /// A visit: `enc_`.
    Encounter,
    /// A patient: `pat_`.
    Patient,
}

impl PseudonymKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Encounter => "enc_",
            Self::Patient => "pat_",
        }
    }
}

/// The key is too short to protect anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pseudonym key has {0} bytes, fewer than {KEY_LENGTH_MIN}")]
pub struct KeyTooShort(usize);

/// Makes pseudonyms with the key of one tenant (HMAC-SHA256, base32). Without the key they cannot be turned back.
#[derive(Clone)]
pub struct Pseudonymizer {
    keyed: Hmac<Sha256>,
}

impl Pseudonymizer {
    /// With the key of a tenant, at least [`KEY_LENGTH_MIN`] bytes.
    ///
    /// # Errors
    /// [`KeyTooShort`].
    pub fn new(key: &[u8]) -> Result<Self, KeyTooShort> {
        if key.len() < KEY_LENGTH_MIN {
            return Err(KeyTooShort(key.len()));
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| KeyTooShort(key.len()))?;
        Ok(Self { keyed })
    }

    /// The pseudonym of an identifier. `authority` is who assigned it (a facility, an assigning authority or an identifier
    /// system), so that the same number of two authorities stays two pseudonyms.
    #[must_use]
    pub fn pseudonym(&self, kind: PseudonymKind, authority: &str, identifier: &str) -> String {
        let mut mac = self.keyed.clone();
        for part in [kind.prefix(), authority, identifier] {
            mac.update(part.len().to_string().as_bytes());
            mac.update(b":");
            mac.update(part.as_bytes());
        }
        let digest = mac.finalize().into_bytes();
        let mut text = String::from(kind.prefix());
        push_base32(&mut text, &digest[..PSEUDONYM_BYTES]);
        text
    }

    /// The pseudonym of a visit.
    #[must_use]
    pub fn encounter(&self, authority: &str, visit: &str) -> String {
        self.pseudonym(PseudonymKind::Encounter, authority, visit)
    }

    /// The pseudonym of a patient.
    #[must_use]
    pub fn patient(&self, authority: &str, patient: &str) -> String {
        self.pseudonym(PseudonymKind::Patient, authority, patient)
    }
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pseudonymizer(***)")
    }
}

/// RFC 4648 base32 in lower case, without padding.
fn push_base32(text: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut buffer: u32 = 0;
    let mut bits: u32 = 0;
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((buffer << (5 - bits)) & 31) as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_version_5_and_keep_their_parts_apart() {
        let id = event_id("a", "bc", "0", "t");
        assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 5);
        assert_ne!(id, event_id("ab", "c", "0", "t"));
    }

    #[test]
    fn event_ids_stay_what_they_are() {
        let id = event_id("ADT1|GENERAL", "MSG1", "0", "org.wardline.clinical.encounter.admitted.v1");
        assert_eq!(id, "ed0cc10e-8a3c-5c44-aa35-d5f8609b594f");
    }

    #[test]
    fn pseudonyms_depend_on_key_kind_authority_and_identifier() {
        let one = Pseudonymizer::new(b"0123456789abcdef").unwrap();
        let other = Pseudonymizer::new(b"fedcba9876543210").unwrap();
        let name = one.encounter("GENERAL", "V1");
        assert!(name.starts_with("enc_") && name.len() == 36, "{name}");
        assert!(!name.contains("V1"));
        let different = [
            other.encounter("GENERAL", "V1"),
            one.patient("GENERAL", "V1"),
            one.encounter("CITY", "V1"),
            one.encounter("GENERAL", "V2"),
            one.encounter("GENERALV", "1"),
        ];
        assert!(different.iter().all(|pseudonym| *pseudonym != name));
        assert_eq!(format!("{one:?}"), "Pseudonymizer(***)");
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(Pseudonymizer::new(b"short").unwrap_err(), KeyTooShort(5));
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        let check = |bytes: &[u8], expected: &str| {
            let mut text = String::new();
            push_base32(&mut text, bytes);
            assert_eq!(text, expected);
        };
        check(b"", "");
        check(b"f", "my");
        check(b"foobar", "mzxw6ytboi");
        check(b"fooba", "mzxw6ytb");
    }
}
