//! What is done to a rollout as a whole: hold, resume, abort, its clock.

use chrono::{Datelike, TimeDelta};

use crate::domain::message::template::escape_markdown;
use crate::domain::rollout::command::{Refusal, RefusalKind};
use crate::domain::rollout::event::{ClockKind, Event};
use crate::domain::time::{YEAR_MAX, say_seconds};

use super::{ADVANCE_SECONDS_MAX, Desk};

impl Desk<'_> {
    /// Whether a button of the rollout as a whole was made for how things stand now.
    pub(super) fn fresh(&self, generation: Option<u32>) -> Result<(), Refusal> {
        if generation.is_none_or(|made_for| made_for == self.state.generation) {
            return Ok(());
        }
        let says = format!("{} has changed since that button was made. The card shows what is possible now.", self.state.id);
        Err(Refusal::new(RefusalKind::Stale, says))
    }

    pub(super) fn hold(&self) -> Result<Vec<Event>, Refusal> {
        self.person()?;
        match &self.state.held {
            Some(held) => Err(Refusal::new(
                RefusalKind::Stale,
                format!("{} is on hold since {} already. `/rollout resume` lets it go on.", self.state.id, self.say(held.since)),
            )),
            None => Ok(vec![Event::held(None)]),
        }
    }

    pub(super) fn resume(&self) -> Result<Vec<Event>, Refusal> {
        if self.state.held.is_none() {
            return Err(Refusal::new(RefusalKind::NotNow, format!("{} is not on hold. {}", self.state.id, self.open_now())));
        }
        if self.state.lacks_environment() {
            let environment = self.state.runbook.environment.as_deref().unwrap_or_default();
            let says = format!(
                "{} is needed and not held: this rollout is in line for it. `/rollout takeover REASON` takes it back.",
                escape_markdown(environment)
            );
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        self.owners_only("let it go on")?;
        Ok(vec![Event::Resumed])
    }

    pub(super) fn abort(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        self.may(&self.state.runbook.may.abort, "abort it; anyone can `/rollout hold` it")?;
        if self.state.result.is_some() {
            let result = self.state.result.map_or("", |result| result.title());
            return Err(Refusal::new(
                RefusalKind::NotNow,
                format!("The result of {} is recorded: {result}. What is left is to wrap up.", self.state.id),
            ));
        }
        if reason.trim().is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, "An abort needs a reason: `/rollout abort REASON`."));
        }
        Ok(vec![Event::Aborted { reason: Self::words(reason, "A reason")? }])
    }

    pub(super) fn owners_only(&self, what: &str) -> Result<(), Refusal> {
        if self.is_owner()? {
            return Ok(());
        }
        let owners = self.state.owners(self.people);
        Err(Refusal::new(RefusalKind::NotAllowed, format!("Only {} can {what}.", self.names(&owners))))
    }

    pub(super) fn advance(&self, seconds: i64) -> Result<Vec<Event>, Refusal> {
        if self.state.clock != ClockKind::Shifted {
            return Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!("{} runs on the real clock, which can't be moved.", self.state.id),
            ));
        }
        if !(1..=ADVANCE_SECONDS_MAX).contains(&seconds) {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!("A clock moves forward, by at most {} at once.", say_seconds(ADVANCE_SECONDS_MAX)),
            ));
        }
        if (self.now() + TimeDelta::seconds(seconds)).year() > YEAR_MAX {
            return Err(Refusal::new(RefusalKind::Invalid, format!("A clock goes no further than the year {YEAR_MAX}.")));
        }
        Ok(vec![Event::ClockAdvanced { seconds }])
    }
}
