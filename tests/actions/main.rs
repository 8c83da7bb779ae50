//! Systems that are really asked: a server on a local port, programs in a folder, and what settings let through.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod command;
mod http;
mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tminus::domain::rollout::command::RolloutId;
use tminus::domain::rollout::effect::{Action, EffectId};
use tminus::domain::rollout::event::ActionOutcome;
use tminus::engine::ports::{Executor, Polled};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// An action; its number makes its identity.
fn action(number: u32, operation: &str, inputs: Value) -> Action {
    Action {
        id: EffectId { house: 7, rollout: number, sequence: 3, slot: 0, attempt: 1 },
        rollout: RolloutId("staging-1".into()),
        step: 0,
        step_id: "step".into(),
        attempt: 1,
        system: "system".into(),
        operation: operation.into(),
        inputs,
        values: BTreeMap::new(),
        attempted: Some(now()),
        looked: 0,
        rehearsal: false,
    }
}

/// Looks until it is over.
async fn end(executor: &dyn Executor, action: &Action) -> ActionOutcome {
    let looking = async {
        loop {
            if let Polled::Ended(outcome) = executor.poll(action, now()).await.unwrap() {
                return outcome;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("it ends")
}

async fn start_and_end(executor: &dyn Executor, action: &Action) -> ActionOutcome {
    executor.start(action, now()).await.unwrap();
    end(executor, action).await
}

fn succeeded(outcome: ActionOutcome) -> BTreeMap<String, String> {
    let ActionOutcome::Succeeded { outputs } = outcome else { panic!("{outcome:?}") };
    outputs.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

fn failed(outcome: ActionOutcome) -> String {
    let ActionOutcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    reason
}

fn unknown(outcome: ActionOutcome) -> String {
    let ActionOutcome::Unknown { reason } = outcome else { panic!("{outcome:?}") };
    reason
}
