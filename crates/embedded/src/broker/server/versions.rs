//! What is served: APIs and the versions of each.
//!
//! What is not served is not advertised. No feature is finalised either: clients then keep to transactions of version 1 and
//! to classic groups, and the versions of the transaction APIs stay below those that version 2 needs (KIP-890).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};

/// API, first and last version served.
type Served = (ApiKey, i16, i16);

/// Everything that is served, by number.
const SERVED: [Served; 35] = [
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 8),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 5),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// First and last version served of an API, if it is served.
pub(super) fn served(api: ApiKey) -> Option<(i16, i16)> {
    SERVED.iter().find(|(key, ..)| *key == api).map(|(_, min, max)| (*min, *max))
}

/// The answer to ApiVersions.
pub(super) fn answer() -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(line).collect()).with_finalized_features_epoch(0)
}

/// The answer to ApiVersions of a version that is not served: a client of a later time asks again with one that is.
pub(super) fn refusal() -> ApiVersionsResponse {
    let own = SERVED.iter().filter(|(key, ..)| *key == ApiKey::ApiVersions);
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(own.map(line).collect())
}

fn line(&(api, min, max): &Served) -> ApiVersion {
    // The numbers of the APIs are the discriminants of the enum.
    ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_the_codec_knows() {
        for (api, min, max) in SERVED {
            let known = api.valid_versions();
            assert!(known.min <= min && max <= known.max && min <= max, "{api:?} {min}..{max} of {known}");
        }
    }

    #[test]
    fn each_api_stands_once_and_in_order() {
        assert!(SERVED.windows(2).all(|pair| (pair[0].0 as i16) < (pair[1].0 as i16)));
    }

    #[test]
    fn nothing_of_the_new_group_protocol_is_offered() {
        for api in [ApiKey::ConsumerGroupHeartbeat, ApiKey::ShareGroupHeartbeat] {
            assert_eq!(served(api), None);
        }
    }
}
