//! The latest identities, with the messages that they became.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// So many of them as are kept; the oldest are forgotten first. Each identity is kept once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(super) struct Recent {
    messages: HashMap<Arc<str>, u64>,
    order: VecDeque<Arc<str>>,
    forgot: bool,
}

/// The same, written down: in order, each once.
#[derive(Serialize, Deserialize)]
struct Written {
    known: Vec<(String, u64)>,
    forgot: bool,
}

impl Recent {
    pub fn note(&mut self, identity: &str, message: u64, max: usize) {
        if let Some(known) = self.messages.get_mut(identity) {
            *known = message;
            return;
        }
        let identity: Arc<str> = identity.into();
        self.messages.insert(identity.clone(), message);
        self.order.push_back(identity);
        while self.order.len() > max {
            self.forgot = true;
            if let Some(forgotten) = self.order.pop_front() {
                self.messages.remove(&forgotten);
            }
        }
    }

    pub fn get(&self, identity: &str) -> Option<u64> {
        self.messages.get(identity).copied()
    }

    /// Whether none was forgotten: what is not here never was.
    pub const fn is_whole(&self) -> bool {
        !self.forgot
    }
}

impl From<Written> for Recent {
    fn from(Written { known, forgot }: Written) -> Self {
        let known: Vec<(Arc<str>, u64)> = known.into_iter().map(|(identity, message)| (identity.into(), message)).collect();
        let order = known.iter().map(|(identity, _)| identity.clone()).collect();
        Self { messages: known.into_iter().collect(), order, forgot }
    }
}

impl From<Recent> for Written {
    fn from(Recent { messages, order, forgot }: Recent) -> Self {
        let known = order.into_iter().filter_map(|identity| {
            let message = *messages.get(&identity)?;
            Some((identity.to_string(), message))
        });
        Self { known: known.collect(), forgot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_that_is_known() {
        let mut recent = Recent::default();
        recent.note("a", 1, 2);
        recent.note("b", 2, 2);
        assert!(recent.is_whole());
        recent.note("b", 2, 2);
        recent.note("c", 3, 2);
        assert_eq!([recent.get("a"), recent.get("b"), recent.get("c")], [None, Some(2), Some(3)]);
        assert!(!recent.is_whole());
        let written = serde_json::to_string(&recent).unwrap();
        let mut read: Recent = serde_json::from_str(&written).unwrap();
        read.note("d", 4, 2);
        assert_eq!([read.get("b"), read.get("c"), read.get("d")], [None, Some(3), Some(4)]);
        assert!(!read.is_whole());
    }
}
