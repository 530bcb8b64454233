//! Sends the day: HL7 v2 over several MLLP connections, FHIR resources with PUT.

use super::hl7::Message;
use crate::output;
use crate::{Failure, send};
use hl7v2::mllp::{Ack, AckCode, ClientError, ClientOptions, MllpClient};
use indicatif::ProgressBar;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often a message is sent again after a broken connection or a negative answer that asks for it.
const ATTEMPTS_MAX: u32 = 30;
/// Wait before a message is sent again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// What was sent and how it was answered.
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages and resources.
    pub count: u64,
    /// Answers by code.
    pub answers: BTreeMap<String, u64>,
}

/// Sends the messages of each list over a connection of its own, in order, one at a time as a clinical system does.
pub async fn hl7v2(address: &str, lists: Vec<Vec<Message>>) -> Result<Sent, Failure> {
    let progress = output::spinner("HL7 v2 messages sent:");
    let mut senders = JoinSet::new();
    for list in lists {
        let (address, progress) = (address.to_owned(), progress.clone());
        senders.spawn(async move { send_list(&address, &list, &progress).await });
    }
    let mut all = Sent::default();
    while let Some(sent) = senders.join_next().await {
        let sent = sent.map_err(|error| Failure::new(error, "report this as a defect"))??;
        all.count += sent.count;
        for (code, count) in sent.answers {
            *all.answers.entry(code).or_default() += count;
        }
    }
    progress.finish_and_clear();
    Ok(all)
}

/// Puts the resources on the FHIR server, in order.
pub async fn fhir(base: &str, resources: &[Value]) -> Result<Sent, Failure> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .map_err(|error| Failure::new(error, "report this as a defect"))?;
    let progress = output::spinner("FHIR resources put:");
    let mut sent = Sent::default();
    for resource in resources {
        let bytes = resource.to_string().into_bytes();
        let (id, status, text) = send::put(&client, base, resource, bytes).await?;
        if status >= 300 {
            let what = format!("WL-7068: the FHIR server refuses {id} with {status}: {text}");
            return Err(Failure::new(what, "check that --fhir names an R4 server that takes ids of the client"));
        }
        sent.count += 1;
        *sent.answers.entry(status.to_string()).or_default() += 1;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(sent)
}

async fn send_list(address: &str, list: &[Message], progress: &ProgressBar) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    let mut connection = None;
    for message in list {
        let code = send_one(address, &mut connection, message).await?;
        sent.count += 1;
        *sent.answers.entry(code.to_owned()).or_default() += 1;
        progress.inc(1);
    }
    Ok(sent)
}

/// A real sender repeats until it has an answer: the connection may break, the receiver may ask to try again later.
async fn send_one(
    address: &str,
    connection: &mut Option<MllpClient>,
    message: &Message,
) -> Result<&'static str, Failure> {
    let mut last = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            tokio::time::sleep(RETRY_DELAY).await;
        }
        match exchange(address, connection, message).await {
            Ok(ack) if asks_again(&ack) => last = ack.error.unwrap_or_default(),
            Ok(ack) => return Ok(ack.code.map_or("none", AckCode::name)),
            Err(error) => {
                *connection = None;
                last = error.to_string();
            }
        }
    }
    let what = format!("WL-7067: {address} did not take {} after {ATTEMPTS_MAX} attempts: {last}", message.control_id);
    Err(Failure::new(what, "see the log of the hl7v2 room"))
}

async fn exchange(address: &str, connection: &mut Option<MllpClient>, message: &Message) -> Result<Ack, ClientError> {
    let mut client = match connection.take() {
        Some(client) => client,
        None => MllpClient::connect(address, ClientOptions::default()).await?,
    };
    let ack = client.send(&message.bytes).await?;
    *connection = Some(client);
    Ok(ack)
}

/// Whether the receiver could not store the message now: HL7 table 0357, code 207. Other errors stay however often they are
/// sent.
fn asks_again(ack: &Ack) -> bool {
    matches!(ack.code, Some(AckCode::Ae | AckCode::Ce)) && ack.raw.windows(5).any(|window| window == b"|207^")
}
