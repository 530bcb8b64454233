//! The server is killed while it works: nothing is doubled, and nothing that was answered is missing.

use crate::support::{Caller, KEY, SUTURE, line, posting};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KILLS: usize = 6;
const CALLERS: usize = 4;

/// A server in a process of its own.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(folder: &Path, hospital: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox-erp"))
            .args(["127.0.0.1:0".as_ref(), folder.as_os_str(), KEY.as_ref(), hospital.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "the server did not start: {url}");
        Self { child, url: url.trim().to_owned() }
    }

    /// On Unix this is SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Posts one key after the other until the server is gone; the keys that were answered, and the one that was not.
async fn load(url: String, round: usize, caller: usize) -> (Vec<String>, String) {
    let client = Caller::new(&url);
    let mut answered = Vec::new();
    for number in 0.. {
        let key = format!("crash-{round}-{caller}-{number}");
        let asked = posting(&key, vec![line("a", SUTURE, None, "1"), line("b", SUTURE, None, "0.25")]);
        let Ok(answer) = client.send(reqwest::Method::POST, "postings", asked).await else {
            return (answered, key);
        };
        assert_eq!(answer.status(), 201);
        answered.push(key);
    }
    unreachable!("the server is killed before the keys end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fx_1_kill_9_in_the_middle_of_postings() {
    let folder = tempfile::tempdir().unwrap();
    let hospital = folder.path().join("hospital.json");
    std::fs::write(&hospital, components::HOSPITAL_JSON).unwrap();
    let (mut answered, mut open) = (Vec::new(), Vec::new());
    for round in 0..KILLS {
        let server = Process::start(folder.path(), &hospital);
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(load(server.url.clone(), round, caller))).collect();
        let watch = Caller::new(&server.url);
        let begun = async {
            // Kill it at a different depth each time.
            let wanted = 20 * (round + 1);
            while watch.get(&format!("moves?prefix=crash-{round}-&limit={wanted}")).await["moves"]
                .as_array()
                .unwrap()
                .len()
                < wanted
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap();
        server.kill();
        for caller in callers {
            let (keys, last) = caller.await.unwrap();
            answered.extend(keys);
            open.push(last);
        }
    }
    let server = Process::start(folder.path(), &hospital);
    let caller = Caller::new(&server.url);
    for key in &answered {
        caller.get(&format!("postings/{key}")).await;
    }
    // Whoever had no answer asks again, and then it is there once.
    let again = |key: &String| posting(key, vec![line("a", SUTURE, None, "1"), line("b", SUTURE, None, "0.25")]);
    for key in &open {
        caller.posted(&again(key)).await;
        assert_eq!(caller.posted(&again(key)).await["replayed"], true);
    }
    let postings = answered.len() + open.len();
    assert!(postings > KILLS * CALLERS * 2, "{postings}");
    assert_eq!(caller.moves("crash-").await.len(), postings * 2);
    let left = u32::try_from(postings).map(f64::from).unwrap();
    assert_eq!(caller.level(SUTURE, "OR1").await, 50_000.0 - 1.25 * left);
    server.kill();
}
