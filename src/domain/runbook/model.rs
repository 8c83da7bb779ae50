//! The validated runbook. What is in here has been checked: references resolve, templates compile, ids are unique.
//!
//! It is frozen into a rollout's first event, so its serialised form is read back for as long as journals live:
//! new parts get a `#[serde(default)]`.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::Field;
use crate::domain::time::{Offset, Takes};

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

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its id: `pre_flight`.
    pub id: String,
    /// Its title; a template.
    pub title: String,
    /// When it opens; without a time, when the phases before it are settled.
    pub at: Option<Offset>,
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

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id: `go_call`.
    pub id: String,
    /// The phase it belongs to.
    pub phase: usize,
    /// The sentence people read; a template.
    pub title: String,
    /// Whether it applies; an expression.
    pub condition: Option<String>,
    /// Who does it: names as in [`Runbook::people`]. Empty: the owner.
    pub who: Vec<String>,
    /// Shown on demand; a template.
    pub help: Option<String>,
    /// How long it usually takes.
    pub takes: Option<Takes>,
    /// What kind of step it is.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum StepKind {
    /// Posts an announcement.
    Announce {
        /// Its template.
        message: String,
        /// The audiences it goes to.
        to: Vec<String>,
    },
    /// Everybody on the roster acknowledges.
    Acknowledge {
        /// The groups that form the roster.
        from: Vec<String>,
    },
    /// A person does something.
    Task {
        /// What belongs to it; templates.
        items: Vec<String>,
        /// What is recorded with it.
        evidence: Vec<Field>,
    },
    /// A person answers something.
    Ask {
        /// The fields of the answer.
        fields: Vec<Field>,
        /// The inputs that the answer writes: field name to input name.
        sets: BTreeMap<String, String>,
    },
    /// A system does something.
    Run {
        /// The configured system.
        system: String,
        /// One of its operations.
        operation: String,
        /// The operation's inputs; texts in it are templates.
        with: serde_json::Value,
        /// Who presses Run; without, it runs by itself.
        press: Option<Vec<String>>,
        /// When to stop waiting for its end, in seconds.
        timeout_seconds: Option<i64>,
        /// What must hold of its outputs.
        require: Vec<Requirement>,
    },
    /// Voters decide.
    Decide {
        /// Who votes.
        voters: Vec<String>,
        /// When it is decided.
        rule: Rule,
        /// The steps whose results are shown with it.
        evidence: Vec<usize>,
        /// The announcement posted with the decision.
        notice: Option<String>,
        /// The audiences it goes to.
        to: Vec<String>,
    },
    /// Records the result of the rollout.
    Result {
        /// Which.
        result: Outcome,
    },
}

impl StepKind {
    /// The fields that are filled in with it.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Task { evidence, .. } => evidence,
            Self::Ask { fields, .. } => fields,
            _ => &[],
        }
    }

    /// The key that names the kind in a runbook.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Announce { .. } => "announce",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Task { .. } => "task",
            Self::Ask { .. } => "ask",
            Self::Run { .. } => "run",
            Self::Decide { .. } => "decide",
            Self::Result { .. } => "result",
        }
    }
}

/// Something that must hold of an action's outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The expression; `outputs` is what came out.
    pub that: String,
    /// What is said when it does not hold; a template.
    pub otherwise: String,
}

/// When a decision is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The first vote decides.
    Any,
    /// More than half of all voters.
    Majority,
    /// Everybody.
    Unanimous,
    /// At least so many.
    AtLeast(usize),
}

impl Rule {
    /// How many must say GO among so many voters.
    #[must_use]
    pub const fn needed(self, voters: usize) -> usize {
        match self {
            Self::Any => 1,
            Self::Majority => voters / 2 + 1,
            Self::Unanimous => voters,
            Self::AtLeast(number) => number,
        }
    }

    /// The rule in words.
    #[must_use]
    pub fn in_words(self, voters: usize) -> String {
        match self {
            Self::Any => "the first vote decides".to_owned(),
            Self::Unanimous if voters == 1 => "one voter decides".to_owned(),
            Self::Unanimous => format!("all {voters} must say GO; one NO-GO stops it"),
            Self::Majority | Self::AtLeast(_) => {
                format!("{} of {voters} must say GO; it is NO-GO once that can't be reached", self.needed(voters))
            }
        }
    }
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

    /// The input that holds the window, if the runbook has one.
    #[must_use]
    pub fn window_input(&self) -> Option<&Input> {
        self.inputs.iter().find(|input| matches!(input.field.kind, crate::domain::conversation::form::FieldKind::Window))
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn rules_in_figures_and_words() {
        for (rule, voters, needed) in
            [(Rule::Any, 3, 1), (Rule::Majority, 3, 2), (Rule::Majority, 4, 3), (Rule::Unanimous, 3, 3), (Rule::AtLeast(2), 5, 2)]
        {
            assert_eq!(rule.needed(voters), needed, "{rule:?} of {voters}");
        }
        assert_eq!(Rule::Unanimous.in_words(3), "all 3 must say GO; one NO-GO stops it");
    }
}
