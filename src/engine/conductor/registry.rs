//! The task of the registry: numbers and ids of rollouts, who holds which environment, which rollouts are over, which digests
//! were issued.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use tokio::sync::{mpsc, oneshot};

use crate::domain::people::PersonId;
use crate::domain::registry::{Entry, Registry, RegistryEvent};
use crate::domain::rollout::command::{Actor, CommandBody, CommandId, RolloutId};
use crate::domain::rollout::effect::StartChild;
use crate::domain::rollout::event::{DeliveryOutcome, Parent};
use crate::domain::runbook::model::Outcome;
use crate::engine::journal::{Append, AppendError, Journal, NewRecord, StreamName};
use crate::engine::ports::Clock;
use crate::engine::snapshots::{self, Lost, SNAPSHOT_EVENTS, SnapshotStore};

use super::start::{Starting, begin, read_child_values};
use super::{Message as RolloutMessage, READ_RECORDS_MAX, Rejected, Request, Shared, rejected, rollout};

/// How often an entry is tried again after a conflict or an unknown end.
const TRIES_MAX: usize = 5;

/// Why the registry or a rollout could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The journal did not answer.
    #[error("{0}")]
    Journal(String),
    /// The journal is not the one any more that snapshots were made of.
    #[error("{0}")]
    Lost(Lost),
    /// The journal did not take the first entry.
    #[error("the registry could not be founded: {0}")]
    NotFounded(AppendError),
    /// An event makes no sense.
    #[error("event {sequence} of {stream} can't be read: {why}")]
    Unreadable {
        /// Its stream.
        stream: String,
        /// Its sequence.
        sequence: u64,
        /// Why.
        why: String,
    },
}

/// What comes into the registry.
pub(super) enum Message {
    /// Start a rollout.
    Start { starting: Box<Starting>, reply: oneshot::Sender<Result<RolloutId, Rejected>> },
    /// Start a checklist of a rollout.
    StartChild { parent: RolloutId, rooms: Vec<String>, child: Box<StartChild> },
    /// A rollout wants its environment. `asked` is its last event, which tells this asking from the one before.
    Claim { environment: String, rollout: RolloutId, takeover: Option<String>, at: DateTime<Utc>, asked: u64 },
    /// A rollout gives its environment back.
    Release { environment: String, rollout: RolloutId, at: DateTime<Utc>, asked: u64 },
    /// A rollout is over, and everything it owed is done.
    Close { id: RolloutId, result: Outcome },
    /// Something of a digest. The reply says whether it is recorded.
    Digest { news: DigestNews, reply: oneshot::Sender<bool> },
}

/// What there is to be recorded of digests.
pub(super) enum DigestNews {
    /// One is issued, or passed over.
    Due(RegistryEvent),
    /// One has arrived somewhere, or will not.
    Delivered { issued: u64, slot: usize, outcome: DeliveryOutcome },
}

pub(super) fn stream() -> StreamName {
    StreamName::new("registry")
}

/// Replays the registry, from its snapshot if one fits; founds it in an empty journal. Answers it with the snapshot's sequence.
pub(super) async fn load(
    journal: &dyn Journal,
    clock: &dyn Clock,
    store: &Arc<dyn SnapshotStore>,
) -> Result<(Registry, u64), RegistryError> {
    let known: Registry = snapshots::take(store, journal, &stream()).await?.unwrap_or_default();
    let snapshot_at = known.sequence;
    let mut registry = replay_after(journal, known).await?;
    if registry.house.is_none() {
        // Nothing is written into an empty journal that was not always empty.
        snapshots::check(store, journal, "", &BTreeSet::new()).await?;
    }
    while registry.house.is_none() {
        let founded = RegistryEvent::Founded { house: fastrand::u16(..) };
        let entry = Entry::new(&CommandId("found".to_owned()), None, clock.now(), founded);
        let record = NewRecord { id: "found#0".to_owned(), payload: entry.encode() };
        match journal.append(vec![Append { stream: stream(), expected: registry.sequence, records: vec![record] }], 0).await {
            Ok(()) => registry.evolve(&entry),
            Err(AppendError::Conflict { .. } | AppendError::Unknown(_)) => registry = replay(journal).await?,
            Err(error) => return Err(RegistryError::NotFounded(error)),
        }
    }
    Ok((registry, snapshot_at))
}

pub(super) async fn replay(journal: &dyn Journal) -> Result<Registry, RegistryError> {
    replay_after(journal, Registry::default()).await
}

async fn replay_after(journal: &dyn Journal, mut registry: Registry) -> Result<Registry, RegistryError> {
    loop {
        let records = journal.read(&stream(), registry.sequence + 1, READ_RECORDS_MAX).await?;
        let count = records.len();
        for record in records {
            let entry = Entry::decode(&record.payload).map_err(|error| RegistryError::Unreadable {
                stream: "registry".to_owned(),
                sequence: record.sequence,
                why: error.to_string(),
            })?;
            registry.evolve(&entry);
        }
        if count < READ_RECORDS_MAX {
            return Ok(registry);
        }
    }
}

/// Starts the registry's task. Without it no rollout could begin or end, so when it breaks nothing is accepted any more.
pub(super) fn spawn(shared: &Arc<Shared>, messages: mpsc::Receiver<Message>, snapshot_at: u64) {
    let watched = shared.clone();
    let task = tokio::spawn(run(shared.clone(), messages, snapshot_at));
    shared.tasks.spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            metrics::counter!("tminus_task_panics_total", "task" => "registry").increment(1);
            watched.stop("something went wrong inside the registry");
        }
    });
}

/// Takes messages one by one; at the end those that are waiting.
async fn run(shared: Arc<Shared>, mut messages: mpsc::Receiver<Message>, mut snapshot_at: u64) {
    loop {
        write_down(&shared, &mut snapshot_at);
        let message = tokio::select! {
            biased;
            message = messages.recv() => message,
            () = shared.closing.cancelled() => messages.try_recv().ok(),
        };
        let Some(message) = message else {
            let registry = shared.registry().clone();
            if registry.sequence > snapshot_at && shared.stopped.borrow().is_none() {
                shared.snapshots.hand_over(stream(), registry, None).await;
            }
            return;
        };
        match message {
            Message::Start { starting, reply } => {
                let started = start(&shared, &starting).await;
                // Whoever asked may have gone; what happened has happened.
                let _ = reply.send(started);
            }
            Message::StartChild { parent, rooms, child } => start_child(&shared, parent, &rooms, *child).await,
            Message::Claim { environment, rollout, takeover, at, asked } => {
                let id = CommandId(format!("claim-{rollout}"));
                let from = shared.registry().holder(&environment).cloned();
                let may = |waiting: &RolloutId| shared.may_take(&environment, waiting);
                let claim = |registry: &Registry| match &takeover {
                    Some(reason) => registry.take_over(&environment, &rollout, reason, at, &may),
                    None => registry.claim(&environment, &rollout, at, &may),
                };
                if record(&shared, &id, claim).await {
                    grant(&shared, &environment, asked).await;
                    // Who held it sees in the registry that it does not any more.
                    if let Some(from) = from.filter(|from| *from != rollout) {
                        look_again(&shared, &from).await;
                    }
                    show_again(&shared, &environment).await;
                } else {
                    ask_again(&shared, &rollout).await;
                }
            }
            Message::Release { environment, rollout, at, asked } => {
                let id = CommandId(format!("release-{rollout}"));
                let may = |waiting: &RolloutId| shared.may_take(&environment, waiting);
                if record(&shared, &id, |registry| registry.release(&environment, &rollout, at, &may)).await {
                    tell(&shared, &rollout, "released", asked, CommandBody::RecordEnvironmentReleased).await;
                    grant(&shared, &environment, asked).await;
                    show_again(&shared, &environment).await;
                } else {
                    ask_again(&shared, &rollout).await;
                }
            }
            Message::Digest { news, reply } => {
                let command = CommandId("digest".to_owned());
                let recorded = match news {
                    DigestNews::Due(event) => record(&shared, &command, |registry| registry.digest_due(&event)).await,
                    DigestNews::Delivered { issued, slot, outcome } => {
                        record(&shared, &command, |registry| registry.digest_delivered(issued, slot, &outcome)).await
                    }
                };
                // Whoever asked may have gone; what happened has happened.
                let _ = reply.send(recorded);
            }
            Message::Close { id, result } => {
                let command = CommandId(format!("close-{id}"));
                let close = |registry: &Registry| match registry.rollouts.get(&id) {
                    Some(rollout) if rollout.closed.is_none() => vec![RegistryEvent::RolloutClosed { id: id.clone(), result }],
                    _ => Vec::new(),
                };
                if record(&shared, &command, close).await {
                    tracing::info!(rollout.id = %id, "Closed {id}: {}", result.title());
                    // Its task looks whether it is over after every message.
                    look_again(&shared, &id).await;
                } else {
                    ask_again(&shared, &id).await;
                }
            }
        }
    }
}

/// Has the registry written down now and then, beside everything that anybody waits for.
fn write_down(shared: &Shared, snapshot_at: &mut u64) {
    let registry = shared.registry();
    if registry.sequence >= *snapshot_at + SNAPSHOT_EVENTS && shared.stopped.borrow().is_none() {
        // What finds no place is tried with the next message.
        let offered = shared.snapshots.offer(stream(), &*registry);
        *snapshot_at = if offered { registry.sequence } else { *snapshot_at };
    }
}

/// Tells whoever holds an environment that it does; telling it twice changes nothing.
async fn grant(shared: &Shared, environment: &str, asked: u64) {
    let holder = shared.registry().holder(environment).cloned();
    if let Some(holder) = holder {
        tell(shared, &holder, "granted", asked, CommandBody::RecordEnvironmentGranted).await;
    }
}

async fn tell(shared: &Shared, id: &RolloutId, what: &str, asked: u64, body: CommandBody) {
    let Some(handle) = shared.handle(id) else { return };
    let (reply, _answer) = oneshot::channel();
    // An environment can change hands, and be asked for, more than once: the entry and the asking that it came of are part of
    // the identity.
    let entry = shared.registry().sequence;
    let id = CommandId(format!("environment-{what}-{id}-{entry}-{asked}"));
    let request = Box::new(Request { id, actor: Actor::Engine, room: None, body });
    // A rollout that is gone asks again when it is taken up.
    let _ = handle.inbox.send(RolloutMessage::Do { request, reply }).await;
}

/// The journal did not take it. The rollout still wants it.
async fn ask_again(shared: &Shared, id: &RolloutId) {
    if let Some(handle) = shared.handle(id) {
        // A rollout that is gone asks when it is taken up.
        let _ = handle.inbox.send(RolloutMessage::AskAgain).await;
    }
}

/// Everybody who has to do with an environment shows how its line stands now.
async fn show_again(shared: &Shared, environment: &str) {
    let Some(line) = shared.registry().line(environment) else { return };
    for id in line.holder.iter().chain(&line.waiting) {
        if let Some(handle) = shared.handle(id) {
            // A rollout that is gone shows nothing more.
            let _ = handle.inbox.send(RolloutMessage::ShowAgain).await;
        }
    }
}

async fn look_again(shared: &Shared, id: &RolloutId) {
    if let Some(handle) = shared.handle(id) {
        // If it is gone already, that is what was wanted.
        let _ = handle.inbox.send(RolloutMessage::Look(Box::new(|_, _| ()))).await;
    }
}

/// Records what `decide` says; decides again after a conflict. False when the journal does not take it.
async fn record(shared: &Shared, command: &CommandId, decide: impl Fn(&Registry) -> Vec<RegistryEvent>) -> bool {
    for _ in 0..TRIES_MAX {
        let (events, expected) = {
            let registry = shared.registry();
            (decide(&registry), registry.sequence)
        };
        if events.is_empty() {
            return true;
        }
        let entries: Vec<Entry> = events.into_iter().map(|event| Entry::new(command, None, shared.clock.now(), event)).collect();
        let records = records_of(&entries, expected);
        match shared.journal.append(vec![Append { stream: stream(), expected, records }], 0).await {
            Ok(()) => {
                evolve(shared, &entries);
                return true;
            }
            Err(error) => {
                if !catch_up(shared, &error).await {
                    return false;
                }
            }
        }
    }
    false
}

fn records_of(entries: &[Entry], expected: u64) -> Vec<NewRecord> {
    let id = |entry: &Entry, index: usize| format!("{}#{}", entry.command, expected + index as u64);
    entries.iter().enumerate().map(|(index, entry)| NewRecord { id: id(entry, index), payload: entry.encode() }).collect()
}

fn evolve(shared: &Shared, entries: &[Entry]) {
    let mut registry = shared.registry.write().unwrap_or_else(PoisonError::into_inner);
    for entry in entries {
        registry.evolve(entry);
    }
    drop(registry);
    shared.changed();
}

/// After a failed append: true if it makes sense to decide again.
async fn catch_up(shared: &Shared, error: &AppendError) -> bool {
    match error {
        AppendError::Conflict { .. } | AppendError::Unknown(_) => match replay(shared.journal.as_ref()).await {
            Ok(registry) => {
                *shared.registry.write().unwrap_or_else(PoisonError::into_inner) = registry;
                true
            }
            Err(error) => {
                shared.stop(&error.to_string());
                false
            }
        },
        AppendError::Poisoned(why) => {
            shared.stop(why);
            false
        }
        AppendError::Invalid(why) => {
            tracing::error!("The registry made an impossible append: {why}");
            false
        }
    }
}

/// Starts a rollout: both streams in one commit, so that ids, and a redelivered start, are exact.
async fn start(shared: &Arc<Shared>, starting: &Starting) -> Result<RolloutId, Rejected> {
    for _ in 0..TRIES_MAX {
        let registry = shared.registry().clone();
        if let Some(known) = registry.started_by(&starting.request.id) {
            return Ok(known.clone());
        }
        let begun = begin(shared, &registry, starting)?;
        let by: Option<&PersonId> = starting.request.actor.person();
        let entry = Entry::new(&starting.request.id, by, begun.state.started, begun.registered);
        let entries = [entry];
        let registry_append =
            Append { stream: stream(), expected: registry.sequence, records: records_of(&entries, registry.sequence) };
        let records = begun.recorded.iter().enumerate();
        let records = records
            .map(|(index, recorded)| NewRecord { id: format!("{}#{index}", recorded.command), payload: recorded.encode() });
        let stream = super::stream_of(begun.state.number);
        let rollout_append = Append { stream, expected: 0, records: records.collect() };
        match shared.journal.append(vec![registry_append, rollout_append], 0).await {
            Ok(()) => {
                let id = begun.state.id.clone();
                tracing::info!(rollout.id = %id, "Started {id}: {}", begun.state.title);
                rollout::spawn(shared, begun.state, 0, 0);
                evolve(shared, &entries);
                return Ok(id);
            }
            Err(error) => {
                if !catch_up(shared, &error).await {
                    return Err(rejected(&error));
                }
                // After an unknown end it may be there: take it up like after a restart.
                let known = shared.registry().started_by(&starting.request.id).cloned();
                if let Some(id) = known {
                    take_up(shared, &id).await?;
                    return Ok(id);
                }
            }
        }
    }
    Err(Rejected::Busy("The registry".to_owned()))
}

/// Starts a checklist, and tells the rollout that wanted it. A second start with the same identity is the first one.
async fn start_child(shared: &Arc<Shared>, parent: RolloutId, rooms: &[String], child: StartChild) {
    let step = child.step;
    let id = CommandId(format!("{}.child", child.id));
    let now = shared.clock.now() + TimeDelta::seconds(child.shift_seconds);
    let values = child.values.and_then(|typed| read_child_values(shared, &child.runbook, &typed, now));
    let started = match values {
        Err(why) => Err(why),
        Ok(values) => {
            let actor = match child.owner {
                Some(id) => Actor::Person { id, roles: BTreeSet::new() },
                None => Actor::Engine,
            };
            let starting = Starting {
                request: Request { id: id.clone(), actor, room: None, body: CommandBody::Wake },
                runbook: Arc::new(child.runbook),
                rooms: rooms.to_vec(),
                values,
                parent: Some((
                    Parent { rollout: parent.clone(), step, until: child.until, environment: child.environment },
                    child.shift_seconds,
                )),
                rehearsal: child.rehearsal,
            };
            match start(shared, &starting).await {
                Ok(started) => Ok(started),
                Err(Rejected::Refused(refusal)) => Err(refusal.says),
                // The journal did not take it: it is still wanted, and asked again.
                Err(_) => return ask_again(shared, &parent).await,
            }
        }
    };
    let Some(handle) = shared.handle(&parent) else { return };
    let (reply, _answer) = oneshot::channel();
    let body = CommandBody::RecordChild { step, child: started };
    let request = Box::new(Request { id: CommandId(format!("{id}-started")), actor: Actor::Engine, room: None, body });
    // A rollout that is gone asks again when it is taken up, and gets the same answer.
    let _ = handle.inbox.send(RolloutMessage::Do { request, reply }).await;
}

async fn take_up(shared: &Arc<Shared>, id: &RolloutId) -> Result<(), Rejected> {
    let Some(number) = shared.registry().rollouts.get(id).map(|rollout| rollout.number) else { return Ok(()) };
    let state = super::load(shared.journal.as_ref(), number).await.map_err(|error| Rejected::Unreadable(error.to_string()))?;
    let taken_up_at = state.sequence;
    rollout::spawn(shared, state, taken_up_at, 0);
    Ok(())
}
