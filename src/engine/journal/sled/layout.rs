//! What the tree holds, key by key, and the two hash chains that run through it.
//!
//! ```text
//! format                    "tminus-journal 1", not framed
//! c|number                  a commit: hash | per stream: name, first sequence, count
//! e|stream|sequence         a record: hash | length of the id | id | payload
//! h|stream                  the stream's head, as of the checkpoint: sequence | hash
//! checkpoint                the number of the commit up to which heads are written
//! ```
//!
//! Numbers are big-endian, so that key order is their order. Each value but the first is a
//! [frame](super::frame).
//!
//! - A record's hash is SHA-256 of its predecessor's hash, its sequence, its id and its payload. The first one's
//!   predecessor is a hash of the stream's name, so records cannot change streams.
//! - A commit's hash is SHA-256 of its predecessor's hash, its number and, per stream, what it added and the hash
//!   of the last record it added. Because that hash stands for the whole stream so far, a commit's hash stands for
//!   the whole store so far.
//!
//! Heads are there so that opening need not look through all records. They are written every
//! [`HEADS_EVERY_COMMITS`] commits, because with many streams they would be half of all writing; opening works out
//! the rest from the commits after the checkpoint.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

use super::super::{NewRecord, Record, StreamName};
use super::frame::NewFrame;

/// How many commits share one writing of heads, and how many opening looks through at most: enough for the heads
/// to cost next to nothing, few enough for opening to stay quick.
pub(super) const HEADS_EVERY_COMMITS: u64 = 32;
/// Where the format version is.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// The format version this program reads and writes.
pub(super) const FORMAT: &[u8] = b"tminus-journal 1";
/// What all commits' keys start with.
pub(super) const COMMIT_PREFIX: &[u8] = b"c|";
/// What all heads' keys start with.
pub(super) const HEAD_PREFIX: &[u8] = b"h|";
/// Where the number is of the commit up to which heads are written.
pub(super) const CHECKPOINT_KEY: &[u8] = b"checkpoint";
const RECORD_PREFIX: &[u8] = b"e|";
const SEPARATOR: u8 = b'|';

pub(super) type Hash = [u8; 32];

/// How far the whole store is: the number of its last commit, 0 when it is empty, and the hash that stands for
/// everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHead {
    /// Commits are numbered from 1 without gaps.
    pub number: u64,
    /// SHA-256, chained from the first commit on.
    pub hash: [u8; 32],
}

/// How far one stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamHead {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

/// What one commit added to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitPart {
    pub(super) stream: StreamName,
    pub(super) first: u64,
    pub(super) count: u32,
}

/// A key of the tree, taken apart.
#[derive(Debug)]
pub(super) enum Key {
    Format,
    Checkpoint,
    Commit(u64),
    Record(StreamName, u64),
    Head(StreamName),
}

impl StoreHead {
    /// The head of a store without commits.
    pub(super) fn empty() -> Self {
        let hash = Sha256::digest(b"tminus journal").into();
        Self { number: 0, hash }
    }

    /// The head after one more commit; `parts` with the hash of the last record each added.
    pub(super) fn after<'a>(self, parts: impl IntoIterator<Item = (&'a CommitPart, Hash)>) -> Self {
        let number = self.number + 1;
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(number.to_be_bytes());
        for (part, last_hash) in parts {
            hasher.update([name_bytes(&part.stream)]);
            hasher.update(part.stream.as_str());
            hasher.update(part.first.to_be_bytes());
            hasher.update(part.count.to_be_bytes());
            hasher.update(last_hash);
        }
        Self { number, hash: hasher.finalize().into() }
    }

    /// The hash as 64 hexadecimal digits.
    #[must_use]
    pub fn hash_hex(&self) -> String {
        self.hash.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
    }
}

impl fmt::Display for StoreHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {} ({})", self.number, self.hash_hex())
    }
}

impl CommitPart {
    /// The sequence of the last record it added.
    pub(super) fn last(&self) -> u64 {
        // Saturating, because a damaged part may say anything.
        self.first.saturating_add(self.count.into()).saturating_sub(1)
    }
}

impl StreamHead {
    /// The head of a stream without records.
    pub(super) fn empty(stream: &StreamName) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"tminus stream ");
        hasher.update(stream.as_str());
        Self { sequence: 0, hash: hasher.finalize().into() }
    }

    /// The head after one more record.
    pub(super) fn after(self, id: &str, payload: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(sequence.to_be_bytes());
        // With the id's length, or bytes could move between the id and the payload.
        hasher.update((id.len() as u64).to_be_bytes());
        hasher.update(id);
        hasher.update(payload);
        Self { sequence, hash: hasher.finalize().into() }
    }
}

pub(super) fn commit_key(number: u64) -> Vec<u8> {
    [COMMIT_PREFIX, &number.to_be_bytes()].concat()
}

pub(super) fn record_key(stream: &StreamName, sequence: u64) -> Vec<u8> {
    [RECORD_PREFIX, stream.as_str().as_bytes(), &[SEPARATOR], &sequence.to_be_bytes()].concat()
}

pub(super) fn head_key(stream: &StreamName) -> Vec<u8> {
    [HEAD_PREFIX, stream.as_str().as_bytes()].concat()
}

/// `None` for a key that this program never writes.
pub(super) fn parse_key(key: &[u8]) -> Option<Key> {
    if key == FORMAT_KEY {
        return Some(Key::Format);
    }
    if key == CHECKPOINT_KEY {
        return Some(Key::Checkpoint);
    }
    if let Some(number) = key.strip_prefix(COMMIT_PREFIX) {
        return Some(Key::Commit(u64::from_be_bytes(number.try_into().ok()?)));
    }
    if let Some(name) = key.strip_prefix(HEAD_PREFIX) {
        return Some(Key::Head(parse_name(name)?));
    }
    let (name, sequence) = key.strip_prefix(RECORD_PREFIX)?.split_last_chunk::<8>()?;
    let (separator, name) = name.split_last()?;
    (*separator == SEPARATOR).then_some(Key::Record(parse_name(name)?, u64::from_be_bytes(*sequence)))
}

/// The record's frame; `hash` is that of the head it makes.
pub(super) fn encode_record(record: &NewRecord, hash: Hash) -> NewFrame {
    let id_bytes = u16::try_from(record.id.len()).expect("an id is checked to be shorter");
    let mut frame = NewFrame::new(hash.len() + size_of::<u16>() + record.id.len() + record.payload.len());
    frame.push(&hash);
    frame.push(&id_bytes.to_be_bytes());
    frame.push(record.id.as_bytes());
    frame.push(&record.payload);
    frame
}

/// The record and its hash; `None` when the bytes are not a record.
pub(super) fn decode_record(sequence: u64, body: &[u8]) -> Option<(Record, Hash)> {
    let (hash, rest) = body.split_first_chunk::<32>()?;
    let (id_bytes, rest) = rest.split_first_chunk::<2>()?;
    let (id, payload) = rest.split_at_checked(u16::from_be_bytes(*id_bytes).into())?;
    let record = Record { sequence, id: std::str::from_utf8(id).ok()?.to_owned(), payload: payload.to_vec() };
    Some((record, *hash))
}

pub(super) fn encode_head(head: &StreamHead) -> NewFrame {
    let mut frame = NewFrame::new(size_of::<StreamHead>());
    frame.push(&head.sequence.to_be_bytes());
    frame.push(&head.hash);
    frame
}

pub(super) fn decode_head(body: &[u8]) -> Option<StreamHead> {
    let (sequence, hash) = body.split_first_chunk::<8>()?;
    Some(StreamHead { sequence: u64::from_be_bytes(*sequence), hash: hash.try_into().ok()? })
}

pub(super) fn encode_checkpoint(number: u64) -> NewFrame {
    let mut frame = NewFrame::new(size_of::<u64>());
    frame.push(&number.to_be_bytes());
    frame
}

pub(super) fn decode_checkpoint(body: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(body.try_into().ok()?))
}

pub(super) fn encode_commit(hash: Hash, parts: &[CommitPart]) -> NewFrame {
    /// Length of the name, first sequence, count.
    const PART_BYTES: usize = 1 + 8 + 4;
    let names_bytes: usize = parts.iter().map(|part| part.stream.as_str().len()).sum();
    let mut frame = NewFrame::new(hash.len() + names_bytes + parts.len() * PART_BYTES);
    frame.push(&hash);
    for part in parts {
        frame.push(&[name_bytes(&part.stream)]);
        frame.push(part.stream.as_str().as_bytes());
        frame.push(&part.first.to_be_bytes());
        frame.push(&part.count.to_be_bytes());
    }
    frame
}

pub(super) fn decode_commit(body: &[u8]) -> Option<(Hash, Vec<CommitPart>)> {
    let (hash, mut rest) = body.split_first_chunk::<32>()?;
    let mut parts = Vec::new();
    while let Some((name_bytes, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked((*name_bytes).into())?;
        let (first, after) = after.split_first_chunk::<8>()?;
        let (count, after) = after.split_first_chunk::<4>()?;
        parts.push(CommitPart {
            stream: parse_name(name)?,
            first: u64::from_be_bytes(*first),
            count: u32::from_be_bytes(*count),
        });
        rest = after;
    }
    Some((*hash, parts))
}

fn parse_name(name: &[u8]) -> Option<StreamName> {
    StreamName::parse(std::str::from_utf8(name).ok()?)
}

fn name_bytes(stream: &StreamName) -> u8 {
    u8::try_from(stream.as_str().len()).expect("a stream's name is shorter than 256 bytes")
}
