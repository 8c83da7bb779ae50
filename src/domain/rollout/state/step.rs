//! Where a step stands, with everything recorded with it: acknowledgements, votes, evidence, its action.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::FieldValue;
use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::{Choice, PassedOver};
use crate::domain::runbook::model::Outcome;

use super::{Given, Roster};

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        /// Whether its phase was left by **Back off**: it stays failed, and holds up nothing any more.
        left: bool,
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
        matches!(self, Self::Done { .. } | Self::PassedOver(_) | Self::Failed { left: true, .. })
    }

    /// Whether it is its turn and it is not over.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Failed { left: false, .. })
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// The sequence of the event that opened it: part of the identity of its checks.
    pub opened: u64,
    /// Rises whenever buttons made before must not count any more.
    pub generation: u32,
    /// Who is meant, resolved when it opened.
    pub people: Roster,
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
    /// The votes, by the voter whose vote it is.
    pub votes: BTreeMap<PersonId, Vote>,
    /// What the decision will be, and when it is taken.
    pub settling: Option<(Choice, DateTime<Utc>)>,
    /// What was decided.
    pub decision: Option<Choice>,
    /// By whose act it opened, if it was somebody's: they know of it.
    pub opened_by: Option<PersonId>,
    /// The action under way.
    pub action: Option<ActionState>,
    /// Who of many answered, and what.
    pub answers: BTreeMap<PersonId, (BTreeMap<String, FieldValue>, DateTime<Utc>)>,
    /// Who need not acknowledge, vote or answer, and why.
    pub waived: BTreeMap<PersonId, Given>,
    /// Who wants to go on without it, and why, until a second person agrees.
    pub skip_proposed: Option<(PersonId, String)>,
    /// Why it was gone on without, and which two wanted it.
    pub skipped: Option<Skipped>,
    /// Who pressed Run first, where two have to.
    pub approved: Option<PersonId>,
    /// Who was written to about it, and when last.
    pub nudged: BTreeMap<PersonId, DateTime<Utc>>,
    /// Whether somebody was told that it is overdue.
    pub escalated: bool,
    /// What the checks of a `wait` said.
    pub checks: Checks,
    /// What a system is asked with instead of what the runbook says, by path.
    pub amended: BTreeMap<String, serde_json::Value>,
    /// The rollout that it runs as, where it is a checklist.
    pub child: Option<Child>,
}

/// A checklist that runs as a rollout of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The rollout.
    pub rollout: RolloutId,
    /// Whether it has done what the step waits for.
    pub settled: bool,
    /// How it ended, if it did.
    pub result: Option<Outcome>,
    /// Up to which event it knows what concerns the rollout as a whole.
    pub told: u64,
}

/// Why a step was gone on without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: Option<PersonId>,
    /// Who proposed it, where it took two.
    pub proposed_by: Option<PersonId>,
}

/// What the checks of a `wait` said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// How many good ones in a row.
    pub good: u32,
    /// How many changes were recorded: part of the identity of the next check.
    pub recorded: u32,
    /// What is wrong, while it is.
    pub bad: Option<String>,
}

impl StepState {
    /// Who did it, once it is done: of what a system did, whoever pressed Run.
    #[must_use]
    pub fn done_by(&self) -> Option<&PersonId> {
        let StepStatus::Done { by, .. } = &self.status else { return None };
        by.as_ref().or_else(|| self.action.as_ref()?.by.as_ref())
    }

    pub(super) fn new() -> Self {
        Self {
            status: StepStatus::Pending,
            opened: 0,
            generation: 1,
            people: Roster::default(),
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
            answers: BTreeMap::new(),
            waived: BTreeMap::new(),
            opened_by: None,
            skip_proposed: None,
            skipped: None,
            approved: None,
            nudged: BTreeMap::new(),
            escalated: false,
            checks: Checks::default(),
            amended: BTreeMap::new(),
            child: None,
        }
    }

    /// Since when it is or was open.
    #[must_use]
    pub const fn since(&self) -> Option<DateTime<Utc>> {
        match &self.status {
            StepStatus::Open { since } | StepStatus::Failed { since, .. } | StepStatus::Done { since, .. } => Some(*since),
            StepStatus::Pending | StepStatus::PassedOver(_) => None,
        }
    }

    /// Who is still awaited to acknowledge, to vote or to answer.
    pub fn awaited(&self) -> impl Iterator<Item = &PersonId> {
        self.people.iter().filter(|person| {
            !self.acknowledged.contains_key(person)
                && !self.votes.contains_key(person)
                && !self.answers.contains_key(person)
                && !self.waived.contains_key(person)
        })
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// GO or NO-GO.
    pub choice: Choice,
    /// Who cast it: the voter, or a stand-in.
    pub by: PersonId,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The sequence of the person's first vote: where it stands among the others.
    pub order: u64,
}

/// One action of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Who pressed Run, if somebody did.
    pub by: Option<PersonId>,
    /// When its adapter was about to be called.
    pub begun: Option<DateTime<Utc>>,
    /// When somebody asked to stop it.
    pub cancelled: Option<DateTime<Utc>>,
    /// How often somebody asked to look again.
    pub looked: u32,
}

/// How far an action is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
