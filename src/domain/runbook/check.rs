//! Checks a runbook as written and makes the model of it: every problem at once, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;

use crate::domain::catalogue::{Kind, Operation, Parameter, ParameterKind};
use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::message::template;
use crate::domain::message::uses::{self, Argument, Form, Uses};
use crate::domain::people::Directory;
use crate::domain::problem::{Place, Problem, did_you_mean};
use crate::domain::section::{Located, Report, Section, text_of};
use crate::domain::time::{Offset, Takes, parse_duration};
use crate::domain::yaml::{self, Node, Value};

use super::format::{self, FieldKeys, later};
use super::model::{Input, MessageTemplate, Outcome, Phase, Requirement, Rule, Runbook, Step, StepKind};
use super::names::{self, Function, ITSELF, Member, Name, OUTPUTS};

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
    form: Form,
    sees: Sees,
    /// The message it stands in, when that is another file.
    message: Option<String>,
}

/// What a text can name.
#[derive(Clone, Copy)]
enum Sees {
    /// The inputs: all there is when the title of a rollout is written.
    Inputs,
    /// Everything.
    Rollout,
    /// Everything, and what came out of the operation, if that is a known one.
    Outputs(Option<&'static Operation>),
}

impl Pending {
    fn text(located: Located<'_>, sees: Sees) -> Self {
        Self { text: located.text.to_owned(), place: located.place, form: Form::Template, sees, message: None }
    }

    fn expression(located: Located<'_>, sees: Sees) -> Self {
        Self { form: Form::Expression, ..Self::text(located, sees) }
    }

    /// "step", or "step in the message `deployed`", where the place does not show it.
    fn what(&self, what: &str) -> String {
        self.message.as_ref().map_or_else(|| what.to_owned(), |message| format!("{what} in the message `{message}`"))
    }
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
        let title = top.text("title").map(|located| {
            self.pending.push(Pending::text(located, Sees::Inputs));
            located.text.to_owned()
        });
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
        self.pending.push(Pending::text(located, Sees::Rollout));
        located.text.to_owned()
    }

    fn define(&mut self, name: &str, place: Place, what: &str) {
        if names::is_reserved(name) {
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
        self.pending.push(Pending::expression(located, Sees::Rollout));
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
            let message = Some(name.to_owned());
            self.pending.push(Pending { message, ..Pending::text(Located { text, place: located.place }, Sees::Rollout) });
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
        let mut fields = Vec::new();
        for (field, keys) in format::fields(section, key) {
            if let (Some(text), Some(place)) = (&field.default, keys.default) {
                self.pending.push(Pending::text(Located { text, place }, Sees::Rollout));
            }
            fields.push(field);
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
        let operation =
            main.text.split_once('.').and_then(|(system, name)| self.surroundings.systems.get(system)?.operation(name));
        let mut require = Vec::new();
        for node in section.items("require") {
            let Some(mut requirement) = Section::open(self.report, node, "a requirement") else { continue };
            let that = requirement.needed("that");
            let otherwise = requirement.text("else").map(|e| {
                self.pending.push(Pending::text(e, Sees::Outputs(operation)));
                e.text.to_owned()
            });
            requirement.close(&[]);
            if let Some(that) = that {
                self.pending.push(Pending::expression(that, Sees::Outputs(operation)));
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
            Value::Text(text) => self.pending.push(Pending::text(Located { text, place: node.place }, Sees::Rollout)),
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
            match uses::uses(&pending.text, pending.form) {
                Err(problem) => {
                    self.report.error(pending.place, format!("{} does not compile: {problem}", pending.what("the text")));
                }
                Ok(uses) => {
                    uses.names.iter().for_each(|name| self.check_name(name, pending));
                    self.check_calls(&uses, pending);
                    self.check_words(&uses, pending);
                }
            }
        }
    }

    fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.field.name.as_str())
    }

    fn check_name(&self, dotted: &str, pending: &Pending) {
        let parts: Vec<&str> = dotted.split('.').collect();
        let (root, below) = parts.split_first().map_or(("", &[][..]), |(root, below)| (*root, below));
        if self.inputs().any(|input| input == root) {
            self.plain(&[root], below, pending);
            return;
        }
        let value = Name::ALL.into_iter().find(|name| name.name() == root);
        let is_outputs = root == OUTPUTS && matches!(pending.sees, Sees::Outputs(_));
        let is_function = Function::ALL.into_iter().any(|function| function.name() == root);
        if matches!(pending.sees, Sees::Inputs) && (value.is_some() || is_function) {
            self.report.error_help(
                pending.place,
                format!("`{root}` can't be used in the title of a runbook"),
                "the title is written once, at the start, from the inputs alone",
            );
            return;
        }
        match value {
            Some(Name::Steps) => self.check_step(below, pending),
            Some(Name::Decision) => self.check_decision(below, pending),
            Some(Name::Rollout) => self.check_member(below, pending),
            Some(Name::Result | Name::Now | Name::Window) => self.plain(&[root], below, pending),
            None if is_outputs => {
                if let Sees::Outputs(Some(operation)) = pending.sees {
                    self.check_outputs(operation, &[OUTPUTS], below, pending);
                }
            }
            // How they are asked is the business of `check_calls`.
            None if is_function => {}
            None => {
                let of_rollout = !matches!(pending.sees, Sees::Inputs);
                let values = Name::ALL.map(Name::name).into_iter().filter(|_| of_rollout);
                let functions = [Function::Done, Function::Failed, Function::Started].map(Function::name).into_iter();
                let outputs = Some(OUTPUTS).filter(|_| matches!(pending.sees, Sees::Outputs(_)));
                let known = self.inputs().chain(values).chain(functions.filter(|_| of_rollout)).chain(outputs);
                self.report.unknown(pending.place, &pending.what("name"), root, known);
            }
        }
    }

    /// A plain value, with what is asked of it: that must be nothing.
    fn plain(&self, value: &[&str], below: &[&str], pending: &Pending) {
        if let Some(member) = below.first() {
            let value = value.join(".");
            self.report.error_help(
                pending.place,
                pending.what(&format!("`{value}` is a plain value and has no `{member}`")),
                format!("write `{value}`"),
            );
        }
    }

    /// A map of which one thing has to be named.
    fn alone<'n>(&self, value: &str, of: &str, known: impl IntoIterator<Item = &'n str>, pending: &Pending) {
        let known: Vec<String> = known.into_iter().map(|name| format!("`{value}.{name}`")).collect();
        let help = if known.is_empty() { format!("no {of} is defined") } else { format!("known: {}", known.join(", ")) };
        self.report.error_help(pending.place, pending.what(&format!("`{value}` alone says nothing: name the {of}")), help);
    }

    fn check_step(&self, below: &[&str], pending: &Pending) {
        let ids = || self.steps.iter().map(|step| step.id.as_str());
        let Some((id, below)) = below.split_first() else {
            self.alone(Name::Steps.name(), "step", ids(), pending);
            return;
        };
        let Some(step) = self.steps.iter().find(|step| step.id == *id) else {
            self.report.unknown(pending.place, &pending.what("step"), id, ids());
            return;
        };
        let Some((field, below)) = below.split_first() else { return };
        let path = [Name::Steps.name(), id, field];
        if let StepKind::Run { system, operation, .. } = &step.kind {
            if *field != OUTPUTS {
                self.report.unknown(pending.place, &pending.what(&format!("field of the step `{id}`")), field, [OUTPUTS]);
            } else if let Some(operation) = self.surroundings.systems.get(system).and_then(|kind| kind.operation(operation)) {
                self.check_outputs(operation, &path, below, pending);
            }
            return;
        }
        let fields = || step.kind.fields().iter().map(|field| field.name.as_str());
        if fields().any(|known| known == *field) {
            self.plain(&path, below, pending);
        } else {
            self.report.unknown(pending.place, &pending.what(&format!("field of the step `{id}`")), field, fields());
        }
    }

    fn check_outputs(&self, operation: &Operation, path: &[&str], below: &[&str], pending: &Pending) {
        let Some((output, below)) = below.split_first() else { return };
        if operation.gives(output) {
            let path: Vec<&str> = path.iter().copied().chain([*output]).collect();
            self.plain(&path, below, pending);
        } else {
            let known = operation.outputs.iter().map(|output| output.name);
            self.report.unknown(pending.place, &pending.what(&format!("output of `{}`", operation.name)), output, known);
        }
    }

    fn check_decision(&self, below: &[&str], pending: &Pending) {
        let decisions = || self.steps.iter().filter(|s| matches!(s.kind, StepKind::Decide { .. })).map(|s| s.id.as_str());
        match below.split_first() {
            None => self.alone(Name::Decision.name(), "decision", decisions(), pending),
            Some((id, below)) if decisions().any(|known| known == *id) => {
                self.plain(&[Name::Decision.name(), id], below, pending);
            }
            Some((id, _)) => self.report.unknown(pending.place, &pending.what("decision"), id, decisions()),
        }
    }

    fn check_member(&self, below: &[&str], pending: &Pending) {
        let members = || Member::ALL.into_iter().map(Member::name);
        match below.split_first() {
            None => self.alone(Name::Rollout.name(), "member", members(), pending),
            Some((member, below)) if members().any(|known| known == *member) => {
                self.plain(&[Name::Rollout.name(), member], below, pending);
            }
            Some((member, _)) => self.report.unknown(pending.place, &pending.what("member of `rollout`"), member, members()),
        }
    }

    /// `done('…')` and its like name steps and phases in quotes, where the template engine does not look.
    fn check_calls(&self, uses: &Uses, pending: &Pending) {
        let is_taken = |root: &str| uses.names.iter().any(|name| name.split('.').next() == Some(root));
        for mention in &uses.mentions {
            let root = mention.name.split('.').next().unwrap_or_default();
            if root == ITSELF {
                self.report.unknown(pending.place, &pending.what("name"), root, self.inputs());
                continue;
            }
            // What a text defines itself is its own business; and of what the title can't use that has been said.
            if !is_taken(root) || matches!(pending.sees, Sees::Inputs) {
                continue;
            }
            let function = Function::ALL.into_iter().find(|function| function.name() == root);
            match (function, &mention.call) {
                (Some(Function::BackedOff), _) => self.report.error_help(
                    pending.place,
                    pending.what(&format!("`{root}` is not supported by this version")),
                    "nothing leads back yet, as `back-off` is not supported either; take it out for now",
                ),
                (Some(function), Some(Argument::Quoted(id))) if mention.name == root => self.check_asked(function, id, pending),
                (Some(function), _) => self.report.error_help(
                    pending.place,
                    pending.what(&format!("`{root}` asks about one {}, by its id in quotes", function.asks_about())),
                    format!("write it like `{root}('{}')`", self.ids_of(function).next().unwrap_or("id")),
                ),
                (None, Some(_)) if self.is_known(root, pending) => {
                    self.report.error_help(
                        pending.place,
                        pending.what(&format!("`{}` is no function", mention.name)),
                        format!(
                            "functions are {}",
                            [Function::Done, Function::Failed, Function::Started].map(Function::name).join(", ")
                        ),
                    );
                }
                (None, _) => {}
            }
        }
    }

    /// Whether a name is one whose use has not been refused already.
    fn is_known(&self, root: &str, pending: &Pending) -> bool {
        let is_outputs = root == OUTPUTS && matches!(pending.sees, Sees::Outputs(_));
        is_outputs || self.inputs().any(|input| input == root) || Name::ALL.into_iter().any(|name| name.name() == root)
    }

    fn ids_of(&self, function: Function) -> impl Iterator<Item = &str> {
        let of_steps = matches!(function, Function::Done | Function::Failed);
        let steps = self.steps.iter().map(|step| step.id.as_str()).filter(move |_| of_steps);
        steps.chain(self.phase_ids.iter().map(String::as_str).filter(move |_| !of_steps))
    }

    fn check_asked(&self, function: Function, id: &str, pending: &Pending) {
        if !self.ids_of(function).any(|known| known == id) {
            self.report.unknown(pending.place, &pending.what(function.asks_about()), id, self.ids_of(function));
        }
    }

    /// Words of the template engine that it would only miss when the text is written.
    fn check_words(&self, uses: &Uses, pending: &Pending) {
        /// They bring in other templates, and there are none.
        const OF_OTHERS: [&str; 5] = ["block", "extends", "from", "import", "include"];
        for filter in uses.filters.iter().filter(|filter| !template::knows_filter(filter)) {
            self.report.error(pending.place, format!("unknown {} `{filter}`", pending.what("filter")));
        }
        for test in uses.tests.iter().filter(|test| !template::knows_test(test)) {
            self.report.error(pending.place, format!("unknown {} `{test}`", pending.what("test after `is`")));
        }
        for tag in uses.tags.iter().filter(|tag| OF_OTHERS.contains(&tag.as_str())) {
            self.report
                .error(pending.place, pending.what(&format!("`{tag}` needs other templates, and a text stands for itself")));
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
