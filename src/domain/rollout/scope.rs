//! What templates and expressions of a rollout see.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use minijinja::Value;
use minijinja::value::Serde;

use crate::domain::conversation::form::FieldValue;
use crate::domain::message::template::Lenient;
use crate::domain::runbook::model::{Runbook, StepKind};
use crate::domain::runbook::names::{Function, Member, Name, OUTPUTS};
use crate::domain::time;

use super::state::{PhaseState, State, StepStatus};

/// Everything in [`names`](crate::domain::runbook::names), and the inputs by name.
#[must_use]
pub fn scope(state: &State, now: DateTime<Utc>) -> Value {
    Value::from_pairs(values(state, now))
}

/// The same, with the outputs of an action as `outputs`.
#[must_use]
pub fn scope_with_outputs(state: &State, now: DateTime<Utc>, outputs: &serde_json::Map<String, serde_json::Value>) -> Value {
    let mut values = values(state, now);
    values.insert(OUTPUTS.to_owned(), outputs_value(outputs));
    Value::from_pairs(values)
}

/// The inputs alone: all there is when a rollout's title is written.
#[must_use]
pub fn scope_of_inputs(runbook: &Runbook, known: &BTreeMap<String, FieldValue>) -> Value {
    Value::from_pairs(inputs(runbook, known))
}

fn values(state: &State, now: DateTime<Utc>) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Value> =
        Name::ALL.into_iter().map(|name| (name.name().to_owned(), value(state, now, name))).collect();
    values.extend(Function::ALL.into_iter().map(|function| (function.name().to_owned(), answers(state, function))));
    // The input that holds the window is usually called `window`.
    values.extend(inputs(&state.runbook, &state.values));
    values
}

fn inputs(runbook: &Runbook, known: &BTreeMap<String, FieldValue>) -> BTreeMap<String, Value> {
    let value = |name: &String| known.get(name).map_or_else(nothing, |value| value.in_templates(runbook.timezone));
    runbook.inputs.iter().map(|input| (input.field.name.clone(), value(&input.field.name))).collect()
}

/// What is not known reads as none.
fn nothing() -> Value {
    Value::from(())
}

fn value(state: &State, now: DateTime<Utc>, name: Name) -> Value {
    let zone = state.runbook.timezone;
    match name {
        Name::Steps => steps(state),
        Name::Decision => decisions(state),
        Name::Result => state.result.map_or_else(nothing, |result| Value::from(result.name())),
        Name::Now => Value::from(time::write_time(now, zone)),
        Name::Window => state.window().map_or_else(nothing, |window| Value::from(window.written(zone))),
        Name::Rollout => {
            let members = Member::ALL.into_iter().map(|member| (member.name().to_owned(), of_rollout(state, now, member)));
            Value::from_object(Lenient::of(members.collect()))
        }
    }
}

fn answers(state: &State, function: Function) -> Value {
    match function {
        Function::Done => step_test(state, |status| matches!(status, StepStatus::Done { .. })),
        Function::Failed => step_test(state, |status| matches!(status, StepStatus::Failed { .. })),
        Function::Started => {
            let phases = state.runbook.phases.iter().zip(&state.phases);
            let started = phases.filter(|(_, p)| matches!(p, PhaseState::Open { .. } | PhaseState::Settled { .. }));
            membership(started.map(|(phase, _)| phase.id.clone()).collect())
        }
        Function::BackedOff => membership(BTreeSet::new()),
    }
}

fn steps(state: &State) -> Value {
    let steps = state.runbook.steps.iter().zip(&state.steps);
    let views = steps.map(|(step, step_state)| {
        let is_over = matches!(step_state.status, StepStatus::Done { .. } | StepStatus::Failed { .. });
        // A step that was skipped or not reached reads as none, and so does everything of it.
        let mut view = BTreeMap::new();
        if is_over {
            view.extend(step_state.fields.iter().map(|(name, value)| (name.clone(), value.in_templates(state.runbook.timezone))));
        }
        if matches!(step.kind, StepKind::Run { .. }) {
            let outputs = if is_over { outputs_value(&step_state.outputs) } else { outputs_value(&serde_json::Map::new()) };
            view.insert(OUTPUTS.to_owned(), outputs);
        }
        let view = if is_over { Lenient::present(view) } else { Lenient::absent(view) };
        (step.id.clone(), Value::from_object(view))
    });
    Value::from_object(Lenient::of(views.collect()))
}

fn outputs_value(outputs: &serde_json::Map<String, serde_json::Value>) -> Value {
    Value::from_object(Lenient::of(outputs.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))).collect()))
}

fn decisions(state: &State) -> Value {
    let taken = state
        .runbook
        .steps
        .iter()
        .zip(&state.steps)
        .filter_map(|(step, s)| Some((step.id.clone(), Value::from(s.decision?.name()))));
    Value::from_object(Lenient::of(taken.collect()))
}

fn of_rollout(state: &State, now: DateTime<Utc>, member: Member) -> Value {
    match member {
        Member::Id => Value::from(state.id.as_str()),
        Member::Title => Value::from(state.title.as_str()),
        Member::Link => Value::from(state.link.as_deref().unwrap_or_default()),
        Member::Started => Value::from(time::write_time(state.started, state.runbook.timezone)),
        Member::Duration => Value::from(time::say_between(state.started, state.ended.unwrap_or(now))),
    }
}

fn step_test(state: &State, test: fn(&StepStatus) -> bool) -> Value {
    let steps = state.runbook.steps.iter().zip(&state.steps);
    membership(steps.filter(|(_, s)| test(&s.status)).map(|(step, _)| step.id.clone()).collect())
}

fn membership(members: BTreeSet<String>) -> Value {
    Value::from_function(move |name: String| members.contains(&name))
}
