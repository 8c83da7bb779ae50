//! An export becomes a journal again, in a folder of its own.
//!
//! Everything is read and checked, and the journal built beside its place, before anything has the journal's name: what
//! fails leaves things as they were. The streams are the same to the last bit, and so is what stands in them: who is the
//! installation, and what every effect outside bears as its identity. The commits are new ones, with a side file of their
//! own; snapshots are not part of a journal, and those of another history do not fit its chains.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use crate::engine::files;

use super::chain::ChainHash;
use super::export::{Exported, ReadExportError, Reader};
use super::sled::{OpenError, SledJournal, SledOptions, VerifyReport, sync_folder, verify_in_place};
use super::{Append, AppendError, NewRecord, StreamName};

/// How much goes into one commit: enough that syncing costs little, and little enough to be held in memory.
const COMMIT_RECORDS: usize = 1024;
/// The same in bytes.
const COMMIT_BYTES: usize = 2 * 1024 * 1024;
/// What the name of the folder ends with in which a journal is built.
const BUILT_SUFFIX: &str = ".importing";

/// Why nothing was imported. Nothing changed then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The place is taken.
    #[error(
        "{} is not empty: {what}. An import goes only where nothing is: name another data folder, or move this one away first",
        dir.display()
    )]
    Occupied {
        /// The journal's folder.
        dir: PathBuf,
        /// What is there.
        what: String,
    },
    /// Another import is at it, or was broken off.
    #[error(
        "{} is there: another import works in it, or one was broken off. When none is running, remove it and import again",
        dir.display()
    )]
    Begun {
        /// The folder in which it builds.
        dir: PathBuf,
    },
    /// The file is not an export as it was written.
    #[error(transparent)]
    Export(#[from] ReadExportError),
    /// The journal could not be built.
    #[error("the journal can't be built in {}: {what}", dir.display())]
    Store {
        /// Where.
        dir: PathBuf,
        /// Why.
        what: String,
    },
    /// The disk is full.
    #[error("there is no room to build the journal in {}", dir.display())]
    Full {
        /// Where.
        dir: PathBuf,
    },
    /// Somebody wants to end.
    #[error("it was told to stop")]
    Stopped,
}

/// Builds the journal of an export in the folder `dir`, which must be empty or not there. `is_stopped` is asked now and then.
/// Waits for the disk: not from an async task.
///
/// # Errors
/// See [`ImportError`]; nothing changed then.
pub fn import<R: BufRead>(mut reader: Reader<R>, dir: &Path, is_stopped: &dyn Fn() -> bool) -> Result<VerifyReport, ImportError> {
    check_free(dir)?;
    let built = Built::beside(dir)?;
    fill(&mut reader, &built, is_stopped)?;
    let report = verify_in_place(&built.dir, is_stopped).map_err(|error| built.failed(&error))?.ok_or(ImportError::Stopped)?;
    compare(&report, reader.streams()).map_err(|what| built.failed(&what))?;
    built.move_to(dir)?;
    Ok(report)
}

/// The journal as the file has it, synced and closed.
fn fill<R: BufRead>(reader: &mut Reader<R>, built: &Built, is_stopped: &dyn Fn() -> bool) -> Result<(), ImportError> {
    let journal = SledJournal::open(&built.dir, &SledOptions::default()).map_err(|error| match error {
        OpenError::Full { dir } => ImportError::Full { dir },
        error => built.failed(&error),
    })?;
    let mut commit: Vec<Append> = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    loop {
        let next = reader.next_record()?;
        if next.is_none() || records >= COMMIT_RECORDS || bytes >= COMMIT_BYTES {
            if is_stopped() {
                return Err(ImportError::Stopped);
            }
            if !commit.is_empty() {
                let appended = journal.append_and_wait(std::mem::take(&mut commit));
                appended.map_err(|error: AppendError| built.failed(&error))?;
            }
            (records, bytes) = (0, 0);
        }
        let Some(Exported { stream, record, .. }) = next else { break };
        records += 1;
        bytes += record.id.len() + record.payload.len();
        let expected = record.sequence - 1;
        let record = NewRecord { id: record.id, payload: record.payload };
        match commit.last_mut().filter(|append| append.stream == stream) {
            Some(append) => append.records.push(record),
            None => commit.push(Append { stream, expected, records: vec![record] }),
        }
    }
    journal.close();
    if let Some(why) = journal.poison() {
        return Err(built.failed(&why));
    }
    Ok(())
}

/// What was built against what was to be built.
fn compare(report: &VerifyReport, streams: &[(StreamName, u64, ChainHash)]) -> Result<(), String> {
    if let Some(problem) = report.problems.first() {
        return Err(problem.clone());
    }
    let built = report.streams.iter().map(|found| (&found.stream, found.sequence, found.chain));
    if built.eq(streams.iter().map(|(stream, records, chain)| (stream, *records, *chain))) {
        return Ok(());
    }
    Err("what was built is not what the file holds".to_owned())
}

fn check_free(dir: &Path) -> Result<(), ImportError> {
    let occupied = |what: &str| Err(ImportError::Occupied { dir: dir.to_owned(), what: what.to_owned() });
    let mut entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return occupied("it is a file"),
        Err(error) => return Err(ImportError::Store { dir: dir.to_owned(), what: error.to_string() }),
        Ok(entries) => entries,
    };
    match entries.next() {
        None => Ok(()),
        Some(_) if dir.join("db").exists() => occupied("it holds a journal"),
        Some(_) => occupied("it holds other files"),
    }
}

/// A folder in which a journal is built; removed when dropped, unless it was moved to its place.
struct Built {
    dir: PathBuf,
    /// Folders that were made for it and are removed with it, if nothing else is in them: innermost first.
    made: Vec<PathBuf>,
}

impl Built {
    fn beside(dir: &Path) -> Result<Self, ImportError> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let built_dir = dir.with_file_name(format!("{name}{BUILT_SUFFIX}"));
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let ancestors = parent.iter().flat_map(|parent| parent.ancestors());
        let made = ancestors.take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).map(Path::to_owned).collect();
        let mut built = Self { dir: built_dir, made };
        let failed = |error: io::Error| ImportError::Store { dir: dir.to_owned(), what: error.to_string() };
        if let Some(parent) = parent {
            files::make_private_all(parent).map_err(failed)?;
        }
        let made = files::make_private(&built.dir);
        made.map_err(|error| {
            let dir = std::mem::take(&mut built.dir);
            if error.kind() == io::ErrorKind::AlreadyExists { ImportError::Begun { dir } } else { failed(error) }
        })?;
        Ok(built)
    }

    /// Gives the folder its name, durably.
    fn move_to(mut self, dir: &Path) -> Result<(), ImportError> {
        let moved = || {
            sync_folder(&self.dir)?;
            // An empty one may be there. When it is not empty any more, this fails, and nothing changed.
            match fs::remove_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(&self.dir, dir)
        };
        moved().map_err(|error| self.failed(&error))?;
        self.dir = PathBuf::new();
        self.made.clear();
        sync_folder(dir).map_err(|error| ImportError::Store { dir: dir.to_owned(), what: error.to_string() })
    }

    fn failed(&self, what: &(impl ToString + ?Sized)) -> ImportError {
        ImportError::Store { dir: self.dir.clone(), what: what.to_string() }
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if !self.dir.as_os_str().is_empty()
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(%error, dir = %self.dir.display(), "A journal that was not finished could not be removed");
        }
        for dir in &self.made {
            // Something else may be in it by now.
            let _ = fs::remove_dir(dir);
        }
    }
}
