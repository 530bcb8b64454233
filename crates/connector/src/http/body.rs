//! Reading an answer without trusting its length.

use reqwest::Response;
use thiserror::Error;

/// Why a body could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The body is longer than allowed (bytes); the rest was not read.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The most bytes that were allowed.
        limit: usize,
    },
    /// The connection failed before the body was complete.
    #[error("the answer broke off: {0}")]
    Broken(#[from] reqwest::Error),
}

/// Reads the body of `response`, at most `limit` bytes (law BND-1).
///
/// # Errors
/// [`BodyError`] when the body is longer or breaks off.
pub async fn read_bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
