//! Verifying a folder without using it, for the operator who wants to know.
//!
//! What it proves when it finds nothing:
//!
//! - every block of every commit is, byte for byte, what was written under its number (checksums), and no block is
//!   missing or too many;
//! - within a stream nothing was changed, exchanged, inserted or removed afterwards (the stream's chain, through all
//!   commits up to its end);
//! - no commit is missing, so no stream was removed, added or cut short as a whole (the chain of commits);
//! - the index leads to every record up to the checkpoint and nowhere else, so reading finds what is there;
//! - the store is not shorter than its side file remembers, so nothing older than that file's lag was lost at the
//!   end.
//!
//! What it cannot prove: that nobody who can write to the folder rewrote all of it, side file included, because
//! hashes are not signatures. Whoever must exclude that keeps the reported head elsewhere and compares.
//!
//! Opening a store writes to it (it repairs its end), so what is opened is a copy in the system's directory for
//! temporary files, which needs the room. The folder is locked while it is copied.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use ::sled::{IVec, Tree};

use crate::engine::files;

use super::super::StreamName;
use super::super::chain::ChainHash;
use super::commit::{Header, Run, WRONG_HASH, decode_block};
use super::frame::{Body, FrameError, Frames};
use super::head_file;
use super::layout::{
    COMMIT_PREFIX, Extent, Hash, IndexHead, Key, RunName, StoreHead, StreamHead, commit_of, decode_head, decode_index, parse_key,
};
use super::open::{DB_FILE_NAME, OpenError, SledOptions, check_format, open_store, read_checkpoint, when_unlocked};
use super::read::{MISSING, NOT_EXTENTS, NOT_THE_HEAD};

/// What was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Each stream, sorted by name.
    pub streams: Vec<StreamReport>,
    /// The store's last commit: to note elsewhere, or to compare with such a note.
    pub store_head: StoreHead,
    /// What the side file remembers; `None` if there is no readable one.
    pub side_file: Option<StoreHead>,
    /// The hash of the chain at the place that was asked for, if there is such a record.
    pub chain_at: Option<ChainHash>,
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
    /// The sequence of its last record.
    pub sequence: u64,
    /// The hash that stands for the stream up to and with that record.
    pub chain: ChainHash,
}

/// Verifies the journal in a folder, which must not be in use. The folder is not changed. Reads all of it, so not
/// from an async task.
///
/// # Errors
/// When there is no store that could be looked into; problems of an open store are in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
    verify_with(dir, None)
}

/// The same, and looks up the hash of the chain at a record of a stream.
///
/// # Errors
/// When there is no store that could be looked into; problems of an open store are in the report.
pub fn verify_with(dir: &Path, place: Option<(StreamName, u64)>) -> Result<VerifyReport, OpenError> {
    let io_error = |error| OpenError::io(dir, error);
    let lock = File::open(dir.join(DB_FILE_NAME)).map_err(io_error)?;
    let locked = when_unlocked(|| match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(source)) => Some(Err(source)),
        Ok(()) => Some(Ok(())),
    });
    let in_use = || OpenError::InUse { dir: dir.to_owned() };
    locked.ok_or_else(in_use)?.map_err(io_error)?;
    let copy = Copy::of(dir).map_err(|error| OpenError::NoCopy { tmp: std::env::temp_dir(), error })?;
    let side_file = head_file::read(dir);
    drop(lock);

    let mut report = look_into(&copy.dir, place, &|| false).map_err(|error| error.about(dir))?;
    report.compare_with(side_file);
    Ok(report.finish())
}

/// The same without a copy, for a folder that nobody else has: the store may repair its end. No report where it was told to stop
/// before it had read all.
pub(in super::super) fn verify_in_place(dir: &Path, is_stopped: &dyn Fn() -> bool) -> Result<Option<VerifyReport>, OpenError> {
    let mut report = look_into(dir, None, is_stopped)?;
    if report.is_stopped {
        return Ok(None);
    }
    report.compare_with(head_file::read(dir));
    Ok(Some(report.finish()))
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
        files::make_private(&copy.dir)?;
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

/// Files, and those in folders one level down, which is all that a store has.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_file() {
            copy_file(&entry.path(), &target)?;
        } else if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if inner.file_type()?.is_file() {
                    copy_file(&inner.path(), &target.join(inner.file_name()))?;
                }
            }
        }
    }
    Ok(())
}

/// What is in it, not its mode: the copy is written to, also where the original may only be read.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(drop)
}

/// A report as it grows.
#[derive(Default)]
struct Findings {
    streams: BTreeMap<StreamName, Walk>,
    /// The commit up to which the index is written, if that can be read.
    checkpoint: Option<u64>,
    /// The hash of each commit, by number.
    commits: BTreeMap<u64, Hash>,
    side_file: Option<StoreHead>,
    /// Where a hash is asked for, and the hash.
    place: Option<(StreamName, u64)>,
    chain_at: Option<ChainHash>,
    problems: Vec<String>,
    /// Whether it was told to stop, and not all was looked at.
    is_stopped: bool,
}

/// A stream on the way through the commits.
struct Walk {
    head: StreamHead,
    /// Where it was at the checkpoint.
    head_at_checkpoint: StreamHead,
    /// What the index must hold, and what it holds.
    extents: BTreeMap<u64, Extent>,
    index: BTreeMap<u64, Extent>,
    index_head: Option<StreamHead>,
    records: u64,
    payload_bytes: u64,
}

/// A commit on the way through its blocks.
#[derive(Default)]
struct CommitWalk {
    number: u64,
    header: Option<Header>,
    blocks: u16,
    /// Of each run: its stream, first sequence, count and last hash.
    runs: Vec<(String, u64, u32, Hash)>,
    is_damaged: bool,
}

fn look_into(dir: &Path, place: Option<(StreamName, u64)>, is_stopped: &dyn Fn() -> bool) -> Result<Findings, OpenError> {
    let store = open_store(dir, SledOptions::default().cache_bytes)?;
    check_format(dir, &store)?;
    let tree = &store.journal;
    let mut findings = Findings { checkpoint: read_checkpoint(dir, tree).ok(), place, ..Findings::default() };
    if findings.checkpoint.is_none() {
        findings.problem("the checkpoint cannot be read".to_owned());
    }
    findings.walk_commits(tree, is_stopped);
    findings.walk_rest(tree, is_stopped);
    findings.compare_index();
    Ok(findings)
}

impl Findings {
    fn walk_commits(&mut self, tree: &Tree, is_stopped: &dyn Fn() -> bool) {
        let mut previous = Some(StoreHead::empty());
        let mut commit = CommitWalk::default();
        for (key, body) in Frames::new(tree, tree.scan_prefix(COMMIT_PREFIX)) {
            if is_stopped() {
                self.is_stopped = true;
                return;
            }
            let Some(Key::Block(number, block)) = parse_key(&key) else {
                match (commit_of(&key), body) {
                    (_, Err(FrameError::Store(error))) => {
                        self.problem(format!("commits after {}: {error}", commit.number));
                    }
                    // A later piece of a block whose beginning is gone.
                    (Some(number), _) => self.problem(format!("commit {number}: a piece of it belongs to nothing")),
                    // Found as a stray later.
                    (None, _) => {}
                }
                continue;
            };
            if number != commit.number {
                previous = self.end_commit(previous, &commit);
                if number != commit.number + 1 {
                    self.problem(commits_missing(commit.number + 1, number.saturating_sub(1)));
                    previous = None;
                }
                commit = CommitWalk { number, ..CommitWalk::default() };
            }
            if block != commit.blocks {
                self.problem(format!("commit {number}, block {}: {MISSING}", commit.blocks));
                commit.is_damaged = true;
            }
            commit.blocks = block.saturating_add(1);
            self.walk_block(&mut commit, block, body);
        }
        self.end_commit(previous, &commit);
        if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| *checkpoint > commit.number) {
            self.problem(commits_missing(commit.number + 1, checkpoint));
        }
    }

    fn walk_block(&mut self, commit: &mut CommitWalk, block: u16, body: Result<Body, FrameError>) {
        let place = format!("commit {}, block {block}", commit.number);
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                self.problem(format!("{place}: {}", words(error)));
                commit.is_damaged = true;
                return;
            }
        };
        let Some((header, runs)) = decode_block(block, &body) else {
            self.problem(format!("{place}: its value is not a block"));
            commit.is_damaged = true;
            return;
        };
        commit.header = commit.header.or(header);
        for run in runs {
            commit.runs.push((run.stream.to_owned(), run.first, run.count, run.after));
            self.walk_run(commit.number, block, &run);
        }
    }

    fn walk_run(&mut self, commit: u64, block: u16, run: &Run<'_>) {
        let Some(stream) = StreamName::parse(run.stream) else {
            self.problem(format!("commit {commit}, block {block}: it adds to a stream without a name"));
            return;
        };
        let place = format!("stream {stream}, {}", sequences(run.first, run.last()));
        // Those that cannot be believed are in their place, but are not counted.
        let records = run.records().unwrap_or_else(|what| {
            self.problem(format!("{place}: {what}"));
            Vec::new()
        });
        if let Some((_, sequence)) = self.place.as_ref().filter(|(wanted, _)| *wanted == stream)
            && (run.first..=run.last()).contains(sequence)
            && !records.is_empty()
        {
            let wanted = usize::try_from(sequence - run.first + 1).unwrap_or(usize::MAX);
            let upto = records.iter().take(wanted);
            self.chain_at = Some(upto.fold(run.head_before(), |head, record| head.after(record.id, record.payload)).hash);
        }
        let is_indexed = self.checkpoint.is_some_and(|checkpoint| commit <= checkpoint);
        let head = self.walk(&stream).head;
        if run.first > head.sequence + 1 {
            self.missing(&stream, head.sequence + 1, run.first - 1);
        } else if run.first <= head.sequence {
            self.problem(format!("commit {commit}: it adds to {place}, but the stream was at {}", head.sequence));
        } else if run.before != head.hash {
            self.problem(format!("{place}: {WRONG_HASH}"));
        }
        let walk = self.walk(&stream);
        walk.head = run.head_after();
        walk.records += records.len() as u64;
        walk.payload_bytes += records.iter().map(|record| record.payload.len() as u64).sum::<u64>();
        if is_indexed {
            walk.head_at_checkpoint = walk.head;
            walk.extents.insert(run.first, Extent { first: run.first, commit, count: run.count, block });
        }
    }

    /// What the next commit must follow from, if that is known.
    fn end_commit(&mut self, previous: Option<StoreHead>, commit: &CommitWalk) -> Option<StoreHead> {
        let number = commit.number;
        if number == 0 {
            return previous;
        }
        let header = commit.header?;
        let head = StoreHead { number, hash: header.hash };
        self.commits.insert(number, header.hash);
        if commit.blocks < header.blocks {
            self.problem(format!("commit {number}, block {}: {MISSING}", commit.blocks));
        } else if commit.blocks > header.blocks {
            self.problem(format!("commit {number}: it has more blocks than it says"));
        } else if !commit.is_damaged {
            let runs = commit.runs.iter().map(|(stream, first, count, after)| RunName {
                stream,
                first: *first,
                count: *count,
                after: *after,
            });
            if previous.is_some_and(|previous| previous.after(runs) != head) {
                self.problem(format!("commit {number}: its hash does not follow from the one before it and its records"));
            }
        }
        Some(head)
    }

    /// All keys but those of commits: the index, and what nothing leads to.
    fn walk_rest(&mut self, tree: &Tree, is_stopped: &dyn Fn() -> bool) {
        for (key, body) in Frames::new(tree, tree.iter()) {
            if self.is_stopped || is_stopped() {
                self.is_stopped = true;
                return;
            }
            match (parse_key(&key), body) {
                (Some(Key::Format | Key::Checkpoint | Key::Block(..)), _) => {}
                (Some(Key::Head(stream)), body) => match body.map(|body| decode_head(&body)) {
                    Ok(Some(IndexHead { head, extents })) => {
                        let walk = self.walk(&stream);
                        walk.index_head = Some(head);
                        walk.index.extend(extents.into_iter().map(|extent| (extent.first, extent)));
                    }
                    Ok(None) => self.problem(format!("stream {stream}, head: {NOT_EXTENTS}")),
                    Err(error) => self.problem(format!("stream {stream}, head: {}", words(error))),
                },
                (Some(Key::Index(stream, first)), body) => match body.map(|body| decode_index(first, &body)) {
                    Ok(Some(extents)) => {
                        self.walk(&stream).index.extend(extents.into_iter().map(|extent| (extent.first, extent)));
                    }
                    Ok(None) => self.problem(format!("stream {stream}, index from {first}: {NOT_EXTENTS}")),
                    Err(error) => self.problem(format!("stream {stream}, index from {first}: {}", words(error))),
                },
                (None, Err(FrameError::Store(error))) => self.problem(format!("the store: {error}")),
                (None, _) if commit_of(&key).is_some() => {}
                (None, _) => self.problem(format!("key {}: nothing is written there", readable(&key))),
            }
        }
    }

    fn compare_index(&mut self) {
        let mut problems = Vec::new();
        for (stream, walk) in &self.streams {
            let index_head = walk.index_head.unwrap_or_else(|| StreamHead::empty(stream));
            let by_commits = walk.head_at_checkpoint;
            if index_head.sequence > walk.head.sequence {
                problems.push(missing(stream, walk.head.sequence + 1, index_head.sequence));
            } else if self.checkpoint.is_some() && index_head.sequence != by_commits.sequence {
                problems.push(format!(
                    "stream {stream}: its head is at sequence {}, by the commits it was at {}",
                    index_head.sequence, by_commits.sequence
                ));
            } else if self.checkpoint.is_some() && index_head.hash != by_commits.hash {
                problems.push(format!("stream {stream}, sequence {}: {NOT_THE_HEAD}", index_head.sequence));
            }
            if self.checkpoint.is_none() {
                continue;
            }
            let not_led_to = walk.extents.values().filter(|extent| walk.index.get(&extent.first) != Some(extent));
            problems.extend(
                spans(not_led_to)
                    .map(|(first, last)| format!("stream {stream}, {}: the index does not lead there", sequences(first, last))),
            );
            // Where records are missing the index knows more than the commits, and that was said already.
            let is_there = |extent: &Extent| {
                let found = walk.extents.range(..=extent.last()).next_back();
                found.is_some_and(|(_, found)| found.last() >= extent.first)
            };
            let led_astray = walk.index.values().filter(|extent| is_there(extent) && !walk.extents.contains_key(&extent.first));
            problems.extend(spans(led_astray).map(|(first, last)| {
                format!("stream {stream}, {}: the index leads to where they are not", sequences(first, last))
            }));
        }
        self.problems.append(&mut problems);
    }

    fn walk(&mut self, stream: &StreamName) -> &mut Walk {
        // Not by entry: that would clone the name for every run.
        if !self.streams.contains_key(stream) {
            let head = StreamHead::empty(stream);
            let walk = Walk {
                head,
                head_at_checkpoint: head,
                extents: BTreeMap::new(),
                index: BTreeMap::new(),
                index_head: None,
                records: 0,
                payload_bytes: 0,
            };
            self.streams.insert(stream.clone(), walk);
        }
        self.streams.get_mut(stream).expect("it was inserted if it was not there")
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
        let store_head = self.store_head();
        let report = |(stream, walk): (StreamName, Walk)| {
            let Walk { head, records, payload_bytes, .. } = walk;
            StreamReport { stream, records, payload_bytes, sequence: head.sequence, chain: head.hash }
        };
        VerifyReport {
            store_head,
            streams: self.streams.into_iter().map(report).collect(),
            side_file: self.side_file,
            chain_at: self.chain_at,
            problems: self.problems,
        }
    }

    fn missing(&mut self, stream: &StreamName, first: u64, last: u64) {
        self.problem(missing(stream, first, last));
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

fn missing(stream: &StreamName, first: u64, last: u64) -> String {
    let what = if first == last { MISSING } else { "they are missing" };
    format!("stream {stream}, {}: {what}", sequences(first, last))
}

/// The first and last sequences of extents, those that follow each other as one.
fn spans<'a>(extents: impl Iterator<Item = &'a Extent>) -> impl Iterator<Item = (u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for extent in extents {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == extent.first => *last = extent.last(),
            _ => spans.push((extent.first, extent.last())),
        }
    }
    spans.into_iter()
}

fn commits_missing(first: u64, last: u64) -> String {
    if first == last { format!("commit {first} is missing") } else { format!("commits {first} to {last} are missing") }
}

fn sequences(first: u64, last: u64) -> String {
    if first == last { format!("sequence {first}") } else { format!("sequences {first} to {last}") }
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
