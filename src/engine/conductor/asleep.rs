//! Rollouts at rest: nobody is owed anything, nothing is on its way, and for a while nothing happened. Most open rollouts are,
//! most of the time: they wait for a T-0 that is days away, or for a person. Only when they wake is kept of them; what they are
//! is read when somebody comes, or their time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

use crate::domain::freeze::Frozen;
use crate::domain::rollout::command::RolloutId;
use crate::domain::runbook::model::Venue;
use crate::engine::clock::RolloutClock;
use crate::engine::journal::chain::hex;
use crate::engine::snapshots::{Lost, Rest, at_rest};

use super::{Message, Plan, Shared, stream_of};

/// What is kept of a rollout that sleeps.
pub(super) struct Asleep {
    pub shared: Arc<Shared>,
    pub id: RolloutId,
    pub number: u32,
    pub clock: RolloutClock,
    pub shift: watch::Sender<i64>,
    pub overriding: watch::Sender<Vec<Frozen>>,
    /// Effects up to this sequence may have been set going by an earlier process.
    pub taken_up_at: u64,
    /// Up to which sequence every room shows it.
    pub shown: BTreeMap<Venue, u64>,
    /// The snapshot that says how it rests, if one does.
    pub rested: Option<(u64, Rest)>,
    pub until: Option<DateTime<Utc>>,
    pub refresh: Option<DateTime<Utc>>,
}

impl Asleep {
    /// Sleeps until somebody wants something, which is what comes back, or until its time has come. False at the end of the
    /// process.
    pub async fn sleep(&self, messages: &mut mpsc::Receiver<Message>) -> (bool, Option<Message>) {
        let _counted = Counted::new(&self.shared.asleep);
        let due = self.until.into_iter().chain(self.refresh).min();
        loop {
            let timer = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                message = messages.recv() => return (message.is_some(), message),
                // Nothing more comes in; what came is done first.
                () = self.shared.closing.cancelled(), if !messages.is_closed() => messages.close(),
                () = timer => return (true, None),
            }
        }
    }
}

/// One more that sleeps, as long as it lives.
struct Counted<'c>(&'c AtomicU32);

impl<'c> Counted<'c> {
    fn new(count: &'c AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a rollout rests that is open at a start; nothing where it has to be read to know.
pub(super) async fn found_at_rest(shared: &Shared, id: &RolloutId, number: u32) -> Result<Option<(Rest, u64)>, Lost> {
    let found = at_rest(&shared.store, shared.journal.as_ref(), &stream_of(number)).await?;
    let holds_it = |environment: &String| {
        shared.registry().environments.get(environment).is_some_and(|known| known.holder.as_ref() == Some(id))
    };
    Ok(found.filter(|(rest, _)| rest.plan == shared.mark && rest.holds.as_ref().is_none_or(holds_it)))
}

/// What of a plan decides when a rollout has to be woken, and what its card shows.
pub(super) fn mark_of(plan: &Plan) -> String {
    let Plan { people, clock, rooms, freezes, .. } = plan;
    hex(Sha256::digest(format!("{people:?}{clock:?}{rooms:?}{freezes:?}")))
}
