//! A lane of projections: cards and logs. Edits go at once when idle, coalesce while one is in flight, keep a pause
//! between two of the same card, and the last one always shows the final state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::rollout::command::{CommandBody, RolloutId};
use crate::domain::runbook::model::Venue;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{Courier, Projection};

use super::backoff::Backoff;
use super::{CALL_TIMEOUT, bring_back, count, unbroken};

/// From how many cards on it is looked which of them are of rollouts that are over.
const SHOWN_MIN: usize = 256;

/// A rollout in a room that has something new to show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub rollout: RolloutId,
    pub venue: Venue,
}

#[derive(Default)]
struct Shown {
    /// The last log line that stands there; none while nobody asked.
    log_cursor: Option<u64>,
    /// Not before then.
    not_before: Option<Instant>,
    backoff: Backoff,
}

/// Runs the lane until the outbox closes. What a room does not show yet it is shown at the next start.
pub(super) async fn run(
    lane: String,
    courier: Arc<dyn Courier>,
    conductor: Conductor,
    mut items: mpsc::Receiver<Item>,
    closing: CancellationToken,
) {
    let mut dirty: HashSet<Item> = HashSet::new();
    let mut shown: HashMap<Item, Shown> = HashMap::new();
    let mut tidied_at = SHOWN_MIN;
    let gauge = metrics::gauge!("tminus_lane_waiting", "lane" => lane, "what" => "cards");
    loop {
        gauge.set(count(dirty.len() + items.len()));
        while let Ok(item) = items.try_recv() {
            dirty.insert(item);
        }
        let not_before = |item: &Item| shown.get(item).and_then(|s| s.not_before);
        let Some((item, at)) = dirty.iter().map(|item| (item.clone(), not_before(item))).min_by_key(|(_, at)| *at) else {
            tokio::select! {
                biased;
                () = closing.cancelled() => return,
                item = items.recv() => match item {
                    Some(item) => drop(dirty.insert(item)),
                    None => return,
                },
            }
            continue;
        };
        if let Some(at) = at.filter(|at| *at > Instant::now()) {
            tokio::select! {
                biased;
                () = closing.cancelled() => return,
                () = sleep_until(at) => {}
                more = items.recv() => match more {
                    Some(more) => drop(dirty.insert(more)),
                    None => return,
                },
            }
            continue;
        }
        if closing.is_cancelled() {
            return;
        }
        dirty.remove(&item);
        if shown.len() >= tidied_at {
            tidied_at = forget_over(&mut shown, &|rollout| conductor.is_loaded(rollout));
        }
        let state = shown.entry(item.clone()).or_default();
        let tried = unbroken(show(courier.as_ref(), &conductor, &item, state)).await;
        let tried = tried.unwrap_or_else(|| {
            // It may stand there or not: asked before the next try.
            state.log_cursor = None;
            Err("showing it broke T-minus itself".to_owned())
        });
        match tried {
            Ok(Some(projection)) => {
                state.log_cursor = Some(projection.sequence);
                state.backoff = Backoff::default();
                state.not_before = Some(Instant::now() + courier.edit_pause());
                if projection.more {
                    dirty.insert(item);
                } else {
                    conductor.shown(&item.rollout, &item.venue, projection.sequence).await;
                }
            }
            // The rollout is over and gone.
            Ok(None) => drop(shown.remove(&item)),
            Err(problem) => {
                let pause = state.backoff.next_pause();
                tracing::warn!(rollout.id = %item.rollout, "The room {} does not show {}: {problem}; next try in {} s", item.venue, item.rollout, pause.as_secs());
                state.not_before = Some(Instant::now() + pause);
                dirty.insert(item);
            }
        }
    }
}

/// What rooms show of rollouts that are over is remembered no longer. Answers from how many on it is looked again: twice as many
/// as are left, so that looking costs little.
fn forget_over(shown: &mut HashMap<Item, Shown>, is_loaded: &dyn Fn(&RolloutId) -> bool) -> usize {
    shown.retain(|item, _| is_loaded(&item.rollout));
    (2 * shown.len()).max(SHOWN_MIN)
}

async fn show(
    courier: &dyn Courier,
    conductor: &Conductor,
    item: &Item,
    shown: &mut Shown,
) -> Result<Option<Projection>, String> {
    let late = |_| format!("no answer within {} s", CALL_TIMEOUT.as_secs());
    let after = match shown.log_cursor {
        Some(after) => after,
        None => timeout(CALL_TIMEOUT, courier.log_cursor(&item.rollout, &item.venue)).await.map_err(late)??,
    };
    // Taken only now, so that it is as things stand when it is sent.
    let Some(projection) = conductor.render(&item.rollout, &item.venue, after).await else { return Ok(None) };
    let reference = timeout(CALL_TIMEOUT, courier.show(&projection)).await.map_err(late).flatten().inspect_err(|_| {
        // It may stand there or not: asked again before the next try.
        shown.log_cursor = None;
    })?;
    metrics::counter!("tminus_projections_total").increment(1);
    if projection.posted.as_ref() != Some(&reference) {
        let id = format!("card-{}-{}-{reference}", item.rollout, item.venue);
        let body = CommandBody::RecordCard { venue: item.venue.clone(), reference };
        bring_back(conductor, &item.rollout, id, body).await.map_err(|rejected| rejected.to_string())?;
    }
    Ok(Some(projection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::runbook::model::Platform;

    #[test]
    fn what_is_remembered_of_rooms_is_bounded_by_the_rollouts_that_go_on() {
        let item = |number: usize| Item {
            rollout: RolloutId(format!("r-{number}")),
            venue: Venue { platform: Platform::Local, room: "room".to_owned() },
        };
        let is_open = |rollout: &RolloutId| rollout.0.ends_with('0');
        let mut shown: HashMap<Item, Shown> = (0..4 * SHOWN_MIN).map(|number| (item(number), Shown::default())).collect();
        assert_eq!(forget_over(&mut shown, &is_open), SHOWN_MIN);
        assert!(shown.keys().all(|item| is_open(&item.rollout)));
        assert_eq!(shown.len(), (4 * SHOWN_MIN).div_ceil(10));
        assert_eq!(forget_over(&mut shown, &|_| true), SHOWN_MIN.max(2 * shown.len()));
    }
}
