//! Amendments: the one that is proposed, those that were agreed on, and what they change.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::people::PersonId;
use crate::domain::rollout::amendment::Amendment;
use crate::domain::rollout::event::PassedOver;
use crate::domain::runbook::model::{Step, StepKind};

use super::{State, StepState, StepStatus};

/// An amendment that waits for a second person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// What would change.
    pub amendment: Amendment,
    /// Who proposed it.
    pub by: PersonId,
    /// The sequence of the event: part of its button.
    pub sequence: u64,
}

/// An amendment that two agreed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Amended {
    /// What changed.
    pub amendment: Amendment,
    /// Who proposed it, and who agreed.
    pub by: Vec<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
}

impl State {
    /// Changes the runbook of this rollout. Steps keep their indices: buttons and events carry them.
    pub(super) fn amend(&mut self, amendment: &Amendment) {
        match amendment {
            Amendment::Inputs { step, inputs } => self.on_step(*step, |step| {
                step.amended.extend(inputs.iter().map(|input| (input.path.clone(), input.to.clone())));
                // Whoever approved, approved something else.
                step.approved = None;
                step.generation += 1;
            }),
            Amendment::Drop { step, .. } => self.on_step(*step, |step| {
                step.status = StepStatus::PassedOver(PassedOver::Dropped);
                step.generation += 1;
            }),
            Amendment::Add { after, id, task } => {
                let Some(phase) = self.runbook.steps.get(*after).map(|step| step.phase) else { return };
                let runbook = Arc::make_mut(&mut self.runbook);
                let index = runbook.steps.len();
                runbook.steps.push(task_of(id, task, phase));
                let steps = &mut runbook.phases[phase].steps;
                // After what the phase needs first comes its first step.
                let place = steps.iter().position(|step| step == after).map_or(0, |place| place + 1);
                steps.insert(place, index);
                self.steps.push(StepState::new());
            }
        }
    }
}

fn task_of(id: &str, task: &str, phase: usize) -> Step {
    Step {
        id: id.to_owned(),
        each: None,
        phase,
        title: task.to_owned(),
        condition: None,
        who: Vec::new(),
        help: None,
        takes: None,
        due: None,
        remind_seconds: None,
        required: true,
        kind: StepKind::Task { items: Vec::new(), evidence: Vec::new() },
    }
}
