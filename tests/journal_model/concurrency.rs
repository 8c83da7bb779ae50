//! Many writers at once: everything acknowledged is there, once, and they share their syncs.

use std::sync::Arc;

use tempfile::TempDir;
use tminus::engine::journal::sled::{SledJournal, verify};
use tminus::engine::journal::{Append, AppendError, Journal, NewRecord};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::support::{ALL, add, append_to, open, stream};

const WRITERS: usize = 256;
const APPENDS_EACH: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_wait_share_commits() {
    let dir = TempDir::new().unwrap();
    let journal = Arc::new(open(dir.path()).unwrap());
    let start = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let journal = Arc::clone(&journal);
        let start = Arc::clone(&start);
        writers.spawn(async move {
            start.wait().await;
            let name = format!("rollout/{number}");
            for expected in 0..APPENDS_EACH {
                let append = append_to(&name, expected, &[name.as_bytes()]);
                journal.append(vec![append], 0).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }

    let appends = WRITERS as u64 * APPENDS_EACH;
    let commits = *journal.follow().borrow();
    assert!(commits < appends / 2, "{appends} appends took {commits} commits");
    for number in 0..WRITERS {
        let name = format!("rollout/{number}");
        let records = journal.read(&stream(&name), 1, ALL).await.unwrap();
        assert_eq!(records.len() as u64, APPENDS_EACH);
        assert!(records.iter().all(|record| record.payload == name.as_bytes()));
    }
    close(journal);
    assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_stream_catch_up_and_try_again() {
    let dir = TempDir::new().unwrap();
    let journal = Arc::new(open(dir.path()).unwrap());
    let mut writers = JoinSet::new();
    for number in 0..16 {
        let journal = Arc::clone(&journal);
        writers.spawn(async move {
            for round in 0..APPENDS_EACH {
                let payload = format!("{number}/{round}");
                while let Err(error) = add(&*journal, "registry", payload.as_bytes()).await {
                    assert!(matches!(error, AppendError::Conflict { .. }), "{error}");
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let records = journal.read(&stream("registry"), 1, ALL).await.unwrap();
    let mut payloads: Vec<_> = records.into_iter().map(|record| record.payload).collect();
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len() as u64, 16 * APPENDS_EACH);
}

#[tokio::test]
async fn of_two_that_expect_the_same_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    // Polled one after the other before the writer answers either: usually one commit sees both.
    let both_streams = |payload: &[u8]| vec![append_to("registry", 0, &[payload]), append_to("rollout/1", 0, &[payload])];
    let (first, second) = tokio::join!(journal.append(both_streams(b"first"), 0), journal.append(both_streams(b"second"), 0));
    let conflict = AppendError::Conflict { stream: stream("registry"), actual: 1 };
    assert_eq!((first, second), (Ok(()), Err(conflict)));
    for name in ["registry", "rollout/1"] {
        let records = journal.read(&stream(name), 1, ALL).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].payload, b"first");
    }
}

#[tokio::test]
async fn appends_that_follow_each_other_need_not_wait_for_each_other() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    let (first, second) = tokio::join!(
        journal.append(vec![append_to("registry", 0, &[b"one"])], 0),
        journal.append(vec![append_to("registry", 1, &[b"two", b"three"])], 0)
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(journal.head(&stream("registry")).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_finishes_what_is_queued() {
    let dir = TempDir::new().unwrap();
    let journal = Arc::new(open(dir.path()).unwrap());
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let journal = Arc::clone(&journal);
        writers.spawn(async move {
            let record = NewRecord { id: "only".to_owned(), payload: vec![7; 100] };
            let append = Append { stream: stream(&format!("rollout/{number}")), expected: 0, records: vec![record] };
            journal.append(vec![append], 0).await
        });
    }
    let closing = tokio::task::spawn_blocking({
        let journal = Arc::clone(&journal);
        move || journal.close()
    });
    let mut acknowledged = 0;
    while let Some(result) = writers.join_next().await {
        match result.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(error) => assert_eq!(error, AppendError::Poisoned("it was closed".to_owned())),
        }
    }
    closing.await.unwrap();
    assert_eq!(journal.streams("").await.unwrap().len(), acknowledged);
    drop(journal);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.streams.len(), acknowledged);
    assert_eq!(report.problems, Vec::<String>::new());
}

fn close(journal: Arc<SledJournal>) {
    let journal = Arc::into_inner(journal).expect("all writers have ended");
    journal.close();
}

/// What nobody waits for may wait for others, and not for ever: also where nobody else comes.
#[tokio::test]
async fn what_nobody_waits_for_is_written_without_company_too() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    for expected in 0..3 {
        journal.append_patiently(vec![append_to("registry", expected, &[b"alone"])], 0).await.unwrap();
    }
    // In the order in which it came, with what somebody does wait for.
    let patient = journal.append_patiently(vec![append_to("registry", 3, &[b"patient"])], 0);
    let urgent = journal.append(vec![append_to("registry", 4, &[b"urgent"])], 0);
    let (patient, urgent) = tokio::join!(patient, urgent);
    assert_eq!((patient, urgent), (Ok(()), Ok(())));
    assert_eq!(journal.head(&stream("registry")).await, Ok(5));
}
