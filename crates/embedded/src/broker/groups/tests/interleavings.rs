//! Whatever members do in whatever order, a generation has one owner for a partition, and no committed position is lost.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{OffsetCommitRequest, TopicName};
use proptest::prelude::*;

use super::*;

/// Clients that take part.
const CLIENTS: usize = 4;

/// What happens next; the number says to which client.
#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Commit(usize),
    Leave(usize),
    /// The client forgets everything, as after a crash.
    Crash(usize),
    Pass(i64),
    Restart,
}

/// What a client knows.
#[derive(Clone, Debug, Default)]
struct Client {
    member: StrBytes,
    generation: i32,
    /// Members of the generation, if it leads.
    roll_call: Vec<StrBytes>,
    joining: Option<u64>,
    syncing: Option<u64>,
}

#[derive(Default)]
struct World {
    clients: Vec<Client>,
    /// Which member was given the one partition, by group and generation; a restart begins new generations.
    owners: BTreeMap<(u32, i32), StrBytes>,
    restarts: u32,
    committed: Option<i64>,
    next_offset: i64,
}

impl World {
    fn step(&mut self, driver: &mut Driver, step: Step) {
        match step {
            Step::Join(index) => {
                let client = &mut self.clients[index];
                let static_name = (index == 0).then(|| text("static"));
                let body = join(&client.member, &["range"]).with_group_instance_id(static_name);
                client.joining = Some(driver.send(9, body));
            }
            Step::Sync(index) => {
                let client = &mut self.clients[index];
                let assignments: Vec<_> = client.roll_call.iter().take(1).map(|member| (member, "owner")).collect();
                client.syncing = Some(driver.send(5, sync(&client.member, client.generation, &assignments)));
            }
            Step::Heartbeat(index) => {
                let client = &self.clients[index];
                driver.heartbeat(&client.member, client.generation);
            }
            Step::Commit(index) => self.commit(driver, index),
            Step::Leave(index) => {
                let member = self.clients[index].member.clone();
                driver.ask(5, leave(&[(&member, None)]));
            }
            Step::Crash(index) => self.clients[index] = Client::default(),
            Step::Pass(ms) => driver.pass(ms),
            Step::Restart => {
                let mut restarted = Driver::new();
                driver.journal.iter().for_each(|entry| restarted.groups.restore(entry.clone()));
                restarted.journal.clone_from(&driver.journal);
                (restarted.now_ms, restarted.sent) = (driver.now_ms, driver.sent);
                *driver = restarted;
                self.restarts += 1;
            }
        }
        self.listen(driver);
    }

    /// A client that is in a generation commits a higher position, as its owner would.
    fn commit(&mut self, driver: &mut Driver, index: usize) {
        let client = &self.clients[index];
        self.next_offset += 1;
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(self.next_offset);
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text("usage"))).with_partitions(vec![partition]);
        let body = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(client.generation)
            .with_member_id(client.member.clone())
            .with_topics(vec![topic]);
        match driver.ask(9, body) {
            ResponseKind::OffsetCommit(answer) if answer.topics[0].partitions[0].error_code == 0 => {
                self.committed = Some(self.next_offset);
            }
            ResponseKind::OffsetCommit(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Clients take in the answers that have come.
    fn listen(&mut self, driver: &mut Driver) {
        for client in &mut self.clients {
            if let Some(joined) = client.joining.and_then(|number| driver.joined(number)) {
                client.joining = None;
                match ResponseError::try_from_code(joined.error_code) {
                    None => {
                        client.member = joined.member_id.clone();
                        client.generation = joined.generation_id;
                        client.roll_call = joined.members.iter().map(|member| member.member_id.clone()).collect();
                    }
                    Some(ResponseError::MemberIdRequired) => client.member = joined.member_id,
                    Some(ResponseError::RebalanceInProgress) => {}
                    Some(_) => client.member = StrBytes::new(),
                }
            }
            if let Some(synced) = client.syncing.and_then(|number| driver.synced(number)) {
                client.syncing = None;
                if synced.error_code == 0 && synced.assignment == "owner" {
                    let of = (self.restarts, client.generation);
                    let owner = self.owners.entry(of).or_insert_with(|| client.member.clone());
                    // A static member that came back under a new id is the same member.
                    let same = *owner == client.member || owner.starts_with("static-");
                    assert!(same, "{owner} and {} own generation {of:?}", client.member);
                }
            }
        }
    }

    fn check(&self, driver: &Driver) {
        let group = driver.groups.groups.get("group");
        let position = group.and_then(|group| group.positions.get("usage", 0)).map(|position| position.offset);
        assert_eq!(position, self.committed, "a committed position is lost or made up");
        let Some(group) = group else { return };
        let leader_is_member = group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader));
        assert!(leader_is_member);
        assert_eq!(group.state == group::State::Empty, group.members.is_empty() && group.join_timer.is_none());
        for (instance, member) in &group.instances {
            assert_eq!(group.members[member].instance.as_ref(), Some(instance));
        }
        let timer = driver.groups.timers.iter().find(|(_, id)| id == "group").map(|(at_ms, _)| *at_ms);
        assert_eq!(timer, group.deadline_ms(), "the group is called when it wants to be");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..CLIENTS).prop_map(Step::Join),
        6 => (0..CLIENTS).prop_map(Step::Sync),
        2 => (0..CLIENTS).prop_map(Step::Heartbeat),
        3 => (0..CLIENTS).prop_map(Step::Commit),
        1 => (0..CLIENTS).prop_map(Step::Leave),
        1 => (0..CLIENTS).prop_map(Step::Crash),
        3 => (1..20_000_i64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_owner_per_generation_and_no_lost_position(steps in steps()) {
        let mut driver = Driver::new();
        let mut world = World { clients: vec![Client::default(); CLIENTS], ..World::default() };
        for step in steps {
            world.step(&mut driver, step);
            world.check(&driver);
        }
        // Nobody is forgotten: when all sessions are over, every request has its answer and the group is empty.
        driver.pass(1_000_000);
        prop_assert!(["Empty", "Dead"].contains(&driver.state()));
        world.listen(&mut driver);
        for client in &world.clients {
            prop_assert!(client.joining.is_none() || world.restarts > 0);
            prop_assert!(client.syncing.is_none() || world.restarts > 0);
        }
    }
}
