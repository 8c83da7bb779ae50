//! Short ways to say things to a journal.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sled::{Config, Db};
use tempfile::TempDir;
use tminus::engine::journal::sled::{OpenError, SledJournal, SledOptions};
use tminus::engine::journal::{Append, AppendError, Journal, NewRecord, Record, StreamName};
use tokio::runtime::{Builder, Runtime};

/// More than any test writes to one stream.
pub const ALL: usize = 1_000_000;

pub fn open(dir: &Path) -> Result<SledJournal, OpenError> {
    SledJournal::open(dir, &SledOptions::default())
}

/// With a checkpoint after every so many commits.
pub fn open_with(dir: &Path, checkpoint_commits: u64) -> Result<SledJournal, OpenError> {
    SledJournal::open(dir, &SledOptions { checkpoint_commits, ..SledOptions::default() })
}

/// The store beneath a journal, by hand.
pub fn open_raw(dir: &Path) -> Db {
    Config::new().path(dir).segment_size(8 * 1024 * 1024).open().unwrap()
}

pub fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name)
}

pub fn append_to(name: &str, expected: u64, payloads: &[&[u8]]) -> Append {
    let records = payloads.iter().zip(expected + 1..);
    let records = records.map(|(payload, sequence)| NewRecord { id: format!("{name}#{sequence}"), payload: payload.to_vec() });
    Append { stream: stream(name), expected, records: records.collect() }
}

/// Bytes that differ from place to place, and by `seed`.
pub fn bytes(count: usize, seed: usize) -> Vec<u8> {
    (0..=250_u8).cycle().skip(seed % 251).take(count).collect()
}

/// Appends one record where the stream ends.
pub async fn add(journal: &dyn Journal, name: &str, payload: &[u8]) -> Result<(), AppendError> {
    let expected = journal.head(&stream(name)).await.unwrap();
    let append = append_to(name, expected, &[payload]);
    journal.append(vec![append], 0).await
}

/// Fills a fresh folder with `count` commits over two streams, closes it, and returns all records of each.
pub fn fill(dir: &Path, count: usize) -> Vec<(StreamName, Vec<Record>)> {
    let journal = open(dir).unwrap();
    let content = runtime().block_on(add_many(&journal, count));
    journal.close();
    content
}

/// The same, but leaves the folder as `kill -9` would: with a checkpoint somewhere in the middle, and commits after
/// it. The side file knows of all of them.
pub fn fill_and_crash(dir: &Path, count: usize) -> Vec<(StreamName, Vec<Record>)> {
    let running = TempDir::new().unwrap();
    let journal = open_with(running.path(), count as u64 * 2 / 3).unwrap();
    let content = runtime().block_on(add_many(&journal, count));
    let side_file = || fs::read_to_string(running.path().join("head")).unwrap();
    while !side_file().contains(&format!("commit {count}\n")) {
        thread::sleep(Duration::from_millis(10));
    }
    copy_folder(running.path(), dir);
    content
}

async fn add_many(journal: &dyn Journal, count: usize) -> Vec<(StreamName, Vec<Record>)> {
    for number in 0..count {
        let name = ["registry", "rollout/1"][number % 2];
        let payload = format!("event {number} ").repeat(1 + number % 7);
        add(journal, name, payload.as_bytes()).await.unwrap();
    }
    content(journal).await
}

/// Every stream with all its records.
pub async fn content(journal: &dyn Journal) -> Vec<(StreamName, Vec<Record>)> {
    let mut content = Vec::new();
    for name in journal.streams("").await.unwrap() {
        let records = journal.read(&name, 1, ALL).await.unwrap();
        content.push((name, records));
    }
    content
}

/// Copies a store's folder, also while it is in use: then it is what the disk would hold after `kill -9`. The side
/// file goes first, so that the copied store is never behind it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let _ = fs::copy(from.join("head"), to.join("head"));
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if !target.exists() {
            match fs::copy(entry.path(), &target) {
                // The side file's next version is there only for a moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}
