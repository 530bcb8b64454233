//! What `@room@` makes of a line, without a broker.

use wardline_@snake@::event;

#[test]
fn the_same_line_is_the_same_event() {
    let ids: Vec<String> =
        [("a", "line 1"), ("b", "line 1"), ("a", "line 2")].map(|(file, line)| event(file, line).meta.event_id).into();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}
