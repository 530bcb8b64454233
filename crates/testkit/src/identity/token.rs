//! Tokens, signed by hand over a cryptographic library, so that what checks them is not also what makes them.

use anyhow::{Result, anyhow};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2048 bits and SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
}

/// A key of the provider.
pub struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(algorithm: Algorithm, id: &str) -> Result<Self> {
        let failed = |_| anyhow!("no key can be made");
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?)),
            Algorithm::Es256 => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?),
        };
        Ok(Self { id: id.to_owned(), pair })
    }

    /// What everybody may know of it (RFC 7517).
    #[must_use]
    pub fn public(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256",
                       "n": text(n.big_endian_without_leading_zero()), "e": text(e.big_endian_without_leading_zero())})
            }
            Pair::Ec(pair) => {
                // An uncompressed point: 4, then both coordinates.
                let (x, y) = pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
                json!({"kty": "EC", "kid": self.id, "use": "sig", "alg": "ES256", "crv": "P-256", "x": text(x), "y": text(y)})
            }
        }
    }

    /// A token.
    ///
    /// # Errors
    /// When the library refuses the key.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        };
        let text = unfinished(&json!({"alg": algorithm, "typ": "JWT", "kid": self.id}), claims);
        let random = SystemRandom::new();
        let failed = |_| anyhow!("the token cannot be signed");
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).map_err(failed)?;
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, text.as_bytes()).map_err(failed)?.as_ref().to_vec(),
        };
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token that is signed with what everybody knows.
    ///
    /// # Errors
    /// Never, but for symmetry.
    pub fn as_shared_secret(&self, claims: &Value) -> Result<String> {
        let text = unfinished(&json!({"alg": "HS256", "typ": "JWT", "kid": self.id}), claims);
        let secret = serde_json::to_vec(&self.public())?;
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// A token that says that it is signed by nobody.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.", unfinished(&json!({"alg": "none", "typ": "JWT"}), claims))
}

/// A token whose claims were raised after it was signed.
#[must_use]
pub fn changed(token: &str, claims: &Value) -> String {
    let mut raised = claims.clone();
    raised["groups"] = json!(["wl-admin"]);
    let mut parts: Vec<&str> = token.split('.').collect();
    let body = URL_SAFE_NO_PAD.encode(raised.to_string());
    if let Some(part) = parts.get_mut(1) {
        *part = &body;
    }
    parts.join(".")
}

fn unfinished(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}
