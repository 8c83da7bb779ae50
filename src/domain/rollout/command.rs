//! What is asked of a rollout, by whom, and how it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::Window;
use crate::domain::freeze::Frozen;
use crate::domain::people::PersonId;
use crate::domain::runbook::model::{Outcome, Venue};

use super::event::{ActionOutcome, Choice, DeliveryOutcome, Fate, NoteKind};

/// The id of a rollout as people say it: `andromeda-staging-4.3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub String);

impl RolloutId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a command: the platform's own (an envelope, an update, an idempotency key), or made of an effect and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub String);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A known person.
    Person {
        /// Who.
        id: PersonId,
        /// What they may do in the installation.
        roles: BTreeSet<String>,
    },
    /// T-minus itself: a timer, a receipt.
    Engine,
}

impl Actor {
    /// The person, if it is one.
    #[must_use]
    pub const fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person { id, .. } => Some(id),
            Self::Engine => None,
        }
    }
}

/// One thing asked of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its id; a second arrival of the same id is answered, not applied.
    pub id: CommandId,
    /// Who asks.
    pub actor: Actor,
    /// Where it was asked.
    pub room: Option<String>,
    /// When, on the rollout's clock.
    pub at: DateTime<Utc>,
    /// What.
    pub body: CommandBody,
}

/// Which step is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRef {
    /// The only open one that fits.
    TheOpenOne,
    /// The one of this id.
    Named(String),
    /// The one a button belongs to.
    Button {
        /// Its index in the runbook.
        index: usize,
        /// The generation the button was made for.
        generation: u32,
    },
}

/// How a step is to be amended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing was said.
    Nothing,
    /// What it asks a system with, by name, as typed.
    Inputs(BTreeMap<String, String>),
    /// A task after it.
    Add(String),
    /// It is dropped; why.
    Drop(String),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandBody {
    /// Acknowledge, each for themselves.
    Acknowledge {
        /// Which acknowledgement.
        step: StepRef,
    },
    /// Say that a task is done, with its evidence as typed.
    CompleteStep {
        /// Which task.
        step: StepRef,
        /// Evidence by field name.
        typed: BTreeMap<String, String>,
    },
    /// Tick one item of a task.
    TickItem {
        /// Which task.
        step: StepRef,
        /// Which item, from 0.
        item: usize,
    },
    /// Answer a question.
    AnswerStep {
        /// Which question.
        step: StepRef,
        /// Answers by field name.
        typed: BTreeMap<String, String>,
    },
    /// Vote.
    CastVote {
        /// On which decision.
        step: StepRef,
        /// GO or NO-GO.
        choice: Choice,
        /// Why.
        reason: Option<String>,
        /// The voter for whom a stand-in votes, where it is said.
        instead_of: Option<String>,
    },
    /// Start an action, or start it again after it failed.
    RunStep {
        /// Which.
        step: StepRef,
    },
    /// Leave a note.
    AddNote {
        /// Its text.
        text: String,
        /// What it is about.
        kind: NoteKind,
    },
    /// Go on without a step; for a required one this takes two.
    SkipStep {
        /// Which.
        step: StepRef,
        /// Why.
        reason: String,
    },
    /// Open a step again that was completed by mistake.
    ReopenStep {
        /// Which.
        step: StepRef,
        /// Why.
        reason: String,
    },
    /// Confirm what waits for it: a value that was worked out, or a late action.
    ConfirmStep {
        /// Which.
        step: StepRef,
    },
    /// Say that a step did not work.
    FailStep {
        /// Which.
        step: StepRef,
        /// Why.
        reason: String,
    },
    /// Stop an action.
    CancelStep {
        /// Which.
        step: StepRef,
    },
    /// Say what became of an action that nobody knows the fate of.
    SayFate {
        /// Which.
        step: StepRef,
        /// What.
        fate: Fate,
    },
    /// Give a step to somebody else.
    AssignStep {
        /// Which.
        step: StepRef,
        /// To whom, as typed.
        to: String,
    },
    /// Give the rollout to somebody else.
    HandOver {
        /// To whom, as typed.
        to: String,
    },
    /// Go on without a person's acknowledgement, or without a destination.
    Waive {
        /// The person or destination, as typed.
        whom: String,
        /// Why.
        reason: String,
    },
    /// Change an input that may change.
    SetInput {
        /// Which.
        input: String,
        /// The value as typed.
        text: String,
    },
    /// Move T-0.
    Reschedule {
        /// To when, as typed.
        text: String,
    },
    /// Open a phase that a person opens.
    OpenPhase {
        /// Which; the only one that waits for it, if nothing is said.
        phase: Option<String>,
    },
    /// Leave a phase and go back by another.
    BackOff {
        /// For which generation of the rollout the button was made, if it was one.
        generation: Option<u32>,
    },
    /// Follow an announcement with a correction.
    Correct {
        /// Whose.
        step: StepRef,
        /// What is said.
        text: String,
    },
    /// Announce something that no step announces.
    Announce {
        /// What is said.
        text: String,
        /// To which audience.
        audience: String,
    },
    /// Propose a change of the runbook, for this rollout only.
    Amend {
        /// Of or after which step.
        step: StepRef,
        /// What.
        change: Change,
    },
    /// Agree to the change that is proposed.
    AgreeToAmendment {
        /// For which proposal the button was made, if it was one.
        generation: Option<u32>,
    },
    /// Start nothing new by itself.
    Hold,
    /// Take the environment before its time.
    Lock,
    /// Give the environment back, or leave the line for it, before its time has come.
    Unlock,
    /// Take the environment over from whoever holds it.
    TakeOver {
        /// Why.
        reason: String,
    },
    /// Let it go on in spite of a freeze.
    OverrideFreeze {
        /// Why.
        reason: String,
    },
    /// Go on.
    Resume {
        /// For which generation of the rollout the button was made, if it was one.
        generation: Option<u32>,
    },
    /// Stop the rollout.
    Abort {
        /// Why.
        reason: String,
        /// For which generation of the rollout the button was made, if it was one.
        generation: Option<u32>,
    },
    /// A moment that the rollout waits for may have come.
    Wake,
    /// Move the rollout's clock forward (demo and rehearsal only).
    AdvanceClock {
        /// By how much, in seconds.
        seconds: i64,
    },
    /// What became of a delivery.
    RecordDelivery {
        /// The sequence of the announcement's event.
        announcement: u64,
        /// Which destination, from 0.
        slot: usize,
        /// Which attempt.
        attempt: u32,
        /// What became of it.
        outcome: DeliveryOutcome,
    },
    /// An adapter is about to be called.
    BeginAttempt {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// What became of an action.
    RecordAction {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// What became of it.
        outcome: ActionOutcome,
    },
    /// What a check of a `wait` said.
    RecordCheck {
        /// The step.
        step: usize,
        /// The generation of the step and of the rollout that the check was made for.
        generation: (u32, u32),
        /// What came of the call.
        outcome: ActionOutcome,
    },
    /// A checklist was started, or could not be.
    RecordChild {
        /// The step.
        step: usize,
        /// The rollout, or why there is none.
        child: Result<RolloutId, String>,
    },
    /// A checklist ended, or reached its phase.
    RecordChildSettled {
        /// The step.
        step: usize,
        /// The rollout.
        child: RolloutId,
        /// How it ended, if it did.
        result: Option<Outcome>,
    },
    /// A checklist has what concerns the rollout as a whole.
    RecordChildTold {
        /// The step.
        step: usize,
        /// Up to which event.
        sequence: u64,
    },
    /// The rollout whose checklist this is has taken note of how far it is.
    RecordParentTold {
        /// Whether it ended; otherwise it reached its phase.
        ended: bool,
    },
    /// What concerns the rollout whose checklist this is concerns this one too.
    FollowParent {
        /// Whether it is held.
        held: bool,
        /// Why it was aborted, if it was.
        aborted: Option<String>,
        /// Its window.
        window: Option<Window>,
        /// How far its clock was moved.
        shift_seconds: i64,
    },
    /// Another rollout has the environment that this one held.
    RecordEnvironmentTaken {
        /// Which.
        by: RolloutId,
        /// Why.
        reason: String,
    },
    /// How freezes stand, where they keep this rollout from its environment or do not any more.
    RecordFreeze {
        /// The one that keeps it, if one does.
        freeze: Option<Frozen>,
    },
    /// The registry gave the environment to this rollout.
    RecordEnvironmentGranted,
    /// The registry took note that this rollout gave the environment back.
    RecordEnvironmentReleased,
    /// The card was posted in a room for the first time.
    RecordCard {
        /// The room, and on which platform.
        venue: Venue,
        /// The platform's reference to the message.
        reference: String,
    },
}

impl CommandBody {
    /// The step that it names, if it names one.
    #[must_use]
    pub fn names_step(&self) -> Option<&str> {
        let (Self::Acknowledge { step }
        | Self::CompleteStep { step, .. }
        | Self::TickItem { step, .. }
        | Self::AnswerStep { step, .. }
        | Self::CastVote { step, .. }
        | Self::RunStep { step }
        | Self::SkipStep { step, .. }
        | Self::ReopenStep { step, .. }
        | Self::ConfirmStep { step }
        | Self::FailStep { step, .. }
        | Self::CancelStep { step }
        | Self::SayFate { step, .. }
        | Self::AssignStep { step, .. }
        | Self::Amend { step, .. }
        | Self::Correct { step, .. }) = self
        else {
            return None;
        };
        match step {
            StepRef::Named(id) => Some(id),
            StepRef::TheOpenOne | StepRef::Button { .. } => None,
        }
    }
}

/// What kind of no it is. Gateways choose a status by it, metrics count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Nothing here has that name.
    Unknown,
    /// This person may not.
    NotAllowed,
    /// The button or the moment has passed.
    Stale,
    /// It can't be done now.
    NotNow,
    /// What was typed is not right.
    Invalid,
    /// More than one thing could be meant.
    Ambiguous,
}

impl RefusalKind {
    /// For metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotAllowed => "not-allowed",
            Self::Stale => "stale",
            Self::NotNow => "not-now",
            Self::Invalid => "invalid",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// A polite, specific no to the person who asked. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of no.
    pub kind: RefusalKind,
    /// What happened and what is possible now, in Markdown.
    pub says: String,
    /// Problems by field name, where a form was filled in.
    pub fields: BTreeMap<String, String>,
}

impl Refusal {
    /// A refusal of a kind.
    #[must_use]
    pub fn new(kind: RefusalKind, says: impl Into<String>) -> Self {
        Self { kind, says: says.into(), fields: BTreeMap::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}
