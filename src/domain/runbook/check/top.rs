//! The top level of a runbook: its name, inputs, people, rooms, audiences, days, questions, and who may do what.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use crate::domain::conversation::form::FieldKind;
use crate::domain::runbook::format::{self, FieldKeys};
use crate::domain::runbook::model::{Address, Input, May, Question};
use crate::domain::section::{Located, Section};
use crate::domain::time::{Offset, parse_duration};
use crate::domain::yaml::{Node, Value};

use super::Checker;

impl Checker<'_> {
    pub(super) fn runbook_name(&self, located: Located<'_>) -> Option<String> {
        /// Ids of rollouts start with it, and people type them.
        const CHARS_MAX: usize = 40;
        let name = located.text;
        let fits = name.len() <= CHARS_MAX
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            self.report.error_help(
                located.place,
                format!("`{name}` can't be the name of a runbook"),
                format!("up to {CHARS_MAX} lower-case letters, digits and hyphens, beginning with a letter"),
            );
            return None;
        }
        Some(name.to_owned())
    }

    pub(super) fn timezone(&self, located: Located<'_>) -> Option<Tz> {
        let found = located.text.parse::<Tz>().ok();
        if found.is_none() {
            self.report.unknown(located.place, "time zone", located.text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        }
        found
    }

    /// Reads the inputs; answers which phase needs which.
    pub(super) fn read_inputs(&mut self, top: &mut Section<'_, '_>) -> Vec<(usize, usize)> {
        let mut needed = Vec::new();
        for (name, node) in top.entries("inputs") {
            let Some((field, keys)) = format::field(self.report, name, node, true) else { continue };
            self.define(&field.name, name.place, "input");
            let FieldKeys { default, positional, tentative, needed_by } = keys;
            // It is read at the start, when there is nothing yet that it could be filled in from.
            if field.default.as_ref().is_some_and(|default| ["{{", "{%", "{#"].iter().any(|mark| default.contains(mark))) {
                self.report.error_help(
                    default.unwrap_or(node.place),
                    format!("the default of the input `{}` is a template, and defaults of inputs are plain values", field.name),
                    "write the value itself, or ask for it in a step: defaults of `fields` can be templates",
                );
            }
            let needed_by = needed_by.and_then(|(phase, place)| self.phase_index(&phase, place));
            if let Some(phase) = needed_by {
                needed.push((phase, self.inputs.len()));
            }
            if positional && self.inputs.iter().any(|input| input.positional) {
                self.report.error(name.place, "only one input can be positional: the word after `/rollout start`");
            }
            if matches!(field.kind, FieldKind::Window) && self.inputs.iter().any(|i| matches!(i.field.kind, FieldKind::Window)) {
                self.report.error(name.place, "only one input can be the window: T-0 is one moment");
            }
            self.inputs.push(Input { field, positional, tentative, needed_by });
        }
        needed
    }

    pub(super) fn read_people(&mut self, top: &mut Section<'_, '_>) {
        for (role, node) in top.entries("people") {
            let members = crate::domain::section::texts_of(self.report, node, "people");
            self.who.extend(members.iter().map(|m| (m.text.to_owned(), m.place)));
            self.roles.insert(role.text.to_owned(), members.iter().map(|m| m.text.to_owned()).collect());
        }
    }

    pub(super) fn read_rooms(&mut self, top: &mut Section<'_, '_>) -> Vec<String> {
        let rooms = top.texts("rooms");
        for room in &rooms {
            if !self.surroundings.rooms.contains(room.text) {
                self.report.unknown(room.place, "room", room.text, self.surroundings.rooms.iter().map(String::as_str));
            }
        }
        rooms.iter().map(|room| room.text.to_owned()).collect()
    }

    pub(super) fn read_audiences(&mut self, top: &mut Section<'_, '_>) -> BTreeMap<String, Vec<Address>> {
        let mut audiences = BTreeMap::new();
        for (name, node) in top.entries("audiences") {
            let nodes: Vec<&Node> = match &node.value {
                Value::List(items) => items.iter().collect(),
                _ => vec![node],
            };
            let mut addresses = Vec::new();
            for (address, place) in nodes.into_iter().filter_map(|node| format::address(self.report, node)) {
                self.surroundings.destinations.check(self.report, &address, place);
                addresses.push(address);
            }
            if addresses.is_empty() {
                self.report.error(name.place, format!("the audience `{}` has no destination", name.text));
            }
            self.audiences.insert(name.text.to_owned());
            audiences.insert(name.text.to_owned(), addresses);
        }
        audiences
    }

    /// Named days: how far from T-0 each is, or that a person says when it comes.
    pub(super) fn read_days(&mut self, top: &mut Section<'_, '_>) {
        for (name, node) in top.entries("days") {
            let Some(located) = crate::domain::section::text_of(self.report, node, "days") else { continue };
            let from = if located.text == "manual" {
                None
            } else {
                match Offset::parse(located.text) {
                    Ok(offset) => Some(offset),
                    Err(problem) => {
                        self.report.error_help(located.place, problem, "or `manual`, where a person says when the day comes");
                        continue;
                    }
                }
            };
            self.days.insert(name.text.to_owned(), from);
        }
    }

    pub(super) fn read_notes(&mut self, top: &mut Section<'_, '_>) -> Vec<Question> {
        let mut questions = Vec::new();
        for node in top.items("notes") {
            let Some(mut section) = Section::open(self.report, node, "a note") else { continue };
            let question = section.needed("question").map(|question| self.template(question));
            let who = self.names_of(&mut section, "who");
            let before = section.text("before").and_then(|before| self.phase_index(before.text, before.place));
            section.close(&[]);
            questions.extend(question.map(|question| Question { question, who, before }));
        }
        questions
    }

    pub(super) fn read_may(&mut self, top: &mut Section<'_, '_>) -> May {
        let Some(node) = top.take("may") else { return May::default() };
        let Some(mut section) = Section::open(self.report, node, "`may`") else { return May::default() };
        let may = May {
            start: self.names_of(&mut section, "start"),
            run: self.names_of(&mut section, "run"),
            second: self.names_of(&mut section, "second"),
            waive: self.names_of(&mut section, "waive"),
            abort: self.names_of(&mut section, "abort"),
            take_over: self.names_of(&mut section, "take-over"),
            override_freeze: self.names_of(&mut section, "override"),
        };
        self.voters = self.names_of(&mut section, "decide");
        section.close(&[]);
        may
    }

    pub(super) fn read_re_ask(&mut self, top: &mut Section<'_, '_>) -> i64 {
        /// People who agreed to two o'clock have not agreed to four.
        const DEFAULT_SECONDS: i64 = 3600;
        let Some(located) = top.text("re-ask") else { return DEFAULT_SECONDS };
        parse_duration(located.text).unwrap_or_else(|problem| {
            self.report.error(located.place, problem);
            DEFAULT_SECONDS
        })
    }
}
