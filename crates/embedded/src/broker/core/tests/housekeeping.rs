use super::*;

fn small_segments() -> Bench {
    let options = CoreOptions { segment_bytes: 300, ..CoreOptions::default() };
    Bench::over(MemoryStorage::new(), options)
}

fn put(bench: &mut Bench, key: &str, value: Option<&str>, compression: Compression) {
    let records = batch_of(NOBODY, &[(Some(key), value)], bench.now_ms, compression);
    assert_eq!(bench.produce_raw("t", None, records).error_code, 0);
}

fn wait(bench: &mut Bench, ms: i64) {
    bench.now_ms += ms;
    bench.core.tick(bench.now_ms);
}

#[test]
fn old_segments_go_and_young_ones_stay() {
    let mut bench = small_segments();
    bench.create("t", 1, &[("retention.ms", "10000")]);
    for n in 0..20 {
        bench.produce("t", &[&format!("{n:0>60}")]);
    }
    wait(&mut bench, 10_000);
    assert_eq!(bench.values("t", false).len(), 20);
    bench.produce("t", &["young"]);
    wait(&mut bench, 5_000);
    assert_eq!(bench.offset("t", -2, false) % 2, 0, "only whole segments go");
    assert_eq!(bench.values("t", false).last().unwrap(), "young");
    assert!(bench.values("t", false).len() < 4);
    let before = bench.values("t", false);
    bench.restart();
    assert_eq!(bench.values("t", false), before);
    wait(&mut bench, 30_000);
    assert!(bench.values("t", false).is_empty(), "the last segment goes when all of it is old");
    assert_eq!(bench.produce("t", &["next"]), (0, 21));
}

#[test]
fn a_log_keeps_to_its_size() {
    let mut bench = small_segments();
    bench.create("t", 1, &[("retention.bytes", "1000")]);
    for n in 0..50 {
        bench.produce("t", &[&format!("{n:0>60}")]);
        wait(&mut bench, 5_000);
        let size = bench.core.registry.partition("t", 0).unwrap().log.size();
        assert!(size < 1_600, "{size}");
    }
    assert!(bench.values("t", false).len() > 4);
}

#[test]
fn an_open_transaction_holds_retention_back_but_not_for_ever() {
    let mut bench = small_segments();
    bench.create("t", 1, &[("retention.ms", "1")]);
    let writer = Writer { id: 77, epoch: 0, sequence: 0, transactional: true };
    let header = batch(writer, &["open"], bench.now_ms);
    let parsed = super::super::super::storage::BatchHeader::parse(&header).unwrap();
    let settings = bench.core.registry.get("t").unwrap().settings.clone();
    let core = &mut bench.core;
    let partition = core.registry.partition_mut("t", 0).unwrap();
    partition.place(&mut *core.storage, &parsed, &header, &settings, None, bench.now_ms).unwrap();
    for n in 0..20 {
        bench.produce("t", &[&format!("{n:0>60}")]);
    }
    wait(&mut bench, 100_000);
    assert_eq!(bench.offset("t", -2, false), 0);
}

#[test]
fn the_newest_record_of_every_key_stays() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let mut bench = small_segments();
        bench.create("t", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "20000")]);
        let without_key = bench.produce_raw("t", None, batch(NOBODY, &["x"], 1));
        assert_ne!(without_key.error_code, 0);
        for n in 0..40 {
            put(&mut bench, &format!("k{}", n % 4), Some(&format!("v{n}")), compression);
        }
        put(&mut bench, "k3", None, compression);
        for n in 0..6 {
            put(&mut bench, "other", Some(&format!("o{n}")), compression);
        }
        let end = bench.offset("t", -1, false);
        let before = bench.core.registry.partition("t", 0).unwrap().log.size();
        wait(&mut bench, 5_000);
        assert!(bench.core.registry.partition("t", 0).unwrap().log.size() < before / 2);
        for _ in 0..2 {
            let values = bench.values("t", false);
            assert!(values.starts_with(&["v36", "v37", "v38", ""].map(str::to_owned)), "{values:?}");
            assert_eq!(values.last().unwrap(), "o5");
            assert_eq!(bench.offset("t", -1, false), end);
            bench.restart();
        }
        // A later pass takes the tombstone, once it has stood for long enough.
        wait(&mut bench, 20_000);
        for n in 0..40 {
            put(&mut bench, "other", Some(&format!("p{n}")), compression);
        }
        wait(&mut bench, 5_000);
        let values = bench.values("t", false);
        assert!(values.starts_with(&["v36", "v37", "v38"].map(str::to_owned)), "{values:?}");
        assert!(!values.contains(&String::new()), "{values:?}");
        assert_eq!(values.last().unwrap(), "p39");
    }
}

#[test]
fn compaction_killed_at_any_step_loses_nothing() {
    let mut bench = small_segments();
    bench.create("t", 1, &[("cleanup.policy", "compact")]);
    for n in 0..30 {
        put(&mut bench, &format!("k{}", n % 4), Some(&format!("v{n}")), Compression::None);
    }
    let whole = bench.storage.copy();
    let newest = |values: &[String]| -> std::collections::BTreeSet<String> {
        values.iter().filter(|value| ["v26", "v27", "v28", "v29"].contains(&value.as_str())).cloned().collect()
    };
    let mut kills = 0;
    for bytes in 0..3_000 {
        let storage = whole.copy();
        let mut killed = Bench::over(storage.clone(), bench.core.options.clone());
        storage.kill_after(bytes);
        wait(&mut killed, 5_000);
        let died = storage.is_dead();
        kills += u32::from(died);
        killed.restart();
        let values = killed.values("t", false);
        assert_eq!(newest(&values).len(), 4, "after {bytes} bytes: {values:?}");
        assert_eq!(killed.offset("t", -1, false), 30);
        wait(&mut killed, 10_000);
        assert_eq!(newest(&killed.values("t", false)).len(), 4);
        if !died {
            break;
        }
    }
    assert!(kills > 100);
}
