//! Whether an ID token is one: signed by the provider, for this console, for this sign-in, and still good. Pure: keys, time and
//! what is expected are values.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::Value;

/// Longest token that is looked at, bytes.
const TOKEN_MAX: usize = 65_536;

/// Signatures that a provider may use: none that both sides could make, and not `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who must have made it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// For which sign-in.
    pub nonce: &'a str,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// How far the clocks may differ, seconds.
    pub skew_s: i64,
}

/// Why a token is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is signed with a key that is not among these: the provider may have a new one.
    UnknownKey,
    /// It must not be believed.
    Invalid(String),
}

/// The claims of a token that may be believed.
///
/// # Errors
/// See [`Fault`].
pub fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Value, Fault> {
    let invalid = |reason: String| Fault::Invalid(reason);
    if token.len() > TOKEN_MAX {
        return Err(invalid(format!("it has more than {TOKEN_MAX} bytes")));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| invalid(error.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(invalid(format!("{:?} is no signature that a provider alone can make", header.alg)));
    }
    let key = key(keys, header.kid.as_deref(), header.alg).ok_or(Fault::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|error| invalid(format!("its key cannot be used: {error}")))?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The times are compared below, by the clock that everything here goes by.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|error| invalid(error.to_string()))?;
    check(&claims.claims, expected).map_err(invalid)?;
    Ok(claims.claims)
}

/// The texts that a claim holds; a dot leads into an object.
#[must_use]
pub fn texts<'a>(claims: &'a Value, name: &str) -> Vec<&'a str> {
    let found = claims.get(name).or_else(|| name.split('.').try_fold(claims, |value, part| value.get(part)));
    match found {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The key with this id; without an id the only one that fits.
fn key<'a>(keys: &'a [Jwk], id: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| {
        let common = &key.common;
        fits(&key.algorithm, algorithm.family())
            && !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
            && common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(algorithm))
            && (id.is_none() || common.key_id.as_deref() == id)
    });
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then_some(first)
}

fn fits(key: &AlgorithmParameters, family: AlgorithmFamily) -> bool {
    matches!(
        (key, family),
        (AlgorithmParameters::RSA(_), AlgorithmFamily::Rsa)
            | (AlgorithmParameters::EllipticCurve(_), AlgorithmFamily::Ec)
            | (AlgorithmParameters::OctetKeyPair(_), AlgorithmFamily::Ed)
    )
}

/// What the library does not compare.
fn check(claims: &Value, expected: &Expected<'_>) -> Result<(), String> {
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(whole);
    let until_s = seconds("exp").ok_or("it does not say until when it is good")?;
    if expected.now_s > until_s.saturating_add(expected.skew_s) {
        return Err(format!("it was good until {} s ago", expected.now_s - until_s));
    }
    for name in ["iat", "nbf"] {
        if let Some(from_s) = seconds(name)
            && from_s > expected.now_s.saturating_add(expected.skew_s)
        {
            return Err(format!("it is good in {} s only: compare the clocks", from_s - expected.now_s));
        }
    }
    if claims.get("nonce").and_then(Value::as_str) != Some(expected.nonce) {
        return Err("it was made for another sign-in".to_owned());
    }
    let is_for_several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    match claims.get("azp").map(Value::as_str) {
        None if is_for_several => Err("it is for several, and does not say who asked for it".to_owned()),
        Some(azp) if azp != Some(expected.client_id) => Err("somebody else asked for it".to_owned()),
        _ => Ok(()),
    }
}

/// Seconds as they are compared; what is no time at all is long ago.
#[allow(clippy::cast_possible_truncation, reason = "a cast from f64 keeps to the bounds of i64")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW_S: i64 = 1_000_000;

    fn checked(change: Value) -> Result<(), String> {
        let mut claims = json!({"aud": "wardline", "exp": NOW_S + 10, "iat": NOW_S, "nonce": "n"});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let expected = Expected { issuer: "i", client_id: "wardline", nonce: "n", now_s: NOW_S, skew_s: 60 };
        check(&claims, &expected)
    }

    #[test]
    fn times_are_compared_with_the_skew_and_no_more() {
        assert_eq!(checked(json!({})), Ok(()));
        assert_eq!(checked(json!({"exp": NOW_S - 60})), Ok(()));
        assert!(checked(json!({"exp": NOW_S - 61})).unwrap_err().contains("61 s ago"));
        assert!(checked(json!({"exp": "soon"})).is_err());
        assert!(checked(json!({"exp": null})).is_err());
        assert_eq!(checked(json!({"iat": NOW_S + 60, "nbf": NOW_S + 60})), Ok(()));
        assert!(checked(json!({"iat": NOW_S + 61})).unwrap_err().contains("clocks"));
        assert!(checked(json!({"nbf": NOW_S + 61})).unwrap_err().contains("clocks"));
        assert_eq!(checked(json!({"exp": 1e300})), Ok(()));
    }

    #[test]
    fn a_token_is_of_this_sign_in_and_this_console() {
        for wrong in [
            json!({"nonce": "other"}),
            json!({"nonce": null}),
            json!({"aud": ["wardline", "mail"]}),
            json!({"aud": ["wardline", "mail"], "azp": "mail"}),
            json!({"azp": "mail"}),
            json!({"azp": 1}),
        ] {
            assert!(checked(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(checked(json!({"aud": ["wardline", "mail"], "azp": "wardline"})), Ok(()));
    }

    #[test]
    fn groups_are_found_in_a_text_a_list_and_an_object() {
        let claims = json!({"groups": ["a", 1, "b"], "role": "c", "realm": {"roles": ["d"]}, "https://x.y/z": "e"});
        assert_eq!(texts(&claims, "groups"), ["a", "b"]);
        assert_eq!(texts(&claims, "role"), ["c"]);
        assert_eq!(texts(&claims, "realm.roles"), ["d"]);
        assert_eq!(texts(&claims, "https://x.y/z"), ["e"]);
        assert!(texts(&claims, "realm").is_empty() && texts(&claims, "realm.no.such").is_empty());
    }
}
