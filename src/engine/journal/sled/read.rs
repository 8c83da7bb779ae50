//! Reading a stream back, checked.
//!
//! Every record returned matches its checksum, and its hash follows from its predecessor's: from the start of the
//! stream when reading from there, else from the stored record before the first one. At the end of the stream the
//! last hash must be that of the stream's head, so no record can be missing or exchanged unnoticed.

use ::sled::Tree;

use super::super::{ReadError, Record, StreamName};
use super::frame::{self, FrameError, Frames};
use super::layout::{StreamHead, decode_record, record_key};

/// The records from sequence `first` to `last`; `last` is at most the sequence of `end`, the stream's head.
pub(super) fn records(
    tree: &Tree,
    stream: &StreamName,
    first: u64,
    last: u64,
    end: StreamHead,
) -> Result<Vec<Record>, ReadError> {
    let mut head = before(tree, stream, first)?;
    let mut records = Vec::new();
    let keys = record_key(stream, first)..record_key(stream, last + 1);
    for (key, body) in Frames::new(tree, tree.range(keys)) {
        let sequence = head.sequence + 1;
        let body = body.map_err(|error| read_error(stream, sequence, error))?;
        if key != record_key(stream, sequence) {
            return Err(damaged(stream, sequence, MISSING));
        }
        let (record, hash) = decode_record(sequence, &body).ok_or_else(|| damaged(stream, sequence, NOT_A_RECORD))?;
        head = head.after(&record.id, &record.payload);
        if head.hash != hash {
            return Err(damaged(stream, sequence, WRONG_HASH));
        }
        records.push(record);
    }
    if head.sequence < last {
        return Err(damaged(stream, head.sequence + 1, MISSING));
    }
    if head.sequence == end.sequence && head.hash != end.hash {
        return Err(damaged(stream, head.sequence, NOT_THE_HEAD));
    }
    Ok(records)
}

/// What can be wrong with a record, in the words that follow its name.
pub(super) const MISSING: &str = "it is missing";
pub(super) const NOT_A_RECORD: &str = "its value is not a record";
pub(super) const WRONG_HASH: &str = "its hash does not follow from its predecessor's";
pub(super) const NOT_THE_HEAD: &str = "its hash is not the one in the stream's head";

/// The head of the stream as it was before the record `first`.
fn before(tree: &Tree, stream: &StreamName, first: u64) -> Result<StreamHead, ReadError> {
    let sequence = first - 1;
    if sequence == 0 {
        return Ok(StreamHead::empty(stream));
    }
    let body = frame::get(tree, &record_key(stream, sequence))
        .map_err(|error| read_error(stream, sequence, error))?
        .ok_or_else(|| damaged(stream, sequence, MISSING))?;
    let (_, hash) = decode_record(sequence, &body).ok_or_else(|| damaged(stream, sequence, NOT_A_RECORD))?;
    Ok(StreamHead { sequence, hash })
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
