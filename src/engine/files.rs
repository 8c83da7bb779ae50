//! Folders for their owner alone, and files that are replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Who may read a file, besides what the system says of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Whoever the system lets read new files.
    Usual,
}

/// Makes a folder for its owner alone.
///
/// # Errors
/// When it can't be made; also when it is there.
pub fn make_private(dir: &Path) -> io::Result<()> {
    builder().create(dir)
}

/// Makes a folder, and those above it, for its owner alone. What is there stays as it is.
///
/// # Errors
/// When it can't be made.
pub fn make_private_all(dir: &Path) -> io::Result<()> {
    builder().recursive(true).create(dir)
}

fn builder() -> DirBuilder {
    #[allow(unused_mut, reason = "only some systems have modes")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Gives a file its content so that it is there after a power cut, whole or as it was before: written under another name in the same
/// folder, synced, renamed. Of two at once under one other name, one spoils the other's. Waits for the disk.
///
/// # Errors
/// When something of it fails: the file is as it was before, unless only the last step failed, making the new name durable.
pub fn replace(path: &Path, unfinished: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(unfinished)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    // What is not finished is in nobody's way, and may take the room that is missing.
    written.and_then(|()| fs::rename(unfinished, path)).inspect_err(|_| drop(fs::remove_file(unfinished)))?;
    sync_names(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable: what was made, renamed or removed in it.
///
/// # Errors
/// When the system says no.
pub fn sync_names(dir: &Path) -> io::Result<()> {
    // Elsewhere folders can't be opened, and names are durable by themselves.
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (path, unfinished) = (dir.path().join("a"), dir.path().join("a.new"));
        fs::write(&unfinished, "what a power cut left, and longer").unwrap();
        replace(&path, &unfinished, b"one", Readers::Owner).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), unfinished.exists()), (b"one".as_slice(), false));
        // Its place is taken by a folder: nothing is left of the attempt.
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        replace(&taken, &unfinished, b"two", Readers::Usual).unwrap_err();
        assert!(taken.is_dir() && !unfinished.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_private_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let deep = dir.path().join("a/b");
        make_private(&deep).unwrap_err();
        make_private_all(&deep).unwrap();
        make_private_all(&deep).unwrap();
        make_private(&deep).unwrap_err();
        let file = deep.join("c");
        replace(&file, &deep.join("d"), b"x", Readers::Owner).unwrap();
        assert_eq!((mode(&dir.path().join("a")), mode(&deep), mode(&file)), (0o700, 0o700, 0o600));
    }
}
