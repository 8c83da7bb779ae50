//! Backups: exports of the journal, kept in a folder, while the process goes on.
//!
//! A backup counts only once it was restored from: it is written under a temporary name, imported into a scratch folder beside
//! it, verified there, and gets its name when all of that went well. Old ones are removed only after that. What fails leaves
//! neither half a file nor the scratch behind, takes nothing away, and is said.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::stream::Stream;
use tokio::sync::watch;
use tokio::task;

use crate::domain::calendar::Calendar;

use super::journal::export::{Exporter, Reader, WriteFileError, chunks, write_file};
use super::journal::import::{ImportError, import};
use super::journal::{Journal, ReadError};
use super::ports::Clock;

/// What the names of backups begin with.
const NAME_START: &str = "tminus-";
/// What stands between, so that the order of names is that of time.
const NAME_TIME: &str = "%Y%m%dT%H%M%SZ";
/// What they end with.
const NAME_END: &str = ".jsonl";
/// What the folder's name ends with in which a backup is tried out.
const TRIED_SUFFIX: &str = ".tried";

/// When backups are made, where they are kept, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The folder: for this installation alone, because old ones are removed.
    pub to: PathBuf,
    /// The times.
    pub at: Calendar,
    /// How many are kept.
    pub keep: usize,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// How many records it has.
    pub records: u64,
    /// How many older ones were removed.
    pub removed: usize,
}

/// Why there is no backup. Those that were there are there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder can't be used.
    #[error("{} can't be used: {error}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is one of this very second.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The journal can't be read.
    #[error("the journal can't be exported: {0}")]
    Read(ReadError),
    /// It could not be written.
    #[error("{0}")]
    Write(WriteFileError),
    /// It was written, and nothing can be restored from it.
    #[error("nothing could be restored from what was written: {0}")]
    Restore(ImportError),
}

impl From<WriteFileError> for BackupError {
    fn from(error: WriteFileError) -> Self {
        Self::Write(error)
    }
}

/// Makes backups at their times for as long as the process lives. One that was missed while nothing ran is made up for at once,
/// and so is the first one: whether the folder can be used shows at the start, not at night.
pub async fn run(plan: Plan, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, mut closing: watch::Receiver<bool>) {
    let is_closing = Arc::new(AtomicBool::new(false));
    for outcome in ["good", "failed"] {
        metrics::counter!("tminus_backups_total", "outcome" => outcome).increment(0);
    }
    let mut due = is_due(&plan, clock.now()).await;
    let work = async {
        loop {
            // A time that passes while one is made is not passed over.
            let from = clock.now();
            if due {
                one(&plan, journal.clone(), from, &is_closing).await;
            }
            let Some(next) = plan.at.after(from) else {
                tracing::warn!("No backup is made any more: the years that `backups` names are over");
                return;
            };
            clock.sleep_until(next).await;
            due = true;
        }
    };
    tokio::select! {
        _ = closing.wait_for(|closing| *closing) => {}
        () = work => {}
    }
    // What is being tried out on another thread comes to an end, and leaves nothing behind.
    is_closing.store(true, Ordering::Relaxed);
}

/// Whether the newest backup is older than the last time at which there should have been one.
async fn is_due(plan: &Plan, now: DateTime<Utc>) -> bool {
    let to = plan.to.clone();
    // What can't be listed shows when it is written to.
    let made = task::spawn_blocking(move || backups_in(&to)).await.ok().and_then(Result::ok).unwrap_or_default();
    let Some((newest, _)) = made.last() else { return true };
    tell_success(*newest);
    plan.at.until(now).is_some_and(|last| *newest < last)
}

async fn one(plan: &Plan, journal: Arc<dyn Journal>, now: DateTime<Utc>, is_closing: &Arc<AtomicBool>) {
    let stop = is_closing.clone();
    match back_up(journal, now, &plan.to, Some(plan.keep), move || stop.load(Ordering::Relaxed)).await {
        Ok(Backup { path, records, removed }) => {
            metrics::counter!("tminus_backups_total", "outcome" => "good").increment(1);
            tell_success(now);
            tracing::info!(records, removed, "A backup was made and tried out: {}", path.display());
        }
        Err(_) if is_closing.load(Ordering::Relaxed) => {}
        Err(error) => {
            metrics::counter!("tminus_backups_total", "outcome" => "failed").increment(1);
            tracing::error!("No backup was made, and older ones were left alone: {error}");
        }
    }
}

fn tell_success(at: DateTime<Utc>) {
    // Whole seconds from 1970 to 2106, which a figure holds exactly.
    let seconds = u32::try_from(at.timestamp()).unwrap_or_default();
    metrics::gauge!("tminus_backup_last_success_timestamp_seconds").set(f64::from(seconds));
}

/// Makes one backup, tries it out, and removes the oldest beyond `keep`. `is_stopped` is asked now and then.
///
/// # Errors
/// See [`BackupError`].
pub async fn back_up(
    journal: Arc<dyn Journal>,
    now: DateTime<Utc>,
    to: &Path,
    keep: Option<usize>,
    is_stopped: impl Fn() -> bool + Send + 'static,
) -> Result<Backup, BackupError> {
    let exporter = Exporter::begin(journal, now).await.map_err(BackupError::Read)?;
    keep_export(chunks(exporter), now, to, keep, is_stopped).await
}

/// The same of an export that comes in pieces, from wherever it comes.
///
/// # Errors
/// See [`BackupError`].
pub async fn keep_export(
    pieces: impl Stream<Item = Result<Vec<u8>, ReadError>>,
    now: DateTime<Utc>,
    to: &Path,
    keep: Option<usize>,
    is_stopped: impl Fn() -> bool + Send + 'static,
) -> Result<Backup, BackupError> {
    let path = to.join(file_name(now));
    let in_folder = |error| BackupError::Folder { dir: to.to_owned(), error };
    let folder = to.to_owned();
    let made_ready = task::spawn_blocking(move || make_ready(&folder)).await.map_err(io::Error::other);
    made_ready.and_then(|made| made).map_err(in_folder)?;
    if path.exists() {
        return Err(BackupError::Exists { path });
    }
    let records = write_file(pieces, &path, move |written| try_out(written, &is_stopped)).await?;
    let removed = match keep {
        Some(keep) => {
            let newest = path.clone();
            task::spawn_blocking(move || remove_oldest(&newest, keep)).await.unwrap_or_default()
        }
        None => 0,
    };
    Ok(Backup { path, records, removed })
}

/// What a backup is called that is made at a time.
#[must_use]
pub fn file_name(at: DateTime<Utc>) -> String {
    format!("{NAME_START}{}{NAME_END}", at.format(NAME_TIME))
}

/// Makes the folder, and removes what a process left in it that was killed while it made a backup.
fn make_ready(to: &Path) -> io::Result<()> {
    // Everything that anybody said is in it.
    super::files::make_private_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(NAME_START)) else { continue };
        // A time, a number, and what it is.
        let Some((time, rest)) = rest.split_once(NAME_END).filter(|(_, rest)| !rest.is_empty()) else { continue };
        if time_of(time).is_none() {
            continue;
        }
        if rest.ends_with(TRIED_SUFFIX) {
            fs::remove_dir_all(entry.path())?;
        } else if rest.ends_with(super::journal::export::PART_SUFFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Imports what was written, which verifies it, and removes what came of it. Answers how many records it has.
fn try_out(written: &Path, is_stopped: &dyn Fn() -> bool) -> Result<u64, BackupError> {
    let name = written.file_name().unwrap_or_default().to_string_lossy();
    let tried = Tried(written.with_file_name(format!("{name}{TRIED_SUFFIX}")));
    let file = File::open(written).map_err(|error| BackupError::Restore(ImportError::Export(error.into())))?;
    let reader = Reader::open(BufReader::new(file)).map_err(|error| BackupError::Restore(error.into()))?;
    let records = reader.header().records();
    import(reader, &tried.0.join("journal"), is_stopped).map_err(BackupError::Restore)?;
    Ok(records)
}

/// A folder that is removed when dropped.
struct Tried(PathBuf);

impl Drop for Tried {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, dir = %self.0.display(), "What a backup was tried out in could not be removed");
            }
            _ => {}
        }
    }
}

/// The backups of a folder, oldest first.
fn backups_in(dir: &Path) -> io::Result<Vec<(DateTime<Utc>, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let bare = name.to_str().and_then(|name| name.strip_prefix(NAME_START)?.strip_suffix(NAME_END));
        if let Some(at) = bare.and_then(time_of) {
            found.push((at, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The time in a name, written as it is written here and not otherwise.
fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let at = NaiveDateTime::parse_from_str(text, NAME_TIME).ok()?.and_utc();
    (at.format(NAME_TIME).to_string() == text).then_some(at)
}

/// Removes the oldest beyond `keep`, and never the one that was made just now: its clock may have been put back.
fn remove_oldest(made: &Path, keep: usize) -> usize {
    let dir = made.parent().unwrap_or(Path::new("."));
    let others = match backups_in(dir) {
        Ok(found) => found.into_iter().map(|(_, path)| path).filter(|path| path != made).collect::<Vec<_>>(),
        Err(error) => {
            tracing::warn!(%error, "Old backups can't be looked for");
            return 0;
        }
    };
    let mut removed = 0;
    for old in &others[..others.len().saturating_sub(keep.saturating_sub(1))] {
        match fs::remove_file(old) {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(%error, path = %old.display(), "An old backup can't be removed"),
        }
    }
    removed
}
