//! How the console listens: over TLS, and until the stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use console::config::TlsConfig;
use console::{Console, ConsoleConfig, ListenError, Listening, Site};
use runtime::Config;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const REQUEST: &[u8] = b"GET /sign-in HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(60);
/// Less than one answer of a broker may take.
const SOON: Duration = Duration::from_secs(10);

/// Nothing answers there: what needs no Kafka must go on without it.
fn site() -> Site {
    let mut config = Config::default();
    config.kafka.bootstrap = "127.0.0.1:9".to_owned();
    config.registry.url = "http://127.0.0.1:9".to_owned();
    Site { config: Arc::new(config), rooms: Vec::new(), health: None, erp: Err("there is none".to_owned()) }
}

fn tls(folder: &Path) -> (TlsConfig, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate_file, key_file) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate_file, made.cert.pem()).unwrap();
    std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (TlsConfig { certificate_file, key_file }, roots)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_over_tls_without_kafka_and_nothing_comes_without_tls() {
    let folder = TempDir::new().unwrap();
    let (tls, roots) = tls(folder.path());
    let config = ConsoleConfig { listen: "127.0.0.1:0".to_owned(), tls: Some(tls), ..ConsoleConfig::default() };
    let (trigger, stop) = runtime::shutdown();
    let console = Console::start(config, site(), &stop).unwrap();
    let listening = Listening::bind(console).await.unwrap();
    let address = listening.address();
    assert!(listening.url().starts_with("https://"));
    let serving = tokio::spawn(listening.serve(stop));

    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut page = String::new();
    // A peer that closes without the farewell of TLS has said everything all the same.
    drop(stream.read_to_string(&mut page).await);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("strict-transport-security"), "{page}");

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    trigger.stop();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}

/// Nobody is kept waiting by what a broker that is away does not say.
#[tokio::test(flavor = "multi_thread")]
async fn it_stops_soon_while_kafka_does_not_answer() {
    // Connections are taken by the system, and nobody ever reads what they bring.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::default();
    config.kafka.bootstrap = silent.local_addr().unwrap().to_string();
    config.registry.url = "http://127.0.0.1:9".to_owned();
    let site = Site { config: Arc::new(config), ..site() };
    let config = ConsoleConfig { listen: "127.0.0.1:0".to_owned(), service_levels: true, ..ConsoleConfig::default() };
    let (trigger, stop) = runtime::shutdown();
    let console = Console::start(config, site, &stop).unwrap();
    let levels = console.levels.clone().unwrap();
    let serving = tokio::spawn(Listening::bind(console).await.unwrap().serve(stop));
    // Somebody asks it: whoever follows exceptions and whoever follows service levels do so at once.
    let _asked =
        tokio::task::spawn_blocking(move || [silent.accept().unwrap(), silent.accept().unwrap()]).await.unwrap();
    trigger.stop();
    let stopped = async {
        serving.await.unwrap();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while levels.is_running() {
            look.tick().await;
        }
    };
    tokio::time::timeout(SOON, stopped).await.expect("it waits for a broker that says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_and_a_missing_certificate_are_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_trigger, stop) = runtime::shutdown();
    let said = |config: ConsoleConfig| {
        let console = Console::start(config, site(), &stop).unwrap();
        async { Listening::bind(console).await.err().map(|error: ListenError| error.to_string()).unwrap() }
    };
    let listen = taken.local_addr().unwrap().to_string();
    let in_use = said(ConsoleConfig { listen, ..ConsoleConfig::default() }).await;
    assert!(in_use.starts_with("WL-7121: cannot listen on 127.0.0.1:"), "{in_use}");
    let tls = TlsConfig { certificate_file: "nowhere.crt".into(), key_file: "nowhere.key".into() };
    let missing =
        said(ConsoleConfig { listen: "127.0.0.1:0".to_owned(), tls: Some(tls), ..ConsoleConfig::default() }).await;
    assert!(missing.starts_with("WL-7121: nowhere.crt: "), "{missing}");
}

/// A console that takes so few connections that those who hold one keep others out.
async fn narrow(connections_max: usize) -> (std::net::SocketAddr, runtime::ShutdownTrigger) {
    let mut config = ConsoleConfig { listen: "127.0.0.1:0".to_owned(), ..ConsoleConfig::default() };
    config.bounds.connections_max = connections_max;
    config.bounds.head_timeout_ms = 300;
    config.service_levels = false;
    let (trigger, stop) = runtime::shutdown();
    let listening = Listening::bind(Console::start(config, site(), &stop).unwrap()).await.unwrap();
    let address = listening.address();
    tokio::spawn(listening.serve(stop));
    (address, trigger)
}

/// What is answered to one request.
async fn asked(address: std::net::SocketAddr, request: &[u8]) -> String {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("there is no answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_bodies_that_never_come_keep_nobody_out() {
    let (address, _trigger) = narrow(2).await;
    let silent: &[u8] = b"POST /sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nuser=";
    let (first, second, third) =
        tokio::join!(asked(address, silent), asked(address, silent), async { asked(address, REQUEST).await });
    for answer in [first, second] {
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("WL-7140"), "{answer}");
    }
    assert!(third.starts_with("HTTP/1.1 200"), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_answers_that_nobody_reads_keep_nobody_out() {
    let (address, _trigger) = narrow(1).await;
    let mut greedy = TcpStream::connect(address).await.unwrap();
    // One request after the other, and no answer is ever read.
    let asking = tokio::spawn(async move {
        let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", console::html::asset("console.css"));
        while greedy.write_all(request.as_bytes()).await.is_ok() {}
        greedy
    });
    let ended = tokio::time::timeout(PATIENCE, asking).await.expect("it holds the connection for ever");
    assert!(ended.is_ok());
    assert!(asked(address, REQUEST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_connections_that_ask_nothing_more_keep_nobody_out() {
    let (address, _trigger) = narrow(2).await;
    // One has asked for nothing yet, the other for nothing after its first answer.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /sign-in HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(asked(address, REQUEST).await.starts_with("HTTP/1.1 200"));
}
