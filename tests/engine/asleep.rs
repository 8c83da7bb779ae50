//! Rollouts at rest are in nobody's memory, and nobody notices: not who comes, not who is reminded, not the next start.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;
use tminus::domain::people::{Directory, Person, PersonId};
use tminus::domain::rollout::command::RolloutId;
use tminus::domain::rollout::state::State;
use tminus::engine::conductor::{REST_AFTER, read_rollout};
use tminus::engine::journal::StreamName;
use tminus::engine::snapshots::{SnapshotFolder, at_rest};

use crate::stage::{Stage, ack, note};

const ROLL: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ acknowledge: Know, id: know, from: [sam, ana], due: 2h }] }]
";

/// A stage that keeps snapshots in a folder, with one rollout that rests.
async fn resting() -> (Stage, RolloutId, TempDir) {
    let mut stage = Stage::with(ROLL).await;
    let dir = TempDir::new().unwrap();
    stage.snapshots = Arc::new(SnapshotFolder::open(dir.path()).unwrap());
    stage.close().await;
    stage.restart().await;
    let id = stage.start().await;
    stage.until_asleep(1).await;
    (stage, id, dir)
}

/// What the rollout is, and that it is what the journal says.
async fn state(stage: &Stage, id: &RolloutId) -> State {
    let looked_at = stage.conductor.look(id, |state, _, _| state.clone()).await.unwrap().unwrap();
    assert_eq!(looked_at, read_rollout(stage.journal.as_ref(), id).await.unwrap().unwrap());
    looked_at
}

async fn nudges(stage: &Stage, id: &RolloutId) -> usize {
    stage.happened(id).await.iter().filter(|kind| *kind == "nudged").count()
}

async fn until_reminded(stage: &Stage, id: &RolloutId) {
    for _ in 0..2000 {
        if nudges(stage, id).await == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody was reminded: {:?}", stage.happened(id).await);
}

/// Nobody waits for snapshots: they may come after what they are of.
async fn until_written_down(stage: &Stage) {
    let stream = StreamName::new("rollout/1");
    for _ in 0..2000 {
        if at_rest(&stage.snapshots, stage.journal.as_ref(), &stream).await.unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("how it rests was not written down");
}

fn is_read(stage: &Stage) -> bool {
    stage.reads.all().iter().any(|read| read.stream == "rollout/1")
}

#[tokio::test(start_paused = true)]
async fn who_comes_finds_it_as_it_was() {
    let (mut stage, id, _dir) = resting().await;
    stage.sends(&id, "sam", "once", ack()).await.unwrap();
    stage.until_asleep(1).await;
    // What arrives a second time is answered and not done again, as by one that never slept.
    let again = stage.sends(&id, "sam", "once", ack()).await.unwrap();
    assert!(again.contains("You acknowledged “Know” (1 of 2)"), "{again}");
    stage.until_asleep(1).await;
    assert_eq!(state(&stage, &id).await.steps[0].acknowledged.len(), 1);
    stage.does(&id, "ana", ack()).await.unwrap();
    stage.until(&id, "ended").await;
    stage.until_asleep(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_read_what_rests() {
    let (mut stage, id, _dir) = resting().await;
    stage.close().await;
    stage.restart().await;
    assert_eq!(stage.conductor.asleep(), 0, "nothing ran yet");
    stage.until_asleep(1).await;
    assert!(!is_read(&stage), "{:?}", stage.reads.all());
    stage.does(&id, "sam", ack()).await.unwrap();
    assert!(is_read(&stage));
    stage.until_asleep(1).await;
    state(&stage, &id).await;

    // Neither after a crash: how it rests is written down soon after it came to rest.
    stage.until_asleep(1).await;
    until_written_down(&stage).await;
    stage.restart().await;
    stage.until_asleep(1).await;
    assert!(!is_read(&stage), "{:?}", stage.reads.all());

    // What came after that is in the journal alone.
    stage.somebody_else_notes(&id, "meanwhile").await;
    stage.restart().await;
    stage.until_asleep(1).await;
    assert!(is_read(&stage));
    assert_eq!(state(&stage, &id).await.notes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn its_time_wakes_it_also_when_it_came_while_nobody_was_there() {
    let (stage, id, _dir) = resting().await;
    assert_eq!(nudges(&stage, &id).await, 1, "they were asked");
    stage.passes(TimeDelta::minutes(125)).await;
    until_reminded(&stage, &id).await;

    let (mut stage, id, _dir) = resting().await;
    stage.close().await;
    stage.clock.advance(TimeDelta::minutes(125));
    stage.restart().await;
    until_reminded(&stage, &id).await;
}

#[tokio::test(start_paused = true)]
async fn other_people_or_other_rooms_may_mean_another_time() {
    let (mut stage, id, _dir) = resting().await;
    stage.close().await;
    let mut people: Vec<Person> = stage.plan.people.people().cloned().collect();
    let sam = people.iter_mut().find(|person| person.id == PersonId::new("sam")).unwrap();
    sam.timezone = Some(chrono_tz::Asia::Tokyo);
    stage.plan.people = Arc::new(Directory::new(people, std::collections::BTreeMap::new()));
    stage.restart().await;
    stage.until_asleep(1).await;
    assert!(is_read(&stage));
    state(&stage, &id).await;
}

#[tokio::test(start_paused = true)]
async fn while_people_look_on_it_stays_awake() {
    let (mut stage, id, _dir) = resting().await;
    stage.close().await;
    stage.plan.rest_after = REST_AFTER;
    stage.restart().await;
    stage.until_asleep(1).await;
    stage.does(&id, "sam", note("here")).await.unwrap();
    stage.until_all_shown(&id).await;
    for _ in 0..4 {
        tokio::time::sleep(REST_AFTER / 2).await;
        assert_eq!(stage.conductor.asleep(), 0);
        state(&stage, &id).await;
    }
    tokio::time::sleep(REST_AFTER + Duration::from_secs(1)).await;
    stage.until_asleep(1).await;
}
