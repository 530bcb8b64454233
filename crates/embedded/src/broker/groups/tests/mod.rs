//! Tests of the group coordinator: a driver that speaks to it as clients do, and a time that only the test moves.

mod admin;
mod interleavings;
mod membership;
mod offsets;
mod statics;

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, RequestKind, ResponseKind,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::*;

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 30_000;

/// Two topics, and one transactional producer.
struct Cluster;

const PRODUCER: i64 = 7;
const EPOCH: i16 = 2;

impl Topics for Cluster {
    fn partitions(&self, topic: &str) -> Option<i32> {
        match topic {
            "usage" => Some(4),
            "master" => Some(1),
            _ => None,
        }
    }

    fn producer_error(&self, _transactional_id: &str, producer_id: i64, epoch: i16) -> i16 {
        match (producer_id, epoch) {
            (PRODUCER, EPOCH) => 0,
            (PRODUCER, _) => ResponseError::InvalidProducerEpoch.code(),
            _ => ResponseError::InvalidProducerIdMapping.code(),
        }
    }
}

/// The coordinator with its clients.
struct Driver {
    groups: Groups,
    now_ms: i64,
    sent: u64,
    answers: BTreeMap<u64, ResponseKind>,
    /// Everything that was persisted, in order.
    journal: Vec<OffsetEntry>,
}

impl Driver {
    fn new() -> Self {
        Self::with(GroupOptions::default())
    }

    fn with(options: GroupOptions) -> Self {
        Self { groups: Groups::new(options), now_ms: 1_000_000, sent: 0, answers: BTreeMap::new(), journal: Vec::new() }
    }

    /// Sends a request and returns its number.
    fn send(&mut self, api_version: i16, body: impl Into<RequestKind>) -> u64 {
        self.sent += 1;
        let request = Request {
            id: RequestId { connection: 1, number: self.sent },
            api_version,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            body: body.into(),
        };
        let effects = self.groups.handle(&request, &Cluster, self.now_ms);
        self.apply(effects);
        self.sent
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(entries) => self.journal.extend(entries),
                Effect::Respond(response) => {
                    let body = response.body.expect("an answer");
                    let twice = self.answers.insert(response.id.number, body);
                    assert!(twice.is_none(), "request {} was answered twice", response.id.number);
                }
            }
        }
    }

    /// Lets time pass, waking the coordinator whenever it wants to be.
    fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) = self.groups.next_deadline_ms().filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            let effects = self.groups.tick(self.now_ms);
            self.apply(effects);
            assert!(self.groups.next_deadline_ms().is_none_or(|next_ms| next_ms > self.now_ms), "nothing due is left");
        }
        self.now_ms = end_ms;
    }

    fn answer(&mut self, number: u64) -> Option<ResponseKind> {
        self.answers.remove(&number)
    }

    fn ask(&mut self, api_version: i16, body: impl Into<RequestKind>) -> ResponseKind {
        let number = self.send(api_version, body);
        self.answer(number).expect("answered at once")
    }

    fn joined(&mut self, number: u64) -> Option<JoinGroupResponse> {
        self.answer(number).map(|body| match body {
            ResponseKind::JoinGroup(answer) => answer,
            other => panic!("{other:?}"),
        })
    }

    fn synced(&mut self, number: u64) -> Option<SyncGroupResponse> {
        self.answer(number).map(|body| match body {
            ResponseKind::SyncGroup(answer) => answer,
            other => panic!("{other:?}"),
        })
    }

    /// Asks for a member id and joins with it: the id, and the number of the join.
    fn enter(&mut self) -> (StrBytes, u64) {
        let asked = self.send(9, join("", &["range"]));
        let asked = self.joined(asked).expect("an id");
        assert_eq!(asked.error_code, ResponseError::MemberIdRequired.code());
        let member = asked.member_id;
        let number = self.send(9, join(&member, &["range"]));
        (member, number)
    }

    /// A group with one working member: its id and the generation.
    fn working(&mut self) -> (StrBytes, i32) {
        let (member, number) = self.enter();
        let joined = self.joined(number).expect("joined");
        let synced = self.send(5, sync(&member, joined.generation_id, &[(&member, "all")]));
        assert_eq!(self.synced(synced).expect("synced").error_code, 0);
        (member, joined.generation_id)
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> i16 {
        let body = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation)
            .with_member_id(text(member));
        match self.ask(4, body) {
            ResponseKind::Heartbeat(answer) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> &'static str {
        self.groups.groups.get("group").map_or("Dead", |group| group.state.name())
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(text("group"))
}

fn join(member: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocol = |name: &&str| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::from(format!("metadata of {name}")))
    };
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.iter().map(protocol).collect())
}

fn sync(member: &str, generation: i32, assignments: &[(&StrBytes, &str)]) -> SyncGroupRequest {
    let line = |(member, assignment): &(&StrBytes, &str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id((*member).clone())
            .with_assignment(Bytes::from((*assignment).to_owned()))
    };
    SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assignments.iter().map(line).collect())
}

fn leave(members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    use kafka_protocol::messages::leave_group_request::MemberIdentity;
    let line = |(member, instance): &(&str, Option<&str>)| {
        MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text))
    };
    LeaveGroupRequest::default().with_group_id(group()).with_members(members.iter().map(line).collect())
}
