//! The state of one rollout, and how every event changes it. Live and replay both come through here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::conversation::form::{FieldValue, Reading, Window};
use crate::domain::message::template::{self, Landing};
use crate::domain::people::{Directory, PersonId};
use crate::domain::runbook::model::{Address, Outcome, Runbook, Step, StepKind, Venue};

use super::command::{CommandId, RolloutId};
use super::event::{ActionOutcome, Choice, ClockKind, DeliveryOutcome, Event, PassedOver, Recorded, Started};

/// How many commands are remembered, so that a second arrival is recognised.
pub const RECENT_COMMANDS_MAX: usize = 4096;
/// How long they are remembered: longer than any platform redelivers.
const RECENT_HOURS_MAX: i64 = 24;
/// How many events the card may show, and some more.
const NEWEST_MAX: usize = 8;
/// How deep roles may refer to roles.
const ROLE_DEPTH_MAX: usize = 8;

/// Everything known of one rollout.
#[derive(Clone, Debug, PartialEq)]
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
    /// Rises whenever the rollout's own buttons must not count any more.
    pub generation: u32,
    /// Whether it is held.
    pub held: Option<Held>,
    /// Its result, once recorded.
    pub result: Option<Outcome>,
    /// Why it was aborted.
    pub aborted: Option<String>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// Whether it has its environment.
    pub environment: EnvironmentStage,
    /// The card's message in every room, on every platform that the room is on.
    pub cards: BTreeMap<Venue, String>,
    /// Notes left.
    pub notes: Vec<Note>,
    /// The sequence of the last event.
    pub sequence: u64,
    /// When that was.
    pub last_at: DateTime<Utc>,
    /// The newest events that people care about, oldest first.
    pub newest: VecDeque<(u64, Recorded)>,
    recent: Recent,
}

/// Where a phase stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhaseState {
    /// Not open yet.
    Waiting,
    /// Open.
    Open {
        /// Since when.
        since: DateTime<Utc>,
        /// How late it opened, where that matters.
        late_seconds: i64,
    },
    /// Everything in it is settled.
    Settled {
        /// When it opened.
        since: DateTime<Utc>,
        /// How late it had opened, where that matters.
        late_seconds: i64,
        /// When it was settled.
        at: DateTime<Utc>,
    },
    /// Passed over.
    PassedOver(PassedOver),
}

impl PhaseState {
    /// Whether phases after it may open.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. } | Self::PassedOver(_))
    }
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// Its turn has not come.
    Pending,
    /// It is its turn.
    Open {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// It can't go on by itself.
    Failed {
        /// Since when it was open.
        since: DateTime<Utc>,
        /// Why.
        reason: String,
        /// Whether nobody knows what became of it.
        unknown: bool,
    },
    /// It is done.
    Done {
        /// Since when it was open.
        since: DateTime<Utc>,
        /// When.
        at: DateTime<Utc>,
        /// By whom, if by a person.
        by: Option<PersonId>,
    },
    /// Passed over.
    PassedOver(PassedOver),
}

impl StepStatus {
    /// Whether the next step may open.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::PassedOver(_))
    }

    /// Whether it is its turn and it is not over.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Failed { .. })
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// Rises whenever buttons made before must not count any more.
    pub generation: u32,
    /// Who is meant, resolved when it opened.
    pub people: Vec<PersonId>,
    /// Whether a person confirms it first although it would run by itself.
    pub confirm: bool,
    /// Who acknowledged, and when.
    pub acknowledged: BTreeMap<PersonId, DateTime<Utc>>,
    /// Who listens without having to acknowledge.
    pub listeners: BTreeSet<PersonId>,
    /// The items ticked, by whom and when.
    pub ticked: BTreeMap<usize, (Option<PersonId>, DateTime<Utc>)>,
    /// Evidence and answers.
    pub fields: BTreeMap<String, FieldValue>,
    /// What an action gave.
    pub outputs: serde_json::Map<String, serde_json::Value>,
    /// The votes.
    pub votes: BTreeMap<PersonId, Vote>,
    /// What the decision will be, and when it is taken.
    pub settling: Option<(Choice, DateTime<Utc>)>,
    /// What was decided.
    pub decision: Option<Choice>,
    /// The action under way.
    pub action: Option<ActionState>,
}

impl StepState {
    fn new() -> Self {
        Self {
            status: StepStatus::Pending,
            generation: 1,
            people: Vec::new(),
            confirm: false,
            acknowledged: BTreeMap::new(),
            listeners: BTreeSet::new(),
            ticked: BTreeMap::new(),
            fields: BTreeMap::new(),
            outputs: serde_json::Map::new(),
            votes: BTreeMap::new(),
            settling: None,
            decision: None,
            action: None,
        }
    }

    /// Who is still awaited to acknowledge or to vote.
    pub fn awaited(&self) -> impl Iterator<Item = &PersonId> {
        self.people.iter().filter(|person| !self.acknowledged.contains_key(person) && !self.votes.contains_key(person))
    }

    /// Whether an action is wanted or being done right now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_under_way() || self.action.as_ref().is_some_and(|action| action.stage == ActionStage::Requested)
    }

    /// Whether an adapter was or may have been called and no end is known: also after an abort, which ends no action.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.action.as_ref().is_some_and(|action| matches!(action.stage, ActionStage::Attempted { .. }))
    }
}

/// One vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// GO or NO-GO.
    pub choice: Choice,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The sequence of the person's first vote: where it stands among the others.
    pub order: u64,
}

/// One action of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionState {
    /// The sequence of the event that wants it: part of its identity.
    pub sequence: u64,
    /// Which attempt.
    pub attempt: u32,
    /// Its inputs, filled in.
    pub inputs: serde_json::Value,
    /// How far it is.
    pub stage: ActionStage,
    /// When it was wanted.
    pub requested: DateTime<Utc>,
    /// When its adapter was about to be called.
    pub begun: Option<DateTime<Utc>>,
}

/// How far an action is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionStage {
    /// It is wanted; no adapter was called.
    Requested,
    /// The adapter was about to be called: whether it was is for the adapter to find out.
    Attempted {
        /// When.
        at: DateTime<Utc>,
    },
    /// It ended.
    Ended {
        /// When.
        at: DateTime<Utc>,
    },
}

/// One announcement with its ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The sequence of the event that issued it: part of its deliveries' identities.
    pub sequence: u64,
    /// The step it belongs to.
    pub step: usize,
    /// Its template.
    pub message: String,
    /// Its subject.
    pub subject: Option<String>,
    /// Its Markdown.
    pub text: String,
    /// Whether everybody there is pinged.
    pub must_know: bool,
    /// When it was issued.
    pub issued: DateTime<Utc>,
    /// Where it goes.
    pub destinations: Vec<Destination>,
}

impl Announcement {
    /// Whether every destination has an outcome.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.destinations.iter().all(|destination| destination.outcome.is_some())
    }

    /// The destinations that did not get it.
    pub fn failed(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|d| matches!(d.outcome, Some(DeliveryOutcome::Failed { .. })))
    }
}

/// One destination of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub address: Address,
    /// Which attempt counts.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Option<DeliveryOutcome>,
}

/// Why nothing new starts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Since when.
    pub since: DateTime<Utc>,
    /// By whom, if by a person.
    pub by: Option<PersonId>,
    /// Why, where T-minus held it itself.
    pub reason: Option<String>,
}

/// Whether a rollout has its environment to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// By whom.
    pub by: Option<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Its text.
    pub text: String,
}

/// The commands of the last day and which events they became.
#[derive(Clone, Debug, Default, PartialEq)]
struct Recent {
    events: HashMap<CommandId, (u64, u64)>,
    order: VecDeque<(DateTime<Utc>, CommandId)>,
}

impl Recent {
    fn note(&mut self, command: &CommandId, sequence: u64, real_at: DateTime<Utc>) {
        if let Some((_, last)) = self.events.get_mut(command) {
            *last = sequence;
            return;
        }
        self.events.insert(command.clone(), (sequence, sequence));
        self.order.push_back((real_at, command.clone()));
        let oldest_kept = real_at - TimeDelta::hours(RECENT_HOURS_MAX);
        while self.order.len() > RECENT_COMMANDS_MAX || self.order.front().is_some_and(|(at, _)| *at < oldest_kept) {
            if let Some((_, forgotten)) = self.order.pop_front() {
                self.events.remove(&forgotten);
            }
        }
    }
}

impl State {
    /// The state after a rollout's first event, which must be [`Event::Started`].
    #[must_use]
    pub fn begin(recorded: &Recorded) -> Option<Self> {
        let Event::Started(started) = &recorded.event else { return None };
        let Started { id, number, house, title, rooms, link, clock, values, runbook } = (**started).clone();
        let mut state = Self {
            id,
            number,
            house,
            title,
            link,
            rooms,
            clock,
            shift_seconds: 0,
            starter: recorded.by.clone(),
            started: recorded.at,
            values,
            phases: vec![PhaseState::Waiting; runbook.phases.len()],
            steps: vec![StepState::new(); runbook.steps.len()],
            announcements: Vec::new(),
            generation: 0,
            held: None,
            result: None,
            aborted: None,
            ended: None,
            environment: EnvironmentStage::NotNeeded,
            cards: BTreeMap::new(),
            notes: Vec::new(),
            sequence: 1,
            last_at: recorded.at,
            newest: VecDeque::new(),
            recent: Recent::default(),
            runbook: Arc::new(runbook),
        };
        state.recent.note(&recorded.command, 1, recorded.at);
        Some(state)
    }

    /// What one event changes. Events that do not fit the state change nothing but its sequence: `decide` never makes
    /// them, and a journal that holds one is still readable.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.sequence += 1;
        self.last_at = recorded.at;
        let real_at = recorded.at - TimeDelta::seconds(self.shift_seconds);
        self.recent.note(&recorded.command, self.sequence, real_at);
        let (at, by, sequence) = (recorded.at, &recorded.by, self.sequence);
        match &recorded.event {
            Event::Started(_) | Event::ReceiptCameLate { .. } => {}
            Event::ClockAdvanced { seconds } => self.shift_seconds += seconds,
            Event::InputSet { input, value } => drop(self.values.insert(input.clone(), value.clone())),
            Event::PhaseOpened { phase, late_seconds } => {
                self.set_phase(*phase, PhaseState::Open { since: at, late_seconds: *late_seconds });
            }
            Event::PhaseSettled { phase } => {
                let (since, late_seconds) = match self.phases.get(*phase) {
                    Some(PhaseState::Open { since, late_seconds }) => (*since, *late_seconds),
                    _ => (at, 0),
                };
                self.set_phase(*phase, PhaseState::Settled { since, late_seconds, at });
            }
            Event::PhasePassedOver { phase, why } => self.set_phase(*phase, PhaseState::PassedOver(*why)),
            Event::StepOpened { step, people, confirm } => self.on_step(*step, |step| {
                step.status = StepStatus::Open { since: at };
                step.people.clone_from(people);
                step.confirm = *confirm;
            }),
            Event::StepPassedOver { step, why } => self.on_step(*step, |step| step.status = StepStatus::PassedOver(*why)),
            Event::StepFailed { step, reason } => self.fail_step(*step, reason, false, at),
            Event::Acknowledged { step, .. } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    step.acknowledged.insert(person.clone(), at);
                }
            }),
            Event::Listening { step } => self.on_step(*step, |step| step.listeners.extend(by.clone())),
            Event::ItemTicked { step, item } => {
                self.on_step(*step, |step| drop(step.ticked.insert(*item, (by.clone(), at))));
            }
            Event::StepCompleted { step, fields } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                step.status = StepStatus::Done { since, at, by: by.clone() };
                step.fields.extend(fields.clone());
                step.generation += 1;
            }),
            Event::VoteCast { step, choice, reason } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    // Who voted first stays the first to have voted, however often the vote changes.
                    let order = step.votes.get(person).map_or(sequence, |vote| vote.order);
                    step.votes.insert(person.clone(), Vote { choice: *choice, reason: reason.clone(), at, order });
                }
            }),
            Event::DecisionSettling { step, choice, until } => self.on_step(*step, |s| s.settling = Some((*choice, *until))),
            Event::DecisionUnsettled { step } => self.on_step(*step, |step| step.settling = None),
            Event::DecisionTaken { step, choice } => self.on_step(*step, |step| {
                step.settling = None;
                step.decision = Some(*choice);
                step.generation += 1;
            }),
            Event::AnnouncementIssued { step, message, subject, text, must_know, to } => {
                let destinations = to.iter().cloned().map(|address| Destination { address, attempt: 1, outcome: None }).collect();
                self.announcements.push(Announcement {
                    sequence,
                    step: *step,
                    message: message.clone(),
                    subject: subject.clone(),
                    text: text.clone(),
                    must_know: *must_know,
                    issued: at,
                    destinations,
                });
            }
            Event::DeliveryEnded { announcement, slot, attempt, outcome } => {
                let found = self.announcements.iter_mut().find(|a| a.sequence == *announcement);
                if let Some(destination) = found.and_then(|a| a.destinations.get_mut(*slot))
                    && destination.attempt == *attempt
                {
                    destination.outcome = Some(outcome.clone());
                }
            }
            Event::ActionRequested { step, attempt, inputs } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                step.status = StepStatus::Open { since };
                step.confirm = false;
                step.generation += 1;
                step.action = Some(ActionState {
                    sequence,
                    attempt: *attempt,
                    inputs: inputs.clone(),
                    stage: ActionStage::Requested,
                    requested: at,
                    begun: None,
                });
            }),
            Event::ActionAttempted { step, .. } => self.on_step(*step, |step| {
                if let Some(action) = &mut step.action {
                    action.stage = ActionStage::Attempted { at };
                    action.begun = Some(at);
                }
            }),
            Event::ActionEnded { step, outcome, .. } => {
                self.on_step(*step, |step| {
                    if let Some(action) = &mut step.action {
                        action.stage = ActionStage::Ended { at };
                    }
                    if let ActionOutcome::Succeeded { outputs } = outcome {
                        step.outputs.clone_from(outputs);
                    }
                });
                match outcome {
                    ActionOutcome::Succeeded { .. } => {}
                    ActionOutcome::Failed { reason } => self.fail_step(*step, reason, false, at),
                    ActionOutcome::Unknown { reason } => self.fail_step(*step, reason, true, at),
                }
            }
            Event::ResultRecorded { result } => self.result = Some(*result),
            Event::NoteAdded { text } => self.notes.push(Note { by: by.clone(), at, text: text.clone() }),
            Event::Held { reason } => {
                self.generation += 1;
                self.held = Some(Held { since: at, by: by.clone(), reason: reason.clone() });
            }
            Event::Resumed => {
                self.generation += 1;
                self.held = None;
            }
            Event::Aborted { reason } => {
                self.generation += 1;
                self.aborted = Some(reason.clone());
                self.result = Some(Outcome::Aborted);
                self.held = None;
            }
            Event::EnvironmentClaimed => self.environment = EnvironmentStage::Claimed,
            Event::EnvironmentGranted => self.environment = EnvironmentStage::Held,
            Event::EnvironmentReleased => self.environment = EnvironmentStage::Released,
            Event::CardPosted { venue, reference } => drop(self.cards.insert(venue.clone(), reference.clone())),
            Event::Ended { result } => {
                self.result = Some(*result);
                self.ended = Some(at);
            }
        }
        let silent = matches!(
            recorded.event,
            Event::Started(_) | Event::CardPosted { .. } | Event::ActionAttempted { .. } | Event::PhaseSettled { .. }
        );
        if !silent {
            self.newest.push_back((sequence, recorded.clone()));
            if self.newest.len() > NEWEST_MAX {
                self.newest.pop_front();
            }
        }
    }

    fn set_phase(&mut self, phase: usize, status: PhaseState) {
        if let Some(slot) = self.phases.get_mut(phase) {
            *slot = status;
        }
    }

    fn on_step(&mut self, step: usize, change: impl FnOnce(&mut StepState)) {
        if let Some(step) = self.steps.get_mut(step) {
            change(step);
        }
    }

    fn fail_step(&mut self, step: usize, reason: &str, unknown: bool, at: DateTime<Utc>) {
        self.on_step(step, |step| {
            // What was passed over meanwhile stays passed over.
            if !step.status.is_open() {
                return;
            }
            let since = step.since().unwrap_or(at);
            step.status = StepStatus::Failed { since, reason: reason.to_owned(), unknown };
            step.generation += 1;
        });
    }

    /// Whether this attempt of a step's action is under way as far as is known.
    #[must_use]
    pub fn awaits(&self, step: usize, attempt: u32) -> bool {
        let step = self.steps.get(step).filter(|step| step.is_under_way());
        step.and_then(|step| step.action.as_ref()).is_some_and(|action| action.attempt == attempt)
    }

    /// The events a command became, if it was applied before: first and last sequence.
    #[must_use]
    pub fn events_of(&self, command: &CommandId) -> Option<(u64, u64)> {
        self.recent.events.get(command).copied()
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

    /// When a phase opens by its time, if it has one that is known.
    #[must_use]
    pub fn due_of_phase(&self, phase: usize) -> Option<DateTime<Utc>> {
        let offset = self.runbook.phases.get(phase)?.at?;
        Some(offset.from(self.window()?.starts))
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

    /// All steps in the order people see: a phase's intake before its steps.
    pub fn ordered_steps(&self) -> impl Iterator<Item = usize> {
        self.runbook.phases.iter().flat_map(|phase| phase.intake.into_iter().chain(phase.steps.iter().copied()))
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
        self.result.is_some() && !self.steps.iter().any(StepState::is_under_way)
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
            if let Some(members) = self.runbook.people.get(name).filter(|members| *members != names) {
                self.resolve_into(members, directory, depth, people);
            } else if let Some(FieldValue::People(members)) = self.values.get(name) {
                people.extend(members.iter().cloned());
            } else if let Some(members) = directory.team(name) {
                people.extend(members.iter().cloned());
            } else if directory.person(&PersonId::new(name)).is_some() {
                people.push(PersonId::new(name));
            } else if name == "owner" {
                people.extend(self.starter.clone());
            }
        }
    }

    /// Who owns the rollout: the role `owner`, or else who started it.
    #[must_use]
    pub fn owners(&self, directory: &Directory) -> Vec<PersonId> {
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
        self.runbook.steps.get(index).map(|step| self.fill(&step.title)).unwrap_or_default()
    }

    /// The title of a phase.
    #[must_use]
    pub fn phase_title(&self, index: usize) -> String {
        self.runbook.phases.get(index).map(|phase| self.fill(&phase.title)).unwrap_or_default()
    }

    /// What stands in a field until someone changes it: its input's value, or its default filled in.
    #[must_use]
    pub fn prefill(&self, step: usize, field: &crate::domain::conversation::form::Field) -> Option<String> {
        let sets = match &self.runbook.steps.get(step)?.kind {
            StepKind::Ask { sets, .. } => sets.get(&field.name),
            _ => None,
        };
        let known =
            sets.and_then(|input| self.values.get(input)).map(|value| value.said(self.runbook.timezone, &|id| id.to_string()));
        known.or_else(|| field.default.as_ref().map(|default| self.fill(default))).filter(|text| !text.trim().is_empty())
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

impl StepState {
    /// Since when it is or was open.
    #[must_use]
    pub const fn since(&self) -> Option<DateTime<Utc>> {
        match &self.status {
            StepStatus::Open { since } | StepStatus::Failed { since, .. } | StepStatus::Done { since, .. } => Some(*since),
            StepStatus::Pending | StepStatus::PassedOver(_) => None,
        }
    }
}
