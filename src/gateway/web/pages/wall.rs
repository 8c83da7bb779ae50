//! The wall: a rollout as it is seen from five metres. Nothing to press; the script counts, and says when it hears nothing.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::conversation::log::sentence;
use crate::domain::conversation::voice::Voice;
use crate::domain::history::Filter;
use crate::domain::message::card::Progress;
use crate::domain::people::Directory;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::due_of;
use crate::domain::rollout::event::{Choice, Event};
use crate::domain::rollout::state::{PhaseState, State as RolloutState, StepStatus};
use crate::domain::runbook::model::{Outcome, StepKind};
use crate::domain::time::{clock_time, say_seconds, say_time};
use crate::gateway::web::Web;
use crate::gateway::web::api::no_such;
use crate::gateway::web::problem::Problem;

use super::{VERSION, asset, no_store, render};

pub(super) const STYLE: &str = include_str!("wall.css");
pub(super) const SCRIPT: &str = include_str!("wall.js");

/// How many open steps are shown: more are not read from five metres.
const STEPS_MAX: usize = 4;
/// How many phases are shown around the one that is open.
const PHASES_MAX: usize = 7;
/// How many who are awaited are named of one step.
const NAMES_MAX: usize = 8;
/// How many of the newest events are shown.
const NEWEST_MAX: usize = 3;
/// How many rollouts stand side by side.
const TILES_MAX: usize = 9;
/// How many checklists of a rollout are looked into.
const CHECKLISTS_MAX: usize = 4;
/// How many that ended last are named when nothing is open.
const LAST_MAX: usize = 3;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/wall", get(of_all))
        .route("/rollouts/{id}/wall", get(of_one))
        .route("/assets/wall.css", get(async |headers: HeaderMap| asset(&headers, "text/css; charset=utf-8", STYLE)))
        .route("/assets/wall.js", get(async |headers: HeaderMap| asset(&headers, "text/javascript; charset=utf-8", SCRIPT)))
}

/// What hangs on the wall.
#[derive(Serialize)]
struct WallPage {
    version: &'static str,
    /// One is a wall of its own, several are tiles, none is calm.
    walls: Vec<Wall>,
    /// How many more are open.
    more: usize,
    /// What is said where nothing is open.
    calm: Option<Calm>,
    /// Why nothing is shown.
    wrong: Option<Wrong>,
    /// By the clock of the installation, in milliseconds.
    now: i64,
}

/// Nothing can be shown.
#[derive(Serialize)]
struct Wrong {
    title: String,
    says: String,
}

/// Nothing is open.
#[derive(Serialize)]
struct Calm {
    last: Vec<Last>,
    /// Where the next one is started.
    rooms: Vec<String>,
}

#[derive(Serialize)]
struct Last {
    title: String,
    result: &'static str,
    when: String,
}

/// A rollout on the wall. Moments are in milliseconds since 1970, on its own clock.
#[derive(Clone, Serialize)]
struct Wall {
    id: String,
    title: String,
    /// `open`, `held`, `alarm`, or how it ended.
    mood: &'static str,
    /// The same in words.
    status: String,
    rehearsal: bool,
    ended: bool,
    timezone: &'static str,
    now: i64,
    clock: String,
    zero: Option<Zero>,
    /// What is wrong, in sentences.
    alarms: Vec<String>,
    steps: Vec<WallStep>,
    more_steps: usize,
    /// Whether there is little room for each step.
    is_tight: bool,
    phases: Vec<WallPhase>,
    earlier_phases: usize,
    later_phases: usize,
    by_itself: Option<String>,
    by_a_person: Option<String>,
    newest: Vec<Happened>,
    /// Who is awaited, once each.
    awaited: Vec<String>,
}

/// T-0 and what is left of the window.
#[derive(Clone, Serialize)]
struct Zero {
    at: i64,
    said: String,
    ends: Option<i64>,
    ends_said: Option<String>,
    length: Option<String>,
}

#[derive(Clone, Serialize)]
struct WallPhase {
    title: String,
    status: &'static str,
    about: Option<String>,
    settled: usize,
    steps: usize,
}

#[derive(Clone, Serialize)]
struct WallStep {
    title: String,
    /// The checklist that it is part of.
    of: Option<String>,
    status: &'static str,
    since: i64,
    since_said: String,
    awaited: Vec<String>,
    more_awaited: usize,
    /// How long it takes at most, in seconds.
    expected_seconds: Option<i64>,
    expected: Option<String>,
    /// When it is due.
    due: Option<i64>,
    due_said: Option<String>,
    reason: Option<String>,
    progress: Option<String>,
    votes: Vec<WallVote>,
    /// What will be decided, and when.
    settles: Option<(&'static str, i64)>,
}

#[derive(Clone, Serialize)]
struct WallVote {
    name: String,
    vote: Option<&'static str>,
}

#[derive(Clone, Serialize)]
struct Happened {
    at: String,
    /// Markdown.
    what: String,
}

async fn of_one(State(web): State<Web>, Path(id): Path<String>) -> Response {
    let shown = match wall(&web, &RolloutId(id.clone())).await {
        Ok(Some(wall)) => show(&web, vec![wall], 0, None),
        Ok(None) => Err(no_such(&web, &id)),
        Err(problem) => Err(problem),
    };
    hang(&web, shown)
}

async fn of_all(State(web): State<Web>) -> Response {
    hang(&web, all(&web).await)
}

/// A wall shows what is wrong on the wall itself: a screen of nobody sees no other page.
fn hang(web: &Web, shown: Result<Html<String>, Problem>) -> Response {
    let problem = match shown {
        Ok(html) => return (no_store(), html).into_response(),
        Err(problem) => problem,
    };
    let wrong = Wrong { title: problem.title().to_owned(), says: problem.detail().to_owned() };
    let now = web.conductor.now().timestamp_millis();
    let page = WallPage { version: &VERSION, walls: Vec::new(), more: 0, calm: None, wrong: Some(wrong), now };
    (problem.status(), no_store(), render("wall.html", &page)).into_response()
}

async fn all(web: &Web) -> Result<Html<String>, Problem> {
    let open: Vec<RolloutId> = web.conductor.with_registry(|registry| {
        let is_open = |id: &RolloutId| registry.rollouts.get(id).is_some_and(|known| known.closed.is_none());
        // A checklist hangs with the rollout it belongs to.
        let roots = registry.open().filter(|(_, rollout)| !rollout.parent.as_ref().is_some_and(is_open));
        let mut roots: Vec<_> = roots.map(|(id, rollout)| (rollout.number, id.clone())).collect();
        roots.sort_by_key(|(number, _)| *number);
        roots.into_iter().map(|(_, id)| id).collect()
    });
    let mut walls = Vec::new();
    for id in open.iter().take(TILES_MAX) {
        walls.extend(wall(web, id).await?);
    }
    let calm = walls.is_empty().then(|| calm(web));
    show(web, walls, open.len().saturating_sub(TILES_MAX), calm)
}

fn calm(web: &Web) -> Calm {
    let now = web.conductor.now();
    let last = web.conductor.with_registry(|registry| {
        let last = Filter::default().finished(registry).into_iter().take(LAST_MAX).filter_map(|(_, rollout)| {
            Some(Last {
                title: rollout.title.clone(),
                result: rollout.closed.map(Outcome::name)?,
                when: say_time(rollout.closed_at?, now, Tz::UTC),
            })
        });
        last.collect()
    });
    let rooms = web.rooms.rooms().into_iter().filter(|room| room.hosts).map(|room| room.title).collect();
    Calm { last, rooms }
}

fn show(web: &Web, walls: Vec<Wall>, more: usize, calm: Option<Calm>) -> Result<Html<String>, Problem> {
    let now = web.conductor.now().timestamp_millis();
    render("wall.html", &WallPage { version: &VERSION, walls, more, calm, wrong: None, now })
}

/// A rollout with what is open in its checklists.
async fn wall(web: &Web, id: &RolloutId) -> Result<Option<Wall>, Problem> {
    let Some(mut wall) = look(web, id).await? else { return Ok(None) };
    let checklists: Vec<RolloutId> = web.conductor.with_registry(|registry| {
        let of_this = registry.open().filter(|(_, rollout)| rollout.parent.as_ref() == Some(id));
        of_this.map(|(id, _)| id.clone()).take(CHECKLISTS_MAX).collect()
    });
    for checklist in checklists {
        let Some(part) = look(web, &checklist).await?.filter(|part| !part.ended) else { continue };
        wall.steps.extend(part.steps.into_iter().map(|step| WallStep { of: Some(part.title.clone()), ..step }));
        wall.more_steps += part.more_steps;
        wall.alarms.extend(part.alarms);
        for name in part.awaited {
            if !wall.awaited.contains(&name) {
                wall.awaited.push(name);
            }
        }
        // What only says that the checklist is next says less than the checklist does.
        if part.by_a_person.is_some() && wall.steps.iter().all(|step| step.of.is_some() || step.awaited.is_empty()) {
            wall.by_a_person = part.by_a_person;
        }
    }
    // What waits for somebody, or is wrong, comes before what only goes on.
    wall.steps.sort_by_key(|step| (step.status != "failed", step.status != "running" && step.awaited.is_empty()));
    // What is wrong takes the room of a step, and a hold that of another.
    let taken = usize::from(!wall.alarms.is_empty()) + usize::from(wall.mood == "held");
    let room = STEPS_MAX - taken;
    wall.more_steps += wall.steps.len().saturating_sub(room);
    wall.steps.truncate(room);
    wall.is_tight = wall.steps.len() + taken > 2;
    if !wall.alarms.is_empty() && wall.mood == "open" {
        wall.mood = "alarm";
    }
    Ok(Some(wall))
}

async fn look(web: &Web, id: &RolloutId) -> Result<Option<Wall>, Problem> {
    let underway = web.conductor.underway(id).await;
    Ok(web.conductor.look(id, move |state, people, now| wall_of(state, people, now, &underway)).await?)
}

fn wall_of(state: &RolloutState, people: &Directory, now: DateTime<Utc>, underway: &BTreeMap<usize, Progress>) -> Wall {
    let voice = Voice { state, people, now };
    let zone = state.runbook.timezone;
    let steps: Vec<WallStep> =
        state.open_steps().map(|(index, ..)| index).map(|index| step_of(&voice, index, underway.get(&index))).collect();
    let mut awaited: Vec<String> = Vec::new();
    for (index, ..) in state.open_steps() {
        for person in voice.awaited(index) {
            let name = people.call(&person);
            if !awaited.contains(&name) {
                awaited.push(name);
            }
        }
    }
    let (mood, status) = mood(&voice);
    let (phases, earlier_phases, later_phases) = phases_of(&voice);
    let newest: Vec<Happened> = state
        .newest
        .iter()
        .rev()
        // That a clock was moved, the clock shows.
        .filter(|(_, recorded)| !matches!(recorded.event, Event::ClockAdvanced { .. }))
        .filter_map(|(_, recorded)| {
            Some(Happened { at: clock_time(recorded.at, zone), what: sentence(state, people, recorded)? })
        })
        .take(NEWEST_MAX)
        .collect();
    Wall {
        id: state.id.to_string(),
        title: state.title.clone(),
        mood,
        status,
        rehearsal: state.rehearsal,
        ended: state.ended.is_some(),
        timezone: zone.name(),
        now: now.timestamp_millis(),
        clock: now.with_timezone(&zone).format("%H:%M:%S").to_string(),
        zero: state.window().map(|window| {
            let ends = window.seconds.map(|seconds| window.starts + TimeDelta::seconds(seconds));
            Zero {
                at: window.starts.timestamp_millis(),
                said: window.starts.with_timezone(&zone).format("%a %-d %b %H:%M %Z").to_string(),
                ends: ends.map(|ends| ends.timestamp_millis()),
                // The day only where it is another day.
                ends_said: ends.map(|ends| say_time(ends, window.starts, zone)),
                length: window.seconds.map(say_seconds),
            }
        }),
        alarms: alarms(&voice),
        steps,
        more_steps: 0,
        is_tight: false,
        phases,
        earlier_phases,
        later_phases,
        by_itself: voice.next_by_itself(),
        by_a_person: voice.next_by_a_person(),
        newest,
        awaited,
    }
}

fn mood(voice: &Voice<'_>) -> (&'static str, String) {
    let state = voice.state;
    if let (Some(result), true) = (state.result, state.ended.is_some()) {
        return (result.name(), result.title().to_owned());
    }
    if let Some(held) = &state.held {
        let by = held.by.as_ref().map(|person| format!(" by {}", voice.people.call(person))).unwrap_or_default();
        return ("held", format!("ON HOLD{by} since {}", say_time(held.since, voice.now, state.runbook.timezone)));
    }
    match state.result {
        Some(result) => (result.name(), format!("{}, not over yet", result.title())),
        None => ("open", "open".to_owned()),
    }
}

/// What is wrong: failed, late, over its time.
fn alarms(voice: &Voice<'_>) -> Vec<String> {
    let (state, now) = (voice.state, voice.now);
    if state.ended.is_some() {
        return Vec::new();
    }
    let mut alarms = Vec::new();
    if let Some(held) = &state.held
        && let Some(reason) = &held.reason
    {
        alarms.push(format!("On hold: {reason}"));
    }
    for (index, definition, step) in state.open_steps() {
        let title = state.step_title(index);
        if let StepStatus::Failed { unknown, .. } = step.status {
            alarms.push(if unknown { format!("Nobody knows what became of {title}") } else { format!("Failed: {title}") });
            continue;
        }
        let begun = step.action.as_ref().filter(|_| step.is_running()).and_then(|action| action.begun);
        let late = definition.takes.zip(begun).map(|(takes, begun)| (now - begun).num_seconds() - takes.seconds_max);
        if let Some(late) = late.filter(|late| *late > 0) {
            alarms.push(format!("{title} takes {} longer than expected", say_seconds(late)));
        }
        if let Some(due) = due_of(state, index).filter(|due| *due < now) {
            alarms.push(format!("Overdue since {}: {title}", voice.time(due)));
        }
    }
    for (index, phase) in state.phases.iter().enumerate() {
        if let PhaseState::Open { late_seconds, .. } = phase
            && *late_seconds > 0
        {
            alarms.push(format!("{} opened {} late", state.phase_title(index), say_seconds(*late_seconds)));
        }
    }
    let ends = state.window().and_then(|window| Some(window.starts + TimeDelta::seconds(window.seconds?)));
    if let Some(ends) = ends.filter(|ends| *ends < now && state.result.is_none()) {
        alarms.push(format!("The window is over since {}", voice.time(ends)));
    }
    alarms
}

fn phases_of(voice: &Voice<'_>) -> (Vec<WallPhase>, usize, usize) {
    let state = voice.state;
    let shown: Vec<usize> =
        (0..state.phases.len()).filter(|phase| !matches!(state.phases[*phase], PhaseState::PassedOver(_))).collect();
    let current = state.current_phase();
    let place = shown.iter().position(|phase| *phase >= current).unwrap_or(shown.len());
    // A little of what was, more of what comes.
    let from = place.saturating_sub(PHASES_MAX / 3).min(shown.len().saturating_sub(PHASES_MAX));
    let until = (from + PHASES_MAX).min(shown.len());
    let phases = shown[from..until].iter().map(|phase| {
        let steps: Vec<usize> = state.runbook.steps_of(*phase).collect();
        let settled = steps.iter().filter(|step| state.steps[**step].status.is_settled()).count();
        let failed = steps.iter().any(|step| matches!(state.steps[*step].status, StepStatus::Failed { left: false, .. }));
        let due = state.due_of_phase(*phase).map(|due| say_soon(due, voice.now, state.runbook.timezone));
        let (status, about) = match &state.phases[*phase] {
            PhaseState::Settled { .. } => ("settled", None),
            PhaseState::Open { .. } if failed => ("failed", Some(format!("{settled} of {}", steps.len()))),
            PhaseState::Open { .. } => ("open", Some(format!("{settled} of {}", steps.len()))),
            _ => ("waiting", due),
        };
        WallPhase { title: state.phase_title(*phase), status, about, settled, steps: steps.len() }
    });
    (phases.collect(), from, shown.len() - until)
}

/// A time to come in as few letters as tell it apart: `08:51`, `Thu 08:51`, `3 Dec`.
fn say_soon(at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> String {
    let (there, here) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let format = match (there.date_naive() - here.date_naive()).num_days() {
        0 => "%H:%M",
        1..=6 => "%a %H:%M",
        _ => "%-d %b",
    };
    there.format(format).to_string()
}

fn step_of(voice: &Voice<'_>, index: usize, progress: Option<&Progress>) -> WallStep {
    let state = voice.state;
    let (definition, step) = (&state.runbook.steps[index], &state.steps[index]);
    let begun = step.action.as_ref().filter(|_| step.is_running()).and_then(|action| action.begun);
    let since = begun.or(step.since()).unwrap_or(voice.now);
    let mut awaited: Vec<String> = voice.awaited(index).iter().map(|person| voice.people.call(person)).collect();
    let more_awaited = awaited.len().saturating_sub(NAMES_MAX);
    awaited.truncate(NAMES_MAX);
    let (status, reason) = match &step.status {
        StepStatus::Failed { reason, .. } => ("failed", Some(reason.clone())),
        _ if step.is_running() => ("running", None),
        _ => ("open", None),
    };
    let is_decision = matches!(definition.kind, StepKind::Decide { .. });
    let votes = step
        .people
        .iter()
        .filter(|_| is_decision)
        .map(|person| WallVote { name: voice.people.call(person), vote: step.votes.get(person).map(|vote| vote.choice.name()) });
    let due = due_of(state, index);
    let expected = definition.takes.filter(|_| begun.is_some() || definition.kind.call().is_none());
    WallStep {
        title: state.step_title(index),
        of: None,
        status,
        since: since.timestamp_millis(),
        since_said: voice.time(since),
        votes: votes.collect(),
        awaited,
        more_awaited,
        expected_seconds: expected.map(|takes| takes.seconds_max),
        expected: expected.map(|takes| takes.to_string()),
        due: due.map(|due| due.timestamp_millis()),
        due_said: due.map(|due| voice.time(due)),
        reason,
        progress: progress.and_then(|progress| progress.line.clone()),
        settles: step.settling.map(|(choice, until)| (Choice::title(choice), until.timestamp_millis())),
    }
}
