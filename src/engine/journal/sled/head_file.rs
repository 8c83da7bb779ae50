//! The side file `head`: how far the store was a moment ago, kept outside the store.
//!
//! Damage in the newest few kilobytes of the store makes it open without the last commits and without a word. The
//! side file remembers that they existed. It is written by a thread of its own, off the path of an append, because
//! syncing it with every commit would halve the rate: it is [`LAG_MS_MAX`] behind plus the time of one write, and a
//! loss within that window (which takes damage to the disk, not merely a crash) is not noticed.
//!
//! The file is replaced as a whole: written under another name, synced, renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::files::{self, Readers};

use super::super::chain;
use super::layout::{NUMBER_MAX, StoreHead};

/// How far the side file may be behind, before the time that one write takes: short enough that a loss that goes
/// unnoticed is a click or two, long enough that a busy store is not slowed by a second file's syncs.
pub(super) const LAG_MS_MAX: u64 = 80;
/// How long to wait after a write that failed: a full disk is not helped by trying faster.
const RETRY_MS: u64 = 1000;

const FILE_NAME: &str = "head";
const NEW_FILE_NAME: &str = "head.new";
const TITLE: &str = "tminus journal head 1";

/// Where the side file of a store is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Its content; `None` when there is no such file.
///
/// An error of kind [`io::ErrorKind::InvalidData`] means that it is there but not as it was written.
pub(super) fn read(dir: &Path) -> io::Result<Option<StoreHead>> {
    let bytes = match fs::read(path(dir)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let head = std::str::from_utf8(&bytes).ok().and_then(parse);
    head.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its content is not what was written"))
}

/// Replaces it, durably.
pub(super) fn write(dir: &Path, head: StoreHead) -> io::Result<()> {
    files::replace(&path(dir), &dir.join(NEW_FILE_NAME), format(head).as_bytes(), Readers::Owner)
}

/// The thread that keeps the side file up to date.
pub(super) struct HeadFileKeeper {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// Where the next head to write is left; a newer one replaces an older one that was not yet taken.
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DeskState {
    next: Option<StoreHead>,
    is_closing: bool,
}

/// The end of the desk that the writer holds.
#[derive(Clone)]
pub(super) struct HeadFileDesk(Arc<Desk>);

impl HeadFileKeeper {
    pub(super) fn start(dir: PathBuf) -> io::Result<Self> {
        let desk = Arc::new(Desk { state: Mutex::default(), changed: Condvar::new() });
        let thread = thread::Builder::new().name("journal-head".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || desk.keep(&dir)
        })?;
        Ok(Self { desk, thread })
    }

    pub(super) fn desk(&self) -> HeadFileDesk {
        HeadFileDesk(Arc::clone(&self.desk))
    }

    /// Writes what is left and returns when the thread has ended.
    pub(super) fn finish(self) {
        self.desk.state().is_closing = true;
        self.desk.changed.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("The thread that keeps the journal's side file had panicked");
        }
    }
}

impl HeadFileDesk {
    /// Never waits for the disk.
    pub(super) fn leave(&self, head: StoreHead) {
        let was_idle = self.0.state().next.replace(head).is_none();
        if was_idle {
            self.0.changed.notify_one();
        }
    }
}

impl Desk {
    fn keep(&self, dir: &Path) {
        while let Some((head, is_last)) = self.take_next() {
            let Err(error) = write(dir, head) else {
                continue;
            };
            tracing::error!(%error, "The journal's side file could not be written: losses would go unnoticed");
            if is_last {
                return;
            }
            self.put_back(head);
            self.pause(RETRY_MS);
        }
    }

    /// Sleeps until there is something to write, and then for as long as the file may be behind, so that many
    /// commits make one write. `None` when closing and nothing is left.
    fn take_next(&self) -> Option<(StoreHead, bool)> {
        let idle = |state: &mut DeskState| state.next.is_none() && !state.is_closing;
        drop(self.changed.wait_while(self.state(), idle).expect("nothing that holds this lock panics"));
        self.pause(LAG_MS_MAX);
        let mut state = self.state();
        let head = state.next.take()?;
        Some((head, state.is_closing))
    }

    /// Ends early when closing.
    fn pause(&self, pause_ms: u64) {
        let pause = Duration::from_millis(pause_ms);
        drop(
            self.changed
                .wait_timeout_while(self.state(), pause, |state| !state.is_closing)
                .expect("nothing that holds this lock panics"),
        );
    }

    fn put_back(&self, head: StoreHead) {
        self.state().next.get_or_insert(head);
    }

    fn state(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().expect("nothing that holds this lock panics")
    }
}

pub(super) fn format(head: StoreHead) -> String {
    let text = format!("{TITLE}\ncommit {}\nhash {}\n", head.number, head.hash_hex());
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}crc {crc:08x}\n")
}

pub(super) fn parse(text: &str) -> Option<StoreHead> {
    let mut lines = text.lines().skip(1);
    let head = StoreHead {
        number: lines.next()?.strip_prefix("commit ")?.parse().ok().filter(|number| *number <= NUMBER_MAX)?,
        hash: chain::parse_hex(lines.next()?.strip_prefix("hash ")?)?,
    };
    // Whatever else may differ, title and checksum included, makes another text.
    (format(head) == text).then_some(head)
}
