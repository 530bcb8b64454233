//! What happens on the day: patients, stays, what is used on them, and what goes wrong.

use super::random::Random;
use components::{Hospital, Item};
use jiff::civil::Date;

/// A patient that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Medical record number.
    pub record_number: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// `YYYYMMDD`.
    pub birth: String,
    /// `F` or `M`.
    pub sex: &'static str,
}

/// One article used on a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Item number as sent.
    pub item: String,
    /// Name as sent.
    pub name: String,
    /// GTIN on the label.
    pub gtin: String,
    /// How many, in `unit`.
    pub quantity: u32,
    /// Unit as sent.
    pub unit: String,
    /// What the source charges for one, in the hospital's currency, as decimal text.
    pub price: String,
    /// Lot number.
    pub lot: Option<String>,
    /// Expiry, `YYYYMMDD`.
    pub expires: Option<String>,
    /// Taken back: a credit.
    pub credit: bool,
    /// Opened and not used.
    pub wasted: bool,
    /// Stays in the patient.
    pub implant: bool,
}

/// What can go wrong with a stay, so that the report has something to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing special.
    Plain,
    /// A message is sent again with the same bytes.
    Resent,
    /// An item that the ERP does not know; a later use of the same stay waits behind it.
    UnknownItem,
    /// An item with lots is sent without one.
    MissingLot,
    /// The label says that it expired.
    Expired,
    /// A lot that the ERP does not know.
    UnknownLot,
    /// A byte that the declared character set does not have.
    BadByte,
    /// A name in a declared Latin-1 message.
    Latin1,
    /// A use is taken back.
    Credit,
    /// An opened item is thrown away.
    Wasted,
    /// The discharge is cancelled and comes again later.
    DischargeCancelled,
    /// The admission was a mistake.
    AdmissionCancelled,
    /// The transfer was a mistake.
    TransferCancelled,
    /// Two records of one patient are merged.
    Merged,
    /// A message that nothing is made from.
    Unmapped,
    /// The recorded implant comes as a device message with its UDI.
    DeviceMessage,
}

/// One stay with what was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Number of the stay on this day, from 0.
    pub number: usize,
    /// Visit number.
    pub visit: String,
    /// Who.
    pub patient: Patient,
    /// Where the patient is first.
    pub ward: &'static str,
    /// Where the procedure is done.
    pub theatre: &'static str,
    /// Minute of the day of the admission.
    pub admitted_minute: u32,
    /// What was used, in the order in which it was recorded.
    pub uses: Vec<Use>,
    /// What goes wrong.
    pub twist: Twist,
}

/// In which order the twists are handed out; after the last one stays are plain.
const TWISTS: [Twist; 16] = [
    Twist::Plain,
    Twist::Resent,
    Twist::Credit,
    Twist::UnknownItem,
    Twist::DeviceMessage,
    Twist::MissingLot,
    Twist::DischargeCancelled,
    Twist::Expired,
    Twist::Wasted,
    Twist::AdmissionCancelled,
    Twist::BadByte,
    Twist::TransferCancelled,
    Twist::UnknownLot,
    Twist::Latin1,
    Twist::Merged,
    Twist::Unmapped,
];

const FAMILIES: [&str; 16] = [
    "Abel", "Bauer", "Costa", "Dubois", "Evans", "Fuchs", "Garcia", "Huber", "Ivanova", "Jansen", "Kowalski", "Larsen",
    "Moreau", "Nowak", "Olsen", "Peeters",
];
const GIVEN: [&str; 12] =
    ["Ada", "Ben", "Clara", "David", "Elsa", "Felix", "Greta", "Hugo", "Ines", "Jan", "Karin", "Leo"];

/// The stays of a day.
pub fn stays(hospital: &Hospital, date: Date, count: usize) -> Vec<Stay> {
    (0..count).map(|number| stay(hospital, date, number)).collect()
}

/// A use of the item as its label says, with its first lot.
pub fn labelled(item: &Item, quantity: u32) -> Use {
    let lot = item.lots.first();
    Use {
        item: item.code.clone(),
        name: item.name.clone(),
        gtin: item.gtin.clone(),
        quantity,
        unit: "EA".to_owned(),
        price: item.cost.clone(),
        lot: lot.map(|lot| lot.number.clone()),
        expires: lot.map(|lot| lot.expires.replace('-', "")),
        credit: false,
        wasted: false,
        implant: item.categories.iter().any(|category| category == "Implant"),
    }
}

/// A patient of the day.
pub fn patient(random: &mut Random, date: Date, number: usize) -> Patient {
    let choose = |random: &mut Random, names: &[&str]| random.pick(names).copied().unwrap_or("Doe").to_owned();
    Patient {
        record_number: format!("M{}{number:04}", date.strftime("%y%m%d")),
        family: choose(random, &FAMILIES),
        given: choose(random, &GIVEN),
        birth: format!("{}{:02}{:02}", random.between(1935, 2005), random.between(1, 12), random.between(1, 28)),
        sex: if random.below(2) == 0 { "F" } else { "M" },
    }
}

fn stay(hospital: &Hospital, date: Date, number: usize) -> Stay {
    let mut random = Random::new(&format!("{date} stay {number}"));
    let twist = TWISTS.get(number).copied().unwrap_or(Twist::Plain);
    let theatre = if number % 3 == 2 { "CATH" } else { ["OR1", "OR2"][number % 2] };
    let mut uses = uses(hospital, &mut random, theatre);
    twist_uses(&mut uses, twist, date);
    Stay {
        number,
        visit: format!("V{}{number:04}", date.strftime("%y%m%d")),
        patient: patient(&mut random, date, number),
        ward: if number.is_multiple_of(5) { "ICU" } else { "WARD4" },
        theatre,
        admitted_minute: 6 * 60 + random.between(0, 240),
        uses,
        twist,
    }
}

/// What a procedure at this place takes: some implants or devices, and what every procedure takes.
fn uses(hospital: &Hospital, random: &mut Random, theatre: &str) -> Vec<Use> {
    let special = if theatre == "CATH" { "Cardiology" } else { "Orthopaedics" };
    let of = |wanted: &str| -> Vec<&Item> {
        let active = hospital.items.iter().filter(|item| item.active);
        active.filter(|item| item.categories.iter().any(|category| category == wanted)).collect()
    };
    let mut chosen: Vec<Use> = Vec::new();
    let mut take = |random: &mut Random, from: &[&Item], most: u32| {
        if let Some(item) = random.pick(from)
            && !chosen.iter().any(|present| present.item == item.code)
        {
            chosen.push(labelled(item, random.between(1, most)));
        }
    };
    for _ in 0..random.between(1, 3) {
        take(random, &of(special), 1);
    }
    for _ in 0..random.between(1, 2) {
        take(random, &of("Consumable"), 6);
    }
    take(random, &of("Protective"), 8);
    chosen
}

fn twist_uses(uses: &mut Vec<Use>, twist: Twist, date: Date) {
    let Some(first) = uses.first().cloned() else { return };
    let tracked = uses.iter().position(|used| used.lot.is_some()).unwrap_or_default();
    match twist {
        Twist::UnknownItem => {
            let unknown = Use {
                item: "71-999999".to_owned(),
                name: "Item not in the catalogue".to_owned(),
                gtin: "09520999999996".to_owned(),
                lot: Some("LX".to_owned()),
                ..first
            };
            // Not the last one: what comes after it in the same stay has to wait.
            let place = uses.len().saturating_sub(1);
            uses.insert(place, unknown);
        }
        Twist::MissingLot => {
            if let Some(used) = uses.get_mut(tracked) {
                (used.lot, used.expires) = (None, None);
            }
            uses.rotate_left(tracked + 1);
        }
        Twist::UnknownLot => {
            if let Some(used) = uses.get_mut(tracked) {
                used.lot = Some("L-NOT-IN-STOCK".to_owned());
            }
            uses.rotate_left(tracked + 1);
        }
        Twist::Expired => {
            if let Some(used) = uses.get_mut(tracked) {
                used.expires = Some(date.saturating_sub(jiff::Span::new().days(30)).strftime("%Y%m%d").to_string());
            }
            uses.rotate_left(tracked + 1);
        }
        Twist::Credit => uses.push(Use { credit: true, ..first }),
        Twist::Wasted => uses.push(Use { wasted: true, quantity: 1, ..first }),
        Twist::AdmissionCancelled => uses.clear(),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn day() -> Vec<Stay> {
        stays(&Hospital::load().unwrap(), Date::constant(2026, 3, 2), 24)
    }

    #[test]
    fn the_same_day_is_the_same_story() {
        assert_eq!(day(), day());
    }

    #[test]
    fn every_twist_happens() {
        let stays = day();
        for twist in TWISTS {
            assert!(stays.iter().any(|stay| stay.twist == twist), "{twist:?}");
        }
    }

    #[test]
    fn an_expired_label_is_older_than_the_day() {
        let stays = day();
        let stay = stays.iter().find(|stay| stay.twist == Twist::Expired).unwrap();
        assert_eq!(stay.uses.last().unwrap().expires.as_deref(), Some("20260131"));
    }

    #[test]
    fn an_item_stands_once_in_a_plain_stay() {
        for stay in day().iter().filter(|stay| stay.twist == Twist::Plain) {
            let mut items: Vec<_> = stay.uses.iter().map(|used| &used.item).collect();
            items.sort();
            items.dedup();
            assert_eq!(items.len(), stay.uses.len());
        }
    }
}
