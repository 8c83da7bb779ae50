//! What happens by itself: phases open at their time, steps complete, decisions are taken, the rollout ends.

mod ending;
mod nudges;
mod phases;
mod steps;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::people::Directory;
use crate::domain::runbook::model::{StepKind, Wait};

use super::event::Event;
use super::state::{ActionStage, PhaseState, State, StepStatus};

pub use self::nudges::due_of;
pub use self::phases::{meant, offers_done, waits_for_opening};

/// From how late on a phase says so, and lets nothing run unpressed: less is the time the machinery takes.
pub const LATE_SECONDS_MIN: i64 = 120;

/// The next things that happen by themselves; nothing when all is settled. Called until it answers nothing.
#[must_use]
pub fn follow(state: &State, at: DateTime<Utc>, people: &Directory) -> Vec<Event> {
    if state.ended.is_some() {
        return Vec::new();
    }
    let watch = Watch { state, now: state.not_before(at), people };
    let steps = || state.open_steps().map(|(index, _, _)| index).map(|index| watch.step(index)).find(|events| !events.is_empty());
    let phases = || (0..state.phases.len()).map(|phase| watch.phase(phase)).find(|events| !events.is_empty());
    let nudge = || state.open_steps().map(|(index, _, _)| watch.nudge(index)).find(|events| !events.is_empty());
    let nudges = || if state.quiet_until().is_some_and(|until| until > watch.now) { None } else { nudge() };
    steps().or_else(phases).or_else(nudges).or_else(|| watch.inform()).unwrap_or_else(|| watch.end())
}

/// The next moment at which something may happen by itself, seen from now.
#[must_use]
pub fn next_due(state: &State, at: DateTime<Utc>, people: &Directory) -> Option<DateTime<Utc>> {
    next_move(state).into_iter().chain(next_nudge(state, at, people)).min()
}

/// When to look next whether something happens by itself: at the next moment at which it does, or before, where that is known
/// without looking through everybody.
#[must_use]
pub fn next_wake(state: &State, at: DateTime<Utc>, people: &Directory) -> Option<DateTime<Utc>> {
    let nudge = match state.quiet_until() {
        Some(until) => Some(until).filter(|until| *until < DateTime::<Utc>::MAX_UTC),
        None => next_nudge(state, at, people),
    };
    next_move(state).into_iter().chain(nudge).min()
}

/// When nothing happens by itself any more: works out until when that is so of reminders, if it is not known.
pub(super) fn rest(state: &mut State, at: DateTime<Utc>, people: &Directory) {
    let now = state.not_before(at);
    if state.quiet_until().is_none_or(|until| until <= now) {
        let next = next_nudge(state, at, people);
        // What is due now and did not happen is looked at again.
        if next.is_none_or(|next| next > now) {
            let mut owners = state.owners(people);
            owners.retain(|owner| state.open_steps().any(|(_, _, step)| step.people.contains(owner)));
            state.note_quiet(next, owners);
        }
    }
}

fn next_nudge(state: &State, at: DateTime<Utc>, people: &Directory) -> Option<DateTime<Utc>> {
    let watch = Watch { state, now: state.not_before(at), people };
    state.open_steps().filter_map(|(index, _, _)| watch.next_nudge(index)).min()
}

/// The next moment at which the rollout itself may move: reminders do not count.
#[must_use]
pub fn next_move(state: &State) -> Option<DateTime<Utc>> {
    if state.ended.is_some() {
        return None;
    }
    let settling = state.open_steps().filter_map(|(_, _, step)| step.settling.map(|(_, until)| until));
    let timeouts = state.open_steps().filter_map(|(index, _, _)| timeout_of(state, index));
    let waits = state.open_steps().filter_map(|(index, _, _)| wait_ends(state, index));
    let repeats = state.open_steps().filter(|_| state.held.is_none()).filter_map(|(index, _, _)| next_issue(state, index));
    let phases = (0..state.phases.len()).filter(|_| state.held.is_none()).filter_map(|phase| {
        let waits = state.phases[phase] == PhaseState::Waiting && is_next(state, phase) && intake_done(state, phase);
        if waits { state.due_of_phase(phase).filter(|due| *due > state.last_at) } else { None }
    });
    let thaw = state.freeze.as_ref().map(|freeze| freeze.until);
    settling.chain(timeouts).chain(waits).chain(repeats).chain(phases).chain(thaw).min()
}

/// When an open step moves by itself next: a wait that ends, an announcement that is repeated.
#[must_use]
pub fn step_moves(state: &State, index: usize) -> Option<DateTime<Utc>> {
    wait_ends(state, index).or_else(|| next_issue(state, index))
}

/// When a wait is over, or given up.
fn wait_ends(state: &State, index: usize) -> Option<DateTime<Utc>> {
    let StepKind::Wait { wait } = &state.runbook.steps[index].kind else { return None };
    let StepStatus::Open { since } = state.steps[index].status else { return None };
    match wait {
        Wait::Time { seconds } | Wait::Until { timeout_seconds: Some(seconds), .. } => Some(since + TimeDelta::seconds(*seconds)),
        Wait::Until { .. } | Wait::Cycles { .. } => None,
    }
}

/// When an announcement that is repeated goes out next.
fn next_issue(state: &State, index: usize) -> Option<DateTime<Utc>> {
    let StepKind::Announce { every_seconds: Some(seconds), .. } = state.runbook.steps[index].kind else { return None };
    let StepStatus::Open { since } = state.steps[index].status else { return None };
    let last = state.announcements.iter().rfind(|a| a.step == Some(index)).map_or(since, |a| a.issued);
    Some(last + TimeDelta::seconds(seconds))
}

fn timeout_of(state: &State, index: usize) -> Option<DateTime<Utc>> {
    let StepKind::Run { timeout_seconds: Some(seconds), .. } = state.runbook.steps[index].kind else { return None };
    match (&state.steps[index].status, state.steps[index].action.as_ref()?.stage.clone()) {
        (StepStatus::Open { .. }, ActionStage::Attempted { at }) => Some(at + TimeDelta::seconds(seconds)),
        _ => None,
    }
}

/// Whether everything before a phase is settled: also what was reopened further back.
fn is_next(state: &State, phase: usize) -> bool {
    let mut before = state.runbook.phases[phase].after.clone();
    let mut seen = BTreeSet::new();
    while let Some(phase) = before.pop() {
        if !state.phases[phase].is_settled() {
            return false;
        }
        if seen.insert(phase) {
            before.extend(&state.runbook.phases[phase].after);
        }
    }
    true
}

fn intake_done(state: &State, phase: usize) -> bool {
    state.runbook.phases[phase].intake.is_none_or(|intake| state.steps[intake].status.is_settled())
}

struct Watch<'a> {
    state: &'a State,
    now: DateTime<Utc>,
    people: &'a Directory,
}
