//! Snapshots: what a stream's records had become at one of them, so that a start need not read all of them again.
//!
//! A snapshot is a cache, never a truth. It is taken only when everything fits: its form and the program that wrote it, its
//! stream, its own checksum, and the hash of the journal's chain at its sequence. So a torn or damaged one, one of another
//! stream, one of a newer program, or one that is ahead of a journal which lost its end is passed over with a line in the log,
//! and the stream is read from its beginning as if there were none.
//!
//! ```text
//! line 1   {"format":1,"program":"0.1.0","stream":"rollout/12","sequence":512,"chain":"9f…","content":"4b…"}
//! line 2   the state, as JSON; `content` is its SHA-256
//! ```
//!
//! They are files beside the journal's store and not in it: a second writer there must not be (see `journal::sled`).

mod folder;
mod keeper;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::registry::Registry;
use crate::domain::rollout::state::State;

use super::journal::chain::{ChainHash, hex};
use super::journal::{Journal, StreamName};

pub use self::folder::SnapshotFolder;
pub use self::keeper::Keeper;

/// The form of what is written down. It has to rise whenever the form of [`State`], of [`Registry`] or of the index of a room of
/// our own changes, or what an event means to them: a test compares the form with the one that this number stood for.
pub const SNAPSHOT_FORMAT: u32 = 4;
/// A change of the program may change what an event means to the state, so each begins anew.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// After how many new events a stream is written down again: reading so many takes some milliseconds.
pub const SNAPSHOT_EVENTS: u64 = 256;
/// The largest snapshot that is read, in bytes: a registry of several hundred thousand rollouts.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where snapshots are kept. Nothing depends on them, so whatever fails is logged, and done without.
pub trait SnapshotStore: Send + Sync + 'static {
    /// The latest of a stream, as it was written.
    ///
    /// # Errors
    /// When it is there and can't be read.
    fn read(&self, stream: &StreamName) -> io::Result<Option<Vec<u8>>>;

    /// Replaces that of a stream, as a whole or not at all.
    ///
    /// # Errors
    /// When it can't be written; the one before stands then.
    fn write(&self, stream: &StreamName, snapshot: &[u8]) -> io::Result<()>;

    /// Of the streams whose names begin so, forgets all but those of these.
    ///
    /// # Errors
    /// When one can't be removed.
    fn keep_only(&self, prefix: &str, streams: &BTreeSet<StreamName>) -> io::Result<()>;

    /// Forgets that of a stream.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    fn remove(&self, stream: &StreamName) -> io::Result<()>;
}

/// Keeps nothing: every start reads everything. For simulations, and tests of other things.
#[derive(Clone, Copy, Debug)]
pub struct NoSnapshots;

impl SnapshotStore for NoSnapshots {
    fn read(&self, _stream: &StreamName) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write(&self, _stream: &StreamName, _snapshot: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn keep_only(&self, _prefix: &str, _streams: &BTreeSet<StreamName>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _stream: &StreamName) -> io::Result<()> {
        Ok(())
    }
}

/// What can be written down: it knows up to which record of its stream it goes.
pub trait Snapshotted: Serialize + DeserializeOwned + Send + 'static {
    /// The sequence of the last record that is in it.
    fn sequence(&self) -> u64;
}

impl Snapshotted for State {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Snapshotted for Registry {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The first line of a snapshot.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: u32,
    program: String,
    stream: StreamName,
    sequence: u64,
    chain: String,
    content: String,
}

/// A state as the bytes of a snapshot.
///
/// # Errors
/// When it has no JSON form.
pub fn encode<T: Snapshotted>(stream: &StreamName, chain: &ChainHash, state: &T) -> serde_json::Result<Vec<u8>> {
    let content = serde_json::to_vec(state)?;
    let header = Header {
        format: SNAPSHOT_FORMAT,
        program: PROGRAM.to_owned(),
        stream: stream.clone(),
        sequence: state.sequence(),
        chain: hex(chain),
        content: hex(Sha256::digest(&content)),
    };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.extend(content);
    Ok(bytes)
}

/// A snapshot's state, if it was written whole, by this program, about this stream; and the chain hash that the journal has to
/// have there.
///
/// # Errors
/// Why it can't be used, in words that follow its name.
pub fn decode<T: Snapshotted>(stream: &StreamName, bytes: &[u8]) -> Result<(T, String), String> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (first, content) = (lines.next().unwrap_or_default(), lines.next().ok_or("it was cut off")?);
    let header: Header = serde_json::from_slice(first).map_err(|_| "its first line is not that of a snapshot")?;
    if (header.format, header.program.as_str()) != (SNAPSHOT_FORMAT, PROGRAM) {
        return Err(format!("it is of format {} of version {}", header.format, header.program));
    }
    if header.stream != *stream {
        return Err(format!("it is of {}", header.stream));
    }
    if hex(Sha256::digest(content)) != header.content {
        return Err("its content is not what was written".to_owned());
    }
    let state: T = serde_json::from_slice(content).map_err(|error| format!("its content is no state: {error}"))?;
    if state.sequence() != header.sequence {
        return Err("its content is of another sequence".to_owned());
    }
    Ok((state, header.chain))
}

/// The latest snapshot of a stream, if there is one that fits the journal.
pub async fn take<T: Snapshotted>(store: &Arc<dyn SnapshotStore>, journal: &dyn Journal, stream: &StreamName) -> Option<T> {
    match fitting(store, journal, stream).await {
        Ok(found) => found,
        Err(why) => {
            metrics::counter!("tminus_snapshots_ignored_total").increment(1);
            tracing::warn!("The snapshot of {stream} is not used: {why}; all of {stream} is read");
            None
        }
    }
}

async fn fitting<T: Snapshotted>(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    stream: &StreamName,
) -> Result<Option<T>, String> {
    let (store, of) = (store.clone(), stream.clone());
    let reading = move || match store.read(&of).map_err(|error| error.to_string())? {
        Some(bytes) => decode::<T>(&of, &bytes).map(Some),
        None => Ok(None),
    };
    let read = tokio::task::spawn_blocking(reading).await.map_err(|error| error.to_string())?;
    let Some((state, chain)) = read? else { return Ok(None) };
    match journal.chain(stream, state.sequence()).await {
        Ok(Some(there)) if hex(there) == chain => Ok(Some(state)),
        Ok(Some(_)) => Err(format!("the journal has other records up to {}", state.sequence())),
        Ok(None) => Err(format!("the journal does not reach {}", state.sequence())),
        Err(error) => Err(error.to_string()),
    }
}
