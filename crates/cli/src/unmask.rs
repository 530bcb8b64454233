//! What may identify a patient is shown to whoever gives a reason, once who and why are on record.

use crate::args::Unmask;
use crate::{Failure, people};
use operations::audit::{Shown, is_reason};
use runtime::Config;

/// Most characters of a reason.
const REASON_MAX: usize = 200;

/// Refuses a reason that says nothing, before anything is read.
pub fn check(unmask: &Unmask) -> Result<(), Failure> {
    let reason = unmask.reason.as_deref().unwrap_or_default().trim();
    let wrong = if !is_reason(reason) {
        "the reason does not say why patient data must be seen"
    } else if reason.chars().any(char::is_control) || reason.chars().count() > REASON_MAX {
        "the reason is not one line of 200 characters at most"
    } else if unmask.actor.is_empty() || unmask.actor == "unknown" {
        "nobody is named"
    } else {
        return Ok(());
    };
    Err(Failure::usage(
        format!("WL-7270: {wrong}"),
        "say with --reason in a few words why you must see it, and with --actor who you are",
    ))
}

/// Puts on record who is shown what and why. What fails here must not be shown.
pub async fn record(config: &Config, unmask: &Unmask, shown: Shown) -> Result<(), Failure> {
    check(unmask)?;
    people::direct(config, "seeing what may identify a patient")?;
    let reason = unmask.reason.as_deref().unwrap_or_default().trim().to_owned();
    let shown = Shown { via: "cli", actor: unmask.actor.clone(), reason, ..shown };
    shown.record(config).await.map_err(|error| {
        Failure::new(
            format!("WL-7271: this could not be put on record, so it is not shown: {error}"),
            "check that Kafka and the schema registry answer, and that this user may write ops.audit.v1",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_and_nothing_are_refused() {
        let said = |reason: &str, actor: &str| {
            check(&Unmask { reason: Some(reason.to_owned()), actor: actor.to_owned() })
                .map_err(|error| error.to_string())
        };
        assert_eq!(said("wrong patient at OR 3", "ada (as deploy)"), Ok(()));
        let long = "x".repeat(201);
        for (reason, actor) in [
            ("", "ada"),
            ("...... .", "ada"),
            ("one\nof two", "ada"),
            (&long, "ada"),
            ("wrong patient", ""),
            ("wrong patient", "unknown"),
        ] {
            assert!(said(reason, actor).is_err_and(|said| said.starts_with("WL-7270: ")), "{reason} by {actor}");
        }
    }
}
