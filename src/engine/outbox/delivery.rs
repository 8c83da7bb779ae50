//! A lane of deliveries: one after the other, what has to wait waits without holding up the rest.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::rollout::command::CommandBody;
use crate::domain::rollout::effect::Delivery;
use crate::domain::rollout::event::DeliveryOutcome;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{Courier, Found, Sent};

use super::backoff::Backoff;
use super::{CALL_TIMEOUT, bring_back, count};

/// One delivery in the lane.
pub(super) struct Item {
    pub delivery: Delivery,
    /// Whether it may have been sent before: then it is looked up first.
    pub maybe_sent: bool,
}

struct Waiting {
    item: Item,
    until: Instant,
    backoff: Backoff,
}

/// Runs the lane until the outbox closes. What is in hand then is finished; what waits stays owed.
pub(super) async fn run(
    lane: String,
    courier: Arc<dyn Courier>,
    conductor: Conductor,
    mut items: mpsc::Receiver<Item>,
    closing: CancellationToken,
) {
    let mut waiting: Vec<Waiting> = Vec::new();
    let gauge = metrics::gauge!("tminus_lane_waiting", "lane" => lane, "what" => "deliveries");
    loop {
        gauge.set(count(waiting.len() + items.len()));
        let next = waiting.iter().map(|w| w.until).min();
        let timer = async {
            match next {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let (item, backoff) = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            item = items.recv() => match item {
                Some(item) => (item, Backoff::default()),
                None => return,
            },
            () = timer => {
                let Some(due) = waiting.iter().position(|w| Some(w.until) == next) else { continue };
                let due = waiting.swap_remove(due);
                (due.item, due.backoff)
            }
        };
        waiting.extend(attempt(courier.as_ref(), &conductor, item, backoff).await);
    }
}

/// One attempt; what is to be tried again comes back.
async fn attempt(courier: &dyn Courier, conductor: &Conductor, item: Item, mut backoff: Backoff) -> Option<Waiting> {
    let Item { delivery, maybe_sent } = item;
    let mut possibly_repeated = false;
    if maybe_sent {
        match timeout(CALL_TIMEOUT, courier.find(&delivery)).await {
            Ok(Found::There { reference }) => {
                receipt(conductor, &delivery, DeliveryOutcome::Delivered { reference, possibly_repeated: false }).await;
                return None;
            }
            Ok(Found::Absent) => {}
            // Who must have it exactly once is a person's decision; others get it once more, recorded as perhaps twice.
            Ok(Found::CannotTell { why }) if delivery.to.must() => {
                let reason = format!("nobody knows whether it arrived: {why}");
                receipt(conductor, &delivery, DeliveryOutcome::Failed { reason }).await;
                return None;
            }
            Ok(Found::CannotTell { .. }) => possibly_repeated = true,
            Err(_) => {
                tracing::warn!(
                    rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                    "{} did not say in time whether it has an announcement",
                    delivery.to
                );
                let until = Instant::now() + backoff.next_pause();
                return Some(Waiting { item: Item { delivery, maybe_sent }, until, backoff });
            }
        }
    }
    // When the answer is lost, the message perhaps is not.
    let sent = timeout(CALL_TIMEOUT, courier.deliver(&delivery)).await;
    match sent.unwrap_or_else(|_| Sent::Unclear { why: format!("no answer within {} s", CALL_TIMEOUT.as_secs()) }) {
        Sent::Delivered { reference } => {
            metrics::counter!("tminus_deliveries_total", "outcome" => "delivered").increment(1);
            receipt(conductor, &delivery, DeliveryOutcome::Delivered { reference, possibly_repeated }).await;
            None
        }
        Sent::Never { why } => {
            metrics::counter!("tminus_deliveries_total", "outcome" => "failed").increment(1);
            tracing::warn!(
                rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                "{} will not get an announcement: {why}",
                delivery.to
            );
            receipt(conductor, &delivery, DeliveryOutcome::Failed { reason: why }).await;
            None
        }
        Sent::Unclear { why } => {
            tracing::warn!(
                rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                "{} may have got an announcement or not: {why}; it is looked up there",
                delivery.to
            );
            let until = Instant::now() + backoff.next_pause();
            Some(Waiting { item: Item { delivery, maybe_sent: true }, until, backoff })
        }
        Sent::TryAgain { after, why } => {
            metrics::counter!("tminus_delivery_retries_total").increment(1);
            let pause = after.unwrap_or_else(|| backoff.next_pause());
            tracing::warn!(
                rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                "{} does not take an announcement now: {why}; next try in {} s",
                delivery.to,
                pause.as_secs()
            );
            Some(Waiting { item: Item { delivery, maybe_sent }, until: Instant::now() + pause, backoff })
        }
    }
}

/// Tells the rollout, or the registry, what became of a delivery.
pub(super) async fn receipt(conductor: &Conductor, delivery: &Delivery, outcome: DeliveryOutcome) {
    let (sequence, slot) = (delivery.id.sequence, usize::from(delivery.id.slot));
    let Some(rollout) = &delivery.rollout else {
        return conductor.digest_delivered(sequence, slot, outcome).await;
    };
    let id =
        format!("{}.{}", delivery.id, if matches!(outcome, DeliveryOutcome::Delivered { .. }) { "delivered" } else { "failed" });
    let body = CommandBody::RecordDelivery { announcement: sequence, slot, attempt: u32::from(delivery.id.attempt), outcome };
    if let Err(rejected) = bring_back(conductor, rollout, id, body).await {
        // It stays owed, and is looked up when the rollout is taken up again.
        tracing::error!(rollout.id = %rollout, "A receipt was not recorded: {rejected}");
    }
}
