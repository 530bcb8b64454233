//! How often somebody may fail to sign in: per name and address, per address, and per name.

use crate::config::AttemptsConfig;
use runtime::clock::Tick;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// Names that nobody has share so many entries, so that guessing names does not fill the memory.
const STRANGERS: u64 = 256;

/// Counts failures; bounded (BND-1).
#[derive(Debug)]
pub struct Throttle {
    config: AttemptsConfig,
    failures: HashMap<Who, Failures>,
    /// Oldest first; an entry is of the window that was open when it was written.
    order: VecDeque<(Who, Tick)>,
}

/// What failures are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Pair(Name, IpAddr),
    Address(IpAddr),
    Name(Name),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Known(String),
    Stranger(u64),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Tick,
    count: u32,
}

impl Throttle {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(config: AttemptsConfig) -> Self {
        Self { config, failures: HashMap::new(), order: VecDeque::new() }
    }

    /// How long somebody must wait before they may try; none when they may try now.
    #[must_use]
    pub fn wait(&self, name: &str, is_known: bool, address: IpAddr, now: Tick) -> Option<Duration> {
        let all = self.all(name, is_known, address);
        all.into_iter().filter_map(|(who, most)| self.left(&who, most, now)).max()
    }

    /// How long an address must wait, whoever tries from there. What somebody fails at elsewhere has no name here.
    #[must_use]
    pub fn wait_of_address(&self, address: IpAddr, now: Tick) -> Option<Duration> {
        self.left(&Who::Address(address), self.config.per_address, now)
    }

    /// Somebody failed from an address, at another place than the form with name and password.
    pub fn failed_from(&mut self, address: IpAddr, now: Tick) {
        self.count(Who::Address(address), now);
        self.forget(now);
    }

    /// Somebody failed.
    pub fn failed(&mut self, name: &str, is_known: bool, address: IpAddr, now: Tick) {
        for (who, _) in self.all(name, is_known, address) {
            self.count(who, now);
        }
        self.forget(now);
    }

    /// Somebody has signed in: their failures from there are forgiven, those of others are not.
    pub fn succeeded(&mut self, name: &str, address: IpAddr) {
        self.failures.remove(&Who::Pair(Name::Known(name.to_owned()), address));
    }

    fn left(&self, who: &Who, most: u32, now: Tick) -> Option<Duration> {
        let window = self.window();
        let failures = self.failures.get(who).filter(|failures| now.since(failures.since) < window)?;
        (failures.count >= most).then(|| window.saturating_sub(now.since(failures.since)))
    }

    fn count(&mut self, who: Who, now: Tick) {
        let window = self.window();
        match self.failures.get_mut(&who).filter(|failures| now.since(failures.since) < window) {
            Some(failures) => failures.count = failures.count.saturating_add(1),
            None => {
                self.failures.insert(who.clone(), Failures { since: now, count: 1 });
                self.order.push_back((who, now));
            }
        }
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.config.window_s)
    }

    fn all(&self, name: &str, is_known: bool, address: IpAddr) -> [(Who, u32); 3] {
        let name = if is_known { Name::Known(name.to_owned()) } else { Name::Stranger(bucket(name)) };
        [
            (Who::Pair(name.clone(), address), self.config.per_name_and_address),
            (Who::Address(address), self.config.per_address),
            (Who::Name(name), self.config.per_name),
        ]
    }

    fn forget(&mut self, now: Tick) {
        let window = self.window();
        while let Some((who, since)) = self.order.front() {
            let full =
                self.failures.len() > self.config.remembered_max || self.order.len() > self.config.remembered_max * 2;
            let over = now.since(*since) >= window || full;
            // An entry that was renewed or forgiven stands further back, or not at all.
            let stale = self.failures.get(who).is_none_or(|failures| failures.since != *since);
            if !over && !stale {
                return;
            }
            if !stale {
                self.failures.remove(who);
            }
            self.order.pop_front();
        }
    }
}

fn bucket(name: &str) -> u64 {
    let sum = name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    sum % STRANGERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    fn from(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn throttle(config: AttemptsConfig) -> Throttle {
        Throttle::new(config)
    }

    #[test]
    fn five_failures_of_a_pair_wait_for_the_window() {
        let mut throttle = throttle(AttemptsConfig::default());
        for _ in 0..5 {
            assert_eq!(throttle.wait("ada", true, from(1), at(0)), None);
            throttle.failed("ada", true, from(1), at(0));
        }
        assert_eq!(throttle.wait("ada", true, from(1), at(100)), Some(Duration::from_secs(200)));
        assert_eq!(throttle.wait("ada", true, from(2), at(100)), None, "elsewhere she may");
        assert_eq!(throttle.wait("bob", true, from(1), at(100)), None, "others may");
        assert_eq!(throttle.wait("ada", true, from(1), at(300)), None, "the window is over");
    }

    #[test]
    fn success_forgives_the_pair_and_not_the_address() {
        let config = AttemptsConfig { per_address: 6, ..AttemptsConfig::default() };
        let mut throttle = throttle(config);
        (0..5).for_each(|_| throttle.failed("ada", true, from(1), at(0)));
        throttle.succeeded("ada", from(1));
        assert_eq!(throttle.wait("ada", true, from(1), at(1)), None);
        throttle.failed("ada", true, from(1), at(1));
        assert!(throttle.wait("bob", true, from(1), at(1)).is_some(), "six failures from one address");
    }

    #[test]
    fn one_name_from_many_addresses_and_many_names_from_one_are_bounded() {
        let mut throttle = throttle(AttemptsConfig { per_name: 10, ..AttemptsConfig::default() });
        (0..10).for_each(|last| throttle.failed("ada", true, from(last), at(0)));
        assert!(throttle.wait("ada", true, from(99), at(0)).is_some());
        (0..30).for_each(|number| throttle.failed(&format!("guess-{number}"), false, from(100), at(0)));
        assert!(throttle.wait("bob", true, from(100), at(0)).is_some());
    }

    #[test]
    fn bnd_1_no_more_is_remembered_than_the_bound() {
        let mut throttle = throttle(AttemptsConfig { remembered_max: 50, ..AttemptsConfig::default() });
        for number in 0..10_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from(number));
            throttle.failed(&format!("guess-{number}"), false, address, at(0));
        }
        assert!(throttle.failures.len() <= 50 && throttle.order.len() <= 53, "{}", throttle.order.len());
        throttle.failed("ada", true, from(1), at(10_000));
        assert_eq!((throttle.failures.len(), throttle.order.len()), (3, 3), "what is over is forgotten");
    }
}
