//! Votes, and when they make a decision.

use chrono::TimeDelta;

use crate::domain::people::PersonId;
use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::{Choice, Event};
use crate::domain::rollout::state::{StepState, Vote};
use crate::domain::runbook::model::{Rule, StepKind};

use super::{Desk, SETTLE_SECONDS, code};

/// What the votes come to, if the rule says so already.
#[must_use]
pub fn tally(rule: Rule, veto: bool, step: &StepState) -> Option<Choice> {
    let voters = step.people.len();
    let count = |choice| step.votes.values().filter(|vote| vote.choice == choice).count();
    if veto && count(Choice::NoGo) > 0 {
        return Some(Choice::NoGo);
    }
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
    pub(super) fn vote(
        &self,
        reference: &StepRef,
        choice: Choice,
        reason: Option<&str>,
        instead_of: Option<&str>,
    ) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        // “no-go for safety” is a reason, and for nobody.
        let said = instead_of.filter(|name| self.people.person(&PersonId::new(name.to_lowercase())).is_none());
        let instead_of = instead_of.filter(|_| said.is_none());
        let for_what = said.map(|name| format!("for {name} {}", reason.unwrap_or_default()));
        let reason = for_what.as_deref().or(reason);
        let index = self.target(reference, choice.name(), |index| {
            matches!(self.kind(index), StepKind::Decide { .. }) && self.state.steps[index].decision.is_none()
        })?;
        let StepKind::Decide { rule, veto, stand_ins, .. } = self.kind(index) else { return Ok(Vec::new()) };
        let step = &self.state.steps[index];
        let voter = self.seat(index, person, stand_ins, instead_of)?;
        let Some(voter) = voter else {
            return Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!(
                    "You are not a voter here; voters are {}. You can add a note: `/rollout note …`.",
                    self.names(&step.people)
                ),
            ));
        };
        if let Some((decided, until)) = step.settling.filter(|(_, until)| *until <= self.now()) {
            let says =
                format!("“{}” is {} since {}; votes can't change any more.", self.title(index), decided.title(), self.say(until));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        let reason = reason.filter(|text| !text.trim().is_empty()).map(|text| Self::words(text, "A reason")).transpose()?;
        if let Some(vote) = step.votes.get(&voter)
            && vote.choice == choice
            && vote.by == *person
            && (reason.is_none() || vote.reason == reason)
        {
            return Err(Refusal::new(
                RefusalKind::Stale,
                format!("You voted {} at {} already.", choice.title(), self.say(vote.at)),
            ));
        }
        let now = self.now();
        let mut after = step.clone();
        let order = step.votes.get(&voter).map_or(self.state.sequence + 1, |vote| vote.order);
        after.votes.insert(voter.clone(), Vote { choice, by: person.clone(), reason: reason.clone(), at: now, order });
        let instead_of = Some(voter).filter(|voter| voter != person);
        let mut events = vec![Event::VoteCast { step: index, choice, reason, instead_of }];
        match (tally(*rule, *veto, &after), step.settling) {
            (Some(choice), Some((settling, _))) if choice == settling => {}
            (Some(choice), _) => {
                events.push(Event::DecisionSettling { step: index, choice, until: now + TimeDelta::seconds(SETTLE_SECONDS) });
            }
            (None, Some(_)) => events.push(Event::DecisionUnsettled { step: index }),
            (None, None) => {}
        }
        Ok(events)
    }

    /// Whose vote a person casts: their own, or as a stand-in that of a voter who has not voted, or whose stand-in they are
    /// already. Nobody votes for a voter who did.
    fn seat(
        &self,
        index: usize,
        person: &PersonId,
        stand_ins: &[String],
        instead_of: Option<&str>,
    ) -> Result<Option<PersonId>, Refusal> {
        let step = &self.state.steps[index];
        if step.people.contains(person) {
            return match instead_of.filter(|voter| *voter != person.as_str()) {
                None => Ok(Some(person.clone())),
                Some(_) => Err(Refusal::new(RefusalKind::NotAllowed, "You are a voter yourself: nobody votes for another.")),
            };
        }
        if !self.state.resolve(stand_ins, self.people).contains(person) {
            return Ok(None);
        }
        let held = step.people.iter().find(|voter| step.votes.get(*voter).is_some_and(|vote| vote.by == *person));
        let free: Vec<&PersonId> = step.people.iter().filter(|voter| !step.votes.contains_key(*voter)).collect();
        if let Some(named) = instead_of {
            let meant = step.people.iter().find(|voter| voter.as_str().eq_ignore_ascii_case(named)).ok_or_else(|| {
                let says = format!("`{}` is not a voter here; voters are {}.", code(named), self.names(&step.people));
                Refusal::new(RefusalKind::Unknown, says)
            })?;
            if free.contains(&meant) || held == Some(meant) {
                return Ok(Some(meant.clone()));
            }
            let says = format!("{} voted already; a stand-in votes only for who is away.", self.people.call(meant));
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        if held.is_none() && free.len() > 1 {
            let ways: Vec<String> = free.iter().map(|voter| format!("`/rollout go for {voter}`")).collect();
            let says = format!("You are a stand-in, not a voter. For whom do you vote? {}.", ways.join(" or "));
            return Err(Refusal::new(RefusalKind::Ambiguous, says));
        }
        let voter = held.or(free.first().copied()).cloned().ok_or_else(|| {
            let says = format!("Everybody has voted on “{}”; a stand-in votes only for who is away.", self.title(index));
            Refusal::new(RefusalKind::NotNow, says)
        })?;
        Ok(Some(voter))
    }
}
