//! The parked events, a few bytes each: to which key they belong and what they are worth. No payload is held.

use super::pool::{NONE, map_bytes};
use super::types::Money;
use schemas::Decimal;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Decimal places of the money that is counted.
pub const MONEY_SCALE: u32 = 4;
/// Most currencies that are told apart.
const CURRENCIES_MAX: u16 = 300;

/// Where a parked event came from, and the room that parked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Room.
    pub room: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The events of one key that wait in one room.
#[derive(Debug)]
pub struct Lane {
    stream: u32,
    key: Arc<str>,
    /// Events and their worth.
    pub worth: Worth,
    /// Causes of open exceptions of the key, and how many exceptions each has.
    pub causes: Vec<(u32, u32)>,
}

/// Room, topic and key of a lane.
pub type LaneName = (String, String, String);

/// Events and what they are worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Events.
    pub events: u64,
    /// Of these the ones that do not say what they are worth.
    pub unpriced: u64,
    /// By number of the currency, in units of [`MONEY_SCALE`] decimal places.
    pub amounts: Vec<(u16, i128)>,
}

/// An event in 24 bytes, its offset included: there may be millions.
#[derive(Clone, Copy, Debug)]
struct Held {
    amount: i64,
    lane: u32,
    /// 0 when it does not say what it is worth.
    currency: u16,
}

/// The parked events of all rooms.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Room and topic of each stream; there are as many as topics that rooms read.
    streams: Vec<(String, String)>,
    /// What waits in each stream.
    sums: Vec<Worth>,
    keys: Vec<HashMap<Arc<str>, u32>>,
    lanes: Vec<Option<Lane>>,
    free: Vec<u32>,
    origins: HashMap<(u32, i32), HashMap<i64, Held>>,
    currencies: Vec<String>,
    events: usize,
    /// Lanes in which something waits.
    busy: usize,
}

impl Worth {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.unpriced += other.unpriced;
        for (currency, amount) in &other.amounts {
            self.add_amount(*currency, *amount);
        }
    }

    /// Takes another away that was added.
    pub fn take(&mut self, other: &Self) {
        self.events -= other.events;
        self.unpriced -= other.unpriced;
        for (currency, amount) in &other.amounts {
            self.add_amount(*currency, -amount);
        }
    }

    fn add_amount(&mut self, currency: u16, amount: i128) {
        match self.amounts.iter_mut().find(|(known, _)| *known == currency) {
            Some((_, sum)) => *sum += amount,
            None => self.amounts.push((currency, amount)),
        }
    }
}

impl Held {
    fn worth(self) -> Worth {
        let is_unpriced = self.currency == 0;
        let amounts = if is_unpriced { Vec::new() } else { vec![(self.currency, i128::from(self.amount))] };
        Worth { events: 1, unpriced: u64::from(is_unpriced), amounts }
    }
}

impl Waiting {
    /// Parked events.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Adds an event. Says its lane and what that gained; the caller has removed the event if it was there before.
    pub fn add(&mut self, origin: &Origin<'_>, key: &str, money: Option<(Decimal, &str)>) -> (u32, Worth) {
        let lane = self.lane(origin.room, origin.topic, key);
        let stream = self.lanes.get(lane as usize).and_then(Option::as_ref).map_or(NONE, |lane| lane.stream);
        let (amount, currency) = self.money(money);
        let held = Held { amount, lane, currency };
        self.origins.entry((stream, origin.partition)).or_default().insert(origin.offset, held);
        self.events += 1;
        let worth = held.worth();
        if let Some(sum) = self.sums.get_mut(stream as usize) {
            sum.add(&worth);
        }
        if let Some(held) = self.lane_mut(lane) {
            held.worth.add(&worth);
            let is_first = held.worth.events == 1;
            self.busy += usize::from(is_first);
        }
        (lane, worth)
    }

    /// Takes an event out that has left the parking lot. Says its lane and what that lost; none when it was not there.
    pub fn remove(&mut self, origin: &Origin<'_>) -> Option<(u32, Worth)> {
        let place = (self.stream_of(origin.room, origin.topic)?, origin.partition);
        let held = self.origins.get_mut(&place)?;
        let gone = held.remove(&origin.offset)?;
        // What a million events needed is not kept for ten.
        if held.is_empty() {
            self.origins.remove(&place);
        } else if held.capacity() > 1_000 && held.len() < held.capacity() / 8 {
            held.shrink_to(held.len() * 2);
        }
        self.events -= 1;
        let worth = gone.worth();
        if let Some(sum) = self.sums.get_mut(place.0 as usize) {
            sum.take(&worth);
        }
        if let Some(held) = self.lane_mut(gone.lane) {
            held.worth.take(&worth);
            let was_last = held.worth.events == 0;
            self.busy -= usize::from(was_last);
        }
        Some((gone.lane, worth))
    }

    /// How many events of a room's topic wait that came from these offsets of a partition.
    pub fn within(&self, room: &str, topic: &str, partition: i32, offsets: &Range<i64>) -> usize {
        let held = self.stream_of(room, topic).and_then(|stream| self.origins.get(&(stream, partition)));
        let Some(held) = held else { return 0 };
        let asked = usize::try_from(offsets.end.saturating_sub(offsets.start)).unwrap_or_default();
        // A short range is asked offset by offset, a long one of what is held.
        if asked < held.len() {
            offsets.clone().filter(|offset| held.contains_key(offset)).count()
        } else {
            held.keys().filter(|offset| offsets.contains(offset)).count()
        }
    }

    /// The lane of a key of a room's topic; made when there is none.
    pub fn lane(&mut self, room: &str, topic: &str, key: &str) -> u32 {
        let stream = self.stream(room, topic);
        let keys = &mut self.keys[stream as usize];
        if let Some(lane) = keys.get(key) {
            return *lane;
        }
        let key: Arc<str> = Arc::from(key);
        let lane = Lane { stream, key: Arc::clone(&key), worth: Worth::default(), causes: Vec::new() };
        let number = match self.free.pop() {
            Some(number) => {
                self.lanes[number as usize] = Some(lane);
                number
            }
            None => {
                self.lanes.push(Some(lane));
                u32::try_from(self.lanes.len() - 1).unwrap_or(NONE)
            }
        };
        keys.insert(key, number);
        number
    }

    /// What waits in each room, by its name.
    pub fn by_room(&self) -> BTreeMap<&str, Worth> {
        let mut rooms: BTreeMap<&str, Worth> = BTreeMap::new();
        for ((room, _), sum) in self.streams.iter().zip(&self.sums) {
            rooms.entry(room).or_default().add(sum);
        }
        rooms
    }

    /// A lane by its number.
    pub fn get(&self, lane: u32) -> Option<&Lane> {
        self.lanes.get(lane as usize)?.as_ref()
    }

    /// Room, topic and key of a lane.
    pub fn name(&self, lane: u32) -> Option<LaneName> {
        let lane = self.get(lane)?;
        let (room, topic) = self.streams.get(lane.stream as usize)?;
        Some((room.clone(), topic.clone(), lane.key.to_string()))
    }

    /// Keys of which something waits.
    pub fn waiting_lanes(&self) -> usize {
        self.busy
    }

    /// A lane by its number, to change it.
    pub fn lane_mut(&mut self, lane: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(lane as usize)?.as_mut()
    }

    /// Forgets a lane in which nothing waits and of which nothing is open.
    pub fn tidy(&mut self, lane: u32) {
        let Some(held) = self.get(lane) else { return };
        if held.worth.events > 0 || !held.causes.is_empty() {
            return;
        }
        let (stream, key) = (held.stream, Arc::clone(&held.key));
        self.keys[stream as usize].remove(&key);
        self.lanes[lane as usize] = None;
        self.free.push(lane);
    }

    /// Amounts of money for people, by name of the currency.
    pub fn amounts(&self, worth: &Worth) -> Vec<Money> {
        let mut amounts: Vec<Money> = worth
            .amounts
            .iter()
            .filter(|(_, amount)| *amount != 0)
            .filter_map(|(currency, amount)| {
                let currency = self.currencies.get(usize::from(*currency).checked_sub(1)?)?.clone();
                let amount = Decimal::try_from_i128_with_scale(*amount, MONEY_SCALE).ok()?.normalize();
                Some(Money { currency, amount })
            })
            .collect();
        amounts.sort_by(|one, other| one.currency.cmp(&other.currency));
        amounts
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let origins: usize =
            self.origins.values().map(|held| map_bytes(held.capacity(), size_of::<(i64, Held)>())).sum();
        let keys: usize = self.keys.iter().map(|keys| map_bytes(keys.capacity(), size_of::<(Arc<str>, u32)>())).sum();
        let text = |lane: &Lane| lane.key.len() + 2 * size_of::<usize>();
        let money = |lane: &Lane| lane.worth.amounts.capacity() * size_of::<(u16, i128)>();
        let causes = |lane: &Lane| lane.causes.capacity() * size_of::<(u32, u32)>();
        let lanes: usize = self.lanes.iter().flatten().map(|lane| text(lane) + money(lane) + causes(lane)).sum();
        origins + keys + lanes + self.lanes.capacity() * size_of::<Option<Lane>>() + self.free.capacity() * 4
    }

    fn stream_of(&self, room: &str, topic: &str) -> Option<u32> {
        // There are a dozen: a search needs no text of its own.
        let found = self.streams.iter().position(|(known, of)| known == room && of == topic)?;
        u32::try_from(found).ok()
    }

    fn stream(&mut self, room: &str, topic: &str) -> u32 {
        if let Some(stream) = self.stream_of(room, topic) {
            return stream;
        }
        self.streams.push((room.to_owned(), topic.to_owned()));
        self.sums.push(Worth::default());
        self.keys.push(HashMap::new());
        u32::try_from(self.streams.len() - 1).unwrap_or(NONE)
    }

    /// As it is held: currency 0 when nothing is known or the number does not fit.
    fn money(&mut self, money: Option<(Decimal, &str)>) -> (i64, u16) {
        let Some((mut amount, currency)) = money else { return (0, 0) };
        amount.rescale(MONEY_SCALE);
        let Ok(amount) = i64::try_from(amount.mantissa()) else { return (0, 0) };
        let known = self.currencies.iter().position(|known| known == currency);
        let index = known.unwrap_or(self.currencies.len());
        let Some(number) = u16::try_from(index + 1).ok().filter(|number| *number <= CURRENCIES_MAX) else {
            return (0, 0);
        };
        if known.is_none() {
            self.currencies.push(currency.to_owned());
        }
        (amount, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_of_a_range_is_counted_from_either_side() {
        let mut waiting = Waiting::default();
        for offset in [3, 5, 8, 900] {
            waiting.add(&Origin { room: "r", topic: "t", partition: 1, offset }, "k", None);
        }
        let count = |room: &str, partition, offsets: Range<i64>| waiting.within(room, "t", partition, &offsets);
        assert_eq!([count("r", 1, 3..6), count("r", 1, 3..8), count("r", 1, 4..901)], [2, 2, 3]);
        assert_eq!([count("r", 1, 6..6), count("r", 0, 0..901), count("other", 1, 0..901)], [0, 0, 0]);
    }
}
