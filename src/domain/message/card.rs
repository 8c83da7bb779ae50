//! The card: one living message per rollout and room, as parts that every platform renders in its own way.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::button::{ButtonToken, Verb};
use crate::domain::conversation::form::{Field, FieldKind};
use crate::domain::conversation::line::line_of;
use crate::domain::conversation::log::sentence;
use crate::domain::conversation::voice::{Voice, capital, shorten};
use crate::domain::conversation::window::window_line;
use crate::domain::people::{Directory, PersonId};
use crate::domain::registry::Line;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::{NoteKind, REHEARSAL};
use crate::domain::rollout::state::{ActionStage, Note, PhaseState, State, StepState, StepStatus};
use crate::domain::rollout::{due_of, offers_done, step_moves, verbs, waits_for_opening};
use crate::domain::runbook::model::{Question, Step, StepKind, Wait};
use crate::domain::time::{clock_time, say_between, say_seconds};

use super::template::escape_markdown;

/// How many of the newest events a card shows.
const NEWEST_SHOWN: usize = 3;
/// Up to so many names of a roster get a tick each; above, only the awaited are named.
const ROSTER_NAMES_MAX: usize = 20;
/// Up to so many names of a roster all who are awaited are named; above, only the first.
pub(in crate::domain) const ROSTER_AWAITED_MAX: usize = 60;
/// How many awaited people are named then.
const AWAITED_NAMES_MAX: usize = 15;
/// How many characters of a step's sentence a button shows; Slack takes 75 in all.
const BUTTON_TITLE_CHARS_MAX: usize = 48;

/// The card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its title, plain.
    pub title: String,
    /// Result or phase, progress, T-0; Markdown.
    pub headline: Vec<String>,
    /// One section per open step; Markdown.
    pub sections: Vec<CardSection>,
    /// The newest events; Markdown.
    pub newest: Vec<String>,
    /// What comes next; Markdown.
    pub next: Vec<String>,
    /// What can be pressed.
    pub buttons: Vec<Button>,
    /// Where its page is.
    pub link: Option<String>,
}

/// A part of the card that belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSection {
    /// Markdown.
    pub heading: String,
    /// Markdown.
    pub lines: Vec<String>,
}

/// Something to press.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Button {
    /// What the press says.
    pub id: String,
    /// What stands on it.
    pub label: String,
    /// How it looks.
    pub style: ButtonStyle,
    /// What is asked before it counts.
    pub confirm: Option<String>,
    /// Whether a reason is asked.
    pub reason: bool,
    /// What is filled in with it.
    pub fields: Vec<FormField>,
}

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ButtonStyle {
    /// The thing to do.
    Primary,
    /// One of several.
    Default,
    /// Think first.
    Danger,
}

/// A field of an open form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormField {
    /// Its name.
    pub name: String,
    /// What people read.
    pub label: String,
    /// Its type, as runbooks write it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it may be left out.
    pub required: bool,
    /// What a right value looks like.
    pub example: Option<String>,
    /// What stands in it.
    pub value: Option<String>,
    /// What can be chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether several may be chosen.
    #[serde(default)]
    pub many: bool,
}

impl FormField {
    /// A field as it is asked, with what stands in it.
    #[must_use]
    pub fn of(field: &Field, value: Option<String>) -> Self {
        let (options, many) = match &field.kind {
            FieldKind::Choice { options, many } => (options.clone(), *many),
            _ => (Vec::new(), false),
        };
        Self {
            name: field.name.clone(),
            label: field.label.clone(),
            kind: field.kind.name().to_owned(),
            required: field.required,
            example: field.example.clone(),
            value,
            options,
            many,
        }
    }
}

/// How far a running action is: known to the engine only, never journaled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last line.
    pub line: Option<String>,
    /// The system's own page.
    pub link: Option<String>,
}

/// What is on the card now. `progress` tells how far a running action is.
#[must_use]
pub fn card(state: &State, people: &Directory, now: DateTime<Utc>, progress: &dyn Fn(usize) -> Option<Progress>) -> Card {
    let voice = Voice { state, people, now };
    let (settled, all) = voice.progress();
    let mut headline = vec![format!("{} · {settled} of {all} steps settled", voice.headline())];
    if let Some(window) = state.window().filter(|_| state.ended.is_none()) {
        let distance = if window.starts > now {
            format!("in {}", say_between(now, window.starts))
        } else {
            format!("{} ago", say_between(window.starts, now))
        };
        headline.push(format!("T-0: {} ({distance})", voice.time(window.starts)));
    }
    if state.rehearsal {
        headline.insert(0, format!("**{REHEARSAL}**: every action is pretended, and nothing leaves the rooms it is hosted in"));
    }
    headline.extend(window_line(&voice));
    if let Some(held) = &state.held {
        let by = held.by.as_ref().map(|person| format!(" by {}", voice.call(person))).unwrap_or_default();
        let why = held.reason.as_ref().map(|reason| format!(": {}", escape_markdown(reason))).unwrap_or_default();
        headline.push(format!("On hold{by} since {}{why}", voice.time(held.since)));
    }
    if let Some(freeze) = &state.freeze {
        let environment = escape_markdown(state.runbook.environment.as_deref().unwrap_or_default());
        headline.push(format!("Frozen: the freeze {} keeps it from {environment}, {}", freeze.called(), freeze.span()));
    }
    for overridden in state.overridden.iter().filter(|_| state.ended.is_none()) {
        let by = overridden.by.as_ref().map(|person| format!(" by {}", voice.call(person))).unwrap_or_default();
        let (name, reason) = (escape_markdown(&overridden.freeze.name), escape_markdown(&overridden.reason));
        headline.push(format!("Freeze {name} overridden{by}: {reason}"));
    }
    let mut sections = Vec::new();
    let mut buttons = Vec::new();
    for (index, definition, step) in state.open_steps() {
        sections.push(section(&voice, index, definition, step, progress(index).as_ref()));
        buttons.extend(step_buttons(state, index));
        buttons.extend(show_all(state, index));
    }
    if let Some(proposed) = state.amendment.as_ref().filter(|_| state.ended.is_none()) {
        let what = capital(&proposed.amendment.markdown(state));
        let who = format!("{} proposed it; a second person has to agree", voice.call(&proposed.by));
        sections.push(CardSection { heading: "Amendment, for this rollout only".to_owned(), lines: vec![what, who] });
    }
    let questions = open_questions(&voice);
    if !questions.is_empty() {
        sections.push(CardSection { heading: "Open questions".to_owned(), lines: questions });
    }
    let offered: Vec<usize> = state.ordered_steps().filter(|index| offers_done(state, *index)).collect();
    if !offered.is_empty() {
        let lines = offered.iter().map(|index| format!("☐ {}", escape_markdown(&state.step_title(*index)))).collect();
        sections.push(CardSection { heading: "May be ticked already, before its phase opens".to_owned(), lines });
        buttons.extend(offered.into_iter().flat_map(|index| step_buttons(state, index)));
    }
    buttons.extend(rollout_buttons(state));
    let newest: Vec<String> = state
        .newest
        .iter()
        .rev()
        .filter_map(|(_, recorded)| {
            Some(format!("{} {}", clock_time(recorded.at, state.runbook.timezone), sentence(state, people, recorded)?))
        })
        .take(NEWEST_SHOWN)
        .collect();
    let itself = voice.next_by_itself().map(|text| format!("Next by itself: {text}."));
    let person = voice.next_by_a_person().map(|text| format!("Next by a person: {text}."));
    Card {
        rollout: state.id.clone(),
        title: state.title.clone(),
        headline,
        sections,
        newest: newest.into_iter().rev().collect(),
        next: itself.into_iter().chain(person).collect(),
        buttons,
        link: state.link.clone(),
    }
}

impl Card {
    /// Adds how it stands in the line for its environment, which the registry knows.
    pub fn show_line(&mut self, voice: &Voice<'_>, line: Option<&Line>) {
        self.headline.extend(line.and_then(|line| line_of(voice, line)));
    }

    /// The card as Markdown, without its buttons.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("**{}** · `{}`\n\n", escape_markdown(&self.title), self.rollout);
        text.push_str(&self.headline.join("  \n"));
        for section in &self.sections {
            text.push_str(&format!("\n\n**{}**\n", section.heading));
            for line in &section.lines {
                text.push_str(&format!("- {line}\n"));
            }
        }
        if !self.newest.is_empty() {
            text.push_str("\n\n---\n");
            for line in &self.newest {
                text.push_str(&format!("- {line}\n"));
            }
        }
        if !self.next.is_empty() {
            text = format!("{}\n\n", text.trim_end());
            text.push_str(&self.next.join("  \n"));
        }
        text
    }
}

fn section(voice: &Voice<'_>, index: usize, definition: &Step, step: &StepState, progress: Option<&Progress>) -> CardSection {
    let state = voice.state;
    let heading = escape_markdown(&state.step_title(index));
    let mut lines = Vec::new();
    if let StepStatus::Failed { reason, unknown, .. } = &step.status {
        let what = if *unknown { "Nobody knows what became of it" } else { "Failed" };
        lines.push(format!("**{what}**: {}", escape_markdown(reason)));
    }
    match &definition.kind {
        StepKind::Acknowledge { from } => lines.extend(roster(voice, from, step, ROSTER_NAMES_MAX)),
        StepKind::Task { items, .. } => {
            for (item, text) in items.iter().enumerate() {
                let text = escape_markdown(&state.fill_for(index, text));
                lines.push(match step.ticked.get(&item) {
                    Some((by, at)) => {
                        let by = by.as_ref().map(|person| format!(" {}", voice.call(person))).unwrap_or_default();
                        format!("☑ {text} ({}{by})", voice.time(*at))
                    }
                    None => format!("☐ {text}"),
                });
            }
            lines.push(format!("With {}", voice.names(&step.people)));
        }
        StepKind::Ask { from, .. } if !from.is_empty() => lines.extend(roster(voice, from, step, ROSTER_NAMES_MAX)),
        StepKind::Ask { .. } => lines.push(format!("With {}", voice.names(&step.people))),
        StepKind::Run { call, by_hand: Some(_), .. } => {
            let (operation, system) = (escape_markdown(&call.operation), escape_markdown(&call.system));
            lines.push(format!("{operation} on {system}, by hand: the system is not configured"));
            lines.push(format!("With {}", voice.names(&step.people)));
        }
        StepKind::Run { call, press, .. } => {
            lines.push(format!("{} on {}", escape_markdown(&call.operation), escape_markdown(&call.system)));
            lines.extend(inputs_line(step));
            lines.extend(run_lines(voice, definition, step, press.is_some(), progress));
        }
        StepKind::Wait { wait } => lines.extend(wait_lines(voice, index, wait, step, progress)),
        StepKind::Checklist { runbook, evidence, .. } => match &step.child {
            None => lines.push(format!("About to start the checklist {}", escape_markdown(runbook))),
            Some(child) => {
                let how = match (child.result, child.settled) {
                    (Some(result), _) => format!("**{}**", result.title()),
                    (None, true) => "as far as it has to be".to_owned(),
                    (None, false) => "under way".to_owned(),
                };
                lines.push(format!("`{}`: {how}", child.rollout));
                if child.settled && !evidence.is_empty() {
                    lines.push(format!("With {}: what is recorded with it", voice.names(&step.people)));
                }
            }
        },
        StepKind::Let { confirm, .. } => {
            let value = step.fields.values().next().map(|value| value.said(state.runbook.timezone, &|id| voice.people.call(id)));
            lines.extend(value.map(|value| format!("Value: **{}**", escape_markdown(&value))));
            if confirm.is_some() {
                lines.push(format!("{} confirms it", voice.names(&step.people).replace(" and ", " or ")));
            }
        }
        StepKind::Decide { evidence, .. } => {
            for step in evidence {
                lines.push(format!("Evidence: {}", evidence_line(voice, *step)));
            }
            lines.extend(open_problems(voice));
            lines.extend(voice.decision(index).map(|text| capital(&text)));
            let awaited = voice.awaited(index);
            if !awaited.is_empty() {
                lines.push(format!("Awaited: {}", voice.names(&awaited)));
            }
            lines.extend(ledger(voice, index));
        }
        StepKind::Announce { .. } => lines.extend(ledger(voice, index)),
        StepKind::Result { .. } => {}
    }
    if let Some((proposer, reason)) = &step.skip_proposed {
        let second = "a second person has to agree";
        lines.push(format!("{} wants to skip it: {}; {second}", voice.call(proposer), escape_markdown(reason)));
    }
    for (person, given) in &step.waived {
        let by = given.by.as_ref().map(|by| format!(" by {}", voice.call(by))).unwrap_or_default();
        lines.push(format!("Waived for {}{by}: {}", voice.call(person), escape_markdown(&given.reason)));
    }
    if let Some(due) = due_of(state, index) {
        let overdue = if due < voice.now { format!(", {} overdue", say_between(due, voice.now)) } else { String::new() };
        lines.push(format!("Due {}{overdue}", voice.time(due)));
    }
    if let (Some(takes), false) = (definition.takes, matches!(definition.kind, StepKind::Run { .. })) {
        lines.push(format!("Takes {takes}"));
    }
    if definition.help.is_some() {
        lines.push(format!("`/rollout help {}` explains it", definition.id));
    }
    CardSection { heading, lines }
}

/// The questions of the runbook's author that should be answered before a phase that has not opened.
fn open_questions(voice: &Voice<'_>) -> Vec<String> {
    let state = voice.state;
    let line = |note: &Question| {
        let before = note.before.filter(|phase| state.phases.get(*phase) == Some(&PhaseState::Waiting));
        // Without a phase a question is open as long as the rollout is.
        if note.before.is_some() && before.is_none() || state.ended.is_some() {
            return None;
        }
        let who = state.resolve(&note.who, voice.people);
        let who = if who.is_empty() { String::new() } else { format!(" ({})", voice.names(&who)) };
        let before = before.map(|phase| format!("before {}: ", voice.phase(phase))).unwrap_or_default();
        Some(capital(&format!("{before}{}{who}", escape_markdown(&state.fill(&note.question)))))
    };
    state.runbook.notes.iter().filter_map(line).collect()
}

/// What an action was or will be asked, as far as it fits a line.
fn inputs_line(step: &StepState) -> Option<String> {
    /// Longer ones are looked up on the rollout's page.
    const CHARS_MAX: usize = 160;
    let inputs = step.action.as_ref()?.inputs.as_object()?;
    let said = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}: {}", said(value))).collect();
    (!pairs.is_empty()).then(|| format!("With {}", escape_markdown(&shorten(&pairs.join(", "), CHARS_MAX))))
}

fn wait_lines(voice: &Voice<'_>, index: usize, wait: &Wait, step: &StepState, progress: Option<&Progress>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(call) = wait.call() {
        lines.push(format!("{} on {}", escape_markdown(&call.operation), escape_markdown(&call.system)));
    }
    match wait {
        Wait::Time { .. } => {}
        Wait::Until { every_seconds, .. } => lines.push(format!("Asked every {}", say_seconds(*every_seconds))),
        Wait::Cycles { cycles: Some(cycles), every_seconds, .. } => {
            lines.push(format!("{} of {cycles} good in a row, every {}", step.checks.good, say_seconds(*every_seconds)));
        }
        Wait::Cycles { every_seconds, .. } => lines.push(format!("Watched every {}", say_seconds(*every_seconds))),
    }
    if let Some(bad) = &step.checks.bad {
        lines.push(format!("**Not good**: {}", escape_markdown(bad)));
    }
    if let Some(line) = progress.and_then(|progress| progress.line.as_ref()) {
        lines.push(escape_markdown(line));
    }
    if let Some(at) = step_moves(voice.state, index) {
        let what = if matches!(wait, Wait::Time { .. }) { "Over" } else { "Given up" };
        lines.push(format!("{what} {} (in {})", voice.time(at), say_between(voice.now, at)));
    }
    lines
}

/// Everybody on the roster of a step with a tick or an empty box, however many they are; nothing where it has none.
#[must_use]
pub fn whole_roster(voice: &Voice<'_>, index: usize) -> Option<String> {
    let (definition, step) = voice.state.step(index)?;
    let (StepKind::Acknowledge { from } | StepKind::Ask { from, .. }) = &definition.kind else { return None };
    Some(roster(voice, from, step, usize::MAX).join("\n"))
}

/// A very long roster is shown as a whole to whoever wants it.
fn show_all(state: &State, index: usize) -> Option<Button> {
    let (_, step) = state.step(index).filter(|(_, step)| step.people.len() > ROSTER_AWAITED_MAX)?;
    let token = ButtonToken { rollout: state.number, step: Some(index), verb: Verb::All, generation: step.generation };
    Some(Button {
        id: token.to_string(),
        label: "Show all".to_owned(),
        style: ButtonStyle::Default,
        confirm: None,
        reason: false,
        fields: Vec::new(),
    })
}

/// Who acknowledged, group by group: a tick each, or for a long roster the counts and who is awaited.
fn roster(voice: &Voice<'_>, groups: &[String], step: &StepState, names_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shown: BTreeSet<&PersonId> = BTreeSet::new();
    for group in groups {
        let members: BTreeSet<PersonId> = voice.state.resolve(std::slice::from_ref(group), voice.people).into_iter().collect();
        let members: Vec<&PersonId> =
            step.people.iter().filter(|person| members.contains(person) && !shown.contains(person)).collect();
        if members.is_empty() {
            continue;
        }
        let have = members.iter().filter(|person| has_answered(step, person)).count();
        let names = if step.people.len() <= names_max {
            let tick = |person: &&PersonId| {
                let tick = if has_answered(step, person) { "☑" } else { "☐" };
                format!("{tick} {}", voice.call(person))
            };
            members.iter().map(tick).collect::<Vec<_>>().join("  ")
        } else {
            let awaited: Vec<&PersonId> = members.iter().copied().filter(|person| !has_answered(step, person)).collect();
            let shown = if step.people.len() <= ROSTER_AWAITED_MAX { awaited.len() } else { AWAITED_NAMES_MAX };
            let more = awaited.len().saturating_sub(shown);
            let named = awaited.iter().take(shown).map(|person| voice.call(person)).collect::<Vec<_>>().join(", ");
            if more > 0 { format!("awaited: {named}, and {more} more") } else { format!("awaited: {named}") }
        };
        lines.push(format!("{} ({have} of {}): {names}", escape_markdown(group), members.len()));
        shown.extend(members);
    }
    // Whoever was meant when the step opened and has left the groups since.
    let left: Vec<String> = step
        .people
        .iter()
        .filter(|person| !shown.contains(person))
        .map(|person| format!("{} {}", if has_answered(step, person) { "☑" } else { "☐" }, voice.call(person)))
        .collect();
    if !left.is_empty() {
        lines.push(left.join("  "));
    }
    if !step.listeners.is_empty() {
        lines.push(format!("Listening: {}", voice.names(&step.listeners)));
    }
    lines
}

/// Whether a person of a roster has done what is asked of everybody on it, or need not.
fn has_answered(step: &StepState, person: &PersonId) -> bool {
    step.acknowledged.contains_key(person) || step.answers.contains_key(person) || step.waived.contains_key(person)
}

fn run_lines(voice: &Voice<'_>, definition: &Step, step: &StepState, pressed: bool, progress: Option<&Progress>) -> Vec<String> {
    let mut lines = Vec::new();
    let expected = definition.takes.map(|takes| takes.to_string());
    match step.action.as_ref().map(|action| (&action.stage, action)) {
        Some((ActionStage::Attempted { at }, action)) if step.is_running() => {
            let elapsed = (voice.now - action.begun.unwrap_or(*at)).num_seconds().max(0);
            let against = match definition.takes {
                Some(takes) if elapsed > takes.seconds_max => format!(", {} over", say_seconds(elapsed - takes.seconds_max)),
                Some(takes) => format!(" of {takes}"),
                None => String::new(),
            };
            let line = progress
                .as_ref()
                .and_then(|p| p.line.as_ref())
                .map(|line| format!(": {}", escape_markdown(line)))
                .unwrap_or_default();
            lines.push(format!("Running for {}{against}{line}", say_seconds(elapsed)));
            if let Some(at) = step.action.as_ref().and_then(|action| action.cancelled) {
                lines.push(format!("Asked to stop at {}", voice.time(at)));
            }
        }
        Some((ActionStage::Requested, _)) if step.is_running() => lines.push("About to be asked".to_owned()),
        _ => {
            let who = voice.names(&step.people).replace(" and ", " or ");
            match &step.approved {
                Some(first) => lines.push(format!("{} pressed Run; a second person has to press it too", voice.call(first))),
                None if step.confirm => lines.push(format!("Its phase is late: {who} confirms that it runs")),
                None if pressed => lines.push(format!("{who} presses Run")),
                None => {}
            }
            if let Some(expected) = expected {
                lines.push(format!("Takes {expected}"));
            }
        }
    }
    lines
}

/// Where an announcement has arrived.
fn ledger(voice: &Voice<'_>, index: usize) -> Vec<String> {
    use crate::domain::rollout::event::DeliveryOutcome;
    let issued = voice.state.announcements.iter().rfind(|a| a.step == Some(index));
    let destinations = issued.into_iter().flat_map(|a| &a.destinations);
    destinations
        .map(|destination| {
            let what = match &destination.outcome {
                _ if voice.state.rehearsal => "would go there; stays here".to_owned(),
                _ if destination.waived.is_some() => "waived".to_owned(),
                None => "on its way".to_owned(),
                Some(DeliveryOutcome::Delivered { .. }) => "delivered".to_owned(),
                Some(DeliveryOutcome::Failed { reason }) => format!("failed: {}", escape_markdown(reason)),
            };
            format!("{}: {what}", voice.recipient(&destination.to))
        })
        .collect()
}

/// What a finished step says for a decision.
fn evidence_line(voice: &Voice<'_>, index: usize) -> String {
    let title = voice.step(index);
    let Some(step) = voice.state.steps.get(index) else { return title };
    match &step.status {
        StepStatus::Done { since, at, .. } => {
            let began = step.action.as_ref().and_then(|action| action.begun).unwrap_or(*since);
            let child = step.child.as_ref().and_then(|child| child.result);
            let how = child.map_or_else(|| "done".to_owned(), |result| format!("**{}**", result.title()));
            let recorded = recorded(voice, index);
            format!("{title} {how} in {}{recorded}", say_between(began, *at))
        }
        StepStatus::Failed { reason, .. } => format!("{title} failed: {}", escape_markdown(reason)),
        StepStatus::Open { .. } => format!("{title} is still open"),
        StepStatus::Pending => format!("{title} has not begun"),
        StepStatus::PassedOver(_) => format!("{title} does not apply"),
    }
}

/// What was recorded with a step, or came out of it, as far as it fits a line.
fn recorded(voice: &Voice<'_>, index: usize) -> String {
    /// The rest is on the rollout's page.
    const CHARS_MAX: usize = 160;
    let Some((definition, step)) = voice.state.step(index) else { return String::new() };
    let zone = voice.state.runbook.timezone;
    let fields = definition.kind.fields().iter().filter_map(|field| {
        let value = step.fields.get(&field.name)?.said(zone, &|id| voice.people.call(id));
        Some(format!("{}: {value}", field.label))
    });
    let outputs = step
        .outputs
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    let all: Vec<String> = fields.chain(outputs).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", escape_markdown(&shorten(&all.join(", "), CHARS_MAX))) }
}

/// Problems that people noted and nobody noted a resolution after: a decision is made with them in sight.
fn open_problems(voice: &Voice<'_>) -> Vec<String> {
    let notes = &voice.state.notes;
    let resolved = notes.iter().rposition(|note| note.kind == NoteKind::Resolution).map_or(0, |last| last + 1);
    let problems = notes[resolved..].iter().filter(|note| note.kind == NoteKind::Problem);
    let line = |note: &Note| {
        let by = note.by.as_ref().map(|person| format!(" by {}", voice.call(person))).unwrap_or_default();
        format!("**Problem** noted{by} at {}: {}", voice.time(note.at), escape_markdown(&note.text))
    };
    problems.map(line).collect()
}

/// What can be pressed for one step.
#[must_use]
pub fn step_buttons(state: &State, index: usize) -> Vec<Button> {
    let Some((definition, step)) = state.step(index) else { return Vec::new() };
    let title = shorten(&state.step_title(index), BUTTON_TITLE_CHARS_MAX);
    let button = |verb: Verb, label: String, style: ButtonStyle| Button {
        id: ButtonToken { rollout: state.number, step: Some(index), verb, generation: step.generation }.to_string(),
        label,
        style,
        confirm: None,
        reason: false,
        fields: Vec::new(),
    };
    let form = |fields: &[Field]| fields.iter().map(|field| form_field(state, index, field)).collect::<Vec<_>>();
    let mut buttons = Vec::new();
    let failed = matches!(step.status, StepStatus::Failed { .. });
    let possible = if offers_done(state, index) { vec!["done"] } else { verbs(&definition.kind, step) };
    for verb in possible {
        match (verb, &definition.kind) {
            ("ack", _) => buttons.push(button(Verb::Ack, "Acknowledge".to_owned(), ButtonStyle::Primary)),
            ("done", StepKind::Task { items, evidence }) => {
                for (item, text) in items.iter().enumerate().filter(|(item, _)| !step.ticked.contains_key(item)) {
                    let text = shorten(&state.fill_for(index, text), BUTTON_TITLE_CHARS_MAX);
                    buttons.push(button(Verb::Item(item), format!("Tick: {text}"), ButtonStyle::Default));
                }
                let fields = form(evidence);
                buttons.push(Button { fields, ..button(Verb::Done, format!("Done: {title}"), ButtonStyle::Primary) });
            }
            ("done", StepKind::Run { by_hand: Some(evidence), .. }) => {
                let fields = form(evidence);
                buttons.push(Button { fields, ..button(Verb::Done, format!("Done: {title}"), ButtonStyle::Primary) });
            }
            // What waits by itself is ended by hand only on purpose, in words.
            ("done", StepKind::Wait { .. }) if !failed => {}
            ("done", StepKind::Checklist { evidence, .. }) if !failed => {
                let fields = form(evidence);
                buttons.push(Button { fields, ..button(Verb::Done, format!("Done: {title}"), ButtonStyle::Primary) });
            }
            ("done", kind) => {
                let confirm = Some(format!("Record “{title}” as done by hand?"));
                let fields = form(kind.fields());
                let by_hand = button(Verb::Done, format!("Done by hand: {title}"), ButtonStyle::Default);
                buttons.push(Button { confirm, fields, ..by_hand });
            }
            ("fail", StepKind::Run { .. }) => {
                buttons.push(Button { reason: true, ..button(Verb::Fail, format!("Failed: {title}"), ButtonStyle::Default) });
            }
            ("answer", StepKind::Ask { fields, .. }) => {
                let fields = form(fields);
                buttons.push(Button { fields, ..button(Verb::Answer, format!("Answer: {title}"), ButtonStyle::Primary) });
            }
            ("go", _) => buttons.push(button(Verb::Go, "GO".to_owned(), ButtonStyle::Primary)),
            ("no-go", _) => buttons.push(button(Verb::NoGo, "NO-GO".to_owned(), ButtonStyle::Danger)),
            ("confirm", StepKind::Let { .. }) => {
                buttons.push(button(Verb::Confirm, format!("Confirm: {title}"), ButtonStyle::Primary));
            }
            ("run", StepKind::Run { call, .. }) => {
                let again = if failed { "Run again" } else { "Run" };
                let confirm = Some(format!("{again} “{title}”: {} on {}?", call.operation, call.system));
                buttons.push(Button { confirm, ..button(Verb::Run, format!("{again}: {title}"), ButtonStyle::Danger) });
            }
            ("run", StepKind::Announce { .. } | StepKind::Decide { .. }) => {
                buttons.push(button(Verb::Run, format!("Send again: {title}"), ButtonStyle::Primary));
            }
            ("run", _) => buttons.push(button(Verb::Run, format!("Try again: {title}"), ButtonStyle::Primary)),
            ("cancel", _) if step.action.as_ref().is_some_and(|action| action.cancelled.is_none()) => {
                let confirm = Some(format!("Ask the system to stop “{title}”?"));
                buttons.push(Button { confirm, ..button(Verb::Cancel, format!("Cancel: {title}"), ButtonStyle::Default) });
            }
            ("fate", StepKind::Run { call, .. }) => {
                buttons.push(button(Verb::Ran, "It ran".to_owned(), ButtonStyle::Primary));
                let confirm = Some(format!("Run “{title}” again: {} on {}?", call.operation, call.system));
                buttons.push(Button { confirm, ..button(Verb::Rerun, "It did not, run it".to_owned(), ButtonStyle::Danger) });
                buttons.push(button(Verb::Look, "Look again".to_owned(), ButtonStyle::Default));
                buttons.push(button(Verb::Unclear, "I don't know: hold".to_owned(), ButtonStyle::Default));
            }
            ("skip", _) => {
                let agreed = step.skip_proposed.is_some();
                let label = if agreed { format!("Agree to skip: {title}") } else { format!("Skip: {title}") };
                buttons.push(Button { reason: !agreed, ..button(Verb::Skip, label, ButtonStyle::Default) });
            }
            _ => {}
        }
    }
    if step.skip_proposed.is_some() && !buttons.iter().any(|button| button.label.starts_with("Agree")) {
        buttons.push(button(Verb::Skip, format!("Agree to skip: {title}"), ButtonStyle::Default));
    }
    buttons
}

fn rollout_buttons(state: &State) -> Vec<Button> {
    if state.ended.is_some() {
        return Vec::new();
    }
    let button = |verb: Verb, label: String, style: ButtonStyle| Button {
        id: ButtonToken { rollout: state.number, step: None, verb, generation: state.generation }.to_string(),
        label,
        style,
        confirm: None,
        reason: false,
        fields: Vec::new(),
    };
    let mut buttons = Vec::new();
    if let Some(proposed) = &state.amendment {
        let generation = u32::try_from(proposed.sequence).unwrap_or(u32::MAX);
        let id = ButtonToken { rollout: state.number, step: None, verb: Verb::Agree, generation }.to_string();
        let confirm = Some("Change the runbook for this rollout, as the card says?".to_owned());
        buttons.push(Button { id, confirm, ..button(Verb::Agree, "Agree to amend".to_owned(), ButtonStyle::Primary) });
    }
    for phase in (0..state.phases.len()).filter(|phase| waits_for_opening(state, *phase)) {
        let title = shorten(&state.phase_title(phase), BUTTON_TITLE_CHARS_MAX);
        buttons.push(button(Verb::Open(phase), format!("Open: {title}"), ButtonStyle::Primary));
    }
    if let Some((phase, target)) = way_back(state) {
        let confirm = Some(format!(
            "Leave “{}” and go back by “{}”? What is open in it is not done.",
            state.phase_title(phase),
            state.phase_title(target)
        ));
        buttons.push(Button { confirm, ..button(Verb::BackOff, "Back off".to_owned(), ButtonStyle::Danger) });
    }
    buttons.push(match state.held {
        Some(_) => button(Verb::Resume, "Resume".to_owned(), ButtonStyle::Primary),
        None => button(Verb::Hold, "Hold".to_owned(), ButtonStyle::Default),
    });
    if state.result.is_none() {
        let confirm = Some(format!("Abort {}? Open steps are closed; what wraps up still runs.", state.id));
        buttons.push(Button { confirm, reason: true, ..button(Verb::Abort, "Abort".to_owned(), ButtonStyle::Danger) });
    }
    buttons
}

/// The open phase in which something failed, and where **Back off** leads to from it.
fn way_back(state: &State) -> Option<(usize, usize)> {
    let failed = |phase: usize| {
        state.runbook.steps_of(phase).any(|step| matches!(state.steps[step].status, StepStatus::Failed { left: false, .. }))
    };
    let open = |phase: &usize| matches!(state.phases[*phase], PhaseState::Open { .. });
    let mut phases = (0..state.phases.len()).filter(open).filter(|phase| failed(*phase));
    phases.find_map(|phase| Some((phase, state.runbook.phases[phase].back_off?)))
}

fn form_field(state: &State, step: usize, field: &Field) -> FormField {
    FormField::of(field, state.prefill(step, field))
}
