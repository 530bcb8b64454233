//! What codes of source systems mean here, as governed master data: mapped by people, with a reason, agreed to where two people
//! are demanded, every change a version on `master.crosswalk.v1` and a line on the audit topic.
//!
//! ```text
//! set (two people demanded)     -> what is in force stays, the change is a proposal in the same record
//! approve by a second person    -> in force; whoever waits for the code goes on by itself
//! set (one person is enough)    -> in force
//! ```
//! Writers take over one transactional id first, so that changes come one after the other and none is written over a newer one.

mod proposal;

use crate::exceptions::{By, ExceptionsConfig};
use crate::same_person;
use crate::shell::quoted;
use runtime::codec::{Codec, WireError};
use runtime::outgoing::Lineage;
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::reader::{self, Range, ReadError};
use runtime::{Config, ConfigError, clock};
use schemas::approval::agreed_by;
use schemas::{
    Action, Audit, AuditKind, Criticality, CrosswalkProposal, Event, EventMeta, MasterCrosswalk, Source, SourceFormat,
    Timestamp, TopicInfo, identity, topics,
};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Handle;

pub use proposal::MappingProposal;

/// Transactional id of whoever changes mappings.
const WRITER: &str = "wardline.crosswalk";
/// Code on the audit topic of a mapping that a second person agreed to.
const APPROVED: &str = "crosswalk.approved";
/// Most mappings that are read.
const MAPPINGS_MAX: usize = 200_000;
/// Longest code, characters.
const CODE_MAX: usize = 200;
/// Usages that a mapping decides about are next to the patient.
const CLASS: Criticality = Criticality::PatientAdjacent;

/// What a code names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingKind {
    /// An article.
    Item,
    /// A place.
    Location,
}

impl MappingKind {
    /// As it stands in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Location => "location",
        }
    }

    /// The master topic that its targets are in.
    pub fn topic(self) -> &'static TopicInfo {
        match self {
            Self::Item => topics::MASTER_ITEM_V1.info(),
            Self::Location => topics::MASTER_LOCATION_V1.info(),
        }
    }
}

impl std::str::FromStr for MappingKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "item" => Ok(Self::Item),
            "location" => Ok(Self::Location),
            other => Err(format!("{other} is no kind of mapping: say item or location")),
        }
    }
}

/// Which code of which source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedCode {
    /// What it names.
    pub kind: MappingKind,
    /// Source system, as `meta.source.system` of its events says it.
    pub source_system: String,
    /// The code as sent.
    pub code: String,
}

/// Why a mapping was not changed.
#[derive(Debug, thiserror::Error)]
pub enum CrosswalkError {
    /// The target is not in the master.
    #[error("WL-7236: there is no {kind} {target} in the master, so nothing can be mapped to it")]
    NoTarget {
        /// Kind of the mapping.
        kind: &'static str,
        /// What was asked for.
        target: String,
    },
    /// There is nothing to withdraw or to approve.
    #[error("WL-7237: {0}")]
    Nothing(String),
    /// The second person is the first one.
    #[error("WL-7238: {actor} has proposed this mapping, and somebody else has to agree")]
    SamePerson {
        /// Who.
        actor: String,
        /// The code.
        code: Box<MappedCode>,
    },
    /// Something that goes on record is missing.
    #[error("WL-7239: {0}")]
    Unsaid(&'static str),
    /// What the second person saw was not said.
    #[error("WL-1450: a mapping is agreed to as it was seen, and what this person saw was not said")]
    NotSeen,
    /// What is proposed is not what the second person saw.
    #[error("WL-1451: not agreed to: what was seen is not what waits: {now}")]
    Changed {
        /// What waits now.
        now: String,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Decoding, or the registry.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl CrosswalkError {
    /// What to do next on the command line; none where nothing but the usual about Kafka and the registry can be said.
    pub fn next(&self) -> Option<String> {
        let text = match self {
            Self::NoTarget { .. } => "name an id of the ERP; the item or place must have been read from it",
            Self::Nothing(_) => "look at what there is with `wardline crosswalk ls`",
            Self::SamePerson { code, .. } => {
                let MappedCode { kind, source_system, code } = code.as_ref();
                let (source, code) = (quoted(source_system), quoted(code));
                return Some(format!(
                    "let somebody else run `wardline crosswalk approve {} {source} {code}`",
                    kind.as_str()
                ));
            }
            Self::Unsaid(_) => "say who with --actor and why with --reason; both go on record",
            Self::NotSeen => "look at it with `wardline crosswalk ls --proposed`, and give the mark that stands there",
            Self::Changed { .. } => {
                "look at it with `wardline crosswalk ls --proposed`, then agree to what you see, or leave it"
            }
            Self::Config(_) => "correct the block operations.exceptions of the configuration",
            Self::Read(_) | Self::Wire(_) | Self::Publish(_) => return None,
        };
        Some(text.to_owned())
    }

    /// What to do next on a page; none where nothing but the usual about Kafka and the registry can be said.
    pub fn on_page(&self) -> Option<&'static str> {
        match self {
            Self::NoTarget { .. } => Some("name an id of the ERP; the item or place must have been read from it"),
            Self::Nothing(_) => Some("look at the page of the mappings what there is, and what is proposed"),
            Self::SamePerson { .. } => Some("let somebody else, who may approve, sign in and agree on this page"),
            Self::Unsaid(_) => Some("fill in the code, its source system and why; it goes on record"),
            Self::NotSeen | Self::Changed { .. } => {
                Some("load the page again, then agree to what you see, or leave it")
            }
            Self::Config(_) => Some("correct the block operations.exceptions of the configuration"),
            Self::Read(_) | Self::Wire(_) | Self::Publish(_) => None,
        }
    }
}

/// The mappings of an installation. Cheap to clone; keeps nothing.
#[derive(Clone)]
pub struct Crosswalk {
    config: Arc<Config>,
    codec: Arc<Codec>,
    two_people: bool,
}

impl Crosswalk {
    /// Of an installation.
    ///
    /// # Errors
    /// When the block `operations.exceptions`, which says where two people are demanded, cannot be used.
    pub fn new(config: Arc<Config>, codec: Arc<Codec>) -> Result<Self, CrosswalkError> {
        let two_people = ExceptionsConfig::of(&config)?.two_people.contains(&CLASS);
        Ok(Self { config, codec, two_people })
    }

    /// All mappings and proposals, by key.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer, or there are too many.
    pub async fn list(&self) -> Result<Vec<MasterCrosswalk>, CrosswalkError> {
        let mut all: Vec<MasterCrosswalk> = self.all().await?.into_values().collect();
        all.sort_by_key(Event::key);
        Ok(all)
    }

    /// Maps a code, or withdraws its mapping when there is no target. Where two people are demanded this proposes it.
    ///
    /// # Errors
    /// When the target is not in the master, there is nothing to withdraw, or it is not said who and why.
    pub async fn set(
        &self,
        code: &MappedCode,
        target: Option<&str>,
        exception_id: Option<&str>,
        by: &By,
    ) -> Result<MasterCrosswalk, CrosswalkError> {
        let (actor, reason) = (named(&by.actor)?, said(by.comment.as_deref())?);
        if code.code.trim().is_empty() || code.code.chars().count() > CODE_MAX || code.source_system.is_empty() {
            return Err(CrosswalkError::Unsaid("the code or its source system is missing, or the code is too long"));
        }
        if let Some(target) = target.map(str::to_owned) {
            self.known(code.kind, &target).await?;
        }
        let mut writer = self.writer().await?;
        let before = self.all().await?.remove(&key_of(code));
        if target.is_none() && before.as_ref().is_none_or(|before| before.target.is_none()) {
            return Err(CrosswalkError::Nothing(format!("{} of {} is not mapped", code.code, code.source_system)));
        }
        let now = Timestamp(clock::now_micros());
        let target = target.map(str::to_owned);
        let change = CrosswalkProposal { target, actor, reason, at: now };
        let mut after = before.unwrap_or_else(|| unmapped(code));
        after.exception_id = exception_id.map(str::to_owned).or(after.exception_id);
        let what = match self.two_people {
            true => {
                after.proposal = Some(change);
                "crosswalk.proposed"
            }
            false => {
                in_force(&mut after, change, None);
                "crosswalk.set"
            }
        };
        self.write(&mut writer, after, what, by).await
    }

    /// What is known of a code.
    ///
    /// # Errors
    /// As [`Crosswalk::list`].
    pub async fn find(&self, code: &MappedCode) -> Result<Option<MasterCrosswalk>, CrosswalkError> {
        Ok(self.all().await?.remove(&key_of(code)))
    }

    /// Agrees to a proposal as the second person, who saw the one with this mark. Nobody changes it between the look at it and
    /// the record: whoever writes has taken the transactional id over.
    ///
    /// # Errors
    /// When there is none, another one, or the same person proposed it.
    pub async fn approve(
        &self,
        code: &MappedCode,
        seen: Option<&str>,
        by: &By,
    ) -> Result<MasterCrosswalk, CrosswalkError> {
        let actor = named(&by.actor)?;
        let mut writer = self.writer().await?;
        let nothing =
            || CrosswalkError::Nothing(format!("nobody has proposed to map {} of {}", code.code, code.source_system));
        let mut mapping = self.all().await?.remove(&key_of(code)).ok_or_else(nothing)?;
        let change = mapping.proposal.take().ok_or_else(nothing)?;
        if same_person(&change.actor, &actor) {
            return Err(CrosswalkError::SamePerson { actor: change.actor, code: Box::new(code.clone()) });
        }
        let mark = proposal::as_seen(&mapping.key(), &change, seen)?;
        if let Some(target) = &change.target {
            self.known(code.kind, target).await?;
        }
        in_force(&mut mapping, change, Some(agreed_by(&actor, &mark)));
        self.write(&mut writer, mapping, APPROVED, by).await
    }

    async fn write(
        &self,
        writer: &mut TransactionalPublisher,
        mapping: MasterCrosswalk,
        what: &str,
        by: &By,
    ) -> Result<MasterCrosswalk, CrosswalkError> {
        let mapping = MasterCrosswalk { meta: envelope(&mapping), ..mapping };
        // The mapping itself has the reason of whoever proposed it.
        let agreed = by.comment.as_ref().filter(|_| what == APPROVED);
        let agreed = agreed.map(|comment| format!("; agreed: {comment}")).unwrap_or_default();
        let audit = Audit {
            room: by.via.to_owned(),
            kind: AuditKind::Action,
            code: what.to_owned(),
            exception_id: mapping.exception_id.clone(),
            event_id: Some(mapping.meta.event_id.clone()),
            detail: format!("{}{agreed}", told(&mapping)),
            actor: Some(by.actor.clone()),
            at: mapping.meta.recorded_at,
            ..Audit::default()
        };
        let lineage = Lineage::default();
        let records = vec![writer.event(&mapping, &lineage)?, writer.event(&audit, &lineage)?];
        writer.commit(records).await?;
        Ok(mapping)
    }

    async fn writer(&self) -> Result<TransactionalPublisher, CrosswalkError> {
        let written = [topics::MASTER_CROSSWALK_V1.info(), topics::OPS_AUDIT_V1.info()];
        let codec = Arc::clone(&self.codec);
        Ok(TransactionalPublisher::take_over(&self.config, codec, WRITER.to_owned(), &written).await?)
    }

    async fn all(&self) -> Result<HashMap<String, MasterCrosswalk>, CrosswalkError> {
        let (of, handle) = (self.clone(), Handle::current());
        blocking(move || {
            let topic = topics::MASTER_CROSSWALK_V1.name();
            let latest = reader::latest_by_key(&of.config.kafka, topic, MAPPINGS_MAX)?;
            let values = latest.values().filter_map(|record| record.value.as_deref());
            let mappings = values.map(|value| {
                let (writer, body) = handle.block_on(of.codec.open(value))?;
                let mapping: MasterCrosswalk = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
                Ok::<_, CrosswalkError>((mapping.key(), mapping))
            });
            mappings.collect()
        })
        .await
    }

    /// Whether there is such an item or place, by its newest record.
    async fn known(&self, kind: MappingKind, target: &str) -> Result<(), CrosswalkError> {
        let (kafka, wanted) = (self.config.kafka.clone(), target.to_owned());
        let found = blocking(move || {
            let mut found = false;
            reader::read_range(&kafka, &Range::all(kind.topic().name), |record| {
                if record.key.as_deref() == Some(wanted.as_bytes()) {
                    found = record.value.is_some();
                }
                ControlFlow::Continue(())
            })?;
            Ok(found)
        })
        .await?;
        let missing = || CrosswalkError::NoTarget { kind: kind.as_str(), target: target.to_owned() };
        found.then_some(()).ok_or_else(missing)
    }
}

/// What a mapping says, for people.
pub fn told(mapping: &MasterCrosswalk) -> String {
    let to = |target: &Option<String>| target.clone().unwrap_or_else(|| "nothing".to_owned());
    let code = format!("{} {} of {}", mapping.kind, mapping.code, mapping.source_system);
    match &mapping.proposal {
        Some(change) => {
            let (now, then) = (to(&mapping.target), to(&change.target));
            format!("{code}: {now}, {then} proposed by {}: {}", change.actor, change.reason)
        }
        None => format!("{code}: {} (version {}): {}", to(&mapping.target), mapping.meta.revision, mapping.reason),
    }
}

fn unmapped(code: &MappedCode) -> MasterCrosswalk {
    MasterCrosswalk {
        meta: EventMeta { revision: -1, ..EventMeta::default() },
        kind: code.kind.as_str().to_owned(),
        source_system: code.source_system.clone(),
        code: code.code.trim().to_owned(),
        ..MasterCrosswalk::default()
    }
}

fn key_of(code: &MappedCode) -> String {
    unmapped(code).key()
}

fn in_force(mapping: &mut MasterCrosswalk, change: CrosswalkProposal, approved_by: Option<String>) {
    mapping.target = change.target;
    mapping.actor = change.actor;
    mapping.reason = change.reason;
    mapping.approved_by = approved_by;
    mapping.proposal = None;
}

/// The envelope of the next version.
fn envelope(mapping: &MasterCrosswalk) -> EventMeta {
    let topic = MasterCrosswalk::topic();
    let revision = mapping.meta.revision.saturating_add(1);
    let message_id = format!("{}@{revision}", mapping.key());
    let now = Timestamp(clock::now_micros());
    EventMeta {
        event_id: identity::event_id("wardline", &message_id, "0", topic.event_type),
        business_key: format!("{}/{}", topic.name, mapping.key()),
        revision,
        action: Action::Snapshot,
        recorded_at: now,
        published_at: now,
        source: Source {
            system: "wardline".to_owned(),
            format: SourceFormat::Wardline,
            message_type: "crosswalk".to_owned(),
            message_id,
            ..Source::default()
        },
        ..EventMeta::default()
    }
}

fn named(actor: &str) -> Result<String, CrosswalkError> {
    let actor = actor.trim();
    if actor.is_empty() || actor == "unknown" {
        return Err(CrosswalkError::Unsaid("who maps it was not said"));
    }
    Ok(actor.to_owned())
}

fn said(reason: Option<&str>) -> Result<String, CrosswalkError> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    reason.map(str::to_owned).ok_or(CrosswalkError::Unsaid("why it is mapped was not said"))
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, CrosswalkError> + Send + 'static,
) -> Result<T, CrosswalkError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(stopped) => Err(PublishError::from(runtime::kafka::ClientError::Delivery(stopped.to_string())).into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_next_step_where_the_person_is() {
        let code = MappedCode { kind: MappingKind::Item, source_system: "LAB 1".to_owned(), code: "I'7".to_owned() };
        let same = CrosswalkError::SamePerson { actor: "ada".to_owned(), code: Box::new(code) };
        assert!(
            same.next().unwrap().contains(r"`wardline crosswalk approve item 'LAB 1' 'I'\''7'`"),
            "{:?}",
            same.next()
        );
        let nothing = CrosswalkError::Nothing("nothing".to_owned());
        let changed = CrosswalkError::Changed { now: "nothing".to_owned() };
        for error in [same, nothing, changed, CrosswalkError::NotSeen, CrosswalkError::Unsaid("why")] {
            let on_page = error.on_page().unwrap();
            assert!(!on_page.contains("wardline") && !on_page.contains("--"), "{on_page}");
        }
    }

    #[test]
    fn what_is_in_force_stays_until_a_change_is_agreed_to() {
        let code = MappedCode { kind: MappingKind::Item, source_system: "S".to_owned(), code: " X ".to_owned() };
        let mut mapping = unmapped(&code);
        assert_eq!((mapping.key().as_str(), envelope(&mapping).revision), ("item/S/X", 0));
        let change = |target: &str| CrosswalkProposal {
            target: Some(target.to_owned()),
            actor: "ada".to_owned(),
            reason: "so".to_owned(),
            ..CrosswalkProposal::default()
        };
        in_force(&mut mapping, change("A"), Some("bert".to_owned()));
        mapping.meta = envelope(&mapping);
        mapping.proposal = Some(change("B"));
        assert_eq!(told(&mapping), "item X of S: A, B proposed by ada: so");
        assert_eq!((mapping.target.as_deref(), envelope(&mapping).revision), (Some("A"), 1));
        assert_ne!(envelope(&mapping).event_id, mapping.meta.event_id);
    }

    #[test]
    fn who_and_why_go_on_record() {
        assert!(named(" ").is_err() && named("unknown").is_err() && said(Some(" ")).is_err() && said(None).is_err());
        assert_eq!((named(" Ada ").unwrap(), said(Some(" so ")).unwrap()), ("Ada".to_owned(), "so".to_owned()));
    }
}
