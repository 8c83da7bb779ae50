//! Amending: what the runbook says is corrected for this rollout only, by the owner and a second person.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::conversation::voice::capital;
use crate::domain::message::template::escape_markdown;
use crate::domain::problem::did_you_mean;
use crate::domain::rollout::amendment::{Amendment, Corrected};
use crate::domain::rollout::command::{Change, Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::Event;
use crate::domain::rollout::scope::scope_of_step;
use crate::domain::rollout::state::{PhaseState, State};
use crate::domain::runbook::model::{Call, StepKind};
use crate::domain::runbook::names::slug;

use super::action::fill_json;
use super::{Desk, code};

/// How many amendments one rollout takes: with more it is another runbook.
const AMENDMENTS_MAX: usize = 100;

impl Desk<'_> {
    /// Proposes a change, or agrees to it where somebody else proposed the same.
    pub(super) fn amend(&self, reference: &StepRef, change: &Change) -> Result<Vec<Event>, Refusal> {
        let StepRef::Named(id) = reference else {
            return Err(Refusal::new(RefusalKind::Invalid, "Which step? `/rollout amend STEP …`."));
        };
        let index = self.named(id)?;
        let amendment = match change {
            Change::Nothing => return Err(self.how_to_amend(index)),
            Change::Inputs(typed) => Amendment::Inputs { step: index, inputs: self.corrected(index, typed)? },
            Change::Add(task) => self.added(index, task)?,
            Change::Drop(reason) => {
                let reason = Self::words(reason, "Dropping a task needs a reason: `/rollout amend STEP drop REASON`. It")?;
                Amendment::Drop { step: index, reason }
            }
        };
        self.amendable(&amendment)?;
        if let Some(proposed) = &self.state.amendment
            && proposed.amendment == amendment
        {
            return self.agree(None);
        }
        self.may_second("propose an amendment")?;
        if self.state.amendments.len() >= AMENDMENTS_MAX {
            let says = format!("A rollout takes at most {AMENDMENTS_MAX} amendments. This is another runbook by now.");
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        Ok(vec![Event::AmendmentProposed { amendment }])
    }

    /// Agrees to the amendment that somebody else proposed; one of the two is the owner.
    pub(super) fn agree(&self, generation: Option<u32>) -> Result<Vec<Event>, Refusal> {
        let Some(proposed) = &self.state.amendment else {
            return Err(Refusal::new(RefusalKind::NotNow, "No amendment is proposed. `/rollout amend STEP …` proposes one."));
        };
        if generation.is_some_and(|generation| u64::from(generation) != proposed.sequence) {
            let says = "Another amendment was proposed since that button was made. The card shows it.";
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        let person = self.person()?;
        if proposed.by == *person {
            let says = "You proposed this amendment. A second person has to agree: `/rollout amend`.";
            return Err(Refusal::new(RefusalKind::NotNow, says));
        }
        if !self.is_owner()? && !self.state.owners(self.people).contains(&proposed.by) {
            let owners = self.names(&self.state.owners(self.people)).replace(" and ", " or ");
            let says = format!("One of the two who amend is the owner: {owners}.");
            return Err(Refusal::new(RefusalKind::NotAllowed, says));
        }
        self.may_second("agree to an amendment")?;
        self.amendable(&proposed.amendment)?;
        Ok(vec![Event::Amended { amendment: proposed.amendment.clone(), proposed_by: proposed.by.clone() }])
    }

    /// Whether a change is still possible: what is over stays as it was.
    fn amendable(&self, amendment: &Amendment) -> Result<(), Refusal> {
        let index = amendment.step();
        let (definition, step) = (&self.state.runbook.steps[index], &self.state.steps[index]);
        let refuse =
            |why: &str| Err(Refusal::new(RefusalKind::NotNow, format!("“{}” can't be amended: {why}", self.title(index))));
        match amendment {
            Amendment::Add { .. } => match &self.state.phases[definition.phase] {
                PhaseState::Waiting | PhaseState::Open { .. } => {}
                PhaseState::Settled { .. } | PhaseState::PassedOver(_) => return refuse("nothing more is done in its phase."),
            },
            Amendment::Drop { .. } if !matches!(definition.kind, StepKind::Task { .. }) => {
                return refuse(&format!("only tasks are dropped. `/rollout skip {} REASON` goes on without it.", definition.id));
            }
            Amendment::Inputs { .. } if definition.kind.call().is_none() => {
                return refuse("it asks nothing of a system, so it has no inputs.");
            }
            _ if step.is_running() || step.is_under_way() => return refuse("it is running."),
            _ if step.status.is_settled() => return refuse("it is over."),
            _ => {}
        }
        if let Amendment::Add { .. } = amendment
            && self.state.runbook.phases[definition.phase].during.contains(&index)
        {
            return refuse("it lives beside the steps of its phase, and nothing comes after it.");
        }
        Ok(())
    }

    /// The inputs as they are to be, each with what it was.
    fn corrected(&self, index: usize, typed: &BTreeMap<String, String>) -> Result<Vec<Corrected>, Refusal> {
        let known = inputs_now(self.state, index);
        let unknown = |name: &str| {
            let near = did_you_mean(name, known.iter().map(|(path, _)| path.as_str()));
            let hint = near.map_or_else(|| format!("It has {}.", said_inputs(&known)), |near| format!("Did you mean `{near}`?"));
            Refusal::new(RefusalKind::Unknown, format!("“{}” has no input `{}`. {hint}", self.title(index), code(name)))
        };
        let mut corrected = Vec::new();
        for (name, text) in typed {
            let text = Self::words(text, "An input")?;
            // The last part of a path is enough where it says which one is meant.
            let is_last = |path: &str| path.rsplit('.').next() == Some(name.as_str());
            let mut meant = known.iter().filter(|(path, _)| path == name);
            let mut ends_so = known.iter().filter(|(path, _)| is_last(path));
            let only = ends_so.next().filter(|_| ends_so.next().is_none());
            let Some((path, value)) = meant.next().or(only) else { return Err(unknown(name)) };
            let to = typed_like(value, &text).ok_or_else(|| {
                let kind = if value.is_boolean() { "`true` or `false`" } else { "a number" };
                Refusal::new(RefusalKind::Invalid, format!("`{path}` is {kind}, not `{}`.", code(&text)))
            })?;
            if to != *value {
                corrected.push(Corrected { path: path.clone(), from: said_value(value), to });
            }
        }
        if corrected.is_empty() {
            let says = format!("Nothing would change: “{}” has {}.", self.title(index), said_inputs(&known));
            return Err(Refusal::new(RefusalKind::Invalid, says));
        }
        Ok(corrected)
    }

    /// A task after a step.
    fn added(&self, after: usize, task: &str) -> Result<Amendment, Refusal> {
        let task = Self::words(task, "A task needs a sentence: `/rollout amend STEP add TEXT`. It")?;
        // It becomes a sentence of the runbook, and those are templates.
        if ["{{", "{%", "{#"].iter().any(|tag| task.contains(tag)) {
            return Err(Refusal::new(RefusalKind::Invalid, "A task added by hand is plain words, without `{{`, `{%` or `{#`."));
        }
        let base = slug(&task);
        let base = if base.trim_start_matches("s_").is_empty() { "added".to_owned() } else { base };
        let is_free = |id: &String| self.state.runbook.is_free(id);
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        let id = [base.clone()].into_iter().chain(numbered).find(is_free).unwrap_or(base);
        Ok(Amendment::Add { after, id, task })
    }

    /// What `amend STEP` alone is answered.
    fn how_to_amend(&self, index: usize) -> Refusal {
        let id = &self.state.runbook.steps[index].id;
        let mut ways = Vec::new();
        let known = inputs_now(self.state, index);
        if let Some((path, _)) = known.first() {
            ways.push(format!("it has {}, and `/rollout amend {id} {path}=VALUE` changes one", said_inputs(&known)));
        }
        if matches!(self.kind(index), StepKind::Task { .. }) {
            ways.push(format!("`/rollout amend {id} drop REASON` drops it"));
        }
        ways.push(format!("`/rollout amend {id} add TEXT` adds a task after it"));
        Refusal::new(
            RefusalKind::Invalid,
            format!("What of “{}”? {}. A second person agrees.", self.title(index), capital(&ways.join("; "))),
        )
    }
}

impl State {
    /// What a step would ask a system with now, by path and as people read it.
    #[must_use]
    pub fn inputs_of(&self, index: usize) -> Vec<(String, String)> {
        inputs_now(self, index).into_iter().map(|(path, value)| (path, said_value(&value))).collect()
    }
}

/// The inputs of what a step asks of a system, as they would be now, by path: `parameters.ContainerVersion`.
fn inputs_now(state: &State, index: usize) -> Vec<(String, Value)> {
    let Some(call) = state.runbook.steps[index].kind.call() else { return Vec::new() };
    let filled = call_inputs(state, index, call, state.last_at);
    let mut leaves = Vec::new();
    collect(&filled.unwrap_or_else(|_| call.with.clone()), "", &mut leaves);
    leaves
}

fn collect(value: &Value, path: &str, leaves: &mut Vec<(String, Value)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(pairs) => pairs.iter().for_each(|(name, value)| collect(value, &below(name), leaves)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| collect(value, &below(&index.to_string()), leaves));
        }
        leaf => leaves.push((path.to_owned(), leaf.clone())),
    }
}

/// What was typed as a value of the kind that stands there.
fn typed_like(there: &Value, text: &str) -> Option<Value> {
    match there {
        Value::Number(_) => text.parse().ok().map(Value::Number),
        Value::Bool(_) => text.parse().ok().map(Value::Bool),
        _ => Some(Value::String(text.to_owned())),
    }
}

fn said_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn said_inputs(known: &[(String, Value)]) -> String {
    let said: Vec<String> = known.iter().map(|(path, value)| format!("{path}={}", escape_markdown(&said_value(value)))).collect();
    said.join(", ")
}

/// What a system is asked with: what the runbook says, filled in, and what was amended instead.
pub(in crate::domain::rollout) fn call_inputs(
    state: &State,
    index: usize,
    call: &Call,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Value, String> {
    let mut inputs = fill_json(&call.with, &scope_of_step(state, index, now))?;
    for (path, value) in &state.steps[index].amended {
        let place = place_of(&mut inputs, path).ok_or_else(|| format!("there is no input `{path}` to be amended"))?;
        *place = value.clone();
    }
    Ok(inputs)
}

/// Where a path of [`collect`] leads to. A name may have dots of its own, so every name that the path can begin with is tried.
fn place_of<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let rest = |name: &str| path.strip_prefix(name).map(|rest| (rest.is_empty(), rest.strip_prefix('.')));
    match value {
        Value::Object(pairs) => pairs.iter_mut().find_map(|(name, inside)| match rest(name)? {
            (true, _) if !inside.is_object() && !inside.is_array() => Some(inside),
            (_, Some(below)) => place_of(inside, below),
            _ => None,
        }),
        Value::Array(items) => items.iter_mut().enumerate().find_map(|(index, inside)| match rest(&index.to_string())? {
            (true, _) if !inside.is_object() && !inside.is_array() => Some(inside),
            (_, Some(below)) => place_of(inside, below),
            _ => None,
        }),
        _ => None,
    }
}
