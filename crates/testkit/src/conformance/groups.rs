//! Groups that share the work: joining, leaving, crashing, coming back.

use super::Target;
use super::clients::{fresh, put, topic};
use super::clock::Stopwatch;
use super::members::{Change, Member, work, work_for};
use super::proxy::Proxy;
use super::same;
use anyhow::{Result, ensure};
use rdkafka::consumer::Consumer;
use std::collections::BTreeSet;
use std::time::Duration;

/// The shortest session that brokers allow.
const SHORT: (&str, &str) = ("session.timeout.ms", "6000");

/// A member alone owns everything and reads everything.
pub(super) fn one_member_reads_everything(target: &dyn Target) -> Result<()> {
    let (topic, group) = (filled(target, 4)?, fresh("group"));
    let member = Member::join(target, &group, &topic, &[])?;
    work("all is read", &[&member], || Ok(member.count() == 4))?;
    same("owned", member.owned()?, set(0..4))?;
    same("values", sorted(&member), ["0", "1", "2", "3"])
}

/// Two members share the partitions; when one leaves, the other has them all at once.
pub(super) fn two_members_share(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 4, &[])?, fresh("group"));
    let (first, second) = (Member::join(target, &group, &topic, &[])?, Member::join(target, &group, &topic, &[])?);
    work("each owns two", &[&first, &second], || shares(&first, &second, 2))?;
    fill(target, &topic, 4)?;
    work("all is read", &[&first, &second], || Ok(first.count() + second.count() == 4))?;
    same("read by the first", first.count(), 2)?;
    first.commit_read()?;
    second.commit_read()?;
    let watch = Stopwatch::start();
    drop(second);
    work("the first owns all", &[&first], || Ok(first.owned()?.len() == 4))?;
    // A member that leaves says so; nobody waits for its session to end.
    ensure!(watch.elapsed() < Duration::from_secs(30), "took {} ms", watch.elapsed_ms());
    fill(target, &topic, 4)?;
    work("all is read", &[&first], || Ok(first.count() == 6))
}

/// Every way of sharing that does not need a third protocol works.
pub(super) fn shares_round_robin(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 4, &[])?, fresh("group"));
    let settings = [("partition.assignment.strategy", "roundrobin,range")];
    let first = Member::join(target, &group, &topic, &settings)?;
    let second = Member::join(target, &group, &topic, &[("partition.assignment.strategy", "range")])?;
    work("each owns two", &[&first, &second], || shares(&first, &second, 2))
}

/// With cooperative sharing nobody lets go of what it keeps.
pub(super) fn cooperative_members_keep_what_they_can(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 4, &[])?, fresh("group"));
    let settings = [("partition.assignment.strategy", "cooperative-sticky")];
    let first = Member::join(target, &group, &topic, &settings)?;
    work("the first owns all", &[&first], || Ok(first.owned()?.len() == 4))?;
    let second = Member::join(target, &group, &topic, &settings)?;
    work("each owns two", &[&first, &second], || shares(&first, &second, 2))?;
    let kept = first.owned()?;
    for change in first.changes() {
        if let Change::Revoked(revoked) = change {
            ensure!(revoked.is_disjoint(&kept), "what was kept was let go: {revoked:?} of {kept:?}");
        }
    }
    drop(first);
    work("the second owns all", &[&second], || Ok(second.owned()?.len() == 4))
}

/// When a member crashes, the others take over where it had committed, once its session is over.
pub(super) fn others_take_over_after_a_crash(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 2, &[])?, fresh("group"));
    let proxy = Proxy::start(target)?;
    let crashing = Member::through(&proxy.bootstrap(), &group, &topic, &[SHORT])?;
    let staying = Member::join(target, &group, &topic, &[SHORT])?;
    let both = [&crashing, &staying];
    work("each owns one", &both, || shares(&crashing, &staying, 1))?;
    fill(target, &topic, 2)?;
    work("both have read", &both, || Ok(crashing.count() == 1 && staying.count() == 1))?;
    crashing.commit_read()?;
    staying.commit_read()?;
    fill(target, &topic, 2)?;
    // The one that crashes has read its second record, but not committed.
    work("both have read again", &both, || Ok(crashing.count() == 2 && staying.count() == 2))?;
    staying.commit_read()?;
    let watch = Stopwatch::start();
    proxy.go_dark();
    work("the other owns all", &[&staying], || Ok(staying.owned()?.len() == 2))?;
    ensure!(watch.elapsed() > Duration::from_secs(3), "taken over after {} ms", watch.elapsed_ms());
    work("the other has read what was left", &[&staying], || Ok(staying.count() == 3))?;
    let lost = crashing.values().pop();
    same("what was left", staying.values().pop(), lost)
}

/// A member with a fixed name may restart without anybody noticing.
pub(super) fn a_static_member_comes_back_unnoticed(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 4, &[])?, fresh("group"));
    let named =
        |name| Member::join(target, &group, &topic, &[("group.instance.id", name), ("session.timeout.ms", "30000")]);
    let (first, second) = (named("first")?, named("second")?);
    work("each owns two", &[&first, &second], || shares(&first, &second, 2))?;
    let (owned, changes) = (second.owned()?, first.changes().len());
    drop(second);
    work_for(Duration::from_millis(1_500), &[&first])?;
    let second = named("second")?;
    work("it is back", &[&first, &second], || Ok(second.owned()? == owned))?;
    work_for(Duration::from_millis(500), &[&first, &second])?;
    same("changes of the other", first.changes().len(), changes)
}

/// A member that works is not thrown out, however long it has nothing to read.
pub(super) fn heartbeats_keep_a_member(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    let member = Member::join(target, &group, &topic, &[SHORT])?;
    work("it owns the partition", &[&member], || Ok(member.owned()?.len() == 1))?;
    work_for(Duration::from_secs(8), &[&member])?;
    same("changes", member.changes(), [Change::Assigned(set(0..1))])?;
    put(target, &topic, 0, &["late"])?;
    work("it reads", &[&member], || Ok(member.count() == 1))?;
    member.commit_read()
}

/// Partitions that are added are shared too.
pub(super) fn new_partitions_are_shared(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 1, &[])?, fresh("group"));
    let member = Member::join(target, &group, &topic, &[("topic.metadata.refresh.interval.ms", "200")])?;
    work("it owns the partition", &[&member], || Ok(member.owned()?.len() == 1))?;
    let admin = super::clients::admin(target)?;
    let grow = rdkafka::admin::NewPartitions::new(&topic, 3);
    let grown = super::clients::wait(admin.create_partitions([&grow], &super::clients::options()))??;
    super::clients::one(grown).map_err(|code| anyhow::anyhow!("{code}"))?;
    work("it owns all three", &[&member], || Ok(member.owned()? == set(0..3)))
}

/// Two groups read the same without knowing of each other.
pub(super) fn groups_do_not_disturb_each_other(target: &dyn Target) -> Result<()> {
    let topic = filled(target, 2)?;
    let first = Member::join(target, &fresh("group"), &topic, &[])?;
    let second = Member::join(target, &fresh("group"), &topic, &[])?;
    work("both have read all", &[&first, &second], || Ok(first.count() == 2 && second.count() == 2))?;
    first.client().unsubscribe();
    same("owned by the second", second.owned()?.len(), 2)
}

/// Whether each of two members owns so many, and nothing twice.
fn shares(first: &Member, second: &Member, each: usize) -> Result<bool> {
    let (first, second) = (first.owned()?, second.owned()?);
    Ok(first.len() == each && second.len() == each && first.is_disjoint(&second))
}

fn sorted(member: &Member) -> Vec<String> {
    let mut values = member.values();
    values.sort_unstable();
    values
}

fn filled(target: &dyn Target, partitions: i32) -> Result<String> {
    let topic = topic(target, partitions, &[])?;
    fill(target, &topic, partitions)?;
    Ok(topic)
}

/// One record in each partition, with the partition's number.
fn fill(target: &dyn Target, topic: &str, partitions: i32) -> Result<()> {
    let sender = super::clients::Sender::new(target, &[])?;
    for partition in 0..partitions {
        sender.put(topic, partition, &[&partition.to_string()])?;
    }
    Ok(())
}

fn set(range: std::ops::Range<i32>) -> BTreeSet<i32> {
    range.collect()
}
