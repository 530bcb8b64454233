//! The protocol of Chromium's developer tools over a pipe: JSON, each message ended by a zero byte. It needs no port, no driver
//! beside the browser and no further library, and it tells what a page tries: dialogs, requests, errors.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

/// Longest wait for one answer of the browser.
const ANSWER: Duration = Duration::from_secs(60);

/// Chromium hears on the file 3 and speaks on the file 4; the shell lays its own there.
const START: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// As root Chromium has no sandbox of its own; what it would ask the internet for is left out.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
];

/// What the browser said of a page without being asked.
#[derive(Clone, Debug)]
pub struct Event {
    /// Page.
    pub session: String,
    /// What happened, for example `Page.javascriptDialogOpening`.
    pub method: String,
    /// About it.
    pub params: Value,
}

/// A connection with a running browser, which ends with it.
pub struct Pipe {
    child: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    last: AtomicU64,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Event>,
}

impl Pipe {
    /// Starts the browser with an empty profile.
    pub fn start(program: &Path, profile: &Path) -> Self {
        let log = std::fs::File::create(profile.join("chromium.log")).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START, "sh"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shared = Arc::new(Mutex::new(Shared::default()));
        tokio::spawn(listen(output, Arc::clone(&shared)));
        Self { child, input: tokio::sync::Mutex::new(input), last: AtomicU64::new(0), shared }
    }

    /// Has the browser do something, and gives its answer.
    ///
    /// # Panics
    /// When the browser refuses, ends, or takes too long.
    pub async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let answer = self.try_call(session, method, &params).await;
        answer.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// The same, where the browser may refuse.
    pub async fn try_call(&self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, Value> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = oneshot::channel();
        lock(&self.shared).waiting.insert(id, sender);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.lock().await.write_all(&bytes).await.unwrap();
        let answer = tokio::time::timeout(ANSWER, receiver).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {method}")).expect("the browser has ended");
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer.get("result").cloned().unwrap_or_default()),
        }
    }

    /// What the browser said of a page so far, in order.
    pub fn events(&self, session: &str) -> Vec<Event> {
        lock(&self.shared).events.iter().filter(|event| event.session == session).cloned().collect()
    }

    /// Ends the browser.
    pub async fn end(mut self) {
        // It may end before it has answered.
        drop(self.try_call(None, "Browser.close", &json!({})).await);
        let ended = tokio::time::timeout(ANSWER, self.child.wait()).await;
        ended.expect("the browser does not end").unwrap();
    }
}

async fn listen(output: ChildStdout, shared: Arc<Mutex<Shared>>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(0, &mut bytes).await.is_ok_and(|read| read > 0) {
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        bytes.clear();
        let mut shared = lock(&shared);
        match message.get("id").and_then(Value::as_u64) {
            Some(id) => {
                if let Some(sender) = shared.waiting.remove(&id) {
                    // Nobody may wait any longer.
                    drop(sender.send(message));
                }
            }
            None => {
                let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let params = message.get("params").cloned().unwrap_or_default();
                shared.events.push(Event { session: text("sessionId"), method: text("method"), params });
            }
        }
    }
    // Whoever waits sees that the browser has ended.
    lock(&shared).waiting.clear();
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
