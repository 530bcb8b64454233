//! Sessions that were ended before their time: by their owner, or by an administrator. Bounded, and forgotten when the sessions
//! would have been over by themselves (BND-1).

use super::session::Session;
use operations::same_person;
use std::collections::{HashMap, VecDeque};

/// Most ended sessions that are remembered; beyond, the ones that ended first are forgotten.
const SESSIONS_MAX: usize = 100_000;
/// Most people whose sessions were ended that are remembered.
const PEOPLE_MAX: usize = 1_000;

/// What has ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// When each would have been over by itself, by its mark.
    sessions: HashMap<String, i64>,
    /// The same in the order in which they ended.
    order: VecDeque<String>,
    people: VecDeque<Person>,
}

/// Somebody whose sessions were ended.
#[derive(Debug)]
struct Person {
    name: String,
    /// Sessions that began by then are over, seconds since 1970.
    ended_s: i64,
    /// From then on there is none any more, seconds since 1970.
    over_s: i64,
}

impl Ended {
    /// A session has ended; it would have been over by itself then.
    pub fn session(&mut self, mark: &str, over_s: i64, now_s: i64) {
        self.forget(now_s);
        if over_s < now_s || self.sessions.contains_key(mark) {
            return;
        }
        if self.order.len() >= SESSIONS_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.sessions.remove(&first);
        }
        self.sessions.insert(mark.to_owned(), over_s);
        self.order.push_back(mark.to_owned());
    }

    /// All sessions of somebody that began by then have ended; the last of them would have been over by itself then.
    pub fn person(&mut self, name: &str, ended_s: i64, over_s: i64, now_s: i64) {
        self.forget(now_s);
        if over_s < now_s {
            return;
        }
        self.people.retain(|person| person.name != name || person.ended_s > ended_s);
        if self.people.len() >= PEOPLE_MAX {
            self.people.pop_front();
        }
        self.people.push_back(Person { name: name.to_owned(), ended_s, over_s });
    }

    /// Whether a session has ended, by its mark.
    pub fn has(&self, session: &Session, mark: &str) -> bool {
        let is_of = |person: &Person| session.since_s <= person.ended_s && same_person(&person.name, &session.user);
        self.sessions.contains_key(mark) || self.people.iter().any(is_of)
    }

    fn forget(&mut self, now_s: i64) {
        // They end about in the order in which they are over; what is not goes with those behind it.
        while let Some(first) = self.order.front() {
            if self.sessions.get(first).is_some_and(|over_s| *over_s >= now_s) {
                break;
            }
            if let Some(first) = self.order.pop_front() {
                self.sessions.remove(&first);
            }
        }
        self.people.retain(|person| person.over_s >= now_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: &str, since_s: i64) -> Session {
        Session { user: user.to_owned(), id: String::new(), since_s, seen_s: since_s, vouched: None }
    }

    #[test]
    fn bnd_1_what_has_ended_is_remembered_as_long_as_it_could_be_used() {
        let mut ended = Ended::default();
        let any = session("ada", 0);
        ended.session("m1", 100, 10);
        ended.session("m1", 100, 10);
        ended.session("m2", 200, 10);
        ended.session("late", 9, 10);
        assert!(ended.has(&any, "m1") && ended.has(&any, "m2") && !ended.has(&any, "late"));
        ended.session("m3", 300, 150);
        assert!(!ended.has(&any, "m1") && ended.has(&any, "m2"));
        assert_eq!((ended.order.len(), ended.sessions.len()), (2, 2));
        for number in 0..SESSIONS_MAX + 5 {
            ended.session(&number.to_string(), 300, 150);
        }
        assert_eq!((ended.order.len(), ended.sessions.len()), (SESSIONS_MAX, SESSIONS_MAX));
        for number in 0..PEOPLE_MAX + 5 {
            ended.person(&number.to_string(), 150, 300, 150);
        }
        assert_eq!(ended.people.len(), PEOPLE_MAX);
        ended.session("m4", 400, 301);
        assert_eq!((ended.order.len(), ended.people.len()), (1, 0));
    }

    #[test]
    fn whose_sessions_were_ended_signs_in_anew() {
        let mut ended = Ended::default();
        ended.person("ada", 50, 500, 60);
        for user in ["ada", "Ada", "ada~1f"] {
            assert!(ended.has(&session(user, 50), ""), "{user}");
            assert!(!ended.has(&session(user, 51), ""), "{user}");
        }
        assert!(!ended.has(&session("eve", 50), ""));
        ended.person("ada", 70, 520, 80);
        ended.person("ada", 50, 500, 80);
        assert!(ended.has(&session("ada", 70), ""), "what was told late takes nothing back");
    }
}
