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
use super::{CALL_TIMEOUT, bring_back, count, unbroken};

/// How often one delivery may break what brings it before it counts as not delivered, and a person decides.
const BREAKS_MAX: u32 = 3;

/// One delivery in the lane.
pub(super) struct Item {
    pub delivery: Delivery,
    /// Whether it may have been sent before: then it is looked up first.
    pub maybe_sent: bool,
}

struct Waiting {
    item: Item,
    until: Instant,
    tries: Tries,
}

/// What was tried before.
#[derive(Default)]
struct Tries {
    backoff: Backoff,
    breaks: u32,
}

/// What comes after an attempt.
enum Next {
    Done,
    /// It is tried again then.
    Again(Instant),
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
        let (mut item, mut tries) = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            item = items.recv() => match item {
                Some(item) => (item, Tries::default()),
                None => return,
            },
            () = timer => {
                let Some(due) = waiting.iter().position(|w| Some(w.until) == next) else { continue };
                let due = waiting.swap_remove(due);
                (due.item, due.tries)
            }
        };
        let next = match unbroken(attempt(courier.as_ref(), &conductor, &mut item, &mut tries.backoff)).await {
            Some(next) => next,
            None => broken(&conductor, &mut item, &mut tries).await,
        };
        if let Next::Again(until) = next {
            waiting.push(Waiting { item, until, tries });
        }
    }
}

/// A mistake of ours broke an attempt. It may have been sent by then; the others in the lane are not held up.
async fn broken(conductor: &Conductor, item: &mut Item, tries: &mut Tries) -> Next {
    tries.breaks += 1;
    item.maybe_sent = true;
    let delivery = &item.delivery;
    let rollout = delivery.rollout.as_ref().map(tracing::field::display);
    if tries.breaks < BREAKS_MAX {
        let pause = tries.backoff.next_pause();
        tracing::error!(rollout.id = rollout, "Delivering to {} broke; next try in {} s", delivery.to, pause.as_secs());
        return Next::Again(Instant::now() + pause);
    }
    tracing::error!(rollout.id = rollout, "Delivering to {} broke {} times, and is given up", delivery.to, tries.breaks);
    let reason = format!("nobody knows whether it arrived: bringing it broke T-minus itself {} times", tries.breaks);
    receipt(conductor, delivery, DeliveryOutcome::Failed { reason }).await;
    Next::Done
}

/// One attempt, and what comes after it.
async fn attempt(courier: &dyn Courier, conductor: &Conductor, item: &mut Item, backoff: &mut Backoff) -> Next {
    let delivery = &item.delivery;
    let mut possibly_repeated = false;
    if item.maybe_sent {
        match timeout(CALL_TIMEOUT, courier.find(delivery)).await {
            Ok(Found::There { reference }) => {
                receipt(conductor, delivery, DeliveryOutcome::Delivered { reference, possibly_repeated: false }).await;
                return Next::Done;
            }
            Ok(Found::Absent) => {}
            // Who must have it exactly once is a person's decision; others get it once more, recorded as perhaps twice.
            Ok(Found::CannotTell { why }) if delivery.to.must() => {
                let reason = format!("nobody knows whether it arrived: {why}");
                receipt(conductor, delivery, DeliveryOutcome::Failed { reason }).await;
                return Next::Done;
            }
            Ok(Found::CannotTell { .. }) => possibly_repeated = true,
            Err(_) => {
                tracing::warn!(
                    rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                    "{} did not say in time whether it has an announcement",
                    delivery.to
                );
                return Next::Again(Instant::now() + backoff.next_pause());
            }
        }
    }
    // When the answer is lost, the message perhaps is not.
    let sent = timeout(CALL_TIMEOUT, courier.deliver(delivery)).await;
    match sent.unwrap_or_else(|_| Sent::Unclear { why: format!("no answer within {} s", CALL_TIMEOUT.as_secs()) }) {
        Sent::Delivered { reference } => {
            metrics::counter!("tminus_deliveries_total", "outcome" => "delivered").increment(1);
            receipt(conductor, delivery, DeliveryOutcome::Delivered { reference, possibly_repeated }).await;
            Next::Done
        }
        Sent::Never { why } => {
            metrics::counter!("tminus_deliveries_total", "outcome" => "failed").increment(1);
            tracing::warn!(
                rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                "{} will not get an announcement: {why}",
                delivery.to
            );
            receipt(conductor, delivery, DeliveryOutcome::Failed { reason: why }).await;
            Next::Done
        }
        Sent::Unclear { why } => {
            tracing::warn!(
                rollout.id = delivery.rollout.as_ref().map(tracing::field::display),
                "{} may have got an announcement or not: {why}; it is looked up there",
                delivery.to
            );
            item.maybe_sent = true;
            Next::Again(Instant::now() + backoff.next_pause())
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
            Next::Again(Instant::now() + pause)
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
