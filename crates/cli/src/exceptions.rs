//! `wardline exceptions causes|ls|show|history|assign|comment|retry|correct|map|discard|resolve`: what the library of the operators knows
//! and does, for a terminal.

mod console;
mod correct;
mod decide;
mod sheet;
mod show;

pub(crate) use console::seen as seen_by_console;

use crate::agree::{self, quoted};
use crate::args::{Exceptions, ExceptionsAction, ExceptionsCauses, ExceptionsLs, Globals};
use crate::output::{self, Output};
use crate::{Failure, context, crosswalk, rooms};
use operations::exceptions::{
    self, Act, Cause, Discards, ExceptionsView, Filter, Listed, Page, RecordsError, Row, ViewError, money_text,
};
use runtime::codec::Codec;
use runtime::{Config, Shutdown, ShutdownTrigger};
use schemas::Exception;
use std::time::Duration;

/// Most exceptions of a first run.
const EXCEPTIONS_MAX: usize = 1_000_000;
/// Exceptions whose whole records are held in memory at once.
const CHUNK: usize = 200;
/// Stands for no subject and for nobody.
const NONE: &str = "-";
/// Longest wait until everything that is on record has been read.
const READ_MAX: Duration = Duration::from_secs(600);

/// Executes `wardline exceptions`.
pub fn execute(globals: &Globals, exceptions: &Exceptions) -> Result<(), Failure> {
    if let Some(console) = console::of(&exceptions.action)? {
        return context::block_on(console::act(&console, &exceptions.action))?;
    }
    let config = context::running(globals)?;
    context::block_on(async {
        match &exceptions.action {
            ExceptionsAction::Causes(options) => causes(&config, options).await,
            ExceptionsAction::Ls(options) => list(&config, options).await,
            ExceptionsAction::Show(options) => show::one(&config, options).await,
            ExceptionsAction::History(options) => show::history(&config, options).await,
            ExceptionsAction::Assign(options) => {
                let act = Act::Assign { to: options.to.clone() };
                decide::execute(&config, &options.decide, &act).await
            }
            ExceptionsAction::Comment(options) => decide::execute(&config, options, &Act::Comment).await,
            ExceptionsAction::Retry(options) => decide::execute(&config, options, &Act::Retry).await,
            ExceptionsAction::Correct(options) => correct::correct(&config, options).await,
            ExceptionsAction::Map(options) => correct::map(&config, options).await,
            ExceptionsAction::Discard(options) => {
                if options.approve {
                    return decide::approve_discard(&config, options).await;
                }
                decide::execute(&config, &options.decide, &Act::Discard).await
            }
            ExceptionsAction::Resolve(options) => {
                decide::execute(&config, options, &Act::Resolve { may_agree: true }).await
            }
        }
    })?
}

/// The newest record of every exception, oldest first.
pub async fn load(config: &Config, codec: &Codec) -> Result<Vec<Exception>, Failure> {
    exceptions::newest(&config.kafka, codec, EXCEPTIONS_MAX).await.map_err(records_failure)
}

/// Whether somebody still has to do something about it.
pub fn is_open(exception: &Exception) -> bool {
    exceptions::is_open(exception.state)
}

/// A view that goes on until the stop, and tells what it has read so far.
pub fn following(config: &Config, stop: &Shutdown) -> Result<ExceptionsView, Failure> {
    ExceptionsView::start(config, stop).map_err(view_failure)
}

/// A view that has read everything. It goes on as long as the trigger lives.
pub async fn view(config: &Config) -> Result<(ExceptionsView, ShutdownTrigger), Failure> {
    let (trigger, shutdown) = runtime::shutdown();
    let view = ExceptionsView::start(config, &shutdown).map_err(view_failure)?;
    view.until_caught_up(READ_MAX).await.map_err(view_failure)?;
    for missing in view.standing().incomplete {
        output::note(&missing);
    }
    Ok((view, trigger))
}

fn view_failure(error: ViewError) -> Failure {
    match error {
        ViewError::Config(error) => {
            Failure::usage(error, "correct operations.exceptions of the configuration; docs/errors explains the code")
        }
        ViewError::Wire(error) => Failure::registry(error),
        ViewError::Records(error) => records_failure(error),
        error @ (ViewError::Thread(_) | ViewError::Behind { .. }) => Failure::kafka(error),
    }
}

fn records_failure(error: RecordsError) -> Failure {
    match error {
        RecordsError::Wire(error) => Failure::registry(error),
        error @ (RecordsError::Kafka(_) | RecordsError::Stopped(_)) => Failure::kafka(error),
    }
}

async fn causes(config: &Config, options: &ExceptionsCauses) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    let causes = view.causes();
    let mut output = Output::stdout();
    if options.json {
        for cause in &causes {
            output.json(cause)?;
        }
        return output.finish();
    }
    let head = ["CODE", "ROOM", "SUBJECT", "EXCEPTIONS", "OVERDUE", "KEYS", "EVENTS", "WORTH", "SINCE", "EXAMPLE"];
    output.table(&head, &causes.iter().map(cause_row).collect::<Vec<_>>())?;
    output.finish()?;
    match causes.first() {
        None => output::note("no exception is open"),
        Some(first) => {
            if let Some(fix) = &first.suggested_fix {
                output::note(&format!("the first: {fix}"));
            }
            let again = retry_of(first);
            output::note(&format!(
                "what waits for a master record goes on by itself when that arrives; else: `{again}`"
            ));
            output::note("worth is what waits, by price or by the sender's charge; `+`: some of it says neither");
        }
    }
    Ok(())
}

/// The command that has the events of this cause processed again, and of no other one.
fn retry_of(cause: &Cause) -> String {
    let subject = cause.subject.as_deref().unwrap_or(NONE);
    format!(
        "wardline exceptions retry --code {} --room {} --subject {}",
        quoted(&cause.code),
        quoted(&cause.room),
        quoted(subject)
    )
}

fn cause_row(cause: &Cause) -> Vec<String> {
    vec![
        cause.code.clone(),
        cause.room.clone(),
        cause.subject.clone().unwrap_or_else(|| "-".to_owned()),
        cause.exceptions.to_string(),
        cause.overdue.to_string(),
        cause.keys.to_string(),
        cause.events.to_string(),
        worth(cause),
        output::told_time(cause.since),
        cause.message.clone(),
    ]
}

/// What waits is worth, by price or by the sender's charge, where it is known; `+` where some of it says neither.
fn worth(cause: &Cause) -> String {
    match (cause.money.is_empty(), cause.events_without_price > 0) {
        (true, _) => "-".to_owned(),
        (false, true) => format!("{} +", money_text(&cause.money)),
        (false, false) => money_text(&cause.money),
    }
}

async fn list(config: &Config, options: &ExceptionsLs) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    let filter = Filter {
        settled: options.all,
        code: options.code.clone(),
        room: options.room.clone(),
        subject: options.subject.as_deref().map(none_as_empty),
        assignee: options.assignee.as_deref().map(none_as_empty),
        overdue: options.overdue,
        to_approve: options.to_approve,
    };
    let most = options.limit.unwrap_or(usize::MAX);
    // The newest ones are wanted where not all are, and stand last all the same.
    let Listed { mut rows, total, .. } = view.list(&filter, Page { skip: 0, most, newest_first: true });
    rows.reverse();
    let mut output = Output::stdout();
    if options.json {
        whole(&view, &rows, &mut output).await?;
    } else {
        let head = ["ID", "RAISED", "DUE", "STATE", "WHO", "ROOM", "CODE", "MESSAGE"];
        output.table(&head, &rows.iter().map(list_row).collect::<Vec<_>>())?;
    }
    let discards = if options.to_approve && options.code.is_some() {
        Some(view.discards(&filter).await.map_err(view_failure)?)
    } else {
        None
    };
    if let Some(discards) = discards.as_ref().filter(|_| options.json) {
        output.json(&serde_json::json!({"discards": discards}))?;
    }
    let mappings = if options.to_approve { mappings(config, options, &mut output).await? } else { 0 };
    output.finish()?;
    for line in discards.iter().filter(|_| !options.json).flat_map(Discards::told) {
        output::note(&agree::plain(&line));
    }
    if rows.len() < total {
        output::note(&format!("the newest {} of {total}: --limit shows more", rows.len()));
    }
    if rows.is_empty() && mappings > 0 {
        output::note(
            "no exception waits for an approval, but mappings do: `wardline crosswalk approve KIND SOURCE CODE`",
        );
    } else if rows.is_empty() {
        output::note(&nothing_matches(options));
    } else if !options.json {
        output::note(
            "`wardline exceptions show ID` tells more; `retry ID` processes the event again; `causes` puts together what has one cause",
        );
    }
    Ok(())
}

/// The whole records of what is listed, some at a time; one that cannot be read leaves the others be.
async fn whole(view: &ExceptionsView, rows: &[Row], output: &mut Output) -> Result<(), Failure> {
    let mut told = 0;
    for rows in rows.chunks(CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.exception_id.as_str()).collect();
        let (found, _) = view.whole(&ids).await.map_err(view_failure)?;
        for row in rows {
            let Some(exception) = found.get(&row.exception_id) else { continue };
            output.json(&show::summary(exception, row)?)?;
            told += 1;
        }
    }
    if told < rows.len() {
        output::note(&format!("{} of them cannot be read, or change just now", rows.len() - told));
    }
    Ok(())
}

/// The mappings that wait for a second person, behind the exceptions that do; how many. They are of no room and no person.
async fn mappings(config: &Config, options: &ExceptionsLs, output: &mut Output) -> Result<usize, Failure> {
    let is_narrowed =
        [&options.code, &options.room, &options.subject, &options.assignee].into_iter().any(Option::is_some);
    if is_narrowed || options.overdue {
        return Ok(0);
    }
    let waiting = crosswalk::waiting(config.clone()).await?;
    if options.json {
        waiting.iter().try_for_each(|one| output.json(&serde_json::json!({"mapping": one})))?;
    } else if !waiting.is_empty() {
        output.line("")?;
        let head = ["KIND", "SOURCE", "CODE", "MEANS", "IS TO MEAN", "PROPOSED BY", "REASON", "MARK"];
        output.table(&head, &waiting.iter().map(crosswalk::waiting_row).collect::<Vec<_>>())?;
    }
    Ok(waiting.len())
}

fn list_row(row: &Row) -> Vec<String> {
    let due = match (row.is_open(), row.is_overdue) {
        (false, _) => "-".to_owned(),
        (true, true) => format!("{} overdue", output::told_time(row.due_at)),
        (true, false) => output::told_time(row.due_at),
    };
    let state = row.state.as_str().to_owned();
    vec![
        row.exception_id.chars().take(8).collect(),
        output::told_time(row.raised_at),
        due,
        match (&row.discard_requested_by, &row.correction_requested_by) {
            (Some(by), _) if row.is_open() => format!("{state}, {by} wants to discard it"),
            (None, Some(by)) if row.is_open() => format!("{state}, {by} wants to correct it"),
            _ => state,
        },
        row.assignee.clone().unwrap_or_else(|| "-".to_owned()),
        row.room.clone(),
        row.code.clone(),
        row.message.clone(),
    ]
}

/// What is typed for nothing and nobody is an empty text in the library.
fn none_as_empty(text: &str) -> String {
    if text == NONE { String::new() } else { text.to_owned() }
}

/// An empty list may be good news or a misspelt filter: the reader must know which.
fn nothing_matches(options: &ExceptionsLs) -> String {
    let code = options.code.as_ref().map(|code| format!(" with code {code}")).unwrap_or_default();
    let room = options.room.as_ref().map(|room| format!(" of room {room}")).unwrap_or_default();
    let about = match options.subject.as_deref() {
        None => String::new(),
        Some(NONE) => " about nothing".to_owned(),
        Some(about) => format!(" about {about}"),
    };
    let who = match options.assignee.as_deref() {
        None => String::new(),
        Some(NONE) => " that nobody has".to_owned(),
        Some(who) => format!(" that {who} has"),
    };
    let late = if options.overdue { " that is overdue" } else { "" };
    let approve = if options.to_approve { " that waits for an approval" } else { "" };
    let unknown = options.room.as_deref().filter(|room| !rooms::names().contains(room));
    let unknown = unknown.map(|_| format!(": the rooms are {}", rooms::names().join(", "))).unwrap_or_default();
    let (open, all) = if options.all { ("", "") } else { ("open ", "; --all also shows those that are settled") };
    format!("no {open}exception{code}{room}{about}{who}{late}{approve}{unknown}{all}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_what_was_looked_for() {
        let options = |code: Option<&str>, room: Option<&str>, all| ExceptionsLs {
            all,
            code: code.map(str::to_owned),
            room: room.map(str::to_owned),
            ..ExceptionsLs::default()
        };
        let said = nothing_matches(&options(Some("WL-1"), Some("validat"), false));
        assert!(said.starts_with("no open exception with code WL-1 of room validat: the rooms are "), "{said}");
        assert!(said.contains("validate") && said.contains("--all"), "{said}");
        assert_eq!(nothing_matches(&options(None, Some("validate"), true)), "no exception of room validate");
        let mine =
            ExceptionsLs { assignee: Some("ada".to_owned()), overdue: true, all: true, ..ExceptionsLs::default() };
        assert_eq!(nothing_matches(&mine), "no exception that ada has that is overdue");
        let free = ExceptionsLs { subject: text("master.item.v1/4711"), assignee: text("-"), all: true, ..mine };
        let said = "no exception about master.item.v1/4711 that nobody has that is overdue";
        assert_eq!(nothing_matches(&free), said);
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_cause_is_retried_with_its_room_and_what_it_is_about() {
        let cause = |subject: Option<&str>| Cause {
            code: "WL-4001".to_owned(),
            room: "validate".to_owned(),
            subject: subject.map(str::to_owned),
            message: String::new(),
            suggested_fix: None,
            exceptions: 1,
            keys: 1,
            events: 1,
            since: 0,
            overdue: 0,
            due: 0,
            money: Vec::new(),
            events_without_price: 0,
        };
        let of = "wardline exceptions retry --code WL-4001 --room validate --subject";
        assert_eq!(retry_of(&cause(Some("master.item.v1/4711"))), format!("{of} master.item.v1/4711"));
        assert_eq!(retry_of(&cause(Some("item/a b;c"))), format!("{of} 'item/a b;c'"));
        assert_eq!(retry_of(&cause(None)), format!("{of} -"), "else it would mean every subject");
    }
}
