//! Digests: at their times it is said what is open. What was missed while nobody was there is said once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::domain::conversation::answer;
use crate::domain::conversation::digest::digest as words;
use crate::domain::digest::{Digest, Digested, Issued};
use crate::domain::message::template::escape_markdown;
use crate::domain::people::Directory;
use crate::domain::registry::{Registry, RegistryEvent};
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::effect::{Delivery, EffectId, Recipient};
use crate::domain::rollout::event::DeliveryOutcome;
use crate::domain::rollout::state::State;
use crate::engine::outbox::Dispatch;

use super::registry::{self, DigestNews};
use super::{Conductor, Rejected};

/// How long to wait before something that could not be recorded is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Starts looking after the digests that are configured.
pub(super) fn spawn(conductor: &Conductor) {
    // What is owed by a digest that is not configured any more is owed to nobody.
    if !conductor.shared.plan.digests.is_empty() {
        conductor.shared.tasks.spawn(run(conductor.clone()));
    }
}

async fn run(conductor: Conductor) {
    let closing = conductor.shared.closing.clone();
    tokio::select! {
        biased;
        () = closing.cancelled() => {}
        () = look_after(&conductor) => {}
    }
}

/// Brings what an earlier process owed, then what falls due, for as long as the process lives.
async fn look_after(conductor: &Conductor) {
    let digests = &conductor.shared.plan.digests;
    for digest in digests {
        conductor.bring(&digest.name, true).await;
    }
    loop {
        let mut all_recorded = true;
        for digest in digests {
            all_recorded &= conductor.issue(digest).await;
        }
        if !all_recorded {
            // A journal that stopped takes nothing before a restart.
            if conductor.stopped().is_some() {
                return;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        }
        let now = conductor.now();
        let Some(next) = digests.iter().filter_map(|digest| digest.at.after(now)).min() else {
            tracing::warn!("No digest comes any more: the years that they name are over");
            return;
        };
        conductor.shared.clock.sleep_until(next).await;
    }
}

impl Conductor {
    /// Issues a digest if it is due. False when the journal did not take it.
    async fn issue(&self, digest: &Digest) -> bool {
        let now = self.now();
        let known = self.with_registry(|registry| registry.digests.get(&digest.name).cloned());
        let Some(known) = known else {
            // A new one has missed nothing.
            return self.record_digest(DigestNews::Due(passed_over(digest, now))).await;
        };
        let Some(due) = digest.due(&known, now) else { return true };
        let Some(event) = self.compose(digest, &known, due).await else {
            return self.record_digest(DigestNews::Due(passed_over(digest, due))).await;
        };
        let recorded = self.record_digest(DigestNews::Due(event)).await;
        if recorded {
            tracing::info!("The digest {} was issued to {} destinations", digest.name, digest.to.len());
            self.bring(&digest.name, false).await;
        }
        recorded
    }

    /// The words of a digest, if there is something to say.
    async fn compose(&self, digest: &Digest, known: &Digested, due: DateTime<Utc>) -> Option<RegistryEvent> {
        let registry = Arc::new(self.registry());
        let mut open = Vec::new();
        for (id, rollout) in registry.open().filter(|(_, rollout)| !rollout.rehearsal && rollout.parent.is_none()) {
            open.push(match self.says(id, registry.clone()).await {
                Ok(Some(said)) => said,
                // It closed meanwhile, or can't be looked at: that it is there is said all the same.
                Ok(None) | Err(_) => format!("**{}** ({id})", escape_markdown(&rollout.title)),
            });
        }
        let (subject, text) = words(digest, &registry, &open, known.until, due)?;
        Some(RegistryEvent::DigestIssued { name: digest.name.clone(), due, subject, text, to: digest.to.clone() })
    }

    /// What a rollout says of itself, as in the answer to `status`.
    async fn says(&self, id: &RolloutId, lines: Arc<Registry>) -> Result<Option<String>, Rejected> {
        let status = move |state: &State, people: &Directory, now| {
            let line = state.runbook.environment.as_ref().and_then(|environment| lines.line(environment));
            let said = answer::status(state, people, now, line.as_ref()).text;
            state.link.as_ref().map_or_else(|| said.clone(), |link| format!("{said} {link}"))
        };
        self.look(id, status).await
    }

    /// Hands on what a digest owes.
    async fn bring(&self, name: &str, maybe_sent: bool) {
        let owed: Vec<_> = self.with_registry(|registry| {
            let last = registry.digests.get(name).and_then(|known| known.last.as_ref());
            last.zip(registry.house).map(|(last, house)| owed(last, house).collect()).unwrap_or_default()
        });
        for delivery in owed {
            // Without an outbox the process is about to end; what is owed stays owed.
            let _ = self.shared.outbox.send(Dispatch::Deliver { delivery, maybe_sent }).await;
        }
    }

    /// Records what became of a digest. What could not be recorded stays owed, and is looked up at the next start.
    pub(in crate::engine) async fn digest_delivered(&self, issued: u64, slot: usize, outcome: DeliveryOutcome) {
        if !self.record_digest(DigestNews::Delivered { issued, slot, outcome }).await {
            tracing::error!("The receipt of a digest was not recorded");
        }
    }

    async fn record_digest(&self, news: DigestNews) -> bool {
        let (reply, recorded) = oneshot::channel();
        let sent = self.shared.registry_inbox.send(registry::Message::Digest { news, reply }).await;
        sent.is_ok() && recorded.await.unwrap_or_default()
    }
}

/// What of a digest is still to be brought somewhere. An installation's own deliveries count as those of a rollout with the
/// number 0.
fn owed(issued: &Issued, house: u16) -> impl Iterator<Item = Delivery> + '_ {
    let open = issued.destinations.iter().enumerate().filter(|(_, destination)| destination.outcome.is_none());
    open.map(move |(slot, destination)| Delivery {
        id: EffectId { house, rollout: 0, sequence: issued.sequence, slot: u16::try_from(slot).unwrap_or(u16::MAX), attempt: 1 },
        rollout: None,
        to: Recipient::Address(destination.to.clone()),
        subject: Some(issued.subject.clone()),
        text: issued.text.clone(),
        must_know: false,
        issued: issued.at,
        buttons: Vec::new(),
    })
}

fn passed_over(digest: &Digest, until: DateTime<Utc>) -> RegistryEvent {
    RegistryEvent::DigestPassedOver { name: digest.name.clone(), until }
}
