//! The wall clock is put back an hour, by a person or a time server: what is journaled never goes backwards, nothing happens
//! twice, and what waits for a time still comes.

use chrono::{DateTime, TimeDelta, Utc};
use tminus::domain::rollout::state::State;
use tminus::engine::clock::ManualClock;
use tminus::engine::ports::Clock;

use crate::stage::{Stage, ack, note};

const WAITS: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases:
  - phase: one
    steps:
      - { acknowledge: Know, id: know, from: [ana] }
      - { wait: 30m, id: half }
      - { task: Do it, id: it }
  - { phase: two, steps: [{ wait: 10m }, { task: Do more }] }
";

/// When everything happened, in the order of the stream.
async fn moments(stage: &Stage, id: &tminus::domain::rollout::command::RolloutId) -> Vec<DateTime<Utc>> {
    let events = stage.conductor.events(id, 1, 500).await.unwrap().unwrap();
    events.into_iter().map(|(_, recorded)| recorded.at).collect()
}

fn count(happened: &[String], what: &str) -> usize {
    happened.iter().filter(|kind| *kind == what).count()
}

#[tokio::test(start_paused = true)]
async fn events_never_go_back_and_timers_still_come() {
    let mut stage = Stage::with(WAITS).await;
    let id = stage.start().await;
    stage.passes(TimeDelta::minutes(5)).await;
    stage.does(&id, "ana", ack()).await.unwrap();
    stage.until(&id, "step-completed").await;
    let done_before = count(&stage.happened(&id).await, "step-completed");
    let last_at = |state: &State, _: &_, _| state.last_at;
    let before = stage.conductor.look(&id, last_at).await.unwrap().unwrap();

    stage.passes(-TimeDelta::hours(1)).await;
    assert!(stage.clock.now() < before);
    stage.does(&id, "maria", note("an hour back")).await.unwrap();
    let noted = stage.conductor.look(&id, last_at).await.unwrap().unwrap();
    assert_eq!(noted, before, "it is as late as the last event, not an hour earlier");
    // A start at that time takes it up where it was.
    stage.restart().await;
    stage.until_loaded(&id).await;
    assert_eq!(stage.conductor.look(&id, last_at).await.unwrap().unwrap(), before);

    // The half hour began at five past: it is over when the clock is there, and not before.
    stage.passes(TimeDelta::minutes(89)).await;
    stage.does(&id, "maria", note("a minute before")).await.unwrap();
    assert_eq!(count(&stage.happened(&id).await, "step-completed"), done_before);
    stage.passes(TimeDelta::minutes(1)).await;
    for _ in 0..2000 {
        if count(&stage.happened(&id).await, "step-completed") > done_before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(count(&stage.happened(&id).await, "step-completed"), done_before + 1, "once");
    let moments = moments(&stage, &id).await;
    assert!(moments.is_sorted(), "{moments:?}");
    // What was replayed is what is there.
    let live = stage.conductor.look(&id, |state, _, _| state.clone()).await.unwrap().unwrap();
    stage.restart().await;
    stage.until_loaded(&id).await;
    let replayed = stage.conductor.look(&id, |state, _, _| state.clone()).await.unwrap().unwrap();
    assert_eq!(replayed.last_at, live.last_at);
}

#[tokio::test(start_paused = true)]
async fn whoever_sleeps_until_a_time_sleeps_on_when_the_clock_is_put_back() {
    let start: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(start);
    let sleeper = tokio::spawn({
        let clock = clock.clone();
        async move { clock.sleep_until(start + TimeDelta::minutes(10)).await }
    });
    for minutes in [9, -60, 60] {
        clock.advance(TimeDelta::minutes(minutes));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished(), "{}", clock.now());
    }
    clock.advance(TimeDelta::minutes(1));
    sleeper.await.unwrap();
}
