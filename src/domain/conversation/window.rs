//! The window's clock: how much is left of it, whether what remains fits, and by when to decide.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::rollout::state::{PhaseState, State};
use crate::domain::runbook::model::StepKind;
use crate::domain::time::{say_between, say_seconds};

use super::voice::Voice;

/// How long before T-0 a card says anew how far it is, in seconds, also when nothing happens: a day, four hours, an hour, a
/// quarter of an hour, five minutes, a minute, and T-0 itself.
const REFRESHES: [i64; 7] = [86_400, 4 * 3600, 3600, 900, 300, 60, 0];

/// The next moment at which a card that nobody touches says anew how far T-0 is.
#[must_use]
pub fn next_refresh(state: &State, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let starts = state.window().filter(|_| state.ended.is_none())?.starts;
    REFRESHES.iter().map(|before| starts - TimeDelta::seconds(*before)).find(|at| *at > now)
}

/// What is left of the window against what is left to do; nothing before T-0, without an end of the window, and after a result.
#[must_use]
pub fn window_line(voice: &Voice<'_>) -> Option<String> {
    let state = voice.state;
    let window = state.window().filter(|_| state.result.is_none())?;
    let ends = window.starts + TimeDelta::seconds(window.seconds?);
    if voice.now < window.starts {
        return None;
    }
    let ways_back: BTreeSet<usize> = state.runbook.phases.iter().filter_map(|phase| phase.back_off).collect();
    let is_ahead =
        |phase: &usize| !state.phases[*phase].is_settled() && !ways_back.contains(phase) && !state.runbook.phases[*phase].always;
    let remaining: i64 = (0..state.phases.len()).filter(is_ahead).map(|phase| seconds_of(voice, phase)).sum();
    // The way back that would be gone now: of a phase that is open, or else of the next that has one.
    let leads_back = |phase: usize| state.runbook.phases[phase].back_off;
    let open = (0..state.phases.len()).filter(|phase| matches!(state.phases[*phase], PhaseState::Open { .. }));
    let leads_to = open.chain((0..state.phases.len()).filter(is_ahead)).find_map(leads_back);
    let back = leads_to.map_or(0, |phase| seconds_of(voice, phase));
    if voice.now >= ends {
        let over = say_between(ends, voice.now);
        return Some(format!("**The window is over since {over}**; remaining steps about {}", say_seconds(remaining)));
    }
    let left = say_between(voice.now, ends);
    let about = if remaining > 0 { format!("; remaining steps about {}", say_seconds(remaining)) } else { String::new() };
    if back == 0 {
        return Some(format!("{left} left of the window{about}"));
    }
    let latest = ends - TimeDelta::seconds(back);
    let by = if latest <= voice.now { "**decide now**".to_owned() } else { format!("decide by {}", voice.time(latest)) };
    Some(format!("{left} left of the window{about}, way back about {}: {by}", say_seconds(back)))
}

/// How long what is open or to come in a phase takes at most, as far as the runbook says.
fn seconds_of(voice: &Voice<'_>, phase: usize) -> i64 {
    let state = voice.state;
    let steps = state.runbook.steps_of(phase).filter_map(|index| state.step(index));
    let left = steps.filter(|(_, step)| !step.status.is_settled()).filter_map(|(definition, step)| {
        let takes = definition.takes?.seconds_max;
        let begun = step.action.as_ref().filter(|_| step.is_running()).and_then(|action| action.begun);
        let begun = begun.or_else(|| step.since().filter(|_| matches!(definition.kind, StepKind::Wait { .. })));
        let elapsed = begun.map_or(0, |begun| (voice.now - begun).num_seconds());
        Some((takes - elapsed).max(0))
    });
    left.sum()
}
