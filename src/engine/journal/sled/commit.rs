//! How a commit lies in the tree: in blocks, each of which holds runs of records.
//!
//! ```text
//! block 0   hash of the commit | how many blocks it has | runs
//! block n   runs
//! run       length of the name | stream | first sequence | how many records | hash before the first record |
//!           hash of the last record | how many bytes the records have | records
//! record    length of the id | id | length of the payload | payload
//! ```
//!
//! A run holds records of one stream that follow each other, and carries the stream's hash at both of its ends, so
//! it can be checked without its neighbours, and against them. A block has one run per stream at most. No run goes
//! on in another block; a record too large for an ordinary block has one of its own.

use ::sled::Tree;

use super::super::{NewRecord, StreamName};
use super::frame::{self, Body, FrameError, NewFrame, Writes};
use super::layout::{Extent, Hash, RunName, StoreHead, StreamHead, block_key, last_sequence, name_bytes, number};

/// How many bytes a block should have at most. Larger ones make a busy commit no faster to write; but the store
/// reads up to 16 of them to get at one, and keeps thousands of such pages before it considers dropping any.
const BLOCK_BYTES: usize = 4 * 1024;
/// The commit's hash, and how many blocks.
const HEADER_BYTES: usize = 32 + 2;
/// A run's header, but for the stream's name.
const RUN_BYTES: usize = 1 + 8 + 4 + 32 + 32 + 4;
/// What is around a record's id and payload.
const RECORD_BYTES: usize = 2 + 4;

/// A commit under construction.
pub(super) struct NewCommit {
    previous: StoreHead,
    blocks: Vec<NewFrame>,
    /// Whether the last block has no run yet.
    is_fresh: bool,
    added: Vec<Added>,
}

/// One run of a commit, for those who need not look into the tree.
#[derive(Clone, Debug)]
pub(super) struct Added {
    pub(super) stream: StreamName,
    pub(super) extent: Extent,
    /// The stream's head after it.
    pub(super) head: StreamHead,
}

impl NewCommit {
    pub(super) fn new(previous: StoreHead) -> Self {
        let mut first = NewFrame::new(BLOCK_BYTES);
        first.push(&[0; HEADER_BYTES]);
        Self { previous, blocks: vec![first], is_fresh: true, added: Vec::new() }
    }

    /// Adds records to a stream that is at `head`. A stream's records come in one call, or in calls that follow
    /// each other.
    pub(super) fn add(&mut self, stream: &StreamName, mut head: StreamHead, records: &[NewRecord]) {
        let mut rest = records;
        while !rest.is_empty() {
            let run_bytes = RUN_BYTES + stream.as_str().len();
            let count = match self.fitting(run_bytes, rest) {
                0 if self.is_fresh => 1,
                0 => {
                    self.blocks.push(NewFrame::new(BLOCK_BYTES));
                    self.is_fresh = true;
                    continue;
                }
                count => count,
            };
            let (run, after) = rest.split_at(count);
            head = self.push_run(stream, head, run);
            rest = after;
        }
    }

    /// Seals it and adds it to what is written.
    pub(super) fn put(mut self, writes: &mut Writes) -> (StoreHead, Vec<Added>) {
        let head = self.previous.after(self.added.iter().map(Added::run_name));
        let blocks_count = u16::try_from(self.blocks.len()).expect("a commit's bytes are bounded");
        let header = [head.hash.as_slice(), &blocks_count.to_be_bytes()].concat();
        self.blocks[0].replace(0, &header);
        for (number, block) in (0..).zip(self.blocks) {
            block.put(block_key(head.number, number), writes);
        }
        (head, self.added)
    }

    /// How many of the records fit into the last block as a run.
    fn fitting(&self, run_bytes: usize, records: &[NewRecord]) -> usize {
        let mut bytes_count = self.last_block().body_bytes() + run_bytes;
        let fits = |record: &&NewRecord| {
            bytes_count += record_bytes(record);
            bytes_count <= BLOCK_BYTES
        };
        records.iter().take_while(fits).count()
    }

    fn push_run(&mut self, stream: &StreamName, before: StreamHead, records: &[NewRecord]) -> StreamHead {
        let head = records.iter().fold(before, |head, record| head.after(&record.id, &record.payload));
        let count = u32::try_from(records.len()).expect("an append's records are counted");
        let bytes_count: usize = records.iter().map(record_bytes).sum();
        let bytes_count = u32::try_from(bytes_count).expect("a run's bytes are bounded");
        let first = before.sequence + 1;
        let block = self.blocks.last_mut().expect(FIRST_BLOCK);
        block.push(&[name_bytes(stream.as_str())]);
        block.push(stream.as_str().as_bytes());
        block.push(&first.to_be_bytes());
        block.push(&count.to_be_bytes());
        block.push(&before.hash);
        block.push(&head.hash);
        block.push(&bytes_count.to_be_bytes());
        for NewRecord { id, payload } in records {
            block.push(&u16::try_from(id.len()).expect("an id is checked to be shorter").to_be_bytes());
            block.push(id.as_bytes());
            block.push(&u32::try_from(payload.len()).expect("a payload is checked to be shorter").to_be_bytes());
            block.push(payload);
        }
        self.is_fresh = false;
        let block = u16::try_from(self.blocks.len() - 1).expect("a commit's bytes are bounded");
        let extent = Extent { first, commit: self.previous.number + 1, count, block };
        self.added.push(Added { stream: stream.clone(), extent, head });
        head
    }

    fn last_block(&self) -> &NewFrame {
        self.blocks.last().expect(FIRST_BLOCK)
    }
}

const FIRST_BLOCK: &str = "the first block is there from the beginning";

impl Added {
    pub(super) fn run_name(&self) -> RunName<'_> {
        let Extent { first, count, .. } = self.extent;
        RunName { stream: self.stream.as_str(), first, count, after: self.head.hash }
    }
}

fn record_bytes(record: &NewRecord) -> usize {
    RECORD_BYTES + record.id.len() + record.payload.len()
}

/// What block 0 says of its commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) hash: Hash,
    pub(super) blocks: u16,
}

/// A run as it stands in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) stream: &'a str,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) before: Hash,
    pub(super) after: Hash,
    pub(super) records: &'a [u8],
}

/// A record as it stands in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredRecord<'a> {
    pub(super) id: &'a str,
    pub(super) payload: &'a [u8],
}

/// What can be wrong with a run, in the words that follow its place.
pub(super) const NOT_RECORDS: &str = "what is written there are not records";
pub(super) const WRONG_HASH: &str = "its hash does not follow from its predecessor's";

impl Run<'_> {
    /// The sequence of its last record.
    pub(super) fn last(&self) -> u64 {
        last_sequence(self.first, self.count)
    }

    /// The stream's head as it was before it.
    pub(super) fn head_before(&self) -> StreamHead {
        StreamHead { sequence: self.first.saturating_sub(1), hash: self.before }
    }

    /// The stream's head after it.
    pub(super) fn head_after(&self) -> StreamHead {
        StreamHead { sequence: self.last(), hash: self.after }
    }

    pub(super) fn name(&self) -> RunName<'_> {
        RunName { stream: self.stream, first: self.first, count: self.count, after: self.after }
    }

    /// Its records in order, checked against both of its hashes; or what is wrong with them.
    pub(super) fn records(&self) -> Result<Vec<StoredRecord<'_>>, &'static str> {
        let records = parse_records(self.records).ok_or(NOT_RECORDS)?;
        let is_counted = self.first > 0 && records.len() == self.count as usize && self.count > 0;
        if !is_counted {
            return Err(NOT_RECORDS);
        }
        let after = records.iter().fold(self.head_before(), |head, record| head.after(record.id, record.payload));
        if after.hash != self.after {
            return Err(WRONG_HASH);
        }
        Ok(records)
    }
}

/// The header and the runs of a block; `None` when the bytes are not a block. Only block 0 has a header.
pub(super) fn decode_block(block: u16, body: &[u8]) -> Option<(Option<Header>, Vec<Run<'_>>)> {
    if block > 0 {
        return Some((None, parse_runs(body)?));
    }
    let (hash, rest) = body.split_first_chunk::<32>()?;
    let (blocks, rest) = rest.split_first_chunk::<2>()?;
    let header = Header { hash: *hash, blocks: u16::from_be_bytes(*blocks) };
    Some((Some(header), parse_runs(rest)?))
}

/// One block from the tree; `None` when it is not there.
pub(super) fn get_block(tree: &Tree, commit: u64, block: u16) -> Result<Option<Body>, FrameError> {
    frame::get(tree, &block_key(commit, block))
}

fn parse_runs(mut bytes: &[u8]) -> Option<Vec<Run<'_>>> {
    let mut runs = Vec::new();
    while let Some((name_bytes, rest)) = bytes.split_first() {
        let (stream, rest) = rest.split_at_checked((*name_bytes).into())?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (before, rest) = rest.split_first_chunk::<32>()?;
        let (after, rest) = rest.split_first_chunk::<32>()?;
        let (records_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (records, rest) = rest.split_at_checked(u32::from_be_bytes(*records_bytes) as usize)?;
        runs.push(Run {
            stream: std::str::from_utf8(stream).ok()?,
            first: number(*first)?,
            count: u32::from_be_bytes(*count),
            before: *before,
            after: *after,
            records,
        });
        bytes = rest;
    }
    Some(runs)
}

fn parse_records(mut bytes: &[u8]) -> Option<Vec<StoredRecord<'_>>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (id_bytes, rest) = bytes.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(u16::from_be_bytes(*id_bytes).into())?;
        let (payload_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes(*payload_bytes) as usize)?;
        records.push(StoredRecord { id: std::str::from_utf8(id).ok()?, payload });
        bytes = rest;
    }
    Some(records)
}
