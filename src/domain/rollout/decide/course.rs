//! What leaves the straight road: skipping, reopening, failing, assigning, waiving, confirming.

use crate::domain::message::template::escape_markdown;
use crate::domain::people::PersonId;
use crate::domain::problem::did_you_mean;
use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::{DeliveryOutcome, Event, PassedOver};
use crate::domain::rollout::state::{EnvironmentStage, StepStatus};
use crate::domain::runbook::model::StepKind;

use super::{Desk, code, verbs};

impl Desk<'_> {
    /// Whoever the step is meant for goes on without an optional step; a required one takes the owner and somebody else.
    pub(super) fn skip(&self, reference: &StepRef, reason: &str) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        let index = self.target(reference, "skip", |index| {
            let step = &self.state.steps[index];
            step.status.is_open() && !step.is_running()
        })?;
        let step = &self.state.steps[index];
        if let Some((proposer, reason)) = &step.skip_proposed {
            if proposer == person {
                let says = format!(
                    "You proposed to skip “{}” already. A second person has to agree: `/rollout skip {}`.",
                    self.title(index),
                    self.state.runbook.steps[index].id
                );
                return Err(Refusal::new(RefusalKind::NotNow, says));
            }
            // The owner may be another one by now.
            if !self.is_owner()? && !self.state.owners(self.people).contains(proposer) {
                self.owners_only("agree to skip it now")?;
            }
            self.may_second("agree to skip it")?;
            return Ok(vec![Event::StepSkipped { step: index, reason: reason.clone(), proposed_by: Some(proposer.clone()) }]);
        }
        let reason = Self::words(reason, "Skipping a step needs a reason: `/rollout skip STEP REASON`. It")?;
        if self.state.runbook.steps[index].required {
            self.owners_only("propose to skip a required step")?;
            return Ok(vec![Event::SkipProposed { step: index, reason }]);
        }
        self.may_act(index, "Skipping")?;
        Ok(vec![Event::StepSkipped { step: index, reason, proposed_by: None }])
    }

    /// Undoes a mistaken Done. What went out into the world can't be taken back like this.
    pub(super) fn reopen(&self, reference: &StepRef, reason: &str) -> Result<Vec<Event>, Refusal> {
        let index = self.settled_target(reference)?;
        let (definition, step) = (&self.state.runbook.steps[index], &self.state.steps[index]);
        let refuse =
            |why: &str| Err(Refusal::new(RefusalKind::NotNow, format!("“{}” can't be reopened: {why}", self.title(index))));
        let skipped = matches!(step.status, StepStatus::PassedOver(PassedOver::Skipped));
        match definition.kind {
            StepKind::Announce { .. } => {
                return refuse(&format!(
                    "what was announced is out. `/rollout correct {} TEXT` sends a correction.",
                    definition.id
                ));
            }
            StepKind::Acknowledge { .. } if !skipped => {
                return refuse("everybody acknowledges for themselves, and everybody has.");
            }
            StepKind::Result { .. } => return refuse("the result is recorded."),
            _ if definition.kind.acts() && self.lacks_what_it_changes(definition.phase) => {
                let environment = escape_markdown(self.state.runbook.environment.as_deref().unwrap_or_default());
                return refuse(&format!("{environment} is not held any more. `/rollout start` begins another rollout."));
            }
            StepKind::Decide { .. } if self.state.result.is_some() => return refuse("the result that came of it is recorded."),
            StepKind::Decide { notice: Some(_), .. } if !skipped => {
                return refuse("the decision was announced. `/rollout hold` stops what comes of it.");
            }
            _ => {}
        }
        if !skipped && !matches!(step.status, StepStatus::Done { .. }) {
            return refuse("it is not done.");
        }
        let own = matches!(&step.status, StepStatus::Done { by, .. } if by.as_ref() == self.command.actor.person());
        if !own {
            self.owners_only(&format!("reopen what somebody else completed; “{}” is not yours", self.title(index)))?;
        }
        let reason = Self::words(reason, "Reopening needs a reason: `/rollout reopen STEP REASON`. It")?;
        Ok(vec![Event::StepReopened { step: index, reason }])
    }

    /// Whether a phase changes the environment, and it is somebody else's by now, or may be.
    fn lacks_what_it_changes(&self, phase: usize) -> bool {
        let needs = self.state.runbook.lock_from.is_some_and(|from| phase >= from);
        needs && !self.state.rehearsal && self.state.environment != EnvironmentStage::Held
    }

    /// A step that is settled, by its name.
    fn settled_target(&self, reference: &StepRef) -> Result<usize, Refusal> {
        match reference {
            StepRef::Named(id) => self.named(id),
            StepRef::Button { index, .. } if *index < self.state.steps.len() => Ok(*index),
            _ => Err(Refusal::new(RefusalKind::Invalid, "Which step? `/rollout reopen STEP REASON`.")),
        }
    }

    pub(super) fn confirm(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let index =
            self.target(reference, "confirm", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"confirm"))?;
        self.may_act(index, "Confirming")?;
        match self.kind(index) {
            StepKind::Let { .. } => self.confirm_value(index),
            _ => self.run(&StepRef::Named(self.state.runbook.steps[index].id.clone())),
        }
    }

    /// What was worked out stands in the step since it opened; it is what was shown, not what would come out now.
    fn confirm_value(&self, index: usize) -> Result<Vec<Event>, Refusal> {
        let fields = self.state.steps[index].fields.clone();
        if fields.is_empty() {
            return Err(Refusal::new(RefusalKind::NotNow, format!("“{}” has no value to confirm.", self.title(index))));
        }
        Ok(vec![Event::StepCompleted { step: index, fields }])
    }

    pub(super) fn fail(&self, reference: &StepRef, reason: &str) -> Result<Vec<Event>, Refusal> {
        let index =
            self.target(reference, "fail", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"fail"))?;
        self.may_act(index, "Failing")?;
        let reason = Self::words(reason, "Saying that it failed needs words: `/rollout fail STEP REASON`. It")?;
        Ok(vec![Event::StepFailed { step: index, reason }])
    }

    pub(super) fn assign(&self, reference: &StepRef, to: &str) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "assign", |index| {
            matches!(self.kind(index), StepKind::Task { .. } | StepKind::Ask { .. } | StepKind::Run { .. } | StepKind::Let { .. })
        })?;
        self.may_act(index, "Assigning")?;
        let person = self.known_person(to)?;
        if self.state.steps[index].people[..] == [person.clone()] {
            let says = format!("“{}” is with {} already.", self.title(index), self.people.call(&person));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        Ok(vec![Event::StepAssigned { step: index, people: vec![person] }])
    }

    pub(super) fn hand_over(&self, to: &str) -> Result<Vec<Event>, Refusal> {
        self.owners_only("hand it over")?;
        let to = self.known_person(to)?;
        if self.state.owners(self.people) == [to.clone()] {
            return Err(Refusal::new(RefusalKind::Stale, format!("{} owns {} already.", self.people.call(&to), self.state.id)));
        }
        Ok(vec![Event::HandedOver { to }])
    }

    /// Goes on without a person who is awaited, or without a destination that an announcement did not reach.
    pub(super) fn waive(&self, whom: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
        self.may(&self.state.runbook.may.waive, "waive")?;
        let reason = Self::words(reason, "Waiving needs a reason: `/rollout waive PERSON REASON`. It")?;
        if whom.contains(':') {
            return self.waive_destination(whom, reason);
        }
        let person = self.known_person(whom)?;
        let awaiting = self.state.open_steps().filter(|(_, _, step)| step.awaited().any(|awaited| *awaited == person));
        let (voting, others): (Vec<usize>, Vec<usize>) =
            awaiting.map(|(index, ..)| index).partition(|index| matches!(self.kind(*index), StepKind::Decide { .. }));
        let waived: Vec<usize> = others
            .into_iter()
            .filter(|index| match self.kind(*index) {
                StepKind::Acknowledge { .. } => true,
                StepKind::Ask { from, .. } => !from.is_empty(),
                _ => false,
            })
            .collect();
        match (&waived[..], &voting[..]) {
            ([], [vote, ..]) => {
                let says = format!(
                    "A vote can't be waived. Stand-ins of “{}” may vote for {}.",
                    self.title(*vote),
                    self.people.call(&person)
                );
                Err(Refusal::new(RefusalKind::NotNow, says))
            }
            ([], []) => Err(Refusal::new(
                RefusalKind::NotNow,
                format!("Nothing waits for {} by name. {}", self.people.call(&person), self.open_now()),
            )),
            (steps, _) => Ok(steps
                .iter()
                .map(|step| Event::PersonWaived { step: *step, person: person.clone(), reason: reason.clone() })
                .collect()),
        }
    }

    fn waive_destination(&self, name: &str, reason: String) -> Result<Vec<Event>, Refusal> {
        let missing: Vec<(u64, usize, String)> = self
            .state
            .announcements
            .iter()
            .flat_map(|announcement| {
                let slots = announcement.destinations.iter().enumerate();
                let missing =
                    slots.filter(|(_, to)| to.waived.is_none() && !matches!(to.outcome, Some(DeliveryOutcome::Delivered { .. })));
                missing.map(|(slot, to)| (announcement.sequence, slot, to.to.to_string()))
            })
            .collect();
        let found = missing.iter().rfind(|(_, _, known)| known == name);
        let Some((announcement, slot, _)) = found else {
            let near = did_you_mean(name, missing.iter().map(|(_, _, known)| known.as_str()));
            let hint = near.map_or_else(
                || "`/rollout status` says what did not arrive.".to_owned(),
                |near| format!("Did you mean `{near}`?"),
            );
            return Err(Refusal::new(RefusalKind::Unknown, format!("Nothing waits for `{}`. {hint}", code(name))));
        };
        Ok(vec![Event::DestinationWaived { announcement: *announcement, slot: *slot, reason }])
    }

    /// Sends what did not arrive once more. An announcement that could not be written is tried again as a whole.
    pub(super) fn send_again(&self, index: usize) -> Vec<Event> {
        let issued = self.state.announcements.iter().rfind(|a| a.step == Some(index));
        let slots =
            issued.into_iter().flat_map(|a| a.destinations.iter().enumerate().map(move |(slot, to)| (a.sequence, slot, to)));
        let failed = slots.filter(|(_, _, to)| to.waived.is_none() && matches!(to.outcome, Some(DeliveryOutcome::Failed { .. })));
        let again: Vec<Event> = failed
            .map(|(announcement, slot, to)| Event::DeliveryRetried { announcement, slot, attempt: to.attempt + 1 })
            .collect();
        if again.is_empty() { vec![Event::StepReopened { step: index, reason: "run again".to_owned() }] } else { again }
    }

    /// Follows an announcement with a correction, to where it went.
    pub(super) fn correct(&self, reference: &StepRef, text: &str) -> Result<Vec<Event>, Refusal> {
        let index = self.settled_target(reference)?;
        let Some(issued) = self.state.announcements.iter().rfind(|a| a.step == Some(index)) else {
            let says = format!("“{}” has announced nothing. A correction follows an announcement.", self.title(index));
            return Err(Refusal::new(RefusalKind::NotNow, says));
        };
        self.owners_only("correct an announcement")?;
        let text = Self::words(text, "A correction")?;
        let to = issued.destinations.iter().filter_map(|to| match &to.to {
            Recipient::Address(address) => Some(address.clone()),
            Recipient::Person(_) => None,
        });
        Ok(vec![Event::Told {
            corrects: Some(issued.sequence),
            text: format!("**Correction:** {}", escape_markdown(&text)),
            to: to.collect(),
        }])
    }

    pub(super) fn announce(&self, text: &str, audience: &str) -> Result<Vec<Event>, Refusal> {
        self.owners_only("announce in its name")?;
        let known = &self.state.runbook.audiences;
        let Some(to) = known.get(audience) else {
            let near = did_you_mean(audience, known.keys().map(String::as_str));
            let names: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
            let hint =
                near.map_or_else(|| format!("Audiences are {}.", names.join(", ")), |near| format!("Did you mean `{near}`?"));
            return Err(Refusal::new(RefusalKind::Unknown, format!("There is no audience `{}` here. {hint}", code(audience))));
        };
        let text = Self::words(text, "An announcement")?;
        Ok(vec![Event::Told { corrects: None, text: escape_markdown(&text), to: to.clone() }])
    }

    /// A person by what was typed.
    pub(super) fn known_person(&self, said: &str) -> Result<PersonId, Refusal> {
        if let Some(person) = self.people.find(said) {
            return Ok(person.id.clone());
        }
        let near = did_you_mean(said, self.people.people().map(|person| person.id.as_str()));
        let hint = near
            .map_or_else(|| "People are listed in `config/people.yaml`.".to_owned(), |near| format!("Did you mean `{near}`?"));
        Err(Refusal::new(RefusalKind::Unknown, format!("I don't know `{}`. {hint}", code(said))))
    }

    /// Whether a person may do what the runbook reserves; without a word of it, the owners.
    pub(super) fn may(&self, names: &[String], what: &str) -> Result<(), Refusal> {
        if names.is_empty() {
            return self.owners_only(what);
        }
        let allowed = self.state.resolve(names, self.people);
        if allowed.contains(self.person()?) {
            return Ok(());
        }
        Err(Refusal::new(RefusalKind::NotAllowed, format!("Only {} can {what}.", self.names(&allowed))))
    }

    /// Whether a person may be the second of two.
    pub(super) fn may_second(&self, what: &str) -> Result<(), Refusal> {
        let names = &self.state.runbook.may.second;
        if names.is_empty() { self.person().map(drop) } else { self.may(names, what) }
    }
}
