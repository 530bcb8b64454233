//! One connection: frames in, answers out in the same order, with messages of different patients settled at the same time.
//!
//! One task does all of it, because each change of tasks costs as much as reading a message does: it reads, drives what is under
//! way, and writes, whichever is possible.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt as _};
use runtime::Shutdown;
use runtime::clock::{Tick, tick};
use schemas::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::Sleep;

use super::counters::Counters;
use super::intake::{Intake, Taken};
use super::siblings::Newcomer;
use crate::config::LimitsConfig;
use crate::input::{Part, read_frame};
use crate::mapping::{Refusal, read_stray};
use crate::mllp::{Decoder, Event, Header, encode_into};

const READ_BYTES: usize = 64 * 1024;
/// Answers that the sender has not taken. Beyond it nothing more is read.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// What a connection works with.
pub(super) struct Connection {
    pub(super) intake: Arc<Intake>,
    pub(super) limits: Arc<LimitsConfig>,
    /// Memory for messages that are not answered yet, all connections together, in KiB.
    pub(super) memory: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
    pub(super) shutdown: Shutdown,
    /// Name of the connection in records and logs.
    pub(super) origin: Arc<str>,
}

/// What became of one frame, and the memory it took until then.
struct Settled {
    taken: Vec<Taken>,
    batch: Option<BatchEnvelope>,
    _memory: OwnedSemaphorePermit,
}

/// The headers with which a batch in one frame is answered.
struct BatchEnvelope {
    header: Vec<u8>,
    trailer: Vec<u8>,
}

/// What has come in and what is under way.
struct Inbox {
    decoder: Decoder,
    found: Vec<Event>,
    /// Frames that wait for memory or for a place among those under way.
    waiting: VecDeque<Event>,
    settling: FuturesOrdered<BoxFuture<'static, Settled>>,
    newcomer: Newcomer,
    noise: u64,
    /// Whether more may come.
    open: bool,
}

/// Answers on their way.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// When the sender last took something, or when there was first something to take.
    moved: Tick,
}

/// Ends a silence. The timer is set anew only when it has run out or would come too late: nearly every message would set it
/// otherwise.
struct Patience {
    timer: Pin<Box<Sleep>>,
    ends: Tick,
    since: Tick,
}

impl Connection {
    /// Reads until the sender closes, falls silent for too long, or the stop is asked for; answers everything it has read.
    pub(super) async fn run<S>(self, stream: S) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reading, mut writing) = tokio::io::split(stream);
        let mut inbox = Inbox::new(self.limits.frame_bytes_max);
        let ended = self.serve(&mut reading, &mut writing, &mut inbox).await;
        // The sender is gone, but what is under way has to be settled: its resend must be recognised.
        if !inbox.settling.is_empty() {
            let (mut settling, counters) = (inbox.settling, Arc::clone(&self.counters));
            tokio::spawn(async move {
                while let Some(settled) = settling.next().await {
                    settled.taken.iter().for_each(|taken| counters.count(taken));
                }
            });
        }
        ended
    }

    async fn serve<S>(
        &self,
        reading: &mut ReadHalf<S>,
        writing: &mut WriteHalf<S>,
        inbox: &mut Inbox,
    ) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite,
    {
        let mut buffer = vec![0; READ_BYTES];
        let mut outbox = Outbox::default();
        let mut stop = pin!(self.shutdown.wait());
        let mut patience = Patience::new(self.silence_max(&inbox.decoder));
        let untaken_max = Duration::from_millis(self.limits.answer_idle_ms);
        let mut untaken = Patience::new(untaken_max);
        let mut failed = Ok(());
        let mut may_read = true;
        loop {
            let taken = outbox.bytes.len() < OUTBOX_BYTES_MAX;
            if taken {
                self.take_waiting(inbox, None);
            }
            let room = taken && inbox.settling.len() < self.limits.in_flight_max.max(1);
            let next = inbox.waiting.front().filter(|_| room).map(|event| self.memory_of(event));
            let could_read = std::mem::replace(&mut may_read, inbox.open && room && inbox.waiting.is_empty());
            if may_read && !could_read {
                patience.since = tick();
            }
            if !inbox.open && inbox.waiting.is_empty() && inbox.settling.is_empty() && outbox.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                Some(settled) = inbox.settling.next(), if !inbox.settling.is_empty() => {
                    self.answer(settled, &mut outbox);
                }
                written = outbox.write(writing), if !outbox.is_empty() => written?,
                memory = self.memory.clone().acquire_many_owned(next.unwrap_or_default()), if next.is_some() => {
                    self.take_waiting(inbox, Some(memory.map_err(std::io::Error::other)?));
                }
                () = &mut untaken.timer, if !outbox.is_empty() => {
                    untaken.since = outbox.moved;
                    if untaken.is_over(untaken_max) {
                        let why = "the sender did not take its answers for limits.answer_idle_ms";
                        return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why));
                    }
                }
                () = &mut stop, if inbox.open => inbox.open = false,
                read = reading.read(&mut buffer), if may_read => {
                    failed = self.has_read(read, &buffer, inbox);
                    patience.restart(self.silence_max(&inbox.decoder));
                }
                () = &mut patience.timer, if may_read => {
                    if patience.is_over(self.silence_max(&inbox.decoder)) {
                        self.is_silent(inbox);
                        patience.restart(self.silence_max(&inbox.decoder));
                    }
                }
            }
        }
        failed.and(writing.shutdown().await)
    }

    /// Longest silence in the place where the decoder is.
    fn silence_max(&self, decoder: &Decoder) -> Duration {
        Duration::from_millis(if decoder.awaits_final_cr() {
            self.limits.final_cr_ms
        } else if decoder.is_inside_frame() {
            self.limits.frame_idle_ms
        } else {
            self.limits.connection_idle_ms
        })
    }

    /// Gives the decoder what was read. The error is that of the connection.
    fn has_read(&self, read: std::io::Result<usize>, buffer: &[u8], inbox: &mut Inbox) -> std::io::Result<()> {
        match &read {
            Ok(count) if *count > 0 => inbox.decoder.push(&buffer[..*count], &mut inbox.found),
            Ok(_) | Err(_) => inbox.end(),
        }
        inbox.waiting.extend(inbox.found.drain(..));
        if inbox.decoder.noise_bytes() > inbox.noise {
            if inbox.noise == 0 {
                let origin = &*self.origin;
                tracing::warn!(origin, "bytes outside of frames are skipped; further ones are not logged");
            }
            inbox.noise = inbox.decoder.noise_bytes();
        }
        read.map(drop)
    }

    /// Nothing has come for too long.
    fn is_silent(&self, inbox: &mut Inbox) {
        if inbox.decoder.awaits_final_cr() {
            inbox.waiting.extend(inbox.decoder.release());
        } else {
            inbox.end();
        }
    }

    /// What a frame takes of the memory, KiB.
    fn memory_of(&self, event: &Event) -> u32 {
        let bytes = match event {
            Event::Frame(bytes) | Event::Cut(bytes) | Event::Oversize(bytes) => bytes.len(),
            Event::Empty => 0,
        };
        let wanted = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        wanted.min(u32::try_from((self.limits.in_flight_bytes_max / 1024).max(1)).unwrap_or(u32::MAX))
    }

    /// Takes in what the decoder found, in order, as far as there is room; the first of it with memory that was waited for.
    fn take_waiting(&self, inbox: &mut Inbox, mut memory: Option<OwnedSemaphorePermit>) {
        while let Some(next) = inbox.waiting.front() {
            if matches!(next, Event::Empty) {
                inbox.waiting.pop_front();
                continue;
            }
            if inbox.settling.len() >= self.limits.in_flight_max.max(1) {
                return;
            }
            let memory = match memory.take() {
                Some(memory) => memory,
                None => match Arc::clone(&self.memory).try_acquire_many_owned(self.memory_of(next)) {
                    Ok(memory) => memory,
                    Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return,
                },
            };
            if let Some(event) = inbox.waiting.pop_front() {
                let settling = self.take(event, &mut inbox.newcomer, memory);
                inbox.settling.push_back(settling);
            }
        }
    }

    /// Starts settling the messages of a frame; their places in the order of their patients are taken here.
    fn take(&self, event: Event, newcomer: &mut Newcomer, memory: OwnedSemaphorePermit) -> BoxFuture<'static, Settled> {
        let now = Timestamp::from_micros(runtime::clock::now_micros());
        let stray = |bytes: Vec<u8>, refusal: Refusal| {
            let reading = read_stray(&bytes, refusal);
            vec![Part { bytes, reading, warnings: Vec::new() }]
        };
        let (batch, mut parts) = match event {
            Event::Frame(bytes) => {
                let parts = read_frame(bytes, &self.intake.mapper, now);
                (envelope(&parts), parts)
            }
            Event::Cut(bytes) => {
                let refusal = Refusal::cut_frame(bytes.len());
                (None, stray(bytes, refusal))
            }
            Event::Oversize(bytes) => (None, stray(bytes, Refusal::oversize_frame(self.limits.frame_bytes_max))),
            Event::Empty => (None, Vec::new()),
        };
        let mut settle = |part| {
            let wait = newcomer.message(self.intake.siblings(), tick());
            self.intake.take(part, &self.origin, now, wait)
        };
        if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            let settling = settle(part);
            return Box::pin(async move { Settled { taken: vec![settling.await], batch, _memory: memory } });
        }
        let settling: Vec<_> = parts.into_iter().map(settle).collect();
        Box::pin(async move {
            let mut taken = Vec::with_capacity(settling.len());
            for one in settling {
                taken.push(one.await);
            }
            Settled { taken, batch, _memory: memory }
        })
    }

    /// Puts the answers to a frame behind those before it.
    fn answer(&self, settled: Settled, outbox: &mut Outbox) {
        let Settled { taken, batch, .. } = settled;
        taken.iter().for_each(|taken| self.counters.count(taken));
        if outbox.is_empty() {
            outbox.moved = tick();
        }
        let answers = || taken.iter().flat_map(|taken| &taken.answers);
        self.counters.count_answers(answers().map(|(code, _)| *code));
        match batch {
            Some(envelope) if answers().next().is_some() => {
                let mut body = envelope.header;
                answers().for_each(|(_, answer)| body.extend_from_slice(answer));
                body.extend_from_slice(&envelope.trailer);
                encode_into(&body, &mut outbox.bytes);
            }
            _ => answers().for_each(|(_, answer)| encode_into(answer, &mut outbox.bytes)),
        }
        outbox.unflushed |= !outbox.bytes.is_empty();
    }
}

impl Inbox {
    fn new(frame_bytes_max: usize) -> Self {
        Self {
            decoder: Decoder::new(frame_bytes_max),
            found: Vec::new(),
            waiting: VecDeque::new(),
            settling: FuturesOrdered::new(),
            newcomer: Newcomer::default(),
            noise: 0,
            open: true,
        }
    }

    /// Nothing more comes.
    fn end(&mut self) {
        self.found.extend(self.decoder.finish());
        self.waiting.extend(self.found.drain(..));
        self.open = false;
    }
}

impl Outbox {
    fn is_empty(&self) -> bool {
        !self.unflushed
    }

    /// Writes all of it. May be stopped at any point and called again.
    async fn write<S: AsyncWrite>(&mut self, stream: &mut WriteHalf<S>) -> std::io::Result<()> {
        while self.written < self.bytes.len() {
            match stream.write(&self.bytes[self.written..]).await? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                count => {
                    self.written += count;
                    self.moved = tick();
                }
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(OUTBOX_BYTES_MAX);
        self.written = 0;
        stream.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}

impl Patience {
    fn new(longest: Duration) -> Self {
        Self { timer: Box::pin(tokio::time::sleep(longest)), ends: tick().after(longest), since: tick() }
    }

    /// Something has come. The timer is set only if it would ring too late.
    fn restart(&mut self, longest: Duration) {
        self.since = tick();
        if self.since.after(longest) < self.ends {
            self.set(longest);
        }
    }

    /// The timer has rung: whether the silence has lasted for so long. Otherwise it rings when it will have.
    fn is_over(&mut self, longest: Duration) -> bool {
        let left = longest.saturating_sub(tick().since(self.since));
        self.set(if left.is_zero() { longest } else { left });
        left.is_zero()
    }

    fn set(&mut self, delay: Duration) {
        self.ends = tick().after(delay);
        self.timer.set(tokio::time::sleep(delay));
    }
}

/// The batch segments around the answers to a frame that held several messages (standard 2.10.3); none for one message.
fn envelope(parts: &[Part]) -> Option<BatchEnvelope> {
    if parts.len() < 2 {
        return None;
    }
    let header = parts.iter().find_map(|part| {
        let at = part.bytes.windows(3).position(|name| name == b"MSH")?;
        Header::read(&part.bytes[at..])
    });
    let separator = char::from(header.as_ref().map_or(b'|', Header::separator));
    let encoding =
        header.as_ref().map(|header| header.field(2)).filter(|encoding| !encoding.is_empty()).unwrap_or(b"^~\\&");
    let mut first = format!("BHS{separator}").into_bytes();
    first.extend_from_slice(encoding);
    first.push(b'\r');
    Some(BatchEnvelope { header: first, trailer: format!("BTS{separator}{}\r", parts.len()).into_bytes() })
}
