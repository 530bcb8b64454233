//! A budget of calls per minute that instances share, with the urgent ones first.

use super::Pacing;
use std::time::Duration;

/// Tokens of one endpoint at one instance. Time is a [`Duration`] since any fixed moment; it must not go backwards.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Calls per second and most tokens, of all instances; none where there is no bound.
    budget: Option<(f64, f64)>,
    /// The part of the budget that is ours.
    share: f64,
    tokens: f64,
    filled: Duration,
    /// Until then the endpoint has asked for silence (`Retry-After`).
    paused_until: Duration,
}

impl Rate {
    /// A full budget, all of it ours.
    #[must_use]
    pub fn new(pacing: &Pacing, now: Duration) -> Self {
        let budget = pacing.calls_per_minute.map(|per_minute| {
            let per_second = f64::from(per_minute.get()) / 60.0;
            let burst = pacing.burst.map_or(per_second, |burst| f64::from(burst.get()));
            (per_second, burst.max(1.0))
        });
        let tokens = budget.map_or(0.0, |(_, burst)| burst);
        Self { budget, share: 1.0, tokens, filled: now, paused_until: Duration::ZERO }
    }

    /// Takes the part of `share` (0 to 1) of the budget from now on. What others have used meanwhile is not known, so it begins
    /// with one call and no burst.
    pub fn set_share(&mut self, now: Duration, share: f64) {
        let share = share.clamp(0.0, 1.0);
        if share > self.share {
            self.tokens = self.tokens.min(1.0);
        }
        self.share = share;
        self.fill(now);
    }

    /// Nothing is called for so long: the endpoint has asked for it.
    pub fn pause(&mut self, now: Duration, delay: Duration) {
        self.paused_until = self.paused_until.max(now.saturating_add(delay));
    }

    /// How many calls may be made now, for events that are `below` classes less urgent than the most urgent ones of the room.
    /// The less urgent leave a part of a burst to the others: a quarter for each class.
    pub fn allowed(&mut self, now: Duration, below: usize) -> usize {
        self.fill(now);
        if now < self.paused_until {
            return 0;
        }
        if self.budget.is_none() {
            return usize::MAX;
        }
        whole(self.tokens - self.kept(below))
    }

    /// So many calls were made. More than were allowed is a debt (a look-up cannot wait).
    pub fn spend(&mut self, calls: usize) {
        if self.budget.is_some() {
            self.tokens -= u32::try_from(calls).map_or(f64::MAX, f64::from);
        }
    }

    /// How long until one more call may be made; zero when it may be made now.
    #[must_use]
    pub fn wait(&self, now: Duration, below: usize) -> Duration {
        let paused = self.paused_until.saturating_sub(now);
        let Some((per_second, _)) = self.budget else { return paused };
        let missing = 1.0 + self.kept(below)
            - self.tokens
            - (now.saturating_sub(self.filled)).as_secs_f64() * per_second * self.share;
        if missing <= 0.0 {
            return paused;
        }
        // A share of nothing owns no partition and has nothing to send.
        let wait = Duration::try_from_secs_f64(missing / (per_second * self.share)).unwrap_or(LONGEST).min(LONGEST);
        paused.max(wait)
    }

    /// How far apart calls are that use the whole of this share; zero where there is no bound.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let Some((per_second, _)) = self.budget else { return Duration::ZERO };
        Duration::try_from_secs_f64(1.0 / (per_second * self.share)).unwrap_or(LONGEST).min(LONGEST)
    }

    /// What a class leaves to the more urgent ones.
    fn kept(&self, below: usize) -> f64 {
        let quarters = u32::try_from(below.min(3)).map_or(3.0, f64::from);
        (self.most() - 1.0).max(0.0) * quarters / 4.0
    }

    /// Most tokens of this share; a single call is always possible.
    fn most(&self) -> f64 {
        self.budget.map_or(0.0, |(_, burst)| (burst * self.share).max(1.0))
    }

    fn fill(&mut self, now: Duration) {
        let Some((per_second, _)) = self.budget else { return };
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second * self.share).min(self.most());
        self.filled = self.filled.max(now);
    }
}

/// Longest time that [`Rate::wait`] says.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Tokens as a number of calls.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a burst, which is a u32")]
fn whole(tokens: f64) -> usize {
    // A token that is full but for the rounding of its fill counts.
    (tokens + 1e-6).max(0.0).floor() as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pacing(per_minute: u32, burst: u32) -> Pacing {
        Pacing { calls_per_minute: NonZeroU32::new(per_minute), burst: NonZeroU32::new(burst), ..Pacing::default() }
    }

    /// Calls that get through in so long when everybody asks every millisecond.
    fn calls(rate: &mut Rate, from: u64, to: u64) -> usize {
        (from..to)
            .map(|at| {
                let made = rate.allowed(ms(at), 0);
                rate.spend(made);
                made
            })
            .sum()
    }

    #[test]
    fn bnd_1_no_more_calls_than_the_budget_and_no_fewer() {
        let mut rate = Rate::new(&pacing(600, 20), Duration::ZERO);
        assert_eq!(calls(&mut rate, 0, 10_001), 20 + 100);
        // Silence fills no more than a burst.
        assert_eq!(rate.allowed(ms(100_000), 0), 20);
    }

    #[test]
    fn bnd_1_shares_of_all_instances_are_the_budget() {
        let mut instances: Vec<Rate> = (0..3).map(|_| Rate::new(&pacing(600, 20), Duration::ZERO)).collect();
        for (rate, owned) in instances.iter_mut().zip([1.0, 2.0, 3.0]) {
            rate.set_share(Duration::ZERO, owned / 6.0);
        }
        let made: usize = instances.iter_mut().map(|rate| calls(rate, 0, 60_000)).sum();
        assert!((595..=620).contains(&made), "{made}");
        // Who gets more partitions gets more calls from then on, and not at once what others have used.
        instances[0].set_share(ms(60_000), 1.0);
        assert!(instances[0].allowed(ms(60_000), 0) <= 1);
        assert!((98..=101).contains(&calls(&mut instances[0], 60_001, 70_001)));
    }

    #[test]
    fn key_1_the_less_urgent_leave_a_part_of_a_burst() {
        let mut rate = Rate::new(&pacing(60, 9), Duration::ZERO);
        assert_eq!([rate.allowed(ms(0), 0), rate.allowed(ms(0), 1), rate.allowed(ms(0), 2)], [9, 7, 5]);
        rate.spend(7);
        assert_eq!([rate.allowed(ms(0), 0), rate.allowed(ms(0), 1)], [2, 0]);
        assert_eq!(rate.wait(ms(0), 0), Duration::ZERO);
        assert_eq!(rate.wait(ms(0), 1), ms(1_000));
        assert_eq!(rate.allowed(ms(1_000), 1), 1);
        // With one call at a time nothing can be left, and nobody starves.
        let mut slow = Rate::new(&pacing(1, 1), Duration::ZERO);
        assert_eq!(slow.allowed(ms(0), 2), 1);
        slow.spend(1);
        assert_eq!(slow.wait(ms(0), 2), Duration::from_secs(60));
        assert_eq!((slow.gap(), Rate::new(&Pacing::default(), ms(0)).gap()), (Duration::from_secs(60), Duration::ZERO));
    }

    #[test]
    fn silence_that_is_asked_for_is_kept() {
        let mut rate = Rate::new(&Pacing::default(), Duration::ZERO);
        assert_eq!(rate.allowed(ms(0), 0), usize::MAX);
        rate.pause(ms(0), ms(500));
        rate.pause(ms(0), ms(200));
        assert_eq!((rate.allowed(ms(499), 0), rate.wait(ms(100), 0)), (0, ms(400)));
        assert_eq!(rate.allowed(ms(500), 0), usize::MAX);
    }

    #[test]
    fn a_look_up_is_a_debt() {
        let mut rate = Rate::new(&pacing(60, 1), Duration::ZERO);
        rate.spend(3);
        assert_eq!(rate.allowed(ms(2_000), 0), 0);
        assert_eq!(rate.allowed(ms(3_000), 0), 1);
    }
}
