//! The commands of the last day, so that what arrives a second time is answered and not applied twice.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::rollout::command::CommandId;

/// How many commands are remembered, so that a second arrival is recognised.
pub const RECENT_COMMANDS_MAX: usize = 4096;
/// How long they are remembered: longer than any platform redelivers.
pub const RECENT_HOURS_MAX: i64 = 24;

/// The commands of the last day and which events they became.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    events: HashMap<CommandId, (u64, u64)>,
    order: VecDeque<(DateTime<Utc>, CommandId)>,
}

impl Recent {
    pub fn note(&mut self, command: &CommandId, sequence: u64, real_at: DateTime<Utc>) {
        if let Some((_, last)) = self.events.get_mut(command) {
            *last = sequence;
            return;
        }
        self.events.insert(command.clone(), (sequence, sequence));
        self.order.push_back((real_at, command.clone()));
        let oldest_kept = real_at.checked_sub_signed(TimeDelta::hours(RECENT_HOURS_MAX)).unwrap_or(DateTime::<Utc>::MIN_UTC);
        while self.order.len() > RECENT_COMMANDS_MAX || self.order.front().is_some_and(|(at, _)| *at < oldest_kept) {
            if let Some((_, forgotten)) = self.order.pop_front() {
                self.events.remove(&forgotten);
            }
        }
    }

    /// The events a command became: first and last sequence.
    pub fn events_of(&self, command: &CommandId) -> Option<(u64, u64)> {
        self.events.get(command).copied()
    }
}
