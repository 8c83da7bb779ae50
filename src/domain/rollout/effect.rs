//! What the world is owed: a pure function of the state, so that recovery and the live path are the same.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::domain::message::card::{Button, step_buttons};
use crate::domain::people::PersonId;
use crate::domain::runbook::model::{Address, Call, StepKind, Wait};

use super::command::RolloutId;
use super::decide::fill_json;
use super::event::Nudge;
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The rollout it belongs to.
    pub rollout: RolloutId,
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
    /// Ask the registry for the environment.
    ClaimEnvironment {
        /// Which.
        environment: String,
    },
    /// Tell the registry that the environment is free.
    ReleaseEnvironment {
        /// Which.
        environment: String,
    },
}

/// Everything owed and not yet receipted.
#[must_use]
pub fn effects(state: &State) -> Vec<Effect> {
    let mut owed = Vec::new();
    for announcement in state.announcements.iter().filter(|a| !a.is_settled()) {
        for (slot, destination) in
            announcement.destinations.iter().enumerate().filter(|(_, to)| to.outcome.is_none() && to.waived.is_none())
        {
            owed.push(Effect::Deliver(Delivery {
                id: effect_id(state, announcement.sequence, slot, destination.attempt),
                rollout: state.id.clone(),
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
        if begins || attempted.is_some() {
            let action = Action {
                id: effect_id(state, action.sequence, 0, action.attempt),
                rollout: state.id.clone(),
                step: index,
                step_id: state.runbook.steps[index].id.clone(),
                attempt: action.attempt,
                system: system.clone(),
                operation: operation.clone(),
                inputs: action.inputs.clone(),
                values: state.values_as_text(),
                attempted,
            };
            if action.attempted.is_some() && state.steps[index].action.as_ref().is_some_and(|action| action.cancelled.is_some()) {
                owed.push(Effect::Cancel(action.clone()));
            }
            owed.push(Effect::Act(action));
        }
    }
    if state.held.is_none() {
        owed.extend((0..state.steps.len()).filter_map(|index| check(state, index)).map(Effect::Check));
    }
    if let Some(environment) = &state.runbook.environment {
        match state.environment {
            // Who is over gives it back, or leaves the line.
            EnvironmentStage::Claimed | EnvironmentStage::Held if state.may_release() => {
                owed.push(Effect::ReleaseEnvironment { environment: environment.clone() });
            }
            EnvironmentStage::Claimed => owed.push(Effect::ClaimEnvironment { environment: environment.clone() }),
            _ => {}
        }
    }
    owed
}

/// The check of a `wait` that is open.
fn check(state: &State, index: usize) -> Option<Check> {
    let (definition, step) = state.step(index)?;
    let StepKind::Wait { wait } = &definition.kind else { return None };
    let StepStatus::Open { since } = step.status else { return None };
    let every_seconds = match wait {
        Wait::Time { .. } => return None,
        Wait::Until { every_seconds, .. } | Wait::Cycles { every_seconds, .. } => *every_seconds,
    };
    let call = wait.call()?;
    Some(Check {
        id: effect_id(state, step.opened, 0, step.generation.wrapping_add(state.generation)),
        rollout: state.id.clone(),
        step: index,
        step_id: definition.id.clone(),
        generation: (step.generation, state.generation),
        system: call.system.clone(),
        operation: call.operation.clone(),
        inputs: fill_json(&call.with, &scope_of_step(state, index, state.last_at)),
        values: state.values_as_text(),
        since,
        every_seconds,
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
