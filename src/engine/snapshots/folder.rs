//! Snapshots as files of one folder, each replaced as a whole: written under another name, synced, renamed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::super::files::{self, Readers};
use super::super::journal::StreamName;
use super::{SNAPSHOT_BYTES_MAX, SnapshotStore};

/// What the names of snapshots end with.
const SUFFIX: &str = ".snapshot";
/// What a snapshot that is being written ends with.
const NEW_SUFFIX: &str = ".new";

/// A folder of snapshots. One process writes there at a time: the one that has the journal.
#[derive(Clone, Debug)]
pub struct SnapshotFolder {
    dir: PathBuf,
}

impl SnapshotFolder {
    /// Takes a folder, which is made when it is not there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::make_private_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    fn path(&self, stream: &StreamName) -> PathBuf {
        self.dir.join(file_name(stream))
    }
}

/// The stream's name, with a `+` for its `/`: no stream has one in its name.
fn file_name(stream: &StreamName) -> String {
    format!("{}{SUFFIX}", stream.as_str().replace('/', "+"))
}

impl SnapshotStore for SnapshotFolder {
    fn read(&self, stream: &StreamName) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(stream)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(SNAPSHOT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SNAPSHOT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any snapshot"));
        }
        Ok(Some(bytes))
    }

    fn write(&self, stream: &StreamName, snapshot: &[u8]) -> io::Result<()> {
        let path = self.path(stream);
        let new_path = self.dir.join(format!("{}{NEW_SUFFIX}", file_name(stream)));
        files::replace(&path, &new_path, snapshot, Readers::Owner)
    }

    fn streams(&self, prefix: &str) -> io::Result<Vec<StreamName>> {
        let mut streams = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let stream = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(|name| name.replace('+', "/"));
            streams.extend(stream.and_then(|name| StreamName::parse(&name)).filter(|name| name.as_str().starts_with(prefix)));
        }
        Ok(streams)
    }

    fn keep_only(&self, prefix: &str, streams: &BTreeSet<StreamName>) -> io::Result<()> {
        let kept: BTreeSet<String> = streams.iter().map(file_name).collect();
        let prefix = prefix.replace('/', "+");
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            // What bears no such name is not ours to remove.
            let Some(name) = name.to_str() else { continue };
            let ours = name.ends_with(SUFFIX) || name.ends_with(&format!("{SUFFIX}{NEW_SUFFIX}"));
            if ours && name.starts_with(&prefix) && !kept.contains(name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&self, stream: &StreamName) -> io::Result<()> {
        match fs::remove_file(self.path(stream)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
