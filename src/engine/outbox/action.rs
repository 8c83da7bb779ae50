//! One action from its attempt to its end: intent before act, looked up before it is begun again.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::domain::rollout::command::CommandBody;
use crate::domain::rollout::effect::Action;
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::clock::RolloutClock;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{Executor, Found, Polled, StartError};

use super::backoff::Backoff;
use super::{CALL_TIMEOUT, bring_back};

/// Sees an action through. Its budget is taken for as long as it runs.
pub(super) async fn run(executor: Option<Arc<dyn Executor>>, conductor: Conductor, budget: Arc<Semaphore>, action: Action) {
    // The semaphore is never closed; without a permit there would be nothing to do but go on.
    let _permit = budget.acquire().await.ok();
    let outcome = match executor {
        None => Some(ActionOutcome::Failed { reason: format!("the system `{}` is not connected", action.system) }),
        Some(executor) => see_through(executor.as_ref(), &conductor, &action).await,
    };
    if let Some(outcome) = outcome {
        receipt(&conductor, &action, outcome).await;
    }
}

/// Nothing comes back when the attempt is no longer wanted, or the rollout is gone.
async fn see_through(executor: &dyn Executor, conductor: &Conductor, action: &Action) -> Option<ActionOutcome> {
    let clock = conductor.clock_of(&action.rollout)?;
    let begun = match action.attempted {
        None => {
            let body = CommandBody::BeginAttempt { step: action.step, attempt: action.attempt };
            if let Err(rejected) = bring_back(conductor, &action.rollout, attempt_id(action, &clock), body).await {
                tracing::info!(rollout.id = %action.rollout, "{} is not begun: {rejected}", action.step_id);
                return None;
            }
            Action { attempted: Some(clock.now()), ..action.clone() }
        }
        Some(_) => match find(executor, action).await {
            Found::There { .. } => return Some(follow(executor, conductor, action, &clock).await),
            Found::Absent => action.clone(),
            Found::CannotTell { why } => return Some(ActionOutcome::Unknown { reason: why }),
        },
    };
    match timeout(CALL_TIMEOUT, executor.start(&begun, clock.now())).await {
        Ok(Ok(())) => Some(follow(executor, conductor, &begun, &clock).await),
        Ok(Err(StartError::Refused { why })) => Some(ActionOutcome::Failed { reason: why }),
        Ok(Err(StartError::Unclear { why })) => Some(look_after_losing(executor, conductor, &begun, &clock, why).await),
        Err(_) => {
            let why = format!("{} did not answer within {} s", action.system, CALL_TIMEOUT.as_secs());
            Some(look_after_losing(executor, conductor, &begun, &clock, why).await)
        }
    }
}

/// The first attempt to begin has a fixed identity; a later one, after a hold, must not be taken for a repetition of it.
fn attempt_id(action: &Action, clock: &RolloutClock) -> String {
    format!("{}.attempt.{}", action.id, clock.now().timestamp_millis())
}

/// The answer was lost: what is found goes on, what is not is for a person to say.
async fn look_after_losing(
    executor: &dyn Executor,
    conductor: &Conductor,
    action: &Action,
    clock: &RolloutClock,
    why: String,
) -> ActionOutcome {
    match find(executor, action).await {
        Found::There { .. } => follow(executor, conductor, action, clock).await,
        Found::Absent => ActionOutcome::Failed { reason: format!("{why}; it did not begin") },
        Found::CannotTell { .. } => ActionOutcome::Unknown { reason: why },
    }
}

async fn find(executor: &dyn Executor, action: &Action) -> Found {
    match timeout(CALL_TIMEOUT, executor.find(action)).await {
        Ok(found) => found,
        Err(_) => Found::CannotTell {
            why: format!("{} did not say within {} s whether it has begun", action.system, CALL_TIMEOUT.as_secs()),
        },
    }
}

/// Asks again and again until it is over; between, the rollout hears how far it is.
async fn follow(executor: &dyn Executor, conductor: &Conductor, action: &Action, clock: &RolloutClock) -> ActionOutcome {
    let mut backoff = Backoff::default();
    loop {
        let polled = timeout(CALL_TIMEOUT, executor.poll(action, clock.now())).await;
        let problem = match polled {
            Ok(Ok(Polled::Ended(outcome))) => return outcome,
            Ok(Ok(Polled::Running { progress, again })) => {
                backoff = Backoff::default();
                conductor.progress(&action.rollout, action.step, action.attempt, progress, again).await;
                clock.sleep_until(again).await;
                continue;
            }
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        };
        let pause = backoff.next_pause();
        tracing::warn!(rollout.id = %action.rollout, "{} does not say how {} is: {problem}; next look in {} s", action.system, action.step_id, pause.as_secs());
        tokio::time::sleep(pause).await;
    }
}

async fn receipt(conductor: &Conductor, action: &Action, outcome: ActionOutcome) {
    let name = match outcome {
        ActionOutcome::Succeeded { .. } => "succeeded",
        ActionOutcome::Failed { .. } => "failed",
        ActionOutcome::Unknown { .. } => "unknown",
    };
    metrics::counter!("tminus_actions_total", "outcome" => name).increment(1);
    let body = CommandBody::RecordAction { step: action.step, attempt: action.attempt, outcome };
    if let Err(rejected) = bring_back(conductor, &action.rollout, format!("{}.{name}", action.id), body).await {
        // It stays owed, and is looked up when the rollout is taken up again.
        tracing::error!(rollout.id = %action.rollout, "A receipt was not recorded: {rejected}");
    }
}
