//! Idempotency keys: which request each was first used for. The rollouts themselves recognise a repetition; this tells a
//! repetition from a key that is used for something else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::engine::scratch::Scratch;

/// How long a key is remembered: as long as the rollouts remember their commands.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// The keys of the last day.
#[derive(Clone)]
pub struct Keys {
    scratch: Arc<dyn Scratch>,
}

impl Keys {
    /// Keys that are remembered in a store.
    #[must_use]
    pub fn new(scratch: Arc<dyn Scratch>) -> Self {
        Self { scratch }
    }

    /// Whether a key is new, or was used for the same request before. A store that does not answer forbids nothing: what is
    /// lost with it is only this question.
    pub(super) fn is_for(&self, key: &str, request: &impl Serialize, now: DateTime<Utc>) -> bool {
        let Ok(request) = serde_json::to_vec(request) else { return true };
        let fingerprint = Sha256::digest(&request);
        let name = format!("idempotency/{}", URL_SAFE_NO_PAD.encode(Sha256::digest(key.as_bytes())));
        match self.scratch.claim(&name, &fingerprint, now, now + REMEMBERED) {
            Ok(known) => known.is_none_or(|known| known == fingerprint.as_slice()),
            Err(error) => {
                tracing::warn!("An idempotency key is not remembered: {error}");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scratch::MemoryScratch;

    #[test]
    fn a_key_belongs_to_its_first_request_for_a_day() {
        let keys = Keys::new(Arc::new(MemoryScratch::new()));
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        assert!(keys.is_for("http/maria/1", &"ack", now));
        assert!(keys.is_for("http/maria/1", &"ack", now));
        assert!(!keys.is_for("http/maria/1", &"go", now));
        assert!(keys.is_for("http/ana/1", &"go", now));
        assert!(keys.is_for("http/maria/1", &"go", now + TimeDelta::hours(25)));
    }
}
