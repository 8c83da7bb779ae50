//! The task that writes snapshots, beside everything that anybody waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::journal::chain::ChainHash;
use super::super::journal::{Journal, StreamName};
use super::{Rest, SnapshotStore, Snapshotted, encode_at_rest};

/// How many snapshots may wait to be written: one of each of many open rollouts. What does not fit is tried with a later event.
const ORDERS_MAX: usize = 64;
/// How long the end waits for the last snapshots: they only spare the next start some reading.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the bytes, once the journal said which hash belongs to them.
type Encode = Box<dyn FnOnce(&ChainHash) -> serde_json::Result<Vec<u8>> + Send>;

enum Order {
    Write { stream: StreamName, sequence: u64, encode: Encode },
    Forget { stream: StreamName },
    Finish { done: oneshot::Sender<()> },
}

/// The way to that task.
pub struct Keeper {
    orders: mpsc::Sender<Order>,
}

impl Keeper {
    /// Starts the task. It ends when it is told to finish, or nobody can order anything any more.
    #[must_use]
    pub fn start(store: Arc<dyn SnapshotStore>, journal: Arc<dyn Journal>) -> Self {
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(keep(store, journal, queue));
        Self { orders }
    }

    /// Has a state written down that is in the journal as it is. Never waits; false when too much waits already.
    pub fn offer<T: Snapshotted + Clone>(&self, stream: StreamName, state: &T) -> bool {
        // A copy is made only for a place that is free.
        self.orders.try_reserve().is_ok_and(|place| {
            place.send(order(stream, state.clone(), None));
            true
        })
    }

    /// The same of a rollout that rests.
    pub fn offer_at_rest<T: Snapshotted + Clone>(&self, stream: StreamName, state: &T, rest: Rest) -> bool {
        self.orders.try_reserve().is_ok_and(|place| {
            place.send(order(stream, state.clone(), Some(rest)));
            true
        })
    }

    /// The same at the end, when nobody waits for an answer any more.
    pub async fn hand_over<T: Snapshotted>(&self, stream: StreamName, state: T, rest: Option<Rest>) {
        // Without the task there is no snapshot, and that is all.
        let _ = self.orders.send(order(stream, state, rest)).await;
    }

    /// Has a stream's snapshot removed: it will not be started from again.
    pub async fn forget(&self, stream: StreamName) {
        // Without the task it is removed at the next start.
        let _ = self.orders.send(Order::Forget { stream }).await;
    }

    /// Waits until what was ordered is done, for some seconds.
    pub async fn finish(&self) {
        let (done, finished) = oneshot::channel();
        let all = async {
            if self.orders.send(Order::Finish { done }).await.is_ok() {
                // A task that is gone has finished.
                let _ = finished.await;
            }
        };
        if tokio::time::timeout(FINISH_TIMEOUT, all).await.is_err() {
            tracing::warn!(
                "The last snapshots were not written within {} s; the next start reads more",
                FINISH_TIMEOUT.as_secs()
            );
        }
    }
}

fn order<T: Snapshotted>(stream: StreamName, state: T, rest: Option<Rest>) -> Order {
    let sequence = state.sequence();
    let of = stream.clone();
    Order::Write { stream, sequence, encode: Box::new(move |chain| encode_at_rest(&of, chain, &state, rest)) }
}

async fn keep(store: Arc<dyn SnapshotStore>, journal: Arc<dyn Journal>, mut queue: mpsc::Receiver<Order>) {
    while let Some(order) = queue.recv().await {
        match order {
            Order::Write { stream, sequence, encode } => {
                if let Err(why) = write(&store, journal.as_ref(), &stream, sequence, encode).await {
                    metrics::counter!("tminus_snapshots_failed_total").increment(1);
                    tracing::warn!("No snapshot of {stream} at {sequence}: {why}");
                }
            }
            Order::Forget { stream } => {
                let (store, of) = (store.clone(), stream.clone());
                let removed = tokio::task::spawn_blocking(move || store.remove(&of)).await;
                if let Err(error) = removed.map_err(std::io::Error::other).and_then(|removed| removed) {
                    tracing::warn!("The snapshot of {stream} can't be removed: {error}");
                }
            }
            Order::Finish { done } => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
                return;
            }
        }
    }
}

async fn write(
    store: &Arc<dyn SnapshotStore>,
    journal: &dyn Journal,
    stream: &StreamName,
    sequence: u64,
    encode: Encode,
) -> Result<(), String> {
    let chain = journal.chain(stream, sequence).await.map_err(|error| error.to_string())?;
    let chain = chain.ok_or("the journal does not reach that far")?;
    let (store, of) = (store.clone(), stream.clone());
    let writing = move || {
        let bytes = encode(&chain).map_err(std::io::Error::other)?;
        store.write(&of, &bytes)
    };
    let written = tokio::task::spawn_blocking(writing).await.map_err(|error| error.to_string())?;
    written.map_err(|error| error.to_string())
}
