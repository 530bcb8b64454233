//! `wardline exceptions show|history`: one exception, and what happened to it.

use super::sheet::Sheet;
use super::{view, view_failure};
use crate::args::{ExceptionsHistory, ExceptionsShow};
use crate::output::{self, Output};
use crate::{Failure, agree, unmask};
use operations::audit::Shown;
use operations::exceptions::{ExceptionsView, Found, Proposal, Row, masked_correction, masters};
use operations::messages::MessageId;
use operations::original::Source;
use runtime::Config;
use runtime::codec::Codec;
use schemas::Exception;
use serde_json::{Value, json};

/// Most bytes of a source that are read to be shown; `--raw` writes all of them.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Shows one exception.
pub async fn one(config: &Config, options: &ExceptionsShow) -> Result<(), Failure> {
    if options.bytes.raw {
        unmask::check(&options.bytes.unmask)?;
    }
    let (view, _running) = view(config).await?;
    let id = pick(&view, &options.id)?;
    let (Some(row), Some(exception)) = (view.row(&id), view.exception(&id).await.map_err(view_failure)?) else {
        return Err(unknown(&options.id));
    };
    if options.bytes.raw {
        let shown = Shown {
            what: "the source of an exception",
            event_id: exception.origin_event_id.clone(),
            exception_id: Some(id.clone()),
            ..Shown::default()
        };
        unmask::record(config, &options.bytes.unmask, shown).await?;
    }
    let mut output = Output::stdout();
    if options.bytes.raw {
        output.bytes(exception.raw_value.as_ref().map_or(&[][..], AsRef::as_ref))?;
        return output.finish();
    }
    if options.json {
        output.json(&summary(&exception, &row)?)?;
        return output.finish();
    }
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let bytes = exception.raw_value.as_ref().map(AsRef::as_ref);
    let source = Source::read(&codec, bytes, exception.content_type.as_deref(), SOURCE_BYTES_MAX).await.masked();
    let proposal = Proposal::of(&exception).map(Proposal::masked);
    let sheet = Sheet {
        row: &row,
        exception: &exception,
        title: console::error_text(&row.code).map_or("not a code of this version", |text| text.title),
        source: &source,
        masters: &masters(source.event(), row.subject.as_deref(), &row.code),
        message: MessageId::behind(row.origin_topic.as_deref(), source.event()),
        proposed: &proposal.iter().flat_map(proposed).collect::<Vec<_>>(),
        needs_reason: proposal.as_ref().is_some_and(Proposal::has_direct),
        history: &view.history(&id).await.map_err(view_failure)?,
    };
    sheet.lines().iter().try_for_each(|line| output.line(agree::plain(line)))?;
    output.finish()
}

/// A correction that waits, for who has to agree to it. The mark stands there when all of it does.
pub fn proposed(proposal: &Proposal) -> Vec<String> {
    let Proposal { exception_id, mark, actor, reason, at, fields } = proposal;
    let when = output::told_time(*at);
    let mut lines = vec![
        format!("a correction of exception {exception_id} waits for a second person:"),
        format!("  {:<14} {actor}, {when}", "proposed by"),
        format!("  {:<14} {reason}", "reason"),
    ];
    lines.extend(fields.iter().map(|field| {
        let before = field.before.as_deref().unwrap_or("nothing");
        format!("  {:<14} {}: {before} -> {}", "sets", field.path, field.after)
    }));
    lines.push(match mark {
        Some(mark) => format!("  {:<14} {mark}", "mark"),
        None => format!(
            "  {:<14} with what may identify a patient: `wardline exceptions correct {exception_id} --approve --reason TEXT`, which goes on record",
            "mark"
        ),
    });
    lines
}

/// Shows what happened to one exception.
pub async fn history(config: &Config, options: &ExceptionsHistory) -> Result<(), Failure> {
    let (view, _running) = view(config).await?;
    let id = pick(&view, &options.id)?;
    let steps = view.history(&id).await.map_err(view_failure)?;
    let mut output = Output::stdout();
    if options.json {
        for step in &steps {
            output.json(step)?;
        }
        return output.finish();
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            vec![
                output::told_time(step.at),
                step.what.clone(),
                step.state.map_or("-", |state| state.as_str()).to_owned(),
                dash(&step.actor),
                dash(&step.assignee),
                dash(&step.comment),
            ]
        })
        .collect();
    output.table(&["AT", "WHAT", "STATE", "BY", "HAS IT", "COMMENT"], &rows)?;
    output.finish()?;
    output::note("what people did stays on ops.audit.v1 when ops.exception.v1 keeps only the newest record");
    Ok(())
}

/// All but the original bytes, which are told by their size, and what else may identify a patient; and until when it should be settled.
pub fn summary(exception: &Exception, row: &Row) -> Result<Value, Failure> {
    let size = |bytes: Option<&schemas::Bytes>| bytes.map(|bytes| bytes.as_ref().len());
    let sizes = (size(exception.raw_value.as_ref()), exception.raw_headers.len());
    let correction = masked_correction(exception);
    let lean = Exception { raw_value: None, raw_headers: Vec::new(), correction, ..exception.clone() };
    let mut value = serde_json::to_value(&lean).map_err(|error| Failure::new(error, "report this as a defect"))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("rawValue".to_owned(), sizes.0.map_or(Value::Null, |size| json!(format!("{size} bytes"))));
        fields.insert("rawHeaders".to_owned(), json!(sizes.1));
        // Keys are pseudonyms in text; as arrays of numbers nobody can read them.
        let key =
            |bytes: Option<&schemas::Bytes>| bytes.map(|bytes| String::from_utf8_lossy(bytes.as_ref()).into_owned());
        fields.insert("originKey".to_owned(), json!(key(exception.origin_key.as_ref())));
        fields.insert("rawKey".to_owned(), json!(key(exception.raw_key.as_ref())));
        // What waits is told once, with its mark.
        if let Some(proposal) = Proposal::of(exception).map(Proposal::masked) {
            fields.remove("correction");
            fields.insert("proposal".to_owned(), json!(proposal));
        }
        fields.insert("class".to_owned(), json!(row.class));
        fields.insert("dueAt".to_owned(), json!(row.due_at));
        fields.insert("isOverdue".to_owned(), json!(row.is_overdue));
        fields.insert("events".to_owned(), json!(row.events));
        for name in ["raisedAt", "at", "dueAt"] {
            let micros = fields.get(name).and_then(Value::as_i64);
            if let Some(micros) = micros {
                fields.insert(name.to_owned(), json!(output::time_text(micros / 1_000)));
            }
        }
    }
    Ok(value)
}

/// The one exception whose id starts so.
pub fn pick(view: &ExceptionsView, start: &str) -> Result<String, Failure> {
    match view.find(start) {
        Found::One(id) => Ok(id),
        Found::None => Err(unknown(start)),
        Found::Several => Err(Failure::usage(
            format!("WL-7063: several exceptions have an id that starts with {start}"),
            "give more characters of the id",
        )),
    }
}

fn unknown(start: &str) -> Failure {
    Failure::usage(
        format!("WL-7063: no exception has an id that starts with {start}"),
        "list them with `wardline exceptions ls --all`",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::approval::{agreed_by, correction_mark};
    use schemas::{CorrectedField, Correction, Criticality, ExceptionKind, ExceptionState};

    fn corrected(fields: &[&str]) -> Exception {
        let field = |path: &&str| CorrectedField {
            path: (*path).to_owned(),
            before: Some("\"Abel\"".to_owned()),
            after: "\"Adams\"".to_owned(),
        };
        Exception {
            exception_id: "e1".to_owned(),
            origin_topic: Some("clinical.supply-usage.v1".to_owned()),
            correction: Some(Correction {
                fields: fields.iter().map(field).collect(),
                actor: "olga".to_owned(),
                reason: "read from the wristband".to_owned(),
                needs_approval: true,
                ..Correction::default()
            }),
            ..Exception::default()
        }
    }

    fn row() -> Row {
        Row {
            exception_id: "e1".to_owned(),
            raised_at: 0,
            at: 0,
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            message: String::new(),
            subject: None,
            class: Criticality::PatientAdjacent,
            origin_topic: None,
            origin_partition: None,
            origin_offset: None,
            suggested_fix: None,
            due_at: 0,
            is_overdue: false,
            assignee: None,
            discard_requested_by: None,
            correction_requested_by: None,
            correction_mark: None,
            parked_key: true,
            events: 1,
            place: (0, 0),
        }
    }

    /// What a terminal and a program are told of an exception.
    fn told(exception: &Exception) -> [String; 2] {
        let lines = Proposal::of(exception).map(Proposal::masked).iter().flat_map(proposed).collect::<Vec<_>>();
        [lines.join("\n"), summary(exception, &row()).unwrap().to_string()]
    }

    #[test]
    fn phi_1_a_correction_is_told_without_what_may_identify_a_patient() {
        let waits = corrected(&["lot", "phi.familyName"]);
        let mark = correction_mark("e1", waits.correction.as_ref().unwrap());
        let agreed = Some(agreed_by("bert", &mark));
        let in_force = Correction { approved_by: agreed, ..waits.correction.clone().unwrap() };
        let in_force = Exception { correction: Some(in_force), ..waits.clone() };
        let [lines, json] = told(&waits);
        assert!(lines.contains("lot: \"Abel\" -> \"Adams\"") && lines.contains("phi.familyName: "), "{lines}");
        for told in [lines, json] {
            assert!(!told.contains(&mark), "nobody agrees to what they have not seen: {told}");
            // The lot is shown.
            assert_eq!((told.matches("Adams").count(), told.matches("Abel").count()), (1, 1), "{told}");
        }
        let [_, json] = told(&in_force);
        assert_eq!((json.matches("Adams").count(), json.matches("Abel").count()), (1, 1), "{json}");

        let free = corrected(&["lot"]);
        let mark = correction_mark("e1", free.correction.as_ref().unwrap());
        assert!(told(&free).iter().all(|told| told.contains(&mark)), "{:?}", told(&free));
    }
}
