//! What is durable, as readers may see it.
//!
//! A batch shows in the tree before it is on the disk. Readers therefore go by this, which the writer moves on only
//! after the sync, and never see a record that a power cut could take back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{OnceLock, RwLock};

use tokio::sync::watch;

use super::super::StreamName;
use super::commit::Added;
use super::layout::{Extent, StoreHead, StreamHead};

/// Shared by the writer and all readers.
pub(super) struct Durable {
    /// One entry per stream, a few hundred bytes each: they all fit in memory.
    streams: RwLock<Streams>,
    commits: watch::Sender<u64>,
    /// Why nothing is accepted any more.
    poison: OnceLock<String>,
}

pub(super) type Streams = BTreeMap<StreamName, StreamState>;

/// What is known of one stream.
#[derive(Clone, Debug)]
pub(super) struct StreamState {
    pub(super) head: StreamHead,
    /// Where the records are that the tree's index does not lead to yet; the writer bounds their number over all
    /// streams.
    pub(super) unindexed: Vec<Extent>,
}

impl Durable {
    pub(super) fn new(streams: Streams, store_head: StoreHead) -> Self {
        Self { streams: RwLock::new(streams), commits: watch::Sender::new(store_head.number), poison: OnceLock::new() }
    }

    pub(super) fn head(&self, stream: &StreamName) -> Option<StreamHead> {
        self.streams.read().expect(NO_PANIC).get(stream).map(|state| state.head)
    }

    /// The head, and those extents that are not in the index yet and do not end before `first`.
    pub(super) fn tail(&self, stream: &StreamName, first: u64) -> Option<(StreamHead, Vec<Extent>)> {
        let streams = self.streams.read().expect(NO_PANIC);
        let StreamState { head, unindexed } = streams.get(stream)?;
        let skipped = unindexed.partition_point(|extent| extent.last() < first);
        Some((*head, unindexed[skipped..].to_vec()))
    }

    pub(super) fn streams(&self, prefix: &str) -> Vec<StreamName> {
        let streams = self.streams.read().expect(NO_PANIC);
        let from_prefix = (Bound::Included(prefix), Bound::Unbounded);
        let names = streams.range::<str, _>(from_prefix).map(|(name, _)| name);
        names.take_while(|name| name.as_str().starts_with(prefix)).cloned().collect()
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Shows one more commit to readers and followers.
    pub(super) fn advance(&self, added: &[Added], store_head: StoreHead) {
        let mut streams = self.streams.write().expect(NO_PANIC);
        for Added { stream, extent, head } in added {
            if let Some(state) = streams.get_mut(stream) {
                state.head = *head;
                state.unindexed.push(*extent);
            } else {
                streams.insert(stream.clone(), StreamState { head: *head, unindexed: vec![*extent] });
            }
        }
        drop(streams);
        self.commits.send_replace(store_head.number);
    }

    /// Forgets the extents of streams that the index now leads to.
    pub(super) fn set_indexed<'a>(&self, indexed: impl IntoIterator<Item = &'a StreamName>) {
        let mut streams = self.streams.write().expect(NO_PANIC);
        for stream in indexed {
            if let Some(state) = streams.get_mut(stream) {
                state.unindexed = Vec::new();
            }
        }
    }

    pub(super) fn poison(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// For good; the first reason stays.
    pub(super) fn set_poison(&self, reason: String) {
        self.poison.get_or_init(|| reason);
    }
}

const NO_PANIC: &str = "nothing that holds this lock panics";
