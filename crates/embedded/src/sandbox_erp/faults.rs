//! Failure switches: a sandbox that is slow, busy, broken or lost its voice, on command.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The switches, as they are set and shown. All off by default. Each share is a decimal from 0 to 1 and is exact: a share of
/// `0.25` strikes every fourth call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Which calls are struck.
    pub calls: Calls,
    /// Wait before the call is done, in milliseconds; at most 600000.
    pub latency_ms: u32,
    /// The next so many calls fail with 500 and have no effect.
    pub error_next: u32,
    /// This share of all calls fails with 500 and has no effect.
    pub error_share: Decimal,
    /// The next so many calls are refused with 429 and `Retry-After`.
    pub throttle_next: u32,
    /// This share of all calls is refused with 429 and `Retry-After`.
    pub throttle_share: Decimal,
    /// Seconds of `Retry-After`.
    pub retry_after_s: u32,
    /// The next so many calls take effect, and nobody hears of it.
    pub lose_answer_next: u32,
    /// This share of all calls takes effect, and nobody hears of it.
    pub lose_answer_share: Decimal,
    /// How an answer is lost.
    pub lose_answer_by: LoseAnswerBy,
    /// Codes of items: a posting with a line of one of them is refused with `item.rejected`.
    pub reject_items: Vec<String>,
}

/// Which calls are struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calls {
    /// Those that post.
    #[default]
    Postings,
    /// All but those to the switches themselves.
    All,
}

/// How an answer is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoseAnswerBy {
    /// The connection closes.
    #[default]
    Close,
    /// The connection stays open and silent, for ten minutes at most.
    Silence,
}

/// What strikes one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) latency: Duration,
    pub(super) how: How,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As it should.
    Well,
    /// With 500, undone.
    Error,
    /// With 429, undone.
    Throttled {
        /// Seconds of `Retry-After`.
        retry_after_s: u32,
    },
    /// Done, without an answer.
    Lost(LoseAnswerBy),
}

/// The switches, and how far each share has come towards its next strike.
#[derive(Debug, Default)]
pub(super) struct Switches {
    faults: Faults,
    error: Decimal,
    throttle: Decimal,
    lose_answer: Decimal,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            calls: Calls::default(),
            latency_ms: 0,
            error_next: 0,
            error_share: Decimal::ZERO,
            throttle_next: 0,
            throttle_share: Decimal::ZERO,
            retry_after_s: 1,
            lose_answer_next: 0,
            lose_answer_share: Decimal::ZERO,
            lose_answer_by: LoseAnswerBy::default(),
            reject_items: Vec::new(),
        }
    }
}

impl Faults {
    /// Longest wait, in milliseconds.
    const LATENCY_MS_MAX: u32 = 600_000;

    /// What is wrong with the switches.
    pub(super) fn check(&self) -> Result<(), String> {
        let shares = [self.error_share, self.throttle_share, self.lose_answer_share];
        if shares.iter().any(|share| *share < Decimal::ZERO || *share > Decimal::ONE) {
            return Err("a share lies between 0 and 1".to_owned());
        }
        if self.latency_ms > Self::LATENCY_MS_MAX {
            return Err(format!("latency_ms is at most {}", Self::LATENCY_MS_MAX));
        }
        Ok(())
    }
}

impl Switches {
    /// Sets the switches anew.
    pub(super) fn set(&mut self, faults: Faults) {
        *self = Self { faults, ..Self::default() };
    }

    /// The switches with what is left of each.
    pub(super) const fn show(&self) -> &Faults {
        &self.faults
    }

    /// What strikes the next call.
    pub(super) fn strike(&mut self, is_posting: bool) -> Strike {
        let faults = &mut self.faults;
        if faults.calls == Calls::Postings && !is_posting {
            return Strike { latency: Duration::ZERO, how: How::Well };
        }
        let how = if due(&mut faults.error_next, faults.error_share, &mut self.error) {
            How::Error
        } else if due(&mut faults.throttle_next, faults.throttle_share, &mut self.throttle) {
            How::Throttled { retry_after_s: faults.retry_after_s }
        } else if due(&mut faults.lose_answer_next, faults.lose_answer_share, &mut self.lose_answer) {
            How::Lost(faults.lose_answer_by)
        } else {
            How::Well
        };
        Strike { latency: Duration::from_millis(u64::from(faults.latency_ms)), how }
    }
}

fn due(next: &mut u32, share: Decimal, so_far: &mut Decimal) -> bool {
    if *next > 0 {
        *next -= 1;
        return true;
    }
    *so_far += share;
    let strikes = *so_far >= Decimal::ONE;
    if strikes {
        *so_far -= Decimal::ONE;
    }
    strikes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{Calls, Faults, How, LoseAnswerBy, Switches};
    use rust_decimal::Decimal;

    fn struck(faults: Faults, calls: usize) -> Vec<usize> {
        let mut switches = Switches::default();
        switches.set(faults);
        (0..calls).filter(|_| switches.strike(true).how != How::Well).collect()
    }

    #[test]
    fn the_next_calls_and_then_no_more() {
        assert_eq!(struck(Faults { error_next: 2, ..Faults::default() }, 5), [0, 1]);
    }

    #[test]
    fn a_share_is_exact() {
        let faults = Faults { throttle_share: Decimal::new(25, 2), ..Faults::default() };
        assert_eq!(struck(faults, 12), [3, 7, 11]);
    }

    #[test]
    fn one_fault_after_the_other_and_reads_only_when_asked_for() {
        let mut switches = Switches::default();
        let faults = Faults { error_next: 1, throttle_next: 1, lose_answer_next: 1, ..Faults::default() };
        switches.set(faults.clone());
        assert_eq!(switches.strike(false).how, How::Well);
        let seen: Vec<_> = (0..4).map(|_| switches.strike(true).how).collect();
        let expected = [How::Error, How::Throttled { retry_after_s: 1 }, How::Lost(LoseAnswerBy::Close), How::Well];
        assert_eq!(seen, expected);
        switches.set(Faults { calls: Calls::All, ..faults });
        assert_eq!(switches.strike(false).how, How::Error);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Faults { error_share: Decimal::TWO, ..Faults::default() }.check().is_err());
        assert!(Faults { latency_ms: 600_001, ..Faults::default() }.check().is_err());
        assert!(serde_json::from_str::<Faults>(r#"{"latency": 1}"#).is_err());
    }
}
