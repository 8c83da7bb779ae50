//! The people of a simulation: everybody does what is asked of them, at once and in good faith, unless the answers file says
//! otherwise.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::conversation::voice::Voice;
use crate::domain::people::{Directory, PersonId};
use crate::domain::rollout::command::{CommandBody, StepRef};
use crate::domain::rollout::event::Choice;
use crate::domain::rollout::state::{State, StepState, StepStatus};
use crate::domain::rollout::waits_for_opening;
use crate::domain::runbook::model::{Step, StepKind};

use super::answers::{Answer, Answers, Then};

/// Something that somebody can do now.
pub(super) struct Deed {
    /// Who may be the one: the first who is not refused.
    pub people: Vec<PersonId>,
    /// What.
    pub body: CommandBody,
}

/// What people can do in a rollout as it stands.
pub(super) fn deeds(state: &State, people: &Directory, now: DateTime<Utc>, answers: &Answers) -> Vec<Deed> {
    let hand = Hand { state, people, voice: Voice { state, people, now }, answers };
    let mut deeds: Vec<Deed> = state.open_steps().flat_map(|(index, step, open)| hand.deeds(index, step, open)).collect();
    for phase in (0..state.phases.len()).filter(|phase| waits_for_opening(state, *phase)) {
        let opens = state.runbook.phases[phase].opens.as_deref().unwrap_or_default();
        let openers = if opens.is_empty() { state.owners(people) } else { state.resolve(opens, people) };
        let phase = Some(state.runbook.phases[phase].id.clone());
        deeds.push(Deed { people: hand.or_anybody(openers), body: CommandBody::OpenPhase { phase } });
    }
    deeds
}

struct Hand<'a> {
    state: &'a State,
    people: &'a Directory,
    voice: Voice<'a>,
    answers: &'a Answers,
}

impl Hand<'_> {
    fn deeds(&self, index: usize, definition: &Step, step: &StepState) -> Vec<Deed> {
        let named = || StepRef::Named(definition.id.clone());
        let usual = Answer::default();
        let answer = self.answers.get(&self.state.runbook.name, &definition.id).unwrap_or(&usual);
        if let StepStatus::Failed { .. } = step.status {
            return vec![self.after_failure(index, definition, answer)];
        }
        let awaited = self.voice.awaited(index);
        let each = |body: &dyn Fn(&PersonId) -> CommandBody| {
            awaited.iter().map(|person| Deed { people: vec![person.clone()], body: body(person) }).collect::<Vec<_>>()
        };
        let one = |body: CommandBody| {
            if awaited.is_empty() { Vec::new() } else { vec![Deed { people: self.or_anybody(awaited.clone()), body }] }
        };
        match &definition.kind {
            StepKind::Acknowledge { .. } => {
                let (silent, willing): (Vec<_>, Vec<_>) = awaited.iter().cloned().partition(|who| answer.silent.contains(who));
                let acknowledge = |person| Deed { people: vec![person], body: CommandBody::Acknowledge { step: named() } };
                let waive = |person: PersonId| Deed {
                    people: self.state.owners(self.people),
                    body: CommandBody::Waive { whom: person.to_string(), reason: "never answered".to_owned() },
                };
                let waived = silent.into_iter().filter(|_| step.escalated).map(waive);
                willing.into_iter().map(acknowledge).chain(waived).collect()
            }
            StepKind::Decide { .. } => each(&|person| {
                let choice = answer.votes.get(person).copied().or(answer.vote).unwrap_or(Choice::Go);
                CommandBody::CastVote { step: named(), choice, reason: None, instead_of: None }
            }),
            StepKind::Ask { from, .. } if !from.is_empty() => {
                each(&|_| CommandBody::AnswerStep { step: named(), typed: self.typed(index, definition, answer) })
            }
            StepKind::Ask { .. } => one(CommandBody::AnswerStep { step: named(), typed: self.typed(index, definition, answer) }),
            StepKind::Let { .. } => one(CommandBody::ConfirmStep { step: named() }),
            StepKind::Run { by_hand: None, .. } => one(CommandBody::RunStep { step: named() }),
            kind if is_by_hand(kind) && answer.fails.is_some() => {
                let reason = answer.fails.clone().unwrap_or_default();
                one(CommandBody::FailStep { step: named(), reason })
            }
            _ => one(CommandBody::CompleteStep { step: named(), typed: self.typed(index, definition, answer) }),
        }
    }

    fn after_failure(&self, index: usize, definition: &Step, answer: &Answer) -> Deed {
        let step = StepRef::Named(definition.id.clone());
        let has_way_back = self.state.runbook.phases[definition.phase].back_off.is_some();
        // What nobody wanted to fail failed for want of a real outside: the rollout goes on.
        let usual = if answer.fails.is_some() && has_way_back { Then::BackOff } else { Then::ByHand };
        let then = if answer.then == Then::Usual { usual } else { answer.then };
        let reason = || "as the simulation has it".to_owned();
        let body = match then {
            // What a person does is done again by the same person.
            Then::Retry if !is_by_hand(&definition.kind) => CommandBody::RunStep { step },
            Then::Skip => CommandBody::SkipStep { step, reason: reason() },
            Then::BackOff => CommandBody::BackOff { generation: None },
            Then::Abort => CommandBody::Abort { reason: reason(), generation: None },
            Then::Retry | Then::ByHand | Then::Usual => {
                CommandBody::CompleteStep { step, typed: self.typed(index, definition, answer) }
            }
        };
        let mut people = self.voice.awaited(index);
        people.extend(self.state.owners(self.people));
        Deed { people: self.or_anybody(people), body }
    }

    /// These first, then everybody else: where a second person is needed, somebody is.
    fn or_anybody(&self, first: Vec<PersonId>) -> Vec<PersonId> {
        let others = self.people.people().map(|person| person.id.clone()).filter(|id| !first.contains(id));
        let others: Vec<PersonId> = others.collect();
        first.into_iter().chain(others).collect()
    }

    fn typed(&self, index: usize, definition: &Step, answer: &Answer) -> BTreeMap<String, String> {
        let fields = definition.kind.fields().iter();
        let known = fields.filter_map(|field| {
            let said = answer.fields.get(&field.name).cloned();
            let text = said.or_else(|| self.state.prefill(index, field)).or_else(|| field.example.clone());
            let text = text.or_else(|| field.required.then(|| self.plausible(field)))?;
            Some((field.name.clone(), text))
        });
        known.collect()
    }

    /// Something of the right kind, where the runbook gives no example.
    fn plausible(&self, field: &Field) -> String {
        let moment = self.voice.now.with_timezone(&self.state.runbook.timezone).format("%Y-%m-%d %H:%M").to_string();
        match &field.kind {
            FieldKind::Text | FieldKind::Pattern { .. } => "simulated".to_owned(),
            FieldKind::Choice { options, .. } => options.first().cloned().unwrap_or_default(),
            FieldKind::Number => "1".to_owned(),
            FieldKind::Datetime | FieldKind::Window => moment,
            FieldKind::Duration => "10m".to_owned(),
            FieldKind::People => self.state.owners(self.people).first().map(ToString::to_string).unwrap_or_default(),
            FieldKind::Link => "https://example.com/simulated".to_owned(),
            FieldKind::Confirm => "yes".to_owned(),
        }
    }
}

/// What people do themselves: they say too that it does not work.
const fn is_by_hand(kind: &StepKind) -> bool {
    matches!(kind, StepKind::Task { .. } | StepKind::Run { by_hand: Some(_), .. })
}
