use super::*;

/// One letter per event: `s a 10` starts, `> b a` steps, `e b 30` ends, `x b 30` is left out, `! b 30` is lost.
fn told(bounds: Bounds, script: &str) -> (Vec<String>, usize) {
    let mut tracker = Tracker::new(bounds);
    let mut told = Vec::new();
    for line in script.split(';').map(str::trim) {
        let words: Vec<&str> = line.split(' ').collect();
        let id = |word: usize| u128::from(words.get(word).map_or(0, |text| text.as_bytes()[0]));
        let time = |word: usize| words.get(word).and_then(|text| text.parse().ok()).unwrap_or_default();
        let mut note = |settled: Settled| {
            let instead = settled.instead_of.map(|(how, _)| format!(" instead of {how:?}")).unwrap_or_default();
            told.push(format!("{}-{} {:?}{instead}", settled.start_ms, settled.end_ms, settled.how));
        };
        let ended = |how| Fact::Ended { cause: id(1), at_ms: time(2), how };
        let fact = match words[0] {
            "s" => Fact::Started { id: id(1), at_ms: time(2) },
            ">" => Fact::Stepped { id: id(1), cause: id(2) },
            "e" => ended(How::Done),
            "x" => ended(How::LeftOut),
            "!" => ended(How::Lost),
            _ => {
                tracker.expire(time(1), &mut note);
                continue;
            }
        };
        tracker.take(fact, &mut note);
    }
    assert_eq!(tracker.waiting.len(), tracker.order.len());
    (told, tracker.len())
}

#[track_caller]
fn check(script: &str, expected: &[&str], waiting: usize) {
    let (told, left) = told(Bounds::default(), script);
    assert_eq!((told.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), left), (expected, waiting), "{script}");
}

#[test]
fn a_chain_ends_with_the_event_that_follows_from_its_newest_one() {
    check("s a 10; > b a; > c b; e c 40", &["10-40 Done"], 0);
    check("s a 10; > b a; e a 40", &[], 1);
    check("s a 10; s f 12; > b a; e b 40", &["10-40 Done"], 1);
}

#[test]
fn records_of_several_topics_come_in_any_order() {
    check("e c 40; > c b; > b a; s a 10", &["10-40 Done"], 0);
    check("> b a; s a 10; e b 40", &["10-40 Done"], 0);
    check("> c b; s a 10; > b a; e c 40", &["10-40 Done"], 0);
}

#[test]
fn three_events_of_one_message_end_one_by_one() {
    check("s a 10; s b 10; s c 10; e b 20; x c 30", &["10-20 Done", "10-30 LeftOut"], 1);
}

#[test]
fn what_is_sent_again_does_not_start_again() {
    check("s a 10; > b a; s a 11; > b a; e b 20", &["10-20 Done"], 0);
    check("s a 10; s a 11; > b a; e b 20; s a 30; > b a; e b 40", &["10-20 Done"], 0);
}

#[test]
fn a_note_that_was_read_before_its_event_is_put_right() {
    check("s a 10; x a 20; e a 15", &["10-20 LeftOut", "10-15 Done instead of LeftOut"], 0);
    check("s a 10; e a 15; x a 20", &["10-15 Done"], 0);
}

#[test]
fn what_was_taken_for_left_out_goes_on_with_what_follows_from_it() {
    check("s a 10; x a 20; > b a; e b 40", &["10-20 LeftOut", "10-40 Done instead of LeftOut"], 0);
    check("s a 10; x a 20; e b 40; > b a", &["10-20 LeftOut", "10-40 Done instead of LeftOut"], 0);
    check("s a 10; x a 20; > b a; > c b", &["10-20 LeftOut"], 1);
    // Sent again it counts once, and what has arrived has arrived.
    let once = &["10-20 LeftOut", "10-40 Done instead of LeftOut"];
    check("s a 10; x a 20; > b a; > b a; e a 30; e b 40; > b a; e b 50", once, 0);
    check("s a 10; > b a; x b 20; > b a", &["10-20 LeftOut"], 0);
    check("s a 10; e a 15; > b a", &["10-15 Done"], 0);
}

#[test]
fn bnd_1_what_waits_is_bounded_in_number_and_age() {
    let bounds = Bounds { waiting_max: 2, settled_max: 10, early_max: 2, age_max_ms: 100 };
    let (said, waiting) = told(bounds, "s a 10; s b 11; s c 12");
    assert_eq!((said, waiting), (vec!["10-12 Lost".to_owned()], 2));
    let (said, waiting) = told(bounds, "s a 10; s b 50; now 111");
    assert_eq!((said, waiting), (vec!["10-111 Lost".to_owned()], 1));
    // Of three that came before their cause the first one is forgotten.
    let (said, waiting) = told(bounds, "e a 1; e b 2; e c 3; s a 0; s b 0; s c 0");
    assert_eq!((said.len(), waiting), (2, 1));
}

#[test]
fn bnd_1_what_is_taken_out_leaves_no_place_behind() {
    let mut recent = Recent::new(2);
    recent.put(1, 'a');
    assert_eq!(recent.remove(1), Some('a'));
    recent.put(2, 'b');
    recent.put(1, 'c');
    assert_eq!(recent.order.len(), 2);
    recent.put(3, 'd');
    // The oldest is 2: 1 was put anew after it.
    assert_eq!([1, 2, 3].map(|id| recent.get(id)), [Some('c'), None, Some('d')]);
    recent.put(1, 'e');
    recent.put(4, 'f');
    assert_eq!([1, 3, 4].map(|id| recent.get(id)), [None, Some('d'), Some('f')]);
    assert_eq!(recent.entries.len(), recent.order.len());
}
