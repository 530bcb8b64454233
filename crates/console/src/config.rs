//! Configuration of the console: typed, strict, with bounds for everything that a browser can ask for.

use crate::people::oidc::OidcConfig;
use crate::people::{Role, is_name, password};
use connector::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::time::Duration;

/// Fewest characters of the key that signs sessions.
const KEY_MIN: usize = 32;

/// The block `console` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Address of the pages and the API; port 0 takes a free one. Only a loopback address may be served without TLS.
    pub listen: String,
    /// TLS of the listener itself; without it the console speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Whether a proxy in front speaks TLS with the browsers: cookies are sent over TLS alone then.
    pub behind_tls: bool,
    /// Address that people type, for example `https://wardline.hospital.example`; forms from any other origin are refused.
    /// Without it, the origin must be that of the `Host` header.
    pub origin: Option<String>,
    /// How many trusted proxies stand in front and add to `X-Forwarded-For`: the address of a person is read that far from
    /// its end. 0 takes the address of the connection.
    pub proxies: usize,
    /// Key that signs sessions, at least 32 characters, the same in every replica. Without it one is made at each start, and
    /// sessions end with the process.
    pub session_key: Option<Secret>,
    /// A session in which nothing is done ends after so long, seconds.
    pub session_idle_s: u64,
    /// A session ends after so long, whatever is done in it, seconds.
    pub session_max_s: u64,
    /// People, by the name with which they sign in.
    pub users: BTreeMap<String, UserConfig>,
    /// Sign-in with an identity provider, for everybody who is no user here.
    pub oidc: Option<OidcConfig>,
    /// Programs that call the API, by the name that goes on record.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// How often somebody may try to sign in.
    pub attempts: AttemptsConfig,
    /// Whether this console follows the service levels: their page, the activity of the domains, and the metrics of both. Each
    /// console that does reads what is written to a dozen topics.
    pub service_levels: bool,
    /// Bounds of requests and of what is held in memory (BND-1).
    pub bounds: BoundsConfig,
}

/// Certificate and key of the listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate and those of its authorities.
    pub certificate_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
}

/// A person who may sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// What they may do.
    pub role: Role,
    /// Argon2 hash of the password, as `wardline console hash-password` prints it.
    pub password_hash: Secret,
}

/// A program that calls the API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token, hexadecimal, as `wardline console new-token` prints it.
    pub sha256: Secret,
}

/// How often somebody may fail to sign in before they have to wait.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttemptsConfig {
    /// Failures count for so long, seconds.
    pub window_s: u64,
    /// Most failures of one name from one address.
    pub per_name_and_address: u32,
    /// Most failures from one address, whatever the names.
    pub per_address: u32,
    /// Most failures of one name, whatever the addresses.
    pub per_name: u32,
    /// Most names and addresses that are remembered; those that failed longest ago are forgotten first.
    pub remembered_max: usize,
    /// Passwords that are checked at the same time; others wait.
    pub at_once: usize,
}

/// Bounds of requests and of what is held in memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoundsConfig {
    /// Most connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Most bytes of a request's body.
    pub body_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// Most bytes of the request line and all headers.
    pub head_bytes_max: usize,
    /// Longest wait for the headers of a request, for its body, and for the other side to take a part of an answer, milliseconds.
    pub head_timeout_ms: u64,
    /// Longest time for one answer, milliseconds.
    pub answer_timeout_ms: u64,
    /// Longest wait for what one page reads of topics, milliseconds; at most nine tenths of `answer_timeout_ms` in any case, so
    /// that the page can say so.
    pub read_timeout_ms: u64,
    /// Longest wait for a part of a page that is shown without it, too, milliseconds.
    pub part_timeout_ms: u64,
    /// Readings of topics at the same time; others wait, and are told so when that takes too long.
    pub reads_at_once: usize,
    /// Longest wait for answers under way when the console stops, milliseconds.
    pub drain_ms: u64,
    /// Rows on one page of a list.
    pub page_rows: usize,
    /// Newest records of a topic that a list looks through.
    pub records_max: usize,
    /// Records that one look at what is on record goes through, however few of them fit.
    pub audit_records_max: u64,
    /// What is read of the cluster serves everybody for so long, milliseconds.
    pub cached_ms: u64,
    /// Most bytes of an original that are shown.
    pub original_bytes_max: usize,
    /// Denied attempts that are put on record one by one, per minute; of more, the number.
    pub denied_per_minute: u32,
}

/// Why the console cannot be configured so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WL-7120: console.{key}: {reason}")]
pub struct ConfigError {
    /// Dotted key inside the block.
    pub key: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl ConsoleConfig {
    /// Checks what can be checked before anything starts.
    ///
    /// # Errors
    /// Names the first key that cannot be so.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refused = |key: &str, reason: &str| Err(ConfigError { key: key.to_owned(), reason: reason.to_owned() });
        self.check_listener()?;
        if self.session_key.as_ref().is_some_and(|key| key.expose().chars().count() < KEY_MIN) {
            return refused(
                "session_key",
                "must have at least 32 characters; leave it out where one process serves all",
            );
        }
        if let Some(origin) = &self.origin
            && !is_origin(origin)
        {
            return refused(
                "origin",
                "must be an origin without a path, for example https://wardline.hospital.example",
            );
        }
        for (name, user) in &self.users {
            if !is_name(name) {
                return refused(&format!("users.{name}"), NAME_RULE);
            }
            if !password::is_hash(user.password_hash.expose()) {
                return refused(
                    &format!("users.{name}.password_hash"),
                    "must be an Argon2 hash; `wardline console hash-password` makes one",
                );
            }
        }
        for (name, token) in &self.tokens {
            if !is_name(name) {
                return refused(&format!("tokens.{name}"), NAME_RULE);
            }
            let hash = token.sha256.expose();
            if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return refused(
                    &format!("tokens.{name}.sha256"),
                    "must be 64 hexadecimal digits; `wardline console new-token` makes them",
                );
            }
        }
        self.oidc.as_ref().map_or(Ok(()), |oidc| oidc.validate(self.origin.as_deref()))?;
        self.check_bounds()
    }

    /// Whether nobody at all may sign in.
    #[must_use]
    pub fn admits_nobody(&self) -> bool {
        self.users.is_empty() && self.oidc.is_none()
    }

    /// Whether browsers reach the console over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.behind_tls
    }

    /// Longest wait for what one page reads.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        self.bounds.read_timeout()
    }

    /// Longest wait for a part of a page.
    #[must_use]
    pub fn part_timeout(&self) -> Duration {
        Duration::from_millis(self.bounds.part_timeout_ms)
    }

    /// Longest time for one answer.
    #[must_use]
    pub fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.bounds.answer_timeout_ms)
    }

    fn check_listener(&self) -> Result<(), ConfigError> {
        let refused = |reason: String| ConfigError { key: "listen".to_owned(), reason };
        if let Err(error) = self.listen.to_socket_addrs() {
            return Err(refused(format!("{} is no address of this machine: {error}", self.listen)));
        }
        if !self.is_secure() && !is_loopback(&self.listen) {
            return Err(refused(format!(
                "{} can be reached by other machines, and passwords would cross the network in plain text: set tls, or \
                 behind_tls where a proxy in front speaks TLS",
                self.listen
            )));
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        let (attempts, bounds) = (&self.attempts, &self.bounds);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let at_least_one = [
            ("session_idle_s", self.session_idle_s),
            ("session_max_s", self.session_max_s),
            ("attempts.window_s", attempts.window_s),
            ("attempts.per_name_and_address", attempts.per_name_and_address.into()),
            ("attempts.per_address", attempts.per_address.into()),
            ("attempts.per_name", attempts.per_name.into()),
            ("attempts.remembered_max", number(attempts.remembered_max)),
            ("attempts.at_once", number(attempts.at_once)),
            ("bounds.connections_max", number(bounds.connections_max)),
            ("bounds.body_bytes_max", number(bounds.body_bytes_max)),
            ("bounds.headers_max", number(bounds.headers_max)),
            ("bounds.head_timeout_ms", bounds.head_timeout_ms),
            ("bounds.answer_timeout_ms", bounds.answer_timeout_ms),
            ("bounds.read_timeout_ms", bounds.read_timeout_ms),
            ("bounds.part_timeout_ms", bounds.part_timeout_ms),
            ("bounds.reads_at_once", number(bounds.reads_at_once)),
            ("bounds.page_rows", number(bounds.page_rows)),
            ("bounds.records_max", number(bounds.records_max)),
            ("bounds.audit_records_max", bounds.audit_records_max),
            ("bounds.original_bytes_max", number(bounds.original_bytes_max)),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(ConfigError { key: key.to_owned(), reason: "must be at least 1".to_owned() });
            }
        }
        if bounds.head_bytes_max < 8_192 {
            let (key, reason) = ("bounds.head_bytes_max".to_owned(), "must be at least 8192".to_owned());
            return Err(ConfigError { key, reason });
        }
        Ok(())
    }
}

impl BoundsConfig {
    /// Longest wait for what one page reads.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        let most = self.answer_timeout_ms.saturating_mul(9) / 10;
        Duration::from_millis(self.read_timeout_ms.min(most))
    }
}

/// Whether no other machine reaches an address.
#[must_use]
pub fn is_loopback(listen: &str) -> bool {
    listen.to_socket_addrs().is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()))
}

const NAME_RULE: &str = "a name has 1 to 64 letters, digits, dots, hyphens, underscores or @";

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ']))
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:17080".to_owned(),
            tls: None,
            behind_tls: false,
            origin: None,
            proxies: 0,
            session_key: None,
            session_idle_s: 1_800,
            session_max_s: 43_200,
            users: BTreeMap::new(),
            oidc: None,
            tokens: BTreeMap::new(),
            attempts: AttemptsConfig::default(),
            service_levels: true,
            bounds: BoundsConfig::default(),
        }
    }
}

impl Default for AttemptsConfig {
    fn default() -> Self {
        Self {
            window_s: 300,
            per_name_and_address: 5,
            per_address: 30,
            per_name: 100,
            remembered_max: 10_000,
            at_once: 2,
        }
    }
}

impl Default for BoundsConfig {
    fn default() -> Self {
        Self {
            connections_max: 512,
            body_bytes_max: 65_536,
            headers_max: 64,
            head_bytes_max: 32_768,
            head_timeout_ms: 10_000,
            answer_timeout_ms: 30_000,
            read_timeout_ms: 20_000,
            part_timeout_ms: 3_000,
            reads_at_once: 8,
            drain_ms: 5_000,
            page_rows: 50,
            records_max: 5_000,
            audit_records_max: 200_000,
            cached_ms: 5_000,
            original_bytes_max: 262_144,
            denied_per_minute: 120,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refusal(block: Value) -> Option<String> {
        let config: ConsoleConfig = serde_json::from_value(block).unwrap();
        config.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn defaults_are_right_for_one_machine() {
        assert_eq!(refusal(json!({})), None);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (block, key) in [
            (json!({"listen": "0.0.0.0:8080"}), "console.listen: 0.0.0.0:8080 can be reached"),
            (json!({"listen": "nowhere"}), "console.listen: nowhere is no address"),
            (json!({"session_key": "short"}), "console.session_key"),
            (json!({"origin": "https://host/path"}), "console.origin"),
            (json!({"users": {"a b": {"role": "viewer", "password_hash": "x"}}}), "console.users.a b"),
            (json!({"users": {"ada": {"role": "viewer", "password_hash": "x"}}}), "console.users.ada.password_hash"),
            (json!({"tokens": {"ci": {"role": "viewer", "sha256": "x"}}}), "console.tokens.ci.sha256"),
            (json!({"bounds": {"page_rows": 0}}), "console.bounds.page_rows"),
            (json!({"bounds": {"reads_at_once": 0}}), "console.bounds.reads_at_once"),
            (json!({"bounds": {"head_bytes_max": 100}}), "console.bounds.head_bytes_max"),
        ] {
            let said = refusal(block).unwrap();
            assert!(said.starts_with("WL-7120: ") && said.contains(key), "{said}");
        }
        assert_eq!(refusal(json!({"listen": "0.0.0.0:8080", "behind_tls": true})), None);
        assert!(serde_json::from_value::<ConsoleConfig>(json!({"lisen": "x"})).is_err());
    }

    #[test]
    fn no_dump_shows_a_hash_or_a_key() {
        let config = ConsoleConfig {
            session_key: Some("k3y-k3y-k3y-k3y-k3y-k3y-k3y-k3y-".into()),
            users: [("ada".to_owned(), UserConfig { role: Role::Viewer, password_hash: "h4sh".into() })].into(),
            ..ConsoleConfig::default()
        };
        let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?}");
        assert!(!shown.contains("k3y") && !shown.contains("h4sh"), "{shown}");
    }
}
