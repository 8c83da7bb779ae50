//! Digests: what is open, said again and again at set times to those whom it concerns.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::rollout::event::DeliveryOutcome;
use super::runbook::model::Address;

/// A digest as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    /// Its name.
    pub name: String,
    /// When it is issued.
    pub at: Calendar,
    /// Where it goes.
    pub to: Vec<Address>,
    /// Whether it is issued also when there is nothing to say.
    pub also_empty: bool,
}

/// What is known of a digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digested {
    /// Up to when there is nothing to be made up for.
    pub until: DateTime<Utc>,
    /// The last one that was issued. One that has not arrived when the next one is issued is of no interest any more.
    pub last: Option<Issued>,
}

/// One digest that was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// The sequence of its entry in the registry.
    pub sequence: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// The subject where a destination has one.
    pub subject: String,
    /// The Markdown.
    pub text: String,
    /// Where to, and what became of it.
    pub destinations: Vec<Destination>,
}

/// Where a digest goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// The address.
    pub to: Address,
    /// What became of it, once that is known.
    pub outcome: Option<DeliveryOutcome>,
}

impl Digest {
    /// The time at which it is due: the last one that has come since it was looked after, however many were missed.
    #[must_use]
    pub fn due(&self, known: &Digested, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.at.until(now).filter(|due| *due > known.until)
    }
}
