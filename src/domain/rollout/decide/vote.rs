//! Votes, and when they make a decision.

use chrono::TimeDelta;

use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::{Choice, Event};
use crate::domain::rollout::state::{StepState, Vote};
use crate::domain::runbook::model::{Rule, StepKind};

use super::{Desk, SETTLE_SECONDS};

/// What the votes come to, if the rule says so already.
#[must_use]
pub fn tally(rule: Rule, step: &StepState) -> Option<Choice> {
    let voters = step.people.len();
    let count = |choice| step.votes.values().filter(|vote| vote.choice == choice).count();
    if rule == Rule::Any {
        return step.votes.values().min_by_key(|vote| vote.order).map(|vote| vote.choice);
    }
    let needed = rule.needed(voters);
    if count(Choice::Go) >= needed {
        Some(Choice::Go)
    } else if count(Choice::NoGo) + needed > voters {
        Some(Choice::NoGo)
    } else {
        None
    }
}

impl Desk<'_> {
    pub(super) fn vote(&self, reference: &StepRef, choice: Choice, reason: Option<&str>) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        let index = self.target(reference, choice.name(), |index| {
            matches!(self.kind(index), StepKind::Decide { .. }) && self.state.steps[index].decision.is_none()
        })?;
        let StepKind::Decide { rule, .. } = self.kind(index) else { return Ok(Vec::new()) };
        let step = &self.state.steps[index];
        if !step.people.contains(person) {
            return Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!(
                    "You are not a voter here; voters are {}. You can add a note: `/rollout note …`.",
                    self.names(&step.people)
                ),
            ));
        }
        if let Some((decided, until)) = step.settling.filter(|(_, until)| *until <= self.now()) {
            let says =
                format!("“{}” is {} since {}; votes can't change any more.", self.title(index), decided.title(), self.say(until));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        let reason = reason.filter(|text| !text.trim().is_empty()).map(|text| Self::words(text, "A reason")).transpose()?;
        if let Some(vote) = step.votes.get(person)
            && vote.choice == choice
            && (reason.is_none() || vote.reason == reason)
        {
            return Err(Refusal::new(
                RefusalKind::Stale,
                format!("You voted {} at {} already.", choice.title(), self.say(vote.at)),
            ));
        }
        let now = self.now();
        let mut after = step.clone();
        let order = step.votes.get(person).map_or(self.state.sequence + 1, |vote| vote.order);
        after.votes.insert(person.clone(), Vote { choice, reason: reason.clone(), at: now, order });
        let mut events = vec![Event::VoteCast { step: index, choice, reason }];
        match (tally(*rule, &after), step.settling) {
            (Some(choice), Some((settling, _))) if choice == settling => {}
            (Some(choice), _) => {
                events.push(Event::DecisionSettling { step: index, choice, until: now + TimeDelta::seconds(SETTLE_SECONDS) });
            }
            (None, Some(_)) => events.push(Event::DecisionUnsettled { step: index }),
            (None, None) => {}
        }
        Ok(events)
    }
}
