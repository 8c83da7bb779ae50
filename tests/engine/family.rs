//! A checklist is a rollout of its own: started once, held and aborted with the rollout it belongs to, and its end comes back.

use tminus::domain::rollout::command::{CommandBody, RolloutId, StepRef};
use tminus::domain::rollout::state::StepStatus;

use crate::stage::Stage;

const PARENT: &str = "
runbook: test
title: 'Parent {{ version }}'
environment: shop/staging
people: { owner: maria }
inputs: { version: { default: '4.3' } }
phases:
  - phase: one
    steps: [{ checklist: inner, id: inner_tests, gate: GATE, UNTIL evidence: EVIDENCE }]
  - { phase: two, steps: [{ task: At last, id: last }] }
";

const CHILD: &str = "
runbook: inner
title: 'Tests of {{ version }}'
environment: shop/staging
inputs: { version: {} }
phases:
  - { phase: evidence, steps: [{ task: Look, id: look }] }
  - { phase: verdict, steps: [{ task: Judge, id: judge }] }
";

fn parent(gate: &str, until: &str, evidence: &str) -> String {
    PARENT.replace("GATE", gate).replace("UNTIL", until).replace("EVIDENCE", evidence)
}

async fn stage(yaml: &str) -> (Stage, RolloutId, RolloutId) {
    let mut stage = Stage::with_all(&[yaml, CHILD]).await;
    let id = stage.start().await;
    stage.until(&id, "child-started").await;
    let child = child(&stage);
    (stage, id, child)
}

fn child(stage: &Stage) -> RolloutId {
    let registry = stage.conductor.registry();
    let children: Vec<&RolloutId> = registry.rollouts.iter().filter(|(_, r)| r.parent.is_some()).map(|(id, _)| id).collect();
    assert_eq!(children.len(), 1, "started once: {children:?}");
    children[0].clone()
}

fn done(step: &str) -> CommandBody {
    CommandBody::CompleteStep { step: StepRef::Named(step.into()), typed: std::collections::BTreeMap::new() }
}

#[tokio::test(start_paused = true)]
async fn a_checklist_starts_with_what_is_known_and_its_end_completes_the_step() {
    let (mut stage, id, child) = stage(&parent("true", "", "{}")).await;
    assert_eq!(stage.conductor.registry().rollouts[&child].title, "Tests of 4.3");
    stage.does(&child, "maria", done("look")).await.unwrap();
    assert!(!stage.happened(&id).await.contains(&"step-completed".to_owned()));
    // The process dies with the end on its way: it arrives once.
    stage.does(&child, "maria", done("judge")).await.unwrap();
    stage.restart().await;
    let happened = stage.until(&id, "step-completed").await;
    assert_eq!(happened.iter().filter(|kind| *kind == "child-settled").count(), 1, "{happened:?}");
    stage.until(&child, "parent-told").await;
    stage.does(&id, "maria", done("last")).await.unwrap();
    stage.until(&id, "ended").await;
    assert_eq!(stage.conductor.registry().rollouts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_does_not_succeed_fails_the_step_and_any_ending_settles_one_without() {
    for (gate, failed) in [("true", true), ("false", false)] {
        let (mut stage, id, child) = stage(&parent(gate, "", "{}")).await;
        let abort = CommandBody::Abort { reason: "broken".into(), generation: None };
        stage.does(&child, "maria", abort).await.unwrap();
        stage.until(&id, if failed { "step-failed" } else { "step-completed" }).await;
        let status = stage.conductor.look(&id, |state, _, _| state.steps[0].status.clone()).await.unwrap().unwrap();
        assert_eq!(matches!(status, StepStatus::Failed { .. }), failed, "{status:?}");
        if failed {
            // Run again, it is another rollout.
            stage.does(&id, "maria", CommandBody::RunStep { step: StepRef::Named("inner_tests".into()) }).await.unwrap();
            stage.until_rollouts(3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_phase_of_the_checklist_may_be_enough_and_what_is_recorded_with_it_a_person_adds() {
    let (mut stage, id, child) = stage(&parent("false", "until: evidence,", "{ issue: {} }")).await;
    stage.does(&child, "maria", done("look")).await.unwrap();
    stage.until(&id, "child-settled").await;
    assert!(!stage.happened(&id).await.contains(&"step-completed".to_owned()), "the issue number is missing");
    let mut with_issue = done("inner_tests");
    if let CommandBody::CompleteStep { typed, .. } = &mut with_issue {
        typed.insert("issue".into(), "#4711".into());
    }
    stage.does(&id, "maria", with_issue).await.unwrap();
    stage.until(&id, "step-completed").await;
    // The checklist goes on by itself, also when the rollout is over.
    stage.does(&id, "maria", done("last")).await.unwrap();
    stage.until(&id, "ended").await;
    stage.does(&child, "maria", done("judge")).await.unwrap();
    stage.until(&child, "ended").await;
}

#[tokio::test(start_paused = true)]
async fn hold_and_abort_reach_the_checklist() {
    let (mut stage, id, child) = stage(&parent("true", "", "{}")).await;
    stage.does(&id, "sam", CommandBody::Hold).await.unwrap();
    stage.until(&child, "held").await;
    stage.does(&id, "maria", CommandBody::Resume { generation: None }).await.unwrap();
    stage.until(&child, "resumed").await;
    // What somebody held there, nobody here lets go on.
    stage.does(&child, "sam", CommandBody::Hold).await.unwrap();
    stage.does(&id, "sam", CommandBody::Hold).await.unwrap();
    stage.does(&id, "maria", CommandBody::Resume { generation: None }).await.unwrap();
    stage.until_told(&id).await;
    let held = stage.conductor.look(&child, |state, _, _| state.held.clone()).await.unwrap().unwrap();
    assert!(held.is_some_and(|held| held.by.is_some()), "it is still on hold");
    let abort = CommandBody::Abort { reason: "enough".into(), generation: None };
    stage.does(&id, "maria", abort).await.unwrap();
    let happened = stage.until(&child, "ended").await;
    assert!(happened.contains(&"aborted".to_owned()));
    stage.until(&id, "ended").await;
}

#[tokio::test(start_paused = true)]
async fn a_checklist_that_lacks_an_input_says_so_where_it_was_wanted() {
    let lacking = CHILD.replace("inputs: { version: {} }", "inputs: { version: {}, ticket: { label: Ticket } }");
    let mut stage = Stage::with_all(&[&parent("true", "", "{}"), &lacking]).await;
    let id = stage.start().await;
    stage.until(&id, "child-not-started").await;
    let card = stage.card(&id).await;
    assert!(card.contains("Ticket is needed"), "{card}");
}

#[tokio::test(start_paused = true)]
async fn a_checklist_acts_under_the_hold_of_its_rollout_and_asks_for_what_that_does_not_hold() {
    let parent = parent("true", "", "{}").replace("title: 'Parent", "lock-from: one\ntitle: 'Parent");
    for (environment, own) in [("shop/staging", false), ("shop/database", true)] {
        let child = CHILD.replace("environment: shop/staging", &format!("environment: {environment}\nlock-from: evidence"));
        let mut stage = Stage::with_all(&[&parent, &child]).await;
        let id = stage.start().await;
        stage.until(&id, "child-started").await;
        let child = self::child(&stage);
        stage.does(&child, "maria", done("look")).await.unwrap();
        let holders = stage
            .conductor
            .with_registry(|registry| ["shop/staging", "shop/database"].map(|environment| registry.holder(environment).cloned()));
        assert_eq!(holders, [Some(id), own.then_some(child)]);
    }
}
