//! Announcements with the ledger of their destinations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::{DeliveryOutcome, Nudge};

use super::Given;

/// One announcement with its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The sequence of the event that issued it: part of its deliveries' identities.
    pub sequence: u64,
    /// The step that is done with it; none where nothing waits for it.
    pub step: Option<usize>,
    /// Why people are written to by name, and about which step, where it is that.
    pub nudge: Option<(Nudge, usize)>,
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
    /// Whether it is written to single people, and not announced.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        let is_person = |to: &Destination| matches!(to.to, Recipient::Person(_));
        self.nudge.is_some() || (!self.destinations.is_empty() && self.destinations.iter().all(is_person))
    }

    /// Whether every destination has an outcome, or is done without.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.destinations.iter().all(|to| to.outcome.is_some() || to.waived.is_some())
    }

    /// The destinations that did not get it, and that nobody waived.
    pub fn failed(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|to| to.waived.is_none() && matches!(to.outcome, Some(DeliveryOutcome::Failed { .. })))
    }
}

/// One destination of an announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Where.
    pub to: Recipient,
    /// Which attempt counts.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Option<DeliveryOutcome>,
    /// Why it is done without.
    pub waived: Option<Given>,
}

impl Destination {
    pub(super) const fn new(to: Recipient) -> Self {
        Self { to, attempt: 1, outcome: None, waived: None }
    }
}
