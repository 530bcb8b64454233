//! What the tests against a real Tryton have in common: the server with its hospital, a client of it, a colleague who
//! works in it by hand.

use std::net::SocketAddr;
use std::sync::OnceLock;

use components::{ERP_DATABASE, ERP_KEY, Installation, Part, Progress, TrytonOptions};
use connector::erp::conformance::Fixture;
use connector::erp::conformance::feed::{BackOffice, Work};
use reqwest::Method;
use serde_json::{Value, json};
use wardline_tryton::{Tryton, TrytonConfig};

/// The server that all tests of a binary share; it ends with the process.
static SERVER: OnceLock<(components::Tryton, tempfile::TempDir)> = OnceLock::new();

pub fn address() -> SocketAddr {
    let (server, _) = SERVER.get_or_init(|| {
        let installation = Installation::ensure(&[Part::Erp], &Progress::stderr()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = TrytonOptions::in_dir(dir.path());
        (components::Tryton::start(&installation, options).unwrap(), dir)
    });
    SocketAddr::from(([127, 0, 0, 1], server.port()))
}

pub fn config(address: SocketAddr) -> TrytonConfig {
    TrytonConfig {
        url: format!("http://{address}"),
        database: ERP_DATABASE.to_owned(),
        key: ERP_KEY.into(),
        // Small, so that every list has several pages.
        page_records: 7,
        ..TrytonConfig::default()
    }
}

pub fn client(address: SocketAddr) -> Tryton {
    Tryton::new(config(address)).unwrap()
}

/// Sutures, hip stems and their department, with a name of its own for each test.
pub fn fixture(test: &str) -> Fixture {
    Fixture {
        key_prefix: format!("wl-{test}-"),
        stock_location: "OR1".to_owned(),
        use_location: "USE-OR1".to_owned(),
        plain_item: "71-400101".to_owned(),
        lot_item: "71-100234".to_owned(),
        lot: "LOT71A".to_owned(),
        uom: "EA".to_owned(),
        cost_centre: "CC-ICU".to_owned(),
        effective_date: None,
    }
}

/// Somebody who works in the ERP by hand, over the same interface but with code of his own.
pub struct Clerk(pub SocketAddr);

impl Clerk {
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("http://{}/{ERP_DATABASE}/rest/model/{path}", self.0);
        let request = reqwest::Client::new().request(method, url).bearer_auth(ERP_KEY).json(&body);
        // {"company": 1}
        let answer = request.header("x-tryton-context", "eyJjb21wYW55IjogMX0=").send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { serde_json::from_str(&text).map_err(|error| error.to_string()) } else { Err(text) }
    }

    async fn template(&self, code: &str) -> Result<i64, String> {
        let domain = json!([["code", "=", code]]).to_string();
        let domain = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, domain);
        let found = self.call(Method::GET, &format!("product.template?d={domain}&f=code"), json!({})).await?;
        found[0]["id"].as_i64().ok_or_else(|| format!("no template {code}"))
    }
}

impl BackOffice for Clerk {
    fn create_item<'a>(&'a self, code: &'a str) -> Work<'a> {
        Box::pin(async move {
            let template = json!({
                "code": code, "name": "Bone cement", "type": "goods", "default_uom": 1, "products": [["create", [{}]]],
            });
            self.call(Method::POST, "product.template", template).await.map(drop)
        })
    }

    fn change_item<'a>(&'a self, code: &'a str) -> Work<'a> {
        Box::pin(async move {
            let path = format!("product.template/{}", self.template(code).await?);
            self.call(Method::PUT, &path, json!({"name": "Bone cement, 40 g"})).await.map(drop)
        })
    }
}
