//! The state of one rollout. [`evolve`](State::evolve) is the only way it changes.
//!
//! It can be written down, to begin from the next time: a cache of its events, which stay the only truth.

mod amended;
mod announcement;
mod cards;
mod course;
mod evolve;
mod phase;
mod quiet;
mod recent;
mod roster;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::{FieldValue, Reading, Window};
use crate::domain::freeze::Frozen;
use crate::domain::message::template::{self, Landing};
use crate::domain::people::{Directory, PersonId};
use crate::domain::runbook::model::{Outcome, Runbook, Step, StepKind, Venue};

use super::command::{CommandId, RolloutId};
use super::event::{ClockKind, Event, NoteKind, Parent, Recorded, Started};

use self::quiet::Quiet;
use self::recent::Recent;

pub use self::amended::{Amended, Proposed};
pub use self::announcement::{Announcement, Destination};
pub use self::course::{Turn, TurnKind};
pub use self::phase::PhaseState;
pub use self::recent::{RECENT_COMMANDS_MAX, RECENT_HOURS_MAX};
pub use self::roster::Roster;
pub use self::step::{ActionStage, ActionState, Checks, Child, Skipped, StepState, StepStatus, Vote};

/// How many events the card may show, and some more.
const NEWEST_MAX: usize = 8;
/// How deep roles may refer to roles.
const ROLE_DEPTH_MAX: usize = 8;

/// Everything known of one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    pub id: RolloutId,
    /// Its number in this installation.
    pub number: u32,
    /// The installation's tag.
    pub house: u16,
    /// Its title.
    pub title: String,
    /// Where its page is.
    pub link: Option<String>,
    /// Where it is hosted.
    pub rooms: Vec<String>,
    /// The rollout whose checklist it is, if it is one.
    pub parent: Option<Parent>,
    /// What the parent knows: that it reached its phase (false) or ended (true).
    pub parent_told: Option<bool>,
    /// The last event that concerns the rollout as a whole, and so its checklists too.
    pub whole_sequence: u64,
    /// Whether its clock can be moved.
    pub clock: ClockKind,
    /// By how much it was moved, in seconds.
    pub shift_seconds: i64,
    /// The frozen runbook.
    pub runbook: Arc<Runbook>,
    /// Who started it.
    pub starter: Option<PersonId>,
    /// When.
    pub started: DateTime<Utc>,
    /// The inputs that are known.
    pub values: BTreeMap<String, FieldValue>,
    /// Its phases, as in the runbook.
    pub phases: Vec<PhaseState>,
    /// Its steps, as in the runbook.
    pub steps: Vec<StepState>,
    /// Its announcements, in order of issue.
    pub announcements: Vec<Announcement>,
    /// Those of them that have not arrived everywhere, by their places.
    pub under_way: BTreeSet<usize>,
    /// Rises whenever the rollout's own buttons must not count any more.
    pub generation: u32,
    /// Whether it is held.
    pub held: Option<Held>,
    /// Its result, once recorded.
    pub result: Option<Outcome>,
    /// Why it was aborted.
    pub aborted: Option<Given>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// What happened on the way and the steps do not show.
    pub course: Vec<Turn>,
    /// Whether those who are told and not asked know that it began.
    pub informed: bool,
    /// Who acted last, and when.
    pub acted: Option<(PersonId, DateTime<Utc>)>,
    /// Who owns it since it was handed over.
    pub owner: Option<PersonId>,
    /// The phases that a person said may open.
    pub released: BTreeSet<usize>,
    /// The phases that were left by **Back off**.
    pub backed_off: BTreeSet<usize>,
    /// Whether it has its environment.
    pub environment: EnvironmentStage,
    /// Who took the environment before its time, if somebody did.
    pub locked_by: Option<PersonId>,
    /// Whether a person wants the environment given back before its time.
    pub gives_up: bool,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// The freeze that keeps it from its environment.
    pub freeze: Option<Frozen>,
    /// The freezes in spite of which it goes on.
    pub overridden: Vec<Overridden>,
    /// Why it takes its environment over, until it has it.
    pub takeover: Option<String>,
    /// The card's message in every room, on every platform that the room is on.
    #[serde(with = "cards")]
    pub cards: BTreeMap<Venue, String>,
    /// The change of the runbook that waits for a second person.
    pub amendment: Option<Proposed>,
    /// The changes of the runbook that two agreed on.
    pub amendments: Vec<Amended>,
    /// Notes left.
    pub notes: Vec<Note>,
    /// The sequence of the last event.
    pub sequence: u64,
    /// When that was.
    pub last_at: DateTime<Utc>,
    /// The newest events that people care about, oldest first.
    pub newest: VecDeque<(u64, Recorded)>,
    recent: Recent,
    #[serde(skip)]
    quiet: Quiet,
}

/// A reason that somebody gave for something out of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The reason.
    pub reason: String,
    /// Who gave it.
    pub by: Option<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why nothing new starts by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: DateTime<Utc>,
    /// By whom, if by a person.
    pub by: Option<PersonId>,
    /// Why, where T-minus held it itself.
    pub reason: Option<String>,
    /// Whether it is held with the rollout whose checklist it is, and goes on with that.
    pub with_parent: bool,
}

/// Whether a rollout has its environment to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvironmentStage {
    /// It does not need it yet.
    NotNeeded,
    /// It waits for it.
    Claimed,
    /// It has it.
    Held,
    /// It gave it back.
    Released,
}

/// A freeze in spite of which a rollout goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// Which.
    pub freeze: Frozen,
    /// Who said so.
    pub by: Option<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// By whom.
    pub by: Option<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Its text.
    pub text: String,
    /// What it is about.
    pub kind: NoteKind,
}

impl State {
    /// The state after a rollout's first event, which must be [`Event::Started`] with a runbook that holds together.
    #[must_use]
    pub fn begin(recorded: &Recorded) -> Option<Self> {
        let Event::Started(started) = &recorded.event else { return None };
        if !started.runbook.holds_together() {
            return None;
        }
        let Started { id, number, house, title, rooms, link, clock, values, runbook, parent, shift_seconds, rehearsal } =
            (**started).clone();
        let is_root = parent.is_none();
        let mut state = Self {
            id,
            number,
            house,
            title,
            link,
            rooms,
            parent,
            parent_told: None,
            whole_sequence: 0,
            course: Vec::new(),
            informed: false,
            // A checklist begins when its time has come, whoever owns it.
            acted: recorded.by.clone().filter(|_| is_root).map(|by| (by, recorded.at)),
            clock,
            shift_seconds,
            starter: recorded.by.clone(),
            started: recorded.at,
            values,
            phases: vec![PhaseState::Waiting; runbook.phases.len()],
            steps: vec![StepState::new(); runbook.steps.len()],
            announcements: Vec::new(),
            under_way: BTreeSet::new(),
            generation: 0,
            held: None,
            result: None,
            aborted: None,
            ended: None,
            owner: None,
            released: BTreeSet::new(),
            backed_off: BTreeSet::new(),
            environment: EnvironmentStage::NotNeeded,
            rehearsal,
            locked_by: None,
            gives_up: false,
            freeze: None,
            overridden: Vec::new(),
            takeover: None,
            cards: BTreeMap::new(),
            amendment: None,
            amendments: Vec::new(),
            notes: Vec::new(),
            sequence: 1,
            last_at: recorded.at,
            newest: VecDeque::new(),
            recent: Recent::default(),
            quiet: Quiet::default(),
            runbook: Arc::new(runbook),
        };
        state.recent.note(&recorded.command, 1, recorded.at);
        Some(state)
    }

    /// Whether this attempt of a step's action is under way as far as is known.
    #[must_use]
    pub fn awaits(&self, step: usize, attempt: u32) -> bool {
        let step = self.steps.get(step).filter(|step| step.is_under_way());
        step.and_then(|step| step.action.as_ref()).is_some_and(|action| action.attempt == attempt)
    }

    /// Whether a check of a `wait` is wanted, made for these generations of the step and of the rollout.
    #[must_use]
    pub fn checks(&self, step: usize, generation: (u32, u32)) -> bool {
        let step = self.steps.get(step).filter(|step| matches!(step.status, StepStatus::Open { .. }));
        self.held.is_none() && step.is_some_and(|step| (step.generation, self.generation) == generation)
    }

    /// Forgets the commands that came before a moment of the machine's clock: nobody sends those again.
    pub fn forget_commands_before(&mut self, real_at: DateTime<Utc>) {
        self.recent.forget_before(real_at);
    }

    /// The events a command became, if it was applied before: first and last sequence.
    #[must_use]
    pub fn events_of(&self, command: &CommandId) -> Option<(u64, u64)> {
        self.recent.events_of(command)
    }

    /// A moment that is not before the last event: time never runs backwards in a stream.
    #[must_use]
    pub fn not_before(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.max(self.last_at)
    }

    /// T-0 and the window around it, if it is known.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        let name = &self.runbook.window_input()?.field.name;
        match self.values.get(name) {
            Some(FieldValue::Window(window)) => Some(*window),
            _ => None,
        }
    }

    /// An announcement by the sequence of the event that issued it.
    #[must_use]
    pub fn announcement(&self, sequence: u64) -> Option<&Announcement> {
        self.announcements.get(self.place_of(sequence)?)
    }

    /// Where an announcement stands: they are in the order of their sequences.
    fn place_of(&self, sequence: u64) -> Option<usize> {
        self.announcements.binary_search_by_key(&sequence, |announcement| announcement.sequence).ok()
    }

    /// When a phase opens by its time, if it has one that is known.
    #[must_use]
    pub fn due_of_phase(&self, phase: usize) -> Option<DateTime<Utc>> {
        self.runbook.phases.get(phase)?.at.as_ref()?.moment(self.window()?.starts, self.runbook.timezone)
    }

    /// The definition and the state of a step.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<(&Step, &StepState)> {
        Some((self.runbook.steps.get(index)?, self.steps.get(index)?))
    }

    /// The open and failed steps, in the order of the runbook.
    pub fn open_steps(&self) -> impl Iterator<Item = (usize, &Step, &StepState)> {
        self.ordered_steps()
            .filter_map(|index| self.step(index).map(|(step, state)| (index, step, state)))
            .filter(|(_, _, s)| s.status.is_open())
    }

    /// All steps in the order people see: a phase's intake before its steps, what lives beside them last.
    pub fn ordered_steps(&self) -> impl Iterator<Item = usize> {
        (0..self.runbook.phases.len()).flat_map(|phase| self.runbook.steps_of(phase))
    }

    /// The phase that is open now, or else the next one; the last one at the end.
    #[must_use]
    pub fn current_phase(&self) -> usize {
        let open = self.phases.iter().position(|phase| matches!(phase, PhaseState::Open { .. }));
        let next = || self.phases.iter().position(|phase| !phase.is_settled());
        open.or_else(next).unwrap_or(self.phases.len().saturating_sub(1))
    }

    /// Whether the environment is not needed any more: a result is recorded and nothing is under way.
    #[must_use]
    pub fn may_release(&self) -> bool {
        let runs = |step: &StepState| step.is_under_way() || step.child.as_ref().is_some_and(|child| !child.settled);
        self.result.is_some() && !self.steps.iter().any(runs)
    }

    /// Whether it has begun what it holds its environment for: the phase from which on it is held has opened.
    #[must_use]
    pub fn has_begun_in_environment(&self) -> bool {
        let begun = |phase: &PhaseState| matches!(phase, PhaseState::Open { .. } | PhaseState::Settled { .. });
        let from = self.runbook.lock_from.unwrap_or(self.phases.len());
        self.phases.iter().skip(from).any(begun)
    }

    /// Whether it waits for an environment that it still needs.
    #[must_use]
    pub fn wants_environment(&self) -> bool {
        self.environment == EnvironmentStage::Claimed && !self.gives_up && !self.may_release()
    }

    /// Whether it goes on in spite of a freeze: of this one, this time.
    #[must_use]
    pub fn overrides(&self, freeze: &Frozen) -> bool {
        self.overridden.iter().any(|known| known.freeze.is_same(freeze))
    }

    /// Whether it lost an environment that it needs for what is open: nothing goes on before it has it again.
    #[must_use]
    pub fn lacks_environment(&self) -> bool {
        let needs = |phase: usize| self.runbook.lock_from.is_some_and(|from| phase >= from);
        let open = |phase: usize| matches!(self.phases[phase], PhaseState::Open { .. });
        self.environment == EnvironmentStage::Claimed
            && self.result.is_none()
            && (0..self.phases.len()).any(|phase| needs(phase) && open(phase))
    }

    /// Names of a runbook as people: its roles, teams, persons, and inputs of type people. In order, each once.
    #[must_use]
    pub fn resolve(&self, names: &[String], directory: &Directory) -> Vec<PersonId> {
        let mut people = Vec::new();
        self.resolve_into(names, directory, ROLE_DEPTH_MAX, &mut people);
        let mut seen = BTreeSet::new();
        people.retain(|person| seen.insert(person.clone()));
        people
    }

    fn resolve_into(&self, names: &[String], directory: &Directory, depth: usize, people: &mut Vec<PersonId>) {
        let Some(depth) = depth.checked_sub(1) else { return };
        for name in names {
            if name == "owner" && self.owner.is_some() {
                people.extend(self.owner.clone());
            } else if let Some(members) = self.runbook.people.get(name).filter(|members| *members != names) {
                self.resolve_into(members, directory, depth, people);
            } else if let Some(FieldValue::People(members)) = self.values.get(name) {
                people.extend(members.iter().cloned());
            } else if let Some(members) = directory.team(name) {
                people.extend(members.iter().cloned());
            } else if directory.person(&PersonId::new(name)).is_some() {
                people.push(PersonId::new(name));
            } else if directory.people().any(|person| person.roles.contains(name)) {
                people.extend(directory.people().filter(|person| person.roles.contains(name)).map(|person| person.id.clone()));
            } else if name == "owner" {
                people.extend(self.starter.clone());
            }
        }
    }

    /// Who owns the rollout: the role `owner`, or else who started it.
    #[must_use]
    pub fn owners(&self, directory: &Directory) -> Vec<PersonId> {
        if let Some(owner) = &self.owner {
            return vec![owner.clone()];
        }
        let owners = self.resolve(&["owner".to_owned()], directory);
        if owners.is_empty() { self.starter.iter().cloned().collect() } else { owners }
    }

    /// A text of the runbook with the values filled in; its own words where that fails.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        template::render(text, Landing::Plain, &super::scope::scope(self, self.last_at)).unwrap_or_else(|_| text.to_owned())
    }

    /// The sentence of a step.
    #[must_use]
    pub fn step_title(&self, index: usize) -> String {
        self.runbook.steps.get(index).map(|step| self.fill_for(index, &step.title)).unwrap_or_default()
    }

    /// A text of a step with the values filled in; `each` is the step's own item.
    #[must_use]
    pub fn fill_for(&self, step: usize, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let scope = super::scope::scope_of_step(self, step, self.last_at);
        template::render(text, Landing::Plain, &scope).unwrap_or_else(|_| text.to_owned())
    }

    /// The title of a phase.
    #[must_use]
    pub fn phase_title(&self, index: usize) -> String {
        self.runbook.phases.get(index).map(|phase| self.fill(&phase.title)).unwrap_or_default()
    }

    /// What stands in a field until someone changes it: its input's value, or its default filled in.
    #[must_use]
    pub fn prefill(&self, step: usize, field: &crate::domain::conversation::form::Field) -> Option<String> {
        // What was recorded before a reopening stands there still.
        if let Some(value) = self.steps.get(step)?.fields.get(&field.name) {
            return Some(value.said(self.runbook.timezone, &|id| id.to_string()));
        }
        let sets = match &self.runbook.steps.get(step)?.kind {
            StepKind::Ask { sets, .. } => sets.get(&field.name),
            _ => None,
        };
        let known =
            sets.and_then(|input| self.values.get(input)).map(|value| value.said(self.runbook.timezone, &|id| id.to_string()));
        known
            .or_else(|| field.default.as_ref().map(|default| self.fill_for(step, default)))
            .filter(|text| !text.trim().is_empty())
    }

    /// The inputs as text.
    #[must_use]
    pub fn values_as_text(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, value)| (name.clone(), value.said(self.runbook.timezone, &|id| id.to_string()))).collect()
    }

    /// What reading a form needs to know.
    #[must_use]
    pub fn reading<'a>(&self, at: DateTime<Utc>, people: &'a Directory) -> Reading<'a> {
        Reading { zone: self.runbook.timezone, now: at, people }
    }
}
