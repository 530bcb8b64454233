//! A received message as it came, beside the event that was made of it.

use crate::ask::{Answer, Ask};
use crate::html::{Frame, Page, facts};
use crate::original::{Source, check_reason, see_bytes, show};
use crate::problem::Problem;
use crate::trail::Entry;
use maud::html;
use operations::messages::MessageId;
use schemas::topics;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    id: String,
    place: String,
    source: Source,
    #[serde(skip)]
    at: (i32, i64),
}

/// One, without what may identify a patient.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let mut whole = read(&ask).await?;
    whole.source = whole.source.masked();
    Ok(Answer::view(whole, page))
}

/// One with all its bytes; that goes on record first.
pub async fn original(ask: Ask) -> Result<Answer, Problem> {
    let reason = ask.body.text("reason").unwrap_or_default().to_owned();
    check_reason(&reason)?;
    let whole = read(&ask).await?;
    ask.console
        .trail
        .record(Entry {
            code: "show-original".to_owned(),
            detail: format!("was shown the bytes of a message: {reason}"),
            actor: Some(ask.name().to_owned()),
            origin: Some((topics::OPS_SOURCE_V1.name().to_owned(), whole.at.0, whole.at.1)),
            ..Entry::default()
        })
        .await?;
    Ok(Answer::view(whole, page))
}

async fn read(ask: &Ask) -> Result<Whole, Problem> {
    let desk = &ask.console.desk;
    let id = MessageId::parse(ask.part("id"));
    let id = id.ok_or_else(|| Problem::not_found("a message is named by the digest of its bytes and its second"))?;
    let found = desk.message(&id).await?;
    let message = found.ok_or_else(|| {
        Problem::not_found(
            "the message is not kept: retention has removed it, or its connector keeps none (keep_sources)",
        )
    })?;
    let bound = ask.console.config.bounds.original_bytes_max;
    let (codec, at) = (desk.codec()?, message.place);
    let reading = async move {
        Source::read(&codec, Some(message.bytes.as_slice()), message.content_type.as_deref(), bound).await
    };
    let source = desk.reads.topics(reading).await?;
    let place = format!("{}-{}@{}", topics::OPS_SOURCE_V1.name(), at.0, at.1);
    Ok(Whole { id: id.to_string(), place, source, at })
}

fn page(data: &Whole, frame: &Frame<'_>) -> Page {
    let digest = data.id.split_once('@').map_or(data.id.as_str(), |(digest, _)| digest);
    let body = html! {
        h1 { "Message " span.mono { (digest.get(..12).unwrap_or(digest)) } }
        p.lead { "What a source sent, as it came." }
        div.columns {
            section {
                (facts(&[
                    ("SHA-256", html! { span.mono { (digest) } }),
                    ("Kept at", html! { span.mono { (data.place) } }),
                ]))
                h2 { "Source" }
                (show(&data.source, &[]))
            }
            section {
                (see_bytes(&data.source, &format!("/messages/{}", data.id), frame))
            }
        }
    };
    Page::still("Message".to_owned(), body)
}
