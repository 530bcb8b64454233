//! Signatures by the Standard Webhooks specification 1.0: HMAC-SHA-256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Start of a secret that is written as base64.
const ENCODED: &str = "whsec_";

/// Signs the notices of one supplier.
#[derive(Clone)]
pub struct Signer {
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// With a supplier's secret: text, or `whsec_` and base64.
    ///
    /// # Errors
    /// When what follows `whsec_` is not base64.
    pub fn new(secret: &Secret) -> Result<Self, String> {
        let key = match secret.expose().strip_prefix(ENCODED) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "is not base64 after whsec_".to_owned())?,
            None => secret.expose().as_bytes().to_vec(),
        };
        Ok(Self { keyed: Hmac::new_from_slice(&key).map_err(|error| error.to_string())? })
    }

    /// The value of `webhook-signature`. The time is in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = self.keyed.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let signer = Signer::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        assert_eq!(
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_text_or_base64() {
        let text = Signer::new(&Secret::new("0123456789abcdef")).unwrap();
        let encoded = Signer::new(&Secret::new("whsec_MDEyMzQ1Njc4OWFiY2RlZg==")).unwrap();
        assert_eq!(text.sign("a", 1, "{}"), encoded.sign("a", 1, "{}"));
        assert_ne!(text.sign("a", 1, "{}"), text.sign("a", 2, "{}"));
        assert!(Signer::new(&Secret::new("whsec_!")).is_err());
    }
}
