//! Rollouts of one family: a checklist and the rollout it belongs to. Start and end travel as idempotent commands and
//! receipts, like everything that leaves a rollout.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::rollout::command::{Actor, CommandBody, CommandId, RolloutId};
use crate::domain::rollout::effect::EffectId;

use super::{Conductor, Rejected, Request, Shared};

/// When what could not be told is told again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Tells one rollout something, and brings the receipt back to the one that told it. Both are recognised when they arrive
/// again, so that after a crash they are simply sent again.
pub(super) fn tell(shared: &Arc<Shared>, id: EffectId, to: RolloutId, body: CommandBody, from: RolloutId, receipt: CommandBody) {
    let conductor = Conductor { shared: shared.clone() };
    shared.tasks.spawn(async move {
        for (rollout, suffix, body) in [(to, "told", body), (from, "heard", receipt)] {
            let request = Request { id: CommandId(format!("{id}.{suffix}")), actor: Actor::Engine, room: None, body };
            loop {
                match conductor.submit(&rollout, request.clone()).await {
                    // One that is over needs not be told any more.
                    Ok(_) | Err(Rejected::Refused(_)) => break,
                    Err(rejected) if conductor.is_closing() || conductor.stopped().is_some() => {
                        tracing::info!(rollout.id = %rollout, "Not told now, and told at the next start: {rejected}");
                        return;
                    }
                    Err(rejected) => {
                        tracing::warn!(rollout.id = %rollout, "Not told yet: {rejected}");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
            }
        }
    });
}
