//! A Kafka client in the world: what librdkafka does over sockets and threads, done over the broker's state machine in turns.
//!
//! A request that gets no answer is sent again, as clients do, so the broker's own idempotence is part of what is tested.

mod consumer;
mod members;
mod producer;
mod reader;
mod records;

pub(crate) use consumer::SimConsumer;
pub(crate) use members::{Members, Proof, beat};
pub(crate) use producer::SimProducer;
pub(crate) use reader::{SimReader, committed, decided, group_position, is_late, read_range, settled, undecided};

use super::world::{OUTSIDE, Pid, World, world};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, GroupId, RequestKind, ResponseKind, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use runtime::kafka::ClientError;
use std::time::Duration;

/// Partitions of every topic in the world.
pub(crate) const PARTITIONS: i32 = 3;
/// Pause before a request is sent again.
const RETRY: Duration = Duration::from_millis(80);

/// Sends a request until it is answered, for `longest` at most. Not for requests that are answered when others have acted.
fn call(
    pid: Pid,
    what: &'static str,
    body: &RequestKind,
    version: i16,
    longest: Duration,
) -> Result<ResponseKind, ClientError> {
    let world = world();
    let until = world.now() + longest;
    loop {
        world.gate(pid, what);
        let lose = world.faults().lose;
        let asked = if world.chance(lose) {
            None
        } else {
            let now = world.now();
            world.broker.borrow_mut().ask(body.clone(), version, now)
        };
        if let Some(id) = asked {
            let answer = world.broker.borrow_mut().answer(id);
            world.gate(pid, what);
            match answer {
                Some(answer) if !world.chance(lose) => return Ok(answer),
                Some(_) => world.note("lost-answer", || format!("{pid} {what}")),
                None => world.note("no-answer", || format!("{pid} {what}")),
            }
        }
        if world.now() >= until {
            return Err(unanswered(what, longest));
        }
        world.pass(RETRY);
    }
}

fn unanswered(what: &str, waited: Duration) -> ClientError {
    ClientError::Unconfirmed { waited_ms: waited.as_millis(), last_error: format!("no answer to {what}") }
}

/// What a client cannot go on with.
fn unexpected(world: &World, what: &str, answer: &ResponseKind) -> ClientError {
    let text = format!("{what} was answered with {answer:?}");
    world.broken.borrow_mut().push(text.clone());
    ClientError::Delivery(text)
}

fn failed(what: &str, code: i16) -> ClientError {
    ClientError::Delivery(format!("{what}: error {code}"))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

fn transactional_id(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

/// Makes the topics.
pub(crate) fn create_topics(names: &[&str]) -> Result<(), ClientError> {
    let topics = names.iter().map(|name| {
        CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(PARTITIONS).with_replication_factor(1)
    });
    let request = CreateTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(10_000);
    let answer = call(OUTSIDE, "create-topics", &RequestKind::CreateTopics(request), 7, Duration::from_secs(10))?;
    let ResponseKind::CreateTopics(answer) = answer else { return Err(failed("create-topics", -1)) };
    let refused = answer.topics.iter().find(|topic| topic.error_code != 0);
    refused.map_or(Ok(()), |topic| Err(failed("create-topics", topic.error_code)))
}
