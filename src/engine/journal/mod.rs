//! The journal: append-only streams of records, the only truth of rollouts and the registry.
//!
//! A record is one event as bytes, with an id by which its own append can be recognised later. Streams are
//! independent sequences that start at 1; one [`Append`] writes to several of them at once or to none.
//! The port is written so that a replicated store fits behind it: an append may end [`AppendError::Unknown`],
//! and a fencing epoch travels with every append.
//!
//! There are two journals: [`memory::MemoryJournal`] for tests and rehearsals of trouble, and
//! [`sled::SledJournal`], one folder on one disk.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub mod chain;
pub mod export;
pub mod import;
pub mod memory;
pub mod sled;

use self::chain::ChainHash;

/// The longest stream name, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 120;
/// The largest payload of one record, in bytes: a frozen runbook of several hundred steps is far below it.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// How many records one append may carry over all its streams.
pub const APPEND_RECORDS_MAX: usize = 4096;
/// The most bytes of ids and payloads one append may carry: several of the largest payloads, and still little
/// enough that a full queue of ordinary appends fits in memory beside it.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest record id, in bytes: platforms' own ids are far below it, with our prefixes too.
pub const RECORD_ID_BYTES_MAX: usize = 512;

/// What an operator does where a journal can't be used any more. The folder that is damaged stays as it is: somebody may look
/// into it.
pub const RESTORE: &str = "Restore a backup into a new folder: tminus journal import BACKUP --data NEW-DIR";

/// The name of a stream: `registry`, `rollout/12`, `room/andromeda-rollouts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamName(String);

impl StreamName {
    /// A stream name is 1 to [`STREAM_NAME_BYTES_MAX`] bytes of `a-z 0-9 - _ . /`.
    ///
    /// # Panics
    /// When it is not: names are made by this program, never by people.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(is_stream_name(&name), "not a stream name: {name:?}");
        Self(name)
    }

    /// The same for a name that comes from outside, such as a damaged store: `None` when it is not one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        is_stream_name(name).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The alphabet leaves out `|`, which separates the parts of a store's keys.
fn is_stream_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_./".contains(&byte);
    (1..=STREAM_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// So that sorted maps of streams can be searched by prefix.
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event on its way into the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What an append of unknown fate is recognised by: unique within its stream (which the writer sees to, the
    /// journal does not look), 1 to [`RECORD_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The event, encoded. At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

/// One event as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in its stream, from 1 without gaps.
    pub sequence: u64,
    /// As given in [`NewRecord::id`].
    pub id: String,
    /// As given in [`NewRecord::payload`].
    pub payload: Vec<u8>,
}

/// The part of an append that goes to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where to. One append names a stream only once.
    pub stream: StreamName,
    /// The sequence of the stream's last record as the writer knows it; 0 for a stream that must not exist yet.
    pub expected: u64,
    /// What is added after it, in order. Never empty.
    pub records: Vec<NewRecord>,
}

/// How far a whole journal is, between two appends: what an export goes by while others go on writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The store-wide commit number.
    pub commit: u64,
    /// The hash that stands for the whole store up to it, where the store keeps such a chain.
    pub hash: Option<ChainHash>,
    /// Every stream that has records, sorted by name.
    pub streams: Vec<StreamEnd>,
}

/// How far one stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// Its name.
    pub stream: StreamName,
    /// The sequence of its last record.
    pub sequence: u64,
    /// The hash that stands for the stream up to and with that record.
    pub chain: ChainHash,
}

/// Why an append did not end with its records known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer was first. Nothing was written: catch up and decide again.
    #[error("stream {stream} is at {actual}, not where the writer thought")]
    Conflict {
        /// The first stream whose expectation failed.
        stream: StreamName,
        /// Where that stream is.
        actual: u64,
    },
    /// It may or may not have been written: look for the records' ids at the tail.
    #[error("the journal did not say whether the records were written: {0}")]
    Unknown(String),
    /// A write or sync failed, for this append or an earlier one, so what the disk holds is uncertain: nothing is
    /// accepted until a restart, and only then is it known whether this append was written.
    #[error("the journal stopped accepting: {0}")]
    Poisoned(String),
    /// The request itself is impossible (empty, too large). Nothing was written.
    #[error("not a possible append: {0}")]
    Invalid(String),
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A record does not match its checksum or its predecessor's hash.
    #[error("stream {stream} is damaged at {sequence}: {what}. {}", RESTORE)]
    Damaged {
        /// The stream.
        stream: StreamName,
        /// The first bad sequence.
        sequence: u64,
        /// What does not match.
        what: String,
    },
    /// The store did not answer.
    #[error("the journal could not be read: {0}")]
    Store(String),
}

/// The port. All methods may be called from any task.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Writes all of it or nothing, and returns when it is durable. `epoch` fences replicas; 0 where there is one writer.
    /// A call that is dropped before it answers may still be carried out.
    ///
    /// # Errors
    /// See [`AppendError`].
    async fn append(&self, appends: Vec<Append>, epoch: u64) -> Result<(), AppendError>;

    /// The same where nobody waits for the answer: it may take some milliseconds longer, to be written together with others.
    ///
    /// # Errors
    /// See [`AppendError`].
    async fn append_patiently(&self, appends: Vec<Append>, epoch: u64) -> Result<(), AppendError> {
        self.append(appends, epoch).await
    }

    /// Up to `limit` records of a stream from sequence `from` on (1 is the first), checked against their checksums.
    /// An unknown stream has no records, and only durable records are seen.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read(&self, stream: &StreamName, from: u64, limit: usize) -> Result<Vec<Record>, ReadError>;

    /// The sequence of the stream's last durable record, 0 if there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn head(&self, stream: &StreamName) -> Result<u64, ReadError>;

    /// The hash that stands for a stream up to and with one of its durable records; nothing if it has no such record. What
    /// was derived from a stream is known by it to be of these very records. Reads no more than a little around the record.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn chain(&self, stream: &StreamName, sequence: u64) -> Result<Option<ChainHash>, ReadError>;

    /// The names of all streams that start with `prefix`, sorted.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError>;

    /// How far all streams are, as of one commit: an append to several streams is in it as a whole or not at all.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn cut(&self) -> Result<Cut, ReadError>;

    /// Why nothing is accepted any more until a restart, if so: whoever asked last may not have been told in these words.
    fn stopped(&self) -> Option<String> {
        None
    }

    /// Changes whenever records became durable; the value is the store-wide commit number.
    fn follow(&self) -> watch::Receiver<u64>;
}

/// What every journal refuses alike, before it looks at what it holds.
///
/// # Errors
/// [`AppendError::Invalid`], naming the limit.
pub fn check(appends: &[Append]) -> Result<(), AppendError> {
    let invalid = |what: String| Err(AppendError::Invalid(what));
    if appends.is_empty() {
        return invalid("it names no stream".to_owned());
    }
    let mut streams = BTreeSet::new();
    let mut records_count = 0;
    let mut bytes_count = 0;
    for Append { stream, records, .. } in appends {
        if !streams.insert(stream) {
            return invalid(format!("stream {stream} is named twice"));
        }
        if records.is_empty() {
            return invalid(format!("nothing is added to stream {stream}"));
        }
        records_count += records.len();
        for NewRecord { id, payload } in records {
            if !(1..=RECORD_ID_BYTES_MAX).contains(&id.len()) {
                return invalid(format!("an id for stream {stream} has {} bytes, not 1 to {RECORD_ID_BYTES_MAX}", id.len()));
            }
            if payload.len() > PAYLOAD_BYTES_MAX {
                return invalid(format!(
                    "record {id} for stream {stream} has {} bytes, more than {PAYLOAD_BYTES_MAX}",
                    payload.len()
                ));
            }
            bytes_count += id.len() + payload.len();
        }
    }
    if records_count > APPEND_RECORDS_MAX {
        return invalid(format!("{records_count} records are more than {APPEND_RECORDS_MAX}"));
    }
    if bytes_count > APPEND_BYTES_MAX {
        return invalid(format!("{bytes_count} bytes are more than {APPEND_BYTES_MAX}"));
    }
    Ok(())
}
