//! How it went before: outcomes by month, and how long each step took over the latest runs of a runbook.
//!
//! Durations are as people measure: what people do and what is waited for from its turn until it was done, without the time on
//! hold; what a system does from its beginning to its end, which a hold does not stop. What was passed over has none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::registry::{Registered, Registry};
use super::rollout::command::RolloutId;
use super::rollout::state::{State, StepStatus};
use super::runbook::model::{Outcome, StepKind};
use super::time::say_seconds;
use super::timeline::{Span, holds, taken};

/// How many earlier runs there must be before anything is called usual.
pub const USUAL_RUNS_MIN: usize = 3;
/// How many of the slowest steps are named.
pub const SLOWEST_MAX: usize = 5;

/// What is kept of a finished rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RolloutId,
    /// Its title.
    pub title: String,
    /// How it ended.
    pub result: Option<Outcome>,
    /// When it began, on its own clock.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// The steps that were done, in order.
    pub steps: Vec<Took>,
}

/// How long a step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Took {
    /// Its id.
    pub step: String,
    /// Its sentence.
    pub title: String,
    /// How long, in seconds.
    pub seconds: i64,
}

/// What is kept of a rollout.
#[must_use]
pub fn run(state: &State) -> Run {
    let holds = holds(state);
    let steps = state.ordered_steps().filter_map(|index| {
        let done = matches!(state.steps.get(index)?.status, StepStatus::Done { .. });
        let seconds = seconds_of(state, index, &holds, state.last_at).filter(|_| done)?;
        Some(Took { step: state.runbook.steps[index].id.clone(), title: state.step_title(index), seconds })
    });
    Run {
        id: state.id.clone(),
        title: state.title.clone(),
        result: state.result,
        started: state.started,
        ended: state.ended,
        steps: steps.collect(),
    }
}

/// How long the steps of a rollout that are done or under way took so far, by id; and whether they are done.
#[must_use]
pub fn so_far(state: &State, now: DateTime<Utc>) -> BTreeMap<String, (i64, bool)> {
    let holds = holds(state);
    let seconds = state.ordered_steps().filter_map(|index| {
        let done = matches!(state.steps.get(index)?.status, StepStatus::Done { .. });
        let open = matches!(state.steps.get(index)?.status, StepStatus::Open { .. });
        let seconds = seconds_of(state, index, &holds, now).filter(|_| done || open)?;
        Some((state.runbook.steps[index].id.clone(), (seconds, done)))
    });
    seconds.collect()
}

fn seconds_of(state: &State, index: usize, holds: &[Span], now: DateTime<Utc>) -> Option<i64> {
    let (definition, step) = state.step(index)?;
    // These take no time.
    if matches!(definition.kind, StepKind::Result { .. } | StepKind::Let { confirm: None, .. }) {
        return None;
    }
    let (from, to) = taken(step)?;
    let to = to.unwrap_or(now).max(from);
    let begun = step.action.as_ref().is_some_and(|action| action.begun == Some(from));
    // An action that nobody has begun yet takes no time either.
    if definition.kind.call().is_some() && !begun && !matches!(definition.kind, StepKind::Wait { .. }) && step.action.is_some() {
        return None;
    }
    let held = |hold: &Span| (hold.to.unwrap_or(now).min(to) - hold.from.max(from)).num_seconds().max(0);
    let held: i64 = if begun { 0 } else { holds.iter().map(held).sum() };
    Some(((to - from).num_seconds() - held).max(0))
}

/// How long something usually takes: the middle half of the runs before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usual {
    /// A quarter of the runs took at most this, in seconds.
    pub seconds_low: i64,
    /// A quarter of them took at least this.
    pub seconds_high: i64,
    /// The longest.
    pub seconds_max: i64,
    /// Of how many runs.
    pub runs: usize,
}

/// What is usual; nothing where there is too little to say so.
#[must_use]
pub fn usual(earlier: &[i64]) -> Option<Usual> {
    if earlier.len() < USUAL_RUNS_MIN {
        return None;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable();
    let seconds_max = *sorted.last()?;
    Some(Usual { seconds_low: quarter(&sorted, 1), seconds_high: quarter(&sorted, 3), seconds_max, runs: sorted.len() })
}

/// So many quarters into a sorted list that is not empty; between two values in proportion.
fn quarter(sorted: &[i64], quarters: usize) -> i64 {
    let steps = (sorted.len() - 1) * quarters;
    let (place, rest) = (steps / 4, i64::try_from(steps % 4).unwrap_or(0));
    let low = sorted[place];
    let high = sorted.get(place + 1).copied().unwrap_or(low);
    low + (high - low) * rest / 4
}

impl Usual {
    /// `14m; usually 11m to 12m over 8 earlier runs`.
    #[must_use]
    pub fn said_of(&self, seconds: i64, done: bool) -> String {
        let so_far = if done { "" } else { " so far" };
        let (low, high) = (say_seconds(self.seconds_low), say_seconds(self.seconds_high));
        let range = if low == high { low } else { format!("{low} to {high}") };
        format!("{}{so_far}; usually {range} over {} earlier runs", say_seconds(seconds), self.runs)
    }

    /// Whether no run before took as long.
    #[must_use]
    pub const fn is_exceeded_by(&self, seconds: i64) -> bool {
        seconds > self.seconds_max
    }
}

/// What is usual for every step, by id.
#[must_use]
pub fn usual_by_step<'r>(runs: impl IntoIterator<Item = &'r Run>) -> BTreeMap<String, Usual> {
    let mut seconds: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for took in runs.into_iter().flat_map(|run| &run.steps) {
        seconds.entry(&took.step).or_default().push(took.seconds);
    }
    seconds.into_iter().filter_map(|(step, seconds)| Some((step.to_owned(), usual(&seconds)?))).collect()
}

/// A step over several runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepHistory {
    /// Its id.
    pub step: String,
    /// Its sentence in the newest run that has it.
    pub title: String,
    /// In how many runs it was done.
    pub runs: usize,
    /// Half of the runs took at most this, in seconds.
    pub median_seconds: i64,
    /// The slowest run's, in seconds.
    pub slowest_seconds: i64,
    /// Which that was.
    pub slowest: RolloutId,
    /// The newest run's, in seconds.
    pub newest_seconds: i64,
    /// Which that is.
    pub newest: RolloutId,
    /// The median of the runs before the newest one, where there are enough of them.
    pub earlier_median_seconds: Option<i64>,
}

/// Every step over these runs, which come newest first. In the order of the newest run; what only older ones had, after that.
#[must_use]
pub fn steps<'r>(runs: impl IntoIterator<Item = &'r Run>) -> Vec<StepHistory> {
    let mut order: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, Vec<(&RolloutId, &Took)>> = BTreeMap::new();
    for run in runs {
        for took in &run.steps {
            let known = found.entry(&took.step).or_insert_with(|| {
                order.push(&took.step);
                Vec::new()
            });
            known.push((&run.id, took));
        }
    }
    let history = |step: &&str| {
        let took = found.get(step)?;
        let (newest, slowest) = (took.first()?, took.iter().max_by_key(|(_, took)| took.seconds)?);
        let seconds: Vec<i64> = took.iter().map(|(_, took)| took.seconds).collect();
        Some(StepHistory {
            step: (*step).to_owned(),
            title: newest.1.title.clone(),
            runs: seconds.len(),
            median_seconds: median(&seconds)?,
            slowest_seconds: slowest.1.seconds,
            slowest: slowest.0.clone(),
            newest_seconds: newest.1.seconds,
            newest: newest.0.clone(),
            earlier_median_seconds: median(&seconds[1..]).filter(|_| seconds.len() > USUAL_RUNS_MIN),
        })
    };
    order.iter().filter_map(history).collect()
}

/// The middle of a list, in the middle of two where there is no other; nothing of nothing.
#[must_use]
pub fn median(seconds: &[i64]) -> Option<i64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { i64::midpoint(sorted[middle - 1], upper) })
}

/// The steps that usually take longest, slowest first.
#[must_use]
pub fn slowest(steps: &[StepHistory]) -> Vec<&StepHistory> {
    let mut slowest: Vec<&StepHistory> = steps.iter().filter(|step| step.median_seconds > 0).collect();
    slowest.sort_by_key(|step| std::cmp::Reverse(step.median_seconds));
    slowest.truncate(SLOWEST_MAX);
    slowest
}

/// What is looked for among finished rollouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter<'f> {
    /// Of which runbook; of all of them without.
    pub runbook: Option<&'f str>,
    /// Whether rehearsals count too.
    pub rehearsals: bool,
}

impl Filter<'_> {
    /// Whether it fits. The checklists of other rollouts count where their own runbook is asked for.
    fn fits(&self, rollout: &Registered) -> bool {
        let is_meant = match self.runbook {
            Some(runbook) => rollout.runbook == runbook,
            None => rollout.parent.is_none(),
        };
        is_meant && (self.rehearsals || !rollout.rehearsal)
    }

    /// The finished rollouts that fit, newest first.
    #[must_use]
    pub fn finished<'r>(&self, registry: &'r Registry) -> Vec<(&'r RolloutId, &'r Registered)> {
        let fits = |(_, rollout): &(&RolloutId, &Registered)| rollout.closed.is_some() && self.fits(rollout);
        let mut finished: Vec<_> = registry.rollouts.iter().filter(fits).collect();
        finished.sort_by_key(|(_, rollout)| std::cmp::Reverse(rollout.number));
        finished
    }
}

/// How a month went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Month {
    /// Which, in UTC: `2026-11`.
    pub month: String,
    /// How many did what they were for.
    pub succeeded: usize,
    /// How many did not.
    pub failed: usize,
    /// How many were decided against.
    pub no_go: usize,
    /// How many were stopped.
    pub aborted: usize,
}

impl Month {
    /// How many ended in it.
    #[must_use]
    pub const fn all(&self) -> usize {
        self.succeeded + self.failed + self.no_go + self.aborted
    }
}

/// Outcomes by the month in which the rollouts ended, newest first; a month in which none ended is not named.
#[must_use]
pub fn months<'r>(finished: impl IntoIterator<Item = &'r Registered>) -> Vec<Month> {
    let mut months: BTreeMap<String, Month> = BTreeMap::new();
    for rollout in finished {
        let Some(result) = rollout.closed else { continue };
        let name = rollout.closed_at.unwrap_or(rollout.at).format("%Y-%m").to_string();
        let month = months.entry(name.clone()).or_insert_with(|| Month { month: name, ..Month::default() });
        match result {
            Outcome::Succeeded => month.succeeded += 1,
            Outcome::Failed => month.failed += 1,
            Outcome::NoGo => month.no_go += 1,
            Outcome::Aborted => month.aborted += 1,
        }
    }
    months.into_values().rev().collect()
}

/// The runbooks of finished rollouts, with how many of each there are; the most used first.
#[must_use]
pub fn runbooks(registry: &Registry, rehearsals: bool) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for rollout in registry.rollouts.values().filter(|rollout| rollout.closed.is_some() && (rehearsals || !rollout.rehearsal)) {
        *counts.entry(&rollout.runbook).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
