//! What the tree holds, key by key, and the two hash chains that run through it.
//!
//! ```text
//! format                       "tminus-journal 2", not framed
//! c|number|block               a commit, in blocks of records (commit)
//! h|stream                     a stream's head as of the checkpoint, and where its last records are:
//!                              sequence | hash | extents
//! i|stream|first sequence      where earlier records are: EXTENTS_PER_VALUE extents
//! checkpoint                   the number of the commit up to which heads and extents are written
//! ```
//!
//! Numbers are big-endian, so that key order is their order. Each value but the first is a
//! [frame](super::frame).
//!
//! - The chain of every stream is the journal's own (`chain`): a record's hash stands for the stream up to it.
//! - A commit's hash is SHA-256 of its predecessor's hash, its number and, per run of records of one stream, which
//!   they are and the hash of the last one. Because that hash stands for the whole stream so far, a commit's hash
//!   stands for the whole store so far.
//!
//! The commits are the truth; everything else is an index of them, which opening and reading spare looking through
//! all of them for. It is written only at checkpoints, because one more key costs the store about as much as ten
//! more records in a block. What was committed since is kept in memory, and found again by opening.

use std::fmt;

use sha2::{Digest, Sha256};

use super::super::StreamName;
use super::super::chain::{self, ChainHash};
use super::frame::NewFrame;

/// Where the format version is.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// The format version this program reads and writes. Version 1, a key per record, was never released.
pub(super) const FORMAT: &[u8] = b"tminus-journal 2";
/// What the name of every format begins with; its number follows.
pub(super) const FORMAT_NAME: &str = "tminus-journal ";
/// What all commits' keys start with.
pub(super) const COMMIT_PREFIX: &[u8] = b"c|";
/// What all heads' keys start with.
pub(super) const HEAD_PREFIX: &[u8] = b"h|";
/// Where the number is of the commit up to which the index is written.
pub(super) const CHECKPOINT_KEY: &[u8] = b"checkpoint";
/// How many extents one value of the index holds: a head carries half as many on average each time it is written,
/// so they should be few; one key leads to all of them, so they should be many.
pub(super) const EXTENTS_PER_VALUE: usize = 64;
/// The largest number of a commit, and the largest sequence: nobody will ever write so many. Whatever is larger is damage, and below
/// it a number has a successor.
pub(super) const NUMBER_MAX: u64 = u64::MAX / 2;
const INDEX_PREFIX: &[u8] = b"i|";
const SEPARATOR: u8 = b'|';

pub(super) type Hash = ChainHash;

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

/// Where records of one stream lie that follow each other: in one block of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: u64,
    pub(super) commit: u64,
    pub(super) count: u32,
    pub(super) block: u16,
}

/// What a chain of commits says of one run of records.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunName<'a> {
    pub(super) stream: &'a str,
    pub(super) first: u64,
    pub(super) count: u32,
    /// The hash of its last record.
    pub(super) after: Hash,
}

/// What `h|stream` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexHead {
    pub(super) head: StreamHead,
    /// The last extents, fewer than [`EXTENTS_PER_VALUE`].
    pub(super) extents: Vec<Extent>,
}

/// A key of the tree, taken apart.
#[derive(Debug)]
pub(super) enum Key {
    Format,
    Checkpoint,
    /// Commit and block.
    Block(u64, u16),
    Head(StreamName),
    /// A stream, and the first sequence that the value leads to.
    Index(StreamName, u64),
}

impl StoreHead {
    /// The head of a store without commits.
    pub(super) fn empty() -> Self {
        let hash = Sha256::digest(b"tminus journal").into();
        Self { number: 0, hash }
    }

    /// The head after one more commit, of these runs.
    pub(super) fn after<'a>(self, runs: impl IntoIterator<Item = RunName<'a>>) -> Self {
        let number = self.number + 1;
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(number.to_be_bytes());
        for run in runs {
            hasher.update([name_bytes(run.stream)]);
            hasher.update(run.stream);
            hasher.update(run.first.to_be_bytes());
            hasher.update(run.count.to_be_bytes());
            hasher.update(run.after);
        }
        Self { number, hash: hasher.finalize().into() }
    }

    /// The hash as 64 hexadecimal digits.
    #[must_use]
    pub fn hash_hex(&self) -> String {
        chain::hex(self.hash)
    }
}

impl fmt::Display for StoreHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {} ({})", self.number, self.hash_hex())
    }
}

impl StreamHead {
    /// The head of a stream without records.
    pub(super) fn empty(stream: &StreamName) -> Self {
        Self { sequence: 0, hash: chain::beginning(stream) }
    }

    /// The head after one more record.
    pub(super) fn after(self, id: &str, payload: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        Self { sequence, hash: chain::after(self.hash, sequence, id, payload) }
    }
}

impl Extent {
    /// The sequence of its last record.
    pub(super) fn last(&self) -> u64 {
        last_sequence(self.first, self.count)
    }
}

/// The last of `count` sequences.
pub(super) fn last_sequence(first: u64, count: u32) -> u64 {
    // Saturating, because what is damaged may say anything.
    first.saturating_add(count.into()).saturating_sub(1)
}

pub(super) fn block_key(commit: u64, block: u16) -> Vec<u8> {
    [COMMIT_PREFIX, &commit.to_be_bytes(), &block.to_be_bytes()].concat()
}

pub(super) fn head_key(stream: &StreamName) -> Vec<u8> {
    [HEAD_PREFIX, stream.as_str().as_bytes()].concat()
}

pub(super) fn index_key(stream: &StreamName, first: u64) -> Vec<u8> {
    [INDEX_PREFIX, stream.as_str().as_bytes(), &[SEPARATOR], &first.to_be_bytes()].concat()
}

/// `None` for a key that this program never writes; a later piece of a long value has no such key either.
pub(super) fn parse_key(key: &[u8]) -> Option<Key> {
    if key == FORMAT_KEY {
        return Some(Key::Format);
    }
    if key == CHECKPOINT_KEY {
        return Some(Key::Checkpoint);
    }
    if let Some(place) = key.strip_prefix(COMMIT_PREFIX) {
        let (commit, block) = place.split_first_chunk::<8>()?;
        return Some(Key::Block(number(*commit)?, u16::from_be_bytes(block.try_into().ok()?)));
    }
    if let Some(name) = key.strip_prefix(HEAD_PREFIX) {
        return Some(Key::Head(parse_name(name)?));
    }
    let (name, first) = key.strip_prefix(INDEX_PREFIX)?.split_last_chunk::<8>()?;
    let (separator, name) = name.split_last()?;
    (*separator == SEPARATOR).then_some(Key::Index(parse_name(name)?, number(*first)?))
}

/// The number of the commit that a key belongs to, also that of a later piece of a block.
pub(super) fn commit_of(key: &[u8]) -> Option<u64> {
    let (commit, _) = key.strip_prefix(COMMIT_PREFIX)?.split_first_chunk::<8>()?;
    number(*commit)
}

/// A number that may be one; `None` for one that only damage makes.
pub(super) fn number(bytes: [u8; 8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes)).filter(|number| *number <= NUMBER_MAX)
}

pub(super) fn encode_head(head: StreamHead, extents: &[Extent]) -> NewFrame {
    let mut frame = NewFrame::new(size_of::<StreamHead>() + extents.len() * EXTENT_BYTES);
    frame.push(&head.sequence.to_be_bytes());
    frame.push(&head.hash);
    push_extents(&mut frame, extents);
    frame
}

/// `None` when the bytes are not a head, or its extents do not lead up to it.
pub(super) fn decode_head(body: &[u8]) -> Option<IndexHead> {
    let (sequence, rest) = body.split_first_chunk::<8>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let sequence = number(*sequence)?;
    let extents = decode_extents(rest)?;
    let leads_there = extents.last().is_none_or(|last| last.last() == sequence);
    leads_there.then_some(IndexHead { head: StreamHead { sequence, hash: *hash }, extents })
}

pub(super) fn encode_index(extents: &[Extent]) -> NewFrame {
    let mut frame = NewFrame::new(extents.len() * EXTENT_BYTES);
    push_extents(&mut frame, extents);
    frame
}

/// `None` when the bytes are not extents that follow each other, beginning with `first`.
pub(super) fn decode_index(first: u64, body: &[u8]) -> Option<Vec<Extent>> {
    decode_extents(body).filter(|extents| extents.first().is_some_and(|extent| extent.first == first))
}

pub(super) fn encode_checkpoint(number: u64) -> NewFrame {
    let mut frame = NewFrame::new(size_of::<u64>());
    frame.push(&number.to_be_bytes());
    frame
}

pub(super) fn decode_checkpoint(body: &[u8]) -> Option<u64> {
    number(body.try_into().ok()?)
}

/// First sequence, commit, count, block.
const EXTENT_BYTES: usize = 8 + 8 + 4 + 2;

fn push_extents(frame: &mut NewFrame, extents: &[Extent]) {
    for extent in extents {
        frame.push(&extent.first.to_be_bytes());
        frame.push(&extent.commit.to_be_bytes());
        frame.push(&extent.count.to_be_bytes());
        frame.push(&extent.block.to_be_bytes());
    }
}

fn decode_extents(mut bytes: &[u8]) -> Option<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::with_capacity(bytes.len() / EXTENT_BYTES);
    while !bytes.is_empty() {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let (commit, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (block, rest) = rest.split_first_chunk::<2>()?;
        let extent = Extent {
            first: number(*first)?,
            commit: number(*commit)?,
            count: u32::from_be_bytes(*count),
            block: u16::from_be_bytes(*block),
        };
        let follows = extents.last().is_none_or(|last| last.last() + 1 == extent.first);
        if extent.count == 0 || !follows {
            return None;
        }
        extents.push(extent);
        bytes = rest;
    }
    Some(extents)
}

pub(super) fn parse_name(name: &[u8]) -> Option<StreamName> {
    StreamName::parse(std::str::from_utf8(name).ok()?)
}

pub(super) fn name_bytes(stream: &str) -> u8 {
    u8::try_from(stream.len()).expect("a stream's name is shorter than 256 bytes")
}
