//! The files that are built in.

use crate::ask::{Answer, Ask};
use crate::assets;
use crate::problem::Problem;
use std::borrow::Cow;

/// A file by its name; its address holds its version, so that a browser may keep it.
pub async fn file(ask: Ask) -> Result<Answer, Problem> {
    let found = assets::ALL.iter().find(|asset| asset.name == ask.part("name"));
    let asset = found.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let is_immutable = ask.part("version") == assets::version();
    Ok(Answer::File { content_type: asset.content_type, bytes: Cow::Borrowed(asset.text.as_bytes()), is_immutable })
}
