//! Asks the identity provider: its metadata, its keys, and the token for a code. Bounded in time, size and number.

use super::config::{OidcConfig, is_trusted_address};
use super::{OidcError, token};
use crate::config::ConfigError;
use connector::http::body::read_bounded;
use jsonwebtoken::jwk::Jwk;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use runtime::clock::{self, Tick};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Longest answer that is read, bytes.
const ANSWER_MAX: usize = 262_144;
/// Most keys that are looked at.
const KEYS_MAX: usize = 64;
/// Between two questions that nothing new is known since, so that nobody makes this console ask without end.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where the provider answers what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// Where people sign out.
    pub end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// The provider, as far as it is known.
pub struct Provider {
    client: Client,
    config: OidcConfig,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Tick)>,
    keys: Option<(Arc<Vec<Jwk>>, Tick)>,
    failed: Option<(OidcError, Tick)>,
}

impl Provider {
    /// Nothing is asked yet: a provider that is away keeps no console from starting.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn new(config: &OidcConfig) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError { key: "oidc.authority_file".to_owned(), reason };
        let mut client = Client::builder()
            .timeout(config.timeout())
            // A redirect would carry the secret to an address that nobody configured.
            .redirect(Policy::none());
        if let Some(file) = &config.authority_file {
            let read = std::fs::read(file).map_err(|error| refused(format!("{}: {error}", file.display())))?;
            let all = Certificate::from_pem_bundle(&read).map_err(|error| refused(error.to_string()))?;
            if all.is_empty() {
                return Err(refused(format!("{} holds no certificate", file.display())));
            }
            client = client.tls_certs_merge(all);
        }
        let client = client.build().map_err(|error| refused(error.to_string()))?;
        Ok(Self { client, config: config.clone(), known: Mutex::default() })
    }

    /// Its metadata.
    ///
    /// # Errors
    /// When it does not answer, or says what cannot be believed.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        // One question at a time: whoever comes meanwhile waits for its answer, within the time of an answer of the console.
        let mut known = self.known.lock().await;
        self.current_metadata(&mut known).await
    }

    /// Where people sign out, as far as that is known.
    pub async fn end_session(&self) -> Option<String> {
        self.metadata().await.ok()?.end_session_endpoint.clone()
    }

    /// The claims of a token, with keys that are fetched again when it is signed with a new one.
    ///
    /// # Errors
    /// When the provider does not answer, or the token must not be believed.
    pub async fn verified(&self, token: &str, expected: &token::Expected<'_>) -> Result<Value, OidcError> {
        let mut known = self.known.lock().await;
        let fresh = known.keys.take().filter(|(_, at)| clock::tick().since(*at) < self.cached());
        if let Some((keys, at)) = fresh {
            let checked = token::verify(token, &keys, expected);
            let is_recent = clock::tick().since(at) < ASK_AGAIN;
            known.keys = Some((keys, at));
            match checked {
                Err(token::Fault::UnknownKey) if !is_recent => {}
                decided => return decided.map_err(OidcError::from),
            }
        }
        let metadata = self.current_metadata(&mut known).await?;
        let keys = Arc::new(keys_of(&self.get(&metadata.jwks_uri).await?));
        let checked = token::verify(token, &keys, expected);
        known.keys = Some((keys, clock::tick()));
        checked.map_err(OidcError::from)
    }

    /// The ID token for a code.
    ///
    /// # Errors
    /// When the provider does not answer, or refuses the code.
    pub async fn exchange(&self, code: &str, verifier: &str, redirect: &str) -> Result<String, OidcError> {
        let metadata = self.metadata().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        let mut request = self.client.post(&metadata.token_endpoint);
        match &self.config.client_secret {
            Some(secret) if !metadata.wants_secret_in_form() => {
                // Both are form-encoded before they are joined (RFC 6749, 2.3.1).
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(encoded(&self.config.client_id), Some(encoded(secret.expose())));
            }
            secret => {
                form.push(("client_id", &self.config.client_id));
                form.extend(secret.as_ref().map(|secret| ("client_secret", secret.expose())));
            }
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let (status, answer) = self.ask(request, "the token endpoint").await?;
        match (status.is_success(), answer.get("id_token").and_then(Value::as_str)) {
            (true, Some(token)) => Ok(token.to_owned()),
            (true, None) => Err(OidcError::Unusable("its answer to the code holds no ID token".to_owned())),
            (false, _) => Err(OidcError::Refused(super::word(answer.get("error").and_then(Value::as_str)))),
        }
    }

    async fn current_metadata(&self, known: &mut Known) -> Result<Arc<Metadata>, OidcError> {
        if let Some((metadata, at)) = &known.metadata
            && clock::tick().since(*at) < self.cached()
        {
            return Ok(Arc::clone(metadata));
        }
        if let Some((error, at)) = &known.failed
            && clock::tick().since(*at) < ASK_AGAIN
        {
            return Err(error.clone());
        }
        let address = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let asked = self.get(&address).await.and_then(|answer| Metadata::checked(answer, &self.config.issuer));
        match asked {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Arc::clone(&metadata), clock::tick()));
                Ok(metadata)
            }
            Err(error) => {
                known.failed = Some((error.clone(), clock::tick()));
                Err(error)
            }
        }
    }

    async fn get(&self, address: &str) -> Result<Value, OidcError> {
        let (status, answer) = self.ask(self.client.get(address), address).await?;
        match status.is_success() {
            true => Ok(answer),
            false => Err(OidcError::Away(format!("{address} answers {}", status.as_u16()))),
        }
    }

    async fn ask(&self, request: RequestBuilder, what: &str) -> Result<(StatusCode, Value), OidcError> {
        let away = |reason: &dyn std::fmt::Display| OidcError::Away(format!("{what}: {reason}"));
        let response = request.header(ACCEPT, "application/json").send().await;
        let response = response.map_err(|error| away(&without_address(error)))?;
        let status = response.status();
        if status.is_server_error() || status.is_redirection() {
            return Err(away(&format!("answers {}", status.as_u16())));
        }
        let body = read_bounded(response, ANSWER_MAX).await.map_err(|error| away(&error))?;
        // What refuses may say so without JSON.
        let answer = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(_) if !status.is_success() => Value::Null,
            Err(error) => return Err(OidcError::Unusable(format!("{what} answers with no JSON: {error}"))),
        };
        Ok((status, answer))
    }

    fn cached(&self) -> Duration {
        Duration::from_secs(self.config.cached_s)
    }
}

impl Metadata {
    /// What a provider says of itself, when it may be believed: it is the one that was asked, and nothing is sent in plain text.
    fn checked(answer: Value, issuer: &str) -> Result<Self, OidcError> {
        let metadata: Self =
            serde_json::from_value(answer).map_err(|error| OidcError::Unusable(format!("its metadata: {error}")))?;
        if metadata.issuer != issuer {
            return Err(OidcError::Unusable(
                "its metadata name another issuer than console.oidc.issuer, which must be the same to the letter"
                    .to_owned(),
            ));
        }
        let all = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        let is_secret =
            all.into_iter().chain(&metadata.end_session_endpoint).all(|address| is_trusted_address(address));
        match is_secret {
            true => Ok(metadata),
            false => Err(OidcError::Unusable("its metadata name an address that is not https".to_owned())),
        }
    }

    fn wants_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    }
}

/// The keys that can be read; others, of kinds that nobody uses here, do not make the rest useless.
fn keys_of(answer: &Value) -> Vec<Jwk> {
    let all = answer.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key.clone()).ok()).collect()
}

/// The address is said already.
fn without_address(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    match error.is_connect() {
        true => "no connection".to_owned(),
        false => error.without_url().to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://login.example";

    fn metadata(change: Value) -> Result<Metadata, OidcError> {
        let mut answer = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/auth",
            "token_endpoint": "https://login.example/token",
            "jwks_uri": "https://login.example/keys",
            "more": {"than": "is read"},
        });
        for (name, value) in change.as_object().unwrap() {
            answer[name] = value.clone();
        }
        Metadata::checked(answer, ISSUER)
    }

    #[test]
    fn metadata_of_another_issuer_or_in_plain_text_are_not_believed() {
        assert!(metadata(json!({})).is_ok());
        for wrong in [
            json!({"issuer": "https://login.example/"}),
            json!({"issuer": "https://evil.example"}),
            json!({"token_endpoint": "http://login.example/token"}),
            json!({"jwks_uri": null}),
            json!({"authorization_endpoint": "javascript:alert(1)"}),
            json!({"end_session_endpoint": "http://login.example/out"}),
        ] {
            assert!(matches!(metadata(wrong.clone()), Err(OidcError::Unusable(_))), "{wrong}");
        }
    }

    #[test]
    fn a_secret_goes_into_the_form_only_where_nothing_else_is_taken() {
        let in_form = |methods: Value| {
            metadata(json!({"token_endpoint_auth_methods_supported": methods})).unwrap().wants_secret_in_form()
        };
        assert!(in_form(json!(["client_secret_post"])));
        assert!(!in_form(json!(["client_secret_post", "client_secret_basic"])) && !in_form(json!(null)));
    }

    #[test]
    fn a_key_of_an_unknown_kind_does_not_hide_the_others() {
        let keys = keys_of(&json!({"keys": [
            {"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": "AQAB", "e": "AQAB", "note": 1},
            {"kty": "EC", "crv": "secp256k1", "kid": "b", "x": "AA", "y": "AA"},
            {"kty": 7},
            {"kty": "RSA", "kid": "c", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        ]}));
        assert!(keys.iter().any(|key| key.common.key_id.as_deref() == Some("a")), "{keys:?}");
        assert!(keys_of(&json!([])).is_empty() && keys_of(&json!({"keys": 1})).is_empty());
    }
}
