//! Digests: issued at their times, once, whatever happens to the process and to the outside.

use chrono::TimeDelta;
use tminus::domain::registry::Registry;
use tminus::domain::rollout::command::{CommandBody, StepRef};
use tminus::domain::rollout::event::DeliveryOutcome;
use tminus::engine::ports::{Found, Sent};

use crate::stage::{Send, Stage};

const TASK: &str = "
runbook: test
title: Test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ task: Do it, id: it }] }]
";
/// The stage's clock begins on Friday, 20 November, at 12:00 UTC: 07:00 in New York.
const DIGEST: &str = "
digests:
  - { name: morning, at: '0 0 8 * * Mon-Fri', timezone: America/New_York, to: [slack:andromeda-preproduction-watch] }
";

fn arrived(registry: &Registry) -> bool {
    let last = registry.digests.get("morning").and_then(|known| known.last.as_ref());
    last.is_some_and(|last| last.destinations.iter().all(|destination| destination.outcome.is_some()))
}

fn texts(stage: &Stage) -> Vec<String> {
    stage.outside.delivered.lock().unwrap().iter().map(|delivery| delivery.text.clone()).collect()
}

/// Waits until the digest is known, which is when its time begins to count.
async fn stage() -> Stage {
    let stage = Stage::with_settings(TASK, DIGEST).await;
    stage.until_registered("the digest", |registry| registry.digests.contains_key("morning")).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_digest_says_at_its_time_what_is_open_and_what_ended_since() {
    let mut stage = stage().await;
    let first = stage.start_as("first").await;
    stage.passes(TimeDelta::minutes(59)).await;
    stage.until_all_shown(&first).await;
    assert!(texts(&stage).is_empty(), "it is not eight yet");
    stage.passes(TimeDelta::minutes(1)).await;
    stage.until_registered("the first digest", arrived).await;
    let said = texts(&stage);
    assert_eq!(
        said,
        [format!(
            "**morning**, Fri 20 Nov 08:00 EST: one rollout is open.\n- **Test** ({first}): phase 1 of 1: One, 0 of 1 steps \
             settled. Next by a person: Maria completes “Do it”."
        )]
    );
    stage.does(&first, "maria", CommandBody::CompleteStep { step: StepRef::TheOpenOne, typed: [].into() }).await.unwrap();
    stage.until_registered("the first to be over", |registry| registry.open().count() == 0).await;
    // Over the weekend nobody is told anything; on Monday at eight everybody is.
    stage.passes(TimeDelta::days(3)).await;
    stage
        .until_registered("the second digest", |registry| registry.digests["morning"].until.to_rfc3339().contains("11-23"))
        .await;
    stage.until_registered("the second digest to arrive", arrived).await;
    let last = format!(
        "**morning**, Mon 23 Nov 08:00 EST: no rollout is open.\n\nOver since the last one:\n- **Test** ({first}): SUCCEEDED"
    );
    assert_eq!(texts(&stage)[1..], [last]);
    let subject = stage.outside.delivered.lock().unwrap()[1].subject.clone();
    assert_eq!(subject.as_deref(), Some("morning: no rollout is open"));
    // Tuesday: nothing to say, so nothing is said.
    stage.passes(TimeDelta::days(1)).await;
    stage.until_registered("Tuesday", |registry| registry.digests["morning"].until.to_rfc3339().contains("11-24")).await;
    assert_eq!(texts(&stage).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn digests_that_were_missed_collapse_into_one_and_a_new_one_has_missed_nothing() {
    let mut stage = stage().await;
    stage.start().await;
    // From now on nobody is there: not on Friday, Monday, Tuesday at eight.
    stage.close().await;
    stage.clock.advance(TimeDelta::days(4) + TimeDelta::hours(5));
    stage.restart().await;
    stage.until_registered("the digest", arrived).await;
    let said = texts(&stage);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("**morning**, Tue 24 Nov 08:00 EST: one rollout is open."), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_may_have_arrived_is_looked_up_and_not_sent_again() {
    let mut stage = stage().await;
    stage.start().await;
    stage.outside.will_send(Send::Hangs);
    stage.passes(TimeDelta::hours(1)).await;
    stage.until_called("deliver to slack:andromeda-preproduction-watch").await;
    // The process dies before it hears whether it was taken.
    stage.outside.will_find(Found::There { reference: "17".into() });
    stage.restart().await;
    stage.until_registered("the digest", arrived).await;
    let calls = stage.outside.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("deliver to slack")).count(), 1, "{calls:?}");
    let outcome = stage.conductor.registry().digests["morning"].last.as_ref().unwrap().destinations[0].outcome.clone();
    assert_eq!(outcome, Some(DeliveryOutcome::Delivered { reference: "17".into(), possibly_repeated: false }));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_takes_no_digest_now_gets_it_later_and_one_that_never_does_is_recorded() {
    let mut stage = stage().await;
    stage.start().await;
    let busy = || Sent::TryAgain { after: None, why: "ratelimited".into() };
    stage.outside.will_send(Send::Is(busy())).will_send(Send::Is(busy()));
    stage.passes(TimeDelta::hours(1)).await;
    stage.until_registered("the digest", arrived).await;
    assert_eq!(texts(&stage).len(), 1, "the third try");
    stage.outside.will_send(Send::Is(Sent::Never { why: "channel_not_found".into() }));
    stage.passes(TimeDelta::days(3)).await;
    stage.until_registered("the next one", |registry| registry.digests["morning"].until.to_rfc3339().contains("11-23")).await;
    stage.until_registered("its end", arrived).await;
    let outcome = stage.conductor.registry().digests["morning"].last.as_ref().unwrap().destinations[0].outcome.clone();
    assert_eq!(outcome, Some(DeliveryOutcome::Failed { reason: "channel_not_found".into() }));
}
