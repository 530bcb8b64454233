//! The least that an MLLP listener can do on this stack: the same sockets, framing and client of Kafka as the room, each message
//! one record as it came, and the acknowledgement once that is confirmed. What it reaches bounds what `bench mllp` can reach.

use super::contracts::info;
use crate::Failure;
use hl7v2::mllp::{AckCode, Decision, Decoder, Event, MAX_FRAME_BYTES, acknowledgements, encode};
use runtime::codec::Codec;
use runtime::outgoing::{Headers, Outgoing};
use runtime::publisher::Publisher;
use runtime::{Config, Shutdown, admin};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Topic of the messages.
const TOPIC: &str = "bench.mllp-floor.v1";
const READ_BYTES: usize = 64 * 1024;

/// Takes messages in until the stop is asked for.
pub async fn serve(config: &Config, listener: TcpListener, stop: Shutdown) -> Result<(), Failure> {
    let topic = Box::leak(Box::new(info(TOPIC.to_owned(), "", false)));
    admin::ensure_topics(&config.kafka, &[topic]).await.map_err(Failure::kafka)?;
    let codec = Codec::fixed(&[]).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let publisher = Publisher::connect(config, Arc::new(codec), &[]).await.map_err(Failure::kafka)?;
    let mut connections = 0_u32;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(|error| Failure::new(error, "raise the limit of files"))?.0,
            () = stop.wait() => return Ok(()),
        };
        connections += 1;
        let (publisher, key) = (publisher.clone(), connections.to_string());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, &publisher, key.as_bytes()).await {
                tracing::error!(%error, "connection lost");
            }
        });
    }
}

async fn connection(mut stream: TcpStream, publisher: &Publisher, key: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut decoder = Decoder::new(MAX_FRAME_BYTES);
    let (mut buffer, mut events) = (vec![0; READ_BYTES], Vec::new());
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(&buffer[..count], &mut events);
        for event in events.drain(..) {
            let Event::Frame(message) = event else { continue };
            let answers = acknowledgements(&message, Decision::Accept, &[], "", "20260101000000");
            let record = Outgoing {
                topic: Cow::Borrowed(TOPIC),
                partition: None,
                key: Some(key.to_vec().into()),
                value: Some(message.into()),
                headers: Headers::new(),
                ticket: None,
            };
            publisher.publish(&[record]).await.map_err(std::io::Error::other)?;
            for (_, answer) in answers.iter().filter(|(code, _)| matches!(code, AckCode::Aa | AckCode::Ca)) {
                stream.write_all(&encode(answer)).await?;
            }
        }
    }
}
