//! Creating, growing and deleting topics.

use super::clients::{
    COMMITTED, Outgoing, Sender, admin, committed, create, delete, fresh, has_partitions, one, options, put, read,
    text, topic, wait, watermarks,
};
use super::raw::{Raw, name, text as word};
use super::{Target, same};
use anyhow::{Context, Result, anyhow, ensure};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

/// A topic has the partitions that were asked for and takes records in each.
pub(super) fn creates_topics(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 3, &[])?;
    let sender = Sender::new(target, &[])?;
    for partition in 0..3 {
        sender.put(&topic, partition, &["first"])?;
    }
    for partition in 0..3 {
        same("records", read(target, &topic, partition, COMMITTED)?.iter().map(text).collect::<Vec<_>>(), ["first"])?;
    }
    Ok(())
}

/// A topic is created once.
pub(super) fn refuses_a_topic_that_exists(target: &dyn Target) -> Result<()> {
    let name = topic(target, 1, &[])?;
    let again = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    let answer = one(wait(admin(target)?.create_topics([&again], &options()))??);
    same("answer", answer.err(), Some(RDKafkaErrorCode::TopicAlreadyExists))
}

/// What cannot be is refused by name, and leaves nothing behind.
pub(super) fn refuses_topics_that_cannot_be(target: &dyn Target) -> Result<()> {
    let config = |key, value| vec![CreatableTopicConfig::default().with_name(word(key)).with_value(Some(word(value)))];
    let long = "x".repeat(250);
    let cases = [
        ("no partitions", wanted(&fresh("bad"), 0, 1), 37),
        ("fewer than no partitions", wanted(&fresh("bad"), -2, 1), 37),
        ("more replicas than brokers", wanted(&fresh("bad"), 1, 5), 38),
        ("no replicas", wanted(&fresh("bad"), 1, 0), 38),
        ("an unknown setting", wanted(&fresh("bad"), 1, 1).with_configs(config("no.such.setting", "1")), 40),
        ("text for a number", wanted(&fresh("bad"), 1, 1).with_configs(config("retention.ms", "soon")), 40),
        ("an unknown policy", wanted(&fresh("bad"), 1, 1).with_configs(config("cleanup.policy", "burn")), 40),
        ("a number below its bound", wanted(&fresh("bad"), 1, 1).with_configs(config("max.message.bytes", "-5")), 40),
        ("a name with a space", wanted("bad name", 1, 1), 17),
        ("a name that is a folder", wanted("..", 1, 1), 17),
        ("an empty name", wanted("", 1, 1), 17),
        ("a long name", wanted(&long, 1, 1), 17),
    ];
    let mut raw = Raw::connect(target)?;
    for (what, topic, code) in cases {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let answer = raw.call(5, &request)?;
        same(what, answer.topics.first().map(|topic| topic.error_code), Some(code))?;
    }
    let all = admin(target)?.inner().fetch_metadata(None, super::clients::PATIENCE)?;
    ensure!(all.topics().iter().all(|topic| !topic.name().starts_with("bad")), "a refused topic was created");
    Ok(())
}

/// Each topic of a request is answered for itself; one that is named twice is refused.
pub(super) fn answers_each_topic_for_itself(target: &dyn Target) -> Result<()> {
    let (good, twice) = (fresh("good"), fresh("twice"));
    let topics = vec![wanted(&good, 2, 1), wanted("bad name", 1, 1), wanted(&twice, 1, 1), wanted(&twice, 1, 1)];
    let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000);
    let answer = Raw::connect(target)?.call(5, &request)?;
    let code =
        |name: &str| answer.topics.iter().find(|topic| topic.name.as_str() == name).map(|topic| topic.error_code);
    same("good", code(&good), Some(0))?;
    same("bad", code("bad name"), Some(17))?;
    same("twice", code(&twice), Some(42))?;
    let admin = admin(target)?;
    has_partitions(&admin, &good, 2)
}

/// `validate_only` says what would be and does nothing.
pub(super) fn validates_without_creating(target: &dyn Target) -> Result<()> {
    let name = fresh("imagined");
    let admin = admin(target)?;
    let imagined = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    one(wait(admin.create_topics([&imagined], &options().validate_only(true)))??).map_err(|code| anyhow!("{code}"))?;
    let all = admin.inner().fetch_metadata(None, super::clients::PATIENCE)?;
    ensure!(all.topics().iter().all(|topic| topic.name() != name), "the topic was created");
    let wrong = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("retention.ms", "soon");
    let answer = one(wait(admin.create_topics([&wrong], &options().validate_only(true)))??);
    same("answer", answer.err(), Some(RDKafkaErrorCode::InvalidConfig))
}

/// Who does not say how many partitions gets the broker's default.
pub(super) fn has_a_default_of_partitions(target: &dyn Target) -> Result<()> {
    let name = fresh("default");
    let request = CreateTopicsRequest::default().with_topics(vec![wanted(&name, -1, -1)]).with_timeout_ms(30_000);
    let answer = Raw::connect(target)?.call(5, &request)?;
    let topic = answer.topics.first().context("no topic in the answer")?;
    same("error", topic.error_code, 0)?;
    same("partitions", topic.num_partitions, 1)?;
    same("replicas", topic.replication_factor, 1)?;
    ensure!(topic.configs.iter().flatten().any(|config| config.name.as_str() == "retention.ms"), "no settings");
    let admin = admin(target)?;
    has_partitions(&admin, &name, 1)
}

/// A deleted topic is gone, and one that is not there cannot be deleted.
pub(super) fn deletes_topics(target: &dyn Target) -> Result<()> {
    let name = topic(target, 2, &[])?;
    put(target, &name, 1, &["gone soon"])?;
    delete(target, &name)?;
    let admin = admin(target)?;
    let again = one(wait(admin.delete_topics(&[&name], &options()))??);
    same("answer", again.err(), Some(RDKafkaErrorCode::UnknownTopicOrPartition))
}

/// A topic of the same name is a new topic: it begins at 0 and has its own settings.
pub(super) fn recreates_a_topic_from_nothing(target: &dyn Target) -> Result<()> {
    let name = topic(target, 2, &[("retention.ms", "86400000")])?;
    put(target, &name, 0, &["old", "old", "old"])?;
    delete(target, &name)?;
    create(target, &name, 1, &[])?;
    same("watermarks", watermarks(target, &name)?, (0, 0))?;
    let sender = Sender::new(target, &[])?;
    sender.send(&name, &Outgoing::new(0, "new"))?;
    same("offset", sender.offsets()?, [0])?;
    same("values", committed(target, &name)?, ["new"])
}

/// Partitions can be added, and keep what the others have.
pub(super) fn adds_partitions(target: &dyn Target) -> Result<()> {
    let name = topic(target, 2, &[])?;
    put(target, &name, 0, &["kept"])?;
    let admin = admin(target)?;
    let grow = |name: &str, count| -> Result<Option<RDKafkaErrorCode>> {
        Ok(one(wait(admin.create_partitions([&NewPartitions::new(name, count)], &options()))??).err())
    };
    same("grown", grow(&name, 4)?, None)?;
    has_partitions(&admin, &name, 4)?;
    put(target, &name, 3, &["new"])?;
    same("old partition", committed(target, &name)?, ["kept"])?;
    same("new partition", read(target, &name, 3, COMMITTED)?.len(), 1)?;
    same("fewer", grow(&name, 3)?, Some(RDKafkaErrorCode::InvalidPartitions))?;
    same("as many", grow(&name, 4)?, Some(RDKafkaErrorCode::InvalidPartitions))?;
    same("unknown", grow(&fresh("unknown"), 4)?, Some(RDKafkaErrorCode::UnknownTopicOrPartition))
}

fn wanted(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(replicas)
}
