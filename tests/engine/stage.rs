//! A conductor and its outbox on a journal in memory, with an outside whose behaviour the test writes down beforehand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tminus::cli::serve::executors;
use tminus::domain::catalogue::Kind;
use tminus::domain::message::card::card;
use tminus::domain::people::{Directory, PersonId};
use tminus::domain::registry::Registry;
use tminus::domain::rollout::command::{Actor, CommandBody, CommandId, RolloutId, StepRef};
use tminus::domain::rollout::effect::{Action, Delivery};
use tminus::domain::rollout::event::{ActionOutcome, ClockKind, NoteKind, Recorded};
use tminus::domain::rollout::state::State;
use tminus::domain::runbook::model::{Platform, Venue};
use tminus::engine::clock::ManualClock;
use tminus::engine::conductor::{Conductor, Plan, Rejected, Request, Said};
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tminus::engine::outbox::{self, DISPATCH_MAX, Route, Routes};
use tminus::engine::ports::{CancelError, Courier, Executor, Found, Polled, Projection, Sent, StartError};
use tminus::engine::snapshots::{NoSnapshots, SnapshotStore};
use tminus::gateway::action::pretend::{Ledger, Pretend};
use tminus::settings::{Files, Settings};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::counting::Counting;

pub const ROOM: &str = "andromeda-rollouts";

/// What an outside does when it is called: written down beforehand, used up in order; after that all goes well.
#[derive(Default)]
pub struct Outside {
    pub calls: Mutex<Vec<String>>,
    pub sends: Mutex<VecDeque<Send>>,
    pub finds: Mutex<VecDeque<Found>>,
    pub starts: Mutex<VecDeque<Start>>,
    pub polls: Mutex<VecDeque<Result<Polled, String>>>,
    pub cards: Mutex<Vec<Projection>>,
    /// How often showing a card breaks, from now on.
    pub breaks: Mutex<usize>,
    /// What arrived, in order.
    pub delivered: Mutex<Vec<Delivery>>,
}

pub enum Send {
    Is(Sent),
    /// No answer ever comes.
    Hangs,
    /// The program has a mistake.
    Breaks,
}

pub enum Start {
    Is(Result<(), StartError>),
    /// It goes well, and takes a second.
    Slowly,
    Hangs,
}

impl Outside {
    fn call(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub fn will_send(&self, send: Send) -> &Self {
        self.sends.lock().unwrap().push_back(send);
        self
    }

    pub fn will_find(&self, found: Found) -> &Self {
        self.finds.lock().unwrap().push_back(found);
        self
    }

    pub fn will_start(&self, start: Start) -> &Self {
        self.starts.lock().unwrap().push_back(start);
        self
    }
}

#[async_trait]
impl Courier for Outside {
    async fn deliver(&self, delivery: &Delivery) -> Sent {
        self.call(format!("deliver to {}", delivery.to));
        let next = self.sends.lock().unwrap().pop_front();
        match next {
            Some(Send::Is(sent)) => sent,
            Some(Send::Hangs) => std::future::pending().await,
            Some(Send::Breaks) => panic!("a courier with a mistake"),
            None => {
                self.delivered.lock().unwrap().push(delivery.clone());
                Sent::Delivered { reference: "there".into() }
            }
        }
    }

    async fn find(&self, delivery: &Delivery) -> Found {
        self.call(format!("find {}", delivery.to));
        self.finds.lock().unwrap().pop_front().unwrap_or(Found::Absent)
    }

    async fn show(&self, projection: &Projection) -> Result<String, String> {
        let breaks = {
            let mut breaks = self.breaks.lock().unwrap();
            let before = *breaks;
            *breaks = before.saturating_sub(1);
            before > 0
        };
        assert!(!breaks, "a courier with a mistake");
        self.cards.lock().unwrap().push(projection.clone());
        Ok("card".into())
    }

    async fn log_cursor(&self, rollout: &RolloutId, _venue: &Venue) -> Result<u64, String> {
        let cards = self.cards.lock().unwrap();
        Ok(cards.iter().rev().find(|shown| shown.rollout == *rollout).map_or(0, |shown| shown.sequence))
    }

    fn edit_pause(&self) -> Duration {
        Duration::from_millis(500)
    }
}

#[async_trait]
impl Executor for Outside {
    async fn start(&self, action: &Action, _now: DateTime<Utc>) -> Result<(), StartError> {
        self.call(format!("start {} attempt {}", action.step_id, action.attempt));
        let next = self.starts.lock().unwrap().pop_front();
        match next {
            Some(Start::Is(result)) => result,
            Some(Start::Slowly) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            }
            Some(Start::Hangs) => std::future::pending().await,
            None => Ok(()),
        }
    }

    async fn find(&self, action: &Action) -> Found {
        self.call(format!("find {} attempt {}", action.step_id, action.attempt));
        self.finds.lock().unwrap().pop_front().unwrap_or(Found::Absent)
    }

    async fn cancel(&self, action: &Action, _now: DateTime<Utc>) -> Result<(), CancelError> {
        self.call(format!("cancel {}", action.step_id));
        Ok(())
    }

    async fn poll(&self, action: &Action, _now: DateTime<Utc>) -> Result<Polled, String> {
        self.call(format!("poll {}", action.step_id));
        let next = self.polls.lock().unwrap().pop_front();
        next.unwrap_or_else(|| Ok(Polled::Ended(ActionOutcome::Succeeded { outputs: serde_json::Map::new() })))
    }
}

/// The stage.
pub struct Stage {
    pub journal: Arc<MemoryJournal>,
    pub clock: ManualClock,
    pub outside: Arc<Outside>,
    pub conductor: Conductor,
    /// What the conductor reads, told apart by stream.
    pub reads: Arc<Counting>,
    /// Where it keeps snapshots from the next start on; nowhere at first.
    pub snapshots: Arc<dyn SnapshotStore>,
    pub plan: Plan,
    systems: BTreeMap<String, Arc<dyn Executor>>,
    /// What real systems remember, as long as the stage stands.
    _data: TempDir,
    outbox: JoinHandle<()>,
    number: u32,
}

impl Stage {
    /// A stage with one runbook, named `test`.
    pub async fn with(yaml: &str) -> Self {
        Self::with_all(&[yaml]).await
    }

    /// A stage with several runbooks, of which the one named `test` is started.
    pub async fn with_all(yamls: &[&str]) -> Self {
        let files = yamls
            .iter()
            .enumerate()
            .fold(Files::embedded(), |files, (index, yaml)| files.with(&format!("config/runbooks/test{index}.yaml"), yaml));
        let settings = files.settings().unwrap_or_else(|e| panic!("{e}"));
        let outside = Arc::new(Outside::default());
        let ci: Arc<dyn Executor> = outside.clone();
        let data = TempDir::new().unwrap();
        Self::raised(settings, outside, BTreeMap::from([("ci".to_owned(), ci)]), data).await
    }

    /// A stage with one runbook, named `test`, and with more in the settings.
    pub async fn with_settings(yaml: &str, more: &str) -> Self {
        let settings = Files::embedded().text("config/tminus.yaml").unwrap().to_owned() + more;
        let files = Files::embedded().with("config/tminus.yaml", &settings).with("config/runbooks/test.yaml", yaml);
        let settings = files.settings().unwrap_or_else(|e| panic!("{e}"));
        Self::raised(settings, Arc::new(Outside::default()), BTreeMap::new(), TempDir::new().unwrap()).await
    }

    /// A stage with one runbook, named `test`, and with systems as settings describe them.
    pub async fn with_systems(yaml: &str, systems: &str) -> Self {
        let house =
            "rooms: { andromeda-rollouts: { local: true } }\naddresses: { andromeda-preproduction-watch: { slack: C1 } }\n";
        let files = [
            ("config/people.yaml", Files::embedded().text("config/people.yaml").unwrap().to_owned()),
            ("config/tminus.yaml", format!("{house}systems:\n{systems}")),
            ("config/runbooks/test.yaml", yaml.to_owned()),
        ];
        let files = Files::of(files.map(|(path, text)| (path.to_owned(), text)));
        let settings = files.settings().unwrap_or_else(|e| panic!("{e}"));
        let data = TempDir::new().unwrap();
        let systems = executors(&settings, &Ledger::in_memory(), data.path()).unwrap_or_else(|e| panic!("{e:#}"));
        Self::raised(settings, Arc::new(Outside::default()), systems, data).await
    }

    async fn raised(
        settings: Settings,
        outside: Arc<Outside>,
        systems: BTreeMap<String, Arc<dyn Executor>>,
        data: TempDir,
    ) -> Self {
        let plan = Plan {
            people: Arc::new(settings.people.clone()),
            runbooks: settings.runbooks.into_iter().filter(|(name, _)| name != "andromeda-staging").collect(),
            clock: ClockKind::Shifted,
            rooms: BTreeMap::from([(ROOM.into(), vec![Platform::Slack])]),
            propose_window: None,
            public_url: None,
            freezes: settings.freezes,
            digests: settings.digests,
            rest_after: Duration::ZERO,
        };
        let journal = Arc::new(MemoryJournal::new());
        let clock = ManualClock::at("2026-11-20T12:00:00Z".parse().unwrap());
        let (reads, snapshots): (_, Arc<dyn SnapshotStore>) = (Counting::of(&journal), Arc::new(NoSnapshots));
        let (conductor, outbox) = raise(&plan, &reads, &clock, &outside, &systems, &snapshots).await;
        Self { journal, clock, outside, conductor, reads, snapshots, plan, systems, _data: data, outbox, number: 0 }
    }

    /// The process dies and starts again: nothing is left but the journal and the outside.
    pub async fn restart(&mut self) {
        self.outbox.abort();
        self.reads = Counting::of(&self.journal);
        let raised = raise(&self.plan, &self.reads, &self.clock, &self.outside, &self.systems, &self.snapshots);
        let (conductor, outbox) = raised.await;
        self.conductor = conductor;
        self.outbox = outbox;
    }

    /// What a process says that does not start on this journal and these snapshots.
    pub async fn refused(&self) -> String {
        let (dispatch, _) = mpsc::channel(1);
        let clock = Arc::new(self.clock.clone());
        let opened = Conductor::open_with(self.plan.clone(), self.journal.clone(), clock, dispatch, self.snapshots.clone()).await;
        opened.err().expect("it does not start").to_string()
    }

    /// Waits until so many rollouts rest.
    pub async fn until_asleep(&self, count: u32) {
        for _ in 0..2000 {
            if self.conductor.asleep() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {count} to rest: {} do", self.conductor.asleep());
    }

    /// The process starts again in earnest: clocks are real.
    pub async fn restart_in_earnest(&mut self) {
        self.plan.clock = ClockKind::Real;
        self.restart().await;
    }

    /// The process is told to stop, and everything that it owes the disk is there.
    pub async fn close(&self) {
        self.outbox.abort();
        self.conductor.close().await;
    }

    pub async fn start(&mut self) -> RolloutId {
        self.start_as("start").await
    }

    /// Starts a rollout with a command of this id.
    pub async fn start_as(&self, command: &str) -> RolloutId {
        let said = Said {
            id: CommandId(command.into()),
            person: PersonId::new("maria"),
            room: ROOM.into(),
            text: "start test".into(),
            fields: BTreeMap::new(),
        };
        self.conductor.hear(said).await.expect("it starts").rollout.expect("a rollout")
    }

    /// A person does something.
    pub async fn does(&mut self, id: &RolloutId, person: &str, body: CommandBody) -> Result<String, Rejected> {
        self.number += 1;
        let command = format!("c{}", self.number);
        self.sends(id, person, &command, body).await
    }

    /// A person does something under a command id of the test's.
    pub async fn sends(&self, id: &RolloutId, person: &str, command: &str, body: CommandBody) -> Result<String, Rejected> {
        let actor = Actor::Person { id: PersonId::new(person), roles: BTreeSet::new() };
        let request = Request { id: CommandId(command.into()), actor, room: None, body };
        self.conductor.submit(id, request).await.map(|answer| answer.text)
    }

    /// The kinds of what happened, in order.
    pub async fn happened(&self, id: &RolloutId) -> Vec<String> {
        let events = self.conductor.events(id, 1, 500).await.expect("readable").expect("there");
        events.into_iter().map(|(_, recorded)| kind(&recorded)).collect()
    }

    /// Waits until something has happened, and answers everything that has.
    pub async fn until(&self, id: &RolloutId, what: &str) -> Vec<String> {
        for _ in 0..2000 {
            let happened = self.happened(id).await;
            if happened.iter().any(|kind| kind == what) {
                return happened;
            }
            // The clock of the runtime is paused: this lets everything else run, and timers fire, without waiting.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {what}: {:?}\n{:?}", self.happened(id).await, self.outside.calls());
    }

    /// Waits until the outside was called so.
    pub async fn until_called(&self, what: &str) {
        for _ in 0..2000 {
            if self.outside.calls().iter().any(|call| call == what) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for a call of {what}: {:?}", self.outside.calls());
    }

    /// Waits until the checklists of a rollout have heard how it stands.
    pub async fn until_told(&self, id: &RolloutId) {
        for _ in 0..2000 {
            let told = |state: &State, _: &Directory, _| {
                state.steps.iter().filter_map(|step| step.child.as_ref()).all(|child| child.told >= state.whole_sequence)
            };
            if self.conductor.look(id, told).await.unwrap() == Some(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the checklists of {id} have not heard how it stands");
    }

    /// Waits until the registry knows something.
    pub async fn until_registered(&self, what: &str, is_so: impl Fn(&Registry) -> bool) {
        for _ in 0..2000 {
            if self.conductor.with_registry(&is_so) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {what}: {:?}", self.outside.calls());
    }

    /// Waits until a room shows at least this event.
    pub async fn until_shown(&self, sequence: u64) {
        for _ in 0..2000 {
            if self.outside.cards.lock().unwrap().last().is_some_and(|card| card.sequence >= sequence) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for the card at {sequence}");
    }

    /// Waits until the newest card that a room shows says something.
    pub async fn until_card_says(&self, part: &str) {
        for _ in 0..2000 {
            if self.outside.cards.lock().unwrap().last().is_some_and(|shown| shown.card.markdown().contains(part)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let last = self.outside.cards.lock().unwrap().last().map(|shown| shown.card.markdown());
        panic!("waited in vain for the card to say {part}: {last:?}");
    }

    /// Waits until a room shows everything of a rollout.
    pub async fn until_all_shown(&self, id: &RolloutId) {
        for _ in 0..2000 {
            let sequence = self.conductor.look(id, |state, _, _| state.sequence).await.unwrap().unwrap();
            if self.outside.cards.lock().unwrap().iter().any(|shown| shown.rollout == *id && shown.sequence >= sequence) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for the card of {id}");
    }

    /// Waits until the rollout has a task that answers.
    pub async fn until_loaded(&self, id: &RolloutId) {
        for n in 0..2000 {
            let body = CommandBody::Wake;
            if self.sends(id, "sam", &format!("wake-{id}-{n}"), body).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} is not taken up");
    }

    /// Waits until the rollout has no task that answers.
    pub async fn until_refused(&self, id: &RolloutId) -> Rejected {
        for n in 0..2000 {
            if let Err(rejected) = self.sends(id, "sam", &format!("refused-{id}-{n}"), CommandBody::Wake).await {
                return rejected;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} goes on");
    }

    /// Waits until a rollout was given its environment so often.
    pub async fn until_grants(&self, id: &RolloutId, count: usize) {
        for _ in 0..2000 {
            if self.happened(id).await.iter().filter(|kind| *kind == "environment-granted").count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} did not get its environment {count} times: {:?}", self.happened(id).await);
    }

    /// Waits until a rollout holds an environment.
    pub async fn until_holder(&self, environment: &str, id: &RolloutId) {
        for _ in 0..2000 {
            if self.conductor.with_registry(|registry| registry.holder(environment) == Some(id)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} does not hold {environment}");
    }

    /// Waits until there are so many rollouts.
    pub async fn until_rollouts(&self, count: usize) {
        for _ in 0..2000 {
            if self.conductor.with_registry(|registry| registry.rollouts.len()) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there are not {count} rollouts");
    }

    /// How the first action ended: the outcome, as the journal has it.
    pub async fn ended(&self, id: &RolloutId) -> serde_json::Value {
        self.until(id, "action-ended").await;
        let events = self.conductor.events(id, 1, 500).await.unwrap().unwrap();
        let ended = events.iter().find(|(_, recorded)| kind(recorded) == "action-ended").unwrap();
        serde_json::to_value(&ended.1.event).unwrap()
    }

    /// The same where whoever follows the action looks again on the rollout's clock: it is moved a second at a time.
    pub async fn ended_in_time(&self, id: &RolloutId) -> serde_json::Value {
        for _ in 0..500 {
            if self.happened(id).await.iter().any(|kind| kind == "action-ended") {
                break;
            }
            self.passes(TimeDelta::seconds(1)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ended(id).await
    }

    /// Waits until the system of the first step said how far it is, with these words.
    pub async fn until_underway(&self, id: &RolloutId, words: &str) {
        for _ in 0..2000 {
            let line = self.conductor.underway(id).await.remove(&0).map(|progress| progress.line.unwrap_or_default());
            if line.is_some_and(|line| line.contains(words)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {id} to say: {words}");
    }

    /// The card as it is now.
    pub async fn card(&self, id: &RolloutId) -> String {
        let card = |state: &State, people: &Directory, now| card(state, people, now, &|_| None).markdown();
        self.conductor.look(id, card).await.expect("readable").expect("there")
    }

    /// Another writer appends to the rollout's stream.
    pub async fn somebody_else_notes(&self, id: &RolloutId, text: &str) {
        let number = self.conductor.registry().rollouts[id].number;
        let stream = StreamName::new(format!("rollout/{number}"));
        let expected = self.journal.head(&stream).await.unwrap();
        let at = self.conductor.look(id, |state, _, _| state.last_at).await.unwrap().unwrap();
        let event = tminus::domain::rollout::event::Event::NoteAdded { text: text.into(), kind: NoteKind::Remark };
        let recorded = Recorded::new(&CommandId(format!("other-{text}")), None, at, event);
        let records = vec![NewRecord { id: format!("other-{text}#0"), payload: recorded.encode() }];
        self.journal.append(vec![Append { stream, expected, records }], 0).await.unwrap();
    }

    pub async fn passes(&self, by: TimeDelta) {
        self.clock.advance(by);
        tokio::task::yield_now().await;
    }
}

async fn raise(
    plan: &Plan,
    journal: &Arc<Counting>,
    clock: &ManualClock,
    outside: &Arc<Outside>,
    systems: &BTreeMap<String, Arc<dyn Executor>>,
    snapshots: &Arc<dyn SnapshotStore>,
) -> (Conductor, JoinHandle<()>) {
    let (dispatch, dispatches) = mpsc::channel(DISPATCH_MAX);
    let opened = Conductor::open_with(plan.clone(), journal.clone(), Arc::new(clock.clone()), dispatch, snapshots.clone());
    let conductor = opened.await.expect("it opens");
    let courier: Arc<dyn Courier> = outside.clone();
    let pretended: Arc<dyn Executor> =
        Arc::new(Pretend::new(Ledger::in_memory(), Kind::named("command").unwrap(), BTreeMap::new()));
    let route = Route { lane: "outside".into(), courier };
    let routes = Routes {
        addresses: BTreeMap::from([((Platform::Slack, "andromeda-preproduction-watch".into()), route.clone())]),
        people: Some(route.clone()),
        venues: BTreeMap::from([(Venue { platform: Platform::Slack, room: ROOM.into() }, route)]),
        executors: systems.clone(),
        rehearsals: systems.keys().map(|name| (name.clone(), pretended.clone())).collect(),
    };
    let outbox = tokio::spawn(outbox::run(routes, conductor.clone(), dispatches, CancellationToken::new()));
    (conductor, outbox)
}

/// The kind of an event, as the journal writes it.
pub fn kind(recorded: &Recorded) -> String {
    serde_json::to_value(&recorded.event).unwrap()["type"].as_str().unwrap().to_owned()
}

pub fn ack() -> CommandBody {
    CommandBody::Acknowledge { step: StepRef::TheOpenOne }
}

pub fn note(text: &str) -> CommandBody {
    CommandBody::AddNote { text: text.into(), kind: NoteKind::Remark }
}
