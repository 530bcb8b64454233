//! Does what the plan says, and writes down what really happened when.

use crate::clock;
use crate::plan::{Calls, Fault, INSTANCES, Plan, Planned, ROOMS, Side};
use crate::proxy::Proxy;
use crate::system::System;
use anyhow::{Context, Result};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait until a broker that came back has caught up; the next broker is not touched before.
const IN_SYNC: Duration = Duration::from_secs(90);
/// Longest wait until restarted rooms are ready; what is not ready then is in the report, and the storm goes on.
const READY: Duration = Duration::from_secs(45);
/// How long a process that joins too much stays.
const JOINED: Duration = Duration::from_millis(2_500);

/// A fault that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// In words.
    pub what: String,
    /// When it was planned, milliseconds from the start.
    pub planned_ms: u64,
    /// When it began, milliseconds since 1970.
    pub began_ms: i64,
    /// When everything it broke was there again.
    pub healed_ms: i64,
    /// What is worth saying.
    pub note: String,
}

/// Runs the whole plan. `say` tells people what is going on.
///
/// # Errors
/// When a process cannot be handled at all.
pub fn run(system: &mut System, plan: &Plan, started: Instant, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Done>> {
    let (erp, suppliers) = (system.erp_proxy.clone(), system.supplier_proxy.clone());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| break_calls(&plan.calls, &erp, &suppliers, started, &over, say));
        let mut done = Vec::new();
        let mut failed = None;
        for planned in &plan.processes {
            wait_for(started, planned.at_ms);
            say(&planned.what.to_string());
            let began_ms = clock::unix_ms();
            match strike(system, &planned.what) {
                Ok(note) => {
                    let what = planned.what.to_string();
                    let healed_ms = clock::unix_ms();
                    done.push(Done { what, planned_ms: planned.at_ms, began_ms, healed_ms, note });
                }
                Err(error) => {
                    failed = Some(error.context(planned.what.to_string()));
                    break;
                }
            }
        }
        // Where a process cannot be handled, nobody waits for the rest of the plan.
        over.store(failed.is_some(), Ordering::Relaxed);
        done.extend(calls.join().unwrap_or_default());
        done.sort_by_key(|one| one.began_ms);
        failed.map_or(Ok(done), Err)
    })
}

/// Everything is let go and started; the brokers are in sync.
///
/// # Errors
/// When something does not come up.
pub fn heal(system: &mut System) -> Result<()> {
    system.look_for_ended(None);
    system.erp_proxy.order(None);
    system.supplier_proxy.order(None);
    if let Some(disk) = &system.disk {
        disk.free()?;
    }
    for room in &mut system.rooms {
        // One that does not run takes no signal, and is started.
        let _ = room.process.thaw();
        room.process.again()?;
    }
    let _ = system.erp.thaw();
    system.erp.again()?;
    system.wait_erp()?;
    for node in system.cluster.nodes() {
        node.resume()?;
        if node.pid().is_none() {
            node.restart()?;
        }
    }
    if system.registry.pid().is_none() {
        system.registry.restart()?;
    }
    anyhow::ensure!(system.wait_in_sync(IN_SYNC), "the brokers are not in sync after {} s", IN_SYNC.as_secs());
    system.wait_ready(Duration::from_secs(180))
}

/// Kills and starts every room's process, after it was written down where its threads stand.
///
/// # Errors
/// When one does not come up.
pub fn start_anew(system: &mut System) -> Result<()> {
    for room in &mut system.rooms {
        room.process.stacks();
        room.process.kill();
        room.process.again()?;
    }
    system.wait_ready(Duration::from_secs(180))
}

fn wait_for(started: Instant, at_ms: u64) {
    clock::pause(Duration::from_millis(at_ms).saturating_sub(started.elapsed()));
}

fn break_calls(
    planned: &[Planned<Calls>],
    erp: &Proxy,
    suppliers: &Proxy,
    started: Instant,
    over: &AtomicBool,
    say: &(dyn Fn(&str) + Sync),
) -> Vec<Done> {
    let is_over = || over.load(Ordering::Relaxed);
    let mut done = Vec::new();
    for one in planned {
        if clock::pause_unless(Duration::from_millis(one.at_ms).saturating_sub(started.elapsed()), is_over) {
            break;
        }
        say(&one.what.to_string());
        let proxy = if one.what.side == Side::Erp { erp } else { suppliers };
        let began_ms = clock::unix_ms();
        proxy.order(Some(one.what));
        clock::pause_unless(Duration::from_millis(one.what.for_ms), is_over);
        let (seen, struck) = proxy.counts();
        proxy.order(None);
        let note = format!("{struck} of {seen} calls struck");
        let what = one.what.to_string();
        done.push(Done { what, planned_ms: one.at_ms, began_ms, healed_ms: clock::unix_ms(), note });
    }
    done
}

fn strike(system: &mut System, fault: &Fault) -> Result<String> {
    match fault {
        Fault::KillRoom { room, instance, down_ms } => kill_rooms(system, room, &[*instance], *down_ms),
        Fault::KillBoth { room, down_ms } => {
            let all: Vec<u64> = (1..=INSTANCES).collect();
            kill_rooms(system, room, &all, *down_ms)
        }
        Fault::PauseRoom { room, instance, for_ms } => {
            let room = system.instance(room, *instance)?;
            room.process.freeze()?;
            clock::pause(Duration::from_millis(*for_ms));
            room.process.thaw()?;
            Ok(still_running(system, None))
        }
        Fault::RollingRestart => rolling_restart(system),
        Fault::RebalanceStorm { room, times } => storm_of_joins(system, room, *times),
        Fault::KillBroker { broker, down_ms } => {
            node(system, *broker)?.kill()?;
            clock::pause(Duration::from_millis(*down_ms));
            start_broker(system, *broker)
        }
        Fault::PauseBroker { broker, for_ms } => {
            node(system, *broker)?.pause()?;
            clock::pause(Duration::from_millis(*for_ms));
            node(system, *broker)?.resume()?;
            Ok(in_sync(system))
        }
        Fault::RollingBrokers => rolling_brokers(system),
        Fault::RegistryDown { room, instance, down_ms } => registry_down(system, room, *instance, *down_ms),
        Fault::FreezeErp { for_ms } => {
            system.erp.freeze()?;
            clock::pause(Duration::from_millis(*for_ms));
            system.erp.thaw()?;
            system.wait_erp()?;
            Ok(String::new())
        }
        Fault::JumpClock { room, instance, by_s, for_ms } => {
            let walls = system.walls.as_ref().context("the clocks of this run cannot jump")?;
            let name = format!("{room}-{instance}");
            walls.jump(&name, *by_s)?;
            clock::pause(Duration::from_millis(*for_ms));
            walls.jump(&name, 0)?;
            ready(system)
        }
        Fault::FillDisk { for_ms } => {
            let disk = system.disk.as_ref().context("the lake of this run has no disk that can be filled")?;
            let filled = disk.fill()?;
            clock::pause(Duration::from_millis(*for_ms));
            disk.free()?;
            Ok(format!("filled with {} kB; {}", filled / 1_024, ready(system)?))
        }
        Fault::KillErp { down_ms } => {
            system.erp.kill();
            clock::pause(Duration::from_millis(*down_ms));
            system.erp.again()?;
            system.wait_erp()?;
            system.refuse_item()?;
            Ok(String::new())
        }
    }
}

/// Starts what has ended by itself, which is news, and waits until all rooms are ready.
fn ready(system: &mut System) -> Result<String> {
    let note = still_running(system, None);
    start_all(system, note)
}

fn start_all(system: &mut System, mut note: String) -> Result<String> {
    for room in &mut system.rooms {
        room.process.again()?;
    }
    if let Err(error) = system.wait_ready(READY) {
        note.push_str(&error.to_string());
    }
    Ok(note)
}

/// Says which processes have ended without being told to; one may be excused.
fn still_running(system: &mut System, excused: Option<&str>) -> String {
    let ended = system.look_for_ended(excused);
    if ended.is_empty() { String::new() } else { format!("ended by themselves: {}; ", ended.join(", ")) }
}

fn kill_rooms(system: &mut System, room: &'static str, instances: &[u64], down_ms: u64) -> Result<String> {
    for instance in instances {
        system.instance(room, *instance)?.process.kill();
    }
    clock::pause(Duration::from_millis(down_ms));
    for instance in instances {
        system.instance(room, *instance)?.process.again()?;
    }
    ready(system)
}

fn rolling_restart(system: &mut System) -> Result<String> {
    let mut note = String::new();
    for room in ROOMS {
        for instance in 1..=INSTANCES {
            let process = &mut system.instance(room, instance)?.process;
            let ended = process.stop();
            process.again()?;
            if !ended {
                note.push_str(&format!("{room}-{instance} did not end and was killed; "));
                system.overstayed.push(format!("{room}-{instance}"));
            }
            note.push_str(&ready(system)?);
        }
    }
    Ok(note)
}

fn storm_of_joins(system: &mut System, room: &'static str, times: u64) -> Result<String> {
    for number in 1..=times {
        let mut further = system.further(room, &format!("{room}-further"))?;
        clock::pause(JOINED);
        // In turn: with a good-bye, and without one.
        if number.is_multiple_of(2) {
            further.process.kill();
        } else {
            further.process.stop();
        }
    }
    ready(system)
}

fn node(system: &mut System, broker: u64) -> Result<&mut components::Kafka> {
    let place = usize::try_from(broker - 1)?;
    system.cluster.nodes().get_mut(place).context("there is no such broker")
}

/// Brings a broker back; its log of before is kept beside those of the rooms.
fn start_broker(system: &mut System, broker: u64) -> Result<String> {
    keep_log(system, broker)?;
    node(system, broker)?.restart()?;
    Ok(in_sync(system))
}

fn keep_log(system: &mut System, broker: u64) -> Result<()> {
    let kept = system.dir().join(format!("logs/kafka-{broker}.log"));
    let log = std::fs::read(node(system, broker)?.log())?;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(kept)?;
    std::io::Write::write_all(&mut file, &log)?;
    Ok(())
}

fn in_sync(system: &System) -> String {
    let began = clock::now();
    if system.wait_in_sync(IN_SYNC) {
        format!("in sync {} ms after it was back", began.elapsed().as_millis())
    } else {
        format!("not in sync after {} s", IN_SYNC.as_secs())
    }
}

fn rolling_brokers(system: &mut System) -> Result<String> {
    let mut notes = Vec::new();
    for broker in 1..=crate::plan::BROKERS {
        node(system, broker)?.stop()?;
        notes.push(start_broker(system, broker)?);
    }
    Ok(notes.join("; "))
}

fn registry_down(system: &mut System, room: &'static str, instance: u64, down_ms: u64) -> Result<String> {
    system.registry.kill()?;
    let process = &mut system.instance(room, instance)?.process;
    process.kill();
    process.again()?;
    clock::pause(Duration::from_millis(down_ms));
    // A process that gives up without a registry is started by its supervisor, which is us.
    let excused = format!("{room}-{instance}");
    let note = still_running(system, Some(&excused));
    system.registry.restart()?;
    start_all(system, note)
}
