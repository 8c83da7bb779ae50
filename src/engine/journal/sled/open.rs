//! Opening a folder: what is accepted, what is refused, and what the operator is told.
//!
//! ```text
//! side file there, store gone?   refused      someone removed the store, or restored half a backup
//! store opens?                   or refused   in use, damaged, made by something else
//! format version ours?           or refused
//! store at or after side file?   or refused   acknowledged commits are gone
//! newest commits whole?          or refused   those the side file or the index may not know of yet
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::sled::{Config, Db, Tree};

use super::super::{RESTORE, StreamName};
use super::commit::{Header, Run, decode_block, get_block};
use super::durable::{StreamState, Streams};
use super::frame::{self, Body, FrameError, Frames};
use super::head_file;
use super::index::Unindexed;
use super::layout::{
    CHECKPOINT_KEY, COMMIT_PREFIX, Extent, FORMAT, FORMAT_KEY, FORMAT_NAME, HEAD_PREFIX, Key, StoreHead, StreamHead, commit_of,
    decode_checkpoint, decode_head, parse_key,
};
use super::read::NOT_EXTENTS;
use super::writer::{BlobsWatch, panic_text};

/// The store's log is cut into segments of this size. It also sets how large a page may grow before the store puts
/// it into a file that it never syncs (a quarter of this); written into the folder, so it can never change.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// Pages kept in memory: below this, reading a long stream thrashes.
const CACHE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Above this nothing gets faster, and a full scan keeps the memory.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long to wait for the folder's lock: a predecessor that is just closing gets the time to finish, and a
/// second process that was started by mistake still hears soon.
const LOCK_WAIT_MS: u64 = 500;
/// How often to try meanwhile.
const LOCK_RETRY_MS: u64 = 10;
/// How the pinned version of the store begins to say that another process holds the lock; it has no other sign.
const LOCKED_TEXT: &str = "could not acquire lock";

const JOURNAL_TREE: &[u8] = b"journal";
/// The store's one data file.
pub(super) const DB_FILE_NAME: &str = "db";
/// Where the store would put large values; always empty here.
const BLOBS_DIR_NAME: &str = "blobs";

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Memory for pages that were read or written lately; 16 to 64 MiB, other values are moved into that range.
    pub cache_bytes: u64,
    /// How many commits may follow a checkpoint, at least 1; opening looks through that many at most. Many small
    /// streams, or many bytes, make checkpoints come sooner.
    pub checkpoint_commits: u64,
    /// How the store's file is synced.
    pub disk: Arc<dyn Disk>,
}

/// Makes durable what was written to the store's file: a journal acknowledges nothing before this has answered. The machine's
/// own is [`MachineDisk`]; who wants to see what a disk that fails or loses its power does to a journal brings another.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Returns when everything that was written to the file would survive a power cut.
    ///
    /// # Errors
    /// When it may not: the journal then accepts nothing more.
    fn sync(&self, db: &File) -> io::Result<()>;
}

/// The operating system's own sync.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineDisk;

impl Disk for MachineDisk {
    fn sync(&self, db: &File) -> io::Result<()> {
        db.sync_data()
    }
}

impl Default for SledOptions {
    fn default() -> Self {
        // Looked through in some hundredths of a second; a checkpoint costs about as much as ten commits.
        Self { cache_bytes: 32 * 1024 * 1024, checkpoint_commits: 1024, disk: Arc::new(MachineDisk) }
    }
}

/// Why a journal does not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the folder open.
    #[error(
        "the journal in {} is in use by another process: stop that one, or give this one a folder of its own",
        dir.display()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// It holds a store, but not one of ours.
    #[error(
        "the folder {} holds something else than a journal of T-minus ({what}). Nothing in it was changed; name another folder",
        dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// How it shows.
        what: String,
    },
    /// A later version made it.
    #[error(
        "the journal in {} is of a later layout ({found}) than this version reads ({}). Nothing in it was changed; start the \
         version that made it, or a later one",
        dir.display(), layout_of(FORMAT)
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// An earlier version made it, whose layout is not read any more.
    #[error(
        "the journal in {} is of an earlier layout ({found}) than this version reads ({}). Nothing in it was changed; export \
         it with the version that made it, and import that: tminus journal import EXPORT --data NEW-DIR",
        dir.display(), layout_of(FORMAT)
    )]
    Older {
        /// The folder.
        dir: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// There is a file in its place.
    #[error("{} is not a folder, and a journal is one: name another folder", dir.display())]
    NotAFolder {
        /// The file.
        dir: PathBuf,
    },
    /// It can't be written to.
    #[error(
        "the journal in {} can't be written to ({error}): let this user write there, or copy the whole folder to where it may",
        dir.display()
    )]
    NotWritable {
        /// The folder.
        dir: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
    /// The disk is full.
    #[error(
        "there is no room for the journal in {}. What was acknowledged is in it; make room, and start again",
        dir.display()
    )]
    Full {
        /// The folder.
        dir: PathBuf,
    },
    /// The store ends before what the side file remembers: acknowledged commits are gone.
    #[error(
        "the journal in {} has lost acknowledged commits: it ends with {store}, its side file remembers {side_file}. {}. To go \
         on without what is lost, remove {} and start again",
        dir.display(), RESTORE, head_file::path(dir).display()
    )]
    Behind {
        /// The folder.
        dir: PathBuf,
        /// How far the store is.
        store: StoreHead,
        /// How far it was.
        side_file: StoreHead,
    },
    /// The side file remembers another history than the store holds.
    #[error(
        "the journal in {} is not the one its side file belongs to: it holds another commit {} than {side_file}. {}. To go on \
         with the store as it is, remove {} and start again",
        dir.display(), side_file.number, RESTORE, head_file::path(dir).display()
    )]
    OtherHistory {
        /// The folder.
        dir: PathBuf,
        /// What the side file remembers.
        side_file: StoreHead,
    },
    /// The side file cannot be read.
    #[error(
        "the journal's side file {} is damaged ({what}). {}. To go on with the store as it is, remove the file and start again",
        path.display(), RESTORE
    )]
    HeadFile {
        /// The side file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The store does not open, or holds what was never written.
    #[error("the journal in {} is damaged: {what}. {}", dir.display(), RESTORE)]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no place for a copy, and only a copy is looked into.
    #[error("a copy of the journal can't be made in {} ({error}): TMPDIR names another folder, with room for it", tmp.display())]
    NoCopy {
        /// Where it would have been.
        tmp: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
    /// The file system said no otherwise.
    #[error("the journal in {} can't be opened: {error}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl OpenError {
    /// What the file system said, in words that say what to do.
    pub(super) fn io(dir: &Path, error: io::Error) -> Self {
        let dir = dir.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full { dir },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { dir, error },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::NotAFolder { dir },
            _ => Self::Io { dir, error },
        }
    }

    /// The same about another folder: the one that the operator knows.
    pub(super) fn about(mut self, known_dir: &Path) -> Self {
        match &mut self {
            Self::InUse { dir }
            | Self::Foreign { dir, .. }
            | Self::Newer { dir, .. }
            | Self::Older { dir, .. }
            | Self::NotAFolder { dir }
            | Self::NotWritable { dir, .. }
            | Self::Full { dir }
            | Self::Behind { dir, .. }
            | Self::OtherHistory { dir, .. }
            | Self::Damaged { dir, .. }
            | Self::Io { dir, .. } => known_dir.clone_into(dir),
            Self::HeadFile { path, .. } => *path = head_file::path(known_dir),
            Self::NoCopy { .. } => {}
        }
        self
    }
}

/// A store that may be used, with what is known about it.
pub(super) struct Opened {
    pub(super) store: Store,
    /// The store's own file, to sync it.
    pub(super) db_file: File,
    pub(super) blobs: BlobsWatch,
    pub(super) streams: Streams,
    pub(super) unindexed: Unindexed,
    pub(super) store_head: StoreHead,
}

/// The store with its trees.
pub(super) struct Store {
    pub(super) db: Db,
    pub(super) journal: Tree,
}

/// Opens the folder for use; makes it when it is not there.
pub(super) fn open(dir: &Path, options: &SledOptions) -> Result<Opened, OpenError> {
    let io_error = |error| OpenError::io(dir, error);
    fs::create_dir_all(dir).map_err(io_error)?;
    let side_file = read_side_file(dir)?;
    if let Some(side_file) = side_file.filter(|head| head.number > 0)
        && !dir.join(DB_FILE_NAME).exists()
    {
        return Err(OpenError::Behind { dir: dir.to_owned(), store: StoreHead::empty(), side_file });
    }
    let store = open_store(dir, options.cache_bytes)?;
    let is_new = check_format(dir, &store)?;
    let db_file = File::options().write(true).open(dir.join(DB_FILE_NAME)).map_err(io_error)?;
    if is_new {
        store.journal.insert(FORMAT_KEY, FORMAT).map_err(io::Error::from).map_err(io_error)?;
    }
    // What a killed process wrote and did not sync is found here like all the rest, and counts from now on: it is synced before
    // anybody sees it, and before the side file remembers it.
    store.db.flush().map_err(io::Error::from).map_err(io_error)?;
    options.disk.sync(&db_file).map_err(io_error)?;
    if is_new {
        sync_names(dir).map_err(io_error)?;
    }
    let blobs = BlobsWatch::start(dir.join(BLOBS_DIR_NAME))
        .map_err(|error| OpenError::Damaged { dir: dir.to_owned(), what: error.to_string() })?;
    let Recovered { store_head, streams, commits_count, bytes_count } = recover(dir, &store.journal, side_file)?;
    if side_file != Some(store_head) {
        if side_file.is_none() && store_head.number > 0 {
            tracing::warn!(
                dir = %dir.display(),
                "The journal has no side file: it is taken as it is, at {store_head}"
            );
        }
        head_file::write(dir, store_head).map_err(io_error)?;
    }
    let unindexed = Unindexed::new(&streams, commits_count, bytes_count, options.checkpoint_commits);
    Ok(Opened { store, db_file, blobs, streams, unindexed, store_head })
}

/// Opens the store and its trees, without looking at what they hold.
pub(super) fn open_store(dir: &Path, cache_bytes: u64) -> Result<Store, OpenError> {
    let config = || {
        Config::new()
            .path(dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache_bytes.clamp(CACHE_BYTES_MIN, CACHE_BYTES_MAX))
            // Its own flusher would wake an idle process twice a second; the writer syncs what needs it.
            .flush_every_ms(None)
    };
    let try_open = || -> ::sled::Result<Store> {
        let db = config().open()?;
        let journal = db.open_tree(JOURNAL_TREE)?;
        Ok(Store { db, journal })
    };
    let opened = when_unlocked(|| {
        // Some kinds of damage make the store panic rather than return an error.
        match catch_unwind(AssertUnwindSafe(try_open)) {
            Ok(Err(::sled::Error::Io(error))) if error.to_string().starts_with(LOCKED_TEXT) => None,
            opened => Some(opened),
        }
    });
    let dir = dir.to_owned();
    match opened {
        None => Err(OpenError::InUse { dir }),
        Some(Ok(Ok(store))) => Ok(store),
        Some(Ok(Err(::sled::Error::Io(error)))) => Err(OpenError::io(&dir, error)),
        Some(Ok(Err(::sled::Error::Unsupported(what)))) => Err(OpenError::Foreign { dir, what }),
        Some(Ok(Err(error))) => Err(store_damaged(&dir, &error)),
        Some(Err(panic)) => {
            let what = format!("the store panicked: {}", panic_text(&*panic));
            Err(OpenError::Damaged { dir, what })
        }
    }
}

/// Tries until `attempt` returns something, which it does not while the folder is locked; `None` if it stays so.
pub(super) fn when_unlocked<T>(attempt: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_millis(LOCK_WAIT_MS);
    loop {
        let result = attempt();
        if result.is_some() || Instant::now() >= deadline {
            return result;
        }
        thread::sleep(Duration::from_millis(LOCK_RETRY_MS));
    }
}

/// Whether the store was made just now; an error if it was made by something else.
pub(super) fn check_format(dir: &Path, store: &Store) -> Result<bool, OpenError> {
    let foreign = |what: String| OpenError::Foreign { dir: dir.to_owned(), what };
    let store_error = |error: ::sled::Error| store_damaged(dir, &error);
    match store.journal.get(FORMAT_KEY).map_err(store_error)? {
        Some(format) if format == FORMAT => return Ok(false),
        Some(format) => {
            let dir = dir.to_owned();
            return Err(match layout_of(&format) {
                found if found > layout_of(FORMAT) => OpenError::Newer { dir, found },
                0 => foreign(format!("its format is {:?}", String::from_utf8_lossy(&format))),
                found => OpenError::Older { dir, found },
            });
        }
        None => {}
    }
    // A crash may have come between making the store and writing the format: then nothing else is in it.
    for name in store.db.tree_names() {
        let tree = store.db.open_tree(&name).map_err(store_error)?;
        if let Some(entry) = tree.iter().next() {
            entry.map_err(store_error)?;
            return Err(foreign("it does not say its format".to_owned()));
        }
    }
    Ok(true)
}

/// The number in a layout's name; 0 when it is no name of ours.
fn layout_of(format: &[u8]) -> u64 {
    let number = std::str::from_utf8(format).ok().and_then(|name| name.strip_prefix(FORMAT_NAME));
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The side file's content; an error that tells the operator what to do if it is damaged.
pub(super) fn read_side_file(dir: &Path) -> Result<Option<StoreHead>, OpenError> {
    head_file::read(dir).map_err(|error| match error.kind() {
        // What is in the way is not the side file.
        io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => OpenError::io(dir, error),
        _ => OpenError::HeadFile { path: head_file::path(dir), what: error.to_string() },
    })
}

/// What a store holds, worked out.
struct Recovered {
    store_head: StoreHead,
    streams: Streams,
    /// How much was committed since the checkpoint.
    commits_count: u64,
    bytes_count: usize,
}

/// Compares the store with the side file, and verifies the newest commits: those since the checkpoint, from which
/// heads and index are brought up to date, and those that the side file may not know of.
fn recover(dir: &Path, tree: &Tree, side_file: Option<StoreHead>) -> Result<Recovered, OpenError> {
    let newest = newest_commit(dir, tree)?;
    if let Some(side_file) = side_file.filter(|head| head.number > newest) {
        return Err(OpenError::Behind { dir: dir.to_owned(), store: commit_head(dir, tree, newest)?, side_file });
    }
    let checkpoint = read_checkpoint(dir, tree)?;
    if checkpoint > newest {
        return Err(commit_damaged(dir, checkpoint, "the index is written up to it, but it is missing"));
    }
    let mut streams = read_heads(dir, tree)?;
    let oldest_checked = side_file.map_or(checkpoint, |head| head.number.min(checkpoint));
    let mut store_head = commit_head(dir, tree, oldest_checked)?;
    let mut bytes_count = 0;
    check_against(dir, store_head, side_file)?;
    for number in store_head.number + 1..=newest {
        let damaged = |what: &str| commit_damaged(dir, number, what);
        let blocks = read_commit(dir, tree, number)?;
        let (header, runs) = decode_commit(&blocks).ok_or_else(|| damaged("its value is not a commit"))?;
        store_head = store_head.after(runs.iter().map(|(_, run)| run.name()));
        if store_head.hash != header.hash {
            return Err(damaged("it does not follow from the one before it and its records"));
        }
        check_against(dir, store_head, side_file)?;
        for (block, run) in runs {
            run.records().map_err(|what| damaged(&format!("stream {}, sequence {}: {what}", run.stream, run.first)))?;
            if number > checkpoint {
                add(&mut streams, number, block, &run).map_err(|what| damaged(&what))?;
            }
        }
        if number > checkpoint {
            bytes_count += blocks.iter().map(|block| block.len()).sum::<usize>();
        }
    }
    Ok(Recovered { store_head, streams, commits_count: newest - checkpoint, bytes_count })
}

/// Brings a stream up to date with one more run.
fn add(streams: &mut Streams, commit: u64, block: u16, run: &Run<'_>) -> Result<(), String> {
    let stream = StreamName::parse(run.stream).ok_or_else(|| "it adds to a stream without a name".to_owned())?;
    let empty = || StreamState { head: StreamHead::empty(&stream), unindexed: Vec::new() };
    let state = streams.entry(stream.clone()).or_insert_with(empty);
    if state.head != run.head_before() {
        return Err(format!("it does not continue stream {stream}"));
    }
    state.head = run.head_after();
    state.unindexed.push(Extent { first: run.first, commit, count: run.count, block });
    Ok(())
}

/// An error if the side file remembers another commit of this number.
fn check_against(dir: &Path, head: StoreHead, side_file: Option<StoreHead>) -> Result<(), OpenError> {
    match side_file {
        Some(side_file) if side_file.number == head.number && side_file != head => {
            Err(OpenError::OtherHistory { dir: dir.to_owned(), side_file })
        }
        _ => Ok(()),
    }
}

/// The number of the newest commit, 0 if there is none.
fn newest_commit(dir: &Path, tree: &Tree) -> Result<u64, OpenError> {
    let Some(entry) = tree.scan_prefix(COMMIT_PREFIX).next_back() else {
        return Ok(0);
    };
    let (key, _) = entry.map_err(|error| store_damaged(dir, &error))?;
    commit_of(&key).ok_or_else(|| OpenError::Damaged { dir: dir.to_owned(), what: "a commit's key is not one".to_owned() })
}

/// The number of the commit up to which the index is written, 0 if it never was.
pub(super) fn read_checkpoint(dir: &Path, tree: &Tree) -> Result<u64, OpenError> {
    let damaged = |what: &str| OpenError::Damaged { dir: dir.to_owned(), what: format!("checkpoint: {what}") };
    match frame::get(tree, CHECKPOINT_KEY) {
        Ok(None) => Ok(0),
        Ok(Some(body)) => decode_checkpoint(&body).ok_or_else(|| damaged("its value is not one")),
        Err(FrameError::Damaged(what)) => Err(damaged(&what)),
        Err(FrameError::Store(error)) => Err(store_damaged(dir, &error)),
    }
}

fn commit_head(dir: &Path, tree: &Tree, number: u64) -> Result<StoreHead, OpenError> {
    if number == 0 {
        return Ok(StoreHead::empty());
    }
    let body = read_block(dir, tree, number, 0)?;
    let hash = decode_header(&body).ok_or_else(|| commit_damaged(dir, number, "its value is not a commit"))?.hash;
    Ok(StoreHead { number, hash })
}

/// All blocks of a commit.
fn read_commit(dir: &Path, tree: &Tree, number: u64) -> Result<Vec<Body>, OpenError> {
    let first = read_block(dir, tree, number, 0)?;
    let header = decode_header(&first).ok_or_else(|| commit_damaged(dir, number, "its value is not a commit"))?;
    let mut blocks = vec![first];
    for block in 1..header.blocks {
        blocks.push(read_block(dir, tree, number, block)?);
    }
    Ok(blocks)
}

fn read_block(dir: &Path, tree: &Tree, number: u64, block: u16) -> Result<Body, OpenError> {
    match get_block(tree, number, block) {
        Ok(Some(body)) => Ok(body),
        Ok(None) if block == 0 => Err(commit_damaged(dir, number, "it is missing")),
        Ok(None) => Err(commit_damaged(dir, number, &format!("block {block}: it is missing"))),
        Err(FrameError::Damaged(what)) => Err(commit_damaged(dir, number, &format!("block {block}: {what}"))),
        Err(FrameError::Store(error)) => Err(store_damaged(dir, &error)),
    }
}

fn decode_header(first_block: &[u8]) -> Option<Header> {
    decode_block(0, first_block)?.0
}

/// The header and all runs of a commit, each with the block it is in.
fn decode_commit(blocks: &[Body]) -> Option<(Header, Vec<(u16, Run<'_>)>)> {
    let mut header = None;
    let mut all_runs = Vec::new();
    for (block, body) in (0..).zip(blocks) {
        let (header_here, runs) = decode_block(block, body)?;
        header = header.or(header_here);
        all_runs.extend(runs.into_iter().map(|run| (block, run)));
    }
    Some((header?, all_runs))
}

/// Heads as of the checkpoint.
fn read_heads(dir: &Path, tree: &Tree) -> Result<Streams, OpenError> {
    let mut streams = Streams::new();
    for (key, body) in Frames::new(tree, tree.scan_prefix(HEAD_PREFIX)) {
        let name = String::from_utf8_lossy(&key).into_owned();
        let damaged = |what: &str| OpenError::Damaged { dir: dir.to_owned(), what: format!("stream head {name}: {what}") };
        let body = match body {
            Ok(body) => body,
            Err(FrameError::Damaged(what)) => return Err(damaged(&what)),
            Err(FrameError::Store(error)) => return Err(store_damaged(dir, &error)),
        };
        let Some(Key::Head(stream)) = parse_key(&key) else {
            return Err(damaged("its key is not one"));
        };
        let head = decode_head(&body).ok_or_else(|| damaged(NOT_EXTENTS))?.head;
        streams.insert(stream, StreamState { head, unindexed: Vec::new() });
    }
    Ok(streams)
}

fn commit_damaged(dir: &Path, number: u64, what: &str) -> OpenError {
    OpenError::Damaged { dir: dir.to_owned(), what: format!("commit {number}: {what}") }
}

fn store_damaged(dir: &Path, error: &::sled::Error) -> OpenError {
    OpenError::Damaged { dir: dir.to_owned(), what: said(error) }
}

/// What the store says, without what it leaves open.
fn said(error: &::sled::Error) -> String {
    match error {
        ::sled::Error::Corruption { at: Some(at), .. } => format!("its file is corrupt at {at}"),
        ::sled::Error::Corruption { at: None, .. } => "its file is corrupt".to_owned(),
        other => other.to_string(),
    }
}

/// Makes the names of a new store's files durable, and its settings, which the store does not sync itself.
pub(in super::super) fn sync_names(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
