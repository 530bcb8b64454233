//! One connection: frames in, answers out in the same order, with messages of different patients settled at the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use runtime::metrics::RoomMetrics;
use schemas::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::intake::{Intake, Taken};
use crate::config::LimitsConfig;
use crate::input::{Part, read_frame};
use crate::mapping::{Refusal, read_stray};
use crate::mllp::{Decoder, Event, Header, encode};

const READ_BYTES: usize = 64 * 1024;

/// What a connection works with.
pub(super) struct Connection {
    pub(super) intake: Arc<Intake>,
    pub(super) limits: Arc<LimitsConfig>,
    /// Memory for messages that are not answered yet, all connections together, in KiB.
    pub(super) memory: Arc<Semaphore>,
    pub(super) metrics: RoomMetrics,
    pub(super) shutdown: Shutdown,
    /// Name of the connection in records and logs.
    pub(super) origin: String,
}

/// What is settled for one frame, and the memory it takes until then.
struct Pending {
    settling: JoinHandle<Vec<Taken>>,
    batch: Option<BatchEnvelope>,
    _memory: OwnedSemaphorePermit,
}

/// The headers with which a batch in one frame is answered.
struct BatchEnvelope {
    header: Vec<u8>,
    trailer: Vec<u8>,
}

impl Connection {
    /// Reads until the sender closes, falls silent for too long, or the stop is asked for; answers everything it has read.
    pub(super) async fn run<S>(self, stream: S) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reading, writing) = tokio::io::split(stream);
        let (queue, pending) = mpsc::channel(self.limits.in_flight_max.max(1));
        let answering = tokio::spawn(answer(writing, pending, self.metrics.clone()));
        let read = self.read(reading, queue).await;
        let answered = answering.await.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
        read.and(answered)
    }

    async fn read<S: AsyncRead>(&self, mut stream: ReadHalf<S>, queue: mpsc::Sender<Pending>) -> std::io::Result<()> {
        let mut decoder = Decoder::new(self.limits.frame_bytes_max);
        let mut buffer = vec![0; READ_BYTES];
        let mut events = Vec::new();
        let mut noise = 0;
        loop {
            let patience = Duration::from_millis(if decoder.awaits_final_cr() {
                self.limits.final_cr_ms
            } else if decoder.is_inside_frame() {
                self.limits.frame_idle_ms
            } else {
                self.limits.connection_idle_ms
            });
            let read = tokio::select! {
                read = tokio::time::timeout(patience, stream.read(&mut buffer)) => read,
                () = self.shutdown.wait() => break,
                // The sender is gone, or no longer takes answers.
                () = queue.closed() => break,
            };
            let ended = match read {
                Ok(Ok(0)) => true,
                Ok(Ok(count)) => {
                    decoder.push(&buffer[..count], &mut events);
                    false
                }
                Ok(Err(error)) => {
                    events.extend(decoder.finish());
                    self.hand_over(&mut events, &queue).await;
                    return Err(error);
                }
                Err(_) if decoder.awaits_final_cr() => {
                    events.extend(decoder.release());
                    false
                }
                Err(_) => true,
            };
            if ended {
                events.extend(decoder.finish());
            }
            if decoder.noise_bytes() > noise {
                if noise == 0 {
                    tracing::warn!(
                        origin = self.origin,
                        "bytes outside of frames are skipped; further ones are not logged"
                    );
                }
                noise = decoder.noise_bytes();
            }
            if !self.hand_over(&mut events, &queue).await || ended {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what the decoder found, in order. False if nobody answers any more.
    async fn hand_over(&self, events: &mut Vec<Event>, queue: &mpsc::Sender<Pending>) -> bool {
        for event in events.drain(..) {
            let bytes = match &event {
                Event::Frame(bytes) | Event::Cut(bytes) | Event::Oversize(bytes) => bytes.len(),
                Event::Empty => continue,
            };
            let wanted = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
            let most = u32::try_from((self.limits.in_flight_bytes_max / 1024).max(1)).unwrap_or(u32::MAX);
            let Ok(memory) = Arc::clone(&self.memory).acquire_many_owned(wanted.min(most)).await else { return false };
            let (batch, settling) = self.take(event);
            if queue.send(Pending { settling, batch, _memory: memory }).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Starts settling the messages of a frame; their places in the order of their patients are taken here.
    fn take(&self, event: Event) -> (Option<BatchEnvelope>, JoinHandle<Vec<Taken>>) {
        let now = Timestamp::from_micros(runtime::clock::now_micros());
        let stray = |bytes: Vec<u8>, refusal: Refusal| {
            let reading = read_stray(&bytes, refusal);
            vec![Part { bytes, reading, warnings: Vec::new() }]
        };
        let (batch, parts) = match event {
            Event::Frame(bytes) => {
                let parts = read_frame(&bytes, &self.intake.mapper, now);
                (envelope(&bytes, parts.len()), parts)
            }
            Event::Cut(bytes) => {
                let refusal = Refusal::cut_frame(bytes.len());
                (None, stray(bytes, refusal))
            }
            Event::Oversize(bytes) => (None, stray(bytes, Refusal::oversize_frame(self.limits.frame_bytes_max))),
            Event::Empty => (None, Vec::new()),
        };
        let settling: Vec<_> = parts.into_iter().map(|part| self.settle(part, now)).collect();
        let all = async move {
            let mut taken = Vec::with_capacity(settling.len());
            for one in settling {
                taken.push(one.await);
            }
            taken
        };
        (batch, tokio::spawn(all))
    }

    fn settle(&self, part: Part, now: Timestamp) -> impl Future<Output = Taken> + Send + 'static {
        let metrics = self.metrics.clone();
        let outcome = super::batch::outcome_kind(&part.reading.outcome);
        let events = match &part.reading.outcome {
            crate::mapping::Outcome::Events(events) => events.len(),
            _ => 0,
        };
        let settling = self.intake.take(part, &self.origin, now);
        async move {
            let taken = settling.await;
            count(&metrics, &taken, outcome, events);
            taken
        }
    }
}

fn count(metrics: &RoomMetrics, taken: &Taken, outcome: schemas::ReceiptOutcome, events: usize) {
    if !taken.confirmed {
        return;
    }
    if taken.duplicate {
        metrics.duplicate.inc();
        return;
    }
    match outcome {
        schemas::ReceiptOutcome::Events => {
            metrics.emitted.inc_by(u64::try_from(events).unwrap_or_default());
        }
        schemas::ReceiptOutcome::Dropped => {
            metrics.dropped.inc();
        }
        schemas::ReceiptOutcome::Exception => {
            metrics.rejected.inc();
        }
        _ => {
            metrics.dead_letter.inc();
        }
    }
}

/// Writes the answers in the order of the frames, each when its messages are settled.
async fn answer<S: AsyncWrite>(
    mut stream: WriteHalf<S>,
    mut pending: mpsc::Receiver<Pending>,
    metrics: RoomMetrics,
) -> std::io::Result<()> {
    while let Some(next) = pending.recv().await {
        // A settling task ends only with its answers; if it was stopped, closing the connection makes the sender repeat.
        let Ok(taken) = next.settling.await else { break };
        let answers: Vec<_> = taken.into_iter().flat_map(|taken| taken.answers).collect();
        for (code, _) in &answers {
            metrics.mllp_messages(code.name()).inc();
        }
        if answers.is_empty() {
            metrics.mllp_messages("none").inc();
        }
        let framed: Vec<u8> = match next.batch {
            Some(envelope) if !answers.is_empty() => {
                let mut body = envelope.header;
                answers.iter().for_each(|(_, answer)| body.extend_from_slice(answer));
                body.extend_from_slice(&envelope.trailer);
                encode(&body)
            }
            _ => answers.iter().flat_map(|(_, answer)| encode(answer)).collect(),
        };
        stream.write_all(&framed).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// The batch segments around the answers to a frame that held several messages (standard 2.10.3); none for one message.
fn envelope(frame: &[u8], messages: usize) -> Option<BatchEnvelope> {
    if messages < 2 {
        return None;
    }
    let header = frame.windows(3).position(|name| name == b"MSH").and_then(|at| Header::read(&frame[at..]));
    let separator = char::from(header.as_ref().map_or(b'|', Header::separator));
    let encoding =
        header.as_ref().map(|header| header.field(2)).filter(|encoding| !encoding.is_empty()).unwrap_or(b"^~\\&");
    let mut first = format!("BHS{separator}").into_bytes();
    first.extend_from_slice(encoding);
    first.push(b'\r');
    Some(BatchEnvelope { header: first, trailer: format!("BTS{separator}{messages}\r").into_bytes() })
}
