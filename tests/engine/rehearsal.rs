//! A rehearsal beside an outside that would notice everything: nothing reaches it.

use std::collections::BTreeMap;

use tminus::domain::people::PersonId;
use tminus::domain::rollout::command::{Actor, CommandBody, CommandId, RolloutId, StepRef};
use tminus::engine::conductor::{Advance, Said};

use crate::stage::{ROOM, Stage, ack};

const PARENT: &str = "
runbook: test
title: Parent
environment: shop/staging
people: { owner: maria }
inputs: { version: { default: '4.3' } }
audiences: { watch: [slack:andromeda-preproduction-watch] }
phases:
  - phase: one
    steps:
      - { acknowledge: Know, id: know, from: [ana] }
      - { announce: commencement, id: told, to: [watch] }
      - { run: ci.command.tests, id: tests, with: { argv: [./tests.sh] } }
      - { checklist: inner, id: list, with: { version: '4.3' } }
  - { phase: two, steps: [{ task: At last, id: last }] }
";

const CHILD: &str = "
runbook: inner
title: 'Tests of {{ version }}'
inputs: { version: {} }
phases:
  - { phase: look, steps: [{ run: ci.command.more, id: more, with: { argv: [./more.sh] } }, { task: Judge, id: judge }] }
";

async fn start(stage: &Stage, text: &str) -> RolloutId {
    let said = Said {
        id: CommandId(text.into()),
        person: PersonId::new("maria"),
        room: ROOM.into(),
        text: text.into(),
        fields: BTreeMap::new(),
    };
    stage.conductor.hear(said).await.expect("it starts").rollout.expect("a rollout")
}

fn done(step: &str) -> CommandBody {
    CommandBody::CompleteStep { step: StepRef::Named(step.into()), typed: BTreeMap::new() }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_and_its_checklists_reach_nothing_also_over_a_restart() {
    let mut stage = Stage::with_all(&[PARENT, CHILD]).await;
    let id = start(&stage, "start test rehearsal").await;
    assert!(id.as_str().ends_with("-rehearsal"), "{id}");
    stage.does(&id, "ana", ack()).await.unwrap();
    stage.until(&id, "action-attempted").await;
    stage.restart().await;
    stage.until_loaded(&id).await;
    // A pretended action without a script takes its time on the rollout's own clock.
    stage.passes(chrono::TimeDelta::minutes(5)).await;
    stage.until(&id, "child-started").await;
    let child = {
        let registry = stage.conductor.registry();
        let (child, registered) = registry.rollouts.iter().find(|(_, rollout)| rollout.parent.is_some()).expect("a checklist");
        assert!(registered.rehearsal);
        assert!(child.as_str().ends_with("-rehearsal"), "{child}");
        child.clone()
    };
    stage.until(&child, "action-attempted").await;
    stage.passes(chrono::TimeDelta::minutes(5)).await;
    stage.until(&child, "action-ended").await;
    stage.does(&child, "maria", done("judge")).await.unwrap();
    stage.until(&id, "child-settled").await;
    stage.does(&id, "maria", done("last")).await.unwrap();
    stage.until(&id, "ended").await;
    assert_eq!(stage.outside.calls(), Vec::<String>::new(), "no system and no platform was called");
    assert!(stage.conductor.with_registry(|registry| registry.environments.is_empty()), "no environment was asked for");
    // The same rollout in earnest does reach them.
    let real = start(&stage, "start test").await;
    stage.does(&real, "ana", ack()).await.unwrap();
    stage.until_called("start tests attempt 1").await;
}

#[tokio::test(start_paused = true)]
async fn where_rollouts_are_in_earnest_only_clocks_of_rehearsals_are_moved() {
    let mut stage = Stage::with_all(&[PARENT, CHILD]).await;
    // Begun in a demo, where clocks can be moved.
    let begun = start(&stage, "start test").await;
    let advance = async |stage: &Stage, id: &RolloutId, command: &str| {
        let actor = Actor::Person { id: PersonId::new("ana"), roles: std::collections::BTreeSet::default() };
        stage.conductor.advance(id, CommandId(command.into()), actor, Advance::By(60)).await
    };
    advance(&stage, &begun, "a1").await.unwrap();
    stage.restart_in_earnest().await;
    stage.until_loaded(&begun).await;
    let refused = advance(&stage, &begun, "a2").await.unwrap_err().to_string();
    assert!(refused.contains("is no rehearsal"), "{refused}");
    let typed = Said {
        id: CommandId("a3".into()),
        person: PersonId::new("ana"),
        room: ROOM.into(),
        text: format!("advance 1h {begun}"),
        fields: BTreeMap::new(),
    };
    stage.conductor.hear(typed).await.unwrap_err();
    assert_eq!(stage.happened(&begun).await.iter().filter(|kind| *kind == "clock-advanced").count(), 1);
    let rehearsal = start(&stage, "start test rehearsal").await;
    advance(&stage, &rehearsal, "a4").await.unwrap();
}
