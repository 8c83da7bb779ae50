//! The pretended system itself, through the conductor and the outbox: slow, late, silent, cancelled, and over a crash.

use chrono::TimeDelta;
use tminus::domain::rollout::command::{CommandBody, RolloutId, StepRef};
use tminus::domain::rollout::event::Fate;

use crate::stage::Stage;

const RUNBOOK: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ id: x, timeout: 10m, run: ci.command.tests, with: { argv: [./tests.sh] } }, { task: Do it, id: it }] }]
";

/// A stage whose tests are played so.
async fn stage(script: &str) -> (Stage, RolloutId) {
    let mut stage =
        Stage::with_systems(RUNBOOK, &format!("  ci: {{ kind: pretend, as: command, script: {{ command.tests: {script} }} }}"))
            .await;
    let id = stage.start().await;
    stage.until(&id, "action-attempted").await;
    (stage, id)
}

fn count(happened: &[String], kind: &str) -> usize {
    happened.iter().filter(|known| *known == kind).count()
}

#[tokio::test(start_paused = true)]
async fn a_slow_system_says_how_far_it_is_and_gives_what_its_script_gives() {
    let (stage, id) = stage("{ takes: 4m, progress: [half, all], outputs: { code: '0' } }").await;
    stage.until_underway(&id, "half").await;
    stage.passes(TimeDelta::minutes(3)).await;
    stage.until_underway(&id, "all").await;
    let ended = stage.ended_in_time(&id).await;
    assert_eq!(ended["outcome"], "succeeded");
    assert_eq!(ended["outputs"]["code"], "0");
}

#[tokio::test(start_paused = true)]
async fn what_says_its_end_too_late_is_given_up_at_its_time_and_changes_nothing_then() {
    let (mut stage, id) = stage("{ takes: 4m, late: 8m }").await;
    stage.passes(TimeDelta::minutes(5)).await;
    assert_eq!(count(&stage.happened(&id).await, "action-ended"), 0, "it is over, and has not said so");
    stage.passes(TimeDelta::minutes(5)).await;
    let ended = stage.ended(&id).await;
    assert_eq!(ended["outcome"], "unknown");
    stage.does(&id, "maria", CommandBody::SayFate { step: StepRef::TheOpenOne, fate: Fate::Ran }).await.unwrap();
    stage.passes(TimeDelta::minutes(2)).await;
    let happened = stage.until(&id, "receipt-came-late").await;
    assert_eq!((count(&happened, "action-attempted"), count(&happened, "action-ended")), (1, 1), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_late_and_still_in_time_counts() {
    let (stage, id) = stage("{ takes: 4m, late: 2m }").await;
    stage.passes(TimeDelta::minutes(5)).await;
    assert_eq!(count(&stage.happened(&id).await, "action-ended"), 0);
    stage.passes(TimeDelta::minutes(1)).await;
    assert_eq!(stage.ended_in_time(&id).await["outcome"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_silent_system_is_given_up_at_its_time_and_looked_for_on_demand() {
    let (mut stage, id) = stage("{ silent: true }").await;
    stage.passes(TimeDelta::minutes(10)).await;
    assert_eq!(stage.ended(&id).await["outcome"], "unknown");
    stage.does(&id, "maria", CommandBody::SayFate { step: StepRef::TheOpenOne, fate: Fate::Look }).await.unwrap();
    stage.passes(TimeDelta::minutes(10)).await;
    for _ in 0..2000 {
        if count(&stage.happened(&id).await, "action-ended") == 2 {
            break;
        }
        stage.passes(TimeDelta::minutes(1)).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let happened = stage.happened(&id).await;
    assert_eq!((count(&happened, "action-attempted"), count(&happened, "action-ended")), (1, 2), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn a_system_that_is_asked_to_stop_says_so() {
    let (mut stage, id) = stage("{ takes: 8m }").await;
    stage.until_underway(&id, "").await;
    stage.does(&id, "maria", CommandBody::CancelStep { step: StepRef::Named("x".into()) }).await.unwrap();
    let ended = stage.ended_in_time(&id).await;
    assert_eq!((&ended["outcome"], &ended["reason"]), (&"failed".into(), &"it was cancelled".into()));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_no_second_beginning_and_what_is_said_twice_after_it_is_late() {
    let (mut stage, id) = stage("{ takes: 4m, twice: true }").await;
    stage.until_underway(&id, "").await;
    stage.restart().await;
    assert_eq!(stage.ended_in_time(&id).await["outcome"], "succeeded");
    let happened = stage.until(&id, "receipt-came-late").await;
    assert_eq!((count(&happened, "action-attempted"), count(&happened, "action-ended")), (1, 1), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn what_it_gives_is_what_the_operation_says_that_it_is() {
    let runbook = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases:
  - phase: one
    steps:
      - { id: x, run: ci.autoscaling.prescale, with: { group: blue, like: green }, require: [{ that: outputs.to > outputs.from + 3, else: too few }] }
      - { task: Do it, id: it }
";
    for (to, becomes, reason) in [
        ("10", "step-completed", ""),
        ("12.5", "step-completed", ""),
        ("4", "step-failed", ""),
        ("many", "action-ended", "the script's output `to` is “many”, not a number"),
    ] {
        let script = format!("{{ autoscaling.prescale: {{ takes: 1s, outputs: {{ from: '6', to: '{to}' }} }} }}");
        let mut stage = Stage::with_systems(runbook, &format!("  ci: {{ kind: pretend, as: aws, script: {script} }}")).await;
        let id = stage.start().await;
        let ended = stage.ended_in_time(&id).await;
        assert_eq!(ended["reason"].as_str().unwrap_or_default(), reason, "{to}");
        stage.until(&id, becomes).await;
    }
}
