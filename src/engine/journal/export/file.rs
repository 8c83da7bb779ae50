//! An export as a file that is there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::stream::{Stream, StreamExt as _};
use tokio::task;

use crate::engine::files;

use super::super::ReadError;

/// What the name of a file ends with while it is written.
pub(in super::super::super) const PART_SUFFIX: &str = ".part";

/// Why a file was not written. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum WriteFileError {
    /// The journal can't be read.
    #[error("the journal can't be exported: {0}")]
    Read(ReadError),
    /// The file system said no.
    #[error("{} can't be written: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// Writes an export, as it comes in pieces, under a temporary name beside `path`, syncs it, has it looked at, and gives it its name,
/// in place of what has it. `look` gets the file before it has its name: when it fails, the file is removed. Answers what it found.
///
/// # Errors
/// See [`WriteFileError`]; or what `look` said.
pub async fn write_file<T, E>(
    pieces: impl Stream<Item = Result<Vec<u8>, ReadError>>,
    path: &Path,
    look: impl FnOnce(&Path) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<WriteFileError> + Send + 'static,
{
    let failed = |error| E::from(WriteFileError::Io { path: path.to_owned(), error });
    let mut pieces = pin!(pieces);
    // Dropped when this is given up half-way, it removes what was written.
    let (part, mut file) = Part::create(path).map_err(failed)?;
    while let Some(chunk) = pieces.next().await {
        let chunk = chunk.map_err(|error| E::from(WriteFileError::Read(error)))?;
        // The disk may be slow, and other tasks of this thread have something better to do.
        file = blocking(move || file.write_all(&chunk).map(|()| file)).await.map_err(failed)?;
    }
    let path_owned = path.to_owned();
    task::spawn_blocking(move || {
        let failed = |error| E::from(WriteFileError::Io { path: path_owned.clone(), error });
        file.sync_all().map_err(failed)?;
        drop(file);
        let found = look(&part.path)?;
        part.keep(&path_owned).map_err(failed)?;
        Ok(found)
    })
    .await
    .map_err(|error| failed(io::Error::other(error)))?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done)
}

/// A file that is being written; removed when dropped, unless it was kept.
struct Part {
    path: PathBuf,
}

impl Part {
    /// Makes one that was not there, under a name that nobody knows before: in a folder where others may write, what they leave
    /// under the name of a file to come would be written through. A journal is nobody else's business.
    fn create(path: &Path) -> io::Result<(Self, File)> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.with_file_name(format!("{name}.{:016x}{PART_SUFFIX}", u64::from_ne_bytes(bytes)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok((Self { path }, file))
    }

    fn keep(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        files::sync_names(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "A file that was not finished could not be removed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.jsonl");
        let (one, _) = Part::create(&path).unwrap();
        let (other, _) = Part::create(&path).unwrap();
        assert_ne!(one.path, other.path);
        drop((one, other));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
