//! Fields that people fill in: inputs, answers and evidence, and how what they type becomes a value.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::did_you_mean;
use crate::domain::time;

/// The longest text a field takes, in characters: Slack's own limit for a text input.
pub const FIELD_CHARS_MAX: usize = 3000;
/// How large a compiled pattern may become, in bytes, so that no pattern can eat the memory.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// One thing to fill in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name in expressions: `version`.
    pub name: String,
    /// What people read: `Changeset version`.
    pub label: String,
    /// What it takes.
    pub kind: FieldKind,
    /// What a right value looks like.
    pub example: Option<String>,
    /// What stands there until someone changes it; a template.
    pub default: Option<String>,
    /// Whether it may be left out.
    pub required: bool,
}

/// What a field takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum FieldKind {
    /// Any text.
    Text,
    /// A text of a form.
    Pattern {
        /// The whole text must match it.
        pattern: String,
    },
    /// One of some texts, or several.
    Choice {
        /// What can be chosen.
        options: Vec<String>,
        /// Whether several may be.
        many: bool,
    },
    /// A number.
    Number,
    /// A moment.
    Datetime,
    /// A length of time.
    Duration,
    /// A maintenance window: a start, and perhaps a length.
    Window,
    /// Known people or teams.
    People,
    /// An http or https address.
    Link,
    /// Yes.
    Confirm,
}

/// What was filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", content = "value")]
pub enum FieldValue {
    /// A text, a choice or a link.
    Text(String),
    /// Several choices.
    Choices(Vec<String>),
    /// A number.
    Number(f64),
    /// A moment.
    Datetime(DateTime<Utc>),
    /// A length of time in seconds.
    Duration(i64),
    /// A window.
    Window(Window),
    /// People.
    People(Vec<PersonId>),
    /// Confirmed or not.
    Confirm(bool),
}

/// A maintenance window; its start is T-0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// T-0.
    pub starts: DateTime<Utc>,
    /// How long it is, in seconds, if anybody said.
    pub seconds: Option<i64>,
}

impl Window {
    /// As a record says it: `2026-11-26 02:00 EST for 2h`.
    #[must_use]
    pub fn written(&self, zone: Tz) -> String {
        let length = self.seconds.map(|s| format!(" for {}", time::say_seconds(s))).unwrap_or_default();
        format!("{}{length}", time::write_time(self.starts, zone))
    }
}

/// What reading a field needs to know of the world.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The runbook's zone.
    pub zone: Tz,
    /// When it is read.
    pub now: DateTime<Utc>,
    /// Who there is.
    pub people: &'a Directory,
}

impl FieldKind {
    /// The name of the type, as runbooks and the API write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Pattern { .. } => "pattern",
            Self::Choice { .. } => "choice",
            Self::Number => "number",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
            Self::Window => "window",
            Self::People => "people",
            Self::Link => "link",
            Self::Confirm => "confirm",
        }
    }

    /// The names of all types.
    pub const NAMES: [&'static str; 10] =
        ["text", "pattern", "choice", "number", "datetime", "duration", "window", "people", "link", "confirm"];
}

impl Field {
    /// Reads what a person typed. An empty text is `None` where the field may be left out.
    ///
    /// # Errors
    /// A sentence saying what was expected, with the example if there is one.
    pub fn read(&self, text: &str, reading: Reading<'_>) -> Result<Option<FieldValue>, String> {
        let text = text.trim();
        if text.is_empty() {
            return if self.required { Err(format!("{} is needed{}", self.label, self.such_as())) } else { Ok(None) };
        }
        if text.chars().count() > FIELD_CHARS_MAX {
            return Err(format!("{} is longer than {FIELD_CHARS_MAX} characters", self.label));
        }
        let value = match &self.kind {
            FieldKind::Text => FieldValue::Text(text.to_owned()),
            FieldKind::Pattern { pattern } => {
                let regex = compile_pattern(pattern)?;
                // The leftmost match could be shorter than the text: only a match of all of it counts.
                let whole = regex.find_iter(text).any(|found| found.start() == 0 && found.end() == text.len());
                if !whole {
                    return Err(format!("“{text}” is not a {}: it must match “{pattern}”{}", self.label, self.such_as()));
                }
                FieldValue::Text(text.to_owned())
            }
            FieldKind::Choice { options, many } => {
                let chosen: Vec<&str> =
                    if *many { text.split(',').map(str::trim).filter(|c| !c.is_empty()).collect() } else { vec![text] };
                let mut found = Vec::new();
                for said in chosen {
                    match options.iter().find(|option| option.to_lowercase() == said.to_lowercase()) {
                        Some(option) => found.push(option.clone()),
                        None => return Err(format!("“{said}” is not one of: {}", options.join(", "))),
                    }
                }
                match (many, found.pop()) {
                    (false, Some(only)) => FieldValue::Text(only),
                    (true, Some(last)) => {
                        found.push(last);
                        FieldValue::Choices(found)
                    }
                    (_, None) => return Err(format!("choose from: {}", options.join(", "))),
                }
            }
            FieldKind::Number => {
                let number: f64 = text.parse().map_err(|_| format!("“{text}” is not a number{}", self.such_as()))?;
                if !number.is_finite() {
                    return Err(format!("“{text}” is not a number{}", self.such_as()));
                }
                FieldValue::Number(number)
            }
            FieldKind::Datetime => FieldValue::Datetime(time::parse_time(text, reading.zone, reading.now)?),
            FieldKind::Duration => FieldValue::Duration(time::parse_duration(text)?),
            FieldKind::Window => {
                let (start, length) = match text.split_once(" for ") {
                    Some((start, length)) => (start, Some(time::parse_duration(length)?)),
                    None => (text, None),
                };
                FieldValue::Window(Window { starts: time::parse_time(start, reading.zone, reading.now)?, seconds: length })
            }
            FieldKind::People => FieldValue::People(read_people(text, reading.people)?),
            FieldKind::Link => {
                let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
                if host.is_none_or(str::is_empty) || text.contains(char::is_whitespace) {
                    return Err(format!("“{text}” is not a link: it must start with https:// or http://"));
                }
                FieldValue::Text(text.to_owned())
            }
            FieldKind::Confirm => match text.to_lowercase().as_str() {
                "yes" | "true" | "on" | "confirm" | "confirmed" => FieldValue::Confirm(true),
                "no" | "false" | "off" if !self.required => FieldValue::Confirm(false),
                "no" | "false" | "off" => return Err(format!("{} has to be confirmed before this can be done", self.label)),
                _ => return Err(format!("“{text}” is neither yes nor no")),
            },
        };
        Ok(Some(value))
    }

    fn such_as(&self) -> String {
        self.example.as_ref().map(|example| format!(", for example “{example}”")).unwrap_or_default()
    }
}

/// Reads a whole form: what was typed per field name.
///
/// # Errors
/// Every problem, by field name.
pub fn read_form(
    fields: &[Field],
    typed: &BTreeMap<String, String>,
    reading: Reading<'_>,
) -> Result<BTreeMap<String, FieldValue>, BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut problems = BTreeMap::new();
    for field in fields {
        match field.read(typed.get(&field.name).map_or("", String::as_str), reading) {
            Ok(Some(value)) => drop(values.insert(field.name.clone(), value)),
            Ok(None) => {}
            Err(problem) => drop(problems.insert(field.name.clone(), problem)),
        }
    }
    for name in typed.keys().filter(|name| !fields.iter().any(|field| &field.name == *name)) {
        let hint = did_you_mean(name, fields.iter().map(|field| field.name.as_str()));
        let hint = hint.map(|near| format!("; did you mean “{near}”?")).unwrap_or_default();
        problems.insert(name.clone(), format!("there is no field “{name}” here{hint}"));
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// Compiles a pattern of a runbook within its memory limit.
///
/// # Errors
/// The compiler's words.
pub fn compile_pattern(pattern: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| {
        format!(
            "the pattern “{pattern}” does not compile: {}",
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")
        )
    })
}

fn read_people(text: &str, directory: &Directory) -> Result<Vec<PersonId>, String> {
    let mut people = Vec::new();
    for said in text.split(',').map(str::trim).filter(|said| !said.is_empty()) {
        if let Some(person) = directory.find(said) {
            people.push(person.id.clone());
        } else if let Some(members) = directory.team(said.trim_start_matches('@')) {
            people.extend(members.iter().cloned());
        } else {
            let known = directory.people().map(|p| p.id.as_str()).chain(directory.teams());
            let hint = did_you_mean(said, known).map(|near| format!("; did you mean “{near}”?")).unwrap_or_default();
            return Err(format!("I know no person or team “{said}”{hint}"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    people.retain(|person| seen.insert(person.clone()));
    if people.is_empty() { Err("name at least one person".to_owned()) } else { Ok(people) }
}

impl FieldValue {
    /// The value as a person reads it.
    #[must_use]
    pub fn said(&self, zone: Tz, people: &dyn Fn(&PersonId) -> String) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Choices(choices) => choices.join(", "),
            Self::Number(number) => number.to_string(),
            Self::Datetime(at) => time::write_time(*at, zone),
            Self::Duration(seconds) => time::say_seconds(*seconds),
            Self::Window(window) => window.written(zone),
            Self::People(ids) => ids.iter().map(people).collect::<Vec<_>>().join(", "),
            Self::Confirm(true) => "yes".to_owned(),
            Self::Confirm(false) => "no".to_owned(),
        }
    }

    /// The value as templates and expressions see it: numbers and truth as such, everything else as text.
    #[must_use]
    pub fn in_templates(&self, zone: Tz) -> minijinja::Value {
        match self {
            Self::Number(number) => minijinja::Value::from(*number),
            Self::Confirm(yes) => minijinja::Value::from(*yes),
            Self::Choices(choices) => minijinja::Value::from(minijinja::value::Serde(choices)),
            Self::People(ids) => minijinja::Value::from(minijinja::value::Serde(ids)),
            other => minijinja::Value::from(other.said(zone, &|id| id.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::people::Person;

    fn field(kind: FieldKind) -> Field {
        Field { name: "x".into(), label: "X".into(), kind, example: Some("4.3".into()), default: None, required: true }
    }

    fn read(kind: FieldKind, text: &str) -> Result<Option<FieldValue>, String> {
        let ana = Person {
            id: PersonId::new("ana"),
            name: "Ana Silva".into(),
            timezone: None,
            roles: std::collections::BTreeSet::new(),
        };
        let people = Directory::new([ana], BTreeMap::from([("crew".to_owned(), vec![PersonId::new("ana")])]));
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        field(kind).read(text, Reading { zone: chrono_tz::America::New_York, now, people: &people })
    }

    #[test]
    fn what_is_typed_becomes_a_value_or_a_sentence() {
        let pattern = || FieldKind::Pattern { pattern: r"^\d+\.\d+$".into() };
        let choice = |many| FieldKind::Choice { options: vec!["canary".into(), "blue-green".into()], many };
        assert_eq!(read(pattern(), "4.30"), Ok(Some(FieldValue::Text("4.30".into()))));
        assert_eq!(read(choice(false), "Canary"), Ok(Some(FieldValue::Text("canary".into()))));
        assert_eq!(
            read(choice(true), "canary, blue-green"),
            Ok(Some(FieldValue::Choices(vec!["canary".into(), "blue-green".into()])))
        );
        assert_eq!(read(FieldKind::Number, "12.5"), Ok(Some(FieldValue::Number(12.5))));
        assert_eq!(read(FieldKind::Duration, "40m"), Ok(Some(FieldValue::Duration(2400))));
        assert_eq!(read(FieldKind::People, "crew, @Ana"), Ok(Some(FieldValue::People(vec![PersonId::new("ana")]))));
        assert_eq!(read(FieldKind::Confirm, "yes"), Ok(Some(FieldValue::Confirm(true))));
        let window = Window { starts: "2026-11-26T07:00:00Z".parse().unwrap(), seconds: Some(7200) };
        assert_eq!(read(FieldKind::Window, "2026-11-26 02:00 for 2h"), Ok(Some(FieldValue::Window(window))));

        for (kind, text, expected) in [
            (pattern(), "four", "for example “4.3”"),
            (pattern(), "", "is needed"),
            (pattern(), "4.3\nx", "must match"),
            (choice(false), "both", "canary, blue-green"),
            (FieldKind::Number, "NaN", "not a number"),
            (FieldKind::Datetime, "soon", "2026-11-26 02:00"),
            (FieldKind::People, "an", "did you mean “ana”?"),
            (FieldKind::Link, "javascript:alert(1)", "https://"),
            (FieldKind::Confirm, "no", "has to be confirmed"),
        ] {
            let problem = read(kind, text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn a_window_is_read_back_from_what_is_shown() {
        let window = Window { starts: "2026-11-26T07:00:00Z".parse().unwrap(), seconds: Some(5400) };
        let shown = window.written(chrono_tz::America::New_York);
        assert_eq!(read(FieldKind::Window, &shown), Ok(Some(FieldValue::Window(window))), "{shown}");
    }
}
