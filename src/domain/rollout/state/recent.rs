//! The commands of the last day, so that what arrives a second time is answered and not applied twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::rollout::command::CommandId;

/// How many commands are remembered, so that a second arrival is recognised.
pub const RECENT_COMMANDS_MAX: usize = 4096;
/// How long they are remembered: longer than any platform redelivers.
pub const RECENT_HOURS_MAX: i64 = 24;

/// The commands of the last day and which events they became. Each id is kept once: they are a good part of what an open rollout
/// holds in memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Known>", into = "Vec<Known>")]
pub(super) struct Recent {
    events: HashMap<Arc<str>, (u64, u64)>,
    order: VecDeque<(DateTime<Utc>, Arc<str>)>,
}

/// One of them, written down: when it came, its id, its first and last event.
#[derive(Debug, Serialize, Deserialize)]
struct Known(DateTime<Utc>, String, u64, u64);

impl Recent {
    pub fn note(&mut self, command: &CommandId, sequence: u64, real_at: DateTime<Utc>) {
        if let Some((_, last)) = self.events.get_mut(command.0.as_str()) {
            *last = sequence;
            return;
        }
        let id: Arc<str> = command.0.as_str().into();
        self.events.insert(id.clone(), (sequence, sequence));
        self.order.push_back((real_at, id));
        let kept_since = real_at.checked_sub_signed(TimeDelta::hours(RECENT_HOURS_MAX));
        self.forget_before(kept_since.unwrap_or(DateTime::<Utc>::MIN_UTC));
    }

    /// Forgets what came before a moment, and what is too much.
    pub fn forget_before(&mut self, real_at: DateTime<Utc>) {
        while self.order.len() > RECENT_COMMANDS_MAX || self.order.front().is_some_and(|(at, _)| *at < real_at) {
            if let Some((_, forgotten)) = self.order.pop_front() {
                self.events.remove(&forgotten);
            }
        }
        if self.order.is_empty() {
            // A rollout at rest needs no room for them either.
            *self = Self::default();
        }
    }

    /// The events a command became: first and last sequence.
    pub fn events_of(&self, command: &CommandId) -> Option<(u64, u64)> {
        self.events.get(command.0.as_str()).copied()
    }
}

impl From<Vec<Known>> for Recent {
    fn from(known: Vec<Known>) -> Self {
        let mut recent = Self::default();
        for Known(at, id, first, last) in known {
            let id: Arc<str> = id.into();
            recent.events.insert(id.clone(), (first, last));
            recent.order.push_back((at, id));
        }
        recent
    }
}

impl From<Recent> for Vec<Known> {
    fn from(Recent { events, order }: Recent) -> Self {
        let known = |(at, id): (DateTime<Utc>, Arc<str>)| {
            let (first, last) = events.get(&id)?;
            Some(Known(at, id.to_string(), *first, *last))
        };
        order.into_iter().filter_map(known).collect()
    }
}
