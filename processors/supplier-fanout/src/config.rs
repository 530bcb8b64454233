//! Which suppliers are told what, where and with which signature.

use connector::Secret;
use connector::pacing::Pacing;
use reqwest::Url;
use schemas::NoticeKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shortest signing secret, bytes.
const SECRET_LENGTH_MIN: usize = 16;

/// A kind of notice that a supplier may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Stock that belonged to the supplier was used.
    ConsignmentUsage,
    /// An article of the supplier was used, for suppliers that manage their stock in the hospital.
    VmiUsage,
    /// An order was approved.
    PoApproved,
    /// An order was changed.
    PoChanged,
    /// An order was cancelled.
    PoCancelled,
    /// Goods arrived.
    Receipt,
}

/// One supplier's receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Where notices are posted. `https`, or `http` on the loopback interface.
    pub url: String,
    /// Secret of the signature (Standard Webhooks 1.0): text of at least 16 bytes, or `whsec_` and base64.
    pub secret: Secret,
    /// Where an earlier notice is looked up, followed by `/` and its key. Default: `url`.
    #[serde(default)]
    pub look_up_url: Option<String>,
    /// Kinds wanted. Default: all but `vmi-usage`.
    #[serde(default = "default_wanted")]
    pub kinds: Vec<Wanted>,
    /// Number of the consignment contract, told with each use. Default: none.
    #[serde(default)]
    pub contract: Option<String>,
    /// How fast and when this supplier is told: a budget of calls per minute that all instances share, windows in which nothing is
    /// sent, and the breaker. Default: no bound, no window.
    #[serde(default)]
    pub pacing: Pacing,
}

/// The block `rooms.supplier-fanout`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanoutConfig {
    /// Receivers by supplier id, or by the supplier's GLN. Default: none, so no supplier is told anything.
    pub profiles: BTreeMap<String, Profile>,
    /// Longest wait for a connection, milliseconds. Default 5000.
    pub connect_timeout_ms: u64,
    /// Longest wait for an answer, milliseconds; after it the outcome is looked up. Default 15000.
    pub timeout_ms: u64,
    /// How long after a notice was sent a supplier may still take it, when the answer was lost, milliseconds; not below
    /// `timeout_ms`. Until then a look-up that finds nothing is not believed. Default 30000.
    pub certain_after_ms: u64,
    /// Longest pause that a supplier may ask for (`Retry-After`), milliseconds. Default 300000.
    pub retry_after_max_ms: u64,
    /// Most calls to one supplier at once. Default 4.
    pub calls_max: usize,
    /// Proxy for all calls, for example `http://proxy.example:3128`; a secret, because it may hold a password. Default: none; the
    /// environment is not read.
    pub proxy: Option<Secret>,
}

impl FanoutConfig {
    /// Checks addresses, secrets and bounds.
    ///
    /// # Errors
    /// Names the key that is outside its range.
    pub fn validate(&self) -> Result<(), String> {
        for (name, profile) in &self.profiles {
            check_url(&format!("profiles.{name}.url"), &profile.url)?;
            if let Some(url) = &profile.look_up_url {
                check_url(&format!("profiles.{name}.look_up_url"), url)?;
            }
            profile.pacing.validate().map_err(|reason| format!("profiles.{name}.pacing.{reason}"))?;
            if profile.secret.expose().len() < SECRET_LENGTH_MIN {
                return Err(format!("profiles.{name}.secret is shorter than {SECRET_LENGTH_MIN} bytes"));
            }
        }
        let positive = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("timeout_ms", self.timeout_ms),
            ("retry_after_max_ms", self.retry_after_max_ms),
            ("calls_max", self.calls_max as u64),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} is 0: must be at least 1"));
        }
        if self.certain_after_ms < self.timeout_ms {
            return Err(format!("certain_after_ms is {}: must be at least timeout_ms", self.certain_after_ms));
        }
        Ok(())
    }
}

impl Default for FanoutConfig {
    fn default() -> Self {
        Self {
            profiles: BTreeMap::new(),
            connect_timeout_ms: 5_000,
            timeout_ms: 15_000,
            certain_after_ms: 30_000,
            retry_after_max_ms: 300_000,
            calls_max: 4,
            proxy: None,
        }
    }
}

impl Profile {
    /// Whether the supplier wants notices of a kind.
    #[must_use]
    pub fn wants(&self, kind: NoticeKind) -> bool {
        let wanted = match kind {
            NoticeKind::ConsignmentUsage => Wanted::ConsignmentUsage,
            NoticeKind::VmiUsage => Wanted::VmiUsage,
            NoticeKind::PoApproved => Wanted::PoApproved,
            NoticeKind::PoChanged => Wanted::PoChanged,
            NoticeKind::PoCancelled => Wanted::PoCancelled,
            NoticeKind::Receipt => Wanted::Receipt,
            NoticeKind::Unknown => return false,
        };
        self.kinds.contains(&wanted)
    }
}

/// The profiles by name.
#[derive(Clone, Debug)]
pub(crate) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Those of a configuration.
    pub(crate) fn new(config: &FanoutConfig) -> Self {
        Self(config.profiles.clone())
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }
}

fn default_wanted() -> Vec<Wanted> {
    vec![Wanted::ConsignmentUsage, Wanted::PoApproved, Wanted::PoChanged, Wanted::PoCancelled, Wanted::Receipt]
}

/// A notice in clear text over a network would tell everybody on the way what the hospital uses.
fn check_url(key: &str, text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("{key} is not a URL: {error}"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(format!("{key} must be https, or http on the loopback interface")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(url: &str, secret: &str) -> Result<(), String> {
        let text = format!(r#"{{"profiles": {{"V-1": {{"url": "{url}", "secret": "{secret}"}}}}}}"#);
        serde_json::from_str::<FanoutConfig>(&text).unwrap().validate()
    }

    #[test]
    fn addresses_and_secrets_are_checked_at_start() {
        let secret = "0123456789abcdef";
        assert_eq!(profile("https://supplier.example/notices", secret), Ok(()));
        assert_eq!(profile("http://127.0.0.1:9/notices", secret), Ok(()));
        assert!(profile("http://supplier.example/notices", secret).unwrap_err().contains("profiles.V-1.url"));
        assert!(profile("nonsense", secret).is_err());
        assert!(profile("https://supplier.example", "short").unwrap_err().contains("secret"));
    }

    #[test]
    fn a_profile_without_a_secret_is_refused() {
        assert!(serde_json::from_str::<FanoutConfig>(r#"{"profiles": {"V-1": {"url": "https://x"}}}"#).is_err());
    }
    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        let config: FanoutConfig = serde_json::from_str(r#"{"proxy": "http://me:hidden@proxy.example:3128"}"#).unwrap();
        let shown = serde_json::to_string(&config).unwrap();
        assert!(shown.contains(r#""proxy":"***""#) && !format!("{config:?}").contains("hidden"), "{shown}");
    }
}
