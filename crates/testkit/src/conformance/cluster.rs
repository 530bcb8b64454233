//! What a client learns first, and what becomes of those who do not speak the protocol.

use super::clients::{PATIENCE, admin, fresh, put, topic};
use super::raw::{Raw, name, text};
use super::{Target, same};
use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, MetadataRequest};
use rdkafka::error::RDKafkaErrorCode;

/// What librdkafka and the Java client need, each with the version that librdkafka 2.12 speaks at most.
const NEEDED: [(ApiKey, i16); 24] = [
    (ApiKey::Produce, 9),
    (ApiKey::Fetch, 11),
    (ApiKey::ListOffsets, 5),
    (ApiKey::Metadata, 9),
    (ApiKey::OffsetCommit, 7),
    (ApiKey::OffsetFetch, 7),
    (ApiKey::FindCoordinator, 2),
    (ApiKey::JoinGroup, 5),
    (ApiKey::Heartbeat, 3),
    (ApiKey::LeaveGroup, 1),
    (ApiKey::SyncGroup, 3),
    (ApiKey::DescribeGroups, 4),
    (ApiKey::ListGroups, 4),
    (ApiKey::ApiVersions, 3),
    (ApiKey::CreateTopics, 4),
    (ApiKey::DeleteTopics, 1),
    (ApiKey::DeleteRecords, 1),
    (ApiKey::InitProducerId, 4),
    (ApiKey::AddPartitionsToTxn, 0),
    (ApiKey::AddOffsetsToTxn, 0),
    (ApiKey::EndTxn, 1),
    (ApiKey::TxnOffsetCommit, 3),
    (ApiKey::DescribeConfigs, 1),
    (ApiKey::DeleteGroups, 1),
];

/// ApiVersions lists everything that the clients need.
pub(super) fn says_which_apis_it_speaks(target: &dyn Target) -> Result<()> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("conformance"))
        .with_client_software_version(text("1"));
    for version in 0..=3 {
        let response = Raw::connect(target)?.call(version, &request)?;
        same("error", response.error_code, 0)?;
        for (api, wanted) in NEEDED {
            let range = response.api_keys.iter().find(|range| range.api_key == api as i16);
            let range = range.with_context(|| format!("{api:?} is missing"))?;
            ensure!(range.min_version <= wanted && wanted <= range.max_version, "{api:?} {wanted}: {range:?}");
        }
    }
    Ok(())
}

/// A client from the future learns which versions there are, in the oldest form.
pub(super) fn tells_a_newer_client_what_it_speaks(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let (id, mut frame) = raw.frame(3, &ApiVersionsRequest::default())?;
    // The version is behind the length and the API key.
    frame[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.send_bytes(&frame)?;
    let (answered, response) = raw.receive::<ApiVersionsRequest>(0)?;
    same("correlation id", answered, id)?;
    same("error", response.error_code, 35)?;
    ensure!(response.api_keys.iter().any(|range| range.api_key == 18), "ApiVersions itself is missing");
    // The connection stays open for the next attempt.
    same("error", raw.call(0, &ApiVersionsRequest::default())?.error_code, 0)
}

/// Metadata names the broker under the address that clients use, a controller and the cluster.
pub(super) fn describes_itself(target: &dyn Target) -> Result<()> {
    for version in [1, 4, 9, 12] {
        let response =
            Raw::connect(target)?.call(version, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
        let broker = response.brokers.first().context("no broker")?;
        same("address", format!("{}:{}", broker.host.as_str(), broker.port), target.bootstrap())?;
        same("controller", response.controller_id, broker.node_id)?;
        ensure!(version < 2 || response.cluster_id.is_some_and(|id| !id.is_empty()), "no cluster id");
        same("topics", response.topics.len(), 0)?;
    }
    Ok(())
}

/// Asking for a topic does not create it.
pub(super) fn does_not_know_an_unknown_topic(target: &dyn Target) -> Result<()> {
    let unknown = fresh("unknown");
    let asked = MetadataRequestTopic::default().with_name(Some(name(&unknown)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    let response = Raw::connect(target)?.call(9, &request)?;
    let answer = response.topics.first().context("no topic in the answer")?;
    same("error", answer.error_code, 3)?;
    same("name", answer.name.as_ref().map(|name| name.as_str()), Some(unknown.as_str()))?;
    let admin = admin(target)?;
    let metadata = admin.inner().fetch_metadata(Some(&unknown), PATIENCE)?;
    let error = metadata.topics().first().context("no topic")?.error();
    same("error", error.map(RDKafkaErrorCode::from), Some(RDKafkaErrorCode::UnknownTopicOrPartition))?;
    let all = admin.inner().fetch_metadata(None, PATIENCE)?;
    ensure!(all.topics().iter().all(|topic| topic.name() != unknown), "the topic was created");
    Ok(())
}

/// Metadata lists every topic with its partitions, and a topic has an id.
pub(super) fn lists_all_topics(target: &dyn Target) -> Result<()> {
    let (one, three) = (topic(target, 1, &[])?, topic(target, 3, &[])?);
    let all = admin(target)?.inner().fetch_metadata(None, PATIENCE)?;
    for (name, partitions) in [(&one, 1), (&three, 3)] {
        let found = all.topics().iter().find(|topic| topic.name() == name).context("a topic is missing")?;
        same("partitions", found.partitions().len(), partitions)?;
        ensure!(found.partitions().iter().all(|part| part.isr().len() == 1 && part.replicas().len() == 1), "replicas");
    }
    let response = Raw::connect(target)?.call(12, &MetadataRequest::default().with_topics(None))?;
    let ids: Vec<_> = response
        .topics
        .iter()
        .filter(|topic| topic.name.as_ref().is_some_and(|name| name.as_str() == one || name.as_str() == three))
        .map(|topic| topic.topic_id)
        .collect();
    ensure!(ids.len() == 2 && ids[0] != ids[1] && ids.iter().all(|id| !id.is_nil()), "ids of topics: {ids:?}");
    Ok(())
}

/// Answers leave in the order of the requests.
pub(super) fn answers_in_order(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(raw.send(9, &MetadataRequest::default().with_topics(Some(Vec::new())))?);
    }
    for id in sent {
        same("correlation id", raw.receive::<MetadataRequest>(9)?.0, id)?;
    }
    Ok(())
}

/// A request may come in pieces.
pub(super) fn reads_requests_in_pieces(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let (id, frame) = raw.frame(9, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
    for byte in &frame {
        raw.send_bytes(&[*byte])?;
    }
    same("correlation id", raw.receive::<MetadataRequest>(9)?.0, id)
}

/// A length that no request has closes the connection, and only that.
pub(super) fn closes_on_an_absurd_length(target: &dyn Target) -> Result<()> {
    for length in [i32::MAX, -1] {
        let mut raw = Raw::connect(target)?;
        raw.send_bytes(&length.to_be_bytes())?;
        raw.is_closed()?;
    }
    still_serves(target)
}

/// An API that does not exist closes the connection.
pub(super) fn closes_on_an_unknown_api(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let (_, mut frame) = raw.frame(9, &MetadataRequest::default())?;
    frame[4..6].copy_from_slice(&999_i16.to_be_bytes());
    raw.send_bytes(&frame)?;
    raw.is_closed()?;
    still_serves(target)
}

/// A version that is not spoken closes the connection, except for ApiVersions.
pub(super) fn closes_on_an_unknown_version(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let (_, mut frame) = raw.frame(9, &MetadataRequest::default())?;
    frame[6..8].copy_from_slice(&99_i16.to_be_bytes());
    raw.send_bytes(&frame)?;
    raw.is_closed()?;
    still_serves(target)
}

/// A request that ends too early closes the connection.
pub(super) fn closes_on_half_a_request(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    let asked = MetadataRequestTopic::default().with_name(Some(name("a-name-that-is-cut")));
    let (_, frame) = raw.frame(9, &MetadataRequest::default().with_topics(Some(vec![asked])))?;
    let mut half = frame[..frame.len() - 12].to_vec();
    let length = i32::try_from(half.len() - 4)?;
    half[..4].copy_from_slice(&length.to_be_bytes());
    raw.send_bytes(&half)?;
    raw.is_closed()?;
    still_serves(target)
}

/// A client that leaves in the middle of a request hurts nobody.
pub(super) fn survives_clients_that_leave(target: &dyn Target) -> Result<()> {
    for kept in 1..12 {
        let mut raw = Raw::connect(target)?;
        let (_, frame) = raw.frame(9, &MetadataRequest::default())?;
        raw.send_bytes(&frame[..kept])?;
    }
    still_serves(target)
}

fn still_serves(target: &dyn Target) -> Result<()> {
    put(target, &topic(target, 1, &[])?, 0, &["still here"])
}
