//! What is large, and what is too large.

use std::fs;

use tempfile::TempDir;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::sled::verify;
use tminus::engine::journal::{
    APPEND_BYTES_MAX, APPEND_RECORDS_MAX, Append, AppendError, Journal, NewRecord, PAYLOAD_BYTES_MAX, RECORD_ID_BYTES_MAX,
};

use super::support::{ALL, append_to, bytes, content, open, stream};

#[tokio::test]
async fn the_largest_payloads_make_no_files_of_their_own() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    let large = bytes(PAYLOAD_BYTES_MAX, 0);
    // Around the size at which a value is cut, where off-by-ones live.
    let piece_bytes = 32 * 1024;
    let around: Vec<Vec<u8>> = (piece_bytes - 80..piece_bytes + 8).map(|size| vec![9; size]).collect();
    let around: Vec<&[u8]> = around.iter().map(Vec::as_slice).collect();
    journal.append(vec![append_to("registry", 0, &[&large, b"small", &large])], 0).await.unwrap();
    journal.append(vec![append_to("rollout/1", 0, &around)], 0).await.unwrap();
    // The largest append there can be; ids count too.
    let almost = &large[..PAYLOAD_BYTES_MAX - 100];
    assert_eq!(APPEND_BYTES_MAX / PAYLOAD_BYTES_MAX, 8);
    journal.append(vec![append_to("rollout/2", 0, &[almost; 8])], 0).await.unwrap();

    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    let before = content(&journal).await;
    assert_eq!(before[0].1[2].payload, large);
    assert_eq!(journal.read(&stream("registry"), 3, ALL).await.unwrap().len(), 1);
    drop(journal);
    assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
    assert_eq!(content(&open(dir.path()).unwrap()).await, before);
}

#[tokio::test]
async fn one_append_of_the_most_records() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    journal.append(vec![append_to("registry", 0, &[b"x".as_slice(); APPEND_RECORDS_MAX])], 0).await.unwrap();
    assert_eq!(journal.head(&stream("registry")).await, Ok(APPEND_RECORDS_MAX as u64));
}

#[tokio::test]
async fn one_commit_of_the_most_streams() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    let name = |number: usize| format!("rollout/{number:0>112}");
    let appends: Vec<Append> = (0..APPEND_RECORDS_MAX).map(|number| append_to(&name(number), 0, &[b"x"])).collect();
    for round in 0..20 {
        let appends = appends.iter().cloned().map(|append| Append { expected: round, ..append }).collect();
        journal.append(appends, 0).await.unwrap();
    }
    drop(journal);
    assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
    let journal = open(dir.path()).unwrap();
    assert_eq!(*journal.follow().borrow(), 20);
    assert_eq!(journal.streams("").await.unwrap().len(), APPEND_RECORDS_MAX);
}

#[tokio::test]
async fn what_is_impossible_is_refused_alike_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let sled = open(dir.path()).unwrap();
    let memory = MemoryJournal::new();
    let with_record = |record: NewRecord| vec![Append { stream: stream("registry"), expected: 0, records: vec![record] }];
    let megabyte = vec![0; PAYLOAD_BYTES_MAX];
    let impossible = [
        ("nothing", vec![]),
        ("no records", vec![append_to("registry", 0, &[])]),
        ("a stream twice", vec![append_to("registry", 0, &[b"one"]), append_to("registry", 1, &[b"two"])]),
        ("a payload", with_record(NewRecord { id: "a".to_owned(), payload: vec![0; PAYLOAD_BYTES_MAX + 1] })),
        ("an id", with_record(NewRecord { id: "a".repeat(RECORD_ID_BYTES_MAX + 1), payload: vec![] })),
        ("no id", with_record(NewRecord { id: String::new(), payload: vec![] })),
        ("too many records", vec![append_to("registry", 0, &[b"".as_slice(); APPEND_RECORDS_MAX + 1])]),
        ("too many bytes", vec![append_to("registry", 0, &[megabyte.as_slice(); 8])]),
    ];
    for (what, appends) in impossible {
        for journal in [&sled as &dyn Journal, &memory] {
            let result = journal.append(appends.clone(), 0).await;
            assert!(matches!(result, Err(AppendError::Invalid(_))), "{what}: {result:?}");
            assert_eq!(journal.streams("").await, Ok(vec![]));
            assert_eq!(*journal.follow().borrow(), 0);
        }
    }
}
