//! Verifying a folder without using it, for the operator who wants to know.
//!
//! What it proves when it finds nothing:
//!
//! - every record is, byte for byte, what was written under its stream and sequence (checksums);
//! - within a stream nothing was changed, exchanged, inserted or removed afterwards (the stream's chain, up to its
//!   head);
//! - every record was added by exactly one commit, and no commit is missing, so no stream was removed, added or cut
//!   short as a whole (the chain of commits);
//! - the store is not shorter than its side file remembers, so nothing older than that file's lag was lost at the
//!   end.
//!
//! What it cannot prove: that nobody who can write to the folder rewrote all of it, side file included, because
//! hashes are not signatures. Whoever must exclude that keeps the reported head elsewhere and compares.
//!
//! Opening a store writes to it (it repairs its end), so what is opened is a copy in the system's directory for
//! temporary files, which needs the room. The folder is locked while it is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use ::sled::{IVec, Tree};

use super::super::StreamName;
use super::frame::{FrameError, Frames};
use super::head_file;
use super::layout::{
    COMMIT_PREFIX, CommitPart, HEAD_PREFIX, Hash, Key, StoreHead, StreamHead, decode_commit, decode_head, decode_record,
    parse_key, record_key,
};
use super::open::{DB_FILE_NAME, OpenError, SledOptions, check_format, last_hashes, open_store, read_checkpoint, when_unlocked};
use super::read::{MISSING, NOT_A_RECORD, NOT_THE_HEAD, WRONG_HASH};

/// What was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Each stream, sorted by name.
    pub streams: Vec<StreamReport>,
    /// The store's last commit: to note elsewhere, or to compare with such a note.
    pub store_head: StoreHead,
    /// What the side file remembers; `None` if there is no readable one.
    pub side_file: Option<StoreHead>,
    /// Everything that is wrong, each as a sentence that names its place. Empty when all is well.
    pub problems: Vec<String>,
}

/// What was found of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Its name.
    pub stream: StreamName,
    /// How many readable records it has.
    pub records: u64,
    /// How many bytes their payloads have.
    pub payload_bytes: u64,
}

/// Verifies the journal in a folder, which must not be in use. The folder is not changed. Reads all of it, so not
/// from an async task.
///
/// # Errors
/// When there is no store that could be looked into; problems of an open store are in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
    let io_error = |source| OpenError::Io { dir: dir.to_owned(), source };
    let lock = File::open(dir.join(DB_FILE_NAME)).map_err(io_error)?;
    let locked = when_unlocked(|| match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(source)) => Some(Err(source)),
        Ok(()) => Some(Ok(())),
    });
    let in_use = || OpenError::InUse { dir: dir.to_owned() };
    locked.ok_or_else(in_use)?.map_err(io_error)?;
    let copy = Copy::of(dir).map_err(io_error)?;
    let side_file = head_file::read(dir);
    drop(lock);

    let mut report = look_into(&copy.dir).map_err(|error| error.about(dir))?;
    report.compare_with(side_file);
    Ok(report.finish())
}

/// A copy of a store's folder, removed when dropped.
struct Copy {
    dir: PathBuf,
}

impl Copy {
    fn of(dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tminus-verify-{}-{number}", process::id());
        let copy = Self { dir: std::env::temp_dir().join(name) };
        private_dir_builder().create(&copy.dir)?;
        copy_files(dir, &copy.dir)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "A copy made for verifying could not be removed");
        }
    }
}

/// A journal is nobody else's business, also not while it lies in a shared directory.
fn private_dir_builder() -> DirBuilder {
    #[allow(unused_mut, reason = "only some systems have modes")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Files, and those in folders one level down, which is all that a store has.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if inner.file_type()?.is_file() {
                    fs::copy(inner.path(), target.join(inner.file_name()))?;
                }
            }
        }
    }
    Ok(())
}

/// A report as it grows.
#[derive(Default)]
struct Findings {
    streams: BTreeMap<StreamName, StreamReport>,
    /// Where each stream ends by the commits.
    ends: BTreeMap<StreamName, u64>,
    /// Where they ended at the checkpoint, if there is one.
    ends_at_checkpoint: BTreeMap<StreamName, u64>,
    /// The heads as they are written.
    heads: BTreeMap<StreamName, StreamHead>,
    /// The hash of each commit, by number.
    commits: BTreeMap<u64, Hash>,
    side_file: Option<StoreHead>,
    problems: Vec<String>,
}

fn look_into(dir: &Path) -> Result<Findings, OpenError> {
    let store = open_store(dir, SledOptions::default().cache_bytes)?;
    check_format(dir, &store)?;
    let tree = &store.journal;
    let mut findings = Findings::default();
    let checkpoint = read_checkpoint(dir, tree);
    findings.walk_commits(tree, checkpoint.as_ref().ok().copied());
    findings.read_heads(tree);
    if checkpoint.is_ok() {
        findings.compare_heads();
    } else {
        findings.problem("the checkpoint cannot be read".to_owned());
    }
    let streams: BTreeSet<_> = findings.ends.keys().chain(findings.heads.keys()).cloned().collect();
    for stream in streams {
        findings.walk_stream(tree, stream);
    }
    findings.find_strays(tree);
    Ok(findings)
}

impl Findings {
    fn read_heads(&mut self, tree: &Tree) {
        for (key, body) in Frames::new(tree, tree.scan_prefix(HEAD_PREFIX)) {
            match (parse_key(&key), body) {
                (Some(Key::Head(stream)), Ok(body)) => match decode_head(&body) {
                    Some(head) => {
                        self.heads.insert(stream, head);
                    }
                    None => self.problem(format!("stream {stream}: its head's value is not one")),
                },
                (Some(Key::Head(stream)), Err(error)) => {
                    self.problem(format!("stream {stream}, head: {}", words(error)));
                }
                (_, Err(error)) => self.problem(format!("stream heads: {}", words(error))),
                // Found as a stray later.
                (_, Ok(_)) => {}
            }
        }
    }

    fn compare_heads(&mut self) {
        let streams: BTreeSet<_> = self.ends_at_checkpoint.keys().chain(self.heads.keys()).collect();
        let differ = streams.into_iter().filter_map(|stream| {
            let by_commits = self.ends_at_checkpoint.get(stream).copied().unwrap_or_default();
            let by_head = self.heads.get(stream).map_or(0, |head| head.sequence);
            (by_commits != by_head)
                .then(|| format!("stream {stream}: its head is at sequence {by_head}, by the commits it was at {by_commits}"))
        });
        let found: Vec<String> = differ.collect();
        self.problems.extend(found);
    }

    fn walk_stream(&mut self, tree: &Tree, stream: StreamName) {
        let head = self.heads.get(&stream).copied();
        let end_by_commits = self.ends.get(&stream).copied().unwrap_or_default();
        let end = end_by_commits.max(head.map_or(0, |head| head.sequence));
        let mut report = StreamReport { stream: stream.clone(), records: 0, payload_bytes: 0 };
        let mut last = StreamHead::empty(&stream).sequence;
        // What the next record's hash must follow from; unknown after a record that cannot be read.
        let mut previous = Some(StreamHead::empty(&stream).hash);
        let keys = record_key(&stream, 0)..=record_key(&stream, u64::MAX);
        for (key, body) in Frames::new(tree, tree.range(keys)) {
            let Some(Key::Record(_, sequence)) = parse_key(&key) else {
                if let Err(FrameError::Store(error)) = body {
                    self.problem(format!("stream {stream}, after sequence {last}: {error}"));
                }
                // A key that is none is found as a stray later.
                continue;
            };
            if sequence != last + 1 {
                self.missing(&stream, last + 1, sequence.saturating_sub(1));
                previous = None;
            }
            last = sequence;
            let place = format!("stream {stream}, sequence {sequence}");
            let decoded = match body {
                Ok(body) => decode_record(sequence, &body).ok_or(NOT_A_RECORD.to_owned()),
                Err(error) => Err(words(error)),
            };
            let (record, hash) = match decoded {
                Ok(decoded) => decoded,
                Err(what) => {
                    self.problem(format!("{place}: {what}"));
                    previous = None;
                    continue;
                }
            };
            if let Some(hash_before) = previous {
                let before = StreamHead { sequence: sequence - 1, hash: hash_before };
                if before.after(&record.id, &record.payload).hash != hash {
                    self.problem(format!("{place}: {WRONG_HASH}"));
                }
            }
            previous = Some(hash);
            if head.is_some_and(|head| head.sequence == sequence && head.hash != hash) {
                self.problem(format!("{place}: {NOT_THE_HEAD}"));
            }
            if sequence > end {
                self.problem(format!("{place}: it lies beyond the stream's end, {end}"));
            }
            report.records += 1;
            report.payload_bytes += record.payload.len() as u64;
        }
        if last < end {
            self.missing(&stream, last + 1, end);
        }
        self.streams.insert(stream, report);
    }

    fn walk_commits(&mut self, tree: &Tree, checkpoint: Option<u64>) {
        let mut previous = Some(StoreHead::empty());
        let mut last = 0;
        for (key, body) in Frames::new(tree, tree.scan_prefix(COMMIT_PREFIX)) {
            let Some(Key::Commit(number)) = parse_key(&key) else {
                if let Err(FrameError::Store(error)) = body {
                    self.problem(format!("commits after {last}: {error}"));
                }
                continue;
            };
            if number != last + 1 {
                self.problem(format!("commits {} to {} are missing", last + 1, number.saturating_sub(1)));
                previous = None;
            }
            last = number;
            let decoded = match body {
                Ok(body) => decode_commit(&body).ok_or("its value is not a commit".to_owned()),
                Err(error) => Err(words(error)),
            };
            let (hash, parts) = match decoded {
                Ok(decoded) => decoded,
                Err(what) => {
                    self.problem(format!("commit {number}: {what}"));
                    previous = None;
                    continue;
                }
            };
            self.commits.insert(number, hash);
            self.check_commit(tree, previous, StoreHead { number, hash }, &parts);
            previous = Some(StoreHead { number, hash });
            for part in parts {
                let last = part.last();
                let before = self.ends.entry(part.stream.clone()).or_default();
                if part.first != *before + 1 {
                    let problem = format!(
                        "commit {number}: it adds to stream {} at sequence {}, which was at {before}",
                        part.stream, part.first
                    );
                    self.problems.push(problem);
                }
                *before = last;
            }
            if Some(number) == checkpoint {
                self.ends_at_checkpoint.clone_from(&self.ends);
            }
        }
        if let Some(checkpoint) = checkpoint.filter(|checkpoint| *checkpoint > last) {
            self.problem(format!("commits {} to {checkpoint} are missing", last + 1));
        }
    }

    fn check_commit(&mut self, tree: &Tree, previous: Option<StoreHead>, head: StoreHead, parts: &[CommitPart]) {
        let number = head.number;
        match last_hashes(tree, parts) {
            Err(what) => self.problem(format!("commit {number}: {what}")),
            Ok(last_hashes) => {
                let follows = previous.is_none_or(|previous| previous.after(parts.iter().zip(last_hashes)) == head);
                if !follows {
                    self.problem(format!("commit {number}: its hash does not follow from the one before it and its records"));
                }
            }
        }
    }

    /// Keys that nothing leads to.
    fn find_strays(&mut self, tree: &Tree) {
        let mut strays: BTreeMap<StreamName, u64> = BTreeMap::new();
        for (key, body) in Frames::new(tree, tree.iter()) {
            match parse_key(&key) {
                Some(Key::Format | Key::Checkpoint | Key::Commit(_) | Key::Head(_)) => {}
                Some(Key::Record(stream, _)) => {
                    if !self.streams.contains_key(&stream) {
                        *strays.entry(stream).or_default() += 1;
                    }
                }
                None => match body {
                    Err(FrameError::Store(error)) => self.problem(format!("the store: {error}")),
                    Ok(_) | Err(FrameError::Damaged(_)) => {
                        self.problem(format!("key {}: nothing is written there", readable(&key)));
                    }
                },
            }
        }
        for (stream, records) in strays {
            self.problem(format!("stream {stream}: it has {records} records that no commit added"));
        }
    }

    fn compare_with(&mut self, side_file: io::Result<Option<StoreHead>>) {
        let store_head = self.store_head();
        let side_file = match side_file {
            Ok(Some(side_file)) => side_file,
            Ok(None) => {
                self.problem("the side file is missing: losses at the end would not show".to_owned());
                return;
            }
            Err(error) => {
                self.problem(format!("the side file cannot be read: {error}"));
                return;
            }
        };
        self.side_file = Some(side_file);
        if store_head.number < side_file.number {
            self.problem(format!(
                "the store ends with {store_head}, but its side file remembers {side_file}: \
                 the commits between them are lost"
            ));
        } else if side_file.number > 0 && self.commits.get(&side_file.number) != Some(&side_file.hash) {
            self.problem(format!("the store's commit {} is not the one its side file remembers, {side_file}", side_file.number));
        }
    }

    fn store_head(&self) -> StoreHead {
        self.commits.last_key_value().map_or_else(StoreHead::empty, |(&number, &hash)| StoreHead { number, hash })
    }

    fn finish(self) -> VerifyReport {
        VerifyReport {
            store_head: self.store_head(),
            streams: self.streams.into_values().collect(),
            side_file: self.side_file,
            problems: self.problems,
        }
    }

    fn missing(&mut self, stream: &StreamName, first: u64, last: u64) {
        self.problem(if first == last {
            format!("stream {stream}, sequence {first}: {MISSING}")
        } else {
            format!("stream {stream}, sequences {first} to {last}: they are missing")
        });
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

fn words(error: FrameError) -> String {
    match error {
        FrameError::Store(error) => error.to_string(),
        FrameError::Damaged(what) => what,
    }
}

fn readable(key: &IVec) -> String {
    key.escape_ascii().to_string()
}
