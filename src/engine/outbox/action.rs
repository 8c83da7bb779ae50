//! One action from its attempt to its end: intent before act, looked up before it is begun again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::domain::message::card::Progress;
use crate::domain::rollout::command::CommandBody;
use crate::domain::rollout::effect::Action;
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::clock::RolloutClock;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{CancelError, Executor, Found, Polled, StartError};

use super::backoff::Backoff;
use super::{CALL_TIMEOUT, bring_back};

/// How often an action that the rollout no longer waits for is looked at: its end is news, and nothing hangs on it.
const UNWANTED_PAUSE: Duration = Duration::from_secs(30);

/// Sees an action through. Its budget is taken for as long as the rollout waits for it.
pub(super) async fn run(
    executor: Option<Arc<dyn Executor>>,
    conductor: Conductor,
    budget: Arc<Semaphore>,
    action: Action,
    closing: CancellationToken,
) {
    let permit = tokio::select! {
        biased;
        () = closing.cancelled() => return,
        // The semaphore is never closed; without a permit there would be nothing to do but go on.
        permit = budget.acquire_owned() => permit.ok(),
    };
    let heard = executor.clone();
    let outcome = match executor {
        None => Some(ActionOutcome::Failed { reason: format!("the system `{}` is not connected", action.system) }),
        Some(executor) => Watch { executor, conductor: conductor.clone(), closing }.see_through(&action, permit).await,
    };
    let Some(outcome) = outcome else { return };
    receipt(&conductor, &action, "", outcome.bounded()).await;
    // A system that says things twice is heard twice: the second word is late, and changes nothing.
    let again = match heard {
        Some(executor) => timeout(CALL_TIMEOUT, executor.said_again(&action)).await.ok().flatten(),
        None => None,
    };
    if let Some(outcome) = again {
        receipt(&conductor, &action, ".again", outcome.bounded()).await;
    }
}

struct Watch {
    executor: Arc<dyn Executor>,
    conductor: Conductor,
    closing: CancellationToken,
}

impl Watch {
    /// Nothing comes back when the attempt is no longer wanted, the rollout is gone or the process ends.
    async fn see_through(&self, action: &Action, permit: Option<OwnedSemaphorePermit>) -> Option<ActionOutcome> {
        let clock = self.conductor.clock_of(&action.rollout)?;
        let begun = match action.attempted {
            None => {
                let body = CommandBody::BeginAttempt { step: action.step, attempt: action.attempt };
                if let Err(rejected) = bring_back(&self.conductor, &action.rollout, attempt_id(action, &clock), body).await {
                    tracing::info!(rollout.id = %action.rollout, "{} is not begun: {rejected}", action.step_id);
                    return None;
                }
                Action { attempted: Some(clock.now()), ..action.clone() }
            }
            Some(_) => match self.find(action).await {
                Found::There { .. } => return self.follow(action, &clock, permit).await,
                Found::Absent => action.clone(),
                Found::CannotTell { why } => return Some(ActionOutcome::Unknown { reason: why }),
            },
        };
        match timeout(CALL_TIMEOUT, self.executor.start(&begun, clock.now())).await {
            Ok(Ok(())) => self.follow(&begun, &clock, permit).await,
            Ok(Err(StartError::Refused { why })) => Some(ActionOutcome::Failed { reason: why }),
            Ok(Err(StartError::Unclear { why })) => self.look_after_losing(&begun, &clock, permit, why).await,
            Err(_) => {
                let why = format!("{} did not answer within {} s", action.system, CALL_TIMEOUT.as_secs());
                self.look_after_losing(&begun, &clock, permit, why).await
            }
        }
    }

    /// The answer was lost: what is found goes on, what is not is for a person to say.
    async fn look_after_losing(
        &self,
        action: &Action,
        clock: &RolloutClock,
        permit: Option<OwnedSemaphorePermit>,
        why: String,
    ) -> Option<ActionOutcome> {
        match self.find(action).await {
            Found::There { .. } => self.follow(action, clock, permit).await,
            Found::Absent => Some(ActionOutcome::Failed { reason: format!("{why}; it did not begin") }),
            Found::CannotTell { .. } => Some(ActionOutcome::Unknown { reason: why }),
        }
    }

    async fn find(&self, action: &Action) -> Found {
        match timeout(CALL_TIMEOUT, self.executor.find(action)).await {
            Ok(found) => found,
            Err(_) => Found::CannotTell {
                why: format!("{} did not say within {} s whether it has begun", action.system, CALL_TIMEOUT.as_secs()),
            },
        }
    }

    /// Asks again and again until it is over; between, the rollout hears how far it is. When the rollout stops waiting
    /// (a time-out, an abort) the budget is given back, and the end still comes, as a late receipt.
    async fn follow(
        &self,
        action: &Action,
        clock: &RolloutClock,
        mut permit: Option<OwnedSemaphorePermit>,
    ) -> Option<ActionOutcome> {
        let mut backoff = Backoff::default();
        loop {
            let polled = timeout(CALL_TIMEOUT, self.executor.poll(action, clock.now())).await;
            let problem = match polled {
                Ok(Ok(Polled::Ended(outcome))) => return Some(outcome),
                Ok(Ok(Polled::Running { progress, again })) => {
                    backoff = Backoff::default();
                    let wanted = self.conductor.progress(action, progress, again).await?;
                    let pause = async {
                        if wanted {
                            clock.sleep_until(again).await;
                        } else {
                            drop(permit.take());
                            tokio::time::sleep(UNWANTED_PAUSE).await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = self.closing.cancelled() => return None,
                        () = pause => continue,
                    }
                }
                Ok(Err(problem)) => problem,
                Err(_) => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            };
            let pause = backoff.next_pause();
            tracing::warn!(rollout.id = %action.rollout, "{} does not say how {} is: {problem}; next look in {} s", action.system, action.step_id, pause.as_secs());
            if !self.conductor.is_awaited(action).await? {
                drop(permit.take());
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Asks a system to stop, until it is heard or the action is over.
pub(super) async fn cancel(executor: Arc<dyn Executor>, conductor: Conductor, action: Action, closing: CancellationToken) {
    let Some(clock) = conductor.clock_of(&action.rollout) else { return };
    let mut backoff = Backoff::default();
    while conductor.is_awaited(&action).await == Some(true) {
        let why = match timeout(CALL_TIMEOUT, executor.cancel(&action, clock.now())).await {
            Ok(Ok(())) => return,
            Ok(Err(CancelError::Impossible { why })) => {
                let line = Some(format!("It can't be stopped: {why}. Its end is awaited."));
                conductor.progress(&action, Progress { line, link: None }, clock.now()).await;
                return;
            }
            Ok(Err(CancelError::TryAgain { why })) => why,
            Err(_) => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        };
        let pause = backoff.next_pause();
        tracing::warn!(rollout.id = %action.rollout, "{} was not asked to stop {}: {why}; next try in {} s", action.system, action.step_id, pause.as_secs());
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The first attempt to begin has a fixed identity; a later one, after a hold, must not be taken for a repetition of it.
fn attempt_id(action: &Action, clock: &RolloutClock) -> String {
    format!("{}.attempt.{}", action.id, clock.now().timestamp_millis())
}

/// A receipt is recognised when it arrives again; what is found out when somebody wants it looked up again is another one.
fn receipt_id(action: &Action, name: &str, which: &str) -> String {
    match action.looked {
        0 => format!("{}.{name}{which}", action.id),
        looked => format!("{}.{name}{which}.look-{looked}", action.id),
    }
}

async fn receipt(conductor: &Conductor, action: &Action, which: &str, outcome: ActionOutcome) {
    let name = match outcome {
        ActionOutcome::Succeeded { .. } => "succeeded",
        ActionOutcome::Failed { .. } => "failed",
        ActionOutcome::Unknown { .. } => "unknown",
    };
    if !action.rehearsal {
        metrics::counter!("tminus_actions_total", "outcome" => name).increment(1);
    }
    let body = CommandBody::RecordAction { step: action.step, attempt: action.attempt, outcome };
    if let Err(rejected) = bring_back(conductor, &action.rollout, receipt_id(action, name, which), body).await {
        // It stays owed, and is looked up when the rollout is taken up again.
        tracing::error!(rollout.id = %action.rollout, "A receipt was not recorded: {rejected}");
    }
}
