//! Snapshots: what a stream's records had become at one of them, so that a start need not read all of them again.
//!
//! A snapshot is a cache, never a truth. It is taken only when everything fits: its form and the program that wrote it, its
//! stream, its own checksum, and the hash of the journal's chain at its sequence. So a torn or damaged one, one of another
//! stream, or one of a newer program is passed over with a line in the log, and the stream is read from its beginning as if
//! there were none.
//!
//! It is a witness, too. It is made only of what was durable in the journal, so no crash leaves one that is ahead of it. One that
//! is whole, and is ahead of the journal or of other records than it has, says that the journal lost what had been acknowledged:
//! an old copy was put back, or it was removed. Then nothing starts ([`Lost`]), because what is lost could be done a second time.
//! Those that a start would not read are asked before they are removed.
//!
//! ```text
//! line 1   {"format":5,"program":"0.1.0","stream":"rollout/12","sequence":512,"chain":"9f…","content":"4b…"}
//! line 2   the state, as JSON; `content` is the SHA-256 of line 1 without it, and of line 2
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
use std::sync::{Arc, Once};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::freeze::Frozen;
use crate::domain::registry::Registry;
use crate::domain::rollout::state::State;

use super::journal::chain::{ChainHash, hex};
use super::journal::{Journal, RESTORE, ReadError, StreamName};

pub use self::folder::SnapshotFolder;
pub use self::keeper::Keeper;

/// The form of what is written down. It has to rise whenever the form of [`State`], of [`Registry`] or of the index of a room of
/// our own changes, or what an event means to them: a test compares the form with the one that this number stood for.
pub const SNAPSHOT_FORMAT: u32 = 5;
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

    /// The streams whose names begin so and of which there is one.
    ///
    /// # Errors
    /// When they can't be listed.
    fn streams(&self, prefix: &str) -> io::Result<Vec<StreamName>>;

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

    fn streams(&self, _prefix: &str) -> io::Result<Vec<StreamName>> {
        Ok(Vec::new())
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

/// The journal is not the one any more that a snapshot was made of: what had been acknowledged is not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal has lost what it had acknowledged: {}. What is lost may be done a second time, so nothing was started. Put the \
     journal back that was there, or restore. {}. To go on with what this journal has, remove the folder snapshots/ beside it and \
     start again", self.found(), RESTORE
)]
pub struct Lost {
    /// The stream.
    pub stream: StreamName,
    /// Up to which of its records the snapshot goes.
    pub sequence: u64,
    /// Whether there is another record in that place, or none.
    pub is_other: bool,
}

impl Lost {
    fn found(&self) -> String {
        let Self { stream, sequence, is_other } = self;
        if *is_other {
            format!("there is a snapshot of {stream} at {sequence}, and the journal has other events there")
        } else {
            format!("there is a snapshot of {stream} at {sequence}, and the journal ends before")
        }
    }
}

/// Why a snapshot is not started from.
enum Unfit {
    /// It is no snapshot, or not a whole one, or can't be compared.
    Unusable(String),
    /// It is of another program or form, as all are after an upgrade.
    Outdated(String),
    /// It is a good one, and the journal does not have what it was made of.
    Lost(Lost),
}

impl From<&str> for Unfit {
    fn from(why: &str) -> Self {
        Self::Unusable(why.to_owned())
    }
}

impl From<ReadError> for Unfit {
    fn from(error: ReadError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl Unfit {
    fn said(self) -> String {
        match self {
            Self::Unusable(why) => why,
            Self::Outdated(of) => format!("it is {of}"),
            Self::Lost(lost) => lost.to_string(),
        }
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
    /// The hash of what follows, and of this line without it.
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
    let mut header = Header {
        format: SNAPSHOT_FORMAT,
        program: PROGRAM.to_owned(),
        stream: stream.clone(),
        sequence: state.sequence(),
        chain: hex(chain),
        content: String::new(),
        rest,
    };
    header.content = hash_of(&header, &content)?;
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
    decoded(stream, bytes).map_err(Unfit::said)
}

fn decoded<T: Snapshotted>(stream: &StreamName, bytes: &[u8]) -> Result<(T, String), Unfit> {
    let (header, content) = open(stream, bytes)?;
    let no_state = |error: serde_json::Error| Unfit::Unusable(format!("its content is no state: {error}"));
    let state: T = serde_json::from_slice(content).map_err(no_state)?;
    if state.sequence() != header.sequence {
        return Err("its content is of another sequence".into());
    }
    Ok((state, header.chain))
}

/// The first line, and what follows it, if both are what was written about this stream by this program.
fn open<'b>(stream: &StreamName, bytes: &'b [u8]) -> Result<(Header, &'b [u8]), Unfit> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (first, content) = (lines.next().unwrap_or_default(), lines.next().ok_or("it was cut off")?);
    let header: Header = serde_json::from_slice(first).map_err(|_| "its first line is not that of a snapshot")?;
    if (header.format, header.program.as_str()) != (SNAPSHOT_FORMAT, PROGRAM) {
        return Err(Unfit::Outdated(format!("of format {} of version {}", header.format, header.program)));
    }
    if header.stream != *stream {
        return Err(Unfit::Unusable(format!("it is of {}", header.stream)));
    }
    let written = Header { content: String::new(), ..header };
    let content_hash = hash_of(&written, content).ok();
    let header = Header { content: header.content, ..written };
    if content_hash.as_ref() != Some(&header.content) {
        return Err("its content is not what was written".into());
    }
    Ok((header, content))
}

/// Of the header without it, so that no damage makes it say of the journal what is not so.
fn hash_of(header: &Header, content: &[u8]) -> serde_json::Result<String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(header)?);
    hash.update(content);
    Ok(hex(hash.finalize()))
}

/// Sees that the journal has the very records that a good snapshot was made of.
async fn compare(journal: &dyn Journal, stream: &StreamName, sequence: u64, chain: &str) -> Result<(), Unfit> {
    let lost = |is_other| Unfit::Lost(Lost { stream: stream.clone(), sequence, is_other });
    match journal.chain(stream, sequence).await? {
        Some(there) if hex(there) == chain => Ok(()),
        Some(_) => Err(lost(true)),
        None => Err(lost(false)),
    }
}

/// Reads a snapshot aside: a disk can be slow. Nothing where there is none.
async fn read<T: Send + 'static>(
    store: &Arc<dyn SnapshotStore>,
    stream: &StreamName,
    take: impl FnOnce(&StreamName, &[u8]) -> Result<T, Unfit> + Send + 'static,
) -> Result<Option<T>, Unfit> {
    let (store, of) = (store.clone(), stream.clone());
    let reading = move || match store.read(&of).map_err(|error| Unfit::Unusable(error.to_string()))? {
        Some(bytes) => take(&of, &bytes).map(Some),
        None => Ok(None),
    };
    tokio::task::spawn_blocking(reading).await.map_err(|error| Unfit::Unusable(error.to_string()))?
}

/// How a stream rests, with the sequence at which it does: if its snapshot says so, and nothing came after that in the journal.
///
/// # Errors
/// [`Lost`], which stops a start.
pub async fn at_rest(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    stream: &StreamName,
) -> Result<Option<(Rest, u64)>, Lost> {
    let found = read(store, stream, |of, bytes| Ok(open(of, bytes)?.0)).await;
    // What can't be read or used is found out by whoever reads it for its state, and said there.
    let Ok(Some(Header { rest: Some(rest), sequence, chain, .. })) = found else { return Ok(None) };
    match compare(journal, stream, sequence, &chain).await {
        Ok(()) => {}
        Err(Unfit::Lost(lost)) => return Err(lost),
        Err(_) => return Ok(None),
    }
    let is_last = journal.head(stream).await.is_ok_and(|head| head == sequence);
    Ok(is_last.then_some((rest, sequence)))
}

/// The latest snapshot of a stream, if there is one that can be used.
///
/// # Errors
/// [`Lost`], which stops a start.
pub async fn take<T: Snapshotted>(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    stream: &StreamName,
) -> Result<Option<T>, Lost> {
    /// After an upgrade all are outdated: that is said once.
    static SAID: Once = Once::new();
    let why = match fitting(store, journal, stream).await {
        Ok(found) => return Ok(found),
        Err(Unfit::Lost(lost)) => return Err(lost),
        Err(why) => why,
    };
    metrics::counter!("tminus_snapshots_ignored_total").increment(1);
    match why {
        Unfit::Outdated(of) => SAID.call_once(|| {
            tracing::info!(
                "There are snapshots {of}, and this is format {SNAPSHOT_FORMAT} of version {PROGRAM}: this once, everything is \
                 read from the journal"
            );
        }),
        why => tracing::warn!("The snapshot of {stream} is not used: {}; all of {stream} is read", why.said()),
    }
    Ok(None)
}

async fn fitting<T: Snapshotted>(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    stream: &StreamName,
) -> Result<Option<T>, Unfit> {
    let Some((state, chain)) = read(store, stream, decoded::<T>).await? else { return Ok(None) };
    compare(journal, stream, state.sequence(), &chain).await?;
    Ok(Some(state))
}

/// Sees that of the streams whose names begin so the journal has what their snapshots were made of; but for those that somebody
/// takes, who sees it then.
///
/// # Errors
/// [`Lost`], which stops a start.
pub async fn check(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    prefix: &'static str,
    taken: &BTreeSet<StreamName>,
) -> Result<(), Lost> {
    let listed = store.clone();
    let listed = tokio::task::spawn_blocking(move || listed.streams(prefix)).await;
    let streams = listed.map_err(io::Error::other).and_then(|listed| listed).unwrap_or_else(|error| {
        tracing::warn!("Snapshots can't be listed: {error}");
        Vec::new()
    });
    for stream in streams.iter().filter(|stream| !taken.contains(*stream)) {
        // What is no good snapshot is no witness.
        let Ok(Some(header)) = read(store, stream, |of, bytes| Ok(open(of, bytes)?.0)).await else { continue };
        if let Err(Unfit::Lost(lost)) = compare(journal, stream, header.sequence, &header.chain).await {
            return Err(lost);
        }
    }
    Ok(())
}

/// Forgets the snapshots of the streams whose names begin so, but for these: of rollouts that are over, of rooms that are no more.
///
/// # Errors
/// [`Lost`], which stops a start: then none is forgotten.
pub async fn tidy(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    prefix: &'static str,
    kept: BTreeSet<StreamName>,
) -> Result<(), Lost> {
    check(store, journal, prefix, &kept).await?;
    let store = store.clone();
    let tidied = tokio::task::spawn_blocking(move || store.keep_only(prefix, &kept)).await;
    if let Err(error) = tidied.map_err(io::Error::other).and_then(|tidied| tidied) {
        tracing::warn!("Old snapshots can't be removed: {error}");
    }
    Ok(())
}
