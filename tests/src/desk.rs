//! A console with people, over a stack and a toy room, for tests that sit at it with a browser.

use crate::toys;
use console::people::password;
use console::{Console, ConsoleConfig, Listening, Role, Site, UserConfig};
use operations::replay::ReplayRoom;
use runtime::ShutdownTrigger;
use schemas::{Audit, Exception};
use std::sync::{Arc, LazyLock};
use testkit::parts::free_port;
use testkit::stack::{PATIENCE, Stack};

/// What everybody types here.
pub const PASSWORD: &str = "correct horse battery";

/// Hashing is dear on purpose: once for all tests of a process.
static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD).unwrap());

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
        let stack = Stack::start().await;
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
            ..ConsoleConfig::default()
        };
        config.bounds.cached_ms = 50;
        // They follow a dozen topics, so only those have them who look at them.
        config.service_levels = false;
        adjust(&mut config);
        let (trigger, stop) = runtime::shutdown();
        let rooms = vec![ReplayRoom::from(&toys::validate())];
        let site =
            Site { config: Arc::clone(&stack.config), rooms, health: None, erp: Err("there is none".to_owned()) };
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

    /// Waits until this is on record.
    pub async fn audited(&self, what: &str, wanted: impl Fn(&Audit) -> bool) -> Audit {
        let all = self.stack.until::<Audit>(what, |all| all.iter().any(&wanted)).await;
        all.into_iter().find(wanted).unwrap()
    }
}
