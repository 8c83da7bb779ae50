//! Freezes: hands those of the configuration to the rollouts that they concern, each on its own clock.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::freeze::Frozen;
use crate::domain::rollout::command::{CommandBody, RolloutId};
use crate::domain::rollout::state::State;

use super::Shared;

impl Shared {
    /// What a rollout has to be told of freezes, if it does not know yet how they stand.
    pub(super) fn freeze_of(&self, state: &State, now: DateTime<Utc>) -> Option<CommandBody> {
        let environment = state.runbook.environment.as_ref().filter(|_| state.wants_environment());
        let freeze =
            environment.and_then(|environment| self.plan.freezes.at(environment, now, &|freeze| state.overrides(freeze)));
        (freeze != state.freeze).then_some(CommandBody::RecordFreeze { freeze })
    }

    /// When the next freeze begins that a rollout has to know of: it waits for its environment.
    pub(super) fn next_freeze(&self, state: &State, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let environment = state.runbook.environment.as_ref().filter(|_| state.wants_environment())?;
        self.plan.freezes.next_start(environment, now)
    }

    /// Whether no freeze keeps a rollout from an environment now, on its own clock.
    pub(super) fn may_take(&self, environment: &str, rollout: &RolloutId) -> bool {
        // One that is not taken up yet asks by itself when it is; until then it is in nobody's way.
        let Some(handle) = self.handle(rollout) else { return false };
        let overridden = handle.overridden.borrow().clone();
        let now = self.clock.now() + TimeDelta::seconds(*handle.shift_seconds.borrow());
        let counts = |freeze: &Frozen| overridden.iter().any(|known| known.is_same(freeze));
        self.plan.freezes.at(environment, now, &counts).is_none()
    }
}
