//! The parts that take more of the machine: a cluster of three nodes, and the FHIR server in both versions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use wardline_components::{FhirVersion, Hapi, HapiOptions, Installation, KafkaCluster, KafkaOptions, Part, Progress};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAccept: application/json\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_cluster_goes_on_without_one_of_its_nodes() {
    let installation = Installation::ensure(&[Part::Kafka], &Progress::stderr()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = KafkaOptions { heap_mb: 384, ..KafkaOptions::in_dir(dir.path()) };
    let mut cluster = KafkaCluster::start(&installation, &options).unwrap();
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    let [first, second, _] = cluster.nodes() else { panic!("three nodes") };
    second.tool(TOPICS, &["--create", "--topic", "kept", "--replication-factor", "3"]).unwrap();
    first.kill().unwrap();
    let described = second.tool(TOPICS, &["--describe", "--topic", "kept"]).unwrap();
    assert!(described.contains("ReplicationFactor: 3"), "{described}");
    first.restart().unwrap();
    assert!(first.tool(TOPICS, &["--list"]).unwrap().contains("kept"));
}

#[test]
fn the_fhir_server_speaks_both_versions() {
    let installation = Installation::ensure(&[Part::Fhir], &Progress::stderr()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (version, spoken) in [(FhirVersion::R4, "4.0.1"), (FhirVersion::R5, "5.0.0")] {
        let options = HapiOptions { version, heap_mb: 768, ..HapiOptions::in_dir(dir.path().join(spoken)) };
        let hapi = Hapi::start(&installation, options).unwrap();
        let statement = get(hapi.port(), "/fhir/metadata");
        assert!(statement.contains(&format!("\"fhirVersion\":\"{spoken}\"")), "not {spoken}");
        assert!(get(hapi.port(), "/fhir/Encounter").contains("\"searchset\""));
    }
}
