//! `wardline up` on embedded parts: its data survives kill -9.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, text};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::Output;
use std::time::{Duration, Instant};

/// A charge of an item with a lot, in a stay that was admitted.
const MESSAGES: &str = "MSH|^~\\&|EPIC|GENERAL|WL|GENERAL|20260302080000||ADT^A01|UP-1|P|2.5.1\r\
    EVN|A01|20260302080000\rPID|1||M1^^^GENERAL^MR||Abel^Ada||19700101|F\r\
    PV1|1|I|OR1||||||||||||||||V1^^^GENERAL^VN|||||||||||||||||||||||||20260302080000\r\n";

struct Client<'a> {
    place: &'a Place,
    variables: Vec<(String, String)>,
}

impl Client<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        self.place.wardline(arguments).envs(self.variables.iter().cloned()).output().unwrap()
    }

    fn events(&self, id: &str) -> Vec<Value> {
        let output = self.run(&["trace", id, "--json"]);
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[allow(clippy::disallowed_methods, reason = "a test waits with a bound")]
    fn events_within(&self, id: &str, wanted: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let events = self.events(id);
            if events.len() >= wanted || Instant::now() > deadline {
                return events;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

#[test]
fn the_data_of_up_is_found_again_after_kill_9() {
    let place = Place::new();
    let file = place.path("stay.hl7");
    std::fs::write(&file, MESSAGES).unwrap();
    let file = file.to_str().unwrap();

    let (up, variables) = place.up("first");
    let client = Client { place: &place, variables };
    let answer = text(&client.run(&["send", "hl7v2", file]));
    assert!(answer.contains("AA"), "{answer}");
    let before = client.events_within("UP-1", 2);
    assert!(before.len() >= 2, "{before:#?}");
    as_it_came(&client);
    up.kill();

    let (up, variables) = place.up("second");
    let client = Client { place: &place, variables };
    let after = client.events("UP-1");
    assert_eq!(after.len(), before.len(), "{after:#?}");
    let answer = text(&client.run(&["send", "hl7v2", file]));
    assert!(answer.contains("AA"), "{answer}");
    assert_eq!(client.events("UP-1").len(), before.len(), "the same message again is no new event");
    let status: Value = serde_json::from_str(&text(&client.run(&["status", "--json"]))).unwrap();
    let rooms = status["rooms"].as_array().unwrap();
    assert!(rooms.len() >= 8 && rooms.iter().all(|room| room["state"] == "ready"), "{status:#}");
    assert!(up.stop("TERM").success());
}

/// RAW-1: the way of an event begins with the message as it came: without its patient, and whole for a reason.
fn as_it_came(client: &Client<'_>) {
    let told = text(&client.run(&["trace", "UP-1"]));
    let id = told.split("wardline message ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let masked = text(&client.run(&["message", id]));
    assert!(masked.contains("PID-5") && !masked.contains("Abel"), "{masked}");
    let refused = client.run(&["message", id, "--raw"]);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let whole = client.run(&["message", id, "--raw", "--reason", "the ward asks for it", "--actor", "ada"]);
    assert_eq!(String::from_utf8_lossy(&whole.stdout).trim_end(), MESSAGES.trim_end(), "{}", text(&whole));
    let shown = text(&client.run(&["audit", "ls", "--code", "show-original"]));
    assert!(shown.contains("the ward asks for it") && shown.contains("ada"), "{shown}");
    let wrong = client.run(&["message", "UP-1"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("WL-7246"));
}

/// Parts alone, for rooms that run elsewhere: it goes on until it is stopped, and a room of its own process gets ready on it.
#[test]
fn up_without_any_room_is_there_for_rooms_of_other_processes() {
    let place = Place::new();
    let listed = text(&place.run(&["run", "help", "--json"]));
    let rooms: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rooms.iter().any(|room| room["name"] == "validate"), "{listed}");
    let without: Vec<&str> = rooms.iter().flat_map(|room| ["--without", room["name"].as_str().unwrap()]).collect();
    let (up, variables) = place.up_with("parts", &without);
    let log = place.path("room.log");
    let file = std::fs::File::create(&log).unwrap();
    let room = Place::new();
    let settings = room.path("room.json");
    std::fs::write(&settings, serde_json::json!({"http": {"listen": room.health}}).to_string()).unwrap();
    let mut command = place.wardline(&["run", "validate", "--config", settings.to_str().unwrap()]);
    let mut child = command.envs(variables).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let ready = ready_within(&room.health, &mut child);
    drop(child.kill());
    drop(child.wait());
    assert!(ready, "{}", std::fs::read_to_string(&log).unwrap());
    assert!(up.stop("TERM").success());
}

/// Whether a process says that it is ready before it ends.
#[allow(clippy::disallowed_methods, reason = "a test waits with a bound")]
fn ready_within(health: &str, child: &mut std::process::Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if let Ok(mut stream) = std::net::TcpStream::connect(health) {
            let mut said = String::new();
            let asked = stream.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            if asked.is_ok() && stream.read_to_string(&mut said).is_ok() && said.starts_with("HTTP/1.1 200") {
                return true;
            }
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    false
}

#[test]
fn two_processes_do_not_share_a_folder_or_a_port() {
    let place = Place::new();
    let (_up, _) = place.up("first");
    let other = Place::new();
    let data = place.path("wardline-data/up");
    let data = data.to_str().unwrap();
    let ports = ["--ports", "0", "--mllp", &other.mllp, "--health", &other.health];
    let refused = place.run(&[&["up", "--data", data], &ports[..]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("WL-7055"), "{said}");
    let refused = place.run(&["up", "--ports", "0", "--mllp", &place.mllp, "--health", &other.health]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("WL-7061") && said.contains("--mllp"), "{said}");
}

#[test]
fn a_command_without_a_running_system_says_what_to_start() {
    let place = Place::new();
    let output = place.run(&["status", "--kafka", &place.mllp]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("WL-7067") && said.contains("wardline up"), "{said}");
}
