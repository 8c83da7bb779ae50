//! Checks a runbook as written and makes the model of it: every problem at once, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono_tz::Tz;
use regex::Regex;

use crate::domain::catalogue::{Kind, Parameter, ParameterKind};
use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::message::template;
use crate::domain::people::Directory;
use crate::domain::problem::{Place, Problem, did_you_mean};
use crate::domain::section::{Located, Report, Section, text_of};
use crate::domain::time::{Offset, Takes, parse_duration};
use crate::domain::yaml::{self, Node, Value};

use super::format::{self, InputKeys, later};
use super::model::{Input, MessageTemplate, Outcome, Phase, Requirement, Rule, Runbook, Step, StepKind};

/// What a runbook may refer to.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// People and teams.
    pub people: Directory,
    /// The configured systems and what kind each is.
    pub systems: BTreeMap<String, &'static Kind>,
    /// The announcements under `messages/`.
    pub messages: BTreeMap<String, MessageTemplate>,
    /// The names of rooms.
    pub rooms: BTreeSet<String>,
    /// The names of addresses.
    pub addresses: BTreeSet<String>,
}

/// The most steps a runbook may have; the longest checklist seen has forty lines.
const STEPS_MAX: usize = 1000;

/// Reads one runbook. The model is there only if there is no error.
#[must_use]
pub fn check(file: &str, text: &str, surroundings: &Surroundings) -> (Option<Runbook>, Vec<Problem>) {
    let node = match yaml::parse(file, text) {
        Ok(node) => node,
        Err(problem) => return (None, vec![problem]),
    };
    let report = Report::on(file);
    let runbook = Checker::new(&report, surroundings).runbook(&node);
    let clean = report.is_clean();
    (runbook.filter(|_| clean), report.finish())
}

/// A text with a template or an expression in it, to be checked once all names are known.
struct Pending {
    text: String,
    place: Place,
    kind: PendingKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PendingKind {
    Text,
    Announcement,
    Condition,
    Requirement,
    /// What is said when a requirement does not hold.
    Otherwise,
}

struct Checker<'a> {
    report: &'a Report,
    surroundings: &'a Surroundings,
    inputs: Vec<Input>,
    roles: BTreeMap<String, Vec<String>>,
    audiences: BTreeSet<String>,
    phase_ids: Vec<String>,
    steps: Vec<Step>,
    /// Everything that shares the one namespace, with where it was defined.
    names: BTreeMap<String, Place>,
    /// Names of people and groups, to be resolved.
    who: Vec<(String, Place)>,
    pending: Vec<Pending>,
    evidence: Vec<(usize, Vec<(String, Place)>)>,
    messages: BTreeMap<String, MessageTemplate>,
}

impl<'a> Checker<'a> {
    fn new(report: &'a Report, surroundings: &'a Surroundings) -> Self {
        Self {
            report,
            surroundings,
            inputs: Vec::new(),
            roles: BTreeMap::new(),
            audiences: BTreeSet::new(),
            phase_ids: Vec::new(),
            steps: Vec::new(),
            names: BTreeMap::new(),
            who: Vec::new(),
            pending: Vec::new(),
            evidence: Vec::new(),
            messages: BTreeMap::new(),
        }
    }

    fn runbook(mut self, node: &Node) -> Option<Runbook> {
        let mut top = Section::open(self.report, node, "a runbook")?;
        let name = top.needed("runbook").and_then(|located| self.runbook_name(located));
        let title = top.text("title").map(|located| self.template(located));
        let environment = top.text("environment").map(|e| e.text.to_owned());
        let timezone = top.text("timezone").and_then(|located| self.timezone(located)).unwrap_or(chrono_tz::UTC);
        let phase_nodes = top.items("phases");
        if phase_nodes.is_empty() {
            self.report.error(top.place, "a runbook needs `phases`, at least one");
        }
        self.phase_ids = phase_nodes.iter().filter_map(phase_id).collect();
        let needed_by = self.read_inputs(&mut top);
        self.read_people(&mut top);
        let cc = self.names_of(&mut top, "cc");
        let rooms = self.read_rooms(&mut top);
        let audiences = self.read_audiences(&mut top);
        let lock_from_written = top.text("lock-from");
        top.close(later::TOP);

        let mut phases: Vec<Phase> = phase_nodes.iter().enumerate().filter_map(|(index, node)| self.phase(index, node)).collect();
        if phases.len() != phase_nodes.len() {
            return None;
        }
        if self.steps.len() > STEPS_MAX {
            self.report
                .error(node.place, format!("the runbook has {} steps; at most {STEPS_MAX} are possible", self.steps.len()));
        }
        self.check_order(&phases);
        self.add_intakes(&mut phases, &needed_by);
        let lock_from = match lock_from_written {
            Some(located) => {
                if environment.is_none() {
                    self.report
                        .error(located.place, "`lock-from` says when the environment is held, and there is no `environment`");
                }
                self.phase_index(located.text, located.place)
            }
            None => {
                phases.iter().position(|phase| phase.steps.iter().any(|s| matches!(self.steps[*s].kind, StepKind::Run { .. })))
            }
        };
        self.check_times(&phases);
        self.check_who();
        self.check_evidence();
        self.check_pending();
        let name = name?;
        Some(Runbook {
            title: title.unwrap_or_else(|| format::title_of_id(&name.replace('-', "_"))),
            name,
            lock_from: lock_from.filter(|_| environment.is_some()),
            environment,
            timezone,
            inputs: self.inputs,
            people: self.roles,
            cc,
            rooms,
            audiences,
            phases,
            steps: self.steps,
            messages: self.messages,
        })
    }

    fn runbook_name(&self, located: Located<'_>) -> Option<String> {
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

    fn timezone(&self, located: Located<'_>) -> Option<Tz> {
        let found = located.text.parse::<Tz>().ok();
        if found.is_none() {
            self.report.unknown(located.place, "time zone", located.text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        }
        found
    }

    /// Notes a template for checking and passes its text on.
    fn template(&mut self, located: Located<'_>) -> String {
        self.pending.push(Pending { text: located.text.to_owned(), place: located.place, kind: PendingKind::Text });
        located.text.to_owned()
    }

    fn define(&mut self, name: &str, place: Place, what: &str) {
        if format::RESERVED.contains(&name) {
            self.report.error(place, format!("`{name}` already means something in expressions; call the {what} otherwise"));
        } else if let Some(first) = self.names.get(name) {
            self.report.error_help(
                place,
                format!("`{name}` is already defined in line {}", first.line),
                "phases, steps and inputs share one namespace, because expressions name them",
            );
        } else {
            self.names.insert(name.to_owned(), place);
        }
    }

    /// Reads the inputs; answers which phase needs which.
    fn read_inputs(&mut self, top: &mut Section<'_, '_>) -> Vec<(usize, usize)> {
        let mut needed = Vec::new();
        for (name, node) in top.entries("inputs") {
            let Some((field, keys)) = format::field(self.report, name, node, true) else { continue };
            self.define(&field.name, name.place, "input");
            if let Some(default) = &field.default {
                self.pending.push(Pending { text: default.clone(), place: node.place, kind: PendingKind::Text });
            }
            let InputKeys { positional, tentative, needed_by } = keys;
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

    fn read_people(&mut self, top: &mut Section<'_, '_>) {
        for (role, node) in top.entries("people") {
            let members = crate::domain::section::texts_of(self.report, node, "people");
            self.who.extend(members.iter().map(|m| (m.text.to_owned(), m.place)));
            self.roles.insert(role.text.to_owned(), members.iter().map(|m| m.text.to_owned()).collect());
        }
    }

    fn read_rooms(&mut self, top: &mut Section<'_, '_>) -> Vec<String> {
        let rooms = top.texts("rooms");
        for room in &rooms {
            if !self.surroundings.rooms.contains(room.text) {
                self.report.unknown(room.place, "room", room.text, self.surroundings.rooms.iter().map(String::as_str));
            }
        }
        rooms.iter().map(|room| room.text.to_owned()).collect()
    }

    fn read_audiences(&mut self, top: &mut Section<'_, '_>) -> BTreeMap<String, Vec<super::model::Address>> {
        let mut audiences = BTreeMap::new();
        for (name, node) in top.entries("audiences") {
            let nodes: Vec<&Node> = match &node.value {
                Value::List(items) => items.iter().collect(),
                _ => vec![node],
            };
            let mut addresses = Vec::new();
            for (address, place) in nodes.into_iter().filter_map(|node| format::address(self.report, node)) {
                let known = || self.surroundings.addresses.iter().chain(&self.surroundings.rooms).map(String::as_str);
                if !known().any(|k| k == address.name) {
                    self.report.unknown(place, "address", &address.name, known());
                }
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

    fn phase_index(&self, id: &str, place: Place) -> Option<usize> {
        let found = self.phase_ids.iter().position(|phase| phase == id);
        if found.is_none() {
            self.report.unknown(place, "phase", id, self.phase_ids.iter().map(String::as_str));
        }
        found
    }

    fn phase(&mut self, index: usize, node: &Node) -> Option<Phase> {
        let mut section = Section::open(self.report, node, "a phase")?;
        let id = format::id(self.report, section.needed("phase")?)?;
        self.define(&id, section.key_place("phase"), "phase");
        let title = section.text("title").map_or_else(|| format::title_of_id(&id), |t| self.template(t));
        let at = section.text("at").and_then(|at| match Offset::parse(at.text) {
            Ok(offset) => Some(offset),
            Err(problem) => {
                self.report.error(at.place, problem);
                None
            }
        });
        let written_after = section.has("after").then(|| section.texts("after"));
        let after = match written_after {
            Some(ids) => ids.iter().filter_map(|id| self.phase_index(id.text, id.place)).collect(),
            None => index.checked_sub(1).into_iter().collect(),
        };
        let condition = self.condition(&mut section);
        let parallel = section.flag("parallel");
        let always = section.flag("always");
        let help = section.text("help").map(|h| self.template(h));
        let step_nodes = section.items("steps");
        if step_nodes.is_empty() {
            self.report.error(section.place, format!("the phase `{id}` needs `steps`, at least one"));
        }
        section.close(later::PHASE);
        let steps = step_nodes.iter().filter_map(|node| self.step(index, node)).collect();
        Some(Phase { id, title, at, after, condition, parallel, always, help, intake: None, steps })
    }

    fn condition(&mut self, section: &mut Section<'_, '_>) -> Option<String> {
        let located = section.text("if")?;
        self.pending.push(Pending { text: located.text.to_owned(), place: located.place, kind: PendingKind::Condition });
        Some(located.text.to_owned())
    }

    fn step(&mut self, phase: usize, node: &Node) -> Option<usize> {
        const KINDS: [&str; 7] = ["announce", "acknowledge", "task", "ask", "run", "decide", "result"];
        let mut section = Section::open(self.report, node, "a step")?;
        if let Some(kind) = later::KINDS.iter().find(|kind| section.has(kind)) {
            self.report.error_help(
                section.key_place(kind),
                format!("a `{kind}` step is not supported by this version"),
                "a `task` can stand in its place",
            );
            return None;
        }
        let present: Vec<&'static str> = KINDS.into_iter().filter(|kind| section.has(kind)).collect();
        let kind_name = match present[..] {
            [kind] => kind,
            [] => {
                let near = section.keys().find_map(|(key, place)| Some((key, place, did_you_mean(key, KINDS)?)));
                if let Some((key, place, kind)) = near {
                    let help = format!("did you mean `{kind}`?");
                    self.report.error_help(place, format!("no step is of the kind `{key}`"), help);
                } else {
                    let help = format!("one key names it: {}", KINDS.join(", "));
                    self.report.error_help(section.place, "this step has no kind", help);
                }
                return None;
            }
            [first, second, ..] => {
                self.report
                    .error(section.key_place(second), format!("a step is one thing: this is both `{first}` and `{second}`"));
                return None;
            }
        };
        let main = section.needed(kind_name)?;
        let written_id = section.text("id");
        let title_written = section.text("title");
        let condition = self.condition(&mut section);
        let who = self.names_of(&mut section, "who");
        let help = section.text("help").map(|h| self.template(h));
        let takes =
            section.text("takes").and_then(|t| Takes::parse(t.text).map_err(|problem| self.report.error(t.place, problem)).ok());

        let named_by = match kind_name {
            "acknowledge" => Some("`from` says who acknowledges"),
            "decide" => Some("`voters` says who votes"),
            "run" => Some("`press` says who presses Run"),
            "announce" | "result" => Some("nobody has to do anything for it"),
            _ => None,
        };
        if let Some(named_by) = named_by.filter(|_| section.has("who")) {
            self.report.error_help(section.key_place("who"), format!("`who` does not belong to `{kind_name}`"), named_by);
        }
        let (default_title, kind) = match kind_name {
            "announce" => self.announce(&mut section, main),
            "acknowledge" => Some(self.acknowledge(&mut section, main)),
            "task" => Some(self.task(&mut section, main)),
            "ask" => self.ask(&mut section, main),
            "run" => self.run(&mut section, main),
            "decide" => self.decide(&mut section, main),
            _ => self.result(main),
        }?;
        let mut refused: Vec<&str> = later::STEP.to_vec();
        refused.extend(match kind_name {
            "run" => later::RUN,
            "decide" => later::DECIDE,
            "announce" => later::ANNOUNCE,
            _ => &[],
        });
        section.close(&refused);

        let id = match written_id {
            Some(located) => format::id(self.report, located)?,
            None => self.unused_id(&format::slug(main.text)),
        };
        self.define(&id, written_id.map_or(main.place, |located| located.place), "step");
        let title = title_written.map_or(default_title, |t| self.template(t));
        self.steps.push(Step { id, phase, title, condition, who, help, takes, kind });
        Some(self.steps.len() - 1)
    }

    /// Made ids give way to each other; written ones do not.
    fn unused_id(&self, base: &str) -> String {
        if !self.names.contains_key(base) {
            return base.to_owned();
        }
        // Among one name more than there are, one is free.
        let mut candidates = (2..self.names.len() + 3).map(|n| format!("{base}_{n}"));
        candidates.find(|id| !self.names.contains_key(id)).unwrap_or_else(|| base.to_owned())
    }

    fn names_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Vec<String> {
        let names = section.texts(key);
        self.who.extend(names.iter().map(|n| (n.text.to_owned(), n.place)));
        names.iter().map(|n| n.text.to_owned()).collect()
    }

    fn audience_names(&mut self, section: &mut Section<'_, '_>, needed: bool) -> Vec<String> {
        let names = section.texts("to");
        if needed && names.is_empty() {
            self.report.error(section.place, "an announcement needs `to`: the audiences it goes to");
        }
        for name in &names {
            if !self.audiences.contains(name.text) {
                self.report.unknown(name.place, "audience", name.text, self.audiences.iter().map(String::as_str));
            }
        }
        names.iter().map(|n| n.text.to_owned()).collect()
    }

    fn message(&mut self, located: Located<'_>) -> Option<String> {
        let name = located.text;
        let Some(message) = self.surroundings.messages.get(name) else {
            self.report.unknown(located.place, "message", name, self.surroundings.messages.keys().map(String::as_str));
            return None;
        };
        for text in message.subject.iter().chain([&message.body]) {
            self.pending.push(Pending { text: text.clone(), place: located.place, kind: PendingKind::Announcement });
        }
        self.messages.insert(name.to_owned(), message.clone());
        Some(name.to_owned())
    }

    fn announce(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let message = self.message(main);
        let to = self.audience_names(section, true);
        let title = format!("Announce: {}", main.text.replace(['-', '_'], " "));
        Some((title, StepKind::Announce { message: message?, to }))
    }

    fn acknowledge(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> (String, StepKind) {
        let from = self.names_of(section, "from");
        if from.is_empty() {
            self.report.error(section.place, "an acknowledgement needs `from`: who must acknowledge");
        }
        (self.template(main), StepKind::Acknowledge { from })
    }

    fn task(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> (String, StepKind) {
        let items = section.texts("items").into_iter().map(|item| self.template(item)).collect();
        let evidence = self.fields(section, "evidence");
        (self.template(main), StepKind::Task { items, evidence })
    }

    fn fields(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Vec<Field> {
        let fields = format::fields(section, key);
        let place = section.key_place(key);
        for default in fields.iter().filter_map(|field| field.default.as_ref()) {
            self.pending.push(Pending { text: default.clone(), place, kind: PendingKind::Text });
        }
        fields
    }

    fn ask(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        if section.has("from") {
            self.report.error_help(
                section.key_place("from"),
                "`from` of an `ask` is not supported by this version",
                "ask one person with `who`",
            );
            return None;
        }
        let mut fields = self.fields(section, "fields");
        if fields.is_empty() {
            let kind = FieldKind::Text;
            fields.push(Field {
                name: "answer".into(),
                label: "Answer".into(),
                kind,
                example: None,
                default: None,
                required: true,
            });
        }
        let mut sets = BTreeMap::new();
        if let Some(located) = section.text("sets") {
            let input = self.inputs.iter().find(|input| input.field.name == located.text);
            let field =
                fields.iter().find(|field| field.name == located.text).or(if fields.len() == 1 { fields.first() } else { None });
            match (input, field) {
                (None, _) => {
                    self.report.unknown(located.place, "input", located.text, self.inputs.iter().map(|i| i.field.name.as_str()));
                }
                (Some(_), None) => self.report.error_help(
                    located.place,
                    format!("which field sets `{}` is not clear", located.text),
                    format!("name one of the fields `{}`", located.text),
                ),
                (Some(input), Some(field)) if input.field.kind.name() != field.kind.name() => self.report.error(
                    located.place,
                    format!(
                        "the field `{}` is of type {}, the input `{}` of type {}",
                        field.name,
                        field.kind.name(),
                        located.text,
                        input.field.kind.name()
                    ),
                ),
                (Some(_), Some(field)) => drop(sets.insert(field.name.clone(), located.text.to_owned())),
            }
        }
        Some((self.template(main), StepKind::Ask { fields, sets }))
    }

    fn run(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let with_node = section.take("with");
        let press = section.has("press").then(|| self.names_of(section, "press"));
        let timeout_seconds =
            section.text("timeout").and_then(|t| parse_duration(t.text).map_err(|p| self.report.error(t.place, p)).ok());
        let mut require = Vec::new();
        for node in section.items("require") {
            let Some(mut requirement) = Section::open(self.report, node, "a requirement") else { continue };
            let that = requirement.needed("that");
            let otherwise = requirement.text("else").map(|e| {
                self.pending.push(Pending { text: e.text.to_owned(), place: e.place, kind: PendingKind::Otherwise });
                e.text.to_owned()
            });
            requirement.close(&[]);
            if let Some(that) = that {
                self.pending.push(Pending { text: that.text.to_owned(), place: that.place, kind: PendingKind::Requirement });
                let otherwise = otherwise.unwrap_or_else(|| format!("`{}` does not hold", that.text));
                require.push(Requirement { that: that.text.to_owned(), otherwise });
            }
        }
        let Some((system, operation)) = main.text.split_once('.') else {
            self.report.error_help(main.place, format!("`{}` names no operation", main.text), "write it like `system.operation`");
            return None;
        };
        let Some(kind) = self.surroundings.systems.get(system) else {
            self.report.unknown(main.place, "system", system, self.surroundings.systems.keys().map(String::as_str));
            return None;
        };
        let Some(found) = kind.operation(operation) else {
            self.report.unknown(main.place, &format!("operation of {system}"), operation, kind.operations.iter().map(|o| o.name));
            return None;
        };
        let with = self.inputs_of_operation(found.inputs, with_node, main);
        let title = format!("{}: {operation}", found.about);
        let (system, operation) = (system.to_owned(), operation.to_owned());
        Some((title, StepKind::Run { system, operation, with, press, timeout_seconds, require }))
    }

    /// Checks `with:` against what the operation takes.
    fn inputs_of_operation(&mut self, parameters: &[Parameter], node: Option<&Node>, main: Located<'_>) -> serde_json::Value {
        let pairs: &[(Node, Node)] = match node {
            Some(Node { value: Value::Map(pairs), .. }) => pairs,
            None => &[],
            Some(node) => {
                self.report.error(node.place, format!("`with` is a map, this is {}", node.kind()));
                return serde_json::Value::Null;
            }
        };
        for parameter in parameters.iter().filter(|p| p.required) {
            if !pairs.iter().any(|(key, _)| key.text() == Some(parameter.name)) {
                let place = node.map_or(main.place, |n| n.place);
                self.report.error_help(
                    place,
                    format!("`{}` needs `{}`", main.text, parameter.name),
                    format!("{}: {}", parameter.name, parameter.about),
                );
            }
        }
        for (key, value) in pairs {
            let name = key.text().unwrap_or_default();
            match parameters.iter().find(|p| p.name == name) {
                None => {
                    self.report.unknown(key.place, &format!("input of `{}`", main.text), name, parameters.iter().map(|p| p.name));
                }
                Some(parameter) => self.check_parameter(parameter, value),
            }
            self.templates_in(value);
        }
        node.map_or(serde_json::Value::Object(serde_json::Map::new()), |node| format::json(self.report, node))
    }

    fn check_parameter(&self, parameter: &Parameter, value: &Node) {
        let fits = match (parameter.kind, &value.value) {
            (ParameterKind::Map, Value::Map(_))
            | (ParameterKind::List, Value::List(_))
            | (ParameterKind::Text, Value::Text(_)) => true,
            (ParameterKind::Number, Value::Text(text)) => text.contains("{{") || text.parse::<f64>().is_ok(),
            (ParameterKind::Flag, Value::Text(text)) => text.contains("{{") || text == "true" || text == "false",
            _ => false,
        };
        if !fits && !value.is_unquoted_template() {
            self.report
                .error(value.place, format!("`{}` is {}, this is {}", parameter.name, parameter.kind.name(), value.kind()));
        }
    }

    fn templates_in(&mut self, node: &Node) {
        match &node.value {
            Value::Empty => {}
            Value::Text(text) => self.pending.push(Pending { text: text.clone(), place: node.place, kind: PendingKind::Text }),
            Value::List(items) => items.iter().for_each(|item| self.templates_in(item)),
            Value::Map(pairs) => pairs.iter().for_each(|(_, value)| self.templates_in(value)),
        }
    }

    fn decide(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let voters = self.names_of(section, "voters");
        if voters.is_empty() {
            self.report.error(section.place, "a decision needs `voters`");
        }
        let rule = section.take("rule").map_or(Some(Rule::Unanimous), |node| format::rule(self.report, node));
        let evidence = section.texts("evidence").iter().map(|e| (e.text.to_owned(), e.place)).collect();
        let notice = section.text("notice").and_then(|located| self.message(located));
        let to = self.audience_names(section, notice.is_some());
        if notice.is_none() && !to.is_empty() {
            self.report.error(section.key_place("to"), "`to` says where the `notice` goes, and there is none");
        }
        self.evidence.push((self.steps.len(), evidence));
        Some((self.template(main), StepKind::Decide { voters, rule: rule?, evidence: Vec::new(), notice, to }))
    }

    fn result(&mut self, main: Located<'_>) -> Option<(String, StepKind)> {
        let result = match main.text {
            "succeeded" => Outcome::Succeeded,
            "failed" => Outcome::Failed,
            "no-go" => Outcome::NoGo,
            other => {
                self.report.unknown(main.place, "result", other, ["succeeded", "failed", "no-go"]);
                return None;
            }
        };
        Some((format!("Record the result: {}", result.title()), StepKind::Result { result }))
    }

    /// Phases run in an order that exists, and a phase that others wait for stands before them.
    fn check_order(&self, phases: &[Phase]) {
        for (index, phase) in phases.iter().enumerate() {
            if phase.after.iter().any(|after| *after >= index) {
                let place = self.names.get(&phase.id).copied().unwrap_or_default();
                self.report.error_help(
                    place,
                    format!("`{}` waits for a phase that stands after it", phase.id),
                    "move it behind that phase",
                );
            }
        }
    }

    fn check_times(&self, phases: &[Phase]) {
        let has_window = self.inputs.iter().any(|input| matches!(input.field.kind, FieldKind::Window));
        if let (false, Some(phase)) = (has_window, phases.iter().find(|phase| phase.at.is_some())) {
            let place = self.names.get(&phase.id).copied().unwrap_or_default();
            self.report.error_help(
                place,
                format!("`{}` has a time, but nothing says when T-0 is", phase.id),
                "add an input of type window",
            );
        }
    }

    /// The step in front of a phase that asks the owner for what the phase needs.
    fn add_intakes(&mut self, phases: &mut [Phase], needed: &[(usize, usize)]) {
        for (index, phase) in phases.iter_mut().enumerate() {
            let fields: Vec<Field> =
                needed.iter().filter(|(p, _)| *p == index).map(|(_, input)| self.inputs[*input].field.clone()).collect();
            if fields.is_empty() {
                continue;
            }
            let sets = fields.iter().map(|field| (field.name.clone(), field.name.clone())).collect();
            let id = self.unused_id(&format!("{}_inputs", phase.id));
            self.names.insert(id.clone(), Place::default());
            let title = format!("Fill in what {} needs", phase.title);
            let kind = StepKind::Ask { fields, sets };
            self.steps.push(Step { id, phase: index, title, condition: None, who: Vec::new(), help: None, takes: None, kind });
            phase.intake = Some(self.steps.len() - 1);
        }
    }

    fn check_who(&self) {
        let people_inputs: Vec<&str> =
            self.inputs.iter().filter(|i| matches!(i.field.kind, FieldKind::People)).map(|i| i.field.name.as_str()).collect();
        let directory = &self.surroundings.people;
        for (name, place) in &self.who {
            let known = || {
                self.roles
                    .keys()
                    .map(String::as_str)
                    .chain(people_inputs.iter().copied())
                    .chain(directory.teams())
                    .chain(directory.people().map(|p| p.id.as_str()))
                    .chain(["owner"])
            };
            if !known().any(|k| k == name) {
                self.report.unknown(*place, "person, team or role", name, known());
            }
        }
    }

    fn check_evidence(&mut self) {
        for (step, written) in std::mem::take(&mut self.evidence) {
            let mut found = Vec::new();
            for (id, place) in written {
                match self.steps.iter().position(|step| step.id == id) {
                    Some(index) => found.push(index),
                    None => self.report.unknown(place, "step", &id, self.steps.iter().map(|s| s.id.as_str())),
                }
            }
            if let Some(StepKind::Decide { evidence, .. }) = self.steps.get_mut(step).map(|s| &mut s.kind) {
                *evidence = found;
            }
        }
    }

    fn check_pending(&self) {
        for pending in &self.pending {
            let names = match pending.kind {
                PendingKind::Text | PendingKind::Announcement | PendingKind::Otherwise => template::template_names(&pending.text),
                PendingKind::Condition | PendingKind::Requirement => template::expression_names(&pending.text),
            };
            match names {
                Err(problem) => self.report.error(pending.place, format!("it does not compile: {problem}")),
                Ok(names) => {
                    for name in &names {
                        self.check_name(name, pending);
                    }
                    self.check_calls(pending);
                }
            }
        }
    }

    fn check_name(&self, dotted: &str, pending: &Pending) {
        let mut parts = dotted.split('.');
        let root = parts.next().unwrap_or_default();
        let more = parts.next();
        let inputs = || self.inputs.iter().map(|input| input.field.name.as_str());
        let extra: &[&str] = match pending.kind {
            PendingKind::Announcement => &["rollout", "window", "now"],
            PendingKind::Requirement | PendingKind::Otherwise => &["outputs"],
            PendingKind::Text | PendingKind::Condition => &["rollout"],
        };
        match (root, more) {
            ("steps", Some(id)) => match self.steps.iter().find(|step| step.id == id) {
                None => self.report.unknown(pending.place, "step", id, self.steps.iter().map(|s| s.id.as_str())),
                Some(step) => self.check_step_name(step, parts.next(), parts.next(), pending.place),
            },
            ("decision", Some(id)) => {
                let decisions = || self.steps.iter().filter(|s| matches!(s.kind, StepKind::Decide { .. })).map(|s| s.id.as_str());
                if !decisions().any(|d| d == id) {
                    self.report.unknown(pending.place, "decision", id, decisions());
                }
            }
            ("steps" | "decision" | "result" | "done" | "started" | "failed" | "backed_off", _) => {}
            (name, _) if extra.contains(&name) || inputs().any(|input| input == name) => {}
            (name, _) => self.report.unknown(
                pending.place,
                "name",
                name,
                inputs().chain(extra.iter().copied()).chain(["steps", "decision", "result"]),
            ),
        }
    }

    fn check_step_name(&self, step: &Step, field: Option<&str>, below: Option<&str>, place: Place) {
        let fields: Vec<&str> = match &step.kind {
            StepKind::Task { evidence, .. } => evidence.iter().map(|f| f.name.as_str()).collect(),
            StepKind::Ask { fields, .. } => fields.iter().map(|f| f.name.as_str()).collect(),
            StepKind::Run { system, operation, .. } => {
                let operation = self.surroundings.systems.get(system).and_then(|kind| kind.operation(operation));
                if let (Some("outputs"), Some(output), Some(operation)) = (field, below, operation)
                    && !operation.gives(output)
                {
                    self.report.unknown(
                        place,
                        &format!("output of `{}`", step.id),
                        output,
                        operation.outputs.iter().map(|o| o.name),
                    );
                }
                vec!["outputs"]
            }
            _ => Vec::new(),
        };
        if let Some(name) = field
            && !fields.contains(&name)
        {
            self.report.unknown(place, &format!("field of the step `{}`", step.id), name, fields.iter().copied());
        }
    }

    /// `done('…')` and its like name steps and phases in quotes, where the template engine does not look.
    fn check_calls(&self, pending: &Pending) {
        static CALL: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r#"\b(done|failed|started|backed_off)\(\s*(?:'([^']*)'|"([^"]*)")\s*\)"#).expect("a constant pattern")
        });
        for call in CALL.captures_iter(&pending.text) {
            let name = call.get(2).or(call.get(3)).map_or("", |m| m.as_str());
            if matches!(&call[1], "done" | "failed") {
                if !self.steps.iter().any(|step| step.id == name) {
                    self.report.unknown(pending.place, "step", name, self.steps.iter().map(|s| s.id.as_str()));
                }
            } else if !self.phase_ids.iter().any(|phase| phase == name) {
                self.report.unknown(pending.place, "phase", name, self.phase_ids.iter().map(String::as_str));
            }
        }
    }
}

/// The id of a phase before it is read, so that inputs can refer to it.
fn phase_id(node: &Node) -> Option<String> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(key, _)| key.text() == Some("phase")).and_then(|(_, value)| value.text()).map(str::to_owned)
}

/// Reads a message file: front matter between two lines of `---`, then the Markdown.
///
/// # Errors
/// What is wrong with the front matter.
pub fn read_message(file: &str, text: &str) -> Result<MessageTemplate, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return Ok(MessageTemplate { subject: None, must_know: false, body: text.trim().to_owned() });
    };
    let Some((front, body)) = rest.split_once("\n---") else {
        let place = Place { line: 1, column: 1, chars: 3 };
        return Err(vec![Problem::error(file, place, "the front matter does not end").help("close it with a line of `---`")]);
    };
    // A line is put back in front, so that places are those of the file.
    let node = yaml::parse(file, &format!("#\n{front}\n")).map_err(|problem| vec![problem])?;
    let report = Report::on(file);
    let mut message =
        MessageTemplate { body: body.trim_start_matches(['-', '\r']).trim().to_owned(), ..MessageTemplate::default() };
    if node.value != Value::Empty
        && let Some(mut section) = Section::open(&report, &node, "front matter")
    {
        message.subject = section.take("subject").and_then(|node| text_of(&report, node, "subject")).map(|s| s.text.to_owned());
        message.must_know = section.flag("must-know");
        section.close(&[]);
    }
    if report.is_clean() { Ok(message) } else { Err(report.finish()) }
}
