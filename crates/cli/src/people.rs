//! What people may do at a terminal that writes to the topics itself: it believes any name, so where the console has to know who
//! somebody is, what needs a right or a second person is not done from here.

use crate::Failure;
use operations::People;
use operations::exceptions::ExceptionsConfig;
use runtime::Config;
use schemas::Criticality;

/// Refuses an act that needs a right or a second person, where the configuration leaves those to the console.
pub fn direct(config: &Config, act: &str) -> Result<(), Failure> {
    match People::of(config).map_err(|error| Failure::usage(error, "correct operations.people of the configuration"))? {
        People::Anyone => Ok(()),
        People::Console => Err(Failure::usage(
            format!("WL-1480: {act} needs a person whom the console knows, and the command line believes any name"),
            "do it in the console; a command that takes --console URL --token-file FILE goes through its API, with a token of yours",
        )),
    }
}

/// The same for what needs a second person in flows of this class alone.
pub fn by_class(config: &Config, class: Criticality, act: &str) -> Result<(), Failure> {
    let settings = ExceptionsConfig::of(config)
        .map_err(|error| Failure::usage(error, "correct operations.exceptions of the configuration"))?;
    if settings.two_people.contains(&class) { direct(config, act) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_needs_two_people_is_refused_where_the_console_knows_people() {
        let config = |people: serde_json::Value| {
            let mut config = Config::default();
            config.operations.insert("people".to_owned(), people);
            config
        };
        assert_eq!(direct(&Config::default(), "this"), Ok(()));
        assert_eq!(direct(&config(json!("anyone")), "this"), Ok(()));
        let console = config(json!("console"));
        assert!(direct(&console, "this").is_err_and(|said| said.to_string().starts_with("WL-1480: this needs")));
        assert!(by_class(&console, Criticality::PatientAdjacent, "this").is_err());
        assert_eq!(by_class(&console, Criticality::Operational, "this"), Ok(()));
        assert!(direct(&config(json!("nobody")), "this").is_err_and(|said| said.to_string().contains("WL-7001")));
    }
}
