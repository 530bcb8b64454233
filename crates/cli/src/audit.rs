//! `wardline audit ls`: what people did, were shown and were denied, and what Wardline left out.

use crate::args::{AuditAction, AuditLs, AuditOptions, Globals};
use crate::output::{self, Output};
use crate::{Failure, context, trace};
use operations::audit::{self, AuditBounds, AuditEntry, AuditError, AuditFilter, AuditFound};
use runtime::codec::Codec;
use runtime::readers::Readers;
use runtime::{Config, clock};
use serde_json::json;
use std::time::Duration;

/// Most records that one list looks at.
const LOOKED_AT_MAX: u64 = 1_000_000;
/// How long one list goes on looking.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Characters of an id that are enough to find it again.
const SHORT: usize = 13;

/// Executes `wardline audit`.
pub fn execute(globals: &Globals, options: &AuditOptions) -> Result<(), Failure> {
    let AuditAction::Ls(options) = &options.action;
    let filter = filter(options, clock::now_micros() / 1_000)?;
    let config = context::running(globals)?;
    let progress = output::spinner("reading what is on record");
    let found = context::block_on(look(&config, &filter, options));
    progress.finish_and_clear();
    print(&found??, options.json)
}

async fn look(config: &Config, filter: &AuditFilter, options: &AuditLs) -> Result<AuditFound, Failure> {
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let bounds = AuditBounds { wanted: usize::from(options.limit), looked_at_max: LOOKED_AT_MAX, time: LOOK_MAX };
    let readers = Readers::new(&config.kafka);
    audit::look(&readers, &codec, filter, options.older.as_ref(), bounds).await.map_err(failure)
}

fn filter(options: &AuditLs, now_ms: i64) -> Result<AuditFilter, Failure> {
    let moment = |text: &Option<String>, is_end: bool| {
        let micros = |text: &String| match trace::since(text, now_ms) {
            Ok(milliseconds) => Ok(milliseconds.saturating_mul(1_000)),
            Err(_) => audit::moment(text, is_end).map_err(failure),
        };
        text.as_ref().map(micros).transpose()
    };
    Ok(AuditFilter {
        kinds: options.kind.iter().copied().map(Into::into).collect(),
        room: options.room.clone(),
        who: options.who.clone(),
        exception: options.exception.clone(),
        code: options.code.clone(),
        from: moment(&options.from, false)?,
        until: moment(&options.until, true)?,
    })
}

fn failure(error: AuditError) -> Failure {
    match error {
        AuditError::Read(error) => Failure::kafka(error),
        AuditError::Wire(error) => Failure::registry(error),
        AuditError::Stopped(_) => Failure::new(error, "try again; when it happens again, tell the maintainers"),
        AuditError::Question(_) => {
            Failure::usage(error, "correct what is named; `wardline audit ls --help` tells the forms")
        }
    }
}

fn print(found: &AuditFound, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let back_to = found.back_to_ms.map(output::time_text);
    if json {
        found.records.iter().try_for_each(|entry| output.json(entry))?;
        output.json(&json!({ "lookedAt": found.looked_at, "backTo": back_to, "older": found.older }))?;
        return output.finish();
    }
    if !found.records.is_empty() {
        let rows: Vec<Vec<String>> = found.records.iter().map(row).collect();
        output.table(&["TIME", "WHAT", "ROOM", "WHO", "CODE", "ABOUT", "DETAIL"], &rows)?;
    }
    output.finish()?;
    if found.records.is_empty() {
        output::note("nothing on record fits");
    }
    output::note(&standing(found));
    if !found.records.is_empty() {
        output::note(
            "`wardline exceptions history ID` tells all about an exception, `wardline trace ID` about an event, `wardline explain CODE` about a code",
        );
    }
    Ok(())
}

/// How far back was looked, and how to go on.
fn standing(found: &AuditFound) -> String {
    let back = found.back_to_ms.map_or_else(
        || "all that is asked for".to_owned(),
        |time| format!("everything back to {}", output::told_time(time.saturating_mul(1_000))),
    );
    let older = found.older.as_ref().map(|older| format!("; for older ones add --older {older}")).unwrap_or_default();
    format!("looked at {} records, {back}{older}", found.looked_at)
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let audit = &entry.audit;
    vec![
        output::told_time(audit.at.0),
        audit.kind.as_str().to_lowercase(),
        audit.room.clone(),
        audit.actor.clone().unwrap_or_else(|| "-".to_owned()),
        audit.code.clone(),
        about(entry),
        audit.detail.clone(),
    ]
}

/// What the record is about, by the id that the other commands take.
fn about(entry: &AuditEntry) -> String {
    let audit = &entry.audit;
    let short = |id: &str| id.chars().take(SHORT).collect::<String>();
    let place = || {
        let (topic, partition, offset) = (audit.origin_topic.as_ref()?, audit.origin_partition?, audit.origin_offset?);
        Some(format!("{topic}-{partition}@{offset}"))
    };
    let exception = audit.exception_id.as_deref().map(|id| format!("exception {}", short(id)));
    let event = || audit.event_id.as_ref().map(|id| format!("event {id}"));
    exception.or_else(event).or_else(place).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{Arguments, Command};
    use clap::Parser as _;
    use operations::Offsets;
    use schemas::{Audit, AuditKind, Timestamp};

    fn typed(arguments: &[&str]) -> AuditLs {
        let all = [&["wardline", "audit", "ls"], arguments].concat();
        let Command::Audit(AuditOptions { action: AuditAction::Ls(options) }) =
            Arguments::try_parse_from(all).unwrap().command
        else {
            unreachable!("it was asked for")
        };
        options
    }

    #[test]
    fn what_is_typed_is_what_is_asked_for() {
        let options = typed(&["--kind", "action,replay", "--who", "ada", "--from", "2h", "--until", "1970-01-02"]);
        let filter = filter(&options, 10_000_000_000).unwrap();
        assert_eq!(filter.kinds, [AuditKind::Action, AuditKind::Replay]);
        assert_eq!((filter.from, filter.until), (Some(9_992_800_000_000), Some(2 * 86_400_000_000 - 1)));
        assert_eq!(typed(&["--older", "0:17,2:4"]).older, Some(Offsets::new([(0, 17), (2, 4)])));
        let wrong = typed(&["--from", "yesterday"]);
        assert!(super::filter(&wrong, 0).unwrap_err().to_string().contains("WL-7272"));
    }

    #[test]
    fn a_row_names_what_it_is_about_and_the_end_says_how_to_go_on() {
        let audit = Audit {
            room: "cli".to_owned(),
            kind: AuditKind::Action,
            code: "show-original".to_owned(),
            origin_topic: Some("ops.dead-letter.v1".to_owned()),
            origin_partition: Some(2),
            origin_offset: Some(17),
            detail: "was shown the bytes of a dead letter: the sender asks".to_owned(),
            actor: Some("ada (as deploy)".to_owned()),
            at: Timestamp(1_000_000),
            ..Audit::default()
        };
        let entry = |audit: Audit| AuditEntry { place: "0@1".to_owned(), audit };
        let shown = row(&entry(audit.clone()));
        assert_eq!(shown[..4], ["1970-01-01 00:00:01 UTC", "action", "cli", "ada (as deploy)"]);
        assert_eq!(shown[5], "ops.dead-letter.v1-2@17");
        let event = Audit { event_id: Some("e1".to_owned()), ..audit.clone() };
        assert_eq!(about(&entry(event.clone())), "event e1");
        let exception = Audit { exception_id: Some("0123456789abcdef".to_owned()), ..event };
        assert_eq!(about(&entry(exception)), "exception 0123456789abc");
        let mut found = AuditFound { records: Vec::new(), looked_at: 9, back_to_ms: None, older: None };
        assert_eq!(standing(&found), "looked at 9 records, all that is asked for");
        (found.back_to_ms, found.older) = (Some(1_000), Some(Offsets::new([(0, 5)])));
        let said = "looked at 9 records, everything back to 1970-01-01 00:00:01 UTC; for older ones add --older 0:5";
        assert_eq!(standing(&found), said);
    }
}
