//! Actions: asked for, begun, ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::{ActionOutcome, Event};
use crate::domain::rollout::scope::{scope, scope_with_outputs};
use crate::domain::rollout::state::{ActionStage, State, StepStatus};
use crate::domain::runbook::model::StepKind;

use super::{Desk, verbs};

impl Desk<'_> {
    pub(super) fn run(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "run", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"run"))?;
        self.may_act(index, "Running")?;
        if let Some(held) = &self.state.held {
            let by = held.by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
            return Err(Refusal::new(
                RefusalKind::NotNow,
                format!("{} is on hold{by} since {}. `/rollout resume` lets it go on.", self.state.id, self.say(held.since)),
            ));
        }
        request_action(self.state, index, self.now()).map(|event| vec![event]).map_err(|problem| {
            Refusal::new(RefusalKind::NotNow, format!("“{}” can't be run: {}.", self.title(index), escape_markdown(&problem)))
        })
    }

    pub(super) fn begin_attempt(&self, index: usize, attempt: u32) -> Result<Vec<Event>, Refusal> {
        let step = self.state.steps.get(index).filter(|step| matches!(step.status, StepStatus::Open { .. }));
        let waits =
            step.and_then(|s| s.action.as_ref()).is_some_and(|a| a.attempt == attempt && a.stage == ActionStage::Requested);
        if waits && self.state.held.is_none() {
            Ok(vec![Event::ActionAttempted { step: index, attempt }])
        } else {
            Err(Refusal::new(RefusalKind::NotNow, "This attempt is no longer wanted."))
        }
    }

    pub(super) fn record_action(&self, index: usize, attempt: u32, outcome: &ActionOutcome) -> Vec<Event> {
        let step = self.state.steps.get(index);
        let current = step
            .and_then(|step| step.action.as_ref())
            .is_some_and(|action| action.attempt == attempt && !matches!(action.stage, ActionStage::Ended { .. }));
        if !current {
            return vec![Event::ReceiptCameLate { step: index, attempt, outcome: outcome.clone() }];
        }
        let ended = Event::ActionEnded { step: index, attempt, outcome: outcome.clone() };
        // After an abort the end of an action is on record, and changes nothing else.
        if !step.is_some_and(|step| matches!(step.status, StepStatus::Open { .. })) {
            return vec![ended];
        }
        let ActionOutcome::Succeeded { outputs } = outcome else { return vec![ended] };
        let scope = scope_with_outputs(self.state, self.now(), outputs);
        let requirements = match self.kind(index) {
            StepKind::Run { require, .. } => require.as_slice(),
            _ => &[],
        };
        for requirement in requirements {
            let reason = match template::holds(&requirement.that, &scope) {
                Ok(true) => continue,
                Ok(false) => template::render(&requirement.otherwise, Landing::Plain, &scope)
                    .unwrap_or_else(|_| requirement.otherwise.clone()),
                Err(problem) => format!("`{}` can't be evaluated: {problem}", requirement.that),
            };
            return vec![ended, Event::StepFailed { step: index, reason }];
        }
        vec![ended, Event::StepCompleted { step: index, fields: BTreeMap::new() }]
    }
}

/// The event that wants an action, with its inputs filled in.
pub(in crate::domain::rollout) fn request_action(state: &State, index: usize, now: DateTime<Utc>) -> Result<Event, String> {
    let StepKind::Run { with, .. } = &state.runbook.steps[index].kind else { return Err("it is not an action".to_owned()) };
    let inputs = fill_json(with, &scope(state, now))?;
    let attempt = state.steps[index].action.as_ref().map_or(1, |action| action.attempt + 1);
    Ok(Event::ActionRequested { step: index, attempt, inputs })
}

fn fill_json(value: &serde_json::Value, scope: &minijinja::Value) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(template::render(text, Landing::Plain, scope)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill_json(item, scope)).collect::<Result<_, _>>()?),
        Value::Object(pairs) => {
            Value::Object(pairs.iter().map(|(k, v)| Ok((k.clone(), fill_json(v, scope)?))).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}
