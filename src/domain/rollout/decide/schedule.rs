//! When things happen: moving T-0, opening a phase, going back, changing what was said at the start.

use chrono::{DateTime, Utc};

use crate::domain::conversation::form::{Field, FieldValue};
use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::problem::did_you_mean;
use crate::domain::rollout::command::{Refusal, RefusalKind};
use crate::domain::rollout::event::{Event, Nudge};
use crate::domain::rollout::follow::waits_for_opening;
use crate::domain::rollout::scope::scope_of_message;
use crate::domain::rollout::state::{PhaseState, State, StepStatus};
use crate::domain::runbook::model::StepKind;

use super::{Desk, code};

impl Desk<'_> {
    /// Moves T-0.
    pub(super) fn reschedule(&self, text: &str) -> Result<Vec<Event>, Refusal> {
        let Some(input) = self.state.runbook.window_input() else {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!("{} has no window, so there is nothing to move.", self.state.id),
            ));
        };
        self.set(&input.field.name.clone(), text)
    }

    /// Gives an input another value, where it may have one.
    pub(super) fn set(&self, name: &str, text: &str) -> Result<Vec<Event>, Refusal> {
        self.owners_only("change what was said at the start")?;
        let inputs = &self.state.runbook.inputs;
        let Some(input) = inputs.iter().find(|input| input.field.name == name) else {
            let near = did_you_mean(name, inputs.iter().map(|input| input.field.name.as_str()));
            let hint = near.map_or_else(
                || {
                    format!(
                        "Inputs are {}.",
                        inputs.iter().map(|input| format!("`{}`", input.field.name)).collect::<Vec<_>>().join(", ")
                    )
                },
                |near| format!("Did you mean `{near}`?"),
            );
            return Err(Refusal::new(RefusalKind::Unknown, format!("There is no input `{}` here. {hint}", code(name))));
        };
        let known = self.state.values.get(name);
        let is_window = matches!(input.field.kind, crate::domain::conversation::form::FieldKind::Window);
        if known.is_some() && !input.tentative && !is_window {
            let label = escape_markdown(&input.field.label);
            let asks = self.state.runbook.steps.iter().zip(&self.state.steps).find(|(step, state)| {
                let done = matches!(state.status, StepStatus::Done { .. });
                done && matches!(&step.kind, StepKind::Ask { sets, .. } if sets.values().any(|set| set == name))
            });
            let says = match asks {
                Some((step, _)) => format!("“{label}” was answered. `/rollout reopen {} REASON` asks for it again.", step.id),
                None => format!("“{label}” is fixed since the start. `/rollout abort` and a new start change it."),
            };
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        let field = Field { required: true, ..input.field.clone() };
        let invalid =
            |problem: String| Refusal::new(RefusalKind::Invalid, format!("Nothing was changed. {}.", escape_markdown(&problem)));
        let value = field.read(text, self.state.reading(self.now(), self.people)).map_err(invalid)?;
        let Some(value) = value else { return Err(invalid(format!("{} is empty", field.label))) };
        if known == Some(&value) {
            let says = format!("“{}” is that already.", escape_markdown(&input.field.label));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        if let FieldValue::Window(window) = &value
            && window.starts < self.now()
        {
            let says = format!(
                "Nothing was changed. That window began before now ({}); choose one that is still to come.",
                self.say(self.now())
            );
            return Err(Refusal::new(RefusalKind::Invalid, says));
        }
        Ok(self.set_events(name, &value))
    }

    /// What setting an input becomes: for T-0 also what is asked again, and who is told.
    pub(super) fn set_events(&self, name: &str, value: &FieldValue) -> Vec<Event> {
        let mut events = vec![Event::InputSet { input: name.to_owned(), value: value.clone() }];
        let is_window = self.state.runbook.window_input().is_some_and(|input| input.field.name == name);
        let (Some(old), FieldValue::Window(new)) = (self.state.window(), value) else { return events };
        // People speak of minutes.
        if !is_window || (old.starts - new.starts).num_minutes() == 0 {
            return events;
        }
        let again = self.asks_again(old.starts, new.starts);
        let mut after = self.state.clone();
        after.values.insert(name.to_owned(), value.clone());
        for (index, definition) in self.state.runbook.steps.iter().enumerate() {
            let step = &self.state.steps[index];
            let began = step.status.is_open() || matches!(step.status, StepStatus::Done { .. });
            let given = match definition.kind {
                StepKind::Acknowledge { .. } => began,
                // A decision that was taken has had its consequences; one that is open can still be thought over.
                StepKind::Decide { .. } => step.status.is_open() && step.decision.is_none(),
                _ => false,
            };
            if !given {
                continue;
            }
            if again {
                events.push(Event::AskedAgain { step: index });
            }
            let text = own_retimed(&after, index, self.now()).unwrap_or_else(|| {
                let asked = if again { " What you said for the old time is asked again." } else { "" };
                format!("T-0 of {} moved from {} to {}.{asked}", self.state.id, self.say(old.starts), self.say(new.starts))
            });
            events.push(Event::Nudged { step: index, people: step.people.to_vec(), nudge: Nudge::Needed, text });
        }
        events
    }

    /// Whether what was given for one time does not hold for another: it is another date, or further away than agreed.
    fn asks_again(&self, old: DateTime<Utc>, new: DateTime<Utc>) -> bool {
        let zone = self.state.runbook.timezone;
        let other_date = old.with_timezone(&zone).date_naive() != new.with_timezone(&zone).date_naive();
        other_date || (new - old).num_seconds().abs() > self.state.runbook.re_ask_seconds
    }

    /// A person opens a phase that waits for one.
    pub(super) fn open_phase(&self, named: Option<&str>) -> Result<Vec<Event>, Refusal> {
        let phases = &self.state.runbook.phases;
        let waiting: Vec<usize> = (0..phases.len()).filter(|phase| waits_for_opening(self.state, *phase)).collect();
        let phase = match (named, &waiting[..]) {
            (Some(id), _) => {
                let found = phases.iter().position(|phase| phase.id == id);
                found.ok_or_else(|| {
                    let near = did_you_mean(id, phases.iter().map(|phase| phase.id.as_str()));
                    let hint = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                    Refusal::new(RefusalKind::Unknown, format!("There is no phase `{}` in {}.{hint}", code(id), self.state.id))
                })?
            }
            (None, [only]) => *only,
            (None, []) => {
                return Err(Refusal::new(
                    RefusalKind::NotNow,
                    format!("No phase waits to be opened by a person. {}", self.open_now()),
                ));
            }
            (None, several) => {
                let ids: Vec<String> = several.iter().map(|phase| format!("`/rollout open {}`", phases[*phase].id)).collect();
                return Err(Refusal::new(RefusalKind::Ambiguous, format!("Which one? {}.", ids.join(", "))));
            }
        };
        let title = escape_markdown(&self.state.phase_title(phase));
        if !waiting.contains(&phase) {
            let why = match &self.state.phases[phase] {
                PhaseState::Open { .. } => "is open already".to_owned(),
                PhaseState::Settled { .. } => "is settled".to_owned(),
                PhaseState::PassedOver(_) => "does not apply in this rollout".to_owned(),
                PhaseState::Waiting if self.state.released.contains(&phase) => {
                    "was opened already; what it waits for is on the card".to_owned()
                }
                PhaseState::Waiting => match self.state.due_of_phase(phase) {
                    Some(due) => format!("opens by itself at {}, when what comes before it is settled", self.say(due)),
                    None => "comes after phases that are not settled yet".to_owned(),
                },
            };
            return Err(Refusal::new(RefusalKind::NotNow, format!("“{title}” {why}. {}", self.open_now())));
        }
        let who = phases[phase].opens.clone().unwrap_or_default();
        let person = self.person()?;
        let openers = if who.is_empty() { self.state.owners(self.people) } else { self.state.resolve(&who, self.people) };
        if !openers.contains(person) {
            let says = format!("“{title}” is opened by {}.", self.names(&openers));
            return Err(Refusal::new(RefusalKind::NotAllowed, says));
        }
        Ok(vec![Event::PhaseReleased { phase }])
    }

    /// Leaves the open phase that has a way back.
    pub(super) fn back_off(&self) -> Result<Vec<Event>, Refusal> {
        let open = |phase: &usize| matches!(self.state.phases[*phase], PhaseState::Open { .. });
        let phases = &self.state.runbook.phases;
        let Some(phase) = (0..phases.len()).filter(open).find(|phase| phases[*phase].back_off.is_some()) else {
            let says = format!("No phase with a way back is open. {}", self.open_now());
            return Err(Refusal::new(RefusalKind::NotNow, says));
        };
        self.owners_only("back off")?;
        let running: Vec<String> = self
            .state
            .runbook
            .steps_of(phase)
            .filter(|step| self.state.steps[*step].is_under_way())
            .map(|step| format!("“{}” (`/rollout cancel {}`)", self.title(step), self.state.runbook.steps[step].id))
            .collect();
        if !running.is_empty() {
            let says = format!("Still running: {}. Wait for its end or cancel it first.", running.join(", "));
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        Ok(vec![Event::BackedOff { phase }])
    }
}

/// What a team wrote in `messages/retimed.md`, when T-0 is what it is then.
fn own_retimed(after: &State, index: usize, now: DateTime<Utc>) -> Option<String> {
    let message = after.runbook.messages.get("retimed")?;
    let scope = scope_of_message(after, index, now, "");
    let text = template::render(&message.body, Landing::Markdown, &scope).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
