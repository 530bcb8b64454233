//! Bad bytes end the connection that sent them, and nothing else.

use std::net::Shutdown;
use std::time::Instant;

use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse, metadata_request,
};
use proptest::prelude::*;

use super::*;

/// The broker still serves others.
fn assert_serves(broker: &Broker) {
    let mut client = Client::connect(broker.address());
    let answer: ApiVersionsResponse = client.ask(ApiKey::ApiVersions, 3, ApiVersionsRequest::default());
    assert_eq!(answer.error_code, 0);
}

fn metadata() -> RequestKind {
    let topic = metadata_request::MetadataRequestTopic::default()
        .with_name(Some(kafka_protocol::messages::TopicName(StrBytes::from_static_str("usage"))));
    RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![topic])))
}

#[test]
fn frames_that_come_in_pieces() {
    let broker = broker();
    let mut client = Client::connect(broker.address());
    let frame = frame(ApiKey::Metadata, 9, 1, &metadata());
    for byte in frame.iter() {
        client.stream.write_all(&[*byte]).unwrap();
    }
    let (correlation_id, _): (_, MetadataResponse) = client.receive(ApiKey::Metadata, 9);
    assert_eq!(correlation_id, 1);
    // Two and a half frames at once, then the rest.
    let bytes = [&frame[..], &frame[..], &frame[..10]].concat();
    client.stream.write_all(&bytes).unwrap();
    for _ in 0..2 {
        let _: (i32, MetadataResponse) = client.receive(ApiKey::Metadata, 9);
    }
    client.stream.write_all(&frame[10..]).unwrap();
    let _: (i32, MetadataResponse) = client.receive(ApiKey::Metadata, 9);
}

#[test]
fn lengths_that_cannot_be() {
    let broker = broker();
    for len in [i32::MAX, i32::MIN, -1, 0, 3, 33 * 1024 * 1024] {
        let mut client = Client::connect(broker.address());
        client.stream.write_all(&len.to_be_bytes()).unwrap();
        if (0..100).contains(&len) {
            client.stream.write_all(&vec![0; usize::try_from(len).unwrap()]).unwrap();
        }
        client.assert_closed();
    }
    assert_serves(&broker);
}

#[test]
fn arrays_that_cannot_be() {
    let broker = broker();
    // The body of an old Metadata request is its array of topics: one that says it has two thousand million of them.
    let mut bytes = BytesMut::from(&frame(ApiKey::Metadata, 1, 1, &metadata())[..]);
    let at = bytes.windows(4).rposition(|window| window == 1_i32.to_be_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut client = Client::connect(broker.address());
    client.stream.write_all(&bytes).unwrap();
    client.assert_closed();
    assert_serves(&broker);
}

#[test]
fn apis_and_versions_that_are_not_served() {
    let broker = broker();
    for (api, version) in [(ApiKey::Metadata as i16, 99), (ApiKey::Vote as i16, 0), (1_000, 0), (-1, 0)] {
        let mut client = Client::connect(broker.address());
        let mut bytes = BytesMut::new();
        bytes.put_i32(10);
        bytes.put_i16(api);
        bytes.put_i16(version);
        bytes.put_i32(1);
        bytes.put_i16(-1);
        client.stream.write_all(&bytes).unwrap();
        client.assert_closed();
    }
    assert_serves(&broker);
}

#[test]
fn half_closed_and_abandoned_connections() {
    let broker = broker();
    let client = Client::connect(broker.address());
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.assert_closed();
    let mut client = Client::connect(broker.address());
    client.stream.write_all(&100_i32.to_be_bytes()).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.assert_closed();
    for _ in 0..100 {
        let mut client = Client::connect(broker.address());
        client.send(ApiKey::Metadata, 9, metadata());
        drop(client);
    }
    assert_serves(&broker);
}

#[test]
fn a_frame_that_does_not_end_and_a_connection_that_says_nothing() {
    let short = Duration::from_millis(50);
    let options = BrokerOptions { frame_timeout: short, idle_timeout: short, ..BrokerOptions::default() };
    let broker = Broker::start(options).unwrap();
    let mut slow = Client::connect(broker.address());
    slow.stream.write_all(&100_i32.to_be_bytes()).unwrap();
    let silent = Client::connect(broker.address());
    slow.assert_closed();
    silent.assert_closed();
}

#[test]
fn connections_are_bounded() {
    let options = BrokerOptions { connections_max: 2, ..BrokerOptions::default() };
    let broker = Broker::start(options).unwrap();
    let (first, second) = (Client::connect(broker.address()), Client::connect(broker.address()));
    Client::connect(broker.address()).assert_closed();
    drop(first);
    // The place is free when the broker has noticed; that takes a moment.
    #[allow(clippy::disallowed_methods, reason = "a test that waits with a bound")]
    let start = Instant::now();
    loop {
        let mut client = Client::connect(broker.address());
        let frame = frame(ApiKey::ApiVersions, 3, 1, &RequestKind::ApiVersions(ApiVersionsRequest::default()));
        if client.stream.write_all(&frame).is_ok() && client.receive_frame().is_some() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the place of a connection that is gone stays taken");
    }
    drop(second);
}

#[test]
fn a_client_that_does_not_read_does_not_harm_others() {
    let options = BrokerOptions { requests_per_connection_max: 4, ..BrokerOptions::default() };
    let broker = Broker::start(options).unwrap();
    let mut greedy = Client::connect(broker.address());
    greedy.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let frame = frame(ApiKey::ApiVersions, 3, 1, &RequestKind::ApiVersions(ApiVersionsRequest::default()));
    let many = frame.repeat(1_000);
    // It sends until nobody takes any more.
    let mut sent = 0;
    while greedy.stream.write_all(&many).is_ok() {
        sent += many.len();
        assert!(sent < 1 << 30, "requests are taken without end");
    }
    assert_serves(&broker);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Valid requests with broken bytes: decoding ends with a request or an error, never with the process.
    #[test]
    fn broken_requests_are_survived(
        version in 0..=9_i16,
        breaks in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = BytesMut::from(&frame(ApiKey::Metadata, version, 1, &metadata())[4..]);
        for (at, byte) in breaks {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        drop(super::super::frame::decode(bytes.freeze()));
    }

    #[test]
    fn garbage_is_survived(api in 0..70_i16, version in 0..16_i16, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = BytesMut::new();
        bytes.put_i16(api);
        bytes.put_i16(version);
        bytes.put_slice(&rest);
        drop(super::super::frame::decode(bytes.freeze()));
    }
}
