//! A source system: sends over MLLP, waits for each answer, and repeats a message until it was accepted.
//!
//! Messages of a stay go out one after the other. A sender stays with its listener until that gives no answer; then it tries the
//! other one, as senders behind one address do. Now and then it loses its connection before the answer, and repeats what may have
//! been taken already.

use crate::clock;
use crate::load::{Encounter, Message};
use crate::random::Random;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for an answer; longer than the listener's own patience with Kafka.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Of a thousand messages so many lose their connection before the answer, and are repeated at the same listener.
const HANGS_UP: u64 = 40;
/// And so many are repeated at the other one.
const GOES_OVER: u64 = 20;
/// Pause before that: longer than listeners take to tell each other of what they have.
const GOES_OVER_AFTER: Duration = Duration::from_secs(2);
/// Pause before a message is repeated.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(200);
/// Largest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What became of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// MSH-10.
    pub control_id: String,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent first, milliseconds since 1970.
    pub first_ms: i64,
    /// When it was accepted.
    pub accepted_ms: Option<i64>,
    /// The last answer that was not positive.
    pub refusal: Option<String>,
}

/// Senders at work.
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    listeners: Vec<SocketAddr>,
    every: Duration,
    /// No further message is begun.
    enough: AtomicBool,
    stop: AtomicBool,
    accepted: AtomicUsize,
    sent: Mutex<Vec<Sent>>,
}

impl Senders {
    /// Starts `connections` senders that together send about `rate` messages a second.
    #[must_use]
    pub fn start(
        seed: u64,
        encounters: &[Encounter],
        listeners: Vec<SocketAddr>,
        connections: usize,
        rate: f64,
    ) -> Self {
        let connections = connections.max(1);
        #[allow(clippy::cast_precision_loss, reason = "a handful of connections")]
        let every = Duration::from_secs_f64(connections as f64 / rate.max(0.1));
        let shared = Arc::new(Shared {
            listeners,
            every,
            enough: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            sent: Mutex::default(),
        });
        let threads = (0..connections).map(|lane| {
            let mine: Vec<Vec<Message>> =
                encounters.iter().skip(lane).step_by(connections).map(|one| one.messages.clone()).collect();
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Lane::new(shared, seed, lane).send_all(mine))
        });
        Self { threads: threads.collect(), shared }
    }

    /// Goes on sending for a while, then begins no further message and waits until what was begun is accepted or the bound is
    /// over; tells what became of each message.
    #[must_use]
    pub fn finish(self, calm: Duration, bound: Duration, say: &dyn Fn(&str)) -> Vec<Sent> {
        let ended = || self.threads.iter().all(JoinHandle::is_finished);
        clock::until(calm, LOOK, ended);
        self.shared.enough.store(true, Ordering::Relaxed);
        say(&format!("{} messages accepted, no more are begun", self.shared.accepted.load(Ordering::Relaxed)));
        clock::until(bound, LOOK, ended);
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A sender that panicked has sent what it has sent.
            let _ = thread.join();
        }
        std::mem::take(&mut *self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Lane {
    shared: Arc<Shared>,
    /// Which listener.
    prefers: usize,
    connection: Option<TcpStream>,
    random: Random,
}

impl Lane {
    fn new(shared: Arc<Shared>, seed: u64, lane: usize) -> Self {
        Self { shared, prefers: lane, connection: None, random: Random::new(seed, &format!("sender {lane}")) }
    }

    /// One message of each stay in turn.
    fn send_all(mut self, stays: Vec<Vec<Message>>) {
        let longest = stays.iter().map(Vec::len).max().unwrap_or_default();
        for turn in 0..longest {
            for message in stays.iter().filter_map(|stay| stay.get(turn)) {
                if self.shared.enough.load(Ordering::Relaxed) {
                    return;
                }
                let began = clock::now();
                let sent = self.send(message);
                self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
                if self.shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                clock::pause(self.shared.every.saturating_sub(began.elapsed()));
            }
        }
    }

    fn send(&mut self, message: &Message) -> Sent {
        let mut sent = Sent { control_id: message.control_id.clone(), first_ms: clock::unix_ms(), ..Sent::default() };
        let luck = self.random.between(0, 999);
        if luck < HANGS_UP + GOES_OVER {
            sent.attempts += 1;
            // Whether that worked is what nobody can know.
            let _ = self.hang_up(message);
            if luck < GOES_OVER {
                self.prefers += 1;
                clock::pause(GOES_OVER_AFTER);
            }
        }
        while !self.shared.stop.load(Ordering::Relaxed) {
            sent.attempts += 1;
            match self.attempt(message) {
                Ok(answer) if answer == "AA" || answer == "CA" => {
                    sent.accepted_ms = Some(clock::unix_ms());
                    self.shared.accepted.fetch_add(1, Ordering::Relaxed);
                    return sent;
                }
                Ok(answer) => sent.refusal = Some(answer),
                Err(error) => {
                    sent.refusal = Some(format!("no answer: {error}"));
                    self.connection = None;
                    self.prefers += 1;
                }
            }
            clock::pause(REPEAT_AFTER);
        }
        sent
    }

    /// Sends once and leaves.
    fn hang_up(&mut self, message: &Message) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        connection.write_all(&framed(message))
    }

    /// Sends once and gives the code of the answer to this message.
    fn attempt(&mut self, message: &Message) -> io::Result<String> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        connection.write_all(&framed(message))?;
        let answer = read_frame(&mut connection)?;
        let acknowledged = answer.split('\r').find_map(|segment| segment.strip_prefix("MSA|"));
        let mut fields = acknowledged.unwrap_or_default().split('|');
        let (code, control_id) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if control_id != message.control_id {
            return Err(io::Error::other("the answer is to another message"));
        }
        self.connection = Some(connection);
        Ok(code.to_owned())
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let listener = self.shared.listeners.get(self.prefers % self.shared.listeners.len().max(1));
        let listener = listener.ok_or_else(|| io::Error::other("there is no listener"))?;
        let connection = TcpStream::connect_timeout(listener, CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }
}

fn framed(message: &Message) -> Vec<u8> {
    [b"\x0b", message.text.as_bytes(), b"\x1c\r"].concat()
}

fn read_frame(connection: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4_096];
    while !bytes.ends_with(b"\x1c\r") {
        let count = connection.read(&mut part)?;
        if count == 0 || bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..count]);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_matches(['\x0b', '\x1c', '\r']).to_owned())
}
