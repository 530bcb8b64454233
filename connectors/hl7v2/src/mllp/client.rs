//! A sender: what `wardline send` and the tests use. It frames messages, waits for the answers and can keep several messages
//! on their way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ack::{AckCode, read_ack};
use super::decoder::{Decoder, Event, encode};
use super::header::Header;

const READ_BYTES: usize = 16 * 1024;

/// How to connect and how long to wait.
#[derive(Clone)]
pub struct ClientOptions {
    /// Longest wait for a connection and for each answer.
    pub timeout: Duration,
    /// Longest wait for an answer that the message asks for only in case of an error or of success (MSH-15, MSH-16 of ER
    /// or SU); no answer is then good news.
    pub conditional_wait: Duration,
    /// TLS, with the authorities to trust and a client certificate if the listener asks for one.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The name in the listener's certificate; the host of the address if not given.
    pub server_name: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            conditional_wait: Duration::from_secs(1),
            tls: None,
            server_name: None,
        }
    }
}

/// The answer to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1 of the last answer; none if the message asks for no answer.
    pub code: Option<AckCode>,
    /// MSA-1 of a commit answer that came before it.
    pub commit: Option<AckCode>,
    /// MSA-2: the control id of the message that is answered.
    pub control_id: String,
    /// What the first ERR segment (or MSA-3) says.
    pub error: Option<String>,
    /// The last answer as it came.
    pub raw: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address does not accept a connection, or the connection broke.
    #[error("WL-1040: {0}")]
    Io(#[from] std::io::Error),
    /// The time is up.
    #[error("WL-1041: no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The other side closed the connection with an answer outstanding.
    #[error("WL-1042: the connection was closed before the answer came")]
    Closed,
    /// The answer is no acknowledgement, or one of another message.
    #[error("WL-1043: the answer is not an acknowledgement of the message")]
    NotAnAck,
    /// The name for TLS is not a DNS name or IP address.
    #[error("WL-1044: the server name is not usable for TLS")]
    ServerName,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to an MLLP listener.
pub struct MllpClient {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    answers: VecDeque<Vec<u8>>,
    buffer: Vec<u8>,
    options: ClientOptions,
}

impl MllpClient {
    /// Connects to `host:port`.
    pub async fn connect(address: &str, options: ClientOptions) -> Result<Self, ClientError> {
        let connecting = TcpStream::connect(address);
        let tcp = tokio::time::timeout(options.timeout, connecting)
            .await
            .map_err(|_| ClientError::Timeout(options.timeout))??;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &options.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
                let name = options.server_name.clone().unwrap_or_else(|| host.to_owned());
                let name = rustls::pki_types::ServerName::try_from(name).map_err(|_| ClientError::ServerName)?;
                Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?)
            }
        };
        Ok(Self {
            stream,
            decoder: Decoder::new(super::MAX_FRAME_BYTES),
            answers: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            options,
        })
    }

    /// Sends one message and waits for the answers that it asks for.
    pub async fn send(&mut self, message: &[u8]) -> Result<Ack, ClientError> {
        self.stream.write_all(&encode(message)).await?;
        self.stream.flush().await?;
        self.receive(&Wishes::of(message)).await
    }

    /// Sends messages with up to `window` unanswered at a time; gives the answers in order of the messages. Stops at the
    /// first message without an answer.
    pub async fn send_all(&mut self, messages: &[Vec<u8>], window: usize) -> (Vec<Ack>, Option<ClientError>) {
        let mut answers = Vec::with_capacity(messages.len());
        let mut waiting: VecDeque<Wishes> = VecDeque::new();
        let mut next = messages.iter();
        loop {
            let mut batch = Vec::new();
            while waiting.len() < window.max(1) {
                let Some(message) = next.next() else { break };
                batch.extend_from_slice(&encode(message));
                waiting.push_back(Wishes::of(message));
            }
            if let Err(error) = self.write(&batch).await {
                return (answers, Some(error));
            }
            let Some(wishes) = waiting.pop_front() else { return (answers, None) };
            match self.receive(&wishes).await {
                Ok(ack) => answers.push(ack),
                Err(error) => return (answers, Some(error)),
            }
        }
    }

    /// Writes bytes as they are, framed or not: for tests of a listener.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Waits for the next frame from the other side.
    pub async fn read_frame(&mut self) -> Result<Vec<u8>, ClientError> {
        self.frame(self.options.timeout).await
    }

    /// Closes the connection.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.stream.shutdown().await?;
        Ok(())
    }

    async fn receive(&mut self, wishes: &Wishes) -> Result<Ack, ClientError> {
        let mut ack =
            Ack { code: None, commit: None, control_id: wishes.control_id.clone(), error: None, raw: Vec::new() };
        if wishes.commit == Wish::Never && wishes.application == Wish::Never {
            return Ok(ack);
        }
        loop {
            let patience = match (ack.code, wishes.commit, wishes.application) {
                (None, Wish::Always, _) | (_, _, Wish::Always) => self.options.timeout,
                _ => self.options.conditional_wait,
            };
            let raw = match self.frame(patience).await {
                Ok(raw) => raw,
                // Nothing came and nothing had to come.
                Err(ClientError::Timeout(waited)) if waited == self.options.conditional_wait => return Ok(ack),
                Err(error) => return Err(error),
            };
            let (code, control_id, error) = read_ack(&raw).ok_or(ClientError::NotAnAck)?;
            if !control_id.is_empty() && control_id != wishes.control_id {
                return Err(ClientError::NotAnAck);
            }
            ack = Ack { code: Some(code), commit: ack.code, control_id: wishes.control_id.clone(), error, raw };
            if code != AckCode::Ca || wishes.application == Wish::Never {
                return Ok(ack);
            }
        }
    }

    async fn frame(&mut self, patience: Duration) -> Result<Vec<u8>, ClientError> {
        loop {
            if let Some(frame) = self.answers.pop_front() {
                return Ok(frame);
            }
            let reading = tokio::time::timeout(patience, self.stream.read(&mut self.buffer));
            let read = reading.await.map_err(|_| ClientError::Timeout(patience))??;
            let mut events = Vec::new();
            if read == 0 {
                events.extend(self.decoder.finish());
            } else {
                self.decoder.push(&self.buffer[..read], &mut events);
            }
            self.answers.extend(events.into_iter().filter_map(|event| match event {
                Event::Frame(frame) => Some(frame),
                _ => None,
            }));
            if read == 0 && self.answers.is_empty() {
                return Err(ClientError::Closed);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Never,
    Sometimes,
    Always,
}

/// Which answers a message asks for.
struct Wishes {
    control_id: String,
    commit: Wish,
    application: Wish,
}

impl Wishes {
    fn of(message: &[u8]) -> Self {
        let header = Header::read(message);
        let field = |number| header.as_ref().map(|header| header.field(number)).unwrap_or_default();
        let wish = |number| match field(number) {
            b"AL" => Wish::Always,
            b"ER" | b"SU" => Wish::Sometimes,
            _ => Wish::Never,
        };
        let original = field(15).is_empty() && field(16).is_empty();
        // An acknowledgement is not acknowledged.
        let is_ack = header.as_ref().is_some_and(|header| header.component(9, 1) == b"ACK");
        let application = match (is_ack, original) {
            (true, _) => Wish::Never,
            (false, true) => Wish::Always,
            (false, false) => wish(16),
        };
        let commit = if is_ack { Wish::Never } else { wish(15) };
        Self { control_id: String::from_utf8_lossy(field(10)).into_owned(), commit, application }
    }
}
