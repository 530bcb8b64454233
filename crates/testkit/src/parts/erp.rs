//! The ERP.

use std::net::SocketAddr;
use std::path::Path;

use components::{ERP_DATABASE, ERP_KEY, Part, TrytonOptions};
use serde_json::{Value, json};

/// An ERP with the hospital of the demo in it.
pub struct Erp {
    server: components::Tryton,
}

impl Erp {
    /// Starts an ERP that keeps its data in `dir`, and waits until it serves.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        let server = components::Tryton::start(&super::installed(Part::Erp), TrytonOptions::in_dir(dir)).unwrap();
        Self { server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.port()))
    }

    /// The base address of its API.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Gives an item another name, as somebody who works in the ERP does. `erp_id` is the ERP's own number of it.
    pub async fn rename_item(&self, erp_id: &str, name: &str) {
        let url = format!("{}/{ERP_DATABASE}/rest/model/product.template/{erp_id}", self.url());
        let request = reqwest::Client::new().put(url).bearer_auth(ERP_KEY).json(&json!({"name": name}));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What a room is told of an ERP at `url`, which is this one or a proxy before it.
    #[must_use]
    pub fn block(&self, url: &str) -> Value {
        json!({"url": url, "database": ERP_DATABASE, "key": ERP_KEY})
    }
}
