//! Where the store's layout has seams: checkpoints, full values of the index, commits of several blocks.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tminus::engine::journal::sled::{SledJournal, verify};
use tminus::engine::journal::{Journal, PAYLOAD_BYTES_MAX, ReadError};

use super::support::{ALL, add, append_to, bytes, content, copy_folder, open, open_raw, open_with, runtime, stream};

/// As many as one value of the index leads to, twice, and some more.
const RECORDS: u64 = 150;

#[test]
fn a_crash_around_a_checkpoint_loses_nothing() {
    let runtime = runtime();
    for checkpoint_commits in [1, 7, 64, 65] {
        let dir = TempDir::new().unwrap();
        let journal = open_with(dir.path(), checkpoint_commits).unwrap();
        for number in 0..RECORDS {
            runtime.block_on(add(&journal, "registry", &number.to_be_bytes())).unwrap();
            runtime.block_on(add(&journal, &format!("rollout/{}", number % 50), b"x")).unwrap();
            let commits = 2 * (number + 1);
            // Just before a checkpoint, with it, and just after it.
            if commits % checkpoint_commits.max(64) > 2 && commits < 2 * RECORDS {
                continue;
            }
            let copy = TempDir::new().unwrap();
            copy_folder(dir.path(), copy.path());
            let before = runtime.block_on(content(&journal));
            let crashed = open(copy.path()).unwrap();
            assert_eq!(runtime.block_on(content(&crashed)), before, "{commits} commits");
            runtime.block_on(add(&crashed, "registry", b"goes on")).unwrap();
            drop(crashed);
            assert_eq!(verify(copy.path()).unwrap().problems, Vec::<String>::new(), "{commits} commits");
        }
    }
}

#[test]
fn a_long_stream_is_read_from_anywhere_to_anywhere() {
    let dir = TempDir::new().unwrap();
    let runtime = runtime();
    let journal = open_with(dir.path(), 40).unwrap();
    for number in 0..RECORDS {
        runtime.block_on(add(&journal, "registry", &number.to_be_bytes())).unwrap();
    }
    // Its end is not in the index yet, and then, after a restart, all of it is.
    let check = |journal: &SledJournal| {
        for from in (1..=RECORDS + 1).step_by(3) {
            for limit in [1, 2, 64, 65, ALL] {
                let records = runtime.block_on(journal.read(&stream("registry"), from, limit)).unwrap();
                let last = RECORDS.min(from.saturating_add(limit as u64 - 1));
                let numbers: Vec<_> = records.iter().map(|record| record.sequence).collect();
                assert_eq!(numbers, (from..=last).collect::<Vec<_>>(), "{limit} from {from}");
                assert!(records.iter().all(|record| record.payload == (record.sequence - 1).to_be_bytes()));
            }
        }
    };
    check(&journal);
    drop(journal);
    check(&open(dir.path()).unwrap());
    assert_eq!(count_keys(dir.path(), b"i|registry|"), 2, "full values of the index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_while_checkpoints_are_written_misses_nothing() {
    let dir = TempDir::new().unwrap();
    let journal = Arc::new(open_with(dir.path(), 2).unwrap());
    let writing = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move {
            for number in 0..2 * RECORDS {
                add(&*journal, "registry", &number.to_be_bytes()).await.unwrap();
            }
        }
    });
    let mut reads = 0;
    while !writing.is_finished() {
        let before = journal.head(&stream("registry")).await.unwrap();
        let records = journal.read(&stream("registry"), 1, ALL).await.unwrap();
        assert!(records.len() as u64 >= before);
        reads += 1;
    }
    writing.await.unwrap();
    assert!(reads > 5, "{reads} reads");
}

#[tokio::test]
async fn a_commit_may_have_many_blocks() {
    let dir = TempDir::new().unwrap();
    let journal = open_with(dir.path(), 2).unwrap();
    let small: Vec<Vec<u8>> = (0..300).map(|number| bytes(1 + number * 7 % 900, number)).collect();
    let small: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
    let large = bytes(PAYLOAD_BYTES_MAX, 3);
    // Around what a block has room for.
    let block_bytes = 4 * 1024;
    let around: Vec<Vec<u8>> = (block_bytes - 150..block_bytes + 20).step_by(3).map(|size| bytes(size, size)).collect();
    let around: Vec<&[u8]> = around.iter().map(Vec::as_slice).collect();
    let appends = vec![
        append_to("registry", 0, &small),
        append_to("rollout/1", 0, &[b"before", &large, b"after"]),
        append_to("rollout/2", 0, &around),
        append_to("rollout/3", 0, &[b"x"]),
    ];
    journal.append(appends.clone(), 0).await.unwrap();
    let before = content(&journal).await;
    for (written, (name, found)) in appends.iter().zip(&before) {
        assert_eq!(written.stream, *name);
        let payloads = |sequence: usize| &written.records[sequence].payload;
        assert!(found.iter().enumerate().all(|(place, record)| record.payload == *payloads(place)));
        assert_eq!(found.len(), written.records.len());
        for from in [1, 2, 3, 40, 200] {
            let skipped = found.len().min(from - 1);
            let some = journal.read(name, from as u64, 3).await.unwrap();
            assert_eq!(some, found[skipped..found.len().min(skipped + 3)]);
        }
    }
    add(&journal, "rollout/1", b"more").await.unwrap();
    let before = content(&journal).await;
    let copy = TempDir::new().unwrap();
    copy_folder(dir.path(), copy.path());
    drop(journal);
    for dir in [dir.path(), copy.path()] {
        assert_eq!(verify(dir).unwrap().problems, Vec::<String>::new());
        assert_eq!(content(&open(dir).unwrap()).await, before);
    }
    let first_commit = [b"c|".as_slice(), &1_u64.to_be_bytes()].concat();
    assert!(count_keys(dir.path(), &first_commit) > 100);
}

#[test]
fn damage_to_the_index_is_found_and_named() {
    let runtime = runtime();
    let index_key = |name: &str, first: u64| [b"i|", name.as_bytes(), b"|", &first.to_be_bytes()].concat();
    let filled = TempDir::new().unwrap();
    let journal = open(filled.path()).unwrap();
    for number in 0..RECORDS {
        runtime.block_on(add(&journal, "registry", &number.to_be_bytes())).unwrap();
    }
    drop(journal);
    let damaged = |damage: &dyn Fn(&sled::Tree)| {
        let dir = TempDir::new().unwrap();
        copy_folder(filled.path(), dir.path());
        let db = open_raw(dir.path());
        damage(&db.open_tree("journal").unwrap());
        drop(db);
        dir
    };

    let dir = damaged(&|tree| drop(tree.remove(index_key("registry", 65)).unwrap()));
    let problems = verify(dir.path()).unwrap().problems;
    assert_eq!(problems, ["stream registry, sequences 65 to 128: the index does not lead there"]);
    let journal = open(dir.path()).unwrap();
    let read = |from, limit| runtime.block_on(journal.read(&stream("registry"), from, limit));
    assert!(matches!(read(1, ALL), Err(ReadError::Damaged { sequence: 65, .. })), "{:?}", read(1, ALL));
    assert!(matches!(read(100, 1), Err(ReadError::Damaged { sequence: 100, .. })), "{:?}", read(100, 1));
    assert_eq!(read(1, 64).unwrap().len(), 64);
    assert_eq!(read(129, ALL).unwrap().len(), 22);
    drop(journal);

    let dir = damaged(&|tree| {
        let value = tree.get(index_key("registry", 65)).unwrap().unwrap();
        tree.insert(index_key("registry", 1), value).unwrap();
    });
    let problems = verify(dir.path()).unwrap().problems;
    assert_eq!(
        problems,
        [
            "stream registry, index from 1: its checksum does not match",
            "stream registry, sequences 1 to 64: the index does not lead there",
        ]
    );

    let dir = damaged(&|tree| drop(tree.remove("h|registry").unwrap()));
    let problems = verify(dir.path()).unwrap().problems;
    assert_eq!(
        problems,
        [
            "stream registry: its head is at sequence 0, by the commits it was at 150",
            "stream registry, sequences 129 to 150: the index does not lead there",
        ]
    );

    let dir = damaged(&|tree| {
        let value = tree.get("h|registry").unwrap().unwrap();
        tree.insert("h|rollout/7", value).unwrap();
    });
    let problems = verify(dir.path()).unwrap().problems;
    assert_eq!(problems, ["stream rollout/7, head: its checksum does not match"]);
    assert!(open(dir.path()).err().unwrap().to_string().contains("rollout/7"));
}

fn count_keys(dir: &Path, prefix: &[u8]) -> usize {
    open_raw(dir).open_tree("journal").unwrap().scan_prefix(prefix).count()
}
