//! `wardline config show`: the configuration in force.

use crate::args::{ConfigAction, ConfigOptions, Globals};
use crate::output::Output;
use crate::{Failure, console, context, rooms};
use runtime::Config;

/// Executes `wardline config`.
pub fn execute(globals: &Globals, options: &ConfigOptions) -> Result<(), Failure> {
    let config = context::config(globals)?;
    let mut output = Output::stdout();
    match options.action {
        ConfigAction::Show => output.line(text(&config)?)?,
    }
    output.finish()
}

/// JSON, which is YAML too, so that it can be read where a configuration file is read.
fn text(config: &Config) -> Result<String, Failure> {
    let mut shown = config.shown(rooms::settings(config)?);
    let console = serde_json::to_value(console::settings(config)?);
    shown["console"] = console.map_err(|error| Failure::new(error, "report this as a defect"))?;
    serde_json::to_string_pretty(&shown).map_err(|error| Failure::new(error, "report this as a defect"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn flags_defaults_and_blocks_are_shown_and_no_secret() {
        let globals = Globals {
            kafka: Some("kafka:9092".to_owned()),
            erp: Some("http://erp".to_owned()),
            erp_key: Some("k3y-of-the-erp".to_owned()),
            ..Globals::default()
        };
        let mut config = context::config(&globals).unwrap();
        config.identity.pseudonym_key = "k3y-of-the-pseudonyms".into();
        let text = text(&config).unwrap();
        assert!(!text.contains("k3y"), "{text}");
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["kafka"]["bootstrap"], "kafka:9092");
        assert_eq!(shown["rooms"]["erp"]["tryton"]["url"], "http://erp");
        assert_eq!(shown["rooms"]["hl7v2"]["listen"], "127.0.0.1:2575");
        assert_eq!(shown["identity"]["pseudonym_key"], json!("***"));
    }
}
