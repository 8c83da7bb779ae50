//! The validated runbook. What is in here has been checked: references resolve, templates compile, ids are unique.
//!
//! It is frozen into a rollout's first event, so its serialised form is read back for as long as journals live:
//! new parts get a `#[serde(default)]`.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::Field;
use crate::domain::runbook::names::is_reserved;
use crate::domain::time::{Offset, local_moment};

pub use super::step::{Bad, Call, Due, Requirement, Rule, Step, StepKind, Wait};

/// The definition of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runbook {
    /// Its name: `andromeda-staging`.
    pub name: String,
    /// The title; a template over the inputs.
    pub title: String,
    /// What one rollout at a time may hold: `andromeda/staging`.
    pub environment: Option<String>,
    /// In which zone times are read and said.
    pub timezone: Tz,
    /// What is asked before and during a rollout.
    pub inputs: Vec<Input>,
    /// Roles of this runbook, and who has them: names of people, teams, other roles, or inputs of type people.
    pub people: BTreeMap<String, Vec<String>>,
    /// Who is told, not asked.
    pub cc: Vec<String>,
    /// The rooms that host it. Empty: the room it is started in.
    pub rooms: Vec<String>,
    /// Where announcements go.
    pub audiences: BTreeMap<String, Vec<Address>>,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// All steps; phases point into it. The index of a step is stable: buttons carry it.
    pub steps: Vec<Step>,
    /// The first phase that needs the environment to itself.
    pub lock_from: Option<usize>,
    /// The announcements that it uses, frozen with it.
    pub messages: BTreeMap<String, MessageTemplate>,
    /// The runbooks of its checklists, frozen with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<String, Self>,
    /// What has to be answered before a phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Question>,
    /// Who may do what.
    #[serde(default)]
    pub may: May,
    /// From how far a move of T-0 on, in seconds, what was given for the old time is asked again.
    #[serde(default = "re_ask_default")]
    pub re_ask_seconds: i64,
}

/// An hour: people who agreed to two o'clock have not agreed to four.
const fn re_ask_default() -> i64 {
    3600
}

/// An open question of the runbook's author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question.
    pub question: String,
    /// Who should know.
    pub who: Vec<String>,
    /// The phase before which it should be answered.
    pub before: Option<usize>,
}

/// Who may do what with a rollout: names as in [`Runbook::people`], or roles of the installation. Empty: the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct May {
    /// Start it. Default: anybody known.
    pub start: Vec<String>,
    /// Press Run where the step says nothing. Default: the owner.
    pub run: Vec<String>,
    /// Be the second person for what takes two. Default: anybody known.
    pub second: Vec<String>,
    /// Waive. Default: the owner.
    pub waive: Vec<String>,
    /// Abort. Default: the owner.
    pub abort: Vec<String>,
    /// Take an environment over. Default: the owner.
    pub take_over: Vec<String>,
    /// Let it go on in a freeze, beside those whom the freeze names. Default: nobody.
    #[serde(rename = "override")]
    pub override_freeze: Vec<String>,
}

/// An input: a field that belongs to the rollout as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name, label, type.
    pub field: Field,
    /// Whether the word after `/rollout start` is this input.
    pub positional: bool,
    /// Whether it may be empty at the start and may change later.
    pub tentative: bool,
    /// The phase that does not open without it.
    pub needed_by: Option<usize>,
}

impl Input {
    /// Whether a rollout cannot start without it.
    #[must_use]
    pub fn required_at_start(&self) -> bool {
        self.field.required && !self.tentative && self.needed_by.is_none()
    }
}

/// A place announcements go to, by the name it has in the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// On which platform.
    pub platform: Platform,
    /// Its name there: `andromeda-preproduction-watch`.
    pub name: String,
    /// Whether the announcement is not done without it.
    #[serde(default)]
    pub must: bool,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.platform.name(), self.name)
    }
}

/// A room on one of its platforms: where a card stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Venue {
    /// On which platform.
    pub platform: Platform,
    /// The room's name in the settings: `andromeda-rollouts`.
    pub room: String,
}

impl std::fmt::Display for Venue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.platform.name(), self.room)
    }
}

/// Where people can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// A Slack channel.
    Slack,
    /// A Telegram chat.
    Telegram,
    /// E-mail addresses.
    Email,
    /// A room T-minus keeps itself.
    Local,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slack, Self::Telegram, Self::Email, Self::Local];

    /// As runbooks write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Telegram => "telegram",
            Self::Email => "email",
            Self::Local => "local",
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Slack => "Slack",
            Self::Telegram => "Telegram",
            Self::Email => "E-mail",
            Self::Local => "Local room",
        }
    }
}

/// One announcement: Markdown with front matter, not yet rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTemplate {
    /// The subject where the platform has one; a template.
    pub subject: Option<String>,
    /// Whether everybody in the channel is pinged.
    pub must_know: bool,
    /// The Markdown; a template.
    pub body: String,
}

/// When a phase opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseTime {
    /// So far from T-0.
    Window(Offset),
    /// At a time of a named day, in the runbook's zone.
    Day {
        /// Its name: `Day 2`.
        day: String,
        /// How far from T-0 the day is; none where a person says when it begins.
        from: Option<Offset>,
        /// The time of that day.
        time: NaiveTime,
    },
}

impl PhaseTime {
    /// The moment, if it is known.
    #[must_use]
    pub fn moment(&self, t0: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Window(offset) => Some(offset.from(t0)),
            Self::Day { from, time, .. } => {
                let date = (*from)?.from(t0).with_timezone(&zone).date_naive();
                Some(local_moment(date.and_time(*time), zone))
            }
        }
    }

    /// Whether only a person says when it comes.
    #[must_use]
    pub const fn is_manual(&self) -> bool {
        matches!(self, Self::Day { from: None, .. })
    }
}

impl std::fmt::Display for PhaseTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Window(offset) => offset.fmt(f),
            Self::Day { day, time, .. } => write!(f, "{day} {}", time.format("%H:%M")),
        }
    }
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its id: `pre_flight`.
    pub id: String,
    /// Its title; a template.
    pub title: String,
    /// When it opens; without a time, when the phases before it are settled.
    pub at: Option<PhaseTime>,
    /// Who opens it, where a person does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Vec<String>>,
    /// The phase that **Back off** leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_off: Option<usize>,
    /// The steps that live while it is open and hold up nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub during: Vec<usize>,
    /// Whether its tasks may be ticked as already done before it opens.
    #[serde(default)]
    pub offer_done: bool,
    /// The phases that must be settled first.
    pub after: Vec<usize>,
    /// Whether it applies; an expression.
    pub condition: Option<String>,
    /// Whether its steps open all at once.
    pub parallel: bool,
    /// Whether it runs after any result, an abort included.
    pub always: bool,
    /// Shown on demand; a template.
    pub help: Option<String>,
    /// The step that collects the inputs this phase needs; it opens when the phases before are settled.
    pub intake: Option<usize>,
    /// Its steps, in order, without the intake.
    pub steps: Vec<usize>,
}

/// How a rollout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it was for.
    Succeeded,
    /// It did not.
    Failed,
    /// The decision was not to.
    NoGo,
    /// A person stopped it.
    Aborted,
}

impl Outcome {
    /// As expressions and the API write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NoGo => "no-go",
            Self::Aborted => "aborted",
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::NoGo => "NO-GO",
            Self::Aborted => "ABORTED",
        }
    }
}

impl Runbook {
    /// The index of a step by its id.
    #[must_use]
    pub fn step_index(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }

    /// Whether an id means nothing yet: phases, steps, inputs and what is worked out share one namespace.
    #[must_use]
    pub fn is_free(&self, id: &str) -> bool {
        let worked_out = |step: &Step| matches!(&step.kind, StepKind::Let { name, .. } if name == id);
        !self.steps.iter().any(|step| step.base_id() == id || worked_out(step))
            && !self.phases.iter().any(|phase| phase.id == id)
            && !self.inputs.iter().any(|input| input.field.name == id)
            && !is_reserved(id)
    }

    /// Whether phases and steps lead to each other and to nothing else. What was checked does; what is read back from a journal need not.
    #[must_use]
    pub fn holds_together(&self) -> bool {
        let is_phase = |phase: &usize| *phase < self.phases.len();
        let is_step = |step: &usize| *step < self.steps.len();
        let phases = self.phases.iter().flat_map(|phase| phase.after.iter().chain(&phase.back_off));
        let of_phases = self.phases.iter().flat_map(|phase| phase.steps.iter().chain(&phase.during).chain(&phase.intake));
        let asked = self.inputs.iter().filter_map(|input| input.needed_by.as_ref());
        let noted = self.notes.iter().filter_map(|note| note.before.as_ref());
        let of_steps = self.steps.iter().map(|step| &step.phase);
        let evidence = self.steps.iter().flat_map(|step| match &step.kind {
            StepKind::Decide { evidence, .. } => &evidence[..],
            _ => &[],
        });
        phases.chain(asked).chain(noted).chain(of_steps).chain(&self.lock_from).all(is_phase)
            && of_phases.chain(evidence).all(is_step)
            && self.children.values().all(Self::holds_together)
    }

    /// The steps of a phase in the order people see: what it needs first, then its steps, then what lives beside them.
    pub fn steps_of(&self, phase: usize) -> impl Iterator<Item = usize> + use<> {
        let phase = self.phases.get(phase);
        let steps: Vec<usize> = phase
            .into_iter()
            .flat_map(|phase| phase.intake.into_iter().chain(phase.steps.iter().copied()).chain(phase.during.iter().copied()))
            .collect();
        steps.into_iter()
    }

    /// The input that holds the window, if the runbook has one.
    #[must_use]
    pub fn window_input(&self) -> Option<&Input> {
        self.inputs.iter().find(|input| matches!(input.field.kind, crate::domain::conversation::form::FieldKind::Window))
    }
}
