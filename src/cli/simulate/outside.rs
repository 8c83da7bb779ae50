//! The outside of a simulation: whatever is sent arrives, and systems do what their script or the answers file says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::catalogue::Kind;
use crate::domain::registry::Registry;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::effect::{Action, Delivery};
use crate::domain::runbook::model::Venue;
use crate::engine::conductor::Conductor;
use crate::engine::ports::{CancelError, Courier, Executor, Found, Polled, Projection, Sent, StartError};
use crate::gateway::action::pretend::{Ledger, Pretend, Script};

use super::answers::Answers;

/// Nothing leaves the process: what was sent is read from the record.
pub(super) struct Nowhere;

#[async_trait]
impl Courier for Nowhere {
    async fn deliver(&self, delivery: &Delivery) -> Sent {
        Sent::Delivered { reference: delivery.id.token() }
    }

    async fn find(&self, delivery: &Delivery) -> Found {
        Found::There { reference: delivery.id.token() }
    }

    async fn show(&self, projection: &Projection) -> Result<String, String> {
        Ok(projection.rollout.to_string())
    }

    async fn log_cursor(&self, _rollout: &RolloutId, _venue: &Venue) -> Result<u64, String> {
        Ok(u64::MAX)
    }

    fn edit_pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// One system, pretended.
pub(super) struct Played {
    pub ledger: Arc<Ledger>,
    /// What is pretended, and how.
    pub kind: &'static Kind,
    pub scripts: BTreeMap<String, Script>,
    pub answers: Arc<Answers>,
    pub conductor: Conductor,
}

impl Played {
    /// What plays this action: its script, with what the answers file says of its step.
    fn pretend(&self, action: &Action) -> Pretend {
        let mut script = self.scripts.get(&action.operation).cloned().unwrap_or_default();
        let runbook = |registry: &Registry| registry.rollouts.get(&action.rollout).map(|rollout| rollout.runbook.clone());
        let runbook = self.conductor.with_registry(runbook).unwrap_or_default();
        if let Some(answer) = self.answers.get(&runbook, &action.step_id) {
            // The first attempt of an action, and the first turn of a check.
            script.fails = answer.fails.clone().filter(|_| action.attempt == 1 && action.id.slot == 0);
            script.seconds = answer.takes.map(|takes| takes.num_seconds()).or(script.seconds);
            script.outputs.extend(answer.outputs.clone());
        }
        // A system that says nothing would hold up a simulation for its time-out, and tells nobody anything.
        script.silent = false;
        Pretend::new(self.ledger.clone(), self.kind, BTreeMap::from([(action.operation.clone(), script)]))
    }
}

#[async_trait]
impl Executor for Played {
    async fn start(&self, action: &Action, now: DateTime<Utc>) -> Result<(), StartError> {
        self.pretend(action).start(action, now).await
    }

    async fn find(&self, action: &Action) -> Found {
        self.pretend(action).find(action).await
    }

    async fn poll(&self, action: &Action, now: DateTime<Utc>) -> Result<Polled, String> {
        self.pretend(action).poll(action, now).await
    }

    async fn cancel(&self, action: &Action, now: DateTime<Utc>) -> Result<(), CancelError> {
        self.pretend(action).cancel(action, now).await
    }
}
