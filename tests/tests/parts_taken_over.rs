//! Two that follow the same system, one of which has stood still: it publishes nothing behind its successor (EOS-1, ORD-1).

#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use runtime::Room;
use schemas::{Event, MasterItem, Receipt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::parts::{Erp, Fhir};
use testkit::stack::{Running, Stack};
use testkit::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy that keeps answers back in which there is a text.
struct Gate {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    kept: Arc<AtomicUsize>,
    text: watch::Sender<Option<&'static str>>,
}

impl Gate {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (text, told) = watch::channel(None);
        let gate =
            Self { address: listener.local_addr().unwrap(), requests: Arc::default(), kept: Arc::default(), text };
        let (requests, kept) = (Arc::clone(&gate.requests), Arc::clone(&gate.kept));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut asks, mut hears) = client.into_split();
                let (mut answers, mut asked) = TcpStream::connect(server).await.unwrap().into_split();
                let (requests, kept, mut told) = (Arc::clone(&requests), Arc::clone(&kept), told.clone());
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = asks.read(&mut bytes).await {
                        requests.fetch_add(1, Ordering::SeqCst);
                        asked.write_all(&bytes[..length]).await.unwrap();
                    }
                });
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = answers.read(&mut bytes).await {
                        let text = *told.borrow();
                        if text.is_some_and(|text| String::from_utf8_lossy(&bytes[..length]).contains(text)) {
                            kept.fetch_add(1, Ordering::SeqCst);
                            told.wait_for(Option::is_none).await.unwrap();
                        }
                        if hears.write_all(&bytes[..length]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        gate
    }

    /// Keeps back what has this text in it, until [`Gate::open`].
    fn keep(&self, text: &'static str) {
        self.text.send_replace(Some(text));
    }

    async fn has_kept(&self) {
        until("an answer that is kept back", || self.kept.load(Ordering::SeqCst) > 0).await;
    }

    /// Lets everything go, and waits until whoever got it asks for more: it has done with it what it could.
    async fn open(&self) {
        let asked = self.requests.load(Ordering::SeqCst);
        self.text.send_replace(None);
        until("the next request", || self.requests.load(Ordering::SeqCst) > asked).await;
    }
}

/// Runs a room as one instance of it.
async fn run(stack: &mut Stack, instance: &str, room: Room, block: &Value) -> Running {
    let name = room.info().name;
    stack.configure(name, block.clone());
    Arc::make_mut(&mut stack.config).kafka.instance = instance.to_owned();
    stack.run(vec![room]).await
}

async fn told<T: Event>(stack: &Stack, what: &str, is_told: impl Fn(&T) -> bool) {
    stack.until::<T>(what, |events| events.iter().any(&is_told)).await;
}

/// The item master is compacted: what is published last is in force, and whoever has said the newer name does not say it again.
#[tokio::test(flavor = "multi_thread")]
async fn eos_1_an_older_page_of_the_erp_is_not_published_behind_what_a_successor_said() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || Erp::start(&dir)).await.unwrap();
    let gate = Gate::before(server.address()).await;
    let block = |address| {
        let mut block = server.block(address);
        block["poll_ms"] = json!(200);
        block
    };
    let stood_still = run(&mut stack, "pod-a", erp::room(), &block(gate.address)).await;
    let item = stack.until::<MasterItem>("all items", |items| items.len() >= 50).await.remove(0);
    let named = |name: &'static str| move |told: &MasterItem| told.description == name;
    gate.keep("Older name");
    server.rename_item(&item.item_id, item.erp_id.as_deref(), "Older name").await;
    gate.has_kept().await;

    let successor = run(&mut stack, "pod-b", erp::room(), &block(server.address())).await;
    told(&stack, "the older name", named("Older name")).await;
    server.rename_item(&item.item_id, item.erp_id.as_deref(), "Newer name").await;
    told(&stack, "the newer name", named("Newer name")).await;
    gate.open().await;
    stood_still.stop().await;
    successor.stop().await;
    let all = stack.events::<MasterItem>().await;
    let names: Vec<&str> =
        all.iter().filter(|one| one.item_id == item.item_id).map(|one| one.description.as_str()).collect();
    assert_eq!(names, [item.description.as_str(), "Older name", "Newer name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn eos_1_an_older_page_of_a_fhir_server_is_not_published_behind_what_a_successor_said() {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("fhir");
    let server = tokio::task::spawn_blocking(move || Fhir::start(&dir)).await.unwrap();
    let address = server.url().split('/').nth(2).unwrap().parse().unwrap();
    let gate = Gate::before(address).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = async |service: &str| {
        let stay = json!({"resourceType": "Encounter", "id": "e1", "status": "in-progress", "class": {"code": "IMP"},
            "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": "V1"}], "serviceType": {"text": service}});
        let request = http.put(format!("{}/Encounter/e1", server.url())).body(stay.to_string());
        let answer = request.header("content-type", "application/fhir+json").send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    let block = |address: SocketAddr| {
        let url = server.url().replace(server.url().split('/').nth(2).unwrap(), &address.to_string());
        json!({"base_url": url, "poll_interval_ms": 200, "resource_types": ["Encounter"], "deletions": false})
    };
    let version = |number: u32| {
        let id = format!("Encounter/e1/_history/{number}");
        move |receipt: &Receipt| receipt.message_id == id
    };
    put("First").await;
    let stood_still = run(&mut stack, "pod-a", fhir::room(), &block(gate.address)).await;
    told(&stack, "the stay", version(1)).await;
    gate.keep("Older");
    put("Older").await;
    gate.has_kept().await;

    let successor = run(&mut stack, "pod-b", fhir::room(), &block(address)).await;
    told(&stack, "its second version", version(2)).await;
    put("Newer").await;
    told(&stack, "its third version", version(3)).await;
    gate.open().await;
    stood_still.stop().await;
    successor.stop().await;
    let receipts: Vec<String> = stack.events::<Receipt>().await.into_iter().map(|receipt| receipt.message_id).collect();
    assert_eq!(receipts.len(), 3, "{receipts:?}");
}
