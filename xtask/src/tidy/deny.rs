//! What `deny.toml` allows, checked from `cargo metadata`, without a further tool: licences, duplicate versions, sources of third-party code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{Finding, Tree, spdx};

/// The policy.
const POLICY: &str = "deny.toml";

/// What of the policy is checked here. `cargo deny` reads the rest too.
#[derive(Deserialize)]
struct Policy {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Skip {
    /// `name@version`.
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// A third-party package of the build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: String,
}

/// Checks the packages of this build against the policy.
///
/// # Errors
/// When the policy cannot be read or `cargo metadata` fails.
pub(super) fn check(root: &Path, tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let policy: Policy = toml::from_str(tree.text(POLICY).context("there is no deny.toml")?).context(POLICY)?;
    let mut packages = BTreeSet::new();
    for target in &policy.graph.targets {
        packages.extend(packages_of(root, target)?);
    }
    let packages: Vec<Package> = packages.into_iter().collect();
    Ok([licences(&policy, &packages), duplicates(&policy, &packages), sources(&policy, &packages)].concat())
}

fn licences(policy: &Policy, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let exception = policy.licenses.exceptions.iter().find(|exception| exception.name == package.name);
        let allowed = |name: &str| {
            policy.licenses.allow.contains(name) || exception.is_some_and(|exception| exception.allow.contains(name))
        };
        let expression = package.license.as_deref().unwrap_or_default();
        if !spdx::satisfied(expression, allowed) {
            let message = format!("{} {} is under `{expression}`, which is not allowed", package.name, package.version);
            findings.push(Finding::new(POLICY, 0, message));
        }
    }
    for exception in &policy.licenses.exceptions {
        if !packages.iter().any(|package| package.name == exception.name) {
            findings.push(Finding::new(POLICY, 0, format!("the exception for {} is not needed", exception.name)));
        }
    }
    findings
}

fn duplicates(policy: &Policy, packages: &[Package]) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut findings = Vec::new();
    let skipped =
        |name: &str, version: &str| policy.bans.skip.iter().any(|skip| skip.package == format!("{name}@{version}"));
    for (name, versions) in &versions {
        let counted: Vec<&str> = versions.iter().copied().filter(|version| !skipped(name, version)).collect();
        if counted.len() > 1 {
            let message = format!("{name} is there {} times: {}", counted.len(), counted.join(", "));
            findings.push(Finding::new(POLICY, 0, message));
        }
    }
    for skip in &policy.bans.skip {
        let (name, version) = skip.package.split_once('@').unwrap_or((&skip.package, ""));
        if versions.get(name).is_none_or(|all| all.len() < 2 || !all.contains(version)) {
            findings.push(Finding::new(
                POLICY,
                0,
                format!("{} is no longer a duplicate: remove its skip", skip.package),
            ));
        }
        if skip.reason.trim().is_empty() {
            findings.push(Finding::new(POLICY, 0, format!("the skip of {} says no reason", skip.package)));
        }
    }
    findings
}

fn sources(policy: &Policy, packages: &[Package]) -> Vec<Finding> {
    packages
        .iter()
        .filter(|package| {
            let place = package.source.trim_start_matches("registry+");
            !policy.sources.allow_registry.iter().any(|allowed| allowed == place)
        })
        .map(|package| Finding::new(POLICY, 0, format!("{} comes from {}", package.name, package.source)))
        .collect()
}

/// Third-party packages that are built for one target.
fn packages_of(root: &Path, target: &str) -> anyhow::Result<BTreeSet<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let built: BTreeSet<String> = array(&metadata["resolve"]["nodes"]).iter().map(|node| text(&node["id"])).collect();
    if built.is_empty() {
        bail!("cargo metadata names no package for {target}");
    }
    Ok(array(&metadata["packages"])
        .iter()
        .filter(|package| built.contains(&text(&package["id"])) && package["source"].is_string())
        .map(|package| Package {
            name: text(&package["name"]),
            version: text(&package["version"]),
            license: package["license"].as_str().map(str::to_owned),
            source: text(&package["source"]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "https://example.org/index";

    fn policy(skip: &str) -> Policy {
        let text = format!(
            "[graph]\ntargets = []\n[licenses]\nallow = [\"MIT\"]\nexceptions = [{{ crate = \"b\", allow = [\"MPL-2.0\"] }}]\n\
             [bans]\nskip = [{skip}]\n[sources]\nallow-registry = [\"{HOME}\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn package(name: &str, version: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some(license.to_owned()),
            source: format!("registry+{HOME}"),
        }
    }

    #[test]
    fn a_licence_beside_the_list_is_found_and_an_exception_is_for_one_crate() {
        let packages =
            [package("a", "1.0.0", "MPL-2.0"), package("b", "1.0.0", "MPL-2.0"), package("c", "1.0.0", "MIT")];
        let found = licences(&policy(""), &packages);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("a 1.0.0"));
    }

    #[test]
    fn a_package_without_licence_is_found() {
        let mut nameless = package("a", "1.0.0", "");
        nameless.license = None;
        assert_eq!(licences(&policy(""), &[nameless, package("b", "1.0.0", "MIT")]).len(), 1);
    }

    #[test]
    fn a_duplicate_is_found_unless_skipped_with_a_reason() {
        let packages = [package("a", "1.0.0", "MIT"), package("a", "2.0.0", "MIT")];
        assert_eq!(duplicates(&policy(""), &packages).len(), 1);
        assert_eq!(duplicates(&policy("{ crate = \"a@1.0.0\", reason = \"x\" }"), &packages), []);
        assert_eq!(duplicates(&policy("{ crate = \"a@1.0.0\", reason = \" \" }"), &packages).len(), 1);
        assert_eq!(duplicates(&policy("{ crate = \"a@1.0.0\", reason = \"x\" }"), &packages[1..]).len(), 1);
    }

    #[test]
    fn code_from_elsewhere_is_found() {
        let mut fork = package("a", "1.0.0", "MIT");
        fork.source = "git+https://example.org/a".to_owned();
        assert_eq!(sources(&policy(""), &[fork, package("b", "1.0.0", "MIT")]).len(), 1);
    }
}
