//! The journal in one folder on one disk.
//!
//! ```text
//! append ──> bounded queue ──> writer thread: decide, write, flush, sync ──> answer
//!                                     │
//!                                     ├──> durable heads and extents ──> read, head, streams, follow
//!                                     └──> side file thread (at most 100 ms behind)
//! ```
//!
//! The store is `sled`, of one exact version, used within what was measured to be durable: one thread writes,
//! one insert or one batch on one tree per commit, no value large enough for a file of its own, and our own sync of
//! the store's file before anything is answered. A commit lies there as a whole, in a few blocks (`commit`), and an
//! index of where each stream's records are is written at checkpoints (`index`). Around it lie a checksum per block,
//! a hash chain per stream, a hash chain over all commits (`layout`) and a file that remembers how far the store was
//! (`head_file`).
//!
//! Files: `db`, `conf` and `snap.*` are the store's, `blobs/` stays empty, `head` is the side file. A backup is all
//! of them from one moment: copied while nothing runs, or as a snapshot of the file system.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;

use self::durable::Durable;
use self::head_file::HeadFileKeeper;
use self::open::Opened;
use self::writer::{Request, Writer};
use super::chain::ChainHash;
use super::{Append, AppendError, Cut, Journal, ReadError, Record, StreamEnd, StreamName, check};

mod commit;
mod durable;
mod frame;
mod head_file;
mod index;
mod layout;
mod open;
#[doc(hidden)]
pub mod probe;
mod read;
mod verify;
mod writer;

pub use self::layout::StoreHead;
pub(super) use self::open::sync_names as sync_folder;
pub use self::open::{Disk, MachineDisk, OpenError, SledOptions};
pub(super) use self::verify::verify_in_place;
pub use self::verify::{StreamReport, VerifyReport, verify, verify_with};

/// How many appends may wait for the writer before further ones wait outside: two full commits, so that the writer
/// never starves and nobody waits for more than about three syncs in the queue.
const QUEUE_APPENDS_MAX: usize = 1024;

/// The journal. Dropping it finishes what is queued, like [`SledJournal::close`].
pub struct SledJournal {
    tree: ::sled::Tree,
    durable: Arc<Durable>,
    /// `None` once closed.
    running: Mutex<Option<Running>>,
}

struct Running {
    requests: mpsc::Sender<Request>,
    writer: JoinHandle<()>,
    head_file: HeadFileKeeper,
}

impl SledJournal {
    /// Opens the journal in a folder, which is made when it is not there. Takes some tenths of a second for
    /// millions of records, so not from an async task.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: &SledOptions) -> Result<Self, OpenError> {
        let Opened { store, db_file, blobs, streams, unindexed, store_head } = open::open(dir, options)?;
        let start_error = |error| OpenError::io(dir, error);
        let durable = Arc::new(Durable::new(streams, store_head));
        let head_file = HeadFileKeeper::start(dir.to_owned()).map_err(start_error)?;
        let writer = Writer {
            db: store.db,
            tree: store.journal.clone(),
            db_file,
            disk: options.disk.clone(),
            blobs,
            store_head,
            durable: Arc::clone(&durable),
            head_file: head_file.desk(),
            unindexed,
        };
        let (requests, queue) = mpsc::channel(QUEUE_APPENDS_MAX);
        let writer =
            thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run(queue)).map_err(start_error)?;
        Ok(Self { tree: store.journal, durable, running: Mutex::new(Some(Running { requests, writer, head_file })) })
    }

    /// Why nothing is accepted any more, if so: for health checks.
    #[must_use]
    pub fn poison(&self) -> Option<String> {
        self.durable.poison().map(str::to_owned)
    }

    /// Stops accepting, finishes what is queued, brings the side file up to date and returns when the threads have
    /// ended. Reading goes on working, and the folder stays in use until this is dropped. It waits for the disk: from an async task
    /// only where blocking is allowed.
    pub fn close(&self) {
        let Some(running) = self.running().take() else {
            return;
        };
        // The writer ends when the last sender is gone: this one, and those of appends that still wait for a place.
        drop(running.requests);
        if running.writer.join().is_err() {
            tracing::error!("The journal's writer had panicked");
        }
        running.head_file.finish();
    }

    /// [`Journal::append`] where there is nothing else to do meanwhile: not from an async task.
    pub(super) fn append_and_wait(&self, appends: Vec<Append>) -> Result<(), AppendError> {
        check(&appends)?;
        let closed = || AppendError::Poisoned("it was closed".to_owned());
        let requests = self.requests().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        requests.blocking_send(Request { appends, is_patient: false, answer }).map_err(|_| closed())?;
        drop(requests);
        answered.blocking_recv().unwrap_or_else(|_| Err(AppendError::Unknown("the writer ended before it answered".to_owned())))
    }

    async fn ask(&self, appends: Vec<Append>, is_patient: bool) -> Result<(), AppendError> {
        check(&appends)?;
        let closed = || AppendError::Poisoned("it was closed".to_owned());
        let requests = self.requests().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { appends, is_patient, answer };
        requests.send(request).await.map_err(|_| closed())?;
        // Not needed while waiting, and the writer ends only when all are gone.
        drop(requests);
        answered.await.unwrap_or_else(|_| Err(AppendError::Unknown("the writer ended before it answered".to_owned())))
    }

    fn requests(&self) -> Option<mpsc::Sender<Request>> {
        self.running().as_ref().map(|running| running.requests.clone())
    }

    /// Whole whenever the lock is free, whatever happened to those who held it.
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SledJournal {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Journal for SledJournal {
    /// The lock on the folder is the fence here, so the epoch is not looked at.
    async fn append(&self, appends: Vec<Append>, _epoch: u64) -> Result<(), AppendError> {
        self.ask(appends, false).await
    }

    async fn append_patiently(&self, appends: Vec<Append>, _epoch: u64) -> Result<(), AppendError> {
        self.ask(appends, true).await
    }

    /// On a thread where blocking is allowed: pages that are not in memory are read from the disk, and checking a
    /// long stream's hashes takes a while. The cost of going there is nothing beside either.
    async fn read(&self, stream: &StreamName, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let first = from.max(1);
        let (end, unindexed) = match self.durable.tail(stream, first) {
            Some((end, unindexed)) if first <= end.sequence && limit > 0 => (end, unindexed),
            _ => return Ok(Vec::new()),
        };
        let last = end.sequence.min(first.saturating_add(limit as u64 - 1));
        let tree = self.tree.clone();
        let stream = stream.clone();
        let reading = task::spawn_blocking(move || read::records(&tree, &stream, first, last, (end, unindexed)));
        reading.await.unwrap_or_else(|error| Err(ReadError::Store(error.to_string())))
    }

    async fn head(&self, stream: &StreamName) -> Result<u64, ReadError> {
        Ok(self.durable.head(stream).map_or(0, |head| head.sequence))
    }

    async fn chain(&self, stream: &StreamName, sequence: u64) -> Result<Option<ChainHash>, ReadError> {
        let (end, unindexed) = match self.durable.tail(stream, sequence) {
            Some((end, unindexed)) if (1..=end.sequence).contains(&sequence) => (end, unindexed),
            _ => return Ok(None),
        };
        let tree = self.tree.clone();
        let stream = stream.clone();
        let reading = task::spawn_blocking(move || read::chain(&tree, &stream, sequence, (end, unindexed)));
        reading.await.unwrap_or_else(|error| Err(ReadError::Store(error.to_string())))
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError> {
        Ok(self.durable.streams(prefix))
    }

    async fn cut(&self) -> Result<Cut, ReadError> {
        let (head, streams) = self.durable.cut();
        let end =
            |(stream, head): (StreamName, layout::StreamHead)| StreamEnd { stream, sequence: head.sequence, chain: head.hash };
        Ok(Cut { commit: head.number, hash: Some(head.hash), streams: streams.into_iter().map(end).collect() })
    }

    fn stopped(&self) -> Option<String> {
        self.poison()
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.durable.follow()
    }
}
