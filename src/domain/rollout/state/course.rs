//! What happened on the way and a checklist does not show: what was reopened, held, moved, voted otherwise, tried in vain.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::FieldValue;
use crate::domain::people::PersonId;
use crate::domain::rollout::event::{ActionOutcome, Choice, Event, Recorded};

use super::State;

/// How many turns are remembered; the journal has all.
const TURNS_MAX: usize = 500;

/// Something that turned the course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom, if by a person.
    pub by: Option<PersonId>,
    /// What.
    pub what: TurnKind,
}

/// What turned the course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnKind {
    /// A step was opened again.
    Reopened {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// A step, or an attempt of it, failed.
    Failed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// Nothing new started any more.
    Held {
        /// Why, where T-minus held it itself.
        reason: Option<String>,
    },
    /// It went on.
    Resumed,
    /// T-0 moved.
    Retimed {
        /// From when.
        from: DateTime<Utc>,
        /// To when.
        to: DateTime<Utc>,
    },
    /// A vote became another one.
    VoteChanged {
        /// On what.
        step: usize,
        /// From what.
        from: Choice,
        /// To what.
        to: Choice,
    },
}

impl State {
    /// Remembers what an event turns, before it does.
    pub(super) fn remember(&mut self, recorded: &Recorded) {
        let what = match &recorded.event {
            // Begun anew after a failure, it is no correction.
            Event::StepReopened { step, reason } => TurnKind::Reopened { step: *step, reason: reason.clone() },
            Event::StepFailed { step, reason }
            | Event::ActionEnded {
                step, outcome: ActionOutcome::Failed { reason } | ActionOutcome::Unknown { reason }, ..
            } => TurnKind::Failed { step: *step, reason: reason.clone() },
            Event::Held { reason, .. } => TurnKind::Held { reason: reason.clone() },
            Event::Resumed => TurnKind::Resumed,
            Event::InputSet { input, value: FieldValue::Window(new) } => {
                let is_window = self.runbook.window_input().is_some_and(|known| known.field.name == *input);
                match self.window().filter(|old| is_window && (old.starts - new.starts).num_minutes() != 0) {
                    Some(old) => TurnKind::Retimed { from: old.starts, to: new.starts },
                    None => return,
                }
            }
            Event::VoteCast { step, choice, instead_of, .. } => {
                let voter = instead_of.as_ref().or(recorded.by.as_ref());
                let before = voter.and_then(|voter| self.steps.get(*step)?.votes.get(voter));
                match before.filter(|vote| vote.choice != *choice) {
                    Some(vote) => TurnKind::VoteChanged { step: *step, from: vote.choice, to: *choice },
                    None => return,
                }
            }
            _ => return,
        };
        if self.course.len() < TURNS_MAX {
            self.course.push(Turn { at: recorded.at, by: recorded.by.clone(), what });
        }
    }
}
