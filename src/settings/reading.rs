//! The people file and the settings file, key by key.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;

use crate::domain::catalogue::{KINDS, Kind};
use crate::domain::people::{Directory, PERSON_ID_CHARS_MAX, Person, PersonId, ROOM_OF_PERSON};
use crate::domain::problem::Problem;
use crate::domain::section::{Located, Report, Section, entries_of, text_of, texts_of};
use crate::domain::time::{parse_duration, say_seconds};
use crate::domain::yaml::{self, Node, Value};
use crate::gateway::action::http::{Allowed, Secret, SecretHeader};
use crate::gateway::action::pretend::Script;

use super::files::{PEOPLE, TMINUS};
use super::places::{Handles, Taken};
use super::{Means, Programs, Settings, System, places, recurring, web};

/// The longest time-out of a request: longer ones hold a connection that nobody waits for.
const HTTP_TIMEOUT_SECONDS_MAX: i64 = 3600;
/// The longest time-out of a command.
const COMMAND_TIMEOUT_SECONDS_MAX: i64 = 7 * 86_400;

/// Opens a file as one map; an empty one is none.
fn open<'n>(report: &'n Report, node: &'n Node, what: &'static str) -> Option<Section<'n, 'n>> {
    if node.value == Value::Empty { None } else { Section::open(report, node, what) }
}

/// Parses a file; without a tree there is nothing to read.
fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    yaml::parse(file, text).map_err(|problem| problems.push(problem)).ok()
}

/// Reads the people file; answers whether there was anything to read people from.
pub(super) fn read_people(text: &str, settings: &mut Settings, problems: &mut Vec<Problem>) -> bool {
    let report = Report::on(PEOPLE);
    let Some(node) = parse(PEOPLE, text, problems) else { return false };
    let mut people = Vec::new();
    let mut teams = BTreeMap::new();
    if let Some(mut top) = open(&report, &node, "the people file") {
        let mut taken: BTreeMap<String, Located<'_>> = BTreeMap::new();
        let (mut handles, mut known) = (BTreeMap::new(), Taken::default());
        for (id, node) in top.entries("people") {
            let read = read_person(&report, id, node, &mut known);
            if let Some(first) = taken.insert(id.text.to_lowercase(), id) {
                report.error_help(
                    id.place,
                    format!("`{}` and `{}` can't be two people", first.text, id.text),
                    "capitals alone tell nobody apart: T-minus writes to both in one room",
                );
            }
            let Some((person, reached)) = read else { continue };
            handles.insert(person.id.clone(), reached);
            people.push(person);
        }
        settings.handles = handles;
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
    let is_read = matches!(node.value, Value::Map(_) | Value::Empty);
    problems.extend(report.finish());
    settings.people = Directory::new(people, teams);
    is_read
}

/// Short names become parts of addresses on the page and in the store.
fn check_person_id(report: &Report, id: Located<'_>) {
    let fits = id.text.len() <= PERSON_ID_CHARS_MAX && id.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fits {
        report.error_help(
            id.place,
            format!("`{}` can't be the short name of a person", id.text),
            format!("up to {PERSON_ID_CHARS_MAX} letters (a to z), digits, hyphens, underscores and dots; the full name is under `name`"),
        );
    }
}

fn read_person<'n>(report: &Report, id: Located<'n>, node: &'n Node, known: &mut Taken<'n>) -> Option<(Person, Handles)> {
    check_person_id(report, id);
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
    let handles = places::read_handles(report, id.text, &mut section, known);
    section.close(&[]);
    Some((Person { id: PersonId::new(id.text), name: name?, timezone, roles }, handles))
}

/// Reads the settings file; answers whether there was anything to read settings from. Names of people are looked up only where
/// people could be read.
pub(super) fn read_tminus(text: &str, knows_people: bool, settings: &mut Settings, problems: &mut Vec<Problem>) -> bool {
    let report = Report::on(TMINUS);
    let Some(node) = parse(TMINUS, text, problems) else { return false };
    if let Some(mut top) = open(&report, &node, "the settings") {
        let mut hosting = Taken::default();
        for (name, node) in top.entries("rooms") {
            if let Some(mut room) = Section::open(&report, node, "a room") {
                let places = places::read_room(&report, name.text, &mut room, &mut hosting);
                room.close(&[]);
                settings.rooms.extend(stream_safe(&report, name).map(|name| (name, places)));
            }
        }
        for (name, node) in top.entries("addresses") {
            if let Some(mut address) = Section::open(&report, node, "an address") {
                let places = places::read_address(&report, &mut address);
                address.close(&[]);
                settings.addresses.extend(stream_safe(&report, name).map(|name| (name, places)));
            }
        }
        settings.web = web::read(&report, &mut top);
        for (name, node) in top.entries("systems") {
            if let Some(system) = read_system(&report, node) {
                settings.systems.insert(name.text.to_owned(), system);
            }
        }
        settings.freezes = recurring::read_freezes(&report, &mut top, knows_people.then_some(&settings.people));
        settings.digests = recurring::read_digests(&report, &mut top, settings);
        settings.backups = recurring::read_backups(&report, &mut top);
        top.close(&["slack", "telegram", "email"]);
    }
    let is_read = matches!(node.value, Value::Map(_) | Value::Empty);
    problems.extend(report.finish());
    is_read
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
    if name.text.starts_with(ROOM_OF_PERSON) {
        report.error_help(
            name.place,
            format!("`{}` can't be the name of a room or address", name.text),
            format!("rooms that begin with `{ROOM_OF_PERSON}` are those in which T-minus writes to one person"),
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
        "http" => {
            let allow = read_allow(&mut section, kind, "like `https://staging.example.com`", Allowed::parse);
            let headers = read_headers(&mut section, &allow);
            Means::Http { allow, headers, timeout: read_timeout(&mut section, HTTP_TIMEOUT_SECONDS_MAX) }
        }
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
                // Its adapter's business, as soon as there is one.
                read_secret(report, node, "JENKINS_TOKEN", "/run/secrets/jenkins");
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
    let (names, others): (Vec<_>, Vec<_>) = section.texts("env").into_iter().partition(|name| is_variable(name.text));
    for other in others {
        no_variable(report, other);
    }
    names.into_iter().map(|name| name.text.to_owned()).collect()
}

fn is_variable(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(is_part) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// What stands there may be the value of a secret: it is not repeated.
fn no_variable(report: &Report, other: Located<'_>) {
    let help = "names alone, like `DEPLOY_REGION`; the values are those of T-minus's own environment";
    report.error_help(other.place, "this is not the name of an environment variable", help);
}

/// The headers whose values are secrets.
fn read_headers(section: &mut Section<'_, '_>, allow: &[Allowed]) -> Vec<SecretHeader> {
    let report = section.report;
    let mut headers: Vec<SecretHeader> = Vec::new();
    for (name, node) in section.entries("headers") {
        let Some(secret) = read_secret(report, node, "STAGING_AUTHORIZATION", "/run/secrets/staging") else { continue };
        match SecretHeader::new(name.text, secret) {
            Err(what) => report.error_help(name.place, what, "name the header that lets T-minus in, like `Authorization`"),
            Ok(header) if headers.iter().any(|known| known.name() == header.name()) => {
                report.error_help(name.place, format!("the header `{}` stands twice", name.text), "capitals make no difference");
            }
            Ok(header) => headers.push(header),
        }
    }
    if let Some(open) = allow.iter().find(|allowed| allowed.is_open()).filter(|_| !headers.is_empty()) {
        let what = format!("what is sent to {open} can be read on the way, with the secrets in `headers`");
        report.warning_help(
            section.key_place("headers"),
            what,
            "use `https://`, or a system of its own for what needs no secret",
        );
    }
    headers
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
fn read_secret(report: &Report, node: &Node, variable: &str, file: &str) -> Option<Secret> {
    let help = format!("write `{{ env: {variable} }}` or `{{ file: {file} }}`");
    let Value::Map(_) = node.value else {
        report.error_help(node.place, "a secret does not belong into this file", help);
        return None;
    };
    let mut section = Section::open(report, node, "a secret")?;
    let (env, file) = (section.text("env"), section.text("file"));
    section.close(&[]);
    match (env, file) {
        (Some(env), None) if is_variable(env.text) => Some(Secret::Env(env.text.to_owned())),
        (Some(env), None) => {
            no_variable(report, env);
            None
        }
        (None, Some(file)) => Some(Secret::File(PathBuf::from(file.text))),
        _ => {
            report.error_help(node.place, "a secret has one place: `env` or `file`", help);
            None
        }
    }
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
    let late_seconds =
        section.text("late").and_then(|late| parse_duration(late.text).map_err(|p| report.error(late.place, p)).ok());
    let (silent, loses_answer, twice) = (section.flag("silent"), section.flag("loses-answer"), section.flag("twice"));
    section.close(&[]);
    Some(Script {
        seconds,
        progress,
        outputs,
        fails,
        silent,
        loses_answer,
        twice,
        late_seconds: late_seconds.unwrap_or_default(),
    })
}
