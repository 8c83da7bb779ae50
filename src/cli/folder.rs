//! The data folder: whose it is, and what of it is there. Whatever works on one asks here first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::engine::files;
use crate::engine::journal::sled::{OpenError, SledJournal, SledOptions};

use super::demo::DATA_DEFAULT;
use super::serve::{ACCESS_DIR, COMMANDS_DIR, JOURNAL_DIR, SCRATCH_DIR, SNAPSHOTS_DIR};

/// The data folder where none is named: that of the service, where the environment says which, or else the demo's.
pub(super) fn data_default() -> PathBuf {
    std::env::var_os("TMINUS_DATA").filter(|named| !named.is_empty()).unwrap_or_else(|| DATA_DEFAULT.into()).into()
}

/// What is said where the data folder has to be named.
pub(super) const NAME_IT: &str = "Name the data folder with --data DIR.";
/// Folders beside a data folder's own that are no sign of another use: a configuration, backups, what a file system keeps.
const EXPECTED_FOLDERS: [&str; 9] =
    [ACCESS_DIR, COMMANDS_DIR, SCRATCH_DIR, SNAPSHOTS_DIR, "backups", "config", "lost+found", "messages", "runbooks"];
/// How many names of what is in the way are said.
const NAMED_MAX: usize = 3;

/// Makes the data folder where it is not there. Refuses one of another user, and one that is used for something else.
pub(super) fn make(data: &Path) -> anyhow::Result<()> {
    if data.is_file() {
        bail!("{} is a file, not a folder. {NAME_IT}", data.display());
    }
    if data.is_dir() {
        is_own(data)?;
        return is_for_us(data);
    }
    // Others on the machine have no business in it: whoever may write there may let people in.
    files::make_private_all(data).with_context(|| format!("the data folder {} can't be made", data.display()))
}

/// The folder of the journal within a data folder that is there.
pub(super) fn journal_dir(data: &Path, help: &str) -> anyhow::Result<PathBuf> {
    if data.is_file() {
        bail!("{} is a file, not a folder. {help}", data.display());
    }
    let dir = data.join(JOURNAL_DIR);
    match dir.try_exists() {
        Ok(true) => Ok(dir),
        Ok(false) => bail!("{} holds no journal. {help}", data.display()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(unreadable(data)),
        Err(error) => Err(error).with_context(|| format!("{} can't be looked into", data.display())),
    }
}

/// Opens the journal of a data folder that nothing else works on. Opening writes, so the folder has to be the user's own.
pub(super) fn open_journal(data: &Path, help: &str) -> anyhow::Result<Result<SledJournal, OpenError>> {
    let dir = journal_dir(data, help)?;
    is_own(data)?;
    Ok(SledJournal::open(&dir, &SledOptions::default()))
}

/// Refuses to leave files in somebody else's folder: T-minus, who runs as its owner, could not read them.
#[cfg(unix)]
pub(super) fn is_own(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::metadata(data).with_context(|| format!("{} can't be looked at", data.display()))?.uid();
    let own = rustix::process::geteuid().as_raw();
    if owner != own {
        bail!(
            "the data folder {} belongs to user {owner}, and this is user {own}, whose files T-minus could not read. Type \
             `sudo -u '#{owner}' tminus …` instead",
            data.display()
        );
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn is_own(_data: &Path) -> anyhow::Result<()> {
    Ok(())
}

/// Who may not look into a folder is told whose it is.
#[cfg(unix)]
fn unreadable(data: &Path) -> anyhow::Error {
    use std::os::unix::fs::MetadataExt as _;
    let own = rustix::process::geteuid().as_raw();
    let help = match fs::metadata(data).map(|metadata| metadata.uid()) {
        Ok(owner) if owner != own => format!("it belongs to user {owner}. Type `sudo -u '#{owner}' tminus …` instead"),
        _ => "let this user read it".to_owned(),
    };
    anyhow::anyhow!("this user may not look into the data folder {}: {help}", data.display())
}

#[cfg(not(unix))]
fn unreadable(data: &Path) -> anyhow::Error {
    anyhow::anyhow!("this user may not look into the data folder {}: let this user read it", data.display())
}

/// Refuses to begin in a folder that is obviously something else: one with folders of others, and without a journal. Once there is
/// a journal, whatever stands beside it is the operator's own matter.
fn is_for_us(data: &Path) -> anyhow::Result<()> {
    if data.join(JOURNAL_DIR).exists() {
        return Ok(());
    }
    let mut others = Vec::new();
    for entry in fs::read_dir(data).with_context(|| format!("the data folder {} can't be read", data.display()))? {
        let entry = entry.with_context(|| format!("the data folder {} can't be read", data.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') && !EXPECTED_FOLDERS.contains(&name.as_str()) {
            others.push(name);
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    others.sort();
    let named: Vec<String> = others.iter().take(NAMED_MAX).map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = if others.len() > NAMED_MAX { " and others" } else { "" };
    bail!(
        "{} holds folders that are not T-minus' ({}{more}), and no journal. Nothing was written; name a folder that is new or empty, such \
         as {}",
        data.display(),
        named.join(", "),
        data.join("tminus-data").display()
    )
}
