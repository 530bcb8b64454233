//! The REST calls of the sandbox ERP and what their answers mean.

use std::time::Duration;

use connector::effect::current_traceparent;
use connector::erp::answer::{failed, unknown};
pub(crate) use connector::erp::answer::{refused, transient};
use connector::erp::{ErpError, Refusal, RefusalCode};
use connector::http::body::read_bounded;
use connector::http::classify::{Class, Safety, answered_at, classify};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::SandboxConfig;

/// Longest piece of the ERP's own words that goes into an error, in characters.
const REASON_CHARS_MAX: usize = 300;

/// How the ledger says that a key is not in its books.
const ABSENT: &str = "posting.unknown";

/// A client of one ledger.
pub(crate) struct Rest {
    client: Client,
    base: String,
    bearer: String,
    slots: Semaphore,
    wait_max: Duration,
    answer_bytes_max: usize,
}

/// What the sandbox says when it does not do what was asked.
#[derive(Deserialize)]
struct Problem {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
    #[serde(default)]
    lines: Vec<String>,
}

impl Rest {
    pub(crate) fn new(config: &SandboxConfig) -> Result<Self, ErpError> {
        let client = Client::builder()
            .timeout(config.request_timeout())
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .redirect(redirect::Policy::none())
            .http1_only()
            // The address is configured; a proxy from the environment would be a surprise.
            .no_proxy()
            .build();
        let client = client.map_err(|error| refused(format!("the HTTP client cannot be made: {error}")))?;
        Ok(Self {
            client,
            base: config.url.trim_end_matches('/').to_owned(),
            bearer: format!("Bearer {}", config.key.expose()),
            slots: Semaphore::new(config.requests_max.max(1)),
            wait_max: Duration::from_millis(config.retry_after_ms_max),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// Reads; `None` when the ledger says that it has no such posting.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Option<T>, ErpError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.call(Safety::Read, Method::GET, url, None).await
    }

    /// Posts under an idempotency key.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
        body: &Value,
    ) -> Result<T, ErpError> {
        let url = self.url(path)?;
        let answer = self.call(Safety::Effect, Method::POST, url, Some((key, body))).await?;
        answer.ok_or_else(|| transient("the answer to a posting is none"))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        safety: Safety,
        method: Method,
        url: Url,
        body: Option<(&str, &Value)>,
    ) -> Result<Option<T>, ErpError> {
        let _slot = self.slots.acquire().await.map_err(|_| transient("the client is closed"))?;
        tracing::debug!(%method, path = url.path(), "call the ERP");
        let mut request = self.client.request(method, url).header("authorization", &self.bearer);
        if let Some(traceparent) = current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        if let Some((key, body)) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
            // A key that no header can hold stands in the body all the same.
            if let Ok(key) = reqwest::header::HeaderValue::from_str(key) {
                request = request.header("idempotency-key", key);
            }
        }
        let answer = request.send().await.map_err(|error| failed(safety, &error))?;
        self.read(safety, answer).await
    }

    async fn read<T: DeserializeOwned>(&self, safety: Safety, answer: Response) -> Result<Option<T>, ErpError> {
        let status = answer.status();
        let now = answered_at(answer.headers()).unwrap_or(Timestamp::UNIX_EPOCH);
        let class = classify(safety, status, answer.headers(), now, self.wait_max);
        let body = read_bounded(answer, self.answer_bytes_max).await;
        match class {
            Class::Done => {
                let body = body.map_err(|error| unknown(safety, error.to_string()))?;
                let value = serde_json::from_slice(&body);
                value.map(Some).map_err(|error| unknown(safety, format!("the answer is not understood: {error}")))
            }
            Class::Transient(retry_after) => {
                Err(ErpError::Transient { reason: format!("status {status}"), retry_after })
            }
            Class::InDoubt => Err(unknown(safety, format!("status {status}"))),
            // A key that is wrong is the fault of no posting: hold everything until somebody mends it.
            Class::Refused if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(transient("the ERP does not accept the key"))
            }
            // A wrong address answers 404 too; only the ledger itself can say that a posting is not there.
            Class::Refused if safety == Safety::Read && code(body.as_deref().unwrap_or_default()) == ABSENT => Ok(None),
            // Its question came from us, not from an event.
            Class::Refused if safety == Safety::Read => {
                Err(transient(&format!("a read was refused with status {status}")))
            }
            Class::Refused => Err(refusal(&body.unwrap_or_default(), status)),
        }
    }

    fn url(&self, path: &[&str]) -> Result<Url, ErpError> {
        let wrong = |reason: &dyn std::fmt::Display| refused(format!("the address of the ERP is wrong: {reason}"));
        let mut url = Url::parse(&self.base).map_err(|error| wrong(&error))?;
        let mut segments = url.path_segments_mut().map_err(|()| wrong(&"it has no path"))?;
        segments.extend(["api", "v1"]).extend(path);
        drop(segments);
        Ok(url)
    }
}

/// The ERP's own code; empty when it is not the ledger that answers.
fn code(body: &[u8]) -> String {
    serde_json::from_slice(body).map(|Problem { error }| error.code).unwrap_or_default()
}

/// The ERP's own words and codes.
fn refusal(body: &[u8], status: StatusCode) -> ErpError {
    let Ok(Problem { error }) = serde_json::from_slice(body) else {
        return refused(format!("status {status}"));
    };
    let code = match error.code.as_str() {
        "stock.insufficient" => RefusalCode::InsufficientStock,
        "lot.missing" => RefusalCode::MissingLot,
        "lot.unknown" => RefusalCode::UnknownLot,
        "item.unknown" => RefusalCode::UnknownItem,
        "location.unknown" => RefusalCode::UnknownLocation,
        "cost-centre.unknown" => RefusalCode::UnknownCostCentre,
        "posting.invalid" | "request.invalid" => RefusalCode::InvalidPosting,
        "key.reused" => RefusalCode::KeyReused,
        _ => RefusalCode::RefusedByErp,
    };
    let words = error.message.chars().take(REASON_CHARS_MAX).collect::<String>();
    Refusal::new(code, words, error.lines).into()
}
