//! What comes again and again: freezes, digests and backups.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono_tz::Tz;

use crate::domain::calendar::{CRON_HELP, Calendar};
use crate::domain::digest::Digest;
use crate::domain::freeze::{FREEZE_SECONDS_MAX, FREEZE_SECONDS_MIN, Freeze, Freezes};
use crate::domain::people::Directory;
use crate::domain::runbook::read_address;
use crate::domain::section::{Located, Report, Section};
use crate::domain::time::{parse_duration, say_seconds};

use super::{Backups, Settings};

/// How many backups are kept unless it is said: two weeks, one a night.
const BACKUPS_KEEP_DEFAULT: usize = 14;
/// More than these are a mistyped number: one an hour for a year is less.
const BACKUPS_KEEP_MAX: usize = 10_000;

/// Reads the freezes. Names are looked up where it is known who there is.
pub(super) fn read_freezes(report: &Report, top: &mut Section<'_, '_>, people: Option<&Directory>) -> Freezes {
    let mut names = BTreeSet::new();
    let mut freezes = Vec::new();
    for node in top.items("freezes") {
        let Some(mut section) = Section::open(report, node, "a freeze") else { continue };
        let name = read_name(&mut section, "freeze", &mut names);
        let starts = read_calendar(&mut section, "starts");
        let seconds = section.needed("lasts").and_then(|lasts| read_lasts(report, lasts));
        if !section.has("environments") {
            let help = "list the environments it is for, like `[andromeda/*]`; `*` stands for anything";
            report.error_help(section.place, "a freeze needs `environments`", help);
        }
        let environments = section.texts("environments");
        for environment in environments.iter().filter(|environment| environment.text.contains(char::is_whitespace)) {
            report.error(environment.place, format!("`{}` is not the name of an environment", environment.text));
        }
        let may_override = section.texts("override");
        if let Some(people) = people {
            for who in &may_override {
                look_up(report, who, people);
            }
        }
        let reason = section.text("reason").map(|reason| reason.text.to_owned());
        section.close(&[]);
        let texts = |located: Vec<Located<'_>>| located.into_iter().map(|one| one.text.to_owned()).collect::<Vec<_>>();
        let (Some(name), Some(starts), Some(seconds)) = (name, starts, seconds) else { continue };
        let (environments, may_override) = (texts(environments), texts(may_override));
        freezes.push(Freeze { name, starts, seconds, environments, may_override, reason });
    }
    Freezes(freezes)
}

/// Reads the digests. They go to addresses, and to rooms.
pub(super) fn read_digests(report: &Report, top: &mut Section<'_, '_>, settings: &Settings) -> Vec<Digest> {
    let destinations = settings.destinations();
    let mut names = BTreeSet::new();
    let mut digests = Vec::new();
    for node in top.items("digests") {
        let Some(mut section) = Section::open(report, node, "a digest") else { continue };
        let name = read_name(&mut section, "digest", &mut names);
        let at = read_calendar(&mut section, "at");
        let mut to = Vec::new();
        for located in section.texts("to") {
            let Some(address) = read_address(report, located) else { continue };
            destinations.check(report, &address, located.place);
            to.push(address);
        }
        if !section.has("to") {
            report.error_help(section.place, "a digest needs `to`", "list where it goes, like `[slack:release-managers]`");
        }
        let also_empty = section.flag("also-empty");
        section.close(&[]);
        let (Some(name), Some(at)) = (name, at) else { continue };
        digests.push(Digest { name, at, to, also_empty });
    }
    digests
}

/// Reads when exports of the journal are kept, and where.
pub(super) fn read_backups(report: &Report, top: &mut Section<'_, '_>) -> Option<Backups> {
    let mut section = Section::open(report, top.take("backups")?, "backups")?;
    let to = section.needed("to");
    let at = read_calendar(&mut section, "at");
    let keep = section.text("keep").map_or(Some(BACKUPS_KEEP_DEFAULT), |keep| {
        let count = keep.text.parse().ok().filter(|count| (1..=BACKUPS_KEEP_MAX).contains(count));
        if count.is_none() {
            let help = format!("from 1 to {BACKUPS_KEEP_MAX}; without `keep` it is {BACKUPS_KEEP_DEFAULT}");
            report.error_help(keep.place, format!("`{}` is not how many backups can be kept", keep.text), help);
        }
        count
    });
    section.close(&[]);
    Some(Backups { to: PathBuf::from(to?.text), at: at?, keep: keep? })
}

/// A name that no other of its kind has.
fn read_name(section: &mut Section<'_, '_>, what: &str, names: &mut BTreeSet<String>) -> Option<String> {
    /// It stands in the middle of sentences.
    const CHARS_MAX: usize = 80;
    let name = section.needed("name")?;
    if name.text.chars().count() > CHARS_MAX || name.text.contains(['\n', '\r']) {
        let help = format!("one line of at most {CHARS_MAX} characters");
        section.report.error_help(name.place, format!("that can't be the name of a {what}"), help);
        return None;
    }
    if !names.insert(name.text.to_owned()) {
        section.report.error(name.place, format!("there is a {what} `{}` already", name.text));
        return None;
    }
    Some(name.text.to_owned())
}

/// A cron expression under a key, in the zone under `timezone`.
fn read_calendar(section: &mut Section<'_, '_>, key: &'static str) -> Option<Calendar> {
    let report = section.report;
    let zone = match section.text("timezone") {
        None => Some(Tz::UTC),
        Some(zone) => {
            let found = zone.text.parse::<Tz>().ok();
            if found.is_none() {
                report.unknown(zone.place, "time zone", zone.text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            }
            found
        }
    };
    let expression = section.needed(key)?;
    // Also in a zone that is not one, the expression is looked at.
    let calendar = Calendar::parse(expression.text, zone.unwrap_or(Tz::UTC));
    let calendar = calendar.map_err(|what| report.error_help(expression.place, what, CRON_HELP)).ok()?;
    zone.map(|_| calendar)
}

fn read_lasts(report: &Report, lasts: Located<'_>) -> Option<i64> {
    let seconds = parse_duration(lasts.text).map_err(|problem| report.error(lasts.place, problem)).ok()?;
    if !(FREEZE_SECONDS_MIN..=FREEZE_SECONDS_MAX).contains(&seconds) {
        let help = format!("from {} to {}", say_seconds(FREEZE_SECONDS_MIN), say_seconds(FREEZE_SECONDS_MAX));
        report.error_help(lasts.place, format!("a freeze does not last “{}”", lasts.text), help);
        return None;
    }
    Some(seconds)
}

/// A name of the installation: a person, a team, or what a person may do.
fn look_up(report: &Report, name: &Located<'_>, people: &Directory) {
    let roles: BTreeSet<&str> = people.people().flat_map(|person| person.roles.iter().map(String::as_str)).collect();
    let persons = people.people().map(|person| person.id.as_str());
    let known: Vec<&str> = persons.chain(people.teams()).chain(roles).collect();
    if !known.contains(&name.text) {
        report.unknown(name.place, "person, team or role", name.text, known);
    }
}
