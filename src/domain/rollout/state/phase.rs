//! Where a phase stands.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::rollout::event::PassedOver;

/// Where a phase stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseState {
    /// Not open yet.
    Waiting,
    /// Open.
    Open {
        /// Since when.
        since: DateTime<Utc>,
        /// How late it opened, where that matters.
        late_seconds: i64,
    },
    /// Everything in it is settled.
    Settled {
        /// When it opened.
        since: DateTime<Utc>,
        /// How late it had opened, where that matters.
        late_seconds: i64,
        /// When it was settled.
        at: DateTime<Utc>,
    },
    /// Passed over.
    PassedOver(PassedOver),
}

impl PhaseState {
    /// Whether phases after it may open.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. } | Self::PassedOver(_))
    }
}
