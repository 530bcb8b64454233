//! The message behind an event, as an exception shows it: what its sender said, without what may identify a patient.

use crate::ask::Ask;
use crate::original::{Source, show};
use crate::problem::Problem;
use maud::{Markup, html};
use operations::messages::MessageId;
use serde::Serialize;
use std::time::Duration;

/// The message that an event was made of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// Its id.
    id: String,
    /// What stands in it; none where it is not kept, or not read yet.
    source: Option<Source>,
    /// Why that is so.
    not_shown: Option<String>,
    /// It is being read, and soon there.
    #[serde(skip)]
    pub is_pending: bool,
}

impl Behind {
    /// Reads it, and waits so long for it.
    pub async fn read(ask: &Ask, id: &MessageId, within: Duration) -> Self {
        let read = tokio::time::timeout(within, source(ask, id)).await;
        let (source, not_shown, is_pending) = match read {
            Err(_) => (None, Some("it takes longer; it is being read".to_owned()), true),
            Ok(Err(problem)) => (None, Some(problem.detail), false),
            Ok(Ok(None)) => (None, Some(GONE.to_owned()), false),
            Ok(Ok(Some(source))) => (Some(source), None, false),
        };
        Self { id: id.to_string(), source, not_shown, is_pending }
    }
}

/// Why there is none.
const GONE: &str = "it is not kept any more: received messages are kept for as long as the retention of ops.source.v1 says, and \
                    not at all where the connector keeps none (keep_sources); ask the sender";

async fn source(ask: &Ask, id: &MessageId) -> Result<Option<Source>, Problem> {
    let desk = &ask.console.desk;
    let Some(message) = desk.message(id).await? else { return Ok(None) };
    let (codec, bound) = (desk.codec()?, ask.console.config.bounds.original_bytes_max);
    let bytes = Some(message.bytes.as_slice());
    Ok(Some(Source::read(&codec, bytes, message.content_type.as_deref(), bound).await.masked()))
}

/// The part of the page.
pub fn part(behind: &Behind) -> Markup {
    html! {
        h2 #message { "The message that it was made of" }
        p { a href={ "/messages/" (behind.id) } { "The message by itself" } }
        @if let Some(source) = &behind.source { (show(source, &[])) }
        @if let Some(why) = &behind.not_shown { p.muted { "Not shown: " (why) "." } }
    }
}
