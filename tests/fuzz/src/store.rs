//! A journal's folder in which something was changed: opening, reading and verifying say what is wrong, or nothing is.
//!
//! A line is a change; keys are written as in `records.rs`, bytes as hexadecimal digits:
//!
//! ```text
//! flip KEY OFFSET BYTE      a byte of what lies there is another one
//! patch KEY OFFSET BYTES    so are some, and the checksum is made to fit
//! put KEY BYTES             something else lies there, with a checksum that fits
//! del KEY                   nothing lies there any more
//! head TEXT                 the side file says this: `-` is no side file, `|` ends a line
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;
use tminus::engine::journal::sled::{SledJournal, SledOptions, verify};
use tminus::engine::journal::{Append, Journal, NewRecord, Record, StreamName};
use tokio::runtime::{Builder, Runtime};

use super::bounds::Watch;
use super::records::key_of;

/// How many changes are made: damage is a few things at once.
const CHANGES_MAX: usize = 12;
/// More than any stream here has.
const ALL: usize = 100_000;
/// As the journal opens its store.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

type Content = BTreeMap<StreamName, Vec<Record>>;

/// A whole journal: some commits before a checkpoint, some after it, one of many blocks.
struct Whole {
    dir: TempDir,
    content: Content,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let dir = folder();
    let options = SledOptions { checkpoint_commits: 5, ..SledOptions::default() };
    let journal = SledJournal::open(dir.path(), &options).expect("a new journal");
    let runtime = runtime();
    for number in 0..8 {
        let names = [["registry", "rollout/1"], ["rollout/1", "room/x"]][number % 2];
        let appends = names.iter().map(|name| {
            let stream = StreamName::new(*name);
            let expected = runtime.block_on(journal.head(&stream)).expect("a head");
            let count = if number == 3 { 9 } else { 1 };
            let record = |index| NewRecord {
                id: format!("{name}#{number}.{index}"),
                payload: format!("event {number} ").repeat(1 + 60 * (number % 3)).into_bytes(),
            };
            Append { stream, expected, records: (0..count).map(record).collect() }
        });
        let appends = appends.collect();
        runtime.block_on(journal.append(appends, 0)).expect("an append");
    }
    let content = content(&runtime, &journal).expect("a whole journal");
    drop(journal);
    Whole { dir, content }
});

/// In memory where there is such a place: nothing here is about the disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder")
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let changes: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(CHANGES_MAX).collect();
    if changes.is_empty() {
        return;
    }
    let dir = folder();
    copy(WHOLE.dir.path(), dir.path());
    let mut forged = false;
    {
        let db = sled::Config::new().path(dir.path()).segment_size(SEGMENT_BYTES).flush_every_ms(None).open().expect("the store");
        let tree = db.open_tree("journal").expect("its tree");
        for change in changes {
            forged |= make(change, &tree, dir.path());
        }
        db.flush().expect("it is written");
    }
    let watch = Watch::start();
    let verified = verify(dir.path());
    let runtime = runtime();
    let options = SledOptions { checkpoint_commits: 5, ..SledOptions::default() };
    if let Ok(journal) = SledJournal::open(dir.path(), &options) {
        let found = content(&runtime, &journal);
        if let Ok(found) = &found {
            // Without forged checksums whatever is answered is what was written.
            assert!(forged || *found == WHOLE.content, "the journal answers with something else than was written");
        }
        if verified.as_ref().is_ok_and(|report| report.problems.is_empty()) {
            assert!(found.is_ok(), "it was verified, and can't be read: {found:?}");
        }
        for name in WHOLE.content.keys() {
            for from in [0, 2, 7, u64::MAX] {
                drop(runtime.block_on(journal.read(name, from, 3)));
                drop(runtime.block_on(journal.chain(name, from)));
            }
            // Whatever there was, what is written now is there, or is refused.
            let expected = runtime.block_on(journal.head(name)).expect("a head");
            let records = vec![NewRecord { id: "new".to_owned(), payload: b"new".to_vec() }];
            drop(runtime.block_on(journal.append(vec![Append { stream: name.clone(), expected, records }], 0)));
        }
    }
    watch.stop("opening and reading");
}

/// Makes a change; whether it is one that no accident makes.
fn make(change: &str, tree: &sled::Tree, dir: &Path) -> bool {
    let words: Vec<&str> = change.split_whitespace().collect();
    let get = |key: &str| tree.get(key_of(key)).expect("the store answers").map(|value| value.to_vec());
    let put = |key: &str, value: Vec<u8>| drop(tree.insert(key_of(key), value).expect("the store takes it"));
    match words[..] {
        ["flip", key, offset, byte] => {
            let (Some(mut value), Ok(offset), Some(byte)) = (get(key), offset.parse::<usize>(), bytes_of(byte).first().copied())
            else {
                return false;
            };
            if let Some(there) = value.get_mut(offset) {
                *there ^= byte;
            }
            put(key, value);
            false
        }
        ["patch", key, offset, bytes] => {
            let (Some(mut value), Ok(offset)) = (get(key), offset.parse::<usize>()) else { return false };
            let Some(body) = value.get_mut(8..) else { return false };
            for (there, byte) in body.iter_mut().skip(offset).zip(bytes_of(bytes)) {
                *there = byte;
            }
            put(key, framed(&key_of(key), &value[8..]));
            true
        }
        ["put", key, bytes] => {
            put(key, framed(&key_of(key), &bytes_of(bytes)));
            true
        }
        ["del", key] => {
            tree.remove(key_of(key)).expect("the store takes it");
            // Heads and checkpoints are an index that has to be there: commits alone are the truth.
            true
        }
        ["head", "-"] => {
            let _ = fs::remove_file(dir.join("head"));
            true
        }
        ["head", ..] => {
            let said = change.trim_start().trim_start_matches("head ").replace('|', "\n");
            fs::write(dir.join("head"), said).expect("written");
            true
        }
        _ => false,
    }
}

fn framed(key: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("inputs are short").to_be_bytes();
    let checked = [length.as_slice(), body].concat();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&checked);
    [hasher.finalize().to_be_bytes().as_slice(), &checked].concat()
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs =
        digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()));
    pairs.map_while(|byte| byte).collect()
}

fn content(runtime: &Runtime, journal: &SledJournal) -> Result<Content, String> {
    let streams = runtime.block_on(journal.streams("")).map_err(|error| error.to_string())?;
    let records = |name: StreamName| {
        let records = runtime.block_on(journal.read(&name, 1, ALL)).map_err(|error| error.to_string())?;
        Ok((name, records))
    };
    streams.into_iter().map(records).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
