//! What happened to a rollout. Events are journaled, versioned, and read back for as long as the journal lives.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::FieldValue;
use crate::domain::freeze::Frozen;
use crate::domain::people::PersonId;
use crate::domain::runbook::model::{Address, Outcome, Runbook, Venue};

use super::amendment::Amendment;
use super::command::{CommandId, RolloutId};

/// The version that events are written in. Older ones are brought up on reading, newer ones are refused.
pub const EVENT_VERSION: u16 = 1;

/// What stands on everything that a rehearsal shows.
pub const REHEARSAL: &str = "REHEARSAL";

/// An event with its circumstances, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The version of the event's form.
    #[serde(rename = "v")]
    pub version: u16,
    /// When, on the rollout's clock.
    pub at: DateTime<Utc>,
    /// The command it came of.
    pub command: CommandId,
    /// The person who asked, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// What happened.
    pub event: Event,
}

/// Why an event could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is of a later form.
    #[error("the event has version {0}, this program knows versions up to {EVENT_VERSION}: use the newer program")]
    Newer(u16),
    /// It is not one.
    #[error("not an event: {0}")]
    Malformed(String),
}

impl Event {
    /// Nothing new starts by itself, for a reason where T-minus has one.
    pub(in crate::domain) const fn held(reason: Option<String>) -> Self {
        Self::Held { reason, with_parent: false }
    }
}

impl Recorded {
    /// An event that comes of a command.
    #[must_use]
    pub fn new(command: &CommandId, by: Option<&PersonId>, at: DateTime<Utc>, event: Event) -> Self {
        Self { version: EVENT_VERSION, at, command: command.clone(), by: by.cloned(), event }
    }

    /// As bytes for the journal.
    ///
    /// # Panics
    /// Never: every part of an event has a JSON form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("every part of an event has a JSON form")
    }

    /// From the journal's bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Version {
            v: u16,
        }
        let malformed = |error: serde_json::Error| DecodeError::Malformed(error.to_string());
        let Version { v } = serde_json::from_slice(bytes).map_err(malformed)?;
        if v > EVENT_VERSION {
            return Err(DecodeError::Newer(v));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

/// GO or NO-GO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Go on.
    Go,
    /// Do not.
    NoGo,
}

impl Choice {
    /// As expressions write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::NoGo => "no-go",
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::NoGo => "NO-GO",
        }
    }
}

/// Whether a rollout's clock is the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockKind {
    /// It is.
    Real,
    /// It can be moved forward, by journaled events.
    Shifted,
}

/// Why a phase or step was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassedOver {
    /// Its `if` does not hold.
    NotApplicable,
    /// The rollout was aborted before.
    Aborted,
    /// People decided to go on without it.
    Skipped,
    /// Its phase settled while it was still open, which is how steps of `during` end.
    PhaseOver,
    /// Its phase was left by **Back off**.
    BackedOff,
    /// Two people dropped it for this rollout.
    Dropped,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// Anything.
    #[default]
    Remark,
    /// Something is wrong.
    Problem,
    /// Something was wrong and is not any more.
    Resolution,
}

/// What a person says of an action whose fate nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It ran.
    Ran,
    /// It did not; it is run again.
    Rerun,
    /// Look again.
    Look,
    /// Nobody knows: hold.
    Hold,
}

/// Why somebody is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nudge {
    /// They are needed from now on.
    Needed,
    /// They are still awaited.
    Reminder,
    /// Others are overdue, and this person may do something about it.
    Escalation,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum DeliveryOutcome {
    /// The destination has it.
    Delivered {
        /// The platform's reference to the message.
        reference: String,
        /// Whether it may be there twice, because its first fate stayed unknown.
        #[serde(default)]
        possibly_repeated: bool,
    },
    /// It will not arrive.
    Failed {
        /// The platform's words.
        reason: String,
    },
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum ActionOutcome {
    /// It did what it was asked.
    Succeeded {
        /// What it gave.
        outputs: serde_json::Map<String, serde_json::Value>,
    },
    /// It did not.
    Failed {
        /// The system's own words.
        reason: String,
    },
    /// Nobody knows.
    Unknown {
        /// What is known.
        reason: String,
    },
}

/// The longest text kept of what a system says of one action, in characters: what fits one Slack block.
pub const REASON_CHARS_MAX: usize = 2900;
/// The largest outputs kept of one action, in bytes of JSON: far below one record of the journal.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

impl ActionOutcome {
    /// The same within the limits of what is kept: a long reason is cut, outputs beyond the limit make the fate unclear,
    /// because what the runbook requires of them can't be looked at.
    #[must_use]
    pub fn bounded(self) -> Self {
        let cut = |reason: String| match reason.char_indices().nth(REASON_CHARS_MAX) {
            Some((end, _)) => format!("{} …", &reason[..end]),
            None => reason,
        };
        match self {
            Self::Succeeded { outputs } => {
                let bytes = serde_json::to_vec(&outputs).map_or(usize::MAX, |json| json.len());
                if bytes <= OUTPUT_BYTES_MAX {
                    return Self::Succeeded { outputs };
                }
                let reason = format!("it succeeded, but its outputs have {bytes} bytes and at most {OUTPUT_BYTES_MAX} are kept");
                Self::Unknown { reason }
            }
            Self::Failed { reason } => Self::Failed { reason: cut(reason) },
            Self::Unknown { reason } => Self::Unknown { reason: cut(reason) },
        }
    }
}

/// The first event: everything that is frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The rollout's id.
    pub id: RolloutId,
    /// Its number in this installation: short enough for buttons.
    pub number: u32,
    /// The tag of this installation, part of every effect's identity.
    pub house: u16,
    /// The title with the values filled in.
    pub title: String,
    /// Where it was started, and where else it is hosted.
    pub rooms: Vec<String>,
    /// Where its page is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether its clock can be moved.
    pub clock: ClockKind,
    /// The inputs that are known.
    pub values: BTreeMap<String, FieldValue>,
    /// The whole runbook.
    pub runbook: Runbook,
    /// The rollout whose checklist it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// How far its clock was moved before it began: a checklist has the clock of the rollout it belongs to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift_seconds: i64,
    /// Whether it is a rehearsal: every action is pretended, and nothing leaves its rooms.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rehearsal: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(in crate::domain) const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The rollout and the step that another rollout was started for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its step.
    pub step: usize,
    /// The phase of the checklist that settles the step, where it need not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The environment that is held further up: what needs the same one acts under that hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Event {
    /// The rollout began.
    Started(Box<Started>),
    /// Its clock was moved forward.
    ClockAdvanced {
        /// By how much.
        seconds: i64,
    },
    /// An input got a value.
    InputSet {
        /// Which.
        input: String,
        /// The value.
        value: FieldValue,
    },
    /// A phase opened.
    PhaseOpened {
        /// Which.
        phase: usize,
        /// How late, where that matters.
        late_seconds: i64,
    },
    /// Everything in a phase is settled.
    PhaseSettled {
        /// Which.
        phase: usize,
    },
    /// A phase was passed over.
    PhasePassedOver {
        /// Which.
        phase: usize,
        /// Why.
        why: PassedOver,
    },
    /// A step opened.
    StepOpened {
        /// Which.
        step: usize,
        /// Who is meant, resolved to people.
        people: Vec<PersonId>,
        /// Whether a person confirms it first although it would run by itself, because its phase is late.
        #[serde(default)]
        confirm: bool,
    },
    /// A step was passed over.
    StepPassedOver {
        /// Which.
        step: usize,
        /// Why.
        why: PassedOver,
    },
    /// A step can't go on by itself.
    StepFailed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// A person acknowledged.
    Acknowledged {
        /// What.
        step: usize,
        /// How many have now.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// A person who is not on the roster wants to know.
    Listening {
        /// Of what.
        step: usize,
    },
    /// An item of a task was done.
    ItemTicked {
        /// The task.
        step: usize,
        /// The item, from 0.
        item: usize,
    },
    /// A step is done.
    StepCompleted {
        /// Which.
        step: usize,
        /// What was recorded with it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        fields: BTreeMap<String, FieldValue>,
    },
    /// A value was worked out; a person confirms it.
    ValueProposed {
        /// The step.
        step: usize,
        /// The value.
        fields: BTreeMap<String, FieldValue>,
    },
    /// A voter voted, or changed the vote.
    VoteCast {
        /// On what.
        step: usize,
        /// How.
        choice: Choice,
        /// Why.
        reason: Option<String>,
        /// For which voter, where a stand-in voted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<PersonId>,
    },
    /// The rule is met; the decision settles.
    DecisionSettling {
        /// Which.
        step: usize,
        /// What it will be.
        choice: Choice,
        /// When it is taken.
        until: DateTime<Utc>,
    },
    /// A vote was changed, and the rule is no longer met.
    DecisionUnsettled {
        /// Which.
        step: usize,
    },
    /// The decision is taken.
    DecisionTaken {
        /// Which.
        step: usize,
        /// What it is.
        choice: Choice,
    },
    /// An announcement is on its way.
    AnnouncementIssued {
        /// The step it belongs to.
        step: usize,
        /// Its template.
        message: String,
        /// Its subject.
        subject: Option<String>,
        /// Its Markdown, rendered once.
        text: String,
        /// Whether everybody there is pinged.
        must_know: bool,
        /// Where it goes.
        to: Vec<Address>,
    },
    /// What became of one of its deliveries.
    DeliveryEnded {
        /// The sequence of the event that issued it.
        announcement: u64,
        /// Which destination, from 0.
        slot: usize,
        /// Which attempt.
        attempt: u32,
        /// What became of it.
        #[serde(flatten)]
        outcome: DeliveryOutcome,
    },
    /// An action is wanted.
    ActionRequested {
        /// The step.
        step: usize,
        /// From 1, rising with every repetition.
        attempt: u32,
        /// The operation's inputs, filled in.
        inputs: serde_json::Value,
    },
    /// Its adapter is about to be called.
    ActionAttempted {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// It ended.
    ActionEnded {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// How.
        #[serde(flatten)]
        outcome: ActionOutcome,
    },
    /// A receipt came for an attempt that no longer counts. It changes nothing.
    ReceiptCameLate {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// How that attempt ended.
        #[serde(flatten)]
        outcome: ActionOutcome,
    },
    /// The result is known.
    ResultRecorded {
        /// Which.
        result: Outcome,
    },
    /// Somebody left a note.
    NoteAdded {
        /// Its text.
        text: String,
        /// What it is about.
        #[serde(default)]
        kind: NoteKind,
    },
    /// The owner wants to go on without a required step; a second person has to agree.
    SkipProposed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// A step is gone on without.
    StepSkipped {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
        /// Who proposed it, where it took two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposed_by: Option<PersonId>,
    },
    /// What was completed by mistake is open again.
    StepReopened {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// A step is meant for others from now on.
    StepAssigned {
        /// Which.
        step: usize,
        /// Who.
        people: Vec<PersonId>,
    },
    /// The rollout has another owner.
    HandedOver {
        /// Who.
        to: PersonId,
    },
    /// The first of two people pressed Run.
    RunApproved {
        /// The step.
        step: usize,
    },
    /// One of many people answered.
    AnswerGiven {
        /// The question.
        step: usize,
        /// The answer.
        fields: BTreeMap<String, FieldValue>,
    },
    /// An action is to be stopped.
    CancelRequested {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// A person said what became of an action.
    FateSaid {
        /// The step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// What.
        fate: Fate,
    },
    /// A person need not acknowledge, vote or answer any more.
    PersonWaived {
        /// What.
        step: usize,
        /// Who.
        person: PersonId,
        /// Why.
        reason: String,
    },
    /// An announcement is done without one of its destinations.
    DestinationWaived {
        /// The sequence of the announcement's event.
        announcement: u64,
        /// Which destination, from 0.
        slot: usize,
        /// Why.
        reason: String,
    },
    /// An announcement is sent to one of its destinations again.
    DeliveryRetried {
        /// The sequence of the announcement's event.
        announcement: u64,
        /// Which destination, from 0.
        slot: usize,
        /// Which attempt it is now.
        attempt: u32,
    },
    /// What was given for another time is asked again.
    AskedAgain {
        /// What.
        step: usize,
    },
    /// A phase is left behind; the rollout goes back by another.
    BackedOff {
        /// Which.
        phase: usize,
    },
    /// Somebody who is needed was written to.
    Nudged {
        /// The step.
        step: usize,
        /// Who.
        people: Vec<PersonId>,
        /// Why.
        nudge: Nudge,
        /// Markdown, as it is sent.
        text: String,
    },
    /// A person says that a phase may open.
    PhaseReleased {
        /// Which.
        phase: usize,
    },
    /// Something was announced that no step announces: a correction, or what somebody wanted to be known.
    Told {
        /// The sequence of the announcement that it corrects, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        corrects: Option<u64>,
        /// Its Markdown.
        text: String,
        /// Where it goes.
        to: Vec<Address>,
    },
    /// A check of a `wait` said something new.
    Checked {
        /// The step.
        step: usize,
        /// Whether it was good.
        good: bool,
        /// What it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nothing new starts by itself.
    Held {
        /// Why, where T-minus held it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Whether it is held with the rollout whose checklist it is, and goes on with that.
        #[serde(default, skip_serializing_if = "is_false")]
        with_parent: bool,
    },
    /// It goes on.
    Resumed,
    /// A person stopped it.
    Aborted {
        /// Why.
        reason: String,
    },
    /// A checklist runs as a rollout of its own.
    ChildStarted {
        /// The step.
        step: usize,
        /// The rollout.
        child: RolloutId,
    },
    /// A checklist could not be started.
    ChildNotStarted {
        /// The step.
        step: usize,
        /// Why.
        reason: String,
    },
    /// A checklist ended, or reached the phase that settles its step.
    ChildSettled {
        /// The step.
        step: usize,
        /// The rollout.
        child: RolloutId,
        /// How it ended; none where it only reached its phase.
        result: Option<Outcome>,
    },
    /// A checklist has what concerns the rollout as a whole, up to an event.
    ChildTold {
        /// The step.
        step: usize,
        /// The sequence of the event.
        sequence: u64,
    },
    /// The rollout whose checklist it is knows how far it is.
    ParentTold {
        /// Whether it ended; otherwise it reached its phase.
        ended: bool,
    },
    /// A person wants a change of the runbook, for this rollout only; a second person has to agree.
    AmendmentProposed {
        /// What would change.
        amendment: Amendment,
    },
    /// A second person agreed to a change.
    Amended {
        /// What changed.
        amendment: Amendment,
        /// Who proposed it.
        proposed_by: PersonId,
    },
    /// It waits for its environment: because its time has come, or because a person wants it before.
    EnvironmentClaimed,
    /// The time has come for what was taken before: it is asked for like any other, so that a freeze counts.
    EnvironmentNeeded,
    /// A person wants the environment given back, or the line for it left, before its time.
    EnvironmentGivenUp,
    /// A person wants its environment, whoever holds it.
    TakeoverAsked {
        /// Why.
        reason: String,
    },
    /// Another rollout took its environment over.
    EnvironmentTaken {
        /// Which.
        by: RolloutId,
        /// Why.
        reason: String,
    },
    /// A freeze keeps it from taking its environment.
    FreezeBegan {
        /// Which, since when and until when, and who may let it go on.
        freeze: Frozen,
    },
    /// No freeze keeps it from its environment any more.
    FreezeEnded {
        /// Which one did.
        name: String,
    },
    /// A person lets it go on in spite of a freeze.
    FreezeOverridden {
        /// Which.
        freeze: Frozen,
        /// Why.
        reason: String,
    },
    /// It holds its environment.
    EnvironmentGranted,
    /// It gave its environment back.
    EnvironmentReleased,
    /// The card stands in a room.
    CardPosted {
        /// The room, and on which platform.
        #[serde(flatten)]
        venue: Venue,
        /// The platform's reference to the message.
        reference: String,
    },
    /// Who is told and not asked was told that it began.
    Informed {
        /// Who.
        people: Vec<PersonId>,
        /// The Markdown.
        text: String,
    },
    /// It is over.
    Ended {
        /// How.
        result: Outcome,
        /// What is said of it in the rooms. A checklist's end is said by the rollout that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
}
