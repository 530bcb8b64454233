use kafka_protocol::error::ResponseError as E;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource as Resource;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;

use super::*;

fn metadata(bench: &mut Bench, name: &str) -> MetadataResponseTopic {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    match bench.ask(12, MetadataRequest::default().with_topics(Some(vec![topic]))) {
        ResponseKind::Metadata(answer) => answer.topics[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn delete(bench: &mut Bench, name: &str) -> i16 {
    let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
    match bench.ask(6, DeleteTopicsRequest::default().with_topics(vec![topic])) {
        ResponseKind::DeleteTopics(answer) => answer.responses[0].error_code,
        other => panic!("{other:?}"),
    }
}

/// Value and source of a setting of a topic.
fn setting(bench: &mut Bench, topic: &str, name: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text(topic));
    let resource = resource.with_configuration_keys(Some(vec![text(name)]));
    match bench.ask(4, DescribeConfigsRequest::default().with_resources(vec![resource])) {
        ResponseKind::DescribeConfigs(answer) => {
            let config = &answer.results[0].configs[0];
            (config.value.clone().unwrap().to_string(), config.config_source)
        }
        other => panic!("{other:?}"),
    }
}

fn alter(bench: &mut Bench, topic: &str, name: &str, operation: i8, value: &str) -> i16 {
    let config = AlterableConfig::default().with_name(text(name)).with_config_operation(operation);
    let config = config.with_value(Some(text(value)));
    let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(topic));
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])]);
    match bench.ask(1, request) {
        ResponseKind::IncrementalAlterConfigs(answer) => answer.responses[0].error_code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn topics_are_refused_with_the_codes_of_kafka() {
    let mut bench = Bench::new();
    assert_eq!(bench.create("good.name", 3, &[]), 0);
    assert_eq!(bench.create("good.name", 3, &[]), E::TopicAlreadyExists.code());
    for name in ["", ".", "..", "with space", &"x".repeat(250), "good_name"] {
        assert_eq!(bench.create(name, 1, &[]), E::InvalidTopicException.code(), "{name}");
    }
    assert_eq!(bench.create("a", 0, &[]), E::InvalidPartitions.code());
    assert_eq!(bench.create("a", 1, &[("retention.ms", "soon")]), E::InvalidConfig.code());
    assert_eq!(bench.create("a", 1, &[("no.such", "1")]), E::InvalidConfig.code());
    let topic = CreatableTopic::default().with_name(topic_name("a")).with_num_partitions(1).with_replication_factor(3);
    match bench.ask(7, CreateTopicsRequest::default().with_topics(vec![topic.clone()])) {
        ResponseKind::CreateTopics(a) => assert_eq!(a.topics[0].error_code, E::InvalidReplicationFactor.code()),
        other => panic!("{other:?}"),
    }
    let request = CreateTopicsRequest::default().with_topics(vec![topic.with_replication_factor(1)]);
    match bench.ask(7, request.with_validate_only(true)) {
        ResponseKind::CreateTopics(answer) => assert_eq!(answer.topics[0].error_code, 0),
        other => panic!("{other:?}"),
    }
    assert_eq!(metadata(&mut bench, "a").error_code, E::UnknownTopicOrPartition.code());
}

#[test]
fn a_topic_made_again_is_another_one() {
    let mut bench = Bench::new();
    bench.create("t", 2, &[("segment.bytes", "1048576")]);
    bench.produce("t", &["old"]);
    let before = metadata(&mut bench, "t");
    assert_eq!(before.partitions.len(), 2);
    let waiting = bench.send(11, fetch("t", 1, false, 500));
    assert_eq!(delete(&mut bench, "t"), 0);
    assert!(!bench.core.waiting.contains_key(&waiting));
    assert_eq!(delete(&mut bench, "t"), E::UnknownTopicOrPartition.code());
    assert_eq!(bench.storage.used(), Bench::over(bench.storage.clone(), CoreOptions::default()).storage.used());
    bench.create("t", 1, &[]);
    let after = metadata(&mut bench, "t");
    assert_ne!(before.topic_id, after.topic_id);
    bench.restart();
    assert_eq!(metadata(&mut bench, "t"), after);
    assert!(bench.values("t", false).is_empty());
}

#[test]
fn topics_grow_and_never_shrink() {
    let mut bench = Bench::new();
    bench.create("t", 2, &[]);
    let mut grow = |count| {
        let topic = CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(count);
        match bench.ask(3, CreatePartitionsRequest::default().with_topics(vec![topic.with_assignments(None)])) {
            ResponseKind::CreatePartitions(answer) => answer.results[0].error_code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(grow(2), E::InvalidPartitions.code());
    assert_eq!(grow(4), 0);
    bench.restart();
    assert_eq!(metadata(&mut bench, "t").partitions.len(), 4);
}

#[test]
fn records_deleted_stay_deleted() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    bench.produce("t", &["a", "b"]);
    bench.produce("t", &["c"]);
    let mut delete = |offset| {
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        match bench.ask(2, DeleteRecordsRequest::default().with_topics(vec![topic])) {
            ResponseKind::DeleteRecords(answer) => {
                let partition = &answer.topics[0].partitions[0];
                (partition.error_code, partition.low_watermark)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(4), (E::OffsetOutOfRange.code(), -1));
    assert_eq!(delete(1), (0, 1));
    bench.restart();
    assert_eq!(bench.values("t", false), ["b", "c"]);
    assert_eq!(bench.fetch_data("t", 0, false).error_code, E::OffsetOutOfRange.code());
}

#[test]
fn settings_have_defaults_and_sources_and_survive() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[("cleanup.policy", "compact")]);
    assert_eq!(setting(&mut bench, "t", "cleanup.policy"), ("compact".to_owned(), 1));
    assert_eq!(setting(&mut bench, "t", "retention.ms"), ("604800000".to_owned(), 5));
    assert_eq!(setting(&mut bench, "t", "segment.bytes"), ("67108864".to_owned(), 4));
    assert_eq!(alter(&mut bench, "t", "retention.ms", 0, "5000"), 0);
    assert_eq!(alter(&mut bench, "t", "cleanup.policy", 2, "delete"), 0);
    assert_eq!(alter(&mut bench, "t", "retention.ms", 0, "-2"), E::InvalidConfig.code());
    assert_eq!(alter(&mut bench, "t", "retention.ms", 2, "1"), E::InvalidConfig.code());
    assert_eq!(alter(&mut bench, "none", "retention.ms", 0, "1"), E::UnknownTopicOrPartition.code());
    bench.restart();
    assert_eq!(setting(&mut bench, "t", "retention.ms"), ("5000".to_owned(), 1));
    assert_eq!(setting(&mut bench, "t", "cleanup.policy"), ("compact,delete".to_owned(), 1));
    assert_eq!(alter(&mut bench, "t", "retention.ms", 1, ""), 0);
    assert_eq!(setting(&mut bench, "t", "retention.ms"), ("604800000".to_owned(), 5));
    let config = kafka_protocol::messages::alter_configs_request::AlterableConfig::default();
    let config = config.with_name(text("retention.ms")).with_value(Some(text("7000")));
    let resource = Resource::default().with_resource_type(2).with_resource_name(text("t")).with_configs(vec![config]);
    bench.ask(2, AlterConfigsRequest::default().with_resources(vec![resource]));
    assert_eq!(setting(&mut bench, "t", "retention.ms"), ("7000".to_owned(), 1));
    assert_eq!(setting(&mut bench, "t", "cleanup.policy"), ("delete".to_owned(), 5), "all others are as at first");
}

#[test]
fn offsets_are_found_by_time() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    for timestamp in [100, 300, 200, 400] {
        bench.produce_raw("t", None, batch(NOBODY, &["a", "b"], timestamp));
    }
    for _ in 0..2 {
        let found = [0, 100, 101, 300, 301, 400, 401].map(|timestamp| bench.offset("t", timestamp, false));
        assert_eq!(found, [0, 0, 2, 2, 6, 6, -1]);
        assert_eq!(bench.offset("t", -3, false), 6, "the newest");
        bench.restart();
    }
}
