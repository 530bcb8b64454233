//! Static members: a name that survives a restart of the client.

use super::*;

fn named(member: &str, protocols: &[&str]) -> JoinGroupRequest {
    join(member, protocols).with_group_instance_id(Some(text("desk-1")))
}

/// A stable group with one static member.
fn stable(driver: &mut Driver) -> StrBytes {
    let number = driver.send(9, named("", &["range"]));
    let joined = driver.joined(number).expect("joined without a second round");
    let member = joined.member_id;
    assert!(member.starts_with("desk-1-"));
    let number = driver.send(5, sync(&member, joined.generation_id, &[(&member, "all")]));
    assert_eq!(driver.synced(number).expect("synced").error_code, 0);
    member
}

#[test]
fn a_restarted_member_takes_its_place_without_a_rebalance() {
    let mut driver = Driver::new();
    let old = stable(&mut driver);
    let number = driver.send(9, named("", &["range"]));
    let joined = driver.joined(number).expect("joined");
    assert_ne!(joined.member_id, old);
    assert_eq!((joined.generation_id, joined.skip_assignment), (1, true));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.members.len(), 1);
    let new = joined.member_id;
    let number = driver.send(5, sync(&new, 1, &[]));
    assert_eq!(driver.synced(number).expect("synced").assignment, "all", "it keeps its assignment");
    assert_eq!(driver.state(), "Stable");
}

#[test]
fn the_former_self_is_fenced() {
    let mut driver = Driver::new();
    let old = stable(&mut driver);
    let number = driver.send(9, named("", &["range"]));
    driver.joined(number).expect("joined");
    let fenced = ResponseError::FencedInstanceId.code();
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(old.clone())
        .with_group_instance_id(Some(text("desk-1")));
    match driver.ask(4, heartbeat) {
        ResponseKind::Heartbeat(answer) => assert_eq!(answer.error_code, fenced),
        other => panic!("{other:?}"),
    }
    let number = driver.send(9, named(&old, &["range"]));
    assert_eq!(driver.joined(number).expect("refused").error_code, fenced);
    let number = driver.send(5, sync(&old, 1, &[]).with_group_instance_id(Some(text("desk-1"))));
    assert_eq!(driver.synced(number).expect("refused").error_code, fenced);
    match driver.ask(5, leave(&[(&old, Some("desk-1"))])) {
        ResponseKind::LeaveGroup(answer) => assert_eq!(answer.members[0].error_code, fenced),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_leader_does_not_see_itself_as_the_leader() {
    let mut driver = Driver::new();
    let old = stable(&mut driver);
    let number = driver.send(8, named("", &["range"]));
    let joined = driver.joined(number).expect("joined");
    assert_eq!((joined.leader, joined.members.len(), joined.skip_assignment), (old, 0, false));
}

#[test]
fn a_restart_with_another_protocol_rebalances() {
    let mut driver = Driver::new();
    stable(&mut driver);
    let number = driver.send(9, named("", &["sticky", "range"]));
    // It is alone, so whether the protocol fits the others is not asked of itself.
    assert!(driver.joined(number).is_some_and(|joined| joined.generation_id == 2));
}

#[test]
fn a_join_of_the_former_self_that_waits_is_fenced() {
    let mut driver = Driver::new();
    stable(&mut driver);
    let (second, _) = driver.enter();
    let number = driver.send(9, named("", &["range"]));
    let joined = driver.joined(number).expect("all have joined");
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    let waits = driver.send(5, sync(&second, 2, &[]));
    let repeated = driver.send(9, named("", &["range"]));
    assert!(driver.joined(repeated).is_none(), "the assignment would miss the new id");
    assert_eq!(driver.synced(waits).expect("refused").error_code, ResponseError::RebalanceInProgress.code());
    let replaced = driver.send(9, named("", &["range"]));
    let fenced = driver.joined(repeated).expect("fenced");
    assert_eq!(fenced.error_code, ResponseError::FencedInstanceId.code());
    driver.send(9, join(&second, &["range"]));
    assert_eq!(driver.joined(replaced).expect("joined").generation_id, 3);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_name() {
    let mut driver = Driver::new();
    stable(&mut driver);
    match driver.ask(5, leave(&[("", Some("desk-1"))])) {
        ResponseKind::LeaveGroup(answer) => assert_eq!(answer.members[0].error_code, 0),
        other => panic!("{other:?}"),
    }
    assert_eq!(driver.state(), "Empty");
}

#[test]
fn a_static_member_that_does_not_join_again_keeps_its_place_until_its_session_ends() {
    let mut driver = Driver::new();
    let old = stable(&mut driver);
    let long = join("", &["range"]).with_session_timeout_ms(1_000_000);
    let asked = driver.send(9, long.clone());
    let second = driver.joined(asked).expect("an id").member_id;
    let waiting = driver.send(9, long.with_member_id(second.clone()));
    for _ in 0..6 {
        driver.pass(i64::from(REBALANCE_MS) / 6);
        driver.heartbeat(&old, 1);
    }
    let joined = driver.joined(waiting).expect("the time to join again is over");
    assert_eq!((joined.members.len(), &joined.leader), (2, &second), "the one that joined leads");
    driver.pass(i64::from(SESSION_MS));
    assert_eq!(driver.state(), "PreparingRebalance");
}
