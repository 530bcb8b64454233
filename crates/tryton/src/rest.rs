//! The REST calls of Tryton and what their answers mean.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use connector::effect::current_traceparent;
use connector::erp::ErpError;
use connector::erp::answer::{failed, unknown};
pub(crate) use connector::erp::answer::{refused, transient};
use connector::http::body::read_bounded;
use connector::http::classify::{Class, Safety, answered_at, classify};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::TrytonConfig;

/// Longest piece of the ERP's own words that goes into an error, in characters.
const REASON_CHARS_MAX: usize = 300;

/// A client of one database.
pub(crate) struct Rest {
    client: Client,
    base: String,
    bearer: String,
    context: String,
    slots: Semaphore,
    wait_max: Duration,
    answer_bytes_max: usize,
}

/// A list of records and when the server gave it, by the server's own clock.
pub(crate) struct Page {
    pub(crate) records: Vec<Value>,
    pub(crate) answered_at: Option<Timestamp>,
    /// Nothing of it was read before this moment, by the server's clock.
    pub(crate) read_after: Option<Timestamp>,
}

/// A search: which records, which fields, how many. Records come in the order of their ids.
pub(crate) struct Search<'a> {
    pub(crate) model: &'a str,
    pub(crate) domain: Value,
    pub(crate) fields: &'a [&'a str],
    pub(crate) limit: usize,
}

impl Rest {
    pub(crate) fn new(config: &TrytonConfig) -> Result<Self, ErpError> {
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
            base: format!("{}/{}/rest/model", config.url.trim_end_matches('/'), config.database),
            bearer: format!("bearer {}", config.key.expose()),
            context: encode(&json!({"company": config.company})),
            slots: Semaphore::new(config.requests_max.max(1)),
            wait_max: Duration::from_millis(config.retry_after_ms_max),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    pub(crate) async fn search(&self, search: Search<'_>) -> Result<Page, ErpError> {
        let mut url = self.url(search.model, search.fields)?;
        url.query_pairs_mut()
            .append_pair("d", &encode(&search.domain))
            .append_pair("o", &encode(&json!([["id", "ASC"]])))
            .append_pair("s", &search.limit.to_string());
        let asked = Instant::now();
        let (body, answered_at) = self.call(Safety::Read, Method::GET, url, None).await?;
        let read_after = answered_at.and_then(|at| at.checked_sub(asked.elapsed()).ok());
        match body {
            Value::Array(records) => Ok(Page { records, answered_at, read_after }),
            _ => Err(transient("the answer to a search is not a list")),
        }
    }

    /// Creates a record and returns the asked fields of it.
    pub(crate) async fn create(&self, model: &str, record: &Value, fields: &[&str]) -> Result<Value, ErpError> {
        let url = self.url(model, fields)?;
        Ok(self.call(Safety::Effect, Method::POST, url, Some(record)).await?.0)
    }

    /// Presses a button of a record and returns the asked fields of it afterwards.
    pub(crate) async fn press(&self, model: &str, id: i64, button: &str, fields: &[&str]) -> Result<Value, ErpError> {
        let url = self.url(&format!("{model}/{id}/{button}"), fields)?;
        Ok(self.call(Safety::Effect, Method::POST, url, Some(&json!({}))).await?.0)
    }

    pub(crate) async fn delete(&self, model: &str, id: i64) -> Result<(), ErpError> {
        let url = self.url(&format!("{model}/{id}"), &[])?;
        self.call(Safety::Effect, Method::DELETE, url, None).await.map(drop)
    }

    async fn call(
        &self,
        safety: Safety,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<(Value, Option<Timestamp>), ErpError> {
        let _slot = self.slots.acquire().await.map_err(|_| transient("the client is closed"))?;
        tracing::debug!(%method, path = url.path(), "call the ERP");
        let mut request = self
            .client
            .request(method, url)
            .header("authorization", &self.bearer)
            .header("x-tryton-context", &self.context)
            .header("content-type", "application/json");
        if let Some(traceparent) = current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| failed(safety, &error))?;
        self.read(safety, answer).await
    }

    async fn read(&self, safety: Safety, answer: Response) -> Result<(Value, Option<Timestamp>), ErpError> {
        let status = answer.status();
        let answered_at = answered_at(answer.headers());
        let now = answered_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let class = classify(safety, status, answer.headers(), now, self.wait_max);
        let body = read_bounded(answer, self.answer_bytes_max).await;
        match class {
            Class::Done => {
                let body = body.map_err(|error| unknown(safety, error.to_string()))?;
                let value = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
                let value = value.map_err(|error| unknown(safety, format!("the answer is not JSON: {error}")))?;
                Ok((value, answered_at))
            }
            Class::Transient(retry_after) => {
                Err(ErpError::Transient { reason: format!("status {status}"), retry_after })
            }
            Class::InDoubt => Err(unknown(safety, format!("status {status}"))),
            // A key that is wrong or withdrawn is the fault of no posting: hold everything until somebody mends it.
            Class::Refused if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(transient("the ERP does not accept the key"))
            }
            // A failed read has no message of its own, and its question came from us, not from an event.
            Class::Refused if safety == Safety::Read => {
                Err(transient(&format!("a read was refused with status {status}")))
            }
            Class::Refused => Err(refused(message(&body.unwrap_or_default(), status))),
        }
    }

    fn url(&self, path: &str, fields: &[&str]) -> Result<Url, ErpError> {
        let url = Url::parse(&format!("{}/{path}", self.base));
        let mut url = url.map_err(|error| refused(format!("the address of the ERP is wrong: {error}")))?;
        if !fields.is_empty() {
            url.query_pairs_mut().extend_pairs(fields.iter().map(|field| ("f", field)));
        }
        Ok(url)
    }
}

/// The ERP's own words, which have no codes.
fn message(body: &[u8], status: StatusCode) -> String {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["message", "description"].map(|name| parsed[name].as_str().unwrap_or_default());
    let words: String = words.join(" ").trim().chars().take(REASON_CHARS_MAX).collect();
    if words.is_empty() { format!("status {status}") } else { words }
}

fn encode(value: &Value) -> String {
    URL_SAFE.encode(value.to_string())
}
