//! What two people change of a runbook for one rollout only, and how that is said.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::message::template::escape_markdown;
use crate::domain::people::list_names;

use super::state::State;

/// A change of the runbook, for one rollout only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Amendment {
    /// What a step asks a system with.
    Inputs {
        /// The step.
        step: usize,
        /// What is different.
        inputs: Vec<Corrected>,
    },
    /// One task more.
    Add {
        /// The step it comes after.
        after: usize,
        /// Its id.
        id: String,
        /// What to do.
        task: String,
    },
    /// One task less.
    Drop {
        /// The step.
        step: usize,
        /// Why.
        reason: String,
    },
}

/// One input that is different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    /// Where it stands: `parameters.ContainerVersion`.
    pub path: String,
    /// What it was, as people read it.
    pub from: String,
    /// What it is.
    pub to: Value,
}

impl Amendment {
    /// The step that it is about: the one that changes, or after which another one comes.
    #[must_use]
    pub const fn step(&self) -> usize {
        match self {
            Self::Inputs { step, .. } | Self::Add { after: step, .. } | Self::Drop { step, .. } => *step,
        }
    }

    /// The difference in Markdown, without a full stop.
    #[must_use]
    pub fn markdown(&self, state: &State) -> String {
        self.write(state, escape_markdown)
    }

    /// The difference as plain text.
    #[must_use]
    pub fn said(&self, state: &State) -> String {
        self.write(state, str::to_owned)
    }

    fn write(&self, state: &State, escaped: fn(&str) -> String) -> String {
        let title = |step: usize| escaped(&state.step_title(step));
        match self {
            Self::Inputs { step, inputs } => {
                let changed: Vec<String> = inputs
                    .iter()
                    .map(|input| {
                        let to = input.to.as_str().map_or_else(|| input.to.to_string(), str::to_owned);
                        let (path, to) = (escaped(&input.path), escaped(&to));
                        format!("{path} is {to} instead of {}", escaped(&input.from))
                    })
                    .collect();
                format!("in “{}” {}", title(*step), list_names(&changed))
            }
            Self::Add { after, id, task } => {
                format!("“{}” (`{id}`) is added after “{}”", escaped(task), title(*after))
            }
            Self::Drop { step, reason } => format!("“{}” is dropped: {}", title(*step), escaped(reason)),
        }
    }
}
