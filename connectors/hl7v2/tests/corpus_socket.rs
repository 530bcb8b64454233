//! Every file of the corpus over a socket: the right answer for each message, and everything in it kept somewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{connect, listen};
use hl7v2::mllp::{AckCode, MAX_FRAME_BYTES, encode, read_ack};
use hl7v2::parser::{PieceKind, split};
use schemas::ReceiptOutcome;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn corpus(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&testkit::corpus().join(below), &mut found);
    found
}

#[tokio::test]
async fn every_message_is_answered_and_accounted_for() {
    let files = corpus("hl7v2");
    let running = listen(|_| {}).await;
    let mut client = connect(&running).await;
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        for piece in split(&bytes, MAX_FRAME_BYTES).iter().filter(|piece| piece.kind != PieceKind::Empty) {
            let before = running.memory.ids().len();
            let ack = client.send(&piece.bytes).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if ack.code.is_none() {
                // Nothing tells the sender when an unanswered message is settled; a resend of one settles nothing.
                let settled = running.memory.until(|ids| ids.len() > before);
                let _ = tokio::time::timeout(Duration::from_secs(2), settled).await;
            }
            let Some(batch) = running.memory.batches().get(before).cloned() else {
                // The corpus holds a few messages twice: a resend is answered and not published.
                continue;
            };
            let (receipt, name) = (&batch.receipt, path.display());
            match receipt.outcome {
                ReceiptOutcome::Events => assert!(!batch.events.is_empty(), "{name}"),
                ReceiptOutcome::Dropped => assert!(receipt.rule.is_some(), "{name}"),
                ReceiptOutcome::Exception => {
                    assert_eq!(batch.exception.unwrap().raw_value.unwrap().as_slice(), piece.bytes.as_ref(), "{name}");
                }
                ReceiptOutcome::DeadLetter => assert_eq!(batch.dead_letters[0].bytes, piece.bytes.as_ref(), "{name}"),
                ReceiptOutcome::Unknown => panic!("{name} has no outcome"),
            }
            assert_eq!(ack.commit.or(ack.code).map(AckCode::name), receipt.ack_code.as_deref(), "{name}");
        }
    }
    assert!(running.memory.ids().len() >= 300, "{}", running.memory.ids().len());
}

#[tokio::test]
async fn raw_streams_are_answered_frame_by_frame() {
    let files = corpus("mllp");
    for path in files {
        let running = listen(|config| config.limits.final_cr_ms = 50).await;
        let mut client = connect(&running).await;
        let bytes = std::fs::read(&path).unwrap();
        // One byte at a time, as slow networks do.
        for byte in &bytes {
            client.write(std::slice::from_ref(byte)).await.unwrap();
        }
        let frames = split(&bytes, MAX_FRAME_BYTES).len();
        for _ in 0..frames {
            let (code, control_id, _) = read_ack(&client.read_frame().await.unwrap()).unwrap();
            assert!(code == AckCode::Ae && control_id.starts_with('M'), "{}", path.display());
        }
        assert_eq!(running.memory.ids().len(), frames, "{}", path.display());
    }
}

/// A whole file in one frame is answered as a batch, and no message of it is lost.
#[tokio::test]
async fn a_batch_file_in_one_frame_is_taken_whole() {
    let files = corpus("hl7v2");
    let running = listen(|_| {}).await;
    let mut client = connect(&running).await;
    let path = files.into_iter().find(|path| path.ends_with("authored/nasty-batch-fhs-bhs.hl7")).unwrap();
    client.write(&encode(&std::fs::read(path).unwrap())).await.unwrap();
    let answer = String::from_utf8(client.read_frame().await.unwrap()).unwrap();
    assert_eq!(answer.matches("MSA|AA|").count(), 3, "{answer}");
    assert_eq!(running.memory.batches().iter().map(|batch| batch.events.len()).sum::<usize>(), 3);
}
