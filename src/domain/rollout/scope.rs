//! What templates and expressions of a rollout see.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use minijinja::Value;
use minijinja::value::Serde;

use crate::domain::conversation::form::FieldValue;
use crate::domain::message::template::{Lenient, holds};
use crate::domain::runbook::model::{Runbook, StepKind};
use crate::domain::runbook::names::{EACH, Function, Member, Name, OUTPUTS};
use crate::domain::time;

use super::state::{PhaseState, State, StepStatus};

/// The field of a `let` step in which its value is recorded.
pub const LET_FIELD: &str = "value";

/// Everything in [`names`](crate::domain::runbook::names), and the inputs by name.
#[must_use]
pub fn scope(state: &State, now: DateTime<Utc>) -> Value {
    Value::from_pairs(values(state, now))
}

/// The same, with the outputs of an action as `outputs`.
#[must_use]
pub fn scope_with_outputs(
    state: &State,
    step: usize,
    now: DateTime<Utc>,
    outputs: &serde_json::Map<String, serde_json::Value>,
) -> Value {
    let mut values = values(state, now);
    values.extend(each_of(state, step));
    values.insert(OUTPUTS.to_owned(), outputs_value(outputs));
    Value::from_pairs(values)
}

/// The same, for a text of a step: `each` is its item.
#[must_use]
pub fn scope_of_step(state: &State, step: usize, now: DateTime<Utc>) -> Value {
    let mut values = values(state, now);
    values.extend(each_of(state, step));
    Value::from_pairs(values)
}

/// The same, for a message about a step that awaits these people: it also sees where the rollout is.
#[must_use]
pub fn scope_of_message(state: &State, step: usize, now: DateTime<Utc>, awaited: &str) -> Value {
    let mut values = values(state, now);
    values.extend(each_of(state, step));
    values.insert(Name::Rollout.name().to_owned(), rollout(state, now, About::Step { step, awaited }));
    Value::from_pairs(values)
}

/// The same, for what is said of a rollout that is over.
#[must_use]
pub fn scope_of_ending(state: &State, now: DateTime<Utc>, ending: &Ending) -> Value {
    let mut values = values(state, now);
    values.insert(Name::Rollout.name().to_owned(), rollout(state, now, About::End(ending)));
    Value::from_pairs(values)
}

/// What there is to say of a rollout that is over, in words.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// How far from T-0 it ended, in which window.
    pub after_t0: Option<String>,
    /// What was decided, by whom.
    pub decided: Option<String>,
    /// The steps that took longest.
    pub slowest: Option<String>,
    /// What was skipped, waived, amended, overridden, with reasons.
    pub unusual: Option<String>,
    /// How many announcements arrived.
    pub delivered: Option<String>,
}

/// What a text is about, besides its rollout.
#[derive(Clone, Copy)]
enum About<'a> {
    /// Nothing: a title, an expression.
    Itself,
    /// A step that awaits these people.
    Step { step: usize, awaited: &'a str },
    /// How it ended.
    End(&'a Ending),
}

fn each_of(state: &State, step: usize) -> Option<(String, Value)> {
    let each = state.runbook.steps.get(step)?.each.as_ref()?;
    Some((EACH.to_owned(), Value::from(each.as_str())))
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
    values.extend(lets(state));
    values
}

/// What was worked out, and what was not yet, as none.
fn lets(state: &State) -> impl Iterator<Item = (String, Value)> {
    let steps = state.runbook.steps.iter().zip(&state.steps);
    steps.filter_map(|(step, state_of)| match &step.kind {
        StepKind::Let { name, .. } => {
            let is_done = matches!(state_of.status, StepStatus::Done { .. });
            let value = state_of.fields.get(LET_FIELD).filter(|_| is_done);
            Some((name.clone(), value.map_or_else(nothing, |value| value.in_templates(state.runbook.timezone))))
        }
        _ => None,
    })
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
        // Titles are texts too: only messages see the titles of phases and steps, or else they would see themselves.
        Name::Rollout => rollout(state, now, About::Itself),
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
        Function::BackedOff => {
            let phases = state.runbook.phases.iter().enumerate();
            membership(phases.filter(|(index, _)| state.backed_off.contains(index)).map(|(_, phase)| phase.id.clone()).collect())
        }
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
            let outputs = match &step.kind {
                _ if !is_over => outputs_value(&serde_json::Map::new()),
                // What people recorded stands for what the system would have given.
                StepKind::Run { by_hand: Some(_), .. } => Value::from_object(Lenient::of(view.clone())),
                _ => outputs_value(&step_state.outputs),
            };
            view.insert(OUTPUTS.to_owned(), outputs);
        }
        let view = if is_over { Lenient::present(view) } else { Lenient::absent(view) };
        (step, Value::from_object(view))
    });
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut repeated: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (step, view) in views {
        // One step of every item stands below what they have in common: `steps.id['item']`.
        match &step.each {
            Some(item) => drop(repeated.entry(step.base_id().to_owned()).or_default().insert(item.clone(), view)),
            None => drop(all.insert(step.id.clone(), view)),
        }
    }
    all.extend(repeated.into_iter().map(|(id, items)| (id, Value::from_object(Lenient::of(items)))));
    Value::from_object(Lenient::of(all))
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

fn rollout(state: &State, now: DateTime<Utc>, about: About<'_>) -> Value {
    let members = Member::ALL.into_iter().map(|member| (member.name().to_owned(), of_rollout(state, now, about, member)));
    Value::from_object(Lenient::of(members.collect()))
}

/// The steps that were done since the last recurring announcement, or since the start.
fn done_lately(state: &State) -> Vec<String> {
    let recurs = |index: usize| {
        let step = state.runbook.steps.get(index);
        step.is_some_and(|step| matches!(step.kind, StepKind::Announce { every_seconds: Some(_), .. }))
    };
    let last = state.announcements.iter().rfind(|announcement| announcement.step.is_some_and(recurs)).map(|last| last.issued);
    let done = state.ordered_steps().filter(|index| match &state.steps[*index].status {
        StepStatus::Done { at, .. } => last.is_none_or(|last| *at > last),
        _ => false,
    });
    let done = done.filter(|index| !matches!(state.runbook.steps[*index].kind, StepKind::Announce { .. }));
    done.map(|index| state.step_title(index)).collect()
}

/// What is to come: the next step of the phase that it is in, or the next phase that applies as things stand, with its time.
fn what_is_next(state: &State, now: DateTime<Utc>) -> Option<String> {
    let current = state.current_phase();
    let pending = |step: &&usize| state.steps[**step].status == StepStatus::Pending;
    let steps = state.runbook.phases.get(current).map(|phase| phase.steps.as_slice()).unwrap_or_default();
    if let Some(step) = steps.iter().find(pending) {
        return Some(state.step_title(*step));
    }
    // A way back, and what hangs on a decision that is not taken, is not what comes next.
    let applies = |phase: &usize| match &state.runbook.phases[*phase].condition {
        None => true,
        Some(condition) => holds(condition, &scope(state, now)) == Ok(true),
    };
    let mut waiting = (current + 1..state.phases.len()).filter(|phase| state.phases[*phase] == PhaseState::Waiting);
    let next = waiting.find(applies)?;
    let at = state.due_of_phase(next).map(|at| format!(" at {}", time::write_time(at, state.runbook.timezone)));
    Some(format!("{}{}", state.phase_title(next), at.unwrap_or_default()))
}

/// Now, and what every step that is open or to come takes at most; nothing while the runbook says nothing of that.
fn expected_end(state: &State, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let left = state.runbook.steps.iter().zip(&state.steps).filter(|(_, step)| !step.status.is_settled());
    let seconds: i64 = left.filter_map(|(definition, _)| Some(definition.takes?.seconds_max)).sum();
    (seconds > 0 && state.ended.is_none()).then(|| now + chrono::TimeDelta::seconds(seconds))
}

fn of_rollout(state: &State, now: DateTime<Utc>, about: About<'_>, member: Member) -> Value {
    let zone = state.runbook.timezone;
    match member {
        Member::Id => Value::from(state.id.as_str()),
        Member::Title => Value::from(state.title.as_str()),
        Member::Link => Value::from(state.link.as_deref().unwrap_or_default()),
        Member::Started => Value::from(time::write_time(state.started, zone)),
        Member::Duration => Value::from(time::say_between(state.started, state.ended.unwrap_or(now))),
        _ => {
            let said = match about {
                About::Itself => None,
                About::Step { step, awaited } => of_message(state, now, step, awaited, member),
                About::End(ending) => of_ending(ending, member),
            };
            said.map_or_else(nothing, Value::from)
        }
    }
}

/// What only messages see.
fn of_message(state: &State, now: DateTime<Utc>, step: usize, awaited: &str, member: Member) -> Option<String> {
    let zone = state.runbook.timezone;
    match member {
        Member::Phase => Some(state.phase_title(state.current_phase())),
        Member::Progress => {
            let settled = state.steps.iter().filter(|step| step.status.is_settled()).count();
            Some(format!("{settled} of {} steps settled", state.steps.len()))
        }
        Member::Done => Some(done_lately(state).join(", ")).filter(|done| !done.is_empty()),
        Member::Next => what_is_next(state, now),
        Member::Ends => expected_end(state, now).map(|at| time::write_time(at, zone)),
        Member::Step => Some(state.step_title(step)),
        Member::Due => super::due_of(state, step).map(|due| time::write_time(due, zone)),
        Member::Awaited => Some(awaited.to_owned()).filter(|names| !names.is_empty()),
        _ => None,
    }
}

/// What only the message about the end sees.
fn of_ending(ending: &Ending, member: Member) -> Option<String> {
    match member {
        Member::AfterT0 => ending.after_t0.clone(),
        Member::Decided => ending.decided.clone(),
        Member::Slowest => ending.slowest.clone(),
        Member::Unusual => ending.unusual.clone(),
        Member::Delivered => ending.delivered.clone(),
        _ => None,
    }
}

fn step_test(state: &State, test: fn(&StepStatus) -> bool) -> Value {
    let steps = || state.runbook.steps.iter().zip(&state.steps);
    let mut members: BTreeSet<String> = steps().filter(|(_, s)| test(&s.status)).map(|(step, _)| step.id.clone()).collect();
    // Of steps under `each` it holds when it holds of every item.
    let repeated: BTreeSet<&str> = steps().filter(|(step, _)| step.each.is_some()).map(|(step, _)| step.base_id()).collect();
    members.extend(
        repeated
            .into_iter()
            .filter(|id| steps().filter(|(step, _)| step.base_id() == *id).all(|(_, state)| test(&state.status)))
            .map(str::to_owned),
    );
    membership(members)
}

fn membership(members: BTreeSet<String>) -> Value {
    Value::from_function(move |name: String| members.contains(&name))
}
