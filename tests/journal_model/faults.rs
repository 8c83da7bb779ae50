//! Trouble that a journal reports: ordered in memory, provoked on the disk.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use tminus::engine::journal::memory::{Fault, MemoryJournal};
use tminus::engine::journal::{AppendError, Journal};

use super::support::{ALL, add, append_to, content, open, stream};

#[tokio::test]
async fn a_second_writer_is_another_clone() {
    let first = Arc::new(MemoryJournal::new());
    let second = Arc::clone(&first);
    add(&*second, "registry", b"theirs").await.unwrap();
    let result = first.append(vec![append_to("registry", 0, &[b"ours"])], 0).await;
    let conflict = AppendError::Conflict { stream: stream("registry"), actual: 1 };
    assert_eq!(result, Err(conflict));
}

#[tokio::test]
async fn unknown_is_resolved_by_looking_at_the_tail() {
    let journal = MemoryJournal::new();
    journal.fail_next(Fault::UnknownWritten);
    journal.fail_next(Fault::UnknownNotWritten);
    for (payload, is_written) in [(b"one", true), (b"two", false)] {
        let before = journal.head(&stream("registry")).await.unwrap();
        let result = add(&journal, "registry", payload).await;
        assert!(matches!(result, Err(AppendError::Unknown(_))));
        let tail = journal.read(&stream("registry"), before + 1, ALL).await.unwrap();
        assert_eq!(tail.len(), usize::from(is_written));
    }
    add(&journal, "registry", b"three").await.unwrap();
}

#[tokio::test]
async fn poison_stays_until_a_restart() {
    let journal = MemoryJournal::new();
    add(&journal, "registry", b"one").await.unwrap();
    journal.fail_next(Fault::Poisoned);
    for _ in 0..2 {
        let result = add(&journal, "registry", b"two").await;
        assert!(matches!(result, Err(AppendError::Poisoned(_))));
    }
    assert_eq!(content(&journal).await[0].1.len(), 1);
    journal.restart();
    add(&journal, "registry", b"two").await.unwrap();
}

#[tokio::test]
async fn a_refused_append_uses_no_fault_up() {
    let journal = MemoryJournal::new();
    journal.fail_next(Fault::UnknownWritten);
    let result = journal.append(vec![append_to("registry", 5, &[b"x"])], 0).await;
    assert!(matches!(result, Err(AppendError::Conflict { .. })));
    let result = add(&journal, "registry", b"x").await;
    assert!(matches!(result, Err(AppendError::Unknown(_))));
}

#[tokio::test]
async fn a_commit_that_cannot_be_trusted_poisons_the_store() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    add(&journal, "registry", b"one").await.unwrap();
    // As if the store had spilled a value to a file, which it would never sync.
    let spilled = dir.path().join("blobs").join("1");
    fs::write(&spilled, b"x").unwrap();
    for _ in 0..2 {
        let result = add(&journal, "registry", b"two").await;
        assert!(matches!(&result, Err(AppendError::Poisoned(why)) if why.contains("blobs")), "{result:?}");
    }
    assert!(journal.poison().is_some());
    // What was durable before can still be read, and only that.
    assert_eq!(content(&journal).await[0].1.len(), 1);
    assert_eq!(*journal.follow().borrow(), 1);
    drop(journal);

    let refused = open(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("blobs"), "{refused}");
    fs::remove_file(spilled).unwrap();
    let journal = open(dir.path()).unwrap();
    let records = journal.read(&stream("registry"), 1, ALL).await.unwrap();
    assert_eq!(records.len(), 2, "only a restart says that it had been written");
    add(&journal, "registry", b"three").await.unwrap();
}

#[tokio::test]
async fn a_closed_journal_reads_but_does_not_accept() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    add(&journal, "registry", b"one").await.unwrap();
    journal.close();
    journal.close();
    let result = add(&journal, "registry", b"two").await;
    assert!(matches!(result, Err(AppendError::Poisoned(_))));
    assert_eq!(content(&journal).await[0].1.len(), 1);
}
