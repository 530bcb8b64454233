//! A sink in memory and a listener on a free port.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use std::sync::Arc;
use std::time::Duration;

use hl7v2::config::Hl7v2Config;
use hl7v2::mapping::Mapper;
use hl7v2::mllp::{ClientOptions, MllpClient};
use hl7v2::source::{Batch, Confirmation, Intake, Ledger, Listener, NotStarted, Sink};
use runtime::metrics::RoomMetrics;
use runtime::{ShutdownTrigger, shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a batch waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Confirms at once.
    Confirm,
    /// Refuses.
    Refuse,
    /// Waits.
    Hold,
    /// Keeps the events and refuses all the same: the confirmation was lost.
    Lose,
}

/// Remembers batches in the order in which they were started. The mood of a control id decides when it is confirmed.
pub struct Memory {
    started: watch::Sender<Vec<Batch>>,
    moods: watch::Sender<Vec<(String, Mood)>>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: watch::channel(Vec::new()).0, moods: watch::channel(Vec::new()).0 })
    }

    pub fn set(&self, control_id: &str, mood: Mood) {
        self.moods.send_modify(|moods| {
            moods.retain(|(known, _)| known != control_id);
            moods.push((control_id.to_owned(), mood));
        });
    }

    pub fn ids(&self) -> Vec<String> {
        ids(&self.started.borrow())
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.started.borrow().clone()
    }

    /// Waits until a condition on the started messages holds.
    pub async fn until(&self, condition: impl Fn(&[String]) -> bool) {
        let mut started = self.started.subscribe();
        let reached = started.wait_for(|batches| condition(&ids(batches)));
        let reached = tokio::time::timeout(PATIENCE, reached).await.map(|found| drop(found.unwrap()));
        reached.unwrap_or_else(|_| panic!("not reached: {:?}", self.ids()));
    }
}

fn ids(batches: &[Batch]) -> Vec<String> {
    batches.iter().map(|batch| batch.receipt.message_id.clone()).collect()
}

impl Sink for Memory {
    fn start(&self, batch: &Batch) -> Result<Confirmation, NotStarted> {
        self.started.send_modify(|started| started.push(batch.clone()));
        let (id, mut moods) = (batch.receipt.message_id.clone(), self.moods.subscribe());
        Ok(Box::pin(async move {
            let mood = |moods: &Vec<(String, Mood)>| {
                moods.iter().find(|(known, _)| *known == id).map_or(Mood::Confirm, |(_, mood)| *mood)
            };
            let settled = moods.wait_for(|moods| mood(moods) != Mood::Hold).await.map(|moods| mood(&moods));
            if settled.is_ok_and(|mood| mood == Mood::Confirm) { Ok(()) } else { Err("refused".to_owned()) }
        }))
    }

    fn look_up(&self, _since: schemas::Timestamp, ledger: &Arc<Ledger>) -> Confirmation {
        let lost = |id: &str| self.moods.borrow().iter().any(|(known, mood)| known == id && *mood == Mood::Lose);
        for batch in self.started.borrow().iter().filter(|batch| lost(&batch.receipt.message_id)) {
            batch.events.iter().for_each(|event| ledger.published(&batch.receipt.receipt_id, event.id()));
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A running listener.
pub struct Running {
    pub address: String,
    pub memory: Arc<Memory>,
    pub ledger: Arc<Ledger>,
    pub trigger: ShutdownTrigger,
    pub serving: JoinHandle<()>,
}

pub fn intake(config: &Hl7v2Config, memory: &Arc<Memory>, ledger: &Arc<Ledger>) -> Arc<Intake> {
    let mapper = Mapper::new(config.mapping.clone(), b"synthetic-data-only").unwrap();
    let sink: Arc<dyn Sink> = memory.clone();
    let patience = Duration::from_millis(config.limits.confirm_ms);
    Arc::new(Intake::new(mapper, Arc::clone(ledger), sink, patience))
}

pub async fn listen(change: impl FnOnce(&mut Hl7v2Config)) -> Running {
    let mut config = Hl7v2Config { listen: "127.0.0.1:0".to_owned(), ..Hl7v2Config::default() };
    change(&mut config);
    let (memory, ledger) = (Memory::new(), Arc::new(Ledger::new(100_000)));
    let intake = intake(&config, &memory, &ledger);
    let listener = Listener::bind(&config, intake, RoomMetrics::new("hl7v2")).await.unwrap();
    let address = listener.address().unwrap().to_string();
    let (trigger, stop) = shutdown();
    let serving = tokio::spawn(listener.serve(stop, Duration::from_secs(10)));
    Running { address, memory, ledger, trigger, serving }
}

pub async fn connect(running: &Running) -> MllpClient {
    let options = ClientOptions { timeout: Duration::from_secs(20), ..ClientOptions::default() };
    MllpClient::connect(&running.address, options).await.unwrap()
}

/// A merge (A40) of a prior patient into the one that stays.
pub fn merge(control_id: &str, survivor: &str, prior: &str) -> Vec<u8> {
    format!(
        "MSH|^~\\&|EHR|NORTH|ESB|HUB|20260914094900-0500||ADT^A40^ADT_A39|{control_id}|P|2.5.1\r\
         EVN|A40|20260914094900-0500\rPID|1||{survivor}^^^NORTH^MR\rMRG|{prior}^^^NORTH^MR\r"
    )
    .into_bytes()
}

/// A charge of one article for a patient.
pub fn charge(control_id: &str, patient: &str) -> Vec<u8> {
    format!(
        "MSH|^~\\&|EHR|NORTH|ESB|HUB|20260914094900-0500||DFT^P03^DFT_P03|{control_id}|P|2.5.1\r\
         PID|1||{patient}^^^NORTH^MR\rPV1|1|I|OR||||||||||||||||V{patient}\r\
         FT1|1|TX{control_id}||20260914||CG|A1^Gauze^L|||2\r"
    )
    .into_bytes()
}
