//! The broker for code in its own process.

use super::*;

#[test]
fn a_log_that_is_read_back() {
    let broker = broker();
    let log = broker.topic_log("_schemas").unwrap();
    assert!(log.read_all().unwrap().is_empty());
    assert_eq!(log.append(b"first", Some(b"1")).unwrap(), 0);
    assert_eq!(log.append(b"second", None).unwrap(), 1);
    assert_eq!(log.append(b"first", Some(b"2")).unwrap(), 2);
    let again = broker.topic_log("_schemas").unwrap();
    let records = again.read_all().unwrap();
    let records: Vec<_> = records.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
    let expected: [(&[u8], Option<&[u8]>); 3] = [(b"first", Some(b"1")), (b"second", None), (b"first", Some(b"2"))];
    assert_eq!(records, expected);
}

#[test]
fn a_log_longer_than_one_fetch() {
    let broker = broker();
    let log = broker.topic_log("long").unwrap();
    let value = vec![7; 500_000];
    for number in 0..20_u8 {
        log.append(&[number], Some(&value)).unwrap();
    }
    let records = log.read_all().unwrap();
    assert!(records.iter().map(|(key, _)| key[0]).eq(0..20));
}

#[test]
fn a_log_of_a_broker_that_has_stopped() {
    let broker = broker();
    let log = broker.topic_log("_schemas").unwrap();
    broker.stop();
    assert_eq!(log.append(b"key", None), Err(LocalError::Stopped));
    assert_eq!(log.read_all().unwrap_err(), LocalError::Stopped);
}

#[test]
fn from_asynchronous_code_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let broker = broker();
        assert_eq!(broker.topic_log("log").unwrap().append(b"key", None), Ok(0));
        broker.stop();
    });
}
