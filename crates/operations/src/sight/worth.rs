//! What waits in a domain, and what that is worth.

use super::activity::DomainActivity;
use crate::exceptions::{Money, Stopped, money_text};
use serde::Serialize;
use std::collections::BTreeMap;

/// The work of a domain, with what is parked in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainWork {
    /// The work.
    #[serde(flatten)]
    pub activity: DomainActivity,
    /// What is parked in the rooms of the domain.
    pub parked: Parked,
}

/// What is parked in some rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// Events.
    pub events: usize,
    /// What they are worth, where they say it.
    pub money: Vec<Money>,
    /// Events that do not say what they are worth.
    pub events_without_price: usize,
}

impl DomainWork {
    /// The work of a domain, beside what waits in each room.
    #[must_use]
    pub fn new(activity: DomainActivity, stopped: &[Stopped]) -> Self {
        let mut parked = Parked::default();
        let mut money = BTreeMap::new();
        for room in stopped.iter().filter(|room| activity.rooms.contains(&room.room.as_str())) {
            parked.events += room.events;
            parked.events_without_price += room.events_without_price;
            for one in &room.money {
                *money.entry(one.currency.clone()).or_default() += one.amount;
            }
        }
        parked.money = money.into_iter().map(|(currency, amount)| Money { currency, amount }).collect();
        Self { activity, parked }
    }
}

impl Parked {
    /// What is known of what they are worth, for people; none when nothing is known.
    #[must_use]
    pub fn worth(&self) -> Option<String> {
        (!self.money.is_empty()).then(|| money_text(&self.money))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sight::activity::Domain;

    #[test]
    fn the_money_of_a_domain_is_that_of_its_rooms() {
        let stopped = |room: &str, cents: i64, currency: &str| Stopped {
            room: room.to_owned(),
            events: 2,
            money: vec![Money { currency: currency.to_owned(), amount: schemas::Decimal::new(cents, 2) }],
            events_without_price: 1,
        };
        let activity = DomainActivity {
            domain: Domain::Supply,
            from: Vec::new(),
            to: "",
            rooms: vec!["validate", "enrich"],
            waiting: 0,
            hours: Vec::new(),
        };
        let all = [stopped("validate", 150, "EUR"), stopped("enrich", 250, "EUR"), stopped("erp-post", 999, "EUR")];
        let found = DomainWork::new(activity.clone(), &all).parked;
        assert_eq!((found.events, found.events_without_price), (4, 2));
        assert_eq!(found.worth().as_deref(), Some("4.00 EUR"));
        let nothing = DomainWork::new(activity, &[]).parked;
        assert_eq!((nothing.worth(), nothing), (None, Parked::default()));
    }
}
