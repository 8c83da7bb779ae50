//! Frozen runbooks, each once in memory: every rollout has its own in its journal, and most of those are alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::domain::runbook::model::Runbook;

/// The runbooks of the rollouts that are loaded, by name.
#[derive(Default)]
pub(super) struct SharedRunbooks {
    known: Mutex<HashMap<String, Vec<Weak<Runbook>>>>,
}

impl SharedRunbooks {
    /// The one that is in memory already, where there is one that is the same in everything.
    pub fn shared(&self, runbook: Arc<Runbook>) -> Arc<Runbook> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = known.entry(runbook.name.clone()).or_default();
        // Those that no rollout has any more are gone.
        versions.retain(|version| version.strong_count() > 0);
        if let Some(same) = versions.iter().filter_map(Weak::upgrade).find(|version| *version == runbook) {
            return same;
        }
        versions.push(Arc::downgrade(&runbook));
        runbook
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn runbook() -> Arc<Runbook> {
        let runbook = json!({
            "name": "minimal", "title": "Minimal", "environment": null, "timezone": "UTC", "lock_from": null,
            "inputs": [], "people": {}, "cc": [], "rooms": [], "audiences": {}, "phases": [], "steps": [], "messages": {},
        });
        Arc::new(serde_json::from_value(runbook).unwrap())
    }

    #[test]
    fn what_is_the_same_is_there_once_and_what_differs_is_not_mixed_up() {
        let runbooks = SharedRunbooks::default();
        let first = runbooks.shared(runbook());
        assert!(Arc::ptr_eq(&first, &runbooks.shared(runbook())));
        let mut other = Runbook::clone(&first);
        other.title.push('!');
        let other = runbooks.shared(Arc::new(other));
        assert!(!Arc::ptr_eq(&first, &other));
        drop(first);
        let again = runbook();
        assert!(Arc::ptr_eq(&again, &runbooks.shared(again.clone())), "nobody had it any more");
    }
}
