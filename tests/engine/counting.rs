//! A journal that remembers what was read of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tminus::engine::journal::chain::ChainHash;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::{Append, AppendError, Cut, Journal, ReadError, Record, StreamName};
use tokio::sync::watch;

/// One read: of which stream, from where, and how many records came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub stream: String,
    pub from: u64,
    pub records: usize,
}

pub struct Counting {
    journal: Arc<MemoryJournal>,
    reads: Mutex<Vec<Read>>,
}

impl Counting {
    pub fn of(journal: &Arc<MemoryJournal>) -> Arc<Self> {
        Arc::new(Self { journal: journal.clone(), reads: Mutex::default() })
    }

    /// What was read since it was made, in order.
    pub fn all(&self) -> Vec<Read> {
        self.reads.lock().unwrap().clone()
    }
}

#[async_trait]
impl Journal for Counting {
    async fn append(&self, appends: Vec<Append>, epoch: u64) -> Result<(), AppendError> {
        self.journal.append(appends, epoch).await
    }

    async fn read(&self, stream: &StreamName, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let records = self.journal.read(stream, from, limit).await?;
        let read = Read { stream: stream.to_string(), from, records: records.len() };
        self.reads.lock().unwrap().push(read);
        Ok(records)
    }

    async fn head(&self, stream: &StreamName) -> Result<u64, ReadError> {
        self.journal.head(stream).await
    }

    async fn chain(&self, stream: &StreamName, sequence: u64) -> Result<Option<ChainHash>, ReadError> {
        self.journal.chain(stream, sequence).await
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError> {
        self.journal.streams(prefix).await
    }

    async fn cut(&self) -> Result<Cut, ReadError> {
        self.journal.cut().await
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.journal.follow()
    }
}
