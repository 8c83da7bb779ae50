//! The writer: one thread that alone writes to the journal's tree.
//!
//! It takes what has queued up, decides each append against the heads as the ones before it leave them, writes all
//! that fit as one commit, makes it durable, and only then answers everybody. Waiting together is what makes many
//! writers fast: one sync serves them all.
//!
//! `flush()` hands the commit to the operating system but does not sync it; `sync_data()` on the store's file does
//! ([`Disk`]).

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use ::sled::{Db, Tree};
use tokio::sync::{mpsc, oneshot};

use crate::engine::clock::Stopwatch;

use super::super::{Append, AppendError, NewRecord, StreamName};
use super::commit::NewCommit;
use super::durable::Durable;
use super::frame::Writes;
use super::head_file::HeadFileDesk;
use super::index::Unindexed;
use super::layout::{StoreHead, StreamHead};
use super::open::Disk;

/// How many appends one commit takes at most: more gain nothing (the sync is already shared by hundreds), and
/// everyone in a commit waits for all of it.
const COMMIT_APPENDS_MAX: usize = 512;
/// How many bytes a commit takes at most, but for its last append: keeps it within a segment or two.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// With so many appends in the last commit, the next one waits for company: as many as `PostgreSQL` has siblings by default.
const SIBLINGS_MIN: usize = 5;
/// How long it waits, and again as long as more came meanwhile: a fraction of what a commit takes, whose cost it spares those that
/// would have needed one of their own.
const COMMIT_DELAY: Duration = Duration::from_micros(200);
/// How often it waits at most, so that nobody waits for a crowd that never ends; and what nobody waits for, for company.
const COMMIT_DELAYS_MAX: usize = 15;
/// What a stream that is added to, and a record, cost beside their names, ids and payloads; roughly.
const OVERHEAD_BYTES: usize = 100;

/// One append on its way to the writer.
pub(super) struct Request {
    pub(super) appends: Vec<Append>,
    /// Nobody waits for it: it is written with what comes next.
    pub(super) is_patient: bool,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
}

/// The thread's belongings.
pub(super) struct Writer {
    pub(super) db: Db,
    pub(super) tree: Tree,
    /// The store's own file, held open to sync it.
    pub(super) db_file: File,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) blobs: BlobsWatch,
    pub(super) store_head: StoreHead,
    pub(super) durable: Arc<Durable>,
    pub(super) head_file: HeadFileDesk,
    /// What was committed since the checkpoint.
    pub(super) unindexed: Unindexed,
}

/// The folder where the store puts values that are too large for its pages, into files that it never syncs.
pub(super) struct BlobsWatch {
    dir: PathBuf,
    /// When its content had last changed when it was last seen to be empty.
    empty_since: SystemTime,
}

/// What goes into a commit, as it grows: the streams it adds to, with the heads they have before it.
#[derive(Default)]
struct Accepted {
    streams: BTreeMap<StreamName, (StreamHead, Vec<NewRecord>)>,
    bytes_count: usize,
}

impl Writer {
    /// Serves until all senders are gone and the queue is empty, then leaves nothing unsynced.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut queued = Vec::with_capacity(COMMIT_APPENDS_MAX);
        let mut served_count = 0;
        while let Some(first) = requests.blocking_recv() {
            queued.push(first);
            gather(&mut requests, &mut queued, served_count);
            served_count = queued.len();
            self.serve(&mut queued);
        }
        // The records are durable already: this is for the index, which spares the next opening some work.
        if self.durable.poison().is_none()
            && let Err(reason) = self.guarded(Self::close)
        {
            tracing::error!(reason, "The store could not be synced when closing");
        }
    }

    fn serve(&mut self, queued: &mut Vec<Request>) {
        let mut accepted = Accepted::default();
        let mut answers = Vec::with_capacity(queued.len());
        for Request { appends, answer, .. } in queued.drain(..) {
            let result = accepted.add(&self.durable, appends);
            answers.push((answer, result));
        }
        // Refusals wait too: what they were refused for may be in this very commit.
        let committed = self.commit(&accepted);
        for (answer, result) in answers {
            // Whoever no longer waits for the answer is none of our business.
            let _ = answer.send(committed.clone().and(result));
        }
    }

    fn commit(&mut self, accepted: &Accepted) -> Result<(), AppendError> {
        if let Some(reason) = self.durable.poison() {
            return Err(AppendError::Poisoned(reason.to_owned()));
        }
        if accepted.streams.is_empty() {
            return Ok(());
        }
        let watch = Stopwatch::start();
        if let Err(reason) = self.guarded(|writer| writer.write(accepted)) {
            tracing::error!(reason, "The journal accepts nothing until a restart: what its disk holds is uncertain");
            self.durable.set_poison(reason.clone());
            return Err(AppendError::Poisoned(reason));
        }
        let records: usize = accepted.streams.values().map(|(_, records)| records.len()).sum();
        metrics::counter!("tminus_journal_records_total").increment(records as u64);
        metrics::counter!("tminus_journal_bytes_total").increment(accepted.bytes_count as u64);
        metrics::histogram!("tminus_journal_commit_seconds").record(watch.seconds());
        Ok(())
    }

    fn write(&mut self, accepted: &Accepted) -> io::Result<()> {
        let mut commit = NewCommit::new(self.store_head);
        for (stream, (head, records)) in &accepted.streams {
            commit.add(stream, *head, records);
        }
        let mut writes = Writes::default();
        let (store_head, added) = commit.put(&mut writes);
        self.unindexed.add(&added, accepted.bytes_count);
        let is_checkpoint = self.unindexed.is_due();
        if is_checkpoint {
            self.unindexed.put(&self.tree, store_head.number, &mut writes)?;
        }
        writes.apply(&self.tree).map_err(io::Error::from)?;
        self.sync()?;
        self.blobs.check()?;
        self.store_head = store_head;
        self.durable.advance(&added, store_head);
        if is_checkpoint {
            self.unindexed.clear(&self.durable);
        }
        self.head_file.leave(store_head);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if !self.unindexed.is_empty() {
            let mut writes = Writes::default();
            self.unindexed.put(&self.tree, self.store_head.number, &mut writes)?;
            writes.apply(&self.tree).map_err(io::Error::from)?;
            self.unindexed.clear(&self.durable);
        }
        self.sync()?;
        self.blobs.check()
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush().map_err(io::Error::from)?;
        self.disk.sync(&self.db_file)
    }

    /// The store panics where it meets what it holds to be impossible; to whoever waits that is one more failure.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => done.map_err(|error| words(&error)),
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

impl Accepted {
    /// Adds all of it or nothing.
    fn add(&mut self, durable: &Durable, appends: Vec<Append>) -> Result<(), AppendError> {
        for Append { stream, expected, .. } in &appends {
            let actual = match self.streams.get(stream) {
                Some((head, records)) => head.sequence + records.len() as u64,
                None => durable.head(stream).map_or(0, |head| head.sequence),
            };
            if actual != *expected {
                return Err(AppendError::Conflict { stream: stream.clone(), actual });
            }
        }
        for append in appends {
            self.bytes_count += append_bytes(&append);
            let Append { stream, mut records, .. } = append;
            if let Some((_, before)) = self.streams.get_mut(&stream) {
                before.append(&mut records);
            } else {
                let head = durable.head(&stream).unwrap_or_else(|| StreamHead::empty(&stream));
                self.streams.insert(stream, (head, records));
            }
        }
        Ok(())
    }
}

/// What is written together: what has queued up, and what comes while it pays to wait. Whoever is waited for and was alone the
/// last time never waits; what nobody waits for waits until somebody else has to be served.
fn gather(requests: &mut mpsc::Receiver<Request>, queued: &mut Vec<Request>, served_count: usize) {
    let mut bytes_count = queued.iter().map(request_bytes).sum();
    // What is there at first counts as having just come.
    let mut known_count = 0;
    for _ in 0..COMMIT_DELAYS_MAX {
        let has_room = take_queued(requests, queued, &mut bytes_count);
        let is_patient = queued.iter().all(|request| request.is_patient);
        let is_growing = served_count >= SIBLINGS_MIN && queued.len() > known_count;
        if !has_room || requests.is_closed() || !(is_patient || is_growing) {
            return;
        }
        known_count = queued.len();
        thread::sleep(COMMIT_DELAY);
    }
    take_queued(requests, queued, &mut bytes_count);
}

/// Takes what has queued up, within the limits of one commit. False when there is no more room in it.
fn take_queued(requests: &mut mpsc::Receiver<Request>, queued: &mut Vec<Request>, bytes_count: &mut usize) -> bool {
    while queued.len() < COMMIT_APPENDS_MAX && *bytes_count < COMMIT_BYTES_MAX {
        let Ok(next) = requests.try_recv() else {
            return true;
        };
        *bytes_count += request_bytes(&next);
        queued.push(next);
    }
    false
}

fn request_bytes(request: &Request) -> usize {
    request.appends.iter().map(append_bytes).sum()
}

/// About what an append takes up in a commit.
fn append_bytes(append: &Append) -> usize {
    let record_bytes = |record: &NewRecord| OVERHEAD_BYTES + record.id.len() + record.payload.len();
    OVERHEAD_BYTES + append.stream.as_str().len() + append.records.iter().map(record_bytes).sum::<usize>()
}

/// What went wrong, for people. The store repeats an error of the system's as it would be printed for a programmer.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "there is no room left on the disk".to_owned(),
        io::ErrorKind::FileTooLarge => "a file may not grow any more".to_owned(),
        kind if error.raw_os_error().is_none() && kind != io::ErrorKind::Other => kind.to_string(),
        _ => error.to_string(),
    }
}

/// What a panic said, if it said it in words.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}
