//! The task of one rollout: owns its state, takes what comes in as batches, and makes one commit of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};

use crate::domain::conversation::answer::Answer;
use crate::domain::conversation::log::{log_line, said_aloud};
use crate::domain::conversation::voice::Voice;
use crate::domain::conversation::window::next_refresh;
use crate::domain::freeze::Frozen;
use crate::domain::message::card::{Progress, card};
use crate::domain::rollout::command::{Actor, CommandBody, CommandId, Refusal, RefusalKind, RolloutId};
use crate::domain::rollout::effect::{Effect, EffectId, cancelling, effects, effects_not_in_hand, is_settled, owes_deliveries};
use crate::domain::rollout::event::{Event, Recorded};
use crate::domain::rollout::state::{ActionStage, EnvironmentStage, State};
use crate::domain::rollout::{handle, next_due, next_wake};
use crate::domain::runbook::model::Venue;
use crate::engine::clock::RolloutClock;
use crate::engine::journal::{Append, AppendError, NewRecord};
use crate::engine::outbox::Dispatch;
use crate::engine::ports::{LogLine, Projection};
use crate::engine::snapshots::{self, Rest, SNAPSHOT_EVENTS};

use super::asleep::Asleep;
use super::{
    Advance, Handle, INBOX_MAX, Message, RegistryError, Rejected, Request, Shared, family, load, load_until, read, registry,
    rejected, stream_of, take_up,
};

/// How many requests become one commit at most: a burst of clicks.
const BATCH_MAX: usize = 256;
/// How often a batch is decided again after a conflict or an unknown end, before people are told.
const TRIES_MAX: usize = 5;
/// When what could not be handed on or recorded is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// From how many effects in others' hands on it is looked which of them came to their end.
const DISPATCHED_MIN: usize = 256;
/// How often a rollout whose task broke is taken up again from its journal, before a person has to look.
const BREAKS_MAX: u32 = 3;

/// Starts the task of a rollout whose events are in the journal. Effects up to `taken_up_at` may have been set going before; its
/// snapshot is that of `snapshot_at`.
pub(super) fn spawn(shared: &Arc<Shared>, state: State, taken_up_at: u64, snapshot_at: u64) {
    let (id, number) = (state.id.clone(), state.number);
    watched(shared, (id, number), conduct(shared, state, (taken_up_at, snapshot_at)), 0);
}

/// Starts the task of a rollout that rests, as its snapshot says.
pub(super) fn spawn_asleep(shared: &Arc<Shared>, id: RolloutId, number: u32, rest: Rest, sequence: u64) {
    let (shift, overriding, clock, messages) = open_inbox(shared, &id, rest.shift_seconds, rest.overridden.clone());
    let asleep = Asleep {
        shared: shared.clone(),
        id: id.clone(),
        number,
        clock,
        shift,
        overriding,
        taken_up_at: sequence,
        // It came to rest only when every room showed all of it; rooms that are others now make another plan.
        shown: shared
            .registry()
            .rollouts
            .get(&id)
            .into_iter()
            .flat_map(|known| &known.rooms)
            .flat_map(|room| shared.venues(room))
            .map(|venue| (venue, sequence))
            .collect(),
        until: rest.until,
        refresh: rest.refresh,
        rested: Some((sequence, rest)),
    };
    watched(shared, (id, number), live(Life::Asleep(Box::new(asleep)), messages), 0);
}

/// Runs the task and watches over it: what breaks it is a mistake of ours, and must not cost people their rollout. The
/// journal is still right, so the rollout is taken up from it like after a restart.
fn watched(shared: &Arc<Shared>, (id, number): (RolloutId, u32), task: impl Future<Output = ()> + Send + 'static, breaks: u32) {
    let task = tokio::spawn(task);
    let watching = shared.clone();
    shared.tasks.spawn(async move {
        let shared = watching;
        if !task.await.is_err_and(|error| error.is_panic()) {
            return;
        }
        shared.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        metrics::counter!("tminus_task_panics_total", "task" => "rollout").increment(1);
        if breaks >= BREAKS_MAX {
            tracing::error!(rollout.id = %id, "The task of {id} broke {} times; {id} stands still until a restart", breaks + 1);
            return;
        }
        tracing::error!(rollout.id = %id, "The task of {id} broke; {id} is taken up again from the journal");
        match load(shared.journal.as_ref(), number).await {
            Ok(state) => {
                let since = (state.sequence, 0);
                let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(conduct(&shared, state, since));
                watched(&shared, (id, number), task, breaks + 1);
            }
            Err(error) => tracing::error!(rollout.id = %id, "{id} can't be taken up again: {error}"),
        }
    });
}

/// Opens the rollout's inbox; what is answered runs until the rollout is over or the process ends.
fn conduct(
    shared: &Arc<Shared>,
    mut state: State,
    (taken_up_at, snapshot_at): (u64, u64),
) -> impl Future<Output = ()> + Send + use<> {
    state.runbook = shared.runbooks.shared(state.runbook);
    let (shift, overriding, clock, messages) = open_inbox(shared, &state.id, state.shift_seconds, overridden_by(&state));
    let conducted = Conducted::of(shared.clone(), state, (taken_up_at, snapshot_at), (shift, overriding, clock));
    live(Life::Awake(Box::new(conducted)), messages)
}

/// Makes the way to a rollout, and what belongs to it as long as it is open.
fn open_inbox(
    shared: &Arc<Shared>,
    id: &RolloutId,
    shift_seconds: i64,
    overridden: Vec<Frozen>,
) -> (watch::Sender<i64>, watch::Sender<Vec<Frozen>>, RolloutClock, mpsc::Receiver<Message>) {
    let (inbox, messages) = mpsc::channel(INBOX_MAX);
    let (shift, shift_seconds) = watch::channel(shift_seconds);
    let (overriding, overridden) = watch::channel(overridden);
    let handle = Handle { inbox, shift_seconds: shift_seconds.clone(), overridden };
    shared.handles.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), handle);
    (shift, overriding, RolloutClock::new(shared.clock.clone(), shift_seconds), messages)
}

/// How a rollout is in memory.
enum Life {
    Awake(Box<Conducted>),
    Asleep(Box<Asleep>),
}

/// Sleeps and wakes until the rollout is over or the process ends.
async fn live(mut life: Life, mut messages: mpsc::Receiver<Message>) {
    let mut first = None;
    loop {
        life = match life {
            // Boxed: while it sleeps, none of it takes room.
            Life::Awake(conducted) => match Box::pin(conducted.run(&mut messages, first.take())).await {
                Some(asleep) => Life::Asleep(Box::new(asleep)),
                None => return,
            },
            Life::Asleep(asleep) => {
                let (goes_on, message) = asleep.sleep(&mut messages).await;
                if !goes_on {
                    return;
                }
                first = message;
                let Some(conducted) = Box::pin(Conducted::woken(*asleep)).await else { return };
                Life::Awake(Box::new(conducted))
            }
        };
    }
}

/// The freezes in spite of which a rollout goes on.
fn overridden_by(state: &State) -> Vec<Frozen> {
    state.overridden.iter().map(|overridden| overridden.freeze.clone()).collect()
}

struct Conducted {
    shared: Arc<Shared>,
    state: State,
    clock: RolloutClock,
    shift: watch::Sender<i64>,
    overriding: watch::Sender<Vec<Frozen>>,
    /// Effects up to this sequence may have been set going by an earlier process.
    taken_up_at: u64,
    /// Up to which sequence it was written down last.
    snapshot_at: u64,
    /// What others have in hand: the outbox, the registry, other rollouts.
    dispatched: HashSet<EffectId>,
    /// From how many of those on it is looked which came to their end: twice as many as were left the last time.
    tidied_at: usize,
    /// What the registry has in hand for this rollout.
    registry_asked: HashSet<&'static str>,
    /// How far running actions are, and when they are looked at next.
    progress: HashMap<usize, (u32, Progress, DateTime<Utc>)>,
    /// When the checks of waits are made next.
    checks: HashMap<usize, ((u32, u32), DateTime<Utc>)>,
    /// Up to which sequence every room shows the rollout.
    shown: BTreeMap<Venue, u64>,
    /// Whether rooms have to be told that there is something new to show.
    dirty: bool,
    /// Timers up to here have been seen to.
    woken_until: Option<DateTime<Utc>>,
    /// Whether something could not be handed on.
    retry: bool,
    /// Whether the registry is asked again only after a pause.
    ask_later: bool,
    /// Who waits for what is on its way to come to rest.
    settling: Vec<oneshot::Sender<()>>,
    /// When the card was last made to say anew how far T-0 is.
    refreshed: Option<DateTime<Utc>>,
    /// The snapshot that says how it rests, if one was written.
    rested: Option<(u64, Rest)>,
}

/// A request of the batch under way, with where its answer goes.
struct Pending {
    request: Request,
    reply: Option<oneshot::Sender<Result<Answer, Rejected>>>,
}

/// What became of a request of the batch.
enum Became {
    /// With what the one who asked is told once they are durable.
    Events(Vec<Recorded>, Answer),
    /// It had been applied before.
    Duplicate(u64, u64),
    Refused(Refusal),
}

impl Conducted {
    /// Reads what a rollout had become that somebody woke. What can't be read is tried again until the process ends: who waits
    /// for an answer does not wait longer than they want to.
    async fn woken(asleep: Asleep) -> Option<Self> {
        let Asleep { shared, id, number, clock, shift, overriding, taken_up_at, shown, rested, until: _, refresh } = asleep;
        let (mut state, snapshot_at) = loop {
            let known = snapshots::take(&shared.store, shared.journal.as_ref(), &stream_of(number)).await;
            // The start has seen that the journal is the right one; somebody meddled with the snapshots since.
            let known = known.unwrap_or_else(|lost| {
                tracing::error!(rollout.id = %id, "The snapshot of {id} is not used: it is ahead of {}, or of another journal", lost.stream);
                None
            });
            match take_up(&shared, id.clone(), number, known).await {
                Ok(taken_up) => break taken_up,
                Err(error) => tracing::error!(rollout.id = %id, "{id} can't be read, which is tried again: {error}"),
            }
            tokio::select! {
                () = shared.closing.cancelled() => return None,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        };
        state.runbook = shared.runbooks.shared(state.runbook);
        let is_refresh = refresh.is_some_and(|refresh| refresh <= clock.now());
        let refreshed = is_refresh.then(|| state.not_before(clock.now()));
        let began = Self::of(shared, state, (taken_up_at, snapshot_at), (shift, overriding, clock));
        // It came to rest only when every room showed all of it.
        Some(Self { refreshed, dirty: is_refresh, shown, rested, ..began })
    }

    /// One of which nothing is in anybody's hands yet, and no room shows anything.
    fn of(
        shared: Arc<Shared>,
        state: State,
        (taken_up_at, snapshot_at): (u64, u64),
        (shift, overriding, clock): (watch::Sender<i64>, watch::Sender<Vec<Frozen>>, RolloutClock),
    ) -> Self {
        Self {
            shared,
            state,
            clock,
            shift,
            overriding,
            taken_up_at,
            snapshot_at,
            dispatched: HashSet::new(),
            tidied_at: DISPATCHED_MIN,
            registry_asked: HashSet::new(),
            progress: HashMap::new(),
            checks: HashMap::new(),
            shown: BTreeMap::new(),
            dirty: true,
            woken_until: None,
            retry: false,
            ask_later: false,
            settling: Vec::new(),
            refreshed: None,
            rested: None,
        }
    }

    /// Takes what comes in until the rollout is over or the process ends; or until it rests, which comes back.
    async fn run(mut self, messages: &mut mpsc::Receiver<Message>, first: Option<Message>) -> Option<Asleep> {
        // Phases whose time came while nobody was there, and everything owed: recovery is the live path.
        self.commit(vec![self.wake()]).await;
        if let Some(message) = first {
            let batch = self.batch(message, messages).await;
            self.commit(batch).await;
        }
        loop {
            if self.is_closed() {
                self.shared.snapshots.forget(stream_of(self.state.number)).await;
                self.shared.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.state.id);
                return None;
            }
            if let Some(taken) = self.taken_over() {
                self.commit(vec![taken]).await;
                // It is in line now, and may be asked for anew.
                self.registry_asked.clear();
            }
            if let Some(body) = self.shared.freeze_of(&self.state, self.now()) {
                // What was not recorded is tried again; until it is, the environment is not asked for.
                self.ask_later |= !self.commit(vec![self.freeze(body)]).await;
            }
            self.write_down();
            self.dispatch();
            let due = self.next_wake();
            if !self.settling.is_empty() && self.is_settled(due) {
                // Who waited may have stopped waiting.
                for waiting in self.settling.drain(..) {
                    let _ = waiting.send(());
                }
            }
            let timer = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let refresh_at = self.next_refresh();
            let refresh = async {
                match refresh_at {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let nap = async {
                if self.is_at_rest() {
                    tokio::time::sleep(self.shared.plan.rest_after).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let retry = async { if self.retry { tokio::time::sleep(RETRY_PAUSE).await } else { std::future::pending().await } };
            let closing = self.shared.closing.clone();
            tokio::select! {
                biased;
                message = messages.recv() => {
                    let Some(message) = message else {
                        self.leave().await;
                        return None;
                    };
                    let batch = self.batch(message, messages).await;
                    self.commit(batch).await;
                }
                // Nothing more comes in; what came is done first.
                () = closing.cancelled(), if !messages.is_closed() => messages.close(),
                () = timer => {
                    let wake = self.wake();
                    if self.commit(vec![wake]).await {
                        self.woken_until = due;
                    } else {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                () = refresh => {
                    self.refreshed = Some(self.now());
                    self.dirty = true;
                }
                () = retry => self.dirty = true,
                () = nap => match self.fall_asleep() {
                    Ok(asleep) => return Some(asleep),
                    Err(awake) => self = *awake,
                }
            }
        }
    }

    /// Whether nothing is owed, on its way or to be shown: until somebody comes or its time, nobody needs to know what it is.
    fn is_at_rest(&self) -> bool {
        let is_shown = || self.venues().all(|venue| self.shown.get(&venue).is_some_and(|shown| *shown >= self.state.sequence));
        self.state.ended.is_none()
            && !(self.dirty || self.retry || self.ask_later)
            && self.settling.is_empty()
            && self.registry_asked.is_empty()
            && self.shared.stopped.borrow().is_none()
            && is_shown()
            && effects(&self.state).is_empty()
    }

    /// How it rests, as the next start has to know it.
    fn rest(&self) -> Rest {
        let holds = self.state.environment == EnvironmentStage::Held;
        Rest {
            plan: self.shared.mark.clone(),
            until: self.next_wake(),
            refresh: self.next_refresh(),
            shift_seconds: self.state.shift_seconds,
            overridden: overridden_by(&self.state),
            holds: self.state.runbook.environment.clone().filter(|_| holds),
        }
    }

    /// Has written down how it rests, where that is not written yet. What finds no place rests later.
    fn fall_asleep(mut self) -> Result<Asleep, Box<Self>> {
        let rest = (self.state.sequence, self.rest());
        if self.rested.as_ref() != Some(&rest) {
            if !self.shared.snapshots.offer_at_rest(stream_of(self.state.number), &self.state, rest.1.clone()) {
                return Err(Box::new(self));
            }
            self.rested = Some(rest);
        }
        let (until, refresh) = (self.next_wake(), self.next_refresh());
        let Self { shared, state, clock, shift, overriding, taken_up_at, shown, rested, .. } = self;
        Ok(Asleep {
            shared,
            id: state.id,
            number: state.number,
            clock,
            shift,
            overriding,
            taken_up_at,
            shown,
            rested,
            until,
            refresh,
        })
    }

    /// Has the state written down now and then, beside everything that anybody waits for. Where the journal stopped, the state
    /// may hold what is not in it.
    fn write_down(&mut self) {
        let is_due = self.state.sequence >= self.snapshot_at + SNAPSHOT_EVENTS && self.shared.stopped.borrow().is_none();
        // What finds no place is tried with the next event.
        if is_due && self.shared.snapshots.offer(stream_of(self.state.number), &self.state) {
            self.snapshot_at = self.state.sequence;
        }
    }

    /// The end of the process: what is written down now need not be read at the next start.
    async fn leave(self) {
        if self.shared.stopped.borrow().is_some() {
            return;
        }
        let rest = self.is_at_rest().then(|| (self.state.sequence, self.rest()));
        if self.state.sequence > self.snapshot_at || rest.as_ref().is_some_and(|rest| self.rested.as_ref() != Some(rest)) {
            let stream = stream_of(self.state.number);
            self.shared.snapshots.hand_over(stream, self.state, rest.map(|(_, rest)| rest)).await;
        }
    }

    /// The environment that it thinks it holds is somebody else's: the registry knows better, also after a restart.
    fn taken_over(&self) -> Option<Pending> {
        // While it gives it back, the next one may have it already.
        let holds = self.state.environment == EnvironmentStage::Held && !self.state.may_release();
        let environment = self.state.runbook.environment.as_ref().filter(|_| holds)?;
        let (by, reason) = {
            let registry = self.shared.registry();
            let known = registry.environments.get(environment)?;
            let holder = known.holder.clone().filter(|holder| *holder != self.state.id)?;
            (holder, known.taken_because.clone().unwrap_or_default())
        };
        let id = CommandId(format!("environment-taken-{}-{}", self.state.id, self.state.sequence));
        let body = CommandBody::RecordEnvironmentTaken { by, reason };
        Some(Pending { request: Request { id, actor: Actor::Engine, room: None, body }, reply: None })
    }

    fn freeze(&self, body: CommandBody) -> Pending {
        let id = CommandId(format!("freeze-{}-{}", self.state.id, self.state.sequence));
        Pending { request: Request { id, actor: Actor::Engine, room: None, body }, reply: None }
    }

    /// Whether the registry has it as over; the journal tells the rest.
    fn is_closed(&self) -> bool {
        self.state.ended.is_some()
            && self.shared.registry().rollouts.get(&self.state.id).is_some_and(|rollout| rollout.closed.is_some())
    }

    fn now(&self) -> DateTime<Utc> {
        self.state.not_before(self.clock.now())
    }

    fn wake(&self) -> Pending {
        let id = CommandId(format!("wake-{}-{}", self.state.sequence, self.clock.now().timestamp_millis()));
        Pending { request: Request { id, actor: Actor::Engine, room: None, body: CommandBody::Wake }, reply: None }
    }

    /// When the card says anew how far T-0 is, although nothing happened.
    fn next_refresh(&self) -> Option<DateTime<Utc>> {
        next_refresh(&self.state, self.refreshed.unwrap_or_else(|| self.now()))
    }

    fn next_wake(&self) -> Option<DateTime<Utc>> {
        let now = self.now();
        next_wake(&self.state, now, &self.shared.plan.people)
            .into_iter()
            .chain(self.shared.next_freeze(&self.state, now))
            .min()
            .filter(|due| self.woken_until.is_none_or(|until| *due > until))
    }

    /// Takes what else is waiting; what only looks is answered on the spot.
    async fn batch(&mut self, first: Message, messages: &mut mpsc::Receiver<Message>) -> Vec<Pending> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Do { request, reply } => batch.push(Pending { request: *request, reply: Some(reply) }),
                Message::Advance { id, actor, advance, reply } => match self.seconds_of(&id, advance) {
                    Ok(seconds) => {
                        let request = Request { id, actor, room: None, body: CommandBody::AdvanceClock { seconds } };
                        batch.push(Pending { request, reply: Some(reply) });
                    }
                    Err(refusal) => drop(reply.send(Err(refusal.into()))),
                },
                Message::Progress { step, attempt, progress, again, reply } => {
                    let wanted = self.state.awaits(step, attempt);
                    let known = self.progress.get(&step).map(|(_, known, _)| known);
                    if wanted {
                        self.dirty |= known != Some(&*progress);
                        self.progress.insert(step, (attempt, *progress, again));
                    }
                    // Whoever follows the action may have ended.
                    let _ = reply.send(wanted);
                }
                Message::CheckWaits { step, generation, due } => drop(self.checks.insert(step, (generation, due))),
                Message::Render { venue, after, reply } => {
                    let projection = self.render(venue, after).await;
                    // The outbox may have stopped waiting; it asks again.
                    let _ = reply.send(projection);
                }
                Message::Shown { venue, sequence } => {
                    let shown = self.shown.entry(venue).or_default();
                    *shown = (*shown).max(sequence);
                }
                Message::ShowAgain => self.dirty = true,
                Message::AskAgain => {
                    self.registry_asked.clear();
                    self.ask_later = true;
                }
                Message::Settled { reply } => self.settling.push(reply),
                Message::NextIn { reply } => drop(reply.send(self.next_in())),
                Message::Underway { reply } => {
                    let underway = self.progress.iter().filter(|(step, (attempt, ..))| self.state.awaits(**step, *attempt));
                    drop(reply.send(underway.map(|(step, (_, progress, _))| (*step, progress.clone())).collect()));
                }
                Message::Look(look) => look(&self.state, self.now()),
            }
            next = if batch.len() < BATCH_MAX { messages.try_recv().ok() } else { None };
        }
        batch
    }

    fn seconds_of(&self, id: &CommandId, advance: Advance) -> Result<i64, Refusal> {
        match advance {
            // A second arrival moves nothing and is answered like the first, also when nothing waits for the clock any more.
            _ if self.state.events_of(id).is_some() => Ok(0),
            Advance::By(seconds) => Ok(seconds),
            Advance::ToNext => self.next_in().ok_or_else(|| {
                Refusal::new(RefusalKind::NotNow, format!("Nothing in {} waits for the clock: a person is next.", self.state.id))
            }),
        }
    }

    /// Whether nothing is on its way: what is due has happened, what was asked of others has begun or is in their hands.
    fn is_settled(&self, due: Option<DateTime<Utc>>) -> bool {
        let now = self.clock.now();
        let begun = |effect: &Effect| match effect {
            Effect::Act(action) => {
                self.progress.get(&action.step).is_some_and(|(attempt, _, again)| *attempt == action.attempt && *again > now)
            }
            Effect::Check(check) => {
                self.checks.get(&check.step).is_some_and(|(generation, due)| *generation == check.generation && *due > now)
            }
            // Whoever asks for its end goes on asking until it comes.
            Effect::Cancel(_) => true,
            Effect::ClaimEnvironment { environment, takeover: None } => {
                self.shared.registry().environments.get(environment).is_some_and(|known| known.queue.contains(&self.state.id))
            }
            _ => false,
        };
        due.is_none_or(|due| due > now) && effects(&self.state).iter().all(begun)
    }

    /// In how many seconds something happens by itself; rounded up, so that the moment has come then.
    fn next_in(&self) -> Option<i64> {
        let running = self.progress.iter().filter(|(step, (attempt, ..))| self.state.awaits(**step, *attempt));
        let running = running.map(|(_, (_, _, again))| *again);
        let now = self.clock.now();
        let checks = self.checks.iter().filter(|(step, (generation, _))| self.state.checks(**step, *generation));
        let checks = checks.map(|(_, (_, due))| *due);
        let next = next_due(&self.state, self.now(), &self.shared.plan.people)
            .into_iter()
            .chain(running)
            .chain(checks)
            .filter(|due| *due > now)
            .min()?;
        i64::try_from((next - now).num_milliseconds().max(1).unsigned_abs().div_ceil(1000)).ok()
    }

    /// Decides the batch, appends it in one commit, and only then answers. False when the journal did not take it.
    async fn commit(&mut self, batch: Vec<Pending>) -> bool {
        if batch.is_empty() {
            return true;
        }
        let sequence_before = self.state.sequence;
        let environment_before = (self.state.environment, self.state.freeze.is_some());
        let mut outcome = Err(AppendError::Invalid("it was not tried".to_owned()));
        let mut became = Vec::new();
        for _ in 0..TRIES_MAX {
            let before = self.state.sequence;
            became = self.decide(&batch);
            let records: Vec<NewRecord> = became
                .iter()
                .filter_map(|became| match became {
                    Became::Events(events, _) => Some(events),
                    _ => None,
                })
                .flat_map(|events| events.iter().enumerate())
                .map(|(index, recorded)| NewRecord { id: format!("{}#{index}", recorded.command), payload: recorded.encode() })
                .collect();
            if records.is_empty() {
                outcome = Ok(());
                break;
            }
            let append = Append { stream: stream_of(self.state.number), expected: before, records };
            outcome = self.shared.journal.append(vec![append], 0).await;
            match &outcome {
                Ok(()) => break,
                // Another writer was first, or nobody knows: catch up. What is in the journal is recognised by its
                // command's id when the batch is decided again.
                Err(error @ (AppendError::Conflict { .. } | AppendError::Unknown(_))) => {
                    tracing::warn!(rollout.id = %self.state.id, "Catching up with the journal: {error}");
                    self.reload().await;
                }
                Err(AppendError::Poisoned(why)) => {
                    self.shared.stop(why);
                    break;
                }
                Err(AppendError::Invalid(why)) => {
                    tracing::error!(rollout.id = %self.state.id, "A batch could not be appended: {why}");
                    break;
                }
            }
        }
        if let Err(error) = &outcome {
            // What was decided is not in the journal: nobody may see it, and nothing of it may be set going.
            self.reload().await;
            // One request that can't be recorded must not take the others of its batch with it.
            if matches!(error, AppendError::Invalid(_)) && batch.len() > 1 {
                for pending in batch {
                    Box::pin(self.commit(vec![pending])).await;
                }
                return true;
            }
        }
        self.shift.send_if_modified(|shift| {
            let moved = *shift != self.state.shift_seconds;
            *shift = self.state.shift_seconds;
            moved
        });
        self.overriding.send_if_modified(|known| {
            let more = known.len() != self.state.overridden.len();
            *known = overridden_by(&self.state);
            more
        });
        // What was asked of the registry before is not what is wanted now.
        if environment_before != (self.state.environment, self.state.freeze.is_some()) {
            self.registry_asked.clear();
        }
        // Also what turned out to be in the journal after a catching up.
        let happened = self.state.sequence != sequence_before;
        if happened {
            self.dirty = true;
            self.shared.changed();
        }
        for (pending, became) in batch.into_iter().zip(became) {
            let answered = match (&outcome, became) {
                (Err(error), _) => Err(rejected(error)),
                (Ok(()), Became::Refused(refusal)) => Err(refusal.into()),
                (Ok(()), Became::Events(_, answer)) => Ok(answer),
                (Ok(()), Became::Duplicate(first, last)) => {
                    answer_again(&self.shared, self.state.number, &pending.request, first, last).await
                }
            };
            Self::count(&pending.request, &answered);
            if let Some(reply) = pending.reply {
                // Whoever asked may have gone; what happened has happened.
                let _ = reply.send(answered);
            }
        }
        outcome.is_ok()
    }

    fn count(request: &Request, answered: &Result<Answer, Rejected>) {
        if request.actor == Actor::Engine {
            return;
        }
        let outcome = match answered {
            Ok(_) => "done",
            Err(Rejected::Refused(refusal)) => refusal.kind.name(),
            Err(_) => "unavailable",
        };
        metrics::counter!("tminus_commands_total", "outcome" => outcome).increment(1);
    }

    fn decide(&mut self, batch: &[Pending]) -> Vec<Became> {
        let now = self.clock.now();
        let people = self.shared.plan.people.clone();
        batch
            .iter()
            .map(|pending| {
                if let Some((first, last)) = self.state.events_of(&pending.request.id) {
                    return Became::Duplicate(first, last);
                }
                let command = pending.request.clone().at(self.state.not_before(now));
                match handle(&mut self.state, &command, &people) {
                    Ok(events) => {
                        for recorded in &events {
                            tracing::debug!(rollout.id = %self.state.id, event = ?recorded.event, "Happened");
                        }
                        let person = command.actor.person();
                        let answer = self.shared.answer(&self.state, person, &events);
                        Became::Events(events, answer)
                    }
                    Err(refusal) => {
                        self.forget_unwanted(&pending.request.body);
                        Became::Refused(refusal)
                    }
                }
            })
            .collect()
    }

    /// An attempt that was refused is no longer in the outbox's hands; it is dispatched again when it is wanted again.
    fn forget_unwanted(&mut self, body: &CommandBody) {
        if let CommandBody::BeginAttempt { step, .. } = body
            && let Some(action) = self.state.steps.get(*step).and_then(|step| step.action.as_ref())
        {
            let sequence = action.sequence;
            self.dispatched.retain(|effect| effect.sequence != sequence);
        }
    }

    /// Nobody follows an action that has ended; one that is to be looked up again is dispatched again.
    fn forget_ended(&mut self) {
        let actions = self.state.steps.iter().filter_map(|step| step.action.as_ref());
        let ended: HashSet<u64> =
            actions.filter(|action| matches!(action.stage, ActionStage::Ended { .. })).map(|action| action.sequence).collect();
        if !ended.is_empty() {
            self.dispatched.retain(|effect| !ended.contains(&effect.sequence));
        }
    }

    /// What came to its end is in nobody's hands: a rollout remembers no more than some times what is under way.
    fn forget_settled(&mut self) {
        if self.dispatched.len() >= self.tidied_at {
            self.dispatched.retain(|id| !is_settled(&self.state, id));
            self.tidied_at = (2 * self.dispatched.len()).max(DISPATCHED_MIN);
        }
    }

    async fn reload(&mut self) {
        match load(self.shared.journal.as_ref(), self.state.number).await {
            Ok(state) => {
                // What came meanwhile may have been set going by whoever wrote it.
                self.taken_up_at = state.sequence;
                self.state = state;
                self.state.runbook = self.shared.runbooks.shared(self.state.runbook.clone());
            }
            Err(error) => self.shared.stop(&error.to_string()),
        }
    }

    /// Hands on everything that is owed and not in somebody's hands yet.
    fn dispatch(&mut self) {
        // What the registry could not record is asked again with the next retry.
        self.retry = std::mem::take(&mut self.ask_later);
        if self.shared.stopped.borrow().is_some() || self.retry {
            return;
        }
        self.forget_ended();
        self.forget_settled();
        for effect in effects_not_in_hand(&self.state, &|id| self.dispatched.contains(id)) {
            match effect {
                Effect::Deliver(delivery) => {
                    let maybe_sent = delivery.id.sequence <= self.taken_up_at;
                    self.hand_on(delivery.id, Dispatch::Deliver { delivery, maybe_sent });
                }
                // An action that was begun is followed by who began it; after a restart that is nobody.
                Effect::Act(action) => self.hand_on(action.id, Dispatch::Act { action }),
                Effect::Cancel(action) => self.hand_on(cancelling(action.id), Dispatch::Cancel { action }),
                Effect::Check(check) => self.hand_on(check.id, Dispatch::Check { check }),
                Effect::StartChild(child) => {
                    let id = child.id;
                    let (parent, rooms) = (self.state.id.clone(), self.state.rooms.clone());
                    let message = registry::Message::StartChild { parent, rooms, child };
                    if self.shared.registry_inbox.try_send(message).is_ok() {
                        self.dispatched.insert(id);
                    } else {
                        self.retry = true;
                    }
                }
                Effect::TellChild { id, step, child, sequence, body } => {
                    let receipt = CommandBody::RecordChildTold { step, sequence };
                    self.tell(id, child, body, receipt);
                }
                Effect::TellParent { id, parent, result } => {
                    let body = CommandBody::RecordChildSettled { step: parent.step, child: self.state.id.clone(), result };
                    self.tell(id, parent.rollout, body, CommandBody::RecordParentTold { ended: result.is_some() });
                }
                Effect::ClaimEnvironment { environment, takeover } => {
                    let (rollout, at, asked) = (self.state.id.clone(), self.now(), self.state.sequence);
                    let what = if takeover.is_some() { "takeover" } else { "claim" };
                    self.ask_registry(what, registry::Message::Claim { environment, rollout, takeover, at, asked });
                }
                Effect::ReleaseEnvironment { environment } => {
                    let (rollout, at, asked) = (self.state.id.clone(), self.now(), self.state.sequence);
                    self.ask_registry("release", registry::Message::Release { environment, rollout, at, asked });
                }
            }
        }
        if self.dirty {
            self.dirty = false;
            for venue in self.venues().collect::<Vec<_>>() {
                let dispatch = Dispatch::Show { rollout: self.state.id.clone(), venue };
                if self.shared.outbox.try_send(dispatch).is_err() {
                    self.retry = true;
                }
            }
        }
        if let (Some(_), Some(result)) = (self.state.ended, self.state.result)
            && self.venues().all(|venue| self.shown.get(&venue).is_some_and(|shown| *shown >= self.state.sequence))
            && !owes_deliveries(&self.state)
            // A check is wanted, not owed: nothing waits for its end.
            && effects(&self.state).iter().all(|effect| matches!(effect, Effect::Check(_)))
        {
            self.ask_registry("close", registry::Message::Close { id: self.state.id.clone(), result });
        }
    }

    /// Where it is shown: only rooms that are configured now, on the platforms they are on now.
    fn venues(&self) -> impl Iterator<Item = Venue> + '_ {
        self.state.rooms.iter().flat_map(|room| self.shared.venues(room))
    }

    fn hand_on(&mut self, id: EffectId, dispatch: Dispatch) {
        if self.shared.outbox.try_send(dispatch).is_ok() {
            self.dispatched.insert(id);
        } else {
            // A full outbox says so by not taking it; it stays owed.
            self.retry = true;
        }
    }

    fn tell(&mut self, id: EffectId, to: RolloutId, body: CommandBody, receipt: CommandBody) {
        self.dispatched.insert(id);
        family::tell(&self.shared, id, to, body, self.state.id.clone(), receipt);
    }

    fn ask_registry(&mut self, what: &'static str, message: registry::Message) {
        if self.registry_asked.contains(what) {
            return;
        }
        if self.shared.registry_inbox.try_send(message).is_ok() {
            self.registry_asked.insert(what);
        } else {
            self.retry = true;
        }
    }

    /// What a room should show now, with the log after what it has.
    async fn render(&self, venue: Venue, after: u64) -> Projection {
        let (now, people, sequence) = (self.now(), &self.shared.plan.people, self.state.sequence);
        let progress = |step: usize| {
            self.progress
                .get(&step)
                .filter(|(attempt, ..)| self.state.awaits(step, *attempt))
                .map(|(_, progress, _)| progress.clone())
        };
        let mut card = card(&self.state, people, now, &progress);
        let environment = self.state.runbook.environment.as_ref().filter(|_| !self.state.rehearsal);
        let line = environment.and_then(|environment| self.shared.registry().line(environment));
        card.show_line(&Voice { state: &self.state, people, now }, line.as_ref());
        let limit = usize::try_from(sequence.saturating_sub(after)).unwrap_or(usize::MAX).min(super::READ_RECORDS_MAX);
        let events = match limit {
            0 => Ok(Vec::new()),
            limit => read(self.shared.journal.as_ref(), self.state.number, after + 1, limit).await,
        };
        let (events, until) = match events {
            // A long log comes in pieces; the rest is asked for when this piece stands.
            Ok(events) => {
                let until = events.last().map_or(sequence, |(last, _)| *last);
                (events, until)
            }
            Err(error) => {
                tracing::error!(rollout.id = %self.state.id, "The log can't be read: {error}");
                (Vec::new(), sequence)
            }
        };
        let line = |(sequence, recorded): (u64, Recorded)| {
            let text = log_line(&self.state, people, &recorded)?;
            Some(LogLine { sequence, text, aloud: said_aloud(&self.state, &recorded) })
        };
        let log = events.into_iter().filter_map(line).collect();
        let posted = self.state.cards.get(&venue).cloned();
        Projection { rollout: self.state.id.clone(), venue, card, log, posted, more: until < sequence, sequence: until, at: now }
    }
}

/// A second arrival gets the answer that the first one got: from the events it became, and the state right after them.
pub(super) async fn answer_again(
    shared: &Shared,
    number: u32,
    request: &Request,
    first: u64,
    last: u64,
) -> Result<Answer, Rejected> {
    let unreadable = |error: RegistryError| Rejected::Unreadable(error.to_string());
    let state = load_until(shared.journal.as_ref(), number, last).await.map_err(unreadable)?;
    let limit = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    let events = read(shared.journal.as_ref(), number, first, limit).await.map_err(unreadable)?;
    let own: Vec<Recorded> = events.into_iter().map(|(_, recorded)| recorded).filter(|r| r.command == request.id).collect();
    Ok(shared.answer(&state, request.actor.person(), &own))
}

/// Makes the first events of a rollout: its start, and what follows from it at once.
pub(super) fn first_events(
    shared: &Shared,
    request: &Request,
    started: Event,
    at: DateTime<Utc>,
) -> Option<(State, Vec<Recorded>)> {
    let first = Recorded::new(&request.id, request.actor.person(), at, started);
    let mut state = State::begin(&first)?;
    let mut recorded = vec![first];
    let command = request.clone().at(at);
    crate::domain::rollout::settle(&mut state, &command, at, &shared.plan.people, &mut recorded);
    Some((state, recorded))
}
