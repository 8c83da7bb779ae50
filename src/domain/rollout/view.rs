//! A rollout as data for the API and the page: phases, steps, who is awaited, times.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::conversation::form::{Field, FieldValue};
use crate::domain::conversation::voice::Voice;
use crate::domain::people::Directory;
use crate::domain::runbook::model::{Outcome, StepKind};
use crate::domain::time::Takes;

use super::event::{ClockKind, DeliveryOutcome};
use super::state::{EnvironmentStage, PhaseState, State, StepStatus};

/// A person in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonView {
    /// Short name.
    pub id: String,
    /// Full name.
    pub name: String,
}

/// A value that people filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedValue {
    /// Its name in expressions.
    pub name: String,
    /// What people read.
    pub label: String,
    /// The value as people read it.
    pub value: String,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolloutView {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: u32,
    /// Its title.
    pub title: String,
    /// Its runbook's name.
    pub runbook: String,
    /// The rollout whose checklist it is.
    pub parent: Option<String>,
    /// Its environment.
    pub environment: Option<String>,
    /// Whether it has the environment: `not-needed`, `claimed`, `held`, `released`.
    pub environment_stage: &'static str,
    /// `open` or `ended`.
    pub status: &'static str,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// Its result, once recorded.
    pub result: Option<Outcome>,
    /// Whether it is on hold.
    pub held: bool,
    /// The rooms it is hosted in.
    pub rooms: Vec<String>,
    /// When it started, on its own clock.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// T-0.
    pub window_starts: Option<DateTime<Utc>>,
    /// The window's length in seconds.
    pub window_seconds: Option<i64>,
    /// The zone times are said in.
    pub timezone: &'static str,
    /// What its clock says.
    pub now: DateTime<Utc>,
    /// Whether its clock can be moved.
    pub clock: ClockKind,
    /// When something may happen by itself next.
    pub next_due: Option<DateTime<Utc>>,
    /// What happens by itself next, in words.
    pub next_by_itself: Option<String>,
    /// What people do next, in words.
    pub next_by_a_person: Option<String>,
    /// The inputs that are known.
    pub inputs: Vec<NamedValue>,
    /// Everybody who is awaited.
    pub awaited: Vec<PersonView>,
    /// The phases in order.
    pub phases: Vec<PhaseView>,
    /// The announcements in order.
    pub announcements: Vec<AnnouncementView>,
    /// The sequence of its last event.
    pub sequence: u64,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// `waiting`, `open`, `settled`, `not-applicable`, `aborted`.
    pub status: &'static str,
    /// Its time, as the runbook writes it.
    pub at: Option<String>,
    /// When that is.
    pub due: Option<DateTime<Utc>>,
    /// When it opened.
    pub opened: Option<DateTime<Utc>>,
    /// When it was settled.
    pub settled: Option<DateTime<Utc>>,
    /// How late it opened.
    pub late_seconds: i64,
    /// Shown on demand.
    pub help: Option<String>,
    /// Its steps in order.
    pub steps: Vec<StepView>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// Its sentence.
    pub title: String,
    /// Its kind, as runbooks write it.
    pub kind: &'static str,
    /// `pending`, `open`, `running`, `failed`, `done`, `not-applicable`, `aborted`, `skipped`, `over`, `backed-off`, `dropped`.
    pub status: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
    /// Who is meant.
    pub people: Vec<PersonView>,
    /// Who is awaited.
    pub awaited: Vec<PersonView>,
    /// Who acknowledged, and when.
    pub acknowledged: BTreeMap<String, DateTime<Utc>>,
    /// The items with whether they are ticked.
    pub items: Vec<ItemView>,
    /// The votes by person.
    pub votes: BTreeMap<String, &'static str>,
    /// What was decided.
    pub decision: Option<&'static str>,
    /// When a decision that settles is taken.
    pub settles: Option<DateTime<Utc>>,
    /// What was recorded with it.
    pub fields: Vec<NamedValue>,
    /// What an action gave.
    pub outputs: serde_json::Map<String, serde_json::Value>,
    /// The rollout that a checklist runs as.
    pub checklist: Option<String>,
    /// How long it usually takes.
    pub takes: Option<Takes>,
    /// When it opened.
    pub opened: Option<DateTime<Utc>>,
    /// When its action was begun.
    pub begun: Option<DateTime<Utc>>,
    /// When it was done.
    pub done: Option<DateTime<Utc>>,
    /// By whom.
    pub by: Option<PersonView>,
    /// Shown on demand.
    pub help: Option<String>,
}

/// One item of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemView {
    /// Its text.
    pub text: String,
    /// Whether it is ticked.
    pub ticked: bool,
}

/// One announcement with its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnnouncementView {
    /// The step it belongs to; none for what no step announces.
    pub step: Option<String>,
    /// Its template.
    pub message: String,
    /// Its subject.
    pub subject: Option<String>,
    /// Its Markdown.
    pub text: String,
    /// When it was issued.
    pub issued: DateTime<Utc>,
    /// `slack:name` and `delivered`, `on-its-way`, `failed`, `waived` or, in a rehearsal, `rehearsed`.
    pub destinations: BTreeMap<String, &'static str>,
}

/// How things stand, for the API and the page.
#[must_use]
pub fn view(state: &State, people: &Directory, now: DateTime<Utc>) -> RolloutView {
    let voice = Voice { state, people, now };
    let window = state.window();
    let mut awaited: Vec<PersonView> = Vec::new();
    for (index, _, _) in state.open_steps() {
        for person in voice.awaited(index) {
            if !awaited.iter().any(|known| known.id == person.as_str()) {
                awaited.push(person_view(people, &person));
            }
        }
    }
    RolloutView {
        id: state.id.to_string(),
        number: state.number,
        title: state.title.clone(),
        runbook: state.runbook.name.clone(),
        parent: state.parent.as_ref().map(|parent| parent.rollout.to_string()),
        environment: state.runbook.environment.clone(),
        environment_stage: match state.environment {
            EnvironmentStage::NotNeeded => "not-needed",
            EnvironmentStage::Claimed => "claimed",
            EnvironmentStage::Held => "held",
            EnvironmentStage::Released => "released",
        },
        status: if state.ended.is_some() { "ended" } else { "open" },
        rehearsal: state.rehearsal,
        result: state.result,
        held: state.held.is_some(),
        rooms: state.rooms.clone(),
        started: state.started,
        ended: state.ended,
        window_starts: window.map(|window| window.starts),
        window_seconds: window.and_then(|window| window.seconds),
        timezone: state.runbook.timezone.name(),
        now,
        clock: state.clock,
        next_due: voice.next_due(),
        next_by_itself: voice.next_by_itself(),
        next_by_a_person: voice.next_by_a_person(),
        inputs: named(&voice, state.runbook.inputs.iter().map(|input| &input.field), &state.values),
        awaited,
        phases: (0..state.phases.len()).map(|phase| phase_view(&voice, phase)).collect(),
        announcements: state
            .announcements
            .iter()
            .filter(|a| !a.is_personal())
            .map(|announcement| announcement_view(state, announcement))
            .collect(),
        sequence: state.sequence,
    }
}

fn person_view(people: &Directory, id: &crate::domain::people::PersonId) -> PersonView {
    PersonView { id: id.to_string(), name: people.person(id).map_or_else(|| id.to_string(), |person| person.name.clone()) }
}

/// Values in the order in which they are asked.
fn named<'f>(
    voice: &Voice<'_>,
    fields: impl IntoIterator<Item = &'f Field>,
    values: &BTreeMap<String, FieldValue>,
) -> Vec<NamedValue> {
    let known = fields.into_iter().filter_map(|field| Some((field, values.get(&field.name)?)));
    let said = |value: &FieldValue| value.said(voice.state.runbook.timezone, &|id| voice.people.call(id));
    known.map(|(field, value)| NamedValue { name: field.name.clone(), label: field.label.clone(), value: said(value) }).collect()
}

fn phase_view(voice: &Voice<'_>, phase: usize) -> PhaseView {
    let state = voice.state;
    let definition = &state.runbook.phases[phase];
    let (status, opened, settled, late_seconds) = match &state.phases[phase] {
        PhaseState::Waiting => ("waiting", None, None, 0),
        PhaseState::Open { since, late_seconds } => ("open", Some(*since), None, *late_seconds),
        PhaseState::Settled { since, late_seconds, at } => ("settled", Some(*since), Some(*at), *late_seconds),
        PhaseState::PassedOver(why) => (passed_over(*why), None, None, 0),
    };
    PhaseView {
        id: definition.id.clone(),
        title: state.phase_title(phase),
        status,
        at: definition.at.as_ref().map(ToString::to_string),
        due: state.due_of_phase(phase),
        opened,
        settled,
        late_seconds,
        help: definition.help.as_ref().map(|help| state.fill(help)),
        steps: state.runbook.steps_of(phase).map(|index| step_view(voice, index)).collect(),
    }
}

const fn passed_over(why: super::event::PassedOver) -> &'static str {
    match why {
        super::event::PassedOver::NotApplicable => "not-applicable",
        super::event::PassedOver::Aborted => "aborted",
        super::event::PassedOver::Skipped => "skipped",
        super::event::PassedOver::PhaseOver => "over",
        super::event::PassedOver::BackedOff => "backed-off",
        super::event::PassedOver::Dropped => "dropped",
    }
}

fn step_view(voice: &Voice<'_>, index: usize) -> StepView {
    let (state, people) = (voice.state, voice.people);
    let (definition, step) = (&state.runbook.steps[index], &state.steps[index]);
    let (status, reason, done, by) = match &step.status {
        StepStatus::Pending => ("pending", None, None, None),
        StepStatus::Open { .. } if step.is_running() => ("running", None, None, None),
        StepStatus::Open { .. } => ("open", None, None, None),
        StepStatus::Failed { reason, .. } => ("failed", Some(reason.clone()), None, None),
        StepStatus::Done { at, .. } => ("done", None, Some(*at), step.done_by()),
        StepStatus::PassedOver(why) => (passed_over(*why), None, None, None),
    };
    let items: Vec<ItemView> = match &definition.kind {
        StepKind::Task { items, .. } => items
            .iter()
            .enumerate()
            .map(|(item, text)| ItemView { text: state.fill_for(index, text), ticked: step.ticked.contains_key(&item) })
            .collect(),
        _ => Vec::new(),
    };
    let begun = step.action.as_ref().and_then(|action| action.begun);
    StepView {
        id: definition.id.clone(),
        title: state.step_title(index),
        kind: definition.kind.name(),
        status,
        reason,
        people: step.people.iter().map(|id| person_view(people, id)).collect(),
        awaited: voice.awaited(index).iter().map(|id| person_view(people, id)).collect(),
        acknowledged: step.acknowledged.iter().map(|(id, at)| (id.to_string(), *at)).collect(),
        items,
        votes: step.votes.iter().map(|(id, vote)| (id.to_string(), vote.choice.name())).collect(),
        decision: step.decision.map(super::event::Choice::name),
        settles: step.settling.map(|(_, until)| until),
        fields: named(voice, definition.kind.fields(), &step.fields),
        outputs: step.outputs.clone(),
        checklist: step.child.as_ref().map(|child| child.rollout.to_string()),
        takes: definition.takes,
        opened: step.since(),
        begun,
        done,
        by: by.map(|id| person_view(people, id)),
        help: definition.help.as_ref().map(|help| state.fill_for(index, help)),
    }
}

fn announcement_view(state: &State, announcement: &super::state::Announcement) -> AnnouncementView {
    let destination = |destination: &super::state::Destination| {
        let status = match destination.outcome {
            _ if destination.waived.is_some() => "waived",
            None => "on-its-way",
            Some(DeliveryOutcome::Delivered { .. }) if state.rehearsal => "rehearsed",
            Some(DeliveryOutcome::Delivered { .. }) => "delivered",
            Some(DeliveryOutcome::Failed { .. }) => "failed",
        };
        (destination.to.to_string(), status)
    };
    AnnouncementView {
        step: announcement.step.and_then(|step| state.runbook.steps.get(step)).map(|step| step.id.clone()),
        message: announcement.message.clone(),
        subject: announcement.subject.clone(),
        text: announcement.text.clone(),
        issued: announcement.issued,
        destinations: announcement.destinations.iter().map(destination).collect(),
    }
}
