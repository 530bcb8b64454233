//! What clients rely on: versions, order, pipelining.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;

use super::*;

#[test]
fn versions_are_told_to_every_client() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    for version in 0..=4 {
        let answer: ApiVersionsResponse = client.ask(ApiKey::ApiVersions, version, ApiVersionsRequest::default());
        assert_eq!(answer.error_code, 0);
        let fetch = answer.api_keys.iter().find(|api| api.api_key == ApiKey::Fetch as i16).unwrap();
        assert!(fetch.min_version <= 4 && fetch.max_version >= 11);
        assert!(answer.finalized_features.is_empty() && answer.supported_features.is_empty());
        let offered = |api: ApiKey| answer.api_keys.iter().any(|offered| offered.api_key == api as i16);
        assert!(!offered(ApiKey::ConsumerGroupHeartbeat) && offered(ApiKey::JoinGroup));
    }
}

#[test]
fn a_client_of_a_later_time_is_told_what_there_is() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    // A version that nobody knows yet; its body is not read.
    let mut request = BytesMut::new();
    request.put_i32(8);
    request.put_i16(ApiKey::ApiVersions as i16);
    request.put_i16(99);
    request.put_i32(7);
    client.stream.write_all(&request).unwrap();
    let (correlation_id, answer): (_, ApiVersionsResponse) = client.receive(ApiKey::ApiVersions, 0);
    assert_eq!((correlation_id, answer.error_code), (7, ResponseError::UnsupportedVersion.code()));
    assert_eq!((answer.api_keys.len(), answer.api_keys[0].max_version), (1, 4));
    let answer: ApiVersionsResponse = client.ask(ApiKey::ApiVersions, 4, ApiVersionsRequest::default());
    assert_eq!(answer.error_code, 0, "the connection goes on");
}

#[test]
fn everything_that_is_offered_is_answered_in_every_version() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    let offered: ApiVersionsResponse = client.ask(ApiKey::ApiVersions, 4, ApiVersionsRequest::default());
    for offer in offered.api_keys {
        let api = ApiKey::try_from(offer.api_key).unwrap();
        for version in offer.min_version..=offer.max_version {
            let mut body = BytesMut::new();
            if !encode_default(api, version, &mut body) {
                continue;
            }
            let body = RequestKind::decode(api, &mut body.freeze(), version).unwrap();
            if matches!(body, RequestKind::Produce(ProduceRequest { acks: 0, .. })) {
                continue;
            }
            client.send(api, version, body);
            assert!(client.receive_frame().is_some(), "{api:?} version {version}");
        }
    }
}

/// Encodes the request with nothing in it.
fn encode_default(api: ApiKey, version: i16, body: &mut BytesMut) -> bool {
    fn encode<T: Encodable + Default>(version: i16, body: &mut BytesMut) -> bool {
        T::default().encode(body, version).unwrap();
        true
    }
    match api {
        ApiKey::Produce => ProduceRequest::default().with_acks(-1).encode(body, version).is_ok(),
        ApiKey::Fetch => encode::<FetchRequest>(version, body),
        ApiKey::ListOffsets => encode::<ListOffsetsRequest>(version, body),
        ApiKey::Metadata => encode::<MetadataRequest>(version, body),
        ApiKey::OffsetCommit => encode::<OffsetCommitRequest>(version, body),
        ApiKey::OffsetFetch => encode::<OffsetFetchRequest>(version, body),
        ApiKey::FindCoordinator => encode::<FindCoordinatorRequest>(version, body),
        ApiKey::JoinGroup => encode::<JoinGroupRequest>(version, body),
        ApiKey::Heartbeat => encode::<HeartbeatRequest>(version, body),
        ApiKey::LeaveGroup => encode::<LeaveGroupRequest>(version, body),
        ApiKey::SyncGroup => encode::<SyncGroupRequest>(version, body),
        ApiKey::DescribeGroups => encode::<DescribeGroupsRequest>(version, body),
        ApiKey::ListGroups => encode::<ListGroupsRequest>(version, body),
        ApiKey::ApiVersions => encode::<ApiVersionsRequest>(version, body),
        ApiKey::CreateTopics => encode::<CreateTopicsRequest>(version, body),
        ApiKey::DeleteTopics => encode::<DeleteTopicsRequest>(version, body),
        ApiKey::DeleteRecords => encode::<DeleteRecordsRequest>(version, body),
        ApiKey::InitProducerId => encode::<InitProducerIdRequest>(version, body),
        ApiKey::OffsetForLeaderEpoch => encode::<OffsetForLeaderEpochRequest>(version, body),
        ApiKey::AddPartitionsToTxn => encode::<AddPartitionsToTxnRequest>(version, body),
        ApiKey::AddOffsetsToTxn => encode::<AddOffsetsToTxnRequest>(version, body),
        ApiKey::EndTxn => encode::<EndTxnRequest>(version, body),
        ApiKey::TxnOffsetCommit => encode::<TxnOffsetCommitRequest>(version, body),
        ApiKey::DescribeConfigs => encode::<DescribeConfigsRequest>(version, body),
        ApiKey::AlterConfigs => encode::<AlterConfigsRequest>(version, body),
        ApiKey::DescribeLogDirs => encode::<DescribeLogDirsRequest>(version, body),
        ApiKey::DescribeTopicPartitions => encode::<DescribeTopicPartitionsRequest>(version, body),
        ApiKey::CreatePartitions => encode::<CreatePartitionsRequest>(version, body),
        ApiKey::DeleteGroups => encode::<DeleteGroupsRequest>(version, body),
        ApiKey::IncrementalAlterConfigs => encode::<IncrementalAlterConfigsRequest>(version, body),
        ApiKey::OffsetDelete => encode::<OffsetDeleteRequest>(version, body),
        ApiKey::DescribeCluster => encode::<DescribeClusterRequest>(version, body),
        ApiKey::DescribeProducers => encode::<DescribeProducersRequest>(version, body),
        ApiKey::DescribeTransactions => encode::<DescribeTransactionsRequest>(version, body),
        ApiKey::ListTransactions => encode::<ListTransactionsRequest>(version, body),
        other => panic!("no request of {other:?} in this test"),
    }
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let broker = broker();
    broker.topic_log("waits").unwrap();
    let mut client = Client::connect(broker.address());
    // The fetch waits for records that do not come; what follows is answered after it.
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1_000);
    let topic = fetch_request::FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("waits")))
        .with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_max_wait_ms(300).with_min_bytes(1).with_topics(vec![topic]);
    client.send(ApiKey::Fetch, 11, fetch);
    for _ in 0..200 {
        client.send(ApiKey::Metadata, 9, MetadataRequest::default().with_topics(None));
    }
    let (first, answer): (_, FetchResponse) = client.receive(ApiKey::Fetch, 11);
    assert_eq!((first, answer.error_code), (1, 0));
    for expected in 2..=201 {
        let (correlation_id, _): (_, MetadataResponse) = client.receive(ApiKey::Metadata, 9);
        assert_eq!(correlation_id, expected);
    }
}

#[test]
fn bytes_after_a_request_are_left_alone() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    let body = RequestKind::Metadata(MetadataRequest::default().with_topics(None));
    let mut bytes = BytesMut::from(&frame(ApiKey::Metadata, 9, 1, &body)[..]);
    bytes.put_slice(&[0; 3]);
    let len = i32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    client.stream.write_all(&bytes).unwrap();
    let (correlation_id, _): (_, MetadataResponse) = client.receive(ApiKey::Metadata, 9);
    assert_eq!(correlation_id, 1);
}

#[test]
fn the_broker_says_what_it_is() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    let answer: MetadataResponse = client.ask(ApiKey::Metadata, 12, MetadataRequest::default());
    assert!(answer.cluster_id.unwrap().contains("wardline-embedded"));
    assert_eq!(answer.brokers.len(), 1);
    assert_eq!(answer.brokers[0].port, i32::from(broker.address().port()));
    assert_eq!(&*answer.brokers[0].host, "127.0.0.1");
}

#[test]
fn only_this_machine_is_served() {
    let options = BrokerOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..BrokerOptions::default() };
    let refused = Broker::start(options).unwrap_err();
    assert!(refused.to_string().starts_with("WL-"), "{refused}");
}

#[test]
fn a_taken_port_is_refused_and_free_again_after_the_end() {
    let broker = broker();
    let options = BrokerOptions { listen: broker.address(), ..BrokerOptions::default() };
    assert!(matches!(Broker::start(options.clone()), Err(BrokerError::Listen(ListenError::Bind { .. }))));
    let client = Client::connect(broker.address());
    broker.stop();
    client.assert_closed();
    Broker::start(options).unwrap();
}
