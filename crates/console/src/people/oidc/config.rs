//! Configuration of the sign-in with the identity provider of the hospital.

use crate::config::ConfigError;
use crate::people::{Role, sha256_hex};
use connector::Secret;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The block `console.oidc`: people sign in where they do for everything else (OpenID Connect, authorization code with PKCE).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// Address of the provider, exactly as it stands in its tokens; its metadata is below it.
    pub issuer: String,
    /// Name under which the provider knows this console.
    pub client_id: String,
    /// What this console proves itself with; without it the provider must take it for a public client.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// What stands on the button.
    #[serde(default = "label")]
    pub label: String,
    /// What is asked for, `openid` among it.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Claim with the name that people are shown. What tells people apart is `sub`.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// Claim with the groups or roles of a person, a text or a list of texts; a dot leads into an object.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// Role by the group that gives it; of several the highest counts, and who is in none does not get in.
    pub roles: BTreeMap<String, Role>,
    /// PEM file with authorities that are trusted for the provider beside those of the system.
    #[serde(default)]
    pub authority_file: Option<PathBuf>,
    /// A session ends after so long, seconds: only then does a change of groups take effect.
    #[serde(default = "session_max_s")]
    pub session_max_s: u64,
    /// How long people may take at the provider, seconds.
    #[serde(default = "patience_s")]
    pub patience_s: u64,
    /// How far the clocks of provider and console may differ, seconds.
    #[serde(default = "clock_skew_s")]
    pub clock_skew_s: u64,
    /// Longest wait for one answer of the provider, milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Metadata and keys of the provider are asked for anew after so long, seconds.
    #[serde(default = "cached_s")]
    pub cached_s: u64,
}

fn label() -> String {
    "Sign in with your hospital account".to_owned()
}

fn scopes() -> Vec<String> {
    vec!["openid".to_owned(), "profile".to_owned()]
}

fn name_claim() -> String {
    "preferred_username".to_owned()
}

fn roles_claim() -> String {
    "groups".to_owned()
}

const fn session_max_s() -> u64 {
    28_800
}

const fn patience_s() -> u64 {
    600
}

const fn clock_skew_s() -> u64 {
    60
}

const fn timeout_ms() -> u64 {
    5_000
}

const fn cached_s() -> u64 {
    600
}

impl OidcConfig {
    /// Checks what can be checked before anything starts.
    ///
    /// # Errors
    /// Names the first key that cannot be so.
    pub fn validate(&self, origin: Option<&str>) -> Result<(), ConfigError> {
        let refused =
            |key: &str, reason: &str| Err(ConfigError { key: format!("oidc.{key}"), reason: reason.to_owned() });
        if origin.is_none() {
            let reason = "must be set where oidc is, because the provider sends people back to it".to_owned();
            return Err(ConfigError { key: "origin".to_owned(), reason });
        }
        if !is_trusted_address(&self.issuer) || self.issuer.contains(['?', '#']) {
            return refused("issuer", "must be an https address (http only on this machine) without `?` and `#`");
        }
        if self.client_id.is_empty() || self.client_id.len() > 256 {
            return refused("client_id", "must have 1 to 256 characters");
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return refused("scopes", "must hold openid");
        }
        if self.roles.is_empty() {
            return refused("roles", "must give a role to at least one group, or nobody gets in");
        }
        for (key, value, most) in [
            ("session_max_s", self.session_max_s, 604_800),
            ("patience_s", self.patience_s, 3_600),
            ("timeout_ms", self.timeout_ms, 60_000),
            ("cached_s", self.cached_s, 86_400),
        ] {
            if value == 0 || value > most {
                return refused(key, &format!("must be 1 to {most}"));
            }
        }
        if self.clock_skew_s > 600 {
            return refused("clock_skew_s", "must be at most 600");
        }
        Ok(())
    }

    /// Longest wait for one answer of the provider.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// What sessions of people who signed in at the provider depend on: whoever changes it ends them all.
    #[must_use]
    pub fn proof(&self) -> String {
        let parts = (&self.issuer, &self.client_id, &self.name_claim, &self.roles_claim, &self.roles);
        format!("oidc:{}", sha256_hex(serde_json::to_string(&parts).unwrap_or_default().as_bytes()))
    }

    /// The role that groups give.
    #[must_use]
    pub fn role<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> Option<Role> {
        groups.into_iter().filter_map(|group| self.roles.get(group).copied()).max()
    }
}

/// Whether what goes there cannot be read along the way.
#[must_use]
pub fn is_trusted_address(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_here = || url.host_str().is_some_and(|host| ["127.0.0.1", "[::1]", "localhost"].contains(&host));
    url.username().is_empty() && (url.scheme() == "https" || (url.scheme() == "http" && is_here()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(change: &[(&str, Value)]) -> OidcConfig {
        let mut block = json!({
            "issuer": "https://login.example/realm",
            "client_id": "wardline",
            "roles": {"wl-view": "viewer", "wl-approve": "approver"},
        });
        for (key, value) in change {
            block[*key] = value.clone();
        }
        serde_json::from_value(block).unwrap()
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let refusal = |key: &str, value: Value| {
            config(&[(key, value)]).validate(Some("https://wl.example")).unwrap_err().to_string()
        };
        for (key, value) in [
            ("issuer", json!("http://login.example")),
            ("issuer", json!("https://ada:secret@login.example")),
            ("issuer", json!("https://login.example?x")),
            ("issuer", json!("login.example")),
            ("client_id", json!("")),
            ("scopes", json!(["profile"])),
            ("roles", json!({})),
            ("session_max_s", json!(0)),
            ("timeout_ms", json!(600_000)),
            ("clock_skew_s", json!(3_600)),
        ] {
            let said = refusal(key, value);
            assert!(said.starts_with(&format!("WL-7120: console.oidc.{key}: ")), "{said}");
        }
        assert!(config(&[]).validate(None).unwrap_err().to_string().contains("console.origin"));
        assert!(config(&[("issuer", json!("http://127.0.0.1:99"))]).validate(Some("http://127.0.0.1:1")).is_ok());
        let unknown = json!({"issuer": "https://a", "client_id": "c", "roles": {}, "secret": "s"});
        assert!(serde_json::from_value::<OidcConfig>(unknown).is_err());
    }

    #[test]
    fn the_highest_role_counts_and_no_group_gives_none() {
        let config = config(&[]);
        assert_eq!(config.role(["wl-view", "staff", "wl-approve"]), Some(Role::Approver));
        assert_eq!(config.role(["staff"]), None);
    }

    #[test]
    fn the_secret_is_never_shown() {
        let config = config(&[("client_secret", json!("s3cret"))]);
        let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?}") + &config.proof();
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
