//! A journal in memory: for tests, and for rehearsing what a store can do wrong.
//!
//! A second writer is a second clone of the same `Arc`. Trouble is ordered in advance with
//! [`MemoryJournal::fail_next`] and comes in through the same door as with a real store.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::watch;

use super::chain::{self, ChainHash};
use super::{Append, AppendError, Cut, Journal, ReadError, Record, StreamEnd, StreamName, check};

/// The journal. It forgets everything when dropped.
#[derive(Debug)]
pub struct MemoryJournal {
    state: Mutex<State>,
    commits: watch::Sender<u64>,
}

/// What the next append runs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is written, and answered with [`AppendError::Unknown`].
    UnknownWritten,
    /// It is not written, and answered with [`AppendError::Unknown`].
    UnknownNotWritten,
    /// It is not written, and this and all later ones are answered with [`AppendError::Poisoned`] until
    /// [`MemoryJournal::restart`].
    Poisoned,
}

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<StreamName, Vec<Record>>,
    faults: VecDeque<Fault>,
    is_poisoned: bool,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::default(), commits: watch::Sender::new(0) }
    }

    /// Orders trouble for the next append that would otherwise succeed; several orders are served in turn.
    /// Impossible appends and conflicts are refused as ever and use none of them up.
    pub fn fail_next(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// What a restart does to a store: the records stay, the poison and all ordered trouble go.
    pub fn restart(&self) {
        let mut state = self.state();
        state.is_poisoned = false;
        state.faults.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that holds this lock panics")
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, appends: Vec<Append>, _epoch: u64) -> Result<(), AppendError> {
        check(&appends)?;
        let mut state = self.state();
        if state.is_poisoned {
            return Err(poisoned());
        }
        for Append { stream, expected, .. } in &appends {
            let actual = state.head(stream);
            if actual != *expected {
                return Err(AppendError::Conflict { stream: stream.clone(), actual });
            }
        }
        let fault = state.faults.pop_front();
        match fault {
            Some(Fault::UnknownNotWritten) => return Err(unknown()),
            Some(Fault::Poisoned) => {
                state.is_poisoned = true;
                return Err(poisoned());
            }
            Some(Fault::UnknownWritten) | None => {}
        }
        state.write(appends);
        // Told while the lock is held, so that numbers never go backwards.
        self.commits.send_modify(|number| *number += 1);
        if fault.is_some() {
            return Err(unknown());
        }
        Ok(())
    }

    async fn read(&self, stream: &StreamName, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let state = self.state();
        let records = state.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(records.iter().skip(skipped).take(limit).cloned().collect())
    }

    async fn head(&self, stream: &StreamName) -> Result<u64, ReadError> {
        Ok(self.state().head(stream))
    }

    async fn chain(&self, stream: &StreamName, sequence: u64) -> Result<Option<ChainHash>, ReadError> {
        let state = self.state();
        let records = state.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let place = usize::try_from(sequence).unwrap_or(usize::MAX);
        if !(1..=records.len()).contains(&place) {
            return Ok(None);
        }
        Ok(Some(chain_of(stream, &records[..place])))
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError> {
        let state = self.state();
        let from_prefix = (Bound::Included(prefix), Bound::Unbounded);
        let names = state.streams.range::<str, _>(from_prefix).map(|(name, _)| name);
        Ok(names.take_while(|name| name.as_str().starts_with(prefix)).cloned().collect())
    }

    /// It keeps no chain over all streams.
    async fn cut(&self) -> Result<Cut, ReadError> {
        let state = self.state();
        let end = |(stream, records): (&StreamName, &Vec<Record>)| StreamEnd {
            stream: stream.clone(),
            sequence: records.len() as u64,
            chain: chain_of(stream, records),
        };
        // The lock is held: no append comes in between.
        Ok(Cut { commit: *self.commits.borrow(), hash: None, streams: state.streams.iter().map(end).collect() })
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

impl State {
    fn head(&self, stream: &StreamName) -> u64 {
        self.streams.get(stream).map_or(0, |records| records.len() as u64)
    }

    fn write(&mut self, appends: Vec<Append>) {
        for Append { stream, expected, records } in appends {
            let written =
                (expected + 1..).zip(records).map(|(sequence, new)| Record { sequence, id: new.id, payload: new.payload });
            self.streams.entry(stream).or_default().extend(written);
        }
    }
}

fn chain_of(stream: &StreamName, records: &[Record]) -> ChainHash {
    let hash = |before, record: &Record| chain::after(before, record.sequence, &record.id, &record.payload);
    records.iter().fold(chain::beginning(stream), hash)
}

fn unknown() -> AppendError {
    AppendError::Unknown("ordered by a test".to_owned())
}

fn poisoned() -> AppendError {
    AppendError::Poisoned("ordered by a test".to_owned())
}
