//! Usages that were told, and what a further statement does to them.

use super::aliases::{self, Alias, Kind};
use super::merge::{self, Ground};
use super::{Changed, Desk, outcome};
use crate::mapping::{DeviceFacts, Sighting};
use crate::outcome::{ClinicalEvent, Dropped, Outcome};
use schemas::identity::event_id;
use schemas::{Action, Event, EventMeta, SupplyUsage};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Prefix of the names of the stored entries.
pub(super) const STREAM: &str = "usage/";
/// Most pieces that may share one name.
const NUMBERS_MAX: usize = 1_000;

/// A usage that was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    /// Names under which it may be met again, as digests.
    aliases: BTreeSet<String>,
    /// Resources that state it now.
    vouchers: BTreeSet<String>,
    /// Resource that stated it first.
    first: String,
    /// Device resource, if one was named.
    device: Option<String>,
    /// Encounter resource that it was first told of, if one was named.
    #[serde(default)]
    encounter: Option<String>,
    in_encounter: bool,
    ground: Ground,
    /// Not retracted.
    live: bool,
    /// Order in which entries were touched, for forgetting.
    touched: u64,
    /// What was told last.
    event: SupplyUsage,
}

/// All of them, by business key.
#[derive(Debug, Clone)]
pub(super) struct Usages {
    most: usize,
    clock: u64,
    told: HashMap<String, Told>,
    by_alias: HashMap<String, String>,
    by_device: HashMap<String, BTreeSet<String>>,
    by_encounter: HashMap<String, BTreeSet<String>>,
    by_voucher: HashMap<String, BTreeSet<String>>,
    by_age: BTreeMap<u64, String>,
    changed: BTreeSet<String>,
}

/// What the resource at hand has claimed of one usage so far.
struct Claim {
    device: Option<String>,
    by_code: bool,
}

type Claims = BTreeMap<String, Claim>;

impl Usages {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            clock: 0,
            told: HashMap::new(),
            by_alias: HashMap::new(),
            by_device: HashMap::new(),
            by_encounter: HashMap::new(),
            by_voucher: HashMap::new(),
            by_age: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The pseudonym under which usages in an Encounter were told.
    pub(super) fn told_as(&self, encounter: &str) -> Option<&str> {
        let key = self.by_encounter.get(encounter)?.first()?;
        self.told.get(key).map(|told| told.event.encounter_ref.as_str())
    }

    /// Settles what a resource states; `rule` is why it states nothing.
    pub(super) fn settle(&mut self, sightings: Vec<Sighting>, desk: &Desk<'_>, rule: Option<Dropped>) -> Outcome {
        let resource = desk.resource();
        let before = self.by_voucher.get(&resource).cloned().unwrap_or_default();
        let mut claims = Claims::new();
        let mut events = Vec::new();
        let count = sightings.len();
        for (position, sighting) in sightings.into_iter().enumerate() {
            let aliases = aliases::of(&sighting, &resource);
            let key = match self.find(&sighting, &aliases, &resource, &claims) {
                Some(key) => {
                    events.extend(self.amend(&key, &sighting, &resource, claims.contains_key(&key), desk, position));
                    key
                }
                None => {
                    let (key, event) = self.tell(&sighting, &aliases, &resource, desk, position);
                    events.push(event);
                    key
                }
            };
            self.name(&key, &aliases);
            let claim = claims.entry(key).or_insert(Claim { device: None, by_code: false });
            claim.by_code |= sighting.device.is_none();
            claim.device = claim.device.take().or(sighting.device);
        }
        let withdrawn = before.into_iter().filter(|key| !claims.contains_key(key)).collect::<Vec<_>>();
        let still_stated = !withdrawn.is_empty();
        for (index, key) in withdrawn.iter().enumerate() {
            events.extend(self.unvouch(key, &resource, desk, count + index));
        }
        self.forget();
        let told_by = claims.keys().filter_map(|key| Some(self.told.get(key)?.event.meta.event_id.clone())).collect();
        let rule = match rule {
            Some(_) if still_stated => Dropped::by("usage.still-stated", "another resource still states the usage"),
            Some(rule) => rule,
            None => Dropped::by("usage.already-told", "it states no usage that was not told already"),
        };
        outcome(events, Dropped { told_by, ..rule })
    }

    /// Corrects the usages of a device after the Device itself changed.
    pub(super) fn correct_device(&mut self, facts: &DeviceFacts, desk: &Desk<'_>) -> Outcome {
        let keys = self.by_device.get(&desk.resource()).cloned().unwrap_or_default();
        if keys.is_empty() {
            return Outcome::Dropped(Dropped::by("device.no-usage", "a device by itself is no usage"));
        }
        let mut events = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            let Some(told) = self.told.get(key).filter(|told| told.live) else { continue };
            let merged = merge::correct(&told.event, facts);
            if merge::tells_more(&told.event, &merged) {
                events.extend(self.revise(key, merged, &EventMeta::default(), Action::Update, desk, position));
            }
        }
        outcome(events, Dropped::by("device.no-news", "the device says nothing that was not told already"))
    }

    /// The usage that a sighting means, when it was told before.
    fn find(&self, sighting: &Sighting, aliases: &[Alias], resource: &str, claims: &Claims) -> Option<String> {
        aliases.iter().find_map(|alias| {
            let numbers = if alias.kind == Kind::Serial { 1 } else { NUMBERS_MAX };
            let keys = (0..numbers).map_while(|number| self.by_alias.get(&alias.numbered(number)));
            keys.into_iter().find(|key| self.is_meant(key, sighting, alias, resource, claims)).cloned()
        })
    }

    fn is_meant(&self, key: &str, sighting: &Sighting, alias: &Alias, resource: &str, claims: &Claims) -> bool {
        let Some(told) = self.told.get(key) else { return false };
        if alias.of_patient && told.in_encounter && sighting.in_encounter {
            return false;
        }
        let differ = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        let di = |usage: &SupplyUsage| usage.udi.as_ref().and_then(|udi| udi.di.clone());
        let (known, new) = (&told.event, &sighting.facts);
        // The same resource may correct itself; two resources that contradict each other speak of two pieces.
        let corrects = told.vouchers.contains(resource) && told.device.is_some() && told.device == sighting.device;
        let contradicts =
            differ(&known.serial, &new.serial) || differ(&known.lot, &new.lot) || differ(&di(known), &di(new));
        if contradicts && !corrects {
            return false;
        }
        if alias.kind == Kind::Serial {
            return true;
        }
        if let Some(claim) = claims.get(key) {
            // The resource has named this one already: again by the same device, or once more by code.
            let by_code = sighting.device.is_none() && claim.device.is_some() && !claim.by_code;
            return by_code || (sighting.device.is_some() && claim.device == sighting.device);
        }
        // A resource type states a usage once: two charges for gloves are two usages, a procedure and its charge are one.
        let kind = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        !told.vouchers.iter().any(|voucher| voucher != resource && kind(voucher) == kind(resource))
    }

    /// Tells a usage for the first time.
    fn tell(
        &mut self,
        sighting: &Sighting,
        aliases: &[Alias],
        resource: &str,
        desk: &Desk<'_>,
        position: usize,
    ) -> (String, ClinicalEvent) {
        let free = aliases.first().map(|alias| {
            let free = (0..NUMBERS_MAX).find(|number| !self.by_alias.contains_key(&alias.numbered(*number)));
            alias.numbered(free.unwrap_or(NUMBERS_MAX))
        });
        let key = event_id("usage", &free.unwrap_or_default(), "0", "business-key");
        let kind = SupplyUsage::topic().event_type;
        let mut event = sighting.facts.clone();
        event.meta = desk.meta(&sighting.facts.meta, &key, 0, Action::Create, position, kind);
        let told = Told {
            aliases: BTreeSet::new(),
            vouchers: BTreeSet::from([resource.to_owned()]),
            first: resource.to_owned(),
            device: sighting.device.clone(),
            encounter: sighting.encounter.clone(),
            in_encounter: sighting.in_encounter,
            ground: Ground { counted: sighting.counted, placed: sighting.placed },
            live: true,
            touched: 0,
            event: event.clone(),
        };
        self.insert(key.clone(), told);
        self.touch(&key);
        (key, ClinicalEvent::Usage(Box::new(event)))
    }

    /// A further statement of a usage that was told: the resource vouches for it, and what it adds is told.
    fn amend(
        &mut self,
        key: &str,
        sighting: &Sighting,
        resource: &str,
        again: bool,
        desk: &Desk<'_>,
        position: usize,
    ) -> Option<ClinicalEvent> {
        let told = self.told.get_mut(key)?;
        let newly_vouched = told.vouchers.insert(resource.to_owned());
        // What was retracted is stated anew by whoever states it now.
        let correcting = !again && (told.first == resource || !told.live);
        let ground = told.ground;
        let merged = merge::add(&told.event, &mut told.ground, sighting, correcting);
        let named = told.device.is_none() && sighting.device.is_some();
        told.device = told.device.take().or_else(|| sighting.device.clone());
        let news = !told.live || merge::tells_more(&told.event, &merged);
        // What it comes to moves no stock: it is kept for the next revision.
        let charged = told.event.stated_amount != merged.stated_amount;
        told.event.stated_amount.clone_from(&merged.stated_amount);
        if newly_vouched || named || charged || ground != told.ground {
            self.by_voucher.entry(resource.to_owned()).or_default().insert(key.to_owned());
            if let Some(device) = &sighting.device {
                self.by_device.entry(device.clone()).or_default().insert(key.to_owned());
            }
            self.touch(key);
        }
        if news { self.revise(key, merged, &sighting.facts.meta, Action::Update, desk, position) } else { None }
    }

    /// Takes the word of a resource back; the last one retracts the usage.
    fn unvouch(&mut self, key: &str, resource: &str, desk: &Desk<'_>, position: usize) -> Option<ClinicalEvent> {
        if let Some(keys) = self.by_voucher.get_mut(resource) {
            keys.remove(key);
        }
        let told = self.told.get_mut(key)?;
        told.vouchers.remove(resource);
        let (last, event) = (told.vouchers.is_empty() && told.live, told.event.clone());
        self.touch(key);
        if last { self.revise(key, event, &EventMeta::default(), Action::Retract, desk, position) } else { None }
    }

    /// The next revision of a usage.
    fn revise(
        &mut self,
        key: &str,
        facts: SupplyUsage,
        news: &EventMeta,
        action: Action,
        desk: &Desk<'_>,
        position: usize,
    ) -> Option<ClinicalEvent> {
        let told = self.told.get_mut(key)?;
        let happened = EventMeta { warnings: news.warnings.clone(), nulled_fields: Vec::new(), ..facts.meta.clone() };
        let revision = told.event.meta.revision.saturating_add(1);
        let meta = desk.meta(&happened, key, revision, action, position, &facts.event_type());
        told.live = action != Action::Retract;
        told.event = SupplyUsage { meta, ..facts };
        let event = told.event.clone();
        self.touch(key);
        Some(ClinicalEvent::Usage(Box::new(event)))
    }

    /// Makes sure that a usage is found again under these names.
    fn name(&mut self, key: &str, aliases: &[Alias]) {
        let mut added = false;
        for alias in aliases {
            for number in 0..NUMBERS_MAX {
                let numbered = alias.numbered(number);
                match self.by_alias.get(&numbered) {
                    Some(known) if known == key => break,
                    // A serial number exists once: whoever has it first keeps it.
                    Some(_) if alias.kind == Kind::Serial => break,
                    Some(_) => {}
                    None => {
                        self.by_alias.insert(numbered.clone(), key.to_owned());
                        if let Some(told) = self.told.get_mut(key) {
                            added |= told.aliases.insert(numbered);
                        }
                        break;
                    }
                }
            }
        }
        if added {
            self.touch(key);
        }
    }

    fn insert(&mut self, key: String, told: Told) {
        for alias in &told.aliases {
            self.by_alias.insert(alias.clone(), key.clone());
        }
        for voucher in &told.vouchers {
            self.by_voucher.entry(voucher.clone()).or_default().insert(key.clone());
        }
        if let Some(device) = &told.device {
            self.by_device.entry(device.clone()).or_default().insert(key.clone());
        }
        if let Some(encounter) = &told.encounter {
            self.by_encounter.entry(encounter.clone()).or_default().insert(key.clone());
        }
        self.told.insert(key, told);
    }

    fn touch(&mut self, key: &str) {
        self.clock += 1;
        if let Some(told) = self.told.get_mut(key) {
            self.by_age.remove(&told.touched);
            told.touched = self.clock;
            self.by_age.insert(self.clock, key.to_owned());
            self.changed.insert(key.to_owned());
        }
    }

    /// Keeps the bound.
    fn forget(&mut self) {
        while self.told.len() > self.most
            && let Some((_, key)) = self.by_age.pop_first()
            && let Some(told) = self.told.remove(&key)
        {
            for alias in &told.aliases {
                self.by_alias.remove(alias);
            }
            for voucher in &told.vouchers {
                remove_from(&mut self.by_voucher, voucher, &key);
            }
            if let Some(device) = &told.device {
                remove_from(&mut self.by_device, device, &key);
            }
            if let Some(encounter) = &told.encounter {
                remove_from(&mut self.by_encounter, encounter, &key);
            }
            self.changed.insert(key);
        }
    }

    pub(super) fn changes(&mut self) -> Vec<Changed> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |key: String| {
            let entry = self.told.get(&key).and_then(|told| serde_json::to_string(told).ok());
            Changed { stream: format!("{STREAM}{key}"), entry }
        };
        changed.into_iter().map(entry).collect()
    }

    pub(super) fn restore(&mut self, entry: &str) -> Result<(), serde_json::Error> {
        let told: Told = serde_json::from_str(entry)?;
        let key = told.event.meta.business_key.clone();
        // Its age is the stored one, not that of the restart.
        self.clock = self.clock.max(told.touched);
        self.by_age.insert(told.touched, key.clone());
        self.insert(key, told);
        Ok(())
    }
}

fn remove_from(index: &mut HashMap<String, BTreeSet<String>>, name: &str, key: &str) {
    if let Some(keys) = index.get_mut(name) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(name);
        }
    }
}
