//! The FHIR server over HTTP: bounded, authorised, and never lured to another server.

use crate::config::FhirConfig;
use ::connector::Secret;
use ::connector::http::body::{BodyError, read_bounded};
use ::connector::http::classify::{Class, Safety, answered_at, classify, classify_failure};
use fhir_gate::Version;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use std::time::Duration;

/// The server, as a client sees it.
#[derive(Debug, Clone)]
pub struct FhirServer {
    client: Client,
    base: Url,
    bearer_token: Option<Secret>,
    accept: &'static str,
    body_bytes_max: usize,
    retry_after_max: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Version by the media type, if it says one.
    pub version: Option<Version>,
    /// Body.
    pub body: Vec<u8>,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configured address or settings cannot be used.
    #[error("WL-2020: {0}")]
    Settings(String),
    /// No answer, or one that says "later".
    #[error("WL-2021: the FHIR server does not answer: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server refuses the request.
    #[error("WL-2022: the FHIR server refuses the request with status {status}")]
    Refused {
        /// Status.
        status: u16,
    },
    /// The answer is longer than allowed.
    #[error(
        "WL-2023: the answer of the FHIR server is longer than {limit} bytes; lower page_size or raise body_bytes_max"
    )]
    TooLong {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The answer is no page of resources.
    #[error("WL-2024: the answer of the FHIR server is no Bundle: {0}")]
    NoPage(String),
    /// A page points to another server.
    #[error("WL-2026: a page of the FHIR server points to another server; nothing was sent there")]
    OtherOrigin,
}

impl ServerError {
    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Unavailable { retry_after, .. } = self { *retry_after } else { None }
    }
}

impl FhirServer {
    /// A client of the configured server.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn new(config: &FhirConfig) -> Result<Self, ServerError> {
        let settings = |error: &dyn std::fmt::Display| ServerError::Settings(error.to_string());
        let client = Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            // A redirect would carry the token to an address that nobody configured.
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| settings(&error))?;
        let base =
            Url::parse(&format!("{}/", config.base_url.trim_end_matches('/'))).map_err(|error| settings(&error))?;
        Ok(Self {
            client,
            base,
            bearer_token: config.bearer_token.clone(),
            accept: match config.version {
                Version::R4 => "application/fhir+json; fhirVersion=4.0, application/fhir+json;q=0.9",
                Version::R5 => "application/fhir+json; fhirVersion=5.0, application/fhir+json;q=0.9",
            },
            body_bytes_max: config.body_bytes_max,
            retry_after_max: Duration::from_millis(config.retry_delay_max_ms),
        })
    }

    /// An address below the base, with query parameters.
    ///
    /// # Errors
    /// When the path leads elsewhere.
    pub fn address(&self, path: &str, query: &[(&str, String)]) -> Result<Url, ServerError> {
        let mut url = self.base.join(path).map_err(|_| ServerError::OtherOrigin)?;
        self.own(&url)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The address of a next page: relative, or of this server.
    ///
    /// # Errors
    /// When it points to another server.
    pub fn next(&self, link: &str) -> Result<Url, ServerError> {
        let url = self.base.join(link).map_err(|_| ServerError::OtherOrigin)?;
        self.own(&url)?;
        Ok(url)
    }

    /// Reads an address. 404 and 410 are answers; every other refusal is an error.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn get(&self, url: Url, traceparent: &str) -> Result<Answer, ServerError> {
        let mut request = self
            .client
            .get(url)
            .header(ACCEPT, self.accept)
            // Servers may answer an equal search from a cache for minutes.
            .header(CACHE_CONTROL, "no-cache")
            .header("traceparent", traceparent);
        if let Some(token) = &self.bearer_token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| ServerError::Settings("the bearer token is no header value".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let now = answered_at(&headers).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        match classify(Safety::Read, status, &headers, now, self.retry_after_max) {
            Class::Done => {}
            Class::Transient(retry_after) => {
                return Err(ServerError::Unavailable { reason: format!("status {}", status.as_u16()), retry_after });
            }
            Class::InDoubt | Class::Refused if matches!(status.as_u16(), 404 | 410) => {}
            Class::InDoubt | Class::Refused => return Err(ServerError::Refused { status: status.as_u16() }),
        }
        let version = headers.get(CONTENT_TYPE).and_then(|value| Version::of_media_type(value.to_str().ok()?));
        let body = read_bounded(response, self.body_bytes_max).await.map_err(|error| match error {
            BodyError::TooLong { limit } => ServerError::TooLong { limit },
            BodyError::Broken(error) => self.no_answer(&error),
        })?;
        Ok(Answer { status, version, body })
    }

    /// Addresses are left out of the message: a search may hold an identifier.
    fn no_answer(&self, error: &reqwest::Error) -> ServerError {
        let retry_after = match classify_failure(Safety::Read, error) {
            Class::Transient(wait) => wait,
            _ => None,
        };
        let kind = match (error.is_timeout(), error.is_connect()) {
            (true, _) => "timed out",
            (_, true) => "no connection",
            _ => "the connection broke",
        };
        ServerError::Unavailable { reason: kind.to_owned(), retry_after }
    }

    fn own(&self, url: &Url) -> Result<(), ServerError> {
        if url.origin() == self.base.origin() { Ok(()) } else { Err(ServerError::OtherOrigin) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> FhirServer {
        let config = FhirConfig { base_url: "http://127.0.0.1:1/fhir".to_owned(), ..FhirConfig::default() };
        FhirServer::new(&config).unwrap()
    }

    #[test]
    fn a_page_that_points_elsewhere_is_not_followed() {
        let server = server();
        assert!(server.next("http://127.0.0.1:1/fhir?_getpages=x").is_ok());
        assert!(server.next("Device?page=2").is_ok());
        for elsewhere in ["http://127.0.0.1:2/fhir", "https://127.0.0.1:1/fhir", "http://evil/fhir", "//evil/fhir"] {
            assert!(matches!(server.next(elsewhere), Err(ServerError::OtherOrigin)), "{elsewhere}");
        }
        assert!(matches!(server.address("http://evil/x", &[]), Err(ServerError::OtherOrigin)));
    }

    #[test]
    fn queries_are_encoded() {
        let url = server().address("Device", &[("_lastUpdated", "ge2026-09-14T10:00:00+02:00".to_owned())]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/fhir/Device?_lastUpdated=ge2026-09-14T10%3A00%3A00%2B02%3A00");
    }
}
