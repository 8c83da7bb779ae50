//! What happens by itself: phases open at their time, steps complete, decisions are taken, the rollout ends.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::message::template::{self, Landing};
use crate::domain::people::{Directory, PersonId};
use crate::domain::runbook::model::{Address, Outcome, StepKind};
use crate::domain::time::say_seconds;

use super::decide::request_action;
use super::event::{ActionOutcome, Choice, Event, PassedOver};
use super::scope::scope;
use super::state::{ActionStage, EnvironmentStage, PhaseState, State, StepStatus};

/// From how late on a phase says so, and lets nothing run unpressed: less is the time the machinery takes.
pub const LATE_SECONDS_MIN: i64 = 120;

/// The next things that happen by themselves; nothing when all is settled. Called until it answers nothing.
#[must_use]
pub fn follow(state: &State, at: DateTime<Utc>, people: &Directory) -> Vec<Event> {
    if state.ended.is_some() {
        return Vec::new();
    }
    let watch = Watch { state, now: state.not_before(at), people };
    let steps = || state.open_steps().map(|(index, _, _)| index).map(|index| watch.step(index)).find(|events| !events.is_empty());
    let phases = || (0..state.phases.len()).map(|phase| watch.phase(phase)).find(|events| !events.is_empty());
    steps().or_else(phases).unwrap_or_else(|| watch.end())
}

/// The next moment at which something may happen by itself.
#[must_use]
pub fn next_due(state: &State) -> Option<DateTime<Utc>> {
    if state.ended.is_some() {
        return None;
    }
    let settling = state.open_steps().filter_map(|(_, _, step)| step.settling.map(|(_, until)| until));
    let timeouts = state.open_steps().filter_map(|(index, _, _)| timeout_of(state, index));
    let phases = (0..state.phases.len()).filter(|_| state.held.is_none()).filter_map(|phase| {
        let waits = state.phases[phase] == PhaseState::Waiting && is_next(state, phase) && intake_done(state, phase);
        if waits { state.due_of_phase(phase).filter(|due| *due > state.last_at) } else { None }
    });
    settling.chain(timeouts).chain(phases).min()
}

fn timeout_of(state: &State, index: usize) -> Option<DateTime<Utc>> {
    let StepKind::Run { timeout_seconds: Some(seconds), .. } = state.runbook.steps[index].kind else { return None };
    match (&state.steps[index].status, state.steps[index].action.as_ref()?.stage.clone()) {
        (StepStatus::Open { .. }, ActionStage::Attempted { at }) => Some(at + TimeDelta::seconds(seconds)),
        _ => None,
    }
}

fn is_next(state: &State, phase: usize) -> bool {
    state.runbook.phases[phase].after.iter().all(|after| state.phases[*after].is_settled())
}

fn intake_done(state: &State, phase: usize) -> bool {
    state.runbook.phases[phase].intake.is_none_or(|intake| state.steps[intake].status.is_settled())
}

struct Watch<'a> {
    state: &'a State,
    now: DateTime<Utc>,
    people: &'a Directory,
}

impl Watch<'_> {
    fn step(&self, index: usize) -> Vec<Event> {
        let (step, state) = (&self.state.runbook.steps[index], &self.state.steps[index]);
        // A failed step waits for a person; after an abort its phase closes it, and nothing goes out in its name.
        let over = self.state.aborted.is_some() && !self.state.runbook.phases[step.phase].always;
        let StepStatus::Open { .. } = state.status else { return Vec::new() };
        if over {
            return Vec::new();
        }
        let completed = || Event::StepCompleted { step: index, fields: std::collections::BTreeMap::new() };
        match &step.kind {
            StepKind::Acknowledge { .. } if state.acknowledged.len() >= state.people.len() => vec![completed()],
            StepKind::Announce { message, to } => self.announce(index, message, to),
            StepKind::Result { result } => vec![Event::ResultRecorded { result: *result }, completed()],
            StepKind::Decide { notice, to, .. } => self.decision(index, notice.as_deref(), to),
            StepKind::Run { press, .. } => {
                if let Some(due) = timeout_of(self.state, index)
                    && due <= self.now
                {
                    let seconds = match step.kind {
                        StepKind::Run { timeout_seconds: Some(seconds), .. } => seconds,
                        _ => 0,
                    };
                    let reason = format!("it did not end within {}, and may still be running", say_seconds(seconds));
                    let attempt = state.action.as_ref().map_or(0, |action| action.attempt);
                    return vec![Event::ActionEnded { step: index, attempt, outcome: ActionOutcome::Unknown { reason } }];
                }
                let by_itself = press.is_none() && !state.confirm && state.action.is_none() && self.state.held.is_none();
                if !by_itself {
                    return Vec::new();
                }
                vec![
                    request_action(self.state, index, self.now)
                        .unwrap_or_else(|reason| Event::StepFailed { step: index, reason }),
                ]
            }
            StepKind::Acknowledge { .. } | StepKind::Task { .. } | StepKind::Ask { .. } => Vec::new(),
        }
    }

    fn announce(&self, index: usize, message: &str, to: &[String]) -> Vec<Event> {
        match self.state.announcements.iter().rfind(|a| a.step == index) {
            None if self.state.held.is_some() => Vec::new(),
            None => vec![self.issue(index, message, to)],
            Some(issued) if issued.is_settled() => vec![self.after_delivery(index)],
            Some(_) => Vec::new(),
        }
    }

    /// An announcement is done when every destination has it; a failure waits for a person.
    fn after_delivery(&self, index: usize) -> Event {
        let issued = self.state.announcements.iter().rfind(|a| a.step == index);
        let failed: Vec<String> =
            issued.into_iter().flat_map(super::state::Announcement::failed).map(|d| d.address.to_string()).collect();
        if failed.is_empty() {
            Event::StepCompleted { step: index, fields: std::collections::BTreeMap::new() }
        } else {
            Event::StepFailed { step: index, reason: format!("it did not reach {}", failed.join(", ")) }
        }
    }

    fn issue(&self, index: usize, message: &str, to: &[String]) -> Event {
        let Some(found) = self.state.runbook.messages.get(message) else {
            return Event::StepFailed { step: index, reason: format!("the message `{message}` is missing") };
        };
        let scope = scope(self.state, self.now);
        let text = template::render(&found.body, Landing::Markdown, &scope);
        let subject = found.subject.as_ref().map(|subject| template::render(subject, Landing::Plain, &scope)).transpose();
        let mut addresses: Vec<Address> = Vec::new();
        for address in to.iter().filter_map(|audience| self.state.runbook.audiences.get(audience)).flatten() {
            if !addresses.iter().any(|known| known.platform == address.platform && known.name == address.name) {
                addresses.push(address.clone());
            }
        }
        match (text, subject) {
            (Ok(text), Ok(subject)) => Event::AnnouncementIssued {
                step: index,
                message: message.to_owned(),
                // A line break in a subject would begin a new header of an e-mail.
                subject: subject.map(|s| s.replace(['\r', '\n'], " ")),
                text,
                must_know: found.must_know,
                to: addresses,
            },
            (Err(problem), _) | (_, Err(problem)) => {
                Event::StepFailed { step: index, reason: format!("the message `{message}` can't be written: {problem}") }
            }
        }
    }

    fn decision(&self, index: usize, notice: Option<&str>, to: &[String]) -> Vec<Event> {
        let step = &self.state.steps[index];
        match (step.decision, step.settling) {
            (None, Some((choice, until))) if until <= self.now => vec![Event::DecisionTaken { step: index, choice }],
            (None, _) => Vec::new(),
            (Some(_), _) => match notice {
                Some(message) => self.announce(index, message, to),
                None => vec![Event::StepCompleted { step: index, fields: std::collections::BTreeMap::new() }],
            },
        }
    }

    fn phase(&self, phase: usize) -> Vec<Event> {
        match self.state.phases[phase] {
            PhaseState::Waiting => self.waiting_phase(phase),
            PhaseState::Open { .. } => self.open_phase(phase),
            PhaseState::Settled { .. } | PhaseState::PassedOver(_) => Vec::new(),
        }
    }

    fn waiting_phase(&self, phase: usize) -> Vec<Event> {
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
                    return vec![Event::Held { reason: Some(format!("`if` of the phase `{}`: {problem}", definition.id)) }];
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
        let in_time = match (definition.at, due) {
            (None, _) => true,
            (Some(_), Some(due)) => due <= self.now || self.state.aborted.is_some(),
            // Without a window yet, what comes before it is asked for opens at once.
            (Some(_), None) => self.asks_for_window().is_some_and(|asking| phase <= asking) || self.state.aborted.is_some(),
        };
        if !in_time {
            return Vec::new();
        }
        let locks = self.state.runbook.lock_from.is_some_and(|from| phase >= from) && self.state.result.is_none();
        if locks && self.state.environment == EnvironmentStage::NotNeeded {
            return vec![Event::EnvironmentClaimed];
        }
        if locks && self.state.environment == EnvironmentStage::Claimed {
            return Vec::new();
        }
        let late_seconds = due.map_or(0, |due| (self.now - due).num_seconds());
        vec![Event::PhaseOpened { phase, late_seconds: if late_seconds >= LATE_SECONDS_MIN { late_seconds } else { 0 } }]
    }

    /// Whether everything that an intake asks for is known.
    fn knows_all(&self, intake: usize) -> bool {
        match &self.state.runbook.steps[intake].kind {
            StepKind::Ask { sets, .. } => sets.values().all(|input| self.state.values.contains_key(input)),
            _ => false,
        }
    }

    /// The phase in which the window is asked for.
    fn asks_for_window(&self) -> Option<usize> {
        let window = &self.state.runbook.window_input()?.field.name;
        let asks = self.state.runbook.steps.iter().find(|step| match &step.kind {
            StepKind::Ask { sets, .. } => sets.values().any(|input| input == window),
            _ => false,
        });
        asks.map(|step| step.phase)
    }

    fn pass_over(&self, phase: usize, why: PassedOver) -> Vec<Event> {
        let definition = &self.state.runbook.phases[phase];
        let steps = definition.intake.into_iter().chain(definition.steps.iter().copied());
        let steps = steps.filter(|step| !self.state.steps[*step].status.is_settled());
        steps.map(|step| Event::StepPassedOver { step, why }).chain([Event::PhasePassedOver { phase, why }]).collect()
    }

    fn open_phase(&self, phase: usize) -> Vec<Event> {
        let definition = &self.state.runbook.phases[phase];
        if self.state.aborted.is_some() && !definition.always {
            let open = definition.steps.iter().filter(|step| !self.state.steps[**step].status.is_settled());
            let passed = open.map(|step| Event::StepPassedOver { step: *step, why: PassedOver::Aborted });
            return passed.chain([Event::PhaseSettled { phase }]).collect();
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
            return vec![Event::PhaseSettled { phase }];
        }
        Vec::new()
    }

    fn open_step(&self, index: usize, phase: usize) -> Vec<Event> {
        let step = &self.state.runbook.steps[index];
        if self.state.held.is_some() {
            return Vec::new();
        }
        if let Some(condition) = &step.condition {
            match template::holds(condition, &scope(self.state, self.now)) {
                Ok(true) => {}
                Ok(false) => return vec![Event::StepPassedOver { step: index, why: PassedOver::NotApplicable }],
                Err(problem) => return vec![Event::Held { reason: Some(format!("`if` of the step `{}`: {problem}", step.id)) }],
            }
        }
        let people = self.meant(index);
        let needs_people = matches!(step.kind, StepKind::Acknowledge { .. } | StepKind::Decide { .. });
        if needs_people && people.is_empty() {
            let reason = format!("nobody is meant by the step `{}`: its teams are empty", step.id);
            return vec![Event::Held { reason: Some(reason) }];
        }
        let late = matches!(self.state.phases[phase], PhaseState::Open { late_seconds, .. } if late_seconds > 0);
        let confirm = late && matches!(step.kind, StepKind::Run { press: None, .. });
        vec![Event::StepOpened { step: index, people, confirm }]
    }

    /// Who a step is meant for, resolved at its opening.
    fn meant(&self, index: usize) -> Vec<PersonId> {
        let step = &self.state.runbook.steps[index];
        let names = match &step.kind {
            StepKind::Acknowledge { from } => from,
            StepKind::Decide { voters, .. } => voters,
            StepKind::Run { press: Some(press), .. } if !press.is_empty() => press,
            _ => &step.who,
        };
        if names.is_empty() { self.state.owners(self.people) } else { self.state.resolve(names, self.people) }
    }

    fn end(&self) -> Vec<Event> {
        if !self.state.phases.iter().all(PhaseState::is_settled) {
            return Vec::new();
        }
        let said_no = self.state.steps.iter().any(|step| step.decision == Some(Choice::NoGo));
        let result = self.state.result.unwrap_or(if said_no { Outcome::NoGo } else { Outcome::Succeeded });
        vec![Event::Ended { result }]
    }
}
