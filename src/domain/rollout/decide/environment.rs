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
        let environment = escape_markdown(environment);
        match self.state.environment {
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
                let says = format!("{} does not need {environment} yet; it asks for it when it does.", self.state.id);
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
