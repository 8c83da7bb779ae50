//! A check: one call, again and again on the rollout's clock, until the rollout does not want it any more.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::domain::rollout::command::CommandBody;
use crate::domain::rollout::effect::{Action, Check, EffectId};
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::clock::RolloutClock;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{Executor, Found, Polled, StartError};

use super::{CALL_TIMEOUT, bring_back};

/// How long one call of a check may take, on the rollout's clock: a build that checks something takes minutes.
const CHECK_MAX: TimeDelta = TimeDelta::hours(1);

/// Repeats a check until it is no longer wanted, or the process ends. After a restart it goes on with the call whose turn it
/// is, which is looked up first.
pub(super) async fn run(executor: Option<Arc<dyn Executor>>, conductor: Conductor, check: Check, closing: CancellationToken) {
    let Some(clock) = conductor.clock_of(&check.rollout) else { return };
    let mut turn = turn_at(&check, clock.now());
    loop {
        let due = check.since + TimeDelta::seconds(check.every_seconds.saturating_mul(turn));
        conductor.check_waits(&check, due).await;
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = clock.sleep_until(due) => {}
        }
        if conductor.is_checked(&check).await != Some(true) {
            return;
        }
        let action = action(&check, turn, clock.now());
        let outcome = match (&executor, &check.inputs) {
            (None, _) => ActionOutcome::Failed { reason: format!("the system `{}` is not connected", check.system) },
            (_, Err(reason)) => ActionOutcome::Failed { reason: reason.clone() },
            (Some(executor), Ok(_)) => {
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return,
                    outcome = call(executor.as_ref(), &conductor, &check, &action, &clock) => outcome,
                }
            }
        };
        let body = CommandBody::RecordCheck { step: check.step, generation: check.generation, outcome: outcome.bounded() };
        if let Err(rejected) = bring_back(&conductor, &check.rollout, format!("{}.checked", action.id), body).await {
            tracing::info!(rollout.id = %check.rollout, "A check of {} was not recorded: {rejected}", check.step_id);
            return;
        }
        // Turns that passed meanwhile are not made up for.
        turn = (turn + 1).max(turn_at(&check, clock.now()));
    }
}

/// Whose turn it is: the one that was due last.
fn turn_at(check: &Check, now: DateTime<Utc>) -> i64 {
    (now - check.since).num_seconds().max(0) / check.every_seconds.max(1)
}

/// The call of one turn. Its identity tells it from the others, so that it is found again after a crash.
fn action(check: &Check, turn: i64, now: DateTime<Utc>) -> Action {
    let slot = u16::try_from(turn.rem_euclid(i64::from(u16::MAX))).unwrap_or_default();
    Action {
        id: EffectId { slot, ..check.id },
        rollout: check.rollout.clone(),
        step: check.step,
        step_id: check.step_id.clone(),
        attempt: 1,
        system: check.system.clone(),
        operation: check.operation.clone(),
        inputs: check.inputs.clone().unwrap_or_default(),
        values: check.values.clone(),
        attempted: Some(now),
        looked: 0,
        rehearsal: check.rehearsal,
    }
}

async fn call(
    executor: &dyn Executor,
    conductor: &Conductor,
    check: &Check,
    action: &Action,
    clock: &RolloutClock,
) -> ActionOutcome {
    let late =
        || ActionOutcome::Failed { reason: format!("{} did not answer within {} s", action.system, CALL_TIMEOUT.as_secs()) };
    let begun = match timeout(CALL_TIMEOUT, executor.find(action)).await {
        Ok(Found::There { .. }) => true,
        Ok(Found::Absent | Found::CannotTell { .. }) => false,
        Err(_) => return late(),
    };
    if !begun {
        match timeout(CALL_TIMEOUT, executor.start(action, clock.now())).await {
            Ok(Ok(())) => {}
            Ok(Err(StartError::Refused { why } | StartError::Unclear { why })) => return ActionOutcome::Failed { reason: why },
            Err(_) => return late(),
        }
    }
    let give_up = clock.now() + CHECK_MAX;
    loop {
        match timeout(CALL_TIMEOUT, executor.poll(action, clock.now())).await {
            Ok(Ok(Polled::Ended(outcome))) => return outcome,
            Ok(Ok(Polled::Running { again, .. })) if clock.now() < give_up => {
                let again = again.min(give_up);
                // A clock that is moved stops here too: otherwise a jump leaps over the answer, and a wait ends in vain.
                conductor.check_waits(check, again).await;
                clock.sleep_until(again).await;
            }
            Ok(Ok(Polled::Running { .. })) => {
                return ActionOutcome::Failed { reason: "it did not end within an hour".to_owned() };
            }
            Ok(Err(why)) => return ActionOutcome::Failed { reason: why },
            Err(_) => return late(),
        }
    }
}
