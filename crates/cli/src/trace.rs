//! `wardline trace ID`: one event from the source message to the ERP document and the supplier's answer.

use crate::args::{Globals, Trace};
use crate::output::{self, Output};
use crate::{Failure, context, sight, unmask};
use operations::audit::Shown;
use operations::sight::trace::{Gap, Question, SINCE_FORM, Step, Trace as Answer, since_ms};
use runtime::clock;
use runtime::readers::Readers;
use std::collections::BTreeSet;

/// Executes `wardline trace`.
pub fn execute(globals: &Globals, options: &Trace) -> Result<(), Failure> {
    if options.with_phi {
        unmask::check(&options.unmask)?;
    }
    let since_ms = options.since.as_deref().map(|text| since(text, clock::now_micros() / 1_000)).transpose()?;
    let config = context::running(globals)?;
    let question = Question {
        id: options.id.clone(),
        kind: options.asked_as.map(Into::into),
        since_ms,
        with_phi: options.with_phi,
    };
    let progress = output::spinner("looking for the id");
    let shown = progress.clone();
    let readers = Readers::new(&config.kafka);
    let answer = context::block_on(operations::sight::trace::trace(&config, &readers, question, move |topic| {
        shown.set_message(format!("looking for the id in {topic}"));
    }));
    progress.finish_and_clear();
    let answer = answer?.map_err(sight::failure)?;
    output::note(&answer.searched.text());
    if answer.steps.is_empty() {
        return Err(Failure::new(
            format!("WL-7064: nothing on the topics has the id {}", options.id),
            "give an id as it stands in a record, a header or a log line; retention may have removed it",
        ));
    }
    if options.with_phi {
        context::block_on(unmask::record(&config, &options.unmask, shown_of(&answer)))??;
    }
    print(&answer, options.json)
}

/// What goes on record: the ids that were found, since what somebody typed may be about a patient.
fn shown_of(answer: &Answer) -> Shown {
    let exception = |step: &Step| step.value.get("exceptionId")?.as_str().map(str::to_owned);
    Shown {
        what: "patient data on the way of an event",
        event_id: answer.steps.iter().find_map(|step| step.event_id.clone()),
        exception_id: answer.steps.iter().find_map(exception),
        ..Shown::default()
    }
}

fn print(answer: &Answer, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        for step in &answer.steps {
            output.json(step)?;
        }
        for gap in &answer.gaps {
            output.json(&serde_json::json!({ "gap": gap }))?;
        }
        return output.finish();
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (index, step) in answer.steps.iter().enumerate() {
        rows.push(row(step));
        let named = |gap: &&Gap| gap.after_step == index && !gap.is_open;
        rows.extend(
            answer.gaps.iter().filter(named).map(|gap| {
                vec![String::new(), length(gap.duration_ms), String::new(), String::new(), gap.reason.clone()]
            }),
        );
    }
    output.table(&["TIME", "SINCE BEFORE", "PLACE", "TYPE", "WHAT"], &rows)?;
    for gap in answer.gaps.iter().filter(|gap| gap.is_open) {
        output.line(format!("{} (for {})", gap.reason, length(gap.duration_ms)))?;
    }
    for message in answer.steps.iter().filter_map(|step| step.message.as_ref()).collect::<BTreeSet<_>>() {
        output.line(format!("as it came: wardline message {message}"))?;
    }
    output.finish()
}

fn row(step: &Step) -> Vec<String> {
    vec![
        output::told_milli(step.time_ms.saturating_mul(1_000)),
        step.since_before_ms.map_or_else(String::new, |duration| format!("+{}", length(duration))),
        step.place.clone(),
        step.event_type.clone().unwrap_or_else(|| "-".to_owned()),
        step.summary.clone(),
    ]
}

/// A duration for people.
pub fn length(duration_ms: i64) -> String {
    match duration_ms {
        ..1_000 => format!("{duration_ms} ms"),
        1_000..60_000 => format!("{}.{} s", duration_ms / 1_000, duration_ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", duration_ms / 60_000, duration_ms % 60_000 / 1_000),
        _ => format!("{} h {} min", duration_ms / 3_600_000, duration_ms % 3_600_000 / 60_000),
    }
}

/// A duration before now, or a time, as milliseconds since 1970.
pub fn since(text: &str, now_ms: i64) -> Result<i64, Failure> {
    since_ms(text, now_ms)
        .ok_or_else(|| Failure::usage(format!("WL-7066: --since {text} is neither a duration nor a time"), SINCE_FORM))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_duration_or_a_time_says_how_far_back_to_look() {
        let now = 1_000_000_000_000;
        assert_eq!(since("90m", now).unwrap(), now - 5_400_000);
        assert_eq!(since("30d", now).unwrap(), now - 30 * 86_400_000);
        assert_eq!(since("1970-01-01T00:00:01Z", now).unwrap(), 1_000);
        for wrong in ["", "0h", "-3d", "yesterday", "12", "9999999999999999d"] {
            assert!(since(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_for_people() {
        assert_eq!(length(12), "12 ms");
        assert_eq!(length(2_940), "2.9 s");
        assert_eq!(length(125_000), "2 min 5 s");
        assert_eq!(length(7_380_000), "2 h 3 min");
    }
}
