//! What is sent: charges of invented patients, each with a quantity that occurs once in the whole run.
//!
//! The quantity is `1.eeesss`: encounter `eee`, use `sss` of that encounter. It survives every room and every system unchanged,
//! so that order, loss and doubles can be decided on any side by it alone.

use crate::random::Random;
use components::{Hospital, Item};
use serde::Serialize;
use std::fmt::Write as _;

/// Most encounters and most uses of one, so that a quantity tells both.
pub const MOST: u32 = 999;
/// Item that the ERP is told to refuse.
pub const REFUSED_ITEM: &str = "71-400208";
/// Item that nobody knows.
const UNKNOWN_ITEM: &str = "71-999999";
/// Every planted name and number begins with this, and nothing else does.
pub const MARK: &str = "Quaz";
/// The first encounter that fails does so at this use, so that others wait before and behind it.
const FAILS_AT: u32 = 6;
/// The others fail at later ones: the last of them when so many of a hundred messages of a stay are sent, which is while the storm
/// lasts.
const FAILS_UNTIL: u32 = 24;
/// Records that are no events.
const GARBAGE: u32 = 12;
/// Their keys begin with this, and no other does.
pub const GARBAGE_KEY: &str = "garbage-";

/// What is to become of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Moves stock in the ERP.
    Stock,
    /// Moves stock, and the supplier is told.
    StockAndNotice,
    /// Belongs to the supplier: nothing moves, the supplier is told.
    Consigned,
    /// Names an article that does not exist: waits, then a person is asked.
    UnknownItem,
    /// Lacks the lot that the article needs: a person is asked.
    NoLot,
    /// The ERP refuses it: a person is asked.
    Refused,
}

/// One use of an article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Encounter, from 1.
    pub encounter: u32,
    /// Number of the use in its encounter, from 1.
    pub seq: u32,
    /// What is to become of it.
    pub kind: Kind,
}

/// A message of a source system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MSH-10.
    pub control_id: String,
    /// The bytes inside the frame.
    pub text: String,
    /// The uses it tells of.
    pub uses: Vec<Use>,
}

/// A stay with its messages, in the order in which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encounter {
    /// From 1.
    pub number: u32,
    /// Whether one of its uses cannot go through.
    pub fails: bool,
    /// In order.
    pub messages: Vec<Message>,
}

/// All that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The stays.
    pub encounters: Vec<Encounter>,
    /// Names and numbers of the invented patients: they must not be seen anywhere but in events.
    pub planted: Vec<String>,
    /// Records that are no events, for the topic of usages.
    pub garbage: Vec<Vec<u8>>,
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Stays.
    pub encounters: u32,
    /// Messages of each.
    pub messages: u32,
}

/// The number that a use is known by everywhere: its quantity in millionths.
#[must_use]
pub const fn signature(encounter: u32, seq: u32) -> u32 {
    1_000_000 + encounter * 1_000 + seq
}

/// Encounter and number of the use that a signature stands for.
#[must_use]
pub const fn of_signature(signature: u32) -> Option<(u32, u32)> {
    match signature {
        1_001_001..2_000_000 => Some(((signature - 1_000_000) / 1_000, signature % 1_000)),
        _ => None,
    }
}

/// A decimal text such as `1.00201` in millionths.
#[must_use]
pub fn millionths(text: &str) -> Option<u32> {
    let text = text.trim_start_matches('-');
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: u32 = format!("{part:0<6}").parse().ok().filter(|_| part.len() <= 6)?;
    whole.parse::<u32>().ok()?.checked_mul(1_000_000)?.checked_add(part)
}

impl Use {
    /// The number that it is known by.
    #[must_use]
    pub const fn signature(&self) -> u32 {
        signature(self.encounter, self.seq)
    }
}

impl Load {
    /// Draws the load; `day` is `YYYYMMDD`.
    ///
    /// # Errors
    /// When the hospital cannot be read.
    pub fn draw(seed: u64, size: Size, day: &str) -> anyhow::Result<Self> {
        let hospital = Hospital::load()?;
        let articles = Articles::of(&hospital);
        let mut random = Random::new(seed, "load");
        let mut load = Self { encounters: Vec::new(), planted: Vec::new(), garbage: Vec::new() };
        for number in 1..=size.encounters.min(MOST) {
            let patient = Patient::draw(&mut random);
            load.planted.extend([patient.family.clone(), patient.record.clone(), patient.visit.clone()]);
            let place = random.choose(&["OR1", "OR2", "CATH", "ICU", "WARD4"]).copied().unwrap_or("OR1");
            let fails = failing(number).map(|kind| (fails_at(number, size.messages), kind));
            let articles = &articles;
            let mut writer = Writer { seed, day, number, place, patient, articles, random: &mut random, seq: 0, fails };
            let messages = (0..size.messages).map_while(|_| writer.message()).collect();
            load.encounters.push(Encounter { number, fails: fails.is_some(), messages });
        }
        load.garbage = (0..GARBAGE).map(|_| random.bits().to_be_bytes().map(|byte| byte | 1).to_vec()).collect();
        Ok(load)
    }
}

/// Which use of an encounter that fails does: one after the other, so that the way of what fails is under faults, too. A message
/// has two uses on the average.
const fn fails_at(number: u32, messages: u32) -> u32 {
    FAILS_AT + 2 * messages * FAILS_UNTIL / 100 * (number / 6 % 5) / 4
}

/// How a use of an encounter fails: three encounters in twenty do.
const fn failing(number: u32) -> Option<Kind> {
    match number % 20 {
        3 => Some(Kind::UnknownItem),
        9 => Some(Kind::NoLot),
        15 => Some(Kind::Refused),
        _ => None,
    }
}

struct Patient {
    family: String,
    record: String,
    visit: String,
}

impl Patient {
    /// Texts that occur nowhere by chance.
    fn draw(random: &mut Random) -> Self {
        let mut letters = |count: usize| -> String {
            (0..count).map(|_| char::from(b'a' + u8::try_from(random.between(0, 25)).unwrap_or_default())).collect()
        };
        let family = format!("{MARK}{}", letters(10));
        Self {
            family,
            record: format!("{MARK}R{:011}", random.between(10_000_000_000, 99_999_999_999)),
            visit: format!("{MARK}V{:011}", random.between(10_000_000_000, 99_999_999_999)),
        }
    }
}

struct Articles<'a> {
    stock: Vec<&'a Item>,
    vmi: Vec<&'a Item>,
    consigned: Vec<&'a Item>,
    refused: Option<&'a Item>,
}

impl<'a> Articles<'a> {
    fn of(hospital: &'a Hospital) -> Self {
        let of =
            |wanted: &dyn Fn(&Item) -> bool| hospital.items.iter().filter(|item| item.active && wanted(item)).collect();
        let is = |item: &Item, group: &str| item.categories.iter().any(|category| category == group);
        Self {
            stock: of(&|item| item.lots.is_empty() && is(item, "Consumable") && item.code != REFUSED_ITEM),
            vmi: of(&|item| item.lots.is_empty() && is(item, "VMI")),
            consigned: of(&|item| is(item, "Consignment")),
            refused: hospital.items.iter().find(|item| item.code == REFUSED_ITEM),
        }
    }
}

struct Writer<'a> {
    seed: u64,
    day: &'a str,
    number: u32,
    place: &'static str,
    patient: Patient,
    articles: &'a Articles<'a>,
    random: &'a mut Random,
    seq: u32,
    /// Number of the use that cannot go through, and why.
    fails: Option<(u32, Kind)>,
}

impl Writer<'_> {
    /// The next message, with one to three charges; `None` when the encounter is full.
    fn message(&mut self) -> Option<Message> {
        let charges = u32::try_from(self.random.between(1, 3)).unwrap_or(1);
        if self.seq + charges > MOST {
            return None;
        }
        let control_id = format!("C{}-{:03}-{:03}", self.seed, self.number, self.seq + 1);
        let time = format!("{}1200{:02}+0000", self.day, self.seq % 60);
        let Patient { family, record, visit } = &self.patient;
        let place = self.place;
        let mut text = format!(
            "MSH|^~\\&|CHAOS|GENERAL|WARDLINE|HUB|{time}||DFT^P03^DFT_P03|{control_id}|P|2.5.1\rEVN|P03|{time}\r\
             PID|1||{record}^^^GENERAL^MR||{family}^Test^^^^^L||19500101|F\r\
             PV1|1|I|{place}^1^A^GENERAL^^N^MAIN||||1001^Adams^Ann^^^Dr|||SUR|||||||||{visit}^^^GENERAL^VN\r"
        );
        let mut uses = Vec::new();
        for set in 1..=charges {
            self.seq += 1;
            let kind = self.kind();
            self.charge(&mut text, set, kind, &time);
            uses.push(Use { encounter: self.number, seq: self.seq, kind });
        }
        Some(Message { control_id, text, uses })
    }

    fn kind(&mut self) -> Kind {
        match self.fails {
            Some((at, kind)) if at == self.seq => kind,
            _ => match self.random.between(0, 9) {
                0..=5 => Kind::Stock,
                6 | 7 => Kind::StockAndNotice,
                _ => Kind::Consigned,
            },
        }
    }

    fn charge(&mut self, text: &mut String, set: u32, kind: Kind, time: &str) {
        let articles = self.articles;
        let item = match kind {
            Kind::Stock | Kind::UnknownItem => self.random.choose(&articles.stock).copied(),
            Kind::StockAndNotice => self.random.choose(&articles.vmi).copied(),
            Kind::Consigned | Kind::NoLot => self.random.choose(&articles.consigned).copied(),
            Kind::Refused => articles.refused,
        };
        let lot = item.and_then(|item| item.lots.first()).filter(|_| kind != Kind::NoLot);
        let (number, expires) =
            lot.map_or((String::new(), String::new()), |lot| (lot.number.clone(), lot.expires.replace('-', "")));
        let (code, gtin) = match (item, kind) {
            (Some(_), Kind::UnknownItem) | (None, _) => (UNKNOWN_ITEM, ""),
            (Some(item), _) => (item.code.as_str(), item.gtin.as_str()),
        };
        let quantity = format!("1.{:03}{:03}", self.number, self.seq);
        let transaction = format!("T{}-{:03}-{:03}", self.seed, self.number, self.seq);
        let place = self.place;
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "FT1|{set}|{transaction}||{time}||CG|{code}^Article^L|||{quantity}|||{place}^{place}^L|||\
             {place}^1^A^GENERAL||I||1001^Adams^Ann|1001^Adams^Ann\r\
             ZSC|{set}|{code}|u|{quantity}|{gtin}|{number}||{expires}|N|\r"
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn uses(load: &Load) -> impl Iterator<Item = &Use> {
        load.encounters.iter().flat_map(|one| &one.messages).flat_map(|message| &message.uses)
    }

    const SIZE: Size = Size { encounters: 40, messages: 30 };

    #[test]
    fn the_same_seed_is_the_same_load() {
        let draw = |seed| Load::draw(seed, SIZE, "20260302").unwrap();
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5).encounters, draw(6).encounters);
    }

    #[test]
    fn a_quantity_tells_its_use() {
        let load = Load::draw(5, SIZE, "20260302").unwrap();
        let all: Vec<u32> = uses(&load).map(Use::signature).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(uses(&load).all(|one| of_signature(one.signature()) == Some((one.encounter, one.seq))));
        assert!(load.encounters.iter().flat_map(|one| &one.messages).all(|message| {
            message.uses.iter().all(|one| message.text.contains(&format!("|1.{:03}{:03}|", one.encounter, one.seq)))
        }));
        assert_eq!(millionths("1.00201"), Some(1_002_010));
        assert_eq!((millionths("-1"), millionths("1.0000001"), millionths("x")), (Some(1_000_000), None, None));
    }

    #[test]
    fn what_fails_does_so_one_after_the_other_while_the_storm_lasts() {
        let load = Load::draw(5, Size { encounters: 30, messages: 43 }, "20260302").unwrap();
        let fails = |one: &&Use| matches!(one.kind, Kind::UnknownItem | Kind::NoLot | Kind::Refused);
        let at: Vec<u32> = uses(&load).filter(fails).map(|one| one.seq).collect();
        assert_eq!(at, [6, 11, 16, 21, 26]);
        assert_eq!(load.encounters.iter().filter(|one| one.fails).count(), at.len());
    }

    #[test]
    fn each_way_to_fail_is_there_and_names_stay_out_of_ids() {
        let load = Load::draw(5, SIZE, "20260302").unwrap();
        let kinds: BTreeSet<Kind> = uses(&load).map(|one| one.kind).collect();
        assert_eq!(kinds.len(), 6);
        for message in load.encounters.iter().flat_map(|one| &one.messages) {
            assert!(load.planted.iter().all(|value| !message.control_id.contains(value.as_str())));
        }
    }
}
