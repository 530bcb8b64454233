use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::*;

/// A log that fails when told so.
#[derive(Default)]
struct Fragile {
    kept: MemoryLog,
    broken: AtomicBool,
    /// What it says it did not take is there all the same.
    lies: bool,
}

impl Fragile {
    fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}

impl SchemaLog for Fragile {
    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        let broken = self.broken.load(Ordering::SeqCst);
        if !broken || self.lies {
            self.kept.append(key, value)?;
        }
        if broken { Err(LogError("out of order".to_owned())) } else { Ok(()) }
    }

    fn read_all(&self) -> Result<Vec<LogRecord>, LogError> {
        self.kept.read_all()
    }
}

struct Asked {
    book: Book,
}

impl Asked {
    fn new() -> Self {
        Self::over(Arc::new(MemoryLog::default()))
    }

    fn over(log: Arc<dyn SchemaLog>) -> Self {
        Self { book: Book::open(log).unwrap() }
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let request = Request {
            method: method.to_owned(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        };
        let answer = answer(self.book.route(&request));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    fn register(&mut self, subject: &str, schema: &str) -> (u16, Value) {
        self.ask("POST", &format!("/subjects/{subject}/versions"), &json!({"schema": schema}))
    }

    fn error(&mut self, method: &str, path: &str, body: &Value) -> u64 {
        let (status, answer) = self.ask(method, path, body);
        let code = answer["error_code"].as_u64().unwrap_or_else(|| panic!("{method} {path}: {answer}"));
        assert_eq!(u64::from(status), if code > 999 { code / 100 } else { code });
        assert!(answer["message"].is_string());
        code
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

const A: &str = r#"{"name":"a","type":"int"}"#;
const B: &str = r#"{"name":"b","type":"int"}"#;
const B_DEFAULT: &str = r#"{"name":"b","type":"int","default":0}"#;

#[test]
fn a_schema_keeps_its_id_in_every_subject() {
    let mut asked = Asked::new();
    assert_eq!(asked.register("a", &record(A)), (200, json!({"id": 1})));
    assert_eq!(asked.register("a", &format!(" {} ", record(A))), (200, json!({"id": 1})));
    assert_eq!(asked.register("b", &record(A)), (200, json!({"id": 1})));
    assert_eq!(asked.register("a", &record(&format!("{A},{B_DEFAULT}"))), (200, json!({"id": 2})));
    assert_eq!(asked.get("/subjects"), (200, json!(["a", "b"])));
    assert_eq!(asked.get("/subjects/a/versions"), (200, json!([1, 2])));
    assert_eq!(asked.get("/subjects/a/versions/latest").1["version"], 2);
    assert_eq!(asked.get("/schemas/ids/1"), (200, json!({"schema": record(A)})));
    assert_eq!(asked.get("/schemas/ids/1/schema").1["name"], "R");
    assert_eq!(asked.get("/apis/ccompat/v7/schemas/ids/1/subjects"), (200, json!(["a", "b"])));
    assert_eq!(asked.get("/schemas/ids/2/versions"), (200, json!([{"subject": "a", "version": 2}])));
    assert_eq!(asked.get("/schemas/types"), (200, json!(["AVRO"])));
    let found = asked.ask("POST", "/subjects/b", &json!({"schema": record(A)}));
    assert_eq!(found, (200, json!({"subject": "b", "version": 1, "id": 1, "schema": record(A)})));
}

#[test]
fn an_incompatible_version_is_refused_with_reasons() {
    let mut asked = Asked::new();
    asked.register("a", &record(A));
    let (status, answer) = asked.register("a", &record(&format!("{A},{B}")));
    assert_eq!((status, &answer["error_code"]), (409, &json!(409)));
    assert!(answer["message"].as_str().unwrap().contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{answer}");
    let body = json!({"schema": record(&format!("{A},{B}"))});
    let check = "/compatibility/subjects/a/versions/latest";
    assert_eq!(asked.ask("POST", check, &body), (200, json!({"is_compatible": false})));
    let told = asked.ask("POST", &format!("{check}?verbose=true"), &body).1;
    assert!(!told["messages"].as_array().unwrap().is_empty());
    assert_eq!(
        asked.ask("PUT", "/config/a", &json!({"compatibility": "forward"})).1,
        json!({"compatibility": "FORWARD"})
    );
    assert_eq!(asked.register("a", &record(&format!("{A},{B}"))).0, 200);
}

#[test]
fn transitive_levels_look_at_every_version() {
    let mut asked = Asked::new();
    asked.register("a", &record(A));
    asked.register("a", &record(&format!("{A},{B_DEFAULT}")));
    let third = record(&format!("{A},{B}"));
    asked.ask("PUT", "/config", &json!({"compatibility": "BACKWARD_TRANSITIVE"}));
    assert_eq!(asked.register("a", &third).0, 409);
    asked.ask("PUT", "/config", &json!({"compatibility": "BACKWARD"}));
    assert_eq!(asked.register("a", &third).0, 200);
}

#[test]
fn rules_are_asked_set_and_deleted() {
    let mut asked = Asked::new();
    assert_eq!(asked.get("/config").1, json!({"compatibilityLevel": "BACKWARD"}));
    assert_eq!(asked.error("GET", "/config/a", &Value::Null), 40408);
    assert_eq!(asked.get("/config/a?defaultToGlobal=true").1, json!({"compatibilityLevel": "BACKWARD"}));
    assert_eq!(asked.error("PUT", "/config", &json!({"compatibility": "SIDEWAYS"})), 42203);
    asked.ask("PUT", "/config", &json!({"compatibility": "NONE"}));
    assert_eq!(asked.ask("DELETE", "/config", &Value::Null).1, json!({"compatibilityLevel": "NONE"}));
    assert_eq!(asked.error("DELETE", "/config/a", &Value::Null), 40401);
    assert_eq!(asked.get("/mode").1, json!({"mode": "READWRITE"}));
    assert_eq!(asked.error("PUT", "/mode", &json!({"mode": "READONLY"})), 42205);
}

#[test]
fn deleting_goes_in_two_steps_and_no_id_returns() {
    let mut asked = Asked::new();
    asked.register("a", &record(A));
    asked.register("a", &record(&format!("{A},{B_DEFAULT}")));
    assert_eq!(asked.error("DELETE", "/subjects/a?permanent=true", &Value::Null), 40405);
    assert_eq!(asked.error("DELETE", "/subjects/a/versions/1?permanent=true", &Value::Null), 40407);
    assert_eq!(asked.ask("DELETE", "/subjects/a/versions/1", &Value::Null), (200, json!(1)));
    assert_eq!(asked.error("DELETE", "/subjects/a/versions/1", &Value::Null), 40406);
    assert_eq!(asked.error("GET", "/subjects/a/versions/1", &Value::Null), 40402);
    assert_eq!(asked.get("/subjects/a/versions/1?deleted=true").0, 200);
    assert_eq!(asked.get("/schemas/ids/1").0, 200);
    assert_eq!(asked.ask("DELETE", "/subjects/a", &Value::Null), (200, json!([2])));
    assert_eq!(asked.error("DELETE", "/subjects/a", &Value::Null), 40404);
    assert_eq!(asked.get("/subjects"), (200, json!([])));
    assert_eq!(asked.get("/subjects?deleted=true"), (200, json!(["a"])));
    assert_eq!(asked.ask("DELETE", "/subjects/a?permanent=true", &Value::Null), (200, json!([1, 2])));
    assert_eq!(asked.error("DELETE", "/subjects/a?permanent=true", &Value::Null), 40401);
    assert_eq!(asked.error("GET", "/schemas/ids/1", &Value::Null), 40403);
    let mut asked = Asked::over(Arc::clone(&asked.book.log));
    assert_eq!(asked.register("a", &record(A)).1, json!({"id": 3}));
}

#[test]
fn bad_input_is_refused_with_its_code() {
    let mut asked = Asked::new();
    let versions = "/subjects/a/versions";
    assert_eq!(asked.error("POST", versions, &json!({"schema": "{\"type\":\"nonsense\"}"})), 42201);
    assert_eq!(asked.error("POST", versions, &json!({"schema": ""})), 42201);
    assert_eq!(asked.error("POST", versions, &json!({"schema": "\"int\"", "schemaType": "PROTOBUF"})), 42201);
    assert_eq!(asked.error("POST", versions, &json!({"schema": "\"int\"", "references": [{"name": "x"}]})), 42201);
    assert_eq!(asked.error("POST", versions, &json!([])), 400);
    assert_eq!(asked.error("GET", versions, &Value::Null), 40401);
    assert_eq!(asked.error("POST", "/subjects/a", &json!({"schema": "\"int\""})), 40401);
    asked.register("a", "\"int\"");
    assert_eq!(asked.error("POST", "/subjects/a", &json!({"schema": "\"long\""})), 40403);
    assert_eq!(asked.error("GET", "/subjects/a/versions/0", &Value::Null), 42202);
    assert_eq!(asked.error("GET", "/subjects/a/versions/first", &Value::Null), 42202);
    assert_eq!(asked.error("GET", "/subjects/a/versions/9", &Value::Null), 40402);
    assert_eq!(asked.error("GET", "/schemas/ids/9", &Value::Null), 40403);
    assert_eq!(asked.error("GET", "/nowhere", &Value::Null), 404);
    assert_eq!(asked.error("PATCH", "/subjects/a", &Value::Null), 405);
}

#[test]
fn a_restart_comes_to_the_same_state() {
    let mut asked = Asked::new();
    asked.register("a", &record(A));
    asked.register("b", "\"int\"");
    asked.register("b", "\"long\"");
    asked.ask("DELETE", "/subjects/b/versions/1", &Value::Null);
    asked.ask("DELETE", "/subjects/a", &Value::Null);
    asked.ask("PUT", "/config/b", &json!({"compatibility": "NONE"}));
    let mut again = Asked::over(Arc::clone(&asked.book.log));
    for path in
        ["/subjects", "/subjects?deleted=true", "/subjects/b/versions", "/config/b", "/schemas", "/schemas/ids/2"]
    {
        assert_eq!(asked.get(path), again.get(path), "{path}");
    }
    assert_eq!(again.register("c", "\"float\"").1, json!({"id": 4}));
}

#[test]
fn what_the_log_does_not_take_has_not_happened() {
    let log = Arc::new(Fragile::default());
    let mut asked = Asked::over(log.clone());
    asked.register("a", "\"int\"");
    log.set_broken(true);
    assert_eq!(asked.error("POST", "/subjects/a/versions", &json!({"schema": "\"long\""})), 50001);
    assert_eq!(asked.error("PUT", "/config", &json!({"compatibility": "NONE"})), 50001);
    assert_eq!(asked.error("DELETE", "/subjects/a", &Value::Null), 50001);
    assert_eq!(asked.get("/subjects/a/versions"), (200, json!([1])));
    assert_eq!(asked.get("/config").1, json!({"compatibilityLevel": "BACKWARD"}));
    log.set_broken(false);
    assert_eq!(asked.register("a", "\"long\"").1, json!({"id": 2}));
}

#[test]
fn what_the_log_took_without_saying_so_is_found() {
    let log = Arc::new(Fragile { lies: true, ..Fragile::default() });
    let mut asked = Asked::over(log.clone());
    log.set_broken(true);
    assert_eq!(asked.register("a", "\"int\"").0, 500);
    log.set_broken(false);
    assert_eq!(asked.register("b", "\"long\"").1, json!({"id": 2}));
    assert_eq!(asked.register("a", "\"int\"").1, json!({"id": 1}));
    let mut again = Asked::over(log);
    assert_eq!(again.get("/subjects").1, json!(["a", "b"]));
}

#[test]
fn a_log_that_is_not_understood_stops_the_start() {
    let log = Arc::new(MemoryLog::default());
    log.append(b"nonsense", None).unwrap();
    let started = Registry::start(RegistryOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), log });
    assert!(matches!(started, Err(RegistryError::Log(_))));
}
