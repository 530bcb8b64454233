//! Transactions when the broker is killed.

use super::Target;
use super::clients::{Sender, committed, fresh, put, topic, uncommitted};
use super::commits::position;
use super::list_offsets::{LATEST, ask, settled};
use super::members::{Member, work};
use super::restart::restart;
use super::same;
use super::transactional_groups::send_offsets;
use anyhow::Result;
use rdkafka::Offset;

/// What was decided stays decided, what was open stays open until its producer comes back.
pub(super) fn each_is_as_it_was(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let decided = Sender::transactional(target, &fresh("tx"))?;
    for (value, keep) in [("committed", true), ("aborted", false)] {
        decided.begin()?;
        decided.put(&topic, 0, &[value])?;
        if keep { decided.commit()? } else { decided.abort()? }
    }
    settled(target, &topic, 1)?;
    let open = Sender::transactional(target, &id)?;
    open.begin()?;
    open.put(&topic, 0, &["open"])?;
    put(target, &topic, 0, &["after"])?;
    restart(target, &topic)?;
    same("committed", committed(target, &topic)?, ["committed"])?;
    same("all", uncommitted(target, &topic)?, ["committed", "aborted", "open", "after"])?;
    same("last stable", ask(target, &topic, LATEST, true)?.offset, 4)?;
    let successor = Sender::transactional(target, &id)?;
    same("committed", committed(target, &topic)?, ["committed", "after"])?;
    successor.begin()?;
    successor.put(&topic, 0, &["next"])?;
    successor.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["committed", "after", "next"])
}

/// A transaction that was begun before the kill can be committed, with its positions, by the producer that began it.
pub(super) fn one_can_be_finished_afterwards(target: &dyn Target) -> Result<()> {
    let (input, output, group) = (topic(target, 1, &[])?, topic(target, 1, &[])?, fresh("group"));
    put(target, &input, 0, &["0", "1"])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let member = Member::join(target, &group, &input, &[])?;
    work("all is read", &[&member], || Ok(member.count() == 2))?;
    sender.begin()?;
    sender.put(&output, 0, &["before"])?;
    send_offsets(&sender, &member, &input, 2)?;
    target.kill_and_restart()?;
    sender.put(&output, 0, &["after"])?;
    same("while it is open", committed(target, &output)?.len(), 0)?;
    sender.commit()?;
    settled(target, &output, 1)?;
    same("committed", committed(target, &output)?, ["before", "after"])?;
    super::clock::until("the position has moved", || Ok(position(target, &group, &input)? == Offset::Offset(2)))
}

/// A producer that was replaced before the kill is still out afterwards.
pub(super) fn who_was_out_is_out(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let older = Sender::transactional(target, &id)?;
    older.begin()?;
    older.put(&topic, 0, &["old"])?;
    let newer = Sender::transactional(target, &id)?;
    target.kill_and_restart()?;
    anyhow::ensure!(older.commit().is_err(), "the older one committed");
    newer.begin()?;
    newer.put(&topic, 0, &["new"])?;
    newer.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["new"])
}
