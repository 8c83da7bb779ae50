//! The files of a configuration: what is built in, or what stands in a folder. What can't be read is a problem among the others.

use std::collections::BTreeMap;
use std::io::ErrorKind::NotADirectory;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use include_dir::{Dir, include_dir};

use crate::domain::problem::{Place, Problem, Severity};
use crate::domain::yaml::FILE_BYTES_MAX;

static CONFIG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config");
static MESSAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/messages");

/// The people file.
pub(super) const PEOPLE: &str = "config/people.yaml";
/// The settings file.
pub(super) const TMINUS: &str = "config/tminus.yaml";
/// Where runbooks are.
pub(super) const RUNBOOKS: &str = "config/runbooks/";
/// Where announcements are.
pub(super) const MESSAGES_DIR: &str = "messages/";

/// How many files of a configuration are read.
const FILES_MAX: usize = 1000;

/// The files of a configuration: path as people know it, and text.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub(super) texts: BTreeMap<String, String>,
    /// What is wrong with files before anything in them is looked at.
    pub(super) problems: Vec<Problem>,
}

impl Files {
    /// What is built into the program.
    #[must_use]
    pub fn embedded() -> Self {
        let mut texts = BTreeMap::new();
        for (dir, prefix) in [(&CONFIG, "config"), (&MESSAGES, "messages")] {
            collect(dir, prefix, &mut texts);
        }
        Self { texts, problems: Vec::new() }
    }

    /// What stands in a folder: either it holds `config/` and `messages/`, or it is the `config` folder itself, with
    /// `messages/` in it or beside it. Files that can't be read are problems of the configuration.
    ///
    /// # Errors
    /// When there is no configuration in the folder.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        is_there(&dir.join("config"))?;
        let (config, messages) = if dir.join("config").is_dir() {
            (dir.join("config"), dir.join("messages"))
        } else {
            let inside = dir.join("messages");
            let beside = dir
                .canonicalize()
                .with_context(|| format!("the folder {} can't be read", dir.display()))?
                .with_file_name("messages");
            (dir.to_owned(), if inside.is_dir() { inside } else { beside })
        };
        let mut files = Self::default();
        for name in [PEOPLE, TMINUS] {
            let path = config.join(name.trim_start_matches("config/"));
            if is_there(&path)? {
                files.add(name, &path);
            }
        }
        files.add_dir(&config.join("runbooks"), RUNBOOKS, "yaml", "yml");
        files.add_dir(&messages, MESSAGES_DIR, "md", "markdown");
        if files.texts.is_empty() && files.problems.is_empty() {
            anyhow::bail!("{} holds no configuration: no people.yaml, no tminus.yaml, no runbooks", dir.display());
        }
        Ok(files)
    }

    /// What stands in the current folder, where that holds `config/`: who works on a configuration stands in it.
    ///
    /// # Errors
    /// When there is no configuration in it.
    pub fn here() -> anyhow::Result<Option<Self>> {
        let here = Path::new(".");
        if is_there(&here.join("config"))? { Self::read(here).map(Some) } else { Ok(None) }
    }

    /// Some texts, for tests and simulations.
    #[must_use]
    pub fn of(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { texts: texts.into_iter().collect(), problems: Vec::new() }
    }

    /// Replaces or adds a file.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.texts.insert(path.to_owned(), text.to_owned());
        self
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// How many files there are, with those that could not be read.
    #[must_use]
    pub fn count(&self) -> usize {
        let unread = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        self.texts.len() + unread.filter(|problem| !self.texts.contains_key(&problem.file)).count()
    }

    /// The files below a path, in the order of their names.
    pub(super) fn below(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let found = self.texts.iter().filter(move |(path, _)| path.starts_with(prefix));
        found.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn add(&mut self, name: &str, path: &Path) {
        match read_text(name, path) {
            Ok(text) => drop(self.texts.insert(name.to_owned(), text)),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Adds the files with an ending; one with an ending that only looks like it would be missed by somebody.
    fn add_dir(&mut self, dir: &Path, prefix: &str, ending: &str, similar: &str) {
        let unreadable = |error: &std::io::Error| {
            let what = format!("the folder can't be read: {error}");
            Problem::error(prefix.trim_end_matches('/'), Place::default(), what)
        };
        let entries = match std::fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                self.problems.push(unreadable(&error));
                return;
            }
        };
        let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).filter(|path| !path.is_dir()).collect();
        paths.sort();
        for path in paths {
            let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
            if self.count() >= FILES_MAX {
                let what = format!("the configuration has more than {FILES_MAX} files; from this one on they are not read");
                self.problems.push(Problem::error(&name, Place::default(), what));
                return;
            }
            if path.extension().is_some_and(|found| found == ending) {
                self.add(&name, &path);
            } else if path.extension().is_some_and(|found| found == similar) {
                let help = format!("rename it so that it ends in .{ending}");
                let problem = Problem::error(&name, Place::default(), "the file is not read").help(help);
                self.problems.push(Problem { severity: Severity::Warning, ..problem });
            }
        }
    }
}

/// Whether something is there. Who may not look is not told that nothing is.
fn is_there(path: &Path) -> anyhow::Result<bool> {
    let looked = path.try_exists().or_else(|error| if error.kind() == NotADirectory { Ok(false) } else { Err(error) });
    looked.with_context(|| format!("{} can't be looked at; let this user read the folder", path.display()))
}

fn collect(dir: &Dir<'_>, prefix: &str, texts: &mut BTreeMap<String, String>) {
    let is_read = |path: &Path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "md");
    for file in dir.files().filter(|file| is_read(file.path())) {
        if let Some(text) = file.contents_utf8() {
            texts.insert(format!("{prefix}/{}", file.path().display()), text.to_owned());
        }
    }
    dir.dirs().for_each(|dir| collect(dir, prefix, texts));
}

fn read_text(name: &str, path: &Path) -> Result<String, Problem> {
    let whole = Place::default();
    let unreadable = |error: std::io::Error| Problem::error(name, whole, format!("the file can't be read: {error}"));
    if !path.is_file() {
        return Err(Problem::error(name, whole, "this is no file").help("a link may lead nowhere"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // One byte more tells that there is more, however long the file is.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Problem::error(name, whole, format!("the file has more than {FILE_BYTES_MAX} bytes"))
            .help("split it: one runbook is one file, and so is one announcement"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid_up_to = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let before = String::from_utf8_lossy(&bytes[..valid_up_to]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let byte = bytes.get(valid_up_to).copied().unwrap_or_default();
        Problem::error(
            name,
            Place { line, column, chars: 1 },
            format!("the file is not UTF-8: here stands the byte 0x{byte:02X}"),
        )
        .help("save it again with the encoding UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_read_are_problems_among_the_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let runbooks = dir.path().join("config/runbooks");
        std::fs::create_dir_all(&runbooks).expect("a folder");
        std::fs::write(runbooks.join("a.yaml"), b"runbook: a\ntitle: Stra\xdfe\n").expect("written");
        std::fs::write(runbooks.join("b.yaml"), vec![b'#'; FILE_BYTES_MAX + 1]).expect("written");
        std::fs::write(runbooks.join("c.yml"), "runbook: c\n").expect("written");
        std::fs::write(runbooks.join("d.yaml"), "runbook: d\nphases: [{ phase: one, steps: [{ task: x }] }]\n").expect("written");
        std::fs::write(runbooks.join("e.yaml"), "runbook: e\nphases: []\n").expect("written");
        let files = Files::read(dir.path()).expect("files");
        assert_eq!(files.count(), 4);
        let checked = files.check();
        let said: String = checked.problems.iter().map(|problem| problem.render(files.text(&problem.file))).collect();
        let expected = "error: the file is not UTF-8: here stands the byte 0xDF
 --> config/runbooks/a.yaml:2:12
  = help: save it again with the encoding UTF-8
error: the file has more than 524288 bytes
 --> config/runbooks/b.yaml
  = help: split it: one runbook is one file, and so is one announcement
warning: the file is not read
 --> config/runbooks/c.yml
  = help: rename it so that it ends in .yaml
error: a runbook needs `phases`, at least one
 --> config/runbooks/e.yaml:1:1
  |
1 | runbook: e
  | ^
";
        assert_eq!(said, expected);
        assert_eq!(files.settings().expect_err("problems").problems.len(), 3);
    }

    #[test]
    fn a_folder_without_a_configuration_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = Files::read(dir.path()).expect_err("nothing there").to_string();
        assert!(error.contains("holds no configuration"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_may_not_be_looked_at_is_not_called_empty() {
        use std::os::unix::fs::symlink;
        // A link that leads to itself can't be looked at by anybody, also not by who may do everything.
        let dir = tempfile::tempdir().expect("a folder");
        symlink("config", dir.path().join("config")).expect("a link");
        let error = Files::read(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("config can't be looked at; let this user read the folder"), "{error}");
        let dir = tempfile::tempdir().expect("a folder");
        symlink("people.yaml", dir.path().join("people.yaml")).expect("a link");
        let error = Files::read(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("people.yaml can't be looked at; let this user read the folder"), "{error}");
        // Where there is nothing, that is said.
        let dir = tempfile::tempdir().expect("a folder");
        assert!(Files::read(dir.path()).unwrap_err().to_string().contains("holds no configuration"));
    }
}
