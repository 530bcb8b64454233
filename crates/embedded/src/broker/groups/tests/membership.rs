//! Joining, syncing, heartbeats, leaving, and time.

use super::*;

#[test]
fn first_member_leads() {
    let mut driver = Driver::new();
    let (member, number) = driver.enter();
    let joined = driver.joined(number).expect("joined");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!((&joined.leader, &joined.member_id), (&member, &member));
    assert_eq!((joined.protocol_type.as_deref(), joined.protocol_name.as_deref()), (Some("consumer"), Some("range")));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, "metadata of range");
    assert_eq!(driver.state(), "CompletingRebalance");
    let number = driver.send(5, sync(&member, 1, &[(&member, "0 1 2 3")]));
    let synced = driver.synced(number).expect("synced");
    assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"0 1 2 3")));
    assert_eq!(driver.state(), "Stable");
    assert_eq!(driver.heartbeat(&member, 1), 0);
}

#[test]
fn second_member_makes_the_first_join_again() {
    let mut driver = Driver::new();
    let (first, generation) = driver.working();
    let (second, waiting) = driver.enter();
    assert!(driver.joined(waiting).is_none(), "the first has not joined again");
    assert_eq!(driver.heartbeat(&first, generation), ResponseError::RebalanceInProgress.code());
    let again = driver.send(9, join(&first, &["range"]));
    let (leader, follower) = (driver.joined(again).expect("joined"), driver.joined(waiting).expect("joined"));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!((&leader.leader, &follower.leader), (&first, &first));
    let follows = driver.send(5, sync(&second, 2, &[]));
    assert!(driver.synced(follows).is_none(), "there is no assignment yet");
    assert_eq!(driver.heartbeat(&second, 2), 0);
    let leads = driver.send(5, sync(&first, 2, &[(&first, "0 1"), (&second, "2 3")]));
    assert_eq!(driver.synced(leads).expect("synced").assignment, "0 1");
    assert_eq!(driver.synced(follows).expect("synced").assignment, "2 3");
}

#[test]
fn older_clients_join_without_an_id() {
    let mut driver = Driver::new();
    let number = driver.send(3, join("", &["range"]));
    let joined = driver.joined(number).expect("joined");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let wrong = driver.send(5, join("", &[]));
    let wrong = driver.joined(wrong).expect("refused");
    assert_eq!(wrong.error_code, ResponseError::InconsistentGroupProtocol.code());
    assert_eq!(wrong.protocol_name.as_deref(), Some(""), "the name may not be left out before version 7");
}

#[test]
fn members_that_do_not_fit_are_refused() {
    let mut driver = Driver::new();
    let code = |driver: &mut Driver, body: JoinGroupRequest| {
        let number = driver.send(9, body);
        driver.joined(number).expect("refused").error_code
    };
    let code = |driver: &mut Driver, body, error: ResponseError| assert_eq!(code(driver, body), error.code());
    code(&mut driver, join("", &["range"]).with_group_id(GroupId::default()), ResponseError::InvalidGroupId);
    code(&mut driver, join("", &["range"]).with_session_timeout_ms(1), ResponseError::InvalidSessionTimeout);
    code(&mut driver, join("", &["range"]).with_session_timeout_ms(i32::MAX), ResponseError::InvalidSessionTimeout);
    code(&mut driver, join("ghost", &["range"]), ResponseError::UnknownMemberId);
    code(&mut driver, join("", &[]), ResponseError::InconsistentGroupProtocol);
    driver.working();
    code(&mut driver, join("ghost", &["range"]), ResponseError::UnknownMemberId);
    code(&mut driver, join("", &["sticky"]), ResponseError::InconsistentGroupProtocol);
    code(
        &mut driver,
        join("", &["range"]).with_protocol_type(text("connect")),
        ResponseError::InconsistentGroupProtocol,
    );
}

#[test]
fn protocol_is_the_one_that_all_support_and_most_prefer() {
    let mut driver = Driver::new();
    let first = driver.send(3, join("", &["sticky", "range"]));
    let first = driver.joined(first).expect("joined").member_id;
    let second = driver.send(3, join("", &["range", "other"]));
    let again = driver.send(3, join(&first, &["sticky", "range"]));
    assert_eq!(driver.joined(again).expect("joined").protocol_name.as_deref(), Some("range"));
    assert_eq!(driver.joined(second).expect("joined").protocol_name.as_deref(), Some("range"));
}

#[test]
fn initial_delay_gathers_members_into_one_generation() {
    let mut driver = Driver::with(GroupOptions { initial_rebalance_delay_ms: 3_000, ..GroupOptions::default() });
    let first = driver.send(3, join("", &["range"]));
    driver.pass(2_000);
    let second = driver.send(3, join("", &["range"]));
    driver.pass(2_000);
    assert!(driver.joined(first).is_none(), "a newcomer makes it wait once more");
    driver.pass(2_000);
    let (first, second) = (driver.joined(first).expect("joined"), driver.joined(second).expect("joined"));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
}

#[test]
fn silent_member_is_removed_and_its_partitions_go_to_others() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    let again = driver.send(9, join(&first, &["range"]));
    driver.joined(again).expect("joined");
    driver.joined(waiting).expect("joined");
    let follows = driver.send(5, sync(&second, 2, &[]));
    let leads = driver.send(5, sync(&first, 2, &[(&first, "0 1"), (&second, "2 3")]));
    assert!(driver.synced(leads).is_some() && driver.synced(follows).is_some());
    driver.pass(6_000);
    assert_eq!(driver.heartbeat(&second, 2), 0);
    driver.pass(6_000);
    assert_eq!(driver.heartbeat(&second, 2), ResponseError::RebalanceInProgress.code());
    assert_eq!(driver.heartbeat(&first, 2), ResponseError::UnknownMemberId.code());
    let again = driver.send(9, join(&second, &["range"]));
    let joined = driver.joined(again).expect("joined");
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(joined.leader, second);
}

#[test]
fn member_that_does_not_join_again_is_left_behind() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    for _ in 0..6 {
        driver.pass(i64::from(REBALANCE_MS) / 6);
        driver.heartbeat(&first, 1);
    }
    let joined = driver.joined(waiting).expect("the time to join again is over");
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(joined.leader, second);
    assert_eq!(driver.heartbeat(&first, 1), ResponseError::UnknownMemberId.code());
}

#[test]
fn member_that_does_not_sync_is_removed() {
    let mut driver = Driver::new();
    let (member, number) = driver.enter();
    driver.joined(number).expect("joined");
    for _ in 0..6 {
        driver.pass(i64::from(REBALANCE_MS) / 6);
        driver.heartbeat(&member, 1);
    }
    assert_eq!(driver.state(), "Empty");
}

#[test]
fn id_that_is_not_used_expires() {
    let mut driver = Driver::new();
    let asked = driver.send(9, join("", &["range"]));
    let member = driver.joined(asked).expect("an id").member_id;
    driver.pass(i64::from(SESSION_MS));
    let late = driver.send(9, join(&member, &["range"]));
    assert_eq!(driver.joined(late).expect("refused").error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn rejoin_with_the_same_words_keeps_the_generation_except_for_the_leader() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    let again = driver.send(9, join(&first, &["range"]));
    driver.joined(again).expect("joined");
    driver.joined(waiting).expect("joined");
    let repeated = driver.send(9, join(&second, &["range"]));
    assert_eq!(driver.joined(repeated).expect("told again").generation_id, 2);
    let follows = driver.send(5, sync(&second, 2, &[]));
    driver.send(5, sync(&first, 2, &[]));
    assert_eq!(driver.synced(follows).expect("synced").assignment, "");
    let repeated = driver.send(9, join(&second, &["range"]));
    assert_eq!(driver.joined(repeated).expect("told again").generation_id, 2);
    let leader = driver.send(9, join(&first, &["range"]));
    assert!(driver.joined(leader).is_none(), "a leader that joins again wants a rebalance");
    assert_eq!(driver.state(), "PreparingRebalance");
}

#[test]
fn new_words_of_a_member_start_a_rebalance() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    let again = driver.send(9, join(&first, &["range"]));
    driver.joined(again).expect("joined");
    driver.joined(waiting).expect("joined");
    let follows = driver.send(5, sync(&second, 2, &[]));
    let changed = driver.send(9, join(&first, &["range", "sticky"]));
    assert!(driver.joined(changed).is_none());
    assert_eq!(driver.synced(follows).expect("refused").error_code, ResponseError::RebalanceInProgress.code());
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_before() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    let repeated = driver.send(9, join(&second, &["range"]));
    let given_up = driver.joined(waiting).expect("answered");
    assert_eq!(given_up.error_code, ResponseError::RebalanceInProgress.code());
    driver.send(9, join(&first, &["range"]));
    assert_eq!(driver.joined(repeated).expect("joined").generation_id, 2);
}

#[test]
fn sync_is_checked() {
    let mut driver = Driver::new();
    let code = |driver: &mut Driver, body: SyncGroupRequest| {
        let number = driver.send(5, body);
        driver.synced(number).map(|answer| answer.error_code)
    };
    assert_eq!(code(&mut driver, sync("ghost", 1, &[])), Some(ResponseError::UnknownMemberId.code()));
    let (member, generation) = driver.working();
    assert_eq!(code(&mut driver, sync("ghost", generation, &[])), Some(ResponseError::UnknownMemberId.code()));
    assert_eq!(code(&mut driver, sync(&member, generation + 1, &[])), Some(ResponseError::IllegalGeneration.code()));
    let inconsistent = ResponseError::InconsistentGroupProtocol.code();
    let other = sync(&member, generation, &[]).with_protocol_name(Some(text("sticky")));
    assert_eq!(code(&mut driver, other), Some(inconsistent));
    let other = sync(&member, generation, &[]).with_protocol_type(Some(text("connect")));
    assert_eq!(code(&mut driver, other), Some(inconsistent));
    assert_eq!(code(&mut driver, sync(&member, generation, &[])), Some(0), "asked again when stable");
    driver.enter();
    assert_eq!(code(&mut driver, sync(&member, generation, &[])), Some(ResponseError::RebalanceInProgress.code()));
}

#[test]
fn heartbeat_is_checked() {
    let mut driver = Driver::new();
    assert_eq!(driver.heartbeat("ghost", 1), ResponseError::UnknownMemberId.code());
    let (member, generation) = driver.working();
    assert_eq!(driver.heartbeat(&member, generation - 1), ResponseError::IllegalGeneration.code());
    assert_eq!(driver.heartbeat("ghost", generation), ResponseError::UnknownMemberId.code());
    assert_eq!(driver.heartbeat(&member, generation), 0);
}

#[test]
fn leaving_several_at_once() {
    let mut driver = Driver::new();
    let (member, _) = driver.working();
    let codes = |answer| match answer {
        ResponseKind::LeaveGroup(answer) => answer.members.iter().map(|member| member.error_code).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let unknown = ResponseError::UnknownMemberId.code();
    let answer = driver.ask(5, leave(&[("ghost", None), (&member, None)]));
    assert_eq!(codes(answer), vec![unknown, 0]);
    assert_eq!(driver.state(), "Empty");
    let answer = driver.ask(5, leave(&[("", Some("ghost"))]).with_group_id(GroupId(text("nowhere"))));
    assert_eq!(codes(answer), vec![unknown]);
    let alone = LeaveGroupRequest::default().with_group_id(group()).with_member_id(member);
    match driver.ask(2, alone) {
        ResponseKind::LeaveGroup(answer) => assert_eq!(answer.error_code, unknown),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_waits_and_leaves_is_answered() {
    let mut driver = Driver::new();
    let (first, _) = driver.working();
    let (second, waiting) = driver.enter();
    driver.ask(5, leave(&[(&second, None)]));
    assert_eq!(driver.joined(waiting).expect("answered").error_code, ResponseError::UnknownMemberId.code());
    let again = driver.send(9, join(&first, &["range"]));
    assert_eq!(driver.joined(again).expect("joined").members.len(), 1);
}

#[test]
fn members_and_groups_are_bounded() {
    let mut driver = Driver::with(GroupOptions { members_max: 1, groups_max: 2, ..GroupOptions::default() });
    let (member, _) = driver.working();
    let full = driver.send(9, join("", &["range"]));
    assert_eq!(driver.joined(full).expect("refused").error_code, ResponseError::GroupMaxSizeReached.code());
    let other = |name: &str| join("", &["range"]).with_group_id(GroupId(text(name)));
    let second = driver.send(3, other("second"));
    assert_eq!(driver.joined(second).expect("joined").error_code, 0);
    let third = driver.send(3, other("third"));
    assert_eq!(driver.joined(third).expect("refused").error_code, ResponseError::GroupMaxSizeReached.code());
    driver.ask(5, leave(&[(&member, None)]));
    let third = driver.send(3, other("third"));
    assert_eq!(driver.joined(third).expect("an empty group made way").error_code, 0);
    let large = other("third").with_reason(None).with_protocols(vec![
        kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from(vec![0; (1 << 20) + 1])),
    ]);
    let large = driver.send(9, large);
    assert_eq!(driver.joined(large).expect("refused").error_code, ResponseError::InvalidRequest.code());
}

#[test]
fn ids_follow_from_the_seed() {
    let ids = |seed| Driver::with(GroupOptions { seed, ..GroupOptions::default() }).enter().0;
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    assert!(ids(1).starts_with("client-"));
}
