//! Tells where everything listens and what to try next.

use super::{Choice, Part, Parts, start};
use crate::console::Beside;
use crate::{context, output};
use ::erp::ErpConfig;
use ::fhir::FhirConfig;
use erp_systems::{SandboxConfig, System};
use hl7v2::config::Hl7v2Config;
use runtime::Config;

/// How to call the embedded ERP. Its key is no secret: only this machine reaches the port.
const SANDBOX: &str = "embedded: a sandbox; callers show `Authorization: Bearer sandbox`";

/// Prints commands for the running system, as they can be typed in another terminal; `more` comes first.
pub fn try_next(config: &Config, more: impl IntoIterator<Item = (String, &'static str)>) {
    let variables = variables(config);
    if !variables.is_empty() {
        output::note(&format!("  export {}", variables.join(" ")));
    }
    let program = std::env::args().next().filter(|name| !name.is_empty()).unwrap_or_else(|| "wardline".to_owned());
    let always = [
        ("status", "rooms, lag, parked keys, open exceptions"),
        ("exceptions ls", "what a person has to decide"),
        ("dead-letters ls", "what could not be read at all"),
        ("topics plan", "whether topics and schemas are as topics.yaml says"),
    ];
    let always = always.map(|(command, what)| (command.to_owned(), what));
    let commands: Vec<_> = more.into_iter().chain(always).collect();
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, what) in commands {
        output::note(&format!("  {program} {command:<width$}  # {what}"));
    }
}

/// Variables that the other commands need, where something is not where they look by themselves.
fn variables(config: &Config) -> Vec<String> {
    let usual = Config::default();
    let health = |config: &Config| format!("http://{}", config.http.listen);
    let pairs = [
        ("WARDLINE_KAFKA", config.kafka.bootstrap.clone(), usual.kafka.bootstrap.clone()),
        ("WARDLINE_REGISTRY", config.registry.url.clone(), usual.registry.url.clone()),
        ("WARDLINE_FHIR", fhir(config), FhirConfig::default().base_url),
        ("WARDLINE_MLLP", mllp(config), Hl7v2Config::default().listen),
        ("WARDLINE_HEALTH", health(config), health(&usual)),
    ];
    let moved = pairs.into_iter().filter(|(_, now, usual)| now != usual);
    moved.map(|(name, now, _)| format!("{name}={now}")).chain(sandbox(config)).collect()
}

/// What leads to the embedded ERP where it has moved: `reconcile` asks it. The key of any other ERP is nobody's to print.
fn sandbox(config: &Config) -> Vec<String> {
    let erp: ErpConfig = context::room(config, "erp").unwrap_or_default();
    let (system, SandboxConfig { url, key, .. }) = (erp.system, erp.sandbox);
    if system != System::Sandbox || key.expose() != start::ERP_KEY || url == super::usual_sandbox() {
        return Vec::new();
    }
    let system = system.as_str();
    vec![
        format!("WARDLINE_ERP={url}"),
        format!("WARDLINE_ERP_SYSTEM={system}"),
        format!("WARDLINE_ERP_KEY={}", start::ERP_KEY),
    ]
}

/// Prints where everything listens.
pub fn announce(choice: &Choice, parts: &Parts, config: &Config, console: Option<&Beside>) {
    if let Some(console) = console {
        let user = console.password_file.as_ref().map(|file| format!("user admin, password in {file}"));
        output::note(format!("  {:<17} {:<31} {}", "web console", console.url, user.unwrap_or_default()).trim_end());
    }
    for (name, address, note) in lines(choice, parts, config) {
        output::note(format!("  {name:<17} {address:<31} {note}").trim_end());
    }
    if choice.embeds_any() {
        output::note(
            "Embedded parts are for development and demos, never for production: this machine alone reaches them.",
        );
    }
}

fn lines(choice: &Choice, parts: &Parts, config: &Config) -> Vec<(&'static str, String, &'static str)> {
    let note = |part| if choice.embeds(part) { "embedded" } else { "" };
    let sandbox = if choice.embeds(Part::Erp) { SANDBOX } else { "" };
    let mut lines = vec![
        (Part::Kafka.name(), config.kafka.bootstrap.clone(), note(Part::Kafka)),
        (Part::Registry.name(), config.registry.url.clone(), note(Part::Registry)),
        (Part::Erp.name(), erp(config), sandbox),
        (Part::Fhir.name(), fhir(config), note(Part::Fhir)),
    ];
    if let Some(url) = parts.supplier_url() {
        lines.push(("supplier", url, "embedded"));
    }
    lines.push(("HL7 v2 over MLLP", mllp(config), ""));
    lines.push(("health, metrics", format!("http://{}/ready", config.http.listen), ""));
    lines
}

fn mllp(config: &Config) -> String {
    context::room::<Hl7v2Config>(config, "hl7v2").unwrap_or_default().listen
}

fn fhir(config: &Config) -> String {
    context::room::<FhirConfig>(config, "fhir").unwrap_or_default().base_url
}

fn erp(config: &Config) -> String {
    let erp: ErpConfig = context::room(config, "erp").unwrap_or_default();
    match erp.system {
        System::Tryton => erp.tryton.url,
        System::Sandbox => erp.sandbox.url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_the_embedded_erp_has_moved_to_is_told_and_no_other_key() {
        let told = |block: serde_json::Value| {
            let mut config = Config::default();
            context::set(&mut config, "erp", &["system"], Some(json!("sandbox")));
            context::set(&mut config, "erp", &["sandbox"], Some(block));
            variables(&config).join(" ")
        };
        let moved = told(json!({"url": "http://127.0.0.1:19069", "key": "sandbox"}));
        let expected = "WARDLINE_ERP=http://127.0.0.1:19069 WARDLINE_ERP_SYSTEM=sandbox WARDLINE_ERP_KEY=sandbox";
        assert_eq!(moved, expected);
        assert_eq!(told(json!({"url": super::super::usual_sandbox(), "key": "sandbox"})), "");
        assert_eq!(told(json!({"url": "http://127.0.0.1:19069", "key": "of the hospital"})), "");
    }

    #[test]
    fn the_key_of_the_sandbox_is_told() {
        assert!(SANDBOX.contains(&format!("Bearer {}`", start::ERP_KEY)), "{SANDBOX}");
    }
}
