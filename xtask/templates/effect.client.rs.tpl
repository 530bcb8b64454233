//! The service outside, over HTTP.

use connector::effect::{BoxFuture, CallError, EffectClient, current_traceparent};
use connector::http::classify::{Class, Safety, answered_at, classify, classify_failure};
use processor::{Code, Reason};
use reqwest::{RequestBuilder, Response};
use schemas::{Action, Document};
use serde::Serialize;
use std::time::Duration;

use crate::@Type@Config;

/// Code of what the service refuses, as for every effect.
const REFUSED: Code = Code::new("WL-5001");

/// What the service is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Id of the event.
    pub event_id: String,
    /// Whether the fact is new, corrected or taken back.
    pub action: Action,
}

/// The service took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted;

/// The client of the service.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
}

impl Client {
    /// A client for the service at `config.url`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(config: &@Type@Config) -> reqwest::Result<Self> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(timeout).redirect(redirects).build()?;
        Ok(Self { http, url: config.url.trim_end_matches('/').to_owned(), timeout })
    }

    async fn send(&self, request: RequestBuilder, safety: Safety) -> Result<Response, CallError> {
        let request = match current_traceparent() {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        };
        let (class, reason, response) = match request.send().await {
            Ok(response) => {
                let now = answered_at(response.headers()).unwrap_or_default();
                let class = classify(safety, response.status(), response.headers(), now, self.timeout);
                (class, format!("the service answered {}", response.status()), Some(response))
            }
            Err(error) => (classify_failure(safety, &error), "the service did not answer".to_owned(), None),
        };
        match (class, response) {
            (Class::Done, Some(response)) => Ok(response),
            (Class::Transient(retry_after), _) => Err(CallError::Transient { retry_after, reason }),
            (Class::Refused, _) => {
                let reason = Box::new(Reason::new(REFUSED, "service.refused", reason));
                Err(CallError::Refused { reason, request: None })
            }
            (Class::InDoubt | Class::Done, _) => Err(CallError::InDoubt { reason }),
        }
    }
}

impl EffectClient<Notice, Accepted> for Client {
    fn call<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Notice],
    ) -> BoxFuture<'a, Result<Vec<Accepted>, CallError>> {
        Box::pin(async move {
            let request = self.http.post(&self.url).header("Idempotency-Key", document_key).json(requests);
            self.send(request, Safety::Effect).await?;
            Ok(vec![Accepted; requests.len()])
        })
    }

    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Notice],
    ) -> BoxFuture<'a, Result<Option<Vec<Accepted>>, CallError>> {
        Box::pin(async move {
            // A list, so that a key the service has never seen is an empty answer and not an error.
            let request = self.http.get(format!("{}?idempotency_key={document_key}", self.url));
            let found = self.send(request, Safety::Read).await?.json::<Vec<serde_json::Value>>().await;
            let found = found.map_err(|_unreadable| CallError::Transient {
                retry_after: None,
                reason: "the answer to a look-up is no list".to_owned(),
            })?;
            Ok((!found.is_empty()).then(|| vec![Accepted; requests.len()]))
        })
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn documents(&self, _answer: &Accepted) -> Vec<Document> {
        Vec::new()
    }
}
