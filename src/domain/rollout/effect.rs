//! What the world is owed: a pure function of the state, so that recovery and the live path are the same.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::message::card::{Button, step_buttons};
use crate::domain::message::template::{self, Landing};
use crate::domain::people::PersonId;
use crate::domain::runbook::model::{Address, Call, Outcome, Runbook, StepKind, Wait};

use super::command::{CommandBody, RolloutId};
use super::decide::call_inputs;
use super::event::{Nudge, Parent};
use super::scope::scope_of_step;
use super::state::{ActionStage, EnvironmentStage, State, StepStatus};

/// The identity of one effect: which rollout, which event, which of its effects, which attempt.
///
/// Outside it is a fixed token of 26 characters `0-9 a-z`, short enough for every place the outside has for it
/// (a CloudFormation request token, Slack metadata, a Message-ID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId {
    /// The tag of the installation.
    pub house: u16,
    /// The rollout's number.
    pub rollout: u32,
    /// The sequence of the event that wants it.
    pub sequence: u64,
    /// Which of the event's effects.
    pub slot: u16,
    /// Which attempt, from 1.
    pub attempt: u16,
}

/// Sequences fit into so many bits of a token: some 2.8 million million events a rollout.
const SEQUENCE_BITS: u32 = 48;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TOKEN_CHARS: usize = 26;
/// The slot of an action's cancelling; its own is 0.
const CANCEL_SLOT: u16 = 1;
/// The attempt of what rollouts of one family tell each other; others count from 1.
const TELL_ATTEMPT: u16 = 0;

impl EffectId {
    /// The token: 128 bits in base 32, without the letters that look like digits.
    #[must_use]
    pub fn token(&self) -> String {
        let sequence = u128::from(self.sequence & ((1 << SEQUENCE_BITS) - 1));
        let bits = u128::from(self.house) << 112
            | u128::from(self.rollout) << 80
            | sequence << 32
            | u128::from(self.slot) << 16
            | u128::from(self.attempt);
        (0..TOKEN_CHARS).rev().map(|place| char::from(DIGITS[((bits >> (5 * place)) & 31) as usize])).collect()
    }

    /// Reads a token back.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        // The widths are those of `token`: nothing is cut off.
        let part = |bits: u128, shift: u32, width: u32| (bits >> shift) & ((1 << width) - 1);
        let mut bits: u128 = 0;
        for (index, byte) in token.bytes().enumerate() {
            let digit = DIGITS.iter().position(|d| *d == byte)?;
            // 26 digits hold 130 bits: the first digit has room for two bits less.
            if index == 0 && digit > 7 {
                return None;
            }
            bits = bits << 5 | digit as u128;
        }
        Some(Self {
            house: part(bits, 112, 16).try_into().ok()?,
            rollout: part(bits, 80, 32).try_into().ok()?,
            sequence: part(bits, 32, SEQUENCE_BITS).try_into().ok()?,
            slot: part(bits, 16, 16).try_into().ok()?,
            attempt: part(bits, 0, 16).try_into().ok()?,
        })
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token())
    }
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Recipient {
    /// Everybody at an address.
    Address(Address),
    /// One person, wherever they can be reached.
    Person(PersonId),
}

impl Recipient {
    /// Whether a person decides when nobody knows whether it arrived.
    #[must_use]
    pub const fn must(&self) -> bool {
        match self {
            Self::Address(address) => address.must,
            Self::Person(_) => false,
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Person(person) => write!(f, "person:{person}"),
        }
    }
}

/// One message on its way to one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its identity.
    pub id: EffectId,
    /// The rollout it belongs to; none where the installation itself says something, a digest.
    pub rollout: Option<RolloutId>,
    /// Where to.
    pub to: Recipient,
    /// The subject where the destination has one.
    pub subject: Option<String>,
    /// The Markdown.
    pub text: String,
    /// Whether everybody there is pinged.
    pub must_know: bool,
    /// When it was issued.
    pub issued: DateTime<Utc>,
    /// What can be pressed in it, where it asks one person for something.
    pub buttons: Vec<Button>,
}

/// One action to be done by a system.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its identity.
    pub id: EffectId,
    /// The rollout it belongs to.
    pub rollout: RolloutId,
    /// The step's index and id.
    pub step: usize,
    /// The step's id.
    pub step_id: String,
    /// Which attempt.
    pub attempt: u32,
    /// The configured system.
    pub system: String,
    /// The operation.
    pub operation: String,
    /// Its inputs, filled in.
    pub inputs: serde_json::Value,
    /// The rollout's own inputs as text: what a pretended system may play along with.
    pub values: std::collections::BTreeMap<String, String>,
    /// When the adapter was about to be called; none while it was not.
    pub attempted: Option<DateTime<Utc>>,
    /// How often a person wanted it looked up again.
    pub looked: u32,
    /// Whether it only rehearses: it is pretended, whatever its system is.
    pub rehearsal: bool,
}

/// A checklist to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct StartChild {
    /// Its identity: a second start with it is the same.
    pub id: EffectId,
    /// The step.
    pub step: usize,
    /// The frozen runbook.
    pub runbook: Runbook,
    /// The inputs it gets, as text by name; or why they can't be written.
    pub values: Result<std::collections::BTreeMap<String, String>, String>,
    /// Who owns it where its runbook names nobody.
    pub owner: Option<PersonId>,
    /// The phase of it that settles the step, where it need not end.
    pub until: Option<String>,
    /// How far its clock is from the machine's, in seconds.
    pub shift_seconds: i64,
    /// Whether the rollout that it belongs to is a rehearsal, and so it is one.
    pub rehearsal: bool,
    /// The environment that is held further up.
    pub environment: Option<String>,
}

/// A call that is repeated until what it is asked for is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The identity of the first call; every further one has the next slot.
    pub id: EffectId,
    /// The rollout it belongs to.
    pub rollout: RolloutId,
    /// The step's index.
    pub step: usize,
    /// The step's id.
    pub step_id: String,
    /// The generation of the step and of the rollout: when either has risen, it is no longer wanted.
    pub generation: (u32, u32),
    /// The configured system.
    pub system: String,
    /// The operation.
    pub operation: String,
    /// Its inputs, filled in; or why they could not be.
    pub inputs: Result<serde_json::Value, String>,
    /// The rollout's own inputs as text.
    pub values: std::collections::BTreeMap<String, String>,
    /// Since when it is wanted.
    pub since: DateTime<Utc>,
    /// How often, in seconds.
    pub every_seconds: i64,
    /// Whether it only rehearses: it is pretended, whatever its system is.
    pub rehearsal: bool,
}

/// What the world is owed.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Bring an announcement somewhere, once.
    Deliver(Delivery),
    /// Have a system do something, once.
    Act(Action),
    /// Ask a system to stop doing it.
    Cancel(Action),
    /// Ask a system again and again.
    Check(Check),
    /// Start a checklist as a rollout of its own.
    StartChild(Box<StartChild>),
    /// Tell a checklist what concerns the rollout as a whole.
    TellChild {
        /// Its identity.
        id: EffectId,
        /// The step.
        step: usize,
        /// The checklist.
        child: RolloutId,
        /// The event that it is about.
        sequence: u64,
        /// What concerns it: always how things stand now.
        body: CommandBody,
    },
    /// Tell the rollout whose checklist this is that it is settled.
    TellParent {
        /// Its identity.
        id: EffectId,
        /// The parent.
        parent: Parent,
        /// How this one ended; none where it only reached its phase.
        result: Option<Outcome>,
    },
    /// Ask the registry for the environment.
    ClaimEnvironment {
        /// Which.
        environment: String,
        /// Why it is taken over from whoever holds it, if it is.
        takeover: Option<String>,
    },
    /// Tell the registry that the environment is free.
    ReleaseEnvironment {
        /// Which.
        environment: String,
    },
}

impl Effect {
    /// Its identity; none of what is asked of the installation itself, where it is asked by name.
    #[must_use]
    pub fn id(&self) -> Option<EffectId> {
        match self {
            Self::Deliver(delivery) => Some(delivery.id),
            Self::Act(action) => Some(action.id),
            Self::Cancel(action) => Some(cancelling(action.id)),
            Self::Check(check) => Some(check.id),
            Self::StartChild(child) => Some(child.id),
            Self::TellChild { id, .. } | Self::TellParent { id, .. } => Some(*id),
            Self::ClaimEnvironment { .. } | Self::ReleaseEnvironment { .. } => None,
        }
    }
}

/// The identity of asking for an action's end: that of the action in a slot of its own.
#[must_use]
pub const fn cancelling(action: EffectId) -> EffectId {
    EffectId { slot: CANCEL_SLOT, ..action }
}

/// Everything owed and not yet receipted.
#[must_use]
pub fn effects(state: &State) -> Vec<Effect> {
    effects_not_in_hand(state, &|_| false)
}

/// Whether an announcement still has to be brought somewhere.
#[must_use]
pub fn owes_deliveries(state: &State) -> bool {
    // Of a rehearsal nothing is ever brought anywhere.
    !state.rehearsal && !state.under_way.is_empty()
}

/// Whether an effect was a delivery that has its end, or something that a checklist was told and that is old news: whatever
/// happens, it is not owed under this identity any more.
#[must_use]
pub fn is_settled(state: &State, id: &EffectId) -> bool {
    if id.attempt == TELL_ATTEMPT {
        return id.sequence > 0 && id.sequence < state.whole_sequence;
    }
    let Some(announcement) = state.announcement(id.sequence) else { return false };
    let to = announcement.destinations.get(usize::from(id.slot));
    to.is_none_or(|to| to.outcome.is_some() || to.waived.is_some() || to.attempt != u32::from(id.attempt))
}

/// Everything owed, without what is in somebody's hands and would only be made to be passed over: while a long roster is written
/// to, that is most of it. What has no identity is always there.
#[must_use]
pub fn effects_not_in_hand(state: &State, is_in_hand: &dyn Fn(&EffectId) -> bool) -> Vec<Effect> {
    let mut owed = deliveries(state, is_in_hand);
    owed.extend(actions(state, is_in_hand));
    if state.held.is_none() {
        owed.extend((0..state.steps.len()).filter_map(|index| check(state, index, is_in_hand)).map(Effect::Check));
    }
    owed.extend(children(state, is_in_hand));
    if let Some(environment) = &state.runbook.environment {
        match state.environment {
            // Who is over gives it back, or leaves the line.
            EnvironmentStage::Claimed | EnvironmentStage::Held if state.may_release() => {
                owed.push(Effect::ReleaseEnvironment { environment: environment.clone() });
            }
            EnvironmentStage::Claimed | EnvironmentStage::Held if state.gives_up => {
                owed.push(Effect::ReleaseEnvironment { environment: environment.clone() });
            }
            // In a freeze it is not asked for.
            EnvironmentStage::Claimed if state.freeze.is_none() => {
                owed.push(Effect::ClaimEnvironment { environment: environment.clone(), takeover: state.takeover.clone() });
            }
            _ => {}
        }
    }
    owed
}

fn deliveries(state: &State, is_in_hand: &dyn Fn(&EffectId) -> bool) -> Vec<Effect> {
    let mut owed = Vec::new();
    let under_way = state.under_way.iter().filter_map(|place| state.announcements.get(*place));
    for announcement in under_way.filter(|_| !state.rehearsal) {
        for (slot, destination) in
            announcement.destinations.iter().enumerate().filter(|(_, to)| to.outcome.is_none() && to.waived.is_none())
        {
            let id = effect_id(state, announcement.sequence, slot, destination.attempt);
            if is_in_hand(&id) {
                continue;
            }
            owed.push(Effect::Deliver(Delivery {
                id,
                rollout: Some(state.id.clone()),
                to: destination.to.clone(),
                subject: announcement.subject.clone(),
                text: announcement.text.clone(),
                must_know: announcement.must_know,
                issued: announcement.issued,
                buttons: match announcement.nudge {
                    Some((Nudge::Needed | Nudge::Reminder, step)) => step_buttons(state, step),
                    _ => Vec::new(),
                },
            }));
        }
    }
    owed
}

/// What systems are to begin, to go on with, and to stop.
fn actions(state: &State, is_in_hand: &dyn Fn(&EffectId) -> bool) -> Vec<Effect> {
    let mut owed = Vec::new();
    for (index, step) in state.steps.iter().enumerate() {
        let (Some(action), Some(Call { system, operation, .. })) = (&step.action, state.runbook.steps[index].kind.call()) else {
            continue;
        };
        // What was asked and not yet begun is not begun while the rollout is held, or when its step is over. What was begun
        // is seen to its end whatever becomes of the step.
        let is_open = matches!(step.status, StepStatus::Open { .. });
        let begins = is_open && matches!(action.stage, ActionStage::Requested) && state.held.is_none();
        let attempted = match action.stage {
            ActionStage::Attempted { at } => Some(at),
            _ => None,
        };
        let id = effect_id(state, action.sequence, 0, action.attempt);
        let acts = (begins || attempted.is_some()) && !is_in_hand(&id);
        let cancels = attempted.is_some() && action.cancelled.is_some() && !is_in_hand(&cancelling(id));
        if acts || cancels {
            let action = Action {
                id,
                rollout: state.id.clone(),
                step: index,
                step_id: state.runbook.steps[index].id.clone(),
                attempt: action.attempt,
                system: system.clone(),
                operation: operation.clone(),
                inputs: action.inputs.clone(),
                values: state.values_as_text(),
                attempted,
                looked: action.looked,
                rehearsal: state.rehearsal,
            };
            owed.extend(cancels.then(|| Effect::Cancel(action.clone())));
            owed.extend(acts.then_some(Effect::Act(action)));
        }
    }
    owed
}

/// What checklists, and the rollout whose checklist this is, are owed.
fn children(state: &State, is_in_hand: &dyn Fn(&EffectId) -> bool) -> Vec<Effect> {
    let mut owed = Vec::new();
    for (index, step) in state.steps.iter().enumerate() {
        let StepKind::Checklist { runbook, with, until, .. } = &state.runbook.steps[index].kind else { continue };
        match &step.child {
            None if matches!(step.status, StepStatus::Open { .. }) && state.held.is_none() => {
                let id = effect_id(state, step.opened, 0, 1);
                let Some(frozen) = state.runbook.children.get(runbook).filter(|_| !is_in_hand(&id)) else { continue };
                owed.push(Effect::StartChild(Box::new(StartChild {
                    id,
                    step: index,
                    runbook: frozen.clone(),
                    values: child_values(state, index, frozen, with),
                    owner: state.owner.clone().or_else(|| state.starter.clone()),
                    until: until.clone(),
                    shift_seconds: state.shift_seconds,
                    rehearsal: state.rehearsal,
                    environment: state
                        .runbook
                        .environment
                        .clone()
                        .or_else(|| state.parent.as_ref().and_then(|parent| parent.environment.clone())),
                })));
            }
            Some(child) if child.result.is_none() && child.told < state.whole_sequence => {
                let id = effect_id(state, state.whole_sequence, index, u32::from(TELL_ATTEMPT));
                if is_in_hand(&id) {
                    continue;
                }
                owed.push(Effect::TellChild {
                    id,
                    step: index,
                    child: child.rollout.clone(),
                    sequence: state.whole_sequence,
                    body: CommandBody::FollowParent {
                        held: state.held.is_some(),
                        // What an `always` phase does is done after an abort too.
                        aborted: state
                            .aborted
                            .as_ref()
                            .filter(|_| !state.runbook.phases[state.runbook.steps[index].phase].always)
                            .map(|given| given.reason.clone()),
                        window: state.window(),
                        shift_seconds: state.shift_seconds,
                    },
                });
            }
            _ => {}
        }
    }
    if let Some(parent) = &state.parent {
        let result = state.ended.and(state.result);
        let reached = parent.until.as_ref().is_some_and(|until| {
            let phases = state.runbook.phases.iter().zip(&state.phases);
            phases.into_iter().any(|(phase, status)| phase.id == *until && status.is_settled())
        });
        let news = match state.parent_told {
            None => result.is_some() || reached,
            Some(ended) => !ended && result.is_some(),
        };
        let id = effect_id(state, 0, usize::from(result.is_some()), u32::from(TELL_ATTEMPT));
        if news && !is_in_hand(&id) {
            owed.push(Effect::TellParent { id, parent: parent.clone(), result });
        }
    }
    owed
}

/// What a checklist starts with: what the step says, and inputs of the same name.
fn child_values(
    state: &State,
    index: usize,
    child: &Runbook,
    with: &std::collections::BTreeMap<String, String>,
) -> Result<std::collections::BTreeMap<String, String>, String> {
    let scope = scope_of_step(state, index, state.last_at);
    let own = state.values_as_text();
    let mut values = std::collections::BTreeMap::new();
    for input in &child.inputs {
        let name = &input.field.name;
        let value = match with.get(name) {
            Some(text) => Some(template::render(text, Landing::Plain, &scope)?),
            None => own.get(name).cloned(),
        };
        values.extend(value.filter(|value| !value.trim().is_empty()).map(|value| (name.clone(), value)));
    }
    Ok(values)
}

/// The check of a `wait` that is open.
fn check(state: &State, index: usize, is_in_hand: &dyn Fn(&EffectId) -> bool) -> Option<Check> {
    let (definition, step) = state.step(index)?;
    let StepKind::Wait { wait } = &definition.kind else { return None };
    let StepStatus::Open { since } = step.status else { return None };
    let every_seconds = match wait {
        Wait::Time { .. } => return None,
        Wait::Until { every_seconds, .. } | Wait::Cycles { every_seconds, .. } => *every_seconds,
    };
    let call = wait.call()?;
    let id = effect_id(state, step.opened, 0, step.generation.wrapping_add(state.generation));
    if is_in_hand(&id) {
        return None;
    }
    Some(Check {
        id,
        rollout: state.id.clone(),
        step: index,
        step_id: definition.id.clone(),
        generation: (step.generation, state.generation),
        system: call.system.clone(),
        operation: call.operation.clone(),
        inputs: call_inputs(state, index, call, state.last_at),
        values: state.values_as_text(),
        since,
        every_seconds,
        rehearsal: state.rehearsal,
    })
}

fn effect_id(state: &State, sequence: u64, slot: usize, attempt: u32) -> EffectId {
    EffectId {
        house: state.house,
        rollout: state.number,
        sequence,
        slot: u16::try_from(slot).unwrap_or(u16::MAX),
        attempt: u16::try_from(attempt).unwrap_or(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_26_characters_and_reads_back(house: u16, rollout: u32, sequence in 0u64..1 << 48, slot: u16, attempt: u16) {
            let id = EffectId { house, rollout, sequence, slot, attempt };
            let token = id.token();
            prop_assert_eq!(token.len(), 26);
            prop_assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            prop_assert_eq!(EffectId::from_token(&token), Some(id));
        }

        #[test]
        fn what_is_not_a_token_is_nothing(text: String) {
            prop_assert!(EffectId::from_token(&text).is_none_or(|id| id.token() == text));
        }
    }
}
