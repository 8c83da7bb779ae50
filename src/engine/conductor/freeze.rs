//! Freezes: hands those of the configuration to the rollouts that they concern, each on its own clock.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::conversation::answer::Answer;
use crate::domain::conversation::form::FieldValue;
use crate::domain::freeze::Frozen;
use crate::domain::people::PersonId;
use crate::domain::registry::Registered;
use crate::domain::rollout::command::{CommandBody, RolloutId};
use crate::domain::rollout::event::{Event, Recorded};
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
        let counts = |freeze: &Frozen| overridden.iter().any(|known| known.name == freeze.name && known.from == freeze.from);
        self.plan.freezes.at(environment, now, &counts).is_none()
    }

    /// The answer to a command, with what only the installation knows: that the window falls into a freeze, that another rollout
    /// of the same runbook is open.
    pub(super) fn answer(&self, state: &State, person: Option<&PersonId>, events: &[Recorded]) -> Answer {
        let mut answer = crate::domain::conversation::answer::answer(state, &self.plan.people, state.last_at, person, events);
        let is_about_the_window = events
            .iter()
            .any(|recorded| matches!(recorded.event, Event::Started(_) | Event::InputSet { value: FieldValue::Window(_), .. }));
        if let (Some(environment), Some(window), true) =
            (&state.runbook.environment, state.window(), is_about_the_window && !state.rehearsal)
        {
            let ends = window.starts + TimeDelta::seconds(window.seconds.unwrap_or_default());
            if let Some(warning) = self.plan.freezes.warning(environment, window.starts, ends) {
                answer.text = format!("{} {warning}", answer.text);
            }
        }
        if events.iter().any(|recorded| matches!(recorded.event, Event::Started(_))) && state.parent.is_none() {
            let registry = self.registry();
            // As it was then: whoever asks again is told the same.
            let was_open =
                |known: &Registered| known.number < state.number && known.closed_at.is_none_or(|at| at > state.started);
            let twin = |known: &Registered| known.runbook == state.runbook.name && known.rehearsal == state.rehearsal;
            let others = registry.rollouts.iter().filter(|(_, known)| known.parent.is_none() && was_open(known) && twin(known));
            let others: Vec<String> = others.map(|(id, _)| format!("`{id}`")).collect();
            if !others.is_empty() {
                let (others, are) = (others.join(", "), if others.len() == 1 { "is" } else { "are" });
                answer.text = format!("{} Of the same runbook {others} {are} open.", answer.text);
            }
        }
        answer
    }
}
