//! The outbox: brings what rollouts owe to couriers and executors, and their receipts back as commands.
//!
//! One lane per destination budget, so that a slow platform holds up nobody else. Three kinds go out: deliveries (once,
//! with a receipt), actions (the attempt journaled first), projections (the last state wins, no receipts).

mod action;
mod backoff;
mod check;
mod delivery;
mod projection;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::rollout::command::{Actor, CommandBody, CommandId, RolloutId};
use crate::domain::rollout::effect::{Action, Check, Delivery, Recipient};
use crate::domain::rollout::event::DeliveryOutcome;
use crate::domain::runbook::model::{Platform, Venue};

use super::conductor::{Conductor, Rejected, Request};
use super::ports::{Courier, Executor};

use self::backoff::Backoff;

/// How many things may wait between the rollouts and the outbox.
pub const DISPATCH_MAX: usize = 4096;
/// How many things may wait in one lane before the next has to queue for it.
const LANE_MAX: usize = 1024;
/// How many actions run on one system at once.
const ACTIONS_PER_SYSTEM_MAX: usize = 8;
/// How long one call to the outside may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a rollout hands on.
#[derive(Clone, Debug)]
pub enum Dispatch {
    /// An announcement to one destination.
    Deliver {
        /// What, and where to.
        delivery: Delivery,
        /// Whether an earlier process may have sent it.
        maybe_sent: bool,
    },
    /// An action.
    Act {
        /// What, and on which system.
        action: Action,
    },
    /// An action that is to stop.
    Cancel {
        /// Which.
        action: Action,
    },
    /// A check that is repeated.
    Check {
        /// Which.
        check: Check,
    },
    /// A room has something new to show.
    Show {
        /// Which rollout.
        rollout: RolloutId,
        /// Which room, on which platform.
        venue: Venue,
    },
}

/// A way to a destination: whose budget it counts against, and who brings it.
#[derive(Clone)]
pub struct Route {
    /// The budget's name; one lane each.
    pub lane: String,
    /// Who brings it.
    pub courier: Arc<dyn Courier>,
}

/// Who brings what where.
#[derive(Clone, Default)]
pub struct Routes {
    /// By platform and name, as runbooks write addresses.
    pub addresses: BTreeMap<(Platform, String), Route>,
    /// To a person by name, wherever they can be reached.
    pub people: Option<Route>,
    /// By platform and room.
    pub venues: BTreeMap<Venue, Route>,
    /// By the system's name.
    pub executors: BTreeMap<String, Arc<dyn Executor>>,
    /// The same for rehearsals: none of them reaches anything.
    pub rehearsals: BTreeMap<String, Arc<dyn Executor>>,
}

impl Routes {
    /// Who does it. A rehearsal has nobody else than those who pretend.
    fn executor(&self, system: &str, rehearsal: bool) -> Option<Arc<dyn Executor>> {
        let executors = if rehearsal { &self.rehearsals } else { &self.executors };
        executors.get(system).cloned()
    }

    fn to(&self, recipient: &Recipient) -> Option<&Route> {
        match recipient {
            Recipient::Address(address) => self.addresses.get(&(address.platform, address.name.clone())),
            Recipient::Person(_) => self.people.as_ref(),
        }
    }
}

/// Runs until it is told to close; then what is in hand is finished and brought back, and the rest stays owed.
pub async fn run(routes: Routes, conductor: Conductor, mut dispatches: mpsc::Receiver<Dispatch>, closing: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut deliveries: HashMap<String, mpsc::Sender<delivery::Item>> = HashMap::new();
    let mut projections: HashMap<String, mpsc::Sender<projection::Item>> = HashMap::new();
    let mut budgets: HashMap<String, Arc<Semaphore>> = HashMap::new();
    loop {
        let dispatch = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            dispatch = dispatches.recv() => dispatch,
        };
        let Some(dispatch) = dispatch else { break };
        match dispatch {
            Dispatch::Deliver { delivery, maybe_sent } => {
                let Some(route) = routes.to(&delivery.to) else {
                    let why = format!("{} is not connected", delivery.to);
                    let conductor = conductor.clone();
                    tasks.spawn(async move {
                        delivery::receipt(&conductor, &delivery, DeliveryOutcome::Failed { reason: why }).await;
                    });
                    continue;
                };
                let lane = deliveries.entry(route.lane.clone()).or_insert_with(|| {
                    let (lane, items) = mpsc::channel(LANE_MAX);
                    tasks.spawn(delivery::run(
                        route.lane.clone(),
                        route.courier.clone(),
                        conductor.clone(),
                        items,
                        closing.clone(),
                    ));
                    lane
                });
                queue(lane, &route.lane, delivery::Item { delivery, maybe_sent });
            }
            Dispatch::Show { rollout, venue } => {
                let Some(route) = routes.venues.get(&venue) else {
                    tracing::warn!(rollout.id = %rollout, "The room {venue} is not connected; it shows nothing of {rollout}");
                    continue;
                };
                let lane = projections.entry(route.lane.clone()).or_insert_with(|| {
                    let (lane, items) = mpsc::channel(LANE_MAX);
                    tasks.spawn(projection::run(
                        route.lane.clone(),
                        route.courier.clone(),
                        conductor.clone(),
                        items,
                        closing.clone(),
                    ));
                    lane
                });
                queue(lane, &route.lane, projection::Item { rollout, venue });
            }
            Dispatch::Cancel { action } => {
                if let Some(executor) = routes.executor(&action.system, action.rehearsal) {
                    tasks.spawn(action::cancel(executor, conductor.clone(), action, closing.clone()));
                }
            }
            Dispatch::Check { check } => {
                let executor = routes.executor(&check.system, check.rehearsal);
                tasks.spawn(check::run(executor, conductor.clone(), check, closing.clone()));
            }
            Dispatch::Act { action } => {
                // Rehearsals take no turn from what is meant.
                let budget = if action.rehearsal { format!("{} in rehearsal", action.system) } else { action.system.clone() };
                let budget = budgets.entry(budget).or_insert_with(|| Arc::new(Semaphore::new(ACTIONS_PER_SYSTEM_MAX)));
                let executor = routes.executor(&action.system, action.rehearsal);
                tasks.spawn(action::run(executor, conductor.clone(), budget.clone(), action, closing.clone()));
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// A number of things, as gauges want it.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody has 2^52 things waiting")]
fn count(things: usize) -> f64 {
    things as f64
}

/// What comes of a lane's work, or nothing where a mistake of ours broke it: what else is in the lane must not be lost with it.
/// The lane makes no more of what was being done than that it may have happened or not.
async fn unbroken<T>(work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await.ok();
    if done.is_none() {
        metrics::counter!("tminus_task_panics_total", "task" => "lane").increment(1);
    }
    done
}

/// Puts something into a lane, which ends with the outbox and not before: what comes then stays owed. A full lane holds up what goes into it, and nothing else.
fn queue<T: Send + 'static>(lane: &mpsc::Sender<T>, name: &str, item: T) {
    if let Err(mpsc::error::TrySendError::Full(item)) = lane.try_send(item) {
        metrics::counter!("tminus_lane_full_total", "lane" => name.to_owned()).increment(1);
        let lane = lane.clone();
        tokio::spawn(async move { drop(lane.send(item).await) });
    }
}

/// Brings a receipt back. It is tried until the rollout takes or refuses it, or the process ends: without it the effect
/// stays owed, and is looked up when the rollout is taken up again.
async fn bring_back(conductor: &Conductor, rollout: &RolloutId, id: String, body: CommandBody) -> Result<(), Rejected> {
    let request = Request { id: CommandId(id), actor: Actor::Engine, room: None, body };
    let mut backoff = Backoff::default();
    loop {
        match conductor.submit(rollout, request.clone()).await {
            Ok(_) => return Ok(()),
            Err(rejected @ (Rejected::Refused(_) | Rejected::NeedsForm { .. } | Rejected::Stopping)) => return Err(rejected),
            // A journal that stopped takes nothing before a restart.
            Err(rejected) if conductor.stopped().is_some() => return Err(rejected),
            Err(rejected) => {
                let pause = backoff.next_pause();
                tracing::warn!(rollout.id = %rollout, "A receipt waits {} s: {rejected}", pause.as_secs());
                tokio::time::sleep(pause).await;
            }
        }
    }
}
