//! A small identity provider (OpenID Connect, authorization code with PKCE) that signs real tokens, and breaks on request.
//!
//! ```text
//! GET  /.well-known/openid-configuration     metadata
//! GET  /authorize                            a page with a button per person
//! GET  /authorize/as?user=..                 the button: back to the client with a code
//! POST /token                                the token for a code, once, for who began
//! GET  /keys                                 the keys in force
//! GET  /end-session                          back to the client
//! ```

mod token;

pub use token::Algorithm;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use token::Key;
use tokio::net::TcpListener;

/// Name of the one client.
pub const CLIENT: &str = "wardline";
/// What it proves itself with. Synthetic, like everything here.
pub const CLIENT_SECRET: &str = "synthetic client secret: 100% & more";

/// A running provider; stops when dropped.
pub struct IdentityProvider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

/// How the provider misbehaves, until it is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers everything with 503.
    Away,
    /// Its metadata are of another issuer.
    OtherIssuer,
    /// Its metadata are no JSON.
    NoJson,
    /// Its metadata never end.
    Endless,
    /// People say no.
    Denied,
    /// The code is not taken.
    CodeRefused,
    /// The token endpoint sends on to another address.
    Redirected,
    /// The answer to the code has no token.
    NoToken,
    /// The token is of another sign-in.
    WrongNonce,
    /// The token is for another client.
    WrongAudience,
    /// The token is of another issuer.
    WrongIssuer,
    /// The token was good until an hour ago.
    Expired,
    /// The token is good in an hour.
    Early,
    /// The token was changed after it was signed.
    Changed,
    /// The token is signed with a key that is not published.
    UnknownKey,
    /// The token is signed by nobody.
    Unsigned,
    /// The token is signed with what everybody knows: the public key, as if it were a shared secret.
    SharedSecret,
}

struct Shared {
    issuer: String,
    people: BTreeMap<String, Value>,
    keys: Vec<Key>,
    fault: Option<Fault>,
    codes: HashMap<String, Code>,
    made: u64,
    signed_out: u32,
}

/// What a code stands for.
struct Code {
    user: String,
    redirect: String,
    challenge: String,
    nonce: String,
}

type Lookup = Query<BTreeMap<String, String>>;
type Known = State<Arc<Mutex<Shared>>>;

impl IdentityProvider {
    /// Listens on a free port of the loopback interface, and knows people by name with the claims of each.
    ///
    /// # Errors
    /// When no port is free or no key can be made.
    pub async fn start<'a>(people: impl IntoIterator<Item = (&'a str, Value)>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let shared = Shared {
            issuer: issuer(address),
            people: people.into_iter().map(|(name, claims)| (name.to_owned(), claims)).collect(),
            keys: vec![Key::new(Algorithm::Rs256, "key-1")?],
            fault: None,
            codes: HashMap::new(),
            made: 0,
            signed_out: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/authorize", get(choose))
            .route("/authorize/as", get(authorize))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .route("/end-session", get(end_session))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // The listener lives as long as the task; an error ends it and the tests see that nobody answers.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// Its name in tokens, and its address.
    #[must_use]
    pub fn issuer(&self) -> String {
        issuer(self.address)
    }

    /// Misbehaves from now on, or no longer.
    pub fn fault(&self, fault: Option<Fault>) {
        self.shared().fault = fault;
    }

    /// Signs with a new key from now on. The former one is no longer published.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotate(&self, algorithm: Algorithm, id: &str) -> anyhow::Result<()> {
        self.shared().keys = vec![Key::new(algorithm, id)?];
        Ok(())
    }

    /// How often people signed out here.
    #[must_use]
    pub fn signed_out(&self) -> u32 {
        self.shared().signed_out
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// By name: to a browser that is another site than the console, which tests reach by number.
fn issuer(address: SocketAddr) -> String {
    format!("http://localhost:{}", address.port())
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn metadata(State(shared): Known) -> Response {
    let shared = lock(&shared);
    let issuer = &shared.issuer;
    let named = match shared.fault {
        Some(Fault::Away) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::NoJson) => return Html("<p>Welcome").into_response(),
        Some(Fault::Endless) => return Body::from(vec![b' '; 4_000_000]).into_response(),
        Some(Fault::OtherIssuer) => "https://evil.example",
        _ => issuer,
    };
    Json(json!({
        "issuer": named,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "end_session_endpoint": format!("{issuer}/end-session"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
    }))
    .into_response()
}

/// The page on which people say who they are.
async fn choose(State(shared): Known, Query(query): Lookup) -> Html<String> {
    let hidden: String = query
        .iter()
        .map(|(name, value)| format!("<input type=hidden name=\"{}\" value=\"{}\">", shown(name), shown(value)))
        .collect();
    let people: String = lock(&shared)
        .people
        .keys()
        .map(|name| format!("<button id=\"as-{0}\" name=user value=\"{0}\">{0}</button>", shown(name)))
        .collect();
    Html(format!("<!doctype html><title>Who are you?</title><form action=/authorize/as>{hidden}{people}</form>"))
}

async fn authorize(State(shared): Known, Query(query): Lookup) -> Response {
    let mut shared = lock(&shared);
    let word = |name: &str| query.get(name).cloned().unwrap_or_default();
    let is_right = word("client_id") == CLIENT
        && word("response_type") == "code"
        && word("scope").split(' ').any(|scope| scope == "openid")
        && word("code_challenge_method") == "S256"
        && word("code_challenge").len() == 43
        && !word("state").is_empty()
        && !word("nonce").is_empty();
    if !is_right || !shared.people.contains_key(&word("user")) {
        return (StatusCode::BAD_REQUEST, "no such request").into_response();
    }
    let mut back = form_urlencoded::Serializer::new(String::new());
    back.append_pair("state", &word("state")).append_pair("iss", &shared.issuer);
    if shared.fault == Some(Fault::Denied) {
        back.append_pair("error", "access_denied").append_pair("error_description", "<script>alert(1)</script>");
    } else {
        shared.made += 1;
        let code = format!("code-{}", shared.made);
        back.append_pair("code", &code);
        let (user, redirect) = (word("user"), word("redirect_uri"));
        let known = Code { user, redirect, challenge: word("code_challenge"), nonce: word("nonce") };
        shared.codes.insert(code, known);
    }
    Redirect::to(&format!("{}?{}", word("redirect_uri"), back.finish())).into_response()
}

async fn token(State(shared): Known, headers: HeaderMap, body: String) -> Response {
    let mut shared = lock(&shared);
    let form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let word = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    match shared.fault {
        Some(Fault::Away) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::Redirected) => return Redirect::temporary("http://127.0.0.1:1/").into_response(),
        Some(Fault::CodeRefused) => return refused("invalid_grant"),
        Some(Fault::NoToken) => return Json(json!({"access_token": "x"})).into_response(),
        _ => {}
    }
    if !is_client(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    // A code is taken once, whatever comes of it.
    let Some(code) = shared.codes.remove(word("code")) else { return refused("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(word("code_verifier").as_bytes()));
    if word("grant_type") != "authorization_code"
        || code.redirect != word("redirect_uri")
        || code.challenge != challenge
    {
        return refused("invalid_grant");
    }
    match shared.id_token(&code) {
        Ok(id_token) => {
            Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": id_token})).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn keys(State(shared): Known) -> Json<Value> {
    let shared = lock(&shared);
    // A real set holds keys for other uses too.
    let other = json!({"kty": "oct", "kid": "other", "use": "enc", "alg": "A256KW"});
    let keys: Vec<Value> = shared.keys.iter().map(Key::public).chain([other]).collect();
    Json(json!({"keys": keys}))
}

async fn end_session(State(shared): Known, Query(query): Lookup) -> Response {
    let back = query.get("post_logout_redirect_uri").cloned().unwrap_or_default();
    lock(&shared).signed_out += 1;
    Redirect::to(&back).into_response()
}

impl Shared {
    fn id_token(&self, code: &Code) -> anyhow::Result<String> {
        let now_s = runtime::clock::now_micros() / 1_000_000;
        let fault = self.fault;
        let is = |wanted: Fault| fault == Some(wanted);
        let shift_s = if is(Fault::Expired) { -7_200 } else { i64::from(is(Fault::Early)) * 3_600 };
        let mut claims = json!({
            "iss": if is(Fault::WrongIssuer) { "https://evil.example" } else { self.issuer.as_str() },
            "aud": if is(Fault::WrongAudience) { "mail" } else { CLIENT },
            "nonce": if is(Fault::WrongNonce) { "of another sign-in" } else { code.nonce.as_str() },
            "sub": format!("id-of-{}", code.user),
            "iat": now_s + shift_s,
            "exp": now_s + shift_s + 3_600,
            "preferred_username": code.user,
        });
        for (name, value) in self.people.get(&code.user).and_then(Value::as_object).into_iter().flatten() {
            claims[name] = value.clone();
        }
        let stranger;
        let key = match is(Fault::UnknownKey) {
            true => {
                stranger = Key::new(Algorithm::Es256, "nobody knows it")?;
                &stranger
            }
            false => self.keys.first().ok_or_else(|| anyhow::anyhow!("no key"))?,
        };
        match fault {
            Some(Fault::Unsigned) => Ok(token::unsigned(&claims)),
            Some(Fault::SharedSecret) => key.as_shared_secret(&claims),
            Some(Fault::Changed) => Ok(token::changed(&key.sign(&claims)?, &claims)),
            _ => key.sign(&claims),
        }
    }
}

fn is_client(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(CLIENT), encoded(CLIENT_SECRET));
    value.and_then(|value| value.strip_prefix("Basic ")) == Some(STANDARD.encode(pair).as_str())
}

fn shown(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
