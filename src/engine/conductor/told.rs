//! What the one who asked is told, with what only the installation knows.

use chrono::TimeDelta;

use crate::domain::conversation::answer::{self, Answer};
use crate::domain::conversation::form::FieldValue;
use crate::domain::people::{PersonId, list_names};
use crate::domain::registry::Registered;
use crate::domain::rollout::event::{Event, Recorded};
use crate::domain::rollout::state::State;

use super::Shared;

impl Shared {
    /// The answer to a command, with what only the installation knows.
    pub(super) fn answer(&self, state: &State, person: Option<&PersonId>, events: &[Recorded]) -> Answer {
        let mut answer = answer::answer(state, &self.plan.people, state.last_at, person, events);
        for says in [self.freeze_in_the_window(state, events), self.open_beside(state, events)].into_iter().flatten() {
            answer.text = format!("{} {says}", answer.text);
        }
        answer
    }

    /// That the window, where it is about that, falls into a freeze.
    fn freeze_in_the_window(&self, state: &State, events: &[Recorded]) -> Option<String> {
        let is_about_it =
            |event: &Event| matches!(event, Event::Started(_) | Event::InputSet { value: FieldValue::Window(_), .. });
        if state.rehearsal || !events.iter().any(|recorded| is_about_it(&recorded.event)) {
            return None;
        }
        let window = state.window()?;
        let ends = window.starts + TimeDelta::seconds(window.seconds.unwrap_or_default());
        self.plan.freezes.warning(state.runbook.environment.as_ref()?, window.starts, ends)
    }

    /// That other rollouts of the same runbook were open when one started: whoever asks again is told the same.
    fn open_beside(&self, state: &State, events: &[Recorded]) -> Option<String> {
        let starts = events.iter().any(|recorded| matches!(recorded.event, Event::Started(_)));
        if !starts || state.parent.is_some() {
            return None;
        }
        let registry = self.registry();
        let was_open = |known: &Registered| known.number < state.number && known.closed_at.is_none_or(|at| at > state.started);
        let is_twin = |known: &Registered| known.runbook == state.runbook.name && known.rehearsal == state.rehearsal;
        let others = registry.rollouts.iter().filter(|(_, known)| known.parent.is_none() && was_open(known) && is_twin(known));
        let others: Vec<String> = others.map(|(id, _)| format!("`{id}`")).collect();
        let are = if others.len() == 1 { "is" } else { "are" };
        (!others.is_empty()).then(|| format!("Of the same runbook {} {are} open.", list_names(&others)))
    }
}
