//! Reading a stream back, checked.
//!
//! Every record returned lies in a block that matches its checksum, in a run whose records lead from the hash before
//! it to the hash after it. Runs must follow each other in number and hash, the first one from the stream's
//! beginning if it is read from there; at the end of the stream the last hash must be that of the stream's head.
//! So no record can be missing or exchanged unnoticed.

use ::sled::Tree;

use super::super::{ReadError, Record, StreamName};
use super::commit::{NOT_RECORDS, Run, WRONG_HASH, decode_block, get_block};
use super::frame::{self, Body, FrameError, Frames};
use super::layout::{Extent, Hash, Key, StreamHead, decode_head, decode_index, head_key, index_key, parse_key};

/// The records from sequence `first` to `last`; `last` is at most the sequence of `end`, the stream's head, and
/// `unindexed` is where its last records are that the index does not lead to.
pub(super) fn records(
    tree: &Tree,
    stream: &StreamName,
    first: u64,
    last: u64,
    (end, unindexed): (StreamHead, Vec<Extent>),
) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    let mut head = (first == 1).then(|| StreamHead::empty(stream));
    for extent in extents(tree, stream, first, last, unindexed)? {
        let block = block_of(tree, stream, extent)?;
        let run = run_of(&block, stream, extent)?;
        if head.is_some_and(|head| head.hash != run.before) {
            return Err(damaged(stream, extent.first, WRONG_HASH));
        }
        let stored = run.records().map_err(|what| damaged(stream, extent.first, what))?;
        for (sequence, record) in (run.first..).zip(stored) {
            if (first..=last).contains(&sequence) {
                records.push(Record { sequence, id: record.id.to_owned(), payload: record.payload.to_vec() });
            }
        }
        head = Some(run.head_after());
    }
    match head {
        Some(head) if head.sequence == end.sequence && head.hash != end.hash => Err(damaged(stream, head.sequence, NOT_THE_HEAD)),
        _ => Ok(records),
    }
}

/// The hash of the stream's record `sequence`, which is at most that of `end`, the stream's head.
pub(super) fn chain(
    tree: &Tree,
    stream: &StreamName,
    sequence: u64,
    (end, unindexed): (StreamHead, Vec<Extent>),
) -> Result<Option<Hash>, ReadError> {
    if sequence == end.sequence {
        return Ok(Some(end.hash));
    }
    let Some(extent) = extents(tree, stream, sequence, sequence, unindexed)?.into_iter().next() else { return Ok(None) };
    let block = block_of(tree, stream, extent)?;
    let run = run_of(&block, stream, extent)?;
    let stored = run.records().map_err(|what| damaged(stream, extent.first, what))?;
    let mut head = StreamHead { sequence: run.first.saturating_sub(1), hash: run.before };
    for record in stored {
        if head.sequence < sequence {
            head = head.after(record.id, record.payload);
        }
    }
    Ok((head.sequence == sequence).then_some(head.hash))
}

fn block_of(tree: &Tree, stream: &StreamName, extent: Extent) -> Result<Body, ReadError> {
    get_block(tree, extent.commit, extent.block)
        .map_err(|error| read_error(stream, extent.first, error))?
        .ok_or_else(|| damaged(stream, extent.first, MISSING))
}

fn run_of<'a>(block: &'a [u8], stream: &StreamName, extent: Extent) -> Result<Run<'a>, ReadError> {
    let (_, runs) = decode_block(extent.block, block).ok_or_else(|| damaged(stream, extent.first, NOT_RECORDS))?;
    let run = runs.into_iter().find(|run| run.stream == stream.as_str());
    let run = run.filter(|run| (run.first, run.count) == (extent.first, extent.count));
    run.ok_or_else(|| damaged(stream, extent.first, MISSING))
}

/// What can be wrong with a record, in the words that follow its name.
pub(super) const MISSING: &str = "it is missing";
pub(super) const NOT_THE_HEAD: &str = "its hash is not the one in the stream's head";
pub(super) const NOT_EXTENTS: &str = "its index does not say where";

/// Where the records from `first` to `last` are: without gaps, and no more than needed.
///
/// A checkpoint moves extents from memory to the head and on to the index; looking in this order, while one comes
/// in between, finds some of them twice but misses none.
fn extents(tree: &Tree, stream: &StreamName, first: u64, last: u64, unindexed: Vec<Extent>) -> Result<Vec<Extent>, ReadError> {
    let mut found = unindexed;
    if starts_after(&found, first) {
        let body = frame::get(tree, &head_key(stream)).map_err(|error| read_error(stream, first, error))?;
        if let Some(body) = body {
            let head = decode_head(&body).ok_or_else(|| damaged(stream, first, NOT_EXTENTS))?;
            prepend(head.extents, &mut found);
        }
    }
    if starts_after(&found, first) {
        let before_first = tree.range(index_key(stream, 0)..=index_key(stream, first)).next_back();
        let start = match before_first {
            Some(Ok((key, _))) => key.to_vec(),
            Some(Err(error)) => return Err(ReadError::Store(error.to_string())),
            None => index_key(stream, 0),
        };
        let end = index_key(stream, found.first().map_or(u64::MAX, |extent| extent.first));
        let mut indexed: Vec<Extent> = Vec::new();
        for (key, body) in Frames::new(tree, tree.range(start..end)) {
            let body = body.map_err(|error| read_error(stream, first, error))?;
            let extents = match parse_key(&key) {
                Some(Key::Index(_, first)) => decode_index(first, &body),
                _ => None,
            };
            indexed.extend(extents.ok_or_else(|| damaged(stream, first, NOT_EXTENTS))?);
            if indexed.last().is_some_and(|extent| extent.last() >= last) {
                break;
            }
        }
        prepend(indexed, &mut found);
    }
    found.retain(|extent| extent.last() >= first && extent.first <= last);
    let mut next = found.first().map_or(first, |extent| extent.first.min(first));
    for extent in &found {
        if extent.first != next {
            return Err(damaged(stream, next, MISSING));
        }
        next = extent.last() + 1;
    }
    if next <= last {
        return Err(damaged(stream, next, MISSING));
    }
    Ok(found)
}

fn starts_after(extents: &[Extent], first: u64) -> bool {
    extents.first().is_none_or(|extent| extent.first > first)
}

/// Puts those before `later` that are before it.
fn prepend(mut earlier: Vec<Extent>, later: &mut Vec<Extent>) {
    if let Some(extent) = later.first() {
        earlier.retain(|before| before.first < extent.first);
    }
    earlier.append(later);
    *later = earlier;
}

fn read_error(stream: &StreamName, sequence: u64, error: FrameError) -> ReadError {
    match error {
        FrameError::Store(error) => ReadError::Store(error.to_string()),
        FrameError::Damaged(what) => damaged(stream, sequence, &what),
    }
}

fn damaged(stream: &StreamName, sequence: u64, what: &str) -> ReadError {
    ReadError::Damaged { stream: stream.clone(), sequence, what: what.to_owned() }
}
