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
        let http = reqwest::Client::new();
        let (path, body) = match &self.0 {
            System::Embedded(_) => {
                let path = format!("api/v1/items/{code}");
                let request = http.get(format!("{}/{path}", self.url())).bearer_auth(ERP_KEY);
                let mut item: Value = request.send().await.unwrap().json().await.unwrap();
                item["name"] = name.into();
                (path, item)
            }
            System::Real(_) => {
                (format!("{ERP_DATABASE}/rest/model/product.template/{}", erp_id.unwrap()), json!({"name": name}))
            }
        };
        let request = http.put(format!("{}/{path}", self.url())).bearer_auth(ERP_KEY).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}
