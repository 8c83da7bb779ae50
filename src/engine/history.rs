//! What is remembered of finished rollouts: how long their steps took. A finished rollout never changes, so each is read from the
//! journal once, when somebody wants to know, and what came of it is kept in memory; within a bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::history::{Filter, Run, run};
use crate::domain::rollout::command::RolloutId;

use super::conductor::{Conductor, Rejected};

/// How many finished runs of a runbook are looked at: older ones say little about how it goes now, and each is a stream to read.
pub const RUNS_MAX: usize = 100;
/// How many steps of finished rollouts are remembered, all together: some 30 MB at most.
const STEPS_KEPT_MAX: usize = 200_000;

/// The finished rollouts, as far as somebody wanted to know. Cheap to clone.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    conductor: Conductor,
    kept: Mutex<Kept>,
    /// Held while streams are read: two who look at the same page do not read everything twice.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    runs: HashMap<RolloutId, Arc<Run>>,
    /// In the order in which they came.
    order: VecDeque<RolloutId>,
    steps: usize,
    read: u64,
}

impl Kept {
    fn keep(&mut self, run: &Arc<Run>, steps_max: usize) {
        if self.runs.insert(run.id.clone(), run.clone()).is_none() {
            self.order.push_back(run.id.clone());
            self.steps += weight(run);
        }
        while self.steps > steps_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.steps -= self.runs.remove(&oldest).map_or(0, |run| weight(&run));
        }
    }
}

/// A run without steps takes room too.
fn weight(run: &Run) -> usize {
    run.steps.len() + 1
}

impl Runs {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(conductor: Conductor) -> Self {
        Self { shared: Arc::new(Shared { conductor, kept: Mutex::default(), reading: tokio::sync::Mutex::default() }) }
    }

    /// The latest finished rollouts that fit, newest first: those that began before the one with the number `before`, and at most
    /// `count` of them, which is never more than [`RUNS_MAX`].
    ///
    /// # Errors
    /// When the journal can't be read.
    pub async fn latest(&self, filter: &Filter<'_>, before: Option<u32>, count: usize) -> Result<Vec<Arc<Run>>, Rejected> {
        let wanted: Vec<RolloutId> = self.shared.conductor.with_registry(|registry| {
            let finished = filter.finished(registry).into_iter();
            let earlier = finished.filter(|(_, rollout)| before.is_none_or(|before| rollout.number < before));
            earlier.take(count.min(RUNS_MAX)).map(|(id, _)| id.clone()).collect()
        });
        let mut runs = Vec::with_capacity(wanted.len());
        for id in wanted {
            runs.extend(self.one(id).await?);
        }
        Ok(runs)
    }

    async fn one(&self, id: RolloutId) -> Result<Option<Arc<Run>>, Rejected> {
        if let Some(known) = self.known(&id) {
            return Ok(Some(known));
        }
        let _turn = self.shared.reading.lock().await;
        // Who had the turn before may have read it.
        if let Some(known) = self.known(&id) {
            return Ok(Some(known));
        }
        let found = self.shared.conductor.look(&id, |state, _, _| run(state)).await?.map(Arc::new);
        if let Some(found) = &found {
            let mut kept = self.kept();
            kept.read += 1;
            kept.keep(found, STEPS_KEPT_MAX);
        }
        Ok(found)
    }

    fn known(&self, id: &RolloutId) -> Option<Arc<Run>> {
        self.kept().runs.get(id).cloned()
    }

    /// How many streams were read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.kept().read
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What a panic may have left half done is counted wrongly at worst; what is kept of a run is whole.
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::history::Took;
    use chrono::DateTime;

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let mut kept = Kept::default();
        for number in 0..10 {
            let steps = vec![Took { step: "a".into(), title: "A".into(), seconds: 1 }; 3];
            let id = RolloutId(format!("r{number}"));
            let run = Run { id, title: String::new(), result: None, started: DateTime::UNIX_EPOCH, ended: None, steps };
            kept.keep(&Arc::new(run), 20);
            assert!(kept.steps <= 20 && kept.steps == kept.runs.len() * 4 && kept.order.len() == kept.runs.len());
        }
        assert!(kept.runs.contains_key(&RolloutId("r9".into())) && !kept.runs.contains_key(&RolloutId("r4".into())));
    }
}
