//! The index: which block of which commit each record is in, written at checkpoints only.
//!
//! Between checkpoints it grows in memory. A checkpoint goes into the tree in one batch with a commit, so what
//! opening has to look through ends exactly where the index begins.

use std::collections::BTreeMap;
use std::io;

use ::sled::Tree;

use super::super::StreamName;
use super::commit::Added;
use super::durable::{Durable, Streams};
use super::frame::{self, FrameError, Writes};
use super::layout::{
    CHECKPOINT_KEY, EXTENTS_PER_VALUE, Extent, StreamHead, decode_head, encode_checkpoint, encode_head, encode_index, head_key,
    index_key,
};

/// How many extents may be in memory only, over all streams: what bounds that memory (some 100 KB, twice), and what
/// one checkpoint writes (each stream once).
const EXTENTS_MAX: usize = 4096;
/// How many bytes of commits may follow a checkpoint: as much as opening looks through in some hundredths of a
/// second.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What was committed since the checkpoint.
pub(super) struct Unindexed {
    streams: BTreeMap<StreamName, Tail>,
    extents_count: usize,
    bytes_count: usize,
    commits_count: u64,
    commits_max: u64,
}

struct Tail {
    head: StreamHead,
    extents: Vec<Extent>,
}

impl Unindexed {
    /// What opening found; the commits that it looked through count again.
    pub(super) fn new(streams: &Streams, commits_count: u64, bytes_count: usize, commits_max: u64) -> Self {
        let tails = streams.iter().filter(|(_, state)| !state.unindexed.is_empty()).map(|(stream, state)| {
            let tail = Tail { head: state.head, extents: state.unindexed.clone() };
            (stream.clone(), tail)
        });
        let streams: BTreeMap<_, _> = tails.collect();
        let extents_count = streams.values().map(|tail| tail.extents.len()).sum();
        Self { streams, extents_count, bytes_count, commits_count, commits_max }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Adds one more commit.
    pub(super) fn add(&mut self, added: &[Added], bytes_count: usize) {
        for Added { stream, extent, head } in added {
            if let Some(tail) = self.streams.get_mut(stream) {
                tail.head = *head;
                tail.extents.push(*extent);
            } else {
                self.streams.insert(stream.clone(), Tail { head: *head, extents: vec![*extent] });
            }
        }
        self.extents_count += added.len();
        self.bytes_count += bytes_count;
        self.commits_count += 1;
    }

    /// Whether it is time for a checkpoint.
    pub(super) fn is_due(&self) -> bool {
        self.commits_count >= self.commits_max || self.extents_count >= EXTENTS_MAX || self.bytes_count >= BYTES_MAX
    }

    /// Adds a checkpoint to what is written, as of the commit `number`, which may be among it.
    pub(super) fn put(&self, tree: &Tree, number: u64, writes: &mut Writes) -> io::Result<()> {
        for (stream, tail) in &self.streams {
            let mut extents = written_extents(tree, stream)?;
            extents.extend_from_slice(&tail.extents);
            let mut values = extents.chunks_exact(EXTENTS_PER_VALUE);
            for value in &mut values {
                encode_index(value).put(index_key(stream, value[0].first), writes);
            }
            encode_head(tail.head, values.remainder()).put(head_key(stream), writes);
        }
        encode_checkpoint(number).put(CHECKPOINT_KEY.to_vec(), writes);
        Ok(())
    }

    /// After the checkpoint has become durable.
    pub(super) fn clear(&mut self, durable: &Durable) {
        durable.set_indexed(self.streams.keys());
        self.streams.clear();
        self.extents_count = 0;
        self.bytes_count = 0;
        self.commits_count = 0;
    }
}

/// The extents in a stream's head, as of the last checkpoint.
fn written_extents(tree: &Tree, stream: &StreamName) -> io::Result<Vec<Extent>> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the head of stream {stream}: {what}"));
    match frame::get(tree, &head_key(stream)) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(body)) => decode_head(&body).map(|head| head.extents).ok_or_else(|| damaged("its value is not one")),
        Err(FrameError::Damaged(what)) => Err(damaged(&what)),
        Err(FrameError::Store(error)) => Err(error.into()),
    }
}
