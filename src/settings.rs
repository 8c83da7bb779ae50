//! `config/` and `messages/` as typed settings, once: every problem of every file at once, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono_tz::Tz;
use include_dir::{Dir, include_dir};

use crate::domain::catalogue::{KINDS, Kind};
use crate::domain::people::{Directory, Person, PersonId};
use crate::domain::problem::{Problem, Severity};
use crate::domain::runbook::check::{self, Surroundings, check};
use crate::domain::runbook::model::{Address, MessageTemplate, Runbook};
use crate::domain::section::{Located, Report, Section, entries_of, text_of, texts_of};
use crate::domain::time::{parse_duration, say_seconds};
use crate::domain::yaml::{self, Node, Value};
use crate::gateway::action::http::Allowed;
use crate::gateway::action::pretend::Script;

static CONFIG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config");
static MESSAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/messages");

/// How many files of a kind are read.
const FILES_MAX: usize = 1000;
/// The longest time-out of a request: longer ones hold a connection that nobody waits for.
const HTTP_TIMEOUT_SECONDS_MAX: i64 = 3600;
/// The longest time-out of a command.
const COMMAND_TIMEOUT_SECONDS_MAX: i64 = 7 * 86_400;

/// Everything configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// People and teams.
    pub people: Directory,
    /// The rooms that host the conversation, by name.
    pub rooms: BTreeSet<String>,
    /// The addresses announcements can go to, by name.
    pub addresses: BTreeSet<String>,
    /// Where the page listens.
    pub listen: Option<std::net::SocketAddr>,
    /// Where the page is reached.
    pub public_url: Option<String>,
    /// The systems.
    pub systems: BTreeMap<String, System>,
    /// The announcements.
    pub messages: BTreeMap<String, MessageTemplate>,
    /// The runbooks.
    pub runbooks: BTreeMap<String, Arc<Runbook>>,
    /// What can be used, and is probably not what was meant.
    pub warnings: Vec<Problem>,
}

/// One configured system.
#[derive(Clone, Debug)]
pub struct System {
    /// What it can do.
    pub kind: &'static Kind,
    /// How it is had to do it.
    pub means: Means,
}

/// How a system is had to do something.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// It only pretends.
    Pretend {
        /// What it plays, by operation.
        scripts: BTreeMap<String, Script>,
    },
    /// Requests are sent.
    Http {
        /// Where they may go.
        allow: Vec<Allowed>,
        /// How long one may take, if it is said.
        timeout: Option<Duration>,
    },
    /// Programs are run.
    Command(Programs),
    /// Not by this version.
    Unconnected,
}

/// The programs that a system runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Programs {
    /// Which, as runbooks write them.
    pub allow: Vec<String>,
    /// The folder that they run in, or below.
    pub cwd: Option<PathBuf>,
    /// What they see of our environment beside the usual.
    pub env: Vec<String>,
    /// How long one may run, if it is said.
    pub timeout: Option<Duration>,
}

impl System {
    /// What it plays where it is pretended, by operation.
    #[must_use]
    pub fn scripts(&self) -> BTreeMap<String, Script> {
        match &self.means {
            Means::Pretend { scripts } => scripts.clone(),
            _ => BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Every address that any runbook announces to.
    #[must_use]
    pub fn announced_to(&self) -> BTreeSet<Address> {
        let of_runbook = |runbook: &Arc<Runbook>| runbook.audiences.values().flatten().cloned().collect::<Vec<_>>();
        self.runbooks.values().flat_map(of_runbook).map(|address| Address { must: false, ..address }).collect()
    }
}

/// The files of a configuration: path as people know it, and text.
#[derive(Clone, Debug, Default)]
pub struct Files {
    texts: BTreeMap<String, String>,
}

/// A configuration that cannot be used: its files, to show the places, and all problems.
#[derive(Debug)]
pub struct Unusable {
    files: Files,
    /// Every problem.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.problems.len();
        writeln!(f, "{count} {} in the configuration; nothing was started\n", if count == 1 { "problem" } else { "problems" })?;
        for problem in &self.problems {
            writeln!(f, "{}", problem.render(self.files.texts.get(&problem.file).map(String::as_str)))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unusable {}

impl Files {
    /// What is built into the program.
    #[must_use]
    pub fn embedded() -> Self {
        let mut texts = BTreeMap::new();
        for (dir, prefix) in [(&CONFIG, "config"), (&MESSAGES, "messages")] {
            collect(dir, prefix, &mut texts);
        }
        Self { texts }
    }

    /// What stands in a folder: either it holds `config/` and `messages/`, or it is the `config` folder itself, with
    /// `messages/` in it or beside it.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
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
        let mut texts = BTreeMap::new();
        for name in ["people.yaml", "tminus.yaml"] {
            let path = config.join(name);
            if path.is_file() {
                texts.insert(format!("config/{name}"), read_text(&path)?);
            }
        }
        read_dir(&config.join("runbooks"), "config/runbooks", "yaml", &mut texts)?;
        read_dir(&messages, "messages", "md", &mut texts)?;
        if texts.is_empty() {
            anyhow::bail!("{} holds no configuration: no people.yaml, no tminus.yaml, no runbooks", dir.display());
        }
        Ok(Self { texts })
    }

    /// Some texts, for tests and simulations.
    #[must_use]
    pub fn of(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { texts: texts.into_iter().collect() }
    }

    /// Replaces or adds a file.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.texts.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn settings(&self) -> Result<Settings, Unusable> {
        let mut problems = Vec::new();
        let mut settings = Settings::default();
        if let Some(text) = self.texts.get("config/people.yaml") {
            settings.people = read_people(text, &mut problems);
        }
        if let Some(text) = self.texts.get("config/tminus.yaml") {
            read_tminus(text, &mut settings, &mut problems);
        }
        for (path, text) in self.texts.iter().filter(|(path, _)| path.starts_with("messages/")) {
            let name = file_stem(path);
            match check::read_message(path, text) {
                Ok(message) => drop(settings.messages.insert(name.to_owned(), message)),
                Err(found) => problems.extend(found),
            }
        }
        let surroundings = Surroundings {
            people: settings.people.clone(),
            systems: settings.systems.iter().map(|(name, system)| (name.clone(), system.kind)).collect(),
            messages: settings.messages.clone(),
            runbooks: self
                .texts
                .iter()
                .filter(|(path, _)| path.starts_with("config/runbooks/"))
                .filter_map(|(_, text)| check::outline(text))
                .collect(),
            rooms: settings.rooms.clone(),
            addresses: settings.addresses.clone(),
        };
        for (path, text) in self.texts.iter().filter(|(path, _)| path.starts_with("config/runbooks/")) {
            let (runbook, found) = check(path, text, &surroundings);
            problems.extend(found);
            if let Some(runbook) = runbook {
                let place = crate::domain::problem::Place { line: 1, column: 1, chars: 1 };
                if settings.runbooks.contains_key(&runbook.name) {
                    problems.push(Problem::error(
                        path,
                        place,
                        format!("another file defines the runbook `{}` already", runbook.name),
                    ));
                }
                settings.runbooks.insert(runbook.name.clone(), Arc::new(runbook));
            }
        }
        let (errors, warnings): (Vec<Problem>, Vec<Problem>) =
            problems.into_iter().partition(|problem| problem.severity == Severity::Error);
        settings.warnings = warnings;
        if errors.is_empty() { Ok(settings) } else { Err(Unusable { files: self.clone(), problems: errors }) }
    }
}

fn collect(dir: &Dir<'_>, prefix: &str, texts: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        if let Some(text) = file.contents_utf8() {
            texts.insert(format!("{prefix}/{}", file.path().display()), text.to_owned());
        }
    }
    dir.dirs().for_each(|dir| collect(dir, prefix, texts));
}

fn file_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let size = path.metadata().with_context(|| format!("{} can't be read", path.display()))?.len();
    let most = yaml::FILE_BYTES_MAX as u64;
    if size > most {
        anyhow::bail!("{} has {size} bytes; at most {most} are read", path.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
    String::from_utf8(bytes).map_err(|error| {
        let line = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).lines().count().max(1);
        anyhow::anyhow!("{}:{line}: the file is not UTF-8", path.display())
    })
}

fn read_dir(dir: &Path, prefix: &str, extension: &str, texts: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("{} can't be read", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) && path.is_file() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            texts.insert(format!("{prefix}/{name}"), read_text(&path)?);
        }
        if texts.len() > FILES_MAX {
            anyhow::bail!("{} has more than {FILES_MAX} files", dir.display());
        }
    }
    Ok(())
}

/// Parses a file and opens it as one map.
fn open<'n>(
    report: &'n Report,
    node: &'n Result<Node, Problem>,
    what: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Section<'n, 'n>> {
    match node {
        Ok(Node { value: Value::Empty, .. }) => None,
        Ok(node) => Section::open(report, node, what),
        Err(problem) => {
            problems.push(problem.clone());
            None
        }
    }
}

fn read_people(text: &str, problems: &mut Vec<Problem>) -> Directory {
    let file = "config/people.yaml";
    let report = Report::on(file);
    let node = yaml::parse(file, text);
    let mut people = Vec::new();
    let mut teams = BTreeMap::new();
    if let Some(mut top) = open(&report, &node, "the people file", problems) {
        for (id, node) in top.entries("people") {
            people.extend(read_person(&report, id, node));
        }
        for (name, node) in top.entries("teams") {
            let members = texts_of(&report, node, "teams");
            for member in &members {
                if !people.iter().any(|person: &Person| person.id.as_str() == member.text) {
                    report.unknown(member.place, "person", member.text, people.iter().map(|p| p.id.as_str()));
                }
            }
            teams.insert(name.text.to_owned(), members.iter().map(|m| PersonId::new(m.text)).collect());
        }
        top.close(&[]);
    }
    problems.extend(report.finish());
    Directory::new(people, teams)
}

fn read_person(report: &Report, id: Located<'_>, node: &Node) -> Option<Person> {
    let mut section = Section::open(report, node, "a person")?;
    let name = section.needed("name").map(|name| name.text.to_owned());
    let timezone = section.text("timezone").and_then(|zone| {
        let found = zone.text.parse::<Tz>().ok();
        if found.is_none() {
            report.unknown(zone.place, "time zone", zone.text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        }
        found
    });
    let roles = section.texts("roles").iter().map(|role| role.text.to_owned()).collect();
    // Handles on platforms: checked to be texts here, used by the platforms.
    for handle in ["email", "slack", "telegram"] {
        section.text(handle);
    }
    section.close(&[]);
    Some(Person { id: PersonId::new(id.text), name: name?, timezone, roles })
}

fn read_tminus(text: &str, settings: &mut Settings, problems: &mut Vec<Problem>) {
    let file = "config/tminus.yaml";
    let report = Report::on(file);
    let node = yaml::parse(file, text);
    if let Some(mut top) = open(&report, &node, "the settings", problems) {
        for (name, node) in top.entries("rooms") {
            if let Some(mut room) = Section::open(&report, node, "a room") {
                room.text("slack");
                room.text("telegram");
                room.flag("local");
                room.close(&[]);
                settings.rooms.extend(stream_safe(&report, name));
            }
        }
        for (name, node) in top.entries("addresses") {
            if let Some(mut address) = Section::open(&report, node, "an address") {
                address.texts("slack");
                address.texts("telegram");
                address.texts("email");
                address.close(&[]);
                settings.addresses.extend(stream_safe(&report, name));
            }
        }
        if let Some(mut web) = top.take("web").and_then(|node| Section::open(&report, node, "web")) {
            settings.listen = web.text("listen").and_then(|listen| {
                let parsed = listen.text.parse().ok();
                if parsed.is_none() {
                    let help = "write it like `127.0.0.1:8080`";
                    report.error_help(listen.place, format!("`{}` is no address to listen on", listen.text), help);
                }
                parsed
            });
            settings.public_url = web.text("public_url").and_then(|url| {
                let is_url = url.text.starts_with("https://") || url.text.starts_with("http://");
                if !is_url || url.text.contains(char::is_whitespace) {
                    let help = "write it like `https://rollouts.example.com`";
                    report.error_help(url.place, format!("`{}` is no address of a page", url.text), help);
                    return None;
                }
                Some(url.text.to_owned())
            });
            web.close(&[]);
        }
        for (name, node) in top.entries("systems") {
            if let Some(system) = read_system(&report, node) {
                settings.systems.insert(name.text.to_owned(), system);
            }
        }
        top.close(&["slack", "telegram", "email", "freezes"]);
    }
    problems.extend(report.finish());
}

/// Names of rooms and addresses become parts of addresses on the page and in the store.
fn stream_safe(report: &Report, name: Located<'_>) -> Option<String> {
    /// Short enough that platform and name together stay a valid name in the store.
    const CHARS_MAX: usize = 80;
    let fits =
        name.text.len() <= CHARS_MAX && name.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        report.error_help(
            name.place,
            format!("`{}` can't be the name of a room or address", name.text),
            format!("up to {CHARS_MAX} lower-case letters, digits and hyphens"),
        );
        return None;
    }
    Some(name.text.to_owned())
}

fn read_system(report: &Report, node: &Node) -> Option<System> {
    let mut section = Section::open(report, node, "a system")?;
    let kind = section.needed("kind")?;
    let kinds = || KINDS.iter().map(|kind| kind.name);
    let named = if kind.text == "pretend" { section.needed("as")? } else { kind };
    let Some(found) = Kind::named(named.text) else {
        report.unknown(named.place, "kind of system", named.text, kinds().chain(["pretend"]));
        return None;
    };
    let means = match kind.text {
        "pretend" => {
            let mut scripts = BTreeMap::new();
            for (operation, node) in section.entries("script") {
                if found.operation(operation.text).is_none() {
                    report.unknown(
                        operation.place,
                        &format!("operation of {}", found.name),
                        operation.text,
                        found.operations.iter().map(|o| o.name),
                    );
                }
                scripts.extend(read_script(report, node).map(|script| (operation.text.to_owned(), script)));
            }
            Means::Pretend { scripts }
        }
        "http" => Means::Http {
            allow: read_allow(&mut section, kind, "like `https://staging.example.com`", Allowed::parse),
            timeout: read_timeout(&mut section, HTTP_TIMEOUT_SECONDS_MAX),
        },
        "command" => Means::Command(Programs {
            allow: read_allow(&mut section, kind, "like `/usr/bin/ansible-playbook` or `./post-cutover.sh`", program),
            cwd: section.text("cwd").map(|cwd| PathBuf::from(cwd.text)),
            env: read_env(&mut section),
            timeout: read_timeout(&mut section, COMMAND_TIMEOUT_SECONDS_MAX),
        }),
        _ => {
            // How to reach it is its adapter's business.
            for key in ["region", "endpoint_url", "url", "user"] {
                section.text(key);
            }
            if let Some(node) = section.take("token") {
                read_secret(report, node);
            }
            section.texts("allow");
            Means::Unconnected
        }
    };
    section.close(&[]);
    Some(System { kind: found, means })
}

/// What a system may be asked for. Without anything it could do nothing at all, which nobody means.
fn read_allow<T>(
    section: &mut Section<'_, '_>,
    kind: Located<'_>,
    example: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let report = section.report;
    let help = || format!("list everything that it may be asked for, {example}");
    let texts = match section.take("allow") {
        None => {
            report.error_help(section.place, format!("a system of kind `{}` needs `allow`", kind.text), help());
            Vec::new()
        }
        Some(Node { value: Value::List(items), place, .. }) if items.is_empty() => {
            report.error_help(*place, "`allow` is empty", help());
            Vec::new()
        }
        Some(node) => texts_of(report, node, "allow"),
    };
    let item = |entry: Located<'_>| {
        read(entry.text).map_err(|what| report.error_help(entry.place, what, format!("write it {example}"))).ok()
    };
    texts.into_iter().filter_map(item).collect()
}

/// A program of an allow-list: one file, whatever `PATH` says and wherever the command runs.
fn program(text: &str) -> Result<String, String> {
    if !text.starts_with('/') && !text.starts_with("./") {
        return Err(format!("`{text}` could be several programs"));
    }
    let path = Path::new(text);
    if text.ends_with('/') || path.file_name().is_none() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{text}` is not the plain path of a program"));
    }
    Ok(text.to_owned())
}

/// Names of our environment. Their values stand in no file of ours.
fn read_env(section: &mut Section<'_, '_>) -> Vec<String> {
    let report = section.report;
    let is_name = |text: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.chars().all(is_part) && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let (names, others): (Vec<_>, Vec<_>) = section.texts("env").into_iter().partition(|name| is_name(name.text));
    for other in others {
        // What stands there may be the value of a secret: it is not repeated.
        let help = "names alone, like `DEPLOY_REGION`; the values are those of T-minus's own environment";
        report.error_help(other.place, "this is not the name of an environment variable", help);
    }
    names.into_iter().map(|name| name.text.to_owned()).collect()
}

fn read_timeout(section: &mut Section<'_, '_>, seconds_max: i64) -> Option<Duration> {
    let timeout = section.text("timeout")?;
    let seconds = parse_duration(timeout.text).map_err(|problem| section.report.error(timeout.place, problem)).ok()?;
    if !(1..=seconds_max).contains(&seconds) {
        let help = format!("from one second to {}", say_seconds(seconds_max));
        section.report.error_help(timeout.place, format!("“{}” is no time-out for this kind of system", timeout.text), help);
    }
    u64::try_from(seconds).map(Duration::from_secs).ok()
}

/// A secret is named, not written down: `{ env: NAME }` or `{ file: PATH }`.
fn read_secret(report: &Report, node: &Node) {
    let help = "write `{ env: JENKINS_TOKEN }` or `{ file: /run/secrets/jenkins }`";
    let Value::Map(_) = node.value else {
        report.error_help(node.place, "a secret does not belong into this file", help);
        return;
    };
    let Some(mut section) = Section::open(report, node, "a secret") else { return };
    let named = usize::from(section.text("env").is_some()) + usize::from(section.text("file").is_some());
    if named != 1 {
        report.error_help(node.place, "a secret has one place: `env` or `file`", help);
    }
    section.close(&[]);
}

fn read_script(report: &Report, node: &Node) -> Option<Script> {
    let mut section = Section::open(report, node, "a script")?;
    let seconds =
        section.text("takes").and_then(|takes| parse_duration(takes.text).map_err(|p| report.error(takes.place, p)).ok());
    let progress = section.texts("progress").iter().map(|line| line.text.to_owned()).collect();
    let outputs = section.take("outputs").map(|node| entries_of(report, node, "outputs")).unwrap_or_default();
    let outputs = outputs
        .into_iter()
        .filter_map(|(name, node)| Some((name.text.to_owned(), text_of(report, node, "outputs")?.text.to_owned())));
    let outputs = outputs.collect();
    let fails = section.text("fails").map(|fails| fails.text.to_owned());
    section.close(&[]);
    Some(Script { seconds, progress, outputs, fails })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_has_no_problem() {
        let settings = Files::embedded().settings().unwrap_or_else(|unusable| panic!("{unusable}"));
        assert!(settings.runbooks.contains_key("andromeda-staging"));
        assert_eq!(settings.people.people().count(), 7);
        assert_eq!(settings.announced_to().len(), 2);
    }
}
