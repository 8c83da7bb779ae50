//! Snapshots: what a stream's records had become at one of them, so that a start need not read all of them again.
//!
//! A snapshot is a cache, never a truth. It is taken only when everything fits: its form and the program that wrote it, its
//! stream, its own checksum, and the hash of the journal's chain at its sequence. So a torn or damaged one, one of another
//! stream, one of a newer program, or one that is ahead of a journal which lost its end is passed over with a line in the log,
//! and the stream is read from its beginning as if there were none.
//!
//! ```text
//! line 1   {"format":1,"program":"0.1.0","stream":"rollout/12","sequence":512,"chain":"9f…","content":"4b…"}
//! line 2   the state, as JSON; `content` is its SHA-256, together with `rest`
//! ```
//!
//! Of a rollout at rest, line 1 has `rest` too: when it has to be woken. A start goes by that where nothing came after it, and
//! leaves the state unread.
//!
//! They are files beside the journal's store and not in it: a second writer there must not be (see `journal::sled`).

mod folder;
mod keeper;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::freeze::Frozen;
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

/// What a start has to know of a rollout at rest, instead of its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// What it rests under: another plan may mean another moment.
    pub plan: String,
    /// When something happens next, by the rollout's clock.
    pub until: Option<DateTime<Utc>>,
    /// When its card says anew how far T-0 is, by the rollout's clock.
    pub refresh: Option<DateTime<Utc>>,
    /// By how much its clock is moved.
    pub shift_seconds: i64,
    /// The freezes in spite of which it goes on.
    pub overridden: Vec<Frozen>,
    /// The environment that it holds.
    pub holds: Option<String>,
}

/// The first line of a snapshot.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: u32,
    program: String,
    stream: StreamName,
    sequence: u64,
    chain: String,
    /// The hash of what follows, and of `rest`.
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Rest>,
}

/// A state as the bytes of a snapshot.
///
/// # Errors
/// When it has no JSON form.
pub fn encode<T: Snapshotted>(stream: &StreamName, chain: &ChainHash, state: &T) -> serde_json::Result<Vec<u8>> {
    encode_at_rest(stream, chain, state, None)
}

/// The same of a state that rests, if it does.
///
/// # Errors
/// When it has no JSON form.
pub fn encode_at_rest<T: Snapshotted>(
    stream: &StreamName,
    chain: &ChainHash,
    state: &T,
    rest: Option<Rest>,
) -> serde_json::Result<Vec<u8>> {
    let content = serde_json::to_vec(state)?;
    let header = Header {
        format: SNAPSHOT_FORMAT,
        program: PROGRAM.to_owned(),
        stream: stream.clone(),
        sequence: state.sequence(),
        chain: hex(chain),
        content: hash_of(rest.as_ref(), &content)?,
        rest,
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
    let (header, content) = open(stream, bytes)?;
    let state: T = serde_json::from_slice(content).map_err(|error| format!("its content is no state: {error}"))?;
    if state.sequence() != header.sequence {
        return Err("its content is of another sequence".to_owned());
    }
    Ok((state, header.chain))
}

/// The first line, and what follows it, if both are what was written about this stream by this program.
fn open<'b>(stream: &StreamName, bytes: &'b [u8]) -> Result<(Header, &'b [u8]), String> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (first, content) = (lines.next().unwrap_or_default(), lines.next().ok_or("it was cut off")?);
    let header: Header = serde_json::from_slice(first).map_err(|_| "its first line is not that of a snapshot")?;
    if (header.format, header.program.as_str()) != (SNAPSHOT_FORMAT, PROGRAM) {
        return Err(format!("it is of format {} of version {}", header.format, header.program));
    }
    if header.stream != *stream {
        return Err(format!("it is of {}", header.stream));
    }
    if hash_of(header.rest.as_ref(), content).ok().as_ref() != Some(&header.content) {
        return Err("its content is not what was written".to_owned());
    }
    Ok((header, content))
}

fn hash_of(rest: Option<&Rest>, content: &[u8]) -> serde_json::Result<String> {
    let mut hash = Sha256::new();
    if let Some(rest) = rest {
        hash.update(serde_json::to_vec(rest)?);
    }
    hash.update(content);
    Ok(hex(hash.finalize()))
}

/// How a stream rests, with the sequence at which it does: if its snapshot says so, and nothing came after that in the journal.
pub async fn at_rest(store: &Arc<dyn SnapshotStore>, journal: &dyn Journal, stream: &StreamName) -> Option<(Rest, u64)> {
    let (store, of) = (store.clone(), stream.clone());
    let reading = move || {
        let bytes = store.read(&of).ok()??;
        let (header, _) = open(&of, &bytes).ok()?;
        Some((header.rest?, header.sequence, header.chain))
    };
    // What can't be read or used is found out by whoever reads it for its state, and said there.
    let (rest, sequence, chain) = tokio::task::spawn_blocking(reading).await.ok()??;
    let there = journal.chain(stream, sequence).await.ok()??;
    let is_last = journal.head(stream).await.ok()? == sequence;
    (is_last && hex(there) == chain).then_some((rest, sequence))
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
