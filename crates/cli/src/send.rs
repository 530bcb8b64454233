//! `wardline send`: a real sender.

use crate::args::{Globals, Send, SendKind};
use crate::output::Output;
use crate::{Failure, context};
use ::fhir::FhirConfig;
use hl7v2::mllp::{AckCode, ClientError, ClientOptions, MAX_FRAME_BYTES, MllpClient};
use hl7v2::parser::{PieceKind, split};
use reqwest::{Client, Method};
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// What helps depends on the answer: the same message gets the same refusal, but what Kafka did not take is to be repeated.
const AFTER_REFUSAL: &str = "mend what was refused before it is sent again (`wardline parse` shows what is wrong); send again \
    as it is only what was not stored: WL-1030, a status of 500 or more, or a broken connection";

/// What became of one message or resource.
#[derive(Debug, Serialize)]
struct Answer {
    file: String,
    index: usize,
    id: Option<String>,
    answer: String,
    accepted: bool,
    text: String,
    milliseconds: u64,
}

/// Executes `wardline send`.
pub fn execute(globals: &Globals, options: &Send) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let answers = context::block_on(async {
        match options.kind {
            SendKind::Hl7v2 => hl7v2(options, &mut output).await,
            SendKind::Fhir => fhir(globals, options, &mut output).await,
        }
    })?;
    let refused = answers?;
    output.finish()?;
    if refused > 0 {
        return Err(Failure::new(format!("WL-7068: {refused} not accepted"), AFTER_REFUSAL));
    }
    Ok(())
}

/// The bytes of a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = read.map_err(|error| {
        Failure::usage(
            format!("WL-7062: cannot read {}: {error}", path.display()),
            "name a file that exists, or - for stdin",
        )
    })?;
    if bytes.trim_ascii().is_empty() { Err(empty(path)) } else { Ok(bytes) }
}

/// Silence about an empty file would look like success.
fn empty(path: &Path) -> Failure {
    Failure::usage(
        format!("WL-7074: nothing is in {}", path.display()),
        "name a file with messages, or pipe them in and name -; what was named before it is done",
    )
}

async fn hl7v2(options: &Send, output: &mut Output) -> Result<usize, Failure> {
    let broken = |error: ClientError| {
        Failure::new(
            format!("{}: {error}", options.to),
            "start `wardline up`, or name a running MLLP listener with --to, then send again",
        )
    };
    let timeout = Duration::from_millis(options.timeout_ms);
    let mut client = MllpClient::connect(&options.to, ClientOptions { timeout, ..ClientOptions::default() })
        .await
        .map_err(broken)?;
    let mut refused = 0;
    for path in &options.files {
        let bytes = read(path)?;
        let mut pieces = split(&bytes, MAX_FRAME_BYTES);
        // What is no message is sent as well: the listener has to say what it makes of it.
        pieces.retain(|piece| piece.kind != PieceKind::Empty);
        if pieces.is_empty() {
            return Err(empty(path));
        }
        for (index, piece) in pieces.iter().enumerate() {
            let started = clock::tick();
            let ack = client.send(&piece.bytes).await.map_err(broken)?;
            let accepted = matches!(ack.code, None | Some(AckCode::Aa | AckCode::Ca));
            refused += usize::from(!accepted);
            let answer = Answer {
                file: path.display().to_string(),
                index,
                id: Some(ack.control_id).filter(|id| !id.is_empty()),
                answer: ack.code.map_or("none", AckCode::name).to_owned(),
                accepted,
                text: ack.error.unwrap_or_default(),
                milliseconds: milliseconds_since(started),
            };
            print(&answer, options.json, output)?;
        }
    }
    Ok(refused)
}

async fn fhir(globals: &Globals, options: &Send, output: &mut Output) -> Result<usize, Failure> {
    let base = context::room::<FhirConfig>(&context::config(globals)?, "fhir")?.base_url;
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(options.timeout_ms))
        .build()
        .map_err(|error| Failure::new(error, "report this as a defect"))?;
    let mut refused = 0;
    for path in &options.files {
        let bytes = read(path)?;
        let resource: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::usage(format!("WL-7068: {} is not JSON: {error}", path.display()), "send FHIR resources as JSON")
        })?;
        let started = clock::tick();
        let (id, status, text) = put(&client, &base, &resource, bytes).await?;
        let accepted = (200..300).contains(&status);
        refused += usize::from(!accepted);
        let answer = Answer {
            file: path.display().to_string(),
            index: 0,
            id: Some(id),
            answer: status.to_string(),
            accepted,
            text,
            milliseconds: milliseconds_since(started),
        };
        print(&answer, options.json, output)?;
    }
    Ok(refused)
}

/// PUT when the resource has an id, POST otherwise; transactions and batches go to the base. Gives id, status and what
/// the server says when it refuses.
pub async fn put(
    client: &Client,
    base: &str,
    resource: &Value,
    bytes: Vec<u8>,
) -> Result<(String, u16, String), Failure> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, id) = (text("resourceType"), text("id"));
    let base = base.trim_end_matches('/');
    let bundle = kind == "Bundle" && matches!(text("type"), "transaction" | "batch");
    let (method, url) = match (bundle, id.is_empty()) {
        (true, _) => (Method::POST, base.to_owned()),
        (false, true) => (Method::POST, format!("{base}/{kind}")),
        (false, false) => (Method::PUT, format!("{base}/{kind}/{id}")),
    };
    let request = client.request(method, &url).header("content-type", "application/fhir+json").body(bytes);
    let unreachable = |error: reqwest::Error| {
        Failure::new(
            format!("WL-7067: {url}: {error}"),
            "start `wardline up`, or name a running FHIR server with --fhir",
        )
    };
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    let said = if status < 300 { None } else { body.pointer("/issue/0/diagnostics").and_then(Value::as_str) };
    Ok((format!("{kind}/{id}"), status, said.unwrap_or_default().to_owned()))
}

fn print(answer: &Answer, json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        return output.json(answer);
    }
    let id = answer.id.as_deref().unwrap_or("-");
    output.line(format!("{}#{} {id}: {} {}", answer.file, answer.index, answer.answer, answer.text).trim_end())
}

fn milliseconds_since(started: clock::Tick) -> u64 {
    u64::try_from(clock::tick().since(started).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("day.hl7");
        for nothing in ["", "\r\n \n"] {
            std::fs::write(&path, nothing).unwrap();
            let said = read(&path).unwrap_err();
            assert!(said.to_string().contains("WL-7074") && said.exit_code() == 2, "{said}");
        }
        std::fs::write(&path, "MSH|\r").unwrap();
        assert_eq!(read(&path).unwrap(), b"MSH|\r");
    }

    #[test]
    fn only_what_was_not_stored_is_sent_again_as_it_is() {
        assert!(AFTER_REFUSAL.contains("WL-1030") && !AFTER_REFUSAL.contains("AR"), "{AFTER_REFUSAL}");
    }
}
