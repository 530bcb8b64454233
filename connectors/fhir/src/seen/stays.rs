//! Stays that were told, and what a further Encounter version adds.
//!
//! | before | now | told as |
//! | --- | --- | --- |
//! | nothing | active | ADMITTED |
//! | nothing, active | ended | DISCHARGED |
//! | active | active elsewhere | TRANSFERRED |
//! | ended | active | CANCELLED (DISCHARGE) |
//! | ended | other end, disposition or destination | DISCHARGED, same business key, higher revision |
//! | any | other facts | UPDATED |
//! | any | cancelled, entered in error, deleted | CANCELLED (ADMIT) |

use super::{Changed, Desk};
use crate::mapping::{Phase, Stay};
use crate::outcome::{ClinicalEvent, Dropped, Outcome};
use schemas::{Action, Cancels, Encounter, EncounterKind, Event, EventMeta};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Prefix of the names of the stored entries.
pub(super) const STREAM: &str = "stay/";

/// A stay that was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    /// The Encounter resource.
    resource: String,
    standing: Standing,
    /// Last revision of each fact, by business key.
    revisions: BTreeMap<String, i32>,
    /// How many transfers and updates were told.
    moves: u32,
    updates: u32,
    /// Order in which entries were touched, for forgetting.
    touched: u64,
    /// What was told last.
    event: Encounter,
}

/// Where a stay stands, as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    Active,
    Ended,
    Cancelled,
}

/// All of them, by encounter pseudonym.
#[derive(Debug, Clone)]
pub(super) struct Stays {
    most: usize,
    clock: u64,
    told: HashMap<String, Told>,
    by_resource: HashMap<String, String>,
    by_age: BTreeMap<u64, String>,
    changed: BTreeSet<String>,
}

/// What to tell.
struct News {
    kind: EncounterKind,
    cancels: Cancels,
    key: String,
}

impl Stays {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            clock: 0,
            told: HashMap::new(),
            by_resource: HashMap::new(),
            by_age: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The pseudonym under which the stay of an Encounter was told.
    pub(super) fn told_as(&self, encounter: &str) -> Option<&str> {
        self.by_resource.get(encounter).map(String::as_str)
    }

    /// Settles what an Encounter states.
    pub(super) fn settle(&mut self, stay: Stay, desk: &Desk<'_>) -> Outcome {
        let name = stay.facts.encounter_ref.clone();
        let told = self.told.get(&name);
        let news = match stay.phase {
            Phase::Cancelled => cancelled(told, &name),
            Phase::Active => active(told, &stay.facts, &name),
            Phase::Ended => ended(told, &stay.facts, &name),
        };
        let Some(news) = news else {
            let told_by = told.map(|told| told.event.meta.event_id.clone()).into_iter().collect();
            let rule = Dropped::by("encounter.no-news", "the encounter says nothing that was not told already");
            return Outcome::Dropped(Dropped { told_by, ..rule });
        };
        let standing = match stay.phase {
            Phase::Active => Standing::Active,
            Phase::Ended => Standing::Ended,
            Phase::Cancelled => Standing::Cancelled,
        };
        Outcome::Events(vec![self.tell(stay.facts, news, standing, desk)])
    }

    /// The Encounter was deleted: the stay is cancelled if it was told.
    pub(super) fn withdraw(&mut self, desk: &Desk<'_>) -> Option<Outcome> {
        let name = self.by_resource.get(&desk.resource())?.clone();
        let told = self.told.get(&name)?;
        let news = cancelled(Some(told), &name)?;
        let facts = Encounter { meta: EventMeta::default(), ..told.event.clone() };
        Some(Outcome::Events(vec![self.tell(facts, news, Standing::Cancelled, desk)]))
    }

    fn tell(&mut self, facts: Encounter, news: News, standing: Standing, desk: &Desk<'_>) -> ClinicalEvent {
        let name = facts.encounter_ref.clone();
        let known = self.told.remove(&name);
        let (mut revisions, moves, updates) =
            known.as_ref().map(|told| (told.revisions.clone(), told.moves, told.updates)).unwrap_or_default();
        let revision = revisions.get(&news.key).map_or(0, |revision| revision.saturating_add(1));
        let action = match (news.kind, revision) {
            (EncounterKind::Cancelled, _) => Action::Cancel,
            (_, 0) => Action::Create,
            _ => Action::Update,
        };
        let mut event = Encounter { kind: news.kind, cancels: news.cancels, ..facts };
        if let (EncounterKind::Transferred, Some(known)) = (news.kind, &known) {
            event.prior_location.clone_from(&known.event.location);
        }
        event.meta = desk.meta(&event.meta, &news.key, revision, action, 0, &event.event_type());
        revisions.insert(news.key, revision);
        self.clock += 1;
        if let Some(known) = &known {
            self.by_age.remove(&known.touched);
        }
        let told = Told {
            resource: desk.resource(),
            standing,
            revisions,
            moves: moves + u32::from(news.kind == EncounterKind::Transferred),
            updates: updates + u32::from(news.kind == EncounterKind::Updated),
            touched: self.clock,
            event: event.clone(),
        };
        self.insert(name.clone(), told);
        self.changed.insert(name);
        self.forget();
        ClinicalEvent::Encounter(Box::new(event))
    }

    fn insert(&mut self, name: String, told: Told) {
        // Earlier versions told an Encounter under two names; the one that was told last goes on.
        let before = self.by_resource.get(&told.resource).and_then(|known| self.told.get(known));
        if before.is_none_or(|before| before.touched <= told.touched) {
            self.by_resource.insert(told.resource.clone(), name.clone());
        }
        self.by_age.insert(told.touched, name.clone());
        self.told.insert(name, told);
    }

    fn forget(&mut self) {
        while self.told.len() > self.most
            && let Some((_, name)) = self.by_age.pop_first()
            && let Some(told) = self.told.remove(&name)
        {
            if self.by_resource.get(&told.resource) == Some(&name) {
                self.by_resource.remove(&told.resource);
            }
            self.changed.insert(name);
        }
    }

    pub(super) fn changes(&mut self) -> Vec<Changed> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |name: String| {
            let entry = self.told.get(&name).and_then(|told| serde_json::to_string(told).ok());
            Changed { stream: format!("{STREAM}{name}"), entry }
        };
        changed.into_iter().map(entry).collect()
    }

    pub(super) fn restore(&mut self, entry: &str) -> Result<(), serde_json::Error> {
        let told: Told = serde_json::from_str(entry)?;
        self.clock = self.clock.max(told.touched);
        self.insert(told.event.encounter_ref.clone(), told);
        Ok(())
    }
}

fn active(told: Option<&Told>, facts: &Encounter, name: &str) -> Option<News> {
    let Some(told) = told.filter(|told| told.standing != Standing::Cancelled) else {
        return Some(news(EncounterKind::Admitted, format!("{name}/admitted")));
    };
    if told.standing == Standing::Ended {
        let reopened = news(EncounterKind::Cancelled, format!("{name}/discharged"));
        return Some(News { cancels: Cancels::Discharge, ..reopened });
    }
    if told.event.location != facts.location && facts.location.is_some() {
        return Some(news(EncounterKind::Transferred, format!("{name}/transferred/{}", told.moves)));
    }
    updated(told, facts, name)
}

fn ended(told: Option<&Told>, facts: &Encounter, name: &str) -> Option<News> {
    let departure = |stay: &Encounter| (stay.discharged_at, stay.disposition.clone(), stay.discharged_to.clone());
    match told {
        Some(told) if told.standing == Standing::Ended && departure(&told.event) == departure(facts) => {
            updated(told, facts, name)
        }
        _ => Some(news(EncounterKind::Discharged, format!("{name}/discharged"))),
    }
}

fn cancelled(told: Option<&Told>, name: &str) -> Option<News> {
    let already = told.is_some_and(|told| told.standing == Standing::Cancelled);
    let cancelled = news(EncounterKind::Cancelled, format!("{name}/admitted"));
    (!already).then_some(News { cancels: Cancels::Admit, ..cancelled })
}

fn updated(told: &Told, facts: &Encounter, name: &str) -> Option<News> {
    let plain = |stay: &Encounter| Encounter {
        meta: EventMeta::default(),
        kind: EncounterKind::Updated,
        cancels: Cancels::None,
        prior_location: None,
        ..stay.clone()
    };
    (plain(&told.event) != plain(facts))
        .then(|| news(EncounterKind::Updated, format!("{name}/updated/{}", told.updates)))
}

fn news(kind: EncounterKind, key: String) -> News {
    News { kind, cancels: Cancels::None, key }
}
