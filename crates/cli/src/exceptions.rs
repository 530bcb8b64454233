//! `wardline exceptions causes|ls|show|retry|discard|resolve`.
//!
//! An exception is a chain of records under its id, each with the whole item; what a person decides is one more record.

mod causes;
mod decide;

use crate::args::{Exceptions, ExceptionsAction, ExceptionsLs, ExceptionsShow, Globals};
use crate::output::{self, Output};
use crate::{Failure, context, decode, rooms};
use decide::Decision;
use runtime::Config;
use runtime::codec::Codec;
use runtime::reader;
use schemas::{Exception, ExceptionState, topics};
use serde_json::{Value, json};

/// Most exceptions held in memory.
const EXCEPTIONS_MAX: usize = 1_000_000;

/// Executes `wardline exceptions`.
pub fn execute(globals: &Globals, exceptions: &Exceptions) -> Result<(), Failure> {
    let config = context::running(globals)?;
    context::block_on(async {
        match &exceptions.action {
            ExceptionsAction::Causes(options) => causes::list(&config, options).await,
            ExceptionsAction::Ls(options) => list(&config, options).await,
            ExceptionsAction::Show(options) => show(&config, options).await,
            ExceptionsAction::Retry(options) => decide::execute(&config, options, Decision::Retry).await,
            ExceptionsAction::Discard(options) => decide::execute(&config, options, Decision::Discard).await,
            ExceptionsAction::Resolve(options) => decide::execute(&config, options, Decision::Resolve).await,
        }
    })?
}

/// The newest state of every exception, oldest first.
pub async fn load(config: &Config, codec: &Codec) -> Result<Vec<Exception>, Failure> {
    let kafka = config.kafka.clone();
    let topic = topics::OPS_EXCEPTION_V1.name();
    let records = tokio::task::spawn_blocking(move || reader::latest_by_key(&kafka, topic, EXCEPTIONS_MAX))
        .await
        .map_err(Failure::kafka)?
        .map_err(Failure::kafka)?;
    let mut exceptions = Vec::with_capacity(records.len());
    for record in records.values() {
        exceptions.extend(decode::typed::<Exception>(codec, record).await.map_err(Failure::registry)?);
    }
    exceptions
        .sort_by(|one, other| (one.raised_at.0, &one.exception_id).cmp(&(other.raised_at.0, &other.exception_id)));
    Ok(exceptions)
}

/// The one exception whose id starts so, if there is any.
pub fn starting<'a>(all: &'a [Exception], start: &str) -> Result<Option<&'a Exception>, Failure> {
    let mut matching = all.iter().filter(|exception| exception.exception_id.starts_with(start));
    match (matching.next(), matching.next()) {
        (Some(_), Some(_)) => Err(Failure::usage(
            format!("WL-7063: several exceptions have an id that starts with {start}"),
            "give more characters of the id",
        )),
        (one, _) => Ok(one),
    }
}

/// Whether somebody still has to do something about it.
pub fn is_open(exception: &Exception) -> bool {
    !matches!(exception.state, ExceptionState::Resolved | ExceptionState::Discarded)
}

async fn list(config: &Config, options: &ExceptionsLs) -> Result<(), Failure> {
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let wanted = |exception: &Exception| {
        (options.all || is_open(exception))
            && options.code.as_ref().is_none_or(|code| *code == exception.code)
            && options.room.as_ref().is_none_or(|room| *room == exception.room)
    };
    let found: Vec<Exception> = load(config, &codec).await?.into_iter().filter(wanted).collect();
    let mut output = Output::stdout();
    if options.json {
        for exception in &found {
            output.json(&summary(exception)?)?;
        }
        output.finish()?;
        if found.is_empty() {
            output::note(&nothing_matches(options));
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|exception| {
            vec![
                exception.exception_id.chars().take(8).collect(),
                output::time_text(exception.raised_at.0 / 1_000).chars().take(19).collect(),
                exception.state.as_str().to_owned(),
                exception.room.clone(),
                exception.code.clone(),
                exception.message.clone(),
            ]
        })
        .collect();
    output.table(&["ID", "RAISED", "STATE", "ROOM", "CODE", "MESSAGE"], &rows)?;
    output.finish()?;
    if found.is_empty() {
        output::note(&nothing_matches(options));
    } else {
        output::note(
            "`wardline exceptions show ID` tells more; `retry ID` processes the event again; `causes` puts together what has one cause",
        );
    }
    Ok(())
}

/// An empty list may be good news or a misspelt filter: the reader must know which.
fn nothing_matches(options: &ExceptionsLs) -> String {
    let code = options.code.as_ref().map(|code| format!(" with code {code}")).unwrap_or_default();
    let room = options.room.as_ref().map(|room| format!(" of room {room}")).unwrap_or_default();
    let unknown = options.room.as_deref().filter(|room| !rooms::names().contains(room));
    let unknown = unknown.map(|_| format!(": the rooms are {}", rooms::names().join(", "))).unwrap_or_default();
    let (open, all) = if options.all { ("", "") } else { ("open ", "; --all also shows those that are settled") };
    format!("no {open}exception{code}{room}{unknown}{all}")
}

async fn show(config: &Config, options: &ExceptionsShow) -> Result<(), Failure> {
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let all = load(config, &codec).await?;
    let exception = pick(&all, &options.id)?;
    let mut output = Output::stdout();
    if options.raw {
        output.bytes(exception.raw_value.as_ref().map_or(&[][..], AsRef::as_ref))?;
        return output.finish();
    }
    let summary = summary(exception)?;
    if options.json {
        output.json(&summary)?;
    } else if let Value::Object(fields) = &summary {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null() && **value != json!([])) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            output.line(format!("{name:<16} {text}"))?;
        }
    }
    output.finish()
}

/// The one exception whose id starts so.
fn pick<'a>(all: &'a [Exception], start: &str) -> Result<&'a Exception, Failure> {
    starting(all, start)?.ok_or_else(|| {
        Failure::usage(
            format!("WL-7063: no exception has an id that starts with {start}"),
            "list them with `wardline exceptions ls --all`",
        )
    })
}

/// All but the original bytes, which are told by their size.
fn summary(exception: &Exception) -> Result<Value, Failure> {
    let size = |bytes: Option<&schemas::Bytes>| bytes.map(|bytes| bytes.as_ref().len());
    let sizes = (size(exception.raw_value.as_ref()), exception.raw_headers.len());
    let lean = Exception { raw_value: None, raw_headers: Vec::new(), ..exception.clone() };
    let mut value = serde_json::to_value(&lean).map_err(|error| Failure::new(error, "report this as a defect"))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("rawValue".to_owned(), sizes.0.map_or(Value::Null, |size| json!(format!("{size} bytes"))));
        fields.insert("rawHeaders".to_owned(), json!(sizes.1));
        // Keys are pseudonyms in text; as arrays of numbers nobody can read them.
        let key =
            |bytes: Option<&schemas::Bytes>| bytes.map(|bytes| String::from_utf8_lossy(bytes.as_ref()).into_owned());
        fields.insert("originKey".to_owned(), json!(key(exception.origin_key.as_ref())));
        fields.insert("rawKey".to_owned(), json!(key(exception.raw_key.as_ref())));
        for name in ["raisedAt", "at"] {
            let micros = fields.get(name).and_then(Value::as_i64);
            if let Some(micros) = micros {
                fields.insert(name.to_owned(), json!(output::time_text(micros / 1_000)));
            }
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_an_id_is_enough_when_it_is_unique() {
        let all = ["3aa58b87-1", "3aa58b87-2", "3b5d68dd-1"]
            .map(|id| Exception { exception_id: id.to_owned(), ..Exception::default() });
        let found = |start| starting(&all, start).map(|found| found.map(|one| one.exception_id.as_str()));
        assert_eq!(found("3b5d68dd"), Ok(Some("3b5d68dd-1")));
        assert_eq!(found("V1"), Ok(None));
        assert!(found("3aa58b87").is_err_and(|said| said.to_string().contains("WL-7063")));
    }

    #[test]
    fn an_empty_list_says_what_was_looked_for() {
        let options = |code: Option<&str>, room: Option<&str>, all| ExceptionsLs {
            all,
            code: code.map(str::to_owned),
            room: room.map(str::to_owned),
            json: false,
        };
        let said = nothing_matches(&options(Some("WL-1"), Some("validat"), false));
        assert!(said.starts_with("no open exception with code WL-1 of room validat: the rooms are "), "{said}");
        assert!(said.contains("validate") && said.contains("--all"), "{said}");
        assert_eq!(nothing_matches(&options(None, Some("validate"), true)), "no exception of room validate");
    }
}
