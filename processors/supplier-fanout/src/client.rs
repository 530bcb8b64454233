//! Posts a notice and reads what the answer means.
//!
//! The key goes into `idempotency-key` and `webhook-id`; a supplier that has seen it answers 2xx or 409 and does nothing
//! again. The body of an answer is not read.

use crate::TARGET;
use crate::config::{FanoutConfig, Profile};
use crate::notice::Notice;
use crate::reasons::{GONE, NOT_AUTHORISED, REFUSED};
use crate::signature::Signer;
use connector::effect::{BoxFuture, CallError, EffectClient, current_traceparent};
use connector::http::classify::{Class, Safety, classify, classify_failure};
use connector::pacing::Pacing;
use jiff::Timestamp;
use processor::Reason;
use reqwest::{Client, Proxy, Response, StatusCode, redirect};
use std::collections::HashMap;
use std::time::Duration;

/// Who tells the time, microseconds since 1970.
type Clock = fn() -> i64;

/// What a supplier answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The idempotency key that the supplier saw.
    pub key: String,
}

/// Talks to all suppliers.
pub struct WebhookClient {
    http: Client,
    receivers: HashMap<String, Receiver>,
    retry_after_max: Duration,
    calls_max: usize,
    certain_after: Duration,
    clock: Clock,
}

struct Receiver {
    url: String,
    look_up_url: String,
    signer: Signer,
    pacing: Pacing,
}

impl WebhookClient {
    /// A client for the suppliers of a configuration. `clock` tells the time of the signatures.
    ///
    /// # Errors
    /// When a secret or the proxy cannot be used.
    pub fn new(config: &FanoutConfig, clock: Clock) -> Result<Self, String> {
        let mut http = Client::builder()
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.timeout_ms))
            // A redirect would send a signed notice to an address that nobody configured.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("wardline/", env!("CARGO_PKG_VERSION")));
        http = match &config.proxy {
            Some(proxy) => http.proxy(Proxy::all(proxy.expose()).map_err(|error| format!("proxy: {error}"))?),
            None => http.no_proxy(),
        };
        let mut receivers = HashMap::new();
        for (name, profile) in &config.profiles {
            let receiver = Receiver::new(profile).map_err(|reason| format!("profiles.{name}.secret {reason}"))?;
            receivers.insert(name.clone(), receiver);
        }
        Ok(Self {
            http: http.build().map_err(|error| error.to_string())?,
            receivers,
            retry_after_max: Duration::from_millis(config.retry_after_max_ms),
            calls_max: config.calls_max,
            certain_after: Duration::from_millis(config.certain_after_ms),
            clock,
        })
    }

    async fn post(&self, key: &str, notice: &Notice) -> Result<Answer, CallError> {
        let receiver = self.receiver(notice)?;
        let now = (self.clock)();
        let seconds = now.div_euclid(1_000_000);
        let mut request = self
            .http
            .post(&receiver.url)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .header("webhook-id", key)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", receiver.signer.sign(key, seconds, &notice.body));
        if let Some(traceparent) = current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        let answer = match request.body(notice.body.clone()).send().await {
            Ok(answer) => answer,
            Err(failure) => return Err(unanswered(&classify_failure(Safety::Effect, &failure), &notice.profile)),
        };
        let status = answer.status();
        if status == StatusCode::CONFLICT {
            return Ok(done(status, key));
        }
        self.judge(&answer, Safety::Effect, notice).map(|()| done(status, key))
    }

    async fn get(&self, key: &str, notice: &Notice) -> Result<Option<Answer>, CallError> {
        let receiver = self.receiver(notice)?;
        let sent = self.http.get(format!("{}/{key}", receiver.look_up_url)).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(failure) => return Err(unanswered(&classify_failure(Safety::Read, &failure), &notice.profile)),
        };
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        match self.judge(&answer, Safety::Read, notice) {
            Ok(()) => Ok(Some(done(answer.status(), key))),
            // Not being let in says nothing about the notice: it stays in doubt.
            Err(CallError::Refused { reason, .. }) => Err(CallError::InDoubt { reason: reason.message }),
            Err(error) => Err(error),
        }
    }

    fn receiver(&self, notice: &Notice) -> Result<&Receiver, CallError> {
        self.receivers.get(&notice.profile).ok_or_else(|| CallError::Transient {
            retry_after: None,
            reason: format!("supplier {} has no profile any more", notice.profile),
        })
    }

    fn judge(&self, answer: &Response, safety: Safety, notice: &Notice) -> Result<(), CallError> {
        let now = Timestamp::from_microsecond((self.clock)()).unwrap_or_default();
        let said = format!("supplier {} answered {}", notice.profile, answer.status().as_u16());
        match classify(safety, answer.status(), answer.headers(), now, self.retry_after_max) {
            Class::Done => Ok(()),
            Class::Transient(retry_after) => Err(CallError::Transient { retry_after, reason: said }),
            Class::InDoubt => Err(CallError::InDoubt { reason: said }),
            Class::Refused => Err(CallError::Refused {
                reason: Box::new(refusal(answer.status(), said, &notice.profile)),
                request: Some(0),
            }),
        }
    }
}

impl Receiver {
    fn new(profile: &Profile) -> Result<Self, String> {
        let look_up_url = profile.look_up_url.as_deref().unwrap_or(&profile.url).trim_end_matches('/').to_owned();
        let signer = Signer::new(&profile.secret)?;
        Ok(Self { url: profile.url.clone(), look_up_url, signer, pacing: profile.pacing.clone() })
    }
}

impl EffectClient<Notice, Answer> for WebhookClient {
    fn call<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Notice],
    ) -> BoxFuture<'a, Result<Vec<Answer>, CallError>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for notice in requests {
                answers.push(self.post(document_key, notice).await?);
            }
            Ok(answers)
        })
    }

    /// Only asks, whether it is certain or not.
    fn look_up<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Notice],
        _certain: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<Answer>>, CallError>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for notice in requests {
                match self.get(document_key, notice).await? {
                    Some(answer) => answers.push(answer),
                    None => return Ok(None),
                }
            }
            Ok(Some(answers))
        })
    }

    fn certain_after(&self) -> Duration {
        self.certain_after
    }

    /// One notice is one document.
    fn batch_max(&self) -> usize {
        1
    }

    fn calls_max(&self) -> usize {
        self.calls_max
    }

    fn pacing(&self, target: &str) -> Pacing {
        let receiver = target.strip_prefix(TARGET).and_then(|name| self.receivers.get(name));
        receiver.map(|receiver| receiver.pacing.clone()).unwrap_or_default()
    }

    fn shares_budget(&self) -> bool {
        self.receivers.values().any(|receiver| receiver.pacing.calls_per_minute.is_some())
    }

    fn documents(&self, answer: &Answer) -> Vec<schemas::Document> {
        vec![schemas::Document {
            kind: "notice".to_owned(),
            id: answer.key.clone(),
            number: None,
            state: answer.status.to_string(),
        }]
    }
}

fn done(status: StatusCode, key: &str) -> Answer {
    Answer { status: status.as_u16(), key: key.to_owned() }
}

fn unanswered(class: &Class, profile: &str) -> CallError {
    match class {
        Class::InDoubt => {
            CallError::InDoubt { reason: format!("supplier {profile} gave no answer after the notice was sent") }
        }
        _ => CallError::Transient { retry_after: None, reason: format!("supplier {profile} cannot be reached") },
    }
}

fn refusal(status: StatusCode, said: String, profile: &str) -> Reason {
    match status {
        StatusCode::GONE => Reason::new(GONE, "supplier.gone", said).fix(format!(
            "ask the supplier for its new address and change profiles.{profile}.url, or remove the profile"
        )),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Reason::new(NOT_AUTHORISED, "supplier.not-authorised", said)
                .fix(format!("compare profiles.{profile}.secret with the supplier's, and the clocks of both sides"))
        }
        _ => Reason::new(REFUSED, "supplier.refused", said)
            .fix("ask the supplier what it misses, correct the record, then retry the exception"),
    }
}
