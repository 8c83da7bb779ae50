//! A decision, its announcement, its result and the end of the branch not taken: in this order, each once, whenever the process dies.

use chrono::TimeDelta;
use tminus::domain::rollout::command::{CommandBody, StepRef};
use tminus::domain::rollout::event::Choice;

use crate::stage::{Send, Stage};

const GATE: &str = "
runbook: test
people: { owner: maria }
inputs: { version: { default: '4.3' } }
rooms: [andromeda-rollouts]
audiences: { watch: [slack:andromeda-preproduction-watch] }
phases:
  - { phase: gate, steps: [{ decide: 'Shall we?', id: cutover, voters: [ana], notice: go-no-go, to: [watch] }] }
  - { phase: go, if: decision.cutover == 'go', steps: [{ run: ci.command.tests, id: tests, with: { argv: [./tests.sh] } }] }
  - { phase: back, if: decision.cutover == 'no-go', steps: [{ result: no-go, id: not_gone }] }
  - { phase: wrap_up, always: true, steps: [{ task: Wrap up, id: wrapped }] }
";

/// The kinds of events that the decision and what follows from it are made of.
fn course(happened: &[String]) -> Vec<&str> {
    let kinds =
        ["decision-taken", "announcement-issued", "delivery-ended", "phase-passed-over", "result-recorded", "action-requested"];
    happened.iter().map(String::as_str).skip_while(|kind| *kind != kinds[0]).filter(|kind| kinds.contains(kind)).collect()
}

/// A stage where Ana has voted, and whose notice goes nowhere at first.
async fn decided(choice: Choice) -> (Stage, tminus::domain::rollout::command::RolloutId) {
    let mut stage = Stage::with_settings(GATE, "").await;
    let id = stage.start().await;
    // Ana is asked.
    stage.until(&id, "delivery-ended").await;
    stage.outside.will_send(Send::Hangs);
    stage
        .does(&id, "ana", CommandBody::CastVote { step: StepRef::TheOpenOne, choice, reason: None, instead_of: None })
        .await
        .unwrap();
    (stage, id)
}

#[tokio::test(start_paused = true)]
async fn a_no_go_is_taken_announced_and_recorded_in_this_order_over_kills_between() {
    let (mut stage, id) = decided(Choice::NoGo).await;
    // A kill while it settles.
    stage.restart().await;
    stage.passes(TimeDelta::seconds(60)).await;
    let happened = stage.until(&id, "announcement-issued").await;
    assert_eq!(course(&happened), ["decision-taken", "announcement-issued"]);
    stage.until_called("deliver to slack:andromeda-preproduction-watch").await;
    // A kill between the announcement and its arrival: the branch is not closed by what nobody has heard of.
    stage.restart().await;
    let happened = stage.until(&id, "result-recorded").await;
    assert_eq!(
        course(&happened),
        ["decision-taken", "announcement-issued", "delivery-ended", "phase-passed-over", "result-recorded"]
    );
    // A kill after the result.
    stage.restart().await;
    stage.until_loaded(&id).await;
    stage.does(&id, "maria", CommandBody::CompleteStep { step: StepRef::TheOpenOne, typed: [].into() }).await.unwrap();
    let happened = stage.until(&id, "ended").await;
    assert_eq!(course(&happened).len(), 5, "{happened:?}");
    let notices = stage.outside.delivered.lock().unwrap().iter().filter(|to| to.text.contains("NO-GO")).count();
    assert_eq!(notices, 1);
}

#[tokio::test(start_paused = true)]
async fn a_go_runs_nothing_before_it_is_announced_also_over_a_kill() {
    let (mut stage, id) = decided(Choice::Go).await;
    stage.passes(TimeDelta::seconds(60)).await;
    stage.until_called("deliver to slack:andromeda-preproduction-watch").await;
    stage.restart().await;
    let happened = stage.until(&id, "action-requested").await;
    assert_eq!(course(&happened), ["decision-taken", "announcement-issued", "delivery-ended", "action-requested"]);
}
