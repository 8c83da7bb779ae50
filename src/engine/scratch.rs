//! A small store of things that expire: sessions, link codes, half-filled forms, hashes of cards last shown.
//!
//! Nothing here is a fact: it is never replayed or exported, and not synced on every write. Losing it costs a login
//! or one redundant edit. Time is always a parameter; nothing here reads a clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ::sled::IVec;
use chrono::{DateTime, Utc};

/// The longest key, in bytes: a kind and a hash or an identifier of a platform.
pub const KEY_BYTES_MAX: usize = 256;
/// The largest value, in bytes: a half-filled form is far below it, and small values spare the store's pages.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// How many entries there may be: a flood of logins must not fill the disk. Far above what a few hundred people leave
/// behind between two sweeps.
pub const ENTRIES_MAX: usize = 100_000;

/// How much of it is kept in memory, in bytes.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScratchError {
    /// The key or value is too large. The same again fails again.
    #[error("not a possible entry: {0}")]
    Invalid(String),
    /// There are [`ENTRIES_MAX`] entries; sweeping may help.
    #[error("the scratch store is full")]
    Full,
    /// The store did not answer.
    #[error("the scratch store did not answer: {0}")]
    Store(String),
}

/// The port. Its calls are quick enough to be made from async tasks.
pub trait Scratch: Send + Sync + 'static {
    /// Stores a value, in place of what the key held, until `expires_at`.
    ///
    /// # Errors
    /// See [`ScratchError`].
    fn put(&self, key: &str, value: &[u8], expires_at: DateTime<Utc>) -> Result<(), ScratchError>;

    /// Stores a value until `expires_at`, unless the key holds one that expires after `now`: that one then, and nothing changed.
    ///
    /// # Errors
    /// See [`ScratchError`].
    fn claim(
        &self,
        key: &str,
        value: &[u8],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<Vec<u8>>, ScratchError>;

    /// The value, if there is one and it expires after `now`.
    ///
    /// # Errors
    /// See [`ScratchError`].
    fn get(&self, key: &str, now: DateTime<Utc>) -> Result<Option<Vec<u8>>, ScratchError>;

    /// Removes the value and says whether there was one, expired or not. Of several callers one hears yes: who
    /// redeems a code that works once goes by this answer, not by [`Scratch::get`]'s.
    ///
    /// # Errors
    /// See [`ScratchError`].
    fn remove(&self, key: &str) -> Result<bool, ScratchError>;

    /// Removes everything that has expired by `now` and says how many entries that were.
    ///
    /// # Errors
    /// See [`ScratchError`].
    fn sweep(&self, now: DateTime<Utc>) -> Result<usize, ScratchError>;
}

/// In memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryScratch {
    entries: Mutex<Entries>,
}

/// By key: when it expires, and the value.
type Entries = BTreeMap<String, (DateTime<Utc>, Vec<u8>)>;

impl MemoryScratch {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("nothing that holds this lock panics")
    }
}

impl Scratch for MemoryScratch {
    fn put(&self, key: &str, value: &[u8], expires_at: DateTime<Utc>) -> Result<(), ScratchError> {
        check(key, value)?;
        let mut entries = self.entries();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(key) {
            return Err(ScratchError::Full);
        }
        entries.insert(key.to_owned(), (expires_at, value.to_vec()));
        Ok(())
    }

    fn claim(
        &self,
        key: &str,
        value: &[u8],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<Vec<u8>>, ScratchError> {
        // Nobody else comes between: a test's store has one user at a time.
        match self.get(key, now)? {
            Some(held) => Ok(Some(held)),
            None => self.put(key, value, expires_at).map(|()| None),
        }
    }

    fn get(&self, key: &str, now: DateTime<Utc>) -> Result<Option<Vec<u8>>, ScratchError> {
        let entries = self.entries();
        let entry = entries.get(key).filter(|(expires_at, _)| *expires_at > now);
        Ok(entry.map(|(_, value)| value.clone()))
    }

    fn remove(&self, key: &str) -> Result<bool, ScratchError> {
        Ok(self.entries().remove(key).is_some())
    }

    fn sweep(&self, now: DateTime<Utc>) -> Result<usize, ScratchError> {
        let mut entries = self.entries();
        let count_before = entries.len();
        entries.retain(|_, (expires_at, _)| *expires_at > now);
        Ok(count_before - entries.len())
    }
}

/// In a store of its own on the disk. Clones share it.
///
/// It is not the journal's store: that one has a single writer, and must not suffer from a second one that is killed in the
/// middle of something. Entries reach the disk within half a second. A value is stored behind the microseconds since 1970
/// at which it expires, in eight bytes.
#[derive(Clone)]
pub struct SledScratch {
    tree: ::sled::Tree,
    /// Keeps the store open.
    _db: ::sled::Db,
    /// Counting the tree's entries each time would read all of it.
    entries_count: Arc<AtomicUsize>,
}

impl SledScratch {
    /// Opens the store in a folder, which is made when it is not there. A store that a crash left unreadable is begun anew:
    /// nothing in it is a fact.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn open(dir: &Path) -> Result<Self, ScratchError> {
        match Self::open_as_it_is(dir) {
            Ok(store) => Ok(store),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), "The scratch store is begun anew; people may have to log in again: {error}");
                std::fs::remove_dir_all(dir).map_err(|error| ScratchError::Store(error.to_string()))?;
                Self::open_as_it_is(dir)
            }
        }
    }

    fn open_as_it_is(dir: &Path) -> Result<Self, ScratchError> {
        // Some kinds of damage make the store panic rather than return an error.
        let opened = std::panic::catch_unwind(|| {
            let db = ::sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).open()?;
            let tree = db.open_tree("scratch")?;
            let mut count = 0;
            for entry in &tree {
                entry?;
                count += 1;
            }
            Ok(Self { tree, _db: db, entries_count: Arc::new(AtomicUsize::new(count)) })
        });
        opened.unwrap_or_else(|_| Err(ScratchError::Store("it is damaged".to_owned())))
    }
}

impl Scratch for SledScratch {
    fn put(&self, key: &str, value: &[u8], expires_at: DateTime<Utc>) -> Result<(), ScratchError> {
        check(key, value)?;
        // Several at once may go past the limit together; it is there against floods, not for its exact number.
        let is_full = self.entries_count.load(Ordering::Relaxed) >= ENTRIES_MAX;
        if is_full && !self.tree.contains_key(key)? {
            return Err(ScratchError::Full);
        }
        let stored = [&expires_at.timestamp_micros().to_be_bytes(), value].concat();
        if self.tree.insert(key, stored)?.is_none() {
            self.entries_count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn claim(
        &self,
        key: &str,
        value: &[u8],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<Vec<u8>>, ScratchError> {
        check(key, value)?;
        let is_full = self.entries_count.load(Ordering::Relaxed) >= ENTRIES_MAX;
        let stored = [&expires_at.timestamp_micros().to_be_bytes(), value].concat();
        let mut known: Option<IVec> = None;
        loop {
            if is_full && known.is_none() && !self.tree.contains_key(key)? {
                return Err(ScratchError::Full);
            }
            let Err(other) = self.tree.compare_and_swap(key, known.as_ref(), Some(stored.as_slice()))? else { break };
            if let Some(held) = other.current.as_deref().and_then(|held| live_value(held, now)) {
                return Ok(Some(held.to_vec()));
            }
            // What has expired makes room.
            known = other.current;
        }
        if known.is_none() {
            self.entries_count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(None)
    }

    fn get(&self, key: &str, now: DateTime<Utc>) -> Result<Option<Vec<u8>>, ScratchError> {
        let stored = self.tree.get(key)?;
        let value = stored.as_deref().and_then(|stored| live_value(stored, now));
        Ok(value.map(<[u8]>::to_vec))
    }

    fn remove(&self, key: &str) -> Result<bool, ScratchError> {
        let was_there = self.tree.remove(key)?.is_some();
        if was_there {
            self.entries_count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(was_there)
    }

    fn sweep(&self, now: DateTime<Utc>) -> Result<usize, ScratchError> {
        let mut count = 0;
        for entry in &self.tree {
            let (key, stored) = entry?;
            if live_value(&stored, now).is_some() {
                continue;
            }
            // Only if it is still the expired one: it may have been put again meanwhile.
            let nothing: Option<&[u8]> = None;
            if self.tree.compare_and_swap(key, Some(stored), nothing)?.is_ok() {
                self.entries_count.fetch_sub(1, Ordering::Relaxed);
                count += 1;
            }
        }
        Ok(count)
    }
}

impl From<::sled::Error> for ScratchError {
    fn from(error: ::sled::Error) -> Self {
        Self::Store(error.to_string())
    }
}

fn check(key: &str, value: &[u8]) -> Result<(), ScratchError> {
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(ScratchError::Invalid(format!("its key has {} bytes, not 1 to {KEY_BYTES_MAX}", key.len())));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(ScratchError::Invalid(format!("its value has {} bytes, more than {VALUE_BYTES_MAX}", value.len())));
    }
    Ok(())
}

/// The value if it has not expired; an entry that is not one counts as expired.
fn live_value(stored: &[u8], now: DateTime<Utc>) -> Option<&[u8]> {
    let (expires_at_us, value) = stored.split_first_chunk::<8>()?;
    (i64::from_be_bytes(*expires_at_us) > now.timestamp_micros()).then_some(value)
}
