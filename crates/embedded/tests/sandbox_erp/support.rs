//! A sandbox ERP with the hospital of the demo, and a client of it.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use wardline_embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};

pub const KEY: &str = "test-key";
pub const SUTURE: &str = "71-400101";
pub const STEM: &str = "71-100234";

pub fn seed() -> Seed {
    Seed::from_json(components::HOSPITAL_JSON).unwrap()
}

pub fn start(data: Option<&Path>) -> SandboxErp {
    let options = SandboxErpOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: data.map(Path::to_owned),
        key: KEY.to_owned(),
        seed: seed(),
    };
    SandboxErp::start(options).unwrap()
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    url: String,
}

impl Caller {
    pub fn new(url: &str) -> Self {
        let client = Client::builder().no_proxy().http1_only().build().unwrap();
        Self { client, url: url.to_owned() }
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<reqwest::Response, reqwest::Error> {
        let request = self.client.request(method, format!("{}/api/v1/{path}", self.url)).bearer_auth(KEY);
        if body.is_null() { request.send().await } else { request.body(body.to_string()).send().await }
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.send(method, path, body).await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn put(&self, path: &str, body: Value) {
        let (status, answer) = self.call(Method::PUT, path, body).await;
        assert!(status.is_success(), "{path}: {answer}");
    }

    pub async fn post(&self, posting: &Value) -> (StatusCode, Value) {
        self.call(Method::POST, "postings", posting.clone()).await
    }

    /// A posting that must go through.
    pub async fn posted(&self, posting: &Value) -> Value {
        let (status, body) = self.post(posting).await;
        assert!(status.is_success(), "{posting}: {body}");
        body
    }

    /// A posting that must be refused: its code and lines.
    pub async fn refused(&self, posting: &Value) -> (u16, String, Value) {
        let (status, body) = self.post(posting).await;
        let error = &body["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{posting}: {status} {body}");
        (status.as_u16(), error["code"].as_str().unwrap().to_owned(), error["lines"].clone())
    }

    /// How much of an item lies at a location, over all lots.
    pub async fn level(&self, item: &str, location: &str) -> f64 {
        let stock = self.get(&format!("stock?item={item}&location={location}")).await;
        let rows = stock["stock"].as_array().unwrap();
        rows.iter().map(|row| row["quantity"].as_str().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// How many movements have a document key with this start.
    pub async fn moves(&self, prefix: &str) -> Vec<Value> {
        let (mut moves, mut after) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("moves?prefix={prefix}&after={after}&limit=100")).await;
            let page = page["moves"].as_array().unwrap();
            let Some(last) = page.last() else { return moves };
            after = last["id"].as_i64().unwrap();
            moves.extend(page.iter().cloned());
        }
    }
}

pub fn line(key: &str, item: &str, lot: Option<&str>, quantity: &str) -> Value {
    json!({"line_key": key, "item": item, "lot": lot, "quantity": quantity, "uom": "EA"})
}

pub fn posting(key: &str, lines: Vec<Value>) -> Value {
    json!({
        "key": key, "direction": "out", "stock_location": "OR1", "use_location": "USE-OR1", "cost_centre": "CC-ICU",
        "lines": lines,
    })
}

/// The same posting with some fields said otherwise.
pub fn with(posting: &Value, fields: Value) -> Value {
    let mut changed = posting.clone();
    changed.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    changed
}
