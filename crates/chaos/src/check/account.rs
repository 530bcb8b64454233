//! LOSS-1 of one room: every record that it reads has exactly one visible outcome.

use super::evidence::RoomAccount;
use processor::laws::{Outcome, Violation, check_loss};
use std::collections::BTreeSet;

/// What breaks the law.
pub(super) fn check(account: &RoomAccount) -> Vec<Violation> {
    let twice = repeated(account);
    let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
    for (place, id) in &account.inputs {
        let mut found = account.others.get(place).cloned().unwrap_or_default();
        let is_repeated = id.as_ref().is_some_and(|id| twice.contains(id.as_str()));
        if is_repeated && found.contains(&Outcome::Duplicate) {
            // One of the places where the event lies has its outcome; that the others are left out is theirs.
            found = BTreeSet::from([Outcome::Duplicate]);
        } else if id.as_ref().is_some_and(|id| account.causes.contains(id)) {
            // That a repetition was recognised as one is no second outcome.
            found.remove(&Outcome::Duplicate);
            found.insert(Outcome::Emitted);
            // Of an event that lies there twice the output counts, and not what the repetition met; the doubling is EOS-1.
            if is_repeated {
                found = BTreeSet::from([Outcome::Emitted]);
            }
        }
        outcomes.extend(found.into_iter().map(|outcome| (place.as_str(), outcome)));
    }
    // Outcomes of records that the room does not read.
    let strange = account.others.iter().filter(|(place, _)| !account.inputs.contains_key(*place));
    outcomes.extend(strange.flat_map(|(place, found)| found.iter().map(|outcome| (place.as_str(), *outcome))));
    let mut violations = check_loss(account.inputs.keys().map(String::as_str), outcomes);
    for violation in &mut violations {
        violation.detail = format!("{}: {}", account.room, violation.detail);
    }
    violations
}

fn repeated(account: &RoomAccount) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    account.inputs.values().flatten().map(String::as_str).filter(|id| !seen.insert(*id)).collect()
}
