//! What is durable, as readers may see it.
//!
//! A batch shows in the tree before it is on the disk. Readers therefore go by this, which the writer moves on only
//! after the sync, and never see a record that a power cut could take back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{OnceLock, RwLock};

use tokio::sync::watch;

use super::super::StreamName;
use super::layout::{StoreHead, StreamHead};

/// Shared by the writer and all readers.
pub(super) struct Durable {
    /// One entry per stream, a few hundred bytes each: they all fit in memory.
    heads: RwLock<BTreeMap<StreamName, StreamHead>>,
    commits: watch::Sender<u64>,
    /// Why nothing is accepted any more.
    poison: OnceLock<String>,
}

impl Durable {
    pub(super) fn new(heads: BTreeMap<StreamName, StreamHead>, store_head: StoreHead) -> Self {
        Self { heads: RwLock::new(heads), commits: watch::Sender::new(store_head.number), poison: OnceLock::new() }
    }

    pub(super) fn head(&self, stream: &StreamName) -> Option<StreamHead> {
        self.heads.read().expect(NO_PANIC).get(stream).copied()
    }

    pub(super) fn streams(&self, prefix: &str) -> Vec<StreamName> {
        let heads = self.heads.read().expect(NO_PANIC);
        let from_prefix = (Bound::Included(prefix), Bound::Unbounded);
        let names = heads.range::<str, _>(from_prefix).map(|(name, _)| name);
        names.take_while(|name| name.as_str().starts_with(prefix)).cloned().collect()
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Shows one more commit to readers and followers.
    pub(super) fn advance(&self, heads: impl IntoIterator<Item = (StreamName, StreamHead)>, store_head: StoreHead) {
        self.heads.write().expect(NO_PANIC).extend(heads);
        self.commits.send_replace(store_head.number);
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
