//! A rollout as a picture of its time: when each phase and step began and ended, against what was expected, and what fell in
//! between. Data first ([`timeline`]); where it stands on paper ([`scene`]); written down as SVG ([`svg`]).

mod axis;
mod letters;
pub mod scene;
pub mod svg;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::rollout::event::Choice;
use crate::domain::rollout::state::{PhaseState, State, StepState, StepStatus, TurnKind};
use crate::domain::runbook::model::{Outcome, Step, StepKind};
use crate::domain::time::{say_between, say_seconds, write_time};

pub use self::axis::{Axis, Stretch};

/// How many moments within one step are shown: votes, ticks, acknowledgements. A longer roster is one line of dots anyway.
const DOTS_MAX: usize = 200;

/// When everything was.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// The rollout's id.
    pub rollout: String,
    /// Its title.
    pub title: String,
    /// `open`, `on hold`, or how it ended.
    pub status: String,
    /// The zone times are said in.
    pub timezone: Tz,
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last one, to come or past.
    pub to: DateTime<Utc>,
    /// Up to when it is known; nothing once it is over.
    pub now: Option<DateTime<Utc>>,
    /// The maintenance window; without an end where it has none.
    pub window: Option<Span>,
    /// When nothing new began by itself.
    pub holds: Vec<Span>,
    /// The phases that were not passed over, in order.
    pub phases: Vec<PhaseBar>,
    /// What fell in between, in order.
    pub marks: Vec<Mark>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when; nothing while it lasts.
    pub to: Option<DateTime<Utc>>,
}

/// A phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseBar {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// When it was open; nothing where it has not been.
    pub open: Option<Span>,
    /// When it opens, where that is known and to come.
    pub due: Option<DateTime<Utc>>,
    /// How late it opened.
    pub late_seconds: i64,
    /// How many of its steps have not been their turn.
    pub to_come: usize,
    /// The steps whose turn has come, in order.
    pub steps: Vec<StepBar>,
}

/// A step whose turn has come.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBar {
    /// Its place among those of the runbook.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// Its sentence.
    pub title: String,
    /// How it stands.
    pub status: BarStatus,
    /// When its turn came: since its last reopening, if there was one.
    pub opened: DateTime<Utc>,
    /// When it began: an action when its system was called, anything else at its turn.
    pub begin: DateTime<Utc>,
    /// When it ended; nothing while it has not.
    pub end: Option<DateTime<Utc>>,
    /// When it should have ended at the latest, where the runbook says how long it takes.
    pub expected: Option<DateTime<Utc>>,
    /// When somebody acknowledged, ticked, answered or voted.
    pub dots: Vec<Dot>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarStatus {
    /// It waits for people or for its time.
    Open,
    /// A system does it.
    Running,
    /// It can't go on by itself.
    Failed,
    /// It is done.
    Done,
}

/// A moment within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot {
    /// When.
    pub at: DateTime<Utc>,
    /// How a vote was, where it was one.
    pub vote: Option<Choice>,
}

/// Something that fell in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: MarkKind,
    /// The step that it belongs to: its place among those of the runbook.
    pub step: Option<usize>,
    /// What people read.
    pub text: String,
}

/// What fell in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// It began.
    Started,
    /// T-0, where it is now.
    Window,
    /// The window's end.
    WindowEnd,
    /// T-0 was moved.
    Retimed,
    /// It was put on hold.
    Held,
    /// It went on.
    Resumed,
    /// Something was announced.
    Announced,
    /// GO.
    Go,
    /// NO-GO.
    NoGo,
    /// A step was opened again.
    Reopened,
    /// A step, or an attempt of it, failed.
    Failed,
    /// The result.
    Result,
}

/// When everything of a rollout was, as far as it is known `now` on its own clock.
#[must_use]
pub fn timeline(state: &State, now: DateTime<Utc>) -> Timeline {
    let until = state.ended.unwrap_or(now).max(state.last_at);
    let window = state.window().map(|window| Span {
        from: window.starts,
        to: window.seconds.map(|seconds| window.starts + TimeDelta::seconds(seconds)),
    });
    let shown = |phase: &usize| !matches!(state.phases[*phase], PhaseState::PassedOver(_));
    let phases: Vec<PhaseBar> = (0..state.phases.len()).filter(shown).map(|phase| phase_bar(state, phase)).collect();
    let marks = marks(state, window, until);
    let mut timeline = Timeline {
        rollout: state.id.to_string(),
        title: state.title.clone(),
        status: status(state),
        timezone: state.runbook.timezone,
        from: state.started,
        to: until,
        now: state.ended.is_none().then_some(until),
        window,
        holds: holds(state),
        phases,
        marks,
    };
    let moments = timeline.moments();
    timeline.from = moments.first().copied().unwrap_or(timeline.from);
    timeline.to = moments.last().copied().unwrap_or(timeline.to);
    timeline
}

fn status(state: &State) -> String {
    match state.result {
        Some(result) => result.title().to_owned(),
        None if state.held.is_some() => "on hold".to_owned(),
        None => "open".to_owned(),
    }
}

/// When a rollout was on hold, in order. What has no end is on hold still.
#[must_use]
pub fn holds(state: &State) -> Vec<Span> {
    let mut holds: Vec<Span> = Vec::new();
    let open = |holds: &[Span]| holds.last().is_some_and(|span| span.to.is_none());
    for turn in &state.course {
        match turn.what {
            TurnKind::Held { .. } if !open(&holds) => holds.push(Span { from: turn.at, to: None }),
            TurnKind::Resumed => {
                if let Some(span) = holds.last_mut().filter(|span| span.to.is_none()) {
                    span.to = Some(turn.at);
                }
            }
            _ => {}
        }
    }
    // An abort and an end leave no hold behind.
    if state.held.is_none()
        && let Some(span) = holds.last_mut().filter(|span| span.to.is_none())
    {
        span.to = state.aborted.as_ref().map(|given| given.at).or(state.ended).or(Some(state.last_at));
    }
    holds
}

/// When a step's action began that its turn was for; an earlier attempt is not meant.
fn begun(step: &StepState) -> Option<DateTime<Utc>> {
    let since = step.since()?;
    step.action.as_ref().and_then(|action| action.begun).filter(|begun| *begun >= since)
}

/// From when to when a step took, as people measure it: what a system does from its beginning, anything else from its turn on.
#[must_use]
pub fn taken(step: &StepState) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
    let since = step.since()?;
    let end = match step.status {
        StepStatus::Done { at, .. } => Some(at),
        _ => None,
    };
    Some((begun(step).unwrap_or(since), end))
}

fn phase_bar(state: &State, phase: usize) -> PhaseBar {
    let definition = &state.runbook.phases[phase];
    let (open, late_seconds) = match state.phases[phase] {
        PhaseState::Open { since, late_seconds } => (Some(Span { from: since, to: None }), late_seconds),
        PhaseState::Settled { since, late_seconds, at } => (Some(Span { from: since, to: Some(at) }), late_seconds),
        PhaseState::Waiting | PhaseState::PassedOver(_) => (None, 0),
    };
    let steps: Vec<usize> = state.runbook.steps_of(phase).collect();
    let to_come = steps.iter().filter(|step| state.steps[**step].status == StepStatus::Pending).count();
    PhaseBar {
        id: definition.id.clone(),
        title: state.phase_title(phase),
        open,
        due: state.due_of_phase(phase).filter(|_| open.is_none() && state.ended.is_none()),
        late_seconds,
        to_come,
        steps: steps.into_iter().filter_map(|step| step_bar(state, step)).collect(),
    }
}

fn step_bar(state: &State, index: usize) -> Option<StepBar> {
    let (definition, step) = state.step(index)?;
    let opened = step.since()?;
    let (begin, end) = taken(step)?;
    let failed_at = || {
        let failures = state.course.iter().filter(|turn| matches!(turn.what, TurnKind::Failed { step, .. } if step == index));
        failures.map(|turn| turn.at).rfind(|at| *at >= begin)
    };
    let (status, end) = match &step.status {
        StepStatus::Done { .. } => (BarStatus::Done, end),
        StepStatus::Failed { .. } => (BarStatus::Failed, Some(failed_at().unwrap_or(begin))),
        _ if step.is_running() => (BarStatus::Running, None),
        _ => (BarStatus::Open, None),
    };
    let waits = definition.takes.filter(|_| definition.kind.call().is_none() || begun(step).is_some());
    Some(StepBar {
        index,
        id: definition.id.clone(),
        title: state.step_title(index),
        status,
        opened,
        begin,
        // Nothing ends before it began, whatever clocks said.
        end: end.map(|end| end.max(begin)),
        expected: waits.map(|takes| begin + TimeDelta::seconds(takes.seconds_max)),
        dots: dots(definition, step, opened),
    })
}

fn dots(definition: &Step, step: &StepState, opened: DateTime<Utc>) -> Vec<Dot> {
    let plain = |at: DateTime<Utc>| Dot { at, vote: None };
    let mut dots: Vec<Dot> = match &definition.kind {
        StepKind::Acknowledge { .. } => step.acknowledged.values().copied().map(plain).collect(),
        StepKind::Task { .. } => step.ticked.values().map(|(_, at)| plain(*at)).collect(),
        StepKind::Ask { .. } => step.answers.values().map(|(_, at)| plain(*at)).collect(),
        StepKind::Decide { .. } => step.votes.values().map(|vote| Dot { at: vote.at, vote: Some(vote.choice) }).collect(),
        _ => Vec::new(),
    };
    // What was given before it was reopened belongs to the time before.
    dots.retain(|dot| dot.at >= opened);
    dots.sort_by_key(|dot| dot.at);
    dots.truncate(DOTS_MAX);
    dots
}

fn marks(state: &State, window: Option<Span>, until: DateTime<Utc>) -> Vec<Mark> {
    let of_rollout = |at, kind, text: &str| Mark { at, kind, step: None, text: text.to_owned() };
    let mut marks = vec![of_rollout(state.started, MarkKind::Started, "Started")];
    if let Some(window) = window {
        marks.push(of_rollout(window.from, MarkKind::Window, "T-0"));
        marks.extend(window.to.map(|to| of_rollout(to, MarkKind::WindowEnd, "Window ends")));
    }
    for turn in &state.course {
        let (kind, step, text) = match &turn.what {
            TurnKind::Reopened { step, reason } => (MarkKind::Reopened, Some(*step), format!("Reopened: {reason}")),
            TurnKind::Failed { step, reason } => (MarkKind::Failed, Some(*step), format!("Failed: {reason}")),
            TurnKind::Held { .. } => (MarkKind::Held, None, "On hold".to_owned()),
            TurnKind::Resumed => (MarkKind::Resumed, None, "Resumed".to_owned()),
            TurnKind::Retimed { .. } => (MarkKind::Retimed, None, "T-0 moved".to_owned()),
            TurnKind::VoteChanged { .. } => continue,
        };
        marks.push(Mark { at: turn.at, kind, step, text });
    }
    for announcement in state.announcements.iter().filter(|announcement| !announcement.is_personal()) {
        let text = announcement.subject.as_ref().unwrap_or(&announcement.message);
        marks.push(Mark {
            at: announcement.issued,
            kind: MarkKind::Announced,
            step: announcement.step,
            text: format!("Announced: {text}"),
        });
    }
    for (index, step) in state.steps.iter().enumerate() {
        let Some(choice) = step.decision else { continue };
        // A decision and its announcement are one commit; without one it is done when it is taken.
        let announced = state.announcements.iter().rev().find(|announcement| announcement.step == Some(index));
        let done = match step.status {
            StepStatus::Done { at, .. } => Some(at),
            _ => None,
        };
        let Some(at) = announced.map(|announcement| announcement.issued).or(done) else { continue };
        let kind = if choice == Choice::Go { MarkKind::Go } else { MarkKind::NoGo };
        marks.push(Mark { at, kind, step: Some(index), text: choice.title().to_owned() });
    }
    marks.extend(result_mark(state, until));
    marks.sort_by_key(|mark| mark.at);
    marks
}

fn result_mark(state: &State, until: DateTime<Utc>) -> Option<Mark> {
    let result = state.result?;
    let recorded = state.runbook.steps.iter().zip(&state.steps).find_map(|(definition, step)| match step.status {
        StepStatus::Done { at, .. } => {
            matches!(&definition.kind, StepKind::Result { .. } if result != Outcome::Aborted).then_some(at)
        }
        _ => None,
    });
    let at = state.aborted.as_ref().map(|given| given.at).or(recorded).unwrap_or(until);
    Some(Mark { at, kind: MarkKind::Result, step: None, text: result.title().to_owned() })
}

impl StepBar {
    /// How long it took, or takes so far.
    #[must_use]
    pub fn seconds(&self, now: Option<DateTime<Utc>>) -> i64 {
        (self.end.or(now).unwrap_or(self.begin).max(self.begin) - self.begin).num_seconds()
    }

    /// What stands at its bar.
    fn label(&self, now: Option<DateTime<Utc>>) -> String {
        let took = say_seconds(self.seconds(now));
        match self.status {
            BarStatus::Done => took,
            BarStatus::Failed => format!("failed after {took}"),
            BarStatus::Running => format!("running {took}"),
            BarStatus::Open => format!("open {took}"),
        }
    }

    /// The same in full, for who points at it and for who does not see it.
    fn words(&self, zone: Tz, now: Option<DateTime<Utc>>) -> String {
        let to = self.end.map_or_else(|| "not over".to_owned(), |end| format!("to {}", write_time(end, zone)));
        let expected = self.expected.map(|at| format!("; expected {}", say_between(self.begin, at))).unwrap_or_default();
        format!("{}: {}, from {} {to}{expected}", self.title, self.label(now), write_time(self.begin, zone))
    }
}

impl Timeline {
    /// Every moment that something is drawn at, in order, each once.
    #[must_use]
    pub fn moments(&self) -> Vec<DateTime<Utc>> {
        let mut moments = vec![self.from, self.to];
        moments.extend(self.now);
        let spans = self.window.iter().chain(&self.holds);
        moments.extend(spans.flat_map(|span| [Some(span.from), span.to]).flatten());
        moments.extend(self.marks.iter().map(|mark| mark.at));
        for phase in &self.phases {
            moments.extend(phase.due);
            moments.extend(phase.open.iter().flat_map(|span| [Some(span.from), span.to]).flatten());
            for step in &phase.steps {
                // By when it was expected matters until it is over, and where it took longer.
                let expected = step.expected.filter(|expected| step.end.is_none_or(|end| *expected <= end));
                moments.extend([Some(step.opened), Some(step.begin), step.end, expected].into_iter().flatten());
                moments.extend(step.dots.iter().map(|dot| dot.at));
            }
        }
        moments.sort();
        moments.dedup();
        moments
    }

    /// What it shows, in sentences: for who does not see it.
    #[must_use]
    pub fn words(&self) -> String {
        let time = |at| write_time(at, self.timezone);
        let mut lines = vec![format!("{}, {}, from {} to {}.", self.title, self.status, time(self.from), time(self.to))];
        for phase in &self.phases {
            lines.push(match (phase.open, phase.due) {
                (Some(Span { from, to: Some(to) }), _) => {
                    format!("{}: {}, from {} to {}.", phase.title, say_between(from, to), time(from), time(to))
                }
                (Some(Span { from, to: None }), _) => format!("{}: open since {}.", phase.title, time(from)),
                (None, Some(due)) => format!("{}: opens {}.", phase.title, time(due)),
                (None, None) => format!("{}: to come.", phase.title),
            });
            lines.extend(phase.steps.iter().map(|step| format!("{}.", step.words(self.timezone, self.now))));
        }
        lines.extend(self.marks.iter().map(|mark| format!("{}: {}.", time(mark.at), mark.text)));
        lines.join("\n")
    }
}
