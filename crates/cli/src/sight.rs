//! `wardline sla` and `wardline activity`: what was promised and what is done.

use crate::args::{Activity, Globals, Sla};
use crate::output::{self, Output};
use crate::{Failure, context, exceptions, trace};
use operations::sight::SightError;
use operations::sight::levels::{self, AlertCause, LevelAlert, LevelReport, LevelsSnapshot, LevelsView, Risk};
use operations::sight::worth::{DomainWork, Parked};
use runtime::health::Health;
use runtime::{Config, shutdown};
use std::sync::Arc;
use std::time::Duration;

/// Between two prints of `--watch`.
const AGAIN: Duration = Duration::from_secs(2);

/// What to do next when nothing can be seen.
pub fn failure(error: SightError) -> Failure {
    match error {
        SightError::Read(error) => Failure::kafka(error),
        SightError::Wire(error) => Failure::registry(error),
        SightError::Stopped(_) => Failure::new(error, "try again; when it happens again, tell the maintainers"),
        SightError::Question(_) => Failure::usage(error, "correct what is named; docs/errors explains the code"),
    }
}

/// Executes `wardline sla`.
pub fn sla(globals: &Globals, options: &Sla) -> Result<(), Failure> {
    let config = Arc::new(context::running(globals)?);
    if options.watch {
        return context::block_on(watch(config, options))?;
    }
    let progress = output::spinner("reading today");
    let read = context::block_on(levels::today(Arc::clone(&config)));
    progress.finish_and_clear();
    let (mut snapshot, _) = read?.map_err(failure)?;
    // Without an alert nobody has to go through what waits.
    if !snapshot.alerts.is_empty() {
        let (view, _running) = context::block_on(exceptions::view(&config))??;
        snapshot.name_causes(&view.causes());
    }
    print_levels(&snapshot, options.json)
}

async fn watch(config: Arc<Config>, options: &Sla) -> Result<(), Failure> {
    let (trigger, stop) = shutdown();
    let health = Health::new();
    let told = health.room("sla");
    let _page = match &options.listen {
        Some(address) => Some(health.serve(address).await.map_err(|error| {
            Failure::new(
                format!("WL-7073: cannot serve metrics at {address}: {error}"),
                "give --listen an address of this machine that is free",
            )
        })?),
        None => None,
    };
    let waits = exceptions::following(&config, &stop)?;
    let causes = waits.clone();
    let view = LevelsView::naming(config, stop.clone(), move || causes.causes()).map_err(failure)?;
    let signal = tokio::spawn(trigger.stop_on_signal());
    while !stop.requested() {
        let mut snapshot = view.snapshot();
        if !snapshot.alerts.is_empty() {
            snapshot.name_causes(&waits.causes());
        }
        if let Some(problem) = &snapshot.problem {
            output::note(&format!("not followed at the moment: {problem}"));
        } else if snapshot.caught_up {
            told.ready();
            print_levels(&snapshot, options.json)?;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.wait() => {}
        }
    }
    signal.abort();
    Ok(())
}

fn print_levels(snapshot: &LevelsSnapshot, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(snapshot)?;
        return output.finish();
    }
    let rows: Vec<Vec<String>> = snapshot.levels.iter().map(|level| row(level, snapshot.at_ms)).collect();
    let head =
        ["LEVEL", "STATE", "TODAY", "TARGET", "WITHIN", "IN TIME", "MISSED", "WAIT", "OLDEST", "P50", "P99", "BREACH"];
    output.table(&head, &rows)?;
    output.line("")?;
    for class in &snapshot.classes {
        let oldest = match class.waiting {
            0 => String::new(),
            _ => format!(", the oldest for {} s", class.oldest_waiting_s),
        };
        output.line(format!("{}: {} wait{oldest}", class.class.as_str(), class.waiting))?;
    }
    for risk in snapshot.risks() {
        output.line(alerted(&risk, snapshot.at_ms))?;
    }
    output.finish()?;
    Ok(())
}

/// The service levels that one cause puts at risk: how much waits, for what, and what to type next.
fn alerted(risk: &Risk<'_>, now_ms: i64) -> String {
    let levels: Vec<String> = risk.alerts.iter().map(|alert| at_risk(alert, now_ms)).collect();
    let next = risk.alerts.first().map(|alert| alert.next.as_str()).unwrap_or_default();
    format!("{}\n  {}; next: `{next}`", levels.join("\n"), caused(risk.cause))
}

fn at_risk(alert: &LevelAlert, now_ms: i64) -> String {
    let breach = if alert.breach_at_ms <= now_ms {
        "there are too many misses already".to_owned()
    } else {
        format!("there will be too many misses in {}", trace::length(alert.breach_at_ms - now_ms))
    };
    let (level, class, overdue) = (alert.level, alert.class.as_str(), alert.overdue);
    let oldest = alert.oldest_waiting_s;
    format!("AT RISK {level} ({class}): {overdue} events wait beyond the promise, the oldest for {oldest} s; {breach}")
}

/// What most of what waits on its way waits for.
fn caused(cause: Option<&AlertCause>) -> String {
    let Some(AlertCause { room, code, subject, events, .. }) = cause else {
        return "no exception is open on its way: a room is behind or away".to_owned();
    };
    let subject = subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
    format!("most of what waits on its way waits in {room} for {code}{subject}: {events} events")
}

fn row(level: &LevelReport, now_ms: i64) -> Vec<String> {
    let duration = |time_ms: Option<u64>| {
        time_ms.map_or_else(|| "-".to_owned(), |time| trace::length(i64::try_from(time).unwrap_or(i64::MAX)))
    };
    let breach = match level.breach_at_ms {
        None => "-".to_owned(),
        Some(at) if at <= now_ms => "now".to_owned(),
        Some(at) => format!("in {}", trace::length(at - now_ms)),
    };
    vec![
        level.name.to_owned(),
        level.state.as_str().to_owned(),
        level.attainment_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.2} %")),
        format!("{} %", level.target_percent),
        duration(Some(level.within_ms)),
        level.in_time.to_string(),
        format!("{} of {}", level.budget_used, level.budget),
        level.waiting.to_string(),
        format!("{} s", level.oldest_waiting_s),
        duration(level.median_ms),
        duration(level.p99_ms),
        breach,
    ]
}

/// Executes `wardline activity`.
pub fn activity(globals: &Globals, options: &Activity) -> Result<(), Failure> {
    let config = Arc::new(context::running(globals)?);
    let progress = output::spinner("reading today");
    let read = context::block_on(work(config));
    progress.finish_and_clear();
    let domains = read??;
    let mut output = Output::stdout();
    if options.json {
        for domain in &domains {
            output.json(domain)?;
        }
        return output.finish();
    }
    let rows: Vec<Vec<String>> = domains.iter().flat_map(|domain| hours(domain, options.hours)).collect();
    output.table(&["DOMAIN", "HOUR", "IN", "DONE", "LEFT OUT", "LOST", "WAIT", "EXCEPTIONS", "P50", "P99"], &rows)?;
    output.line("")?;
    for domain in &domains {
        output.line(format!("{}: {}", domain.activity.domain.as_str(), waits(&domain.parked)))?;
    }
    output.finish()?;
    output::note("`wardline exceptions causes` says what holds events up, and what that is worth");
    Ok(())
}

/// What each domain did, and what is parked in it.
async fn work(config: Arc<Config>) -> Result<Vec<DomainWork>, Failure> {
    let (view, _running) = exceptions::view(&config).await?;
    let (_, domains) = levels::today(config).await.map_err(failure)?;
    let stopped = view.stopped();
    Ok(domains.into_iter().map(|activity| DomainWork::new(activity, &stopped)).collect())
}

/// What is parked in a domain, in one line.
fn waits(parked: &Parked) -> String {
    let worth = parked.worth().map(|worth| format!(", worth {worth}")).unwrap_or_default();
    let unknown = match parked.events_without_price {
        0 => String::new(),
        events => format!(" ({events} without price and charge)"),
    };
    format!("{} events are parked{worth}{unknown}", parked.events)
}

fn hours(work: &DomainWork, most: u8) -> Vec<Vec<String>> {
    let domain = &work.activity;
    let duration = |time_ms: Option<u64>| {
        time_ms.map_or_else(|| "-".to_owned(), |time| trace::length(i64::try_from(time).unwrap_or(i64::MAX)))
    };
    let skipped = domain.hours.len().saturating_sub(usize::from(most));
    let hours = domain.hours.iter().skip(skipped).map(|hour| {
        vec![
            domain.domain.as_str().to_owned(),
            output::told_minute(hour.hour_ms.saturating_mul(1_000)),
            hour.came.to_string(),
            hour.done.to_string(),
            hour.left_out.to_string(),
            hour.lost.to_string(),
            hour.waiting.to_string(),
            hour.exceptions.to_string(),
            duration(hour.p50_ms),
            duration(hour.p99_ms),
        ]
    });
    hours.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use operations::exceptions::Money;
    use schemas::{Criticality, Decimal};

    #[test]
    fn what_waits_is_told_with_its_worth() {
        let parked = Parked {
            events: 3,
            money: vec![Money { currency: "EUR".to_owned(), amount: Decimal::new(125_050, 2) }],
            events_without_price: 1,
        };
        assert_eq!(waits(&parked), "3 events are parked, worth 1\u{202f}250.50 EUR (1 without price and charge)");
        assert_eq!(waits(&Parked::default()), "0 events are parked");
    }

    #[test]
    fn a_level_at_risk_says_since_when_and_until_when() {
        let alert = |breach_at_ms, cause: Option<&AlertCause>| LevelAlert {
            level: "usage-posted",
            class: Criticality::PatientAdjacent,
            overdue: 2,
            oldest_waiting_s: 130,
            breach_at_ms,
            cause: cause.cloned(),
            next: "wardline status".to_owned(),
        };
        let told = |alert: &LevelAlert| alerted(&Risk { cause: alert.cause.as_ref(), alerts: vec![alert] }, 5_000);
        let start = "AT RISK usage-posted (patient-adjacent): 2 events wait beyond the promise, the oldest for 130 s; ";
        let end = "\n  no exception is open on its way: a room is behind or away; next: `wardline status`";
        assert_eq!(told(&alert(5_000, None)), format!("{start}there are too many misses already{end}"));
        let soon = "there will be too many misses in 1 min 0 s";
        assert_eq!(told(&alert(65_000, None)), format!("{start}{soon}{end}"));
        let cause = AlertCause {
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            subject: Some("master.item.v1/I-7".to_owned()),
            events: 12,
            exceptions: 3,
        };
        let end = "\n  most of what waits on its way waits in validate for WL-4001 master.item.v1/I-7: 12 events; next: `wardline status`";
        assert_eq!(told(&alert(65_000, Some(&cause))), format!("{start}{soon}{end}"));
        let (one, other) = (alert(65_000, Some(&cause)), alert(5_000, Some(&cause)));
        let both = Risk { cause: Some(&cause), alerts: vec![&one, &other] };
        let second = format!("\n{start}there are too many misses already");
        assert_eq!(alerted(&both, 5_000), format!("{start}{soon}{second}{end}"), "the cause is told once");
    }
}
