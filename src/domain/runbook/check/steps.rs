//! Steps as written: which kind each is, and the keys of every kind.

use std::collections::BTreeMap;

use crate::domain::catalogue::{Kind, Parameter, ParameterKind};
use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::message::defaults::built_in;
use crate::domain::problem::did_you_mean;
use crate::domain::runbook::format::{self, later};
use crate::domain::runbook::model::{Bad, Call, Due, Outcome, Requirement, Rule, Step, StepKind, Wait};
use crate::domain::runbook::names;
use crate::domain::section::{Located, Section};
use crate::domain::time::{Offset, Takes, parse_duration, say_seconds};
use crate::domain::yaml::{Node, Value};

use super::Checker;
use super::texts::{Pending, Sees};

/// Every kind of step, by the key that names it.
const KINDS: [&str; 10] = ["announce", "acknowledge", "task", "ask", "run", "decide", "wait", "checklist", "let", "result"];
/// How often a `wait … until` asks, unless told.
const UNTIL_EVERY_SECONDS: i64 = 30;
/// The most items of one `each`.
const EACH_MAX: usize = 100;

/// Where a step stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// In a phase's `steps`.
    InOrder,
    /// In a phase's `during`.
    During,
}

impl Checker<'_> {
    /// Reads one step; with `each`, one of every item.
    pub(super) fn step(&mut self, phase: usize, node: &Node, stands: Stands) -> Vec<usize> {
        let first = self.steps.len();
        self.each_seen = false;
        let read = self.read_step(phase, node, stands);
        self.each_seen = false;
        if read.is_none() {
            self.steps.truncate(first);
        }
        (first..self.steps.len()).collect()
    }

    fn read_step(&mut self, phase: usize, node: &Node, stands: Stands) -> Option<()> {
        let mut section = Section::open(self.report, node, "a step")?;
        if let Some(kind) = later::KINDS.iter().find(|kind| section.has(kind)) {
            self.report.error_help(
                section.key_place(kind),
                format!("a `{kind}` step is not supported by this version"),
                "a `task` can stand in its place",
            );
            return None;
        }
        let kind_name = self.kind_of(&section)?;
        let main = section.needed(kind_name)?;
        let each = self.each(&mut section);
        self.each_seen = each.is_some();
        let written_id = section.text("id");
        let title_written = section.text("title");
        let condition = self.condition(&mut section);
        let who = self.names_of(&mut section, "who");
        let help = section.text("help").map(|h| self.template(h));
        let takes =
            section.text("takes").and_then(|t| Takes::parse(t.text).map_err(|problem| self.report.error(t.place, problem)).ok());
        let due = section.text("due").and_then(|due| self.due(due));
        let remind_seconds = self.seconds(&mut section, "remind");
        let required = section.flag_or("required", true);
        let named_by = match kind_name {
            "acknowledge" => Some("`from` says who acknowledges"),
            "decide" => Some("`voters` says who votes"),
            "run" => Some("`press` says who presses Run"),
            "let" => Some("`confirm` says who confirms it"),
            "announce" | "result" => Some("nobody has to do anything for it"),
            "ask" if section.has("from") => Some("`from` says who answers"),
            _ => None,
        };
        if let Some(named_by) = named_by.filter(|_| section.has("who")) {
            self.report.error_help(section.key_place("who"), format!("`who` does not belong to `{kind_name}`"), named_by);
        }
        if stands == Stands::During && !matches!(kind_name, "announce" | "wait") {
            self.report.error_help(
                main.place,
                format!("a `{kind_name}` can't live in `during`"),
                "there stand announcements with `every`, and waits that watch something",
            );
        }
        let (default_title, kind) = match kind_name {
            "announce" => self.announce(&mut section, main, stands),
            "acknowledge" => Some(self.acknowledge(&mut section, main)),
            "task" => Some(self.task(&mut section, main)),
            "ask" => Some(self.ask(&mut section, main)),
            "run" => self.run(&mut section, main),
            "decide" => self.decide(&mut section, main),
            "wait" => self.wait(&mut section, main, stands),
            "checklist" => self.checklist(&mut section, main),
            "let" => self.let_value(&mut section, main),
            _ => self.result(main),
        }?;
        section.close(&[]);

        let id = match written_id {
            Some(located) => format::id(self.report, located)?,
            None if matches!(kind_name, "let" | "result") => self.unused_id(&names::slug(&format!("{kind_name} {}", main.text))),
            None => self.unused_id(&names::slug(main.text)),
        };
        self.define(&id, written_id.map_or(main.place, |located| located.place), "step");
        let title = title_written.map_or(default_title, |t| self.template(t));
        let step = Step { id, each: None, phase, title, condition, who, help, takes, due, remind_seconds, required, kind };
        match each {
            None => self.steps.push(step),
            Some(items) => self.steps.extend(items.into_iter().map(|item| Step {
                id: format!("{}[{item}]", step.id),
                each: Some(item),
                ..step.clone()
            })),
        }
        Some(())
    }

    fn kind_of(&self, section: &Section<'_, '_>) -> Option<&'static str> {
        let present: Vec<&'static str> = KINDS.into_iter().filter(|kind| section.has(kind)).collect();
        match present[..] {
            [kind] => Some(kind),
            [] => {
                let near = section.keys().find_map(|(key, place)| Some((key, place, did_you_mean(key, KINDS)?)));
                if let Some((key, place, kind)) = near {
                    let help = format!("did you mean `{kind}`?");
                    self.report.error_help(place, format!("no step is of the kind `{key}`"), help);
                } else {
                    let help = format!("one key names it: {}", KINDS.join(", "));
                    self.report.error_help(section.place, "this step has no kind", help);
                }
                None
            }
            [first, second, ..] => {
                self.report
                    .error(section.key_place(second), format!("a step is one thing: this is both `{first}` and `{second}`"));
                None
            }
        }
    }

    /// The items of `each`: plain texts that can stand in an id.
    fn each(&self, section: &mut Section<'_, '_>) -> Option<Vec<String>> {
        if !section.given("each") {
            return None;
        }
        let written = section.texts("each");
        let mut items: Vec<String> = Vec::new();
        for item in &written {
            let fits = item.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            if !fits {
                let help = "letters, digits, `-`, `_` and `.`: it becomes a part of the step's id";
                self.report.error_help(item.place, format!("`{}` can't be an item of `each`", item.text), help);
            } else if items.iter().any(|known| known == item.text) {
                self.report.error(item.place, format!("`{}` stands twice in `each`", item.text));
            } else {
                items.push(item.text.to_owned());
            }
        }
        if items.is_empty() || items.len() > EACH_MAX {
            self.report.error(section.key_place("each"), format!("`each` has 1 to {EACH_MAX} items; this has {}", items.len()));
        }
        Some(items)
    }

    fn due(&self, due: Located<'_>) -> Option<Due> {
        if due.text.starts_with(['T', 't']) {
            if !self.has_window() {
                let help = "add an input of type window, or write a duration like `30m`";
                self.report.error_help(due.place, "nothing says when T-0 is", help);
            }
            return Offset::parse(due.text).map(Due::At).map_err(|problem| self.report.error(due.place, problem)).ok();
        }
        parse_duration(due.text).map(Due::After).map_err(|problem| self.report.error(due.place, problem)).ok()
    }

    fn seconds(&self, section: &mut Section<'_, '_>, key: &'static str) -> Option<i64> {
        let located = section.text(key)?;
        match parse_duration(located.text) {
            Ok(0) => {
                self.report.error(located.place, format!("`{key}` is longer than nothing"));
                None
            }
            Ok(seconds) => Some(seconds),
            Err(problem) => {
                self.report.error(located.place, problem);
                None
            }
        }
    }

    /// Made ids give way to each other; written ones do not.
    pub(super) fn unused_id(&self, base: &str) -> String {
        let is_free = |id: &str| !self.names.contains_key(id) && !names::is_reserved(id);
        if is_free(base) {
            return base.to_owned();
        }
        // Among one name more than there are, one is free.
        let mut candidates = (2..self.names.len() + 3).map(|n| format!("{base}_{n}"));
        candidates.find(|id| is_free(id)).unwrap_or_else(|| base.to_owned())
    }

    pub(super) fn names_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Vec<String> {
        let names = section.texts(key);
        self.who.extend(names.iter().map(|n| (n.text.to_owned(), n.place)));
        names.iter().map(|n| n.text.to_owned()).collect()
    }

    pub(super) fn audience_names(&mut self, section: &mut Section<'_, '_>, needed: bool) -> Vec<String> {
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

    pub(super) fn message(&mut self, located: Located<'_>) -> Option<String> {
        let name = located.text;
        let Some(message) = self.surroundings.messages.get(name) else {
            if let Some(built_in) = built_in(name) {
                self.messages.insert(name.to_owned(), built_in);
                return Some(name.to_owned());
            }
            self.report.unknown(located.place, "message", name, self.surroundings.messages.keys().map(String::as_str));
            return None;
        };
        let texts = [(message.template.subject.as_ref(), &message.subject), (Some(&message.template.body), &message.body)];
        for (text, stand) in texts.into_iter().filter_map(|(text, stand)| Some((text?, stand))) {
            let pending = Pending::text(Located { text, place: located.place }, Sees::Rollout);
            self.pend(Pending { message: Some(name.to_owned()), stand: stand.clone(), ..pending });
        }
        self.messages.insert(name.to_owned(), message.template.clone());
        Some(name.to_owned())
    }

    fn announce(&mut self, section: &mut Section<'_, '_>, main: Located<'_>, stands: Stands) -> Option<(String, StepKind)> {
        let message = self.message(main);
        let to = self.audience_names(section, true);
        let every = section.has("every").then(|| section.key_place("every"));
        let every_seconds = self.seconds(section, "every");
        match (every, stands) {
            (Some(place), Stands::InOrder) => {
                let help = "put the step into the phase's `during`, where it lives while the phase is open";
                self.report.error_help(place, "`every` needs a phase that stays open for it", help);
            }
            (None, Stands::During) => {
                let help = "say how often, like `every: 30m`";
                self.report.error_help(main.place, "an announcement in `during` needs `every`", help);
            }
            _ => {}
        }
        let title = format!("Announce: {}", main.text.replace(['-', '_'], " "));
        Some((title, StepKind::Announce { message: message?, to, every_seconds }))
    }

    pub(super) fn acknowledge(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> (String, StepKind) {
        let from = self.names_of(section, "from");
        if from.is_empty() {
            self.report.error(section.place, "an acknowledgement needs `from`: who must acknowledge");
        }
        (self.template(main), StepKind::Acknowledge { from })
    }

    pub(super) fn task(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> (String, StepKind) {
        let items = section.texts("items").into_iter().map(|item| self.template(item)).collect();
        let evidence = self.fields(section, "evidence");
        (self.template(main), StepKind::Task { items, evidence })
    }

    pub(super) fn fields(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Vec<Field> {
        let mut fields = Vec::new();
        for (field, keys) in format::fields(section, key) {
            if let (Some(text), Some(place)) = (&field.default, keys.default) {
                self.pend(Pending::text(Located { text, place }, Sees::Rollout));
            }
            fields.push(field);
        }
        fields
    }

    pub(super) fn ask(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> (String, StepKind) {
        let from = self.names_of(section, "from");
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
            if !from.is_empty() {
                self.report.error(located.place, "what many people answer can't set one input");
            }
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
        (self.template(main), StepKind::Ask { from, fields, sets })
    }

    fn run(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let press = section.given("press").then(|| self.names_of(section, "press"));
        let timeout_seconds = self.seconds(section, "timeout");
        let four_eyes = section.flag("four-eyes");
        if four_eyes && press.is_none() {
            let help = "say who presses Run with `press`";
            self.report.error_help(section.key_place("four-eyes"), "`four-eyes` needs two people who press", help);
        }
        let (call, title, configured) = self.call(section, main)?;
        let by_hand = (!configured).then(Vec::new);
        if by_hand.is_some() {
            self.by_hand.insert(self.steps.len());
        }
        Some((title, StepKind::Run { call, press, timeout_seconds, four_eyes, by_hand }))
    }

    /// Reads one call of a system: its operation, its inputs, what must hold of its outputs. Also answers what it does, in
    /// words, and whether the system is configured.
    fn call(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(Call, String, bool)> {
        let with_node = section.take("with");
        let Some((system, operation)) = main.text.split_once('.') else {
            self.report.error_help(main.place, format!("`{}` names no operation", main.text), "write it like `system.operation`");
            return None;
        };
        let configured = self.surroundings.systems.get(system).copied();
        if configured.is_none() {
            let systems = || self.surroundings.systems.keys().map(String::as_str);
            if did_you_mean(system, systems()).is_some() {
                self.report.unknown(main.place, "system", system, systems());
                return None;
            }
            self.report.warning_help(
                main.place,
                format!("no system `{system}` is configured, so this step is a task for people"),
                "add it to `systems` in config/tminus.yaml when it should run by itself",
            );
        }
        // A system that is called like a kind is one of that kind, once it is configured.
        let kind = configured.or_else(|| Kind::named(system));
        let found = kind.map(|kind| (kind, kind.operation(operation)));
        if let Some((kind, None)) = found {
            // What a command is called is up to the runbook.
            let known: Vec<String> = kind.operations.iter().map(|known| known.name.replace('*', "NAME")).collect();
            let what = format!("operation of {system}");
            self.report.unknown(main.place, &what, operation, known.iter().map(String::as_str));
            return None;
        }
        let found = found.and_then(|(_, operation)| operation);
        let sees = Sees::Outputs(found);
        let mut require = Vec::new();
        for node in section.items("require") {
            let Some(mut requirement) = Section::open(self.report, node, "a requirement") else { continue };
            let that = requirement.needed("that");
            let otherwise = requirement.text("else").map(|e| {
                self.pend(Pending::text(e, sees));
                e.text.to_owned()
            });
            requirement.close(&[]);
            if let Some(that) = that {
                self.pend(Pending::expression(that, sees));
                let otherwise = otherwise.unwrap_or_else(|| format!("`{}` does not hold", that.text));
                require.push(Requirement { that: that.text.to_owned(), otherwise });
            }
        }
        let with = match found {
            Some(found) => self.inputs_of_operation(found.inputs, with_node, main),
            None => self.unchecked_inputs(with_node),
        };
        let title = match found {
            Some(_) => format!("{operation} on {system}"),
            None => format!("{}: {}", system.replace(['-', '_'], " "), operation.replace(['-', '_', '.'], " ")),
        };
        let call = Call { system: system.to_owned(), operation: operation.to_owned(), with, require };
        Some((call, title, configured.is_some()))
    }

    /// `with:` of an operation that nobody knows: any map.
    fn unchecked_inputs(&mut self, node: Option<&Node>) -> serde_json::Value {
        match node {
            None => serde_json::Value::Object(serde_json::Map::new()),
            Some(node @ Node { value: Value::Map(_), .. }) => {
                self.templates_in(node);
                format::json(self.report, node)
            }
            Some(node) => {
                self.report.error(node.place, format!("`with` is a map, this is {}", node.kind()));
                serde_json::Value::Null
            }
        }
    }

    fn wait(&mut self, section: &mut Section<'_, '_>, main: Located<'_>, stands: Stands) -> Option<(String, StepKind)> {
        let timeout = section.has("timeout").then(|| section.key_place("timeout"));
        let timeout_seconds = self.seconds(section, "timeout");
        let every_seconds = self.seconds(section, "every");
        let cycles = section.text("cycles");
        let bad = section.text("bad");
        let check = match (section.take("until"), section.take("of")) {
            (Some(_), Some(of)) => {
                self.report.error(of.place, "a wait has `until` or `of`, not both");
                return None;
            }
            (Some(until), None) => Some((until, true)),
            (None, Some(of)) => Some((of, false)),
            (None, None) => None,
        };
        let Some((node, is_until)) = check else {
            if stands == Stands::During {
                self.report.error_help(
                    main.place,
                    "a wait in `during` watches something",
                    "say what with `of`, and how often with `every`",
                );
            }
            let Ok(seconds) = parse_duration(main.text) else {
                let help = "a duration like `24h`; or `until` a check; or `cycles`, `every` and `of`";
                self.report.error_help(main.place, format!("“{}” does not say what is waited for", main.text), help);
                return None;
            };
            return Some((format!("Wait {}", say_seconds(seconds)), StepKind::Wait { wait: Wait::Time { seconds } }));
        };
        let title = self.template(main);
        let mut inner = Section::open(self.report, node, "a check")?;
        let run = inner.needed("run")?;
        let (call, _, configured) = self.call(&mut inner, run)?;
        inner.close(&[]);
        if is_until && call.require.is_empty() {
            let help = "add `require`: without it the first answer would do";
            self.report.error_help(node.place, "what is waited for is not said", help);
        }
        let count = cycles.and_then(|located| match located.text.parse::<u32>() {
            Ok(count) if (1..=1000).contains(&count) => Some(count),
            _ => {
                self.report.error(located.place, format!("`cycles` is a number from 1 to 1000, not `{}`", located.text));
                None
            }
        });
        let bad = match bad.map(|located| (located.text, located.place)) {
            Some(("restart", _)) => Bad::Restart,
            None | Some(("fail", _)) => Bad::Fail,
            Some(("tell", _)) => Bad::Tell,
            Some((other, place)) => {
                self.report.unknown(place, "answer to a bad cycle", other, ["restart", "fail", "tell"]);
                Bad::Fail
            }
        };
        if let (Some(place), false) = (timeout, is_until) {
            self.report.error(place, "`timeout` belongs to `until`; cycles end by themselves");
        }
        if !is_until && every_seconds.is_none() {
            self.report.error_help(main.place, "cycles need `every`", "say how often, like `every: 15m`");
        }
        if !is_until && count.is_none() && stands == Stands::InOrder {
            self.report.error_help(main.place, "a wait needs `cycles`", "say how many good ones in a row are enough");
        }
        if !configured {
            // Without its system a person looks: once, or once a cycle.
            let items = count.map(|count| (1..=count).map(|n| format!("{n} of {count}")).collect()).unwrap_or_default();
            return Some((title, StepKind::Task { items, evidence: Vec::new() }));
        }
        let wait = if is_until {
            Wait::Until { call, every_seconds: every_seconds.unwrap_or(UNTIL_EVERY_SECONDS), timeout_seconds }
        } else {
            Wait::Cycles { call, cycles: count, every_seconds: every_seconds?, bad }
        };
        Some((title, StepKind::Wait { wait }))
    }

    fn checklist(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let gate = section.flag_or("gate", true);
        let until = section.text("until");
        let evidence = self.fields(section, "evidence");
        let with: Vec<(Located<'_>, &Node)> = section.entries("with");
        let Some(outline) = self.surroundings.runbooks.get(main.text) else {
            let known = self.surroundings.runbooks.keys().map(String::as_str);
            self.report.unknown(main.place, "runbook", main.text, known);
            return None;
        };
        let until = until.and_then(|until| {
            if outline.phases.iter().any(|phase| phase == until.text) {
                return Some(until.text.to_owned());
            }
            let what = format!("phase of `{}`", main.text);
            self.report.unknown(until.place, &what, until.text, outline.phases.iter().map(String::as_str));
            None
        });
        let mut inputs = BTreeMap::new();
        for (name, node) in with {
            if !outline.inputs.iter().any(|input| input == name.text) {
                let what = format!("input of `{}`", main.text);
                self.report.unknown(name.place, &what, name.text, outline.inputs.iter().map(String::as_str));
            }
            if let Some(value) = crate::domain::section::text_of(self.report, node, "with") {
                inputs.insert(name.text.to_owned(), self.template(value));
            }
        }
        let title = outline.title.clone().unwrap_or_else(|| format::title_of_id(&main.text.replace('-', "_")));
        let title = format!("Checklist: {title}");
        Some((title, StepKind::Checklist { runbook: main.text.to_owned(), with: inputs, gate, until, evidence }))
    }

    fn let_value(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let name = format::id(self.report, main);
        let value = section.needed("value").map(|value| self.template(value));
        let confirm = section.given("confirm").then(|| self.names_of(section, "confirm"));
        let name = name?;
        self.define(&name, main.place, "`let` name");
        self.lets.push(name.clone());
        Some((format!("Work out {}", name.replace('_', " ")), StepKind::Let { name, value: value?, confirm }))
    }

    /// Checks `with:` against what the operation takes.
    pub(super) fn inputs_of_operation(
        &mut self,
        parameters: &[Parameter],
        node: Option<&Node>,
        main: Located<'_>,
    ) -> serde_json::Value {
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

    pub(super) fn check_parameter(&self, parameter: &Parameter, value: &Node) {
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

    pub(super) fn templates_in(&mut self, node: &Node) {
        match &node.value {
            Value::Empty => {}
            Value::Text(text) => self.pend(Pending::text(Located { text, place: node.place }, Sees::Rollout)),
            Value::List(items) => items.iter().for_each(|item| self.templates_in(item)),
            Value::Map(pairs) => pairs.iter().for_each(|(_, value)| self.templates_in(value)),
        }
    }

    pub(super) fn decide(&mut self, section: &mut Section<'_, '_>, main: Located<'_>) -> Option<(String, StepKind)> {
        let mut voters = self.names_of(section, "voters");
        if !section.has("voters") {
            voters.clone_from(&self.voters);
        }
        if voters.is_empty() {
            let help = "name them in the step, or for all decisions under `may: { decide: … }`";
            self.report.error_help(section.place, "a decision needs `voters`", help);
        }
        let rule = section.take("rule").map_or(Some(Rule::Unanimous), |node| format::rule(self.report, node));
        let veto = section.flag("veto");
        let stand_ins = self.names_of(section, "stand-ins");
        let evidence = section.texts("evidence").iter().map(|e| (e.text.to_owned(), e.place)).collect();
        let notice = section.text("notice").and_then(|located| self.message(located));
        let to = self.audience_names(section, notice.is_some());
        if notice.is_none() && !to.is_empty() {
            self.report.error(section.key_place("to"), "`to` says where the `notice` goes, and there is none");
        }
        self.evidence.push((self.steps.len(), evidence));
        Some((self.template(main), StepKind::Decide { voters, rule: rule?, veto, stand_ins, evidence: Vec::new(), notice, to }))
    }

    pub(super) fn result(&mut self, main: Located<'_>) -> Option<(String, StepKind)> {
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
}
