//! Service levels at risk by what holds them up: what has one cause is one alert, and is mended once.

use super::{AlertCause, LevelAlert, LevelsSnapshot};

/// What holds service levels up, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Risk<'a> {
    /// What most of the events wait for; none where no exception is open on the way.
    pub cause: Option<&'a AlertCause>,
    /// The service levels: at least one, and exactly one where there is no cause.
    pub alerts: Vec<&'a LevelAlert>,
}

impl LevelsSnapshot {
    /// The alerts by cause, in the order of the first of each.
    #[must_use]
    pub fn risks(&self) -> Vec<Risk<'_>> {
        let mut risks: Vec<Risk<'_>> = Vec::new();
        for alert in &self.alerts {
            let cause = alert.cause.as_ref();
            match risks.iter_mut().find(|risk| cause.is_some() && risk.cause == cause) {
                Some(risk) => risk.alerts.push(alert),
                None => risks.push(Risk { cause, alerts: vec![alert] }),
            }
        }
        risks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Criticality;

    fn alert(level: &'static str, code: Option<&str>) -> LevelAlert {
        let cause = code.map(|code| AlertCause {
            room: "validate".to_owned(),
            code: code.to_owned(),
            subject: None,
            events: 12,
            exceptions: 3,
        });
        LevelAlert {
            level,
            class: Criticality::PatientAdjacent,
            overdue: 2,
            oldest_waiting_s: 130,
            breach_at_ms: 0,
            cause,
            next: String::new(),
        }
    }

    #[test]
    fn levels_that_one_cause_holds_up_are_one_alert() {
        let alerts = vec![
            alert("posted", Some("WL-4002")),
            alert("told", None),
            alert("recognised", Some("WL-4002")),
            alert("received", Some("WL-3006")),
            alert("planned", None),
        ];
        let snapshot = LevelsSnapshot {
            at_ms: 0,
            day_start_ms: 0,
            caught_up: true,
            problem: None,
            levels: Vec::new(),
            classes: Vec::new(),
            alerts,
        };
        let levels = |risk: &Risk<'_>| risk.alerts.iter().map(|alert| alert.level).collect::<Vec<_>>();
        let told: Vec<_> = snapshot.risks().iter().map(levels).collect();
        assert_eq!(told, [vec!["posted", "recognised"], vec!["told"], vec!["received"], vec!["planned"]]);
    }
}
