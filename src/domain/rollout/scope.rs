//! What templates and expressions of a rollout see.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use minijinja::Value;
use minijinja::value::Serde;

use crate::domain::message::template::Lenient;
use crate::domain::time;

use super::state::{PhaseState, State, StepStatus};

/// Inputs by name, `steps`, `decision`, `result`, and `done`, `started`, `failed`, `backed_off`; for announcements also
/// `rollout`, `window` and `now`.
#[must_use]
pub fn scope(state: &State, now: DateTime<Utc>) -> Value {
    with(state, now, BTreeMap::new())
}

/// The same, with the outputs of an action as `outputs`.
#[must_use]
pub fn scope_with_outputs(state: &State, now: DateTime<Utc>, outputs: &serde_json::Map<String, serde_json::Value>) -> Value {
    with(state, now, BTreeMap::from([("outputs".to_owned(), outputs_value(outputs))]))
}

fn with(state: &State, now: DateTime<Utc>, extra: BTreeMap<String, Value>) -> Value {
    let zone = state.runbook.timezone;
    let mut names: BTreeMap<String, Value> = BTreeMap::new();
    names.insert("window".into(), state.window().map_or_else(|| Value::from(()), |w| Value::from(w.written(zone))));
    for input in &state.runbook.inputs {
        let value = state.values.get(&input.field.name).map_or_else(|| Value::from(()), |value| value.in_templates(zone));
        names.insert(input.field.name.clone(), value);
    }
    names.insert("steps".into(), steps(state));
    names.insert("decision".into(), decisions(state));
    names.insert("result".into(), state.result.map_or_else(|| Value::from(()), |result| Value::from(result.name())));
    names.insert("now".into(), Value::from(time::write_time(now, zone)));
    names.insert("rollout".into(), rollout(state, now));
    names.insert("done".into(), step_test(state, |status| matches!(status, StepStatus::Done { .. })));
    names.insert("failed".into(), step_test(state, |status| matches!(status, StepStatus::Failed { .. })));
    let started = state.runbook.phases.iter().zip(&state.phases);
    let started = started.filter(|(_, p)| matches!(p, PhaseState::Open { .. } | PhaseState::Settled { .. }));
    names.insert("started".into(), membership(started.map(|(phase, _)| phase.id.clone()).collect()));
    // Nothing leads back yet; the word is defined so that runbooks can be written for it.
    names.insert("backed_off".into(), membership(BTreeSet::new()));
    names.extend(extra);
    Value::from_pairs(names)
}

fn steps(state: &State) -> Value {
    let known = state
        .runbook
        .steps
        .iter()
        .zip(&state.steps)
        .filter(|(_, s)| matches!(s.status, StepStatus::Done { .. } | StepStatus::Failed { .. }));
    let views = known.map(|(step, step_state)| {
        let mut view: BTreeMap<String, Value> =
            step_state.fields.iter().map(|(name, value)| (name.clone(), value.in_templates(state.runbook.timezone))).collect();
        view.insert("outputs".into(), outputs_value(&step_state.outputs));
        (step.id.clone(), Value::from_object(Lenient(view)))
    });
    let mut all: BTreeMap<String, Value> = views.collect();
    // A step that was skipped or not reached reads as none, and so does everything of it.
    for step in &state.runbook.steps {
        all.entry(step.id.clone()).or_insert_with(|| Value::from_object(Lenient(BTreeMap::new())));
    }
    Value::from_object(Lenient(all))
}

fn outputs_value(outputs: &serde_json::Map<String, serde_json::Value>) -> Value {
    Value::from_object(Lenient(outputs.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))).collect()))
}

fn decisions(state: &State) -> Value {
    let taken = state
        .runbook
        .steps
        .iter()
        .zip(&state.steps)
        .filter_map(|(step, s)| Some((step.id.clone(), Value::from(s.decision?.name()))));
    Value::from_object(Lenient(taken.collect()))
}

fn rollout(state: &State, now: DateTime<Utc>) -> Value {
    let end = state.ended.unwrap_or(now);
    Value::from_pairs([
        ("id", Value::from(state.id.as_str())),
        ("title", Value::from(state.title.as_str())),
        ("link", Value::from(state.link.as_deref().unwrap_or_default())),
        ("started", Value::from(time::write_time(state.started, state.runbook.timezone))),
        ("duration", Value::from(time::say_between(state.started, end))),
    ])
}

fn step_test(state: &State, test: fn(&StepStatus) -> bool) -> Value {
    let steps = state.runbook.steps.iter().zip(&state.steps);
    membership(steps.filter(|(_, s)| test(&s.status)).map(|(step, _)| step.id.clone()).collect())
}

fn membership(members: BTreeSet<String>) -> Value {
    Value::from_function(move |name: String| members.contains(&name))
}
