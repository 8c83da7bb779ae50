//! The shapes of the runbook format: fields, addresses, durations, ids. What refers to what is [`super::check`]'s business.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::conversation::form::{Field, FieldKind, compile_pattern};
use crate::domain::problem::Place;
use crate::domain::runbook::names::slug;
use crate::domain::section::{Located, Report, Section, text_of};
use crate::domain::yaml::{Node, Value};

use super::model::{Address, Platform, Rule};

/// Keys of the format that this version does not know yet, by where they stand. They are refused, never ignored.
pub(super) mod later {
    /// At the top level.
    pub const TOP: &[&str] = &["every", "include", "rollbacks", "tracker"];
    /// In a phase.
    pub const PHASE: &[&str] = &["point-of-no-return"];
    /// Kinds of steps.
    pub const KINDS: &[&str] = &["follow"];
}

/// Reads an id, which must be usable in expressions.
pub(super) fn id(report: &Report, located: Located<'_>) -> Option<String> {
    let text = located.text;
    if is_id(text) {
        return Some(text.to_owned());
    }
    report.error_help(
        located.place,
        format!("`{text}` can't be used as an id: in expressions it would not be one name"),
        format!("write `{}`", slug(text)),
    );
    None
}

fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A title made of an id: `pre_flight` becomes `Pre flight`.
pub(super) fn title_of_id(id: &str) -> String {
    let spaced = id.replace('_', " ");
    let mut chars = spaced.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// What is known of a field as it is written, and is no part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldKeys {
    /// Where its default stands.
    pub default: Option<Place>,
    // Keys of an input that a plain field does not have.
    pub positional: bool,
    pub tentative: bool,
    pub needed_by: Option<(String, Place)>,
}

/// Reads one field of `inputs`, `fields` or `evidence`.
pub(super) fn field(report: &Report, name: Located<'_>, node: &Node, is_input: bool) -> Option<(Field, FieldKeys)> {
    let field_name = id(report, name)?;
    let empty = Node { place: node.place, value: Value::Map(Vec::new()) };
    let node = if node.value == Value::Empty { &empty } else { node };
    let mut section = Section::open(report, node, if is_input { "an input" } else { "a field" })?;
    let label = section.text("label").map_or_else(|| title_of_id(&field_name), |l| l.text.to_owned());
    let pattern = section.text("pattern");
    let options: Vec<String> = section.texts("options").iter().map(|o| o.text.to_owned()).collect();
    let many = section.flag("many");
    let kind = match section.text("type").map(|t| (t.text, t.place)) {
        None if pattern.is_some() => pattern_kind(report, pattern?),
        None if !options.is_empty() => Some(FieldKind::Choice { options: options.clone(), many }),
        None | Some(("text", _)) => Some(FieldKind::Text),
        Some(("pattern", place)) => {
            if let Some(pattern) = pattern {
                pattern_kind(report, pattern)
            } else {
                report.error(place, "a field of type pattern needs `pattern`");
                None
            }
        }
        Some(("choice", place)) => {
            if options.is_empty() {
                report.error(place, "a field of type choice needs `options`");
                None
            } else {
                Some(FieldKind::Choice { options: options.clone(), many })
            }
        }
        Some(("number", _)) => Some(FieldKind::Number),
        Some(("datetime", _)) => Some(FieldKind::Datetime),
        Some(("duration", _)) => Some(FieldKind::Duration),
        Some(("window", _)) => Some(FieldKind::Window),
        Some(("people", _)) => Some(FieldKind::People),
        Some(("link", _)) => Some(FieldKind::Link),
        Some(("confirm", _)) => Some(FieldKind::Confirm),
        Some((other, place)) => {
            report.unknown(place, "type of field", other, FieldKind::NAMES);
            None
        }
    };
    let example = section.text("example").map(|e| e.text.to_owned());
    let default_node = section.take("default");
    let default = match default_node {
        Some(node) => match &node.value {
            Value::List(items) => {
                Some(items.iter().filter_map(|i| text_of(report, i, "default")).map(|l| l.text).collect::<Vec<_>>().join(", "))
            }
            _ => text_of(report, node, "default").map(|l| l.text.to_owned()),
        },
        None => None,
    };
    let required = section.flag_or("required", true);
    let mut keys = FieldKeys { default: default_node.map(|node| node.place), ..FieldKeys::default() };
    if is_input {
        keys.positional = section.flag("positional");
        keys.tentative = section.flag("tentative");
        keys.needed_by = section.text("needed-by").map(|n| (n.text.to_owned(), n.place));
    }
    section.close(&[]);
    Some((Field { name: field_name, label, kind: kind?, example, default, required }, keys))
}

fn pattern_kind(report: &Report, pattern: Located<'_>) -> Option<FieldKind> {
    match compile_pattern(pattern.text) {
        Ok(_) => Some(FieldKind::Pattern { pattern: pattern.text.to_owned() }),
        Err(problem) => {
            report.error(pattern.place, problem);
            None
        }
    }
}

/// Reads a map of fields.
pub(super) fn fields(section: &mut Section<'_, '_>, key: &'static str) -> Vec<(Field, FieldKeys)> {
    let report = section.report;
    section.entries(key).into_iter().filter_map(|(name, node)| field(report, name, node, false)).collect()
}

/// Reads `slack:NAME` or `{ to: slack:NAME, must: true }`.
pub(super) fn address(report: &Report, node: &Node) -> Option<(Address, Place)> {
    let (located, must) = match &node.value {
        Value::Map(_) => {
            let mut section = Section::open(report, node, "a destination")?;
            let to = section.needed("to");
            let must = section.flag("must");
            section.close(&[]);
            (to?, must)
        }
        _ => (text_of(report, node, "audiences")?, false),
    };
    Some((Address { must, ..read_address(report, located)? }, located.place))
}

/// What can be announced to, by name: addresses and rooms, with the platforms that they are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations(pub BTreeMap<String, BTreeSet<Platform>>);

impl Destinations {
    /// Whether an address leads somewhere. One that does not would only be found out when everybody waits for it.
    pub fn check(&self, report: &Report, address: &Address, place: Place) {
        let Some(platforms) = self.0.get(&address.name) else {
            return report.unknown(place, "address", &address.name, self.0.keys().map(String::as_str));
        };
        if platforms.contains(&address.platform) {
            return;
        }
        let (name, key) = (&address.name, address.platform.name());
        let help = match platforms.iter().next() {
            Some(platform) => format!("add `{key}` to it in config/tminus.yaml, or write `{}:{name}`", platform.name()),
            None => format!("add `{key}` to it in config/tminus.yaml"),
        };
        report.error_help(place, format!("`{name}` is nowhere on {}", address.platform.title()), help);
    }
}

/// Reads `slack:NAME`.
pub fn read_address(report: &Report, located: Located<'_>) -> Option<Address> {
    let Some((platform_name, name)) = located.text.split_once(':') else {
        report.error_help(
            located.place,
            format!("`{}` does not say on which platform", located.text),
            "write it like `slack:general` or `email:watchers`",
        );
        return None;
    };
    let Some(platform) = Platform::ALL.into_iter().find(|p| p.name() == platform_name) else {
        report.unknown(located.place, "platform", platform_name, Platform::ALL.map(Platform::name));
        return None;
    };
    Some(Address { platform, name: name.trim().to_owned(), must: false })
}

/// Reads the rule of a decision.
pub(super) fn rule(report: &Report, node: &Node) -> Option<Rule> {
    if let Value::Map(_) = node.value {
        let mut section = Section::open(report, node, "a rule")?;
        let number = section.needed("at-least");
        section.close(&[]);
        let number = number?;
        return match number.text.parse::<usize>() {
            Ok(count) if count > 0 => Some(Rule::AtLeast(count)),
            _ => {
                report.error(number.place, format!("`at-least` is a number from 1, not `{}`", number.text));
                None
            }
        };
    }
    let located = text_of(report, node, "rule")?;
    match located.text {
        "any" => Some(Rule::Any),
        "majority" => Some(Rule::Majority),
        "unanimous" => Some(Rule::Unanimous),
        other => {
            report.unknown(located.place, "rule", other, ["any", "majority", "unanimous", "at-least"]);
            None
        }
    }
}

/// A YAML value as JSON: maps, lists and texts. Texts are templates and stay texts.
pub(super) fn json(report: &Report, node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Empty => serde_json::Value::Null,
        Value::Text(text) => serde_json::Value::String(text.clone()),
        Value::List(items) => items.iter().map(|item| json(report, item)).collect(),
        Value::Map(_) if node.is_unquoted_template() => {
            crate::domain::section::unquoted(report, node.place);
            serde_json::Value::Null
        }
        Value::Map(pairs) => {
            serde_json::Value::Object(pairs.iter().filter_map(|(k, v)| Some((k.text()?.to_owned(), json(report, v)))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_from_sentences() {
        for (text, expected) in [
            ("Confirm Go Call", "confirm_go_call"),
            ("4 eyes!", "s_4_eyes"),
            ("Kick off special pre-change backup of everything", "kick_off_special_pre_change"),
        ] {
            assert_eq!(slug(text), expected);
            assert!(is_id(&slug(text)));
        }
        assert_eq!(title_of_id("pre_flight"), "Pre flight");
    }
}
