//! Frames: a length, a header, a body; decoded and encoded.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::{shape, versions};

/// API, version and correlation id stand at the start of every request.
const FIXED_HEADER_LEN: usize = 8;

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
}

/// What came in a frame.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all frames are requests")]
pub(super) enum Incoming {
    /// A request for the broker.
    Request { reply: Reply, client_id: String, body: RequestKind },
    /// A question about versions, answered at once.
    Versions { reply: Reply, answer: Box<ResponseKind> },
}

/// Why a frame is not understood. The connection is closed: what follows cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// Too short for a header.
    #[error("a request of {0} bytes has no header")]
    Short(usize),
    /// Not an API, or one that is not served.
    #[error("API {0} is not served")]
    Api(i16),
    /// A version that is not served.
    #[error("version {version} of {api:?} is not served")]
    Version { api: ApiKey, version: i16 },
    /// The header or the body is not one.
    #[error("{api:?} version {version} cannot be decoded: {reason}")]
    Body { api: ApiKey, version: i16, reason: String },
    /// The answer does not fit its version.
    #[error("the answer to {api:?} version {version} cannot be encoded: {reason}")]
    Answer { api: ApiKey, version: i16, reason: String },
}

/// Decodes a request.
pub(super) fn decode(mut frame: Bytes) -> Result<Incoming, FrameError> {
    let Some(fixed) = frame.get(..FIXED_HEADER_LEN) else { return Err(FrameError::Short(frame.len())) };
    let mut fixed = Bytes::copy_from_slice(fixed);
    let (number, version, correlation_id) = (fixed.get_i16(), fixed.get_i16(), fixed.get_i32());
    let api = ApiKey::try_from(number).map_err(|()| FrameError::Api(number))?;
    let (min, max) = versions::served(api).ok_or(FrameError::Api(number))?;
    if !(min..=max).contains(&version) {
        if api != ApiKey::ApiVersions {
            return Err(FrameError::Version { api, version });
        }
        // Every client understands version 0 of this answer.
        let reply = Reply { api, version: 0, correlation_id };
        return Ok(Incoming::Versions { reply, answer: Box::new(versions::refusal().into()) });
    }
    let bad = |reason: String| FrameError::Body { api, version, reason };
    let header = RequestHeader::decode(&mut frame, api.request_header_version(version))
        .map_err(|error| bad(format!("{error:#}")))?;
    let reply = Reply { api, version, correlation_id };
    shape::check(api, version, &frame).map_err(|()| bad("it says that more follows than does".to_owned()))?;
    let body = RequestKind::decode(api, &mut frame, version).map_err(|error| bad(format!("{error:#}")))?;
    if api == ApiKey::ApiVersions {
        return Ok(Incoming::Versions { reply, answer: Box::new(versions::answer().into()) });
    }
    let client_id = header.client_id.as_deref().unwrap_or_default().to_owned();
    Ok(Incoming::Request { reply, client_id, body })
}

/// Encodes an answer with its length at the end of a buffer.
pub(super) fn encode(reply: Reply, body: &ResponseKind, buffer: &mut BytesMut) -> Result<(), FrameError> {
    let Reply { api, version, correlation_id } = reply;
    let bad = |reason: String| FrameError::Answer { api, version, reason };
    let start = buffer.len();
    buffer.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header.encode(buffer, api.response_header_version(version)).map_err(|error| bad(format!("{error:#}")))?;
    body.encode(buffer, version).map_err(|error| bad(format!("{error:#}")))?;
    let len = buffer.len() - start - size_of::<i32>();
    let len = i32::try_from(len).map_err(|_| bad(format!("{len} bytes")))?;
    if let Some(place) = buffer.get_mut(start..start + size_of::<i32>()) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}
