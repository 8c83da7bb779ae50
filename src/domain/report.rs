//! The report of a rollout: figures, what was out of the ordinary, and the checklist people know, every item ticked with
//! name and time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::conversation::form::FieldValue;
use crate::domain::conversation::voice::{Voice, capital};
use crate::domain::message::template::escape_markdown;
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::proof::Proof;
use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::{DeliveryOutcome, NoteKind, PassedOver};
use crate::domain::rollout::state::{Amended, Given, PhaseState, State, StepState, StepStatus, Turn, TurnKind};
use crate::domain::runbook::model::{Outcome, Step, StepKind};
use crate::domain::time::{say_between, say_seconds, write_time};

/// How many of the slowest steps are named.
const SLOWEST_MAX: usize = 5;

/// The report as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The rollout's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it was a rehearsal: nothing was touched, and nothing left its rooms.
    pub rehearsal: bool,
    /// Its result, once recorded.
    pub result: Option<Outcome>,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// T-0.
    pub window_starts: Option<DateTime<Utc>>,
    /// How long the window was, in seconds.
    pub window_seconds: Option<i64>,
    /// From T-0 to the end, in seconds: negative before T-0.
    pub seconds_after_t0: Option<i64>,
    /// Who approved what.
    pub approvals: Vec<String>,
    /// The steps that took longest, slowest first.
    pub slowest: Vec<Slow>,
    /// What was skipped, waived, handed over or left, with reasons.
    pub deviations: Vec<String>,
    /// What was reopened, held, moved, voted otherwise or tried in vain on the way, in order.
    pub course: Vec<String>,
    /// What was changed of the runbook for this rollout, and by whom.
    pub amendments: Vec<String>,
    /// The problems, resolutions and remarks that people noted.
    pub notes: Vec<String>,
    /// Announcements and where they arrived.
    pub deliveries: Vec<String>,
    /// The inputs by label.
    pub inputs: Vec<(String, String)>,
    /// The checklist.
    pub phases: Vec<PhaseReport>,
    /// Until when it was recorded, where nobody was there any more to see what became of what was under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_until: Option<DateTime<Utc>>,
    /// How far the journal was of which it was made, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<Proof>,
}

/// A step that took long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// Its sentence.
    pub step: String,
    /// How long it took.
    pub seconds: i64,
    /// How long it was expected to take at most.
    pub expected_seconds: Option<i64>,
}

/// A phase of the checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseReport {
    /// Its title.
    pub title: String,
    /// What is to be said of the phase as a whole.
    pub note: Option<String>,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of the checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// How far it is indented.
    pub depth: usize,
    /// Whether it is ticked.
    pub done: bool,
    /// Its sentence.
    pub text: String,
    /// Who and when, or why not.
    pub note: Option<String>,
}

/// Writes the report of a rollout as it stands. How far the journal is, only the one knows who has it.
#[must_use]
pub fn report(state: &State, people: &Directory) -> Report {
    let now = state.ended.unwrap_or(state.last_at);
    let writer = Writer { voice: Voice { state, people, now }, state };
    let window = state.window();
    Report {
        id: state.id.to_string(),
        title: state.title.clone(),
        rehearsal: state.rehearsal,
        result: state.result,
        started: state.started,
        ended: state.ended,
        window_starts: window.map(|window| window.starts),
        window_seconds: window.and_then(|window| window.seconds),
        seconds_after_t0: window.zip(state.ended).map(|(window, ended)| (ended - window.starts).num_seconds()),
        approvals: writer.approvals(),
        slowest: writer.slowest(),
        deviations: writer.deviations(),
        course: writer.course(),
        amendments: writer.amendments(),
        notes: writer.notes(),
        deliveries: writer.deliveries(),
        inputs: writer.inputs(),
        phases: (0..state.phases.len()).map(|phase| writer.phase(phase)).collect(),
        recorded_until: None,
        journal: None,
    }
}

/// Writes the parts of a report.
pub(super) struct Writer<'a> {
    pub(super) voice: Voice<'a>,
    pub(super) state: &'a State,
}

impl Writer<'_> {
    /// Who gave a reason, and which.
    fn given(&self, given: &Given) -> String {
        let by = given.by.as_ref().map(|person| format!(" by {}", self.name(person))).unwrap_or_default();
        format!("{by} at {}: {}", self.time(given.at), given.reason)
    }

    fn time(&self, at: DateTime<Utc>) -> String {
        write_time(at, self.state.runbook.timezone)
    }

    pub(super) fn name(&self, person: &PersonId) -> String {
        self.voice.people.person(person).map_or_else(|| person.to_string(), |person| person.name.clone())
    }

    fn said(&self, value: &FieldValue) -> String {
        value.said(self.state.runbook.timezone, &|person| self.name(person))
    }

    fn steps(&self) -> impl Iterator<Item = (usize, &Step, &StepState)> {
        self.state.ordered_steps().filter_map(|index| self.state.step(index).map(|(step, state)| (index, step, state)))
    }

    pub(super) fn inputs(&self) -> Vec<(String, String)> {
        let known = self.state.runbook.inputs.iter().filter_map(|input| Some((input, self.state.values.get(&input.field.name)?)));
        known.map(|(input, value)| (input.field.label.clone(), self.said(value))).collect()
    }

    fn approvals(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, _, step) in self.steps().filter(|(_, definition, _)| matches!(definition.kind, StepKind::Decide { .. })) {
            let Some(decision) = step.decision else { continue };
            let votes = step.votes.iter().map(|(voter, vote)| {
                let by = if vote.by == *voter { String::new() } else { format!(" (by {})", self.name(&vote.by)) };
                let reason = vote.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("{} {}{by} {}{reason}", self.name(voter), vote.choice.title(), self.time(vote.at))
            });
            lines.push(format!(
                "{}: {} — {}",
                self.state.step_title(index),
                decision.title(),
                votes.collect::<Vec<_>>().join("; ")
            ));
        }
        lines
    }

    fn slowest(&self) -> Vec<Slow> {
        let mut all: Vec<Slow> = self
            .steps()
            .filter_map(|(index, definition, step)| {
                let StepStatus::Done { since, at, .. } = step.status else { return None };
                let began = step.action.as_ref().and_then(|action| action.begun).unwrap_or(since);
                let expected_seconds = definition.takes.map(|takes| takes.seconds_max);
                Some(Slow { step: self.state.step_title(index), seconds: (at - began).num_seconds(), expected_seconds })
            })
            .collect();
        all.sort_by_key(|slow| std::cmp::Reverse(slow.seconds));
        all.retain(|slow| slow.seconds > 0);
        all.truncate(SLOWEST_MAX);
        all
    }

    pub(super) fn deviations(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(given) = &self.state.aborted {
            lines.push(format!("Aborted{}", self.given(given)));
        }
        if let Some(owner) = &self.state.owner {
            lines.push(format!("Handed over to {}", self.name(owner)));
        }
        for overridden in &self.state.overridden {
            let by = overridden.by.as_ref().map(|person| format!(" by {}", self.name(person))).unwrap_or_default();
            let at = self.time(overridden.at);
            lines.push(format!("Freeze “{}” overridden{by} at {at}: {}", overridden.freeze.name, overridden.reason));
        }
        for phase in &self.state.backed_off {
            lines.push(format!("Backed off from “{}”", self.state.phase_title(*phase)));
        }
        for (index, _, step) in self.steps() {
            let title = self.state.step_title(index);
            if let Some(skipped) = &step.skipped {
                let people = skipped.proposed_by.iter().chain(&skipped.by).map(|person| self.name(person));
                lines.push(format!("“{title}” skipped by {}: {}", people.collect::<Vec<_>>().join(" and "), skipped.reason));
            }
            for (person, given) in &step.waived {
                lines.push(format!("“{title}” waived for {}{}", self.name(person), self.given(given)));
            }
            if let StepStatus::Failed { reason, .. } = &step.status {
                lines.push(format!("“{title}” failed: {reason}"));
            }
        }
        for announcement in &self.state.announcements {
            for to in &announcement.destinations {
                if let Some(given) = &to.waived {
                    lines.push(format!("“{}” waived for {}{}", announcement.message, self.recipient(&to.to), self.given(given)));
                }
            }
        }
        lines
    }

    pub(super) fn course(&self) -> Vec<String> {
        let turn = |turn: &Turn| {
            let who = turn.by.as_ref().map_or_else(|| "T-minus".to_owned(), |person| self.name(person));
            let title = |step: &usize| self.state.step_title(*step);
            let what = match &turn.what {
                TurnKind::Reopened { step, reason } => format!("{who} reopened “{}”: {reason}", title(step)),
                TurnKind::Failed { step, reason } => format!("“{}” failed: {reason}", title(step)),
                TurnKind::Held { reason } => {
                    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                    format!("{who} put it on hold{why}")
                }
                TurnKind::Resumed => format!("{who} let it go on"),
                TurnKind::Retimed { from, to } => format!("{who} moved T-0 from {} to {}", self.time(*from), self.time(*to)),
                TurnKind::VoteChanged { step, from, to } => {
                    format!("{who} changed a vote on “{}” from {} to {}", title(step), from.title(), to.title())
                }
            };
            format!("{}: {what}", self.time(turn.at))
        };
        self.state.course.iter().map(turn).collect()
    }

    pub(super) fn amendments(&self) -> Vec<String> {
        let line = |amended: &Amended| {
            let people: Vec<String> = amended.by.iter().map(|person| self.name(person)).collect();
            let difference = capital(&amended.amendment.said(self.state));
            format!("{difference} ({}, {})", list_names(&people), self.time(amended.at))
        };
        self.state.amendments.iter().map(line).collect()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let note = |note: &crate::domain::rollout::state::Note| {
            let kind = match note.kind {
                NoteKind::Remark => "",
                NoteKind::Problem => "Problem: ",
                NoteKind::Resolution => "Resolution: ",
            };
            let by = note.by.as_ref().map(|person| self.name(person)).unwrap_or_default();
            format!("{kind}{} ({by}, {})", note.text, self.time(note.at))
        };
        self.state.notes.iter().map(note).collect()
    }

    fn recipient(&self, to: &Recipient) -> String {
        match to {
            Recipient::Address(address) => format!("{} {}", address.platform.title(), address.name),
            Recipient::Person(person) => self.name(person),
        }
    }

    fn deliveries(&self) -> Vec<String> {
        let sent = self.state.announcements.iter().filter(|announcement| !announcement.is_personal());
        sent.map(|announcement| {
            let to = announcement.destinations.iter().map(|to| {
                let what = match &to.outcome {
                    _ if self.state.rehearsal => "would have got it".to_owned(),
                    _ if to.waived.is_some() => "waived".to_owned(),
                    None => "on its way".to_owned(),
                    Some(DeliveryOutcome::Delivered { possibly_repeated: false, .. }) => "delivered".to_owned(),
                    Some(DeliveryOutcome::Delivered { .. }) => "delivered, perhaps twice".to_owned(),
                    Some(DeliveryOutcome::Failed { reason }) => format!("failed: {reason}"),
                };
                format!("{} {what}", self.recipient(&to.to))
            });
            let to = to.collect::<Vec<_>>().join("; ");
            format!("“{}” at {}: {to}", announcement.message, self.time(announcement.issued))
        })
        .collect()
    }

    fn phase(&self, phase: usize) -> PhaseReport {
        let note = match &self.state.phases[phase] {
            PhaseState::Waiting => Some("not open yet".to_owned()),
            PhaseState::PassedOver(why) => Some(passed_over(*why).to_owned()),
            PhaseState::Open { late_seconds, .. } | PhaseState::Settled { late_seconds, .. } => {
                (*late_seconds > 0).then(|| format!("opened {} late", say_seconds(*late_seconds)))
            }
        };
        let mut lines = Vec::new();
        for index in self.state.runbook.steps_of(phase) {
            self.step(index, &mut lines);
        }
        PhaseReport { title: self.state.phase_title(phase), note, lines }
    }

    pub(super) fn step(&self, index: usize, lines: &mut Vec<Line>) {
        let Some((definition, step)) = self.state.step(index) else { return };
        let done = matches!(step.status, StepStatus::Done { .. });
        let note = match &step.status {
            StepStatus::Pending => None,
            StepStatus::Open { .. } if step.is_running() => Some("running".to_owned()),
            StepStatus::Open { .. } => Some("open".to_owned()),
            StepStatus::Failed { reason, .. } => Some(format!("failed: {reason}")),
            StepStatus::PassedOver(why) => Some(passed_over(*why).to_owned()),
            StepStatus::Done { since, at, .. } => {
                let by = step.done_by().map(|person| format!("{}, ", self.name(person))).unwrap_or_default();
                let took = step.action.as_ref().and_then(|action| action.begun);
                let took = took.or((!matches!(definition.kind, StepKind::Announce { .. })).then_some(*since));
                let took = took.filter(|began| *began < *at).map(|began| format!(", after {}", say_between(began, *at)));
                Some(format!("{by}{}{}", self.time(*at), took.unwrap_or_default()))
            }
        };
        lines.push(Line { depth: 0, done, text: self.state.step_title(index), note });
        match &definition.kind {
            StepKind::Acknowledge { .. } => {
                lines.extend(step.people.iter().map(|person| {
                    let at = step.acknowledged.get(person);
                    let note = at
                        .map(|at| self.time(*at))
                        .or_else(|| step.waived.get(person).map(|given| format!("waived{}", self.given(given))));
                    Line { depth: 1, done: at.is_some(), text: self.name(person), note }
                }));
            }
            StepKind::Task { items, .. } => lines.extend(items.iter().enumerate().map(|(item, text)| {
                let ticked = step.ticked.get(&item);
                let note = ticked.map(|(by, at)| {
                    let by = by.as_ref().map(|person| format!("{}, ", self.name(person))).unwrap_or_default();
                    format!("{by}{}", self.time(*at))
                });
                Line { depth: 1, done: ticked.is_some(), text: self.state.fill_for(index, text), note }
            })),
            StepKind::Ask { from, .. } if !from.is_empty() => lines.extend(step.people.iter().map(|person| {
                let answer = step.answers.get(person);
                let said = answer.map(|(fields, at)| format!("{} ({})", self.fields(&definition.kind, fields), self.time(*at)));
                Line { depth: 1, done: answer.is_some(), text: self.name(person), note: said }
            })),
            StepKind::Announce { .. } | StepKind::Decide { .. } => {
                let issued = self.state.announcements.iter().filter(|announcement| announcement.step == Some(index));
                lines.extend(issued.flat_map(|announcement| &announcement.destinations).map(|to| Line {
                    depth: 1,
                    done: matches!(to.outcome, Some(DeliveryOutcome::Delivered { .. })),
                    text: self.recipient(&to.to),
                    note: to.waived.as_ref().map(|given| format!("waived{}", self.given(given))),
                }));
            }
            _ => {}
        }
        let fields = self.fields(&definition.kind, &step.fields);
        if done && !fields.is_empty() {
            lines.push(Line { depth: 1, done: true, text: fields, note: None });
        }
        if let Some(child) = &step.child {
            let how = child.result.map_or("under way", Outcome::title);
            lines.push(Line { depth: 1, done: child.settled, text: child.rollout.to_string(), note: Some(how.to_owned()) });
        }
    }

    fn fields(&self, kind: &StepKind, fields: &BTreeMap<String, FieldValue>) -> String {
        let known = kind.fields().iter().filter_map(|field| Some((field, fields.get(&field.name)?)));
        known.map(|(field, value)| format!("{}: {}", field.label, self.said(value))).collect::<Vec<_>>().join("; ")
    }
}

const fn passed_over(why: PassedOver) -> &'static str {
    match why {
        PassedOver::NotApplicable => "does not apply",
        PassedOver::Aborted => "not done: aborted",
        PassedOver::Skipped => "skipped",
        PassedOver::PhaseOver => "ended with its phase",
        PassedOver::BackedOff => "left by back-off",
        PassedOver::Dropped => "dropped",
    }
}

impl Report {
    /// The report as Markdown, in the form of the checklist people know.
    #[must_use]
    pub fn markdown(&self, zone: chrono_tz::Tz) -> String {
        let mut text = format!("# {}\n\n", escape_markdown(&self.title));
        let result = self.result.map_or("still open", Outcome::title);
        text.push_str(&format!("- Rollout: `{}`\n- Result: **{result}**\n", self.id));
        text.push_str(&format!("- Started: {}\n", write_time(self.started, zone)));
        if let Some(ended) = self.ended {
            text.push_str(&format!("- Ended: {}, after {}\n", write_time(ended, zone), say_between(self.started, ended)));
        }
        if let Some(until) = self.recorded_until {
            text.push_str(&format!(
                "- Recorded until: {}. T-minus did not run when this was written: what is open or running below may have ended \
                 since, which its next start finds out\n",
                write_time(until, zone)
            ));
        }
        if let Some(starts) = self.window_starts {
            let length = self.window_seconds.map(|seconds| format!(" for {}", say_seconds(seconds))).unwrap_or_default();
            let against = match self.seconds_after_t0 {
                Some(seconds) if seconds > 0 => format!("; it ended {} after T-0", say_seconds(seconds)),
                Some(seconds) => format!("; it ended {} before T-0", say_seconds(-seconds)),
                None => String::new(),
            };
            text.push_str(&format!("- Window: {}{length}{against}\n", write_time(starts, zone)));
        }
        for (label, value) in &self.inputs {
            text.push_str(&format!("- {}: {}\n", escape_markdown(label), escape_markdown(value)));
        }
        let slowest = self.slowest.iter().map(|slow| {
            let expected =
                slow.expected_seconds.map(|seconds| format!(" of {} expected", say_seconds(seconds))).unwrap_or_default();
            format!("“{}” {}{expected}", slow.step, say_seconds(slow.seconds))
        });
        let sections = [
            ("Decisions", self.approvals.clone()),
            ("Slowest steps", slowest.collect()),
            ("Out of the ordinary", self.deviations.clone()),
            ("On the way", self.course.clone()),
            ("Amendments", self.amendments.clone()),
            ("Notes", self.notes.clone()),
            ("Announcements", self.deliveries.clone()),
        ];
        for (title, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
            text.push_str(&format!("\n## {title}\n\n"));
            for line in lines {
                text.push_str(&format!("- {}\n", escape_markdown(line)));
            }
        }
        text.push_str("\n## Checklist\n");
        for phase in &self.phases {
            let note = phase.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            text.push_str(&format!("\n### {}{note}\n\n", escape_markdown(&phase.title)));
            for line in &phase.lines {
                let tick = if line.done { "x" } else { " " };
                let note = line.note.as_ref().map(|note| format!(" — {}", escape_markdown(note))).unwrap_or_default();
                text.push_str(&format!("{}- [{tick}] {}{note}\n", "  ".repeat(line.depth), escape_markdown(&line.text)));
            }
        }
        if let Some(journal) = &self.journal {
            text.push_str(&format!("\n{}\n", journal.line()));
        }
        text
    }
}
