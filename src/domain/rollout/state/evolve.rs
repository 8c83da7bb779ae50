//! How every event changes the state. Live and replay both come through here.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::conversation::form::FieldValue;
use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::{ActionOutcome, DeliveryOutcome, Event, Fate, Nudge, PassedOver, REHEARSAL, Recorded};
use crate::domain::runbook::model::Outcome;

use super::{
    ActionStage, ActionState, Amended, Announcement, Checks, Child, Destination, EnvironmentStage, Given, Held, NEWEST_MAX, Note,
    Overridden, PhaseState, Proposed, Skipped, State, StepState, StepStatus, Vote,
};

impl State {
    /// What one event changes. Events that do not fit the state change nothing but its sequence: `decide` never makes
    /// them, and a journal that holds one is still readable.
    pub fn evolve(&mut self, recorded: &Recorded) {
        self.sequence += 1;
        self.last_at = recorded.at;
        // Whatever a journal holds, reading it ends: a clock that was moved off the calendar stands where the event says.
        let shifted = TimeDelta::try_seconds(self.shift_seconds).and_then(|shift| recorded.at.checked_sub_signed(shift));
        let real_at = shifted.unwrap_or(recorded.at);
        self.recent.note(&recorded.command, self.sequence, real_at);
        let (at, by, sequence) = (recorded.at, &recorded.by, self.sequence);
        if let (Some(person), false) = (by, matches!(recorded.event, Event::ClockAdvanced { .. })) {
            self.acted = Some((person.clone(), at));
        }
        self.remember(recorded);
        self.stir(recorded);
        match &recorded.event {
            Event::Started(_) | Event::ReceiptCameLate { .. } => {}
            Event::ClockAdvanced { seconds } => self.shift_seconds = self.shift_seconds.saturating_add(*seconds),
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
            Event::StepOpened { step, people, confirm } => {
                let opened_by = self.acted.clone().filter(|(_, acted)| *acted == at).map(|(person, _)| person);
                self.on_step(*step, |step| {
                    step.status = StepStatus::Open { since: at };
                    step.opened = sequence;
                    step.opened_by = opened_by;
                    step.people = people.clone().into();
                    step.confirm = *confirm;
                });
            }
            Event::StepPassedOver { step, why } => self.on_step(*step, |step| step.status = StepStatus::PassedOver(*why)),
            Event::StepFailed { step, reason } | Event::ChildNotStarted { step, reason } => {
                self.fail_step(*step, reason, false, at);
            }
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
            Event::ValueProposed { step, fields } => self.on_step(*step, |step| step.fields.clone_from(fields)),
            Event::VoteCast { step, choice, reason, instead_of } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    let voter = instead_of.as_ref().unwrap_or(person);
                    // Who voted first stays the first to have voted, however often the vote changes.
                    let order = step.votes.get(voter).map_or(sequence, |vote| vote.order);
                    let vote = Vote { choice: *choice, by: person.clone(), reason: reason.clone(), at, order };
                    step.votes.insert(voter.clone(), vote);
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
                let destinations = self.destinations(to.iter().cloned().map(Recipient::Address));
                self.issue(Announcement {
                    sequence,
                    step: Some(*step),
                    nudge: None,
                    message: message.clone(),
                    subject: subject.clone(),
                    text: text.clone(),
                    must_know: *must_know,
                    issued: at,
                    destinations,
                });
            }
            Event::DeliveryEnded { announcement, slot, attempt, outcome } => {
                self.on_destination(*announcement, *slot, |destination| {
                    if destination.attempt == *attempt {
                        destination.outcome = Some(outcome.clone());
                    }
                });
            }
            Event::ActionRequested { step, attempt, inputs } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                step.status = StepStatus::Open { since };
                step.confirm = false;
                // The next attempt takes two again.
                step.approved = None;
                step.generation += 1;
                step.action = Some(ActionState {
                    sequence,
                    attempt: *attempt,
                    inputs: inputs.clone(),
                    stage: ActionStage::Requested,
                    requested: at,
                    begun: None,
                    by: by.clone(),
                    cancelled: None,
                    looked: 0,
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
            Event::ResultRecorded { result } => {
                self.result = Some(*result);
                self.freeze = None;
            }
            Event::NoteAdded { text, kind } => self.notes.push(Note { by: by.clone(), at, text: text.clone(), kind: *kind }),
            Event::SkipProposed { step, reason } => self.on_step(*step, |step| {
                step.skip_proposed = by.clone().map(|person| (person, reason.clone()));
                step.generation += 1;
            }),
            Event::StepSkipped { step, reason, proposed_by } => self.on_step(*step, |step| {
                step.status = StepStatus::PassedOver(PassedOver::Skipped);
                step.skip_proposed = None;
                let (by, proposed_by) = (by.clone(), proposed_by.clone());
                step.skipped = Some(Skipped { reason: reason.clone(), at, by, proposed_by });
                step.generation += 1;
            }),
            Event::StepReopened { step, .. } => self.reopen(*step, at, sequence),
            Event::StepAssigned { step, people } => self.on_step(*step, |step| {
                step.people = people.clone().into();
                step.nudged.clear();
                step.escalated = false;
            }),
            Event::HandedOver { to } => self.owner = Some(to.clone()),
            Event::RunApproved { step } => self.on_step(*step, |step| {
                step.approved.clone_from(by);
                step.generation += 1;
            }),
            Event::AnswerGiven { step, fields } => self.on_step(*step, |step| {
                if let Some(person) = by {
                    step.answers.insert(person.clone(), (fields.clone(), at));
                }
            }),
            Event::CancelRequested { step, .. } => self.on_step(*step, |step| {
                if let Some(action) = &mut step.action {
                    action.cancelled = Some(at);
                }
                step.generation += 1;
            }),
            Event::FateSaid { step, attempt, fate } => self.on_step(*step, |step| {
                let since = step.since().unwrap_or(at);
                if let Some(action) = step.action.as_mut().filter(|action| action.attempt == *attempt)
                    && *fate == Fate::Look
                {
                    // It is looked up by its identity, as after a crash, and has its time once more.
                    action.stage = ActionStage::Attempted { at };
                    action.looked += 1;
                    step.status = StepStatus::Open { since };
                }
                step.generation += 1;
            }),
            Event::PersonWaived { step, person, reason } => {
                let given = Given { reason: reason.clone(), by: by.clone(), at };
                self.on_step(*step, |step| drop(step.waived.insert(person.clone(), given)));
            }
            Event::DestinationWaived { announcement, slot, reason } => {
                let given = Given { reason: reason.clone(), by: by.clone(), at };
                self.on_destination(*announcement, *slot, |to| to.waived = Some(given));
            }
            Event::DeliveryRetried { announcement, slot, attempt } => {
                self.on_destination(*announcement, *slot, |to| {
                    to.attempt = *attempt;
                    to.outcome = None;
                });
                let step = self.announcement(*announcement).and_then(|a| a.step);
                if let Some(step) = step {
                    self.on_step(step, |step| {
                        step.status = StepStatus::Open { since: step.since().unwrap_or(at) };
                        step.generation += 1;
                    });
                }
            }
            Event::AskedAgain { step } => {
                self.on_step(*step, |step| step.acknowledged.clear());
                self.reopen(*step, at, sequence);
            }
            Event::BackedOff { phase } => {
                self.backed_off.insert(*phase);
                let (since, late_seconds) = match self.phases.get(*phase) {
                    Some(PhaseState::Open { since, late_seconds }) => (*since, *late_seconds),
                    _ => (at, 0),
                };
                self.set_phase(*phase, PhaseState::Settled { since, late_seconds, at });
                for index in self.runbook.clone().steps_of(*phase) {
                    self.on_step(index, |step| {
                        step.generation += 1;
                        match &mut step.status {
                            StepStatus::Failed { left, .. } => *left = true,
                            StepStatus::Pending | StepStatus::Open { .. } => {
                                step.status = StepStatus::PassedOver(PassedOver::BackedOff);
                            }
                            StepStatus::Done { .. } | StepStatus::PassedOver(_) => {}
                        }
                    });
                }
            }
            Event::Informed { people, text } => {
                self.informed = true;
                let destinations = self.destinations(people.iter().cloned().map(Recipient::Person));
                self.issue(Announcement {
                    sequence,
                    step: None,
                    nudge: None,
                    message: "for information".to_owned(),
                    subject: Some(self.title.clone()),
                    text: text.clone(),
                    must_know: false,
                    issued: at,
                    destinations,
                });
            }
            Event::Nudged { step, people, nudge, text } => {
                let destinations = self.destinations(people.iter().cloned().map(Recipient::Person));
                self.issue(Announcement {
                    sequence,
                    step: None,
                    nudge: Some((*nudge, *step)),
                    message: "reminder".to_owned(),
                    subject: None,
                    text: text.clone(),
                    must_know: false,
                    issued: at,
                    destinations,
                });
                self.on_step(*step, |step| {
                    step.nudged.extend(people.iter().map(|person| (person.clone(), at)));
                    step.escalated |= *nudge == Nudge::Escalation;
                });
            }
            Event::PhaseReleased { phase } => drop(self.released.insert(*phase)),
            Event::Told { corrects, text, to } => {
                let destinations = self.destinations(to.iter().cloned().map(Recipient::Address));
                let message = if corrects.is_some() { "correction" } else { "announcement" };
                let subject = if corrects.is_some() { format!("Correction: {}", self.title) } else { self.title.clone() };
                self.issue(Announcement {
                    sequence,
                    step: None,
                    nudge: None,
                    message: message.to_owned(),
                    subject: Some(subject),
                    text: text.clone(),
                    must_know: false,
                    issued: at,
                    destinations,
                });
            }
            Event::Checked { step, good, reason } => self.on_step(*step, |step| {
                step.checks.recorded += 1;
                step.checks.good = if *good { step.checks.good + 1 } else { 0 };
                step.checks.bad = if *good { None } else { Some(reason.clone().unwrap_or_default()) };
            }),
            Event::Held { reason, with_parent } => {
                self.generation += 1;
                let (reason, with_parent) = (reason.clone(), *with_parent);
                self.held = Some(Held { since: at, by: by.clone(), reason, with_parent });
            }
            Event::Resumed => {
                self.generation += 1;
                self.held = None;
            }
            Event::Aborted { reason } => {
                self.generation += 1;
                self.aborted = Some(Given { reason: reason.clone(), by: by.clone(), at });
                self.result = Some(Outcome::Aborted);
                self.held = None;
                self.freeze = None;
            }
            Event::ChildStarted { step, child } => {
                let told = 0;
                self.on_step(*step, |step| {
                    step.child = Some(Child { rollout: child.clone(), settled: false, result: None, told });
                });
            }
            Event::ChildSettled { step, child, result } => self.on_step(*step, |step| {
                if let Some(known) = step.child.as_mut().filter(|known| known.rollout == *child) {
                    known.settled = true;
                    known.result = result.or(known.result);
                    step.generation += 1;
                }
            }),
            Event::ChildTold { step, sequence } => self.on_step(*step, |step| {
                if let Some(child) = &mut step.child {
                    child.told = child.told.max(*sequence);
                }
            }),
            Event::ParentTold { ended } => self.parent_told = Some(*ended),
            Event::AmendmentProposed { amendment } => {
                let is_there = amendment.step() < self.steps.len();
                self.amendment =
                    by.clone().filter(|_| is_there).map(|by| Proposed { amendment: amendment.clone(), by, sequence });
            }
            Event::Amended { amendment, proposed_by } => {
                self.amendment = None;
                self.amend(amendment);
                let by = [proposed_by.clone()].into_iter().chain(by.clone()).collect();
                self.amendments.push(Amended { amendment: amendment.clone(), by, at });
            }
            Event::EnvironmentClaimed => {
                self.environment = EnvironmentStage::Claimed;
                self.locked_by.clone_from(by);
            }
            Event::EnvironmentTaken { .. } => self.environment = EnvironmentStage::Claimed,
            Event::EnvironmentNeeded => {
                self.environment = EnvironmentStage::Claimed;
                self.locked_by = None;
            }
            Event::EnvironmentGivenUp => {
                self.gives_up = true;
                self.freeze = None;
            }
            Event::TakeoverAsked { reason } => self.takeover = Some(reason.clone()),
            Event::FreezeBegan { freeze } => self.freeze = Some(freeze.clone()),
            Event::FreezeEnded { .. } => self.freeze = None,
            Event::FreezeOverridden { freeze, reason } => {
                self.freeze = None;
                let (freeze, by, reason) = (freeze.clone(), by.clone(), reason.clone());
                self.overridden.push(Overridden { freeze, by, at, reason });
            }
            Event::EnvironmentGranted => {
                self.freeze = None;
                self.environment = EnvironmentStage::Held;
                self.takeover = None;
            }
            Event::EnvironmentReleased => {
                // What was given back before its time is asked for again when that comes.
                self.environment = if self.gives_up { EnvironmentStage::NotNeeded } else { EnvironmentStage::Released };
                self.gives_up = false;
                self.locked_by = None;
                self.takeover = None;
            }
            Event::CardPosted { venue, reference } => drop(self.cards.insert(venue.clone(), reference.clone())),
            Event::Ended { result, .. } => {
                self.result = Some(*result);
                self.ended = Some(at);
            }
        }
        if matches!(
            recorded.event,
            Event::Held { .. }
                | Event::Resumed
                | Event::Aborted { .. }
                | Event::ClockAdvanced { .. }
                | Event::InputSet { value: FieldValue::Window(_), .. }
        ) {
            self.whole_sequence = self.sequence;
        }
        let silent = match &recorded.event {
            // What would have been written is all there is to be seen of it.
            Event::Nudged { nudge: Nudge::Needed, .. } if self.rehearsal => false,
            Event::Started(_)
            | Event::CardPosted { .. }
            | Event::ActionAttempted { .. }
            | Event::PhaseSettled { .. }
            | Event::EnvironmentNeeded
            | Event::EnvironmentGivenUp
            | Event::ChildTold { .. }
            | Event::ParentTold { .. }
            | Event::Nudged { nudge: Nudge::Needed, .. } => true,
            Event::DeliveryEnded { announcement, .. } => self.announcement(*announcement).is_some_and(Announcement::is_personal),
            _ => false,
        };
        if !silent {
            self.newest.push_back((sequence, recorded.clone()));
            if self.newest.len() > NEWEST_MAX {
                self.newest.pop_front();
            }
        }
    }

    /// What is issued goes to these; in a rehearsal it goes nowhere, and is done with: its words are in the log.
    fn destinations(&self, to: impl Iterator<Item = Recipient>) -> Vec<Destination> {
        let stays = || DeliveryOutcome::Delivered { reference: REHEARSAL.to_lowercase(), possibly_repeated: false };
        let outcome = self.rehearsal.then(stays);
        to.map(|to| Destination { outcome: outcome.clone(), ..Destination::new(to) }).collect()
    }

    fn on_destination(&mut self, announcement: u64, slot: usize, change: impl FnOnce(&mut Destination)) {
        let Some(place) = self.place_of(announcement) else { return };
        let Some(found) = self.announcements.get_mut(place) else { return };
        if let Some(destination) = found.destinations.get_mut(slot) {
            change(destination);
        }
        if found.is_settled() {
            self.under_way.remove(&place);
        } else {
            self.under_way.insert(place);
        }
    }

    /// Adds an announcement after those before it.
    fn issue(&mut self, announcement: Announcement) {
        if !announcement.is_settled() {
            self.under_way.insert(self.announcements.len());
        }
        self.announcements.push(announcement);
    }

    /// A step that was settled is open again, and with it its phase.
    fn reopen(&mut self, index: usize, at: DateTime<Utc>, sequence: u64) {
        let Some(phase) = self.runbook.steps.get(index).map(|step| step.phase) else { return };
        self.on_step(index, |step| {
            step.status = StepStatus::Open { since: at };
            step.opened = sequence;
            step.checks = Checks::default();
            // Begun anew, it is another rollout.
            step.child = None;
            step.generation += 1;
            step.votes.clear();
            step.settling = None;
            step.decision = None;
            step.skipped = None;
            step.approved = None;
            step.skip_proposed = None;
            step.nudged.clear();
            step.escalated = false;
        });
        if let Some(PhaseState::Settled { since, late_seconds, .. }) = self.phases.get(phase) {
            let (since, late_seconds) = (*since, *late_seconds);
            self.set_phase(phase, PhaseState::Open { since, late_seconds });
        }
    }

    fn set_phase(&mut self, phase: usize, status: PhaseState) {
        if let Some(slot) = self.phases.get_mut(phase) {
            *slot = status;
        }
    }

    pub(super) fn on_step(&mut self, step: usize, change: impl FnOnce(&mut StepState)) {
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
            step.status = StepStatus::Failed { since, reason: reason.to_owned(), unknown, left: false };
            step.generation += 1;
        });
    }
}
