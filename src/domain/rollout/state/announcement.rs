//! Announcements with the ledger of their destinations.

use chrono::{DateTime, Utc};

use crate::domain::rollout::event::DeliveryOutcome;
use crate::domain::runbook::model::Address;

/// One announcement with its ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The sequence of the event that issued it: part of its deliveries' identities.
    pub sequence: u64,
    /// The step it belongs to.
    pub step: usize,
    /// Its template.
    pub message: String,
    /// Its subject.
    pub subject: Option<String>,
    /// Its Markdown.
    pub text: String,
    /// Whether everybody there is pinged.
    pub must_know: bool,
    /// When it was issued.
    pub issued: DateTime<Utc>,
    /// Where it goes.
    pub destinations: Vec<Destination>,
}

impl Announcement {
    /// Whether every destination has an outcome.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.destinations.iter().all(|destination| destination.outcome.is_some())
    }

    /// The destinations that did not get it.
    pub fn failed(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|d| matches!(d.outcome, Some(DeliveryOutcome::Failed { .. })))
    }
}

/// One destination of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub address: Address,
    /// Which attempt counts.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Option<DeliveryOutcome>,
}
