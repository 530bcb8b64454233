//! One exception as lines for a terminal: the verdict, the master records, the source with the names of its fields, what happened,
//! and what to type next. Pure.

use crate::agree::quoted;
use crate::output::told_time;
use operations::exceptions::{MasterUsed, Row, Step};
use operations::messages::MessageId;
use operations::original::{Source, name_of};
use schemas::Exception;

/// Most steps of the history that are shown; `history` shows all.
const STEPS_MAX: usize = 10;

/// What is known of an exception.
pub struct Sheet<'a> {
    /// As a list shows it.
    pub row: &'a Row,
    /// Its record.
    pub exception: &'a Exception,
    /// What its code is called.
    pub title: &'a str,
    /// The bytes it keeps, without what may identify a patient.
    pub source: &'a Source,
    /// The master records that it has to do with.
    pub masters: &'a [MasterUsed],
    /// The message that its event was made of.
    pub message: Option<MessageId>,
    /// The correction that waits for a second person, in lines; empty when there is none.
    pub proposed: &'a [String],
    /// Whether it may identify a patient: then it is shown, to be agreed to, with a reason alone.
    pub needs_reason: bool,
    /// What happened to it.
    pub history: &'a [Step],
}

impl Sheet<'_> {
    /// All of it, in the order in which people need it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.row.message.clone(), format!("  {}", self.stands())];
        section(&mut lines, "verdict", self.verdict());
        section(&mut lines, "master records used", self.masters());
        section(&mut lines, "correction", self.proposed.to_vec());
        section(&mut lines, "about it", self.place());
        section(&mut lines, &self.source_head(), self.source.lines(&self.exception.field_paths));
        section(&mut lines, "history, newest first", self.history());
        section(&mut lines, "next", self.next());
        lines
    }

    fn stands(&self) -> String {
        let row = self.row;
        let mut parts = vec![row.state.as_str().to_lowercase()];
        if row.is_open() {
            let late = if row.is_overdue { ", which has passed" } else { "" };
            parts.push(format!("due {}{late}", told_time(row.due_at)));
        }
        parts.extend(row.assignee.as_ref().map(|who| format!("{who} has it")));
        let asked = row.discard_requested_by.as_ref().filter(|_| row.is_open());
        parts.extend(asked.map(|who| format!("{who} has asked to discard it")));
        parts.join("; ")
    }

    fn verdict(&self) -> Vec<String> {
        let (row, exception) = (self.row, self.exception);
        let mut lines = vec![
            fact("code", &format!("{}: {}", row.code, self.title)),
            fact("refused by", &[&row.room, &exception.stage, &exception.version].map(String::as_str).join(" ")),
        ];
        lines.extend(exception.field_paths.iter().map(|path| {
            let value = self.source.value_at(path).unwrap_or_else(|| "not there".to_owned());
            let named = [path, name_of(path)].join(" ");
            fact("field", &format!("{}: {value}", named.trim_end()))
        }));
        lines.extend(row.suggested_fix.iter().map(|fix| fact("suggested fix", fix)));
        lines
    }

    fn masters(&self) -> Vec<String> {
        self.masters.iter().map(|one| format!("  {}/{}: {}", one.topic, one.key, one.told())).collect()
    }

    fn place(&self) -> Vec<String> {
        let (row, exception) = (self.row, self.exception);
        let from = match (&row.origin_topic, row.origin_partition, row.origin_offset) {
            (Some(topic), Some(partition), Some(offset)) => Some(format!("{topic}-{partition}@{offset}")),
            _ => None,
        };
        // Keys are pseudonyms in text.
        let key = exception.origin_key.as_ref().map(|key| String::from_utf8_lossy(key.as_ref()).into_owned());
        let waits = match row.parked_key {
            true => Some(format!("{}, later events of the key behind the first", row.events)),
            false => None,
        };
        let optional = [
            ("about", row.subject.clone()),
            ("from", from),
            ("key", key),
            ("event", exception.origin_event_id.clone()),
            ("events that wait", waits),
            ("class", serde_json::to_value(row.class).ok().and_then(|class| class.as_str().map(str::to_owned))),
        ];
        let mut lines = vec![fact("id", &row.exception_id), fact("raised", &told_time(row.raised_at))];
        lines.extend(optional.into_iter().filter_map(|(name, text)| Some(fact(name, &text?))));
        lines
    }

    fn source_head(&self) -> String {
        let kind = self.source.content_type.as_deref().map(|kind| format!(", {kind}")).unwrap_or_default();
        format!("source: {} bytes{kind}, without what may identify a patient", self.source.bytes)
    }

    fn history(&self) -> Vec<String> {
        let step = |step: &Step| {
            let who = step.actor.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
            let said = step.comment.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
            format!("  {}  {}{who}{said}", told_time(step.at), step.what.to_lowercase().replace('_', " "))
        };
        let mut lines: Vec<String> = self.history.iter().rev().take(STEPS_MAX).map(step).collect();
        if self.history.len() > STEPS_MAX {
            lines.push(format!("  and {} earlier ones", self.history.len() - STEPS_MAX));
        }
        lines.push(format!("  also what was done long ago: wardline audit ls --exception {}", self.row.exception_id));
        lines
    }

    /// What can be done now, and only that.
    fn next(&self) -> Vec<String> {
        let row = self.row;
        let id = quoted(&row.exception_id);
        let mut acts = Vec::new();
        let mut act = |words: String, why: &str| acts.push(format!("  wardline {words:<64} {why}"));
        if row.is_open() {
            if row.parked_key {
                act(format!("exceptions retry {id}"), "the cause is mended");
                act(format!("exceptions correct {id} --set FIELD=VALUE --reason TEXT"), "a field is wrong");
            } else {
                act(format!("exceptions resolve {id} --comment TEXT"), "it was settled elsewhere");
            }
            if !self.proposed.is_empty() {
                let reason = if self.needs_reason { " --reason TEXT" } else { "" };
                act(format!("exceptions correct {id} --approve{reason}"), "you agree to the correction");
            }
            match row.discard_requested_by {
                Some(_) => act(format!("exceptions discard {id} --approve"), "you agree that it is given up"),
                None => act(format!("exceptions discard {id} --comment TEXT"), "the event is to be given up"),
            }
        }
        act(format!("trace {id}"), "the way of its event");
        if let Some(message) = &self.message {
            act(format!("message {message}"), "the message that its event was made of");
        }
        act(format!("exceptions show {id} --raw --reason TEXT"), "the bytes; they may identify a patient");
        acts
    }
}

fn section(lines: &mut Vec<String>, title: &str, part: Vec<String>) {
    if !part.is_empty() {
        lines.push(String::new());
        lines.push(title.to_owned());
        lines.extend(part);
    }
}

fn fact(name: &str, text: &str) -> String {
    format!("  {name:<16} {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use operations::exceptions::masters;
    use schemas::{Criticality, ExceptionKind, ExceptionState};

    const MESSAGE: &[u8] =
        b"MSH|^~\\&|EPIC|GENERAL|WL|GENERAL|20260302||DFT^P03|1|P|2.5.1\rPID|1||M1||Abel^Ada\rFT1|1||||||4711\r";

    fn row() -> Row {
        Row {
            exception_id: "e1".to_owned(),
            kind: ExceptionKind::Raised,
            state: ExceptionState::Open,
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            message: "the item is not in the item master".to_owned(),
            subject: Some("master.item.v1/4711".to_owned()),
            suggested_fix: Some("add the item to the ERP".to_owned()),
            class: Criticality::Operational,
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(1),
            origin_offset: Some(7),
            raised_at: 1_000_000,
            at: 1_000_000,
            due_at: 3_600_000_000,
            is_overdue: true,
            assignee: Some("ada".to_owned()),
            discard_requested_by: None,
            correction_requested_by: None,
            correction_mark: None,
            parked_key: true,
            events: 3,
            place: (0, 0),
        }
    }

    fn shown(row: &Row, proposed: &[String]) -> String {
        let exception = Exception {
            stage: "process".to_owned(),
            version: "1.0".to_owned(),
            field_paths: vec!["FT1-7".to_owned(), "FT1-10".to_owned()],
            origin_event_id: Some("event".to_owned()),
            ..Exception::default()
        };
        let history = [Step { at: 2_000_000, what: "RETRY_REQUESTED".to_owned(), ..Step::default() }];
        let sheet = Sheet {
            row,
            exception: &exception,
            title: "unknown item",
            source: &Source::of(MESSAGE).masked(),
            masters: &masters(None, row.subject.as_deref(), &row.code),
            message: MessageId::of(&"ab".repeat(32), 7_000_000),
            proposed,
            needs_reason: proposed.iter().any(|line| line.contains("a patient")),
            history: &history,
        };
        sheet.lines().join("\n")
    }

    #[test]
    fn an_exception_is_told_with_names_and_without_patients() {
        let shown = shown(&row(), &[]);
        for said in [
            "the item is not in the item master\n  open; due 1970-01-01 01:00:00 UTC, which has passed; ada has it\n",
            "\nverdict\n  code             WL-4001: unknown item\n  refused by       validate process 1.0\n",
            "  field            FT1-7 Transaction code: 4711\n",
            "\n    PID-3 Patient identifier list              \u{2022}\u{2022}\u{2022}\n",
            "  field            FT1-10 Transaction quantity: not there\n",
            "  suggested fix    add the item to the ERP\n",
            "\nmaster records used\n  master.item.v1/4711: looked for",
            "  from             t-1@7\n",
            "\n    PID-5 Patient name ",
            "\n>   FT1-7 Transaction code ",
            "\nhistory, newest first\n  1970-01-01 00:00:02 UTC  retry requested\n",
            "  wardline exceptions retry e1 ",
            "  wardline trace e1 ",
        ] {
            assert!(shown.contains(said), "{said} is not in\n{shown}");
        }
        assert!(!shown.contains("Abel") && !shown.contains("EPIC"), "PHI-1: {shown}");
        assert!(!shown.contains("exceptions resolve") && !shown.contains("--approve"), "{shown}");
    }

    #[test]
    fn only_what_can_be_done_now_is_told() {
        let source = Row { parked_key: false, ..row() };
        let source = shown(&source, &[]);
        assert!(source.contains("exceptions resolve e1 --comment TEXT") && !source.contains("retry e1"), "{source}");
        let asked = Row { discard_requested_by: Some("ada".to_owned()), ..row() };
        let asked = shown(&asked, &["a correction waits".to_owned()]);
        assert!(asked.contains("discard e1 --approve") && asked.contains("correct e1 --approve"), "{asked}");
        assert!(asked.contains("ada has asked to discard it") && !asked.contains("discard e1 --comment"), "{asked}");
        assert!(!asked.contains("--approve --reason"), "{asked}");
        let direct = shown(&row(), &["what may identify a patient waits".to_owned()]);
        assert!(direct.contains("correct e1 --approve --reason TEXT"), "{direct}");
        let settled = shown(&Row { state: ExceptionState::Resolved, ..row() }, &[]);
        let (_, next) = settled.split_once("\nnext\n").unwrap_or_default();
        assert_eq!(next.lines().count(), 3, "{next}");
        assert!(next.contains("  wardline message abab"), "{next}");
    }
}
