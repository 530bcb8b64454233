//! Ends of sessions go on record, and every console follows them from there, so that a session that has ended at one of several
//! replicas is over at all of them.

use crate::people::session::Sessions;
use crate::trail::{Entry, ROOM};
use runtime::codec::{Codec, Opened, WireError};
use runtime::reader::{From, Range, ReadError, Until};
use runtime::scan::{self, Glance};
use runtime::{Config, Shutdown, clock};
use schemas::{Timestamp, topics};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Code of the record that somebody signed out.
const SIGN_OUT: &str = "sign-out";
/// How what it says begins; the mark of the session follows.
const SIGNED_OUT: &str = "signed out of session ";
/// Code of the record that somebody ended the sessions of somebody.
pub const END: &str = "sessions.end";
/// How what it says begins; the name follows as a JSON text, then the reason.
const ENDED_OF: &str = "ended the sessions of ";
/// By so much the clock of another console may be away from the brokers', milliseconds.
const SKEW_MS: i64 = 300_000;
/// Pause before Kafka is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a record says has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// The session with this mark.
    Session(String),
    /// All sessions of somebody until then.
    Person(String),
}

/// The part of an audit record that says it.
#[derive(Deserialize)]
struct Part<'a> {
    room: &'a str,
    code: &'a str,
    detail: &'a str,
    at: Timestamp,
}

/// Why nothing is followed for the moment.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the topic of the audit is not there")]
    NoTopic,
}

/// The record that somebody signed out of the session with this mark.
pub fn signed_out(actor: &str, mark: &str, address: IpAddr) -> Entry {
    Entry {
        code: SIGN_OUT.to_owned(),
        detail: format!("{SIGNED_OUT}{mark}, from {address}"),
        actor: Some(actor.to_owned()),
        ..Entry::default()
    }
}

/// The record that somebody ended all sessions of somebody.
pub fn ended_of(actor: &str, name: &str, reason: &str) -> Entry {
    Entry {
        code: END.to_owned(),
        detail: format!("{ENDED_OF}{}: {reason}", Value::from(name)),
        actor: Some(actor.to_owned()),
        ..Entry::default()
    }
}

impl Ended {
    /// What a record of a console says has ended; nothing for any other.
    fn of(part: &Part<'_>) -> Option<Self> {
        if part.room != ROOM {
            return None;
        }
        match part.code {
            SIGN_OUT => {
                let (mark, _) = part.detail.strip_prefix(SIGNED_OUT)?.split_once(',')?;
                Some(Self::Session(mark.to_owned()))
            }
            END => {
                let told = part.detail.strip_prefix(ENDED_OF)?;
                // What stands behind the name may be anything.
                let name = serde_json::Deserializer::from_str(told).into_iter::<String>().next()?;
                Some(Self::Person(name.ok()?))
            }
            _ => None,
        }
    }
}

/// Follows what ends, on a thread of its own, until the stop. What ended while a session may last is read first; while Kafka is
/// away, what was known counts.
///
/// # Errors
/// When the thread cannot be started.
pub fn follow(config: &Arc<Config>, sessions: &Arc<Sessions>, stop: &Shutdown) -> std::io::Result<()> {
    let (config, sessions, stop) = (Arc::clone(config), Arc::clone(sessions), stop.clone());
    let handle = Handle::current();
    std::thread::Builder::new().name("console-ends".to_owned()).spawn(move || {
        let mut follower = Follower { config, sessions, stop, handle, positions: BTreeMap::new(), codec: None };
        let mut in_trouble = false;
        while !follower.stop.requested() {
            match follower.session() {
                Ok(()) => in_trouble = false,
                Err(error) => {
                    if !std::mem::replace(&mut in_trouble, true) {
                        tracing::warn!(%error, "ends of sessions at other consoles are not known for the moment");
                    }
                    std::thread::park_timeout(PAUSE);
                }
            }
        }
    })?;
    Ok(())
}

struct Follower {
    config: Arc<Config>,
    sessions: Arc<Sessions>,
    stop: Shutdown,
    handle: Handle,
    /// Offset that comes next, per partition; none before the first look.
    positions: BTreeMap<(String, i32), i64>,
    codec: Option<Codec>,
}

impl Follower {
    /// One connection: until the stop, or until Kafka does not answer.
    fn session(&mut self) -> Result<(), Trouble> {
        let codec = match self.codec.take() {
            Some(codec) => codec,
            None => Codec::new(&self.config.registry)?,
        };
        if self.positions.is_empty() && !self.look()? {
            self.codec = Some(codec);
            return Ok(());
        }
        let (mut positions, mut failed) = (std::mem::take(&mut self.positions), None);
        let followed = scan::follow(&self.config.kafka, &mut positions, |glance| {
            let taken = glance.map_or(Ok(()), |glance| self.take(&codec, glance));
            match taken {
                Ok(()) if self.stop.requested() => ControlFlow::Break(()),
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some((error, glance.map(|glance| (glance.partition(), glance.offset()))));
                    ControlFlow::Break(())
                }
            }
        });
        if let Some((_, Some((partition, offset)))) = &failed {
            // The registry did not answer: this record is read again.
            positions.insert((topics::OPS_AUDIT_V1.name().to_owned(), *partition), *offset);
        }
        (self.positions, self.codec) = (positions, Some(codec));
        followed?;
        failed.map_or(Ok(()), |(error, _)| Err(error.into()))
    }

    /// Finds where to begin: no session is older than what is read from there. Says no when the stop came first.
    fn look(&mut self) -> Result<bool, Trouble> {
        let since_ms = clock::now_micros() / 1_000 - self.sessions.longest_s().saturating_mul(1_000) - SKEW_MS;
        let topic = topics::OPS_AUDIT_V1.name();
        let (from, until) = (From::TimeMs(since_ms), Until::EndNow);
        let range = Range { topic: topic.to_owned(), partitions: Vec::new(), from, until };
        let found = scan::spans_until(&self.config.kafka, &[range], &|| self.stop.requested())?;
        let Some(mut found) = found else { return Ok(false) };
        let spans = found.pop().flatten().ok_or(Trouble::NoTopic)?;
        self.positions =
            spans.into_iter().map(|(partition, span)| ((topic.to_owned(), partition), span.start)).collect();
        Ok(true)
    }

    /// Takes a record for what it says. One that cannot be read says nothing of sessions.
    fn take(&self, codec: &Codec, glance: &Glance<'_>) -> Result<(), WireError> {
        // The key is the room, and rooms write far more than people sign out.
        let Some(value) = glance.value().filter(|_| glance.key() == Some(ROOM.as_bytes())) else { return Ok(()) };
        let told = |(writer, body): Opened<'_>| {
            let Ok(part) = schemas::codec::decode_part::<Part<'_>>(&writer, body) else { return };
            if let Some(ended) = Ended::of(&part) {
                self.end(&ended, part.at.0 / 1_000_000);
            }
        };
        match self.opened(codec, value) {
            Ok(opened) => told(opened),
            Err(error) if error.blames_record() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn opened<'a>(&self, codec: &Codec, value: &'a [u8]) -> Result<Opened<'a>, WireError> {
        match codec.open_cached(value)? {
            Some(opened) => Ok(opened),
            None => self.handle.block_on(codec.open(value)),
        }
    }

    fn end(&self, ended: &Ended, at_s: i64) {
        let now_s = clock::now_micros() / 1_000_000;
        match ended {
            Ended::Session(mark) => self.sessions.end_marked(mark, at_s, now_s),
            Ended::Person(name) => self.sessions.end_of(name, at_s, now_s),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_record_is_understood_and_of_others_nothing() {
        let entry = signed_out("ada", "0af1", "192.0.2.7".parse().unwrap());
        let of = |room: &str, code: &str| Ended::of(&Part { room, code, detail: &entry.detail, at: Timestamp(1) });
        assert_eq!(of(ROOM, &entry.code), Some(Ended::Session("0af1".to_owned())));
        assert_eq!(of("validate", &entry.code), None, "a room ends no session");
        assert_eq!(of(ROOM, "sign-in"), None);
        for name in ["ada", "Ada \"the\": countess~1f", "\"eve\": "] {
            let entry = ended_of("adele", name, "\"eve\": left the hospital");
            let part = Part { room: ROOM, code: &entry.code, detail: &entry.detail, at: Timestamp(1) };
            assert_eq!(Ended::of(&part), Some(Ended::Person(name.to_owned())));
        }
    }
}
