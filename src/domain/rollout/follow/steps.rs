//! What steps do by themselves: announcements go out, actions begin, decisions are taken, waits end.

use std::collections::BTreeMap;

use crate::domain::conversation::form::FieldValue;
use crate::domain::message::template::{self, Landing};
use crate::domain::rollout::decide::request_action;
use crate::domain::rollout::event::{ActionOutcome, Choice, Event};
use crate::domain::rollout::scope::{LET_FIELD, scope_of_message, scope_of_step};
use crate::domain::rollout::state::{ActionStage, Announcement, StepStatus};
use crate::domain::runbook::model::{Address, StepKind, Wait};
use crate::domain::time::say_seconds;

use super::{Watch, next_issue, timeout_of, wait_ends};

impl Watch<'_> {
    pub(super) fn step(&self, index: usize) -> Vec<Event> {
        let (step, state) = (&self.state.runbook.steps[index], &self.state.steps[index]);
        // A failed step waits for a person; after an abort its phase closes it, and nothing goes out in its name.
        let over = self.state.aborted.is_some() && !self.state.runbook.phases[step.phase].always;
        let StepStatus::Open { .. } = state.status else { return Vec::new() };
        if over {
            return Vec::new();
        }
        let completed = || Event::StepCompleted { step: index, fields: BTreeMap::new() };
        match &step.kind {
            StepKind::Acknowledge { .. } if state.awaited().next().is_none() => vec![completed()],
            StepKind::Ask { from, .. } if !from.is_empty() && state.awaited().next().is_none() => vec![completed()],
            StepKind::Announce { message, to, every_seconds: Some(_) } => match next_issue(self.state, index) {
                Some(due) if due <= self.now && self.state.held.is_none() => vec![self.issue(index, message, to)],
                _ => Vec::new(),
            },
            StepKind::Announce { message, to, every_seconds: None } => self.announce(index, message, to),
            StepKind::Wait { wait } => match wait_ends(self.state, index) {
                Some(due) if due <= self.now => match wait {
                    Wait::Until { timeout_seconds: Some(seconds), .. } => {
                        let reason = format!("it did not come true within {}", say_seconds(*seconds));
                        vec![Event::StepFailed { step: index, reason }]
                    }
                    _ => vec![completed()],
                },
                _ => Vec::new(),
            },
            StepKind::Let { value, confirm, .. } => self.work_out(index, value, confirm.is_some()),
            StepKind::Result { result } => vec![Event::ResultRecorded { result: *result }, completed()],
            StepKind::Decide { notice, to, .. } => self.decision(index, notice.as_deref(), to),
            StepKind::Run { by_hand: Some(_), .. }
            | StepKind::Checklist { .. }
            | StepKind::Acknowledge { .. }
            | StepKind::Task { .. }
            | StepKind::Ask { .. } => Vec::new(),
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
                let by_itself = press.is_none()
                    && !state.confirm
                    && state.action.as_ref().is_none_or(|action| matches!(action.stage, ActionStage::Ended { .. }))
                    && self.state.held.is_none()
                    && !self.is_about_to_stop();
                if !by_itself {
                    return Vec::new();
                }
                vec![
                    request_action(self.state, index, self.now)
                        .unwrap_or_else(|reason| Event::StepFailed { step: index, reason }),
                ]
            }
        }
    }

    /// Whether a NO-GO settles: nothing begins by itself then.
    fn is_about_to_stop(&self) -> bool {
        self.state.open_steps().any(|(_, _, step)| matches!(step.settling, Some((Choice::NoGo, _))))
    }

    /// Works a value out once. What a person confirms is what was shown.
    fn work_out(&self, index: usize, value: &str, confirmed: bool) -> Vec<Event> {
        if confirmed && !self.state.steps[index].fields.is_empty() {
            return Vec::new();
        }
        match template::render(value, Landing::Plain, &scope_of_step(self.state, index, self.now)) {
            Ok(text) => {
                let fields = BTreeMap::from([(LET_FIELD.to_owned(), FieldValue::Text(text))]);
                if confirmed {
                    vec![Event::ValueProposed { step: index, fields }]
                } else {
                    vec![Event::StepCompleted { step: index, fields }]
                }
            }
            Err(reason) => vec![Event::StepFailed { step: index, reason }],
        }
    }

    pub(super) fn announce(&self, index: usize, message: &str, to: &[String]) -> Vec<Event> {
        match self.state.announcements.iter().rfind(|a| a.step == Some(index)) {
            None if self.state.held.is_some() => Vec::new(),
            None => vec![self.issue(index, message, to)],
            Some(issued) if issued.is_settled() => vec![self.after_delivery(index)],
            Some(_) => Vec::new(),
        }
    }

    /// An announcement is done when every destination has it; a failure waits for a person.
    pub(super) fn after_delivery(&self, index: usize) -> Event {
        let issued = self.state.announcements.iter().rfind(|a| a.step == Some(index));
        let failed: Vec<String> = issued.into_iter().flat_map(Announcement::failed).map(|d| d.to.to_string()).collect();
        if failed.is_empty() {
            Event::StepCompleted { step: index, fields: BTreeMap::new() }
        } else {
            Event::StepFailed { step: index, reason: format!("it did not reach {}", failed.join(", ")) }
        }
    }

    pub(super) fn issue(&self, index: usize, message: &str, to: &[String]) -> Event {
        let Some(found) = self.state.runbook.messages.get(message) else {
            return Event::StepFailed { step: index, reason: format!("the message `{message}` is missing") };
        };
        let scope = scope_of_message(self.state, index, self.now, "");
        // A tag on a line of its own leaves that line; nobody means it.
        let text = template::render(&found.body, Landing::Markdown, &scope).map(|text| text.trim().to_owned());
        let subject = found.subject.as_ref().map(|subject| template::render(subject, Landing::Plain, &scope)).transpose();
        let mut addresses: Vec<Address> = Vec::new();
        for address in to.iter().filter_map(|audience| self.state.runbook.audiences.get(audience)).flatten() {
            if !addresses.iter().any(|known| known.platform == address.platform && known.name == address.name) {
                addresses.push(address.clone());
            }
        }
        match (text, subject) {
            (Ok(text), _) if text.is_empty() => {
                Event::StepFailed { step: index, reason: format!("the message `{message}` says nothing as things stand") }
            }
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

    pub(super) fn decision(&self, index: usize, notice: Option<&str>, to: &[String]) -> Vec<Event> {
        let step = &self.state.steps[index];
        match (step.decision, step.settling) {
            (None, Some((choice, until))) if until <= self.now => vec![Event::DecisionTaken { step: index, choice }],
            (None, _) => Vec::new(),
            (Some(_), _) => match notice {
                Some(message) => self.announce(index, message, to),
                None => vec![Event::StepCompleted { step: index, fields: BTreeMap::new() }],
            },
        }
    }
}
