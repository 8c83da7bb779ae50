//! Checklists that run as rollouts of their own: what they and their parent tell each other. All of it may arrive twice.

use crate::domain::conversation::form::{FieldValue, Window};
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::{ClockKind, Event};
use crate::domain::rollout::state::StepStatus;
use crate::domain::runbook::model::{Outcome, StepKind};

use super::Desk;

impl Desk<'_> {
    pub(super) fn record_child(&self, index: usize, child: &Result<RolloutId, String>) -> Vec<Event> {
        let waits = self
            .state
            .steps
            .get(index)
            .is_some_and(|step| step.child.is_none() && matches!(step.status, StepStatus::Open { .. }));
        match child {
            _ if !waits => Vec::new(),
            Ok(child) => vec![Event::ChildStarted { step: index, child: child.clone() }],
            Err(reason) => vec![Event::ChildNotStarted { step: index, reason: reason.clone() }],
        }
    }

    /// A gate has to succeed; any other ending settles a step without one. What is recorded with it a person adds.
    pub(super) fn record_child_settled(&self, index: usize, child: &RolloutId, result: Option<Outcome>) -> Vec<Event> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        let StepKind::Checklist { gate, evidence, .. } = &definition.kind else { return Vec::new() };
        let Some(known) = step.child.as_ref().filter(|known| known.rollout == *child && known.result.is_none()) else {
            return Vec::new();
        };
        if known.settled && result.is_none() {
            return Vec::new();
        }
        let mut events = vec![Event::ChildSettled { step: index, child: child.clone(), result }];
        if !matches!(step.status, StepStatus::Open { .. }) {
            return events;
        }
        match result {
            Some(result) if *gate && result != Outcome::Succeeded => {
                events.push(Event::StepFailed { step: index, reason: format!("{child} ended {}", result.title()) });
            }
            _ if evidence.is_empty() => events.push(Event::StepCompleted { step: index, fields: Self::nothing() }),
            _ => {}
        }
        events
    }

    pub(super) fn record_child_told(&self, index: usize, sequence: u64) -> Vec<Event> {
        let child = self.state.steps.get(index).and_then(|step| step.child.as_ref());
        if child.is_some_and(|child| child.told < sequence) {
            vec![Event::ChildTold { step: index, sequence }]
        } else {
            Vec::new()
        }
    }

    /// Hold, abort, window and clock of the parent reach its checklists.
    pub(super) fn follow_parent(
        &self,
        held: bool,
        aborted: Option<&str>,
        window: Option<Window>,
        shift_seconds: i64,
    ) -> Vec<Event> {
        if self.state.ended.is_some() || self.state.parent.is_none() {
            return Vec::new();
        }
        let mut events = Vec::new();
        let behind = shift_seconds - self.state.shift_seconds;
        if behind > 0 && self.state.clock == ClockKind::Shifted {
            events.push(Event::ClockAdvanced { seconds: behind });
        }
        if let Some(reason) = aborted.filter(|_| self.state.result.is_none()) {
            events.push(Event::Aborted { reason: reason.to_owned() });
            return events;
        }
        let input = self.state.runbook.window_input().map(|input| input.field.name.clone());
        if let (Some(input), Some(window)) = (input, window.filter(|window| self.state.window() != Some(*window))) {
            events.extend(self.set_events(&input, &FieldValue::Window(window)));
        }
        match (held, &self.state.held) {
            (true, None) => {
                let reason = Some("the rollout it belongs to is on hold".to_owned());
                events.push(Event::Held { reason, with_parent: true });
            }
            // What somebody held here, somebody here lets go on.
            (false, Some(held)) if held.with_parent => events.push(Event::Resumed),
            _ => {}
        }
        events
    }

    /// No values: for steps that are completed without any.
    const fn nothing<K, V>() -> std::collections::BTreeMap<K, V> {
        std::collections::BTreeMap::new()
    }
}
