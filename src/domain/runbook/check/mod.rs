//! Checks a runbook as written and makes the model of it: every problem at once, each with its place.

mod message;
mod steps;
mod texts;
mod top;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::catalogue::Kind;
use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::message::defaults::BY_ITSELF;
use crate::domain::people::Directory;
use crate::domain::problem::{Place, Problem};
use crate::domain::section::{Located, Report, Section};
use crate::domain::yaml::{self, Node, Value};

use super::format::{self, Destinations, later};
use super::model::{Input, MessageTemplate, Phase, PhaseTime, Runbook, Step, StepKind};
use super::names;

use self::steps::Stands;
use self::texts::{Pending, Sees};

pub use self::message::{Message, Stand, read_message};

/// What a runbook may refer to.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// People and teams.
    pub people: Directory,
    /// The configured systems and what kind each is.
    pub systems: BTreeMap<String, &'static Kind>,
    /// The announcements under `messages/`.
    pub messages: BTreeMap<String, Message>,
    /// What a checklist may name of the other runbooks.
    pub runbooks: BTreeMap<String, Outline>,
    /// The names of rooms.
    pub rooms: BTreeSet<String>,
    /// What can be announced to.
    pub destinations: Destinations,
}

/// What other runbooks can refer to in one, read before any is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Where its name stands.
    pub name_place: Place,
    /// Its title as written.
    pub title: Option<String>,
    /// The ids of its phases.
    pub phases: Vec<String>,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// Whether one of its steps is an action.
    pub acts: bool,
    /// The checklists that it starts.
    pub checklists: Vec<String>,
}

/// Reads a runbook's name and outline, as far as they can be read: what is wrong with it [`check`] says.
#[must_use]
pub fn outline(text: &str) -> Option<(String, Outline)> {
    let node = yaml::parse("", text).ok()?;
    let Value::Map(pairs) = &node.value else { return None };
    let value = |key: &str| pairs.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value);
    let phases = match value("phases").map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(phase_id).collect(),
        _ => Vec::new(),
    };
    let inputs = match value("inputs").map(|node| &node.value) {
        Some(Value::Map(pairs)) => pairs.iter().filter_map(|(name, _)| name.text().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let title = value("title").and_then(|title| title.text()).map(str::to_owned);
    let name = value("runbook")?;
    let steps: Vec<&Node> = match value("phases").map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().flat_map(steps_of).collect(),
        _ => Vec::new(),
    };
    let below = |key: &'static str| steps.iter().filter_map(move |step| entry(step, key));
    let acts = below("run").next().is_some();
    let checklists = below("checklist").filter_map(|name| name.text().map(str::to_owned)).collect();
    Some((name.text()?.to_owned(), Outline { name_place: name.place, title, phases, inputs, acts, checklists }))
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
}

fn steps_of(phase: &Node) -> impl Iterator<Item = &Node> {
    let lists = ["steps", "during"].into_iter().filter_map(|key| entry(phase, key));
    lists.flat_map(|list| if let Value::List(items) = &list.value { items.as_slice() } else { &[] })
}

impl Surroundings {
    /// Whether a runbook, or one of its checklists, has an action.
    fn acts(&self, runbook: &str, seen: &mut BTreeSet<String>) -> bool {
        let Some(outline) = self.runbooks.get(runbook).filter(|_| seen.insert(runbook.to_owned())) else { return false };
        outline.acts || outline.checklists.iter().any(|name| self.acts(name, seen))
    }
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
    /// Who votes where a decision names nobody.
    voters: Vec<String>,
    /// The days by name, and how far from T-0 each is.
    days: BTreeMap<String, Option<crate::domain::time::Offset>>,
    /// What `let` defines.
    lets: Vec<String>,
    /// The actions whose system is not configured.
    by_hand: BTreeSet<usize>,
    /// Whether the step that is read has an `each`.
    each_seen: bool,
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
            voters: Vec::new(),
            days: BTreeMap::new(),
            lets: Vec::new(),
            by_hand: BTreeSet::new(),
            each_seen: false,
        }
    }

    fn runbook(mut self, node: &Node) -> Option<Runbook> {
        let mut top = Section::open(self.report, node, "a runbook")?;
        let name = top.needed("runbook").and_then(|located| self.runbook_name(located));
        let title = top.text("title").map(|located| {
            self.pend(Pending::text(located, Sees::Inputs));
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
        self.read_days(&mut top);
        let notes = self.read_notes(&mut top);
        let may = self.read_may(&mut top);
        let re_ask_seconds = self.read_re_ask(&mut top);
        let top_place = top.place;
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
        let lock_from = if let Some(located) = lock_from_written {
            if environment.is_none() {
                self.report.error(located.place, "`lock-from` says when the environment is held, and there is no `environment`");
            }
            self.phase_index(located.text, located.place)
        } else {
            let acts = |step: &usize| match &self.steps[*step].kind {
                StepKind::Run { .. } => true,
                StepKind::Checklist { runbook, .. } => self.surroundings.acts(runbook, &mut BTreeSet::new()),
                _ => false,
            };
            phases.iter().position(|phase| phase.steps.iter().any(acts))
        };
        self.check_times(&phases);
        self.check_ways_back(&phases);
        self.take_own_words(top_place);
        self.check_who();
        self.check_evidence();
        self.check_pending();
        self.add_by_hand();
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
            children: BTreeMap::new(),
            notes,
            may,
            re_ask_seconds,
        })
    }

    /// What the team wants T-minus to say in its own words is frozen with the runbook, like announcements.
    fn take_own_words(&mut self, place: Place) {
        for name in BY_ITSELF {
            if self.surroundings.messages.contains_key(name) {
                self.message(Located { text: name, place });
            }
        }
    }

    /// Notes a template for checking and passes its text on.
    fn template(&mut self, located: Located<'_>) -> String {
        self.pend(Pending::text(located, Sees::Rollout));
        located.text.to_owned()
    }

    /// Notes a text for checking, with what it sees by where it stands.
    fn pend(&mut self, pending: Pending) {
        self.pending.push(Pending { each: self.each_seen, of_step: self.steps.len(), ..pending });
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
        let at = section.text("at").and_then(|at| self.phase_time(at));
        let opens = section.given("opens").then(|| self.names_of(&mut section, "opens"));
        let back_off = section.text("back-off").and_then(|back| self.phase_index(back.text, back.place));
        let offer_done = section.flag("offer-done");
        let written_after = section.given("after").then(|| section.texts("after"));
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
        let during_nodes = section.items("during");
        section.close(later::PHASE);
        let steps = step_nodes.iter().flat_map(|node| self.step(index, node, Stands::InOrder)).collect();
        let during = during_nodes.iter().flat_map(|node| self.step(index, node, Stands::During)).collect();
        let opens = match &at {
            // Somebody says when a day comes that nobody can know before.
            Some(at) if at.is_manual() => opens.or_else(|| Some(Vec::new())),
            _ => opens,
        };
        Some(Phase {
            id,
            title,
            at,
            opens,
            back_off,
            during,
            offer_done,
            after,
            condition,
            parallel,
            always,
            help,
            intake: None,
            steps,
        })
    }

    fn condition(&mut self, section: &mut Section<'_, '_>) -> Option<String> {
        let located = section.text("if")?;
        self.pend(Pending::expression(located, Sees::Rollout));
        Some(located.text.to_owned())
    }

    /// `T-4h`, or `Day 1 09:00` with a day of `days`.
    fn phase_time(&self, at: Located<'_>) -> Option<PhaseTime> {
        use crate::domain::time::Offset;
        let is_day = self.days.keys().any(|day| at.text.starts_with(day.as_str())) || at.text.starts_with("Day");
        if !is_day {
            return Offset::parse(at.text).map(PhaseTime::Window).map_err(|problem| self.report.error(at.place, problem)).ok();
        }
        let parsed = at
            .text
            .rsplit_once(' ')
            .and_then(|(day, time)| Some((day.trim(), chrono::NaiveTime::parse_from_str(time, "%H:%M").ok()?)));
        let Some((day, time)) = parsed else {
            self.report.error(at.place, format!("“{}” is not a time of a day; write it like “Day 1 09:00”", at.text));
            return None;
        };
        let Some(from) = self.days.get(day) else {
            self.report.unknown(at.place, "day", day, self.days.keys().map(String::as_str));
            return None;
        };
        Some(PhaseTime::Day { day: day.to_owned(), from: *from, time })
    }

    /// A phase that is gone back by comes later, so that what is left behind stays behind.
    fn check_ways_back(&self, phases: &[Phase]) {
        for (index, phase) in phases.iter().enumerate() {
            if phase.back_off.is_some_and(|target| target <= index) {
                let place = self.names.get(&phase.id).copied().unwrap_or_default();
                self.report.error_help(
                    place,
                    format!("`{}` backs off to a phase that stands before it", phase.id),
                    "the way back is a phase of its own, further down",
                );
            }
        }
    }

    /// What people record by hand in place of outputs: those that something refers to.
    fn add_by_hand(&mut self) {
        let by_hand = std::mem::take(&mut self.by_hand);
        let names = if by_hand.is_empty() { Vec::new() } else { self.output_names() };
        for index in by_hand {
            let names = self.outputs_used(index, &names);
            let Some(step) = self.steps.get_mut(index) else { continue };
            if let StepKind::Run { by_hand, .. } = &mut step.kind {
                let field = |name: String| Field {
                    label: format::title_of_id(&name.replace('-', "_")),
                    name,
                    kind: FieldKind::Text,
                    example: None,
                    default: None,
                    required: true,
                };
                *by_hand = Some(names.into_iter().map(field).collect());
            }
        }
    }

    fn has_window(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.field.kind, FieldKind::Window))
    }

    /// Phases run in an order that exists: a phase that others wait for stands before them, so that no circle can be written.
    fn check_order(&self, phases: &[Phase]) {
        for (index, phase) in phases.iter().enumerate() {
            let Some(after) = phase.after.iter().find(|after| **after >= index) else { continue };
            let place = self.names.get(&phase.id).copied().unwrap_or_default();
            if *after == index {
                let what = format!("`{}` waits for itself and would never open", phase.id);
                self.report.error_help(place, what, "name the phases that it really waits for under `after`");
            } else {
                let named = phases.get(*after).map_or("", |phase| phase.id.as_str());
                let what = format!("`{}` waits for `{named}`, a phase that stands after it", phase.id);
                self.report.error_help(place, what, "move it behind that phase");
            }
        }
    }

    fn check_times(&self, phases: &[Phase]) {
        if let (false, Some(phase)) = (self.has_window(), phases.iter().find(|phase| phase.at.is_some())) {
            let place = self.names.get(&phase.id).copied().unwrap_or_default();
            self.report.error_help(
                place,
                format!("`{}` has a time, but nothing says when T-0 is", phase.id),
                "add an input of type window",
            );
        }
        for (index, phase) in phases.iter().enumerate() {
            let Some(at) = &phase.at else { continue };
            let before = phase.after.iter().filter_map(|after| phases.get(*after));
            let later =
                before.filter(|before| before.at.as_ref().is_some_and(|before| is_later(before, at))).map(|p| &p.id).next();
            if let Some(later) = later.filter(|_| index > 0) {
                let place = self.names.get(&phase.id).copied().unwrap_or_default();
                let what = format!("`{}` opens at {at}, after `{later}`, which opens later", phase.id);
                self.report.error_help(
                    place,
                    what,
                    "it would always be late: move it, or say with `after` what it really waits for",
                );
            }
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
            let kind = StepKind::Ask { from: Vec::new(), fields, sets };
            self.steps.push(Step {
                id,
                each: None,
                phase: index,
                title,
                condition: None,
                who: Vec::new(),
                help: None,
                takes: None,
                due: None,
                remind_seconds: None,
                required: true,
                kind,
            });
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
                    .chain(directory.people().flat_map(|person| person.roles.iter().map(String::as_str)))
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
                match self.steps.iter().position(|step| step.base_id() == id || step.id == id) {
                    Some(_) => found.extend(
                        (0..self.steps.len()).filter(|index| self.steps[*index].base_id() == id || self.steps[*index].id == id),
                    ),
                    None => self.report.unknown(place, "step", &id, self.steps.iter().map(|s| s.id.as_str())),
                }
            }
            if let Some(StepKind::Decide { evidence, .. }) = self.steps.get_mut(step).map(|s| &mut s.kind) {
                *evidence = found;
            }
        }
    }
}

/// Whether a phase's time is certainly later than another's: times from T-0 and times of days are not compared with each other.
fn is_later(this: &PhaseTime, other: &PhaseTime) -> bool {
    match (this, other) {
        (PhaseTime::Window(this), PhaseTime::Window(other)) => this > other,
        (PhaseTime::Day { from: Some(this), time, .. }, PhaseTime::Day { from: Some(other), time: other_time, .. }) => {
            (this, time) > (other, other_time)
        }
        _ => false,
    }
}

/// The id of a phase before it is read, so that inputs can refer to it.
fn phase_id(node: &Node) -> Option<String> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(key, _)| key.text() == Some("phase")).and_then(|(_, value)| value.text()).map(str::to_owned)
}
