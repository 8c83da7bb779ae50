//! The environment that a rollout needs: taking it over, and freezes that keep it away.

use crate::domain::freeze::Frozen;
use crate::domain::message::template::escape_markdown;
use crate::domain::people::PersonId;
use crate::domain::rollout::command::{Refusal, RefusalKind};
use crate::domain::rollout::event::Event;
use crate::domain::rollout::may_override;
use crate::domain::rollout::state::EnvironmentStage;

use super::Desk;

impl Desk<'_> {
    /// Takes the environment from whoever holds it, who is put on hold and told.
    pub(super) fn take_over(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        let Some(environment) = &self.state.runbook.environment else {
            let says = format!("{} needs no environment, so there is nothing to take over.", self.state.id);
            return Err(Refusal::new(RefusalKind::Invalid, says));
        };
        if self.state.rehearsal {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!("{} is a rehearsal: it takes no environment.", self.state.id),
            ));
        }
        let environment = escape_markdown(environment);
        match self.state.environment {
            EnvironmentStage::Claimed if self.state.gives_up => {
                let says = format!("{environment} is being given back; ask again in a moment.");
                return Err(Refusal::new(RefusalKind::NotNow, says));
            }
            EnvironmentStage::Claimed if self.state.freeze.is_some() => {
                return Err(Refusal::new(RefusalKind::NotNow, format!("Nothing is taken over in a freeze. {}", self.frozen())));
            }
            EnvironmentStage::Claimed if self.state.takeover.is_none() => {}
            EnvironmentStage::Claimed => {
                return Err(Refusal::new(RefusalKind::Stale, format!("{environment} is being taken over already.")));
            }
            EnvironmentStage::Held => {
                return Err(Refusal::new(RefusalKind::Stale, format!("{} holds {environment} already.", self.state.id)));
            }
            EnvironmentStage::NotNeeded => {
                let says = format!(
                    "{} does not need {environment} yet; it asks for it when it does, or now with `/rollout lock`.",
                    self.state.id
                );
                return Err(Refusal::new(RefusalKind::NotNow, says));
            }
            EnvironmentStage::Released => {
                return Err(Refusal::new(RefusalKind::NotNow, format!("{} gave {environment} back.", self.state.id)));
            }
        }
        self.may(&self.state.runbook.may.take_over, "take the environment over")?;
        let reason = Self::words(reason, "Taking over needs a reason: `/rollout takeover REASON`. It")?;
        Ok(vec![Event::TakeoverAsked { reason }])
    }

    /// Takes the environment now, to keep others out while preparing.
    pub(super) fn lock(&self) -> Result<Vec<Event>, Refusal> {
        let environment = self.own_environment("lock")?;
        let no = |kind, says: String| Err(Refusal::new(kind, says));
        match self.state.environment {
            EnvironmentStage::NotNeeded => {}
            EnvironmentStage::Claimed | EnvironmentStage::Held if self.state.gives_up => {
                return no(RefusalKind::NotNow, format!("{environment} is being given back; ask again in a moment."));
            }
            EnvironmentStage::Claimed => {
                return no(RefusalKind::Stale, format!("{} is in line for {environment} already.", self.state.id));
            }
            EnvironmentStage::Held => {
                return no(RefusalKind::Stale, format!("{} holds {environment} already.", self.state.id));
            }
            EnvironmentStage::Released => {
                return no(RefusalKind::NotNow, format!("{} gave {environment} back.", self.state.id));
            }
        }
        if self.state.result.is_some() {
            return no(
                RefusalKind::NotNow,
                format!("The result of {} is recorded: it needs {environment} no more.", self.state.id),
            );
        }
        self.may(&self.state.runbook.may.take_over, "take the environment before its time")?;
        Ok(vec![Event::EnvironmentClaimed])
    }

    /// Gives back what was taken before its time, or leaves the line for it.
    pub(super) fn unlock(&self) -> Result<Vec<Event>, Refusal> {
        let environment = self.own_environment("unlock")?;
        let no = |kind, says: String| Err(Refusal::new(kind, says));
        match self.state.environment {
            EnvironmentStage::Claimed | EnvironmentStage::Held if self.state.gives_up => {
                return no(RefusalKind::Stale, format!("{environment} is being given back already."));
            }
            EnvironmentStage::Claimed | EnvironmentStage::Held => {}
            EnvironmentStage::NotNeeded => {
                return no(
                    RefusalKind::NotNow,
                    format!("{} does not hold {environment}, and is not in line for it.", self.state.id),
                );
            }
            EnvironmentStage::Released => {
                return no(RefusalKind::Stale, format!("{} gave {environment} back already.", self.state.id));
            }
        }
        self.may(&self.state.runbook.may.take_over, "give the environment back before its time")?;
        let runs: Vec<String> = (0..self.state.steps.len())
            .filter(|index| {
                let step = &self.state.steps[*index];
                step.is_under_way() || step.child.as_ref().is_some_and(|child| !child.settled)
            })
            .map(|index| self.title(index))
            .collect();
        if let Some(first) = runs.first() {
            return no(RefusalKind::NotNow, format!("{environment} is not given back while “{first}” runs."));
        }
        if self.state.locked_by.is_none() || self.state.has_begun_in_environment() {
            let says = format!(
                "{} needs {environment} from here on; it is given back when a result is recorded. `/rollout abort REASON` ends it before.",
                self.state.id
            );
            return no(RefusalKind::NotNow, says);
        }
        Ok(vec![Event::EnvironmentGivenUp])
    }

    fn own_environment(&self, verb: &str) -> Result<String, Refusal> {
        let invalid = |says: String| Refusal::new(RefusalKind::Invalid, says);
        if self.state.rehearsal {
            return Err(invalid(format!(
                "{} is a rehearsal: it takes no environment, and no freeze holds it up.",
                self.state.id
            )));
        }
        let environment = self.state.runbook.environment.as_deref();
        environment
            .map(escape_markdown)
            .ok_or_else(|| invalid(format!("{} needs no environment: `{verb}` has nothing to do here.", self.state.id)))
    }

    /// How freezes stand now. What is known already is nothing new, and what a person overrode stays overridden.
    pub(super) fn record_freeze(&self, freeze: Option<&Frozen>) -> Vec<Event> {
        match (freeze, &self.state.freeze) {
            (None, Some(known)) => vec![Event::FreezeEnded { name: known.name.clone() }],
            (Some(freeze), known)
                if known.as_ref() != Some(freeze) && self.state.wants_environment() && !self.state.overrides(freeze) =>
            {
                vec![Event::FreezeBegan { freeze: freeze.clone() }]
            }
            _ => Vec::new(),
        }
    }

    /// Lets the rollout go on in spite of the freeze that keeps it.
    pub(super) fn override_freeze(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        let Some(freeze) = &self.state.freeze else {
            let says = format!("No freeze keeps {} waiting, so there is nothing to override. {}", self.state.id, self.open_now());
            return Err(Refusal::new(RefusalKind::NotNow, says));
        };
        let allowed: Vec<PersonId> = may_override(self.state, freeze, self.people);
        if !allowed.contains(self.person()?) {
            return Err(Refusal::new(RefusalKind::NotAllowed, self.frozen()));
        }
        let reason = Self::words(reason, "Overriding a freeze needs a reason: `/rollout override REASON`. It")?;
        Ok(vec![Event::FreezeOverridden { freeze: freeze.clone(), reason }])
    }

    /// Which freeze keeps it, until when, and who may let it go on.
    fn frozen(&self) -> String {
        let Some(freeze) = &self.state.freeze else { return String::new() };
        let allowed = may_override(self.state, freeze, self.people);
        let who = if allowed.is_empty() {
            "Nobody may override it.".to_owned()
        } else {
            let names = self.names(&allowed).replace(" and ", " or ");
            format!("{names} can override it: `/rollout override REASON`.")
        };
        format!("The freeze {} lasts until {}. {who}", freeze.called(), self.say(freeze.until))
    }
}
