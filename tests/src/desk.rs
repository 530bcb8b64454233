//! A console with people, over a stack and a toy room, for tests that sit at it with a browser.

use crate::toys;
use connector::erp::Erp;
use console::people::{password, sha256_hex};
use console::{Console, ConsoleConfig, Listening, Role, Site, TokenConfig, UserConfig};
use operations::replay::ReplayRoom;
use runtime::ShutdownTrigger;
use schemas::{Audit, Exception};
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use testkit::openapi::{Answered, Promises};
use testkit::parts::free_port;
use testkit::stack::{PATIENCE, Stack};
use tokio::time::Instant;

/// Between two looks at the API.
const LOOK: Duration = Duration::from_millis(50);
/// What everybody types here.
pub const PASSWORD: &str = "correct horse battery";

/// The token of a program that looks.
const TOKEN: &str = "the token of a program that looks";

/// Hashing is dear on purpose: once for all tests of a process.
static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD).unwrap());

/// What the document of the API promises.
static PROMISES: LazyLock<Promises> = LazyLock::new(|| Promises::new(console::openapi::document()));

/// A console that listens, and what it stands before.
pub struct Desk {
    pub stack: Stack,
    pub console: Arc<Console>,
    pub url: String,
    _stop: ShutdownTrigger,
}

impl Desk {
    /// `vic` looks, `olga` and `oscar` operate, `anna` approves, `adele` administers.
    pub async fn start(adjust: impl FnOnce(&mut ConsoleConfig)) -> Self {
        Self::over(Stack::start().await, Err("there is none".to_owned()), adjust).await
    }

    /// The same over what is there already, with an ERP to compare with.
    pub async fn over(
        stack: Stack,
        erp: Result<Arc<dyn Erp>, String>,
        adjust: impl FnOnce(&mut ConsoleConfig),
    ) -> Self {
        let user = |role| UserConfig { role, password_hash: HASH.as_str().into() };
        let people = [
            ("vic", Role::Viewer),
            ("olga", Role::Operator),
            ("oscar", Role::Operator),
            ("anna", Role::Approver),
            ("adele", Role::Administrator),
        ];
        let address = format!("127.0.0.1:{}", free_port());
        let mut config = ConsoleConfig {
            origin: Some(format!("http://{address}")),
            listen: address,
            users: people.map(|(name, role)| (name.to_owned(), user(role))).into(),
            tokens: [(
                "watch".to_owned(),
                TokenConfig { role: Role::Viewer, sha256: sha256_hex(TOKEN.as_bytes()).into() },
            )]
            .into(),
            ..ConsoleConfig::default()
        };
        config.bounds.cached_ms = 50;
        // They follow a dozen topics, so only those have them who look at them.
        config.service_levels = false;
        adjust(&mut config);
        let (trigger, stop) = runtime::shutdown();
        let rooms = vec![ReplayRoom::from(&toys::validate()), ReplayRoom::from(&validate::room())];
        let site = Site { config: Arc::clone(&stack.config), rooms, health: None, erp };
        let console = Console::start(config, site, &stop).unwrap();
        let listening = Listening::bind(Arc::clone(&console)).await.unwrap();
        let url = listening.url();
        tokio::spawn(listening.serve(stop));
        console.exceptions.until_caught_up(PATIENCE).await.unwrap();
        Self { stack, console, url, _stop: trigger }
    }

    /// Publishes exceptions and waits until the console knows them.
    pub async fn raise(&self, exceptions: &[Exception]) {
        self.stack.publish(exceptions).await;
        let is_known = |exception: &Exception| self.console.exceptions.row(&exception.exception_id).is_some();
        testkit::until("the exceptions are known", || exceptions.iter().all(is_known)).await;
    }

    /// What a call of the API answers, as a program sees it.
    pub async fn api(&self, path: &str) -> Value {
        serde_json::from_str(&self.call(path, TOKEN, None).await).unwrap()
    }

    /// What a call with a token answers, and with a body a call that does something: it succeeds, and the answer is what the
    /// document of the API promises.
    pub async fn call(&self, path: &str, token: &str, body: Option<&Value>) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v1{path}", self.url);
        let (method, request) = match body {
            None => ("GET", client.get(url)),
            Some(body) => ("POST", client.post(url).json(body)),
        };
        let asked = request.bearer_auth(token).send().await.unwrap();
        let (status, headers, url) = (asked.status(), asked.headers().clone(), asked.url().clone());
        let body = asked.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {body}");
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answered = Answered { method, path: url.path(), status: status.as_u16(), content_type, body: &body };
        let faults = PROMISES.faults(&answered);
        assert!(faults.is_empty(), "{method} {path} is not as promised:\n{}\n{body}", faults.join("\n"));
        body
    }

    /// Waits until a call of the API answers as wished.
    pub async fn until_api(&self, path: &str, wish: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.api(path).await;
            if wish(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays {answer:#}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until this is on record.
    pub async fn audited(&self, what: &str, wanted: impl Fn(&Audit) -> bool) -> Audit {
        let all = self.stack.until::<Audit>(what, |all| all.iter().any(&wanted)).await;
        all.into_iter().find(wanted).unwrap()
    }
}
