//! Starts the real systems and breaks them. Needs a JDK, Maven and Python; the first run fetches what is missing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use wardline_components::{
    ERP_DATABASE, ERP_KEY, Installation, Kafka, KafkaOptions, Part, Progress, Registry, RegistryOptions, Server,
    Tryton, TrytonOptions,
};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// One HTTP exchange; status and body.
fn http(method: &str, url: &str, key: Option<&str>, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let key = key.map(|key| format!("Authorization: bearer {key}\r\n")).unwrap_or_default();
    // {"company": 1, "locations": [9]}: quantities are those at operating room 1.
    let context = "X-Tryton-Context: eyJjb21wYW55IjogMSwgImxvY2F0aW9ucyI6IFs5XX0=\r\n";
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{key}{context}\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn is_alive(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !command.is_empty()
}

fn kafka_survives_its_own_death(installation: &Installation, dir: &Path) {
    let mut kafka = Kafka::start(installation, KafkaOptions::in_dir(dir)).unwrap();
    kafka.tool(TOPICS, &["--create", "--topic", "kept", "--partitions", "3"]).unwrap();
    let first = kafka.pid().unwrap();
    kafka.kill().unwrap();
    assert!(!is_alive(first) && kafka.pid().is_none());
    kafka.restart().unwrap();
    assert_ne!(kafka.pid(), Some(first));
    assert!(kafka.tool(TOPICS, &["--list"]).unwrap().lines().any(|topic| topic == "kept"));

    let other = Kafka::start(installation, KafkaOptions::in_dir(dir)).map(drop).unwrap_err();
    assert_eq!(other.code(), "WL-7055", "{other}");
    let port = Some(kafka.port());
    let taken = KafkaOptions { port, ..KafkaOptions::in_dir(dir.with_extension("other")) };
    let taken = Kafka::start(installation, taken).map(drop).unwrap_err();
    assert_eq!(taken.code(), "WL-7053", "{taken}");

    assert!(Server::find_in(dir).unwrap().answers());
    let pid = kafka.pid().unwrap();
    drop(kafka);
    assert!(!is_alive(pid) && Server::find_in(dir).is_none());
}

fn registry_refuses_breaking_changes(installation: &Installation, dir: &Path) {
    let mut registry = Registry::start(installation, RegistryOptions::in_dir(dir)).unwrap();
    let versions = format!("{}/subjects/usage-value/versions", registry.url());
    let first = r#"{"schema":"{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}"}"#;
    let breaking =
        r#"{"schema":"{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}"}"#;
    let (status, id) = http("POST", &versions, None, first);
    assert_eq!(status, 200, "{id}");
    assert_eq!(http("POST", &versions, None, breaking).0, 409);
    registry.kill().unwrap();
    registry.restart().unwrap();
    assert_eq!(http("POST", &versions, None, first), (200, id), "the id in the topics must stay good");
}

fn tryton_forgets_on_request(installation: &Installation, dir: &Path) {
    let tryton = Tryton::start(installation, TrytonOptions::in_dir(dir)).unwrap();
    let model = format!("{}/{ERP_DATABASE}/rest/model", tryton.url());
    let call = |method: &str, path: &str, body: &str| {
        let (status, answer) = http(method, &format!("{model}/{path}"), Some(ERP_KEY), body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let stock = || call("GET", "product.product/1?f=code&f=quantity", "");
    let pristine = stock();
    assert!(pristine.contains("71-100234") && pristine.contains("10000"), "{pristine}");
    let used = r#"{"reference":"test-1","from_location":9,"to_location":10,"moves":[["create",
        [{"product":1,"quantity":2,"unit":1,"lot":1,"from_location":9,"to_location":10}]]]}"#;
    call("POST", "stock.shipment.internal", used);
    for step in ["wait", "assign_try", "do"] {
        call("POST", &format!("stock.shipment.internal/1/{step}"), "{}");
    }
    assert!(stock().contains("9998"), "{}", stock());
    tryton.reset().unwrap();
    assert_eq!(stock(), pristine);
    // The same again gives the same ids: nothing of the first life is left.
    call("POST", "stock.shipment.internal", used);
    call("POST", "stock.shipment.internal/1/wait", "{}");
}

/// Two components at a time: a developer's machine has no more to spare.
#[test]
fn the_parts_start_break_and_recover() {
    let installation = Installation::ensure(&[Part::Kafka, Part::Registry, Part::Erp], &Progress::stderr()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| kafka_survives_its_own_death(&installation, &dir.path().join("kafka")));
        scope.spawn(|| {
            registry_refuses_breaking_changes(&installation, &dir.path().join("registry"));
            tryton_forgets_on_request(&installation, &dir.path().join("erp"));
        });
    });
}

/// A process that is killed cannot clean up; the guard beside each component must.
#[test]
fn nothing_outlives_a_killed_owner() {
    const CHILD: &str = "WARDLINE_TEST_OWNER_DIR";
    if let Some(dir) = std::env::var_os(CHILD) {
        let installation = Installation::ensure(&[Part::Erp], &Progress::silent()).unwrap();
        let tryton = Tryton::start(&installation, TrytonOptions::in_dir(dir)).unwrap();
        // As sudden as it gets: no destructor of this process runs.
        Command::new("sh").args(["-c", "kill -s KILL \"$PPID\""]).status().unwrap();
        drop(tryton);
        return;
    }
    Installation::ensure(&[Part::Erp], &Progress::stderr()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["--exact", "nothing_outlives_a_killed_owner"]).env(CHILD, dir.path());
    assert!(!owner.status().unwrap().success());
    // The guard needs a moment; what it misses, the next start in this directory kills.
    let mut looks = 0..200;
    while Server::find_in(dir.path()).is_some() {
        assert!(looks.next().is_some(), "tryton still runs");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}
