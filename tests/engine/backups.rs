//! Backups while the process goes on: made at their times and made up for, tried out, the oldest removed only after a good one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tminus::domain::calendar::Calendar;
use tminus::engine::backups::{BackupError, Plan, back_up, run};
use tminus::engine::clock::ManualClock;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tminus::engine::ports::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until the folder is as it should be; the work is done by threads that nobody can wait for.
async fn until(dir: &Path, expected: &[&str]) {
    for _ in 0..3000 {
        if names(dir) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} is not {expected:?}", names(dir));
}

async fn journal() -> Arc<dyn Journal> {
    let journal = Arc::new(MemoryJournal::new());
    let records = (0..5).map(|number| NewRecord { id: format!("{number}"), payload: b"{}".to_vec() }).collect();
    journal.append(vec![Append { stream: StreamName::new("registry"), expected: 0, records }], 0).await.unwrap();
    journal
}

struct Backups {
    clock: ManualClock,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Backups {
    /// At three every night, of which two are kept.
    async fn start(to: PathBuf, now: &str) -> Self {
        let clock = ManualClock::at(utc(now));
        let closing = watch::Sender::new(false);
        let plan = Plan { to, at: Calendar::parse("0 0 3 * * *", chrono_tz::UTC).unwrap(), keep: 2 };
        let task = tokio::spawn(run(plan, journal().await, Arc::new(clock.clone()), closing.subscribe()));
        Self { clock, closing, task }
    }

    async fn stop(self) {
        self.closing.send_replace(true);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn one_is_made_at_once_and_then_at_its_times_and_the_oldest_go() {
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("to");
    let backups = Backups::start(to.clone(), "2026-11-21T12:00:00Z").await;
    until(&to, &["tminus-20261121T120000Z.jsonl"]).await;
    // What is not a backup by its name is nobody's to remove.
    fs::write(to.join("tminus-notes.jsonl"), "x").unwrap();
    fs::write(to.join("tminus-20261121T9.jsonl"), "x").unwrap();
    let with = |made: &[&str]| {
        let mut all: Vec<String> = made.iter().map(|name| (*name).to_owned()).collect();
        all.extend(["tminus-20261121T9.jsonl".to_owned(), "tminus-notes.jsonl".to_owned()]);
        all.sort();
        all
    };
    for (hours, expected) in [
        (15, ["tminus-20261121T120000Z.jsonl", "tminus-20261122T030000Z.jsonl"]),
        (24, ["tminus-20261122T030000Z.jsonl", "tminus-20261123T030000Z.jsonl"]),
        (24, ["tminus-20261123T030000Z.jsonl", "tminus-20261124T030000Z.jsonl"]),
    ] {
        backups.clock.advance(TimeDelta::hours(hours));
        until(&to, &with(&expected).iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    backups.clock.advance(TimeDelta::hours(23));
    backups.stop().await;
    assert_eq!(names(&to), with(&["tminus-20261123T030000Z.jsonl", "tminus-20261124T030000Z.jsonl"]), "nothing is made early");
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once_and_what_was_not_is_not_repeated() {
    let dir = TempDir::new().unwrap();
    let fresh = dir.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    fs::write(fresh.join("tminus-20261121T030000Z.jsonl"), "x").unwrap();
    let backups = Backups::start(fresh.clone(), "2026-11-21T12:00:00Z").await;
    // The next one shows that none was made in between.
    while names(&fresh).len() < 2 {
        backups.clock.advance(TimeDelta::hours(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(backups.clock.now() < utc("2026-11-24T00:00:00Z") || names(&fresh).len() == 2);
    }
    assert!(names(&fresh)[1].starts_with("tminus-20261122T"), "{:?}", names(&fresh));
    backups.stop().await;

    let missed = dir.path().join("missed");
    fs::create_dir(&missed).unwrap();
    fs::write(missed.join("tminus-20261118T030000Z.jsonl"), "x").unwrap();
    let backups = Backups::start(missed.clone(), "2026-11-21T12:00:00Z").await;
    until(&missed, &["tminus-20261118T030000Z.jsonl", "tminus-20261121T120000Z.jsonl"]).await;
    backups.stop().await;
}

#[tokio::test]
async fn what_fails_takes_nothing_away_and_the_next_time_it_may_go_well() {
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("to");
    // Where the folder should be there is a file.
    fs::write(&to, "x").unwrap();
    let journal = journal().await;
    let failed = back_up(journal.clone(), utc("2026-11-21T12:00:00Z"), &to, Some(1), || false).await;
    assert!(matches!(&failed, Err(BackupError::Folder { dir, .. }) if *dir == to), "{failed:?}");
    let backups = Backups::start(to.clone(), "2026-11-21T12:00:00Z").await;
    fs::remove_file(&to).unwrap();
    while !names(&to).iter().any(|name| name.ends_with("Z.jsonl")) {
        backups.clock.advance(TimeDelta::hours(6));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    backups.stop().await;
    // The next one may have begun; what a thread of it still has in hand it clears away.
    while names(&to).iter().any(|name| name.contains(".part")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // Told to stop in the middle: nothing half is left, and what was there is there.
    let before = names(&to);
    let stopped = back_up(journal, utc("2026-12-21T12:00:00Z"), &to, Some(1), || true).await;
    assert!(matches!(stopped, Err(BackupError::Restore(_))), "{stopped:?}");
    assert_eq!(names(&to), before);
}

#[tokio::test]
async fn what_a_kill_left_is_removed_and_nothing_is_replaced() {
    let dir = TempDir::new().unwrap();
    let scratch = dir.path().join("tminus-20261120T030000Z.jsonl.77.part.tried");
    fs::create_dir_all(scratch.join("journal.importing")).unwrap();
    fs::write(dir.path().join("tminus-20261120T030000Z.jsonl.77.part"), "half").unwrap();
    fs::write(dir.path().join("tminus-plan.jsonl.77.part"), "a person's").unwrap();
    let now = utc("2026-11-21T12:00:00Z");
    let made = back_up(journal().await, now, dir.path(), None, || false).await.unwrap();
    assert_eq!((made.records, made.removed), (5, 0));
    assert_eq!(names(dir.path()), ["tminus-20261121T120000Z.jsonl", "tminus-plan.jsonl.77.part"]);
    let again = back_up(journal().await, now, dir.path(), None, || false).await;
    assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
}

#[tokio::test]
async fn a_clock_that_was_put_back_costs_no_new_backup() {
    let dir = TempDir::new().unwrap();
    let journal = journal().await;
    for at in ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00Z", "2026-11-21T11:30:00Z"] {
        back_up(journal.clone(), utc(at), dir.path(), Some(2), || false).await.unwrap();
        assert!(names(dir.path()).contains(&format!("tminus-{}.jsonl", utc(at).format("%Y%m%dT%H%M%SZ"))));
    }
    assert_eq!(names(dir.path()), ["tminus-20261121T113000Z.jsonl", "tminus-20261121T130000Z.jsonl"]);
}
