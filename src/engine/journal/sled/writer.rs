//! The writer: one thread that alone writes to the journal's tree.
//!
//! It takes what has queued up, decides each append against the heads as the ones before it leave them, writes all
//! that fit as one commit, makes it durable, and only then answers everybody. Waiting together is what makes many
//! writers fast: one sync serves them all.
//!
//! `flush()` hands the commit to the operating system but does not sync it; `sync_data()` on the store's file does.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ::sled::{Batch, Db, Tree};
use tokio::sync::{mpsc, oneshot};

use super::super::{Append, AppendError, StreamName};
use super::durable::Durable;
use super::head_file::HeadFileDesk;
use super::layout::{
    CHECKPOINT_KEY, CommitPart, HEADS_EVERY_COMMITS, Hash, StoreHead, StreamHead, commit_key, encode_checkpoint, encode_commit,
    encode_head, encode_record, head_key, record_key,
};

/// How many appends one commit takes at most: more gain nothing (the sync is already shared by hundreds), and
/// everyone in a commit waits for all of it.
const COMMIT_APPENDS_MAX: usize = 512;
/// How many bytes of records a commit takes at most, but for its last append: keeps it within a segment or two.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One append on its way to the writer.
pub(super) struct Request {
    pub(super) appends: Vec<Append>,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
}

/// The thread's belongings.
pub(super) struct Writer {
    pub(super) db: Db,
    pub(super) tree: Tree,
    /// The store's own file, held open to sync it.
    pub(super) db_file: File,
    pub(super) blobs: BlobsWatch,
    pub(super) store_head: StoreHead,
    pub(super) durable: Arc<Durable>,
    pub(super) head_file: HeadFileDesk,
    /// Heads that changed since they were last written to the tree.
    pub(super) unwritten_heads: BTreeMap<StreamName, StreamHead>,
}

/// The folder where the store puts values that are too large for its pages, into files that it never syncs.
pub(super) struct BlobsWatch {
    dir: PathBuf,
    /// When its content had last changed when it was last seen to be empty.
    empty_since: SystemTime,
}

/// A commit as it grows.
#[derive(Default)]
struct Commit {
    batch: Batch,
    /// The streams it adds to, with their heads before and after it.
    heads: BTreeMap<StreamName, (StreamHead, StreamHead)>,
}

impl Writer {
    /// Serves until all senders are gone and the queue is empty, then leaves nothing unsynced.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let queued = take_queued(first, &mut requests);
            self.serve(queued);
        }
        // The records are durable already; this is for the scratch tree, which nobody syncs.
        if self.durable.poison().is_none()
            && let Err(reason) = self.guarded(Self::sync)
        {
            tracing::error!(reason, "The store could not be synced when closing");
        }
    }

    fn serve(&mut self, queued: Vec<Request>) {
        let mut commit = Commit::default();
        let mut answers = Vec::with_capacity(queued.len());
        for Request { appends, answer } in queued {
            let result = commit.add(&self.durable, appends);
            answers.push((answer, result));
        }
        // Refusals wait too: what they were refused for may be in this very commit.
        let committed = self.commit(commit);
        for (answer, result) in answers {
            // Whoever no longer waits for the answer is none of our business.
            let _ = answer.send(committed.clone().and(result));
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<(), AppendError> {
        if let Some(reason) = self.durable.poison() {
            return Err(AppendError::Poisoned(reason.to_owned()));
        }
        if commit.heads.is_empty() {
            return Ok(());
        }
        let Commit { mut batch, heads } = commit;
        let (heads, parts) = what_changed(heads);
        let store_head = self.store_head.after(parts.iter().map(|(part, hash)| (part, *hash)));
        let parts: Vec<CommitPart> = parts.into_iter().map(|(part, _)| part).collect();
        encode_commit(store_head.hash, &parts).put(commit_key(store_head.number), &mut batch);
        self.unwritten_heads.extend(heads.iter().cloned());
        if store_head.number.is_multiple_of(HEADS_EVERY_COMMITS) {
            for (stream, head) in mem::take(&mut self.unwritten_heads) {
                encode_head(&head).put(head_key(&stream), &mut batch);
            }
            encode_checkpoint(store_head.number).put(CHECKPOINT_KEY.to_vec(), &mut batch);
        }

        let written = self.guarded(|writer| {
            writer.tree.apply_batch(batch).map_err(io::Error::from)?;
            writer.sync()?;
            writer.blobs.check()
        });
        if let Err(reason) = written {
            tracing::error!(reason, "The journal accepts nothing until a restart: what its disk holds is uncertain");
            self.durable.set_poison(reason.clone());
            return Err(AppendError::Poisoned(reason));
        }
        self.store_head = store_head;
        self.durable.advance(heads, store_head);
        self.head_file.leave(store_head);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush().map_err(io::Error::from)?;
        self.db_file.sync_data()
    }

    /// The store panics where it meets what it holds to be impossible; to whoever waits that is one more failure.
    fn guarded(&self, work: impl FnOnce(&Self) -> io::Result<()>) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("the store panicked: {}", panic_text(&*panic))),
        }
    }
}

impl BlobsWatch {
    /// An error when there is anything in it.
    pub(super) fn start(dir: PathBuf) -> io::Result<Self> {
        let empty_since = fs::metadata(&dir)?.modified()?;
        let watch = Self { dir, empty_since };
        watch.look_inside()?;
        Ok(watch)
    }

    /// Asked after every commit, so it goes by the time at which the folder last changed, which is a fifth of the
    /// work of listing it.
    fn check(&self) -> io::Result<()> {
        if fs::metadata(&self.dir)?.modified()? == self.empty_since {
            return Ok(());
        }
        self.look_inside()
    }

    fn look_inside(&self) -> io::Result<()> {
        match fs::read_dir(&self.dir)?.next() {
            None => Ok(()),
            Some(_) => Err(io::Error::other(format!(
                "there is a file in {}, where the store puts values it does not sync",
                self.dir.display()
            ))),
        }
    }
}

impl Commit {
    /// Adds all of it or nothing.
    fn add(&mut self, durable: &Durable, appends: Vec<Append>) -> Result<(), AppendError> {
        let mut before = Vec::with_capacity(appends.len());
        for Append { stream, expected, .. } in &appends {
            let head = match self.heads.get(stream) {
                Some((_, after)) => *after,
                None => durable.head(stream).unwrap_or_else(|| StreamHead::empty(stream)),
            };
            if head.sequence != *expected {
                return Err(AppendError::Conflict { stream: stream.clone(), actual: head.sequence });
            }
            before.push(head);
        }
        for (append, before) in appends.into_iter().zip(before) {
            let mut head = before;
            for record in &append.records {
                head = head.after(&record.id, &record.payload);
                let key = record_key(&append.stream, head.sequence);
                encode_record(record, head.hash).put(key, &mut self.batch);
            }
            self.heads.entry(append.stream).and_modify(|(_, after)| *after = head).or_insert((before, head));
        }
        Ok(())
    }
}

type NewHeads = Vec<(StreamName, StreamHead)>;
/// What a commit added to each stream, with the hash of the last record.
type HashedParts = Vec<(CommitPart, Hash)>;

fn what_changed(heads: BTreeMap<StreamName, (StreamHead, StreamHead)>) -> (NewHeads, HashedParts) {
    let changed = heads.into_iter().map(|(stream, (before, after))| {
        let part = CommitPart {
            stream: stream.clone(),
            first: before.sequence + 1,
            count: u32::try_from(after.sequence - before.sequence).expect("a commit is bounded far below 2^32 records"),
        };
        ((stream, after), (part, after.hash))
    });
    changed.unzip()
}

/// The first request and what has queued up behind it, within the limits of one commit.
fn take_queued(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes_count = payload_bytes(&first);
    let mut queued = vec![first];
    while queued.len() < COMMIT_APPENDS_MAX && bytes_count < COMMIT_BYTES_MAX {
        let Ok(next) = requests.try_recv() else {
            break;
        };
        bytes_count += payload_bytes(&next);
        queued.push(next);
    }
    queued
}

fn payload_bytes(request: &Request) -> usize {
    let records = request.appends.iter().flat_map(|append| &append.records);
    records.map(|record| record.payload.len()).sum()
}

/// What a panic said, if it said it in words.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}
