//! When phases and steps open, and when they are settled.

use crate::domain::message::template;
use crate::domain::people::{Directory, PersonId};
use crate::domain::rollout::event::{Event, PassedOver};
use crate::domain::rollout::scope::{scope, scope_of_step};
use crate::domain::rollout::state::{EnvironmentStage, PhaseState, State, StepStatus};
use crate::domain::runbook::model::StepKind;

use super::{LATE_SECONDS_MIN, Watch, intake_done, is_next};

/// Who a step is meant for, as the names in the runbook stand now.
#[must_use]
pub fn meant(state: &State, index: usize, people: &Directory) -> Vec<PersonId> {
    let step = &state.runbook.steps[index];
    let names = match &step.kind {
        StepKind::Acknowledge { from } => from,
        StepKind::Decide { voters, .. } => voters,
        StepKind::Ask { from, .. } if !from.is_empty() => from,
        StepKind::Let { confirm: Some(confirm), .. } => confirm,
        StepKind::Run { press: Some(press), .. } if !press.is_empty() => press,
        StepKind::Run { .. } if !state.runbook.may.run.is_empty() => &state.runbook.may.run,
        _ => &step.who,
    };
    if names.is_empty() { state.owners(people) } else { state.resolve(names, people) }
}

/// Whether a step may be ticked as done although its phase has not opened.
#[must_use]
pub fn offers_done(state: &State, index: usize) -> bool {
    let Some((definition, step)) = state.step(index) else { return false };
    state.runbook.phases[definition.phase].offer_done
        && state.phases[definition.phase] == PhaseState::Waiting
        && state.result.is_none()
        && step.status == StepStatus::Pending
        && matches!(definition.kind, StepKind::Task { .. } | StepKind::Run { by_hand: Some(_), .. })
}

/// Whether a phase waits for nothing but a person who opens it.
#[must_use]
pub fn waits_for_opening(state: &State, phase: usize) -> bool {
    let Some(definition) = state.runbook.phases.get(phase) else { return false };
    definition.opens.is_some()
        && state.phases[phase] == PhaseState::Waiting
        && !state.released.contains(&phase)
        && state.aborted.is_none()
        && is_next(state, phase)
        && intake_done(state, phase)
        && state.due_of_phase(phase).is_none_or(|due| due <= state.last_at)
}

impl Watch<'_> {
    pub(super) fn phase(&self, phase: usize) -> Vec<Event> {
        match self.state.phases[phase] {
            PhaseState::Waiting => self.waiting_phase(phase),
            PhaseState::Open { .. } => self.open_phase(phase),
            PhaseState::Settled { .. } | PhaseState::PassedOver(_) => Vec::new(),
        }
    }

    pub(super) fn waiting_phase(&self, phase: usize) -> Vec<Event> {
        let definition = &self.state.runbook.phases[phase];
        if self.state.aborted.is_some() && !definition.always {
            return self.pass_over(phase, PassedOver::Aborted);
        }
        if self.state.held.is_some() || !is_next(self.state, phase) {
            return Vec::new();
        }
        if let Some(condition) = &definition.condition {
            match template::holds(condition, &scope(self.state, self.now)) {
                Ok(true) => {}
                Ok(false) => return self.pass_over(phase, PassedOver::NotApplicable),
                Err(problem) => {
                    return vec![Event::held(Some(format!("`if` of the phase `{}`: {problem}", definition.id)))];
                }
            }
        }
        if let Some(intake) = definition.intake
            && self.state.aborted.is_none()
            && !self.state.steps[intake].status.is_settled()
        {
            return match self.state.steps[intake].status {
                // All of it was said before, at the start for instance.
                StepStatus::Pending if self.knows_all(intake) => {
                    vec![Event::StepPassedOver { step: intake, why: PassedOver::NotApplicable }]
                }
                StepStatus::Pending => {
                    vec![Event::StepOpened { step: intake, people: self.state.owners(self.people), confirm: false }]
                }
                _ => Vec::new(),
            };
        }
        let due = self.state.due_of_phase(phase);
        if definition.opens.is_some() && !self.state.released.contains(&phase) && self.state.aborted.is_none() {
            return Vec::new();
        }
        let in_time = match (&definition.at, due) {
            (None, _) => true,
            // A person said when its day comes.
            (Some(at), _) if at.is_manual() => true,
            (Some(_), Some(due)) => due <= self.now || self.state.aborted.is_some(),
            // Without a window yet, what comes before it is asked for opens at once.
            (Some(_), None) => self.asks_for_window().is_some_and(|asking| phase <= asking) || self.state.aborted.is_some(),
        };
        if !in_time {
            return Vec::new();
        }
        let locks = self.state.runbook.lock_from.is_some_and(|from| phase >= from) && self.state.result.is_none();
        // A rehearsal touches nothing, so it is in nobody's way.
        let locks = locks && !self.state.rehearsal;
        if locks {
            match self.state.environment {
                EnvironmentStage::Claimed => return Vec::new(),
                // It is being given back. Once that is done it is asked for again.
                _ if self.state.gives_up => return Vec::new(),
                EnvironmentStage::NotNeeded => return vec![Event::EnvironmentClaimed],
                EnvironmentStage::Held if self.state.locked_by.is_some() => return vec![Event::EnvironmentNeeded],
                EnvironmentStage::Held | EnvironmentStage::Released => {}
            }
        }
        let late_seconds = due.map_or(0, |due| (self.now - due).num_seconds());
        vec![Event::PhaseOpened { phase, late_seconds: if late_seconds >= LATE_SECONDS_MIN { late_seconds } else { 0 } }]
    }

    /// Whether everything that an intake asks for is known.
    pub(super) fn knows_all(&self, intake: usize) -> bool {
        match &self.state.runbook.steps[intake].kind {
            StepKind::Ask { sets, .. } => sets.values().all(|input| self.state.values.contains_key(input)),
            _ => false,
        }
    }

    /// The phase in which the window is asked for.
    pub(super) fn asks_for_window(&self) -> Option<usize> {
        let window = &self.state.runbook.window_input()?.field.name;
        let asks = self.state.runbook.steps.iter().find(|step| match &step.kind {
            StepKind::Ask { sets, .. } => sets.values().any(|input| input == window),
            _ => false,
        });
        asks.map(|step| step.phase)
    }

    pub(super) fn pass_over(&self, phase: usize, why: PassedOver) -> Vec<Event> {
        let steps = self.state.runbook.steps_of(phase).filter(|step| !self.state.steps[*step].status.is_settled());
        steps.map(|step| Event::StepPassedOver { step, why }).chain([Event::PhasePassedOver { phase, why }]).collect()
    }

    pub(super) fn open_phase(&self, phase: usize) -> Vec<Event> {
        let definition = &self.state.runbook.phases[phase];
        if self.state.aborted.is_some() && !definition.always {
            let open = self.state.runbook.steps_of(phase).filter(|step| !self.state.steps[*step].status.is_settled());
            let passed = open.map(|step| Event::StepPassedOver { step, why: PassedOver::Aborted });
            return passed.chain([Event::PhaseSettled { phase }]).collect();
        }
        for index in &definition.during {
            if self.state.steps[*index].status == StepStatus::Pending {
                let opened = self.open_step(*index, phase);
                if !opened.is_empty() {
                    return opened;
                }
            }
        }
        for index in &definition.steps {
            let step = &self.state.steps[*index];
            match step.status {
                StepStatus::Pending => return self.open_step(*index, phase),
                _ if step.status.is_settled() || definition.parallel => {}
                _ => return Vec::new(),
            }
        }
        if definition.steps.iter().all(|index| self.state.steps[*index].status.is_settled()) {
            let during = definition.during.iter().filter(|step| !self.state.steps[**step].status.is_settled());
            let over = during.map(|step| Event::StepPassedOver { step: *step, why: PassedOver::PhaseOver });
            return over.chain([Event::PhaseSettled { phase }]).collect();
        }
        Vec::new()
    }

    pub(super) fn open_step(&self, index: usize, phase: usize) -> Vec<Event> {
        let step = &self.state.runbook.steps[index];
        if self.state.held.is_some() {
            return Vec::new();
        }
        if let Some(condition) = &step.condition {
            match template::holds(condition, &scope_of_step(self.state, index, self.now)) {
                Ok(true) => {}
                Ok(false) => return vec![Event::StepPassedOver { step: index, why: PassedOver::NotApplicable }],
                Err(problem) => return vec![Event::held(Some(format!("`if` of the step `{}`: {problem}", step.id)))],
            }
        }
        let people = meant(self.state, index, self.people);
        let asks_many = matches!(&step.kind, StepKind::Ask { from, .. } if !from.is_empty());
        let needs_people = asks_many || matches!(step.kind, StepKind::Acknowledge { .. } | StepKind::Decide { .. });
        if needs_people && people.is_empty() {
            let reason = format!("nobody is meant by the step `{}`: its teams are empty", step.id);
            return vec![Event::held(Some(reason))];
        }
        let late = matches!(self.state.phases[phase], PhaseState::Open { late_seconds, .. } if late_seconds > 0);
        let confirm = late && matches!(step.kind, StepKind::Run { press: None, .. });
        vec![Event::StepOpened { step: index, people, confirm }]
    }
}
