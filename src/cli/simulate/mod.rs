//! `tminus simulate`: a rollout from its first to its last moment, with every message in full. Nothing is sent, nothing is
//! asked of a system, nothing is remembered.

mod answers;
mod outside;
mod people;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::conversation::form::{FieldValue, Reading};
use crate::domain::conversation::voice::Voice;
use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::did_you_mean;
use crate::domain::rollout::command::{Actor, CommandId, RolloutId};
use crate::domain::rollout::event::{ActionOutcome, ClockKind, Event, Recorded};
use crate::domain::rollout::state::{State, StepStatus};
use crate::domain::runbook::model::{Platform, Runbook, StepKind, Venue};
use crate::engine::clock::{ManualClock, SystemClock};
use crate::engine::conductor::{Advance, Conductor, Plan, REST_AFTER, Rejected, Request, Said};
use crate::engine::journal::memory::MemoryJournal;
use crate::engine::outbox::{self, DISPATCH_MAX, Route, Routes};
use crate::engine::ports::{Clock, Courier, Executor};
use crate::gateway::action::pretend::Ledger;
use crate::settings::{Files, Settings};

use super::say_out;

use self::answers::Answers;
use self::outside::{Nowhere, Played};
use self::people::deeds;
use self::script::{Scene, Script};

/// How often somebody does something, or time passes, before a simulation is given up: a runbook that runs in a circle.
const TURNS_MAX: usize = 5_000;
/// How often somebody does the very same thing again: what does not work then does not work at all.
const REPEATS_MAX: usize = 3;
/// How long before the first phase's time a simulation begins.
const BEFORE: TimeDelta = TimeDelta::hours(1);
/// How many events are read at once.
const EVENTS_MAX: usize = 500;
/// The room of a runbook that names none.
const ROOM: &str = "rollouts";

/// What is simulated.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The runbook: andromeda-staging
    runbook: String,
    /// Inputs as NAME=VALUE; one without a name is the positional one: 4.3
    #[arg(value_name = "INPUT")]
    inputs: Vec<String>,
    /// The window: '2026-12-01 02:00 for 2h', in the runbook's zone
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
    /// Who starts it; the first person of the configuration, unless told
    #[arg(long = "as", value_name = "PERSON")]
    starter: Option<String>,
    /// A YAML file with what people and systems do where it is not the usual: `cutover: no-go`
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// A folder with config/ and messages/; the current one if it has them, or else what is built in
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match &args.config {
        Some(dir) => Files::read(dir)?,
        None => Files::here()?.unwrap_or_else(Files::embedded),
    };
    let settings = files.settings()?;
    let runbook = find(&settings, &args.runbook)?;
    let people = if settings.people.people().next().is_none() { super::serve::just_you() } else { settings.people.clone() };
    let answers = match &args.answers {
        None => Answers::default(),
        Some(path) => {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| format!("{file} can't be read"))?;
            let family = family(&settings, &runbook);
            answers::read(&file, &text, &family, &people, &settings.systems).map_err(|problems| {
                let said: Vec<String> = problems.iter().map(|problem| problem.render(Some(&text))).collect();
                anyhow!("the answers can't be used; nothing was simulated\n\n{}", said.join("\n"))
            })?
        }
    };
    let fields = inputs(args, &runbook)?;
    let starter = starter(args, &people)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let script = runtime.block_on(async {
        let begins = begins(&runbook, fields.get_key_value(&window_name(&runbook)).map(|(_, text)| text.as_str()), &people)?;
        let mut stage = Stage::set(&settings, people, answers, begins).await?;
        let id = stage.start(&runbook, &starter, fields).await?;
        let waits_for = stage.play(&id).await?;
        stage.script(&id, waits_for).await
    })?;
    match args.format {
        Format::Text => say_out(script.text().trim_end())?,
        Format::Json => say_out(&serde_json::to_string_pretty(&script)?)?,
    }
    Ok(if script.waits_for.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn find(settings: &Settings, name: &str) -> anyhow::Result<Arc<Runbook>> {
    settings.runbooks.get(name).cloned().ok_or_else(|| {
        let names = settings.runbooks.keys().map(String::as_str);
        let hint = match did_you_mean(name, names.clone()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => format!("There are {}.", names.collect::<Vec<_>>().join(", ")),
        };
        anyhow!("there is no runbook `{name}`. {hint}")
    })
}

/// A runbook and those of its checklists.
fn family<'s>(settings: &'s Settings, runbook: &'s Runbook) -> Vec<&'s Runbook> {
    let mut family = vec![runbook];
    let mut next = 0;
    while let Some(member) = family.get(next).copied() {
        for step in &member.steps {
            if let StepKind::Checklist { runbook, .. } = &step.kind
                && let Some(child) = settings.runbooks.get(runbook)
                && !family.iter().any(|known| known.name == child.name)
            {
                family.push(child);
            }
        }
        next += 1;
    }
    family
}

fn window_name(runbook: &Runbook) -> String {
    runbook.window_input().map(|input| input.field.name.clone()).unwrap_or_default()
}

/// The inputs by name, as they were typed.
fn inputs(args: &Args, runbook: &Runbook) -> anyhow::Result<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    for input in &args.inputs {
        if let Some((name, value)) = input.split_once('=') {
            let known = || runbook.inputs.iter().map(|input| input.field.name.as_str());
            if !known().any(|known| known == name) {
                let near = did_you_mean(name, known()).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                bail!("`{}` has no input `{name}`.{near}", runbook.name);
            }
            fields.insert(name.to_owned(), value.to_owned());
        } else {
            let positional = runbook.inputs.iter().find(|input| input.positional);
            let positional =
                positional.with_context(|| format!("`{}` has no positional input; write NAME={input}", runbook.name))?;
            if let Some(other) = fields.insert(positional.field.name.clone(), input.clone()) {
                bail!("`{other}` and `{input}` are both the {}", positional.field.label);
            }
        }
    }
    match (runbook.window_input(), &args.window) {
        (Some(input), Some(window)) => drop(fields.insert(input.field.name.clone(), window.clone())),
        (None, Some(_)) => bail!("`{}` has no window", runbook.name),
        (Some(_), None) if fields.contains_key(&window_name(runbook)) => {}
        (Some(_), None) => bail!("`{}` has a window: say when with --window '2026-12-01 02:00 for 2h'", runbook.name),
        (None, None) => {}
    }
    Ok(fields)
}

fn starter(args: &Args, people: &Directory) -> anyhow::Result<PersonId> {
    match &args.starter {
        None => people.people().next().map(|person| person.id.clone()).context("nobody is configured"),
        Some(name) => people.find(name).map(|person| person.id.clone()).ok_or_else(|| {
            let near = did_you_mean(name, people.people().map(|person| person.id.as_str()));
            anyhow!("I don't know `{name}`.{}", near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default())
        }),
    }
}

/// A little before the first thing that happens by the clock.
fn begins(runbook: &Runbook, window: Option<&str>, people: &Directory) -> anyhow::Result<DateTime<Utc>> {
    let now = SystemClock.now();
    let (Some(input), Some(text)) = (runbook.window_input(), window) else { return Ok(now) };
    let reading = Reading { zone: runbook.timezone, now, people };
    let read = input.field.read(text, reading).map_err(|problem| anyhow!("{problem}"))?;
    let Some(FieldValue::Window(window)) = read else { return Ok(now) };
    let moments = runbook.phases.iter().filter_map(|phase| phase.at.as_ref()?.moment(window.starts, runbook.timezone));
    Ok(moments.chain([window.starts]).min().unwrap_or(window.starts) - BEFORE)
}

/// A conductor and its outbox with nothing behind them.
struct Stage {
    conductor: Conductor,
    answers: Arc<Answers>,
    said: usize,
    /// How often what was done where.
    done: BTreeMap<(RolloutId, String), usize>,
}

impl Stage {
    async fn set(settings: &Settings, people: Directory, answers: Answers, begins: DateTime<Utc>) -> anyhow::Result<Self> {
        let answers = Arc::new(answers);
        let rooms: Vec<String> = settings.rooms.keys().cloned().chain([ROOM.to_owned()]).collect();
        let plan = Plan {
            people: Arc::new(people),
            runbooks: settings.runbooks.clone(),
            clock: ClockKind::Shifted,
            rooms: rooms.iter().map(|room| (room.clone(), vec![Platform::Local])).collect(),
            propose_window: None,
            public_url: settings.web.public_url.as_ref().map(|url| url.as_str().to_owned()),
            freezes: settings.freezes.clone(),
            // Nothing but the rollout is played.
            digests: Vec::new(),
            rest_after: REST_AFTER,
        };
        let (dispatch, dispatches) = mpsc::channel(DISPATCH_MAX);
        let clock = Arc::new(ManualClock::at(begins));
        let conductor = Conductor::open(plan, Arc::new(MemoryJournal::new()), clock, dispatch).await?;
        let courier: Arc<dyn Courier> = Arc::new(Nowhere);
        let route = || Route { lane: "nowhere".to_owned(), courier: courier.clone() };
        let ledger = Ledger::in_memory();
        let played = |(name, system): (&String, &crate::settings::System)| {
            let played: Arc<dyn Executor> = Arc::new(Played {
                ledger: ledger.clone(),
                kind: system.kind,
                scripts: system.scripts(),
                answers: answers.clone(),
                conductor: conductor.clone(),
            });
            (name.clone(), played)
        };
        let routes = Routes {
            addresses: settings.announced_to().into_iter().map(|to| ((to.platform, to.name), route())).collect(),
            people: Some(route()),
            venues: rooms.into_iter().map(|room| (Venue { platform: Platform::Local, room }, route())).collect(),
            executors: settings.systems.iter().map(played).collect(),
            rehearsals: settings.systems.iter().map(played).collect(),
        };
        // It ends with the runtime.
        tokio::spawn(outbox::run(routes, conductor.clone(), dispatches, CancellationToken::new()));
        Ok(Self { conductor, answers, said: 0, done: BTreeMap::new() })
    }

    fn command(&mut self) -> CommandId {
        self.said += 1;
        CommandId(format!("simulation-{}", self.said))
    }

    async fn start(
        &mut self,
        runbook: &Runbook,
        starter: &PersonId,
        fields: BTreeMap<String, String>,
    ) -> anyhow::Result<RolloutId> {
        let room = runbook.rooms.first().cloned().unwrap_or_else(|| ROOM.to_owned());
        let text = format!("start {}", runbook.name);
        let said = Said { id: self.command(), person: starter.clone(), room, text, fields };
        match self.conductor.hear(said).await {
            Ok(answer) => answer.rollout.context("it started without an id"),
            Err(Rejected::NeedsForm { problems, .. }) => {
                let problems: Vec<String> = problems.iter().map(|(name, problem)| format!("  {name}: {problem}")).collect();
                bail!("it can't start like this\n{}", problems.join("\n"))
            }
            Err(rejected) => bail!("it can't start: {rejected}"),
        }
    }

    /// Lets people do what they can, and time pass where nobody can do anything; answers what is waited for at the end, if
    /// it did not end.
    async fn play(&mut self, id: &RolloutId) -> anyhow::Result<Vec<String>> {
        for _ in 0..TURNS_MAX {
            self.conductor.at_rest().await;
            if self.see(id, |state, _| state.ended.is_some()).await? {
                return Ok(Vec::new());
            }
            let (done, refusals) = self.somebody_does_something().await?;
            if done {
                continue;
            }
            let command = self.command();
            match self.conductor.advance_all(command, Actor::Engine, Advance::ToNext).await {
                Ok(_) => {}
                Err(Rejected::Refused(_)) => {
                    let (state, now) = self.look(id).await?;
                    return Ok(self.waits_for(&state, now).chain(refusals).collect());
                }
                Err(rejected) => bail!("the clock can't be moved: {rejected}"),
            }
        }
        let (state, now) = self.look(id).await?;
        let no_end = format!(
            "After {TURNS_MAX} turns it is not over: something does not come true, runs in a circle, or is announced very often."
        );
        Ok([no_end].into_iter().chain(self.waits_for(&state, now)).collect())
    }

    /// What failed and nobody mended, and whose turn it is.
    fn waits_for(&self, state: &State, now: DateTime<Utc>) -> impl Iterator<Item = String> {
        let voice = Voice { state, people: self.conductor.people(), now };
        let failed = state.open_steps().filter_map(|(index, _, step)| match &step.status {
            StepStatus::Failed { reason, .. } => Some(format!("{} failed: {reason}", voice.step(index))),
            _ => None,
        });
        let next = voice.next_by_a_person().or_else(|| voice.next_by_itself());
        failed.chain(next).collect::<Vec<_>>().into_iter()
    }

    async fn look(&self, id: &RolloutId) -> anyhow::Result<(State, DateTime<Utc>)> {
        self.see(id, |state, now| (state.clone(), now)).await
    }

    async fn see<T: Send + 'static>(
        &self,
        id: &RolloutId,
        see: impl Fn(&State, DateTime<Utc>) -> T + Send + Sync + 'static,
    ) -> anyhow::Result<T> {
        let seen = self.conductor.look(id, move |state, _, now| see(state, now)).await;
        seen.map_err(|rejected| anyhow!("{rejected}"))?.with_context(|| format!("there is no rollout `{id}`"))
    }

    /// The first thing that somebody can do, in any open rollout.
    async fn somebody_does_something(&mut self) -> anyhow::Result<(bool, Vec<String>)> {
        let mut refusals = Vec::new();
        for id in self.conductor.with_registry(|registry| registry.open().map(|(id, _)| id.clone()).collect::<Vec<_>>()) {
            let (people, answers) = (self.conductor.people().clone(), self.answers.clone());
            for deed in self.see(&id, move |state, now| deeds(state, &people, now, &answers)).await? {
                let what = (id.clone(), format!("{:?} {:?}", deed.people, deed.body));
                if self.done.get(&what).is_some_and(|times| *times >= REPEATS_MAX) {
                    continue;
                }
                let mut first = None;
                for person in deed.people {
                    let roles = self.conductor.people().person(&person).map(|person| person.roles.clone()).unwrap_or_default();
                    let actor = Actor::Person { id: person, roles };
                    let request = Request { id: self.command(), actor, room: None, body: deed.body.clone() };
                    match self.conductor.submit(&id, request).await {
                        Ok(_) => {
                            *self.done.entry(what).or_default() += 1;
                            return Ok((true, Vec::new()));
                        }
                        Err(Rejected::Refused(refusal)) => drop(first.get_or_insert(refusal.says)),
                        Err(rejected) => bail!("{id}: {rejected}"),
                    }
                }
                refusals.extend(first);
            }
        }
        Ok((false, refusals))
    }

    /// Everything that happened, in the order of time.
    async fn script(&self, root: &RolloutId, waits_for: Vec<String>) -> anyhow::Result<Script> {
        let ids: Vec<RolloutId> = self.conductor.with_registry(|registry| registry.rollouts.keys().cloned().collect());
        let (mut scenes, mut of_checklists, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            let mut failures = BTreeSet::new();
            let (state, _) = self.look(&id).await?;
            let mut from = 1;
            loop {
                let events: Vec<(u64, Recorded)> = self
                    .conductor
                    .events(&id, from, EVENTS_MAX)
                    .await
                    .map_err(|rejected| anyhow!("{rejected}"))?
                    .unwrap_or_default();
                let Some((last, _)) = events.last() else { break };
                from = last + 1;
                let child = (id != *root).then_some(&id);
                failures.extend(events.iter().filter_map(|(_, recorded)| match recorded.event {
                    Event::StepFailed { step, .. }
                    | Event::ActionEnded {
                        step, outcome: ActionOutcome::Failed { .. } | ActionOutcome::Unknown { .. }, ..
                    } => Some(step),
                    _ => None,
                }));
                let those = if child.is_some() { &mut of_checklists } else { &mut scenes };
                those.extend(
                    events.iter().filter_map(|(_, recorded)| Scene::of(&state, self.conductor.people(), recorded, child)),
                );
            }
            seen.push((state, failures));
        }
        let (state, _) = self.look(root).await?;
        let unused = self.answers.unused(&seen, self.conductor.people());
        Ok(Script::new(&state, script::in_order(scenes, of_checklists), waits_for, unused))
    }
}
