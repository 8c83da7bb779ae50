//! Actions: asked for, begun, ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::{ActionOutcome, Choice, Event, Fate};
use crate::domain::rollout::scope::scope_with_outputs;
use crate::domain::rollout::state::{ActionStage, State, StepStatus};
use crate::domain::runbook::model::{Bad, StepKind, Wait};

use super::amend::call_inputs;
use super::{Desk, verbs};

impl Desk<'_> {
    pub(super) fn run(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "run", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"run"))?;
        self.may_run(index, "Running")?;
        if let Some(held) = &self.state.held {
            let by = held.by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
            return Err(Refusal::new(
                RefusalKind::NotNow,
                format!("{} is on hold{by} since {}. `/rollout resume` lets it go on.", self.state.id, self.say(held.since)),
            ));
        }
        self.no_one_says_no(index)?;
        if let (StepKind::Wait { .. } | StepKind::Checklist { .. }, true) =
            (self.kind(index), matches!(self.state.steps[index].status, StepStatus::Failed { .. }))
        {
            // Begun anew, as if it had just opened.
            return Ok(vec![Event::StepReopened { step: index, reason: "run again".to_owned() }]);
        }
        if matches!(self.kind(index), StepKind::Announce { .. } | StepKind::Decide { .. }) {
            return Ok(self.send_again(index));
        }
        if let Some(approved) = self.first_of_two(index)? {
            return Ok(vec![approved]);
        }
        request_action(self.state, index, self.now()).map(|event| vec![event]).map_err(|problem| {
            Refusal::new(RefusalKind::NotNow, format!("“{}” can't be run: {}.", self.title(index), escape_markdown(&problem)))
        })
    }

    /// Whoever is named for it presses, and so do the owners; what one of them approved, a second person presses.
    fn may_run(&self, index: usize, doing: &str) -> Result<(), Refusal> {
        let person = self.person()?;
        match (self.kind(index), &self.state.steps[index].approved) {
            (StepKind::Run { four_eyes: true, .. }, Some(first)) if first != person => self.may_second("press Run as the second"),
            _ => self.may_act(index, doing),
        }
    }

    /// What takes two is only approved by the first who presses.
    fn first_of_two(&self, index: usize) -> Result<Option<Event>, Refusal> {
        let person = self.person()?;
        let StepKind::Run { four_eyes: true, .. } = self.kind(index) else { return Ok(None) };
        match &self.state.steps[index].approved {
            None => Ok(Some(Event::RunApproved { step: index })),
            Some(first) if first == person => {
                let says = format!("You pressed Run on “{}” already. A second person has to press it too.", self.title(index));
                Err(Refusal::new(RefusalKind::NotNow, says))
            }
            Some(_) => Ok(None),
        }
    }

    /// While a NO-GO settles nothing is run any more.
    fn no_one_says_no(&self, index: usize) -> Result<(), Refusal> {
        let settling = self.state.open_steps().find(|(_, _, step)| matches!(step.settling, Some((Choice::NoGo, _))));
        let Some((decision, ..)) = settling else { return Ok(()) };
        let says = format!("“{}” is not run: “{}” is about to be NO-GO.", self.title(index), self.title(decision));
        Err(Refusal::new(RefusalKind::NotNow, says))
    }

    /// Asks the system to stop; what it did until then, its end says.
    pub(super) fn cancel(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "cancel", |index| self.state.steps[index].is_running())?;
        self.may_act(index, "Cancelling")?;
        let Some(action) = &self.state.steps[index].action else { return Ok(Vec::new()) };
        if let Some(at) = action.cancelled {
            let says = format!("“{}” is being cancelled since {}. It says here when it ends.", self.title(index), self.say(at));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        let attempt = action.attempt;
        if action.stage == ActionStage::Requested {
            // Nobody was asked yet, so there is nothing to stop.
            let outcome = ActionOutcome::Failed { reason: "it was cancelled before it began".to_owned() };
            return Ok(vec![Event::ActionEnded { step: index, attempt, outcome }]);
        }
        Ok(vec![Event::CancelRequested { step: index, attempt }])
    }

    /// A person says what became of an action that nobody knows the fate of.
    pub(super) fn say_fate(&self, reference: &StepRef, fate: Fate) -> Result<Vec<Event>, Refusal> {
        let index =
            self.target(reference, "fate", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"fate"))?;
        if fate == Fate::Rerun {
            self.may_run(index, "Running")?;
        } else {
            self.may_act(index, "Saying what became of")?;
        }
        let attempt = self.state.steps[index].action.as_ref().map_or(0, |action| action.attempt);
        let said = Event::FateSaid { step: index, attempt, fate };
        match fate {
            Fate::Ran => Ok(vec![said, Event::StepCompleted { step: index, fields: BTreeMap::new() }]),
            Fate::Look => Ok(vec![said]),
            Fate::Hold => {
                let reason = format!("nobody knows what became of “{}”", self.state.step_title(index));
                let held = self.state.held.is_none().then_some(Event::held(Some(reason)));
                Ok([said].into_iter().chain(held).collect())
            }
            Fate::Rerun => {
                self.no_one_says_no(index)?;
                if self.state.held.is_some() {
                    let says = format!("{} is on hold. `/rollout resume` lets it go on.", self.state.id);
                    return Err(Refusal::new(RefusalKind::NotNow, says));
                }
                if let Some(approved) = self.first_of_two(index)? {
                    return Ok(vec![approved]);
                }
                let requested = request_action(self.state, index, self.now()).map_err(|problem| {
                    let says = format!("“{}” can't be run: {}.", self.title(index), escape_markdown(&problem));
                    Refusal::new(RefusalKind::NotNow, says)
                })?;
                Ok(vec![said, requested])
            }
        }
    }

    pub(super) fn begin_attempt(&self, index: usize, attempt: u32) -> Result<Vec<Event>, Refusal> {
        let step = self.state.steps.get(index).filter(|step| matches!(step.status, StepStatus::Open { .. }));
        let waits =
            step.and_then(|s| s.action.as_ref()).is_some_and(|a| a.attempt == attempt && a.stage == ActionStage::Requested);
        if waits && self.state.held.is_none() {
            Ok(vec![Event::ActionAttempted { step: index, attempt }])
        } else {
            Err(Refusal::new(RefusalKind::NotNow, "This attempt is no longer wanted."))
        }
    }

    pub(super) fn record_action(&self, index: usize, attempt: u32, outcome: &ActionOutcome) -> Vec<Event> {
        let step = self.state.steps.get(index);
        let current = step
            .and_then(|step| step.action.as_ref())
            .is_some_and(|action| action.attempt == attempt && !matches!(action.stage, ActionStage::Ended { .. }));
        if !current {
            return vec![Event::ReceiptCameLate { step: index, attempt, outcome: outcome.clone() }];
        }
        let ended = Event::ActionEnded { step: index, attempt, outcome: outcome.clone() };
        // After an abort the end of an action is on record, and changes nothing else.
        if !step.is_some_and(|step| matches!(step.status, StepStatus::Open { .. })) {
            return vec![ended];
        }
        let ActionOutcome::Succeeded { outputs } = outcome else { return vec![ended] };
        match self.unmet(index, outputs) {
            Some(reason) => vec![ended, Event::StepFailed { step: index, reason }],
            None => vec![ended, Event::StepCompleted { step: index, fields: BTreeMap::new() }],
        }
    }

    /// What does not hold of the outputs that a step requires something of.
    pub(super) fn unmet(&self, index: usize, outputs: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
        let scope = scope_with_outputs(self.state, index, self.now(), outputs);
        let requirements = self.kind(index).call().map_or(&[][..], |call| call.require.as_slice());
        requirements.iter().find_map(|requirement| match template::holds(&requirement.that, &scope) {
            Ok(true) => None,
            Ok(false) => Some(
                template::render(&requirement.otherwise, Landing::Plain, &scope)
                    .unwrap_or_else(|_| requirement.otherwise.clone()),
            ),
            Err(problem) => Some(format!("`{}` can't be evaluated: {problem}", requirement.that)),
        })
    }

    /// What a check says changes something only when it is news: it came true, a good one more, the first bad one.
    pub(super) fn record_check(&self, index: usize, generation: (u32, u32), outcome: &ActionOutcome) -> Vec<Event> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        let StepKind::Wait { wait } = &definition.kind else { return Vec::new() };
        if !matches!(step.status, StepStatus::Open { .. }) || (step.generation, self.state.generation) != generation {
            return Vec::new();
        }
        let bad = match outcome {
            ActionOutcome::Succeeded { outputs } => self.unmet(index, outputs),
            ActionOutcome::Failed { reason } | ActionOutcome::Unknown { reason } => Some(reason.clone()),
        };
        let good = bad.is_none();
        let checked = Event::Checked { step: index, good, reason: bad.clone() };
        let completed = || Event::StepCompleted { step: index, fields: BTreeMap::new() };
        match (wait, bad) {
            (Wait::Until { .. }, None) => vec![completed()],
            (Wait::Time { .. }, _) | (Wait::Until { .. }, Some(_)) => Vec::new(),
            // Watching while a phase is open: what is said is when it turns.
            (Wait::Cycles { cycles: None, .. }, None) if step.checks.bad.is_none() => Vec::new(),
            (Wait::Cycles { cycles: None, .. }, Some(_)) if step.checks.bad.is_some() => Vec::new(),
            (Wait::Cycles { cycles: Some(needed), .. }, None) if step.checks.good + 1 >= *needed => vec![checked, completed()],
            (Wait::Cycles { bad: Bad::Fail, .. }, Some(reason)) => vec![checked, Event::StepFailed { step: index, reason }],
            (Wait::Cycles { .. }, _) => vec![checked],
        }
    }
}

/// The event that wants an action, with its inputs filled in.
pub(in crate::domain::rollout) fn request_action(state: &State, index: usize, now: DateTime<Utc>) -> Result<Event, String> {
    let StepKind::Run { call, .. } = &state.runbook.steps[index].kind else {
        return Err("it is not an action".to_owned());
    };
    let inputs = call_inputs(state, index, call, now)?;
    let attempt = state.steps[index].action.as_ref().map_or(1, |action| action.attempt + 1);
    Ok(Event::ActionRequested { step: index, attempt, inputs })
}

pub(super) fn fill_json(value: &serde_json::Value, scope: &minijinja::Value) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(template::render(text, Landing::Plain, scope)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill_json(item, scope)).collect::<Result<_, _>>()?),
        Value::Object(pairs) => {
            Value::Object(pairs.iter().map(|(k, v)| Ok((k.clone(), fill_json(v, scope)?))).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}
