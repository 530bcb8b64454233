//! The few calls of a Confluent-compatible registry that administration needs and the codec does not.

use crate::config::RegistryConfig;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A registry, for administration.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    config: RegistryConfig,
}

/// Why the registry was of no help.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It does not answer.
    #[error("WL-6005: the schema registry does not answer: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("WL-6006: the schema registry refuses {subject}: status {status}: {reason}")]
    Refused {
        /// Subject.
        subject: String,
        /// HTTP status.
        status: u16,
        /// What it said, shortened.
        reason: String,
    },
}

impl Registry {
    /// A client of one registry.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_millis(config.timeout_ms))
            .build()
            .map_err(|error| unreachable(&error))?;
        Ok(Self { client, config: config.clone() })
    }

    /// Whether exactly this schema is registered under the subject.
    ///
    /// # Errors
    /// When the registry does not answer or refuses.
    pub async fn has(&self, subject: &str, schema: &str) -> Result<bool, RegistryError> {
        let request = self.request(Method::POST, &format!("subjects/{subject}")).json(&body(schema));
        Ok(send(subject, request).await?.is_some())
    }

    /// Registers a schema; the same schema again keeps its id.
    ///
    /// # Errors
    /// When it is not compatible with the versions before, or the registry does not answer.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        let path = format!("subjects/{subject}/versions");
        expect(subject, send(subject, self.request(Method::POST, &path).json(&body(schema))).await?)
    }

    /// The rule of a subject; none when the registry's global rule applies.
    ///
    /// # Errors
    /// When the registry does not answer or refuses.
    pub async fn compatibility(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let answer = send(subject, self.request(Method::GET, &format!("config/{subject}"))).await?;
        Ok(answer.and_then(|answer| answer.get("compatibilityLevel")?.as_str().map(str::to_owned)))
    }

    /// Sets the rule of a subject.
    ///
    /// # Errors
    /// When the registry does not answer or refuses.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let request = self.request(Method::PUT, &format!("config/{subject}")).json(&json!({"compatibility": level}));
        expect(subject, send(subject, request).await?)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}/{path}", self.config.url.trim_end_matches('/')));
        match &self.config.username {
            Some(user) => request.basic_auth(user, self.config.password.as_ref().map(connector::Secret::expose)),
            None => request,
        }
    }
}

fn body(schema: &str) -> Value {
    json!({"schema": schema, "schemaType": "AVRO"})
}

/// Sends a request; not found is `None`.
async fn send(subject: &str, request: RequestBuilder) -> Result<Option<Value>, RegistryError> {
    let answer = request.send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| unreachable(&error))?;
    if status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        let reason = text.chars().take(300).collect();
        return Err(RegistryError::Refused { subject: subject.to_owned(), status: status.as_u16(), reason });
    }
    Ok(Some(serde_json::from_str(&text).unwrap_or(Value::Null)))
}

fn expect(subject: &str, answer: Option<Value>) -> Result<(), RegistryError> {
    answer.map(drop).ok_or_else(|| RegistryError::Refused {
        subject: subject.to_owned(),
        status: StatusCode::NOT_FOUND.as_u16(),
        reason: "not found".to_owned(),
    })
}

fn unreachable(error: &reqwest::Error) -> RegistryError {
    RegistryError::Unreachable(error.to_string())
}
