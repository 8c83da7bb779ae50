//! The conductor: takes commands, decides, appends, evolves, dispatches. Every rollout is strictly ordered by a task of its
//! own; many rollouts go on side by side. Recovery is the same path: what the state owes is dispatched, whoever owes it.
//!
//! ```text
//! Conductor ──Request──▶ inbox of the rollout ──batch──▶ decide, evolve … append (one commit) ──▶ answers
//!                                ▲                                                             └─▶ outbox
//!                                └──────────────── receipts, timers ◀───────────────────────────────┘
//! ```

mod asleep;
mod desk;
mod digest;
mod family;
mod freeze;
mod registry;
mod rollout;
mod shared_runbooks;
mod start;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::conversation::answer::Answer;
use crate::domain::digest::Digest;
use crate::domain::freeze::{Freezes, Frozen};
use crate::domain::message::card::{FormField, Progress};
use crate::domain::people::Directory;
use crate::domain::proof::Proof;
use crate::domain::registry::Registry;
use crate::domain::report::{Report, report};
use crate::domain::rollout::command::{Actor, CommandBody, CommandId, Refusal, RefusalKind, RolloutId};
use crate::domain::rollout::effect::{Action, Check};
use crate::domain::rollout::event::{ClockKind, Recorded};
use crate::domain::rollout::state::{RECENT_HOURS_MAX, State};
use crate::domain::runbook::model::{Platform, Runbook, Venue};

use super::clock::RolloutClock;
use super::journal::chain::hex;
use super::journal::{AppendError, Journal, ReadError, StreamName};
use super::outbox::Dispatch;
use super::ports::{Clock, Projection};
use super::snapshots::{self, Keeper, Lost, NoSnapshots, Rest, SnapshotStore};

use self::shared_runbooks::SharedRunbooks;

pub use self::desk::{Press, Said};
pub use self::registry::RegistryError;

/// How many requests may wait for one rollout before it says that it is busy: a burst of clicks of a large roster fits.
const INBOX_MAX: usize = 2048;
/// How long moving clocks waits for what is on its way to come to rest: a call that hangs must not hold the clock up.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many rollouts are read at once at a start: reading is done on other threads, and none of those should wait.
const TAKEN_UP_AT_ONCE: usize = 16;
/// After how long without anything happening an open rollout is kept in memory no more: longer than people look at a card that
/// they have just pressed a button of. Reading it again takes some milliseconds.
pub const REST_AFTER: Duration = Duration::from_mins(5);
/// What the names of the streams of rollouts begin with.
const ROLLOUTS: &str = "rollout/";
/// How many records are read from the journal at once.
const READ_RECORDS_MAX: usize = 512;

/// What the conductor is told at the start: plain values, no settings.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who there is.
    pub people: Arc<Directory>,
    /// The runbooks that can be started.
    pub runbooks: BTreeMap<String, Arc<Runbook>>,
    /// Whether the clocks of new rollouts can be moved.
    pub clock: ClockKind,
    /// On which platforms every room is. A room that is on none shows nothing.
    pub rooms: BTreeMap<String, Vec<Platform>>,
    /// How far ahead T-0 is proposed where nobody says when it is.
    pub propose_window: Option<TimeDelta>,
    /// Where pages are: `https://rollouts.example.com`.
    pub public_url: Option<String>,
    /// When nothing is to be changed. Live: what a freeze decided is in the events of the rollouts it kept.
    pub freezes: Freezes,
    /// When it is said what is open, and to whom.
    pub digests: Vec<Digest>,
    /// After how long without anything happening an open rollout is kept in memory no more, if nothing is on its way.
    pub rest_after: Duration,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// A polite, specific no.
    #[error("{0}")]
    Refused(Refusal),
    /// More has to be known; a form asks for it.
    #[error("{says}")]
    NeedsForm {
        /// What is asked, in Markdown.
        says: String,
        /// The command that the form belongs to, without its fields.
        command: String,
        /// What to fill in.
        fields: Vec<FormField>,
        /// Problems by field name.
        problems: BTreeMap<String, String>,
    },
    /// Too much is waiting.
    #[error("{0} has too much to do right now. Nothing was done; try again in a moment.")]
    Busy(String),
    /// It is not in the journal, and nothing changed.
    #[error("It was not recorded: {0}. Nothing changed; the operator has to look at it.")]
    NotRecorded(String),
    /// It may be in the journal or not.
    #[error(
        "It is not known whether it was recorded: {0}. What counts is what the card and the status show; asking the same again does no harm."
    )]
    FateUnknown(String),
    /// The journal could not be read, so nothing could be decided.
    #[error("It could not be looked at: {0}. Nothing changed; the operator has to look at it.")]
    Unreadable(String),
    /// The process ends.
    #[error("T-minus is stopping. Nothing was done; try again in a moment.")]
    Stopping,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One request to one rollout; its time is set when its turn comes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its id.
    pub id: CommandId,
    /// Who asks.
    pub actor: Actor,
    /// Where.
    pub room: Option<String>,
    /// What.
    pub body: CommandBody,
}

/// How far a clock is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// By so many seconds.
    By(i64),
    /// To the next moment at which something happens by itself.
    ToNext,
}

/// What comes into a rollout.
enum Message {
    Do {
        /// Boxed, because an inbox has room for many messages from its beginning on, and most are small.
        request: Box<Request>,
        reply: oneshot::Sender<Result<Answer, Rejected>>,
    },
    Advance {
        id: CommandId,
        actor: Actor,
        advance: Advance,
        reply: oneshot::Sender<Result<Answer, Rejected>>,
    },
    Progress {
        step: usize,
        attempt: u32,
        progress: Box<Progress>,
        again: DateTime<Utc>,
        reply: oneshot::Sender<bool>,
    },
    CheckWaits {
        step: usize,
        generation: (u32, u32),
        due: DateTime<Utc>,
    },
    Render {
        venue: Venue,
        after: u64,
        reply: oneshot::Sender<Projection>,
    },
    Shown {
        venue: Venue,
        sequence: u64,
    },
    /// What others did is to be seen in the card.
    ShowAgain,
    /// The registry could not do what it was asked; it is to be asked again.
    AskAgain,
    NextIn {
        reply: oneshot::Sender<Option<i64>>,
    },
    Settled {
        reply: oneshot::Sender<()>,
    },
    Underway {
        reply: oneshot::Sender<BTreeMap<usize, Progress>>,
    },
    Look(Glance),
}

/// Looks at a rollout's state on its own clock.
type Glance = Box<dyn FnOnce(&State, DateTime<Utc>) + Send>;

/// A way to a rollout that is loaded.
#[derive(Clone)]
struct Handle {
    inbox: mpsc::Sender<Message>,
    shift_seconds: watch::Receiver<i64>,
    /// The freezes in spite of which it goes on.
    overridden: watch::Receiver<Vec<Frozen>>,
}

struct Shared {
    plan: Plan,
    /// What of the plan rollouts at rest depend on.
    mark: String,
    /// How many rollouts rest.
    asleep: AtomicU32,
    store: Arc<dyn SnapshotStore>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    registry: RwLock<Registry>,
    handles: Mutex<HashMap<RolloutId, Handle>>,
    outbox: mpsc::Sender<Dispatch>,
    registry_inbox: mpsc::Sender<registry::Message>,
    snapshots: Keeper,
    runbooks: SharedRunbooks,
    /// Why nothing is accepted any more, once the journal is poisoned.
    stopped: watch::Sender<Option<String>>,
    /// Tells every task to finish what is in its inbox and end.
    closing: CancellationToken,
    /// The tasks of the registry and of the rollouts.
    tasks: TaskTracker,
    /// Rises with every commit: what changed is looked up by whoever cares.
    changes: watch::Sender<u64>,
}

/// The way in for everybody outside. Cheap to clone.
#[derive(Clone)]
pub struct Conductor {
    shared: Arc<Shared>,
}

impl Conductor {
    /// Opens the registry, loads every open rollout and sets what they owe going. Reads all of their streams.
    ///
    /// # Errors
    /// When the journal can't be read or does not make sense.
    pub async fn open(
        plan: Plan,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        outbox: mpsc::Sender<Dispatch>,
    ) -> Result<Self, RegistryError> {
        Self::open_with(plan, journal, clock, outbox, Arc::new(NoSnapshots)).await
    }

    /// The same, reading only what came after the snapshots that fit; and keeps those up to date.
    ///
    /// # Errors
    /// When the journal can't be read or does not make sense.
    pub async fn open_with(
        plan: Plan,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        outbox: mpsc::Sender<Dispatch>,
        store: Arc<dyn SnapshotStore>,
    ) -> Result<Self, RegistryError> {
        let (registry, snapshot_at) = registry::load(journal.as_ref(), clock.as_ref(), &store).await?;
        let open: Vec<(RolloutId, u32)> = registry.open().map(|(id, known)| (id.clone(), known.number)).collect();
        // Those of what is over: a crash may have come before they were forgotten.
        let kept = open.iter().map(|(_, number)| stream_of(*number)).collect();
        snapshots::tidy(&store, journal.as_ref(), ROLLOUTS, kept).await?;
        let snapshots = Keeper::start(store.clone(), journal.clone());
        let (registry_inbox, registry_messages) = mpsc::channel(INBOX_MAX);
        let shared = Arc::new(Shared {
            mark: asleep::mark_of(&plan),
            asleep: AtomicU32::new(0),
            plan,
            store: store.clone(),
            journal,
            clock,
            registry: RwLock::new(registry),
            handles: Mutex::default(),
            outbox,
            registry_inbox,
            snapshots,
            runbooks: SharedRunbooks::default(),
            stopped: watch::Sender::new(None),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            changes: watch::Sender::new(0),
        });
        registry::spawn(&shared, registry_messages, snapshot_at);
        let mut taken_up = stream::iter(open).map(|(id, number)| find(&shared, id, number)).buffered(TAKEN_UP_AT_ONCE);
        while let Some(found) = taken_up.next().await {
            match found? {
                Found::Asleep { id, number, rest, sequence } => rollout::spawn_asleep(&shared, id, number, rest, sequence),
                Found::Awake { state, snapshot_at } => {
                    let taken_up_at = state.sequence;
                    rollout::spawn(&shared, *state, taken_up_at, snapshot_at);
                }
            }
        }
        drop(taken_up);
        let conductor = Self { shared };
        digest::spawn(&conductor);
        Ok(conductor)
    }

    /// Accepts nothing more, lets every rollout finish what it was asked, and returns when all have. What is owed stays
    /// owed: it is in the journal, and is taken up at the next start.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.snapshots.finish().await;
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Asks one thing of one rollout, and waits until it is durable.
    ///
    /// # Errors
    /// See [`Rejected`]; nothing changed then.
    pub async fn submit(&self, id: &RolloutId, request: Request) -> Result<Answer, Rejected> {
        self.exchange(id, |reply| Message::Do { request: Box::new(request.clone()), reply }, &request).await
    }

    /// Moves a rollout's clock forward; those of its checklists follow it. The next moment is the next one in any of them.
    ///
    /// # Errors
    /// When its clock is the real one, or nothing waits for it.
    pub async fn advance(&self, id: &RolloutId, command: CommandId, actor: Actor, advance: Advance) -> Result<Answer, Rejected> {
        self.settle(std::slice::from_ref(id), advance).await;
        let checklists: Vec<RolloutId> = {
            let registry = self.shared.registry();
            registry.open().filter(|(_, rollout)| rollout.parent.as_ref() == Some(id)).map(|(id, _)| id.clone()).collect()
        };
        let family: Vec<RolloutId> = [id.clone()].into_iter().chain(checklists).collect();
        let advance = if family.len() > 1 { self.soonest(&family, advance).await } else { advance };
        self.advance_one(id, command, actor, advance).await
    }

    /// To the next moment at which something happens in any of them. Where nothing waits, the rollouts say so themselves,
    /// and recognise a second arrival.
    async fn soonest(&self, ids: &[RolloutId], advance: Advance) -> Advance {
        let Advance::ToNext = advance else { return advance };
        self.settle(ids, advance).await;
        let mut soonest = None;
        for id in ids {
            soonest = soonest.into_iter().chain(self.next_in(id).await).min();
        }
        soonest.map_or(Advance::ToNext, Advance::By)
    }

    /// Waits until nothing is on its way in any open rollout: simulations look only then.
    pub async fn at_rest(&self) {
        let open: Vec<RolloutId> = self.shared.registry().open().map(|(id, _)| id.clone()).collect();
        self.settle(&open, Advance::ToNext).await;
    }

    /// Waits until what is on its way in these rollouts has arrived: what was asked of a system has begun, what was due has
    /// happened. Otherwise a jump to the next moment would leap over what nobody has heard of yet.
    async fn settle(&self, ids: &[RolloutId], advance: Advance) {
        if advance != Advance::ToNext {
            return;
        }
        let all = async {
            for id in ids {
                let Some(handle) = self.shared.handle(id) else { continue };
                let (reply, settled) = oneshot::channel();
                if handle.inbox.send(Message::Settled { reply }).await.is_ok() {
                    // A rollout that is gone has come to rest.
                    let _ = settled.await;
                }
            }
        };
        // What takes longer is not waited for: whoever moves the clock means it to move.
        let _ = tokio::time::timeout(SETTLE_TIMEOUT, all).await;
    }

    async fn advance_one(&self, id: &RolloutId, command: CommandId, actor: Actor, advance: Advance) -> Result<Answer, Rejected> {
        // A rollout that was begun in a demo has a clock that can be moved. Where rollouts are in earnest, people count on theirs.
        let is_earnest = self.shared.plan.clock == ClockKind::Real;
        let is_no_rehearsal = self.shared.registry().rollouts.get(id).is_some_and(|rollout| !rollout.rehearsal);
        if is_earnest && is_no_rehearsal {
            let says = format!("{id} is no rehearsal, and only their clocks are moved here.");
            return Err(Refusal::new(RefusalKind::NotAllowed, says).into());
        }
        let seconds = match advance {
            Advance::By(seconds) => seconds,
            Advance::ToNext => 1,
        };
        let request =
            Request { id: command.clone(), actor: actor.clone(), room: None, body: CommandBody::AdvanceClock { seconds } };
        self.exchange(id, |reply| Message::Advance { id: command.clone(), actor: actor.clone(), advance, reply }, &request).await
    }

    /// Moves the clocks of all open rollouts forward together; to the next moment at which something happens in any of them.
    ///
    /// # Errors
    /// When nothing waits for a clock, or the clocks are real.
    pub async fn advance_all(&self, command: CommandId, actor: Actor, advance: Advance) -> Result<Answer, Rejected> {
        let mut open: Vec<RolloutId> = self.shared.registry().open().map(|(id, _)| id.clone()).collect();
        if open.is_empty() {
            return Err(Refusal::new(RefusalKind::NotNow, "Nothing waits for the clock: no rollout is open.").into());
        }
        // A second arrival is for those whose clock the first one moved; what was opened since is not meant.
        let mut moved_before = Vec::new();
        for id in &open {
            let part = for_one(&command, id);
            if self.look(id, move |state, _, _| state.events_of(&part).is_some()).await? == Some(true) {
                moved_before.push(id.clone());
            }
        }
        if !moved_before.is_empty() {
            open = moved_before;
        }
        let advance = self.soonest(&open, advance).await;
        // Checklists follow the rollout they belong to.
        let roots: Vec<RolloutId> = {
            let registry = self.shared.registry();
            let parent = |id: &RolloutId| registry.rollouts.get(id).and_then(|rollout| rollout.parent.clone());
            open.iter().filter(|id| parent(id).is_none_or(|parent| !open.contains(&parent))).cloned().collect()
        };
        let mut says = Vec::new();
        for id in &roots {
            says.push(self.advance_one(id, for_one(&command, id), actor.clone(), advance).await?.text);
        }
        Ok(Answer::of(says.join(" "), None))
    }

    async fn next_in(&self, id: &RolloutId) -> Option<i64> {
        let handle = self.shared.handle(id)?;
        let (reply, answer) = oneshot::channel();
        handle.inbox.send(Message::NextIn { reply }).await.ok()?;
        answer.await.ok()?
    }

    async fn exchange(
        &self,
        id: &RolloutId,
        message: impl FnOnce(oneshot::Sender<Result<Answer, Rejected>>) -> Message,
        request: &Request,
    ) -> Result<Answer, Rejected> {
        if let Some(why) = self.stopped() {
            return Err(Rejected::NotRecorded(why));
        }
        if self.is_closing() {
            return Err(Rejected::Stopping);
        }
        let (reply, answer) = oneshot::channel();
        if let Some(handle) = self.shared.handle(id) {
            match handle.inbox.try_send(message(reply)) {
                Ok(()) => {
                    if let Ok(answered) = answer.await {
                        return answered;
                    }
                    // It closed meanwhile: what it was is in the journal.
                }
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Rejected::Busy(id.to_string())),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
        self.refuse_closed(id, request).await
    }

    /// A rollout that is over refuses everything, and says so itself; what it did before is answered as it was then.
    async fn refuse_closed(&self, id: &RolloutId, request: &Request) -> Result<Answer, Rejected> {
        let Some(state) = self.replayed(id).await? else {
            return Err(Refusal::new(RefusalKind::Unknown, format!("There is no rollout `{id}`.")).into());
        };
        if let Some((first, last)) = state.events_of(&request.id) {
            return rollout::answer_again(&self.shared, state.number, request, first, last).await;
        }
        let now = self.shared.clock.now() + TimeDelta::seconds(state.shift_seconds);
        let command = request.clone().at(now);
        match crate::domain::rollout::decide(&state, &command, &self.shared.plan.people) {
            Err(refusal) => Err(refusal.into()),
            Ok(_) if self.is_closing() => Err(Rejected::Stopping),
            Ok(_) if state.ended.is_none() => Err(Rejected::NotRecorded(format!("something went wrong inside {id}"))),
            Ok(_) => Ok(Answer::of(format!("{id} is over; nothing changed."), Some(id.clone()))),
        }
    }

    /// Looks at a rollout as it is now, whether it is loaded or over.
    ///
    /// # Errors
    /// When the journal can't be read; `Ok(None)` when there is no such rollout.
    pub async fn look<T: Send + 'static>(
        &self,
        id: &RolloutId,
        look: impl Fn(&State, &Directory, DateTime<Utc>) -> T + Send + Sync + 'static,
    ) -> Result<Option<T>, Rejected> {
        let people = self.shared.plan.people.clone();
        let look = Arc::new(look);
        if let Some(handle) = self.shared.handle(id) {
            let (reply, answer) = oneshot::channel();
            let (seen_by, people) = (look.clone(), people.clone());
            let message = Message::Look(Box::new(move |state, now| drop(reply.send(seen_by(state, &people, now)))));
            match handle.inbox.try_send(message) {
                Ok(()) => {
                    if let Ok(seen) = answer.await {
                        return Ok(Some(seen));
                    }
                }
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Rejected::Busy(id.to_string())),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
        let Some(state) = self.replayed(id).await? else { return Ok(None) };
        let now = state.ended.unwrap_or(state.last_at);
        Ok(Some(look(&state, &people, now)))
    }

    /// The report of a rollout as it stands, tied to the journal, with the zone in which it is written.
    ///
    /// It is made of the rollout's events alone, read anew from the first, also while the rollout is open: what goes on here may have
    /// begun from a snapshot, and the journal's chain says nothing of a snapshot's content.
    ///
    /// # Errors
    /// When the journal can't be read; `Ok(None)` when there is no such rollout.
    pub async fn report(&self, id: &RolloutId) -> Result<Option<(Report, Tz)>, Rejected> {
        let Some(state) = self.replayed(id).await? else { return Ok(None) };
        let proof = proof_of(self.shared.journal.as_ref(), &state).await;
        let journal = proof.map_err(|error| Rejected::Unreadable(error.to_string()))?;
        let report = Report { journal, ..report(&state, &self.shared.plan.people) };
        Ok(Some((report, state.runbook.timezone)))
    }

    /// A rollout as its events say, whatever else is known of it.
    async fn replayed(&self, id: &RolloutId) -> Result<Option<State>, Rejected> {
        let Some(number) = self.shared.registry().rollouts.get(id).map(|rollout| rollout.number) else { return Ok(None) };
        let state = load(self.shared.journal.as_ref(), number).await.map_err(|error| Rejected::Unreadable(error.to_string()))?;
        Ok(Some(state))
    }

    /// The events of a rollout from a sequence on, with their sequences.
    ///
    /// # Errors
    /// When the journal can't be read; `Ok(None)` when there is no such rollout.
    pub async fn events(&self, id: &RolloutId, from: u64, limit: usize) -> Result<Option<Vec<(u64, Recorded)>>, Rejected> {
        let Some(number) = self.shared.registry().rollouts.get(id).map(|rollout| rollout.number) else { return Ok(None) };
        let limit = limit.min(READ_RECORDS_MAX);
        let events = read(self.shared.journal.as_ref(), number, from, limit).await;
        events.map(Some).map_err(|error| Rejected::Unreadable(error.to_string()))
    }

    /// Looks at the registry. What is asked must be quick: nothing is registered meanwhile.
    pub fn with_registry<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.shared.registry())
    }

    /// What the registry knows now, as a copy.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.shared.registry().clone()
    }

    /// How many open rollouts rest: of those it is read what they are when somebody comes, or their time.
    #[must_use]
    pub fn asleep(&self) -> u32 {
        self.shared.asleep.load(Ordering::Relaxed)
    }

    /// What the machine's clock says, as far as rollouts are concerned.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// Who there is.
    #[must_use]
    pub fn people(&self) -> &Directory {
        &self.shared.plan.people
    }

    /// The runbooks that are meant in a room when none is named: its own, or else those of every room.
    #[must_use]
    pub fn runbooks_of(&self, room: &str) -> Vec<Arc<Runbook>> {
        start::runbooks_of(&self.shared.plan.runbooks, room).0
    }

    /// The runbooks that can be started, by name.
    #[must_use]
    pub fn runbooks(&self) -> &BTreeMap<String, Arc<Runbook>> {
        &self.shared.plan.runbooks
    }

    /// Why nothing is accepted any more, if that is so.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        // A room's append may have been the one that failed: no rollout has heard of it yet.
        self.shared.stopped.borrow().clone().or_else(|| self.shared.journal.stopped())
    }

    /// Changes with every commit.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// How far the running actions of a rollout are, by step, as their systems last said.
    pub async fn underway(&self, id: &RolloutId) -> BTreeMap<usize, Progress> {
        let Some(handle) = self.shared.handle(id) else { return BTreeMap::new() };
        let (reply, answer) = oneshot::channel();
        if handle.inbox.send(Message::Underway { reply }).await.is_err() {
            return BTreeMap::new();
        }
        answer.await.unwrap_or_default()
    }

    /// The clock of a loaded rollout.
    pub(super) fn clock_of(&self, id: &RolloutId) -> Option<RolloutClock> {
        let handle = self.shared.handle(id)?;
        Some(RolloutClock::new(self.shared.clock.clone(), handle.shift_seconds))
    }

    /// Tells a rollout how far one of its actions is; journaled never. Answers whether the rollout still waits for this
    /// attempt; nothing when the rollout is gone.
    pub(super) async fn progress(&self, action: &Action, progress: Progress, again: DateTime<Utc>) -> Option<bool> {
        let handle = self.shared.handle(&action.rollout)?;
        let (reply, wanted) = oneshot::channel();
        let progress = Box::new(progress);
        let message = Message::Progress { step: action.step, attempt: action.attempt, progress, again, reply };
        handle.inbox.send(message).await.ok()?;
        wanted.await.ok()
    }

    /// Whether a rollout still waits for this attempt; nothing when the rollout is gone.
    pub(super) async fn is_awaited(&self, action: &Action) -> Option<bool> {
        let handle = self.shared.handle(&action.rollout)?;
        let (reply, awaited) = oneshot::channel();
        let (step, attempt) = (action.step, action.attempt);
        let look = move |state: &State, _| {
            // Whoever follows the action may have ended.
            let _ = reply.send(state.awaits(step, attempt));
        };
        handle.inbox.send(Message::Look(Box::new(look))).await.ok()?;
        awaited.await.ok()
    }

    /// Whether a rollout still wants this check; nothing when the rollout is gone.
    pub(super) async fn is_checked(&self, check: &Check) -> Option<bool> {
        let handle = self.shared.handle(&check.rollout)?;
        let (reply, wanted) = oneshot::channel();
        let (step, generation) = (check.step, check.generation);
        let look = move |state: &State, _| {
            // Whoever repeats the check may have ended.
            let _ = reply.send(state.checks(step, generation));
        };
        handle.inbox.send(Message::Look(Box::new(look))).await.ok()?;
        wanted.await.ok()
    }

    /// Tells a rollout when a check is made next, so that its clock can be moved there.
    pub(super) async fn check_waits(&self, check: &Check, due: DateTime<Utc>) {
        if let Some(handle) = self.shared.handle(&check.rollout) {
            // A rollout that is gone needs no check.
            let _ = handle.inbox.send(Message::CheckWaits { step: check.step, generation: check.generation, due }).await;
        }
    }

    /// What a room should show of a rollout now, with the log after what it has.
    pub(super) async fn render(&self, id: &RolloutId, venue: &Venue, after: u64) -> Option<Projection> {
        let handle = self.shared.handle(id)?;
        let (reply, answer) = oneshot::channel();
        handle.inbox.send(Message::Render { venue: venue.clone(), after, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Whether a rollout is open, and its task runs.
    pub(super) fn is_loaded(&self, id: &RolloutId) -> bool {
        self.shared.handle(id).is_some()
    }

    /// A room shows a rollout as it was at a sequence.
    pub(super) async fn shown(&self, id: &RolloutId, venue: &Venue, sequence: u64) {
        if let Some(handle) = self.shared.handle(id) {
            // A rollout that is gone has been shown.
            let _ = handle.inbox.send(Message::Shown { venue: venue.clone(), sequence }).await;
        }
    }
}

impl Request {
    fn at(self, at: DateTime<Utc>) -> crate::domain::rollout::command::Command {
        crate::domain::rollout::command::Command { id: self.id, actor: self.actor, room: self.room, at, body: self.body }
    }
}

impl Shared {
    fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        // A panic while it was written would have left it between two entries; the journal is still right, so is reading on.
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: &RolloutId) -> Option<Handle> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The room on each of its platforms.
    fn venues<'a>(&'a self, room: &'a str) -> impl Iterator<Item = Venue> + 'a {
        let platforms = self.plan.rooms.get(room).into_iter().flatten();
        platforms.map(|platform| Venue { platform: *platform, room: room.to_owned() })
    }

    fn stop(&self, why: &str) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                tracing::error!("The journal stopped accepting; nothing is recorded until a restart: {why}");
                *stopped = Some(why.to_owned());
            }
            first
        });
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Reads one rollout from a journal that no conductor works on; nothing when there is none of that id.
///
/// # Errors
/// When the journal can't be read or does not make sense.
pub async fn read_rollout(journal: &dyn Journal, id: &RolloutId) -> Result<Option<State>, RegistryError> {
    let registry = registry::replay(journal).await?;
    match registry.rollouts.get(id) {
        Some(rollout) => load(journal, rollout.number).await.map(Some),
        None => Ok(None),
    }
}

/// What ties a rollout as it was read to the journal.
///
/// # Errors
/// When the journal can't be read.
pub async fn proof_of(journal: &dyn Journal, state: &State) -> Result<Option<Proof>, ReadError> {
    proof_at(journal, state.number, state.sequence).await
}

async fn proof_at(journal: &dyn Journal, number: u32, sequence: u64) -> Result<Option<Proof>, ReadError> {
    let stream = stream_of(number);
    let chain = journal.chain(&stream, sequence).await?;
    Ok(chain.map(|chain| Proof { stream: stream.to_string(), sequence, hash: hex(chain) }))
}

/// How an open rollout is found at a start.
enum Found {
    Asleep { id: RolloutId, number: u32, rest: Rest, sequence: u64 },
    Awake { state: Box<State>, snapshot_at: u64 },
}

async fn find(shared: &Shared, id: RolloutId, number: u32) -> Result<Found, RegistryError> {
    if let Some((rest, sequence)) = asleep::found_at_rest(shared, &id, number).await? {
        return Ok(Found::Asleep { id, number, rest, sequence });
    }
    let known = snapshots::take(&shared.store, shared.journal.as_ref(), &stream_of(number)).await?;
    let (state, snapshot_at) = take_up(shared, id, number, known).await?;
    Ok(Found::Awake { state: Box::new(state), snapshot_at })
}

/// Reads what an open rollout had become since its snapshot, with the sequence of that.
async fn take_up(shared: &Shared, id: RolloutId, number: u32, known: Option<State>) -> Result<(State, u64), RegistryError> {
    let snapshot_at = known.as_ref().map_or(0, |state| state.sequence);
    let mut state = load_after(shared.journal.as_ref(), number, known, u64::MAX).await?;
    state.forget_commands_before(shared.clock.now() - TimeDelta::hours(RECENT_HOURS_MAX));
    tracing::info!(rollout.id = %id, sequence = state.sequence, snapshot_at, "Took up {id} where it was");
    Ok((state, snapshot_at))
}

/// The stream of a rollout.
fn stream_of(number: u32) -> StreamName {
    StreamName::new(format!("{ROLLOUTS}{number}"))
}

/// Reads a rollout's events.
async fn read(journal: &dyn Journal, number: u32, from: u64, limit: usize) -> Result<Vec<(u64, Recorded)>, RegistryError> {
    let stream = stream_of(number);
    let records = journal.read(&stream, from, limit).await?;
    records
        .into_iter()
        .map(|record| {
            let event = Recorded::decode(&record.payload).map_err(|error| RegistryError::Unreadable {
                stream: stream.to_string(),
                sequence: record.sequence,
                why: error.to_string(),
            })?;
            Ok((record.sequence, event))
        })
        .collect()
}

/// Replays a rollout from its stream: the same `evolve` as live.
async fn load(journal: &dyn Journal, number: u32) -> Result<State, RegistryError> {
    load_until(journal, number, u64::MAX).await
}

/// Replays a rollout as it was right after one of its events.
async fn load_until(journal: &dyn Journal, number: u32, last: u64) -> Result<State, RegistryError> {
    load_after(journal, number, None, last).await
}

/// The same from what is known of it already: only what came after is read.
async fn load_after(journal: &dyn Journal, number: u32, known: Option<State>, last: u64) -> Result<State, RegistryError> {
    let mut from = known.as_ref().map_or(1, |state| state.sequence + 1);
    let mut state = known;
    loop {
        let events = read(journal, number, from, READ_RECORDS_MAX).await?;
        let count = events.len();
        for (sequence, recorded) in events.into_iter().take_while(|(sequence, _)| *sequence <= last) {
            match &mut state {
                Some(state) => state.evolve(&recorded),
                None => state = State::begin(&recorded),
            }
            from = sequence + 1;
        }
        if count < READ_RECORDS_MAX || from > last {
            break;
        }
    }
    state.ok_or_else(|| RegistryError::Unreadable {
        stream: stream_of(number).to_string(),
        sequence: 1,
        why: "the stream does not begin with the start of a rollout".to_owned(),
    })
}

/// The id of a command to all rollouts as one of them gets it. No platform's own id has a space in it.
fn for_one(command: &CommandId, id: &RolloutId) -> CommandId {
    CommandId(format!("{command} for {id}"))
}

/// What a failed append means for who asked.
fn rejected(error: &AppendError) -> Rejected {
    match error {
        // A failed sync leaves open what the disk holds.
        AppendError::Poisoned(_) | AppendError::Unknown(_) => Rejected::FateUnknown(error.to_string()),
        AppendError::Conflict { .. } | AppendError::Invalid(_) => Rejected::NotRecorded(error.to_string()),
    }
}

impl From<Lost> for RegistryError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<ReadError> for RegistryError {
    fn from(error: ReadError) -> Self {
        Self::Journal(error.to_string())
    }
}
