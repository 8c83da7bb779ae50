//! `config/` and `messages/` as typed settings, once: every problem of every file at once, or none.

mod files;
mod places;
mod reading;
mod recurring;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::calendar::Calendar;
use crate::domain::catalogue::Kind;
use crate::domain::digest::Digest;
use crate::domain::freeze::Freezes;
use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::{Problem, Severity};
use crate::domain::runbook::Destinations;
use crate::domain::runbook::check::{self, Outline, Surroundings, check};
use crate::domain::runbook::model::{Address, MessageTemplate, Runbook};
use crate::gateway::action::http::{Allowed, SecretHeader};
use crate::gateway::action::pretend::Script;

use self::files::{MESSAGES_DIR, PEOPLE, RUNBOOKS, TMINUS};

pub use self::files::Files;
pub use self::places::{
    AddressPlaces, Handles, MAILBOXES_MAX, RoomPlaces, SlackMember, TelegramChat, slack_channel, telegram_group,
};
pub use self::web::{PublicUrl, TlsFiles, WebSettings};

/// Everything configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// People and teams.
    pub people: Directory,
    /// How people are reached and known on platforms. Live, like the people themselves.
    pub handles: BTreeMap<PersonId, Handles>,
    /// The rooms that host the conversation, by name, with where they are.
    pub rooms: BTreeMap<String, RoomPlaces>,
    /// The addresses announcements can go to, by name, with where they are.
    pub addresses: BTreeMap<String, AddressPlaces>,
    /// How the page is had.
    pub web: WebSettings,
    /// The systems.
    pub systems: BTreeMap<String, System>,
    /// When nothing is to be changed.
    pub freezes: Freezes,
    /// When it is said what is open, and to whom.
    pub digests: Vec<Digest>,
    /// When exports of the journal are kept, and where.
    pub backups: Option<Backups>,
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
        /// What lets them in there.
        headers: Vec<SecretHeader>,
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

/// When exports of the journal are kept, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Backups {
    /// The folder.
    pub to: PathBuf,
    /// At which times one is made.
    pub at: Calendar,
    /// How many are kept.
    pub keep: usize,
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
    /// Everything that can be announced to: addresses, and rooms.
    #[must_use]
    pub fn destinations(&self) -> Destinations {
        let rooms = self.rooms.iter().map(|(name, places)| (name.clone(), places.platforms().collect()));
        let mut destinations = Destinations(rooms.collect());
        for (name, places) in &self.addresses {
            destinations.0.entry(name.clone()).or_default().extend(places.platforms());
        }
        destinations
    }

    /// Every address that any runbook or digest announces to.
    #[must_use]
    pub fn announced_to(&self) -> BTreeSet<Address> {
        let of_runbooks = self.runbooks.values().flat_map(|runbook| runbook.audiences.values().flatten());
        let all = of_runbooks.chain(self.digests.iter().flat_map(|digest| &digest.to));
        all.map(|address| Address { must: false, ..address.clone() }).collect()
    }
}

/// A configuration as far as it can be used, with everything that is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What has no error.
    pub settings: Settings,
    /// Errors and warnings, in the order of files and lines.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// How many problems of a severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

/// A configuration that cannot be used: its files, to show the places, and all errors.
#[derive(Debug)]
pub struct Unusable {
    files: Files,
    /// Every error.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.problems.len();
        writeln!(f, "{count} {} in the configuration; nothing was started\n", if count == 1 { "problem" } else { "problems" })?;
        for problem in &self.problems {
            writeln!(f, "{}", problem.render(self.files.text(&problem.file)))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unusable {}

impl Files {
    /// Reads all of it.
    ///
    /// # Errors
    /// Every error of every file.
    pub fn settings(&self) -> Result<Settings, Unusable> {
        let Checked { mut settings, problems } = self.check();
        let (errors, warnings): (Vec<Problem>, Vec<Problem>) =
            problems.into_iter().partition(|problem| problem.severity == Severity::Error);
        settings.warnings = warnings;
        if errors.is_empty() { Ok(settings) } else { Err(Unusable { files: self.clone(), problems: errors }) }
    }

    /// Reads all of it, as far as it goes.
    #[must_use]
    pub fn check(&self) -> Checked {
        let mut problems = self.problems.clone();
        let mut settings = Settings::default();
        // Without one of the shared files, every name in a runbook would be unknown: that says nothing about the runbook.
        let mut is_complete = ![PEOPLE, TMINUS].iter().any(|shared| problems.iter().any(|problem| problem.file == *shared));
        if let Some(text) = self.text(PEOPLE) {
            is_complete &= reading::read_people(text, &mut settings, &mut problems);
        }
        if let Some(text) = self.text(TMINUS) {
            is_complete &= reading::read_tminus(text, is_complete, &mut settings, &mut problems);
        }
        let mut messages = BTreeMap::new();
        for (path, text) in self.below(MESSAGES_DIR) {
            let (message, found) = check::read_message(path, text);
            problems.extend(found);
            settings.messages.insert(file_stem(path).to_owned(), message.template.clone());
            messages.insert(file_stem(path).to_owned(), message);
        }
        for problem in self.problems.iter().filter(|problem| problem.file.starts_with(MESSAGES_DIR)) {
            messages.entry(file_stem(&problem.file).to_owned()).or_default();
        }
        let outlines: BTreeMap<&str, (String, Outline)> =
            self.below(RUNBOOKS).filter_map(|(path, text)| Some((path, check::outline(text)?))).collect();
        let surroundings = Surroundings {
            people: settings.people.clone(),
            systems: settings.systems.iter().map(|(name, system)| (name.clone(), system.kind)).collect(),
            messages,
            runbooks: outlines.values().cloned().collect(),
            rooms: settings.rooms.keys().cloned().collect(),
            destinations: settings.destinations(),
        };
        let mut first_of: BTreeMap<&str, &str> = BTreeMap::new();
        for (path, text) in self.below(RUNBOOKS) {
            if !is_complete {
                problems.extend(crate::domain::yaml::parse(path, text).err());
                continue;
            }
            let (runbook, found) = check(path, text, &surroundings);
            problems.extend(found);
            // Also a name in a file that has other errors is taken.
            if let Some((name, outline)) = outlines.get(path) {
                if let Some(first) = first_of.get(name.as_str()) {
                    let what = format!("another file defines the runbook `{name}` already");
                    let help = format!("it is {first}; name one of them otherwise");
                    problems.push(Problem::error(path, outline.name_place, what).help(help));
                    continue;
                }
                first_of.insert(name, path);
            }
            settings.runbooks.extend(runbook.map(|runbook| (runbook.name.clone(), Arc::new(runbook))));
        }
        problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        // A message that is announced twice has its problems once.
        problems.dedup_by(|b, a| (&a.file, a.place, &a.what) == (&b.file, b.place, &b.what));
        Checked { settings, problems }
    }
}

fn file_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
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
