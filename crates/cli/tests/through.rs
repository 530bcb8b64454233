//! Rights and four eyes from a terminal: what needs them is refused on the topics, and goes through the API of a console, where the
//! token says who somebody is (RPL-1).

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test: waits with a bound")]

mod common;

use common::{Place, text};
use console::people::sha256_hex;
use runtime::Config;
use runtime::codec::Codec;
use runtime::outgoing::Lineage;
use runtime::publisher::Publisher;
use schemas::{
    Code, Decimal, Event, EventMeta, Exception, ExceptionKind, ExceptionState, Location, Source, SupplyUsage,
    Timestamp, UsageKind,
};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(120);
const EXCEPTION: &str = "0f0e0d0c-0000-5000-8000-000000000001";
/// People with tokens, and what they may.
const PEOPLE: [(&str, &str); 4] =
    [("vic", "viewer"), ("olga", "operator"), ("grace", "approver"), ("adele", "administrator")];

/// An installation that leaves people to its console.
struct Site {
    place: Place,
    variables: Vec<(String, String)>,
    url: String,
    _running: Vec<common::Running>,
}

impl Site {
    fn start() -> Self {
        let place = Place::new();
        configured(&place);
        let (mut up, variables) = place.up_with("up", &["--config", "site.yaml"]);
        let line = up.line_with("web console");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { place, variables, url, _running: vec![up] }
    }

    /// The same without any room, so that groups stand still.
    fn without_rooms() -> Self {
        let place = Place::new();
        configured(&place);
        let listen = ["--listen", "127.0.0.1:0", "--json"];
        let mut broker = place.start("broker", &[&["broker", "--data", "broker"], &listen[..]].concat());
        let kafka = broker.url();
        let mut registry = place.start("registry", &[&["registry", "--data", "schemas"], &listen[..]].concat());
        let parts = ["--kafka", &kafka, "--registry", &registry.url()].map(str::to_owned);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        text(&place.run(&[&["topics", "apply"], &parts[..]].concat()));
        let arguments = ["console", "--listen", "127.0.0.1:0", "--config", "site.yaml"];
        let mut console = place.start("console", &[&arguments[..], &parts[..]].concat());
        let line = console.line_with("the console is at");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let url = url.trim_end_matches(';').to_owned();
        let variables = [("WARDLINE_KAFKA", parts[1]), ("WARDLINE_REGISTRY", parts[3])];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { place, variables, url, _running: vec![broker, registry, console] }
    }

    /// On the topics.
    fn direct(&self, arguments: &[&str]) -> Output {
        let arguments = [arguments, &["--config", "site.yaml"]].concat();
        self.place.wardline(&arguments).envs(self.variables.iter().cloned()).output().unwrap()
    }

    /// Through the console, with nothing else to reach.
    fn by(&self, person: &str, arguments: &[&str]) -> Output {
        self.place.run(&[arguments, &["--console", &self.url, "--token-file", person]].concat())
    }

    fn publish<T: Event>(&self, event: &T) {
        let variable = |name: &str| self.variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let mut config = Config::default();
        config.kafka.bootstrap = variable("WARDLINE_KAFKA");
        config.registry.url = variable("WARDLINE_REGISTRY");
        let codec = Arc::new(Codec::new(&config.registry).unwrap());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let publisher = Publisher::connect(&config, codec, &[T::topic()]).await.unwrap();
            publisher.publish(&[publisher.event(event, &Lineage::default()).unwrap()]).await.unwrap();
        });
    }

    /// Plans a replay of all that `validate` read, by somebody; gives its id.
    fn planned(&self, person: &str) -> String {
        let deadline = Instant::now() + BOUND;
        let mut planned = self.by(person, &PLAN_JSON);
        // The room passes the record soon.
        while String::from_utf8_lossy(&planned.stderr).contains("WL-7153") && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(100));
            planned = self.by(person, &PLAN_JSON);
        }
        let said = text(&planned);
        let plan: Value = serde_json::from_str(said.trim()).unwrap();
        assert_eq!(plan["plan"]["plannedBy"], format!("token:{person}"), "{plan}");
        assert_eq!(plan["plan"]["needsApproval"], true, "{plan}");
        plan["plan"]["replayId"].as_str().unwrap().to_owned()
    }
}

/// Stands for a console: answers each call as is told, and keeps what it was sent.
struct Stub {
    url: String,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    fn start(answers: Vec<(&'static str, u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = request_of(&stream);
                let (_, status, body) = answers.iter().find(|(call, ..)| request.starts_with(*call)).unwrap();
                kept.lock().unwrap().push(request);
                let (body, kind) = (body.to_string(), "content-type: application/json\r\nconnection: close");
                let head = format!("HTTP/1.1 {status} Told\r\n{kind}\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all([head, body].concat().as_bytes()).unwrap();
            }
        });
        Self { url, sent }
    }

    /// A command that goes through it.
    fn run(&self, place: &Place, arguments: &[&str]) -> Output {
        std::fs::write(place.path("token"), "a-token").unwrap();
        place.run(&[arguments, &["--console", &self.url, "--token-file", "token"]].concat())
    }

    /// What it was asked to do.
    fn acts(&self) -> Vec<Value> {
        let sent = self.sent.lock().unwrap();
        let acts = sent.iter().filter(|request| request.starts_with("POST "));
        acts.map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()).collect()
    }
}

/// A whole request as it came.
fn request_of(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().unwrap();
        }
        request.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}

/// Writes the configuration of an installation that leaves people to its console, and their tokens.
fn configured(place: &Place) {
    let tokens: String = PEOPLE
        .iter()
        .map(|(name, role)| {
            std::fs::write(place.path(name), format!("the token of {name}\n").replace(' ', "-")).unwrap();
            let hash = sha256_hex(format!("the token of {name}").replace(' ', "-").as_bytes());
            format!("    {name}: {{role: {role}, sha256: {hash}}}\n")
        })
        .collect();
    let config = format!("operations: {{people: console}}\nconsole:\n  tokens:\n{tokens}");
    std::fs::write(place.path("site.yaml"), config).unwrap();
}

const PLAN: [&str; 7] = ["replay", "plan", "validate", "--from-time", "2020-01-01T00:00:00Z", "--reason", "a drill"];
const PLAN_JSON: [&str; 8] = [PLAN[0], PLAN[1], PLAN[2], PLAN[3], PLAN[4], PLAN[5], PLAN[6], "--json"];

/// A usage that `validate` passes: an article and a place of the sandbox ERP.
fn usage() -> SupplyUsage {
    let now = Timestamp(runtime::clock::now_micros());
    SupplyUsage {
        meta: EventMeta {
            event_id: "0f0e0d0c-0000-5000-8000-000000000002".to_owned(),
            business_key: "usage/enc-1/1".to_owned(),
            occurred_at: Some(now),
            recorded_at: now,
            published_at: now,
            source: Source { system: "ORIS|GENERAL".to_owned(), ..Source::default() },
            ..EventMeta::default()
        },
        encounter_ref: "enc-1".to_owned(),
        item_ref: Some(Code { code: "71-400101".to_owned(), ..Code::default() }),
        quantity: Decimal::ONE,
        uom: Some("EA".to_owned()),
        location: Some(Location { code: Some("OR1".to_owned()), ..Location::default() }),
        usage: UsageKind::Used,
        ..SupplyUsage::default()
    }
}

/// It is refused as something that is wrong to ask, with this code.
fn refused(output: &Output, code: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains(code), "{code}: {:?} {said}", output.status);
}

#[test]
fn rpl_1_a_replay_is_agreed_to_by_a_second_person_whom_the_console_knows() {
    let site = Site::start();
    site.publish(&usage());
    refused(&site.direct(&PLAN), "WL-1480");
    let plan = site.planned("olga");
    // Whatever name is typed, nobody agrees on the topics.
    refused(&site.direct(&["replay", "approve", &plan, "--actor", "nosuchperson"]), "WL-1480");
    refused(&site.by("olga", &["replay", "approve", &plan]), "WL-7125");
    refused(&site.by("vic", &["replay", "apply", &plan]), "WL-7125");
    refused(&site.by("olga", &["replay", "apply", &plan]), "WL-7155");
    let own = site.planned("grace");
    refused(&site.by("grace", &["replay", "approve", &own]), "has planned");
    // A name at the terminal makes nobody else of a token.
    refused(&site.by("grace", &["replay", "approve", &own, "--actor", "olga"]), "has planned");
    let agreed = text(&site.by("grace", &["replay", "approve", &plan, "--comment", "seen", "--json"]));
    let agreed: Value = serde_json::from_str(agreed.trim()).unwrap();
    assert_eq!(agreed["plan"]["approvedBy"], "token:grace", "{agreed}");
    refused(&site.direct(&["replay", "apply", &plan]), "WL-1480");
    let begun = text(&site.by("olga", &["replay", "apply", &plan]));
    assert!(begun.contains(&plan), "{begun}");
    let deadline = Instant::now() + BOUND;
    loop {
        let status: Value = serde_json::from_str(&text(&site.direct(&["replay", "status", &plan, "--json"]))).unwrap();
        if status["plan"]["state"] == "DONE" {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    for nobody in ["vic", "nobody"] {
        std::fs::write(site.place.path("nobody"), "no-such-token").unwrap();
        let code = if nobody == "vic" { "WL-7125" } else { "WL-7122" };
        refused(&site.by(nobody, &["replay", "abort", &own, "--comment", "not needed"]), code);
    }
    assert!(text(&site.by("olga", &["replay", "abort", &own, "--comment", "not needed"])).contains("aborted"));
    let named = ["replay", "pause", &own, "--console", &site.url];
    refused(&site.place.run(&named), "WL-1481");
}

#[test]
fn an_event_is_given_up_by_two_people_whom_the_console_knows() {
    let site = Site::start();
    site.publish(&Exception {
        exception_id: EXCEPTION.to_owned(),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "validate".to_owned(),
        code: "WL-4001".to_owned(),
        message: "the article is not known".to_owned(),
        origin_topic: Some("clinical.supply-usage.v1".to_owned()),
        origin_partition: Some(0),
        origin_offset: Some(1),
        raised_at: Timestamp(1),
        at: Timestamp(1),
        ..Exception::default()
    });
    let discard = ["exceptions", "discard", EXCEPTION, "--comment", "sent twice"];
    let approve = [&discard[..], &["--approve"]].concat();
    let deadline = Instant::now() + BOUND;
    // The console has read it soon.
    while !site.by("olga", &["exceptions", "assign", EXCEPTION, "--to", "olga"]).status.success() {
        assert!(Instant::now() < deadline, "the console does not know the exception");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    refused(&site.direct(&discard), "WL-1480");
    refused(&site.direct(&[&discard[..], &["--approve", "--actor", "nosuchperson"]].concat()), "WL-1480");
    let shown = ["exceptions", "show", EXCEPTION, "--raw", "--reason", "the sender asks"];
    refused(&site.direct(&shown), "WL-1480");
    // What needs nobody else stays as it was.
    assert!(site.direct(&["exceptions", "comment", EXCEPTION, "--comment", "looked at"]).status.success());
    assert!(text(&site.by("olga", &discard)).contains(EXCEPTION));
    refused(&site.by("olga", &approve), "WL-7125");
    let done = text(&site.by("grace", &[&approve[..], &["--json"]].concat()));
    let done: Value = serde_json::from_str(done.trim()).unwrap();
    assert_eq!((&done["kind"], &done["exceptionId"]), (&"DISCARDED".into(), &EXCEPTION.into()));
    let history = text(&site.direct(&["audit", "ls", "--exception", EXCEPTION, "--json"]));
    assert!(history.contains("token:olga") && history.contains("token:grace"), "{history}");
}

/// A whole cause is worked off through the console: given to somebody, spoken of, and given up by two people as it was seen.
#[test]
fn a_cause_is_given_up_by_two_people_whom_the_console_knows() {
    let site = Site::start();
    for number in 1..=3 {
        site.publish(&Exception {
            exception_id: format!("0f0e0d0c-0000-5000-8000-00000000001{number}"),
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            message: "the article is not known".to_owned(),
            origin_topic: Some("clinical.supply-usage.v1".to_owned()),
            origin_partition: Some(0),
            origin_offset: Some(number),
            raised_at: Timestamp(1),
            at: Timestamp(1),
            ..Exception::default()
        });
    }
    let of = |act: &[&'static str]| [&["exceptions"], act, &["--code", "WL-4001", "--room", "validate"]].concat();
    let assign = [&of(&["assign"])[..], &["--to", "olga", "--json"]].concat();
    let deadline = Instant::now() + BOUND;
    // The console has read them soon.
    while String::from_utf8_lossy(&site.by("olga", &assign).stdout).lines().count() < 3 {
        assert!(Instant::now() < deadline, "the console does not know the exceptions");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let said = text(&site.by("olga", &[&of(&["comment"])[..], &["--comment", "asked"]].concat()));
    assert_eq!(said.matches("commented").count(), 3, "{said}");
    let discard = [&of(&["discard"])[..], &["--comment", "sent twice"]].concat();
    refused(&site.direct(&discard), "WL-1480");
    let said = text(&site.by("olga", &[&discard[..], &["--json"]].concat()));
    assert_eq!(said.matches("DISCARD_REQUESTED").count(), 3, "{said}");

    let approve = of(&["discard", "--approve"]);
    refused(&site.direct(&approve), "WL-1480");
    // Nobody is at a terminal here: what waits is shown, with how to agree to it.
    let asked = site.by("grace", &approve);
    refused(&asked, "WL-1450");
    let asked = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(asked.contains("token:olga asks to discard 3") && asked.contains("sent twice"), "{asked}");
    let mark = asked.split("--seen ").nth(1).unwrap().split('`').next().unwrap().trim().to_owned();
    let listed = text(&site.direct(&["exceptions", "ls", "--to-approve", "--code", "WL-4001", "--json"]));
    assert!(listed.contains(&mark), "{mark}: {listed}");
    refused(&site.by("grace", &[&approve[..], &["--seen", "0"]].concat()), "WL-1451");
    refused(&site.by("olga", &[&approve[..], &["--seen", &mark]].concat()), "WL-7125");
    let done = text(&site.by("grace", &[&approve[..], &["--seen", &mark, "--json"]].concat()));
    assert_eq!(done.matches("\"DISCARDED\"").count(), 6, "kind and state of each: {done}");
    refused(&site.by("grace", &approve), "WL-7109");
    refused(&site.by("grace", &[&of(&["resolve"])[..], &["--comment", "x"]].concat()), "WL-1482");
}

/// Whoever has nothing but the console is shown the correction that waits, or told where all of it is shown.
#[test]
fn phi_1_a_correction_is_agreed_to_through_the_console_as_it_is_shown() {
    let place = Place::new();
    let (show, agree) = ("GET /api/v1/exceptions/e1 ", "POST /api/v1/exceptions/e1/correction/approve ");
    let waits = |mark: Option<&str>, path: &str, after: &str| {
        let field = json!({"path": path, "before": null, "after": after, "isDirect": mark.is_none()});
        let (who, why) = ("token:olga", "read from the box");
        json!({"exceptionId": "e1", "mark": mark, "actor": who, "reason": why, "at": 1, "fields": [field]})
    };
    let shown = |correction: Value, not_read: &[&str]| {
        let is_masked = correction.is_object() && correction["mark"].is_null();
        let waiting = json!({"correction": correction, "isMasked": is_masked, "mapping": null});
        json!({"exceptionId": "e1", "source": null, "notRead": not_read, "waiting": waiting})
    };
    let command = ["exceptions", "correct", "e1", "--approve"];
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let done = json!({"done": [{"exceptionId": "e1", "kind": "CORRECTED", "state": "RETRYING", "at": 2}]});
    let whole = shown(waits(Some("m1"), "lot", "\"A17\""), &[]);
    let open = Stub::start(vec![(show, 200, whole), (agree, 200, done)]);
    let asked = open.run(&place, &command);
    refused(&asked, "WL-1450");
    for part in ["token:olga", "read from the box", "lot: nothing -> \"A17\"", "--seen m1`"] {
        assert!(said(&asked).contains(part), "{part}: {}", said(&asked));
    }
    assert!(open.acts().is_empty(), "nobody has agreed: {:?}", open.acts());
    assert!(text(&open.run(&place, &[&command[..], &["--seen", "m1"]].concat())).contains("e1 corrected"));
    assert_eq!(open.acts()[0]["seen"], "m1");

    let masked = Stub::start(vec![(show, 200, shown(waits(None, "phi.familyName", "***"), &[]))]);
    let asked = masked.run(&place, &command);
    refused(&asked, "WL-1450");
    assert!(said(&asked).contains("/exceptions/e1,") && said(&asked).contains("with a reason"), "{}", said(&asked));
    assert!(!said(&asked).contains("exceptions ls"), "{}", said(&asked));
    // The lists of mappings tell their marks.
    let mapping = masked.run(&place, &["exceptions", "map", "e1", "--approve"]);
    refused(&mapping, "WL-1450");
    assert!(said(&mapping).contains("crosswalk ls --proposed"), "{}", said(&mapping));

    // Where nothing waits the console says so; where it could not be read it may wait all the same.
    let problem = json!({"code": "WL-7244", "detail": "exception e1 has no correction", "next": "look at its history"});
    let nothing = Stub::start(vec![(show, 200, shown(Value::Null, &[])), (agree, 409, problem)]);
    refused(&nothing.run(&place, &command), "WL-7244");
    let unread = Stub::start(vec![(show, 200, shown(Value::Null, &["its source: it takes longer"]))]);
    let asked = unread.run(&place, &command);
    assert!(asked.status.code() == Some(1) && said(&asked).contains("has not read"), "{}", said(&asked));
}

/// The console tells the first thousand of those that were decided one by one, and counts all.
#[test]
fn bnd_1_of_more_than_a_thousand_all_are_counted() {
    let place = Place::new();
    let one = |number: u32| {
        let id = format!("e{number}");
        json!({"exceptionId": id, "kind": "DISCARDED", "state": "DISCARDED", "at": 1})
    };
    let done: Vec<Value> = (1..=1_000).map(one).collect();
    let kinds = json!({"DISCARDED": 1_000, "DISCARD_REQUESTED": 200});
    let left = json!({"exceptionId": "e9", "code": "WL-7108", "why": "waits for approval", "next": "press Agree"});
    let answer = json!({"done": done, "doneTotal": 1_200, "doneByKind": kinds, "leftOut": [left], "leftOutTotal": 1});
    let stub = Stub::start(vec![("POST /api/v1/causes/discard ", 200, answer)]);
    let discard = ["exceptions", "discard", "--code", "WL-4001", "--comment", "sent twice"];
    let output = stub.run(&place, &discard);
    let (said, notes) = (text(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(said.ends_with("and 1195 more: 200 discard requested, 1000 discarded in all\n"), "{said}");
    for note in ["somebody else has to run `discard --approve`", "1200 in all", "approval; next: press Agree"] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    let lines = text(&stub.run(&place, &[&discard[..], &["--json"]].concat()));
    assert_eq!(lines.lines().count(), 1_001);
    assert!(lines.lines().last().is_some_and(|last| last.contains("leftOut") && last.contains("press Agree")));
}

#[test]
fn an_administrator_ends_the_sessions_of_somebody() {
    let site = Site::start();
    let end = ["console", "end-sessions", "admin", "--reason", "the browser is in other hands"];
    refused(&site.by("grace", &end), "WL-7125");
    refused(&site.place.run(&end), "WL-1481");
    refused(&site.by("adele", &["console", "end-sessions", "nosuchperson", "--reason", "x"]), "WL-7130");
    assert_eq!(text(&site.by("adele", &end)).trim(), "the sessions of admin have ended");
    let json = text(&site.by("adele", &[&end[..], &["--json"]].concat()));
    assert_eq!(serde_json::from_str::<Value>(json.trim()).unwrap()["name"], "admin");
    let history = text(&site.direct(&["audit", "ls", "--code", "sessions.end", "--json"]));
    assert!(history.contains("token:adele") && history.contains("in other hands"), "{history}");
}

/// Looking needs nothing but the console; passing records over needs two people whom it knows.
#[test]
fn loss_1_a_position_is_set_through_the_console_by_two_people() {
    let site = Site::without_rooms();
    site.publish(&usage());
    let lines = |output: &Output| -> Vec<Value> {
        text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let listed = lines(&site.by("vic", &["groups", "ls", "--json"]));
    let of_validate: Vec<&Value> = listed.iter().filter(|line| line["room"] == "validate").collect();
    let behind: i64 = of_validate.iter().filter_map(|line| line["lag"].as_i64()).sum();
    assert_eq!(behind, 1, "{of_validate:#?}");
    // On the topics the same is said, and of sources why there is no lag.
    let direct = lines(&site.direct(&["groups", "ls", "--json"]));
    let same: Vec<&Value> = direct.iter().filter(|line| line["room"] == "validate").collect();
    let place = |line: &&Value| (line["partition"].clone(), line["lag"].clone(), line["end"].clone());
    assert_eq!(same.iter().map(place).collect::<Vec<_>>(), of_validate.iter().map(place).collect::<Vec<_>>());
    let sources: Vec<&Value> = direct.iter().filter(|line| line["lag"].is_null()).collect();
    assert!(!sources.is_empty() && sources.iter().all(|line| line["lagUnknown"].is_string()), "{sources:#?}");

    let place = ["groups", "reset", "validate", "--topic", "clinical.supply-usage.v1", "--to", "latest"];
    let preview = text(&site.by("olga", &place));
    assert!(preview.contains("0 records are read again, 1 are passed over"), "{preview}");
    let done = [&place[..], &["--apply", "--reason", "a drill"]].concat();
    refused(&site.by("olga", &done), "WL-7253");
    let forced = [&done[..], &["--force"]].concat();
    refused(&site.by("vic", &forced), "WL-7125");
    refused(&site.direct(&forced), "WL-1480");
    let asked = text(&site.by("olga", &[&forced[..], &["--json"]].concat()));
    let asked: Value = serde_json::from_str(asked.trim()).unwrap();
    let id = asked["id"].as_str().unwrap();
    assert!(asked["secondPerson"].is_string(), "{asked}");

    let shown = lines(&site.by("vic", &["groups", "show", "validate", "--json"]));
    assert_eq!((&shown[0]["lagRecords"], &shown[0]["members"]), (&1.into(), &serde_json::json!([])), "{shown:#?}");
    let waiting = &shown[1]["requestedReset"];
    assert_eq!((&waiting["id"], &waiting["actor"]), (&id.into(), &"token:olga".into()), "{waiting}");
    assert_eq!(lines(&site.direct(&["groups", "show", "validate", "--json"]))[1]["requestedReset"], *waiting);
    refused(&site.by("vic", &["groups", "show", "nowhere"]), "WL-7130");
    refused(&site.direct(&["groups", "show", "nowhere"]), "WL-7065");

    refused(&site.by("olga", &["groups", "approve", id]), "WL-7125");
    refused(&site.direct(&["groups", "approve", id, "--actor", "grace"]), "WL-1480");
    let agreed = text(&site.by("grace", &["groups", "approve", id, "--comment", "agreed"]));
    assert!(agreed.contains(&format!("reset {id} of validate")), "{agreed}");
    let shown = lines(&site.direct(&["groups", "show", "validate", "--json"]));
    assert_eq!((shown.len(), &shown[0]["lagRecords"]), (1, &0.into()), "it goes on behind them: {shown:#?}");
    let history = text(&site.direct(&["audit", "ls", "--json"]));
    assert!(history.contains("group.reset.done") && history.contains("token:grace"), "{history}");
}
