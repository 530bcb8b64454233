//! The listener over real sockets, with Kafka replaced by memory: answers, order, resends, failures, bounds, drain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use common::{Memory, Mood, charge, connect, intake, listen, merge};
use hl7v2::config::{DirectoryConfig, Hl7v2Config};
use hl7v2::mllp::{AckCode, encode};
use hl7v2::source::{Directory, Ledger};
use testkit::until;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

/// LOSS-1: no positive answer before the confirmation.
#[tokio::test]
async fn answers_only_what_is_confirmed() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    client.write(&encode(&charge("1", "p"))).await.unwrap();
    running.memory.until(|ids| ids.len() == 1).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), client.read_frame()).await.is_err());
    running.memory.set("1", Mood::Confirm);
    assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AA|1\r"));
    let batch = &running.memory.batches()[0];
    assert_eq!((batch.events.len(), batch.receipt.ack_code.as_deref()), (1, Some("AA")));
    assert_eq!(batch.receipt.event_ids, [batch.events[0].id()]);
}

/// LOSS-1: a negative answer never loses the message: the resend is taken.
#[tokio::test]
async fn a_failure_is_answered_with_207_and_the_resend_is_taken() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Refuse);
    let mut client = connect(&running).await;
    let refused = client.send(&charge("1", "p")).await.unwrap();
    assert_eq!(refused.code, Some(AckCode::Ae));
    assert!(refused.error.unwrap().contains("207"));
    running.memory.set("1", Mood::Confirm);
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    let batches = running.memory.batches();
    assert_eq!(batches[0].receipt.event_ids, batches[1].receipt.event_ids);
}

/// LOSS-1: when the confirmation was lost although the event is there, the resend publishes only what is missing.
#[tokio::test]
async fn a_resend_after_a_lost_confirmation_publishes_no_second_event() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Lose);
    let mut client = connect(&running).await;
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Ae));
    // Still lost: the second try finds the event and tries the receipt alone.
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Ae));
    running.memory.set("1", Mood::Confirm);
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    let events: Vec<usize> = running.memory.batches().iter().map(|batch| batch.events.len()).collect();
    assert_eq!(events, [1, 0, 0]);
    assert!(running.ledger.len() == 1);
}

/// A message that is still under way is not published beside itself: its resend waits for it.
#[tokio::test]
async fn a_resend_waits_for_the_message_that_is_under_way() {
    let running = listen(|config| config.limits.confirm_ms = 200).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Ae));
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Ae));
    running.memory.set("1", Mood::Confirm);
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    assert_eq!(running.memory.ids(), ["1"]);
}

#[tokio::test]
async fn a_resend_gets_the_same_answer_and_no_event() {
    let running = listen(|_| {}).await;
    let mut client = connect(&running).await;
    let first = client.send(&charge("1", "p")).await.unwrap();
    let again = connect(&running).await.send(&charge("1", "p")).await.unwrap();
    assert_eq!(first.raw, again.raw);
    assert_eq!(running.memory.ids(), ["1"]);
    // The same control id with other bytes is another message, published with a warning.
    let other = String::from_utf8(charge("1", "p")).unwrap().replace("Gauze", "Tape");
    assert_eq!(client.send(other.as_bytes()).await.unwrap().code, Some(AckCode::Aa));
    let batches = running.memory.batches();
    assert_eq!(batches.len(), 2);
    assert!(format!("{:?}", batches[1].events).contains("WL-1019"));
    assert!(!format!("{:?}", batches[0].events).contains("WL-1019"));
}

/// ORD-1, KEY-1: patients in parallel, each in order, across one pipelined connection; answers in the order of the messages.
#[tokio::test]
async fn patients_do_not_wait_for_each_other_and_answers_keep_their_order() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    for (id, patient) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "c")] {
        client.write(&encode(&charge(id, patient))).await.unwrap();
    }
    running.memory.until(|ids| ids.contains(&"3".to_owned()) && ids.contains(&"4".to_owned())).await;
    assert!(!running.memory.ids().contains(&"2".to_owned()), "the second message of a patient overtook the first");
    running.memory.set("1", Mood::Confirm);
    for id in ["1", "2", "3", "4"] {
        let answer = String::from_utf8(client.read_frame().await.unwrap()).unwrap();
        assert!(answer.contains(&format!("MSA|AA|{id}\r")), "{answer}");
    }
}

/// ORD-1: a merge takes effect behind the messages of both patients, before the later ones of both, and keeps no other waiting.
#[tokio::test]
async fn a_merge_holds_both_patients() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    client.write(&encode(&charge("1", "prior"))).await.unwrap();
    client.write(&encode(&charge("2", "survivor"))).await.unwrap();
    client.write(&encode(&merge("3", "survivor", "prior"))).await.unwrap();
    for (id, patient) in [("4", "prior"), ("5", "survivor"), ("6", "other")] {
        client.write(&encode(&charge(id, patient))).await.unwrap();
    }
    running.memory.until(|ids| ids.contains(&"2".to_owned()) && ids.contains(&"6".to_owned())).await;
    let early = running.memory.ids();
    assert!(!["3", "4", "5"].iter().any(|id| early.contains(&(*id).to_owned())), "{early:?}");
    running.memory.set("3", Mood::Hold);
    running.memory.set("1", Mood::Confirm);
    running.memory.until(|ids| ids.contains(&"3".to_owned())).await;
    assert_eq!(running.memory.ids().len(), 4, "the merge is under way and both patients wait for it");
    running.memory.set("3", Mood::Confirm);
    for id in ["1", "2", "3", "4", "5", "6"] {
        let answer = String::from_utf8(client.read_frame().await.unwrap()).unwrap();
        assert!(answer.contains(&format!("MSA|AA|{id}\r")), "{answer}");
    }
}

/// Messages of one patient on two connections have no order: neither waits for the other. The same message does.
#[tokio::test]
async fn connections_do_not_wait_for_each_other_but_a_resend_waits_for_its_first() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let (mut first, mut second, mut third) =
        (connect(&running).await, connect(&running).await, connect(&running).await);
    first.write(&encode(&charge("1", "a"))).await.unwrap();
    running.memory.until(|ids| ids.len() == 1).await;
    assert_eq!(second.send(&charge("2", "a")).await.unwrap().code, Some(AckCode::Aa));
    third.write(&encode(&charge("1", "a"))).await.unwrap();
    assert_eq!(second.send(&charge("3", "a")).await.unwrap().code, Some(AckCode::Aa));
    running.memory.set("1", Mood::Confirm);
    for client in [&mut first, &mut third] {
        assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AA|1\r"));
    }
    assert_eq!(running.memory.ids(), ["1", "2", "3"]);
}

/// ORD-1: when a message fails, those of the patient behind it fail too, so that the sender repeats them in order.
#[tokio::test]
async fn a_failure_takes_later_messages_of_the_patient_with_it() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    for (id, patient) in [("1", "a"), ("2", "a"), ("3", "b")] {
        client.write(&encode(&charge(id, patient))).await.unwrap();
    }
    running.memory.until(|ids| ids.contains(&"3".to_owned())).await;
    running.memory.set("1", Mood::Refuse);
    for expected in ["AE|1", "AE|2", "AA|3"] {
        let answer = String::from_utf8(client.read_frame().await.unwrap()).unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    assert!(!running.memory.ids().contains(&"2".to_owned()));
    running.memory.set("1", Mood::Confirm);
    let (answers, error) = client.send_all(&[charge("1", "a"), charge("2", "a")], 2).await;
    assert!(error.is_none());
    assert!(answers.iter().all(|answer| answer.code == Some(AckCode::Aa)));
}

/// A confirmation that comes too late is an AE first; the repeated message is then known.
#[tokio::test]
async fn a_late_confirmation_makes_the_repeated_message_a_resend() {
    let running = listen(|config| config.limits.confirm_ms = 20).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Ae));
    running.memory.set("1", Mood::Confirm);
    until("the late confirmation", || !running.ledger.is_empty()).await;
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    assert_eq!(running.memory.ids(), ["1"]);
}

#[tokio::test]
async fn pipelines_many_messages() {
    let running = listen(|_| {}).await;
    let mut client = connect(&running).await;
    let messages: Vec<_> = (0..2_000).map(|number| charge(&number.to_string(), &(number % 50).to_string())).collect();
    let (answers, error) = client.send_all(&messages, 64).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(answers.len(), 2_000);
    assert!(answers.iter().enumerate().all(|(number, answer)| answer.control_id == number.to_string()));
    assert_eq!(running.memory.ids().len(), 2_000);
}

/// RAW-1: bytes that are no message are kept, and the connection goes on.
#[tokio::test]
async fn keeps_cut_oversize_and_foreign_frames_as_dead_letters() {
    let running = listen(|config| config.limits.frame_bytes_max = 2_000).await;
    let mut client = connect(&running).await;
    client.write(b"noise\x0bMSH|^~\\&|cut").await.unwrap();
    client.write(&encode(b"hello")).await.unwrap();
    assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AR|"));
    client.write(&encode(&[b"MSH|^~\\&|big|".as_slice(), &[b'x'; 3_000]].concat())).await.unwrap();
    assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AR|"));
    assert_eq!(client.send(&charge("1", "p")).await.unwrap().code, Some(AckCode::Aa));
    let batches = running.memory.batches();
    let codes: Vec<_> = batches
        .iter()
        .flat_map(|batch| &batch.dead_letters)
        .map(|letter| letter.headers.iter().find(|(name, _)| *name == "wl_code").unwrap().1.clone())
        .collect();
    assert_eq!(codes, ["WL-1020", "WL-1001", "WL-1021"]);
    assert_eq!(batches[0].dead_letters[0].bytes, b"MSH|^~\\&|cut");
    assert_eq!(batches[1].dead_letters[0].bytes, b"hello");
}

/// RAW-1: an exception holds the bytes, also those that are not text.
#[tokio::test]
async fn an_undecodable_message_is_an_exception_with_its_bytes() {
    let running = listen(|_| {}).await;
    let raw = b"MSH|^~\\&|A|F|||2026||ADT^A08|9|P|2.5.1||||||UNICODE UTF-8\rPID|1||7||M\xfcller\r";
    let ack = connect(&running).await.send(raw).await.unwrap();
    assert_eq!(ack.code, Some(AckCode::Ae));
    let batches = running.memory.batches();
    let exception = batches[0].exception.as_ref().unwrap();
    assert_eq!(exception.raw_value.as_ref().unwrap().as_slice(), raw);
    assert_eq!(exception.code, "WL-1005");
}

#[tokio::test]
async fn a_message_too_large_for_one_record_is_kept_in_parts() {
    let running = listen(|_| {}).await;
    let mut raw = b"MSH|^~\\&|A|F|||2026||ADT^A08|9|P|2.5.1\rNTE|1||".to_vec();
    raw.resize(2_000_000, b'x');
    assert_eq!(connect(&running).await.send(&raw).await.unwrap().code, Some(AckCode::Ae));
    let batches = running.memory.batches();
    let kept: Vec<u8> = batches[0].dead_letters.iter().flat_map(|letter| letter.bytes.clone()).collect();
    assert!(kept == raw && batches[0].exception.as_ref().unwrap().raw_value.is_none());
}

#[tokio::test]
async fn answers_a_batch_in_one_frame_as_a_batch() {
    let running = listen(|_| {}).await;
    let mut client = connect(&running).await;
    let batch = [b"BHS|^~\\&|A\r".as_slice(), &charge("1", "a"), &charge("2", "b"), b"BTS|2\r"].concat();
    client.write(&encode(&batch)).await.unwrap();
    let answer = String::from_utf8(client.read_frame().await.unwrap()).unwrap();
    assert!(answer.starts_with("BHS|^~\\&\rMSH|") && answer.ends_with("BTS|2\r"), "{answer}");
    assert!(answer.contains("MSA|AA|1\r") && answer.contains("MSA|AA|2\r"));
}

#[tokio::test]
async fn a_frame_without_final_cr_is_answered() {
    let running = listen(|config| config.limits.final_cr_ms = 20).await;
    let mut client = connect(&running).await;
    let mut frame = encode(&charge("1", "p"));
    frame.pop();
    client.write(&frame).await.unwrap();
    assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AA|1"));
}

#[tokio::test]
async fn a_frame_that_stops_growing_is_cut() {
    let running = listen(|config| config.limits.frame_idle_ms = 20).await;
    let mut client = connect(&running).await;
    client.write(b"\x0bMSH|^~\\&|slow").await.unwrap();
    running.memory.until(|ids| ids.len() == 1).await;
    assert!(client.read_frame().await.is_err());
}

/// BND-1: a sender that never takes its answers loses its connection, and nothing of what it sent; others do not notice.
#[tokio::test]
async fn who_never_takes_its_answers_loses_its_connection() {
    let running = listen(|config| config.limits.answer_idle_ms = 200).await;
    let socket = TcpSocket::new_v4().unwrap();
    // What the system holds for it without its help is little, so that it comes to light soon.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = socket.connect(running.address.parse().unwrap()).await.unwrap();
    let mut sent = 0;
    let refused = loop {
        let message = encode(&charge(&sent.to_string(), &format!("p{sent}")));
        let written = tokio::time::timeout(Duration::from_secs(60), deaf.write_all(&message)).await;
        if let Err(error) = written.expect("it is held for ever") {
            break error;
        }
        sent += 1;
        assert!(sent < 1_000_000, "it takes in without end what is never taken out");
    };
    assert!(matches!(refused.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{refused}");
    assert_eq!(connect(&running).await.send(&charge("other", "q")).await.unwrap().code, Some(AckCode::Aa));
    let ids = running.memory.ids();
    let again = connect(&running).await.send(&charge("0", "p0")).await.unwrap();
    assert_eq!((again.code, running.memory.ids()), (Some(AckCode::Aa), ids));
}

/// What is read before the stop is answered; what comes later is not taken.
#[tokio::test]
async fn drains_when_it_is_stopped() {
    let running = listen(|_| {}).await;
    running.memory.set("1", Mood::Hold);
    let mut client = connect(&running).await;
    client.write(&encode(&charge("1", "p"))).await.unwrap();
    running.memory.until(|ids| ids.len() == 1).await;
    running.trigger.stop();
    running.memory.set("1", Mood::Confirm);
    assert!(String::from_utf8(client.read_frame().await.unwrap()).unwrap().contains("MSA|AA|1"));
    running.serving.await.unwrap();
    assert!(client.send(&charge("2", "p")).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let running = listen(|config| config.limits.connections_max = 1).await;
    let mut first = connect(&running).await;
    assert_eq!(first.send(&charge("1", "a")).await.unwrap().code, Some(AckCode::Aa));
    let mut second = connect(&running).await;
    second.write(&encode(&charge("2", "b"))).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), second.read_frame()).await.is_err());
    first.close().await.unwrap();
    assert!(String::from_utf8(second.read_frame().await.unwrap()).unwrap().contains("MSA|AA|2"));
}

#[tokio::test]
async fn publishes_files_and_moves_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::write(path.join("good.hl7"), [charge("1", "a"), charge("2", "b")].concat()).unwrap();
    std::fs::write(path.join("bad.hl7"), b"no message").unwrap();
    std::fs::write(path.join("half.hl7.tmp"), b"MSH|").unwrap();
    let memory = Memory::new();
    let config = DirectoryConfig { path: path.clone(), poll_ms: 10, max_file_bytes: 1_000_000 };
    let directory =
        Directory::open(config, intake(&Hl7v2Config::default(), &memory, &Arc::new(Ledger::new(1_000))), 1_000_000)
            .unwrap();
    let (trigger, stop) = runtime::shutdown();
    memory.set("2", Mood::Refuse);
    let running = tokio::spawn(directory.run(stop));
    memory.until(|ids| ids.iter().filter(|id| *id == "2").count() >= 2).await;
    assert!(path.join("good.hl7").exists(), "moved although not confirmed");
    memory.set("2", Mood::Confirm);
    until("both files moved", || path.join("done/good.hl7").exists() && path.join("failed/bad.hl7").exists()).await;
    trigger.stop();
    running.await.unwrap();
    assert_eq!(memory.ids().iter().filter(|id| *id == "1").count(), 1, "a known message was published again");
    assert!(path.join("half.hl7.tmp").exists());
}
