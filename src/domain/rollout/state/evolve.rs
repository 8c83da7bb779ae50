//! How every event changes the state. Live and replay both come through here.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::rollout::event::{ActionOutcome, Event, Recorded};
use crate::domain::runbook::model::Outcome;

use super::{
    ActionStage, ActionState, Announcement, Destination, EnvironmentStage, Held, NEWEST_MAX, Note, PhaseState, State, StepState,
    StepStatus, Vote,
};

impl State {
    /// What one event changes. Events that do not fit the state change nothing but its sequence: `decide` never makes
    /// them, and a journal that holds one is still readable.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.sequence += 1;
        self.last_at = recorded.at;
        let real_at = recorded.at - TimeDelta::seconds(self.shift_seconds);
        self.recent.note(&recorded.command, self.sequence, real_at);
        let (at, by, sequence) = (recorded.at, &recorded.by, self.sequence);
        match &recorded.event {
            Event::Started(_) | Event::ReceiptCameLate { .. } => {}
            Event::ClockAdvanced { seconds } => self.shift_seconds += seconds,
            Event::InputSet { input, value } => drop(self.values.insert(input.clone(), value.clone())),
            Event::PhaseOpened { phase, late_seconds } => {
                self.set_phase(*phase, PhaseState::Open { since: at, late_seconds: *late_seconds });
            }
            Event::PhaseSettled { phase } => {
                let (since, late_seconds) = match self.phases.get(*phase) {
                    Some(PhaseState::Open { since, late_seconds }) => (*since, *late_seconds),
                    _ => (at, 0),
                };
                self.set_phase(*phase, PhaseState::Settled { since, late_seconds, at });
            }
            Event::PhasePassedOver { phase, why } => self.set_phase(*phase, PhaseState::PassedOver(*why)),
            Event::StepOpened { step, people, confirm } => self.on_step(*step, |step| {
                step.status = StepStatus::Open { since: at };
                step.people.clone_from(people);
                step.confirm = *confirm;
            }),
            Event::StepPassedOver { step, why } => self.on_step(*step, |step| step.status = StepStatus::PassedOver(*why)),
            Event::StepFailed { step, reason } => self.fail_step(*step, reason, false, at),
            Event::Acknowledged { step, .. } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    step.acknowledged.insert(person.clone(), at);
                }
            }),
            Event::Listening { step } => self.on_step(*step, |step| step.listeners.extend(by.clone())),
            Event::ItemTicked { step, item } => {
                self.on_step(*step, |step| drop(step.ticked.insert(*item, (by.clone(), at))));
            }
            Event::StepCompleted { step, fields } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                step.status = StepStatus::Done { since, at, by: by.clone() };
                step.fields.extend(fields.clone());
                step.generation += 1;
            }),
            Event::VoteCast { step, choice, reason } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    // Who voted first stays the first to have voted, however often the vote changes.
                    let order = step.votes.get(person).map_or(sequence, |vote| vote.order);
                    step.votes.insert(person.clone(), Vote { choice: *choice, reason: reason.clone(), at, order });
                }
            }),
            Event::DecisionSettling { step, choice, until } => self.on_step(*step, |s| s.settling = Some((*choice, *until))),
            Event::DecisionUnsettled { step } => self.on_step(*step, |step| step.settling = None),
            Event::DecisionTaken { step, choice } => self.on_step(*step, |step| {
                step.settling = None;
                step.decision = Some(*choice);
                step.generation += 1;
            }),
            Event::AnnouncementIssued { step, message, subject, text, must_know, to } => {
                let destinations = to.iter().cloned().map(|address| Destination { address, attempt: 1, outcome: None }).collect();
                self.announcements.push(Announcement {
                    sequence,
                    step: *step,
                    message: message.clone(),
                    subject: subject.clone(),
                    text: text.clone(),
                    must_know: *must_know,
                    issued: at,
                    destinations,
                });
            }
            Event::DeliveryEnded { announcement, slot, attempt, outcome } => {
                let found = self.announcements.iter_mut().find(|a| a.sequence == *announcement);
                if let Some(destination) = found.and_then(|a| a.destinations.get_mut(*slot))
                    && destination.attempt == *attempt
                {
                    destination.outcome = Some(outcome.clone());
                }
            }
            Event::ActionRequested { step, attempt, inputs } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                step.status = StepStatus::Open { since };
                step.confirm = false;
                step.generation += 1;
                step.action = Some(ActionState {
                    sequence,
                    attempt: *attempt,
                    inputs: inputs.clone(),
                    stage: ActionStage::Requested,
                    requested: at,
                    begun: None,
                });
            }),
            Event::ActionAttempted { step, .. } => self.on_step(*step, |step| {
                if let Some(action) = &mut step.action {
                    action.stage = ActionStage::Attempted { at };
                    action.begun = Some(at);
                }
            }),
            Event::ActionEnded { step, outcome, .. } => {
                self.on_step(*step, |step| {
                    if let Some(action) = &mut step.action {
                        action.stage = ActionStage::Ended { at };
                    }
                    if let ActionOutcome::Succeeded { outputs } = outcome {
                        step.outputs.clone_from(outputs);
                    }
                });
                match outcome {
                    ActionOutcome::Succeeded { .. } => {}
                    ActionOutcome::Failed { reason } => self.fail_step(*step, reason, false, at),
                    ActionOutcome::Unknown { reason } => self.fail_step(*step, reason, true, at),
                }
            }
            Event::ResultRecorded { result } => self.result = Some(*result),
            Event::NoteAdded { text } => self.notes.push(Note { by: by.clone(), at, text: text.clone() }),
            Event::Held { reason } => {
                self.generation += 1;
                self.held = Some(Held { since: at, by: by.clone(), reason: reason.clone() });
            }
            Event::Resumed => {
                self.generation += 1;
                self.held = None;
            }
            Event::Aborted { reason } => {
                self.generation += 1;
                self.aborted = Some(reason.clone());
                self.result = Some(Outcome::Aborted);
                self.held = None;
            }
            Event::EnvironmentClaimed => self.environment = EnvironmentStage::Claimed,
            Event::EnvironmentGranted => self.environment = EnvironmentStage::Held,
            Event::EnvironmentReleased => self.environment = EnvironmentStage::Released,
            Event::CardPosted { venue, reference } => drop(self.cards.insert(venue.clone(), reference.clone())),
            Event::Ended { result } => {
                self.result = Some(*result);
                self.ended = Some(at);
            }
        }
        let silent = matches!(
            recorded.event,
            Event::Started(_) | Event::CardPosted { .. } | Event::ActionAttempted { .. } | Event::PhaseSettled { .. }
        );
        if !silent {
            self.newest.push_back((sequence, recorded.clone()));
            if self.newest.len() > NEWEST_MAX {
                self.newest.pop_front();
            }
        }
    }

    fn set_phase(&mut self, phase: usize, status: PhaseState) {
        if let Some(slot) = self.phases.get_mut(phase) {
            *slot = status;
        }
    }

    fn on_step(&mut self, step: usize, change: impl FnOnce(&mut StepState)) {
        if let Some(step) = self.steps.get_mut(step) {
            change(step);
        }
    }

    fn fail_step(&mut self, step: usize, reason: &str, unknown: bool, at: DateTime<Utc>) {
        self.on_step(step, |step| {
            // What was passed over meanwhile stays passed over.
            if !step.status.is_open() {
                return;
            }
            let since = step.since().unwrap_or(at);
            step.status = StepStatus::Failed { since, reason: reason.to_owned(), unknown };
            step.generation += 1;
        });
    }
}
