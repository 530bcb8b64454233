//! Correcting the event of an exception: what is typed becomes a change of fields that its room has been asked about.
//!
//! ```text
//! lot=A17  +  the original event  -> {lot: null -> "A17"}  -> the room decides about the corrected event
//!                                                              lets it through -> on record, and processed in order
//!                                                              refuses it      -> refused here, nothing is written
//! ```
//! The original stays as it came. Id and key of an event are no fields to correct: it is the same fact in the same place.

use super::act::{Act, By, FieldChange};
use super::decider::{DecideError, Decider, Outcome};
use super::symbols::unknown_symbol;
use super::types::Found;
use super::view::ExceptionsView;
use crate::replay::ReplayRoom;
use runtime::codec::Codec;
use runtime::correction::{field, set};
use runtime::shadow::{Said, Shadow, fill};
use runtime::{Config, near};
use schemas::approval::stands;
use schemas::catalogue::SchemaFacts;
use schemas::{Exception, TopicInfo, topics};
use serde_json::Value;
use std::sync::Arc;

/// Most fields of one correction.
const FIELDS_MAX: usize = 32;
/// Longest value, bytes.
const VALUE_MAX: usize = 2_000;

/// Why an event was not corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectError {
    /// The exception, or the decision about it.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// What was typed is no correction of this event.
    #[error("WL-7240: {0}")]
    Field(String),
    /// The room would not let the corrected event through either.
    #[error("WL-7241: {room} would refuse the corrected event as well: {reason}")]
    StillRefused {
        /// The room.
        room: String,
        /// What it would say.
        reason: String,
    },
    /// The exception has no event that could be processed.
    #[error("WL-7242: exception {0} keeps no event that its room could process again")]
    NoEvent(String),
    /// The room cannot be asked.
    #[error("WL-7235: {room} cannot be asked what it would write now: {reason}")]
    Room {
        /// The room.
        room: String,
        /// Why.
        reason: String,
    },
}

impl CorrectError {
    /// What to do next; none where nothing but the usual about Kafka and the registry can be said.
    pub fn next(&self) -> Option<String> {
        let text = match self {
            Self::Decide(error) => return error.next(),
            Self::Field(_) => {
                "write --set FIELD=VALUE with a field as the contract of the topic under schemas/avro names it"
            }
            Self::StillRefused { .. } => "correct the field that it names as well, or remove the cause and retry",
            Self::NoEvent(id) => {
                return Some(format!(
                    "let its source send it again, corrected, then `wardline exceptions resolve {id} --comment TEXT`"
                ));
            }
            Self::Room { .. } => "give this command the configuration that the room runs with",
        };
        Some(text.to_owned())
    }

    /// What to do next on the page of the exception; none where nothing but the usual about Kafka and the registry can be said.
    pub fn on_page(&self) -> Option<String> {
        let text = match self {
            Self::Decide(error) => return error.on_page(),
            Self::Field(_) => "name a field as the page of its topic does, and give it a value that fits",
            Self::StillRefused { .. } => "correct the field that it names as well, or remove the cause and press Retry",
            Self::NoEvent(_) => "let its source send it again, corrected, then press Mark as settled",
            Self::Room { .. } => "start the console with the configuration that the room runs with",
        };
        Some(text.to_owned())
    }
}

/// A field and what it is to be, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Names of fields, parted by dots; a number is a place in a list.
    pub path: String,
    /// The value: text, or JSON where the field is no text.
    pub value: String,
}

impl std::str::FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() && value.len() <= VALUE_MAX => {
                Ok(Self { path: path.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("write it like lot=A17".to_owned()),
        }
    }
}

/// Corrects the event of an exception, once its room has said that it lets the corrected event through. Where the class of its
/// flow demands two people this asks for it.
///
/// # Errors
/// When there is no such field, the value does not fit, the room would still refuse, or it cannot be decided so.
pub async fn correct(
    (config, codec): (&Config, &Arc<Codec>),
    (view, decider): (&ExceptionsView, &Decider),
    rooms: &[ReplayRoom],
    id: &str,
    wishes: &[Wish],
    by: &By,
) -> Result<Outcome, CorrectError> {
    let exception = whole(view, id).await?;
    let no_event = || CorrectError::NoEvent(exception.exception_id.clone());
    let topic = exception.origin_topic.as_deref().and_then(topics::find).ok_or_else(no_event)?;
    let value = exception.raw_value.as_ref().filter(|_| exception.parked_key).ok_or_else(no_event)?;
    let (writer, body) = codec.open(value.as_ref()).await.map_err(|_| no_event())?;
    let original = schemas::codec::to_json(&writer, body).map_err(|_| no_event())?;
    let room = rooms.iter().find(|room| room.info.name == exception.room).ok_or_else(no_event)?;
    let cannot =
        |error: &dyn std::fmt::Display| CorrectError::Room { room: exception.room.clone(), reason: error.to_string() };
    let shadow = (room.shadow.as_ref().ok_or_else(no_event)?)(config).map_err(|error| cannot(&error))?;
    fill(shadow.as_ref(), &config.kafka, codec).await.map_err(|error| cannot(&error))?;
    let changes = changes(&original, topic, &with_earlier(&exception, wishes), shadow.as_ref())?;
    lets_through(&original, topic, &changes, shadow.as_ref(), &exception.room)?;
    Ok(decider
        .decide(&super::decider::Choice::Ids(vec![exception.exception_id.clone()]), &Act::Correct(changes), by)
        .await?)
}

/// What is in force already stays corrected, unless it is set otherwise now; what waits for a second person is replaced.
fn with_earlier(exception: &Exception, wishes: &[Wish]) -> Vec<Wish> {
    let in_force = exception.correction.iter().filter(|one| stands(&exception.exception_id, one).is_in_force());
    let earlier = in_force.flat_map(|one| &one.fields).map(|field| (&field.path, &field.after));
    let kept = earlier.filter(|(path, _)| wishes.iter().all(|wish| wish.path != **path));
    kept.map(|(path, after)| Wish { path: path.clone(), value: after.clone() }).chain(wishes.iter().cloned()).collect()
}

async fn whole(view: &ExceptionsView, start: &str) -> Result<Arc<Exception>, CorrectError> {
    let unknown = |text: String| CorrectError::Decide(DecideError::Unknown(text));
    let id = match view.find(start) {
        Found::One(id) => id,
        Found::None => return Err(unknown(format!("no exception has an id that starts with {start}"))),
        Found::Several => return Err(unknown(format!("several exceptions have an id that starts with {start}"))),
    };
    let exception = view.exception(&id).await.map_err(DecideError::from)?;
    exception.ok_or_else(|| unknown(format!("exception {id} changes just now")))
}

/// The changes of fields that these wishes come to.
fn changes(
    original: &Value,
    topic: &TopicInfo,
    wishes: &[Wish],
    shadow: &dyn Shadow,
) -> Result<Vec<FieldChange>, CorrectError> {
    if wishes.is_empty() || wishes.len() > FIELDS_MAX {
        return Err(CorrectError::Field(format!("1 to {FIELDS_MAX} fields are corrected at once")));
    }
    let mut event = original.clone();
    let mut changes = Vec::with_capacity(wishes.len());
    for wish in wishes {
        allowed(topic, &wish.path)?;
        let before = field(&event, &wish.path).map(Value::to_string);
        let mut said = None;
        for value in candidates(&wish.value) {
            let mut tried = event.clone();
            set(&mut tried, &wish.path, value.clone()).map_err(|refused| CorrectError::Field(refused.to_string()))?;
            if shadow.decide_json(topic.name, tried.clone()).is_ok() {
                said = Some((value, tried));
                break;
            }
        }
        let Some((value, tried)) = said else {
            return Err(CorrectError::Field(format!("the value does not fit the field {}", wish.path)));
        };
        known(topic, &wish.path, &value)?;
        event = tried;
        changes.push(FieldChange { path: wish.path.clone(), before, after: value.to_string() });
    }
    Ok(changes)
}

/// Whether a value says nothing that the contract does not know.
fn known(topic: &TopicInfo, path: &str, value: &Value) -> Result<(), CorrectError> {
    let schema = serde_json::from_str(topic.schema).unwrap_or_default();
    let Some(unknown) = unknown_symbol(&schema, path, value) else { return Ok(()) };
    let meant = near(&unknown.word, unknown.known.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Err(CorrectError::Field(format!("{} is one of {}{meant}", unknown.path, unknown.known.join(", "))))
}

/// Whether a field of a topic's events may be corrected.
fn allowed(topic: &TopicInfo, path: &str) -> Result<(), CorrectError> {
    let first = path.split('.').next().unwrap_or_default();
    if first == "meta" {
        return Err(CorrectError::Field(format!("{path} belongs to the envelope, which is not corrected")));
    }
    if topic.key.iter().any(|key| key.split('.').next() == Some(first)) {
        return Err(CorrectError::Field(format!(
            "{path} is part of the key of {}, which is not corrected",
            topic.name
        )));
    }
    let schema = serde_json::from_str(topic.schema).unwrap_or_default();
    let facts = SchemaFacts::of(topic.schema_file, &schema);
    // What lies deeper is looked for in the event itself.
    if facts.field(first).is_some() {
        return Ok(());
    }
    let names = facts.fields.iter().map(|known| known.path.as_str());
    let meant = near(first, names).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Err(CorrectError::Field(format!("{} has no field {first}{meant}", topic.name)))
}

/// What a typed value may mean, the likelier first: text before a number, since numbers of articles and lots are text.
fn candidates(typed: &str) -> Vec<Value> {
    let text = Value::from(typed);
    match serde_json::from_str::<Value>(typed) {
        Ok(number @ Value::Number(_)) => vec![text, number],
        Ok(json) => vec![json, text],
        Err(_) => vec![text],
    }
}

fn lets_through(
    original: &Value,
    topic: &TopicInfo,
    changes: &[FieldChange],
    shadow: &dyn Shadow,
    room: &str,
) -> Result<(), CorrectError> {
    let mut event = original.clone();
    let correction = schemas::Correction {
        fields: changes.iter().map(FieldChange::contract).collect(),
        ..schemas::Correction::default()
    };
    runtime::correction::correct(&mut event, &correction)
        .map_err(|refused| CorrectError::Field(refused.to_string()))?;
    let refused = |reason: String| CorrectError::StillRefused { room: room.to_owned(), reason };
    match shadow.decide_json(topic.name, event) {
        Ok(Said::Emits { .. } | Said::Drops(_)) => Ok(()),
        Ok(Said::Waits(reason) | Said::Rejects(reason)) => {
            Err(refused(format!("{}: {}", reason.code.as_str(), reason.message)))
        }
        Err(error) => Err(CorrectError::Field(error.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::{CorrectedField, Correction};

    #[test]
    fn what_cannot_be_corrected_names_itself_in_the_command_and_a_button_on_the_page() {
        let error = CorrectError::NoEvent("e-17".to_owned());
        assert!(error.next().unwrap().contains("`wardline exceptions resolve e-17 --comment TEXT`"));
        assert!(error.on_page().unwrap().contains("Mark as settled"));
    }

    #[test]
    fn what_is_typed_is_text_before_it_is_a_number() {
        assert_eq!(candidates("17"), [Value::from("17"), Value::from(17)]);
        assert_eq!(candidates("null"), [Value::Null, Value::from("null")]);
        assert_eq!(candidates("A17"), [Value::from("A17")]);
        assert_eq!(candidates(r#"{"code":"x"}"#)[0]["code"], "x");
        assert_eq!("lot=A=17".parse::<Wish>().unwrap().value, "A=17");
        assert!("lot".parse::<Wish>().is_err() && "=x".parse::<Wish>().is_err());
    }

    #[test]
    fn a_word_that_a_field_does_not_know_is_refused_with_the_list() {
        let topic = topics::CLINICAL_SUPPLY_USAGE_V1.info();
        let said = |value: &str| known(topic, "usage", &Value::from(value)).err().map(|error| error.to_string());
        let refused = said("WASTD").unwrap();
        assert!(
            refused.starts_with("WL-7240: usage is one of ") && refused.contains("did you mean WASTED?"),
            "{refused}"
        );
        assert_eq!(said("WASTED"), None);
    }

    #[test]
    fn a_second_correction_keeps_what_the_first_one_set() {
        let field =
            |path: &str, after: &str| CorrectedField { path: path.to_owned(), before: None, after: after.to_owned() };
        let first = Correction {
            fields: vec![field("lot", r#""A17""#), field("quantity", "2")],
            needs_approval: false,
            ..Correction::default()
        };
        let wish = |path: &str, value: &str| Wish { path: path.to_owned(), value: value.to_owned() };
        let wishes = [wish("quantity", "3"), wish("uom", "BX")];
        let all = |correction: &Correction| {
            let exception = Exception { correction: Some(correction.clone()), ..Exception::default() };
            with_earlier(&exception, &wishes).into_iter().map(|wish| wish.path).collect::<Vec<_>>()
        };
        assert_eq!(all(&first), ["lot", "quantity", "uom"]);
        let waits = Correction { needs_approval: true, ..first.clone() };
        assert_eq!(all(&waits), ["quantity", "uom"], "nobody has agreed to it");
        assert_eq!(all(&Correction { approved_by: Some("bert".to_owned()), ..waits }), ["lot", "quantity", "uom"]);
    }

    #[test]
    fn ord_1_neither_key_nor_envelope_is_corrected() {
        let topic = topics::CLINICAL_SUPPLY_USAGE_V1.info();
        let said = |path: &str| allowed(topic, path).err().map(|error| error.to_string()).unwrap_or_default();
        for (path, expected) in [
            ("meta.eventId", "envelope"),
            ("meta.businessKey", "envelope"),
            ("encounterRef", "key of clinical.supply-usage.v1"),
            ("lott", "did you mean lot?"),
        ] {
            assert!(said(path).starts_with("WL-7240: ") && said(path).contains(expected), "{path}: {}", said(path));
        }
        for path in ["lot", "itemRef", "itemRef.code", "itemRefs.0.code", "quantity"] {
            assert_eq!(said(path), "", "{path}");
        }
    }
}
