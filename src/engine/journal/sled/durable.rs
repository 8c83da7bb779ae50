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
    seen: RwLock<Seen>,
    commits: watch::Sender<u64>,
    /// Why nothing is accepted any more.
    poison: OnceLock<String>,
}

/// What one commit after the other left, under one lock: nobody sees half a commit.
struct Seen {
    /// One entry per stream, a few hundred bytes each: they all fit in memory.
    streams: Streams,
    store_head: StoreHead,
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
        let commits = watch::Sender::new(store_head.number);
        Self { seen: RwLock::new(Seen { streams, store_head }), commits, poison: OnceLock::new() }
    }

    pub(super) fn head(&self, stream: &StreamName) -> Option<StreamHead> {
        self.seen.read().expect(NO_PANIC).streams.get(stream).map(|state| state.head)
    }

    /// The head, and those extents that are not in the index yet and do not end before `first`.
    pub(super) fn tail(&self, stream: &StreamName, first: u64) -> Option<(StreamHead, Vec<Extent>)> {
        let seen = self.seen.read().expect(NO_PANIC);
        let StreamState { head, unindexed } = seen.streams.get(stream)?;
        let skipped = unindexed.partition_point(|extent| extent.last() < first);
        Some((*head, unindexed[skipped..].to_vec()))
    }

    pub(super) fn streams(&self, prefix: &str) -> Vec<StreamName> {
        let seen = self.seen.read().expect(NO_PANIC);
        let from_prefix = (Bound::Included(prefix), Bound::Unbounded);
        let names = seen.streams.range::<str, _>(from_prefix).map(|(name, _)| name);
        names.take_while(|name| name.as_str().starts_with(prefix)).cloned().collect()
    }

    /// All streams with their heads, and the store's, as of one commit.
    pub(super) fn cut(&self) -> (StoreHead, Vec<(StreamName, StreamHead)>) {
        let seen = self.seen.read().expect(NO_PANIC);
        (seen.store_head, seen.streams.iter().map(|(stream, state)| (stream.clone(), state.head)).collect())
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Shows one more commit to readers and followers.
    pub(super) fn advance(&self, added: &[Added], store_head: StoreHead) {
        let mut seen = self.seen.write().expect(NO_PANIC);
        for Added { stream, extent, head } in added {
            if let Some(state) = seen.streams.get_mut(stream) {
                state.head = *head;
                state.unindexed.push(*extent);
            } else {
                seen.streams.insert(stream.clone(), StreamState { head: *head, unindexed: vec![*extent] });
            }
        }
        seen.store_head = store_head;
        drop(seen);
        self.commits.send_replace(store_head.number);
    }

    /// Forgets the extents of streams that the index now leads to.
    pub(super) fn set_indexed<'a>(&self, indexed: impl IntoIterator<Item = &'a StreamName>) {
        let mut seen = self.seen.write().expect(NO_PANIC);
        for stream in indexed {
            if let Some(state) = seen.streams.get_mut(stream) {
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
