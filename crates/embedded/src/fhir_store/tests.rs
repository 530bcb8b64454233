use super::*;

struct Asked {
    desk: Desk,
}

impl Asked {
    fn new() -> Self {
        Self::bounded(Bounds { versions_max: 1_000, bytes_max: 1_000_000 })
    }

    fn bounded(bounds: Bounds) -> Self {
        Self { desk: Desk::new(Store::default(), None, bounds) }
    }

    fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), crate::loopback::decoded(value).unwrap())
        };
        let mut request = Request {
            method: method.to_owned(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
            headers: vec![("host".to_owned(), "h".to_owned())],
            body: body.as_bytes().to_vec(),
        };
        request.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let answer = route(&mut self.desk, &request).unwrap_or_else(|refusal| refusal.answer());
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    fn ask(&mut self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.send(method, target, &[], &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        self.ask("GET", target, &Value::Null)
    }

    fn put(&mut self, name: &str, more: &Value) -> u16 {
        let (kind, id) = name.split_once('/').unwrap();
        let mut resource = json!({"resourceType": kind, "id": id});
        resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("PUT", &format!("/fhir/{name}"), &resource).0
    }

    /// Names on all pages from an address on.
    fn pages(&mut self, target: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut next = Some(target.to_owned());
        while let Some(target) = next {
            let (status, bundle) = self.get(&target);
            assert_eq!(status, 200, "{bundle}");
            let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
            let url =
                |entry: &Value| entry["fullUrl"].as_str().unwrap().trim_start_matches("http://h/fhir/").to_owned();
            names.extend(entries.iter().map(url));
            let links = bundle["link"].as_array().unwrap();
            let link = links.iter().find(|link| link["relation"] == "next");
            next = link.map(|link| link["url"].as_str().unwrap().trim_start_matches("http://h").to_owned());
        }
        names
    }
}

#[test]
fn a_resource_has_versions() {
    let mut asked = Asked::new();
    assert_eq!(asked.put("Device/d1", &json!({"status": "active"})), 201);
    assert_eq!(asked.put("Device/d1", &json!({"status": "active"})), 200);
    assert_eq!(asked.get("/Device/d1").1["meta"]["versionId"], "1");
    assert_eq!(asked.put("Device/d1", &json!({"status": "inactive"})), 200);
    assert_eq!(asked.get("/fhir/Device/d1").1["meta"]["versionId"], "2");
    assert_eq!(asked.get("/fhir/Device/d1/_history/1").1["status"], "active");
    assert_eq!(asked.ask("DELETE", "/fhir/Device/d1", &Value::Null).0, 204);
    assert_eq!(asked.ask("DELETE", "/fhir/Device/d1", &Value::Null).0, 204);
    assert_eq!(asked.ask("DELETE", "/fhir/Device/never", &Value::Null).0, 204);
    assert_eq!((asked.get("/fhir/Device/d1").0, asked.get("/fhir/Device/d1/_history/3").0), (410, 410));
    assert_eq!(asked.put("Device/d1", &json!({"status": "active"})), 201);
    assert_eq!(asked.get("/fhir/Device/d1").1["meta"]["versionId"], "4");
    let methods: Vec<_> = asked.get("/fhir/Device/d1/_history").1["entry"].as_array().unwrap().clone();
    let methods: Vec<_> = methods.iter().map(|entry| entry["request"]["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["PUT", "DELETE", "PUT", "PUT"]);
    let (status, created) = asked.ask("POST", "/fhir/Device", &json!({"resourceType": "Device", "id": "mine"}));
    assert_eq!(status, 201);
    assert_ne!(created["id"], "mine");
}

#[test]
fn numbers_keep_their_text() {
    let mut asked = Asked::new();
    let sent = r#"{"resourceType":"SupplyDelivery","id":"s","quantity":{"value":1.50},"big":12345678901234567890.0e1}"#;
    assert_eq!(asked.send("PUT", "/fhir/SupplyDelivery/s", &[], sent).0, 201);
    for target in ["/fhir/SupplyDelivery/s", "/fhir/SupplyDelivery", "/fhir/_history"] {
        let text = asked.send("GET", target, &[], "").1;
        assert!(text.contains(r#""value":1.50}"#) && text.contains("12345678901234567890.0e1"), "{text}");
    }
}

#[test]
fn pages_miss_nothing_that_was_there() {
    let mut asked = Asked::new();
    for number in 0..7 {
        asked.put(&format!("Device/d{number}"), &json!({}));
        asked.put(&format!("Patient/p{number}"), &json!({}));
    }
    asked.put("Device/d2", &json!({"status": "active"}));
    let names = asked.pages("/fhir/Device?_sort=_lastUpdated&_count=3");
    assert_eq!(names, ["d0", "d1", "d3", "d4", "d5", "d6", "d2"].map(|id| format!("Device/{id}")));
    let mut newest_first = asked.pages("/fhir/Device?_sort=-_lastUpdated&_count=3");
    newest_first.reverse();
    assert_eq!(names, newest_first);
    assert_eq!(asked.pages("/fhir/_history?_count=4").len(), 15);
    assert_eq!(asked.pages("/fhir/Device/_history?_count=4").len(), 8);
    assert_eq!(asked.pages("/fhir/Device?_id=d1,d4").len(), 2);
    assert_eq!(asked.get("/fhir/Device?_summary=count").1["total"], 7);
    assert_eq!(asked.pages("/fhir/Nothing"), [""; 0]);
}

#[test]
fn a_page_goes_on_behind_its_last_entry_whatever_is_stored_meanwhile() {
    let mut asked = Asked::new();
    for number in 0..4 {
        asked.put(&format!("Device/d{number}"), &json!({}));
    }
    let first = asked.get("/fhir/Device?_sort=_lastUpdated&_count=2").1;
    let next = first["link"][1]["url"].as_str().unwrap().trim_start_matches("http://h").to_owned();
    asked.put("Device/d0", &json!({"status": "active"}));
    assert_eq!(asked.pages(&next), ["Device/d2", "Device/d3", "Device/d0"]);
}

#[test]
fn times_select() {
    let mut asked = Asked::new();
    asked.put("Device/d1", &json!({}));
    let at = asked.get("/fhir/Device/d1").1["meta"]["lastUpdated"].as_str().unwrap().to_owned();
    assert_eq!(asked.pages(&format!("/fhir/Device?_lastUpdated=ge{at}")).len(), 1);
    assert_eq!(asked.pages(&format!("/fhir/Device?_lastUpdated=gt{at}")).len(), 0);
    assert_eq!(asked.pages("/fhir/Device?_lastUpdated=ge2000&_lastUpdated=lt2001").len(), 0);
    assert_eq!(asked.pages(&format!("/fhir/_history?_since={at}")).len(), 1);
    assert_eq!(asked.pages("/fhir/_history?_since=2999-01-01").len(), 0);
    let made = asked.get("/fhir/Device").1["meta"]["lastUpdated"].as_str().unwrap().to_owned();
    assert!(made >= at);
}

#[test]
fn a_transaction_is_stored_whole_or_not_at_all() {
    let mut asked = Asked::new();
    let entry = |method: &str, url: &str, resource: Value, full_url: &str| json!({"fullUrl": full_url, "resource": resource, "request": {"method": method, "url": url}});
    let patient = entry("POST", "Patient", json!({"resourceType": "Patient"}), "urn:uuid:1");
    let subject = json!({"reference": "urn:uuid:1"});
    let stay = json!({"resourceType": "Encounter", "id": "e1", "subject": subject});
    let good = entry("PUT", "Encounter/e1", stay, "urn:uuid:2");
    let bad = entry("PUT", "Encounter/e2", json!({"resourceType": "Encounter", "id": "other"}), "urn:uuid:3");
    let bundle = |kind: &str, entries: &[&Value]| json!({"resourceType": "Bundle", "type": kind, "entry": entries});
    assert_eq!(asked.ask("POST", "/fhir", &bundle("transaction", &[&patient, &good, &bad])).0, 400);
    assert_eq!(asked.pages("/fhir/_history").len(), 0);
    assert_eq!(asked.ask("POST", "/fhir", &bundle("transaction", &[&good, &good])).0, 400);
    let (status, answer) = asked.ask("POST", "/fhir", &bundle("transaction", &[&patient, &good]));
    assert_eq!((status, &answer["type"]), (200, &json!("transaction-response")));
    assert_eq!(answer["entry"][1]["response"]["location"], "Encounter/e1/_history/1");
    let reference = asked.get("/fhir/Encounter/e1").1["subject"]["reference"].as_str().unwrap().to_owned();
    assert_eq!(asked.get(&format!("/fhir/{reference}")).0, 200);
    let answer = asked.ask("POST", "/fhir", &bundle("batch", &[&bad, &good])).1;
    assert_eq!(answer["entry"][0]["response"]["status"], "400");
    assert_eq!(answer["entry"][1]["response"]["status"], "200 OK");
}

#[test]
fn bad_input_is_refused_with_an_outcome() {
    let mut asked = Asked::new();
    asked.put("Device/d1", &json!({}));
    let device = r#"{"resourceType":"Device","id":"d1"}"#;
    for (method, target, body, expected) in [
        ("PUT", "/fhir/Device/d1", "not JSON", 400),
        ("PUT", "/fhir/Device/d1", r#"{"resourceType":"Patient","id":"d1"}"#, 400),
        ("PUT", "/fhir/Device/d2", device, 400),
        ("PUT", "/fhir/Device/a_b", r#"{"resourceType":"Device","id":"a_b"}"#, 400),
        ("PUT", "/fhir/Device/d1", r#"{"resourceType":"Device","id":"d1","id":"d1"}"#, 400),
        ("POST", "/fhir", device, 400),
        ("POST", "/fhir", r#"{"resourceType":"Bundle","type":"collection"}"#, 400),
        ("GET", "/fhir/device", "", 404),
        ("GET", "/fhir/Device/unknown", "", 404),
        ("GET", "/fhir/Device/d1/_history/7", "", 404),
        ("GET", "/fhir/Device?name=x", "", 400),
        ("GET", "/fhir/Device?_sort=name", "", 400),
        ("GET", "/fhir/Device?_count=many", "", 400),
        ("GET", "/fhir/Device?_lastUpdated=ge", "", 400),
        ("PATCH", "/fhir/Device/d1", "{}", 405),
        ("GET", "/fhir/Device/d1/x/y/z", "", 404),
    ] {
        let (status, text) = asked.send(method, target, &[], body);
        let outcome: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &outcome["resourceType"]),
            (expected, &json!("OperationOutcome")),
            "{method} {target} {body}"
        );
        assert!(outcome["issue"][0]["diagnostics"].is_string());
    }
    let changed = r#"{"resourceType":"Device","id":"d1","status":"active"}"#;
    assert_eq!(asked.send("PUT", "/fhir/Device/d1", &[("if-match", "W/\"9\"")], changed).0, 412);
    assert_eq!(asked.send("PUT", "/fhir/Device/d1", &[("if-match", "W/\"1\"")], changed).0, 200);
    assert_eq!(asked.send("POST", "/fhir/Device", &[("if-none-exist", "x=y")], device).0, 400);
    assert_eq!(asked.get("/fhir/metadata").1["fhirVersion"], "4.0.1");
}

#[test]
fn a_full_store_says_so_and_serves_on() {
    let mut asked = Asked::bounded(Bounds { versions_max: 2, bytes_max: 1_000_000 });
    assert_eq!((asked.put("Device/a", &json!({})), asked.put("Device/b", &json!({}))), (201, 201));
    assert_eq!(asked.put("Device/c", &json!({})), 507);
    assert_eq!(asked.put("Device/a", &json!({})), 200);
    assert_eq!(asked.pages("/fhir/Device").len(), 2);
}
