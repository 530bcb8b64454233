//! The ERP.

use std::net::SocketAddr;
use std::path::Path;

use components::{ERP_DATABASE, ERP_KEY, HOSPITAL_JSON, Part, TrytonOptions};
use embedded::sandbox_erp::{SandboxErp, SandboxErpOptions, Seed};
use serde_json::{Value, json};

/// An ERP with the hospital of the demo in it.
pub struct Erp(System);

enum System {
    Embedded(SandboxErp),
    Real(Box<components::Tryton>),
}

impl Erp {
    /// Starts an ERP that keeps its data in `dir`, and waits until it serves.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        if super::real() {
            let server = components::Tryton::start(&super::installed(Part::Erp), TrytonOptions::in_dir(dir)).unwrap();
            return Self(System::Real(Box::new(server)));
        }
        let seed = Seed::from_json(HOSPITAL_JSON).unwrap();
        let (listen, data, key) = (super::LOOPBACK, Some(dir.to_owned()), ERP_KEY.to_owned());
        Self(System::Embedded(SandboxErp::start(SandboxErpOptions { listen, data, key, seed }).unwrap()))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match &self.0 {
            System::Embedded(server) => server.address(),
            System::Real(server) => SocketAddr::from(([127, 0, 0, 1], server.port())),
        }
    }

    /// The base address of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The key of its API.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        ERP_KEY
    }

    /// Which ERP it is, as configurations name it.
    #[must_use]
    pub const fn system(&self) -> &'static str {
        match &self.0 {
            System::Embedded(_) => "sandbox",
            System::Real(_) => "tryton",
        }
    }

    /// The keys in the configuration of a room that say which ERP it is and where. `address` is its own, or that of a proxy
    /// before it.
    #[must_use]
    pub fn block(&self, address: SocketAddr) -> Value {
        let url = format!("http://{address}");
        match &self.0 {
            System::Embedded(_) => json!({"system": "sandbox", "sandbox": {"url": url, "key": ERP_KEY}}),
            System::Real(_) => {
                json!({"system": "tryton", "tryton": {"url": url, "database": ERP_DATABASE, "key": ERP_KEY}})
            }
        }
    }

    /// Gives an item another name, as somebody who works in the ERP does. `erp_id` is the ERP's own number of it, if it has
    /// numbers.
    pub async fn rename_item(&self, code: &str, erp_id: Option<&str>, name: &str) {
        match &self.0 {
            System::Embedded(_) => self.rewrite(&format!("items/{code}"), "name", &name.into()).await,
            System::Real(_) => self.write("product.template", erp_id.unwrap(), &json!({"name": name})).await,
        }
    }

    /// Writes to an order so that it has another stamp, and says what it said before.
    pub async fn touch_order(&self, number: &str, erp_id: &str) {
        match &self.0 {
            System::Embedded(_) => {
                let path = format!("purchase-orders/{number}");
                let before = self.read(&path).await["terms"].take();
                for terms in [json!("something else"), before] {
                    self.rewrite(&path, "terms", &terms).await;
                }
            }
            System::Real(_) => {
                self.write("purchase.purchase", erp_id, &json!({"comment": "Half of it is here."})).await
            }
        }
    }

    /// A record of the sandbox ERP.
    async fn read(&self, path: &str) -> Value {
        let request = reqwest::Client::new().get(format!("{}/api/v1/{path}", self.url()));
        request.bearer_auth(ERP_KEY).send().await.unwrap().json().await.unwrap()
    }

    /// Changes one field of a record of the sandbox ERP.
    async fn rewrite(&self, path: &str, field: &str, value: &Value) {
        let mut record = self.read(path).await;
        record[field] = value.clone();
        self.put(&format!("api/v1/{path}"), &record).await;
    }

    /// Changes fields of a record of Tryton.
    async fn write(&self, model: &str, id: &str, fields: &Value) {
        self.put(&format!("{ERP_DATABASE}/rest/model/{model}/{id}"), fields).await;
    }

    async fn put(&self, path: &str, body: &Value) {
        let request = reqwest::Client::new().put(format!("{}/{path}", self.url())).bearer_auth(ERP_KEY).json(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}
